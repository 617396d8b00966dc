//! Nodes in a store: reading and creating metadata documents, and walking groups.
//!
//! Implements "Hierarchy" of the Zarr v3 core specification: a node is where a `zarr.json` is, and
//! nothing is a group without one.

use crate::error::{Error, Kind, Result, ResultExt};
use crate::metadata::json::MAX_DOCUMENT_SIZE;
use crate::metadata::{GroupMetadata, Node, NodePath};
use crate::store::{Precondition, Span, Store, join, put_bytes};

/// The name of a node's metadata document.
pub const DOCUMENT: &str = "zarr.json";

/// Reads the node at `path`; `None` if there is none.
///
/// # Errors
/// `InvalidMetadata` with the document's key; `InvalidArgument` for an impossible path; `Io`.
pub fn read_node(store: &dyn Store, path: &str) -> Result<Option<Node>> {
    let key = NodePath::parse(path)?.key(DOCUMENT);
    let read = || {
        let Some(object) = store.open(&key).now()? else { return Ok(None) };
        let piece = object.read(Span::Whole(MAX_DOCUMENT_SIZE as u64), Vec::new()).now()?;
        piece.map(|piece| Node::from_bytes(piece.bytes.as_slice())).transpose()
    };
    read().context("key", || &key)
}

/// Checks that a node may be created at `path`: that its name is one and that no array is above.
///
/// # Errors
/// `InvalidArgument` if not; `InvalidMetadata` for a broken document above; `Io`.
pub fn check_place(store: &dyn Store, path: &str) -> Result<()> {
    nodes_above(store, &NodePath::parse(path)?).map(drop)
}

/// What is above a node to be created, the root first; never an array.
fn nodes_above(
    store: &dyn Store,
    path: &NodePath,
) -> Result<Vec<(NodePath, Option<GroupMetadata>)>> {
    path.check_creatable()?;
    let mut above = Vec::new();
    let mut parent = path.parent();
    while let Some(folder) = parent {
        parent = folder.parent();
        let group = match read_node(store, folder.as_str())? {
            Some(Node::Array(_)) => {
                return Err(Error::invalid_argument("a node cannot be inside an array")
                    .with("array", format!("/{}", folder.as_str())));
            }
            Some(Node::Group(group)) => Some(group),
            None => None,
        };
        above.push((folder, group));
    }
    above.reverse();
    Ok(above)
}

/// Writes the document of a new node at `path`, and groups above it where there are none.
/// Consolidated metadata of the groups above, which the new node makes stale, is dropped before.
///
/// # Errors
/// `AlreadyExists` if there is a node already, `InvalidArgument` for a path that no node may have
/// or one below an array, `Io`.
pub fn create_node(store: &dyn Store, path: &str, node: &Node) -> Result<()> {
    let path = NodePath::parse(path)?;
    // The root first: whatever happens on the way, every group can be reached.
    for (folder, group) in nodes_above(store, &path)? {
        match group {
            Some(group) if group.consolidated.is_some() => drop_consolidated(store, &folder)?,
            Some(_) => {}
            None => match put_node(store, &folder, &Node::Group(GroupMetadata::default())) {
                // Another writer was quicker.
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                other => other?,
            },
        }
    }
    put_node(store, &path, node)
}

/// How often a document that keeps changing is read anew before giving up.
const ATTEMPTS: usize = 100;

/// Takes consolidated metadata out of a group below which something changes: readers that trust it
/// would not see that. Without it they list the store. A change that somebody else makes to the
/// document at the same time is kept.
fn drop_consolidated(store: &dyn Store, path: &NodePath) -> Result<()> {
    let key = path.key(DOCUMENT);
    let attempt = || -> Result<()> {
        let Some(object) = store.open(&key).now()? else { return Ok(()) };
        let piece = object.read(Span::Whole(MAX_DOCUMENT_SIZE as u64), Vec::new()).now()?;
        let Some(piece) = piece else { return Ok(()) };
        let Node::Group(group) = Node::from_bytes(piece.bytes.as_slice())? else { return Ok(()) };
        let document = Node::Group(GroupMetadata { consolidated: None, ..group }).to_bytes();
        let unchanged = object.version().map_or(Precondition::None, Precondition::Unchanged);
        put_bytes(store, &key, &document, unchanged)
    };
    let mut outcome = attempt();
    for _ in 1..ATTEMPTS {
        match &outcome {
            Err(error) if error.kind() == Kind::Conflict => outcome = attempt(),
            _ => break,
        }
    }
    outcome.context("key", || &key)
}

/// Writes the document of a node that is not there yet; nothing above it is looked at.
pub(crate) fn put_node(store: &dyn Store, path: &NodePath, node: &Node) -> Result<()> {
    let key = path.key(DOCUMENT);
    let document = node.to_bytes();
    put_bytes(store, &key, &document, Precondition::Absent).map_err(|error| {
        if error.kind() == Kind::Conflict {
            return Error::already_exists("there is a node already").with("key", &key);
        }
        error
    })
}

/// A child of a group, or what is wrong with it.
pub type Child = (String, Result<Node>);

/// The nodes directly below `path`, sorted by name. Folders without a document are no members; a
/// broken document is given as its error.
///
/// # Errors
/// `Io` if the store cannot be listed.
pub fn children(store: &dyn Store, path: &str) -> Result<Vec<Child>> {
    let mut children = Vec::new();
    for name in store.list(path).now()?.prefixes {
        // Names with two underscores in front are reserved.
        if name.starts_with("__") {
            continue;
        }
        match read_node(store, &join(path, &name)) {
            Ok(Some(node)) => children.push((name, Ok(node))),
            Ok(None) => {}
            Err(error) => children.push((name, Err(error))),
        }
    }
    Ok(children)
}
