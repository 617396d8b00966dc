//! Opening what is stored, also again in another process.

use fuzarr::codec::Registry;
use fuzarr::group::Consolidated;
use fuzarr::metadata::{Format, Node};
use fuzarr::{Array, Cancel, Error, Group, Result, hierarchy, inspect};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value};

use crate::array::PyArray;
use crate::config::ArrayConfig;
use crate::error::raise;
use crate::group::PyGroup;
use crate::request;
use crate::store::{Missing, Named, Opened};

/// The arguments of [`open_node`].
type Arguments<'py> = (
    Py<PyAny>,
    String,
    bool,
    Option<&'static str>,
    Option<u64>,
    Option<bool>,
    Option<Bound<'py, PyDict>>,
);

/// A node as pickles hold it: how to open it again.
pub(crate) type Pickled<'py> = (Bound<'py, PyAny>, Arguments<'py>);

/// How to open a node again: its store, its path, and whether it is for reading only.
///
/// # Errors
/// `ImportError` while the interpreter shuts down.
pub(crate) fn pickled<'py>(
    py: Python<'py>,
    (store, path, read_only): (Py<PyAny>, String, bool),
    kind: &'static str,
    use_consolidated: Option<bool>,
    config: Option<Bound<'py, PyDict>>,
) -> PyResult<Pickled<'py>> {
    let open = py.import("fuzarr._fuzarr")?.getattr("open_node")?;
    Ok((open, (store, path, read_only, Some(kind), None, use_consolidated, config)))
}

/// Opens the node at ``path`` of ``store``, which may have to be an "array" or a "group". With
/// ``may_create``, the caller will create it if there is none.
#[pyfunction]
#[pyo3(signature = (
    store, path, read_only, kind = None, zarr_format = None, use_consolidated = None, config = None,
    may_create = false
))]
#[expect(clippy::too_many_arguments, reason = "Python names them")]
pub(crate) fn open_node<'py>(
    py: Python<'py>,
    store: &Bound<'py, PyAny>,
    path: &str,
    read_only: bool,
    kind: Option<&str>,
    zarr_format: Option<u64>,
    use_consolidated: Option<bool>,
    config: Option<&Bound<'py, PyDict>>,
    may_create: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let config = ArrayConfig::default().with(config)?;
    let missing = if may_create { Missing::MayBeMade } else { Missing::IsAnError };
    let (store, path) = Named::from_python(Some(store))?.open(py, path, missing)?;
    let path = path.as_str();
    let policy = match use_consolidated {
        None => Consolidated::Auto,
        Some(true) => Consolidated::Must,
        Some(false) => Consolidated::Never,
    };
    let url = store.url(path);
    let found = request::look(py, &*store.store, || {
        find(&store, path, zarr_format, policy).map_err(|error| error.with("path", url))
    })?;
    let missing =
        |message: &str| Err(raise(Error::not_found(message).with("path", store.url(path))));
    match (found, kind) {
        (Found::Array(_), Some("group")) => missing("there is an array, not a group"),
        (Found::Group(_), Some("array")) => missing("there is a group, not an array"),
        (Found::Array(array), _) => {
            let array = PyArray::new(py, store, *array, config, read_only)?;
            Ok(Bound::new(py, array)?.into_any())
        }
        (Found::Group(group), _) => {
            Ok(Bound::new(py, PyGroup::new(store, *group, read_only))?.into_any())
        }
    }
}

enum Found {
    Array(Box<Array>),
    Group(Box<Group>),
}

fn find(
    store: &Opened,
    path: &str,
    zarr_format: Option<u64>,
    policy: Consolidated,
) -> Result<Found> {
    let node = hierarchy::read_node(&*store.store, path)?;
    let node =
        node.filter(|node| zarr_format.is_none_or(|format| node.format().number() == format));
    match node {
        None => Err(Error::not_found("there is no array or group")),
        Some(Node::Array(metadata)) => {
            let (store, registry) = (std::sync::Arc::clone(&store.store), Registry::default());
            Array::new(store, path, *metadata, &registry).map(Box::new).map(Found::Array)
        }
        Some(Node::Group(_)) => {
            let store = std::sync::Arc::clone(&store.store);
            Group::open_with(store, path, policy).map(Box::new).map(Found::Group)
        }
    }
}

/// Gathers the metadata of all nodes below the group at ``path`` into its own document.
#[pyfunction]
pub(crate) fn consolidate_metadata(
    py: Python<'_>,
    store: &Bound<'_, PyAny>,
    path: &str,
) -> PyResult<PyGroup> {
    let (store, path) = Named::from_python(Some(store))?.open(py, path, Missing::IsAnError)?;
    let group = request::run_long(py, &Cancel::new(), || {
        hierarchy::consolidate(&*store.store, &path)?;
        Group::open(std::sync::Arc::clone(&store.store), &path)
    })?;
    Ok(PyGroup::new(store, group, false))
}

/// The format of this number.
///
/// # Errors
/// `UnsupportedError` if there is none.
pub(crate) fn format(number: u64) -> PyResult<Format> {
    match number {
        2 => Ok(Format::V2),
        3 => Ok(Format::V3),
        _ => Err(crate::error::unsupported(format!("not supported: zarr_format={number}"))),
    }
}

/// Bytes of everything that is stored of an array.
///
/// # Errors
/// `Io`.
pub(crate) fn stored_bytes(array: &Array) -> Result<u64> {
    inspect::stored_bytes(&**array.store(), array.path())
}

/// What sets and deletes attributes, after deleting all if they are to be replaced.
pub(crate) fn attribute_change(
    set: Map<String, Value>,
    unset: Vec<String>,
    replace: bool,
) -> impl FnMut(&mut Map<String, Value>) -> Result<()> {
    move |attributes| {
        if replace {
            attributes.clear();
        }
        for name in &unset {
            if attributes.shift_remove(name).is_none() {
                return Err(Error::not_found("there is no such attribute").with("name", name));
            }
        }
        attributes.extend(set.clone());
        Ok(())
    }
}
