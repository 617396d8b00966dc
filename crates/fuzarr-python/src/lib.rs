//! fuzarr in Python.
//!
//! The module translates between Python and the library, and does nothing else: what a selection
//! means, how chunks are chosen and what may be written is decided there.

mod array;
mod command;
mod config;
mod create;
mod element;
mod error;
mod explain;
mod group;
mod index;
mod json;
mod memory;
mod numpy;
mod open;
mod pipeline;
mod request;
mod selection;
mod store;

use pyo3::prelude::*;

/// fuzarr in Python: what `fuzarr` is made of.
#[pymodule(gil_used = false)]
mod _fuzarr {
    #[pymodule_export]
    use crate::array::PyArray;
    #[pymodule_export]
    use crate::command::main;
    #[pymodule_export]
    use crate::config::{config_list, config_set};
    #[pymodule_export]
    use crate::create::{create_array, create_group};
    #[pymodule_export]
    use crate::explain::PyExplanation;
    #[pymodule_export]
    use crate::group::PyGroup;
    #[pymodule_export]
    use crate::index::PyIndex;
    #[pymodule_export]
    use crate::open::{consolidate_metadata, open_node};
    #[pymodule_export]
    use crate::request::PyCancel;
    #[pymodule_export]
    use crate::store::PyStore;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::types::PyModuleMethods;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        crate::numpy::look_up(module.py())?;
        crate::pipeline::register(module)
    }
}
