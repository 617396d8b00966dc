//! From what the user wrote to axes, points and the shape of the result.

use smallvec::{SmallVec, smallvec};

use super::region::List;
use super::{Axis, Region, Resolved, Selection, Term};
use crate::error::{Error, Result, ResultExt};

/// How often a selection of points may pick the element of an array without dimensions.
const MOST_SCALAR_POINTS: u64 = 1 << 24;

pub(super) fn selection(
    selection: &Selection,
    shape: &[u64],
    chunk_shape: &[u64],
) -> Result<Resolved> {
    match selection {
        Selection::Orthogonal(terms) => orthogonal(terms, shape),
        Selection::Blocks(terms) => orthogonal(&blocks(terms, shape, chunk_shape)?, shape),
        Selection::Points { coordinates, shape: result } => points(coordinates, result, shape),
        Selection::Mask(mask) => self::mask(mask, shape),
    }
}

/// One term a dimension: the ellipsis written out, whole dimensions added at the end.
fn expand(terms: &[Term], rank: usize) -> Result<SmallVec<[&Term; 4]>> {
    let named = terms.iter().filter(|term| **term != Term::Ellipsis).count();
    let ellipses = terms.len() - named;
    if ellipses > 1 {
        return Err(Error::invalid_argument("a selection may hold one `...` only"));
    }
    if named > rank {
        return Err(Error::invalid_argument(format!(
            "too many terms: {named} for an array of {rank} dimensions"
        )));
    }
    let whole = std::iter::repeat_n(&Term::ALL, rank - named);
    let mut expanded = SmallVec::with_capacity(rank);
    for term in terms {
        match term {
            Term::Ellipsis => expanded.extend(whole.clone()),
            _ => expanded.push(term),
        }
    }
    if ellipses == 0 {
        expanded.extend(whole);
    }
    Ok(expanded)
}

fn orthogonal(terms: &[Term], shape: &[u64]) -> Result<Resolved> {
    let terms = expand(terms, shape.len())?;
    let (mut axes, mut lists) = (SmallVec::new(), Vec::new());
    let mut result = SmallVec::new();
    for (dimension, (term, &extent)) in terms.iter().zip(shape).enumerate() {
        let axis = axis(term, extent, &mut lists).context("dimension", || dimension)?;
        if !matches!(term, Term::Index(_)) {
            result.push(axis.count());
        }
        axes.push(axis);
    }
    let mut compact = strides(&result)?.into_iter();
    let strides = terms
        .iter()
        .map(|term| if matches!(term, Term::Index(_)) { 0 } else { compact.next().unwrap_or(0) })
        .collect();
    Ok(Resolved { shape: result, strides, region: Region::Axes(axes), lists, points: Vec::new() })
}

pub(super) fn narrow(
    selection: &Selection,
    shape: &[u64],
    positions: &[Vec<u64>],
) -> Result<Selection> {
    let Selection::Orthogonal(terms) = selection else {
        return Err(Error::invalid_argument("only an orthogonal selection can be narrowed"));
    };
    let mut positions = positions.iter();
    let narrowed = expand(terms, shape.len())?.into_iter().zip(shape).map(|(term, &extent)| {
        if matches!(term, Term::Index(_)) {
            return Ok(term.clone());
        }
        let mut lists = Vec::new();
        let axis = axis(term, extent, &mut lists)?;
        let wanted = positions.next().map(Vec::as_slice).unwrap_or_default();
        let at = |&place: &u64| axis.at(&lists, place).and_then(|at| i64::try_from(at).ok());
        wanted
            .iter()
            .map(at)
            .collect::<Option<_>>()
            .map(Term::List)
            .ok_or_else(|| Error::invalid_argument("a position outside the selection's result"))
    });
    narrowed.collect::<Result<_>>().map(Selection::Orthogonal)
}

/// C-order strides of `shape`, in elements.
fn strides(shape: &[u64]) -> Result<SmallVec<[i64; 4]>> {
    let mut strides = SmallVec::from_elem(0, shape.len());
    let mut step: i64 = 1;
    for (stride, &extent) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        // An empty dimension makes the result empty, whatever the others are.
        let extent = i64::try_from(extent.max(1)).ok();
        step = extent.and_then(|extent| step.checked_mul(extent)).ok_or_else(|| {
            Error::limit(format!("a result of shape {shape:?} has too many elements"))
        })?;
    }
    Ok(strides)
}

fn axis(term: &Term, extent: u64, lists: &mut Vec<List>) -> Result<Axis> {
    match term {
        Term::Index(index) => {
            let start = position(*index, extent)?;
            Ok(Axis::Range { start, step: 1, count: 1, place: 0, descending: false })
        }
        Term::Slice { start, stop, step } => slice((*start, *stop, *step), extent),
        Term::Ellipsis => Ok(Axis::all(extent)),
        Term::List(indices) => {
            let positions =
                indices.iter().map(|&index| position(index, extent)).collect::<Result<_>>()?;
            Ok(list(positions, lists))
        }
        Term::Mask(mask) => {
            if mask.len() as u64 != extent {
                return Err(Error::invalid_argument(format!(
                    "a mask of {} flags for a dimension of {extent}",
                    mask.len()
                )));
            }
            let chosen = mask.iter().zip(0..).filter(|(flag, _)| **flag);
            Ok(list(chosen.map(|(_, position)| position).collect(), lists))
        }
    }
}

fn position(index: i64, extent: u64) -> Result<u64> {
    let from_end = || extent.checked_sub(index.unsigned_abs());
    let position = if index < 0 { from_end() } else { Some(index.unsigned_abs()) };
    position.filter(|&position| position < extent).ok_or_else(|| {
        Error::invalid_argument(format!("index {index} is out of bounds for extent {extent}"))
    })
}

/// NumPy's rules: bounds are clamped, a negative step runs from the end.
fn slice(bounds: (Option<i64>, Option<i64>, Option<i64>), extent: u64) -> Result<Axis> {
    let (start, stop, step) = bounds;
    let (step, length) = (i128::from(step.unwrap_or(1)), i128::from(extent));
    if step == 0 {
        return Err(Error::invalid_argument("a slice's step may not be 0"));
    }
    let (least, most) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |given: Option<i64>, default: i128| {
        given.map_or(default, |value| {
            let value = i128::from(value);
            (if value < 0 { value + length } else { value }).clamp(least, most)
        })
    };
    let (first, last) = if step > 0 { (least, most) } else { (most, least) };
    let (start, stop) = (bound(start, first), bound(stop, last));
    let distance = if step > 0 { stop - start } else { start - stop };
    let count = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
    // Ascending positions, whichever way the result runs.
    let low =
        if step > 0 || count == 0 { start.max(0) } else { start + (count as i128 - 1) * step };
    let narrow = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
    let count = narrow(count);
    Ok(Axis::Range {
        start: narrow(low.unsigned_abs()),
        step: narrow(step.unsigned_abs()),
        count,
        place: if step > 0 { 0 } else { count.saturating_sub(1) },
        descending: step < 0,
    })
}

/// An axis over a new list. Sorted, so that each chunk's part is a run of it at every level.
fn list(positions: Vec<u64>, lists: &mut Vec<List>) -> Axis {
    let mut pairs: Vec<(u64, u64)> = positions.into_iter().zip(0..).collect();
    pairs.sort_unstable();
    let (positions, places) = pairs.into_iter().unzip();
    let list = List { positions, places };
    let axis = Axis::List { list: lists.len(), first: 0, count: list.places.len(), origin: 0 };
    lists.push(list);
    axis
}

/// Terms over elements for terms over chunks.
fn blocks(terms: &[Term], shape: &[u64], chunk_shape: &[u64]) -> Result<Vec<Term>> {
    let terms = expand(terms, shape.len())?;
    let dimensions = terms.iter().zip(shape.iter().zip(chunk_shape));
    dimensions.map(|(term, (&extent, &chunk))| block(term, extent, chunk)).collect()
}

fn block(term: &Term, extent: u64, chunk: u64) -> Result<Term> {
    let chunks = extent.div_ceil(chunk);
    let (first, count) = match term {
        Term::Index(index) => (position(*index, chunks)?, 1),
        Term::Slice { start, stop, step } if step.unwrap_or(1) == 1 => {
            match slice((*start, *stop, None), chunks)? {
                Axis::Range { start, count, .. } => (start, count),
                Axis::List { .. } => (0, 0),
            }
        }
        _ => {
            return Err(Error::invalid_argument(
                "blocks are chosen by indices and slices of step 1",
            ));
        }
    };
    let bound = |chunks: u64| i64::try_from(chunks.saturating_mul(chunk).min(extent));
    let too_large = |_| Error::limit("an extent beyond 2^63");
    let start = bound(first).map_err(too_large)?;
    let stop = bound(first.saturating_add(count)).map_err(too_large)?;
    Ok(Term::Slice { start: Some(start), stop: Some(stop), step: None })
}

fn points(coordinates: &[Vec<i64>], result: &[u64], shape: &[u64]) -> Result<Resolved> {
    if coordinates.len() != shape.len() {
        return Err(Error::invalid_argument(format!(
            "{} coordinate lists for an array of {} dimensions",
            coordinates.len(),
            shape.len()
        )));
    }
    strides(result)?;
    let count: u64 = result.iter().product();
    // Without dimensions there are no lists that are as long as the result.
    if shape.is_empty() && count > MOST_SCALAR_POINTS {
        return Err(Error::limit(format!("a scalar is picked {count} times")));
    }
    let mut rows = Vec::new();
    for (dimension, (list, &extent)) in coordinates.iter().zip(shape).enumerate() {
        if list.len() as u64 != count {
            return Err(Error::invalid_argument(format!(
                "{} coordinates for a result of {count} points",
                list.len()
            ))
            .with("dimension", dimension));
        }
        rows.resize(list.len() * shape.len(), 0);
        for (point, &index) in list.iter().enumerate() {
            rows[point * shape.len() + dimension] =
                position(index, extent).context("dimension", || dimension)?;
        }
    }
    Ok(point_set(result.into(), rows, count, shape.len()))
}

fn point_set(shape: SmallVec<[u64; 4]>, points: Vec<u64>, count: u64, rank: usize) -> Resolved {
    let origin = SmallVec::from_elem(0, rank);
    let region = Region::Points { numbers: (0..count).collect(), origin };
    Resolved { shape, strides: smallvec![1], region, lists: Vec::new(), points }
}

/// Flags of a mask that are looked at together.
const BLOCK: usize = 16;

fn mask(mask: &[bool], shape: &[u64]) -> Result<Resolved> {
    strides(shape)?;
    let elements: u64 = shape.iter().product();
    if mask.len() as u64 != elements {
        return Err(Error::invalid_argument(format!(
            "a mask of {} flags for an array of {elements} elements",
            mask.len()
        )));
    }
    let mut points = Vec::new();
    let mut count = 0;
    // Most masks choose little: what holds no flag is passed over block by block.
    let blocks = (0..).step_by(BLOCK).zip(mask.chunks(BLOCK));
    // Without a branch a flag: this is a few instructions a block.
    let flags = blocks.filter(|(_, flags)| flags.iter().fold(false, |any, flag| any | flag));
    let flags = flags.flat_map(|(start, flags)| (start..).zip(flags));
    for (number, _) in flags.filter(|(_, flag)| **flag) {
        let mut rest: u64 = number;
        let row = points.len();
        points.resize(row + shape.len(), 0);
        for (position, extent) in points[row..].iter_mut().zip(shape).rev() {
            *position = rest % extent;
            rest /= extent;
        }
        count += 1;
    }
    Ok(point_set(smallvec![count], points, count, shape.len()))
}
