//! Deleting nodes with their chunks, and nothing else that may lie beside them.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::{Error, Result};
use crate::grid::{ChunkKeyEncoding, RegularGrid};
use crate::hierarchy;
use crate::inspect::{self, StoredObject};
use crate::metadata::{ArrayMetadata, Node};
use crate::store::{self, Precondition, Store, find, join, settled};
use crate::v2;
use crate::wait::{unless_ended, wait};

/// The stored chunks of an array, which fuzarr need not be able to read.
///
/// # Errors
/// `Unsupported` or `InvalidMetadata` if it is not known how the array is cut or its chunks are
/// named; `Io` if the store cannot be listed.
pub(crate) fn chunks(
    store: &dyn Store,
    path: &str,
    metadata: &ArrayMetadata,
) -> Result<Vec<StoredObject>> {
    let grid = RegularGrid::from_extension(&metadata.chunk_grid, &metadata.shape)?;
    let keys = ChunkKeyEncoding::from_extension(&metadata.chunk_key_encoding)?;
    inspect::stored_objects(store, path, keys, &grid.chunks_per_dimension(&metadata.shape))
}

/// Deletes a node, all nodes below it and their chunks. Each document goes before its chunks:
/// whatever happens on the way, no array that has lost chunks looks whole.
///
/// # Errors
/// Those of [`chunks`], for any array; `InvalidMetadata` for a broken document below; `Io`.
pub(crate) fn delete_node(store: &dyn Store, path: &str, node: &Node) -> Result<()> {
    match node {
        Node::Array(metadata) => {
            let chunks = chunks(store, path, metadata)?;
            delete_documents(store, path)?;
            delete(store, &chunks)
        }
        Node::Group(_) => {
            delete_below(store, path)?;
            delete_documents(store, path)
        }
    }
}

/// Deletes all nodes below `path` and their chunks.
///
/// # Errors
/// As [`delete_node`].
pub(crate) fn delete_below(store: &dyn Store, path: &str) -> Result<()> {
    for (name, child) in hierarchy::children(store, path)? {
        let path = join(path, &name);
        let child = child.map_err(|error: Error| error.at_node(&path))?;
        delete_node(store, &path, &child)?;
    }
    Ok(())
}

/// Deletes the documents of a node of either format.
fn delete_documents(store: &dyn Store, path: &str) -> Result<()> {
    let documents = [v2::ARRAY, v2::GROUP, v2::ATTRIBUTES, v2::CONSOLIDATED, hierarchy::DOCUMENT];
    for key in documents.map(|name| join(path, name)) {
        if find(store, &key).wait()?.is_some() {
            store::delete(store, &key)?;
        }
    }
    Ok(())
}

/// Deletes stored objects.
///
/// # Errors
/// `Io`.
pub(crate) fn delete(store: &dyn Store, objects: &[StoredObject]) -> Result<()> {
    let delete = || each(store, objects, |object| store.delete(&object.key, Precondition::None));
    settled(store, delete).map(drop)
}

/// Asks a store something of each object, of many at the same time if its answers are awaited; the
/// answers, in order.
///
/// # Errors
/// The first that comes.
pub(crate) fn each<T, U, F: Future<Output = Result<U>>>(
    store: &dyn Store,
    objects: impl IntoIterator<Item = T>,
    ask: impl FnMut(T) -> F,
) -> Result<Vec<U>> {
    let asked = stream::iter(objects.into_iter().map(ask));
    wait(unless_ended(asked.buffered(hierarchy::at_once(store)).try_collect()))
}
