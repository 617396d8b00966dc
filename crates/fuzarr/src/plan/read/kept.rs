//! Chunks that are kept decoded: those that earlier requests have left, and those left for later ones.

use std::ops::Range;
use std::sync::Arc;

use super::machine::{Aim, Job, ReadMachine, State};
use crate::buffer::{reserve, zeroed};
use crate::codec::{Elements, Prepared};
use crate::error::Result;
use crate::plan::cache::{ALL, Known, Source};
use crate::plan::machine::Scratch;
use crate::plan::{FastPath, transfer, variable};
use crate::selection::Region;
use crate::store::Version;

/// The chain of the smallest pieces that are found by indexes in the open.
fn smallest(chain: &Prepared) -> &Prepared {
    chain.open_shard().map_or(chain, |shard| smallest(&shard.inner))
}

/// About how many nanoseconds one thread takes to copy decoded bytes to where they belong.
pub(super) fn copying(bytes: u64) -> u64 {
    bytes / 4
}

impl ReadMachine<'_> {
    /// Whether chunks of `chain` are kept, once it is known of which version they are. What is in a shard
    /// that is itself compressed has no place by which it could be found again.
    pub(super) fn may_keep(&self, chain: &Prepared) -> bool {
        let most = self.shared.options.chunk_cache;
        let fits = most > 0 && chain.length as u64 <= most;
        fits && self.aim == Aim::Values && chain.any_shard().is_none()
    }

    /// As [`may_keep`](Self::may_keep), of the smallest pieces of the object.
    pub(super) fn may_keep_some(&self) -> bool {
        self.may_keep(smallest(&self.chain))
    }

    /// Whether chunks of `chain` are kept.
    pub(super) fn keeps(&self, chain: &Prepared) -> bool {
        self.pinned.is_some() && self.may_keep(chain)
    }

    /// Whether the smallest pieces of the object are kept.
    pub(super) fn keeps_some(&self) -> bool {
        self.pinned.is_some() && self.may_keep_some()
    }

    /// Whether the object is one chunk, is here, and is kept.
    pub(super) fn keeps_object(&self) -> bool {
        self.is_whole() && self.keeps(&self.chain)
    }

    /// What is kept was read from this.
    pub(super) fn source<'k>(&'k self, version: &'k Version) -> Source<'k> {
        Source { key: &self.key, version, since: self.since }
    }

    /// Takes note of the version of the object that is being read, as the store tells it with what was
    /// asked for.
    pub(super) fn learn(&mut self, version: Version) {
        self.pin(&version);
        let with_index = match &self.state {
            State::Index(nodes) => nodes.start == 0,
            State::Whole => self.capabilities.ranges && self.keeps_some(),
            _ => false,
        };
        let options = &self.shared.options;
        let values = self.aim == Aim::Values && !self.is_explained();
        let certain = !version.is_tentative() && self.chain.open_shard().is_some();
        if with_index && options.index_cache && values && certain {
            self.version = Some(version);
        }
    }

    /// Takes note of the version of the object that everything is read of.
    pub(super) fn pin(&mut self, version: &Version) {
        if self.shared.options.chunk_cache > 0 && self.pinned.is_none() && !version.is_tentative() {
            self.pinned = Some(version.clone());
        }
    }

    /// Whether a chunk of `chain` may be found.
    pub(super) fn may_find(&self, chain: &Prepared) -> bool {
        self.keeps(chain) && self.shared.layout.chunks.knows(&self.key)
    }

    /// The chunk at a place in the object, if it is known.
    pub(super) fn find(&self, place: &Range<u64>) -> Option<Known<Arc<Elements>>> {
        self.shared.layout.chunks.get(&self.key, self.pinned.as_ref()?, place)
    }

    /// Goes on with the object's only chunk, if that is known.
    pub(super) fn take_kept(&mut self) {
        if self.keeps(&self.chain)
            && let Some(known) = self.find(&ALL)
            && let Some(version) = &self.pinned
        {
            self.confirmed = Some((version.clone(), known.at));
            self.kept = Some(known.value);
            self.state = State::Ready(Job::Kept);
        }
    }

    /// Copies `region` of a chunk that was known.
    pub(super) fn scatter_kept(
        &self,
        chain: &Prepared,
        region: &Region,
        chunk: &Elements,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Self { resolved, output, .. } = self;
        if chain.is_variable() {
            return variable::scatter(chain, resolved, region, chunk, output);
        }
        let slots = (&chunk.slots[..], 0);
        transfer::scatter(chain, resolved, region, slots, output, &mut scratch.offsets)
    }

    /// Counts chunks that were known.
    pub(super) fn count_kept(&self, chunks: u64) {
        self.shared.layout.counters.add(FastPath::CachedChunk, chunks);
    }

    /// Decodes the object, which is one chunk and here, and scatters `region` of it.
    pub(super) fn decode_object(&self, region: &Region, scratch: &mut Scratch) -> Result<()> {
        let encoded = self.pieces.get(&(0..self.pieces.object_size()))?;
        if self.keeps_object() {
            return self.decode_and_keep(&self.chain, encoded, (ALL, region), scratch);
        }
        self.decode(&self.chain, encoded, region, scratch)
    }

    /// Decodes a chunk, scatters `region` of it, and keeps all of it as that of `place`.
    pub(super) fn decode_and_keep(
        &self,
        chain: &Arc<Prepared>,
        encoded: &[u8],
        (place, region): (Range<u64>, &Region),
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Some(chunk) = self.decode_to_keep(chain, encoded, scratch)? else {
            return self.decode(chain, encoded, region, scratch);
        };
        self.scatter_kept(chain, region, &chunk, scratch)?;
        if let Some(version) = &self.pinned {
            let most = self.shared.options.chunk_cache;
            self.shared.layout.chunks.keep(self.source(version), place, chunk, most);
        }
        Ok(())
    }

    /// A decoded chunk in memory of its own; `None` if there is no memory for it.
    fn decode_to_keep(
        &self,
        chain: &Prepared,
        encoded: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Option<Elements>> {
        let stages = &mut scratch.stages;
        if chain.is_variable() {
            let chunk = chain.decode_variable(encoded, stages)?;
            let mut copy = Elements::default();
            let fits = reserve(&mut copy.slots, chunk.slots.len())
                .and_then(|()| reserve(&mut copy.heap, chunk.heap.len()));
            if fits.is_err() {
                return Ok(None);
            }
            copy.slots.extend_from_slice(&chunk.slots);
            copy.heap.extend_from_slice(&chunk.heap);
            return Ok(Some(copy));
        }
        let Ok(mut slots) = zeroed(chain.length as u64) else { return Ok(None) };
        let direct = self.shared.options.direct_decode;
        match direct.then(|| chain.decode_into(encoded, &mut slots)).flatten() {
            Some(decoded) => decoded?,
            None => slots.copy_from_slice(chain.decode(encoded, stages)?),
        }
        Ok(Some(Elements { slots, heap: Vec::new() }))
    }
}
