//! Reading one stored object: fetch, decode, scatter.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::machine::{Machine, Purpose, Scratch, Step};
use super::pieces::{Coalescing, Pieces, coalesce};
use super::{Layout, transfer};
use crate::buffer::{Buffer, Output};
use crate::codec::{IndexLocation, Prepared, PreparedShard};
use crate::error::{Error, Result, ResultExt};
use crate::selection::{Region, Resolved, Tile, Tiling};
use crate::shard::{Entry, PreparedIndex};
use crate::store::{Piece, Precondition, Span};

/// How a request reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// Ranges of a shard at most this many bytes apart are fetched together; 0 fetches each alone.
    pub coalesce_gap: u64,
    /// A joined range grows to at most this many bytes.
    pub coalesce_span: u64,
    /// Whether parts of shards are fetched at all, rather than whole objects.
    pub partial_reads: bool,
    /// Whether a missing object is an error rather than fill value.
    pub missing_is_error: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        let Coalescing { gap, span } = Coalescing::default();
        Self {
            coalesce_gap: gap,
            coalesce_span: span,
            partial_reads: true,
            missing_is_error: false,
        }
    }
}

/// Bytes of nested indexes that may be decoded beyond what the object holds of them.
const SHARED_INDEXES: u64 = 16 << 20;

/// What a read has to do: one machine for each stored object of the selection.
#[derive(Debug)]
pub struct ReadPlan {
    layout: Layout,
    resolved: Arc<Resolved>,
    tiling: Tiling,
    options: ReadOptions,
}

impl ReadPlan {
    /// Plans the reading of `resolved`.
    ///
    /// # Errors
    /// `Limit` if the selection touches more objects than one request may.
    pub fn new(layout: Layout, resolved: Resolved, options: ReadOptions) -> Result<Self> {
        let tiling = Tiling::new(&resolved, &resolved.region, &layout.chain.spec.shape)?;
        Ok(Self { layout, resolved: Arc::new(resolved), tiling, options })
    }

    /// How many stored objects the selection touches.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.tiling.len()
    }

    /// A machine for each object, all filling `output`, and what the output becomes when they are
    /// done. `ranges`: whether the store can read parts of objects.
    #[must_use]
    pub fn machines<'a>(
        &self,
        output: Output<'a>,
        ranges: bool,
    ) -> (Vec<ReadMachine<'a>>, Arc<Output<'a>>) {
        let output = Arc::new(output);
        let machine = |number| {
            let mut machine = ReadMachine::new(self, Arc::clone(&output), ranges);
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
}

/// The reading of one object.
#[derive(Debug)]
pub struct ReadMachine<'a> {
    chain: Arc<Prepared>,
    resolved: Arc<Resolved>,
    output: Arc<Output<'a>>,
    options: ReadOptions,
    /// Whether the store can read parts.
    ranges: bool,
    key: String,
    region: Region,
    /// The extents of the object that lie inside the array.
    valid: Vec<u64>,
    /// Set if stored inner chunks are to be counted, not decoded.
    survey: Option<Arc<AtomicU64>>,
    state: State,
    spans: Vec<Span>,
    pieces: Pieces,
    /// Shards whose inner chunks are wanted: the object itself, then nested ones, level by level.
    nodes: Vec<Node>,
    /// Inner chunks to decode or fill.
    leaves: Vec<Leaf>,
    /// Bytes of the indexes of nested shards.
    indexes: u64,
    /// Which units of the present work were begun. A unit writes where no other does, but only
    /// once: what is begun twice is refused.
    begun: Vec<AtomicBool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing asked yet.
    Start,
    /// Waiting for the whole object.
    Whole,
    /// Waiting for the indexes of these nodes.
    Index(Range<usize>),
    /// Waiting for inner chunks.
    Data,
    /// Everything for this job is here.
    Ready(Job),
    /// The job's units are being run.
    Work(Job),
    /// All work is done.
    Finished { present: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Job {
    /// Fill the object's region.
    Fill,
    /// Decode the object, which is one chunk.
    Chunk,
    /// Decode the indexes of these nodes.
    Indexes(Range<usize>),
    /// Decode or fill the leaves.
    Leaves,
}

/// A shard, in the object or in another shard.
#[derive(Debug)]
struct Node {
    /// The chain whose encoded form the shard is.
    chain: Arc<Prepared>,
    /// Where in the object it is; `None` for all of it.
    place: Option<Range<u64>>,
    tiling: Tiling,
    /// Decoded by a unit of work.
    index: OnceLock<Vec<u64>>,
}

/// An inner chunk that is no shard in the open.
#[derive(Debug)]
struct Leaf {
    node: usize,
    tile: usize,
    place: Place,
}

/// Where in the object an inner chunk is.
#[derive(Debug, Clone)]
enum Place {
    Empty,
    At(Range<u64>),
    /// Nowhere: its entry in the index is damaged. The unit that wants it says how, so that the
    /// other inner chunks are not held up.
    Bad,
}

impl Node {
    fn new(
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
    fn place(&self, size: u64) -> Range<u64> {
        self.place.clone().unwrap_or(0..size)
    }

    /// Where the shard's index is in an object of `size` bytes.
    fn index_place(&self, size: u64) -> Result<Range<u64>> {
        let place = self.place(size);
        let index = self.chain.the_shard()?.index.place(place.end - place.start)?;
        Ok(place.start + index.start..place.start + index.end)
    }

    /// What the index says of a tile's inner chunk, in an object of `size` bytes.
    fn entry(&self, tile: &Tile, size: u64) -> Result<Entry> {
        let place = self.place(size);
        let shard = self.chain.the_shard()?;
        let steps = tile.chunk.iter().zip(&shard.slot_strides);
        let slot = steps.map(|(at, stride)| at * stride).sum();
        let pairs = self.index.get().map(Vec::as_slice).unwrap_or_default();
        let most = shard.inner.stored_limit();
        PreparedIndex::entry(pairs, slot, place.end - place.start, most)
    }
}

impl Leaf {
    fn range(&self) -> Option<Range<u64>> {
        match &self.place {
            Place::At(range) => Some(range.clone()),
            Place::Empty | Place::Bad => None,
        }
    }
}

/// Nested shards may share their bytes, indexes included; decoded, each counts by itself. What is
/// more than an object of `size` bytes could hold without sharing is refused.
fn check_indexes(total: u64, size: u64) -> Result<()> {
    if total <= size.saturating_add(SHARED_INDEXES) {
        return Ok(());
    }
    let message =
        format!("nested shards have {total} bytes of indexes in an object of {size} bytes");
    Err(Error::limit(message).with("codec", "sharding_indexed"))
}

impl<'a> ReadMachine<'a> {
    /// A machine for the objects of `plan`, filling `output`. Each object is begun by one machine
    /// only, so that no two write the same elements.
    pub(crate) fn new(plan: &ReadPlan, output: Arc<Output<'a>>, ranges: bool) -> Self {
        let chain = Arc::clone(&plan.layout.chain);
        let region = plan.resolved.region.clone();
        Self::build(chain, Arc::clone(&plan.resolved), output, (plan.options, ranges), region)
    }

    fn build(
        chain: Arc<Prepared>,
        resolved: Arc<Resolved>,
        output: Arc<Output<'a>>,
        (options, ranges): (ReadOptions, bool),
        region: Region,
    ) -> Self {
        Self {
            chain,
            resolved,
            output,
            options,
            ranges,
            key: String::new(),
            region,
            valid: Vec::new(),
            survey: None,
            state: State::Start,
            spans: Vec::new(),
            pieces: Pieces::default(),
            nodes: Vec::new(),
            leaves: Vec::new(),
            indexes: 0,
            begun: Vec::new(),
        }
    }

    /// Starts on object `number` of the plan.
    pub(crate) fn begin(&mut self, plan: &ReadPlan, number: usize) {
        let tile = plan.tiling.tile(number);
        plan.layout.keys.write_key(&plan.layout.prefix, &tile.chunk, &mut self.key);
        self.valid = plan.layout.valid(&tile.chunk);
        self.region = tile.region;
        self.state = State::Start;
        self.nodes.clear();
        self.leaves.clear();
        self.indexes = 0;
        self.pieces.clear();
    }

    /// Makes the machine count stored inner chunks into `counter` instead of decoding them. It
    /// fetches indexes, and of the rest only what indexes are hidden in.
    pub(crate) fn count_into(&mut self, counter: Arc<AtomicU64>) {
        self.survey = Some(counter);
    }

    /// The first request: the index if only a part of a shard is wanted, else everything.
    fn start(&mut self) -> Result<Step> {
        let chain = Arc::clone(&self.chain);
        if let Some(shard) = chain.open_shard().filter(|_| self.ranges) {
            self.push_root()?;
            let partial = self.options.partial_reads && !self.wants_everything(shard);
            if partial || self.survey.is_some() {
                let length = shard.index.length() as u64;
                self.spans.clear();
                self.spans.push(match shard.index.location() {
                    IndexLocation::Start => Span::Prefix(length),
                    IndexLocation::End => Span::Suffix(length),
                });
                self.state = State::Index(0..1);
                return Ok(Step::Fetch(Purpose::Index));
            }
        }
        self.spans.clear();
        self.spans.push(Span::Whole(self.chain.stored_limit()));
        self.state = State::Whole;
        Ok(Step::Fetch(Purpose::Whole))
    }

    /// Whether the region holds something of every inner chunk inside the array, so that nothing
    /// would be left out by looking at the index first.
    fn wants_everything(&self, shard: &PreparedShard) -> bool {
        if shard.inner.open_shard().is_some() {
            return self.region.covers(&self.valid);
        }
        let extents = self.valid.iter().zip(&shard.inner.spec.shape);
        let inside: u64 = extents.map(|(valid, chunk)| valid.div_ceil(*chunk)).product();
        self.nodes.first().is_some_and(|root| root.tiling.len() as u64 == inside)
    }

    fn push_root(&mut self) -> Result<()> {
        let chain = Arc::clone(&self.chain);
        self.nodes.push(Node::new(chain, &self.resolved, None, &self.region)?);
        Ok(())
    }

    fn work(&mut self, job: Job) -> Step {
        let units = match &job {
            Job::Fill | Job::Chunk => 1,
            Job::Indexes(nodes) => nodes.len(),
            Job::Leaves => self.leaves.len(),
        };
        self.begun.clear();
        self.begun.resize_with(units, AtomicBool::default);
        self.state = State::Work(job);
        Step::Work(units)
    }

    /// Whether the whole object is here, so that nothing more has to be fetched.
    fn is_whole(&self) -> bool {
        matches!(self.spans[..], [Span::Whole(_)])
    }

    /// Turns decoded indexes into leaves and nested shards, and asks for what those need.
    fn expand(&mut self, decoded: Range<usize>) -> Result<Step> {
        let nested = self.nodes.len();
        let size = self.pieces.object_size();
        for number in decoded {
            self.expand_node(number, size)?;
        }
        let nested = nested..self.nodes.len();
        if nested.is_empty() && self.count_leaves()? {
            self.state = State::Finished { present: true };
            return Ok(Step::Done { present: true });
        }
        let job = if nested.is_empty() { Job::Leaves } else { Job::Indexes(nested.clone()) };
        if self.is_whole() {
            return Ok(self.work(job));
        }
        let ranges: Vec<Range<u64>> = if nested.is_empty() {
            self.leaves.iter().filter_map(Leaf::range).collect()
        } else {
            // A shard too short for its index is reported by the unit that wants it.
            let nodes = self.nodes[nested.clone()].iter();
            nodes.filter_map(|node| node.index_place(size).ok()).collect()
        };
        if ranges.is_empty() {
            return Ok(self.work(job));
        }
        let limits =
            Coalescing { gap: self.options.coalesce_gap, span: self.options.coalesce_span };
        self.spans = coalesce(ranges, limits);
        if nested.is_empty() {
            self.state = State::Data;
            return Ok(Step::Fetch(Purpose::Data));
        }
        self.state = State::Index(nested);
        Ok(Step::Fetch(Purpose::Index))
    }

    /// In a survey: counts the leaves, if none of them can hold inner chunks of its own.
    fn count_leaves(&self) -> Result<bool> {
        let Some(counter) = &self.survey else { return Ok(false) };
        let mut stored = 0;
        for leaf in self.leaves.iter().filter(|leaf| leaf.range().is_some()) {
            if self.nodes[leaf.node].chain.the_shard()?.inner.any_shard().is_some() {
                return Ok(false);
            }
            stored += 1;
        }
        counter.fetch_add(stored, Ordering::Relaxed);
        Ok(true)
    }

    fn expand_node(&mut self, number: usize, size: u64) -> Result<()> {
        let node = &self.nodes[number];
        let place = node.place(size);
        let shard = node.chain.the_shard()?;
        let inner = Arc::clone(&shard.inner);
        // The unit that failed to decode the index has reported that.
        let Some(pairs) = node.index.get() else { return Ok(()) };
        let most = inner.stored_limit();
        let mut nested = Vec::new();
        let mut indexes = self.indexes;
        let index_length = inner.open_shard().map_or(0, |nested| nested.index.length() as u64);
        for (tile, slot) in node.tiling.linear(&shard.slot_strides).into_iter().enumerate() {
            let place = match PreparedIndex::entry(pairs, slot, place.end - place.start, most) {
                Ok(Entry::Empty) => Place::Empty,
                Ok(Entry::At(at)) => Place::At(place.start + at.start..place.start + at.end),
                Err(_) => Place::Bad,
            };
            match place {
                Place::At(at) if inner.open_shard().is_some() => {
                    let region = node.tiling.tile(tile).region;
                    indexes += index_length;
                    check_indexes(indexes, size)?;
                    let chain = Arc::clone(&inner);
                    nested.push(Node::new(chain, &self.resolved, Some(at), &region)?);
                }
                place => self.leaves.push(Leaf { node: number, tile, place }),
            }
        }
        self.nodes.append(&mut nested);
        self.indexes = indexes;
        Ok(())
    }

    fn run_leaf(&self, leaf: &Leaf, scratch: &mut Scratch) -> Result<()> {
        let node = &self.nodes[leaf.node];
        let tile = node.tiling.tile(leaf.tile);
        let inner = &node.chain.the_shard()?.inner;
        let run = |scratch: &mut Scratch| match &leaf.place {
            Place::Empty => self.fill(inner, &tile.region, scratch),
            Place::At(place) => self.decode(inner, self.pieces.get(place)?, &tile.region, scratch),
            Place::Bad => node.entry(&tile, self.pieces.object_size()).map(drop),
        };
        run(scratch).context("inner chunk", || format!("{:?}", tile.chunk))
    }

    fn fill(&self, chain: &Prepared, region: &Region, scratch: &mut Scratch) -> Result<()> {
        if self.survey.is_some() {
            return Ok(());
        }
        let Self { resolved, output, .. } = self;
        transfer::fill(chain, resolved, region, output, &mut scratch.offsets)
    }

    /// Decodes a chunk, which may be a shard under further codecs, and scatters `region` of it.
    fn decode(
        &self,
        chain: &Arc<Prepared>,
        encoded: &[u8],
        region: &Region,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Self { resolved, output, .. } = self;
        if chain.any_shard().is_some() {
            let bytes = chain.unseal(encoded, &mut scratch.stages)?.to_vec();
            return self.decode_sealed(chain, bytes, region, scratch);
        }
        if let Some(counter) = &self.survey {
            counter.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if let Some(target) = transfer::direct(chain, resolved, region, output)
            && let Some(decoded) = chain.decode_into(encoded, target)
        {
            return decoded;
        }
        let Scratch { stages, offsets, .. } = scratch;
        let chunk = chain.decode(encoded, stages)?;
        transfer::scatter(chain, resolved, region, chunk, output, offsets)
    }

    /// A shard that was under further codecs: the same machine over its bytes.
    fn decode_sealed(
        &self,
        chain: &Arc<Prepared>,
        bytes: Vec<u8>,
        region: &Region,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let mut machine = ReadMachine::build(
            Arc::clone(chain),
            Arc::clone(&self.resolved),
            Arc::clone(&self.output),
            (self.options, false),
            region.clone(),
        );
        let object_size = bytes.len() as u64;
        machine.pieces.add(vec![Piece { start: 0, object_size, bytes: Buffer::Owned(bytes) }]);
        machine.spans.push(Span::Whole(object_size));
        machine.survey.clone_from(&self.survey);
        machine.push_root()?;
        machine.state = State::Ready(Job::Indexes(0..1));
        loop {
            match machine.next()? {
                Step::Work(units) => {
                    (0..units).try_for_each(|unit| machine.run(unit, scratch))?;
                }
                Step::Done { .. } => return Ok(()),
                Step::Fetch(_) | Step::Commit(_) => {
                    return Err(Error::invalid_argument("a shard in memory asked for more"));
                }
            }
        }
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
            State::Ready(Job::Chunk) if self.chain.open_shard().is_some() => {
                if self.nodes.is_empty() {
                    self.push_root()?;
                }
                Ok(self.work(Job::Indexes(0..1)))
            }
            State::Ready(job) => Ok(self.work(job)),
            State::Work(Job::Indexes(nodes)) => self.expand(nodes),
            State::Work(job) => {
                let present = job != Job::Fill;
                self.state = State::Finished { present };
                Ok(Step::Done { present })
            }
            State::Finished { present } => Ok(Step::Done { present }),
            State::Whole | State::Index(_) | State::Data => {
                Err(Error::invalid_argument("a read was not supplied with what it asked for"))
            }
        }
    }

    fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn reclaim(&mut self) -> Option<Vec<u8>> {
        self.pieces.clear()
    }

    fn supply(&mut self, pieces: Option<Vec<Piece>>, _precondition: Precondition) {
        let Some(pieces) = pieces else {
            self.state = State::Ready(Job::Fill);
            return;
        };
        self.pieces.add(pieces);
        let job = match self.state.clone() {
            State::Index(nodes) => Job::Indexes(nodes),
            State::Data => Job::Leaves,
            _ => Job::Chunk,
        };
        self.state = State::Ready(job);
    }

    fn run(&self, unit: usize, scratch: &mut Scratch) -> Result<()> {
        let State::Work(job) = &self.state else {
            return Err(Error::invalid_argument("a read has no work now"));
        };
        let begun = self.begun.get(unit).map(|begun| begun.swap(true, Ordering::Relaxed));
        if begun != Some(false) {
            return Err(Error::invalid_argument("a unit of work is run once"));
        }
        match job {
            Job::Fill => self.fill(&self.chain, &self.region, scratch),
            Job::Chunk => {
                let whole = 0..self.pieces.object_size();
                self.decode(&self.chain, self.pieces.get(&whole)?, &self.region, scratch)
            }
            Job::Indexes(nodes) => {
                let node = &self.nodes[nodes.start + unit];
                let place = node.index_place(self.pieces.object_size())?;
                let shard = node.chain.the_shard()?;
                let pairs = shard.index.decode(self.pieces.get(&place)?, &mut scratch.stages)?;
                // Each unit is run once, so the place is free.
                let _ = node.index.set(pairs);
                Ok(())
            }
            Job::Leaves => self.run_leaf(&self.leaves[unit], scratch),
        }
    }
}
