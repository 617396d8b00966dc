//! How a grid of chunks cuts a region.

use smallvec::SmallVec;

use super::region::{Axis, List, Region, Resolved};
use crate::buffer::usize_of;
use crate::error::{Error, Result};

/// The most chunks along one dimension that one request may touch: each takes some 50 bytes of
/// plan.
const MOST_CUTS: u64 = 1 << 24;

impl Axis {
    /// The axis cut along chunks of `extent`: each chunk with wanted positions, with those.
    fn cut(&self, lists: &[List], extent: u64) -> Result<Cuts> {
        if self.most_cuts(extent) > MOST_CUTS {
            return Err(Error::limit(format!(
                "one request may touch {MOST_CUTS} chunks along a dimension; ask for less at once"
            )));
        }
        let mut cuts = Cuts::new();
        let mut position = self.next(lists, 0);
        while let Some(wanted) = position {
            let chunk = wanted / extent;
            let low = chunk * extent;
            let high = low.saturating_add(extent);
            cuts.push(Cut { chunk, axis: self.within(lists, low, high) });
            position = if high == u64::MAX { None } else { self.next(lists, high) };
        }
        Ok(cuts)
    }

    /// A bound on the chunks of `extent` that hold positions of the axis.
    fn most_cuts(&self, extent: u64) -> u64 {
        match *self {
            Self::Range { step, count, .. } => {
                count.min((count.saturating_mul(step) / extent).saturating_add(2))
            }
            Self::List { count, .. } => count as u64,
        }
    }
}

/// The part of an axis that falls into one chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    chunk: u64,
    axis: Axis,
}

/// The cuts of one axis; mostly one, where a request wants little.
type Cuts = SmallVec<[Cut; 1]>;

/// A region cut along a grid of chunks: the chunks that hold wanted elements, numbered in C order.
#[derive(Debug)]
pub(crate) enum Tiling {
    /// The product of one list of cuts a dimension.
    Axes { cuts: SmallVec<[Cuts; 2]>, count: usize },
    /// Points grouped by chunk.
    Points { groups: Vec<Group>, numbers: Vec<u64> },
}

/// The points in one chunk.
#[derive(Debug)]
pub(crate) struct Group {
    chunk: SmallVec<[u64; 4]>,
    origin: SmallVec<[u64; 4]>,
    points: std::ops::Range<usize>,
}

/// One chunk of a tiling: its position in the grid and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) chunk: SmallVec<[u64; 4]>,
    pub(crate) region: Region,
}

/// Chunks of a tiling, one after the other: cheaper than asking for each by number.
#[derive(Debug)]
pub(crate) struct Tiles<'a> {
    tiling: &'a Tiling,
    numbers: std::ops::Range<usize>,
    /// The last.
    tile: Option<Tile>,
    /// Which cut of each dimension it has.
    at: SmallVec<[usize; 4]>,
}

impl Tiles<'_> {
    /// The next chunk.
    pub(crate) fn next(&mut self) -> Option<&Tile> {
        let number = self.numbers.next()?;
        match (&mut self.tile, self.tiling) {
            (Some(Tile { chunk, region: Region::Axes(axes) }), Tiling::Axes { cuts, .. }) => {
                for dimension in (0..cuts.len()).rev() {
                    let (cuts, at) = (&cuts[dimension], &mut self.at[dimension]);
                    *at = if *at + 1 == cuts.len() { 0 } else { *at + 1 };
                    (chunk[dimension], axes[dimension]) = (cuts[*at].chunk, cuts[*at].axis);
                    if *at > 0 {
                        break;
                    }
                }
            }
            (tile, tiling) => *tile = Some(tiling.tile(number)),
        }
        self.tile.as_ref()
    }
}

impl Tiling {
    /// Cuts `region` along chunks of `chunk_shape`. Costs the sum, not the product, of the chunks
    /// along each dimension.
    ///
    /// # Errors
    /// `Limit` if the region touches more chunks than one request may.
    pub(crate) fn new(resolved: &Resolved, region: &Region, chunk_shape: &[u64]) -> Result<Self> {
        match region {
            Region::Axes(axes) => {
                let cuts: SmallVec<[Cuts; 2]> = axes
                    .iter()
                    .zip(chunk_shape)
                    .map(|(axis, &extent)| axis.cut(&resolved.lists, extent))
                    .collect::<Result<_>>()?;
                let count = cuts
                    .iter()
                    .try_fold(1_usize, |count, cuts| count.checked_mul(cuts.len()))
                    .ok_or_else(|| Error::limit("one request touches too many chunks"))?;
                Ok(Self::Axes { cuts, count })
            }
            Region::Points { numbers, origin } => {
                Self::points(&resolved.points, numbers, origin, chunk_shape)
            }
        }
    }

    /// Groups points by chunk; points of one chunk keep their order, so that the last of two writes
    /// to one element wins as it does in NumPy.
    ///
    /// # Errors
    /// `Limit` if there are more chunks than can be numbered.
    fn points(
        points: &[u64],
        numbers: &[u64],
        origin: &[u64],
        chunk_shape: &[u64],
    ) -> Result<Self> {
        let rank = chunk_shape.len();
        let chunk_of = |number: u64| {
            let row = usize_of(number) * rank;
            let position = points[row..row + rank].iter().zip(origin);
            position.zip(chunk_shape).map(|((at, from), extent)| (at - from) / extent)
        };
        let mut counts: SmallVec<[u64; 4]> = SmallVec::from_elem(1, rank);
        for &number in numbers {
            for (count, chunk) in counts.iter_mut().zip(chunk_of(number)) {
                *count = (*count).max(chunk + 1);
            }
        }
        let all = counts.iter().try_fold(1_u128, |all, &count| all.checked_mul(count.into()));
        all.ok_or_else(|| Error::limit("points in an array of too many chunks"))?;
        let order = |number: u64| {
            let chunk = chunk_of(number).zip(&counts);
            chunk.fold(0_u128, |order, (chunk, &count)| {
                order * u128::from(count) + u128::from(chunk)
            })
        };
        let mut keyed: Vec<_> = (0..).zip(numbers).map(|(at, &each)| (order(each), at)).collect();
        keyed.sort_unstable();
        let keyed_numbers = keyed.iter().map(|&(_, at): &(u128, usize)| numbers[at]).collect();
        let mut groups: Vec<Group> = Vec::new();
        for chunk in keyed.chunk_by(|one, other| one.0 == other.0) {
            let start = groups.last().map_or(0, |before| before.points.end);
            let Some(&(_, first)) = chunk.first() else { continue };
            let chunk_at: SmallVec<[u64; 4]> = chunk_of(numbers[first]).collect();
            let corner = chunk_at.iter().zip(chunk_shape).zip(origin);
            groups.push(Group {
                origin: corner.map(|((at, extent), from)| at * extent + from).collect(),
                chunk: chunk_at,
                points: start..start + chunk.len(),
            });
        }
        Ok(Self::Points { groups, numbers: keyed_numbers })
    }

    /// How many chunks hold wanted elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Axes { count, .. } => *count,
            Self::Points { groups, .. } => groups.len(),
        }
    }

    /// Whether of every chunk of the tiling all is wanted that lies inside `shape`.
    pub(crate) fn is_complete(&self, shape: &[u64], chunk_shape: &[u64]) -> bool {
        let Self::Axes { cuts, .. } = self else { return false };
        cuts.iter().zip(shape).zip(chunk_shape).all(|((cuts, &shape), &extent)| {
            cuts.iter().all(|cut| {
                let start = cut.chunk.saturating_mul(extent);
                cut.axis.covers(extent.min(shape.saturating_sub(start)))
            })
        })
    }

    /// Chunk `number` of the tiling.
    pub(crate) fn tile(&self, number: usize) -> Tile {
        let rank = match self {
            Self::Axes { cuts, .. } => cuts.len(),
            Self::Points { .. } => 0,
        };
        let mut tile = Tile {
            chunk: SmallVec::from_elem(0, rank),
            region: Region::Axes(SmallVec::from_elem(Axis::all(0), rank)),
        };
        self.turn(number, &mut tile);
        tile
    }

    /// Makes a tile of this tiling its chunk `number`.
    pub(crate) fn turn(&self, number: usize, tile: &mut Tile) {
        if let (Self::Axes { cuts, .. }, Tile { chunk, region: Region::Axes(axes) }) =
            (self, &mut *tile)
        {
            let mut rest = number;
            for ((cuts, chunk), axis) in cuts.iter().zip(chunk).zip(axes).rev() {
                let cut = &cuts[rest % cuts.len()];
                rest /= cuts.len();
                (*chunk, *axis) = (cut.chunk, cut.axis);
            }
            return;
        }
        *tile = match self {
            Self::Axes { .. } => self.tile(number),
            Self::Points { groups, numbers } => {
                let group = &groups[number];
                let numbers = numbers[group.points.clone()].to_vec();
                let region = Region::Points { numbers, origin: group.origin.clone() };
                Tile { chunk: group.chunk.clone(), region }
            }
        };
    }

    /// Goes through some chunks of the tiling, in order.
    pub(crate) fn walk(&self, numbers: std::ops::Range<usize>) -> Tiles<'_> {
        let mut at = SmallVec::new();
        if let Self::Axes { cuts, .. } = self {
            at = SmallVec::from_elem(0, cuts.len());
            let mut rest = numbers.start;
            for (cuts, at) in cuts.iter().zip(&mut at).rev() {
                (*at, rest) = (rest % cuts.len(), rest / cuts.len());
            }
        }
        Tiles { tiling: self, numbers, tile: None, at }
    }

    /// For each chunk of the tiling in turn, the sum of its grid position times `strides`.
    pub(crate) fn linear(&self, strides: &[u64]) -> Vec<u64> {
        match self {
            Self::Axes { cuts, count } => {
                let mut sums = Vec::with_capacity(*count);
                sums.push(0);
                for (cuts, stride) in cuts.iter().zip(strides) {
                    sums = sums
                        .iter()
                        .flat_map(|sum| cuts.iter().map(move |cut| sum + cut.chunk * stride))
                        .collect();
                }
                sums
            }
            Self::Points { groups, .. } => groups
                .iter()
                .map(|group| group.chunk.iter().zip(strides).map(|(at, stride)| at * stride).sum())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Selection, Term};
    use super::*;

    fn slice(start: i64, stop: i64, step: i64) -> Term {
        Term::Slice { start: Some(start), stop: Some(stop), step: Some(step) }
    }

    #[test]
    fn walking_a_tiling_gives_its_tiles() {
        let shape = [23, 17, 9];
        let points = vec![vec![22, 0, 5, 22], vec![3, 16, 9, 2], vec![8, 0, 4, 8]];
        for (selection, chunks) in [
            (Selection::all(), [5, 4, 3]),
            (Selection::all(), [23, 17, 9]),
            (
                Selection::Orthogonal(vec![slice(1, 20, 6), slice(15, 2, -3), Term::Index(4)]),
                [5, 4, 3],
            ),
            (Selection::Orthogonal(vec![Term::List(vec![22, 1, 1]), slice(0, 1, 1)]), [5, 4, 3]),
            (Selection::Points { coordinates: points, shape: vec![4] }, [5, 4, 3]),
        ] {
            let resolved = selection.resolve(&shape, &chunks).unwrap();
            let tiling = Tiling::new(&resolved, &resolved.region, &chunks).unwrap();
            for start in 0..=tiling.len() {
                let mut tiles = tiling.walk(start..tiling.len());
                for number in start..tiling.len() {
                    assert_eq!(tiles.next(), Some(&tiling.tile(number)), "{selection:?} {number}");
                }
                assert_eq!(tiles.next(), None);
            }
        }
    }

    #[test]
    fn points_of_more_chunks_than_can_be_numbered_are_refused() {
        let shape = [1 << 62; 3];
        let corners = vec![vec![0, (1 << 62) - 1]; 3];
        let selection = Selection::Points { coordinates: corners, shape: vec![2] };
        let resolved = selection.resolve(&shape, &[1; 3]).unwrap();
        let refused = Tiling::new(&resolved, &resolved.region, &[1; 3]).unwrap_err();
        assert_eq!(refused.kind(), crate::Kind::Limit);
        assert_eq!(Tiling::new(&resolved, &resolved.region, &[1 << 30; 3]).unwrap().len(), 2);
    }

    #[test]
    fn what_a_region_reaches_of_pieces_is_bounded() {
        let resolve = |terms| Selection::Orthogonal(terms).resolve(&[100, 50], &[10, 50]).unwrap();
        for (terms, pieces, reach) in [
            (vec![Term::Index(3), slice(5, 15, 1)], 1, 10),
            (vec![slice(3, 7, 1), slice(5, 15, 1)], 1, 4 * 50),
            (vec![slice(0, 100, 20), Term::Index(1)], 5, 10 * 50),
        ] {
            let resolved = resolve(terms);
            assert_eq!(resolved.pieces(&resolved.region, &[10, 50]), pieces);
            assert_eq!(resolved.reach(&resolved.region, &[10, 50]), reach);
        }
    }
}
