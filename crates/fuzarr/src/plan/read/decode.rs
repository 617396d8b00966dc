//! The units of a read: decode, scatter.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::machine::{Aim, Job, ReadMachine, State};
use super::node::{Leaf, Place};
use crate::buffer::{Buffer, usize_of};
use crate::codec::Prepared;
use crate::error::{Error, Result, ResultExt};
use crate::plan::machine::{Machine as _, Scratch, Step};
use crate::plan::{FastPath, ReadOptions, transfer, variable};
use crate::selection::{Region, Tile};
use crate::shard::Entry;
use crate::store::{Capabilities, Piece, Span};

/// Inner chunks of one unit that are stored as they are.
#[derive(Debug, Default)]
struct Bulk<'a> {
    copy: transfer::Scatter<'a>,
    count: u64,
}

impl ReadMachine<'_> {
    /// Decodes or fills some inner chunks of a shard all of which is here.
    pub(super) fn run_tiles(&self, tiles: Range<usize>, scratch: &mut Scratch) -> Result<()> {
        let mut bulk = Bulk::default();
        let node = &self.nodes[0];
        let inner = &node.chain.the_shard()?.inner;
        let size = self.pieces.object_size();
        let object = self.pieces.get(&(0..size))?;
        let mut tiles = node.tiling.walk(tiles);
        while let Some(tile) = tiles.next() {
            let outcome = match node.entry(tile, size) {
                Ok(Entry::Empty) => self.fill(inner, &tile.region, scratch),
                Ok(Entry::At(place)) => {
                    let encoded = &object[usize_of(place.start)..usize_of(place.end)];
                    self.run_stored(encoded, inner, tile, &mut bulk, scratch)
                }
                Err(error) => Err(error),
            };
            outcome.context("inner chunk", || format!("{:?}", tile.chunk))?;
        }
        self.shared.layout.counters.add(FastPath::BulkDecode, bulk.count);
        Ok(())
    }

    /// Decodes or fills some leaves that follow each other.
    pub(super) fn run_leaves(&self, leaves: Range<usize>, scratch: &mut Scratch) -> Result<()> {
        let mut bulk = Bulk::default();
        let leaves = &self.leaves[leaves];
        let Some(first) = leaves.first() else { return Ok(()) };
        let mut tile = self.nodes[first.node].tiling.tile(first.tile);
        self.count_kept(leaves.iter().filter(|leaf| leaf.is_kept()).count() as u64);
        for leaf in leaves {
            if matches!(leaf.place, Place::Target(_)) {
                continue;
            }
            let node = &self.nodes[leaf.node];
            node.tiling.turn(leaf.tile, &mut tile);
            let inner = &node.chain.the_shard()?.inner;
            self.run_leaf(leaf, inner, &tile, &mut bulk, scratch)
                .context("inner chunk", || format!("{:?}", tile.chunk))?;
        }
        self.shared.layout.counters.add(FastPath::BulkDecode, bulk.count);
        Ok(())
    }

    fn run_leaf<'s>(
        &'s self,
        leaf: &Leaf,
        inner: &Arc<Prepared>,
        tile: &Tile,
        bulk: &mut Bulk<'s>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        match &leaf.place {
            Place::Empty => self.fill(inner, &tile.region, scratch),
            Place::At(place) if self.keeps(inner) => {
                let place = (place.clone(), &tile.region);
                self.decode_and_keep(inner, self.pieces.get(&place.0)?, place, scratch)
            }
            Place::At(place) => {
                self.run_stored(self.pieces.get(place)?, inner, tile, bulk, scratch)
            }
            Place::Part { wanted, skipped } => {
                let chunk = (self.pieces.get(wanted)?, *skipped);
                let Self { resolved, output, .. } = self;
                let offsets = &mut scratch.offsets;
                transfer::scatter(inner, resolved, &tile.region, chunk, output, offsets)
            }
            Place::Kept(chunk) => self.scatter_kept(inner, &tile.region, chunk, scratch),
            Place::Target(_) => Ok(()),
            Place::Bad => self.nodes[leaf.node].entry(tile, self.pieces.object_size()).map(drop),
        }
    }

    /// Decodes an inner chunk that is here.
    fn run_stored<'s>(
        &'s self,
        encoded: &[u8],
        inner: &Arc<Prepared>,
        tile: &Tile,
        bulk: &mut Bulk<'s>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let raw = inner.is_raw() && encoded.len() == inner.length;
        if raw && self.shared.options.bulk_decode && self.aim == Aim::Values {
            bulk.count += 1;
            let Self { resolved, output, .. } = self;
            let offsets = &mut scratch.offsets;
            return bulk.copy.chunk(inner, resolved, &tile.region, encoded, output, offsets);
        }
        self.decode(inner, encoded, &tile.region, scratch)
    }

    pub(super) fn fill(
        &self,
        chain: &Prepared,
        region: &Region,
        scratch: &mut Scratch,
    ) -> Result<()> {
        if self.aim != Aim::Values {
            return Ok(());
        }
        let Self { resolved, output, .. } = self;
        let offsets = &mut scratch.offsets;
        if chain.is_variable() {
            return variable::fill(chain, resolved, region, output, offsets);
        }
        transfer::repeat(chain, resolved, region, &chain.spec.fill, output, offsets)
    }

    /// Decodes a chunk, which may be a shard under further codecs, and scatters `region` of it.
    pub(super) fn decode(
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
        match self.aim {
            Aim::Values => {}
            Aim::Soundness => return chain.check(encoded, &mut scratch.stages),
            Aim::Count => {
                self.counted.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        if self.shared.options.direct_decode
            && let Some(target) = transfer::direct(chain, resolved, region, output)
            && let Some(decoded) = chain.decode_into(encoded, target)
        {
            self.shared.layout.counters.add(FastPath::DirectDecode, 1);
            return decoded;
        }
        let Scratch { stages, offsets, .. } = scratch;
        if chain.is_variable() {
            let chunk = chain.decode_variable(encoded, stages)?;
            return variable::scatter(chain, resolved, region, chunk, output);
        }
        let part = match self.wants_little(chain, region) {
            Some(wanted) => chain.decode_part(encoded, wanted, stages)?,
            None => (chain.decode(encoded, stages)?, 0),
        };
        let is_less = part.0.len() < chain.length;
        self.shared.layout.counters.add(FastPath::PartialDecode, u64::from(is_less));
        transfer::scatter(chain, resolved, region, part, output, offsets)
    }

    /// The bytes of a large chunk that are wanted, if they are not all and it may be decoded in part.
    fn wants_little(&self, chain: &Prepared, region: &Region) -> Option<Range<usize>> {
        let ReadOptions { partial_decode, limits, .. } = &*self.shared.options;
        if !partial_decode || (chain.length as u64) < limits.tuning.large_chunk {
            return None;
        }
        let wanted = transfer::bounds(chain, &self.resolved, region)?;
        (wanted.len() < chain.length).then_some(wanted)
    }

    /// `region`, of the wanted part of a chunk that is stored as it is.
    pub(super) fn decode_part(&self, region: &Region, scratch: &mut Scratch) -> Result<()> {
        let Self { chain, resolved, output, .. } = self;
        let part = self.part().unwrap_or_default();
        let size = self.pieces.object_size();
        if size != chain.length as u64 {
            return Err(crate::codec::wrong_length(usize_of(size), chain.length));
        }
        let chunk = (self.pieces.get(&part)?, usize_of(part.start));
        transfer::scatter(chain, resolved, region, chunk, output, &mut scratch.offsets)
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
            (self.shared.clone(), Capabilities { ranges: false, ..self.capabilities }),
            region.clone(),
        );
        let object_size = bytes.len() as u64;
        let whole = Piece { start: 0, object_size, bytes: Buffer::Owned(bytes) };
        machine.pieces.add(&mut vec![whole]);
        machine.spans.push(Span::Whole(object_size));
        machine.aim = self.aim;
        machine.push_root()?;
        machine.state = State::Ready(Job::Indexes(0..1));
        loop {
            match machine.next()? {
                Step::Work(units) => {
                    (0..units).try_for_each(|unit| machine.run(unit, scratch))?;
                }
                Step::Done { .. } => {
                    self.counted.fetch_add(machine.counted(), Ordering::Relaxed);
                    return Ok(());
                }
                Step::Open | Step::Fetch(_) | Step::Append(_) | Step::Commit(_) => {
                    return Err(Error::invalid_argument("a shard in memory asked for more"));
                }
            }
        }
    }
}
