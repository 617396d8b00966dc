//! Stores: where a path or URL leads.

use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuzarr::store::{LocalOptions, LocalStore, MemoryStore, RemoteOptions, RemoteStore, Store};
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict as _, PyMapping, PyMappingMethods, PyString};

use crate::error::{argument_error, raise, unsupported};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Location {
    /// A folder, by its absolute path.
    Folder(PathBuf),
    /// This process's memory; the number tells stores apart.
    Memory(usize),
    /// A place behind a network: its address, and options by name.
    Remote(String, Vec<(String, String)>),
}

/// A store that is open.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) location: Location,
    /// Whether what is written is on the disk when a request ends.
    fsync: bool,
}

impl PartialEq for Opened {
    fn eq(&self, other: &Self) -> bool {
        self.location == other.location
    }
}

impl Opened {
    fn memory() -> Self {
        let store = Arc::new(MemoryStore::new());
        let location = Location::Memory(Arc::as_ptr(&store).addr());
        Self { store, location, fsync: false }
    }

    /// The store in the folder.
    ///
    /// # Errors
    /// `NotFoundError`, `StoreError`.
    fn local(py: Python<'_>, folder: PathBuf, missing: Missing, fsync: bool) -> PyResult<Self> {
        let options = LocalOptions { fsync, ..LocalOptions::default() };
        let opened = py.detach(|| match missing {
            Missing::IsAnError => LocalStore::open_with(&folder, options),
            Missing::IsMade => LocalStore::create_with(&folder, options),
        });
        let store: Arc<dyn Store> = Arc::new(opened.map_err(raise)?);
        Ok(Self { store, location: Location::Folder(folder), fsync })
    }

    /// The store at an address. Nothing is asked of it yet.
    ///
    /// # Errors
    /// `ArgumentError` for an address or an option that makes no sense.
    fn remote(address: &str, settings: Vec<(String, String)>) -> PyResult<Self> {
        let address = address.trim_end_matches('/');
        let options = RemoteOptions { settings: settings.clone(), ..RemoteOptions::default() };
        let store = Arc::new(RemoteStore::open(address, &options).map_err(raise)?);
        let location = Location::Remote(address.to_owned(), settings);
        Ok(Self { store, location, fsync: false })
    }

    /// The URL of the node at `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        let root = match &self.location {
            Location::Folder(folder) => format!("file://{}", folder.display()),
            Location::Memory(number) => format!("memory://{number:x}"),
            Location::Remote(address, _) => address.clone(),
        };
        if path.is_empty() { root } else { format!("{}/{path}", root.trim_end_matches('/')) }
    }

    /// What tells the node at `path` from those of other stores: the URL, and a digest of the options
    /// that a remote store was opened with.
    pub(crate) fn identity(&self, path: &str) -> String {
        match &self.location {
            Location::Remote(_, settings) if !settings.is_empty() => {
                format!("{}#{:x}", self.url(path), hash(settings))
            }
            _ => self.url(path),
        }
    }

    /// The folder, if it is one.
    fn path(&self) -> Option<&Path> {
        match &self.location {
            Location::Folder(folder) => Some(folder),
            Location::Memory(_) | Location::Remote(..) => None,
        }
    }

    /// What another process needs to open the store.
    ///
    /// # Errors
    /// `TypeError` for a store in memory.
    pub(crate) fn pickled(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.location {
            Location::Folder(_) if !self.fsync => self.path().into_py_any(py),
            Location::Folder(_) | Location::Remote(..) => {
                Ok(PyStore(self.clone()).into_pyobject(py)?.into_any().unbind())
            }
            Location::Memory(_) => Err(in_memory()),
        }
    }
}

/// Whether a store that is not there may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    IsAnError,
    IsMade,
}

/// What a caller named as store, not opened yet.
#[derive(Debug)]
pub(crate) enum Named {
    Folder(PathBuf),
    Remote(String),
    Opened(Opened),
}

impl Named {
    /// The store that `object` names: a path, a URL, a [`PyStore`], or `None` for a new one
    /// in memory.
    ///
    /// # Errors
    /// `UnsupportedError` for other URLs and stores.
    pub(crate) fn from_python(object: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(object) = object.filter(|object| !object.is_none()) else {
            return Ok(Self::Opened(Opened::memory()));
        };
        if let Ok(store) = object.cast::<PyStore>() {
            return Ok(Self::Opened(store.get().0.clone()));
        }
        if let Ok(text) = object.cast::<PyString>() {
            return url(object.py(), text.to_str()?);
        }
        if object.hasattr("__fspath__")? {
            let path: PathBuf = object.extract()?;
            return absolute(&path).map(Self::Folder);
        }
        let carried = object.py().import("fuzarr._remote")?.call_method1("carried", (object,))?;
        if let Ok(store) = carried.cast::<PyStore>() {
            return Ok(Self::Opened(store.get().0.clone()));
        }
        let name = object.get_type().name()?;
        Err(unsupported(format!(
            "not supported: a store of type {name}; a store is a path, a URL, a fuzarr.Store, or one of \
             zarr-python's remote stores, if all of its settings carry over (for its other stores there \
             is fuzarr's pipeline in zarr-python)"
        )))
    }

    /// Opens it.
    ///
    /// # Errors
    /// `NotFoundError`, `StoreError`.
    pub(crate) fn open(self, py: Python<'_>, missing: Missing) -> PyResult<Opened> {
        match self {
            Self::Opened(opened) => Ok(opened),
            Self::Folder(folder) => Opened::local(py, folder, missing, false),
            Self::Remote(address) => Opened::remote(&address, Vec::new()),
        }
    }
}

fn url(py: Python<'_>, text: &str) -> PyResult<Named> {
    if text.is_empty() {
        return Err(argument_error("the path of the store is empty"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return absolute(Path::new(text)).map(Named::Folder);
    };
    if RemoteStore::is_address(text) {
        return Ok(Named::Remote(text.to_owned()));
    }
    if scheme != "file" {
        return Err(unsupported(format!(
            "not supported: stores by `{scheme}://`; there are paths and file://, s3://, gs://, az:// \
             and https:// URLs"
        )));
    }
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(argument_error(format!("`{text}` is no file:// URL with an absolute path")));
    }
    let path: String = py.import("urllib.parse")?.call_method1("unquote", (path,))?.extract()?;
    absolute(Path::new(&path)).map(Named::Folder)
}

fn absolute(path: &Path) -> PyResult<PathBuf> {
    let absolute = std::path::absolute(path);
    let path = absolute.map_err(|error| argument_error(format!("no path: {error}")))?;
    if path.is_file() {
        return Err(unsupported(format!(
            "not supported: `{}` is a file; a store is a folder",
            path.display()
        )));
    }
    // Without a slash at the end, so that a store has one name.
    Ok(path.components().collect())
}

/// A store: a folder, memory, or a place behind a network. Everything that takes a store takes one of these.
#[pyclass(frozen, eq, weakref, module = "fuzarr", name = "Store")]
#[derive(Debug, PartialEq)]
pub(crate) struct PyStore(pub(crate) Opened);

#[pymethods]
impl PyStore {
    /// A folder, which is made if it is not there; with `fsync`, what is written is on the disk when
    /// a request ends.
    #[staticmethod]
    #[pyo3(signature = (path, *, fsync = false))]
    fn local(py: Python<'_>, path: PathBuf, fsync: bool) -> PyResult<Self> {
        Opened::local(py, absolute(&path)?, Missing::IsMade, fsync).map(Self)
    }

    /// A new store in this process's memory.
    #[staticmethod]
    fn memory() -> Self {
        Self(Opened::memory())
    }

    /// A place behind a network, by its address: `s3://bucket/folder`, `gs://…`, `az://…` or `https://…`.
    /// Nothing is asked of it yet. ``storage_options`` are those of the service: ``region``,
    /// ``endpoint``, ``access_key_id``, ``anonymous``, …; what they do not say, the environment does.
    #[staticmethod]
    #[pyo3(signature = (url, storage_options = None))]
    fn remote(url: &str, storage_options: Option<&Bound<'_, PyMapping>>) -> PyResult<Self> {
        let mut settings = Vec::new();
        for item in storage_options.map(PyMappingMethods::items).transpose()?.iter().flatten() {
            let (name, value): (String, Bound<'_, PyAny>) = item.extract()?;
            if !value.is_none() {
                settings.push((name, value.str()?.to_str()?.to_owned()));
            }
        }
        settings.sort_unstable();
        if !RemoteStore::is_address(url) {
            return Err(argument_error("storage_options are for remote stores, by their URLs"));
        }
        Opened::remote(url, settings).map(Self)
    }

    /// The folder; `None` for memory and for remote stores.
    #[getter]
    fn path(&self) -> Option<&Path> {
        self.0.path()
    }

    fn __str__(&self) -> String {
        self.0.url("")
    }

    fn __repr__(&self) -> String {
        format!("<Store {}>", self.0.url(""))
    }

    fn __hash__(&self) -> u64 {
        hash(&self.0.location)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Py<PyAny>)> {
        let (open, arguments) = match &self.0.location {
            Location::Folder(folder) if self.0.fsync => ("_synced", (folder,).into_py_any(py)?),
            Location::Folder(folder) => ("local", (folder,).into_py_any(py)?),
            Location::Remote(address, settings) => {
                ("remote", (address, settings.clone().into_py_dict(py)?).into_py_any(py)?)
            }
            Location::Memory(_) => return Err(in_memory()),
        };
        Ok((py.get_type::<Self>().getattr(open)?, arguments))
    }

    /// As `local` with `fsync`, of a folder that is there: for pickles.
    #[staticmethod]
    fn _synced(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        Opened::local(py, absolute(&path)?, Missing::IsAnError, true).map(Self)
    }
}

fn in_memory() -> PyErr {
    PyTypeError::new_err("a store in memory belongs to its process and cannot be pickled")
}

/// A hash for Python.
pub(crate) fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
