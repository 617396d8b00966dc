//! `fuzarr get`.

use super::Outcome;
use crate::arguments::Get;
use crate::{npy, print};
use fuzarr::codec;
use fuzarr::dtype::ElementLayout;
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
    let options = ReadOptions::from_environment()?;
    let corners = print::corners(&shape)?;
    let read = match &corners {
        Some(corners) => array.read_bytes(&selection.narrow(array.shape(), corners)?, &options)?,
        None => array.read_bytes(selection, &options)?,
    };
    let (slots, variable);
    let elements = if array.data_type().layout() == ElementLayout::Variable {
        slots = codec::Elements { slots: read.bytes, heap: read.heap };
        variable = slots.variable().collect::<Result<Vec<_>>>()?;
        print::Elements::Variable(&variable)
    } else {
        print::Elements::Fixed(&read.bytes)
    };
    match corners {
        Some(_) => print::shortened(&shape, array.data_type(), elements),
        None => print::array(&shape, array.data_type(), elements),
    }
}
