//! What a read takes, for Python.

use fuzarr::{Bounds, Explanation};
use fuzarr_cli::render;
use pyo3::prelude::*;

/// A quantity: a number, or the least and the most that it may be.
type Quantity = (u64, u64);

fn quantity(bounds: Bounds) -> Quantity {
    (bounds.at_least, bounds.at_most)
}

/// What a read takes. Quantities that are not known without reading are pairs of the least and the
/// most that they may be.
#[pyclass(frozen, module = "fuzarr", name = "Explanation")]
#[derive(Debug)]
pub(crate) struct PyExplanation {
    pub(crate) explanation: Explanation,
    pub(crate) exact: bool,
}

#[pymethods]
impl PyExplanation {
    /// Elements of the result.
    #[getter]
    fn elements(&self) -> u64 {
        self.explanation.elements
    }

    /// Bytes of the result.
    #[getter]
    fn bytes(&self) -> u64 {
        self.explanation.bytes
    }

    /// Stored objects (chunks or shards) that hold wanted elements.
    #[getter]
    fn objects(&self) -> u64 {
        self.explanation.objects
    }

    /// Those of them that do not exist, if the store was looked at.
    #[getter]
    fn missing(&self) -> u64 {
        self.explanation.missing
    }

    /// Chunks that hold wanted elements.
    #[getter]
    fn chunks(&self) -> u64 {
        self.explanation.chunks
    }

    /// Reads of objects or parts of them.
    #[getter]
    fn requests(&self) -> Quantity {
        quantity(self.explanation.requests)
    }

    /// Bytes read.
    #[getter]
    fn fetched(&self) -> Quantity {
        quantity(self.explanation.fetched)
    }

    /// Those of them that are wanted.
    #[getter]
    fn used(&self) -> Quantity {
        quantity(self.explanation.used)
    }

    /// Chunks that are decoded.
    #[getter]
    fn decoded(&self) -> Quantity {
        quantity(self.explanation.decoded)
    }

    /// Requests that wait for one another.
    #[getter]
    fn round_trips(&self) -> Quantity {
        quantity(self.explanation.round_trips)
    }

    fn __repr__(&self) -> String {
        let text = render::explanation(&self.explanation, self.exact).text();
        anstream::adapter::strip_str(text.trim_end()).to_string()
    }
}
