//! Python's memory as what fuzarr reads into and writes from.
//!
//! NumPy allocates and owns the memory. Contiguous arrays in native byte order are used as they are;
//! what the buffer protocol cannot express goes through a view as bytes; all else through one
//! temporary array and NumPy's copying.

#![expect(unsafe_code, reason = "memory of Python objects as slices, while they are borrowed")]

use std::slice::{from_raw_parts, from_raw_parts_mut};

use fuzarr::buffer::zeroed;
use fuzarr::codec::Elements;
use fuzarr::dtype::VARIABLE_SLOT;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::element::{ElementType, Form};
use crate::error::raise;
use crate::numpy::numpy;

/// Memory that a read fills.
pub(crate) struct Output<'py> {
    py: Python<'py>,
    memory: Filled<'py>,
    /// The array that the caller gave and that the memory is to be copied to.
    target: Option<Bound<'py, PyAny>>,
}

/// Where the elements go to.
enum Filled<'py> {
    /// An array, and its memory.
    Array(Bound<'py, PyAny>, PyUntypedBuffer),
    /// Bytes to be viewed as elements, and their memory.
    Bytes(Bound<'py, PyAny>, PyUntypedBuffer),
    /// Slots for elements of variable size.
    Slots(Vec<u8>),
}

impl<'py> Output<'py> {
    /// New memory for a result of `shape`.
    ///
    /// # Errors
    /// `MemoryError`, `LimitError`.
    pub(crate) fn new(py: Python<'py>, element: &ElementType, shape: &[u64]) -> PyResult<Self> {
        let count = shape.iter().try_fold(1_u64, |count, &extent| count.checked_mul(extent));
        let too_large = || PyValueError::new_err("the result has too many bytes");
        let size = |element: usize| {
            count.and_then(|count| count.checked_mul(element as u64)).ok_or_else(too_large)
        };
        let memory = match element.form {
            Form::Plain => {
                // The buffer of an array of no dimension has no shape.
                let shape = if shape.is_empty() { &[1] } else { shape };
                let shape = PyTuple::new(py, shape)?;
                let array = numpy(py)?.empty.bind(py).call1((shape, &element.dtype))?;
                let buffer = PyUntypedBuffer::get(&array)?;
                Filled::Array(array, buffer)
            }
            Form::Opaque => {
                let bytes = numpy(py)?.empty.bind(py).call1((size(item_size(element))?, "u1"))?;
                let buffer = PyUntypedBuffer::get(&bytes)?;
                Filled::Bytes(bytes, buffer)
            }
            Form::Text | Form::Bytes => Filled::Slots(zeroed(size(VARIABLE_SLOT)?).map_err(raise)?),
        };
        Ok(Self { py, memory, target: None })
    }

    /// The caller's memory for a result of `shape`: an array, or anything with a buffer.
    ///
    /// # Errors
    /// `ValueError` for another shape or memory that cannot be written, `TypeError` for another type.
    pub(crate) fn borrowed(
        target: &Bound<'py, PyAny>,
        element: &ElementType,
        shape: &[u64],
    ) -> PyResult<Self> {
        let py = target.py();
        let target = if target.is_instance(numpy(py)?.ndarray.bind(py))? {
            target.clone()
        } else {
            // A view of its memory: a copy would be filled in vain.
            let options = PyDict::new(py);
            options.set_item("copy", false)?;
            numpy(py)?.array.bind(py).call((target,), Some(&options))?
        };
        check_target(&target, element, shape)?;
        if element.form == Form::Plain && !shape.is_empty() && is_native(&target, element)? {
            let buffer = PyUntypedBuffer::get(&target)?;
            if buffer.is_c_contiguous() {
                return Ok(Self { py, memory: Filled::Array(target, buffer), target: None });
            }
        }
        Ok(Self { target: Some(target), ..Self::new(py, element, shape)? })
    }

    /// The memory to fill.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Filled::Array(_, buffer) | Filled::Bytes(_, buffer) => slice_mut(buffer),
            Filled::Slots(slots) => slots,
        }
    }

    /// The array of `shape` that was filled, the caller's if there is one; a scalar for the empty shape.
    ///
    /// # Errors
    /// `MemoryError`; `CorruptError` for text that is none.
    pub(crate) fn finish(
        self,
        element: &ElementType,
        shape: &[u64],
        heap: Vec<u8>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let array = match self.memory {
            Filled::Array(array, buffer) => {
                buffer.release(py);
                array
            }
            Filled::Bytes(bytes, buffer) => {
                buffer.release(py);
                let array = bytes.call_method1("view", (&element.dtype,))?;
                if shape.len() == 1 { array } else { reshaped(&array, shape)? }
            }
            Filled::Slots(slots) => variable(py, element, shape, &Elements { slots, heap })?,
        };
        // As NumPy gives elements rather than arrays of no dimension.
        let result = if shape.is_empty() { array.get_item(0)? } else { array };
        match self.target {
            Some(target) => {
                numpy(py)?.copyto.bind(py).call1((&target, result))?;
                Ok(target)
            }
            None => Ok(result),
        }
    }
}

/// The array in this shape; with one element in one dimension for the empty one.
fn reshaped<'py>(array: &Bound<'py, PyAny>, shape: &[u64]) -> PyResult<Bound<'py, PyAny>> {
    let shape = if shape.is_empty() { &[1] } else { shape };
    array.call_method1("reshape", (PyTuple::new(array.py(), shape)?,))
}

fn item_size(element: &ElementType) -> usize {
    element.data_type.layout().slot()
}

/// Checks that a result of `shape` can be put into `target`.
fn check_target(target: &Bound<'_, PyAny>, element: &ElementType, shape: &[u64]) -> PyResult<()> {
    let found: Vec<u64> = target.getattr("shape")?.extract()?;
    if found != shape {
        return Err(PyValueError::new_err(format!(
            "out has shape {found:?}, the selection has shape {shape:?}"
        )));
    }
    if !target.getattr("flags")?.getattr("writeable")?.is_truthy()? {
        return Err(PyValueError::new_err("out cannot be written"));
    }
    let dtype = target.getattr("dtype")?;
    let native = dtype.call_method1("newbyteorder", ("=",))?;
    let is_object = element.is_variable() && dtype.getattr("kind")?.eq("O")?;
    if !is_object && !native.eq(&element.dtype)? {
        return Err(PyTypeError::new_err(format!(
            "out has elements of type {dtype}, the array has {}",
            element.dtype
        )));
    }
    Ok(())
}

fn is_native(array: &Bound<'_, PyAny>, element: &ElementType) -> PyResult<bool> {
    array.getattr("dtype")?.eq(&element.dtype)
}

/// Elements of variable size as an array.
fn variable<'py>(
    py: Python<'py>,
    element: &ElementType,
    shape: &[u64],
    elements: &Elements,
) -> PyResult<Bound<'py, PyAny>> {
    let list = PyList::empty(py);
    for bytes in elements.variable() {
        let bytes = bytes.map_err(raise)?;
        if element.form == Form::Text {
            let text = std::str::from_utf8(bytes).map_err(|error| {
                raise(fuzarr::Error::corrupt("a string is not UTF-8").with_source(error))
            })?;
            list.append(PyString::new(py, text))?;
        } else {
            list.append(PyBytes::new(py, bytes))?;
        }
    }
    let array = numpy(py)?.empty.bind(py).call1((list.len(), &element.dtype))?;
    array.set_item(pyo3::types::PySlice::full(py), list)?;
    reshaped(&array, shape)
}

/// Values to write: one for all, or as many as the selection has elements.
pub(crate) struct Input<'py> {
    memory: Given<'py>,
    heap: Vec<u8>,
}

enum Given<'py> {
    /// An array that is kept, and its memory.
    Array(#[expect(dead_code, reason = "it owns the memory")] Bound<'py, PyAny>, PyUntypedBuffer),
    /// Slots of elements of variable size.
    Slots(Vec<u8>),
}

impl<'py> Input<'py> {
    /// What NumPy makes of `value` as elements of an array of `shape`: it is converted to their type
    /// and broadcast.
    ///
    /// # Errors
    /// NumPy's: `ValueError` for a shape that does not broadcast, `TypeError` and `OverflowError` for
    /// values of other types.
    pub(crate) fn new(
        value: &Bound<'py, PyAny>,
        element: &ElementType,
        shape: &[u64],
    ) -> PyResult<Self> {
        let array = elements(value, element)?;
        let found: Vec<u64> = array.getattr("shape")?.extract()?;
        let array = if found == shape || found.iter().all(|&extent| extent == 1) {
            // One element for all needs no copies of itself.
            array
        } else {
            broadcast(&array, &found, shape)?
        };
        Self::of(&array, element)
    }

    /// All elements of `value`, and its shape.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn whole(
        value: &Bound<'py, PyAny>,
        element: &ElementType,
    ) -> PyResult<(Self, Vec<u64>)> {
        let array = elements(value, element)?;
        let shape = array.getattr("shape")?.extract()?;
        Ok((Self::of(&array, element)?, shape))
    }

    fn of(array: &Bound<'py, PyAny>, element: &ElementType) -> PyResult<Self> {
        let py = array.py();
        match element.form {
            Form::Plain | Form::Opaque => {
                let mut array = numpy(py)?.ascontiguousarray.bind(py).call1((array,))?;
                if element.form == Form::Opaque {
                    array = array.call_method1("reshape", (-1,))?.call_method1("view", ("u1",))?;
                }
                let buffer = PyUntypedBuffer::get(&array)?;
                Ok(Self { memory: Given::Array(array, buffer), heap: Vec::new() })
            }
            Form::Text | Form::Bytes => {
                let list = array.call_method0("ravel")?.call_method0("tolist")?;
                let mut elements = Elements::default();
                for item in list.try_iter()? {
                    push(&item?, element.form, &mut elements)?;
                }
                Ok(Self { memory: Given::Slots(elements.slots), heap: elements.heap })
            }
        }
    }

    /// The elements, and what slots point into.
    pub(crate) fn bytes(&self) -> (&[u8], &[u8]) {
        match &self.memory {
            Given::Array(_, buffer) => (slice(buffer), &self.heap),
            Given::Slots(slots) => (slots, &self.heap),
        }
    }
}

/// An array of elements of this type, in native byte order.
fn elements<'py>(value: &Bound<'py, PyAny>, element: &ElementType) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let asarray = numpy(py)?.asarray.bind(py);
    match element.form {
        Form::Text | Form::Bytes => asarray.call1((value, "O")),
        Form::Plain | Form::Opaque => asarray.call1((value, &element.dtype)),
    }
}

/// As NumPy broadcasts in an assignment: dimensions of length 1 in front may be too many.
fn broadcast<'py>(
    array: &Bound<'py, PyAny>,
    found: &[u64],
    shape: &[u64],
) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    let surplus = found.len().saturating_sub(shape.len());
    let (front, rest) = found.split_at(surplus);
    let to = PyTuple::new(py, shape)?;
    let array = if !front.is_empty() && front.iter().all(|&extent| extent == 1) {
        array.call_method1("reshape", (PyTuple::new(py, rest)?,))?
    } else {
        array.clone()
    };
    numpy(py)?.broadcast_to.bind(py).call1((array, to)).map_err(|_| {
        PyValueError::new_err(format!(
            "could not broadcast input array from shape {found:?} into shape {shape:?}"
        ))
    })
}

fn push(item: &Bound<'_, PyAny>, form: Form, elements: &mut Elements) -> PyResult<()> {
    if form == Form::Text {
        let text = item.cast::<PyString>().map_err(|_| wrong(item, "str"))?;
        elements.push_variable(text.to_str()?.as_bytes());
    } else {
        let bytes = item.cast::<PyBytes>().map_err(|_| wrong(item, "bytes"))?;
        elements.push_variable(bytes.as_bytes());
    }
    Ok(())
}

#[cold]
fn wrong(item: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    PyTypeError::new_err(format!("the elements of the array are {expected}, not {item:?}"))
}

/// The memory of an array that is C-contiguous.
fn slice(buffer: &PyUntypedBuffer) -> &[u8] {
    if buffer.len_bytes() == 0 {
        return &[];
    }
    debug_assert!(buffer.is_c_contiguous());
    // SAFETY: the exporter keeps `len_bytes` of memory at `buf_ptr` until the buffer is released, and
    // every array that comes here was made contiguous. It is only read. A program that writes into an
    // array while it is being stored, from another thread, gets what NumPy's own functions without
    // the interpreter lock give it: some of the old bytes and some of the new.
    unsafe { from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) }
}

/// The memory of an array that is C-contiguous and can be written.
fn slice_mut(buffer: &mut PyUntypedBuffer) -> &mut [u8] {
    if buffer.len_bytes() == 0 || buffer.readonly() {
        return &mut [];
    }
    debug_assert!(buffer.is_c_contiguous());
    // SAFETY: as in `slice`. The memory is that of an array that was just made, which nobody else has,
    // or of the caller's `out`, found to be writable; that no other thread uses `out` while it is
    // being filled is its caller's part, as it is for NumPy's own `out` arguments.
    unsafe { from_raw_parts_mut(buffer.buf_ptr().cast(), buffer.len_bytes()) }
}
