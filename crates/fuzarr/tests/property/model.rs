//! An array as a list of elements: slow and obviously right.

use fuzarr::{Selection, Term};

pub(crate) struct Model {
    shape: Vec<u64>,
    pub(crate) fill: Vec<u8>,
    pub(crate) elements: Vec<u8>,
}

impl Model {
    pub(crate) fn new(shape: &[u64], fill: &[u8]) -> Self {
        let count: u64 = shape.iter().product();
        let elements = fill.repeat(count as usize);
        Self { shape: shape.to_vec(), fill: fill.to_vec(), elements }
    }

    /// The positions that a term picks, and whether the dimension stays.
    fn term(term: &Term, extent: u64) -> (Vec<u64>, bool) {
        let wrap =
            |index: i64| if index < 0 { (index + extent as i64) as u64 } else { index as u64 };
        match term {
            Term::Index(index) => (vec![wrap(*index)], false),
            Term::List(list) => (list.iter().map(|&index| wrap(index)).collect(), true),
            Term::Mask(mask) => {
                ((0..extent).filter(|&position| mask[position as usize]).collect(), true)
            }
            Term::Slice { start, stop, step } => (slice(*start, *stop, *step, extent), true),
            Term::Ellipsis => unreachable!("expanded before"),
        }
    }

    fn expand(&self, terms: &[Term]) -> Vec<Term> {
        let mut terms = terms.to_vec();
        if !terms.contains(&Term::Ellipsis) {
            terms.push(Term::Ellipsis);
        }
        let at = terms.iter().position(|term| *term == Term::Ellipsis).unwrap();
        let missing = self.shape.len() + 1 - terms.len();
        terms.splice(at..=at, std::iter::repeat_n(Term::ALL, missing));
        terms
    }

    /// The positions picked along each dimension, and whether it stays.
    fn picked(&self, terms: &[Term]) -> Vec<(Vec<u64>, bool)> {
        let dimensions = self.expand(terms).into_iter().zip(&self.shape);
        dimensions.map(|(term, &extent)| Self::term(&term, extent)).collect()
    }

    fn block_terms(&self, terms: &[Term], chunks: &[u64]) -> Vec<(Vec<u64>, bool)> {
        let dimensions = self.expand(terms).into_iter().zip(self.shape.iter().zip(chunks));
        dimensions
            .map(|(term, (&extent, &chunk))| {
                let (blocks, _) = Self::term(&term, extent.div_ceil(chunk));
                let inside = |position: &u64| blocks.contains(&(position / chunk));
                ((0..extent).filter(inside).collect(), true)
            })
            .collect()
    }

    /// The selected elements, by position in C order of the array, in the order of the result.
    pub(crate) fn positions(&self, selection: &Selection, chunks: &[u64]) -> Vec<usize> {
        let picked = match selection {
            Selection::Orthogonal(terms) => self.picked(terms),
            Selection::Blocks(terms) => self.block_terms(terms, chunks),
            Selection::Mask(mask) => return (0..mask.len()).filter(|&at| mask[at]).collect(),
            Selection::Points { coordinates, shape } => {
                let count: u64 = shape.iter().product();
                return (0..count as usize)
                    .map(|point| {
                        let dimensions = coordinates.iter().zip(&self.shape);
                        dimensions.fold(0, |sum, (list, &extent)| {
                            let (at, _) = Self::term(&Term::Index(list[point]), extent);
                            sum * extent as usize + at[0] as usize
                        })
                    })
                    .collect();
            }
        };
        let mut positions = vec![0];
        for ((along, _), extent) in picked.iter().zip(&self.shape) {
            positions = positions
                .iter()
                .flat_map(|before| {
                    along.iter().map(move |at| before * *extent as usize + *at as usize)
                })
                .collect();
        }
        positions
    }

    pub(crate) fn shape_of(&self, selection: &Selection, chunks: &[u64]) -> Vec<u64> {
        let picked = match selection {
            Selection::Orthogonal(terms) => self.picked(terms),
            Selection::Blocks(terms) => self.block_terms(terms, chunks),
            Selection::Mask(mask) => return vec![mask.iter().filter(|flag| **flag).count() as u64],
            Selection::Points { shape, .. } => return shape.clone(),
        };
        picked.iter().filter(|(_, stays)| *stays).map(|(along, _)| along.len() as u64).collect()
    }

    pub(crate) fn read(&self, selection: &Selection, chunks: &[u64]) -> Vec<u8> {
        let size = self.fill.len();
        let positions = self.positions(selection, chunks);
        positions
            .iter()
            .flat_map(|at| &self.elements[at * size..(at + 1) * size])
            .copied()
            .collect()
    }

    /// Writes in order, so that the last value for an element wins.
    pub(crate) fn write(&mut self, selection: &Selection, chunks: &[u64], values: &[u8]) {
        let size = self.fill.len();
        for (number, at) in self.positions(selection, chunks).into_iter().enumerate() {
            let from = if values.len() == size { 0 } else { number * size };
            self.elements[at * size..(at + 1) * size].copy_from_slice(&values[from..from + size]);
        }
    }

    /// The chunks that hold anything but fill value, in C order.
    pub(crate) fn chunks_with_data(&self, chunks: &[u64]) -> Vec<Vec<u64>> {
        let size = self.fill.len();
        let mut found = std::collections::BTreeSet::new();
        for (number, element) in self.elements.chunks(size).enumerate() {
            if element == self.fill {
                continue;
            }
            let mut rest = number as u64;
            let mut chunk = vec![0; self.shape.len()];
            for dimension in (0..self.shape.len()).rev() {
                chunk[dimension] = rest % self.shape[dimension] / chunks[dimension];
                rest /= self.shape[dimension];
            }
            found.insert(chunk);
        }
        found.into_iter().collect()
    }
}

/// Python's `range(*slice.indices(extent))`, one position at a time.
fn slice(start: Option<i64>, stop: Option<i64>, step: Option<i64>, extent: u64) -> Vec<u64> {
    let (step, extent) = (step.unwrap_or(1), extent as i64);
    let wrap = |bound: i64| if bound < 0 { bound + extent } else { bound };
    let mut positions = Vec::new();
    if step > 0 {
        let stop = stop.map_or(extent, wrap).min(extent);
        let mut at = start.map_or(0, wrap).max(0);
        while at < stop {
            positions.push(at as u64);
            at += step;
        }
    } else {
        let stop = stop.map_or(-1, |stop| wrap(stop).max(-1));
        let mut at = start.map_or(extent - 1, wrap).min(extent - 1);
        while at > stop {
            positions.push(at as u64);
            at += step;
        }
    }
    positions
}
