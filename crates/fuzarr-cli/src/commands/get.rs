//! `fuzarr get`.

use super::Outcome;
use crate::arguments::Get;
use crate::{npy, print};
use fuzarr::plan::ReadOptions;
use fuzarr::{Array, Result, Selection};

pub(super) fn run(arguments: &Get) -> Result<Outcome> {
    let array = super::open(&arguments.location)?;
    let selection = Selection::parse(&arguments.selection)?;
    match &arguments.output {
        Some(file) => {
            let read = array.read_bytes(&selection, &ReadOptions::from_environment()?)?;
            npy::write(file, &read.shape, array.data_type(), &read.bytes)?;
        }
        None => super::print(&format!("{}\n", text(&array, &selection)?))?,
    }
    Ok(Outcome::Fine)
}

/// A selection as text. Of one that is too large to be shown whole, only what appears is read.
fn text(array: &Array, selection: &Selection) -> Result<String> {
    let shape = array.resolve(selection)?.shape().to_vec();
    match print::corners(&shape)? {
        Some(corners) => {
            let read = array.read_bytes(
                &selection.narrow(array.shape(), &corners)?,
                &ReadOptions::from_environment()?,
            )?;
            print::shortened(&shape, array.data_type(), print::Elements::Fixed(&read.bytes))
        }
        None => {
            let read = array.read_bytes(selection, &ReadOptions::from_environment()?)?;
            print::array(&shape, array.data_type(), print::Elements::Fixed(&read.bytes))
        }
    }
}
