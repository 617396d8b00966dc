//! Elements of variable size between a chunk and the caller: slots are moved as any element is,
//! and point into the heap of where they are.

use super::transfer;
use crate::buffer::{Output, addressable, reuse, zeroed};
use crate::codec::{Elements, Prepared, in_heap, slot, slots};
use crate::copy;
use crate::dtype::VARIABLE_SLOT;
use crate::error::{Error, Result};
use crate::selection::{Region, Resolved};

/// Set in the start of a slot that points into the caller's values, while a chunk is put together.
const IN_VALUES: u64 = 1 << 62;

/// Set in the start of a slot that stands for the fill value.
const IN_FILL: u64 = 1 << 63;

/// The caller's slots, checked and marked as such.
///
/// # Errors
/// `InvalidArgument` for a slot that points outside `heap`.
pub(super) fn mark_values(values: &[u8], heap: &[u8]) -> Result<Vec<u8>> {
    let mut marked = Vec::with_capacity(values.len());
    for place in slots(values) {
        in_heap(heap, place)
            .map_err(|error| Error::invalid_argument("values").with_source(error))?;
        marked.extend_from_slice(&slot(place.0 | IN_VALUES, place.1));
    }
    Ok(marked)
}

/// Copies `region` of a decoded chunk to its places in the output, and what the elements consist
/// of to the output's heap. A list may pick an element more often than once.
///
/// # Errors
/// `Corrupt` if a slot points outside the chunk's heap; `Limit` if there is no memory, or more
/// than the output allows.
pub(super) fn scatter(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    chunk: &Elements,
    output: &Output<'_>,
) -> Result<()> {
    let mut dense = zeroed((region.count() as u64).saturating_mul(VARIABLE_SLOT as u64))?;
    transfer::pack(chain, resolved, region, &chunk.slots, &mut dense)?;
    let mut picked = Elements::default();
    let length = slots(&dense).fold(0_u64, |sum, (_, length)| sum.saturating_add(length));
    output.check_room(length)?;
    picked.heap.try_reserve_exact(addressable(length)?).map_err(|error| {
        Error::limit(format!("no memory for {length} bytes of elements")).with_source(error)
    })?;
    for place in slots(&dense) {
        picked.push_variable(in_heap(&chunk.heap, place)?);
    }
    let start = output.append(picked.heap);
    dense.clear();
    for (at, length) in slots(&picked.slots) {
        dense.extend_from_slice(&slot(start + at, length));
    }
    transfer::unpack(chain, resolved, region, &dense, output)
}

/// Writes the fill value to the places of `region` in the output.
///
/// # Errors
/// `InvalidArgument` if the output is smaller than the selection's result.
pub(super) fn fill(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    output: &Output<'_>,
    offsets: &mut Vec<u64>,
) -> Result<()> {
    let fill = &chain.spec.fill;
    let element = slot(output.fill_start(fill), fill.len() as u64);
    transfer::repeat(chain, resolved, region, &element, output, offsets)
}

/// The chunk that has `values` at `region`, and around it what `existing` has, or fill value.
/// `None` if that is nothing but fill value and need not be stored.
///
/// # Errors
/// `Corrupt` if a slot of `existing` points outside its heap.
pub(super) fn merge(
    chain: &Prepared,
    (resolved, region): (&Resolved, &Region),
    values: &Values<'_>,
    existing: Option<&Elements>,
    (chunk, offsets): (&mut Vec<u8>, &mut Vec<u64>),
    store_empty: bool,
) -> Result<Option<Elements>> {
    let fill = &chain.spec.fill;
    let chunk = reuse(chunk, chain.length)?;
    match existing {
        Some(existing) if existing.slots.len() == chunk.len() => {
            chunk.copy_from_slice(&existing.slots);
        }
        _ => copy::fill(chunk, &slot(IN_FILL, fill.len() as u64)),
    }
    transfer::gather(chain, resolved, region, (values.slots, values.strides), chunk, offsets)?;
    let old = existing.map_or(&[][..], |existing| &existing.heap);
    let mut merged = Elements::default();
    let mut filled = true;
    for (start, length) in slots(chunk) {
        let bytes = match start & (IN_VALUES | IN_FILL) {
            IN_VALUES => in_heap(values.heap, (start & !IN_VALUES, length))?,
            IN_FILL => fill,
            _ => in_heap(old, (start, length))?,
        };
        filled &= bytes == fill;
        merged.push_variable(bytes);
    }
    Ok((store_empty || !filled).then_some(merged))
}

/// The caller's values, marked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) slots: &'a [u8],
    pub(super) strides: &'a [i64],
    pub(super) heap: &'a [u8],
}
