//! Selections, and what they are of an array in memory.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Result;

/// A part of an array, as the harness describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Selection {
    Whole,
    /// A term an axis.
    Basic {
        terms: Vec<Term>,
    },
    /// A term an axis, independent of each other.
    Orthogonal {
        terms: Vec<Term>,
    },
    /// Single elements: a list of positions an axis.
    Points {
        coordinates: Vec<Vec<i64>>,
    },
    /// The elements where the array in an `.npy` file is true.
    Mask {
        file: PathBuf,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Term {
    Index(i64),
    Slice(Option<i64>, Option<i64>, Option<i64>),
    List { list: Vec<i64> },
}

impl Term {
    /// The positions that the term selects along an axis of `extent`.
    fn positions(&self, extent: u64) -> Result<Vec<usize>> {
        let extent = i64::try_from(extent)?;
        let from_start = |at: i64| if at < 0 { at + extent } else { at };
        let positions = match self {
            Self::Index(at) => vec![from_start(*at)],
            Self::List { list } => list.iter().copied().map(from_start).collect(),
            Self::Slice(start, stop, step) => {
                let step = step.unwrap_or(1);
                let (lowest, highest) = if step < 0 { (-1, extent - 1) } else { (0, extent) };
                let bound = |at: Option<i64>, otherwise| {
                    at.map_or(otherwise, |at| from_start(at).clamp(lowest, highest))
                };
                let (first, end) = if step < 0 { (highest, -1) } else { (0, extent) };
                let (mut at, stop) = (bound(*start, first), bound(*stop, end));
                let mut positions = Vec::new();
                while (step > 0 && at < stop) || (step < 0 && at > stop) {
                    positions.push(at);
                    at += step;
                }
                positions
            }
        };
        positions.into_iter().map(|at| Ok(usize::try_from(at)?)).collect()
    }
}

impl Selection {
    /// The first element of an array.
    pub(crate) fn point(rank: usize) -> Self {
        Self::Basic { terms: vec![Term::Index(0); rank] }
    }

    /// The part of an array that one stored object of a shape holds, for each of its objects.
    pub(crate) fn objects(shape: &[u64], object: &[u64]) -> Result<Vec<Self>> {
        let mut boxes = vec![Vec::new()];
        for (&extent, &length) in shape.iter().zip(object) {
            let mut longer = Vec::new();
            for terms in &boxes {
                for at in 0..extent.div_ceil(length) {
                    let stop = extent.min((at + 1) * length);
                    let [start, stop] = [i64::try_from(at * length)?, i64::try_from(stop)?];
                    let term = Term::Slice(Some(start), Some(stop), Some(1));
                    longer.push([terms.as_slice(), &[term]].concat());
                }
            }
            boxes = longer;
        }
        Ok(boxes.into_iter().map(|terms| Self::Basic { terms }).collect())
    }

    /// The positions along each axis, of a selection whose axes are independent.
    pub(crate) fn positions(&self, shape: &[u64]) -> Result<Option<Vec<Vec<usize>>>> {
        let whole = Term::Slice(None, None, None);
        let terms = match self {
            Self::Whole => &[],
            Self::Basic { terms } | Self::Orthogonal { terms } => terms.as_slice(),
            Self::Points { .. } | Self::Mask { .. } => return Ok(None),
        };
        let terms = terms.iter().chain(std::iter::repeat(&whole));
        shape
            .iter()
            .zip(terms)
            .map(|(&extent, term)| term.positions(extent))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// Which elements of an array of `shape`, counted in C order, a selection of points or a mask has.
    fn elements(&self, shape: &[u64]) -> Result<Vec<usize>> {
        match self {
            Self::Mask { file } => {
                let flags = mask(file)?;
                Ok((0..flags.len()).filter(|&at| flags[at]).collect())
            }
            Self::Points { coordinates } => {
                let mut elements = vec![0; coordinates.first().map_or(0, Vec::len)];
                for (list, &extent) in coordinates.iter().zip(shape) {
                    let positions = Term::List { list: list.clone() }.positions(extent)?;
                    for (element, at) in elements.iter_mut().zip(positions) {
                        *element = *element * usize::try_from(extent)? + at;
                    }
                }
                Ok(elements)
            }
            _ => Err("axes are independent".into()),
        }
    }

    /// How many elements it has.
    pub(crate) fn count(&self, shape: &[u64]) -> Result<usize> {
        match self.positions(shape)? {
            Some(axes) => Ok(axes.iter().map(Vec::len).product()),
            None => Ok(self.elements(shape)?.len()),
        }
    }

    /// What it is of `values`, the elements of an array of `shape`.
    pub(crate) fn of(&self, values: &[u8], shape: &[u64], itemsize: usize) -> Result<Vec<u8>> {
        if *self == Self::Whole {
            return Ok(values.to_vec());
        }
        let mut found = Vec::new();
        let Some(axes) = self.positions(shape)? else {
            for element in self.elements(shape)? {
                found.extend_from_slice(&values[element * itemsize..(element + 1) * itemsize]);
            }
            return Ok(found);
        };
        found.reserve_exact(axes.iter().map(Vec::len).product::<usize>() * itemsize);
        let shape: Vec<usize> = shape
            .iter()
            .map(|&extent| usize::try_from(extent))
            .collect::<std::result::Result<_, _>>()?;
        gather(values, &axes, &shape, itemsize, &mut found);
        Ok(found)
    }
}

/// Appends the elements at the positions of `axes`.
fn gather(
    values: &[u8],
    axes: &[Vec<usize>],
    shape: &[usize],
    itemsize: usize,
    found: &mut Vec<u8>,
) {
    let Some((positions, axes)) = axes.split_first() else {
        found.extend_from_slice(&values[..itemsize]);
        return;
    };
    let row = shape[1..].iter().product::<usize>() * itemsize;
    let runs = positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
    if let (true, [], Some(&first)) = (runs, axes, positions.first()) {
        found.extend_from_slice(&values[first * row..(first + positions.len()) * row]);
        return;
    }
    for &at in positions {
        gather(&values[at * row..(at + 1) * row], axes, &shape[1..], itemsize, found);
    }
}

/// The flags of an `.npy` file of booleans in C order.
pub(crate) fn mask(file: &Path) -> Result<Vec<bool>> {
    let bytes = std::fs::read(file)?;
    let (size, length) = match bytes.get(6) {
        Some(1) => (2, bytes.get(8..10)),
        _ => (4, bytes.get(8..12)),
    };
    let length = length.ok_or("no `.npy` file")?.iter().rev();
    let length = length.fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    let flags = bytes.get(8 + size + length..).ok_or("no `.npy` file")?;
    Ok(flags.iter().map(|&flag| flag != 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_what_they_are_of_memory() {
        let values: Vec<u8> = (0..24).collect();
        let of = |text: &str| {
            let selection: Selection = serde_json::from_str(text).unwrap();
            let found = selection.of(&values, &[4, 6], 1).unwrap();
            assert_eq!(found.len(), selection.count(&[4, 6]).unwrap());
            found
        };
        assert_eq!(of(r#"{"kind": "whole"}"#), values);
        assert_eq!(of(r#"{"kind": "basic", "terms": [-1, [0, 6, 2]]}"#), [18, 20, 22]);
        assert_eq!(of(r#"{"kind": "basic", "terms": [[3, null, -2], 1]}"#), [19, 7]);
        assert_eq!(of(r#"{"kind": "basic", "terms": [[1, 3, 1], [2, 4, 1]]}"#), [8, 9, 14, 15]);
        assert_eq!(
            of(r#"{"kind": "orthogonal", "terms": [{"list": [2, 0]}, [5, 9, 1]]}"#),
            [17, 5]
        );
        assert_eq!(of(r#"{"kind": "points", "coordinates": [[0, -1], [3, 2]]}"#), [3, 20]);
    }

    #[test]
    fn objects_end_where_the_array_does() {
        let objects = Selection::objects(&[5, 2], &[3, 2]).unwrap();
        let values: Vec<u8> = (0..10).collect();
        let of = |object: &Selection| object.of(&values, &[5, 2], 1).unwrap();
        assert_eq!(objects.iter().map(of).collect::<Vec<_>>(), [&values[..6], &values[6..]]);
    }
}
