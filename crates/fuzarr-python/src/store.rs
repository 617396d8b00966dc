//! Stores: where a path or URL leads.

use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuzarr::error::ResultExt as _;
use fuzarr::store::{
    self, Address, AddressOptions, LocalOptions, MemoryStore, Precondition, RemoteOptions,
    RemoteStore, Root, Span, Store, Writing, ZipStore, join,
};
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::{PyResourceWarning, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict as _, PyBytes, PyMapping, PyMappingMethods, PyString};

use crate::error::{argument_error, raise, unsupported};
use crate::request::look;

/// Options of a remote store, by name.
type Settings = Vec<(String, String)>;

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Location {
    /// This process's memory, without a name; the number tells stores apart.
    Memory(usize),
    /// A place with an address, and options if it is a remote one.
    At(Root, Settings),
}

/// A store that is open.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) location: Location,
    /// The same store, if it is a zip archive.
    zip: Option<Arc<Zip>>,
    /// Whether what is written is on the disk when a request ends.
    fsync: bool,
}

impl PartialEq for Opened {
    fn eq(&self, other: &Self) -> bool {
        let writing = |opened: &Self| opened.zip.as_ref().map(|zip| zip.0.writing());
        self.location == other.location && writing(self) == writing(other)
    }
}

/// An archive, of which is told if it goes with changes.
#[derive(Debug)]
struct Zip(ZipStore);

impl Drop for Zip {
    fn drop(&mut self) {
        if !self.0.is_changed() {
            return;
        }
        // Not when the interpreter is at its end.
        Python::try_attach(|py| {
            let class = py.get_type::<PyResourceWarning>();
            let lost = c"a store of a zip archive was not closed: its changes are lost";
            if let Err(error) = PyErr::warn(py, &class, lost, 1) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, Default)]
struct How {
    create: bool,
    fsync: bool,
    writing: Writing,
}

impl Opened {
    fn memory() -> Self {
        let store = Arc::new(MemoryStore::new());
        let location = Location::Memory(Arc::as_ptr(&store).addr());
        Self { store, location, zip: None, fsync: false }
    }

    /// The store at a place. Nothing is asked of a remote one yet.
    ///
    /// # Errors
    /// `NotFoundError`, `StoreError`; `ArgumentError` for an address or an option that makes no sense.
    fn at(py: Python<'_>, root: Root, settings: Settings, how: How) -> PyResult<Self> {
        let How { create, fsync, writing } = how;
        let options = AddressOptions {
            local: LocalOptions { fsync, ..LocalOptions::default() },
            remote: RemoteOptions { settings: settings.clone(), ..RemoteOptions::default() },
            writing,
            spool: Some(std::env::temp_dir()),
            create,
        };
        let opened = py.detach(|| root.open(&options)).map_err(raise)?;
        let location = Location::At(root, settings);
        Ok(Self {
            store: opened.store,
            location,
            zip: opened.zip.map(|zip| Arc::new(Zip(zip))),
            fsync,
        })
    }

    /// The URL of the node at `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        let (root, is_archive) = match &self.location {
            Location::Memory(number) => (format!("memory://{number:x}"), false),
            Location::At(root @ Root::Folder(_), _) => (format!("file://{root}"), false),
            Location::At(root @ Root::ZipFile(_), _) => (format!("file://{root}"), true),
            Location::At(root @ Root::RemoteZip(_), _) => (root.to_string(), true),
            Location::At(root, _) => (root.to_string(), false),
        };
        if is_archive && !root.ends_with(".zip") {
            return format!("{root}|zip:{path}");
        }
        if path.is_empty() { root } else { format!("{}/{path}", root.trim_end_matches('/')) }
    }

    /// What tells the node at `path` from those of other stores: the URL, and a digest of the options
    /// that a remote store was opened with.
    pub(crate) fn identity(&self, path: &str) -> String {
        match &self.location {
            Location::At(_, settings) if !settings.is_empty() => {
                format!("{}#{:x}", self.url(path), hash(settings))
            }
            _ => self.url(path),
        }
    }

    /// The folder or file, if it is one.
    fn path(&self) -> Option<&Path> {
        match &self.location {
            Location::At(Root::Folder(path) | Root::ZipFile(path), _) => Some(path),
            Location::Memory(_) | Location::At(..) => None,
        }
    }

    /// Checks that another process would find all of it.
    fn check_written(&self) -> PyResult<()> {
        match &self.zip {
            Some(zip) if zip.0.is_changed() => Err(PyTypeError::new_err(
                "a zip archive with changes that are not written cannot be pickled: close it first",
            )),
            _ => Ok(()),
        }
    }

    /// What another process needs to open the store.
    ///
    /// # Errors
    /// `TypeError` for a store in memory, and an archive with changes that are not written.
    pub(crate) fn pickled(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check_written()?;
        match &self.location {
            Location::At(Root::Folder(folder), _) if !self.fsync => folder.into_py_any(py),
            Location::Memory(_) | Location::At(Root::Memory(_), _) => Err(in_memory()),
            Location::At(..) => {
                Ok(PyStore::from(self.clone()).into_pyobject(py)?.into_any().unbind())
            }
        }
    }
}

/// Whether a store that is not there may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    IsAnError,
    IsMade,
    /// It may come to that: what has no bytes counts as a zip archive already.
    MayBeMade,
}

/// What a caller named as store, not opened yet, with the path of a node in it.
#[derive(Debug)]
pub(crate) enum Named {
    At(Address),
    Opened(Opened, String),
}

impl Named {
    /// The store that `object` names: a path, a URL, a [`PyStore`], a `ZipStore` of zarr-python's that
    /// is read only, or `None` for a new one in memory.
    ///
    /// # Errors
    /// `UnsupportedError` for other URLs and stores.
    pub(crate) fn from_python(object: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(object) = object.filter(|object| !object.is_none()) else {
            return Ok(Self::Opened(Opened::memory(), String::new()));
        };
        if let Ok(store) = object.cast::<PyStore>() {
            let PyStore { opened, inner } = store.get();
            return Ok(Self::Opened(opened.clone(), inner.clone()));
        }
        if let Ok(text) = object.cast::<PyString>() {
            return address(text.to_str()?).map(Self::At);
        }
        if object.hasattr("__fspath__")? {
            let path: PathBuf = object.extract()?;
            return located(&path).map(Self::At);
        }
        if let Some(file) = zip_file(object)? {
            let root = Root::ZipFile(absolute(&file)?);
            return Ok(Self::At(Address { root, path: String::new() }));
        }
        let carried = object.py().import("fuzarr._remote")?.call_method1("carried", (object,))?;
        if let Ok(store) = carried.cast::<PyStore>() {
            let store = store.get();
            return Ok(Self::Opened(store.opened.clone(), store.inner.clone()));
        }
        let name = object.get_type().name()?;
        Err(unsupported(format!(
            "not supported: a store of type {name}; a store is a path, a URL, a fuzarr.Store, or one of \
             zarr-python's remote stores, if all of its settings carry over (for its other stores there \
             is fuzarr's pipeline in zarr-python)"
        )))
    }

    /// Opens it; with the path of the node at `path` below what was named.
    ///
    /// # Errors
    /// `NotFoundError`, `StoreError`.
    pub(crate) fn open(
        self,
        py: Python<'_>,
        path: &str,
        missing: Missing,
    ) -> PyResult<(Opened, String)> {
        let (opened, inner) = match self {
            Self::Opened(opened, inner) => (opened, inner),
            Self::At(Address { root, path }) => {
                let create = match missing {
                    Missing::IsAnError => false,
                    Missing::IsMade => true,
                    Missing::MayBeMade => matches!(root, Root::ZipFile(_) | Root::RemoteZip(_)),
                };
                let how = How { create, ..How::default() };
                (Opened::at(py, root, Settings::new(), how)?, path)
            }
        };
        let path =
            if inner.is_empty() { path.to_owned() } else { below(&inner, path.trim_matches('/')) };
        Ok((opened, path))
    }
}

/// A path below another one; either may be the root.
fn below(above: &str, path: &str) -> String {
    if path.is_empty() { above.to_owned() } else { join(above, path) }
}

/// The archive of a `ZipStore` of zarr-python's that is for reading only.
fn zip_file(store: &Bound<'_, PyAny>) -> PyResult<Option<PathBuf>> {
    let class = store.get_type();
    let is_zip = class.name()? == "ZipStore"
        && class.module()?.to_str()?.starts_with("zarr.storage")
        && store.getattr("read_only")?.is_truthy()?;
    if is_zip { store.getattr("path")?.extract() } else { Ok(None) }
}

/// Where a text leads. What is a path is absolute from now on.
fn address(text: &str) -> PyResult<Address> {
    let Address { root, path } = Address::parse(text).map_err(raise)?;
    let root = match root {
        Root::Folder(folder) => Root::Folder(folder_at(&folder)?),
        Root::ZipFile(file) => Root::ZipFile(absolute(&file)?),
        root => root,
    };
    Ok(Address { root, path })
}

/// Where a path leads: to a folder or a zip archive.
fn located(path: &Path) -> PyResult<Address> {
    match path.to_str() {
        Some(text) => address(text),
        None => Ok(Address { root: Root::Folder(folder_at(path)?), path: String::new() }),
    }
}

fn folder_at(path: &Path) -> PyResult<PathBuf> {
    let path = absolute(path)?;
    if path.is_file() {
        return Err(unsupported(format!(
            "not supported: `{path}` is a file; a store is a folder, or a zip archive, which is \
             written as `{path}|zip:` unless its name ends in .zip",
            path = path.display()
        )));
    }
    Ok(path)
}

fn absolute(path: &Path) -> PyResult<PathBuf> {
    let absolute = std::path::absolute(path);
    let path = absolute.map_err(|error| argument_error(format!("no path: {error}")))?;
    // Without a slash at the end, so that a store has one name.
    Ok(path.components().collect())
}

/// The options of a remote store, sorted.
fn settings(options: Option<&Bound<'_, PyMapping>>) -> PyResult<Settings> {
    let mut settings = Settings::new();
    for item in options.map(PyMappingMethods::items).transpose()?.iter().flatten() {
        let (name, value): (String, Bound<'_, PyAny>) = item.extract()?;
        if !value.is_none() {
            settings.push((name, value.str()?.to_str()?.to_owned()));
        }
    }
    settings.sort_unstable();
    Ok(settings)
}

/// A store: a folder, memory, a place behind a network, or a zip archive. Everything that takes a
/// store takes one of these.
#[pyclass(frozen, eq, weakref, module = "fuzarr", name = "Store")]
#[derive(Debug, PartialEq)]
pub(crate) struct PyStore {
    pub(crate) opened: Opened,
    /// The path of the node that is meant by default.
    inner: String,
}

impl From<Opened> for PyStore {
    fn from(opened: Opened) -> Self {
        Self { opened, inner: String::new() }
    }
}

impl PyStore {
    /// The object at `key` below the node that is meant: its store, and its key there.
    fn object(&self, key: &str) -> PyResult<(&dyn Store, String)> {
        store::check_key(key).map_err(raise)?;
        Ok((&*self.opened.store, below(&self.inner, key)))
    }
}

#[pymethods]
impl PyStore {
    /// A folder, which is made if it is not there; with `fsync`, what is written is on the disk when
    /// a request ends.
    #[staticmethod]
    #[pyo3(signature = (path, *, fsync = false))]
    fn local(py: Python<'_>, path: PathBuf, fsync: bool) -> PyResult<Self> {
        let how = How { create: true, fsync, ..How::default() };
        Opened::at(py, Root::Folder(folder_at(&path)?), Settings::new(), how).map(Self::from)
    }

    /// A new store in this process's memory.
    #[staticmethod]
    fn memory() -> Self {
        Opened::memory().into()
    }

    /// A place behind a network, by its address: `s3://bucket/folder`, `gs://…`, `az://…` or `https://…`,
    /// also a zip archive there. Nothing is asked of it yet. ``storage_options`` are those of the service:
    /// ``region``, ``endpoint``, ``access_key_id``, ``anonymous``, …; what they do not say, the environment
    /// does.
    #[staticmethod]
    #[pyo3(signature = (url, storage_options = None))]
    fn remote(
        py: Python<'_>,
        url: &str,
        storage_options: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let settings = settings(storage_options)?;
        if !RemoteStore::is_address(url) {
            return Err(argument_error("storage_options are for remote stores, by their URLs"));
        }
        let Address { root, path } = address(url)?;
        let opened = Opened::at(py, root, settings, How::default())?;
        Ok(Self { opened, inner: path })
    }

    /// A zip archive, a file or in a remote store, which is written once when the store is closed: at
    /// the end of a ``with`` block, or by ``close``. (An archive that is opened by its path or URL is
    /// written at the end of each request that changes it.)
    #[staticmethod]
    #[pyo3(signature = (archive, storage_options = None))]
    fn zip(
        py: Python<'_>,
        archive: &Bound<'_, PyAny>,
        storage_options: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let Named::At(Address { root, path }) = Named::from_python(Some(archive))? else {
            return Err(argument_error("a zip archive is a path or a URL"));
        };
        let root = match root {
            root @ (Root::ZipFile(_) | Root::RemoteZip(_)) if path.is_empty() => root,
            root => {
                return Err(argument_error(format!(
                    "`{root}` is no zip archive: their names end in .zip, or `|zip:` follows"
                )));
            }
        };
        let settings = settings(storage_options)?;
        if matches!(root, Root::ZipFile(_)) && !settings.is_empty() {
            return Err(argument_error("storage_options are for remote stores, by their URLs"));
        }
        let how = How { create: true, writing: Writing::OnClose, ..How::default() };
        Opened::at(py, root, settings, how).map(Self::from)
    }

    /// Writes what was changed of a zip archive and is not written yet; nothing for other stores.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let zip = self.opened.zip.clone();
        py.detach(|| zip.map_or(Ok(()), |zip| zip.0.close())).map_err(raise)
    }

    /// The bytes of the object at ``key``, or ``None`` if there is none.
    fn get<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let (store, key) = self.object(key)?;
        let found = look(py, store, || {
            let Some(object) = store.open(&key).wait()? else { return Ok(None) };
            object.read(Span::Whole(u64::MAX), Vec::new()).wait().context("key", || &key)
        })?;
        Ok(found.map(|piece| PyBytes::new(py, piece.bytes.as_slice())))
    }

    /// Puts ``data`` at ``key``, in the place of what is there: all of it or, if that fails, nothing.
    fn put(&self, py: Python<'_>, key: &str, data: &[u8]) -> PyResult<()> {
        let (store, key) = self.object(key)?;
        look(py, store, || store::put_bytes(store, &key, data, Precondition::None))
    }

    /// Deletes the object at ``key``, if there is one.
    fn delete(&self, py: Python<'_>, key: &str) -> PyResult<()> {
        let (store, key) = self.object(key)?;
        look(py, store, || store::delete(store, &key))
    }

    /// The keys of all objects below a prefix, sorted; a request for each folder. Links to folders are
    /// followed.
    #[pyo3(signature = (prefix = ""))]
    fn list_keys(&self, py: Python<'_>, prefix: &str) -> PyResult<Vec<String>> {
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            store::check_key(prefix).map_err(raise)?;
        }
        let store = &*self.opened.store;
        look(py, store, || {
            let mut keys = Vec::new();
            let mut folders = vec![prefix.to_owned()];
            while let Some(folder) = folders.pop() {
                let listing = store.list(&below(&self.inner, &folder)).wait()?;
                keys.extend(listing.objects.iter().map(|(name, _)| join(&folder, name)));
                folders.extend(listing.prefixes.iter().map(|name| join(&folder, name)));
            }
            keys.sort_unstable();
            Ok(keys)
        })
    }

    /// Gives up what was changed of a zip archive and is not written yet: after a ``ConflictError``, say.
    fn discard(&self) {
        if let Some(zip) = &self.opened.zip {
            zip.0.discard();
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// What failed half way is not written.
    #[pyo3(signature = (kind, _error, _traceback))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if kind.is_none() { self.close(py) } else { Ok(()) }
    }

    /// The folder, or the file that is a zip archive; `None` for memory and for remote stores.
    #[getter]
    fn path(&self) -> Option<&Path> {
        self.opened.path()
    }

    fn __str__(&self) -> String {
        self.opened.url(&self.inner)
    }

    fn __repr__(&self) -> String {
        format!("<Store {}>", self.opened.url(&self.inner))
    }

    fn __hash__(&self) -> u64 {
        hash(&(&self.opened.location, &self.inner))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Py<PyAny>)> {
        self.opened.check_written()?;
        let (open, arguments) = match &self.opened.location {
            Location::At(Root::Folder(folder), _) if self.opened.fsync => {
                ("_synced", (folder,).into_py_any(py)?)
            }
            Location::At(Root::Folder(folder), _) => ("local", (folder,).into_py_any(py)?),
            Location::At(Root::ZipFile(file), _) => ("_archive", (file,).into_py_any(py)?),
            Location::At(Root::Remote(_) | Root::RemoteZip(_), settings) => {
                // What is read as an address once more.
                let url = self.opened.url(&self.inner.replace('%', "%25"));
                ("remote", (url, settings.clone().into_py_dict(py)?).into_py_any(py)?)
            }
            Location::Memory(_) | Location::At(Root::Memory(_), _) => return Err(in_memory()),
        };
        Ok((py.get_type::<Self>().getattr(open)?, arguments))
    }

    /// As `local` with `fsync`, of a folder that is there: for pickles.
    #[staticmethod]
    fn _synced(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let how = How { fsync: true, ..How::default() };
        Opened::at(py, Root::Folder(folder_at(&path)?), Settings::new(), how).map(Self::from)
    }

    /// A zip archive that is written at the end of each request, whatever its name: for pickles.
    #[staticmethod]
    fn _archive(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let root = Root::ZipFile(absolute(&path)?);
        Opened::at(py, root, Settings::new(), How::default()).map(Self::from)
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
