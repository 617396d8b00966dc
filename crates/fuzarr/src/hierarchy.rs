//! Nodes in a store: reading and creating metadata documents, and walking groups.
//!
//! Implements "Hierarchy" of the Zarr v3 core specification: a node is where a `zarr.json` is, and
//! nothing is a group without one.

use crate::error::{Error, Kind, Result, ResultExt};
use crate::metadata::{GroupMetadata, Node, NodePath};
use crate::store::{Precondition, Span, Store, join};

/// The name of a node's metadata document.
pub const DOCUMENT: &str = "zarr.json";

/// Reads the node at `path`; `None` if there is none.
///
/// # Errors
/// `InvalidMetadata` with the document's key; `InvalidArgument` for an impossible path; `Io`.
pub fn read_node(store: &dyn Store, path: &str) -> Result<Option<Node>> {
    NodePath::parse(path)?;
    let key = join(path, DOCUMENT);
    let read = || {
        let Some(object) = store.open(&key).now()? else { return Ok(None) };
        let Some(piece) = object.read(Span::Whole, Vec::new()).now()? else { return Ok(None) };
        Node::from_bytes(piece.bytes.as_slice()).map(Some)
    };
    read().context("key", || &key)
}

/// Writes the document of a new node at `path`, and groups above it where there are none.
///
/// # Errors
/// `AlreadyExists` if there is a node already, `InvalidArgument` for a path that no node may have
/// or one below an array, `Io`.
pub fn create_node(store: &dyn Store, path: &str, node: &Node) -> Result<()> {
    NodePath::parse(path)?.check_creatable()?;
    for (end, _) in path.match_indices('/').chain((!path.is_empty()).then_some((0, ""))) {
        let above = &path[..end];
        match read_node(store, above)? {
            Some(Node::Group(_)) => {}
            Some(Node::Array(_)) => {
                return Err(Error::invalid_argument("a node cannot be inside an array")
                    .with("array", above));
            }
            None => {
                put_node(store, above, &Node::Group(GroupMetadata::default())).or_else(|error| {
                    if error.kind() == Kind::AlreadyExists { Ok(()) } else { Err(error) }
                })?
            }
        }
    }
    put_node(store, path, node)
}

fn put_node(store: &dyn Store, path: &str, node: &Node) -> Result<()> {
    let key = join(path, DOCUMENT);
    let document = node.to_bytes();
    store.put(&key, &[&document], Precondition::Absent).now().map_err(|error| {
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
