//! What a read costs: the machine that reads, asked without being given any data.
//!
//! A machine that explains makes every decision of a read but decodes indexes only. Data that it
//! asks for is not fetched: the executor counts what that would take and says
//! [`skip`](ReadMachine::skip). Without any store, [`foresee`](ReadMachine::foresee) bounds what
//! indexes would say.

use std::ops::{AddAssign, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::machine::{Job, ReadMachine, State};
use super::node::{Leaf, Place};
use super::{ReadPlan, Tiling};
use crate::buffer::{Output, addressable};
use crate::codec::{Prepared, Size};
use crate::error::{Error, Result, ResultExt};
use crate::plan::Layout;
use crate::plan::machine::{Purpose, Step};
use crate::plan::objects::Objects;
use crate::selection::Region;
use crate::store::{Capabilities, Span};

/// A quantity that is known, or known to lie between bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// It is not less than this.
    pub at_least: u64,
    /// It is not more than this.
    pub at_most: u64,
}

impl Bounds {
    /// A quantity that is known.
    #[must_use]
    pub fn exactly(quantity: u64) -> Self {
        Self { at_least: quantity, at_most: quantity }
    }

    /// The quantity, if it is known.
    #[must_use]
    pub fn exact(self) -> Option<u64> {
        (self.at_least == self.at_most).then_some(self.at_most)
    }

    /// Whether `quantity` is possible.
    #[must_use]
    pub fn contains(self, quantity: u64) -> bool {
        (self.at_least..=self.at_most).contains(&quantity)
    }

    fn between(at_least: u64, at_most: u64) -> Self {
        Self { at_least, at_most: at_most.max(at_least) }
    }

    fn or(self, other: Self) -> Self {
        Self {
            at_least: self.at_least.min(other.at_least),
            at_most: self.at_most.max(other.at_most),
        }
    }

    fn or_more(self, other: Self) -> Self {
        Self {
            at_least: self.at_least.max(other.at_least),
            at_most: self.at_most.max(other.at_most),
        }
    }
}

impl AddAssign for Bounds {
    fn add_assign(&mut self, other: Self) {
        self.at_least = self.at_least.saturating_add(other.at_least);
        self.at_most = self.at_most.saturating_add(other.at_most);
    }
}

/// What a read takes, see [`Array::explain`](crate::Array::explain).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Explanation {
    /// Elements of the result.
    pub elements: u64,
    /// Bytes of the result; of elements of variable size, those of their slots.
    pub bytes: u64,
    /// Stored objects (chunks or shards) that hold wanted elements: each is opened once.
    pub objects: u64,
    /// Those of them that do not exist and read as fill value. Without a look at the store, none
    /// is taken to be missing.
    pub missing: u64,
    /// Chunks (of a sharded array, inner ones) that hold wanted elements, stored or not.
    pub chunks: u64,
    /// Reads of objects or parts of them, each counted once: a large one may be made in pieces of
    /// [`Tuning::part`](crate::Tuning::part) or [`Tuning::slab`](crate::Tuning::slab) bytes.
    pub requests: Bounds,
    /// Bytes read.
    pub fetched: Bounds,
    /// Those of them that belong to indexes and to what is wanted, not to what lies between.
    pub used: Bounds,
    /// Chunks that are decoded, or copied if they are stored as they are.
    pub decoded: Bounds,
    /// Requests that wait for the answer to another, one after the other, if all objects are read
    /// at the same time.
    pub round_trips: Bounds,
}

impl Explanation {
    /// Whether all of it is known.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let all = [self.requests, self.fetched, self.used, self.decoded, self.round_trips];
        all.into_iter().all(|bounds| bounds.exact().is_some())
    }

    /// What is taken if it is not known which of two ways is.
    fn or(self, other: &Self) -> Self {
        Self {
            requests: self.requests.or(other.requests),
            fetched: self.fetched.or(other.fetched),
            used: self.used.or(other.used),
            decoded: self.decoded.or(other.decoded),
            round_trips: self.round_trips.or(other.round_trips),
            ..self
        }
    }

    /// Adds what one object takes.
    pub(crate) fn absorb(&mut self, object: &Self) {
        self.missing += object.missing;
        self.requests += object.requests;
        self.fetched += object.fetched;
        self.used += object.used;
        self.decoded += object.decoded;
        self.round_trips = self.round_trips.or_more(object.round_trips);
    }
}

/// What a machine that explains has found out.
#[derive(Debug, Default)]
pub(super) struct Explained {
    /// Whether a read would have the whole object by now.
    pub(super) whole: bool,
    used: AtomicU64,
    decoded_at_least: AtomicU64,
    decoded_at_most: AtomicU64,
}

impl ReadPlan {
    /// What is known beforehand of the plan's cost; objects are still to be absorbed.
    pub(crate) fn outline(&self) -> Result<Explanation> {
        let Self { layout, resolved, .. } = self;
        let elements = self.elements();
        let mut chunks = self.objects() as u64;
        if let Some(shard) = layout.chain.any_shard() {
            let mut inner = &shard.inner;
            while let Some(nested) = inner.any_shard() {
                inner = &nested.inner;
            }
            let count = |region| {
                Tiling::new(resolved, region, &inner.spec.shape).map(|tiling| tiling.len() as u64)
            };
            chunks = match &self.objects {
                Objects::Grid(_) => count(&resolved.region)?,
                Objects::Named { objects, .. } => {
                    objects.iter().map(|object| count(&object.region)).sum::<Result<_>>()?
                }
            };
        }
        Ok(Explanation {
            elements,
            bytes: elements.saturating_mul(layout.chain.element as u64),
            objects: self.objects() as u64,
            chunks,
            ..Explanation::default()
        })
    }

    /// A machine that explains the objects of the plan instead of reading them. It counts no fast
    /// path and keeps no index.
    ///
    /// # Errors
    /// `Limit` if the result could not be addressed.
    pub(crate) fn explainer(&self, capabilities: Capabilities) -> Result<ReadMachine<'static>> {
        let output = Arc::new(Output::owned(Vec::new()));
        let mut machine = ReadMachine::new(self, output, capabilities);
        machine.room = addressable(self.outline_bytes())?;
        let layout = Layout { counters: Arc::default(), ..(*self.layout).clone() };
        machine.shared.layout = Arc::new(layout);
        machine.explained = Some(Explained::default());
        Ok(machine)
    }

    fn outline_bytes(&self) -> u64 {
        self.elements().saturating_mul(self.layout.chain.element as u64)
    }
}

impl ReadMachine<'_> {
    pub(super) fn is_explained(&self) -> bool {
        self.explained.is_some()
    }

    /// Whether a read would have, by now, all that the machine still asks for.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.explained.as_ref().is_some_and(|explained| explained.whole)
    }

    /// Bytes of the object that the store may read straight into the output, one range a request.
    pub(crate) fn target_sources(&self) -> impl Iterator<Item = Range<u64>> {
        self.targets.iter().map(|target| target.source.clone())
    }

    /// Goes on as if what was asked for were here, of an object of `size` bytes. Of a shard that
    /// would be fetched whole, the machine now asks for the indexes.
    ///
    /// # Errors
    /// `Limit` if the object has more inner chunks than one request may touch.
    pub(crate) fn skip(&mut self, size: u64) -> Result<()> {
        self.pieces.set_object_size(size);
        self.state = match self.state.clone() {
            State::Data(batch) => State::Ready(Job::Leaves(batch)),
            State::Whole if self.chain.open_shard().is_some() => {
                self.spans.clear();
                if self.nodes.is_empty() {
                    self.push_root()?;
                }
                if let Some(explained) = &mut self.explained {
                    explained.whole = true;
                }
                State::Opened(Purpose::Index)
            }
            _ => State::Ready(Job::Chunk),
        };
        Ok(())
    }

    /// What was found out of the present object; requests and their bytes are the executor's to
    /// count.
    pub(crate) fn explanation(&self) -> Explanation {
        let Some(Explained { used, decoded_at_least, decoded_at_most, .. }) = &self.explained
        else {
            return Explanation::default();
        };
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Explanation {
            used: Bounds::exactly(number(used)),
            decoded: Bounds::between(number(decoded_at_least), number(decoded_at_most)),
            ..Explanation::default()
        }
    }

    /// Notes a chunk of `length` stored bytes that would be decoded.
    pub(super) fn explain_chunk(&self, chain: &Prepared, region: &Region, length: u64) {
        let Some(explained) = &self.explained else { return };
        let add = |counter: &AtomicU64, number| counter.fetch_add(number, Ordering::Relaxed);
        add(&explained.used, length);
        if chain.any_shard().is_some() {
            // What is inside codecs is known to those who undo them.
            add(&explained.decoded_at_most, self.inner_chunks(chain, region).unwrap_or(u64::MAX));
        } else {
            add(&explained.decoded_at_least, 1);
            add(&explained.decoded_at_most, 1);
        }
    }

    /// Notes an index.
    pub(super) fn explain_index(&self, length: u64) {
        if let Some(explained) = &self.explained {
            explained.used.fetch_add(length, Ordering::Relaxed);
        }
    }

    /// Notes the object, which is one chunk, or a shard under codecs.
    pub(super) fn explain_object(&self) {
        let length = match &self.spans[..] {
            [Span::Range(range)] => range.end - range.start,
            _ => self.pieces.object_size(),
        };
        self.explain_chunk(&self.chain, &self.region, length);
    }

    /// Notes some leaves.
    pub(super) fn explain_leaves(&self, leaves: Range<usize>) -> Result<()> {
        for leaf in &self.leaves[leaves] {
            let Leaf { node, tile, place } = leaf;
            let tile = self.nodes[*node].tiling.tile(*tile);
            match place {
                Place::Empty | Place::Kept(_) => {}
                Place::At(range) | Place::Part { wanted: range, .. } | Place::Target(range) => {
                    let length = range.end - range.start;
                    self.explain_chunk(self.inner(leaf)?, &tile.region, length);
                }
                Place::Bad => {
                    let entry = self.nodes[*node].entry(&tile, self.pieces.object_size());
                    entry.context("inner chunk", || format!("{:?}", tile.chunk))?;
                }
            }
        }
        Ok(())
    }

    /// How many innermost chunks of a shard hold something of `region`.
    fn inner_chunks(&self, chain: &Prepared, region: &Region) -> Result<u64> {
        let mut inner = &chain.the_shard()?.inner;
        while let Some(nested) = inner.any_shard() {
            inner = &nested.inner;
        }
        Ok(Tiling::new(&self.resolved, region, &inner.spec.shape)?.len() as u64)
    }

    /// What the present object takes, as far as that can be told without the store, if it exists.
    ///
    /// # Errors
    /// `Limit` if the object has more inner chunks than one request may touch.
    pub(crate) fn foresee(&mut self) -> Result<Explanation> {
        use crate::plan::machine::Machine as _;
        let mut known = false;
        loop {
            match self.next()? {
                Step::Open => {
                    known = match self.chain.open_shard() {
                        Some(_) => self.shared.layout.indexes.knows(&self.key),
                        None => self.shared.layout.chunks.knows(&self.key),
                    };
                    self.opened(None, None);
                }
                Step::Fetch(Purpose::Index) => return self.foresee_parts(known),
                Step::Fetch(_) if known => return self.foresee_known(),
                Step::Fetch(_) => return self.foresee_whole(),
                Step::Work(_) | Step::Append(_) | Step::Commit(_) | Step::Done { .. } => {
                    return Err(Error::invalid_argument("a read began with nothing to fetch"));
                }
            }
        }
    }

    /// One request for an object, or a part of a chunk that is stored as it is.
    fn foresee_whole(&self) -> Result<Explanation> {
        let chain = &self.chain;
        let fetched = match (&self.spans[..], chain.encoded_size) {
            ([Span::Range(range)], _) => Bounds::exactly(range.end - range.start),
            (_, Size::Exact(size)) if chain.any_shard().is_none() => Bounds::exactly(size),
            _ => {
                let index = chain.open_shard().map_or(0, |shard| shard.index.length() as u64);
                Bounds::between(index, chain.stored_limit())
            }
        };
        let decoded = match chain.any_shard() {
            None => Bounds::exactly(1),
            Some(_) => Bounds::between(0, self.inner_chunks(chain, &self.region)?),
        };
        let once = Bounds::exactly(1);
        Ok(Explanation {
            requests: once,
            fetched,
            used: fetched,
            decoded,
            round_trips: once,
            ..Explanation::default()
        })
    }

    /// All of an object, or what is not known of it.
    fn foresee_known(&self) -> Result<Explanation> {
        let whole = self.foresee_whole()?;
        Ok(match self.chain.open_shard() {
            Some(_) => whole.or(&self.foresee_parts(true)?),
            None => whole.or(&Explanation::default()),
        })
    }

    /// The index, and then some of what it may list. `known`: whether the index may be at hand.
    fn foresee_parts(&self, known: bool) -> Result<Explanation> {
        let shard = self.chain.the_shard()?;
        // What lies beside the index comes with it.
        let beside = match &self.spans[..] {
            [Span::Prefix(length) | Span::Suffix(length)] => *length,
            _ => 0,
        };
        let (root, limit) = (shard.index.length() as u64, self.chain.stored_limit());
        let gap = self.gap();
        // Ranges with what may lie between them, no more than there can be.
        let joined = |count: u64, length: u64| {
            let gaps = count.saturating_sub(1).saturating_mul(gap);
            count.saturating_mul(length).saturating_add(gaps).min(limit)
        };
        let tiles = |shape: &[u64]| {
            Tiling::new(&self.resolved, &self.region, shape).map(|tiling| tiling.len() as u64)
        };
        let mut most = Explanation {
            requests: Bounds::exactly(1),
            fetched: Bounds::exactly(root.max(beside)),
            used: Bounds::exactly(root),
            round_trips: Bounds::exactly(1),
            ..Explanation::default()
        };
        let mut add = |count: u64, length: u64, trips: u64| {
            most.requests += Bounds::exactly(count);
            most.fetched += Bounds::exactly(joined(count, length));
            most.used += Bounds::exactly(count.saturating_mul(length));
            most.round_trips += Bounds::exactly(trips);
        };
        let mut inner = &shard.inner;
        while let Some(nested) = inner.open_shard() {
            add(tiles(&inner.spec.shape)?, nested.index.length() as u64, 1);
            inner = &nested.inner;
        }
        let leaves = tiles(&inner.spec.shape)?;
        let batches = limit.div_ceil(self.shared.options.limits.tuning.fetched.max(1));
        add(leaves, inner.stored_limit(), leaves.min(batches.saturating_mul(2)));
        let (once, index) = if known { (0, 0) } else { (1, root) };
        Ok(Explanation {
            requests: Bounds::between(once, most.requests.at_most),
            fetched: Bounds::between(index, most.fetched.at_most),
            used: Bounds::between(index, most.used.at_most),
            decoded: Bounds::between(0, self.inner_chunks(&self.chain, &self.region)?),
            round_trips: Bounds::between(once, most.round_trips.at_most),
            ..Explanation::default()
        })
    }
}
