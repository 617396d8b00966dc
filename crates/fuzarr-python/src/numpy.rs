//! What is used of NumPy again and again: looked up when the module is made, before anybody uses it. A
//! lookup by the first to need it would leave a lock behind in a child that is forked meanwhile.

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyMapping, PyTuple};

/// Declares [`Numpy`] by the names that it has in NumPy.
macro_rules! numpy {
    ($($name:ident),*) => {
        /// Functions and classes of NumPy.
        #[derive(Debug)]
        pub(crate) struct Numpy {
            $(pub(crate) $name: Py<PyAny>,)*
        }

        impl Numpy {
            fn find(py: Python<'_>) -> PyResult<Self> {
                let numpy = py.import("numpy")?;
                Ok(Self { $($name: numpy.getattr(stringify!($name))?.unbind(),)* })
            }
        }
    };
}

numpy!(array, asarray, ascontiguousarray, bool_, broadcast_to, copyto, dtype, empty, ndarray);

/// Never waited for: it is set, once, while the module is made.
static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();

/// NumPy.
///
/// # Errors
/// `ImportError` before the module is made.
pub(crate) fn numpy(py: Python<'_>) -> PyResult<&'static Numpy> {
    NUMPY.get(py).ok_or_else(|| PyImportError::new_err("fuzarr is not imported yet"))
}

/// Looks up what is needed later, of NumPy and by the crate that speaks to Python.
///
/// # Errors
/// `ImportError` if there is no NumPy.
pub(crate) fn look_up(py: Python<'_>) -> PyResult<()> {
    if NUMPY.get(py).is_none() {
        // Who comes second has found the same.
        let _ = NUMPY.set(py, Numpy::find(py)?);
    }
    // Each has the crate look up something of its own.
    let empty = PyTuple::empty(py);
    let _ = empty.cast::<PyMapping>();
    let _ = empty.try_iter()?.size_hint();
    Ok(())
}
