//! Consolidated metadata: the documents of all nodes below a group in one.
//!
//! Implements "Consolidated metadata" of the Zarr v3 core specification, and the `.zmetadata` of v2,
//! in the forms that zarr-python writes.

use serde_json::{Map, Value, json};

use super::document::{self, DOCUMENT, edit};
use super::traverse::{DEEPEST, Step, Walk};
use super::{Stored, read_node};
use crate::error::{Error, Result, ResultExt as _};
use crate::metadata::{Format, GroupMetadata, Node, NodePath, json};
use crate::store::{self, Precondition, Store, find, put_bytes};
use crate::v2;
use crate::wait::wait;

/// The nodes below the group at `path`, by their path relative to it, that its consolidated metadata
/// names; `None` if it has none.
///
/// # Errors
/// `InvalidMetadata` with the document's key; `Io`.
pub fn read_consolidated(
    store: &dyn Store,
    path: &str,
    group: &GroupMetadata,
) -> Result<Option<Vec<(String, Node)>>> {
    if group.format == Format::V3 {
        return Ok(group.consolidated.clone());
    }
    let key = NodePath::parse(path)?.key(v2::CONSOLIDATED);
    let document = wait(document::read(store, &key))?;
    let nodes = document.map(|document| v2::consolidated_from_json(&document.value()?)).transpose();
    nodes.context("key", || key)
}

/// Gathers the documents of all nodes below the group at `path` into its consolidated metadata, which
/// readers may trust instead of listing the store; the number of nodes. What others change meanwhile
/// may be missing from it.
///
/// # Errors
/// `NotFound` if there is no group; `InvalidMetadata` for a broken document below it; `Unsupported` if
/// not all nodes are of the group's format; `Io`.
pub fn consolidate(store: &dyn Store, path: &str) -> Result<usize> {
    let path = NodePath::parse(path)?;
    let group = match read_node(store, path.as_str())? {
        Some(Node::Group(group)) => group,
        Some(Node::Array(_)) => return Err(no_group(&path, "there is an array, not a group")),
        None => return Err(no_group(&path, "there is no group")),
    };
    let mut nodes = Vec::new();
    for step in Walk::new(store, &path, DEEPEST)? {
        let Step { path: below, node, .. } = step?;
        let (node, stored) = node?;
        if node.format() != group.format {
            return Err(Error::unsupported(format!(
                "not supported: consolidated metadata of {} for nodes of {}",
                group.format,
                node.format()
            ))
            .at_node(below));
        }
        let relative = below.as_str().get(path.prefix().len()..).unwrap_or_default().to_owned();
        nodes.push((relative, node, stored));
    }
    // The order of zarr-python: by depth, then by name in small letters.
    nodes.sort_by_cached_key(|(path, ..)| (path.matches('/').count(), path.to_lowercase()));
    let count = nodes.len();
    match group.format {
        Format::V3 => put_v3(store, &path, nodes)?,
        Format::V2 => put_v2(store, &path, &group, nodes)?,
    }
    Ok(count)
}

#[cold]
fn no_group(path: &NodePath, message: &str) -> Error {
    Error::not_found(message).at_node(path)
}

/// A node to be named, by its path relative to the group.
type Gathered = (String, Node, Stored);

fn put_v3(store: &dyn Store, path: &NodePath, nodes: Vec<Gathered>) -> Result<()> {
    let document = |(path, node, stored)| {
        let document = match (node, stored) {
            // Groups below say that they are empty, as this is where their members are named.
            (Node::Group(group), _) => {
                GroupMetadata { consolidated: Some(Vec::new()), ..group }.to_json()
            }
            // Arrays as they are stored, to the letter.
            (_, Stored::V3(document)) => document.value()?,
            (node, Stored::V2 { .. }) => node.to_json(),
        };
        Ok((path, document))
    };
    let metadata: Map<String, Value> = nodes.into_iter().map(document).collect::<Result<_>>()?;
    let consolidated = json!({
        "kind": "inline", "must_understand": false, "metadata": metadata
    });
    edit(store, &path.key(DOCUMENT), |mut document| {
        let Some(members) = document.as_object_mut() else {
            return Err(no_group(path, "the group is gone"));
        };
        members.insert("consolidated_metadata".into(), consolidated.clone());
        Ok(Some(document))
    })
}

fn put_v2(
    store: &dyn Store,
    path: &NodePath,
    group: &GroupMetadata,
    nodes: Vec<Gathered>,
) -> Result<()> {
    let mut metadata = Map::new();
    metadata.insert(v2::GROUP.into(), json!({"zarr_format": 2}));
    metadata.insert(v2::ATTRIBUTES.into(), group.attributes.clone().into());
    for (path, node, stored) in nodes {
        let Stored::V2 { name, document, .. } = stored else { continue };
        let attributes = node.attributes().clone();
        let document = match node {
            Node::Array(_) => document.value()?,
            // What zarr-python makes of a group, to the letter.
            Node::Group(_) => json!({"zarr_format": 2, "consolidated_metadata": {
                "metadata": {}, "must_understand": false, "kind": "inline",
            }}),
        };
        metadata.insert(format!("{path}/{}", v2::ATTRIBUTES), attributes.into());
        metadata.insert(format!("{path}/{name}"), document);
    }
    let document = json!({"metadata": metadata, "zarr_consolidated_format": 1});
    put_bytes(store, &path.key(v2::CONSOLIDATED), &json::to_vec(&document), Precondition::None)
}

/// Takes consolidated metadata out of a group below which something changes: readers that trust it
/// would not see that. Without it they list the store. A change that somebody else makes to the
/// document at the same time is kept.
pub(super) fn drop_consolidated(store: &dyn Store, path: &NodePath, format: Format) -> Result<()> {
    if format == Format::V2 {
        let key = path.key(v2::CONSOLIDATED);
        // Looking is cheaper than deleting what is mostly not there.
        return match find(store, &key).wait()? {
            Some(_) => store::delete(store, &key),
            None => Ok(()),
        };
    }
    edit(store, &path.key(DOCUMENT), |mut document| {
        let member = document
            .as_object_mut()
            .and_then(|members| members.shift_remove("consolidated_metadata"));
        Ok(member.map(|_| document))
    })
}
