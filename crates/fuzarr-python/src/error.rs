//! Errors of the library as Python's: each kind is a class in `fuzarr.errors` that is also the
//! builtin a Python program would catch.

use std::io;

use fuzarr::{Error, Kind};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The class of a kind.
fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "NotFoundError",
        Kind::AlreadyExists => "ExistsError",
        Kind::InvalidMetadata => "FormatError",
        Kind::Unsupported => "UnsupportedError",
        Kind::InvalidArgument => "ArgumentError",
        Kind::Corrupt => "CorruptError",
        Kind::Conflict => "ConflictError",
        Kind::Limit => "LimitError",
        Kind::Cancelled => "CancelledError",
        Kind::WouldBlock => "StoreError",
        Kind::Io => "StoreError",
        _ => "FuzarrError",
    }
}

/// The number of the system's error that caused this one, as Python's `errno` has it.
fn system_error(error: &Error) -> Option<i32> {
    // Elsewhere the system's numbers are others than those of `errno`.
    if !cfg!(unix) {
        return None;
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(number) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(number);
        }
        source = cause.source();
    }
    None
}

fn build(py: Python<'_>, class: &str, error: &Error) -> PyResult<PyErr> {
    let context = PyDict::new(py);
    for (name, value) in error.contexts() {
        context.set_item(name, value)?;
    }
    let message = error.to_string();
    let errors = py.import("fuzarr.errors")?;
    let raised = match system_error(error) {
        Some(number) => errors.call_method1("_of_system", (class, message, number))?,
        None => errors.getattr(class)?.call1((message,))?,
    };
    raised.setattr("context", context)?;
    Ok(PyErr::from_value(raised))
}

fn raise_as(class: &str, error: &Error) -> PyErr {
    Python::attach(|py| match build(py, class, error) {
        Ok(raised) => raised,
        // Ctrl-C, which Python tells of as soon as it runs anything.
        Err(other) if !other.is_instance_of::<PyException>(py) => other,
        // While the interpreter shuts down there may be no module left.
        Err(_) => PyRuntimeError::new_err(error.to_string()),
    })
}

/// The Python error for an error of the library.
#[cold]
pub(crate) fn raise(error: Error) -> PyErr {
    raise_as(class(error.kind()), &error)
}

/// As [`raise`], for an error about a selection: what is wrong with it is an `IndexError`.
#[cold]
pub(crate) fn raise_selection(error: Error) -> PyErr {
    match error.kind() {
        Kind::InvalidArgument => raise_as("SelectionError", &error),
        _ => raise(error),
    }
}

/// A selection that is none.
#[cold]
pub(crate) fn selection_error(message: impl Into<String>) -> PyErr {
    raise_selection(Error::invalid_argument(message))
}

/// An argument that is wrong.
#[cold]
pub(crate) fn argument_error(message: impl Into<String>) -> PyErr {
    raise(Error::invalid_argument(message))
}

/// What fuzarr does not have.
#[cold]
pub(crate) fn unsupported(message: impl Into<String>) -> PyErr {
    raise(Error::unsupported(message))
}

/// A change through a handle that is for reading only.
#[cold]
pub(crate) fn read_only() -> PyErr {
    let message = "opened for reading only: mode=\"r+\" allows changes";
    raise_as("ReadOnlyError", &Error::invalid_argument(message))
}
