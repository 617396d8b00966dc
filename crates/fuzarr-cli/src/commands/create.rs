//! `fuzarr create`.

use super::Outcome;
use crate::arguments::Create;
use crate::create;
use crate::location;
use fuzarr::codec::Registry;
use fuzarr::metadata::{ArrayMetadata, Format, GroupMetadata, Node, NodePath, json};
use fuzarr::store::{Address, AddressOptions, MemoryStore};
use fuzarr::{Array, Error, Existing, Result, creation, hierarchy, v2};
use serde_json::Map;
use std::path::Path;
use std::sync::Arc;

pub(super) fn run(arguments: &Create, options: &AddressOptions) -> Result<Outcome> {
    let place = match arguments.overwrite {
        true => location::replaced(&arguments.location)?,
        false => location::new(&arguments.location)?,
    };
    let format = format(arguments, &place, options)?;
    let node = match &arguments.metadata {
        Some(file) => from_file(file),
        None if arguments.group => {
            create::group(arguments).and_then(|group| Node::from_json(&group))
        }
        None => create::document(arguments, format.unwrap_or_default())
            .and_then(|document| Node::from_json(&document)),
    };
    let checked = node.and_then(|node| in_format(node, format)).and_then(|node| {
        NodePath::parse(&place.path)?.check_creatable()?;
        check(&node, &place.path)?;
        Ok(node)
    });
    // Nothing is stored yet: what is wrong is what was asked for.
    let node = checked.map_err(|error| {
        if super::is_damage(&error) { Error::invalid_argument(error.to_string()) } else { error }
    })?;
    let opened = place.root.open(&AddressOptions { create: true, ..options.clone() })?;
    let existing = Existing::overwritten(arguments.overwrite);
    creation::create(&*opened.store, &place.path, &node, existing).map_err(super::ways_out)?;
    opened.close()?;
    Ok(Outcome::Fine)
}

/// A node from a metadata document in a file, or in standard input for `-`.
fn from_file(file: &Path) -> Result<Node> {
    let parse = |bytes: &[u8]| {
        let document = json::parse(bytes)?;
        if document["zarr_format"] != 2 {
            return Node::from_json(&document);
        }
        if document.get("shape").is_none() {
            return v2::group_from_json(&document, Map::new()).map(Node::Group);
        }
        let array = v2::array_from_json(&document, Map::new())?;
        Ok(Node::Array(Box::new(array)))
    };
    let bytes = super::read_document(file)?;
    parse(&bytes).map_err(|error| error.with("file", file.display()))
}

/// The format that the node is to have, if that is decided: as asked, or that of the group it is in.
fn format(arguments: &Create, place: &Address, options: &AddressOptions) -> Result<Option<Format>> {
    match arguments.format {
        Some(format) => Ok(Some(format.into())),
        // A document says itself what it is.
        None if arguments.metadata.is_some() || location::is_new(&place.root) => Ok(None),
        None => hierarchy::format_above(&*place.root.open(options)?.store, &place.path),
    }
}

/// The same node in the format asked for.
fn in_format(node: Node, format: Option<Format>) -> Result<Node> {
    Ok(match (node, format) {
        (Node::Group(group), Some(format)) => Node::Group(GroupMetadata { format, ..group }),
        (Node::Array(array), Some(Format::V2)) => Node::Array(Box::new(v2::describe(&array)?)),
        (Node::Array(array), Some(Format::V3)) => {
            Node::Array(Box::new(ArrayMetadata { v2: None, ..*array }))
        }
        (node, None) => node,
    })
}

/// Checks that fuzarr can read and write what it is about to create.
fn check(node: &Node, path: &str) -> Result<()> {
    let Node::Array(metadata) = node else { return Ok(()) };
    let nowhere = Arc::new(MemoryStore::default());
    Array::new(nowhere, path, (**metadata).clone(), &Registry::default()).map(|_| ())
}
