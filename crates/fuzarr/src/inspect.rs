//! What is stored of an array, and whether it is sound.

use std::collections::HashMap;
use std::sync::Arc;

use crate::array::Array;
use crate::dtype::{DataType, fill_from_json};
use crate::error::{Error, Result};
use crate::exec;
use crate::grid::{ChunkKeyEncoding, RegularGrid};
use crate::metadata::{ArrayMetadata, Node, NodePath};
use crate::plan::{Layout, ReadOptions, ReadPlan};
use crate::selection::{Selection, Term};
use crate::store::{Store, join};

/// What is stored of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Storage {
    /// Bytes of all stored objects.
    pub bytes: u64,
    /// Objects (chunks or shards) that are stored.
    pub objects: u64,
    /// Objects that the array has room for.
    pub possible_objects: u64,
    /// Inner chunks that are stored, if they were counted and the array is sharded.
    pub inner_chunks: Option<u64>,
    /// Inner chunks that the stored and missing objects have room for, if the array is sharded.
    pub possible_inner_chunks: Option<u64>,
}

/// What [`Array::verify`] found.
#[derive(Debug, Default)]
pub struct Verification {
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is damaged: errors with key, inner chunk and codec.
    pub damage: Vec<Error>,
}

/// A stored object of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its position in the chunk grid.
    pub chunk: Vec<u64>,
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The stored objects of an array at `path` whose chunks are named by `keys` and numbered below
/// `grid`, in the order of the grid; by listing the store. The array's codecs play no part, so it
/// need not be one that fuzarr can read.
///
/// # Errors
/// `Io` if the store cannot be listed, `InvalidArgument` for an impossible path.
pub fn stored_objects(
    store: &dyn Store,
    path: &str,
    keys: ChunkKeyEncoding,
    grid: &[u64],
) -> Result<Vec<StoredObject>> {
    search(store, path, keys, grid).map(|found| found.objects)
}

/// The stored objects that would be chunks of an array of any shape of so many dimensions, see
/// [`stored_objects`].
///
/// # Errors
/// As [`stored_objects`].
pub(crate) fn objects_anywhere(
    store: &dyn Store,
    path: &str,
    keys: ChunkKeyEncoding,
    rank: usize,
) -> Result<Vec<StoredObject>> {
    stored_objects(store, path, keys, &vec![u64::MAX; rank])
}

/// What a search found.
#[derive(Debug, Default)]
struct Found {
    /// In the order of the grid.
    objects: Vec<StoredObject>,
    /// Keys of what is no object in the place of one, and no folder in the place of one that leads to
    /// objects, with what is there.
    misplaced: Vec<(String, &'static str)>,
}

const FOLDER: &str = "a folder is in the place of a chunk";
const OBJECT: &str = "a file is in the place of a folder of chunks";
const OTHER: &str = "a link that leads nowhere or out of the store, or a pipe or a device, is in the \
                     place of a chunk or of a folder of chunks";

fn search(store: &dyn Store, path: &str, keys: ChunkKeyEncoding, grid: &[u64]) -> Result<Found> {
    let prefix = NodePath::parse(path)?.prefix();
    let mut search = Search { store, prefix, keys, grid, found: Found::default() };
    search.collect(path)?;
    let mut found = search.found;
    found.objects.sort_unstable_by(|one, other| one.chunk.cmp(&other.chunk));
    Ok(found)
}

/// A search for the chunks of an array among the keys below it.
struct Search<'a> {
    store: &'a dyn Store,
    prefix: String,
    keys: ChunkKeyEncoding,
    grid: &'a [u64],
    found: Found,
}

impl Search<'_> {
    /// Which chunk this is the key of.
    fn chunk(&self, key: &str) -> Option<Vec<u64>> {
        let chunk = self.keys.parse_key(key.strip_prefix(&self.prefix)?, self.grid.len())?;
        self.is_inside(&chunk).then_some(chunk)
    }

    /// Whether keys of chunks may lie below `folder`: whether it can be completed to one.
    fn may_lead(&self, folder: &str) -> bool {
        let Some(start) = folder.strip_prefix(&self.prefix) else { return false };
        (1..=self.grid.len()).any(|missing| {
            let key = format!("{start}{}", "/0".repeat(missing));
            self.keys.parse_key(&key, self.grid.len()).is_some_and(|chunk| self.is_inside(&chunk))
        })
    }

    fn is_inside(&self, chunk: &[u64]) -> bool {
        chunk.iter().zip(self.grid).all(|(at, extent)| at < extent)
    }

    fn collect(&mut self, folder: &str) -> Result<()> {
        let listing = self.store.list(folder).wait()?;
        for (name, size) in listing.objects {
            let key = join(folder, &name);
            match self.chunk(&key) {
                Some(chunk) => self.found.objects.push(StoredObject { chunk, key, size }),
                None if self.may_lead(&key) => self.found.misplaced.push((key, OBJECT)),
                None => {}
            }
        }
        for name in listing.others {
            let key = join(folder, &name);
            if self.chunk(&key).is_some() || self.may_lead(&key) {
                self.found.misplaced.push((key, OTHER));
            }
        }
        for name in listing.prefixes {
            let below = join(folder, &name);
            if self.chunk(&below).is_some() {
                self.found.misplaced.push((below, FOLDER));
            } else if self.may_lead(&below) {
                self.collect(&below)?;
            }
        }
        Ok(())
    }
}

impl Array {
    /// The stored objects of the array's grid, by listing the store.
    ///
    /// # Errors
    /// `Io` if the store cannot be listed.
    pub fn stored_objects(&self) -> Result<Vec<StoredObject>> {
        let layout = self.layout();
        stored_objects(&**self.store(), self.path(), layout.keys, &layout.grid())
    }

    /// What is stored. Lists the store; with `deep`, also reads the index of every shard.
    ///
    /// # Errors
    /// `Io`; with `deep`, `Corrupt` for a damaged index.
    pub fn storage(&self, deep: bool) -> Result<Storage> {
        let objects = self.stored_objects()?;
        let layout = self.layout();
        let product = |extents: &[u64]| {
            extents.iter().fold(1_u64, |product, &extent| product.saturating_mul(extent))
        };
        let mut storage = Storage {
            bytes: objects.iter().fold(0, |sum, object| object.size.saturating_add(sum)),
            objects: objects.len() as u64,
            possible_objects: product(&layout.grid()),
            ..Storage::default()
        };
        if let Some(inner) = self.inner_chunk_shape() {
            let per_object =
                self.chunk_shape().iter().zip(inner).map(|(extent, chunk)| extent / chunk);
            let per_object = product(&per_object.collect::<Vec<_>>());
            storage.possible_inner_chunks =
                Some(per_object.saturating_mul(storage.possible_objects));
            if deep && objects.is_empty() {
                storage.inner_chunks = Some(0);
            } else if deep {
                let plan = self.object_plan(&ReadOptions::from_environment()?)?;
                let chunks: Vec<_> = objects.iter().map(|object| &object.chunk[..]).collect();
                storage.inner_chunks = Some(exec::survey(&plan, &**self.store(), &chunks)?);
            }
        }
        Ok(storage)
    }

    /// A plan that reads an object whole, what lies beyond the array's edge included: the first, as
    /// an example of all.
    fn object_plan(&self, options: &ReadOptions) -> Result<ReadPlan> {
        let extents = self.chunk_shape();
        let padded = self.layout().grid().into_iter().zip(extents).map(|(count, &extent)| {
            count
                .checked_mul(extent)
                .ok_or_else(|| Error::limit("the array's last chunk ends beyond 2^64"))
        });
        let shape = padded.collect::<Result<Vec<_>>>()?;
        let first = Selection::Blocks(vec![Term::Index(0); shape.len()]);
        let resolved = first.resolve(&shape, extents)?;
        let layout = Arc::new(Layout { shape, ..(**self.layout()).clone() });
        // Indexes are read anew: what a disk damages gets no new version.
        let options = ReadOptions { index_cache: false, ..options.clone() };
        ReadPlan::new(layout, resolved, options)
    }

    /// Reads every stored object, many at the same time: every index entry, checksum and size is
    /// checked, every chunk decoded. `progress` is told of each object before it is read. What is no object in the place
    /// of one, which reading takes for a chunk that is not stored, counts as damage.
    ///
    /// # Errors
    /// `Io` if the store cannot be listed, `Limit` if the last chunk ends beyond 2^64; what is wrong with the data is in the result. `InvalidArgument` for an environment
    /// that makes no sense.
    pub fn verify(&self, progress: impl FnMut(&StoredObject) + Send) -> Result<Verification> {
        self.verify_with(&ReadOptions::from_environment()?, progress)
    }

    /// As [`verify`](Self::verify), with other options than those of the environment. Indexes are
    /// read anew whatever they say.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_with(
        &self,
        options: &ReadOptions,
        mut progress: impl FnMut(&StoredObject) + Send,
    ) -> Result<Verification> {
        let mut found = Verification::default();
        let layout = self.layout();
        let stored = search(&**self.store(), self.path(), layout.keys, &layout.grid())?;
        for (key, what) in stored.misplaced {
            found.damage.push(Error::corrupt(what).with("key", key));
        }
        let objects = stored.objects;
        found.objects = objects.len() as u64;
        found.bytes = objects.iter().fold(0, |sum, object| object.size.saturating_add(sum));
        if objects.is_empty() {
            return Ok(found);
        }
        let plan = self.object_plan(options)?;
        let chunks: Vec<_> = objects.iter().map(|object| &object.chunk[..]).collect();
        let mut begun = |number: usize| progress(&objects[number]);
        let mut damage = exec::check(&plan, &**self.store(), &chunks, &mut begun);
        // Objects were read in any order.
        let places: HashMap<_, _> = objects.iter().map(|it| it.key.as_str()).zip(0..).collect();
        damage.sort_by_key(|error| error.context("key").and_then(|key| places.get(key)).copied());
        found.damage.append(&mut damage);
        Ok(found)
    }
}

/// What two descriptions of a node differ in, by the name of a member, `attributes` if in nothing else;
/// `None` if they mean the same. What
/// is written in another way, as programs do with defaults, is no difference; configurations of codecs
/// and what documents say beyond the specification are not compared.
#[must_use]
pub fn difference(one: &Node, other: &Node) -> Option<&'static str> {
    let attributes = (one.attributes() != other.attributes()).then_some("attributes");
    if one.format() != other.format() {
        return Some("zarr_format");
    }
    let (one, other) = match (one, other) {
        (Node::Array(one), Node::Array(other)) => (one, other),
        (Node::Group(_), Node::Group(_)) => return attributes,
        _ => return Some("node_type"),
    };
    let data_type = |array: &ArrayMetadata| DataType::from_extension(&array.data_type).ok();
    let fill = |array: &ArrayMetadata| fill_from_json(data_type(array)?, &array.fill_value).ok();
    let grid =
        |array: &ArrayMetadata| RegularGrid::from_extension(&array.chunk_grid, &array.shape).ok();
    let keys =
        |array: &ArrayMetadata| ChunkKeyEncoding::from_extension(&array.chunk_key_encoding).ok();
    let codecs = |array: &ArrayMetadata| -> Vec<String> {
        array.codecs.iter().map(|codec| codec.name.clone()).collect()
    };
    let names = |array: &ArrayMetadata| array.dimension_names.clone().unwrap_or_default();
    let differences = [
        ("shape", one.shape != other.shape),
        ("data_type", data_type(one) != data_type(other)),
        ("fill_value", fill(one) != fill(other)),
        ("chunk_grid", grid(one) != grid(other)),
        ("chunk_key_encoding", keys(one) != keys(other)),
        ("codecs", codecs(one) != codecs(other)),
        ("dimension_names", names(one).iter().flatten().ne(names(other).iter().flatten())),
    ];
    differences.into_iter().find_map(|(name, differs)| differs.then_some(name)).or(attributes)
}

/// Bytes of everything that is stored below `path`, documents and what is no part of an array included.
///
/// # Errors
/// `Io` if the store cannot be listed.
pub fn stored_bytes(store: &dyn Store, path: &str) -> Result<u64> {
    let listing = store.list(path).wait()?;
    let mut bytes = listing.objects.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
    for name in &listing.prefixes {
        bytes = bytes.saturating_add(stored_bytes(store, &join(path, name))?);
    }
    Ok(bytes)
}
