//! Reading one stored object: fetch, decode, scatter.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use smallvec::SmallVec;

use super::explain::Explained;
use super::kept::copying;
use super::node::{Leaf, Node};
use super::{ReadOptions, ReadPlan};
use crate::buffer::{Output, usize_of};
use crate::codec::{Elements, Prepared};
use crate::error::{Error, Result};
use crate::plan::machine::{Machine, Purpose, Scratch, Step};
use crate::plan::pieces::{Pieces, Spans};
use crate::plan::{FastPath, Layout, run_length, transfer};
use crate::selection::{Region, Resolved};
use crate::store::{Capabilities, Piece, Precondition, Span, Version};

/// The reading of one object.
#[derive(Debug)]
pub struct ReadMachine<'a> {
    pub(super) chain: Arc<Prepared>,
    pub(super) resolved: Arc<Resolved>,
    pub(super) output: Arc<Output<'a>>,
    pub(super) shared: Shared,
    /// What the store can do.
    pub(super) capabilities: Capabilities,
    pub(super) key: String,
    pub(super) region: Region,
    /// The extents of the object that lie inside the array.
    pub(super) valid: SmallVec<[u64; 4]>,
    pub(super) aim: Aim,
    pub(super) counted: AtomicU64,
    /// Bytes of the result.
    pub(super) room: usize,
    /// What was found out, if that is all that the machine does.
    pub(super) explained: Option<Explained>,
    pub(super) state: State,
    pub(super) version: Option<Version>,
    /// See [`Source::since`](crate::plan::cache::Source::since): of both caches, which forget together.
    pub(super) since: u64,
    /// The version that chunks are kept by and looked for.
    pub(super) pinned: Option<Version>,
    /// The object's only chunk, if it was known.
    pub(super) kept: Option<Arc<Elements>>,
    /// The version that the index or the chunk was known of, and when that was last certain.
    pub(super) confirmed: Option<(Version, Instant)>,
    pub(super) spans: Spans,
    pub(super) targets: Vec<Target>,
    pub(super) pieces: Pieces,
    /// Shards whose inner chunks are wanted: the object itself, then nested ones, level by level.
    pub(super) nodes: Vec<Node>,
    /// Inner chunks to decode or fill.
    pub(super) leaves: Vec<Leaf>,
    /// Where each batch of leaves ends: those that are fetched together.
    pub(super) batches: Vec<usize>,
    /// Bytes of the indexes of nested shards.
    pub(super) indexes: u64,
    /// Which units of the present work were begun. A unit writes where no other does, but only
    /// once: what is begun twice is refused.
    pub(super) begun: SmallVec<[AtomicBool; 8]>,
}

/// What a machine is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The elements, in the output.
    Values,
    /// Whether everything can be decoded.
    Soundness,
    /// How many inner chunks are stored: it fetches indexes, and of the rest only what indexes are
    /// hidden in.
    Count,
}

/// What the machines of one plan share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) options: Arc<ReadOptions>,
    pub(super) layout: Arc<Layout>,
}

/// Bytes of the object that go to the output as they are.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) source: Range<u64>,
    pub(super) offset: usize,
    /// Whether its memory was given out.
    pub(super) claimed: AtomicBool,
}

impl Target {
    pub(super) fn new(source: Range<u64>, offset: usize) -> Self {
        Self { source, offset, claimed: AtomicBool::new(false) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing asked yet.
    Start,
    /// Waiting for the object to be pinned, to ask for this then.
    Open(Purpose),
    /// The object is pinned, and what this is for is not known.
    Opened(Purpose),
    /// Waiting for the whole object, or for a part of a chunk that is stored as it is.
    Whole,
    /// Waiting for the indexes of these nodes.
    Index(Range<usize>),
    /// Waiting for the inner chunks of this batch.
    Data(usize),
    /// Everything for this job is here.
    Ready(Job),
    /// The job's units are being run.
    Work(Job),
    /// All work is done.
    Finished { present: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// Fill the object's region.
    Fill,
    /// Decode the object, which is one chunk.
    Chunk,
    /// Scatter the object, which is one chunk that is stored as it is, from parts that are read one by one.
    Parts,
    /// Copy from the object's only chunk, which was known.
    Kept,
    /// Decode the indexes of these nodes.
    Indexes(Range<usize>),
    /// Decode or fill the leaves of this batch.
    Leaves(usize),
    /// Decode or fill the inner chunks of a shard all of which is here.
    Tiles,
}

impl<'a> ReadMachine<'a> {
    /// A machine for the objects of `plan`, filling `output`. Each object is begun by one machine
    /// only, so that no two write the same elements.
    pub(crate) fn new(
        plan: &ReadPlan,
        output: Arc<Output<'a>>,
        capabilities: Capabilities,
    ) -> Self {
        let shared =
            Shared { options: Arc::clone(&plan.options), layout: Arc::clone(&plan.layout) };
        let chain = Arc::clone(&plan.layout.chain);
        let region = plan.resolved.region.clone();
        Self::build(chain, Arc::clone(&plan.resolved), output, (shared, capabilities), region)
    }

    pub(super) fn build(
        chain: Arc<Prepared>,
        resolved: Arc<Resolved>,
        output: Arc<Output<'a>>,
        (shared, capabilities): (Shared, Capabilities),
        region: Region,
    ) -> Self {
        Self {
            chain,
            resolved,
            room: output.len(),
            explained: None,
            output,
            shared,
            capabilities,
            key: String::new(),
            region,
            valid: SmallVec::new(),
            aim: Aim::Values,
            counted: AtomicU64::new(0),
            state: State::Start,
            version: None,
            since: 0,
            pinned: None,
            kept: None,
            confirmed: None,
            spans: SmallVec::new(),
            targets: Vec::new(),
            pieces: Pieces::default(),
            nodes: Vec::new(),
            leaves: Vec::new(),
            batches: Vec::new(),
            indexes: 0,
            begun: SmallVec::new(),
        }
    }

    /// Starts on object `number` of the plan.
    pub(crate) fn begin(&mut self, plan: &ReadPlan, number: usize) {
        self.region = plan.objects.begin(number, &plan.layout, &mut self.key, &mut self.valid);
        self.restart();
    }

    /// A machine that examines whole objects, of which `plan` reads one, and has no output.
    pub(crate) fn examiner(plan: &ReadPlan, capabilities: Capabilities, aim: Aim) -> Self {
        let output = Arc::new(Output::owned(Vec::new()));
        Self { aim, ..Self::new(plan, output, capabilities) }
    }

    /// Starts on the object at `chunk` of the grid, whatever object the plan is for.
    pub(crate) fn begin_at(&mut self, plan: &ReadPlan, chunk: &[u64]) {
        self.region.clone_from(&plan.resolved.region);
        plan.layout.keys.write_key(&plan.layout.prefix, chunk, &mut self.key);
        plan.layout.valid(chunk, &mut self.valid);
        self.restart();
    }

    /// How many inner chunks of the present object are stored.
    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    pub(super) fn work(&mut self, job: Job) -> Step {
        let units = match &job {
            Job::Fill | Job::Kept | Job::Parts => self.slabs(),
            Job::Chunk if self.chain.is_raw() && !self.keeps_object() => self.slabs(),
            Job::Chunk => 1,
            Job::Indexes(nodes) => nodes.len(),
            Job::Leaves(batch) => self.batch(*batch).len().div_ceil(self.run_length()),
            Job::Tiles => {
                self.tiles().map_or(0, |(inner, tiles)| tiles.div_ceil(run_length(inner)))
            }
        };
        if matches!(job, Job::Fill | Job::Kept | Job::Parts | Job::Chunk) && units > 1 {
            self.shared.layout.counters.add(FastPath::Slabs, units as u64);
        }
        self.begun.clear();
        self.begun.resize_with(units, AtomicBool::default);
        self.state = State::Work(job);
        Step::Work(units)
    }

    /// Takes note that a unit of the present work is begun, which happens once.
    fn claim(&self, unit: usize) -> Result<()> {
        let begun = self.begun.get(unit).map(|begun| begun.swap(true, Ordering::Relaxed));
        if begun != Some(false) {
            return Err(Error::invalid_argument("a unit of work is run once"));
        }
        Ok(())
    }

    /// Whether every unit of the present work was begun. Units borrow the machine while they run, so
    /// what was begun has ended when this is asked.
    fn is_worked(&self) -> bool {
        self.begun.iter().all(|begun| begun.load(Ordering::Relaxed))
    }

    /// Ranges at most so far apart are fetched together.
    pub(super) fn gap(&self) -> u64 {
        self.shared.options.coalesce_gap.min(self.capabilities.gap)
    }

    /// The leaves of a batch.
    pub(super) fn batch(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).map_or(0, |before| self.batches[before]);
        start..self.batches[number]
    }

    /// How many leaves are a unit.
    fn run_length(&self) -> usize {
        let inner = self.leaves.first().and_then(|leaf| self.inner(leaf).ok());
        inner.map_or(1, |inner| run_length(inner))
    }

    /// The chain of the object's inner chunks, and how many of them are wanted.
    fn tiles(&self) -> Option<(&Arc<Prepared>, usize)> {
        let root = self.nodes.first()?;
        Some((&root.chain.the_shard().ok()?.inner, root.tiling.len()))
    }

    pub(super) fn inner(&self, leaf: &Leaf) -> Result<&Arc<Prepared>> {
        Ok(&self.nodes[leaf.node].chain.the_shard()?.inner)
    }

    /// Whether the whole object is here, so that nothing more has to be fetched.
    pub(super) fn is_whole(&self) -> bool {
        let explained = self.explained.as_ref().is_some_and(|explained| explained.whole);
        explained || matches!(self.spans[..], [Span::Whole(_)])
    }
}

impl Machine for ReadMachine<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    fn codec(&self) -> &'static str {
        self.chain.outermost()
    }

    fn next(&mut self) -> Result<Step> {
        match self.state.clone() {
            State::Start => self.start(),
            State::Work(_) if !self.is_worked() => {
                Err(Error::invalid_argument("units of a read were not run"))
            }
            State::Opened(Purpose::Index) => {
                let chain = Arc::clone(&self.chain);
                Ok(self.ask_for_index(chain.the_shard()?))
            }
            State::Opened(_) => Ok(self.ask_for_whole()),
            State::Ready(Job::Chunk) if self.chain.open_shard().is_some() => {
                if self.nodes.is_empty() {
                    self.push_root()?;
                }
                Ok(self.work(Job::Indexes(0..1)))
            }
            State::Ready(Job::Chunk) if self.spans.is_empty() => {
                self.state = State::Finished { present: true };
                Ok(Step::Done { present: true })
            }
            State::Ready(job) => Ok(self.work(job)),
            State::Work(Job::Indexes(nodes)) => self.expand(nodes),
            State::Work(Job::Leaves(batch)) if batch + 1 < self.batches.len() => {
                Ok(self.fetch_batch(batch + 1))
            }
            State::Work(job) => {
                let present = job != Job::Fill;
                self.state = State::Finished { present };
                Ok(Step::Done { present })
            }
            State::Finished { present } => Ok(Step::Done { present }),
            State::Open(_) | State::Whole | State::Index(_) | State::Data(_) => {
                Err(Error::invalid_argument("a read was not supplied with what it asked for"))
            }
        }
    }

    fn usual(&self) -> u64 {
        self.chain.length as u64
    }

    fn is_believed(&self) -> bool {
        let staleness = self.shared.options.index_staleness;
        self.confirmed.as_ref().is_some_and(|(_, at)| at.elapsed() < staleness)
    }

    fn confirmed(&mut self) {
        let Some((version, _)) = &self.confirmed else { return };
        match self.chain.open_shard() {
            Some(_) => self.shared.layout.indexes.confirm(&self.key, version),
            None => self.shared.layout.chunks.confirm(&self.key, version),
        }
    }

    fn expected(&self) -> Option<Version> {
        match self.chain.open_shard() {
            Some(_) => self.shared.layout.indexes.version(&self.key),
            None => self.shared.layout.chunks.version(&self.key),
        }
    }

    fn opened(&mut self, version: Option<Version>, _size: Option<u64>) {
        let State::Open(purpose) = self.state else { return };
        self.state = State::Opened(purpose);
        let Some(version) = version else { return };
        self.pin(&version);
        if self.chain.open_shard().is_none() {
            return self.take_kept();
        }
        if let Some(known) = self.shared.layout.indexes.index(&self.key, &version)
            && let Some(root) = self.nodes.first()
            && root.index.set(known.value.pairs).is_ok()
        {
            self.confirmed = Some((version, known.at));
            self.shared.layout.counters.add(FastPath::CachedIndex, 1);
            self.pieces.set_object_size(known.value.size);
            self.state = State::Work(Job::Indexes(0..1));
        } else if !self.is_explained() && !version.is_tentative() {
            self.version = Some(version);
        }
    }

    fn targets(&self, size: Option<u64>) -> usize {
        let fits = match self.state {
            // A store that tells sizes late may have it; what is of another size is not placed.
            State::Whole => size.is_none_or(|size| size == self.chain.length as u64),
            _ => true,
        };
        if fits { self.targets.len() } else { 0 }
    }

    fn target(&self, number: usize) -> Option<(u64, &mut [u8])> {
        // At any other time units may be writing there.
        if !matches!(self.state, State::Whole | State::Data(_)) {
            return None;
        }
        let Target { source, offset, claimed } = self.targets.get(number)?;
        if claimed.swap(true, Ordering::Relaxed) {
            return None;
        }
        let memory = transfer::part(&self.output, *offset, usize_of(source.end - source.start))?;
        Some((source.start, memory))
    }

    fn placed(&mut self) {
        let placed = self.targets.len() as u64;
        self.shared.layout.counters.add(FastPath::DirectRead, placed);
        self.targets.clear();
        if self.state == State::Whole {
            self.explain_chunk(&self.chain, &self.region, self.chain.length as u64);
            self.spans.clear();
        }
    }

    fn without_targets(&mut self) {
        if self.targets.is_empty() {
            return;
        }
        let State::Data(batch) = self.state else { return self.targets.clear() };
        let batch = self.batch(batch);
        self.drop_targets(batch.clone());
        self.spans = self.missing(batch);
    }

    fn begin_parts(&mut self, size: u64) -> usize {
        if self.is_in_parts(size) { self.begin_slabs() } else { 0 }
    }

    fn part_of(&self, unit: usize) -> Option<Range<u64>> {
        self.slab_place(unit)
    }

    fn run_on(&self, unit: usize, bytes: &[u8], scratch: &mut Scratch) -> Result<()> {
        self.claim(unit)?;
        self.scatter_slab(unit, bytes, scratch)
    }

    fn without_ranges(&mut self) -> bool {
        let had_ranges = std::mem::replace(&mut self.capabilities.ranges, false);
        if had_ranges {
            self.restart();
        }
        had_ranges
    }

    fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn reclaim(&mut self) -> Option<Vec<u8>> {
        self.pieces.clear()
    }

    fn supply(&mut self, pieces: Option<&mut Vec<Piece>>, precondition: Precondition) {
        // A store that tells the version only when it is read.
        if let Precondition::Unchanged(version) = precondition {
            self.learn(version);
        }
        let Some(pieces) = pieces else {
            self.state = State::Ready(Job::Fill);
            return;
        };
        self.pieces.add(pieces);
        let job = match self.state.clone() {
            State::Index(nodes) => Job::Indexes(nodes),
            State::Data(batch) => Job::Leaves(batch),
            _ => Job::Chunk,
        };
        self.state = State::Ready(job);
    }

    fn run(&self, unit: usize, scratch: &mut Scratch) -> Result<()> {
        let State::Work(job) = &self.state else {
            return Err(Error::invalid_argument("a read has no work now"));
        };
        self.claim(unit)?;
        match job {
            Job::Fill | Job::Kept if self.is_explained() => Ok(()),
            Job::Chunk if self.is_explained() => {
                self.explain_object();
                Ok(())
            }
            Job::Fill => self.fill(&self.chain, &self.slab(unit), scratch),
            Job::Chunk if !self.is_whole() => self.decode_part(&self.slab(unit), scratch),
            Job::Chunk => self.decode_object(&self.slab(unit), scratch),
            Job::Parts => Err(Error::invalid_argument("the unit works on bytes that it is given")),
            Job::Kept => {
                self.count_kept(u64::from(unit == 0));
                let Some(chunk) = &self.kept else { return Ok(()) };
                self.scatter_kept(&self.chain, &self.slab(unit), chunk, scratch)
            }
            Job::Indexes(nodes) => {
                let node = &self.nodes[nodes.start + unit];
                let place = node.index_place(self.pieces.object_size())?;
                let shard = node.chain.the_shard()?;
                let pairs = shard.index.decode(self.pieces.get(&place)?, &mut scratch.stages)?;
                self.explain_index(place.end - place.start);
                // Each unit is run once, so the place is free.
                let _ = node.index.set(Arc::new(pairs));
                Ok(())
            }
            Job::Leaves(batch) => {
                let (batch, run) = (self.batch(*batch), self.run_length());
                let start = batch.start + unit * run;
                let leaves = start..batch.end.min(start + run);
                if self.is_explained() {
                    return self.explain_leaves(leaves);
                }
                self.run_leaves(leaves, scratch)
            }
            Job::Tiles => {
                let Some((inner, tiles)) = self.tiles() else { return Ok(()) };
                let (start, run) = (unit * run_length(inner), run_length(inner));
                self.run_tiles(start..tiles.min(start + run), scratch)
            }
        }
    }

    fn estimate(&self) -> u64 {
        let State::Work(job) = &self.state else { return 0 };
        match job {
            Job::Fill | Job::Chunk | Job::Parts => self.chain.cost(self.chain.length as u64),
            Job::Kept => copying(self.chain.length as u64),
            Job::Indexes(nodes) => {
                let length = |node: &Node| {
                    node.chain.the_shard().map_or(0, |shard| shard.index.length() as u64)
                };
                self.nodes[nodes.clone()].iter().map(length).sum()
            }
            Job::Leaves(batch) => {
                let leaves = &self.leaves[self.batch(*batch)];
                let Some(inner) = leaves.first().and_then(|leaf| self.inner(leaf).ok()) else {
                    return 0;
                };
                let known = leaves.iter().filter(|leaf| leaf.is_kept()).count();
                let bytes = |leaves: usize| (leaves as u64).saturating_mul(inner.length as u64);
                inner.cost(bytes(leaves.len() - known)).saturating_add(copying(bytes(known)))
            }
            Job::Tiles => self.tiles().map_or(0, |(inner, tiles)| {
                inner.cost((tiles as u64).saturating_mul(inner.length as u64))
            }),
        }
    }

    fn restart(&mut self) {
        self.state = State::Start;
        (self.version, self.pinned, self.kept, self.confirmed) = (None, None, None, None);
        self.counted = AtomicU64::new(0);
        // What an index that is known stands for has no units.
        self.begun.clear();
        self.spans.clear();
        self.targets.clear();
        self.nodes.clear();
        self.leaves.clear();
        self.batches.clear();
        self.indexes = 0;
        self.pieces.clear();
        if self.is_explained() {
            self.explained = Some(Explained::default());
        }
    }
}
