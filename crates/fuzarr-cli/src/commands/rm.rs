//! `fuzarr rm`.

use super::Outcome;
use crate::arguments::Rm;
use crate::location;
use fuzarr::metadata::Node;
use fuzarr::store::{Address, AddressOptions, Listing, Root, Store, join};
use fuzarr::{Error, Result, hierarchy, v2};

pub(super) fn run(arguments: &Rm, options: &AddressOptions) -> Result<Outcome> {
    let Address { root, path } = location::to_delete(&arguments.location)?;
    let opened = root.open(options)?;
    let store = &opened.store;
    if !arguments.recursive && holds_more(&**store, &path)? {
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

/// Whether more than a node would be deleted: other nodes, and in a group, or what is broken and may be
/// one, anything but its documents.
fn holds_more(store: &dyn Store, path: &str) -> Result<bool> {
    if let Ok(None | Some(Node::Array(_))) = hierarchy::read_node(store, path) {
        return Ok(hierarchy::traverse(store, path, 1)?.next().is_some());
    }
    let own = [
        hierarchy::DOCUMENT,
        v2::GROUP,
        v2::ARRAY,
        v2::ATTRIBUTES,
        v2::CONSOLIDATED,
        hierarchy::REMOVAL,
    ];
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Listing { objects, prefixes, others } = store.list(&folder).wait()?;
        let is_own = |name: &str| folder == path && own.contains(&name);
        if !others.is_empty() || !objects.iter().all(|(name, _)| is_own(name)) {
            return Ok(true);
        }
        // Folders that deleted chunks have left hold nothing.
        folders.extend(prefixes.iter().map(|name| join(&folder, name)));
    }
    Ok(false)
}
