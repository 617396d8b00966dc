//! What a request takes in memory, and how it is made to fit.

use crate::buffer::usize_of;
use crate::codec::Prepared;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::store::Capabilities;

/// Bytes that the plan of one inner chunk of a shard takes: its entry in the index, twice, and what
/// is known of it.
const SLOT: u64 = 128;

/// Bytes that one thread takes to decode or encode a chunk: its elements, its encoded bytes, and
/// what one codec hands to the next.
fn chunk(chain: &Prepared) -> u64 {
    (chain.length as u64).saturating_mul(4)
}

/// Bytes that one thread takes to read any part of an object, beside the output.
pub(crate) fn reading(chain: &Prepared, ranges: bool) -> u64 {
    let Some(shard) = chain.any_shard() else { return chunk(chain) };
    let index = shard.index.slots().saturating_mul(SLOT);
    let inner = reading(&shard.inner, ranges).saturating_add(index);
    if chain.open_shard().is_some() && ranges {
        return inner;
    }
    // The shard as it is fetched, and without the codecs around it.
    inner.saturating_add((chain.length as u64).saturating_mul(2))
}

/// Bytes that one thread takes to write an object of which inner chunks of so many bytes are touched,
/// all of them if `complete`, beside the values.
pub(crate) fn writing(
    chain: &Prepared,
    touched: u64,
    complete: bool,
    capabilities: Capabilities,
) -> u64 {
    let Some(shard) = chain.any_shard() else { return chunk(chain) };
    let index = shard.index.slots().saturating_mul(SLOT);
    let inner = &shard.inner;
    let one = writing(inner, inner.length as u64, complete, capabilities).saturating_add(index);
    let open = chain.open_shard().is_some();
    if open && complete && capabilities.uploads {
        // What is written meanwhile; that is copied for stores that are awaited.
        let copies = if capabilities.blocking { 1 } else { 2 };
        return one.saturating_add((inner.length as u64).saturating_mul(copies));
    }
    let whole = chain.length as u64;
    let touched = touched.min(whole);
    let kept = open && capabilities.ranges && capabilities.carry_over;
    let old = if complete || kept { 0 } else { whole.saturating_mul(2) };
    let sealed = if open { 0 } else { whole };
    // Their old bytes, with gaps between them, and the new ones.
    [touched, touched, touched, old, sealed].into_iter().fold(one, u64::saturating_add)
}

/// What is asked of a budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// Bytes that the request holds from its start to its end.
    pub(super) fixed: u64,
    /// Bytes that each thread takes.
    pub(super) one: u64,
    /// How many objects there are to work on.
    pub(super) objects: usize,
}

/// `limits` with as many of `threads` as there is memory for, and what of the memory is left for
/// each object that is being worked on.
///
/// # Errors
/// `Limit` if there is not enough for one thread, saying how much is needed.
pub(super) fn fit(limits: &Limits, need: Need, threads: usize) -> Result<(Limits, Option<u64>)> {
    let mut limits = limits.clone();
    let Some(memory) = limits.memory else { return Ok((limits, None)) };
    let least = need.fixed.saturating_add(need.one);
    let Some(spare) = memory.checked_sub(least) else {
        return Err(Error::limit(format!(
            "the request needs {least} bytes of memory, {memory} are allowed"
        ))
        .with("needed", least));
    };
    let threads = (spare / need.one.max(1)).saturating_add(1).min(threads as u64);
    limits.max_decode_buffers = usize_of(threads);
    let left = spare.saturating_sub((threads - 1).saturating_mul(need.one));
    Ok((limits, Some(left / threads.min(need.objects as u64).max(1))))
}
