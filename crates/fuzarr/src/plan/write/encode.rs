//! The units of a write: gather, merge, encode.

use std::sync::Arc;

use bytes::Bytes;

use super::machine::WriteMachine;
use super::shard::{Old, Outcome, ShardWrite, Stored};
use crate::buffer::reuse;
use crate::codec::Prepared;
use crate::copy;
use crate::error::{Result, ResultExt};
use crate::plan::machine::Scratch;
use crate::plan::{FastPath, transfer, variable};
use crate::selection::{Region, Tile};

impl WriteMachine<'_> {
    /// Encodes `region` of the values over what is stored of a chunk of which `valid` lies inside
    /// the array; `None` if nothing is left to store.
    pub(super) fn encode(
        &self,
        chain: &Arc<Prepared>,
        existing: Option<Bytes>,
        (region, valid): (&Region, &[u64]),
        scratch: &mut Scratch,
    ) -> Result<Option<Bytes>> {
        if chain.any_shard().is_some() {
            return self.nested(chain, existing, region, valid).run_in_memory(scratch);
        }
        match &self.values.memo {
            Some(memo) if region.covers(valid) => {
                let encode = || self.encode_chunk(chain, None, region, scratch);
                let (encoded, known) = memo.get(&chain.spec.shape, valid, encode)?;
                self.shared.layout.counters.add(FastPath::ScalarMemo, u64::from(known));
                Ok(encoded)
            }
            _ => {
                let existing = existing.filter(|_| !region.covers(valid));
                self.encode_chunk(chain, existing, region, scratch)
            }
        }
    }

    /// As [`encode`](Self::encode), for a chunk that is no shard.
    fn encode_chunk(
        &self,
        chain: &Prepared,
        existing: Option<Bytes>,
        region: &Region,
        scratch: &mut Scratch,
    ) -> Result<Option<Bytes>> {
        let store_empty = self.options.write_empty_chunks;
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
            let encoded = merged.map(|elements| chain.encode_elements(elements));
            return Ok(encoded.transpose()?.map(Bytes::from));
        }
        let values = (&*self.values.bytes, &self.values.strides[..]);
        let chunk = match transfer::source(chain, region, values) {
            // The caller's memory has the chunk as it is.
            Some(source) => source,
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
            return Ok(None);
        }
        Ok(Some(Bytes::from(chain.encode(chunk)?)))
    }

    /// Encodes touched inner chunk `unit` of the shard.
    pub(super) fn run_inner(
        &self,
        write: &ShardWrite,
        unit: usize,
        scratch: &mut Scratch,
    ) -> Result<()> {
        if write.outcomes[unit].get().is_some() {
            return Ok(());
        }
        let shard = self.chain.the_shard()?;
        let Tile { chunk, region } = write.tiling.tile(unit);
        let valid = self.valid_inside(&chunk, &shard.inner);
        let independent = region.covers(&valid);
        let encode = |scratch| {
            let existing = if independent { None } else { write.old_chunk(write.slots[unit])? };
            self.encode(&shard.inner, existing, (&region, &valid), scratch)
        };
        let encoded = encode(scratch).context("inner chunk", || format!("{chunk:?}"))?;
        // Each unit is run once, so the place is free.
        let _ = write.outcomes[unit].set(Outcome { encoded, independent });
        Ok(())
    }

    /// The extents of inner chunk `chunk` that lie inside the array.
    pub(super) fn valid_inside(&self, chunk: &[u64], inner: &Prepared) -> Vec<u64> {
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
