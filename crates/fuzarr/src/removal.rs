//! Deleting nodes with their chunks, and nothing else that may lie beside them.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::Result;
use crate::grid::{ChunkKeyEncoding, RegularGrid};
use crate::hierarchy::{self, Own};
use crate::inspect::{self, StoredObject};
use crate::metadata::{ArrayMetadata, Node, NodePath};
use crate::store::{self, Precondition, Store, find, settled};
use crate::v2;
use crate::wait::{unless_ended, wait};

/// The name of the record of an unfinished copy, below its destination.
pub(crate) const COPY_RECORD: &str = ".fuzarr-copy";

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

/// What is about to be deleted: nodes, their chunks, and links, but not what these lead to. All that
/// may be wrong with it is found out before anything is deleted.
#[derive(Debug)]
pub(crate) struct Removal<'a> {
    store: &'a dyn Store,
    path: NodePath,
    nodes: Vec<(NodePath, Result<Node>)>,
    /// Chunks that lie below the path.
    objects: Vec<StoredObject>,
    links: Vec<String>,
    /// Folders of chunks, and whether they are links.
    folders: HashMap<String, bool>,
}

impl<'a> Removal<'a> {
    /// A removal of what is yet to be added, at `path` and below.
    ///
    /// # Errors
    /// `InvalidArgument` for an impossible path.
    pub(crate) fn of_nothing(store: &'a dyn Store, path: &str) -> Result<Self> {
        Ok(Self {
            store,
            path: NodePath::parse(path)?,
            nodes: Vec::new(),
            objects: Vec::new(),
            links: Vec::new(),
            folders: HashMap::new(),
        })
    }

    /// Finds the node at `path`, if there is one, all nodes below it, and their chunks.
    ///
    /// # Errors
    /// Those of [`chunks`], for any array; `InvalidMetadata` for a broken document; `Limit` for groups
    /// that are nested too deep; `Io`.
    pub(crate) fn of(store: &'a dyn Store, path: &str) -> Result<Self> {
        let mut removal = Self::of_nothing(store, path)?;
        let Own { nodes, links } = hierarchy::own_nodes(store, &removal.path)?;
        removal.links.extend(links.iter().map(|link| link.as_str().to_owned()));
        for (path, node) in nodes {
            let node = node.map_err(|error| error.at_node(&path))?;
            if let Node::Array(metadata) = &node {
                removal.add(chunks(store, path.as_str(), metadata)?)?;
            }
            removal.nodes.push((path, Ok(node)));
        }
        Ok(removal)
    }

    /// Adds stored objects below the path, which may be among those found already.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn add(&mut self, objects: Vec<StoredObject>) -> Result<()> {
        for object in objects {
            match self.link_above(&object.key)? {
                None => self.objects.push(object),
                Some(link) if self.links.contains(&link) => {}
                Some(link) => self.links.push(link),
            }
        }
        Ok(())
    }

    /// The outermost link from the path on the way to `key`; `None` if it lies below the path.
    fn link_above(&mut self, key: &str) -> Result<Option<String>> {
        let start = self.path.as_str().len();
        for (end, _) in key.match_indices('/').filter(|(end, _)| *end >= start) {
            let folder = key.get(..end).unwrap_or_default();
            let is_link = match self.folders.get(folder) {
                Some(&is_link) => is_link,
                None => {
                    let is_link = hierarchy::is_link(self.store, &NodePath::parse(folder)?)?;
                    self.folders.insert(folder.to_owned(), is_link);
                    is_link
                }
            };
            if is_link {
                return Ok(Some(folder.to_owned()));
            }
        }
        Ok(None)
    }

    /// Deletes what was found. All documents go before the first chunk: whatever happens on the way, no
    /// array that has lost chunks looks whole, and no group names what is gone.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn run(mut self) -> Result<()> {
        let store = self.store;
        hierarchy::delete_documents(store, &self.nodes)?;
        for (path, _) in &self.nodes {
            // What says nothing without them. A record at the place itself may be that of who deletes.
            let record = (*path != self.path).then_some(COPY_RECORD);
            for name in [v2::ATTRIBUTES, v2::CONSOLIDATED].into_iter().chain(record) {
                let key = path.key(name);
                if find(store, &key).wait()?.is_some() {
                    store::delete(store, &key)?;
                }
            }
        }
        for link in &self.links {
            settled(store, || store.delete_all(link).wait())?;
        }
        self.objects.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        self.objects.dedup_by(|one, other| one.key == other.key);
        let delete = || each(store, &self.objects, |it| store.delete(&it.key, Precondition::None));
        settled(store, delete).map(drop)
    }
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
