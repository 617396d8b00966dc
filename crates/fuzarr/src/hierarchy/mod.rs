//! Nodes in a store: found, read, created, changed, moved and deleted; groups walked.
//!
//! Implements "Hierarchy" of the Zarr v3 core specification: a node is where a `zarr.json` is, or in
//! Zarr v2 a `.zarray` or `.zgroup`, and nothing is a group without one.

mod change;
mod consolidated;
mod document;
mod traverse;

pub(crate) use change::{Own, delete_documents, is_link, own_nodes};
pub use change::{REMOVAL, delete_node, forget, rename_node, update_attributes};
pub use consolidated::{consolidate, read_consolidated};
pub use document::{DOCUMENT, document_at, document_name};
pub(crate) use document::{edit, stored_documents};
pub use traverse::{DEEPEST, Traverse, Visit, traverse};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use self::consolidated::drop_consolidated;
use self::document::{Stored, already_there, documents};
use crate::error::{Error, Kind, Result};
use crate::metadata::{Format, GroupMetadata, Node, NodePath};
use crate::store::{Precondition, Store, join, put_bytes};
use crate::v2;
use crate::wait::{unless_ended, wait};

/// Reads the node at `path`; `None` if there is none. Where documents of both formats are, that of v3
/// counts.
///
/// # Errors
/// `InvalidMetadata` with the document's key; `InvalidArgument` for an impossible path; `Io`.
pub fn read_node(store: &dyn Store, path: &str) -> Result<Option<Node>> {
    let path = NodePath::parse(path)?;
    let stored = Stored::read(store, &path)?;
    stored.map(|stored| stored.node(&path)).transpose()
}

/// The format of the group that a node at `path` would be in: of the nearest one above; `None` if
/// there is none.
///
/// # Errors
/// As [`check_place`].
pub fn format_above(store: &dyn Store, path: &str) -> Result<Option<Format>> {
    let above = nodes_above(store, &NodePath::parse(path)?)?;
    Ok(above.into_iter().rev().find_map(|(_, group)| group).map(|group| group.format))
}

/// Checks that a node of `format` may be created at `path`: that its name is one, that no array is
/// above, and that the groups above are of the same format, or no program would find it.
///
/// # Errors
/// `InvalidArgument` if not; `InvalidMetadata` for a broken document above; `Io`.
pub fn check_place(store: &dyn Store, path: &str, format: Format) -> Result<()> {
    place(store, &NodePath::parse(path)?, format).map(drop)
}

/// A place above a node, and the group that is there.
type Above = (NodePath, Option<GroupMetadata>);

/// What is above a node to be created, the root first; never an array.
fn nodes_above(store: &dyn Store, path: &NodePath) -> Result<Vec<Above>> {
    path.check_creatable()?;
    let mut above = Vec::new();
    let mut parent = path.parent();
    while let Some(folder) = parent {
        parent = folder.parent();
        let group = match read_node(store, folder.as_str())? {
            Some(Node::Array(_)) => {
                return Err(
                    Error::invalid_argument("a node cannot be inside an array").at_node(&folder)
                );
            }
            Some(Node::Group(group)) => Some(group),
            None => None,
        };
        above.push((folder, group));
    }
    above.reverse();
    Ok(above)
}

fn place(store: &dyn Store, path: &NodePath, format: Format) -> Result<Vec<Above>> {
    let above = nodes_above(store, path)?;
    for (folder, group) in &above {
        if let Some(group) = group.as_ref().filter(|group| group.format != format) {
            return Err(Error::invalid_argument(format!(
                "a node of {format} cannot be inside a group of {}",
                group.format
            ))
            .at_node(folder));
        }
    }
    Ok(above)
}

/// Writes the documents of a new node at `path`, and groups above it where there are none.
/// Consolidated metadata of the groups above, which the new node makes stale, is dropped before. Chunks
/// that lie there are not looked for: [`creation::create`](crate::creation::create) does that.
///
/// # Errors
/// `AlreadyExists` if there is a node already, `InvalidArgument` for a path that no node may have
/// or one below an array or a group of another format, `Io`.
pub fn create_node(store: &dyn Store, path: &str, node: &Node) -> Result<()> {
    let path = NodePath::parse(path)?;
    create_groups_above(store, &path, node.format())?;
    put_node(store, &path, node)
}

/// Makes the groups above a node that is about to appear, see [`create_node`].
///
/// # Errors
/// As [`create_node`].
pub(crate) fn create_groups_above(
    store: &dyn Store,
    path: &NodePath,
    format: Format,
) -> Result<()> {
    create_groups(store, place(store, path, format)?, format)
}

/// Prepares the groups above a node that is about to appear: drops their consolidated metadata, and
/// makes those that are missing.
fn create_groups(store: &dyn Store, above: Vec<Above>, format: Format) -> Result<()> {
    // The root first: whatever happens on the way, every group can be reached.
    for (folder, group) in above {
        if let Some(group) = group {
            drop_consolidated(store, &folder, group.format)?;
            continue;
        }
        let group = Node::Group(GroupMetadata { format, ..GroupMetadata::default() });
        match put_documents(store, &folder, &group, Precondition::Absent) {
            // Another writer was quicker.
            Err(error) if error.kind() == Kind::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

/// Writes the documents of a node that is not there yet; nothing above it is looked at.
pub(crate) fn put_node(store: &dyn Store, path: &NodePath, node: &Node) -> Result<()> {
    // Attributes left over from a node that is no more give way to those of the new one.
    put_documents(store, path, node, Precondition::None)
}

/// Writes the documents of a node that is not there yet. With [`Precondition::Absent`], attributes that
/// are there stay: they may be those of a group that has lost its document.
fn put_documents(
    store: &dyn Store,
    path: &NodePath,
    node: &Node,
    attributes: Precondition,
) -> Result<()> {
    if let Some(key) = document_at(store, path.as_str())? {
        return Err(already_there(&key));
    }
    if let (Node::Group(_), Format::V2) = (node, node.format()) {
        // Left over from a group that is no more.
        drop_consolidated(store, path, Format::V2)?;
    }
    for (name, document) in documents(node) {
        let (key, is_attributes) = (path.key(name), name == v2::ATTRIBUTES);
        let precondition = if is_attributes { attributes.clone() } else { Precondition::Absent };
        match put_bytes(store, &key, &document, precondition) {
            Err(error)
                if error.kind() == Kind::Conflict
                    && is_attributes
                    && attributes == Precondition::Absent => {}
            Err(error) if error.kind() == Kind::Conflict => return Err(already_there(&key)),
            other => other?,
        }
    }
    Ok(())
}

/// A child of a group, or what is wrong with it.
pub type Child = (String, Result<Node>);

/// The nodes directly below `path`, sorted by name. Folders without a document are no members; a
/// broken document is given as its error, and so is a link out of the store. Consolidated metadata plays
/// no part.
///
/// # Errors
/// `Io` if the store cannot be listed.
pub fn children(store: &dyn Store, path: &str) -> Result<Vec<Child>> {
    let path = NodePath::parse(path)?;
    let members = members(store, &path)?.into_iter();
    let child = |(path, stored): Member| {
        let node = stored.and_then(|stored| stored.node(&path));
        (path.name().to_owned(), node)
    };
    Ok(members.map(child).collect())
}

/// A child of a group by its path, and what is stored of it.
type Member = (NodePath, Result<Stored>);

/// How many objects are asked for at the same time, where answers are awaited.
const AT_ONCE: usize = 64;

/// How many objects a store is asked for at the same time.
pub(crate) fn at_once(store: &dyn Store) -> usize {
    if store.capabilities().blocking { 1 } else { AT_ONCE }
}

/// What is stored of the nodes directly below `path`.
fn members(store: &dyn Store, path: &NodePath) -> Result<Vec<Member>> {
    let listing = store.list(path.as_str()).wait()?;
    // A link may lead to a node outside of the store: that it cannot be followed is told.
    let mut names = [listing.prefixes, listing.others].concat();
    names.sort_unstable();
    let paths = names.iter().filter_map(|name| NodePath::parse(&join(path.as_str(), name)).ok());
    let find = |path: NodePath| async move {
        let stored = Stored::find(store, &path).await;
        (path, stored)
    };
    let found = stream::iter(paths.map(find)).buffered(at_once(store)).map(Ok);
    let found: Vec<_> = wait(unless_ended(found.try_collect()))?;
    // Also names that are reserved, and not given to new nodes: other writers give them.
    let member = |(path, stored): (_, Result<_>)| Some((path, stored.transpose()?));
    Ok(found.into_iter().filter_map(member).collect())
}
