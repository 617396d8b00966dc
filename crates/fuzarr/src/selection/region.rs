//! Axes, and the regions that they make.

use std::ops::Range;

use smallvec::SmallVec;

use crate::buffer::usize_of;

/// The wanted positions along one dimension, and where each goes in the result.
///
/// Positions are relative to the array, or to the chunk that [`Axis::within`] cut the axis to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// `start`, `start + step`, …, ascending. The first goes to `place` of the result, the next to
    /// `place + 1`, or to `place − 1` if `descending`.
    Range {
        /// The first position.
        start: u64,
        /// The distance between positions, at least 1.
        step: u64,
        /// How many positions.
        count: u64,
        /// Where in the result the first position goes.
        place: u64,
        /// Whether the result runs against the array, as for a negative step.
        descending: bool,
    },
    /// Entries `first` to `first + count` of list number `list`, less `origin`.
    List {
        /// Which of the selection's lists.
        list: usize,
        /// The first entry.
        first: usize,
        /// How many entries.
        count: usize,
        /// What to take off each entry.
        origin: u64,
    },
}

/// A list of positions, sorted, with the place in the result of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) positions: Vec<u64>,
    pub(crate) places: Vec<u64>,
}

/// A selection checked against a shape: what is wanted and where it goes.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The shape of the result.
    pub(crate) shape: SmallVec<[u64; 4]>,
    /// For each dimension of the array, the distance in elements between neighbours in the result;
    /// 0 for dimensions that the result does not have. For points: between one and the next, 1.
    pub(crate) strides: SmallVec<[i64; 4]>,
    /// What is wanted, over the whole array.
    pub(crate) region: Region,
    pub(crate) lists: Vec<List>,
    /// Positions of points, one row of a position per dimension each.
    pub(crate) points: Vec<u64>,
}

impl Resolved {
    /// The shape of the result.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// How many elements the result has. Cannot overflow: resolving checked it.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// How many pieces of the shape `piece`, laid side by side over what `region` is a part of, that
    /// touches at most.
    pub(crate) fn pieces(&self, region: &Region, piece: &[u64]) -> u64 {
        match region {
            Region::Axes(axes) => {
                let along = axes.iter().zip(piece);
                let along = along.map(|(axis, &extent)| axis.pieces(&self.lists, extent));
                along.fold(1, u64::saturating_mul)
            }
            Region::Points { numbers, .. } => numbers.len() as u64,
        }
    }

    /// How many elements lie between the first and the last that `region` wants of such a piece, at
    /// most.
    pub(crate) fn reach(&self, region: &Region, piece: &[u64]) -> u64 {
        let mut reach = 1_u64;
        let mut spread = false;
        for (dimension, &extent) in piece.iter().enumerate() {
            let bounds = match region {
                Region::Axes(axes) => axes[dimension].bounds(&self.lists),
                Region::Points { .. } => None,
            };
            let wanted = bounds.map_or(extent, |(low, high)| extent.min(high - low + 1));
            reach = reach.saturating_mul(if spread { extent } else { wanted });
            spread |= wanted > 1;
        }
        reach
    }
}

/// The wanted part of the array or of one chunk of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Region {
    /// The product of one axis a dimension.
    Axes(SmallVec<[Axis; 4]>),
    /// Single points, by number, relative to `origin`; the number is the place in the result.
    Points {
        /// Which points.
        numbers: Vec<u64>,
        /// The position of the chunk's first element.
        origin: SmallVec<[u64; 4]>,
    },
}

impl Axis {
    /// Every position of a dimension of `extent`.
    pub(crate) fn all(extent: u64) -> Self {
        Self::Range { start: 0, step: 1, count: extent, place: 0, descending: false }
    }

    /// How many positions.
    pub(crate) fn count(&self) -> u64 {
        match *self {
            Self::Range { count, .. } => count,
            Self::List { count, .. } => count as u64,
        }
    }

    /// The position that goes to `place` of the result.
    pub(crate) fn at(&self, lists: &[List], place: u64) -> Option<u64> {
        match *self {
            Self::Range { start, step, count, place: first, descending } => {
                let steps =
                    if descending { first.checked_sub(place) } else { place.checked_sub(first) };
                steps.filter(|&steps| steps < count).map(|steps| start + steps * step)
            }
            Self::List { list, .. } => {
                let list = &lists[list];
                let entry = list.places.iter().position(|&known| known == place)?;
                list.positions.get(entry).copied()
            }
        }
    }

    /// The least and the largest position; `None` if there are none.
    pub(crate) fn bounds(&self, lists: &[List]) -> Option<(u64, u64)> {
        match *self {
            Self::Range { start, step, count, .. } => {
                Some((start, start + count.checked_sub(1)? * step))
            }
            Self::List { list, first, count, origin } => {
                let entries = &lists[list].positions[first..first + count];
                Some((entries.first()? - origin, entries.last()? - origin))
            }
        }
    }

    /// How many pieces of `extent` positions, side by side, it touches at most.
    fn pieces(&self, lists: &[List], extent: u64) -> u64 {
        let extent = extent.max(1);
        self.bounds(lists)
            .map_or(0, |(low, high)| self.count().min(high / extent - low / extent + 1))
    }

    /// Whether these are all the positions of a dimension of `extent`.
    pub(crate) fn covers(&self, extent: u64) -> bool {
        matches!(*self, Self::Range { start: 0, step, count, .. }
            if count == extent && (step == 1 || count <= 1))
    }

    /// The positions in `low..high`, relative to `low`.
    pub(crate) fn within(&self, lists: &[List], low: u64, high: u64) -> Self {
        let entries = match *self {
            Self::Range { start, step, count, .. } => {
                let before = |bound: u64| bound.saturating_sub(start).div_ceil(step).min(count);
                before(low)..before(high)
            }
            Self::List { list, first, count, origin } => {
                let entries = &lists[list].positions[first..first + count];
                let before =
                    |bound| entries.partition_point(|&entry| entry - origin < bound) as u64;
                before(low)..before(high)
            }
        };
        let mut within = self.part(entries);
        match &mut within {
            Self::Range { start, .. } => *start = start.saturating_sub(low),
            Self::List { origin, .. } => *origin += low,
        }
        within
    }

    /// The positions with these numbers, counted from the first.
    fn part(&self, entries: Range<u64>) -> Self {
        let skipped = entries.start;
        match *self {
            Self::Range { start, step, place, descending, .. } => Self::Range {
                start: start.saturating_add(skipped.saturating_mul(step)),
                step,
                count: entries.end - skipped,
                place: if descending { place.wrapping_sub(skipped) } else { place + skipped },
                descending,
            },
            Self::List { list, first, origin, .. } => Self::List {
                list,
                first: first + usize_of(skipped),
                count: usize_of(entries.end - skipped),
                origin,
            },
        }
    }

    /// The first position that is at least `from`.
    pub(super) fn next(&self, lists: &[List], from: u64) -> Option<u64> {
        match *self {
            Self::Range { start, step, count, .. } => {
                let skipped = from.saturating_sub(start).div_ceil(step);
                (skipped < count).then(|| start + skipped * step)
            }
            Self::List { list, first, count, origin } => {
                let entries = &lists[list].positions[first..first + count];
                let skipped = entries.partition_point(|&entry| entry - origin < from);
                entries.get(skipped).map(|&entry| entry - origin)
            }
        }
    }
}

impl Region {
    /// How many elements.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Axes(axes) => axes.iter().map(|axis| usize_of(axis.count())).product(),
            Self::Points { numbers, .. } => numbers.len(),
        }
    }

    /// Into how many slabs it can be cut, at most so many.
    pub(crate) fn slabs(&self, most: usize) -> usize {
        match self {
            Self::Axes(axes) if most > 1 => {
                let longest = axes.iter().map(Axis::count).max().unwrap_or(1);
                most.min(usize_of(longest)).max(1)
            }
            _ => 1,
        }
    }

    /// Slab `number` of so many: a part of about the same size as the others, along the first
    /// dimension that is long enough.
    pub(crate) fn slab(&self, number: usize, slabs: usize) -> Self {
        let mut slab = self.clone();
        let (number, slabs) = (number as u64, slabs as u64);
        if let Self::Axes(axes) = &mut slab
            && let Some(axis) = axes.iter_mut().find(|axis| axis.count() >= slabs)
        {
            let count = axis.count();
            *axis = axis.part(number * count / slabs..(number + 1) * count / slabs);
        }
        slab
    }

    /// The shape of the chunk of which this is every element, if there is one.
    pub(crate) fn extents(&self) -> Option<Vec<u64>> {
        let Self::Axes(axes) = self else { return None };
        let extents: Vec<u64> = axes.iter().map(Axis::count).collect();
        self.covers(&extents).then_some(extents)
    }

    /// Whether this is every element of a chunk of `shape`.
    pub(crate) fn covers(&self, shape: &[u64]) -> bool {
        match self {
            Self::Axes(axes) => axes.iter().zip(shape).all(|(axis, &extent)| axis.covers(extent)),
            Self::Points { .. } => false,
        }
    }
}
