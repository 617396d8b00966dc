//! The order in which a shard's inner chunks are laid down.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, no_such};

/// In which order the inner chunks of a shard are written. Not part of the metadata: every reader
/// goes by the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteOrder {
    /// Along the compressed Morton (Z) curve: neighbours in every dimension stay close.
    #[default]
    Morton,
    /// C order: the last dimension fastest.
    Lexicographic,
    /// Fortran order: the first dimension fastest.
    Colexicographic,
    /// No promise; what is cheapest for the writer.
    Unordered,
}

impl WriteOrder {
    /// Its name, the one that zarr-python has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Morton => "morton",
            Self::Lexicographic => "lexicographic",
            Self::Colexicographic => "colexicographic",
            Self::Unordered => "unordered",
        }
    }

    /// The slots of `grid`, numbered in C order, in the order in which they are written.
    #[must_use]
    pub fn slots(self, grid: &[u64]) -> Vec<u64> {
        let slots: u64 = grid.iter().product();
        let mut order: Vec<u64> = (0..slots).collect();
        match self {
            Self::Lexicographic | Self::Unordered => {}
            Self::Colexicographic => order.sort_by_cached_key(|&slot| fortran_rank(slot, grid)),
            Self::Morton => order.sort_by_cached_key(|&slot| morton_rank(slot, grid)),
        }
        order
    }
}

impl fmt::Display for WriteOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for WriteOrder {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Morton, Self::Lexicographic, Self::Colexicographic, Self::Unordered];
        let known = all.into_iter().find(|order| order.name() == name);
        known.ok_or_else(|| no_such("write order", name, &all.map(Self::name)))
    }
}

/// Calls `visit` with each dimension and the slot's position along it, last dimension first.
fn unravel(slot: u64, grid: &[u64], mut visit: impl FnMut(usize, u64)) {
    let mut rest = slot;
    for (dimension, &extent) in grid.iter().enumerate().rev() {
        visit(dimension, rest % extent);
        rest /= extent;
    }
}

fn fortran_rank(slot: u64, grid: &[u64]) -> u64 {
    let mut rank = 0;
    // Horner's scheme from the last dimension: the first one ends up fastest.
    unravel(slot, grid, |dimension, position| rank = rank * grid[dimension] + position);
    rank
}

/// The slot's bits interleaved, the first dimension's lowest, each dimension contributing only as
/// many bits as its extent needs (the compressed Morton code). Never more than 64 + rank bits:
/// extents multiply to a `u64`.
fn morton_rank(slot: u64, grid: &[u64]) -> u128 {
    let bits = |extent: u64| u64::BITS - (extent - 1).leading_zeros();
    let longest = grid.iter().map(|&extent| bits(extent)).max().unwrap_or(0);
    let mut positions = vec![0; grid.len()];
    unravel(slot, grid, |dimension, position| positions[dimension] = position);
    let (mut rank, mut place) = (0, 0);
    for bit in 0..longest {
        for (&position, &extent) in positions.iter().zip(grid) {
            if bit < bits(extent) {
                rank |= u128::from(position >> bit & 1) << place;
                place += 1;
            }
        }
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::WriteOrder::{Colexicographic, Lexicographic, Morton, Unordered};

    #[test]
    fn small_grids_in_each_order() {
        assert_eq!(Morton.slots(&[2, 2]), [0, 2, 1, 3]);
        assert_eq!(Morton.slots(&[2, 3]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(Colexicographic.slots(&[2, 3]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(Lexicographic.slots(&[2, 3]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Unordered.slots(&[]), [0]);
        assert_eq!(Morton.slots(&[]), [0]);
    }

    #[test]
    fn every_slot_once() {
        for grid in [&[3, 5, 2][..], &[1, 7], &[4, 4, 4, 3], &[33]] {
            for order in [Morton, Colexicographic] {
                let mut slots = order.slots(grid);
                slots.sort_unstable();
                assert_eq!(slots, Lexicographic.slots(grid));
            }
        }
    }
}
