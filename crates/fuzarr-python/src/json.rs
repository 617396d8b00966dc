//! JSON as Python objects and back.

use fuzarr::metadata::json;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use serde_json::{Map, Number, Value};

/// The JSON that `object` spells. NumPy's scalars and arrays count as the numbers and lists that they
/// hold; numbers that JSON or its reader lacks, as in [`fuzarr::metadata::json::parse`].
///
/// # Errors
/// `TypeError` for what JSON does not have.
pub(crate) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = object.cast::<PyBool>() {
        return Ok(value.is_true().into());
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(text.to_str()?.into());
    }
    if object.is_instance_of::<PyInt>() {
        let number = object.extract::<i64>().map(Number::from);
        let number = number.or_else(|_| object.extract::<u64>().map(Number::from));
        return number
            .map(Value::Number)
            .or_else(|error: PyErr| json::from_number(&object.str()?.to_string()).ok_or(error));
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(float(object.extract()?));
    }
    if let Ok(mapping) = object.cast::<PyMapping>() {
        return from_mapping(mapping).map(Value::Object);
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let items = object.try_iter()?.map(|item| from_python(&item?));
        return items.collect::<PyResult<_>>().map(Value::Array);
    }
    if let Ok(plain) = object.call_method0("tolist") {
        return from_python(&plain);
    }
    let name = object.get_type().name()?;
    Err(PyTypeError::new_err(format!("an object of type {name} cannot be put into JSON")))
}

fn float(number: f64) -> Value {
    let token = match number {
        _ if number.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        _ => "-Infinity",
    };
    Number::from_f64(number).map(Value::Number).or_else(|| json::from_number(token)).into()
}

/// A JSON object from a mapping with keys of text.
///
/// # Errors
/// As [`from_python`].
pub(crate) fn from_mapping(mapping: &Bound<'_, PyMapping>) -> PyResult<Map<String, Value>> {
    let mut object = Map::new();
    for item in mapping.items()? {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        let key = key.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err(format!("the keys of JSON objects are text, not {key}"))
        })?;
        object.insert(key.to_str()?.to_owned(), from_python(&value)?);
    }
    Ok(object)
}

/// Python's form of a JSON value.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::String(text) => match json::number(value) {
            Some(number) => number_to_python(py, number)?,
            None => PyString::new(py, text).into_any(),
        },
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_pyobject(py)?.into_any(),
            (None, Some(number)) => number.into_pyobject(py)?.into_any(),
            (None, None) => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| to_python(py, item));
            PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Object(object) => object_to_python(py, object)?.into_any(),
    })
}

/// Python's form of a number of JSON that has no value, as its own reader gives it.
fn number_to_python<'py>(py: Python<'py>, number: &str) -> PyResult<Bound<'py, PyAny>> {
    let is_whole = number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    if is_whole {
        return py.get_type::<PyInt>().call1((number,));
    }
    py.get_type::<PyFloat>().call1((number,))
}

/// Python's form of a JSON object.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn object_to_python<'py>(
    py: Python<'py>,
    object: &Map<String, Value>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in object {
        dict.set_item(key, to_python(py, value)?)?;
    }
    Ok(dict)
}
