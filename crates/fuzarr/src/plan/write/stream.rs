//! Shards that are written while they are encoded.

use std::ops::Range;
use std::sync::OnceLock;

use super::Group;
use super::shard::{ShardWrite, first_offset};
use crate::buffer::usize_of;
use crate::codec::PreparedShard;

/// A shard that is written while it is encoded.
#[derive(Debug)]
pub(super) struct Stream {
    /// How many runs are encoded at a time.
    group: usize,
    /// Whether those before them are written meanwhile.
    overlaps: bool,
    /// Where the next bytes go.
    pub(super) offset: u64,
    /// The runs that are written now.
    pub(super) writing: Option<Range<usize>>,
    /// The new index.
    pub(super) pairs: Vec<u64>,
    pub(super) index: OnceLock<Vec<u8>>,
}

impl Stream {
    /// A shard that is written in such groups.
    pub(super) fn new(shard: &PreparedShard, write: &ShardWrite, group: Group) -> Self {
        let chunks = group.bytes / (shard.inner.length as u64).max(1);
        Self {
            group: write.runs_of(usize_of(chunks).max(1)),
            overlaps: group.overlaps,
            offset: first_offset(shard),
            writing: None,
            pairs: vec![u64::MAX; usize_of(shard.index.slots()) * 2],
            index: OnceLock::new(),
        }
    }

    /// Gives the inner chunks of encoded runs their places. If there are any, they are to be written now.
    pub(super) fn place(&mut self, write: &ShardWrite, runs: Range<usize>) {
        let mut offset = self.offset;
        for place in write.places(runs.clone()) {
            let Some(length) = write.encoded_length(place) else { continue };
            let entry = usize_of(write.slot(place)) * 2;
            self.pairs[entry] = offset;
            self.pairs[entry + 1] = length;
            offset += length;
        }
        self.writing = (offset > self.offset).then_some(runs);
    }

    /// The runs to encode next, after the first `encoded` of `all`: none while those before them are written,
    /// if that is not to be at the same time.
    pub(super) fn next(&self, encoded: usize, all: usize) -> Range<usize> {
        let waits = self.writing.is_some() && !self.overlaps;
        let group = if waits { 0 } else { self.group };
        encoded..all.min(encoded + group)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.iter().all(|&number| number == u64::MAX)
    }

    /// Lets go of the runs that are written.
    pub(super) fn written(&mut self, write: &mut ShardWrite) {
        for run in &mut write.runs[self.writing.take().unwrap_or_default()] {
            if let Some(run) = run.take() {
                self.offset += run.payload.len() as u64;
            }
        }
    }
}
