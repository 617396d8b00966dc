//! `fuzarr attrs`.

use super::Outcome;
use crate::arguments::Attrs;
use fuzarr::metadata::json;
use fuzarr::store::AddressOptions;
use fuzarr::{Error, Result, hierarchy};
use serde_json::{Map, Value};
use std::path::Path;

pub(super) fn run(arguments: &Attrs, options: &AddressOptions) -> Result<Outcome> {
    let (opened, path) = super::find_opened(&arguments.location, options)?;
    let new = arguments.replace.as_deref().map(from_file).transpose()?;
    let attributes = hierarchy::update_attributes(&*opened.store, &path, |attributes| {
        if let Some(new) = &new {
            attributes.clone_from(new);
        }
        for name in &arguments.unset {
            if attributes.shift_remove(name).is_none() {
                return Err(Error::not_found("there is no such attribute").with("name", name));
            }
        }
        attributes.extend(arguments.set.iter().cloned());
        Ok(())
    })?;
    opened.close()?;
    super::print_json(&attributes.into())?;
    Ok(Outcome::Fine)
}

fn from_file(file: &Path) -> Result<Map<String, Value>> {
    let wrong = |message: &str| Error::invalid_argument(message).with("file", file.display());
    match json::parse(&super::read_document(file)?) {
        Ok(Value::Object(attributes)) => Ok(attributes),
        Ok(_) => Err(wrong("the file does not hold a JSON object")),
        Err(error) => Err(wrong("the file does not hold JSON").with_source(error)),
    }
}
