//! Creating arrays and groups, so that nothing that lies there already shows through.

use std::sync::Arc;

use crate::array::Array;
use crate::codec::Registry;
use crate::error::{Error, Result};
use crate::grid::ChunkKeyEncoding;
use crate::hierarchy;
use crate::inspect::{self, StoredObject};
use crate::metadata::{ArrayMetadata, Node, NodePath};
use crate::removal::{COPY_RECORD, Removal};
use crate::store::{self, Store, find};

/// What becomes of what is at the place of a new node: another node, or chunks that one left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays as it is, and nothing is created.
    #[default]
    Refuse,
    /// It is deleted: the node, all nodes below it, their chunks, and records of unfinished copies;
    /// nothing else that lies there.
    /// Links go, but not what they lead to. What cannot all be deleted, since a document is broken or
    /// a grid unknown, stays whole.
    Overwrite,
}

impl Existing {
    /// [`Overwrite`](Self::Overwrite) if that is what is asked for.
    #[must_use]
    pub fn overwritten(overwrite: bool) -> Self {
        if overwrite { Self::Overwrite } else { Self::Refuse }
    }
}

/// Writes the documents of a new node at `path`, and groups above it where there are none. Looks for
/// documents there and above; for an array, also lists what is below `path`: where a store cannot be
/// listed, [`hierarchy::create_node`] looks at documents alone.
///
/// # Errors
/// `AlreadyExists`, with the key, if there is a node, or there are chunks that would be the new
/// array's, also if it grew, and these are not to be overwritten; `InvalidArgument` for a path that no
/// node may have or one below an array or a group of another format; `InvalidMetadata` for broken
/// documents of what is to be deleted; `Io`.
pub fn create(store: &dyn Store, path: &str, node: &Node, existing: Existing) -> Result<()> {
    hierarchy::check_place(store, path, node.format())?;
    match existing {
        Existing::Refuse => check_free(store, path, node)?,
        Existing::Overwrite => {
            // What cannot be deleted whole is found out before anything is.
            let is_node = hierarchy::document_at(store, path)?.is_some();
            let found = if is_node { Removal::of } else { Removal::of_nothing };
            let mut removal = found(store, path)?;
            if let Node::Array(metadata) = node {
                removal.add(left_over(store, path, metadata)?)?;
            }
            if is_node {
                hierarchy::forget(store, path)?;
            }
            removal.run()?;
            // An unfinished copy would go on, or end, as if what it had made were still there.
            let record = NodePath::parse(path)?.key(COPY_RECORD);
            if find(store, &record).wait()?.is_some() {
                store::delete(store, &record)?;
            }
        }
    }
    hierarchy::create_node(store, path, node)
}

/// Checks that nothing is at `path` that would show up in `node`: no node, and of an array no chunks.
pub(crate) fn check_free(store: &dyn Store, path: &str, node: &Node) -> Result<()> {
    if let Some(document) = hierarchy::document_at(store, path)? {
        return Err(already_there(&document));
    }
    let Node::Array(metadata) = node else { return Ok(()) };
    match left_over(store, path, metadata)?.first() {
        None => Ok(()),
        Some(object) => Err(Error::already_exists(
            "here lie chunks of an array that is no more; overwriting deletes them",
        )
        .with("key", &object.key)),
    }
}

/// The error of a place that has a node, which this document tells.
pub(crate) fn already_there(document: &str) -> Error {
    Error::already_exists(
        "there is an array or group already; overwriting deletes it and all below it",
    )
    .with("key", document)
}

/// The stored objects that would be chunks of an array, if it were larger too: it may grow, and what
/// an unfinished copy into another layout has left is among them.
pub(crate) fn left_over(
    store: &dyn Store,
    path: &str,
    metadata: &ArrayMetadata,
) -> Result<Vec<StoredObject>> {
    let keys = ChunkKeyEncoding::from_extension(&metadata.chunk_key_encoding)?;
    inspect::objects_anywhere(store, path, keys, metadata.shape.len())
}

impl Array {
    /// Writes the metadata of a new array at `path`, and groups above it where there are none. What
    /// is there already is refused; [`ArrayBuilder::overwrite`](crate::ArrayBuilder::overwrite) and
    /// [`creation::create`](create) can do otherwise.
    ///
    /// # Errors
    /// Those of [`new`](Self::new) and [`creation::create`](create).
    pub fn create(store: Arc<dyn Store>, path: &str, metadata: ArrayMetadata) -> Result<Self> {
        Self::create_with(store, path, metadata, Existing::Refuse, &Registry::default())
    }

    /// As [`create`](Self::create), with codecs of the caller's own, and over what is there if that
    /// is asked for.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(
        store: Arc<dyn Store>,
        path: &str,
        metadata: ArrayMetadata,
        existing: Existing,
        registry: &Registry,
    ) -> Result<Self> {
        let array = Self::new(store, path, metadata, registry)?;
        let node = Node::Array(Box::new(array.metadata().clone()));
        create(&**array.store(), array.path(), &node, existing)?;
        Ok(array)
    }
}
