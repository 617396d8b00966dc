//! `.oindex`, `.vindex` and `.blocks`.

use fuzarr::Cancel;
use pyo3::prelude::*;

use crate::array::PyArray;
use crate::selection::Mode;

/// An array whose indices are meant in one sense.
#[pyclass(frozen, module = "fuzarr", name = "Index")]
#[derive(Debug)]
pub(crate) struct PyIndex {
    array: Py<PyArray>,
    mode: Mode,
}

impl PyIndex {
    pub(crate) fn new(array: Py<PyArray>, mode: Mode) -> Self {
        Self { array, mode }
    }
}

#[pymethods]
impl PyIndex {
    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.array.get().get(index, self.mode, None, &Cancel::new())
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.array.get().set(index, self.mode, value)
    }
}
