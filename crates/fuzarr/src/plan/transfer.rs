//! Elements between a chunk in buffer form and the caller's memory.

#![expect(unsafe_code, reason = "units of one plan write disjoint parts of one output")]

use std::ops::Range;

use smallvec::SmallVec;

use crate::buffer::{Output, isize_of, usize_of};
use crate::codec::Prepared;
use crate::copy::{self, Copy, Dimension, Dimensions, Element, Walk};
use crate::error::{Error, Result};
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
        Region::Axes(axes) => Route::along(chain, resolved, strides, axes),
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
    fn along(chain: &Prepared, resolved: &'a Resolved, strides: &[i64], axes: &[Axis]) -> Self {
        let size = chain.element as isize;
        let (inside, outside) = starts(chain, strides, axes);
        let mut route = Self { dimensions: Dimensions::new(), inside, outside };
        for ((axis, &stored), &stride) in axes.iter().zip(&chain.strides).zip(strides) {
            let stored = isize_of(stored.cast_signed());
            route.push(axis, resolved, stored * size, isize_of(stride) * size);
        }
        route
    }

    /// Adds a dimension whose neighbours are `stored` bytes apart inside, `stride` outside.
    fn push(&mut self, axis: &Axis, resolved: &'a Resolved, stored: isize, stride: isize) {
        self.dimensions.push(match *axis {
            Axis::Range { step, count, descending, .. } => {
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

/// Where the first element of `axes` is, in bytes: in a chunk, and in memory with these strides.
fn starts(chain: &Prepared, strides: &[i64], axes: &[Axis]) -> (usize, usize) {
    let (mut inside, mut outside) = (0, 0);
    for ((axis, &stored), &stride) in axes.iter().zip(&chain.strides).zip(strides) {
        if let Axis::Range { start, place, .. } = *axis {
            inside += usize_of(start) * usize_of(stored);
            outside += usize_of(place) * usize_of(stride.unsigned_abs());
        }
    }
    (inside * chain.element, outside * chain.element)
}

/// Copies `region` of a decoded chunk to its places in the output. `chunk`: its bytes in buffer
/// form, from this many on.
///
/// # Errors
/// `InvalidArgument` if the output is smaller than the selection's result, or bytes are missing.
pub(super) fn scatter(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    (chunk, from): (&[u8], usize),
    output: &Output<'_>,
    offsets: &mut Vec<u64>,
) -> Result<()> {
    let route = route(chain, resolved, &resolved.strides, region, offsets);
    let element = Element { size: chain.element, swap: chain.swap };
    let inside = route
        .inside
        .checked_sub(from)
        .ok_or_else(|| Error::invalid_argument("a part of a chunk lacks what is before it"))?;
    // SAFETY: places of the result belong to one element of the selection each, and elements to
    // one chunk; no other unit writes these.
    unsafe { copy::scatter((chunk, inside), (output, route.outside), route.dimensions, element) }
}

/// What [`scatter`] does, for many chunks of one shape: regions of one form are copied in one way.
#[derive(Debug, Default)]
pub(super) struct Scatter<'a> {
    last: Option<(Form, Copy<'a>)>,
}

/// What axes have in common that reach as far: how many elements, how far apart, whether backwards.
type Form = SmallVec<[(u64, u64, bool); 4]>;

fn form(axis: &Axis) -> Option<(u64, u64, bool)> {
    match *axis {
        Axis::Range { step, count, descending, .. } => Some((count, step, descending)),
        Axis::List { .. } => None,
    }
}

impl<'a> Scatter<'a> {
    /// As [`scatter`].
    ///
    /// # Errors
    /// As [`scatter`].
    pub(super) fn chunk(
        &mut self,
        chain: &Prepared,
        resolved: &'a Resolved,
        region: &Region,
        chunk: &[u8],
        output: &Output<'_>,
        offsets: &mut Vec<u64>,
    ) -> Result<()> {
        let Region::Axes(axes) = region else {
            return scatter(chain, resolved, region, (chunk, 0), output, offsets);
        };
        let known = self.last.as_ref().is_some_and(|(known, _)| {
            axes.iter().zip(known).all(|(axis, known)| form(axis).as_ref() == Some(known))
        });
        if !known {
            let Some(form) = axes.iter().map(form).collect::<Option<Form>>() else {
                return scatter(chain, resolved, region, (chunk, 0), output, offsets);
            };
            let dimensions = Route::along(chain, resolved, &resolved.strides, axes).dimensions;
            let element = Element { size: chain.element, swap: chain.swap };
            self.last = Some((form, Copy::new(dimensions, element)?));
        }
        let Some((_, copy)) = &self.last else { return Ok(()) };
        let (inside, outside) = starts(chain, &resolved.strides, axes);
        // SAFETY: as in `scatter`.
        unsafe { copy.scatter((chunk, inside), (output, outside)) }
    }
}

/// The bytes of a chunk in buffer form from the first to the last element of `region`; `None` for
/// points.
pub(super) fn bounds(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
) -> Option<Range<usize>> {
    let Region::Axes(axes) = region else { return None };
    let (mut first, mut last) = (0, 0);
    for (axis, stride) in axes.iter().zip(&chain.strides) {
        let (low, high) = axis.bounds(&resolved.lists)?;
        // A list's entries count from the chunk's start.
        first += if matches!(axis, Axis::List { .. }) { 0 } else { low * stride };
        last += high * stride;
    }
    Some(usize_of(first) * chain.element..usize_of(last + 1) * chain.element)
}

/// Writes `element`, in the caller's form, to the places of `region` in the output.
///
/// # Errors
/// As [`scatter`].
pub(super) fn repeat(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    element: &[u8],
    output: &Output<'_>,
    offsets: &mut Vec<u64>,
) -> Result<()> {
    let mut route = route(chain, resolved, &resolved.strides, region, offsets);
    for dimension in &mut route.dimensions {
        dimension.source = Walk::Stride(0);
    }
    let size = Element { size: chain.element, swap: 1 };
    // SAFETY: as in `scatter`.
    unsafe { copy::scatter((element, 0), (output, route.outside), route.dimensions, size) }
}

/// Copies `region` of a chunk in buffer form to `dense`, one element after the other.
///
/// # Errors
/// `InvalidArgument` if `dense` is too small.
pub(super) fn pack(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    chunk: &[u8],
    dense: &mut [u8],
) -> Result<()> {
    let mut offsets = Vec::new();
    let mut route = route(chain, resolved, &resolved.strides, region, &mut offsets);
    let mut step = isize_of(chain.element as i64);
    for dimension in route.dimensions.iter_mut().rev() {
        dimension.target = Walk::Stride(step);
        step = step.wrapping_mul(dimension.count as isize);
    }
    let element = Element { size: chain.element, swap: 1 };
    copy::gather((chunk, route.inside), (dense, 0), route.dimensions, element)
}

/// Copies what [`pack`] gave to the places of `region` in the output.
///
/// # Errors
/// As [`scatter`].
pub(super) fn unpack(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    dense: &[u8],
    output: &Output<'_>,
) -> Result<()> {
    let mut offsets = Vec::new();
    let mut route = route(chain, resolved, &resolved.strides, region, &mut offsets);
    let mut step = isize_of(chain.element as i64);
    for dimension in route.dimensions.iter_mut().rev() {
        dimension.source = Walk::Stride(step);
        step = step.wrapping_mul(dimension.count as isize);
    }
    let element = Element { size: chain.element, swap: 1 };
    // SAFETY: as in `scatter`.
    unsafe { copy::scatter((dense, 0), (output, route.outside), route.dimensions, element) }
}

/// Where the bytes of `region` are in the caller's memory of this many bytes, if they are one run in
/// the order of the chunk's elements and the region is the whole chunk.
fn whole(
    chain: &Prepared,
    strides: &[i64],
    region: &Region,
    memory: usize,
) -> Option<Range<usize>> {
    let Region::Axes(axes) = region else { return None };
    if chain.is_variable() || chain.swap > 1 || !region.covers(&chain.spec.shape) {
        return None;
    }
    let mut start = 0_u64;
    for ((axis, &stride), &stored) in axes.iter().zip(strides).zip(&chain.strides) {
        let Axis::Range { count, place, descending, .. } = *axis else { return None };
        if count > 1 && (descending || u64::try_from(stride) != Ok(stored)) {
            return None;
        }
        start += place * u64::try_from(stride).ok()?;
    }
    let start = usize::try_from(start).ok()?.checked_mul(chain.element)?;
    let end = start.checked_add(chain.length).filter(|&end| end <= memory)?;
    Some(start..end)
}

/// Where in an output of `room` bytes those of `region` are, if they can be written as they are
/// decoded.
pub(super) fn place(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    room: usize,
) -> Option<Range<usize>> {
    whole(chain, &resolved.strides, region, room)
}

/// Where among the caller's values those for `region` are, if they are the chunk in buffer form.
pub(super) fn source(
    chain: &Prepared,
    region: &Region,
    (values, strides): (&[u8], &[i64]),
) -> Option<Range<usize>> {
    whole(chain, strides, region, values.len())
}

/// The output's bytes for `region`, see [`place`].
pub(super) fn direct<'o>(
    chain: &Prepared,
    resolved: &Resolved,
    region: &Region,
    output: &'o Output<'_>,
) -> Option<&'o mut [u8]> {
    let place = place(chain, resolved, region, output.len())?;
    part(output, place.start, place.len())
}

/// Bytes of the output that are the [`place`]s of regions, which one unit or one fetch fills.
#[expect(clippy::mut_from_ref, reason = "units share the output and own disjoint parts")]
pub(super) fn part<'o>(
    output: &'o Output<'_>,
    start: usize,
    length: usize,
) -> Option<&'o mut [u8]> {
    // SAFETY: places of regions belong to one chunk each; whoever asks, does so once.
    unsafe { output.part(start, length) }
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
