//! Reading: what a request wants, and the machine that reads one stored object.

mod decode;
mod explain;
mod fetch;
mod forecast;
mod kept;
mod machine;
mod node;
mod slabs;

use std::sync::Arc;
use std::time::Duration;

pub use explain::{Bounds, Explanation};
pub use forecast::{Forecast, Network};
pub(crate) use machine::Aim;
pub use machine::ReadMachine;

use smallvec::SmallVec;

use super::budget::{self, Need};
use super::objects::{ObjectList, Objects};
use super::pieces::Coalescing;
use super::{Counters, Layout};
use crate::buffer::Output;
use crate::error::Result;
use crate::limits::Limits;
use crate::selection::{Resolved, Tiling};
use crate::store::Capabilities;

/// How a request reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Ranges of a shard at most this many bytes apart are fetched together, or fewer if the store
    /// says so ([`Capabilities::gap`]); 0 fetches each alone.
    pub coalesce_gap: u64,
    /// A joined range grows to at most this many bytes.
    pub coalesce_span: u64,
    /// Whether parts of shards are fetched at all, rather than whole objects.
    pub partial_reads: bool,
    /// Whether some bytes beside a shard's index are fetched with it, which may be all that is
    /// wanted.
    pub one_round_trip: bool,
    /// Whether uncompressed inner chunks are copied in runs.
    pub bulk_decode: bool,
    /// Whether codecs decode straight into the output where they can.
    pub direct_decode: bool,
    /// Whether large compressed chunks are decoded only as far as they are wanted, where codecs can. Damage in
    /// what is left out is not noticed then; a checksum of the whole chunk is always looked at.
    pub partial_decode: bool,
    /// Whether the store reads uncompressed chunks straight into the output where it can, and slabs of
    /// those of files are placed as they are read.
    pub direct_reads: bool,
    /// Whether indexes of shards are kept for later requests.
    pub index_cache: bool,
    /// For how long what is known of a remote store's object is believed if nothing else is asked of the
    /// object: that an inner chunk is not stored, or what is in chunks that were kept. With 0 the store
    /// is asked whether the object is still the same. What is read of an object is always of one version.
    pub index_staleness: Duration,
    /// Bytes of decoded chunks that the array keeps for later requests, beside what a request may hold;
    /// those used least recently go first. With 0 the request keeps none, and looks for none. Chunks that
    /// are larger are not kept, nor are those in shards that are compressed as a whole or of stores that do not
    /// tell versions of objects.
    pub chunk_cache: u64,
    /// Whether a missing object is an error rather than fill value.
    pub missing_is_error: bool,
    /// What the request may take.
    pub limits: Limits,
}

impl Default for ReadOptions {
    fn default() -> Self {
        let Coalescing { gap, span } = Coalescing::default();
        Self {
            coalesce_gap: gap,
            coalesce_span: span,
            partial_reads: true,
            one_round_trip: true,
            bulk_decode: true,
            direct_decode: true,
            partial_decode: true,
            direct_reads: true,
            index_cache: true,
            index_staleness: Duration::ZERO,
            chunk_cache: 0,
            missing_is_error: false,
            limits: Limits::default(),
        }
    }
}

/// What a read has to do: one machine for each stored object of the selection.
#[derive(Debug)]
pub struct ReadPlan {
    layout: Arc<Layout>,
    resolved: Arc<Resolved>,
    objects: Objects,
    options: Arc<ReadOptions>,
}

impl ReadPlan {
    /// Plans the reading of `resolved`.
    ///
    /// # Errors
    /// `Limit` if the selection touches more objects than one request may.
    pub fn new(layout: Arc<Layout>, resolved: Resolved, options: ReadOptions) -> Result<Self> {
        let tiling = Tiling::new(&resolved, &resolved.region, &layout.chain.spec.shape)?;
        let (objects, options) = (Objects::Grid(tiling), Arc::new(options));
        Ok(Self { layout, resolved: Arc::new(resolved), objects, options })
    }

    /// Plans the reading of objects that the caller names.
    ///
    /// # Errors
    /// `Unsupported` if two of them go to the same place.
    pub fn of_objects(layout: Arc<Layout>, list: ObjectList, options: ReadOptions) -> Result<Self> {
        let (resolved, objects) = list.for_reading()?;
        let options = Arc::new(options);
        Ok(Self { layout, resolved: Arc::new(resolved), objects, options })
    }

    /// How many elements the selection has.
    fn elements(&self) -> u64 {
        self.objects.elements(&self.resolved)
    }

    /// Makes the plan fit the request's memory, for so many threads and a store that can read parts
    /// of objects or not.
    ///
    /// # Errors
    /// `Limit` if the memory does not do for the result and one chunk, saying how much is needed.
    pub fn fit(&mut self, ranges: bool, threads: usize) -> Result<()> {
        let chain = &self.layout.chain;
        let need = Need {
            fixed: self.elements().saturating_mul(chain.element as u64),
            one: budget::reading(chain, ranges),
            objects: self.objects(),
        };
        let (limits, spare) = budget::fit(&self.options.limits, need, threads)?;
        let Some(spare) = spare else { return Ok(()) };
        let options = Arc::make_mut(&mut self.options);
        options.limits = limits;
        // A range that joins two chunks holds no larger gap than a chunk.
        let leaf = chain.leaf().length as u64;
        options.coalesce_gap = options.coalesce_gap.min(leaf);
        let tuning = &mut options.limits.tuning;
        tuning.fetched = tuning.fetched.min((spare / 2).max(leaf));
        Ok(())
    }

    /// The selection.
    #[must_use]
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// How many stored objects the selection touches.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The key of object `number`.
    #[must_use]
    pub fn key(&self, number: usize) -> String {
        let (mut key, mut valid) = (String::new(), SmallVec::new());
        self.objects.begin(number, &self.layout, &mut key, &mut valid);
        key
    }

    /// About how many nanoseconds one thread takes for all of it.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.layout.estimate(self.objects() as u64, self.elements())
    }

    /// About how many nanoseconds one thread takes at most: if chunks are large and little of each is
    /// wanted, far more than [`estimate`](Self::estimate).
    #[must_use]
    pub fn estimate_at_most(&self) -> u64 {
        let options = &self.options;
        let large = options.partial_reads.then_some(options.limits.tuning.large_chunk);
        self.layout.estimate_whole(&self.objects, &self.resolved, large)
    }

    /// A machine for each object, all filling `output`, and what the output becomes when they are
    /// done. `capabilities`: those of the store.
    #[must_use]
    pub fn machines<'a>(
        &self,
        output: Output<'a>,
        capabilities: Capabilities,
    ) -> (Vec<ReadMachine<'a>>, Arc<Output<'a>>) {
        let output = Arc::new(output);
        let machine = |number| {
            let mut machine = ReadMachine::new(self, Arc::clone(&output), capabilities);
            machine.begin(self, number);
            machine
        };
        ((0..self.objects()).map(machine).collect(), output)
    }

    /// The options of the request.
    #[must_use]
    pub fn options(&self) -> &ReadOptions {
        &self.options
    }

    /// What counts the fast paths that the array's requests take.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.layout.counters
    }
}
