//! Writing one stored object: fetch what is kept, gather, merge, encode, commit.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::encode::{Encoded, Payload};
use super::shard::{Old, ShardWrite, Stored};
use super::state::{Job, State};
use super::stream::Stream;
use super::{Group, Values, WriteOptions, WritePlan};
use crate::codec::{IndexLocation, Prepared};
use crate::error::{Error, Result};
use crate::plan::cache::Source;
use crate::plan::machine::{Commit, Machine, Purpose, Scratch, Step};
use crate::plan::pieces::{Coalescing, Spans, coalesce};
use crate::plan::{FastPath, Layout};
use crate::selection::{Region, Resolved};
use crate::store::{Capabilities, Part, Piece, Precondition, Span, Version};

/// The writing of one object at a time; [`begin`](Self::begin) makes it anew.
#[derive(Debug)]
pub struct WriteMachine<'a> {
    pub(super) values: Arc<Values<'a>>,
    pub(super) resolved: Arc<Resolved>,
    pub(super) options: Arc<WriteOptions>,
    pub(super) shared: Shared,
    pub(super) chain: Arc<Prepared>,
    key: String,
    /// Whether the object is a shard inside another, in memory.
    nested: bool,
    region: Region,
    /// The extents of the object that lie inside the array.
    pub(super) valid: SmallVec<[u64; 4]>,
    state: State,
    spans: Spans,
    /// Whether there is a stored object that matters.
    existing: bool,
    /// What is here of it.
    pub(super) stored: Stored,
    precondition: Precondition,
    /// The version of the object, while its index is not known.
    version: Option<Version>,
    /// See [`Source::since`].
    since: u64,
    /// The encoded chunk, for an object that is no shard; `None` inside if it is empty.
    outcome: OnceLock<Option<Payload>>,
    shard: Option<ShardWrite>,
    stream: Option<Stream>,
    changes: Vec<(u64, usize)>,
}

/// What the machines of one plan share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) layout: Arc<Layout>,
    capabilities: Capabilities,
    group: Group,
}

impl<'a> WriteMachine<'a> {
    /// A machine for the objects of `plan`, writing `values` to a store that can do so much.
    #[must_use]
    pub fn new(plan: &WritePlan, values: Arc<Values<'a>>, capabilities: Capabilities) -> Self {
        let chain = Arc::clone(&plan.layout.chain);
        let region = plan.resolved.region.clone();
        let group = plan.group(capabilities);
        let shared = Shared { layout: Arc::clone(&plan.layout), capabilities, group };
        Self {
            values,
            resolved: Arc::clone(&plan.resolved),
            options: Arc::clone(&plan.options),
            shared,
            chain,
            key: String::new(),
            nested: false,
            region,
            valid: SmallVec::new(),
            state: State::Start,
            spans: SmallVec::new(),
            existing: false,
            stored: Stored::default(),
            precondition: Precondition::None,
            version: None,
            since: 0,
            outcome: OnceLock::new(),
            shard: None,
            stream: None,
            changes: Vec::new(),
        }
    }

    /// A machine for a shard inside this one's object, of which `existing` is stored.
    pub(super) fn nested(
        &self,
        chain: &Arc<Prepared>,
        existing: Option<Bytes>,
        region: &Region,
        valid: &[u64],
    ) -> Self {
        Self {
            values: Arc::clone(&self.values),
            resolved: Arc::clone(&self.resolved),
            options: Arc::clone(&self.options),
            shared: self.shared.clone(),
            chain: Arc::clone(chain),
            key: String::new(),
            nested: true,
            region: region.clone(),
            valid: valid.into(),
            state: State::Ready(Purpose::Whole),
            spans: SmallVec::new(),
            existing: existing.is_some(),
            stored: existing.map(Stored::whole).unwrap_or_default(),
            precondition: Precondition::None,
            version: None,
            since: 0,
            outcome: OnceLock::new(),
            shard: None,
            stream: None,
            changes: Vec::new(),
        }
    }

    /// Starts on object `number` of the plan.
    pub fn begin(&mut self, plan: &WritePlan, number: usize) {
        self.region = plan.objects.begin(number, &plan.layout, &mut self.key, &mut self.valid);
        self.shard = None;
        self.restart();
    }

    /// Runs the machine on a shard in memory and gives its new bytes, or `None` for none.
    pub(super) fn run_in_memory(mut self, scratch: &mut Scratch) -> Result<Option<Bytes>> {
        loop {
            match self.next()? {
                Step::Work(units) => {
                    (0..units).try_for_each(|unit| self.run(unit, scratch))?;
                }
                Step::Commit(Commit::Put) => {
                    let parts = self.parts();
                    let shard = self.shard.as_ref();
                    return match shard {
                        Some(shard) => shard.join(&parts).map(|bytes| Some(bytes.into())),
                        None => Err(Error::invalid_argument("a shard has no parts")),
                    };
                }
                Step::Commit(Commit::Delete) | Step::Done { .. } => return Ok(None),
                Step::Open | Step::Fetch(_) | Step::Append(_) | Step::Commit(_) => {
                    return Err(Error::invalid_argument("a shard in memory asked for more"));
                }
            }
        }
    }

    /// Whether nothing of the stored object survives, so that it need not be read.
    fn is_complete(&self) -> bool {
        self.region.covers(&self.valid)
    }

    fn fetch(&mut self, purpose: Purpose, spans: Spans) -> Step {
        self.spans = spans;
        self.state = State::Fetch(purpose);
        Step::Fetch(purpose)
    }

    fn fetch_whole(&mut self) -> Step {
        self.stored = Stored::default();
        self.fetch(Purpose::Whole, smallvec![Span::Whole(self.chain.stored_limit())])
    }

    fn start(&mut self) -> Result<Step> {
        if self.is_complete() {
            self.state = State::Ready(Purpose::Whole);
            return self.ready(Purpose::Whole);
        }
        let Capabilities { ranges, carry_over, .. } = self.shared.capabilities;
        if self.chain.open_shard().is_some()
            && (ranges && carry_over && self.options.partial_writes)
        {
            self.since = self.shared.layout.indexes.since(&self.key);
            self.state = State::Open;
            return Ok(Step::Open);
        }
        Ok(self.fetch_whole())
    }

    /// What to ask for of an object of this size.
    fn choose(&mut self, size: Option<u64>) -> Result<Step> {
        let chain = Arc::clone(&self.chain);
        let shard = chain.the_shard()?;
        if size.is_some_and(|size| size <= self.options.limits.tuning.small_object) {
            return Ok(self.fetch_whole());
        }
        self.shared.layout.counters.add(FastPath::PartialWrite, 1);
        let known = self
            .version
            .as_ref()
            .and_then(|version| self.shared.layout.indexes.index(&self.key, version));
        if let Some(known) = known {
            self.stored.size = known.value.size;
            self.existing = true;
            self.lay_open()?;
            let (stored, pairs) = (self.stored.clone(), known.value.pairs);
            let _ = self.shard.as_ref().map(|write| write.old.set(Old { stored, pairs }));
            return self.fetch_inner();
        }
        let length = shard.index.length() as u64;
        Ok(self.fetch(
            Purpose::Index,
            smallvec![match shard.index.location() {
                IndexLocation::Start => Span::Prefix(length),
                IndexLocation::End => Span::Suffix(length),
            }],
        ))
    }

    /// Finds the inner chunks that are touched.
    fn lay_open(&mut self) -> Result<()> {
        if self.shard.is_none() {
            let order = self.options.order;
            self.shard = Some(ShardWrite::new(&self.chain, &self.resolved, &self.region, order)?);
        }
        Ok(())
    }

    /// Asks for the old bytes of inner chunks that are changed in part, where they are not here.
    fn fetch_inner(&mut self) -> Result<Step> {
        let Some(write) = &self.shard else { return Ok(self.work(Job::Chunk)) };
        if self.stored.all().is_some() || write.old.get().is_none() {
            return self.start_inner();
        }
        let inner = &self.chain.the_shard()?.inner;
        let mut ranges = Vec::new();
        for (number, &slot) in write.slots.iter().enumerate() {
            let tile = write.tiling.tile(number);
            if tile.region.covers(&self.valid_inside(&tile.chunk, inner)) {
                continue;
            }
            ranges.extend(write.old_place(slot)?);
        }
        if ranges.is_empty() {
            return self.start_inner();
        }
        // Within a budget, no larger gap is fetched than an inner chunk.
        let mut limits = Coalescing::default();
        if self.options.limits.memory.is_some() {
            limits.gap = limits.gap.min(inner.length as u64);
        }
        let spans = coalesce(ranges, limits);
        Ok(self.fetch(Purpose::Data, spans))
    }

    fn start_inner(&mut self) -> Result<Step> {
        let Some(write) = &self.shard else { return Ok(self.work(Job::Chunk)) };
        let units = write.runs.len();
        let streams = self.options.streaming
            && self.shared.capabilities.uploads
            && self.chain.length as u64 > self.options.limits.tuning.streamed
            && !self.nested
            && self.is_complete();
        let Some(shard) = self.chain.open_shard().filter(|_| streams) else {
            return Ok(self.work(Job::Inner(0..units)));
        };
        let stream = Stream::new(shard, write, self.shared.group);
        let runs = stream.next(0, units);
        self.stream = Some(stream);
        self.shared.layout.counters.add(FastPath::Streaming, 1);
        Ok(self.work(Job::Inner(runs)))
    }

    fn ready(&mut self, purpose: Purpose) -> Result<Step> {
        if self.chain.any_shard().is_none() {
            return Ok(self.work(Job::Chunk));
        }
        self.lay_open()?;
        match purpose {
            Purpose::Data => self.start_inner(),
            Purpose::Index | Purpose::Whole if self.existing => Ok(self.work(Job::Open)),
            Purpose::Index | Purpose::Whole => self.start_inner(),
        }
    }

    fn work(&mut self, job: Job) -> Step {
        let units = match &job {
            Job::Inner(units) => units.len(),
            Job::Chunk | Job::Open | Job::Lay | Job::Index => 1,
        };
        self.state = State::Work(job);
        if self.writing().is_some() { Step::Append(units) } else { Step::Work(units) }
    }

    /// The runs of a streamed shard that are being written.
    fn writing(&self) -> Option<Range<usize>> {
        self.stream.as_ref().and_then(|stream| stream.writing.clone())
    }

    /// Whether the units of a job have come to something, and what was to be written beside them is. An
    /// executor may ask for the next step after one of them failed: what it was to write must not be taken
    /// for nothing to write then.
    fn is_worked(&self, job: &Job) -> bool {
        if self.writing().is_some() {
            return false;
        }
        let Some(write) = &self.shard else { return self.outcome.get().is_some() };
        match job {
            Job::Chunk => self.outcome.get().is_some(),
            Job::Open => write.old.get().is_some(),
            Job::Inner(runs) => write.runs[runs.clone()].iter().all(|run| run.get().is_some()),
            Job::Lay => write.laid.get().is_some(),
            Job::Index => self.stream.as_ref().is_some_and(|stream| stream.index.get().is_some()),
        }
    }

    /// What follows when the old index is decoded.
    fn opened_old(&mut self) -> Result<Step> {
        if let (Some(version), Some(old)) =
            (self.version.take(), self.shard.as_ref().and_then(|write| write.old.get()))
        {
            let size = old.stored.size;
            let source = Source { key: &self.key, version: &version, since: self.since };
            self.shared.layout.indexes.keep(source, size, &old.pairs);
        }
        self.fetch_inner()
    }

    /// What follows when inner chunks are encoded.
    fn encoded(&mut self, units: Range<usize>) -> Result<Step> {
        if let (Some(stream), Some(write)) = (&mut self.stream, &self.shard) {
            stream.place(write, units.clone());
            return Ok(self.next_group(units.end));
        }
        let patch = self.options.in_place && self.shared.capabilities.patch && !self.nested;
        if let (Some(shard), Some(write)) = (self.chain.open_shard().filter(|_| patch), &self.shard)
            && let Some(changes) = write.changes(shard)?
        {
            self.shared.layout.counters.add(FastPath::Patch, changes.len() as u64);
            self.changes = changes;
            return Ok(self.commit(Commit::Patch));
        }
        Ok(self.work(Job::Lay))
    }

    fn next_group(&mut self, start: usize) -> Step {
        let (Some(stream), Some(write)) = (&self.stream, &self.shard) else {
            return self.work(Job::Lay);
        };
        if start < write.runs.len() {
            let runs = stream.next(start, write.runs.len());
            return self.work(Job::Inner(runs));
        }
        if stream.is_empty() {
            return self.commit(Commit::Delete);
        }
        self.work(Job::Index)
    }

    fn commit(&mut self, commit: Commit) -> Step {
        self.shared.layout.forget(&self.key);
        self.state = State::Commit(commit);
        Step::Commit(commit)
    }

    /// Whether an object with nothing in it is stored rather than deleted: where a deletion has no
    /// precondition, it could hit what another writer has just put.
    pub(super) fn keeps_nothing(&self) -> bool {
        let is_safe = self.shared.capabilities.conditional_delete;
        !is_safe && !self.nested && matches!(self.precondition, Precondition::Unchanged(_))
    }

    /// What to do when all is encoded.
    fn finish(&mut self) -> Step {
        let stored = match (&self.shard, self.outcome.get()) {
            (Some(write), _) => write.laid.get().is_some_and(|laid| !laid.chunks.is_empty()),
            (None, outcome) => outcome.is_some_and(Option::is_some),
        };
        let stored = stored || self.shard.is_some() && self.keeps_nothing();
        if !stored && self.precondition == Precondition::Absent {
            self.state = State::Finished { present: false };
            return Step::Done { present: false };
        }
        self.commit(if stored { Commit::Put } else { Commit::Delete })
    }

    fn run_shard(&self, write: &ShardWrite, unit: usize, scratch: &mut Scratch) -> Result<()> {
        match &self.state {
            State::Work(Job::Open) => self.run_open(write, scratch),
            State::Work(Job::Inner(units)) => self.run_inner(write, units.start + unit, scratch),
            State::Work(Job::Lay) => {
                let values = &self.values.bytes;
                let laid =
                    write.lay(&self.chain, self.options.order, values, &mut scratch.stages)?;
                // Each unit is run once, so the place is free.
                let _ = write.laid.set(laid);
                Ok(())
            }
            State::Work(Job::Index) => {
                let Some(stream) = &self.stream else { return Ok(()) };
                // Each unit is run once, so the place is free.
                let index = &self.chain.the_shard()?.index;
                let _ = stream.index.set(index.encode(&stream.pairs, &mut scratch.stages)?);
                Ok(())
            }
            _ => Err(Error::invalid_argument("a write has no work now")),
        }
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
        match self.state.clone() {
            State::Start => self.start(),
            State::Opened(size) => self.choose(size),
            State::Open | State::Fetch(_) => {
                Err(Error::invalid_argument("a write was not supplied with what it asked for"))
            }
            State::Ready(purpose) => self.ready(purpose),
            State::Work(job) if !self.is_worked(&job) => Err(Error::invalid_argument(
                "a write goes on, but what it asked for was not done to an end",
            )),
            State::Work(Job::Open) => self.opened_old(),
            State::Work(Job::Inner(units)) => self.encoded(units),
            State::Work(Job::Chunk | Job::Lay) => Ok(self.finish()),
            State::Work(Job::Index) => Ok(self.commit(Commit::Finish)),
            State::Commit(commit) => Ok(Step::Commit(commit)),
            State::Finished { present } => Ok(Step::Done { present }),
        }
    }

    fn opened(&mut self, version: Option<Version>, size: Option<u64>) {
        if let Some(version) = &version {
            self.precondition = Precondition::Unchanged(version.clone());
        }
        self.version = version.filter(|version| !version.is_tentative());
        self.state = State::Opened(size);
    }

    fn without_ranges(&mut self) -> bool {
        let had_ranges = std::mem::replace(&mut self.shared.capabilities.ranges, false);
        if had_ranges {
            self.restart();
        }
        had_ranges
    }

    fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn supply(&mut self, pieces: Option<&mut Vec<Piece>>, precondition: Precondition) {
        self.precondition = precondition;
        let purpose = match (&self.state, pieces) {
            (State::Fetch(purpose), Some(pieces)) => {
                self.existing = true;
                self.stored.add(pieces);
                *purpose
            }
            _ => {
                self.existing = false;
                Purpose::Whole
            }
        };
        if purpose == Purpose::Data
            && let Some(old) = self.shard.as_mut().and_then(|write| write.old.get_mut())
        {
            old.stored = self.stored.clone();
        }
        self.state = State::Ready(purpose);
    }

    fn run(&self, unit: usize, scratch: &mut Scratch) -> Result<()> {
        match (&self.state, &self.shard) {
            (State::Work(Job::Chunk), _) => {
                let place = (&self.region, &self.valid[..]);
                let existing = if self.existing { self.stored.all() } else { None };
                let mut encoded = Encoded::default();
                let stored = self.encode(&self.chain, existing, place, scratch, &mut encoded)?;
                // Each unit is run once, so the place is free.
                let _ = self.outcome.set(stored.then(|| encoded.into_object()));
                Ok(())
            }
            (_, Some(write)) => self.run_shard(write, unit, scratch),
            _ => Err(Error::invalid_argument("a write has no work now")),
        }
    }

    fn estimate(&self) -> u64 {
        match &self.state {
            State::Work(Job::Inner(runs)) => {
                let chunks =
                    self.shard.as_ref().map_or(0, |write| write.places(runs.clone()).len());
                self.chain.cost(self.weight(chunks))
            }
            State::Work(Job::Chunk) => self.chain.cost(self.chain.length as u64),
            State::Work(Job::Lay) if self.chain.open_shard().is_none() => {
                self.chain.cost(self.chain.length as u64)
            }
            _ => 0,
        }
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let Some(write) = &self.shard else {
            let outcome = self.outcome.get().and_then(Option::as_ref);
            let part = outcome.map(|encoded| encoded.part(&self.values.bytes));
            return part.into_iter().collect();
        };
        if let Some(stream) = &self.stream {
            let Some(runs) = stream.writing.clone() else {
                return stream.index.get().map(|index| Part::Bytes(index)).into_iter().collect();
            };
            let runs = write.runs[runs].iter().filter_map(OnceLock::get);
            let values = &self.values.bytes;
            return runs.map(|run| Part::Bytes(run.payload.get(values))).collect();
        }
        let (Some(laid), Some(shard)) = (write.laid.get(), self.chain.any_shard()) else {
            return Vec::new();
        };
        match &laid.sealed {
            Some(sealed) => vec![Part::Bytes(sealed)],
            None => write.parts(laid, shard, &self.values.bytes),
        }
    }

    fn offset(&self) -> u64 {
        let Some(stream) = &self.stream else { return 0 };
        let at_start = self
            .chain
            .any_shard()
            .is_some_and(|shard| shard.index.location() == IndexLocation::Start);
        if stream.writing.is_none() && at_start { 0 } else { stream.offset }
    }

    fn changes(&self) -> Vec<(u64, &[u8])> {
        let Some(write) = &self.shard else { return Vec::new() };
        let change = |&(offset, place): &(u64, usize)| {
            Some((offset, write.encoded(place, &self.values.bytes)?))
        };
        self.changes.iter().filter_map(change).collect()
    }

    fn precondition(&self) -> Precondition {
        self.precondition.clone()
    }

    fn committed(&mut self) {
        if let (State::Work(_), Some(stream), Some(write)) =
            (&self.state, &mut self.stream, &mut self.shard)
        {
            return stream.written(write);
        }
        let State::Commit(commit) = self.state else { return };
        // Whoever read it meanwhile may know the old one.
        self.shared.layout.forget(&self.key);
        self.state = State::Finished { present: commit != Commit::Delete };
    }

    fn restart(&mut self) {
        self.state = State::Start;
        self.existing = false;
        self.stored = Stored::default();
        self.precondition = Precondition::None;
        self.version = None;
        self.outcome = OnceLock::new();
        self.changes.clear();
        let streamed = self.stream.take().is_some();
        if let Some(write) = &mut self.shard {
            write.old = OnceLock::new();
            write.laid = OnceLock::new();
            for run in &mut write.runs {
                if run.get().is_some_and(|run| streamed || !run.independent) {
                    *run = OnceLock::new();
                }
            }
        }
    }
}
