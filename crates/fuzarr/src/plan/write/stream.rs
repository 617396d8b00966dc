//! Shards that are written while they are encoded.

use std::ops::Range;
use std::sync::OnceLock;

use super::WriteOptions;
use super::shard::{ShardWrite, first_offset};
use crate::buffer::usize_of;
use crate::codec::PreparedShard;

/// A shard that is written while it is encoded.
#[derive(Debug)]
pub(super) struct Stream {
    /// Touched inner chunks in the order in which they are written.
    pub(super) order: Vec<usize>,
    /// How many are encoded between two writes.
    pub(super) group: usize,
    /// Where the next bytes go.
    pub(super) offset: u64,
    /// The new index.
    pub(super) pairs: Vec<u64>,
    pub(super) index: OnceLock<Vec<u8>>,
}

impl Stream {
    pub(super) fn new(shard: &PreparedShard, write: &ShardWrite, options: &WriteOptions) -> Self {
        let mut ranks = vec![0; usize_of(shard.index.slots())];
        for (rank, &slot) in shard.order(options.order).iter().enumerate() {
            ranks[usize_of(slot)] = rank;
        }
        let mut order: Vec<usize> = (0..write.slots.len()).collect();
        order.sort_unstable_by_key(|&number| ranks[usize_of(write.slots[number])]);
        Self {
            order,
            group: usize_of(options.limits.tuning.group / (shard.inner.length as u64).max(1))
                .max(1),
            offset: first_offset(shard),
            pairs: vec![u64::MAX; ranks.len() * 2],
            index: OnceLock::new(),
        }
    }

    /// Gives encoded inner chunks their places; whether there are any.
    pub(super) fn place(&mut self, write: &ShardWrite, units: Range<usize>) -> bool {
        let mut offset = self.offset;
        for &number in &self.order[units] {
            let Some(encoded) = write.encoded(number) else { continue };
            let entry = usize_of(write.slots[number]) * 2;
            self.pairs[entry] = offset;
            self.pairs[entry + 1] = encoded.len() as u64;
            offset += encoded.len() as u64;
        }
        offset > self.offset
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.iter().all(|&number| number == u64::MAX)
    }

    /// Lets go of inner chunks that are written.
    pub(super) fn written(&mut self, write: &mut ShardWrite, units: Range<usize>) {
        for &number in &self.order[units] {
            let outcome = write.outcomes[number].get_mut();
            if let Some(encoded) = outcome.and_then(|outcome| outcome.encoded.take()) {
                self.offset += encoded.len() as u64;
            }
        }
    }
}
