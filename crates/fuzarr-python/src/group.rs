//! Groups in Python.

use std::sync::{Arc, PoisonError, RwLock};

use fuzarr::group::{Consolidated, Member};
use fuzarr::hierarchy::{self, DEEPEST, Visit};
use fuzarr::metadata::{Format, Node, NodePath};
use fuzarr::{Cancel, Error, Group, Kind, Result, v2};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::array::PyArray;
use crate::config::ArrayConfig;
use crate::error::{argument_error, raise, read_only};
use crate::store::{Opened, PyStore, hash};
use crate::{json, open, request};

/// A group in a store: a mapping from names, or paths below it, to arrays and groups.
#[pyclass(frozen, weakref, mapping, module = "fuzarr", name = "Group")]
#[derive(Debug)]
pub(crate) struct PyGroup {
    store: Opened,
    /// Replaced when something below or the attributes change.
    group: RwLock<Arc<Group>>,
    read_only: bool,
}

/// A node below a group: its path, whether it is an array, and what a tree shows of it.
type Branch = (String, bool, Option<String>);

impl PyGroup {
    pub(crate) fn new(store: Opened, group: Group, read_only: bool) -> Self {
        Self { store, group: RwLock::new(Arc::new(group)), read_only }
    }

    fn current(&self) -> Arc<Group> {
        Arc::clone(&self.group.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_writable(&self) -> PyResult<()> {
        if self.read_only { Err(read_only()) } else { Ok(()) }
    }

    /// Changes something below the group. From then on the store is asked what is there.
    fn change(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&Group) -> Result<()> + Send,
    ) -> PyResult<()> {
        self.check_writable()?;
        let group = self.current();
        request::run_long(py, &Cancel::new(), || change(&group))?;
        self.refresh(py)
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        let group = self.current();
        let store = Arc::clone(group.store());
        let fresh = request::look(py, &**group.store(), || {
            Group::open_with(store, group.path(), Consolidated::Never)
        })?;
        *self.group.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// The path in the store of what is at `path` below the group.
    fn place(&self, path: &str) -> PyResult<String> {
        let place = NodePath::parse(self.current().path()).and_then(|own| own.join(path));
        place.map(|place| place.as_str().to_owned()).map_err(raise)
    }

    /// The node at `path` below the group; `None` if there is none.
    fn member<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let group = self.current();
        let member = request::look(py, &**group.store(), || group.member(path))?;
        member.map(|member| self.wrap(py, member)).transpose()
    }

    fn wrap<'py>(&self, py: Python<'py>, member: Member) -> PyResult<Bound<'py, PyAny>> {
        let store = self.store.clone();
        match member {
            Member::Array(array) => {
                let config = ArrayConfig::default();
                let array = PyArray::new(py, store, array, config, self.read_only)?;
                Ok(Bound::new(py, array)?.into_any())
            }
            Member::Group(group) => {
                Ok(Bound::new(py, Self::new(store, group, self.read_only))?.into_any())
            }
        }
    }

    /// The paths of the nodes below the group, down to `depth` levels, and what they are. A broken
    /// node is given with its error.
    fn nodes(&self, py: Python<'_>, depth: usize) -> PyResult<Vec<(String, Result<Node>)>> {
        let group = self.current();
        let prefix = NodePath::parse(group.path()).map_err(raise)?.prefix();
        request::look(py, &**group.store(), || {
            let relative = |visit: Visit| {
                let path = visit.path.strip_prefix(&prefix).unwrap_or(&visit.path);
                (path.to_owned(), visit.node)
            };
            group.traverse(depth)?.map(|visit| visit.map(relative)).collect()
        })
    }

    /// The names of the members that are arrays, or groups.
    fn names(&self, py: Python<'_>, wanted: fn(&Node) -> bool) -> PyResult<Vec<String>> {
        let nodes = self.nodes(py, 1)?.into_iter();
        let named = nodes.filter(|(_, node)| node.as_ref().is_ok_and(wanted));
        Ok(named.map(|(name, _)| name).collect())
    }

    /// The nodes below the group by their paths, down to `depth` levels. If only arrays or groups are
    /// wanted, broken nodes are neither.
    fn open_all<'py>(
        &self,
        py: Python<'py>,
        depth: usize,
        wanted: Option<fn(&Node) -> bool>,
    ) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let group = self.current();
        let mut members = Vec::new();
        for (path, node) in self.nodes(py, depth)? {
            if wanted.is_none_or(|wanted| node.as_ref().is_ok_and(wanted)) {
                let member = node.and_then(|node| group.open_member(&path, node));
                let member = self.wrap(py, member.map_err(raise)?)?;
                members.push((path, member));
            }
        }
        Ok(members)
    }

    /// The members that are arrays or groups, or all.
    fn open_members<'py>(
        &self,
        py: Python<'py>,
        wanted: Option<fn(&Node) -> bool>,
    ) -> PyResult<Bound<'py, PyList>> {
        let members = self.open_all(py, 1, wanted)?.into_iter();
        PyList::new(py, members.map(|(_, member)| member).collect::<Vec<_>>())
    }

    /// Creates an array at `name` below the group by a function of `fuzarr`.
    fn make<'py>(
        slf: &Bound<'py, Self>,
        function: &str,
        name: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (this, py) = (slf.get(), slf.py());
        this.check_writable()?;
        let arguments = PyDict::new(py);
        arguments.set_item("zarr_format", this.zarr_format())?;
        if let Some(options) = options {
            arguments.update(options.as_mapping())?;
        }
        arguments.set_item("store", this.store())?;
        let place = if function == "create_array" { "name" } else { "path" };
        arguments.set_item(place, this.place(name)?)?;
        let array = py.import("fuzarr")?.getattr(function)?.call((), Some(&arguments))?;
        this.refresh(py)?;
        Ok(array)
    }
}

fn is_array(node: &Node) -> bool {
    matches!(node, Node::Array(_))
}

fn is_group(node: &Node) -> bool {
    matches!(node, Node::Group(_))
}

#[pymethods]
impl PyGroup {
    /// The path in the store, empty for its root.
    #[getter]
    fn path(&self) -> String {
        self.current().path().to_owned()
    }

    /// The path with a ``/`` in front.
    #[getter]
    fn name(&self) -> String {
        format!("/{}", self.current().path())
    }

    /// The last name of the path.
    #[getter]
    fn basename(&self) -> String {
        self.path().rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// The store.
    #[getter]
    fn store(&self) -> PyStore {
        self.store.clone().into()
    }

    /// Whether the group was opened for reading only.
    #[getter]
    fn read_only(&self) -> bool {
        self.read_only
    }

    /// The format that the group is stored in, 2 or 3.
    #[getter]
    fn zarr_format(&self) -> u64 {
        self.current().metadata().format.number()
    }

    /// Whether consolidated metadata says what is below the group.
    #[getter]
    fn consolidated(&self) -> bool {
        self.current().is_consolidated()
    }

    /// The user's attributes: a mapping whose changes are stored.
    #[getter]
    fn attrs<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("fuzarr._attributes")?.getattr("Attributes")?.call1((slf,))
    }

    /// The metadata document: that of Zarr v3, or the ``.zgroup`` of v2.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let group = self.current();
        let metadata = group.metadata();
        let document = match metadata.format {
            Format::V3 => metadata.to_json(),
            Format::V2 => v2::group_to_json(metadata),
        };
        json::to_python(py, &document)
    }

    /// What the group is, for people.
    #[getter]
    fn info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("fuzarr._display")?.getattr("Info")?.call1((slf,))
    }

    fn __getitem__<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyAny>> {
        let member = self.member(py, path)?;
        member.ok_or_else(|| {
            let place = self.place(path).unwrap_or_default();
            raise(
                Error::not_found("there is no array or group").with("path", self.store.url(&place)),
            )
        })
    }

    /// Creates an array of ``value``, in place of what is there.
    fn __setitem__<'py>(
        slf: &Bound<'py, Self>,
        path: &str,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let options = PyDict::new(slf.py());
        options.set_item("data", value)?;
        options.set_item("overwrite", true)?;
        Self::create_array(slf, path, Some(&options)).map(drop)
    }

    fn __delitem__(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        if path.trim_matches('/').is_empty() {
            return Err(argument_error(
                "a group cannot be deleted from within: name what is in it",
            ));
        }
        let place = self.place(path)?;
        self.change(py, |group| hierarchy::delete_node(&**group.store(), &place))
    }

    fn __contains__(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(path) = path.extract::<&str>() else { return Ok(false) };
        let group = self.current();
        match request::look(py, &**group.store(), || Ok(group.node(path)))? {
            Ok(node) => Ok(node.is_some()),
            // Something is there; what is wrong with it shows when it is opened.
            Err(error) if error.kind() == Kind::InvalidArgument => Ok(false),
            Err(error) if error.kind() == Kind::Io => Err(raise(error)),
            Err(_) => Ok(true),
        }
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.keys(py)?.len())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyList::new(py, self.keys(py)?)?.as_any().try_iter()?.into_any())
    }

    /// The names of the members, sorted; also of those that cannot be opened.
    fn keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.nodes(py, 1)?.into_iter().map(|(name, _)| name).collect())
    }

    /// The members.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.open_members(py, None)
    }

    /// The members by their names.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.open_all(py, 1, None)?)
    }

    /// The node at ``path`` below the group, or ``default``.
    #[pyo3(signature = (path, default = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.member(py, path)?.or(default))
    }

    /// The nodes below the group by their paths, ``max_depth`` levels below its members; all with
    /// ``None``.
    #[pyo3(signature = (max_depth = Some(0)), text_signature = "($self, max_depth=0)")]
    fn members<'py>(
        &self,
        py: Python<'py>,
        max_depth: Option<usize>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let depth = max_depth.map_or(DEEPEST, |depth| depth.saturating_add(1).min(DEEPEST));
        PyTuple::new(py, self.open_all(py, depth, None)?)
    }

    /// The number of nodes below the group, ``max_depth`` levels below its members; all with ``None``.
    #[pyo3(signature = (max_depth = Some(0)), text_signature = "($self, max_depth=0)")]
    fn nmembers(&self, py: Python<'_>, max_depth: Option<usize>) -> PyResult<usize> {
        let depth = max_depth.map_or(DEEPEST, |depth| depth.saturating_add(1).min(DEEPEST));
        Ok(self.nodes(py, depth)?.len())
    }

    /// The arrays among the members, by their names.
    fn arrays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.open_all(py, 1, Some(is_array))?)
    }

    /// The arrays among the members.
    fn array_values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.open_members(py, Some(is_array))
    }

    /// The names of the arrays among the members.
    fn array_keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_array)
    }

    /// The groups among the members, by their names.
    fn groups<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.open_all(py, 1, Some(is_group))?)
    }

    /// The groups among the members.
    fn group_values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.open_members(py, Some(is_group))
    }

    /// The names of the groups among the members.
    fn group_keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.names(py, is_group)
    }

    /// Everything below the group as a tree, ``level`` levels deep; all with ``None``. ``expand`` is
    /// not looked at, as in zarr-python.
    #[pyo3(signature = (expand = None, level = None))]
    fn tree<'py>(
        slf: &Bound<'py, Self>,
        expand: Option<bool>,
        level: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = expand;
        slf.py().import("fuzarr._display")?.getattr("Tree")?.call1((slf, level))
    }

    /// What a tree shows: path, whether it is an array, and its shape and type or what is wrong.
    fn _branches(&self, py: Python<'_>, depth: Option<usize>) -> PyResult<Vec<Branch>> {
        let nodes = self.nodes(py, depth.unwrap_or(DEEPEST).min(DEEPEST))?;
        let branch = |(path, node): (String, Result<Node>)| match node {
            Ok(Node::Group(_)) => (path, false, None),
            Ok(Node::Array(array)) => {
                let extents: Vec<String> = array.shape.iter().map(u64::to_string).collect();
                let comma = if extents.len() == 1 { "," } else { "" };
                let shape = format!("({}{comma})", extents.join(", "));
                (path, true, Some(format!("{shape} {}", array.data_type.name)))
            }
            Err(error) => (path, true, Some(error.to_string())),
        };
        Ok(nodes.into_iter().map(branch).collect())
    }

    /// Creates an array at ``name`` below the group; ``options`` are those of ``fuzarr.create_array``.
    #[pyo3(signature = (name, **options))]
    fn create_array<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::make(slf, "create_array", name, options)
    }

    /// Creates an array of zeros at ``name``; ``options`` are those of ``fuzarr.zeros``.
    #[pyo3(signature = (name, **options))]
    fn zeros<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::make(slf, "zeros", name, options)
    }

    /// Creates an array of ones at ``name``; ``options`` are those of ``fuzarr.ones``.
    #[pyo3(signature = (name, **options))]
    fn ones<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::make(slf, "ones", name, options)
    }

    /// Creates an array of ``fill_value`` at ``name``; ``options`` are those of ``fuzarr.full``.
    #[pyo3(signature = (name, **options))]
    fn full<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::make(slf, "full", name, options)
    }

    /// Creates an array of elements that are not stated at ``name``; ``options`` are those of
    /// ``fuzarr.empty``.
    #[pyo3(signature = (name, **options))]
    fn empty<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::make(slf, "empty", name, options)
    }

    /// Creates a group at ``name`` below the group.
    #[pyo3(signature = (name, *, overwrite = false, attributes = None))]
    fn create_group<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        overwrite: bool,
        attributes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<PyGroup> {
        let (this, py) = (slf.get(), slf.py());
        this.check_writable()?;
        let store = Bound::new(py, this.store())?.into_any();
        let (place, format) = (this.place(name)?, this.zarr_format());
        let group =
            crate::create::create_group(py, Some(&store), &place, format, overwrite, attributes)?;
        this.refresh(py)?;
        Ok(group)
    }

    /// The group at ``name`` below the group, which is created if it is not there.
    fn require_group<'py>(slf: &Bound<'py, Self>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let (this, py) = (slf.get(), slf.py());
        match this.member(py, name)? {
            Some(node) if node.is_instance_of::<Self>() => Ok(node),
            Some(_) => Err(raise(
                Error::already_exists("there is an array, not a group").with("name", name),
            )),
            None => Ok(Bound::new(py, Self::create_group(slf, name, false, None)?)?.into_any()),
        }
    }

    /// The array at ``name`` below the group, which is created if it is not there; one that is must have
    /// the ``shape`` and a ``dtype`` to which elements can be converted safely.
    #[pyo3(signature = (name, *, shape, **options))]
    fn require_array<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        shape: &Bound<'py, PyAny>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (this, py) = (slf.get(), slf.py());
        if let Some(node) = this.member(py, name)? {
            let dtype = options.map(|options| options.get_item("dtype")).transpose()?.flatten();
            let check = py.import("fuzarr._create")?.getattr("check_like")?;
            check.call1((&node, shape, dtype))?;
            return Ok(node);
        }
        let options = match options {
            Some(options) => options.copy()?,
            None => PyDict::new(py),
        };
        options.set_item("shape", shape)?;
        Self::create_array(slf, name, Some(&options))
    }

    /// Moves what is at ``source`` below the group to ``dest``, where there must be nothing.
    fn r#move(&self, py: Python<'_>, source: &str, dest: &str) -> PyResult<()> {
        let (from, to) = (self.place(source)?, self.place(dest)?);
        self.change(py, |group| hierarchy::rename_node(&**group.store(), &from, &to))
    }

    /// As ``move``.
    fn rename(&self, py: Python<'_>, source: &str, dest: &str) -> PyResult<()> {
        self.r#move(py, source, dest)
    }

    /// Changes attributes and stores them; the group.
    fn update_attributes<'py>(
        slf: &Bound<'py, Self>,
        new_attributes: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, Self>> {
        slf.get()._change_attributes(slf.py(), Some(new_attributes), Vec::new(), false)?;
        Ok(slf.clone())
    }

    /// The attributes as they are known here.
    fn _attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        json::object_to_python(py, self.current().attributes())
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
        self.check_writable()?;
        let set = set.map(|set| json::from_mapping(set.as_mapping())).transpose()?;
        let mut group = (*self.current()).clone();
        let change = open::attribute_change(set.unwrap_or_default(), unset, replace);
        request::run_long(py, &Cancel::new(), || group.update_attributes(change).map(|()| group))
            .map(|group| {
                *self.group.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(group);
            })
    }

    fn __repr__(&self) -> String {
        format!("<Group {}>", self.store.url(self.current().path()))
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
            && one.attributes() == two.attributes();
        Ok(equal.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __hash__(&self) -> u64 {
        hash(&(&self.store.location, self.current().path()))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<open::Pickled<'py>> {
        let group = self.current();
        let place = (self.store.pickled(py)?, group.path().to_owned(), self.read_only);
        let consolidated = if group.is_consolidated() { None } else { Some(false) };
        open::pickled(py, place, "group", consolidated, None)
    }
}
