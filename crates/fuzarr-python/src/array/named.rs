//! Reading and writing by methods whose names say how a selection is meant, as zarr-python's do.

use fuzarr::Cancel;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

use super::{PyArray, or_all};
use crate::selection::Mode;

/// `fields`, of which there are none, as arrays of structures are not supported.
fn check_fields(fields: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match fields {
        None => Ok(()),
        Some(_) => {
            Err(PyIndexError::new_err("invalid 'fields' argument, array does not have any fields"))
        }
    }
}

#[pymethods]
impl PyArray {
    /// Reads by integers and slices.
    #[pyo3(signature = (selection = None, *, out = None, fields = None))]
    fn get_basic_selection<'py>(
        &self,
        py: Python<'py>,
        selection: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_fields(fields)?;
        self.get(&or_all(py, selection), Mode::Basic, out, &Cancel::new())
    }

    /// Writes by integers and slices.
    #[pyo3(signature = (selection, value, *, fields = None))]
    fn set_basic_selection(
        &self,
        selection: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        fields: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        check_fields(fields)?;
        self.set(selection, Mode::Basic, value)
    }

    /// Reads as ``.oindex`` does.
    #[pyo3(signature = (selection, *, out = None, fields = None))]
    fn get_orthogonal_selection<'py>(
        &self,
        selection: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_fields(fields)?;
        self.get(selection, Mode::Orthogonal, out, &Cancel::new())
    }

    /// Writes as ``.oindex`` does.
    #[pyo3(signature = (selection, value, *, fields = None))]
    fn set_orthogonal_selection(
        &self,
        selection: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        fields: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        check_fields(fields)?;
        self.set(selection, Mode::Orthogonal, value)
    }

    /// Reads the elements where a mask is true.
    #[pyo3(signature = (mask, *, out = None, fields = None))]
    fn get_mask_selection<'py>(
        &self,
        mask: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_fields(fields)?;
        self.get(mask, Mode::Mask, out, &Cancel::new())
    }

    /// Writes the elements where a mask is true.
    #[pyo3(signature = (mask, value, *, fields = None))]
    fn set_mask_selection(
        &self,
        mask: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        fields: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        check_fields(fields)?;
        self.set(mask, Mode::Mask, value)
    }

    /// Reads points.
    #[pyo3(signature = (selection, *, out = None, fields = None))]
    fn get_coordinate_selection<'py>(
        &self,
        selection: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_fields(fields)?;
        self.get(selection, Mode::Coordinates, out, &Cancel::new())
    }

    /// Writes points.
    #[pyo3(signature = (selection, value, *, fields = None))]
    fn set_coordinate_selection(
        &self,
        selection: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        fields: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        check_fields(fields)?;
        self.set(selection, Mode::Coordinates, value)
    }

    /// Reads whole chunks, as ``.blocks`` does.
    #[pyo3(signature = (selection, *, out = None, fields = None))]
    fn get_block_selection<'py>(
        &self,
        selection: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_fields(fields)?;
        self.get(selection, Mode::Blocks, out, &Cancel::new())
    }

    /// Writes whole chunks, as ``.blocks`` does.
    #[pyo3(signature = (selection, value, *, fields = None))]
    fn set_block_selection(
        &self,
        selection: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        fields: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        check_fields(fields)?;
        self.set(selection, Mode::Blocks, value)
    }
}
