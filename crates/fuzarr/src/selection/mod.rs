//! Selections: what a caller asks for, and its form after the array's shape is known.
//!
//! A [`Selection`] is what the user wrote, NumPy's way. [`Selection::resolve`] checks it against a
//! shape and gives a [`Resolved`]: one axis a dimension, or a list of points, with the shape of
//! the result. Everything after that (objects, shards, inner chunks) only cuts axes into pieces.

mod parse;
mod region;
mod resolve;
mod tiling;

pub use region::Resolved;
pub(crate) use region::{Axis, List, Region};
pub(crate) use tiling::{Tile, Tiling};

use crate::error::Result;

/// One term of a selection, for one dimension (or several, for [`Term::Ellipsis`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// One position, counted from the end if negative; the dimension is dropped from the result.
    Index(i64),
    /// Positions `start`, `start + step`, … before `stop`; NumPy's defaults and clamping.
    Slice {
        /// The first position.
        start: Option<i64>,
        /// The position before which to stop.
        stop: Option<i64>,
        /// The distance between positions; negative goes backwards.
        step: Option<i64>,
    },
    /// As many whole dimensions as are not named otherwise.
    Ellipsis,
    /// These positions, in this order, repeats allowed.
    List(Vec<i64>),
    /// The positions where this is true; as long as the dimension.
    Mask(Vec<bool>),
}

impl Term {
    /// The whole dimension.
    pub const ALL: Self = Self::Slice { start: None, stop: None, step: None };
}

/// A part of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// A term a dimension, independent of each other: NumPy's basic indexing, and the orthogonal
    /// indexing of `oindex` where lists or masks occur. Dimensions without a term are whole.
    Orthogonal(Vec<Term>),
    /// Single elements: `coordinates[d][i]` is the position of point `i` along dimension `d`. The
    /// result has shape `shape`.
    Points {
        /// A list of positions for each dimension.
        coordinates: Vec<Vec<i64>>,
        /// The shape in which the points are given back.
        shape: Vec<u64>,
    },
    /// The elements where this is true, one flag an element of the array in C order.
    Mask(Vec<bool>),
    /// Whole chunks of the array's chunk grid, by terms over the grid; no lists or masks.
    Blocks(Vec<Term>),
}

impl Selection {
    /// The whole array.
    #[must_use]
    pub fn all() -> Self {
        Self::Orthogonal(vec![Term::Ellipsis])
    }

    /// Reads NumPy's slice syntax: terms between commas, for example `3:31:2, 5:` or `..., -1`.
    /// A list in brackets is an orthogonal list: `[0, 4, 2], :`. Empty text is everything.
    ///
    /// # Errors
    /// `InvalidArgument` naming the term that is not of this form.
    pub fn parse(text: &str) -> Result<Self> {
        parse::selection(text)
    }

    /// Checks the selection against an array of `shape` with chunks (or shards) of `chunk_shape`.
    ///
    /// # Errors
    /// `InvalidArgument` for positions out of bounds, too many terms, a zero step, or lists and
    /// masks of the wrong length; `Limit` if the result has more elements than can be addressed.
    pub fn resolve(&self, shape: &[u64], chunk_shape: &[u64]) -> Result<Resolved> {
        resolve::selection(self, shape, chunk_shape)
    }

    /// The part of an orthogonal selection at the given positions of its result, for each dimension
    /// of the result: what is needed to look at the corners of something large.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); `InvalidArgument` for positions outside the result, or a
    /// selection of points, masks or blocks.
    pub fn narrow(&self, shape: &[u64], positions: &[Vec<u64>]) -> Result<Self> {
        resolve::narrow(self, shape, positions)
    }
}
