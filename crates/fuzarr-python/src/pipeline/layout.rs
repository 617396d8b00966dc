//! What fuzarr makes of the codecs and the type of an array of zarr-python's.

use std::sync::Arc;

use fuzarr::dtype::DataType;
use fuzarr::store::{MemoryStore, Precondition, put_bytes};
use fuzarr::{Array, plan};
use pyo3::prelude::*;

use super::decline;

/// The layout of one stored object: shape, type, fill value, codecs.
#[pyclass(frozen, module = "fuzarr._fuzarr")]
pub(super) struct Layout {
    pub(super) layout: Arc<plan::Layout>,
    pub(super) data_type: DataType,
}

impl Layout {
    pub(super) fn chunk_shape(&self) -> &[u64] {
        &self.layout.chain().spec().shape
    }
}

#[pymethods]
impl Layout {
    /// Of an array's document, as stored under `name`: `zarr.json` or `.zarray`.
    #[new]
    fn new(name: &str, document: &[u8]) -> PyResult<Self> {
        let bind = || {
            let store = Arc::new(MemoryStore::new());
            put_bytes(&*store, name, document, Precondition::None)?;
            Array::open(store, "")
        };
        // Whatever fuzarr does not take is for zarr-python to take, or to refuse.
        let array = bind().map_err(|error| decline(error.to_string()))?;
        let layout = Arc::clone(array.layout());
        Ok(Self { layout, data_type: array.data_type() })
    }

    /// Bytes of an element; for those of variable size, of what stands for one.
    #[getter]
    fn element(&self) -> usize {
        self.layout.chain().element()
    }

    /// `"bytes"` or `"string"` for elements of variable size, `None` for others.
    #[getter]
    pub(super) fn variable(&self) -> Option<&'static str> {
        match self.data_type {
            DataType::Bytes => Some("bytes"),
            DataType::String => Some("string"),
            _ => None,
        }
    }
}
