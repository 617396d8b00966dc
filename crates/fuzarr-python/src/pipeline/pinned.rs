//! Memory across the border, by the buffer protocol: Python's, held while the interpreter lock is
//! released, and ours, given to Python.

#![expect(unsafe_code, reason = "memory that Python owns is used without the interpreter lock")]

use std::ffi::c_int;

use bytes::Bytes;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The bytes of an object that has them in one run. The buffer protocol keeps them in place until
/// this is dropped.
#[derive(Debug)]
pub(super) struct Pinned(PyBuffer<u8>);

impl Pinned {
    /// Pins the bytes of `object`, to be read.
    pub(super) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the bytes are not in one run"));
        }
        Ok(Self(buffer))
    }

    /// Pins the bytes of `object`, to be written.
    pub(super) fn writable(object: &Bound<'_, PyAny>) -> PyResult<PinnedMut> {
        let pinned = Self::new(object)?;
        if pinned.0.readonly() {
            return Err(PyBufferError::new_err("the memory is read-only"));
        }
        Ok(PinnedMut(pinned))
    }

    /// The bytes as a snapshot to be shared.
    pub(super) fn into_bytes(self) -> Bytes {
        if self.0.len_bytes() == 0 {
            return Bytes::new();
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: so many bytes lie there, in one run (checked by `new`), until the buffer is
        // released. That nobody changes them meanwhile is up to the Python program, as for every
        // NumPy function that releases the lock; bytes have no invalid values.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }
}

/// The bytes of an object that has them in one run and may be changed.
#[derive(Debug)]
pub(super) struct PinnedMut(Pinned);

impl AsMut<[u8]> for PinnedMut {
    fn as_mut(&mut self) -> &mut [u8] {
        let buffer = &self.0.0;
        if buffer.len_bytes() == 0 {
            return &mut [];
        }
        // SAFETY: as in `as_ref`; writable, checked by `writable`.
        unsafe { std::slice::from_raw_parts_mut(buffer.buf_ptr().cast(), buffer.len_bytes()) }
    }
}

/// Bytes that were made here, as memory for Python: read-only, and not copied.
#[pyclass(frozen, module = "fuzarr._fuzarr")]
pub(super) struct Made(pub(super) Bytes);

#[pymethods]
impl Made {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// # Safety
    /// `view` is what Python asks to be filled.
    unsafe fn __getbuffer__(
        made: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = &made.get().0;
        let length = ffi::Py_ssize_t::try_from(bytes.len())?;
        let start = bytes.as_ptr().cast_mut().cast();
        // SAFETY: the view holds a reference to the object, whose bytes never change or move; asked
        // for memory to write to, the call fails.
        let outcome =
            unsafe { ffi::PyBuffer_FillInfo(view, made.as_ptr(), start, length, 1, flags) };
        if outcome == 0 { Ok(()) } else { Err(PyErr::fetch(made.py())) }
    }
}
