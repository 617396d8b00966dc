//! Calls that are planned here from the array's selection, before zarr-python cuts it into items.

use std::sync::Arc;

use fuzarr::grid::{ChunkKeyEncoding, Separator};
use fuzarr::plan;
use fuzarr::selection::Resolved;
use fuzarr::store::check_key;
use fuzarr::{Selection, Term};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PySlice, PySliceMethods};

use super::decline;
use super::layout::Layout;

/// Where an array is, and its shape.
#[derive(FromPyObject)]
pub(super) struct Place {
    #[pyo3(item("path"))]
    path: String,
    #[pyo3(item("shape"))]
    shape: Vec<u64>,
    /// Whether chunk keys are spelled as in v2.
    #[pyo3(item("v2"))]
    v2: bool,
    #[pyo3(item("separator"))]
    separator: String,
    /// One term a dimension: a slice, a number, or an array of positions.
    #[pyo3(item("terms"))]
    terms: Vec<Py<PyAny>>,
    /// Whether the terms are coordinates of points.
    #[pyo3(item("points"))]
    points: bool,
}

impl Place {
    /// The layout of the array, and what is selected of it.
    pub(super) fn resolve(
        &self,
        py: Python<'_>,
        layout: &Layout,
    ) -> PyResult<(Arc<plan::Layout>, Resolved)> {
        let separator = match self.separator.as_str() {
            "/" => Separator::Slash,
            "." => Separator::Dot,
            _ => return Err(decline("another separator in chunk keys")),
        };
        let keys = if self.v2 {
            ChunkKeyEncoding::V2 { separator }
        } else {
            ChunkKeyEncoding::Default { separator }
        };
        let mut prefix = self.path.clone();
        if !prefix.is_empty() {
            check_key(&prefix).map_err(|error| decline(error.to_string()))?;
            prefix.push('/');
        }
        let whole = layout.layout.elsewhere(prefix, self.shape.clone(), keys);
        let resolved = self
            .selection(py)?
            .resolve(&self.shape, layout.chunk_shape())
            .map_err(|error| decline(error.to_string()))?;
        Ok((Arc::new(whole), resolved))
    }

    fn selection(&self, py: Python<'_>) -> PyResult<Selection> {
        let terms = self.terms.iter().map(|term| term.bind(py));
        if self.points {
            let coordinates = terms.map(positions).collect::<PyResult<Vec<_>>>()?;
            let shape = vec![coordinates.first().map_or(0, Vec::len) as u64];
            return Ok(Selection::Points { coordinates, shape });
        }
        let terms = terms.zip(&self.shape).map(|(term, &extent)| self::term(term, extent));
        terms.collect::<PyResult<_>>().map(Selection::Orthogonal)
    }
}

fn positions(array: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    PyBuffer::<i64>::get(array)?.to_vec(array.py())
}

fn term(term: &Bound<'_, PyAny>, extent: u64) -> PyResult<Term> {
    if let Ok(slice) = term.cast::<PySlice>() {
        let length = isize::try_from(extent).map_err(|_| decline("a dimension beyond 2^63"))?;
        let indices = slice.indices(length)?;
        let [start, stop, step] = [indices.start, indices.stop, indices.step].map(|at| at as i64);
        if start < 0 || stop < 0 || step < 1 {
            return Err(decline("a slice that runs backwards"));
        }
        return Ok(Term::Slice { start: Some(start), stop: Some(stop), step: Some(step) });
    }
    if term.cast::<PyInt>().is_ok() {
        return Ok(Term::Index(term.extract()?));
    }
    positions(term).map(Term::List)
}
