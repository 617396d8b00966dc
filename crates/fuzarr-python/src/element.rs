//! Types of elements as NumPy's.

use fuzarr::dtype::{DataType, Endian, from_numpy, to_numpy};
use fuzarr::metadata::Extension;
use fuzarr::{Error, Kind};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};

use crate::error::{raise, unsupported};
use crate::json;
use crate::numpy::numpy;

/// The machine's byte order.
pub(crate) const NATIVE: Endian =
    if cfg!(target_endian = "little") { Endian::Little } else { Endian::Big };

/// How elements lie in NumPy's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As fuzarr has them, in memory that the buffer protocol gives out.
    Plain,
    /// As fuzarr has them, but only a view as bytes gives them out.
    Opaque,
    /// Text of any length.
    Text,
    /// Bytes of any length.
    Bytes,
}

/// A type of elements and NumPy's for it.
#[derive(Debug)]
pub(crate) struct ElementType {
    pub(crate) data_type: DataType,
    pub(crate) dtype: Py<PyAny>,
    pub(crate) form: Form,
}

impl ElementType {
    /// NumPy's type of elements of `data_type`.
    ///
    /// # Errors
    /// `ImportError` without NumPy, or for `bfloat16` without ml_dtypes.
    pub(crate) fn new(py: Python<'_>, data_type: DataType) -> PyResult<Self> {
        let form = match data_type {
            DataType::String => Form::Text,
            DataType::Bytes => Form::Bytes,
            DataType::BFloat16 | DataType::DateTime64 { .. } | DataType::TimeDelta64 { .. } => {
                Form::Opaque
            }
            _ => Form::Plain,
        };
        let dtype = match data_type {
            DataType::BFloat16 => {
                dtype(py)?.call1((py.import("ml_dtypes")?.getattr("bfloat16")?,))?
            }
            DataType::String => match string_dtype(py)? {
                Some(class) => class.call0()?,
                None => dtype(py)?.call1(("O",))?,
            },
            _ => {
                let name = to_numpy(data_type, NATIVE).unwrap_or_default();
                dtype(py)?.call1((name,))?
            }
        };
        Ok(Self { data_type, dtype: dtype.unbind(), form })
    }

    pub(crate) fn is_variable(&self) -> bool {
        matches!(self.form, Form::Text | Form::Bytes)
    }

    /// The one element that `bytes` are, as a scalar of NumPy's.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn scalar<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        match self.form {
            Form::Text => Ok(PyString::new(py, &String::from_utf8_lossy(bytes)).into_any()),
            Form::Bytes => Ok(PyBytes::new(py, bytes).into_any()),
            Form::Plain | Form::Opaque => {
                let (bytes, dtype) = (PyBytes::new(py, bytes), self.dtype.bind(py));
                let array = py.import("numpy")?.call_method1("frombuffer", (bytes, dtype))?;
                array.get_item(0)
            }
        }
    }

    /// The bytes of the element that `object` is when NumPy puts it into an array of this type.
    ///
    /// # Errors
    /// NumPy's, for what is none.
    pub(crate) fn bytes_of(&self, object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let py = object.py();
        match self.form {
            Form::Text => Ok(object.str()?.to_str()?.as_bytes().to_vec()),
            Form::Bytes => object.extract(),
            Form::Plain | Form::Opaque => {
                let array = py.import("numpy")?.call_method1("asarray", (object, &self.dtype))?;
                if !array.getattr("shape")?.is_empty()? {
                    return Err(PyTypeError::new_err(format!("{object} is not one element")));
                }
                array.call_method0("tobytes")?.extract()
            }
        }
    }
}

/// `numpy.dtype`.
fn dtype(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    Ok(numpy(py)?.dtype.bind(py))
}

/// `numpy.dtypes.StringDType`, from NumPy 2 on.
fn string_dtype(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    py.import("numpy.dtypes")?.getattr_opt("StringDType")
}

/// The type that a Python program means by `object`: a name of Zarr's or NumPy's, a type of Python's, a
/// dtype of NumPy's, ml_dtypes's or zarr-python's; and the byte order that it asks for.
///
/// # Errors
/// `UnsupportedError` for types that fuzarr lacks, `TypeError` for what is none.
pub(crate) fn parse(object: &Bound<'_, PyAny>) -> PyResult<(DataType, Endian)> {
    let py = object.py();
    if let Ok(text) = object.cast::<PyString>() {
        let text = text.to_str()?;
        match (text, DataType::from_extension(&Extension::new(text))) {
            (_, Ok(data_type)) => return Ok((data_type, NATIVE)),
            ("str" | "T", _) => return Ok((DataType::String, NATIVE)),
            (_, Err(error)) if error.kind() != Kind::Unsupported => return Err(raise(error)),
            _ => {}
        }
    }
    if let Ok(class) = object.cast::<PyType>() {
        if class.is(py.get_type::<PyString>()) {
            return Ok((DataType::String, NATIVE));
        }
        if class.is(py.get_type::<PyBytes>()) {
            return Ok((DataType::Bytes, NATIVE));
        }
    } else if object.hasattr("to_native_dtype")? {
        let document = object.call_method1("to_json", (3,))?;
        let extension = Extension::from_json(&json::from_python(&document)?);
        let data_type = extension.and_then(|extension| DataType::from_extension(&extension));
        return Ok((data_type.map_err(raise)?, NATIVE));
    }
    let dtype = dtype(py)?.call1((object,))?;
    if dtype.getattr("kind")?.eq("T")? {
        return Ok((DataType::String, NATIVE));
    }
    if dtype.getattr("name")?.eq("bfloat16")? {
        return Ok((DataType::BFloat16, NATIVE));
    }
    if dtype.getattr("hasobject")?.is_truthy()? {
        return Err(unsupported(
            "not supported: dtype object; for text there is \"string\", for bytes \"bytes\"",
        ));
    }
    if !dtype.getattr("names")?.is_none() {
        return Err(unsupported(format!("not supported: the structured type {dtype}")));
    }
    let text: String = dtype.getattr("str")?.extract()?;
    let (data_type, endian) = from_numpy(&text).map_err(as_argument)?;
    Ok((data_type, endian.unwrap_or(NATIVE)))
}

/// Nothing is stored yet: what is wrong is what was asked for.
fn as_argument(error: Error) -> PyErr {
    match error.kind() {
        Kind::InvalidMetadata => raise(Error::invalid_argument(error.message())),
        _ => raise(error),
    }
}
