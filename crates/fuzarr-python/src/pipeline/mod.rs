//! The codec pipeline for zarr-python: what its indexers cut becomes a plan of named objects.
//!
//! Python hands over the items of one call. Stores that answer at once are read and written here,
//! outside the interpreter lock; for all others Python awaits the bytes and drives the machines.

mod array;
mod call;
mod foreign;
mod items;
mod layout;
mod memory;
mod pinned;
mod remote;
mod text;

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;

/// A call that is left to zarr-python, with the reason.
fn decline(reason: impl Into<String>) -> PyErr {
    PyNotImplementedError::new_err(reason.into())
}

/// Adds the classes to the extension module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let pipeline = PyModule::new(module.py(), "pipeline")?;
    pipeline.add_class::<layout::Layout>()?;
    pipeline.add_class::<call::ReadCall>()?;
    pipeline.add_class::<call::ReadResult>()?;
    pipeline.add_class::<call::WriteCall>()?;
    pipeline.add_class::<foreign::Machine>()?;
    pipeline.add_class::<pinned::Made>()?;
    pipeline.add_function(wrap_pyfunction!(call::is_prompt, &pipeline)?)?;
    pipeline.add_function(wrap_pyfunction!(memory::commit, &pipeline)?)?;
    module.add_submodule(&pipeline)
}
