//! How often each fast path was taken.

use std::sync::atomic::{AtomicU64, Ordering};

/// A way that is faster than the ordinary one, under conditions of its own. Results are equal; each
/// can be switched off by an option of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FastPath {
    /// A shard of which only the wanted inner chunks were fetched (`partial_reads`).
    PartialRead,
    /// Shards of which everything wanted came with the index (`one_round_trip`).
    OneRoundTrip,
    /// Ranges that were fetched together with another (`coalesce_gap`).
    Coalesced,
    /// Uncompressed inner chunks copied in a run, without a look at each (`bulk_decode`).
    BulkDecode,
    /// Chunks decoded by the last codec straight into the output (`direct_decode`).
    DirectDecode,
    /// Chunks decoded only as far as they were wanted (`partial_decode`).
    PartialDecode,
    /// Chunks that the store read straight into the output (`direct_reads`).
    DirectRead,
    /// Shard indexes that were known from an earlier request (`index_cache`).
    CachedIndex,
    /// Chunks that an earlier request had decoded (`chunk_cache`).
    CachedChunk,
    /// Chunks encoded once for many places, since one value fills them (`scalar_memo`).
    ScalarMemo,
    /// Shards of which only what is replaced was fetched; the rest was kept (`partial_writes`).
    PartialWrite,
    /// Inner chunks changed in place (`in_place`).
    Patch,
    /// Shards written piece by piece, as they were encoded (`streaming`).
    Streaming,
    /// Units that large chunks were cut into of which bytes are only moved (`Tuning::slab`).
    Slabs,
    /// Work that the pool's threads were invited to (`workers`).
    Shared,
}

const PATHS: usize = FastPath::Shared as usize + 1;

/// Counts of one array's requests, since it was opened.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; PATHS]);

impl Counters {
    /// How often `path` was taken.
    #[must_use]
    pub fn get(&self, path: FastPath) -> u64 {
        self.0[path as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, path: FastPath, times: u64) {
        if times > 0 {
            self.0[path as usize].fetch_add(times, Ordering::Relaxed);
        }
    }
}
