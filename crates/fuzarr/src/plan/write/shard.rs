//! The inner chunks of a shard that is written.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::buffer::usize_of;
use crate::codec::{IndexLocation, Prepared, PreparedShard};
use crate::error::{Error, Result};
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
    /// What each touched inner chunk came to.
    pub(super) outcomes: Vec<OnceLock<Outcome>>,
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

/// What a touched inner chunk came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// `None` if there is nothing to store.
    pub(super) encoded: Option<Bytes>,
    /// Whether this did not depend on what was stored before.
    pub(super) independent: bool,
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
    /// Encoded now: the outcome of this number.
    New(usize),
    /// Carried over from the old shard.
    Old(Range<u64>),
}

impl ShardWrite {
    pub(super) fn new(chain: &Prepared, resolved: &Resolved, region: &Region) -> Result<Self> {
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

    /// The encoded bytes of touched inner chunk `number`.
    pub(super) fn encoded(&self, number: usize) -> Option<&Bytes> {
        self.outcomes.get(number)?.get()?.encoded.as_ref()
    }

    /// Lays the new shard out: every inner chunk in the asked order, and the index.
    pub(super) fn lay(&self, chain: &Prepared, order: WriteOrder) -> Result<Laid> {
        let shard = chain.the_shard()?;
        let mut touched = vec![usize::MAX; usize_of(shard.index.slots())];
        for (number, &slot) in self.slots.iter().enumerate() {
            touched[usize_of(slot)] = number;
        }
        let mut offset = first_offset(shard);
        let mut pairs = vec![u64::MAX; touched.len() * 2];
        let mut chunks = Vec::new();
        for &slot in shard.order(order).iter() {
            let number = touched[usize_of(slot)];
            let length = if number == usize::MAX {
                let Some(place) = self.old_place(slot)? else { continue };
                let length = place.end - place.start;
                match chunks.last_mut() {
                    // What the old shard has in this order already moves as one.
                    Some(Source::Old(last)) if last.end == place.start => last.end = place.end,
                    _ => chunks.push(Source::Old(place)),
                }
                length
            } else {
                let Some(encoded) = self.encoded(number) else { continue };
                chunks.push(Source::New(number));
                encoded.len() as u64
            };
            let entry = usize_of(slot) * 2;
            (pairs[entry], pairs[entry + 1]) = (offset, length);
            offset += length;
        }
        let mut laid = Laid { index: shard.index.encode(&pairs)?, chunks, sealed: None };
        if chain.open_shard().is_none() {
            let parts = self.parts(&laid, shard);
            laid.sealed = Some(chain.seal(self.join(&parts)?, 0)?);
        }
        Ok(laid)
    }

    /// The new shard as parts that follow each other.
    pub(super) fn parts<'s>(&'s self, laid: &'s Laid, shard: &PreparedShard) -> Vec<Part<'s>> {
        let index_at_start = shard.index.location() == IndexLocation::Start;
        let index = |wanted: bool| (index_at_start == wanted).then_some(Part::Bytes(&laid.index));
        let chunk = |source: &Source| match source {
            Source::New(number) => {
                Part::Bytes(self.encoded(*number).map_or(&[][..], |encoded| encoded))
            }
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
                Part::Kept(place) => {
                    let old = self.old.get().map(|old| old.stored.get(place)).transpose()?;
                    joined.extend_from_slice(&old.unwrap_or_default());
                }
            }
        }
        Ok(joined)
    }

    /// What to change in the old shard, if that is all there is to do: every touched inner chunk
    /// has bytes of its own in it, as many as before.
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
        for (number, &slot) in self.slots.iter().enumerate() {
            let (Some(encoded), Some(place)) = (self.encoded(number), self.old_place(slot)?) else {
                return Ok(None);
            };
            if place.end - place.start != encoded.len() as u64 {
                return Ok(None);
            }
            changes.push((place.start, number));
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
