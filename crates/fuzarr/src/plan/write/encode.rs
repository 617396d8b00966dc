//! The units of a write: gather, merge, encode.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::machine::WriteMachine;
use super::shard::{Old, Run, ShardWrite, Stored};
use crate::buffer::reuse;
use crate::codec::Prepared;
use crate::copy;
use crate::error::{Result, ResultExt};
use crate::plan::machine::Scratch;
use crate::plan::{FastPath, transfer, variable};
use crate::selection::{Region, Tile};
use crate::store::Part;

/// An encoded chunk of at least so many bytes may be kept by a store in memory. It copies a shorter one,
/// which takes little beside encoding it.
const SHARED: usize = 256 << 10;

/// Encoded bytes, or where among the caller's values they are already.
#[derive(Debug)]
pub(super) enum Payload {
    Bytes(Bytes),
    Values(Range<usize>),
}

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Values(place) => place.len(),
        }
    }

    pub(super) fn get<'p>(&'p self, values: &'p [u8]) -> &'p [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Values(place) => &values[place.clone()],
        }
    }

    /// As an object by itself.
    pub(super) fn part<'p>(&'p self, values: &'p [u8]) -> Part<'p> {
        match self {
            Self::Bytes(bytes) if bytes.len() >= SHARED => Part::Shared(bytes),
            _ => Part::Bytes(self.get(values)),
        }
    }
}

/// Encoded chunks, one after the other. The bytes of one that is alone can be shared, and those that
/// are stored as the caller has them are not copied.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    alone: Option<Payload>,
    joined: Vec<u8>,
}

impl Encoded {
    fn len(&self) -> usize {
        self.alone.as_ref().map_or(self.joined.len(), Payload::len)
    }

    /// Where the next chunk is appended.
    fn end(&mut self, values: &[u8]) -> &mut Vec<u8> {
        if let Some(alone) = self.alone.take() {
            self.joined.extend_from_slice(alone.get(values));
        }
        &mut self.joined
    }

    fn push(&mut self, payload: Payload, values: &[u8]) {
        match (&mut self.alone, &payload) {
            (Some(Payload::Values(before)), Payload::Values(place))
                if before.end == place.start =>
            {
                before.end = place.end;
            }
            (None, _) if self.joined.is_empty() => self.alone = Some(payload),
            _ => self.end(values).extend_from_slice(payload.get(values)),
        }
    }

    pub(super) fn into_payload(mut self) -> Payload {
        // Encoders reserve for the worst: much more than is needed is given back, which moves nothing.
        if self.joined.capacity() / 2 > self.joined.len() {
            self.joined.shrink_to_fit();
        }
        self.alone.unwrap_or_else(|| Payload::Bytes(self.joined.into()))
    }

    /// As an object by itself, of which a store may keep the memory.
    pub(super) fn into_object(mut self) -> Payload {
        if self.joined.len() >= SHARED {
            self.joined.shrink_to_fit();
        }
        self.into_payload()
    }

    /// The bytes by themselves.
    fn into_bytes(self, values: &[u8]) -> Bytes {
        match self.into_payload() {
            Payload::Bytes(bytes) => bytes,
            Payload::Values(place) => Bytes::copy_from_slice(&values[place]),
        }
    }
}

impl WriteMachine<'_> {
    /// Appends the encoding of `region` of the values over what is stored of a chunk of which
    /// `valid` lies inside the array; `false` if nothing is left to store.
    pub(super) fn encode(
        &self,
        chain: &Arc<Prepared>,
        existing: Option<Bytes>,
        (region, valid): (&Region, &[u64]),
        scratch: &mut Scratch,
        encoded: &mut Encoded,
    ) -> Result<bool> {
        if chain.any_shard().is_some() {
            let nested = self.nested(chain, existing, region, valid).run_in_memory(scratch)?;
            let stored = nested.is_some();
            if let Some(nested) = nested {
                encoded.push(Payload::Bytes(nested), &self.values.bytes);
            }
            return Ok(stored);
        }
        match &self.values.memo {
            Some(memo) if region.covers(valid) => {
                let encode = || {
                    let mut encoded = Encoded::default();
                    let stored = self.encode_chunk(chain, None, region, scratch, &mut encoded)?;
                    Ok(stored.then(|| encoded.into_bytes(&self.values.bytes)))
                };
                let (known, hit) = memo.get(&chain.spec.shape, valid, encode)?;
                self.shared.layout.counters.add(FastPath::ScalarMemo, u64::from(hit));
                let stored = known.is_some();
                if let Some(known) = known {
                    encoded.push(Payload::Bytes(known), &self.values.bytes);
                }
                Ok(stored)
            }
            _ => {
                let existing = existing.filter(|_| !region.covers(valid));
                self.encode_chunk(chain, existing, region, scratch, encoded)
            }
        }
    }

    /// Whether the chunk is the object itself, and is stored even if it is empty.
    fn is_kept_empty(&self, chain: &Prepared) -> bool {
        chain.any_shard().is_none() && self.chain.any_shard().is_none() && self.keeps_nothing()
    }

    /// As [`encode`](Self::encode), for a chunk that is no shard.
    fn encode_chunk(
        &self,
        chain: &Prepared,
        existing: Option<Bytes>,
        region: &Region,
        scratch: &mut Scratch,
        encoded: &mut Encoded,
    ) -> Result<bool> {
        let store_empty = self.options.write_empty_chunks || self.is_kept_empty(chain);
        let Scratch { stages, chunk, offsets, .. } = scratch;
        if chain.is_variable() {
            let values = variable::Values {
                slots: &self.values.bytes,
                strides: &self.values.strides,
                heap: &self.values.heap,
            };
            let existing =
                existing.map(|existing| chain.decode_variable(&existing, stages)).transpose()?;
            let place = (&*self.resolved, region);
            let merged =
                variable::merge(chain, place, &values, existing, (chunk, offsets), store_empty)?;
            let Some(elements) = merged else { return Ok(false) };
            chain.encode_elements(elements, stages, encoded.end(&self.values.bytes))?;
            return Ok(true);
        }
        let values = (&*self.values.bytes, &self.values.strides[..]);
        // The caller's memory may have the chunk as it is.
        let source = transfer::source(chain, region, values);
        let chunk = match &source {
            Some(source) => &values.0[source.clone()],
            None => {
                let chunk = reuse(chunk, chain.length)?;
                match existing {
                    Some(existing) => chunk.copy_from_slice(chain.decode(&existing, stages)?),
                    None if region.covers(&chain.spec.shape) => {}
                    None => copy::fill(chunk, &chain.fill),
                }
                transfer::gather(chain, &self.resolved, region, values, chunk, offsets)?;
                &*chunk
            }
        };
        if !store_empty && copy::is_filled(chunk, &chain.fill) {
            return Ok(false);
        }
        match source {
            Some(source) if chain.is_raw() => encoded.push(Payload::Values(source), values.0),
            _ => chain.encode(chunk, stages, encoded.end(values.0))?,
        }
        Ok(true)
    }

    /// Encodes run `number` of the touched inner chunks of the shard.
    pub(super) fn run_inner(
        &self,
        write: &ShardWrite,
        number: usize,
        scratch: &mut Scratch,
    ) -> Result<()> {
        if write.runs[number].get().is_some() {
            return Ok(());
        }
        let inner = &self.chain.the_shard()?.inner;
        let mut encoded = Encoded::default();
        let mut run =
            Run { payload: Payload::Values(0..0), ends: SmallVec::new(), independent: true };
        let chunks = &write.order[write.places(number..number + 1)];
        run.ends.reserve(chunks.len());
        let Some(&first) = chunks.first() else { return Ok(()) };
        let mut tile = write.tiling.tile(first);
        for &number in chunks {
            write.tiling.turn(number, &mut tile);
            let Tile { chunk, region } = &tile;
            let valid = self.valid_inside(chunk, inner);
            let independent = region.covers(&valid);
            run.independent &= independent;
            let existing =
                if independent { Ok(None) } else { write.old_chunk(write.slots[number]) };
            existing
                .and_then(|existing| {
                    self.encode(inner, existing, (region, &valid), scratch, &mut encoded)
                })
                .context("inner chunk", || format!("{chunk:?}"))?;
            run.ends.push(encoded.len());
        }
        run.payload = encoded.into_payload();
        // Each unit is run once, so the place is free.
        let _ = write.runs[number].set(run);
        Ok(())
    }

    /// The extents of inner chunk `chunk` that lie inside the array.
    pub(super) fn valid_inside(&self, chunk: &[u64], inner: &Prepared) -> SmallVec<[u64; 4]> {
        let inside = |((&at, &extent), &valid): ((&u64, &u64), &u64)| {
            extent.min(valid.saturating_sub(at * extent))
        };
        chunk.iter().zip(&inner.spec.shape).zip(&self.valid).map(inside).collect()
    }

    /// Decodes the old shard's index.
    pub(super) fn run_open(&self, write: &ShardWrite, scratch: &mut Scratch) -> Result<()> {
        let shard = self.chain.the_shard()?;
        let stored = match self.chain.open_shard() {
            Some(_) => self.stored.clone(),
            None => {
                let sealed = self.stored.get(&(0..self.stored.size))?;
                let bytes = self.chain.unseal(&sealed, &mut scratch.stages)?;
                Stored::whole(Bytes::copy_from_slice(bytes))
            }
        };
        let index = stored.get(&shard.index.place(stored.size)?)?;
        let pairs = Arc::new(shard.index.decode(&index, &mut scratch.stages)?);
        // Each unit is run once, so the place is free.
        let _ = write.old.set(Old { stored, pairs });
        Ok(())
    }

    /// About how many bytes of elements the inner chunks of `units` have.
    pub(super) fn weight(&self, units: usize) -> u64 {
        let length = self.chain.any_shard().map_or(self.chain.length, |shard| shard.inner.length);
        (length as u64).saturating_mul(units as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_may_keep_holds_no_more_than_it_is_long() {
        for (length, is_shared) in [(SHARED - 1, false), (SHARED, true), (SHARED * 3, true)] {
            let mut joined = Vec::with_capacity(length + length / 3);
            joined.resize(length, 7);
            let payload = Encoded { alone: None, joined }.into_object();
            assert_eq!(matches!(payload.part(&[]), Part::Shared(_)), is_shared);
            let Payload::Bytes(bytes) = payload else { panic!() };
            let capacity = bytes.try_into_mut().unwrap().capacity();
            assert_eq!(capacity == length, is_shared, "{capacity} for {length}");
        }
    }
}
