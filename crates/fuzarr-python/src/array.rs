//! Arrays in Python.

mod facts;
mod named;

use std::sync::{Arc, PoisonError, RwLock};

use fuzarr::selection::Resolved;
use fuzarr::{Array, Cancel, Result, Selection};
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyEllipsis, PyTuple};

use crate::config::ArrayConfig;
use crate::element::ElementType;
use crate::error::{raise, raise_selection, read_only};
use crate::explain::{PyExplanation, network};
use crate::index::PyIndex;
use crate::memory::{Input, Output};
use crate::request::{self, PyCancel};
use crate::selection::{self, Mode};
use crate::store::{Opened, hash};
use crate::{json, open};

/// Selections of more elements may be of so many objects that planning takes long, too.
const PLANNED_AT_ONCE: u64 = 1 << 20;

/// Whether a request may take long whatever is computed for it: it is planned and run while signals
/// are looked at.
fn is_long(array: &Array, resolved: &Resolved) -> bool {
    resolved.elements() > PLANNED_AT_ONCE || !array.store().capabilities().blocking
}

/// An array in a store.
///
/// ``a[...]`` reads and ``a[...] = values`` writes what an index selects; ``.oindex``, ``.vindex`` and
/// ``.blocks`` take indices in other senses.
#[pyclass(frozen, weakref, module = "fuzarr", name = "Array")]
#[derive(Debug)]
pub(crate) struct PyArray {
    store: Opened,
    /// Replaced when the shape or the attributes change.
    array: RwLock<Arc<Array>>,
    element: ElementType,
    config: ArrayConfig,
    read_only: bool,
}

impl PyArray {
    pub(crate) fn new(
        py: Python<'_>,
        store: Opened,
        array: Array,
        config: ArrayConfig,
        read_only: bool,
    ) -> PyResult<Self> {
        let element = ElementType::new(py, array.data_type())?;
        Ok(Self { store, array: RwLock::new(Arc::new(array)), element, config, read_only })
    }

    /// The array as it is known now.
    pub(crate) fn current(&self) -> Arc<Array> {
        Arc::clone(&self.array.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_writable(&self) -> PyResult<()> {
        if self.read_only { Err(read_only()) } else { Ok(()) }
    }

    /// The selection that `index` is.
    fn parse(&self, index: &Bound<'_, PyAny>, mode: Mode) -> PyResult<Selection> {
        selection::parse(index, mode, self.current().shape())
    }

    /// Reads what `index` selects, into `out` if there is one.
    pub(crate) fn get<'py>(
        &self,
        index: &Bound<'py, PyAny>,
        mode: Mode,
        out: Option<&Bound<'py, PyAny>>,
        cancel: &Cancel,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        let array = self.current();
        let selection = selection::parse(index, mode, array.shape())?;
        let resolved = array.resolve(&selection).map_err(raise_selection)?;
        let shape = resolved.shape().to_vec();
        let options = self.config.read(cancel)?;
        let mut output = match out {
            Some(target) => Output::borrowed(target, &self.element, &shape)?,
            None => Output::new(py, &self.element, &shape)?,
        };
        let memory = output.bytes_mut();
        let heap = if is_long(&array, &resolved) {
            request::run_long(py, cancel, || {
                array.run_read(&array.plan_read(resolved, options)?, memory)
            })?
        } else {
            let plan = array.plan_read(resolved, options).map_err(raise)?;
            let estimate = plan.estimate_at_most();
            request::run(py, cancel, estimate, || array.run_read(&plan, memory))?
        };
        output.finish(&self.element, &shape, heap)
    }

    /// Writes `value` to what `index` selects.
    pub(crate) fn set(
        &self,
        index: &Bound<'_, PyAny>,
        mode: Mode,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.set_until(&Cancel::new(), index, mode, value)
    }

    /// As [`set`](Self::set), until `cancel` ends it.
    fn set_until(
        &self,
        cancel: &Cancel,
        index: &Bound<'_, PyAny>,
        mode: Mode,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.check_writable()?;
        let array = self.current();
        let selection = selection::parse(index, mode, array.shape())?;
        let resolved = array.resolve(&selection).map_err(raise_selection)?;
        let input = Input::new(value, &self.element, resolved.shape())?;
        let (py, values) = (index.py(), input.bytes());
        let options = self.config.write(cancel)?;
        if is_long(&array, &resolved) {
            return request::run_long(py, cancel, || {
                array.run_write(&array.plan_write(resolved, options)?, values)
            });
        }
        let plan = array.plan_write(resolved, options).map_err(raise)?;
        let estimate = plan.estimate_at_most();
        request::run(py, cancel, estimate, || array.run_write(&plan, values))
    }

    /// Changes the array's documents, and what is known of them here.
    fn change(
        &self,
        py: Python<'_>,
        cancel: &Cancel,
        change: impl FnOnce(&mut Array) -> Result<()> + Send,
    ) -> PyResult<()> {
        self.check_writable()?;
        let mut array = (*self.current()).clone();
        request::run_long(py, cancel, || {
            let changed = change(&mut array);
            // Whether it succeeded or not: the shape may be new although deleting chunks failed.
            *self.array.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(array);
            changed
        })
    }
}

#[pymethods]
impl PyArray {
    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.get(index, Mode::Auto, None, &Cancel::new())
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set(index, Mode::Auto, value)
    }

    /// Orthogonal indexing: lists and masks choose along their dimension each.
    #[getter]
    fn oindex(slf: Py<Self>) -> PyIndex {
        PyIndex::new(slf, Mode::Orthogonal)
    }

    /// Vectorized indexing: lists choose points together, a mask elements.
    #[getter]
    fn vindex(slf: Py<Self>) -> PyIndex {
        PyIndex::new(slf, Mode::Vectorized)
    }

    /// Integers and slices choose chunks, or shards if there are some.
    #[getter]
    fn blocks(slf: Py<Self>) -> PyIndex {
        PyIndex::new(slf, Mode::Blocks)
    }

    /// Reads what ``selection`` selects, in the sense of ``mode`` ("auto", "basic", "orthogonal",
    /// "vectorized", "blocks"), into ``out`` if it is given: an array of the result's shape and type.
    #[pyo3(signature = (selection = None, *, out = None, mode = "auto"))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        selection: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
        mode: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.get(&or_all(py, selection), mode_named(mode)?, out, &Cancel::new())
    }

    /// As ``read``, in another thread, while the event loop goes on; ending the task ends the read.
    #[pyo3(signature = (selection = None, *, out = None, mode = "auto"))]
    fn read_async<'py>(
        slf: &Bound<'py, Self>,
        selection: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
        mode: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        mode_named(mode)?;
        let read = py.import("fuzarr._asynchronous")?.getattr("read")?;
        read.call1((slf, or_all(py, selection), out, mode))
    }

    /// As ``read``, until ``cancel`` ends it.
    fn _read_until<'py>(
        &self,
        cancel: &PyCancel,
        selection: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        mode: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.get(selection, mode_named(mode)?, out, &cancel.0)
    }

    /// Writes ``value`` to what ``selection`` selects, in the sense of ``mode``, in another thread, while
    /// the event loop goes on. Ending the task ends the write: each chunk or shard is old or new then.
    /// ``value`` must not change meanwhile.
    #[pyo3(signature = (selection, value, *, mode = "auto"))]
    fn write_async<'py>(
        slf: &Bound<'py, Self>,
        selection: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        mode: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        mode_named(mode)?;
        let write = slf.py().import("fuzarr._asynchronous")?.getattr("write")?;
        write.call1((slf, selection, value, mode))
    }

    /// As ``a[selection] = value``, until ``cancel`` ends it.
    fn _write_until(
        &self,
        cancel: &PyCancel,
        selection: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        mode: &str,
    ) -> PyResult<()> {
        self.set_until(&cancel.0, selection, mode_named(mode)?, value)
    }

    /// What reading ``selection`` takes: objects, requests, bytes. Nothing is read but, if it is to be
    /// ``exact``, indexes of shards.
    ///
    /// Told of the store's ``latency`` in seconds, its ``bandwidth`` in bytes a second, or the
    /// ``price`` of a request, it also forecasts time and price.
    #[pyo3(signature = (
        selection = None, *, exact = false, mode = "auto", latency = None, bandwidth = None,
        price = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn explain(
        &self,
        py: Python<'_>,
        selection: Option<&Bound<'_, PyAny>>,
        exact: bool,
        mode: &str,
        latency: Option<f64>,
        bandwidth: Option<f64>,
        price: Option<f64>,
    ) -> PyResult<PyExplanation> {
        let network = network(latency, bandwidth, price)?;
        let selection = match selection {
            Some(index) => self.parse(index, mode_named(mode)?)?,
            None => Selection::all(),
        };
        let array = self.current();
        array.resolve(&selection).map_err(raise_selection)?;
        let cancel = Cancel::new();
        let options = self.config.read(&cancel)?;
        let explanation = request::run_long(py, &cancel, || {
            if exact {
                array.explain_exactly(&selection, &options)
            } else {
                array.explain(&selection, &options)
            }
        })?;
        let forecast = network.map(|network| explanation.over(&network, &options.limits));
        Ok(PyExplanation { explanation, exact, forecast })
    }

    /// Gives the array another shape. Chunks that lie outside of it are deleted; new elements are the
    /// fill value.
    fn resize(&self, py: Python<'_>, new_shape: &Bound<'_, PyAny>) -> PyResult<()> {
        let shape = lengths(new_shape)?;
        self.change(py, &Cancel::new(), |array| array.resize(&shape))
    }

    /// Makes the array longer by ``data`` along ``axis``; the new shape.
    #[pyo3(signature = (data, axis = 0))]
    fn append<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        axis: isize,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (input, added) = Input::whole(data, &self.element)?;
        let shape = self.current().shape().to_vec();
        let axis = if axis < 0 { axis.saturating_add_unsigned(shape.len()) } else { axis };
        let axis = usize::try_from(axis).ok().filter(|&axis| axis < shape.len());
        let axis = axis.ok_or_else(|| PyIndexError::new_err("there is no such axis"))?;
        let mut expected = shape.clone();
        if let (Some(length), Some(&by)) = (expected.get_mut(axis), added.get(axis)) {
            *length = by;
        }
        if expected != added {
            return Err(PyValueError::new_err(format!(
                "data of shape {added:?} cannot be appended to an array of shape {shape:?} along \
                 axis {axis}: all other dimensions must be the same"
            )));
        }
        let cancel = Cancel::new();
        if added.contains(&0) {
            // Without elements there is nothing to place but the new edge.
            let mut grown = shape;
            if let (Some(length), Some(&by)) = (grown.get_mut(axis), added.get(axis)) {
                *length = length.saturating_add(by);
            }
            self.change(py, &cancel, |array| array.resize(&grown))?;
            return self.shape(py);
        }
        let options = self.config.write(&cancel)?;
        let values = input.bytes();
        self.change(py, &cancel, |array| array.append_with(values, axis, &options))?;
        self.shape(py)
    }

    /// Changes attributes and stores them; the array.
    fn update_attributes<'py>(
        slf: &Bound<'py, Self>,
        new_attributes: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, Self>> {
        slf.get()._change_attributes(slf.py(), Some(new_attributes), Vec::new(), false)?;
        Ok(slf.clone())
    }

    /// The attributes as they are known here.
    fn _attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        json::object_to_python(py, &self.current().metadata().attributes)
    }

    /// Sets and deletes attributes, after deleting all if they are to be ``replace``d.
    #[pyo3(signature = (set, unset, replace))]
    fn _change_attributes(
        &self,
        py: Python<'_>,
        set: Option<&Bound<'_, PyDict>>,
        unset: Vec<String>,
        replace: bool,
    ) -> PyResult<()> {
        let set = set.map(|set| json::from_mapping(set.as_mapping())).transpose()?;
        self.change(py, &Cancel::new(), |array| {
            array.update_attributes(open::attribute_change(set.unwrap_or_default(), unset, replace))
        })
    }

    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if copy == Some(false) {
            return Err(PyValueError::new_err("an array is always read into new memory"));
        }
        let all = PyEllipsis::get(py).to_owned().into_any();
        let read = self.get(&all, Mode::Auto, None, &Cancel::new())?;
        let dtype = dtype.cloned().unwrap_or_else(|| self.dtype(py));
        py.import("numpy")?.call_method1("asarray", (read, dtype))
    }

    fn __len__(&self) -> PyResult<usize> {
        let array = self.current();
        let length = array.shape().first();
        let length = length.ok_or_else(|| PyTypeError::new_err("len() of unsized object"))?;
        usize::try_from(*length).map_err(|_| PyValueError::new_err("the array is too long"))
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().__len__().map_err(|_| PyTypeError::new_err("iteration over a 0-d array"))?;
        slf.py().import("fuzarr._display")?.getattr("rows")?.call1((slf,))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let array = self.current();
        let url = self.store.url(array.path());
        let shape = self.shape(py)?.repr()?;
        Ok(format!("<Array {url} shape={shape} dtype={}>", self.element.dtype))
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("fuzarr._display")?.getattr("html")?.call1((slf,))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let other = other.get();
        let (one, two) = (self.current(), other.current());
        let equal = self.store == other.store
            && one.path() == two.path()
            && one.metadata() == two.metadata()
            && self.config == other.config;
        Ok(equal.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __hash__(&self) -> u64 {
        hash(&(&self.store.location, self.current().path()))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<open::Pickled<'py>> {
        let place = (self.store.pickled(py)?, self.path(), self.read_only);
        open::pickled(py, place, "array", None, Some(self.config.to_python(py)?))
    }

    /// What tells this array's contents from others': where it is, and its metadata.
    fn __dask_tokenize__(&self) -> (&'static str, String, String) {
        let array = self.current();
        let document = array.metadata().to_json().to_string();
        ("fuzarr.Array", self.store.identity(array.path()), document)
    }
}

/// The selection, or all.
fn or_all<'py>(py: Python<'py>, selection: Option<&Bound<'py, PyAny>>) -> Bound<'py, PyAny> {
    selection.cloned().unwrap_or_else(|| PyEllipsis::get(py).to_owned().into_any())
}

fn mode_named(name: &str) -> PyResult<Mode> {
    match name {
        "auto" => Ok(Mode::Auto),
        "basic" => Ok(Mode::Basic),
        "orthogonal" => Ok(Mode::Orthogonal),
        "vectorized" => Ok(Mode::Vectorized),
        "blocks" => Ok(Mode::Blocks),
        _ => Err(PyValueError::new_err(format!(
            "mode is auto, basic, orthogonal, vectorized or blocks, not {name}"
        ))),
    }
}

/// A shape: an integer or several.
///
/// # Errors
/// `TypeError`, `ValueError` for what is none.
pub(crate) fn lengths(shape: &Bound<'_, PyAny>) -> PyResult<Vec<u64>> {
    let length = |item: &Bound<'_, PyAny>| {
        item.extract::<u64>().map_err(|error| {
            if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(item.py()) {
                PyValueError::new_err(format!("{item} cannot be the length of a dimension"))
            } else {
                error
            }
        })
    };
    if shape.hasattr("__index__")? && !shape.hasattr("__len__")? {
        return Ok(vec![length(shape)?]);
    }
    shape.try_iter()?.map(|item| length(&item?)).collect()
}
