//! What to fetch of one object that is read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::machine::{Aim, Job, ReadMachine, State, Target};
use super::node::{Leaf, Node, Place, check_indexes};
use crate::buffer::usize_of;
use crate::codec::{IndexLocation, Prepared, PreparedShard};
use crate::error::Result;
use crate::plan::machine::{Purpose, Step};
use crate::plan::pieces::{Coalescing, Spans, coalesce};
use crate::plan::{FastPath, transfer};
use crate::selection::Region;
use crate::shard::{Entry, PreparedIndex};
use crate::store::Span;

impl ReadMachine<'_> {
    /// The first request: the index if only a part of a shard is wanted, else everything.
    pub(super) fn start(&mut self) -> Result<Step> {
        let chain = Arc::clone(&self.chain);
        let options = Arc::clone(&self.shared.options);
        if chain.open_shard().is_some() || options.chunk_cache > 0 {
            self.since = self.shared.layout.indexes.since(&self.key);
        }
        if let Some(shard) = chain.open_shard().filter(|_| self.capabilities.ranges) {
            self.push_root()?;
            let counting = self.aim == Aim::Count;
            if counting || options.partial_reads && self.is_better_in_parts(shard) {
                if options.index_cache && !counting {
                    return Ok(self.open(Purpose::Index));
                }
                return Ok(self.ask_for_index(shard));
            }
            if options.index_cache && self.may_keep_some() {
                return Ok(self.open(Purpose::Whole));
            }
        } else if self.may_keep(&chain) {
            return Ok(self.open(Purpose::Whole));
        }
        Ok(self.ask_for_whole())
    }

    /// Has the object pinned, to ask for this of it then if that is not known.
    fn open(&mut self, purpose: Purpose) -> Step {
        self.state = State::Open(purpose);
        Step::Open
    }

    pub(super) fn ask_for_whole(&mut self) -> Step {
        let chain = Arc::clone(&self.chain);
        self.spans.push(self.part().map_or(Span::Whole(chain.stored_limit()), Span::Range));
        let direct = self.shared.options.direct_reads && self.aim == Aim::Values;
        if direct && self.is_large(&chain) && !self.may_keep(&chain) {
            let place = transfer::place(&chain, &self.resolved, &self.region, self.room);
            let source = 0..chain.length as u64;
            self.targets.extend(place.map(|place| Target::new(source, place.start)));
        }
        self.state = State::Whole;
        Step::Fetch(Purpose::Whole)
    }

    pub(super) fn ask_for_index(&mut self, shard: &PreparedShard) -> Step {
        let options = &self.shared.options;
        let beside = if options.one_round_trip { options.limits.tuning.beside_index } else { 0 };
        let length = (shard.index.length() as u64).saturating_add(beside);
        self.spans.push(match shard.index.location() {
            IndexLocation::Start => Span::Prefix(length),
            IndexLocation::End => Span::Suffix(length),
        });
        self.shared.layout.counters.add(FastPath::PartialRead, 1);
        self.state = State::Index(0..1);
        Step::Fetch(Purpose::Index)
    }

    /// Whether to look at the index first: not if that would leave nothing out, unless the shard is
    /// too large to be fetched at once, or its inner chunks can be read in part or to where they
    /// belong; nor if the shard is small, and each answer of the store is waited for.
    fn is_better_in_parts(&self, shard: &PreparedShard) -> bool {
        let tuning = self.shared.options.limits.tuning;
        let length = self.chain.length as u64;
        if !self.capabilities.blocking && length <= tuning.small_object.min(self.gap()) {
            return false;
        }
        if !self.wants_everything(shard) || length > tuning.fetched {
            return true;
        }
        let inner = &shard.inner;
        let Some(root) = self.nodes.first().filter(|_| self.is_large(inner)) else { return false };
        let region = root.tiling.tile(0).region;
        self.part_of(inner, &region).is_some()
            || self.shared.options.direct_reads
                && !self.may_keep(inner)
                && transfer::place(inner, &self.resolved, &region, self.room).is_some()
    }

    /// Whether a chunk is stored as it is, and large enough for a look at where its bytes go.
    fn is_large(&self, chain: &Prepared) -> bool {
        chain.is_raw() && chain.length as u64 >= self.shared.options.limits.tuning.large_chunk
    }

    /// Whether the region holds something of every inner chunk inside the array.
    fn wants_everything(&self, shard: &PreparedShard) -> bool {
        if shard.inner.open_shard().is_some() {
            return self.region.covers(&self.valid);
        }
        let extents = self.valid.iter().zip(&shard.inner.spec.shape);
        let inside: u64 = extents.map(|(valid, chunk)| valid.div_ceil(*chunk)).product();
        self.nodes.first().is_some_and(|root| root.tiling.len() as u64 == inside)
    }

    /// The bytes of the object that are wanted, if it is a chunk that is stored as it is and they
    /// are a small part of it.
    pub(super) fn part(&self) -> Option<Range<u64>> {
        let bounds = self.part_of(&self.chain, &self.region)?;
        Some(bounds.start as u64..bounds.end as u64)
    }

    /// As [`part`](Self::part), of a chunk or inner chunk of which `region` is wanted.
    fn part_of(&self, chain: &Prepared, region: &Region) -> Option<Range<usize>> {
        let usable = self.capabilities.ranges && self.shared.options.partial_reads;
        if !usable || self.aim != Aim::Values || !self.is_large(chain) {
            return None;
        }
        let bounds = transfer::bounds(chain, &self.resolved, region)?;
        (bounds.len() < chain.length / 2).then_some(bounds)
    }

    pub(super) fn push_root(&mut self) -> Result<()> {
        let chain = Arc::clone(&self.chain);
        self.nodes.push(Node::new(chain, &self.resolved, None, &self.region)?);
        Ok(())
    }

    /// Turns decoded indexes into leaves and nested shards, and asks for what those need.
    pub(super) fn expand(&mut self, decoded: Range<usize>) -> Result<Step> {
        if self.needs_no_leaves() {
            return Ok(self.work(Job::Tiles));
        }
        let nested = self.nodes.len();
        let size = self.pieces.object_size();
        for number in decoded {
            self.expand_node(number, size)?;
        }
        let nested = nested..self.nodes.len();
        if nested.is_empty() {
            if self.aim == Aim::Count && self.count_leaves()? {
                self.state = State::Finished { present: true };
                return Ok(Step::Done { present: true });
            }
            self.cut_batches();
            return Ok(self.fetch_batch(0));
        }
        // A shard too short for its index is reported by the unit that wants it.
        let nodes = self.nodes[nested.clone()].iter();
        let ranges = nodes.filter_map(|node| node.index_place(size).ok());
        let ranges: Vec<_> = ranges.filter(|range| self.pieces.find(range).is_none()).collect();
        if self.is_whole() && !self.is_explained() || ranges.is_empty() {
            return Ok(self.work(Job::Indexes(nested)));
        }
        self.spans = self.join(ranges);
        self.state = State::Index(nested);
        Ok(Step::Fetch(Purpose::Index))
    }

    /// Whether nothing has to be fetched or found out of single inner chunks before they are decoded.
    fn needs_no_leaves(&self) -> bool {
        let plain =
            |root: &Node| root.chain.the_shard().is_ok_and(|it| it.inner.open_shard().is_none());
        let here = self.is_whole() && self.aim != Aim::Count && !self.is_explained();
        // The unit that failed to decode the index has reported that.
        let known = |root: &Node| root.index.get().is_some();
        here && !self.keeps_some()
            && matches!(&self.nodes[..], [root] if plain(root) && known(root))
    }

    pub(super) fn join(&self, ranges: Vec<Range<u64>>) -> Spans {
        let options = &self.shared.options;
        let limits = Coalescing { gap: self.gap(), span: options.coalesce_span };
        let count = ranges.len();
        let spans = coalesce(ranges, limits);
        self.shared.layout.counters.add(FastPath::Coalesced, (count - spans.len()) as u64);
        spans
    }

    /// Cuts the leaves into batches of no more bytes than may be fetched at once, with what lies
    /// between leaves that are fetched together.
    fn cut_batches(&mut self) {
        let (limit, gap) = (self.shared.options.limits.tuning.fetched, self.gap());
        let length = |leaf: &Leaf| {
            let between = if matches!(leaf.place, Place::Part { .. }) { gap } else { 0 };
            leaf.range().map_or(0, |range| (range.end - range.start).saturating_add(between))
        };
        let total = self.leaves.iter().map(length).fold(0, u64::saturating_add);
        self.batches.clear();
        if total > limit && !self.is_whole() {
            self.leaves.sort_by_key(|leaf| leaf.range().map_or(0, |range| range.start));
            let (mut fetched, mut end) = (0, 0);
            for (number, leaf) in self.leaves.iter().enumerate() {
                let Some(range) = leaf.range() else { continue };
                let length = range.end - range.start;
                let between = range.start.saturating_sub(end);
                let joined = if between <= gap { between.saturating_add(length) } else { length };
                fetched += joined;
                if fetched > limit && number > self.batches.last().copied().unwrap_or(0) {
                    self.batches.push(number);
                    fetched = length;
                }
                end = end.max(range.end);
            }
        }
        self.batches.push(self.leaves.len());
    }

    pub(super) fn fetch_batch(&mut self, number: usize) -> Step {
        if self.is_whole() {
            return self.work(Job::Leaves(number));
        }
        if number > 0 {
            self.pieces.clear();
        }
        self.find_targets(number);
        self.spans = self.missing(self.batch(number));
        if self.spans.is_empty() && self.targets.is_empty() {
            let stored = self.leaves[self.batch(number)].iter().any(|leaf| leaf.range().is_some());
            self.shared
                .layout
                .counters
                .add(FastPath::OneRoundTrip, u64::from(number == 0 && stored));
            return self.work(Job::Leaves(number));
        }
        self.state = State::Data(number);
        Step::Fetch(Purpose::Data)
    }

    /// What has to be fetched for these leaves, beside what is here.
    pub(super) fn missing(&self, leaves: Range<usize>) -> Spans {
        let ranges = self.leaves[leaves].iter().filter_map(Leaf::range);
        self.join(ranges.filter(|range| self.pieces.find(range).is_none()).collect())
    }

    /// Takes the leaves of a batch whose bytes can be read straight into the output.
    fn find_targets(&mut self, batch: usize) {
        let batch = self.batch(batch);
        self.targets.clear();
        let first = self.leaves[batch.clone()].first().and_then(|leaf| self.inner(leaf).ok());
        let wanted = self.shared.options.direct_reads && self.aim == Aim::Values;
        let direct = |inner: &Arc<Prepared>| self.is_large(inner) && !self.may_keep(inner);
        if !wanted || !first.is_some_and(direct) {
            return;
        }
        for number in batch.clone() {
            let leaf = &self.leaves[number];
            let (Some(source), Ok(inner)) = (leaf.range(), self.inner(leaf)) else { continue };
            let region = self.nodes[leaf.node].tiling.tile(leaf.tile).region;
            let place = transfer::place(inner, &self.resolved, &region, self.room);
            let Some(place) = place.filter(|_| source.end - source.start == inner.length as u64)
            else {
                continue;
            };
            self.leaves[number].place = Place::Target(source.clone());
            match self.targets.last_mut() {
                Some(last)
                    if last.source.end == source.start
                        && last.offset + usize_of(last.source.end - last.source.start)
                            == place.start =>
                {
                    last.source.end = source.end;
                }
                _ => self.targets.push(Target::new(source, place.start)),
            }
        }
        // What is not a target would be asked for after the targets, in ranges that may hold them.
        let rest = |leaf: &Leaf| matches!(leaf.place, Place::At(_) | Place::Part { .. });
        if !self.capabilities.blocking && self.leaves[batch.clone()].iter().any(rest) {
            self.drop_targets(batch);
        }
    }

    /// Has the leaves of a batch that were to be read straight into the output fetched as others are.
    pub(super) fn drop_targets(&mut self, batch: Range<usize>) {
        self.targets.clear();
        for leaf in &mut self.leaves[batch] {
            if let Place::Target(place) = &leaf.place {
                leaf.place = Place::At(place.clone());
            }
        }
    }

    /// What to fetch of an inner chunk at `at`: the part that is wanted, if the chunk is stored as it
    /// is.
    fn in_part(&self, inner: &Prepared, region: &Region, at: Range<u64>) -> Place {
        match self.part_of(inner, region) {
            Some(part) if at.end - at.start == inner.length as u64 && !self.is_whole() => {
                let wanted = at.start + part.start as u64..at.start + part.end as u64;
                Place::Part { wanted, skipped: part.start }
            }
            _ => Place::At(at),
        }
    }

    /// Where the elements of an inner chunk at `at` come from. `known`: whether they may be known.
    fn found(
        &self,
        inner: &Prepared,
        region: impl Fn() -> Region,
        at: Range<u64>,
        known: bool,
    ) -> Place {
        match known.then(|| self.find(&at)).flatten() {
            Some(chunk) => Place::Kept(chunk.value),
            None if self.is_large(inner) => self.in_part(inner, &region(), at),
            None => Place::At(at),
        }
    }

    /// Counts the leaves, if none of them can hold inner chunks of its own.
    fn count_leaves(&self) -> Result<bool> {
        let mut stored = 0;
        for leaf in self.leaves.iter().filter(|leaf| leaf.range().is_some()) {
            if self.inner(leaf)?.any_shard().is_some() {
                return Ok(false);
            }
            stored += 1;
        }
        self.counted.fetch_add(stored, Ordering::Relaxed);
        Ok(true)
    }

    fn expand_node(&mut self, number: usize, size: u64) -> Result<()> {
        let node = &self.nodes[number];
        let place = node.place(size);
        let shard = node.chain.the_shard()?;
        let inner = Arc::clone(&shard.inner);
        // The unit that failed to decode the index has reported that.
        let Some(pairs) = node.index.get() else { return Ok(()) };
        if let (0, Some(version)) = (number, self.version.take()) {
            self.shared.layout.indexes.keep(self.source(&version), size, pairs);
        }
        let most = inner.stored_limit();
        let known = self.may_find(&inner);
        let (mut nested, mut indexes) = (Vec::new(), self.indexes);
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
                Place::At(at) => {
                    let region = || node.tiling.tile(tile).region;
                    let place = self.found(&inner, region, at, known);
                    self.leaves.push(Leaf { node: number, tile, place });
                }
                place => self.leaves.push(Leaf { node: number, tile, place }),
            }
        }
        self.nodes.append(&mut nested);
        self.indexes = indexes;
        Ok(())
    }
}
