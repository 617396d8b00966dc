//! Where requests run: one place that releases the interpreter lock and minds Ctrl-C.

use std::time::Duration;

use fuzarr::store::Store;
use fuzarr::{Cancel, Result, exec};
use pyo3::prelude::*;

use crate::error::raise;

/// Requests that take at most this many nanoseconds run on the calling thread: signals wait.
const SHORT: u64 = 1_000_000;

/// How long signals may wait.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether signals come to this thread: in Python they come to the main one.
fn sees_signals(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?;
    let current = threading.call_method0("get_ident")?;
    main.getattr("ident")?.eq(current)
}

/// Runs `work`, which takes about `estimate` nanoseconds, without the interpreter lock. If that is
/// long, another thread does it, and this one sees to signals: what a signal raises ends the request.
///
/// # Errors
/// What the request fails with, or a signal raised.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    cancel: &Cancel,
    estimate: u64,
    work: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    attended(py, cancel, estimate, || work().map_err(raise))
}

/// As [`run`], for work that has more to fail with than the library.
///
/// # Errors
/// As [`run`].
pub(crate) fn attended<T: Send>(
    py: Python<'_>,
    cancel: &Cancel,
    estimate: u64,
    work: impl FnOnce() -> PyResult<T> + Send,
) -> PyResult<T> {
    if estimate <= SHORT || !sees_signals(py)? {
        return py.detach(work);
    }
    let mut raised = None;
    let look = || {
        if raised.is_none()
            && let Err(error) = Python::attach(|py| py.check_signals())
        {
            cancel.cancel();
            raised = Some(error);
        }
    };
    let done = py.detach(|| {
        let mut look = look;
        exec::watched(PAUSE, work, &mut look)
    });
    match raised {
        Some(error) => Err(error),
        None => done,
    }
}

/// Runs `work` of unknown length, see [`run`].
///
/// # Errors
/// As [`run`].
pub(crate) fn run_long<T: Send>(
    py: Python<'_>,
    cancel: &Cancel,
    work: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    run(py, cancel, u64::MAX, work)
}

/// Looks at what a store has, which is long only where a store makes one wait: a signal ends it then.
///
/// # Errors
/// As [`run`].
pub(crate) fn look<T: Send>(
    py: Python<'_>,
    store: &dyn Store,
    work: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    if store.capabilities().blocking {
        return py.detach(work).map_err(raise);
    }
    let cancel = Cancel::new();
    run_long(py, &cancel, || cancel.over(work))
}

/// Ends a request from another thread.
#[pyclass(frozen, module = "fuzarr", name = "Cancel")]
#[derive(Debug, Default)]
pub(crate) struct PyCancel(pub(crate) Cancel);

#[pymethods]
impl PyCancel {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Ends the request that was given this.
    fn cancel(&self) {
        self.0.cancel();
    }
}
