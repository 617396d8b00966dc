//! The objects of a plan: cut from one selection along the grid, or named one by one.
//!
//! Another library's indexer has cut its selection before a plan is made. Such a plan is told each
//! object's key, what is wanted inside it, and where in the caller's memory that goes. Everything
//! after that, inner chunks included, is cut as usual.

use std::collections::{HashMap, HashSet};

use smallvec::SmallVec;

use super::Layout;
use crate::buffer::{addressable, usize_of};
use crate::error::{Error, Result};
use crate::selection::{Axis, List, Region, Resolved, Tiling};

/// What a plan has to work on.
#[derive(Debug)]
pub(super) enum Objects {
    /// The chunks of the array's grid that a selection touches.
    Grid(Tiling),
    /// Objects that the caller names.
    Named { objects: Vec<Named>, elements: u64 },
}

/// An object that the caller names.
#[derive(Debug)]
pub(super) struct Named {
    key: String,
    /// The extents of it that lie inside the array, as far as that is known.
    valid: SmallVec<[u64; 4]>,
    pub(super) region: Region,
}

fn elements_of(shape: &[u64]) -> u64 {
    shape.iter().copied().fold(1, u64::saturating_mul)
}

impl Objects {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Grid(tiling) => tiling.len(),
            Self::Named { objects, .. } => objects.len(),
        }
    }

    /// How many pieces of the shape `piece` the selection touches at most, and how many elements
    /// these have; with `in_part`, from the first to the last that is wanted of each.
    pub(super) fn touched(&self, resolved: &Resolved, piece: &[u64], in_part: bool) -> (u64, u64) {
        let touched = |region| {
            let pieces = resolved.pieces(region, piece);
            let each = if in_part { resolved.reach(region, piece) } else { elements_of(piece) };
            (pieces, pieces.saturating_mul(each))
        };
        match self {
            Self::Grid(_) => touched(&resolved.region),
            Self::Named { objects, .. } => {
                let all = objects.iter().map(|object| touched(&object.region));
                all.fold((0, 0), |sum, each| {
                    (sum.0.saturating_add(each.0), sum.1.saturating_add(each.1))
                })
            }
        }
    }

    /// How many elements are read or written.
    pub(super) fn elements(&self, resolved: &Resolved) -> u64 {
        match self {
            Self::Grid(_) => resolved.elements(),
            Self::Named { elements, .. } => *elements,
        }
    }

    /// Whether of every object all is wanted that lies inside the array.
    pub(super) fn is_complete(&self, layout: &Layout) -> bool {
        match self {
            Self::Grid(tiling) => tiling.is_complete(&layout.shape, &layout.chain.spec.shape),
            Self::Named { objects, .. } => {
                objects.iter().all(|object| object.region.covers(&object.valid))
            }
        }
    }

    /// What is wanted of object `number`, with its key and valid extents.
    pub(super) fn begin(
        &self,
        number: usize,
        layout: &Layout,
        key: &mut String,
        valid: &mut SmallVec<[u64; 4]>,
    ) -> Region {
        match self {
            Self::Grid(tiling) => {
                let tile = tiling.tile(number);
                layout.keys.write_key(&layout.prefix, &tile.chunk, key);
                layout.valid(&tile.chunk, valid);
                tile.region
            }
            Self::Named { objects, .. } => {
                let object = &objects[number];
                key.clone_from(&object.key);
                valid.clone_from(&object.valid);
                object.region.clone()
            }
        }
    }
}

/// The wanted positions along one dimension of a chunk, and where in the caller's memory they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Along {
    /// `start`, `start + step`, …; the first goes to `place`, the next to `place + 1`.
    Range {
        /// The first position.
        start: u64,
        /// The distance between positions, at least 1.
        step: u64,
        /// How many positions.
        count: u64,
        /// Where the first goes.
        place: u64,
    },
    /// Positions in any order, repeats allowed, each with where it goes.
    List {
        /// Positions.
        positions: Vec<u64>,
        /// As many places.
        places: Vec<u64>,
    },
}

/// How the caller's memory is laid out, and which of its dimensions a chunk's run along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Its shape.
    pub shape: Vec<u64>,
    /// For each of its dimensions, the distance between neighbours in elements.
    pub strides: Vec<u64>,
    /// For each dimension of a chunk, the one of the memory; `None` if there is none, so that one
    /// position is taken, or, for a single value, any number of them are given that value.
    pub dimensions: Vec<Option<usize>>,
}

/// The places that parts take along one dimension of the memory. Parts that are equal share a
/// number; different ones may not meet.
#[derive(Debug, Default)]
struct Claims {
    known: HashMap<Claim, u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Claim {
    Range(u64, u64),
    List(Vec<u64>),
}

impl Claims {
    fn number(&mut self, claim: Claim) -> u32 {
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        *self.known.entry(claim).or_insert(next)
    }

    /// Whether different parts have no place in common, along a dimension of `extent`.
    fn are_disjoint(&self, extent: u64) -> Result<bool> {
        let mut lists = self.known.keys().filter(|claim| matches!(claim, Claim::List(_)));
        if lists.next().is_none() {
            let mut ranges: Vec<_> = self.ranges().collect();
            ranges.sort_unstable();
            return Ok(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
        }
        let mut taken = vec![false; addressable(extent)?];
        let mut take = |place: u64| !std::mem::replace(&mut taken[usize_of(place)], true);
        Ok(self.known.keys().all(|claim| match claim {
            Claim::Range(start, count) => (*start..start + count).all(&mut take),
            Claim::List(places) => places.iter().all(|&place| take(place)),
        }))
    }

    fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.known.keys().filter_map(|claim| match claim {
            Claim::Range(start, count) => Some((*start, *count)),
            Claim::List(_) => None,
        })
    }
}

/// What is wanted of objects of one chunk layout that the caller names.
#[derive(Debug)]
pub struct ObjectList {
    chunk_shape: Vec<u64>,
    memory: Memory,
    resolved: Resolved,
    objects: Vec<Named>,
    elements: u64,
    /// For each dimension of the memory.
    claims: Vec<Claims>,
    /// The parts that the objects take, by the numbers of their claims.
    parts: HashSet<SmallVec<[u32; 4]>>,
    /// Whether something goes to one place more often than once, as far as objects tell.
    shared: bool,
}

impl ObjectList {
    /// No objects yet, of chunks of `chunk_shape`.
    ///
    /// # Errors
    /// `InvalidArgument` if the memory's places overlap each other, or its dimensions do not match.
    pub fn new(chunk_shape: &[u64], memory: Memory) -> Result<Self> {
        let Memory { shape, strides, dimensions } = &memory;
        let mut used = vec![false; shape.len()];
        let mut inner = dimensions.iter().flatten();
        let once = inner.all(|&dimension| {
            used.get_mut(dimension).is_some_and(|used| !std::mem::replace(used, true))
        });
        let matching = dimensions.len() == chunk_shape.len() && strides.len() == shape.len();
        if !once || !matching || used.contains(&false) || !is_injective(shape, strides) {
            return Err(Error::invalid_argument(
                "the memory's dimensions do not match those of the chunks",
            ));
        }
        let stride = |dimension: &Option<usize>| {
            let stride = dimension.map_or(0, |dimension| strides[dimension]);
            i64::try_from(stride).map_err(|_| Error::limit("a stride of 2^63 elements"))
        };
        let resolved = Resolved {
            shape: shape.as_slice().into(),
            strides: dimensions.iter().map(stride).collect::<Result<_>>()?,
            region: Region::Axes(SmallVec::new()),
            lists: Vec::new(),
            points: Vec::new(),
        };
        let claims = shape.iter().map(|_| Claims::default()).collect();
        Ok(Self {
            chunk_shape: chunk_shape.to_vec(),
            memory,
            resolved,
            objects: Vec::new(),
            elements: 0,
            claims,
            parts: HashSet::new(),
            shared: false,
        })
    }

    /// How many elements are wanted of all objects together.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Adds an object of which the product of positions is wanted. `complete`: these are all
    /// positions inside the array.
    ///
    /// # Errors
    /// `InvalidArgument` for positions outside the chunk or places outside the memory.
    pub fn push(&mut self, key: String, complete: bool, along: Vec<Along>) -> Result<()> {
        if along.len() != self.chunk_shape.len() || !self.resolved.points.is_empty() {
            return Err(Error::invalid_argument("one list of positions a dimension is wanted"));
        }
        let mut part = SmallVec::from_elem(0, self.memory.shape.len());
        let mut axes = SmallVec::new();
        for (dimension, along) in along.into_iter().enumerate() {
            let along = along.simplify();
            let target = self.memory.dimensions[dimension];
            let extent = target.map(|target| self.memory.shape[target]);
            let claim = along.check(self.chunk_shape[dimension], extent)?;
            match target {
                Some(target) => part[target] = self.claims[target].number(claim),
                None => self.shared |= along.count() != 1,
            }
            axes.push(along.into_axis(&mut self.resolved.lists));
        }
        let region = Region::Axes(axes);
        self.elements += region.count() as u64;
        self.shared |= !self.parts.insert(part);
        let valid = if complete { region.extents() } else { None };
        let valid = valid.unwrap_or_else(|| self.chunk_shape.clone());
        self.objects.push(Named { key, valid: valid.into(), region });
        Ok(())
    }

    /// Adds an object of which single elements are wanted: `positions[d][i]` along dimension `d`
    /// goes to `places[i]` of memory of one dimension.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_points(
        &mut self,
        key: String,
        positions: &[Vec<u64>],
        mut places: Vec<u64>,
    ) -> Result<()> {
        let rank = self.chunk_shape.len();
        let points_only = self.objects.is_empty() || !self.resolved.points.is_empty();
        let room = match self.memory.shape[..] {
            _ if rank != positions.len() || rank == 0 || !points_only => None,
            [room] => Some(room),
            // One value for all: each point is a row of its own, of no distance from the others.
            [] => {
                let rows = (self.resolved.points.len() / rank) as u64;
                places = (rows..).take(places.len()).collect();
                self.shared = true;
                Some(rows + places.len() as u64)
            }
            _ => None,
        };
        let Some(room) = room else {
            return Err(Error::invalid_argument("points go to memory of one dimension"));
        };
        let inside = positions.iter().zip(&self.chunk_shape).all(|(positions, &extent)| {
            positions.len() == places.len() && positions.iter().all(|&position| position < extent)
        });
        if !inside || places.iter().any(|&place| place >= room) {
            return Err(Error::invalid_argument("a point is outside the chunk or the memory"));
        }
        let points = &mut self.resolved.points;
        points.resize(addressable(room)?.saturating_mul(rank), 0);
        for (entry, &place) in places.iter().enumerate() {
            for (dimension, positions) in positions.iter().enumerate() {
                points[usize_of(place) * rank + dimension] = positions[entry];
            }
        }
        let stride = self.memory.strides.first().map_or(0, |&stride| stride);
        self.resolved.strides.fill(i64::try_from(stride).unwrap_or(i64::MAX));
        self.elements += places.len() as u64;
        if let Some(claims) = self.claims.first_mut() {
            let part = claims.number(Claim::List(places.clone()));
            self.shared |= !self.parts.insert(SmallVec::from_elem(part, 1));
        }
        let region = Region::Points { numbers: places, origin: SmallVec::from_elem(0, rank) };
        self.objects.push(Named { key, valid: self.chunk_shape.as_slice().into(), region });
        Ok(())
    }

    /// For a read: no two objects may write the same place.
    ///
    /// # Errors
    /// `Unsupported` if they do.
    pub(super) fn for_reading(self) -> Result<(Resolved, Objects)> {
        let mut disjoint = !self.shared;
        for (claims, &extent) in self.claims.iter().zip(&self.memory.shape) {
            disjoint = disjoint && claims.are_disjoint(extent)?;
        }
        if !disjoint {
            return Err(Error::unsupported("parts of the result that overlap"));
        }
        Ok(self.into_objects())
    }

    /// For a write: every object is written by one machine.
    ///
    /// # Errors
    /// `Unsupported` if a key is named twice.
    pub(super) fn for_writing(self) -> Result<(Resolved, Objects)> {
        let mut keys = HashSet::new();
        if !self.objects.iter().all(|object| keys.insert(object.key.as_str())) {
            return Err(Error::unsupported("a write that names an object twice"));
        }
        Ok(self.into_objects())
    }

    fn into_objects(self) -> (Resolved, Objects) {
        (self.resolved, Objects::Named { objects: self.objects, elements: self.elements })
    }
}

/// Whether no two places of memory are the same one.
fn is_injective(shape: &[u64], strides: &[u64]) -> bool {
    let mut dimensions: Vec<_> =
        shape.iter().zip(strides).filter(|(extent, _)| **extent > 1).collect();
    dimensions.sort_by_key(|(_, stride)| **stride);
    let mut span = 1_u64;
    shape.contains(&0)
        || dimensions.iter().all(|&(&extent, &stride)| {
            let fits = stride >= span;
            span = stride.saturating_mul(extent);
            fits
        })
}

impl Along {
    fn count(&self) -> u64 {
        match self {
            Self::Range { count, .. } => *count,
            Self::List { positions, .. } => positions.len() as u64,
        }
    }

    /// A list whose positions and places both run on evenly is a range.
    fn simplify(self) -> Self {
        let Self::List { positions, places } = &self else { return self };
        let (Some(&start), Some(&place)) = (positions.first(), places.first()) else { return self };
        let step = match positions.get(1) {
            Some(&next) if next > start => next - start,
            Some(_) => return self,
            None => 1,
        };
        let runs = |list: &[u64], step: u64| {
            list.windows(2).all(|pair| pair[0].checked_add(step) == Some(pair[1]))
        };
        if positions.len() != places.len() || !runs(positions, step) || !runs(places, 1) {
            return self;
        }
        Self::Range { start, step, count: positions.len() as u64, place }
    }

    /// Checks positions against a chunk's `extent`, and places against the memory's, if there is
    /// one; gives the places.
    fn check(&self, extent: u64, memory: Option<u64>) -> Result<Claim> {
        let (inside, fits, claim) = match self {
            Self::Range { start, step, count, place } => {
                let last = match count.checked_sub(1) {
                    Some(steps) => steps.checked_mul(*step).and_then(|way| way.checked_add(*start)),
                    None => Some(0),
                };
                let inside = *step > 0 && last.is_some_and(|last| last < extent);
                let end = place.checked_add(*count);
                let fits = memory.is_none_or(|memory| end.is_some_and(|end| end <= memory));
                (inside, fits, Claim::Range(*place, *count))
            }
            Self::List { positions, places } => {
                let inside = positions.len() == places.len()
                    && positions.iter().all(|&position| position < extent);
                let fits = memory.is_none_or(|memory| places.iter().all(|&place| place < memory));
                let mut places = places.clone();
                places.sort_unstable();
                (inside, fits, Claim::List(places))
            }
        };
        if inside && fits {
            return Ok(claim);
        }
        Err(Error::invalid_argument("a position is outside the chunk, or its place outside memory"))
    }

    fn into_axis(self, lists: &mut Vec<List>) -> Axis {
        let (positions, places) = match self {
            Self::Range { start, step, count, place } => {
                return Axis::Range { start, step, count, place, descending: false };
            }
            Self::List { positions, places } => (positions, places),
        };
        let count = positions.len();
        let mut entries: Vec<_> = positions.into_iter().zip(places).collect();
        // Stable, so that the last of two values for one position wins.
        entries.sort_by_key(|(position, _)| *position);
        let (positions, places) = entries.into_iter().unzip();
        lists.push(List { positions, places });
        Axis::List { list: lists.len() - 1, first: 0, count, origin: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(shape: &[u64]) -> Memory {
        let mut step = 1;
        let mut strides: Vec<u64> = shape
            .iter()
            .rev()
            .map(|extent| {
                step *= extent;
                step / extent
            })
            .collect();
        strides.reverse();
        let dimensions = (0..shape.len()).map(Some).collect();
        Memory { shape: shape.to_vec(), strides, dimensions }
    }

    fn range(start: u64, count: u64, place: u64) -> Along {
        Along::Range { start, step: 1, count, place }
    }

    #[test]
    fn places_that_meet_are_refused_for_reading_only() {
        for (second, disjoint) in [
            ([range(0, 2, 2), range(0, 3, 0)], true),
            ([range(0, 2, 1), range(0, 3, 0)], false),
            ([range(0, 2, 0), range(0, 3, 0)], false),
            (
                [range(0, 2, 0), Along::List { positions: vec![2, 0, 1], places: vec![0, 1, 2] }],
                false,
            ),
            (
                [range(0, 2, 2), Along::List { positions: vec![2, 0, 1], places: vec![0, 2, 2] }],
                false,
            ),
        ] {
            let list = || {
                let mut list = ObjectList::new(&[4, 4], memory(&[4, 3])).unwrap();
                list.push("a".into(), false, vec![range(1, 2, 0), range(0, 3, 0)]).unwrap();
                list.push("b".into(), false, second.to_vec()).unwrap();
                list
            };
            assert_eq!(list().for_reading().is_ok(), disjoint, "{second:?}");
            assert!(list().for_writing().is_ok(), "{second:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let mut list = ObjectList::new(&[4], memory(&[3])).unwrap();
        for along in [
            range(2, 3, 0),
            range(0, 3, 1),
            range(0, 1, u64::MAX),
            Along::Range { start: 0, step: 0, count: 2, place: 0 },
            Along::List { positions: vec![4], places: vec![0] },
            Along::List { positions: vec![1, 1], places: vec![0, 3] },
            Along::List { positions: vec![1], places: vec![0, 1] },
        ] {
            assert!(list.push("a".into(), true, vec![along.clone()]).is_err(), "{along:?}");
        }
        assert!(list.push_points("a".into(), &[vec![4]], vec![0]).is_err());
        assert!(list.push_points("a".into(), &[vec![3]], vec![3]).is_err());
        assert!(list.push("a".into(), true, vec![range(1, 3, 0)]).is_ok());
        assert!(list.push("a".into(), true, vec![range(1, 3, 0)]).is_ok());
        assert!(list.for_writing().is_err(), "a key is named twice");
    }

    #[test]
    fn memory_whose_places_overlap_is_refused() {
        let strided = |shape: &[u64], strides: &[u64]| Memory {
            shape: shape.to_vec(),
            strides: strides.to_vec(),
            dimensions: (0..shape.len()).map(Some).collect(),
        };
        for (shape, strides, fits) in [
            ([3, 4], [4, 1], true),
            ([3, 4], [1, 3], true),
            ([3, 4], [3, 1], false),
            ([3, 4], [0, 1], false),
            ([1, 4], [0, 1], true),
        ] {
            assert_eq!(ObjectList::new(&[8, 8], strided(&shape, &strides)).is_ok(), fits);
        }
        let mut twice = strided(&[3, 4], &[4, 1]);
        twice.dimensions = vec![Some(0), Some(0)];
        assert!(ObjectList::new(&[8, 8], twice).is_err());
    }

    #[test]
    fn even_lists_are_ranges() {
        let list = Along::List { positions: vec![1, 3, 5], places: vec![4, 5, 6] };
        assert_eq!(list.simplify(), Along::Range { start: 1, step: 2, count: 3, place: 4 });
        let list = Along::List { positions: vec![5, 3, 1], places: vec![4, 5, 6] };
        assert_eq!(list.clone().simplify(), list);
    }
}
