//! What copying a part takes in memory.

use super::schedule::Geometry;
use crate::array::Array;
use crate::dtype::ElementLayout;
use crate::plan::budget;

/// How many times elements of variable size are in memory beside their slots: decoded, joined, and put
/// together for their new chunk or encoded.
const TIMES: u64 = 3;

/// So many bytes of elements beside their slots are always allowed.
const LEAST: u64 = 1 << 20;

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
    !is_variable(source) && (is_awaited(source) || is_awaited(destination))
}

/// Whether elements are of variable size.
pub(super) fn is_variable(array: &Array) -> bool {
    array.data_type().layout() == ElementLayout::Variable
}

/// How many elements a part may have. What those of variable size take beside their slots is not known
/// before they are read: no more of them are put together than are decoded or stored as one anyway.
pub(super) fn most_elements(array: &Array, geometry: Geometry<'_>) -> u64 {
    let volume = |shape: &[u64]| shape.iter().copied().fold(1, u64::saturating_mul);
    let most = volume(geometry.source_chunk).max(volume(geometry.object));
    if is_variable(array) { most } else { u64::MAX }
}

/// Bytes that elements of variable size may take beside their slots, of so many that are left.
pub(super) fn heap(array: &Array, left: u64) -> Option<u64> {
    is_variable(array).then(|| (left / TIMES).max(LEAST))
}

/// Bytes that a part's elements take.
pub(super) fn elements(geometry: Geometry<'_>, part: &[u64]) -> u64 {
    part.iter().copied().fold(geometry.element, u64::saturating_mul)
}
