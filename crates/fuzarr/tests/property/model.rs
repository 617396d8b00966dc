//! An array as a list of elements: slow and obviously right.

use std::collections::HashMap;

use fuzarr::{Selection, Term};

/// A number for each distinct element, of fixed or of variable size; 0 is the fill value.
pub(crate) struct Dictionary {
    numbers: HashMap<Vec<u8>, u32>,
    elements: Vec<Vec<u8>>,
}

impl Dictionary {
    pub(crate) fn new(fill: &[u8]) -> Self {
        let mut dictionary = Self { numbers: HashMap::new(), elements: Vec::new() };
        dictionary.number(fill);
        dictionary
    }

    pub(crate) fn number(&mut self, element: &[u8]) -> u32 {
        let next = self.elements.len() as u32;
        let number = *self.numbers.entry(element.to_vec()).or_insert(next);
        if number == next {
            self.elements.push(element.to_vec());
        }
        number
    }

    pub(crate) fn element(&self, number: u32) -> &[u8] {
        &self.elements[number as usize]
    }
}

pub(crate) struct Model {
    shape: Vec<u64>,
    pub(crate) elements: Vec<u32>,
}

impl Model {
    pub(crate) fn new(shape: &[u64]) -> Self {
        let count: u64 = shape.iter().product();
        Self { shape: shape.to_vec(), elements: vec![0; count as usize] }
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

    pub(crate) fn read(&self, selection: &Selection, chunks: &[u64]) -> Vec<u32> {
        self.positions(selection, chunks).into_iter().map(|at| self.elements[at]).collect()
    }

    /// Writes in order, so that the last value for an element wins. One value is for all.
    pub(crate) fn write(&mut self, selection: &Selection, chunks: &[u64], values: &[u32]) {
        for (number, at) in self.positions(selection, chunks).into_iter().enumerate() {
            self.elements[at] = values[if values.len() == 1 { 0 } else { number }];
        }
    }

    /// The chunks that hold anything but fill value, in C order.
    pub(crate) fn chunks_with_data(&self, chunks: &[u64]) -> Vec<Vec<u64>> {
        let mut found = std::collections::BTreeSet::new();
        for (number, &element) in self.elements.iter().enumerate() {
            if element == 0 {
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
