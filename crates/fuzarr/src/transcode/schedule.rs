//! In which parts an array is copied.
//!
//! A part consists of whole destination objects. The larger it is, the fewer source chunks lie
//! across the border of two parts, which are decoded for each: a part of whole source chunks and
//! whole destination objects decodes everything once. The smallest such part is chosen if the
//! budget has room for it, else the one of those found that decodes least.

use smallvec::SmallVec;

use crate::error::{Error, Result};

/// Small parts are put together up to this many elements' bytes, so that each is worth a request.
const BATCH: u64 = 32 << 20;

/// No limit to the objects of parts that are put together.
pub(super) const ANY: u64 = u64::MAX;

/// A box of an array: where it starts and how long it is along each dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: Vec<u64>,
    pub(super) shape: Vec<u64>,
}

/// What a schedule has to know of an array and its copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry<'a> {
    /// The array.
    pub(super) shape: &'a [u64],
    /// A piece of the source that is decoded as a whole.
    pub(super) source_chunk: &'a [u64],
    /// An object of the source.
    pub(super) source_object: &'a [u64],
    /// An object of the destination.
    pub(super) object: &'a [u64],
    /// Bytes of an element.
    pub(super) element: u64,
}

/// An array cut into equal parts, those at the upper edges shorter.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    shape: Vec<u64>,
    part: Vec<u64>,
}

impl Schedule {
    /// Chooses parts. `need` tells how many bytes are needed to copy a part of a shape; larger
    /// parts must not need less. Those that are put together have at most so many `objects` on
    /// either side.
    ///
    /// # Errors
    /// `Limit` if even a single object needs more than `memory` bytes, saying how many.
    pub(super) fn new(
        geometry: Geometry<'_>,
        (memory, objects): (u64, u64),
        need: impl Fn(&[u64]) -> u64,
    ) -> Result<Self> {
        let clip = |part: &[u64]| -> Vec<u64> {
            part.iter().zip(geometry.shape).map(|(&part, &extent)| part.min(extent)).collect()
        };
        let least = need(&clip(geometry.object));
        if least > memory {
            return Err(Error::limit(format!(
                "copying needs at least {least} bytes of memory, {memory} are allowed"
            ))
            .with("needed", least));
        }
        let mut part = geometry.object.to_vec();
        while let Some(better) = better(geometry, &part, &|part| need(&clip(part)) <= memory) {
            part = better;
        }
        batch(geometry, &mut part, objects, &|part| need(&clip(part)) <= memory);
        Ok(Self { shape: geometry.shape.to_vec(), part })
    }

    /// The shape of the largest part.
    pub(super) fn largest(&self) -> Vec<u64> {
        self.part.iter().zip(&self.shape).map(|(&part, &extent)| part.min(extent)).collect()
    }

    /// How often source chunks are decoded, for each that there is.
    pub(super) fn repeats(&self, geometry: Geometry<'_>) -> f64 {
        total_repeats(geometry, &self.part)
    }

    /// Whether there is more than one part.
    pub(super) fn is_cut(&self) -> bool {
        self.part.iter().zip(&self.shape).any(|(part, extent)| part < extent)
    }

    /// All parts, the last dimension fastest.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let extents = self.shape.iter().zip(&self.part);
        let counts = extents.map(|(extent, part)| extent.div_ceil(*part)).collect();
        positions(vec![0; self.shape.len()], counts).map(|position| {
            let start: Vec<u64> = position.iter().zip(&self.part).map(|(at, n)| at * n).collect();
            let extents = self.part.iter().zip(&self.shape).zip(&start);
            let shape = extents.map(|((&part, &extent), &start)| part.min(extent - start));
            Part { shape: shape.collect(), start }
        })
    }
}

/// The positions from `low` up to but not including `high`, the last dimension fastest.
pub(super) fn positions(low: Vec<u64>, high: Vec<u64>) -> impl Iterator<Item = Vec<u64>> {
    let empty = low.iter().zip(&high).any(|(low, high)| low >= high);
    let mut next = (!empty).then(|| low.clone());
    std::iter::from_fn(move || {
        let position = next.take()?;
        let mut after = position.clone();
        for dimension in (0..after.len()).rev() {
            after[dimension] += 1;
            if after[dimension] < high[dimension] {
                next = Some(after);
                break;
            }
            after[dimension] = low[dimension];
        }
        Some(position)
    })
}

/// How often source chunks are decoded along a dimension, for each that there is.
fn repeats(extent: u64, chunk: u64, part: u64) -> f64 {
    let (chunks, parts) = (extent.div_ceil(chunk), extent.div_ceil(part));
    if parts <= 1 {
        return 1.0;
    }
    // Every border between two parts cuts a chunk, unless it is one between chunks too.
    let borders = parts - 1;
    let common = least_common_multiple(chunk, part);
    let between = common.map_or(0, |common| borders.saturating_mul(part) / common);
    (chunks + borders - between.min(borders)) as f64 / chunks as f64
}

fn least_common_multiple(one: u64, other: u64) -> Option<u64> {
    let (mut divisor, mut rest) = (one, other);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (one / divisor.max(1)).checked_mul(other)
}

fn total_repeats(geometry: Geometry<'_>, part: &[u64]) -> f64 {
    let dimensions = geometry.shape.iter().zip(geometry.source_chunk).zip(part);
    dimensions.map(|((&extent, &chunk), &part)| repeats(extent, chunk, part)).product()
}

/// The longer parts along one dimension that are worth a try: those that end where source chunks
/// do, and some between.
fn longer(geometry: Geometry<'_>, dimension: usize, part: u64) -> SmallVec<[u64; 80]> {
    let (extent, object) = (geometry.shape[dimension], geometry.object[dimension]);
    let chunk = geometry.source_chunk[dimension];
    let objects = extent.div_ceil(object);
    let aligned = least_common_multiple(chunk, object).map(|common| common / object);
    let across = (chunk / object).max(1);
    let powers = |first: u64| {
        std::iter::successors(Some(first), |count| count.checked_mul(2))
            .take_while(move |&count| count < objects)
    };
    let counts = powers(1)
        .chain(powers(3))
        .chain(powers(across))
        .chain(powers(across + 1))
        .chain(aligned.filter(|&count| count < objects))
        .chain([objects]);
    counts.map(|count| count.saturating_mul(object)).filter(|&longer| longer > part).collect()
}

/// The part, longer along one dimension, that decodes least; the smallest of several. `None` if
/// none that fits decodes less.
fn better(geometry: Geometry<'_>, part: &[u64], fits: &dyn Fn(&[u64]) -> bool) -> Option<Vec<u64>> {
    let volume = |part: &[u64]| part.iter().fold(1_u64, |product, &n| product.saturating_mul(n));
    let mut best: Option<(f64, u64, Vec<u64>)> = None;
    let present = total_repeats(geometry, part);
    for dimension in 0..part.len() {
        if geometry.shape[dimension] == 0 {
            return None;
        }
        for length in longer(geometry, dimension, part[dimension]) {
            let mut tried = part.to_vec();
            tried[dimension] = length;
            let (repeats, volume) = (total_repeats(geometry, &tried), volume(&tried));
            let is_best = best.as_ref().is_none_or(|(least, smallest, _)| {
                repeats < *least || (repeats <= *least && volume < *smallest)
            });
            if is_best && repeats < present && fits(&tried) {
                best = Some((repeats, volume, tried));
            }
        }
    }
    best.map(|(_, _, part)| part)
}

/// How many objects a part has, or is made of if that are more.
fn objects(geometry: Geometry<'_>, part: &[u64]) -> u64 {
    let count = |object: &[u64]| {
        let dimensions = part.iter().zip(geometry.shape).zip(object);
        let counts =
            dimensions.map(|((&part, &extent), &object)| part.min(extent).div_ceil(object.max(1)));
        counts.fold(1_u64, u64::saturating_mul)
    };
    count(geometry.object).max(count(geometry.source_object))
}

/// Puts parts together along the last dimensions while they are small, and have at most so many objects.
fn batch(geometry: Geometry<'_>, part: &mut [u64], most: u64, fits: &dyn Fn(&[u64]) -> bool) {
    for dimension in (0..part.len()).rev() {
        let extent = geometry.shape[dimension];
        let inside = part.iter().zip(geometry.shape).map(|(&part, &extent)| part.min(extent));
        let bytes = inside.fold(geometry.element, |bytes, n| bytes.saturating_mul(n));
        let times = (BATCH / bytes.max(1)).min(most / objects(geometry, part).max(1));
        let mut times = times.min(extent.div_ceil(part[dimension].max(1))).max(1);
        let single = part[dimension];
        while times > 1 {
            part[dimension] = single.saturating_mul(times);
            if fits(part) {
                break;
            }
            part[dimension] = single;
            times /= 2;
        }
        if part[dimension] < extent {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn schedule(shape: &[u64], chunk: &[u64], object: &[u64], memory: u64) -> Schedule {
        let element = 1 << 20;
        let geometry =
            Geometry { shape, source_chunk: chunk, source_object: chunk, object, element };
        Schedule::new(geometry, (memory, ANY), |part| part.iter().product()).unwrap()
    }

    /// How often each source chunk is decoded, by counting.
    fn decodes(schedule: &Schedule, chunk: &[u64]) -> u64 {
        let touched = |part: &Part| -> u64 {
            let dimensions = part.start.iter().zip(&part.shape).zip(chunk);
            dimensions
                .map(|((&start, &length), &chunk)| (start + length).div_ceil(chunk) - start / chunk)
                .product()
        };
        schedule.parts().map(|part| touched(&part)).sum()
    }

    #[test]
    fn parts_cover_the_array_once() {
        let schedule = schedule(&[7, 10], &[3, 4], &[2, 3], 30);
        let mut seen = [0; 70];
        for part in schedule.parts() {
            assert!(part.start[0] % 2 == 0 && part.start[1] % 3 == 0, "{part:?}");
            for row in part.start[0]..part.start[0] + part.shape[0] {
                for column in part.start[1]..part.start[1] + part.shape[1] {
                    seen[usize::try_from(row * 10 + column).unwrap()] += 1;
                }
            }
        }
        assert_eq!(seen, [1; 70]);
    }

    #[test]
    fn with_room_every_source_chunk_is_decoded_once() {
        for (chunk, object, memory) in [
            (&[8, 8], &[8, 8], 64),
            (&[8, 8], &[4, 2], 64),
            (&[4, 4], &[8, 12], 96),
            (&[6, 4], &[4, 6], 12 * 12),
            (&[1, 64], &[48, 1], 48 * 64),
            (&[100, 100], &[7, 9], 48 * 64),
        ] {
            let schedule = schedule(&[48, 64], chunk, object, memory);
            let chunks = 48_u64.div_ceil(chunk[0]) * 64_u64.div_ceil(chunk[1]);
            assert_eq!(decodes(&schedule, chunk), chunks, "{chunk:?} {object:?} {schedule:?}");
        }
    }

    #[test]
    fn with_less_room_as_few_as_possible_are_decoded_again() {
        // Rows into columns: each part of 8 columns decodes all rows.
        let narrow = schedule(&[64, 64], &[1, 64], &[64, 1], 8 * 64);
        assert_eq!(decodes(&narrow, &[1, 64]), 64 * 8);
        let single = schedule(&[64, 64], &[1, 64], &[64, 1], 64);
        assert_eq!(decodes(&single, &[1, 64]), 64 * 64);
    }

    #[test]
    fn repeats_are_those_counted() {
        for chunk in 1..=12 {
            for object in 1..=12 {
                for extent in 1..=30_u64 {
                    let schedule = Schedule { shape: vec![extent], part: vec![object] };
                    let counted = decodes(&schedule, &[chunk]) as f64;
                    let expected = repeats(extent, chunk, object) * extent.div_ceil(chunk) as f64;
                    assert!((counted - expected).abs() < 1e-9, "{extent} {chunk} {object}");
                }
            }
        }
    }

    #[test]
    fn small_parts_are_put_together() {
        let geometry = Geometry {
            shape: &[1000, 1 << 20],
            source_chunk: &[1, 8],
            source_object: &[1, 64],
            object: &[1, 8],
            element: 8,
        };
        let all = Schedule::new(geometry, (u64::MAX, ANY), |_| 0).unwrap();
        assert_eq!(all.part, [4, 1 << 20]);
        let need = |part: &[u64]| part.iter().product::<u64>() * 8;
        let some = Schedule::new(geometry, (1 << 20, ANY), need).unwrap();
        assert_eq!(some.part, [1, 1 << 17]);
        let few = Schedule::new(geometry, (1 << 20, 500), need).unwrap();
        assert_eq!(few.part, [1, 500 * 8]);
        // The objects that are read count as well.
        let turned = Geometry { source_object: &[1, 8], object: &[1, 64], ..geometry };
        let few = Schedule::new(turned, (1 << 20, 500), need).unwrap();
        assert_eq!(few.part, [1, 62 * 64]);
        let rows = Geometry { shape: &[1000, 64], ..geometry };
        let few = Schedule::new(rows, (1 << 20, 500), need).unwrap();
        assert_eq!(few.part, [62, 64]);
    }

    #[test]
    fn scalars_and_empty_arrays() {
        let whole = Part { start: vec![], shape: vec![] };
        assert_eq!(schedule(&[], &[], &[], 1).parts().collect::<Vec<_>>(), [whole]);
        assert_eq!(schedule(&[0, 4], &[1, 2], &[1, 3], 1).parts().count(), 0);
        let huge = schedule(&[1 << 62, 3], &[1 << 40, 1], &[1 << 61, 1], u64::MAX);
        assert_eq!(huge.parts().count(), 6);
    }

    #[test]
    fn too_little_memory_says_how_much_is_needed() {
        let geometry = Geometry {
            shape: &[5, 9],
            source_chunk: &[1, 1],
            source_object: &[1, 1],
            object: &[8, 4],
            element: 1,
        };
        let need = |part: &[u64]| part.iter().product();
        let error = Schedule::new(geometry, (19, ANY), need).unwrap_err();
        assert_eq!((error.kind(), error.context("needed")), (Kind::Limit, Some("20")));
        Schedule::new(geometry, (20, ANY), need).unwrap();
    }
}
