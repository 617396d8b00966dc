//! Elements of variable size between Python's lists and slots that point into a heap.

use fuzarr::codec::Elements;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use super::decline;
use crate::error::raise;

/// The elements of a list of `str` or of `bytes`.
pub(super) fn elements(list: &Bound<'_, PyList>, text: bool) -> PyResult<Elements> {
    let mut elements = Elements::default();
    for item in list.iter() {
        if text {
            let item =
                item.cast::<PyString>().map_err(|_| decline("an element that is no text"))?;
            match item.to_str() {
                Ok(text) => elements.push_variable(text.as_bytes()),
                Err(_) => return Err(decline("text that UTF-8 cannot spell")),
            }
        } else {
            let item =
                item.cast::<PyBytes>().map_err(|_| decline("an element that is no bytes"))?;
            elements.push_variable(item.as_bytes());
        }
    }
    Ok(elements)
}

/// A list of `str` or of `bytes` of elements.
pub(super) fn list<'py>(
    py: Python<'py>,
    elements: &Elements,
    text: bool,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for element in elements.variable() {
        let element = element.map_err(raise)?;
        if text {
            list.append(PyString::from_bytes(py, element)?)?;
        } else {
            list.append(PyBytes::new(py, element))?;
        }
    }
    Ok(list)
}
