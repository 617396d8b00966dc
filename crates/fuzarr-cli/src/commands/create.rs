//! `fuzarr create`.

use super::Outcome;
use crate::arguments::Create;
use crate::{create, location};
use fuzarr::codec::Registry;
use fuzarr::metadata::{Node, NodePath};
use fuzarr::store::{LocalStore, MemoryStore, Store, join};
use fuzarr::{Array, Error, Result, hierarchy, removal};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a metadata document beyond which a file is not one.
const LARGEST_DOCUMENT: u64 = 1 << 28;

pub(super) fn run(arguments: &Create) -> Result<Outcome> {
    let place = location::new(&arguments.location)?;
    let node = match &arguments.metadata {
        Some(file) => from_file(file),
        None if arguments.group => {
            create::group(arguments).and_then(|group| Node::from_json(&group))
        }
        None => create::document(arguments).and_then(|document| Node::from_json(&document)),
    };
    let checked = node.and_then(|node| {
        NodePath::parse(&place.path)?.check_creatable()?;
        check(&node, &place.path)?;
        Ok(node)
    });
    // Nothing is stored yet: what is wrong is what was asked for.
    let node = checked.map_err(|error| {
        if super::is_damage(&error) { Error::invalid_argument(error.to_string()) } else { error }
    })?;
    let store: Arc<dyn Store> = Arc::new(LocalStore::create(&place.store)?);
    make_room(&store, &place.path, &node, arguments.overwrite)?;
    hierarchy::create_node(&*store, &place.path, &node)?;
    Ok(Outcome::Fine)
}

/// A node from a metadata document in a file, or in standard input for `-`.
fn from_file(file: &Path) -> Result<Node> {
    let failed = |error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let message = "the metadata document cannot be read";
        let error = if missing {
            Error::not_found("no such file")
        } else {
            Error::io(message).with_source(error)
        };
        error.with("file", file.display())
    };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(LARGEST_DOCUMENT).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(LARGEST_DOCUMENT).read_to_end(&mut bytes).map_err(failed)?;
    }
    Node::from_bytes(&bytes).map_err(|error| error.with("file", file.display()))
}

/// Checks that fuzarr can read and write what it is about to create.
fn check(node: &Node, path: &str) -> Result<()> {
    let Node::Array(metadata) = node else { return Ok(()) };
    let nowhere = Arc::new(MemoryStore::default());
    Array::new(nowhere, path, (**metadata).clone(), &Registry::default()).map(|_| ())
}

/// Makes sure that nothing is at `path` that would show up in the new node.
fn make_room(store: &Arc<dyn Store>, path: &str, node: &Node, overwrite: bool) -> Result<()> {
    hierarchy::check_place(&**store, path)?;
    let document = join(path, hierarchy::DOCUMENT);
    if store.open(&document).now()?.is_some() {
        if !overwrite {
            return Err(Error::already_exists(
                "there is an array or group already; --overwrite deletes it and all below it",
            )
            .with("key", document));
        }
        let old = hierarchy::read_node(&**store, path)?;
        let old = old.ok_or_else(|| Error::not_found("the old node vanished"))?;
        removal::delete_node(&**store, path, &old)?;
    }
    let Node::Array(metadata) = node else { return Ok(()) };
    let left = removal::chunks(&**store, path, metadata)?;
    if !overwrite && let Some(object) = left.first() {
        return Err(Error::already_exists(
            "here lie chunks of an array that is no more; --overwrite deletes them",
        )
        .with("key", &object.key));
    }
    removal::delete(&**store, &left)
}
