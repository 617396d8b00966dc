//! `fuzarr rm`.

use super::Outcome;
use crate::arguments::Rm;
use crate::location;
use fuzarr::store::{Address, AddressOptions, Root};
use fuzarr::{Error, Result, hierarchy};

pub(super) fn run(arguments: &Rm, options: &AddressOptions) -> Result<Outcome> {
    let Address { root, path } = location::existing_itself(&arguments.location)?;
    let opened = root.open(options)?;
    let store = &opened.store;
    if !arguments.recursive && hierarchy::traverse(&**store, &path, 1)?.next().is_some() {
        return Err(Error::invalid_argument(
            "the group is not empty; -r deletes it and all below it",
        ));
    }
    hierarchy::delete_node(&**store, &path)?;
    match root {
        Root::Folder(folder) if path.is_empty() => {
            // The folder of the store is empty now. If it is not, it holds what somebody just wrote.
            let _ = std::fs::remove_dir(folder);
        }
        Root::ZipFile(file) if path.is_empty() && store.list("").wait()?.is_empty() => {
            opened.close()?;
            let removed = std::fs::remove_file(file);
            removed.map_err(|error| Error::io("the file cannot be removed").with_source(error))?;
        }
        _ => opened.close()?,
    }
    Ok(Outcome::Fine)
}
