//! The inner chunks of a shard that is written.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use smallvec::SmallVec;

use super::encode::Payload;
use crate::buffer::usize_of;
use crate::codec::{IndexLocation, Prepared, PreparedShard, Stages};
use crate::error::{Error, Result};
use crate::plan::run_length;
use crate::selection::{Region, Resolved, Tiling};
use crate::shard::{Entry, PreparedIndex, WriteOrder};
use crate::store::{Part, Piece};

/// What is known of the stored object: some or all of its bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) size: u64,
    pieces: Vec<(u64, Bytes)>,
}

impl Stored {
    /// All of an object.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { size: bytes.len() as u64, pieces: vec![(0, bytes)] }
    }

    pub(super) fn add(&mut self, pieces: &mut Vec<Piece>) {
        for piece in pieces.drain(..) {
            self.size = piece.object_size;
            self.pieces.push((piece.start, piece.bytes.into_bytes()));
        }
    }

    /// All bytes, if they are here.
    pub(super) fn all(&self) -> Option<Bytes> {
        self.get(&(0..self.size)).ok()
    }

    /// The bytes of a range, if they are in one piece.
    fn slice(&self, range: &Range<u64>) -> Option<(&Bytes, Range<usize>)> {
        self.pieces.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
            let to = usize::try_from(range.end.checked_sub(*start)?).ok()?;
            (from <= to && to <= bytes.len()).then_some((bytes, from..to))
        })
    }

    /// The bytes of a range, which must lie in one piece.
    pub(super) fn get(&self, range: &Range<u64>) -> Result<Bytes> {
        self.slice(range).map(|(bytes, place)| bytes.slice(place)).ok_or_else(|| {
            Error::io(format!("bytes {} to {} were not fetched", range.start, range.end))
        })
    }
}

/// The writing of a shard's inner chunks.
#[derive(Debug)]
pub(super) struct ShardWrite {
    pub(super) tiling: Tiling,
    /// The index slot of each inner chunk of the tiling.
    pub(super) slots: Vec<u64>,
    /// The old shard's bytes, as far as they are here, and its index; once decoded.
    pub(super) old: OnceLock<Old>,
    /// Touched inner chunks in the order in which the shard holds them.
    pub(super) order: Vec<usize>,
    /// What they came to, some to a run if they are small.
    pub(super) runs: Vec<OnceLock<Run>>,
    /// How many are a run.
    run_length: usize,
    pub(super) laid: OnceLock<Laid>,
    /// Bytes that an old inner chunk may take.
    most: u64,
}

/// The shard as it was.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) stored: Stored,
    pub(super) pairs: Arc<Vec<u64>>,
}

/// What touched inner chunks that follow each other came to.
#[derive(Debug)]
pub(super) struct Run {
    /// The encoded inner chunks, one after the other.
    pub(super) payload: Payload,
    /// Where each ends; one without bytes is not stored.
    pub(super) ends: SmallVec<[usize; 1]>,
    /// Whether this did not depend on what was stored before.
    pub(super) independent: bool,
}

impl Run {
    /// Where the bytes of inner chunk `number` of the run are.
    fn place(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[number]
    }
}

/// The new shard, laid out.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) index: Vec<u8>,
    pub(super) chunks: Vec<Source>,
    /// The whole shard under its bytes codecs, if it has any.
    pub(super) sealed: Option<Vec<u8>>,
}

/// Where the bytes of inner chunks of the new shard are.
#[derive(Debug)]
pub(super) enum Source {
    /// Encoded now: this part of a run.
    New(usize, Range<usize>),
    /// Carried over from the old shard.
    Old(Range<u64>),
}

impl ShardWrite {
    /// Finds the inner chunks that `region` touches, which are written in the given order.
    pub(super) fn new(
        chain: &Prepared,
        resolved: &Resolved,
        region: &Region,
        order: WriteOrder,
    ) -> Result<Self> {
        let shard = chain.the_shard()?;
        let tiling = Tiling::new(resolved, region, &shard.inner.spec.shape)?;
        let slots = tiling.linear(&shard.slot_strides);
        let order = match &slots[..] {
            [] | [_] => (0..slots.len()).collect(),
            _ => {
                let mut touched = vec![usize::MAX; usize_of(shard.index.slots())];
                for (number, &slot) in slots.iter().enumerate() {
                    touched[usize_of(slot)] = number;
                }
                let numbers = shard.order(order);
                let numbers = numbers.iter().map(|&slot| touched[usize_of(slot)]);
                numbers.filter(|&number| number != usize::MAX).collect()
            }
        };
        let run_length = run_length(&shard.inner);
        let runs = slots.len().div_ceil(run_length);
        Ok(Self {
            slots,
            old: OnceLock::new(),
            order,
            runs: (0..runs).map(|_| OnceLock::new()).collect(),
            run_length,
            laid: OnceLock::new(),
            most: shard.inner.stored_limit(),
            tiling,
        })
    }

    /// The touched inner chunks of some runs, as places in the order.
    pub(super) fn places(&self, runs: Range<usize>) -> Range<usize> {
        runs.start * self.run_length..self.order.len().min(runs.end * self.run_length)
    }

    /// How many runs hold at least so many inner chunks.
    pub(super) fn runs_of(&self, chunks: usize) -> usize {
        chunks.div_ceil(self.run_length)
    }

    /// The slot of the inner chunk at a place of the order.
    pub(super) fn slot(&self, place: usize) -> u64 {
        self.slots[self.order[place]]
    }

    /// The encoded bytes of the inner chunk at a place of the order, and of which run they are which
    /// part; `None` if it is not stored.
    fn part(&self, place: usize) -> Option<(usize, Range<usize>)> {
        let run = place / self.run_length;
        let part = self.runs.get(run)?.get()?.place(place % self.run_length);
        (!part.is_empty()).then_some((run, part))
    }

    /// How many bytes the encoded inner chunk at a place of the order has; `None` if it is not stored.
    pub(super) fn encoded_length(&self, place: usize) -> Option<u64> {
        self.part(place).map(|(_, part)| part.len() as u64)
    }

    /// The encoded bytes of the inner chunk at a place of the order; `None` if it is not stored.
    pub(super) fn encoded<'s>(&'s self, place: usize, values: &'s [u8]) -> Option<&'s [u8]> {
        let (run, part) = self.part(place)?;
        Some(self.bytes(run, part, values))
    }

    fn bytes<'s>(&'s self, run: usize, part: Range<usize>, values: &'s [u8]) -> &'s [u8] {
        self.runs[run].get().map_or(&[][..], |run| &run.payload.get(values)[part])
    }

    /// Where the old inner chunk of `slot` is.
    pub(super) fn old_place(&self, slot: u64) -> Result<Option<Range<u64>>> {
        let Some(old) = self.old.get() else { return Ok(None) };
        Ok(match PreparedIndex::entry(&old.pairs, slot, old.stored.size, self.most)? {
            Entry::Empty => None,
            Entry::At(place) => Some(place),
        })
    }

    /// The old bytes of the inner chunk of `slot`.
    pub(super) fn old_chunk(&self, slot: u64) -> Result<Option<Bytes>> {
        let (Some(old), Some(place)) = (self.old.get(), self.old_place(slot)?) else {
            return Ok(None);
        };
        old.stored.get(&place).map(Some)
    }

    /// Lays the new shard out: every inner chunk in the asked order, and the index.
    pub(super) fn lay(
        &self,
        chain: &Prepared,
        order: WriteOrder,
        values: &[u8],
        stages: &mut Stages,
    ) -> Result<Laid> {
        let shard = chain.the_shard()?;
        let mut offset = first_offset(shard);
        let mut pairs = vec![u64::MAX; usize_of(shard.index.slots()) * 2];
        let mut chunks = Vec::new();
        let mut touched = 0..self.order.len();
        for &slot in shard.order(order).iter() {
            let length = if touched.start < touched.end && self.slot(touched.start) == slot {
                touched.start += 1;
                let Some((run, part)) = self.part(touched.start - 1) else { continue };
                let length = part.len() as u64;
                match chunks.last_mut() {
                    Some(Source::New(last, before)) if *last == run && before.end == part.start => {
                        before.end = part.end;
                    }
                    _ => chunks.push(Source::New(run, part)),
                }
                length
            } else {
                let Some(place) = self.old_place(slot)? else { continue };
                let length = place.end - place.start;
                match chunks.last_mut() {
                    // What the old shard has in this order already moves as one.
                    Some(Source::Old(last)) if last.end == place.start => last.end = place.end,
                    _ => chunks.push(Source::Old(place)),
                }
                length
            };
            let entry = usize_of(slot) * 2;
            (pairs[entry], pairs[entry + 1]) = (offset, length);
            offset += length;
        }
        let mut laid = Laid { index: shard.index.encode(&pairs, stages)?, chunks, sealed: None };
        if chain.open_shard().is_none() {
            let parts = self.parts(&laid, shard, values);
            let mut sealed = Vec::new();
            chain.seal(&self.join(&parts)?, stages, &mut sealed)?;
            laid.sealed = Some(sealed);
        }
        Ok(laid)
    }

    /// The new shard as parts that follow each other.
    pub(super) fn parts<'s>(
        &'s self,
        laid: &'s Laid,
        shard: &PreparedShard,
        values: &'s [u8],
    ) -> Vec<Part<'s>> {
        let index_at_start = shard.index.location() == IndexLocation::Start;
        let index = |wanted: bool| (index_at_start == wanted).then_some(Part::Bytes(&laid.index));
        let chunk = |source: &Source| match source {
            Source::New(run, part) => Part::Bytes(self.bytes(*run, part.clone(), values)),
            Source::Old(place) => match self.old.get().and_then(|old| old.stored.slice(place)) {
                Some((bytes, place)) => Part::Bytes(&bytes[place]),
                None => Part::Kept(place.clone()),
            },
        };
        index(true).into_iter().chain(laid.chunks.iter().map(chunk)).chain(index(false)).collect()
    }

    /// Parts as one, of an old shard whose bytes are here.
    pub(super) fn join(&self, parts: &[Part<'_>]) -> Result<Vec<u8>> {
        let mut joined = Vec::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => joined.extend_from_slice(bytes),
                Part::Shared(bytes) => joined.extend_from_slice(bytes),
                Part::Kept(place) => {
                    let old = self.old.get().map(|old| old.stored.get(place)).transpose()?;
                    joined.extend_from_slice(&old.unwrap_or_default());
                }
            }
        }
        Ok(joined)
    }

    /// What to change in the old shard, if that is all there is to do: every touched inner chunk
    /// has bytes of its own in it, as many as before. Offsets, and places of the order.
    pub(super) fn changes(&self, shard: &PreparedShard) -> Result<Option<Vec<(u64, usize)>>> {
        let Some(old) = self.old.get() else { return Ok(None) };
        let mut places = Vec::with_capacity(usize_of(shard.index.slots()));
        for slot in 0..shard.index.slots() {
            if let Some(place) = self.old_place(slot)? {
                places.push((place.start, place.end));
            }
        }
        let index = shard.index.place(old.stored.size)?;
        places.push((index.start, index.end));
        places.sort_unstable();
        // In a shard whose inner chunks share bytes nothing can be changed by itself.
        if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Ok(None);
        }
        let mut changes = Vec::with_capacity(self.slots.len());
        for place in 0..self.order.len() {
            let old = self.old_place(self.slot(place))?;
            let (Some(length), Some(old)) = (self.encoded_length(place), old) else {
                return Ok(None);
            };
            if old.end - old.start != length {
                return Ok(None);
            }
            changes.push((old.start, place));
        }
        Ok(Some(changes))
    }
}

/// Where the first inner chunk of a shard is written.
pub(super) fn first_offset(shard: &PreparedShard) -> u64 {
    match shard.index.location() {
        IndexLocation::Start => shard.index.length() as u64,
        IndexLocation::End => 0,
    }
}
