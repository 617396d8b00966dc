//! Writing: what a request wants stored, and the machine that writes one stored object.

mod encode;
mod machine;
mod shard;
mod state;
mod stream;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
pub use machine::WriteMachine;
use smallvec::SmallVec;

use super::budget::{self, Need};
use super::objects::{ObjectList, Objects};
use super::{Counters, Layout, variable};
use crate::codec::Elements;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::selection::{Resolved, Tiling};
use crate::shard::WriteOrder;
use crate::store::Capabilities;

/// How a request writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whether chunks and inner chunks that hold nothing but fill value are stored.
    pub write_empty_chunks: bool,
    /// The order of inner chunks in shards.
    pub order: WriteOrder,
    /// Whether a single value that fills many chunks is encoded once.
    pub scalar_memo: bool,
    /// Whether of a shard that is changed in part only what is needed is fetched, and the store
    /// carries the rest over.
    pub partial_writes: bool,
    /// Whether large shards are written piece by piece as they are encoded.
    pub streaming: bool,
    /// Whether inner chunks of fixed size are changed in place where that is possible. Faster, but
    /// not safe: readers at the same time may see a mixture, and so may everybody after a crash.
    pub in_place: bool,
    /// What the request may take.
    pub limits: Limits,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            write_empty_chunks: false,
            order: WriteOrder::default(),
            scalar_memo: true,
            partial_writes: true,
            streaming: true,
            in_place: false,
            limits: Limits::default(),
        }
    }
}

/// The caller's values: native elements in C order of the selection's result, or one for all.
#[derive(Debug)]
pub struct Values<'a> {
    bytes: Cow<'a, [u8]>,
    strides: SmallVec<[i64; 4]>,
    /// What slots point into, for elements of variable size.
    heap: Cow<'a, [u8]>,
    /// Chunks that one value fills, once encoded; `None` if there is more than one value.
    memo: Option<Memo>,
}

impl Values<'_> {
    /// The elements, copied if they were borrowed. The slots of those of variable size hold more than
    /// they did before.
    pub(crate) fn into_elements(self) -> Elements {
        Elements { slots: self.bytes.into_owned(), heap: self.heap.into_owned() }
    }
}

/// Inner chunks of a streamed shard that are encoded, and then written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// Bytes of their elements.
    bytes: u64,
    /// Whether the next are encoded while these are written.
    overlaps: bool,
}

/// Bytes of elements that a group is raised to at the most, so that each thread has some of it.
const LARGEST_GROUP: u64 = 256 << 20;

/// Chunks filled with one value, by how much of them lies inside the array. `None` inside for those
/// that need not be stored.
#[derive(Debug, Default)]
struct Memo {
    whole: OnceLock<Option<Bytes>>,
    edges: Mutex<Vec<(Vec<u64>, Option<Bytes>)>>,
}

impl Memo {
    /// The chunk of which `valid` is inside the array, and whether it was known; encoded by
    /// `encode` if not.
    fn get(
        &self,
        shape: &[u64],
        valid: &[u64],
        encode: impl FnOnce() -> Result<Option<Bytes>>,
    ) -> Result<(Option<Bytes>, bool)> {
        if shape == valid {
            if let Some(known) = self.whole.get() {
                return Ok((known.clone(), true));
            }
            let encoded = encode()?;
            // Another thread may have been quicker, with the same bytes.
            let _ = self.whole.set(encoded.clone());
            return Ok((encoded, false));
        }
        let lock = || self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().iter().find(|(known, _)| known == valid).map(|(_, bytes)| bytes.clone());
        if let Some(known) = known {
            return Ok((known, true));
        }
        let encoded = encode()?;
        lock().push((valid.to_vec(), encoded.clone()));
        Ok((encoded, false))
    }
}

/// What a write has to do: one machine for each stored object of the selection.
#[derive(Debug)]
pub struct WritePlan {
    layout: Arc<Layout>,
    resolved: Arc<Resolved>,
    objects: Objects,
    options: Arc<WriteOptions>,
    /// How many threads the plan was made fit for.
    threads: usize,
}

impl WritePlan {
    /// Plans the writing of `resolved`.
    ///
    /// # Errors
    /// `Limit` if the selection touches more objects than one request may.
    pub fn new(layout: Arc<Layout>, resolved: Resolved, options: WriteOptions) -> Result<Self> {
        let tiling = Tiling::new(&resolved, &resolved.region, &layout.chain.spec.shape)?;
        let (objects, options) = (Objects::Grid(tiling), Arc::new(options));
        Ok(Self { layout, resolved: Arc::new(resolved), objects, options, threads: 1 })
    }

    /// Plans the writing of objects that the caller names.
    ///
    /// # Errors
    /// `Unsupported` if one is named twice.
    pub fn of_objects(
        layout: Arc<Layout>,
        list: ObjectList,
        options: WriteOptions,
    ) -> Result<Self> {
        let (resolved, objects) = list.for_writing()?;
        let options = Arc::new(options);
        Ok(Self { layout, resolved: Arc::new(resolved), objects, options, threads: 1 })
    }

    /// How many elements the selection has.
    fn elements(&self) -> u64 {
        self.objects.elements(&self.resolved)
    }

    /// Makes the plan fit so many threads, and the request's memory, beside the values, for a store
    /// that can do so much.
    ///
    /// # Errors
    /// `Limit` if the memory does not do for one object, saying how much is needed.
    pub fn fit(&mut self, capabilities: Capabilities, threads: usize) -> Result<()> {
        let chain = &self.layout.chain;
        self.threads = threads;
        if self.options.limits.memory.is_none() {
            return Ok(());
        }
        // Inner chunks that are touched are held whole, however little of them is.
        let touched = self.elements().saturating_mul(self.inner());
        let complete = self.objects.is_complete(&self.layout) && self.options.streaming;
        let carry_over = capabilities.carry_over && self.options.partial_writes;
        let capabilities = Capabilities { carry_over, ..capabilities };
        let one = budget::writing(chain, touched, complete, capabilities);
        let need = Need { fixed: 0, one, objects: self.objects() };
        let (limits, spare) = budget::fit(&self.options.limits, need, threads)?;
        let Some(spare) = spare else { return Ok(()) };
        let options = Arc::make_mut(&mut self.options);
        options.limits = limits;
        let tuning = &mut options.limits.tuning;
        tuning.streamed = tuning.streamed.min(spare / 2);
        tuning.group = tuning.group.min(spare / 4);
        Ok(())
    }

    /// The groups of a shard that is streamed to a store that can do so much.
    pub(crate) fn group(&self, capabilities: Capabilities) -> Group {
        let limits = &self.options.limits;
        let least = limits.tuning.group;
        if limits.memory.is_some() {
            return Group { bytes: least, overlaps: true };
        }
        // Each thread gets an inner chunk, however large they are. Where stores are awaited it has those
        // of other shards, for which there has to be room in flight.
        let most = if capabilities.blocking { LARGEST_GROUP } else { limits.in_flight / 16 };
        let bytes = self.inner().saturating_mul(self.threads as u64).min(most).max(least);
        // A thread that writes and then encodes one such is waited for by those that have one each.
        Group { bytes, overlaps: bytes == least || !capabilities.blocking }
    }

    /// Bytes of an inner chunk, or of a chunk that is no shard.
    fn inner(&self) -> u64 {
        let chain = &self.layout.chain;
        chain.any_shard().map_or(chain.length, |shard| shard.inner.length) as u64
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
        // What is written in part is encoded whole.
        self.layout.estimate_whole(&self.objects, &self.resolved, None)
    }

    /// Bytes that the writing of one object holds, about, for a store that can do so much.
    pub(crate) fn weight(&self, capabilities: Capabilities) -> u64 {
        let length = self.layout.chain.length as u64;
        // Two groups of at least an inner chunk, one written and one encoded, may be larger than what is
        // streamed.
        let groups = self.group(capabilities).bytes.max(self.inner()).saturating_mul(2);
        let limit = self.options.limits.tuning.streamed.max(groups);
        let streams = self.options.streaming
            && capabilities.uploads
            && self.layout.chain.open_shard().is_some()
            && self.objects.is_complete(&self.layout);
        if streams { length.min(limit.max(1)) } else { length }
    }

    /// The options of the request.
    #[must_use]
    pub fn options(&self) -> &WriteOptions {
        &self.options
    }

    /// What counts the fast paths that the array's requests take.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.layout.counters
    }

    /// The values to write: one element for all, or as many as the selection has. Elements of
    /// variable size are slots that point into `heap`, see [`crate::codec::Elements`].
    ///
    /// # Errors
    /// `InvalidArgument` for any other number of bytes, or a slot that points outside the heap.
    pub fn values<'a>(
        &self,
        bytes: impl Into<Cow<'a, [u8]>>,
        heap: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Values<'a>> {
        let (mut bytes, heap, element) = (bytes.into(), heap.into(), self.layout.chain.element);
        let elements = self.resolved.elements();
        let mut strides = self.resolved.strides.clone();
        if bytes.len() as u64 != elements.saturating_mul(element as u64) {
            if bytes.len() != element {
                return Err(Error::invalid_argument(format!(
                    "{} bytes of values for {elements} elements of {element} bytes",
                    bytes.len()
                )));
            }
            strides.fill(0);
        }
        if self.layout.chain.is_variable() {
            bytes = Cow::Owned(variable::mark_values(&bytes, &heap)?);
        }
        let scalar = bytes.len() == element && self.options.scalar_memo;
        Ok(Values { bytes, strides, heap, memo: scalar.then(Memo::default) })
    }
}
