//! `fuzarr rm`.

use super::Outcome;
use crate::arguments::Rm;
use crate::location::{self, Location, Root};
use fuzarr::{Error, Result, hierarchy};

pub(super) fn run(arguments: &Rm) -> Result<Outcome> {
    let Location { store: root, path } = location::existing_itself(&arguments.location)?;
    let store = root.open()?;
    if !arguments.recursive && hierarchy::traverse(&*store, &path, 1)?.next().is_some() {
        return Err(Error::invalid_argument(
            "the group is not empty; -r deletes it and all below it",
        ));
    }
    hierarchy::delete_node(&*store, &path)?;
    if let (Root::Folder(folder), true) = (root, path.is_empty()) {
        // The folder of the store is empty now. If it is not, it holds what somebody just wrote.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(Outcome::Fine)
}
