//! `fuzarr mv`.

use super::Outcome;
use crate::arguments::Mv;
use crate::location;
use fuzarr::store::AddressOptions;
use fuzarr::{Error, Result, hierarchy};

pub(super) fn run(arguments: &Mv, options: &AddressOptions) -> Result<Outcome> {
    let from = location::existing_itself(&arguments.location)?;
    let to = location::new(&arguments.destination)?;
    if from.path.is_empty() {
        return Err(Error::invalid_argument(
            "this is a whole store: move its folder or file by the means of the system",
        ));
    }
    if from.root != to.root {
        return Err(Error::invalid_argument("the new place is in another store")
            .with("to", arguments.destination.display()));
    }
    let opened = from.root.open(options)?;
    hierarchy::rename_node(&*opened.store, &from.path, &to.path)?;
    opened.close()?;
    Ok(Outcome::Fine)
}
