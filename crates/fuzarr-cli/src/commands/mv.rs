//! `fuzarr mv`.

use super::Outcome;
use crate::arguments::Mv;
use crate::location;
use fuzarr::{Error, Result, hierarchy};

pub(super) fn run(arguments: &Mv) -> Result<Outcome> {
    let from = location::existing_itself(&arguments.location)?;
    let to = location::new(&arguments.destination)?;
    if from.path.is_empty() {
        return Err(Error::invalid_argument(
            "this is a whole store: move its folder by the means of the system",
        ));
    }
    if from.store != to.store {
        return Err(Error::invalid_argument("the new place is in another store")
            .with("to", arguments.destination.display()));
    }
    hierarchy::rename_node(&*from.store.open()?, &from.path, &to.path)?;
    Ok(Outcome::Fine)
}
