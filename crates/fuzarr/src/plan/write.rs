//! Writing one stored object: fetch what is kept, gather, merge, encode, commit.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::machine::{Commit, Machine, Purpose, Scratch, Step};
use super::{Layout, transfer};
use crate::buffer::{reuse, usize_of};
use crate::codec::{IndexLocation, Prepared};
use crate::copy;
use crate::error::{Error, Result, ResultExt};
use crate::selection::{Region, Resolved, Tile, Tiling};
use crate::shard::{Entry, PreparedIndex, WriteOrder};
use crate::store::{Piece, Precondition, Span};

/// How a request writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Whether chunks and inner chunks that hold nothing but fill value are stored.
    pub write_empty_chunks: bool,
    /// The order of inner chunks in shards.
    pub order: WriteOrder,
}

/// The caller's values: native elements in C order of the selection's result, or one for all.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    bytes: std::borrow::Cow<'a, [u8]>,
    strides: Vec<i64>,
}

/// What a write has to do: one machine for each stored object of the selection.
#[derive(Debug)]
pub struct WritePlan {
    layout: Layout,
    resolved: Arc<Resolved>,
    tiling: Tiling,
    options: WriteOptions,
}

impl WritePlan {
    /// Plans the writing of `resolved`.
    ///
    /// # Errors
    /// `Limit` if the selection touches more objects than one request may.
    pub fn new(layout: Layout, resolved: Resolved, options: WriteOptions) -> Result<Self> {
        let tiling = Tiling::new(&resolved, &resolved.region, &layout.chain.spec.shape)?;
        Ok(Self { layout, resolved: Arc::new(resolved), tiling, options })
    }

    /// How many stored objects the selection touches.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.tiling.len()
    }

    /// The values to write: one element for all, or as many as the selection has.
    ///
    /// # Errors
    /// `InvalidArgument` for any other number of bytes.
    pub fn values<'a>(&self, bytes: impl Into<std::borrow::Cow<'a, [u8]>>) -> Result<Values<'a>> {
        let (bytes, element) = (bytes.into(), self.layout.chain.element);
        let elements = self.resolved.elements();
        let strides = &self.resolved.strides;
        let strides = if bytes.len() as u64 == elements.saturating_mul(element as u64) {
            strides.clone()
        } else if bytes.len() == element {
            vec![0; strides.len()]
        } else {
            return Err(Error::invalid_argument(format!(
                "{} bytes of values for {elements} elements of {element} bytes",
                bytes.len()
            )));
        };
        Ok(Values { bytes, strides })
    }
}

/// The writing of one object at a time; [`begin`](Self::begin) makes it anew.
#[derive(Debug)]
pub struct WriteMachine<'a> {
    values: Arc<Values<'a>>,
    resolved: Arc<Resolved>,
    options: WriteOptions,
    chain: Arc<Prepared>,
    key: String,
    region: Region,
    /// The extents of the object that lie inside the array.
    valid: Vec<u64>,
    state: State,
    spans: [Span; 1],
    /// What was stored, if it had to be read.
    existing: Option<Bytes>,
    precondition: Precondition,
    /// The encoded chunk, for an object that is no shard; `None` inside if it is empty.
    outcome: OnceLock<Option<Vec<u8>>>,
    shard: Option<ShardWrite>,
}

/// The writing of a shard's inner chunks.
#[derive(Debug)]
struct ShardWrite {
    tiling: Tiling,
    /// The index slot of each inner chunk of the tiling.
    slots: Vec<u64>,
    /// The old shard's bytes and index, once decoded.
    old: OnceLock<(Bytes, Vec<u64>)>,
    /// Each touched inner chunk: whether it is written whole, and what it came to.
    outcomes: Vec<OnceLock<Outcome>>,
    laid: OnceLock<Laid>,
    /// Bytes that an old inner chunk may take.
    most: u64,
}

/// What a touched inner chunk came to.
#[derive(Debug)]
struct Outcome {
    /// `None` if there is nothing to store.
    encoded: Option<Vec<u8>>,
    /// Whether this did not depend on what was stored before.
    independent: bool,
}

/// The new shard, laid out.
#[derive(Debug)]
struct Laid {
    index: Vec<u8>,
    chunks: Vec<Source>,
    /// The whole shard under its bytes codecs, if it has any.
    sealed: Option<Vec<u8>>,
}

/// Where the bytes of an inner chunk of the new shard are.
#[derive(Debug)]
enum Source {
    /// Encoded now: the outcome of this number.
    New(usize),
    /// Carried over from the old shard.
    Old(Range<usize>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// Waiting for the stored object.
    Fetch,
    /// What is stored is known.
    Ready,
    /// The job's units are being run.
    Work(Job),
    Commit(Commit),
    Finished {
        present: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    /// Encode the object, which is one chunk.
    Chunk,
    /// Decode the old shard's index.
    Open,
    /// Encode the touched inner chunks.
    Inner,
    /// Lay out the new shard.
    Lay,
}

impl<'a> WriteMachine<'a> {
    /// A machine for the objects of `plan`, writing `values`.
    #[must_use]
    pub fn new(plan: &WritePlan, values: Arc<Values<'a>>) -> Self {
        let chain = Arc::clone(&plan.layout.chain);
        let region = plan.resolved.region.clone();
        let valid = chain.spec.shape.clone();
        Self::build(chain, Arc::clone(&plan.resolved), values, plan.options, (region, valid))
    }

    fn build(
        chain: Arc<Prepared>,
        resolved: Arc<Resolved>,
        values: Arc<Values<'a>>,
        options: WriteOptions,
        (region, valid): (Region, Vec<u64>),
    ) -> Self {
        Self {
            values,
            resolved,
            options,
            spans: [Span::Whole(chain.stored_limit())],
            chain,
            key: String::new(),
            region,
            valid,
            state: State::Start,
            existing: None,
            precondition: Precondition::None,
            outcome: OnceLock::new(),
            shard: None,
        }
    }

    /// Starts on object `number` of the plan.
    pub fn begin(&mut self, plan: &WritePlan, number: usize) {
        let tile = plan.tiling.tile(number);
        plan.layout.keys.write_key(&plan.layout.prefix, &tile.chunk, &mut self.key);
        self.valid = plan.layout.valid(&tile.chunk);
        self.region = tile.region;
        self.state = State::Start;
        self.existing = None;
        self.precondition = Precondition::None;
        self.outcome = OnceLock::new();
        self.shard = None;
    }

    /// Whether nothing of the stored object survives, so that it need not be read.
    fn is_complete(&self) -> bool {
        self.region.covers(&self.valid)
    }

    fn first_job(&mut self) -> Result<Job> {
        if self.chain.any_shard().is_none() {
            return Ok(Job::Chunk);
        }
        if self.shard.is_none() {
            self.shard = Some(ShardWrite::new(&self.chain, &self.resolved, &self.region)?);
        }
        Ok(if self.existing.is_some() { Job::Open } else { Job::Inner })
    }

    fn work(&mut self, job: Job) -> Step {
        let units = match job {
            Job::Inner => self.shard.as_ref().map_or(0, |shard| shard.outcomes.len()),
            Job::Chunk | Job::Open | Job::Lay => 1,
        };
        self.state = State::Work(job);
        Step::Work(units)
    }

    /// What to do when all is encoded.
    fn commit(&mut self) -> Step {
        let stored = match (&self.shard, self.outcome.get()) {
            (Some(shard), _) => shard.laid.get().is_some_and(|laid| !laid.chunks.is_empty()),
            (None, outcome) => outcome.is_some_and(Option::is_some),
        };
        if !stored && self.precondition == Precondition::Absent {
            self.state = State::Finished { present: false };
            return Step::Done { present: false };
        }
        let commit = if stored { Commit::Put } else { Commit::Delete };
        self.state = State::Commit(commit);
        Step::Commit(commit)
    }

    /// Runs the machine on an object in memory and gives its new bytes, or `None` for none.
    fn run_in_memory(mut self, scratch: &mut Scratch) -> Result<Option<Vec<u8>>> {
        loop {
            match self.next()? {
                Step::Fetch(_) => self.state = State::Ready,
                Step::Work(units) => {
                    (0..units).try_for_each(|unit| self.run(unit, scratch))?;
                }
                Step::Commit(Commit::Put) => return Ok(Some(self.parts().concat())),
                Step::Commit(Commit::Delete) | Step::Done { .. } => return Ok(None),
            }
        }
    }

    /// Encodes `region` of the values over what is stored of a chunk; `None` if nothing is left to
    /// store.
    fn encode(
        &self,
        chain: &Arc<Prepared>,
        existing: Option<Bytes>,
        (region, valid): (&Region, Vec<u64>),
        scratch: &mut Scratch,
    ) -> Result<Option<Vec<u8>>> {
        if chain.any_shard().is_some() {
            let (resolved, values) = (Arc::clone(&self.resolved), Arc::clone(&self.values));
            let place = (region.clone(), valid);
            let mut inner =
                WriteMachine::build(Arc::clone(chain), resolved, values, self.options, place);
            inner.existing = existing;
            return inner.run_in_memory(scratch);
        }
        let Scratch { stages, chunk, offsets, .. } = scratch;
        let chunk = reuse(chunk, chain.length)?;
        if !region.covers(&chain.spec.shape) {
            match existing.filter(|_| !region.covers(&valid)) {
                Some(existing) => chunk.copy_from_slice(chain.decode(&existing, stages)?),
                None => copy::fill(chunk, &chain.fill),
            }
        }
        let values = (&*self.values.bytes, &self.values.strides[..]);
        transfer::gather(chain, &self.resolved, region, values, chunk, offsets)?;
        if !self.options.write_empty_chunks && copy::is_filled(chunk, &chain.fill) {
            return Ok(None);
        }
        chain.encode(chunk).map(Some)
    }

    fn run_inner(&self, write: &ShardWrite, unit: usize, scratch: &mut Scratch) -> Result<()> {
        if write.outcomes[unit].get().is_some() {
            return Ok(());
        }
        let shard = self.chain.the_shard()?;
        let Tile { chunk, region } = write.tiling.tile(unit);
        let shape = &shard.inner.spec.shape;
        let inside = |((&at, &extent), &valid): ((&u64, &u64), &u64)| {
            extent.min(valid.saturating_sub(at * extent))
        };
        let valid: Vec<u64> = chunk.iter().zip(shape).zip(&self.valid).map(inside).collect();
        let independent = region.covers(&valid);
        let encode = |scratch| {
            let existing = if independent { None } else { write.old_chunk(write.slots[unit])? };
            self.encode(&shard.inner, existing, (&region, valid), scratch)
        };
        let encoded = encode(scratch).context("inner chunk", || format!("{chunk:?}"))?;
        // Each unit is run once, so the place is free.
        let _ = write.outcomes[unit].set(Outcome { encoded, independent });
        Ok(())
    }

    fn run_open(&self, write: &ShardWrite, scratch: &mut Scratch) -> Result<()> {
        let Some(existing) = &self.existing else { return Ok(()) };
        let shard = self.chain.the_shard()?;
        let bytes = match self.chain.open_shard() {
            Some(_) => existing.clone(),
            None => Bytes::copy_from_slice(self.chain.unseal(existing, &mut scratch.stages)?),
        };
        let place = shard.index.place(bytes.len() as u64)?;
        let index = &bytes[usize_of(place.start)..usize_of(place.end)];
        let pairs = shard.index.decode(index, &mut scratch.stages)?;
        // Each unit is run once, so the place is free.
        let _ = write.old.set((bytes, pairs));
        Ok(())
    }
}

impl ShardWrite {
    fn new(chain: &Prepared, resolved: &Resolved, region: &Region) -> Result<Self> {
        let shard = chain.the_shard()?;
        let tiling = Tiling::new(resolved, region, &shard.inner.spec.shape)?;
        Ok(Self {
            slots: tiling.linear(&shard.slot_strides),
            old: OnceLock::new(),
            outcomes: (0..tiling.len()).map(|_| OnceLock::new()).collect(),
            laid: OnceLock::new(),
            most: shard.inner.stored_limit(),
            tiling,
        })
    }

    /// The old bytes of the inner chunk of `slot`.
    fn old_chunk(&self, slot: u64) -> Result<Option<Bytes>> {
        let Some((bytes, _)) = self.old.get() else { return Ok(None) };
        Ok(self.old_place(slot)?.map(|place| bytes.slice(place)))
    }

    fn old_place(&self, slot: u64) -> Result<Option<Range<usize>>> {
        let Some((bytes, pairs)) = self.old.get() else { return Ok(None) };
        Ok(match PreparedIndex::entry(pairs, slot, bytes.len() as u64, self.most)? {
            Entry::Empty => None,
            Entry::At(place) => Some(usize_of(place.start)..usize_of(place.end)),
        })
    }

    /// Lays the new shard out: every inner chunk in the asked order, and the index.
    fn lay(&self, chain: &Prepared, order: WriteOrder) -> Result<Laid> {
        let shard = chain.the_shard()?;
        let mut touched = vec![usize::MAX; usize_of(shard.index.slots())];
        for (number, &slot) in self.slots.iter().enumerate() {
            touched[usize_of(slot)] = number;
        }
        let at_start = shard.index.location() == IndexLocation::Start;
        let mut offset = if at_start { shard.index.length() as u64 } else { 0 };
        let mut pairs = vec![u64::MAX; touched.len() * 2];
        let mut chunks = Vec::new();
        for slot in order.slots(&shard.grid) {
            let number = touched[usize_of(slot)];
            let source = match self.outcomes.get(number).map(|outcome| outcome.get()) {
                Some(outcome) => outcome
                    .and_then(|outcome| outcome.encoded.as_ref())
                    .map(|encoded| (Source::New(number), encoded.len())),
                None => {
                    self.old_place(slot)?.map(|place| (Source::Old(place.clone()), place.len()))
                }
            };
            let Some((source, length)) = source else { continue };
            let entry = usize_of(slot) * 2;
            (pairs[entry], pairs[entry + 1]) = (offset, length as u64);
            offset += length as u64;
            chunks.push(source);
        }
        let mut laid = Laid { index: shard.index.encode(&pairs)?, chunks, sealed: None };
        if chain.open_shard().is_none() {
            laid.sealed = Some(chain.seal(self.parts(&laid, at_start).concat(), 0)?);
        }
        Ok(laid)
    }

    fn parts<'s>(&'s self, laid: &'s Laid, index_at_start: bool) -> Vec<&'s [u8]> {
        let index = |wanted: bool| (index_at_start == wanted).then_some(&laid.index[..]);
        let chunk = |source: &Source| match source {
            Source::New(number) => {
                let outcome = self.outcomes.get(*number).and_then(OnceLock::get);
                outcome.and_then(|outcome| outcome.encoded.as_deref()).unwrap_or_default()
            }
            Source::Old(place) => {
                self.old.get().map_or(&[][..], |(bytes, _)| &bytes[place.clone()])
            }
        };
        index(true).into_iter().chain(laid.chunks.iter().map(chunk)).chain(index(false)).collect()
    }
}

impl Machine for WriteMachine<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    fn codec(&self) -> &'static str {
        self.chain.outermost()
    }

    fn next(&mut self) -> Result<Step> {
        match self.state {
            State::Start if !self.is_complete() => {
                self.state = State::Fetch;
                Ok(Step::Fetch(Purpose::Whole))
            }
            State::Fetch => {
                Err(Error::invalid_argument("a write was not supplied with what it asked for"))
            }
            State::Start | State::Ready => {
                let job = self.first_job()?;
                Ok(self.work(job))
            }
            State::Work(Job::Open) => Ok(self.work(Job::Inner)),
            State::Work(Job::Inner) => Ok(self.work(Job::Lay)),
            State::Work(Job::Chunk | Job::Lay) => Ok(self.commit()),
            State::Commit(commit) => Ok(Step::Commit(commit)),
            State::Finished { present } => Ok(Step::Done { present }),
        }
    }

    fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn supply(&mut self, pieces: Option<Vec<Piece>>, precondition: Precondition) {
        self.existing =
            pieces.and_then(|mut pieces| pieces.pop()).map(|piece| piece.bytes.into_bytes());
        self.precondition = precondition;
        self.state = State::Ready;
    }

    fn run(&self, unit: usize, scratch: &mut Scratch) -> Result<()> {
        match (self.state, &self.shard) {
            (State::Work(Job::Chunk), _) => {
                let place = (&self.region, self.valid.clone());
                let encoded = self.encode(&self.chain, self.existing.clone(), place, scratch)?;
                // Each unit is run once, so the place is free.
                let _ = self.outcome.set(encoded);
                Ok(())
            }
            (State::Work(Job::Open), Some(write)) => self.run_open(write, scratch),
            (State::Work(Job::Inner), Some(write)) => self.run_inner(write, unit, scratch),
            (State::Work(Job::Lay), Some(write)) => {
                let laid = write.lay(&self.chain, self.options.order)?;
                // Each unit is run once, so the place is free.
                let _ = write.laid.set(laid);
                Ok(())
            }
            _ => Err(Error::invalid_argument("a write has no work now")),
        }
    }

    fn parts(&self) -> Vec<&[u8]> {
        if let Some(write) = &self.shard {
            let Some(laid) = write.laid.get() else { return Vec::new() };
            return match (&laid.sealed, self.chain.any_shard()) {
                (Some(sealed), _) => vec![sealed],
                (None, Some(shard)) => {
                    write.parts(laid, shard.index.location() == IndexLocation::Start)
                }
                (None, None) => Vec::new(),
            };
        }
        self.outcome.get().and_then(Option::as_deref).into_iter().collect()
    }

    fn precondition(&self) -> Precondition {
        self.precondition.clone()
    }

    fn committed(&mut self, done: bool) {
        if done {
            let present = self.state == State::Commit(Commit::Put);
            self.state = State::Finished { present };
            return;
        }
        self.state = State::Start;
        self.outcome = OnceLock::new();
        if let Some(write) = &mut self.shard {
            write.old = OnceLock::new();
            write.laid = OnceLock::new();
            for outcome in &mut write.outcomes {
                if outcome.get().is_some_and(|outcome| !outcome.independent) {
                    *outcome = OnceLock::new();
                }
            }
        }
    }
}
