//! Elements between a chunk in buffer form and the caller's memory.

#![expect(unsafe_code, reason = "units of one plan write disjoint parts of one output")]

use crate::buffer::{Output, isize_of, usize_of};
use crate::codec::Prepared;
use crate::copy::{self, Dimension, Dimensions, Element, Walk};
use crate::error::Result;
use crate::selection::{Axis, Region, Resolved};

/// Where a copy's elements are on either side: the chunk's and the caller's.
struct Route<'a> {
    dimensions: Dimensions<'a>,
    inside: usize,
    outside: usize,
}

/// The route of `region` of a chunk, inside to outside. `offsets` is scratch for points.
fn route<'a>(
    chain: &Prepared,
    resolved: &'a Resolved,
    strides: &[i64],
    region: &'a Region,
    offsets: &'a mut Vec<u64>,
) -> Route<'a> {
    let size = chain.element as isize;
    match region {
        Region::Axes(axes) => {
            let mut route = Route { dimensions: Dimensions::new(), inside: 0, outside: 0 };
            for ((axis, &stored), &stride) in axes.iter().zip(&chain.strides).zip(strides) {
                let stored = isize_of(stored.cast_signed());
                route.push(axis, resolved, stored * size, isize_of(stride) * size);
            }
            route
        }
        Region::Points { numbers, origin } => {
            let rank = origin.len();
            offsets.clear();
            offsets.extend(numbers.iter().map(|&number| {
                let row = usize_of(number) * rank;
                let position = resolved.points[row..row + rank].iter().zip(origin);
                let steps = position.zip(&chain.strides);
                steps.map(|((at, from), stride)| (at - from) * stride).sum::<u64>()
            }));
            let stride = strides.first().map_or(0, |&stride| isize_of(stride)) * size;
            let dimension = Dimension {
                count: numbers.len(),
                source: Walk::Listed { indices: offsets, origin: 0, stride: size },
                target: Walk::Listed { indices: numbers, origin: 0, stride },
            };
            Route { dimensions: [dimension].into_iter().collect(), inside: 0, outside: 0 }
        }
    }
}

impl<'a> Route<'a> {
    /// Adds a dimension whose neighbours are `stored` bytes apart inside, `stride` outside.
    fn push(&mut self, axis: &Axis, resolved: &'a Resolved, stored: isize, stride: isize) {
        self.dimensions.push(match *axis {
            Axis::Range { start, step, count, place, descending } => {
                self.inside += usize_of(start) * stored.unsigned_abs();
                self.outside += usize_of(place) * stride.unsigned_abs();
                let step = isize_of(step.cast_signed());
                Dimension {
                    count: usize_of(count),
                    source: Walk::Stride(step.wrapping_mul(stored)),
                    target: Walk::Stride(if descending { -stride } else { stride }),
                }
            }
            Axis::List { list, first, count, origin } => {
                let list = &resolved.lists[list];
                let indices = &list.positions[first..first + count];
                let places = &list.places[first..first + count];
                Dimension {
                    count,
                    source: Walk::Listed { indices, origin, stride: stored },
                    target: Walk::Listed { indices: places, origin: 0, stride },
                }
            }
        });
    }
}

/// Copies `region` of a decoded chunk to its places in the output.
///
/// # Errors
/// `InvalidArgument` if the output is smaller than the selection's result.
pub(super) fn scatter(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    chunk: &[u8],
    output: &Output<'_>,
    offsets: &mut Vec<u64>,
) -> Result<()> {
    let route = route(chain, resolved, &resolved.strides, region, offsets);
    let element = Element { size: chain.element, swap: chain.swap };
    // SAFETY: places of the result belong to one element of the selection each, and elements to
    // one chunk; no other unit writes these.
    unsafe {
        copy::scatter((chunk, route.inside), (output, route.outside), route.dimensions, element)
    }
}

/// Writes the fill value to the places of `region` in the output.
///
/// # Errors
/// As [`scatter`].
pub(super) fn fill(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    output: &Output<'_>,
    offsets: &mut Vec<u64>,
) -> Result<()> {
    let mut route = route(chain, resolved, &resolved.strides, region, offsets);
    for dimension in &mut route.dimensions {
        dimension.source = Walk::Stride(0);
    }
    let element = Element { size: chain.element, swap: 1 };
    // SAFETY: as in `scatter`.
    unsafe {
        copy::scatter((&chain.spec.fill, 0), (output, route.outside), route.dimensions, element)
    }
}

/// The output's bytes for `region`, if they are one run in the order of the chunk's elements and
/// the region is the whole chunk.
#[expect(clippy::mut_from_ref, reason = "units share the output and own disjoint parts")]
pub(super) fn direct<'o>(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    output: &'o Output<'_>,
) -> Option<&'o mut [u8]> {
    let Region::Axes(axes) = region else { return None };
    if !region.covers(&chain.spec.shape) {
        return None;
    }
    let mut start = 0_u64;
    for (dimension, axis) in axes.iter().enumerate() {
        let Axis::Range { count, place, descending, .. } = *axis else { return None };
        let (stride, stored) = (resolved.strides[dimension], chain.strides[dimension]);
        if count > 1 && (descending || u64::try_from(stride) != Ok(stored)) {
            return None;
        }
        start += place * u64::try_from(stride).ok()?;
    }
    let start = usize::try_from(start).ok()?.checked_mul(chain.element)?;
    // SAFETY: the bytes are exactly the places of this region, which no other unit touches.
    unsafe { output.part(start, chain.length) }
}

/// Copies the caller's values for `region` into a chunk in buffer form. `strides` are those of the
/// values, all 0 for a scalar.
///
/// # Errors
/// `InvalidArgument` if there are fewer values than the selection has elements.
pub(super) fn gather(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    values: (&[u8], &[i64]),
    chunk: &mut [u8],
    offsets: &mut Vec<u64>,
) -> Result<()> {
    let (values, strides) = values;
    let mut route = route(chain, resolved, strides, region, offsets);
    for dimension in &mut route.dimensions {
        std::mem::swap(&mut dimension.source, &mut dimension.target);
    }
    let element = Element { size: chain.element, swap: chain.swap };
    copy::gather((values, route.outside), (chunk, route.inside), route.dimensions, element)
}
