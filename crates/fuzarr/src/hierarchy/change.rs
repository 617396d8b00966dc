//! Nodes changed, deleted and renamed.

use serde_json::{Map, Value};

use super::consolidated::drop_consolidated;
use super::document::{DOCUMENT, already_there, document_at, edit};
use super::traverse::{Step, Walk};
use super::{create_groups, place, read_node};
use crate::error::{Error, Kind, Result};
use crate::metadata::{Format, Node, NodePath, json};
use crate::store::{self, Precondition, Store, find, join, put_bytes, settled};
use crate::v2;

/// Changes the attributes of the node at `path`, and nothing else of its documents; the attributes
/// after that. Where others change them at the same time, `change` is asked again, given theirs, so
/// that neither change is lost. Consolidated metadata that names them is dropped before.
///
/// # Errors
/// Those of `change`; `NotFound` if there is no node; `InvalidMetadata` if its documents are broken;
/// `Conflict` if they never stop changing; `Io`.
pub fn update_attributes(
    store: &dyn Store,
    path: &str,
    mut change: impl FnMut(&mut Map<String, Value>) -> Result<()>,
) -> Result<Map<String, Value>> {
    let path = NodePath::parse(path)?;
    let node = read_node(store, path.as_str())?.ok_or_else(|| no_node(&path))?;
    let mut changed = node.attributes().clone();
    change(&mut changed)?;
    // By text: values that count as equal, such as zeros of either sign, are not the same.
    let text = |attributes: &Map<String, Value>| json::to_vec(&attributes.clone().into());
    if text(node.attributes()) == text(&changed) {
        return Ok(changed);
    }
    forget(store, path.as_str())?;
    let mut update = |mut attributes: Map<String, Value>| -> Result<Value> {
        change(&mut attributes)?;
        changed.clone_from(&attributes);
        Ok(attributes.into())
    };
    if node.format() == Format::V3 {
        edit(store, &path.key(DOCUMENT), |mut document| {
            document["attributes"] = update(Node::from_json(&document)?.attributes().clone())?;
            Ok(Some(document))
        })?;
        return Ok(changed);
    }
    // In v2 consolidated metadata also names the attributes of the group that it is in.
    drop_consolidated(store, &path, Format::V2)?;
    edit(store, &path.key(v2::ATTRIBUTES), |document| match document {
        Value::Null => update(Map::new()).map(Some),
        other => update(v2::attributes_from_json(other)?).map(Some),
    })?;
    Ok(changed)
}

/// Drops the consolidated metadata of all groups above a node that is about to change.
///
/// # Errors
/// `InvalidMetadata` for a broken document above; `InvalidArgument` for an impossible path; `Io`.
pub fn forget(store: &dyn Store, path: &str) -> Result<()> {
    let mut parent = NodePath::parse(path)?.parent();
    while let Some(folder) = parent {
        if let Some(Node::Group(group)) = read_node(store, folder.as_str())? {
            drop_consolidated(store, &folder, group.format)?;
        }
        parent = folder.parent();
    }
    Ok(())
}

/// The name of an object that says that all beside it and below is being deleted. It comes after those of
/// chunks and nodes, in the order in which stores delete what is in a folder.
pub const REMOVAL: &str = "~fuzarr-removal";

/// Deletes the node at `path` and everything below that prefix, nodes or not.
///
/// The documents of all nodes go first, those deepest down before those of the groups they are in, and
/// the chunks only after the last: after a kill, what still opens is whole and can be reached, and
/// deleting again takes up the rest, which an object named [`REMOVAL`] tells from what was never a node.
/// Links to other places are deleted, not followed.
///
/// # Errors
/// `NotFound` if there is no node and no unfinished deletion of one; `Io`.
pub fn delete_node(store: &dyn Store, path: &str) -> Result<()> {
    let path = NodePath::parse(path)?;
    let mark = path.key(REMOVAL);
    if document_at(store, path.as_str())?.is_none() && find(store, &mark).wait()?.is_none() {
        return Err(no_node(&path));
    }
    let Own { nodes, links } = own_nodes(store, &path)?;
    forget(store, path.as_str())?;
    let all = || settled(store, || store.delete_all(path.as_str()).wait());
    if links.contains(&path) {
        return all();
    }
    // On a full disk there is no room for it: that is no reason not to delete.
    let _ = put_bytes(store, &mark, b"an unfinished `fuzarr rm`\n", Precondition::None);
    delete_documents(store, &nodes)?;
    if store.capabilities().blocking {
        // A folder would lose what lies in it before what is further down.
        for name in store.list(path.as_str()).wait()?.prefixes {
            settled(store, || store.delete_all(&join(path.as_str(), &name)).wait())?;
        }
    }
    all()
}

/// What is at a place and below it. What links lead to is somewhere else, and no part of it.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// Nodes, groups before their members, or what is wrong with them.
    pub(crate) nodes: Vec<(NodePath, Result<Node>)>,
    /// Links to nodes; the place itself, if it is one.
    pub(crate) links: Vec<NodePath>,
}

/// The nodes from `path` down, as far as they lie there.
///
/// # Errors
/// `Io` if the store cannot be listed.
pub(crate) fn own_nodes(store: &dyn Store, path: &NodePath) -> Result<Own> {
    let mut own = Own::default();
    let root = read_node(store, path.as_str()).transpose();
    if root.is_some() && is_link(store, path)? {
        own.links.push(path.clone());
        return Ok(own);
    }
    own.nodes.extend(root.map(|root| (path.clone(), root)));
    // Without a depth to end at: groups nested too deep are errors, and not left out.
    for step in Walk::new(store, path, usize::MAX)? {
        let Step { path, node, .. } = step?;
        if own.links.last().is_some_and(|link| path.as_str().starts_with(&link.prefix())) {
            continue;
        }
        if is_link(store, &path)? {
            own.links.push(path);
        } else {
            own.nodes.push((path, node.map(|(node, _)| node)));
        }
    }
    Ok(own)
}

/// Deletes the documents that make nodes, groups given before their members. No group that is left, if
/// this ends early, names one that is gone.
///
/// # Errors
/// `Io`.
pub(crate) fn delete_documents(
    store: &dyn Store,
    nodes: &[(NodePath, Result<Node>)],
) -> Result<()> {
    for (path, node) in nodes {
        if let Ok(Node::Group(group)) = node
            && (group.format == Format::V2 || group.consolidated.is_some())
        {
            drop_consolidated(store, path, group.format)?;
        }
    }
    for (path, _) in nodes.iter().rev() {
        // The document of v3, which hides the others, goes last.
        for key in [v2::ARRAY, v2::GROUP, DOCUMENT].map(|name| path.key(name)) {
            if find(store, &key).wait()?.is_some() {
                store::delete(store, &key)?;
            }
        }
    }
    Ok(())
}

/// Whether `path`, where something is, is a link to another place: then there is nothing that could be
/// moved. Moving it to where it is changes nothing either way.
pub(crate) fn is_link(store: &dyn Store, path: &NodePath) -> Result<bool> {
    if path.is_root() {
        return Ok(false);
    }
    match store.rename_all(path.as_str(), path.as_str()).wait() {
        Ok(()) => Ok(false),
        Err(error) => match error.kind() {
            Kind::NotFound => Ok(true),
            Kind::AlreadyExists | Kind::Unsupported => Ok(false),
            _ => Err(error),
        },
    }
}

/// Moves the node at `from`, with everything below it, to `to`, at which there must be nothing; groups
/// above are made where there are none. The move itself is one step: a kill leaves the node in one
/// place or the other, whole.
///
/// # Errors
/// `NotFound` if there is no node; `AlreadyExists` if something is at `to`; `InvalidArgument` for the
/// root, for a place inside the node itself, and as for [`create_node`](super::create_node);
/// `Unsupported` for stores that cannot move; `Io`.
pub fn rename_node(store: &dyn Store, from: &str, to: &str) -> Result<()> {
    let (from, to) = (NodePath::parse(from)?, NodePath::parse(to)?);
    let node = read_node(store, from.as_str())?.ok_or_else(|| no_node(&from))?;
    if from.is_root() || to.is_root() {
        return Err(Error::invalid_argument("the root of a store cannot be moved or replaced"));
    }
    if to == from || to.as_str().starts_with(&from.prefix()) {
        return Err(Error::invalid_argument("a node cannot be moved into itself")
            .at_node(&from)
            .with("to", format!("/{}", to.as_str())));
    }
    if let Some(key) = document_at(store, to.as_str())? {
        return Err(already_there(&key));
    }
    if !store.list(to.as_str()).wait()?.is_empty() {
        return Err(Error::already_exists("there is something at the new name").at_node(&to));
    }
    let above = place(store, &to, node.format())?;
    // To where it is: whether the store moves at all is found out before anything is changed.
    match store.rename_all(from.as_str(), from.as_str()).wait() {
        Err(error) if error.kind() == Kind::Unsupported => return Err(error.at_node(&from)),
        _ => {}
    }
    forget(store, from.as_str())?;
    create_groups(store, above, node.format())?;
    settled(store, || store.rename_all(from.as_str(), to.as_str()).wait())
}

#[cold]
fn no_node(path: &NodePath) -> Error {
    Error::not_found("there is no node").at_node(path)
}
