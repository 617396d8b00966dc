//! The command `fuzarr`.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command with these arguments, the program's name first; its exit code.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| fuzarr_cli::exit_code(arguments))
}
