//! `fuzarr info`.

use super::Outcome;
use crate::arguments::Info;
use crate::render::{ArrayInfo, GroupInfo, Storage};
use fuzarr::codec::Registry;
use fuzarr::dtype::{DataType, ElementLayout};
use fuzarr::grid::{ChunkKeyEncoding, RegularGrid};
use fuzarr::metadata::{ArrayMetadata, Node};
use fuzarr::store::{AddressOptions, Store};
use fuzarr::{Array, Error, Kind, Result, hierarchy, inspect};
use serde_json::Value;
use std::sync::Arc;

pub(super) fn run(arguments: &Info, options: &AddressOptions) -> Result<Outcome> {
    let (store, path) = super::find(&arguments.location, options)?;
    let name = super::name_of(&arguments.location);
    let node = hierarchy::read_node(&*store, &path)?;
    let node = node.ok_or_else(|| Error::not_found("there is no node").at_node(&path))?;
    let mut document = node.to_json();
    document["zarr_format"] = node.format().number().into();
    let (text, json, outcome) = match node {
        Node::Array(metadata) => {
            let (storage, missing) = array(store, &path, &metadata, arguments.deep)?;
            let info = ArrayInfo { name: &name, document: &document, storage, missing };
            (info.text(), info.json(), Outcome::Fine)
        }
        Node::Group(_) => {
            let (info, outcome) = group(&*store, &path, &name, &document)?;
            (info.text(), info.json(), outcome)
        }
    };
    if arguments.json {
        super::print_json(&json)?
    } else {
        super::print(&text)?
    }
    Ok(outcome)
}

fn group<'a>(
    store: &dyn Store,
    path: &str,
    name: &'a str,
    document: &'a Value,
) -> Result<(GroupInfo<'a>, Outcome)> {
    let mut info =
        GroupInfo { name, document, groups: Vec::new(), arrays: Vec::new(), broken: Vec::new() };
    let mut outcome = Outcome::Fine;
    for (name, node) in hierarchy::children(store, path)? {
        match node {
            Ok(Node::Group(_)) => info.groups.push(name),
            Ok(Node::Array(_)) => info.arrays.push(name),
            Err(error) => {
                if super::is_damage(&error) {
                    outcome = Outcome::Damaged;
                } else if outcome == Outcome::Fine {
                    outcome = Outcome::Unchecked;
                }
                info.broken.push((name, error.to_string()));
            }
        }
    }
    Ok((info, outcome))
}

/// What is stored of an array, and what fuzarr lacks to read it.
fn array(
    store: Arc<dyn Store>,
    path: &str,
    metadata: &ArrayMetadata,
    deep: bool,
) -> Result<(Option<Storage>, Vec<String>)> {
    let registry = Registry::default();
    match Array::new(Arc::clone(&store), path, metadata.clone(), &registry) {
        Ok(array) => {
            let found = array.storage(deep)?;
            let inner_chunks = found.inner_chunks.zip(found.possible_inner_chunks);
            let storage = Storage {
                decoded_bytes: decoded_bytes(metadata),
                bytes: found.bytes.into(),
                objects: found.objects.into(),
                possible_objects: found.possible_objects.into(),
                inner_chunks: inner_chunks.map(|(some, all)| (some.into(), all.into())),
            };
            Ok((Some(storage), Vec::new()))
        }
        Err(error) if is_lack(&error) => {
            let mut missing = lacks(metadata, &registry);
            if missing.is_empty() {
                missing.push(error.message().to_owned());
            }
            Ok((listed(&*store, path, metadata)?, missing))
        }
        Err(error) => Err(error),
    }
}

/// Whether the metadata is sound, but asks for more than fuzarr can do.
fn is_lack(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unsupported | Kind::Limit)
}

/// Everything that fuzarr lacks to read the array.
fn lacks(metadata: &ArrayMetadata, registry: &Registry) -> Vec<String> {
    let codecs = metadata.codecs.iter().filter(|codec| codec.must_understand);
    let codecs = codecs.map(|codec| registry.codec(codec).err());
    let others = [
        DataType::from_extension(&metadata.data_type).err(),
        RegularGrid::from_extension(&metadata.chunk_grid, &metadata.shape).err(),
        ChunkKeyEncoding::from_extension(&metadata.chunk_key_encoding).err(),
    ];
    let errors = others.into_iter().chain(codecs).flatten().filter(is_lack);
    errors.map(|error| error.message().to_owned()).collect()
}

/// What is stored of an array that cannot be read, as far as its chunks can be told by their keys.
fn listed(store: &dyn Store, path: &str, metadata: &ArrayMetadata) -> Result<Option<Storage>> {
    let grid = RegularGrid::from_extension(&metadata.chunk_grid, &metadata.shape);
    let keys = ChunkKeyEncoding::from_extension(&metadata.chunk_key_encoding);
    let (Ok(grid), Ok(keys)) = (grid, keys) else { return Ok(None) };
    let grid = grid.chunks_per_dimension(&metadata.shape);
    let objects = inspect::stored_objects(store, path, keys, &grid)?;
    Ok(Some(Storage {
        decoded_bytes: decoded_bytes(metadata),
        bytes: objects.iter().map(|object| u128::from(object.size)).sum(),
        objects: objects.len() as u128,
        possible_objects: product(&grid).unwrap_or(u128::MAX),
        inner_chunks: None,
    }))
}

fn decoded_bytes(metadata: &ArrayMetadata) -> Option<u128> {
    match DataType::from_extension(&metadata.data_type).ok()?.layout() {
        ElementLayout::Fixed(size) => product(&metadata.shape)?.checked_mul(size as u128),
        ElementLayout::Variable => None,
    }
}

fn product(lengths: &[u64]) -> Option<u128> {
    // A length of 0 makes the product 0 even where others before it overflow.
    if lengths.contains(&0) {
        return Some(0);
    }
    lengths.iter().try_fold(1_u128, |product, &length| product.checked_mul(length.into()))
}
