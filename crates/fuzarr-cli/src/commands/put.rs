//! `fuzarr put`.

use super::Outcome;
use crate::arguments::{Order, Put};
use crate::{npy, value};
use fuzarr::codec::Elements;
use fuzarr::dtype::{DataType, ElementLayout, fill_from_json};
use fuzarr::error::ResultExt as _;
use fuzarr::plan::WriteOptions;
use fuzarr::shard::WriteOrder;
use fuzarr::store::AddressOptions;
use fuzarr::{Array, Error, Result, Selection};
use std::path::Path;
use std::sync::Arc;

pub(super) fn run(arguments: &Put, options: &AddressOptions) -> Result<Outcome> {
    let (opened, path) = super::find_opened(&arguments.location, options)?;
    let array = Array::open(Arc::clone(&opened.store), &path)?;
    let selection = Selection::parse(&arguments.selection)?;
    let shape = array.resolve(&selection)?.shape().to_vec();
    let source = Path::new(&arguments.source);
    let is_file = source.extension().is_some_and(|extension| extension == "npy");
    let values = if is_file || arguments.source == "-" {
        from_file(&array, &shape, source)?
    } else {
        let value = value::parse(&arguments.source, array.data_type())?;
        let bytes = fill_from_json(array.data_type(), &value)?;
        let mut one = Elements::default();
        match array.data_type().layout() {
            ElementLayout::Variable => one.push_variable(&bytes),
            ElementLayout::Fixed(_) => one.slots = bytes,
        }
        one
    };
    let order = match arguments.order {
        Order::Morton => WriteOrder::Morton,
        Order::Lexicographic => WriteOrder::Lexicographic,
        Order::Colexicographic => WriteOrder::Colexicographic,
        Order::Unordered => WriteOrder::Unordered,
    };
    let options = WriteOptions {
        write_empty_chunks: arguments.write_empty_chunks,
        order,
        ..WriteOptions::with_overrides(&arguments.settings.set)?
    };
    array.write_elements(&selection, &values, &options)?;
    opened.close()?;
    Ok(Outcome::Fine)
}

/// The elements of a `.npy` file for a selection of `shape`; a single one stands for all.
fn from_file(array: &Array, shape: &[u64], file: &Path) -> Result<Elements> {
    let npy = npy::read(file)?;
    let (theirs, ours) = (npy.data_type, array.data_type());
    let given = npy.shape.clone();
    let elements = npy::text::elements(npy, ours).context("file", || file.display())?;
    let elements = elements.ok_or_else(|| {
        let wanted = match ours {
            DataType::String => "U".to_owned(),
            DataType::Bytes => "S".to_owned(),
            other => other.to_string(),
        };
        Error::invalid_argument(format!(
            "the file holds {theirs}, the array {ours}; convert it first, in NumPy with \
             `.astype(\"{wanted}\")`"
        ))
        .with("file", file.display())
    })?;
    let single = elements.slots.len() == array.element_size();
    if given != shape && !single {
        return Err(Error::invalid_argument(format!(
            "the file has shape {given:?}, the selection {shape:?}"
        ))
        .with("file", file.display()));
    }
    Ok(elements)
}
