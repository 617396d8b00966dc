//! Shards and inner chunks of one object being read.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::codec::{Elements, Prepared};
use crate::error::{Error, Result};
use crate::selection::{Region, Resolved, Tile, Tiling};
use crate::shard::{Entry, PreparedIndex};

/// Bytes of nested indexes that may be decoded beyond what the object holds of them.
const SHARED_INDEXES: u64 = 16 << 20;

/// A shard, in the object or in another shard.
#[derive(Debug)]
pub(super) struct Node {
    /// The chain whose encoded form the shard is.
    pub(super) chain: Arc<Prepared>,
    /// Where in the object it is; `None` for all of it.
    place: Option<Range<u64>>,
    pub(super) tiling: Tiling,
    /// Decoded by a unit of work, or known from before.
    pub(super) index: OnceLock<Arc<Vec<u64>>>,
}

/// An inner chunk that is no shard in the open.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) node: usize,
    pub(super) tile: usize,
    pub(super) place: Place,
}

/// Where in the object an inner chunk is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Empty,
    At(Range<u64>),
    /// It is stored as it is, and these bytes of it, after so many others, are enough.
    Part {
        wanted: Range<u64>,
        skipped: usize,
    },
    /// There, and the store reads it straight into the output.
    Target(Range<u64>),
    /// There, but its elements are known.
    Kept(Arc<Elements>),
    /// Nowhere: its entry in the index is damaged. The unit that wants it says how, so that the
    /// other inner chunks are not held up.
    Bad,
}

impl Node {
    pub(super) fn new(
        chain: Arc<Prepared>,
        resolved: &Resolved,
        place: Option<Range<u64>>,
        region: &Region,
    ) -> Result<Self> {
        let shape = &chain.the_shard()?.inner.spec.shape;
        let tiling = Tiling::new(resolved, region, shape)?;
        Ok(Self { chain, place, tiling, index: OnceLock::new() })
    }

    /// Where the shard is in an object of `size` bytes.
    pub(super) fn place(&self, size: u64) -> Range<u64> {
        self.place.clone().unwrap_or(0..size)
    }

    /// Where the shard's index is in an object of `size` bytes.
    pub(super) fn index_place(&self, size: u64) -> Result<Range<u64>> {
        let place = self.place(size);
        let inside = self.chain.the_shard()?.index.place(place.end - place.start)?;
        Ok(place.start + inside.start..place.start + inside.end)
    }

    /// What the index says of the inner chunk of `tile`.
    pub(super) fn entry(&self, tile: &Tile, size: u64) -> Result<Entry> {
        let shard = self.chain.the_shard()?;
        let slot: u64 =
            tile.chunk.iter().zip(&shard.slot_strides).map(|(at, stride)| at * stride).sum();
        let pairs = self.index.get().map_or(&[][..], |pairs| pairs);
        let place = self.place(size);
        let most = shard.inner.stored_limit();
        PreparedIndex::entry(pairs, slot, place.end - place.start, most)
    }
}

impl Leaf {
    /// Whether its elements are known.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.place, Place::Kept(_))
    }

    /// What has to be fetched of it.
    pub(super) fn range(&self) -> Option<Range<u64>> {
        match &self.place {
            Place::At(range) | Place::Part { wanted: range, .. } => Some(range.clone()),
            Place::Empty | Place::Target(_) | Place::Kept(_) | Place::Bad => None,
        }
    }
}

/// Nested shards may share their bytes, indexes included; decoded, each counts by itself. What is
/// more than an object of `size` bytes could hold without sharing is refused.
pub(super) fn check_indexes(total: u64, size: u64) -> Result<()> {
    if total <= size.saturating_add(SHARED_INDEXES) {
        return Ok(());
    }
    let message =
        format!("nested shards have {total} bytes of indexes in an object of {size} bytes");
    Err(Error::limit(message).with("codec", "sharding_indexed"))
}
