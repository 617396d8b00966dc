//! What copying a part takes in memory.

use super::schedule::Geometry;
use crate::array::Array;
use crate::dtype::ElementLayout;
use crate::plan::budget;

/// What is decoded of an array as a whole: its innermost chunks, or what has codecs around it.
pub(super) fn decoded(array: &Array) -> &[u64] {
    let mut chain = array.layout().chain.as_ref();
    while let Some(shard) = chain.open_shard() {
        chain = &shard.inner;
    }
    &chain.spec.shape
}

/// Bytes that reading any part of an array takes beyond the elements themselves.
pub(super) fn reading(array: &Array) -> u64 {
    budget::reading(&array.layout().chain, array.store().capabilities().ranges)
}

/// Bytes that writing whole objects of an array takes beyond the elements themselves.
pub(super) fn writing(array: &Array) -> u64 {
    let capabilities = array.store().capabilities();
    let chain = &array.layout().chain;
    budget::writing(chain, chain.length as u64, true, capabilities)
}

/// Whether the next part of a copy may be read while one is written: where answers are awaited, so
/// that what computes and what waits do so at the same time. Where neither store makes anybody wait,
/// every core is busy already. How much the elements of variable size of a part take is not known
/// before they are read: of those there is one part at a time.
pub(super) fn may_overlap(source: &Array, destination: &Array) -> bool {
    let is_awaited = |array: &Array| !array.store().capabilities().blocking;
    source.data_type().layout() != ElementLayout::Variable
        && (is_awaited(source) || is_awaited(destination))
}

/// Bytes that a part's elements take.
pub(super) fn elements(geometry: Geometry<'_>, part: &[u64]) -> u64 {
    part.iter().copied().fold(geometry.element, u64::saturating_mul)
}
