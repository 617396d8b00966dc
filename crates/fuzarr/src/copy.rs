//! Strided copies: the only place where elements move between a chunk and the caller's memory.
//!
//! Byte order and axis order cost no pass of their own: a permuted chunk is a chunk with permuted
//! strides, and swapped bytes are swapped while they are copied.

#![expect(unsafe_code, reason = "strided loops over memory whose bounds are checked once a copy")]

use smallvec::SmallVec;

use crate::buffer::{Output, isize_of};
use crate::error::{Error, Result};

/// Where the elements of one dimension are, in bytes relative to the copy's start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Walk<'a> {
    /// Element `i` is at `i × stride`.
    Stride(isize),
    /// Element `i` is at `(indices[i] − origin) × stride`.
    Listed { indices: &'a [u64], origin: u64, stride: isize },
}

/// One dimension of a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dimension<'a> {
    pub(crate) count: usize,
    pub(crate) source: Walk<'a>,
    pub(crate) target: Walk<'a>,
}

/// Dimensions of a copy, outermost first.
pub(crate) type Dimensions<'a> = SmallVec<[Dimension<'a>; 6]>;

/// What one element is to a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    /// Bytes of the element.
    pub(crate) size: usize,
    /// Bytes of the numbers whose byte order the copy reverses; 1 leaves them.
    pub(crate) swap: usize,
}

/// A copy that can be made from and to several places.
#[derive(Debug)]
pub(crate) struct Copy<'a> {
    /// None continues another.
    dimensions: Dimensions<'a>,
    element: Element,
    source: Extent,
    target: Extent,
    /// Whether there are no elements.
    is_empty: bool,
}

/// The first byte and the one after the last that a walk reaches, from its start.
type Extent = (isize, isize);

impl<'a> Copy<'a> {
    /// A copy of the elements that `dimensions` walk over.
    ///
    /// # Errors
    /// `InvalidArgument` for a list that is not as long as its dimension, or a walk that leaves any
    /// memory.
    pub(crate) fn new(mut dimensions: Dimensions<'a>, element: Element) -> Result<Self> {
        if !dimensions.iter().all(Dimension::is_consistent) {
            return Err(Error::invalid_argument("a copy's list is not as long as its dimension"));
        }
        let is_empty = element.size == 0 || dimensions.iter().any(|each| each.count == 0);
        let (mut source, mut target) = ((0, 0), (0, 0));
        if !is_empty {
            source = extent(dimensions.iter().map(|each| (each.count, each.source)), element)?;
            target = extent(dimensions.iter().map(|each| (each.count, each.target)), element)?;
        }
        simplify(&mut dimensions);
        Ok(Self { dimensions, element, source, target, is_empty })
    }

    /// Copies from `source` into a caller's output, each from so many bytes on.
    ///
    /// # Errors
    /// `InvalidArgument` if that leaves either memory; nothing is copied then.
    ///
    /// # Safety
    /// No other thread touches the target elements during the call.
    pub(crate) unsafe fn scatter(
        &self,
        (memory, source_start): (&[u8], usize),
        (output, target_start): (&Output<'_>, usize),
    ) -> Result<()> {
        if self.is_empty {
            return Ok(());
        }
        check(self.source, source_start, memory.len())?;
        check(self.target, target_start, output.len())?;
        let from = memory.as_ptr().wrapping_add(source_start);
        let to = output.start().wrapping_add(target_start);
        // SAFETY: the source is borrowed, the target is exclusive by the caller's promise; every
        // element that the dimensions reach lies inside both, checked above, and `simplify` keeps
        // the set of elements.
        unsafe { copy(from, to, &self.dimensions, self.element) };
        Ok(())
    }
}

/// Copies from `source` into a caller's output.
///
/// # Errors
/// `InvalidArgument` if the dimensions leave either memory; nothing is copied then.
///
/// # Safety
/// No other thread touches the target elements during the call.
pub(crate) unsafe fn scatter(
    source: (&[u8], usize),
    target: (&Output<'_>, usize),
    dimensions: Dimensions<'_>,
    element: Element,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { Copy::new(dimensions, element)?.scatter(source, target) }
}

/// Copies from `source` into `target`.
///
/// # Errors
/// As [`scatter`].
pub(crate) fn gather(
    source: (&[u8], usize),
    target: (&mut [u8], usize),
    dimensions: Dimensions<'_>,
    element: Element,
) -> Result<()> {
    let output = Output::borrowed(target.0);
    // SAFETY: the target is borrowed mutably.
    unsafe { scatter(source, (&output, target.1), dimensions, element) }
}

/// Reverses the bytes of every number in `memory`.
pub(crate) fn swap_in_place(memory: &mut [u8], number: usize) {
    if number > 1 {
        memory.chunks_exact_mut(number).for_each(<[u8]>::reverse);
    }
}

/// Fills `memory` with copies of `element`.
pub(crate) fn fill(memory: &mut [u8], element: &[u8]) {
    match element {
        [] => {}
        [first, rest @ ..] if rest.iter().all(|byte| byte == first) => memory.fill(*first),
        _ => {
            let head = element.len().min(memory.len());
            memory[..head].copy_from_slice(&element[..head]);
            let mut done = head;
            while done < memory.len() {
                let length = done.min(memory.len() - done);
                memory.copy_within(..length, done);
                done += length;
            }
        }
    }
}

/// Whether `memory` consists of copies of `element`, bit by bit: −0.0 is not 0.0, and a NaN equals
/// only its own bits.
pub(crate) fn is_filled(memory: &[u8], element: &[u8]) -> bool {
    let size = element.len();
    if memory.len() < size || size == 0 {
        return memory.is_empty();
    }
    // The first element equals the fill value and every byte equals the one an element before it.
    memory[..size] == *element && memory[size..] == memory[..memory.len() - size]
}

/// What the walks of all dimensions reach together.
fn extent<'a>(walks: impl Iterator<Item = (usize, Walk<'a>)>, element: Element) -> Result<Extent> {
    let (mut low, mut high) = (0, element.size as i128);
    for (count, walk) in walks {
        let (least, most) = walk.extent(count);
        low += least;
        high += most;
    }
    let leaves = |_| Error::invalid_argument("a copy reaches further than memory does");
    Ok((isize::try_from(low).map_err(leaves)?, isize::try_from(high).map_err(leaves)?))
}

/// Checks that a copy from `start` on stays inside its memory.
fn check((low, high): Extent, start: usize, length: usize) -> Result<()> {
    let inside = start.checked_add_signed(low).is_some()
        && start.checked_add_signed(high).is_some_and(|end| end <= length);
    if inside {
        return Ok(());
    }
    let (low, high) = (start as i128 + low as i128, start as i128 + high as i128);
    Err(Error::invalid_argument(format!(
        "a copy over bytes {low} to {high} leaves its memory of {length} bytes"
    )))
}

impl Walk<'_> {
    /// Least and largest byte offset of `count` elements.
    fn extent(self, count: usize) -> (i128, i128) {
        match self {
            Self::Stride(stride) => {
                let last = (count as i128 - 1) * stride as i128;
                (last.min(0), last.max(0))
            }
            Self::Listed { indices, origin, stride } => {
                let (mut least, mut most) = (i128::MAX, i128::MIN);
                for &index in indices {
                    let offset = (i128::from(index) - i128::from(origin)) * stride as i128;
                    (least, most) = (least.min(offset), most.max(offset));
                }
                (least, most)
            }
        }
    }

    /// Byte offset of element `position`.
    fn offset(self, position: usize) -> isize {
        match self {
            Self::Stride(stride) => (position as isize).wrapping_mul(stride),
            Self::Listed { indices, origin, stride } => {
                isize_of(indices[position].wrapping_sub(origin).cast_signed()).wrapping_mul(stride)
            }
        }
    }
}

impl Dimension<'_> {
    /// Whether a list has an entry for each element.
    fn is_consistent(&self) -> bool {
        [self.source, self.target].iter().all(|walk| match walk {
            Walk::Stride(_) => true,
            Walk::Listed { indices, .. } => indices.len() == self.count,
        })
    }
}

/// Drops strided dimensions of one element and joins those that continue each other.
fn simplify(dimensions: &mut Dimensions<'_>) {
    let mut kept: usize = 0;
    for position in 0..dimensions.len() {
        let inner = dimensions[position];
        if matches!(inner, Dimension { count: 1, source: Walk::Stride(_), target: Walk::Stride(_) })
        {
            continue;
        }
        let outer = kept.checked_sub(1).map(|last| dimensions[last]);
        if let Some(joined) = outer.and_then(|outer| join(outer, inner)) {
            dimensions[kept - 1] = joined;
        } else {
            dimensions[kept] = inner;
            kept += 1;
        }
    }
    dimensions.truncate(kept);
}

/// One dimension for two, if the outer one steps over exactly the inner one.
fn join<'a>(outer: Dimension<'a>, inner: Dimension<'a>) -> Option<Dimension<'a>> {
    let count = isize::try_from(inner.count).ok()?;
    let continues = |outer: Walk<'_>, inner: Walk<'_>| match (outer, inner) {
        (Walk::Stride(outer), Walk::Stride(inner)) => inner.checked_mul(count) == Some(outer),
        _ => false,
    };
    if continues(outer.source, inner.source) && continues(outer.target, inner.target) {
        return Some(Dimension { count: outer.count.checked_mul(inner.count)?, ..inner });
    }
    None
}

/// # Safety
/// Every element that the dimensions reach is valid to read at `from` and to write at `to`.
unsafe fn copy(from: *const u8, to: *mut u8, dimensions: &[Dimension<'_>], element: Element) {
    match dimensions {
        // SAFETY: the caller's promise, for one element.
        [] => unsafe { run(from, to, 1, (0, 0), element) },
        [Dimension { count, source: Walk::Stride(source), target: Walk::Stride(target) }] => {
            // SAFETY: the caller's promise.
            unsafe { run(from, to, *count, (*source, *target), element) }
        }
        // Rows without gaps, which are mostly short.
        [
            Dimension { count: rows, source: Walk::Stride(source), target: Walk::Stride(target) },
            Dimension { count, source: Walk::Stride(from_step), target: Walk::Stride(to_step) },
        ] if element.swap <= 1
            && *from_step == element.size.cast_signed()
            && *to_step == element.size.cast_signed() =>
        {
            // SAFETY: the caller's promise.
            unsafe { copy_rows(from, to, *rows, (*source, *target), count * element.size) }
        }
        [outer, inner @ ..] => {
            for position in 0..outer.count {
                let from = from.wrapping_offset(outer.source.offset(position));
                let to = to.wrapping_offset(outer.target.offset(position));
                // SAFETY: the caller's promise, for one position of the outermost dimension.
                unsafe { copy(from, to, inner, element) };
            }
        }
    }
}

/// Copies `rows` runs of `length` bytes each.
///
/// # Safety
/// As [`copy`].
unsafe fn copy_rows(
    from: *const u8,
    to: *mut u8,
    rows: usize,
    steps: (isize, isize),
    length: usize,
) {
    // SAFETY: the caller's promise; a row is at least as long as the number that it is moved by.
    unsafe {
        match length {
            2..=3 => ends::<u16>(from, to, rows, steps, length),
            4..=7 => ends::<u32>(from, to, rows, steps, length),
            8..=15 => ends::<u64>(from, to, rows, steps, length),
            16..=32 => ends::<u128>(from, to, rows, steps, length),
            _ => {
                let (mut from, mut to) = (from, to);
                for _ in 0..rows {
                    std::ptr::copy_nonoverlapping(from, to, length);
                    from = from.wrapping_offset(steps.0);
                    to = to.wrapping_offset(steps.1);
                }
            }
        }
    }
}

/// Copies short rows as their first and their last bytes, which may overlap: no calls, and no
/// branches.
///
/// # Safety
/// As [`copy`], for rows of one to two `T`.
unsafe fn ends<T: std::marker::Copy>(
    from: *const u8,
    to: *mut u8,
    rows: usize,
    (source, target): (isize, isize),
    length: usize,
) {
    let last = length - size_of::<T>();
    let (mut from, mut to) = (from, to);
    for _ in 0..rows {
        // SAFETY: the caller's promise; both numbers lie in the row, and unaligned access needs no
        // more.
        unsafe {
            let first = from.cast::<T>().read_unaligned();
            let second = from.add(last).cast::<T>().read_unaligned();
            to.cast::<T>().write_unaligned(first);
            to.add(last).cast::<T>().write_unaligned(second);
        }
        from = from.wrapping_offset(source);
        to = to.wrapping_offset(target);
    }
}

/// Copies one row of `count` elements, `steps` bytes apart in source and target.
///
/// # Safety
/// As [`copy`].
unsafe fn run(from: *const u8, to: *mut u8, count: usize, steps: (isize, isize), element: Element) {
    let dense = element.size as isize;
    // SAFETY: the caller's promise; each arm touches `element.size` bytes at each step.
    unsafe {
        match (element.swap, element.size) {
            (0 | 1, size) if count == 1 || steps == (dense, dense) => {
                std::ptr::copy_nonoverlapping(from, to, count * size);
            }
            (0 | 1, 1) if steps == (0, 1) => to.write_bytes(*from, count),
            (0 | 1, 1) => each::<u8>(from, to, count, steps, |value| value),
            (0 | 1, 2) => each::<u16>(from, to, count, steps, |value| value),
            (0 | 1, 4) => each::<u32>(from, to, count, steps, |value| value),
            (0 | 1, 8) => each::<u64>(from, to, count, steps, |value| value),
            (0 | 1, 16) => each::<u128>(from, to, count, steps, |value| value),
            (2, 2) => each::<u16>(from, to, count, steps, u16::swap_bytes),
            (4, 4) => each::<u32>(from, to, count, steps, u32::swap_bytes),
            (8, 8) => each::<u64>(from, to, count, steps, u64::swap_bytes),
            // Both halves of a complex number, each swapped, in the order they had.
            (4, 8) => {
                each::<u64>(from, to, count, steps, |value| value.swap_bytes().rotate_left(32));
            }
            (8, 16) => {
                each::<u128>(from, to, count, steps, |value| value.swap_bytes().rotate_left(64));
            }
            _ => any(from, to, count, steps, element),
        }
    }
}

/// The row of an element whose size is not known to the compiler.
///
/// # Safety
/// As [`copy`].
unsafe fn any(
    from: *const u8,
    to: *mut u8,
    count: usize,
    (source, target): (isize, isize),
    element: Element,
) {
    let (mut from, mut to) = (from, to);
    for _ in 0..count {
        // SAFETY: the caller's promise, for one element.
        let bytes = unsafe {
            std::ptr::copy_nonoverlapping(from, to, element.size);
            std::slice::from_raw_parts_mut(to, element.size)
        };
        swap_in_place(bytes, element.swap);
        from = from.wrapping_offset(source);
        to = to.wrapping_offset(target);
    }
}

/// # Safety
/// As [`copy`], for elements of the size of `T`.
unsafe fn each<T: std::marker::Copy>(
    from: *const u8,
    to: *mut u8,
    count: usize,
    (source, target): (isize, isize),
    change: impl Fn(T) -> T,
) {
    let (mut from, mut to) = (from, to);
    for _ in 0..count {
        // SAFETY: the caller's promise; unaligned access needs no more.
        unsafe { to.cast::<T>().write_unaligned(change(from.cast::<T>().read_unaligned())) };
        from = from.wrapping_offset(source);
        to = to.wrapping_offset(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strided(count: usize, source: isize, target: isize) -> Dimension<'static> {
        Dimension { count, source: Walk::Stride(source), target: Walk::Stride(target) }
    }

    #[test]
    fn transposing_moves_every_element_and_swaps_its_bytes() {
        let source: Vec<u8> = (0..12).collect();
        let mut target = vec![0; 12];
        let dimensions = [strided(3, 2, 4), strided(2, 6, 2)];
        let element = Element { size: 2, swap: 2 };
        gather((&source, 0), (&mut target, 0), dimensions.into_iter().collect(), element).unwrap();
        assert_eq!(target, [1, 0, 7, 6, 3, 2, 9, 8, 5, 4, 11, 10]);
    }

    #[test]
    fn rows_of_every_length_are_moved_whole_and_alone() {
        for length in 1..80 {
            let source: Vec<u8> =
                (0..=u8::MAX).cycle().take(3 * 100).map(|byte| byte | 1).collect();
            let mut target = vec![0; 3 * 90];
            let dimensions = [strided(3, 100, 90), strided(length, 1, 1)];
            let element = Element { size: 1, swap: 1 };
            gather((&source, 0), (&mut target, 0), dimensions.into_iter().collect(), element)
                .unwrap();
            for (from, to) in source.chunks(100).zip(target.chunks(90)) {
                assert_eq!(from[..length], to[..length], "{length}");
                assert!(to[length..].iter().all(|&byte| byte == 0), "{length}");
            }
        }
    }

    #[test]
    fn lists_pick_and_place() {
        let source: Vec<u8> = (10..20).collect();
        let mut target = vec![0; 3];
        let dimension = Dimension {
            count: 3,
            source: Walk::Listed { indices: &[7, 5, 5], origin: 2, stride: 1 },
            target: Walk::Listed { indices: &[2, 0, 1], origin: 0, stride: 1 },
        };
        let element = Element { size: 1, swap: 1 };
        gather((&source, 0), (&mut target, 0), [dimension].into_iter().collect(), element).unwrap();
        assert_eq!(target, [13, 13, 15]);
    }

    #[test]
    fn a_copy_that_leaves_its_memory_is_refused() {
        for dimension in [strided(4, 1, 1), strided(3, -1, 1), strided(2, 1, 3)] {
            let mut target = [0; 3];
            let element = Element { size: 1, swap: 1 };
            let dimensions = [dimension].into_iter().collect();
            assert!(gather((&[0; 3], 0), (&mut target, 0), dimensions, element).is_err());
        }
    }

    #[test]
    fn complex_numbers_swap_each_half() {
        let source: Vec<u8> = (0..16).collect();
        let mut target = vec![0; 16];
        let element = Element { size: 8, swap: 4 };
        let dimensions: Dimensions<'_> = [strided(2, 8, 8)].into_iter().collect();
        gather((&source, 0), (&mut target, 0), dimensions, element).unwrap();
        let mut expected = source;
        swap_in_place(&mut expected, 4);
        assert_eq!(target, expected);
    }

    #[test]
    fn filled_compares_bits() {
        let mut memory = vec![0; 12];
        fill(&mut memory, &[1, 2, 3, 4]);
        assert!(is_filled(&memory, &[1, 2, 3, 4]));
        memory[11] ^= 0x80;
        assert!(!is_filled(&memory, &[1, 2, 3, 4]));
        assert!(!is_filled(&(-0.0f64).to_le_bytes(), &0.0f64.to_le_bytes()));
    }
}
