//! Options of all requests: those of the environment, until a program sets others.

use std::sync::{PoisonError, RwLock};

use fuzarr::environment::{Settings, Value};
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::shard::WriteOrder;
use fuzarr::{Cancel, Error};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

use crate::error::raise;

/// `None` until the environment was looked at.
static SETTINGS: RwLock<Option<Settings>> = RwLock::new(None);

/// Calls `act` with the settings.
fn with<T>(act: impl FnOnce(&Settings) -> T) -> PyResult<T> {
    if let Some(settings) = &*SETTINGS.read().unwrap_or_else(PoisonError::into_inner) {
        return Ok(act(settings));
    }
    let settings = Settings::from_environment().map_err(raise)?;
    let mut guard = SETTINGS.write().unwrap_or_else(PoisonError::into_inner);
    Ok(act(guard.get_or_insert(settings)))
}

/// All options of fuzarr by name.
///
/// # Errors
/// `ArgumentError` if the environment makes no sense.
#[pyfunction]
pub(crate) fn config_list(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let options = PyDict::new(py);
    for (name, value) in with(Settings::list)? {
        match value {
            Value::Number(number) => options.set_item(name, number)?,
            Value::Switch(switch) => options.set_item(name, switch)?,
            Value::Unlimited => options.set_item(name, py.None())?,
        }
    }
    Ok(options)
}

/// Sets options by name; `None` stands for the default. All of them or none.
///
/// # Errors
/// `ArgumentError` for names and values that are none.
#[pyfunction]
pub(crate) fn config_set(options: &Bound<'_, PyDict>) -> PyResult<()> {
    let mut settings = with(Clone::clone)?;
    for (name, value) in options {
        let text = if value.is_none() {
            String::new()
        } else if let Ok(switch) = value.cast::<PyBool>() {
            if switch.is_true() { "on" } else { "off" }.to_owned()
        } else if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyString>() {
            value.str()?.to_str()?.to_owned()
        } else {
            let kind = value.get_type().name()?;
            return Err(PyTypeError::new_err(format!("option {name} cannot be of type {kind}")));
        };
        settings.set(&name.extract::<String>()?, &text).map_err(raise)?;
    }
    *SETTINGS.write().unwrap_or_else(PoisonError::into_inner) = Some(settings);
    Ok(())
}

/// Options of one array, which its metadata does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ArrayConfig {
    pub(crate) write_empty_chunks: bool,
    pub(crate) missing_is_error: bool,
    pub(crate) order: WriteOrder,
}

impl ArrayConfig {
    /// The options that a mapping names as zarr-python does, the rest as they are here.
    ///
    /// # Errors
    /// `ValueError` for other names, `TypeError` for values of other types.
    pub(crate) fn with(mut self, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        for (name, value) in options.into_iter().flatten() {
            match name.extract::<&str>()? {
                "write_empty_chunks" => self.write_empty_chunks = value.extract()?,
                "read_missing_chunks" => self.missing_is_error = !value.extract::<bool>()?,
                "subchunk_write_order" => {
                    let order = value.extract::<&str>()?.parse();
                    self.order = order.map_err(|error: Error| {
                        raise(error.with("option", "subchunk_write_order"))
                    })?;
                }
                // In which order results lie in memory: theirs is C, which equals any other.
                "order" => {}
                other => {
                    return Err(PyValueError::new_err(format!(
                        "there is no option `{other}` of arrays; there are write_empty_chunks, \
                         read_missing_chunks, subchunk_write_order and order"
                    )));
                }
            }
        }
        Ok(self)
    }

    /// Python's form.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn to_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let options = PyDict::new(py);
        options.set_item("write_empty_chunks", self.write_empty_chunks)?;
        options.set_item("read_missing_chunks", !self.missing_is_error)?;
        options.set_item("subchunk_write_order", self.order.name())?;
        Ok(options)
    }

    /// Options of a read that `cancel` ends.
    ///
    /// # Errors
    /// `ArgumentError` if the environment makes no sense.
    pub(crate) fn read(self, cancel: &Cancel) -> PyResult<ReadOptions> {
        let mut options = with(|settings| settings.read.clone())?;
        options.missing_is_error = self.missing_is_error;
        options.limits.cancel = Some(cancel.clone());
        Ok(options)
    }

    /// Options of a write that `cancel` ends.
    ///
    /// # Errors
    /// `ArgumentError` if the environment makes no sense.
    pub(crate) fn write(self, cancel: &Cancel) -> PyResult<WriteOptions> {
        let mut options = with(|settings| settings.write.clone())?;
        options.write_empty_chunks = self.write_empty_chunks;
        options.order = self.order;
        options.limits.cancel = Some(cancel.clone());
        Ok(options)
    }
}
