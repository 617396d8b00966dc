//! `fuzarr get`.

use super::Outcome;
use crate::arguments::Get;
use crate::{npy, print};
use fuzarr::{Result, Selection};

pub(super) fn run(arguments: &Get) -> Result<Outcome> {
    let array = super::open(&arguments.location)?;
    let selection = Selection::parse(&arguments.selection)?;
    let read = array.read(&selection)?;
    match &arguments.output {
        Some(file) => npy::write(file, &read.shape, array.data_type(), &read.bytes)?,
        None => {
            let elements = print::Elements::Fixed(&read.bytes);
            let text = print::array(&read.shape, array.data_type(), elements)?;
            super::print(&format!("{text}\n"))?;
        }
    }
    Ok(Outcome::Fine)
}
