//! Plans: what has to happen for a request, as data and state machines.
//!
//! A plan does no I/O, starts no thread and never blocks. One stored object (an unsharded chunk or
//! a shard) is one [`Machine`]; an executor drives it, see [`crate::exec`].

pub(crate) mod budget;
mod cache;
mod counters;
mod machine;
mod objects;
mod pieces;
mod read;
mod transfer;
mod variable;
mod write;

pub use cache::{Cache, ChunkCache, IndexCache};
pub use counters::{Counters, FastPath};
pub use machine::{Commit, Machine, Purpose, Scratch, Step};
pub use objects::{Along, Memory, ObjectList};
pub(crate) use read::Aim;
pub use read::{Bounds, Explanation, Forecast, Network, ReadMachine, ReadOptions, ReadPlan};
pub use write::{Values, WriteMachine, WriteOptions, WritePlan};

use std::sync::Arc;

use smallvec::SmallVec;

use self::objects::Objects;
use crate::codec::Prepared;
use crate::grid::ChunkKeyEncoding;
use crate::selection::Resolved;

/// What a plan has to know of an array.
#[derive(Debug, Clone)]
pub struct Layout {
    /// What stands before each chunk's key, with its `/`.
    pub(crate) prefix: String,
    /// Extent of the array.
    pub(crate) shape: Vec<u64>,
    /// How keys are spelled.
    pub(crate) keys: ChunkKeyEncoding,
    /// The chain of one stored object.
    pub(crate) chain: Arc<Prepared>,
    /// How often each fast path was taken.
    pub(crate) counters: Arc<Counters>,
    /// Indexes of the array's shards.
    pub(crate) indexes: Arc<IndexCache>,
    /// Chunks that requests have decoded and keep.
    pub(crate) chunks: Arc<ChunkCache>,
}

/// Bytes that a unit of small inner chunks decodes or encodes.
const RUN: usize = 32 << 10;

/// The most inner chunks of one unit.
const MOST_IN_RUN: usize = 256;

/// How many inner chunks of a shard are one unit.
fn run_length(inner: &Prepared) -> usize {
    (RUN / inner.length.max(1)).clamp(1, MOST_IN_RUN)
}

/// Nanoseconds around the codecs that one stored object takes.
const OBJECT_COST: u64 = 2_000;

/// Nanoseconds that one range of an object takes.
const RANGE_COST: u64 = 1_000;

impl Layout {
    /// The layout of an array elsewhere and of another shape, with the same chunks: below `prefix`, which is
    /// empty or ends with `/`. What is counted and kept is shared by both.
    #[must_use]
    pub fn elsewhere(&self, prefix: String, shape: Vec<u64>, keys: ChunkKeyEncoding) -> Self {
        Self { prefix, shape, keys, ..self.clone() }
    }

    /// The chain of one stored object.
    #[must_use]
    pub fn chain(&self) -> &Prepared {
        &self.chain
    }

    /// Chunks that requests have decoded and keep.
    #[must_use]
    pub fn chunks(&self) -> &ChunkCache {
        &self.chunks
    }

    /// About how many nanoseconds one thread takes to read or write `elements` of `objects`.
    fn estimate(&self, objects: u64, elements: u64) -> u64 {
        let bytes = elements.saturating_mul(self.chain.element as u64);
        objects.saturating_mul(OBJECT_COST).saturating_add(self.chain.cost(bytes))
    }

    /// The nanoseconds that one thread takes if all chunks and inner chunks of `objects` that the
    /// selection touches are decoded whole, or read from the first to the last wanted element if
    /// they are stored as they are and of at least `large` bytes.
    fn estimate_whole(&self, objects: &Objects, resolved: &Resolved, large: Option<u64>) -> u64 {
        let count = objects.len() as u64;
        let whole = count.saturating_mul(self.chain.length as u64);
        if !self.chain.is_open() {
            return count.saturating_mul(OBJECT_COST).saturating_add(self.chain.cost(whole));
        }
        let leaf = self.chain.leaf();
        let shape = &leaf.spec.shape;
        let in_part = leaf.is_raw()
            && large.is_some_and(|large| leaf.length as u64 >= large)
            && leaf.strides[..] == crate::codec::c_strides(shape)[..];
        let (pieces, elements) = objects.touched(resolved, shape, in_part);
        let bytes = whole.min(elements.saturating_mul(leaf.element as u64));
        let ranges = if in_part { pieces.saturating_mul(RANGE_COST) } else { 0 };
        let index = self.chain.open_shard().map_or(0, |shard| shard.index.length() as u64 / 4);
        let objects = count.saturating_mul(OBJECT_COST + index).saturating_add(ranges);
        objects.saturating_add(self.chain.cost(bytes))
    }

    /// Lets go of what is known of an object that this array changes: however long the word of a store is
    /// believed, what was written here is read here.
    pub(crate) fn forget(&self, key: &str) {
        self.indexes.forget(key);
        self.chunks.forget(key);
    }

    /// Lets go of what is known of all objects.
    pub(crate) fn forget_all(&self) {
        self.indexes.clear();
        self.chunks.clear();
    }

    /// Stored objects along each dimension.
    #[must_use]
    pub fn grid(&self) -> Vec<u64> {
        let extents = self.shape.iter().zip(&self.chain.spec.shape);
        extents.map(|(&array, &chunk)| array.div_ceil(chunk)).collect()
    }

    /// The shape of the object's valid part: what lies inside the array, of a chunk at `chunk`.
    fn valid(&self, chunk: &[u64], valid: &mut SmallVec<[u64; 4]>) {
        let extents = &self.chain.spec.shape;
        let inside = |((&at, &extent), &array): ((&u64, &u64), &u64)| {
            extent.min(array.saturating_sub(at.saturating_mul(extent)))
        };
        valid.clear();
        valid.extend(chunk.iter().zip(extents).zip(&self.shape).map(inside));
    }
}
