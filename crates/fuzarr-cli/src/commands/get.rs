//! `fuzarr get`.

use super::Outcome;
use crate::arguments::Get;
use crate::{npy, print};
use fuzarr::codec;
use fuzarr::dtype::ElementLayout;
use fuzarr::plan::ReadOptions;
use fuzarr::store::AddressOptions;
use fuzarr::{Array, Result, Selection};

pub(super) fn run(arguments: &Get, options: &AddressOptions) -> Result<Outcome> {
    let array = super::open(&arguments.location, options)?;
    let selection = Selection::parse(&arguments.selection)?;
    let options = ReadOptions::with_overrides(&arguments.settings.set)?;
    match &arguments.output {
        Some(file) => {
            let read = array.read_bytes(&selection, &options)?;
            let (data_type, bytes) = match array.data_type().layout() {
                ElementLayout::Fixed(_) => (array.data_type(), read.bytes),
                ElementLayout::Variable => {
                    let elements = codec::Elements { slots: read.bytes, heap: read.heap };
                    npy::text::fixed(array.data_type(), &elements)?
                }
            };
            npy::write(file, &read.shape, data_type, &bytes)?;
        }
        None => super::print(&format!("{}\n", text(&array, &selection, &options)?))?,
    }
    Ok(Outcome::Fine)
}

/// A selection as text. Of one that is too large to be shown whole, only what appears is read.
fn text(array: &Array, selection: &Selection, options: &ReadOptions) -> Result<String> {
    let shape = array.resolve(selection)?.shape().to_vec();
    let corners = print::corners(&shape)?;
    let read = match &corners {
        Some(corners) => array.read_bytes(&selection.narrow(array.shape(), corners)?, options)?,
        None => array.read_bytes(selection, options)?,
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
