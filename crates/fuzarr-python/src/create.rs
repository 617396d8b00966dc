//! Creating arrays and groups.

use std::sync::Arc;

use fuzarr::codec::{IndexLocation, short};
use fuzarr::dtype::{DataType, ElementLayout, Endian, fill_to_json};
use fuzarr::grid::ChunkKeyEncoding;
use fuzarr::metadata::{ArrayMetadata, Extension, Format, GroupMetadata, Node, NodePath};
use fuzarr::store::MemoryStore;
use fuzarr::{Array, Cancel, Error, Existing, Group, Kind, chunking, creation, v2};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use serde_json::{Map, Value};

use crate::array::{PyArray, lengths};
use crate::config::ArrayConfig;
use crate::element::{self, ElementType};
use crate::error::{argument_error, raise, unsupported};
use crate::group::PyGroup;
use crate::store::{Missing, Named, Opened};
use crate::{json, open, request};

/// What `create_array` was asked for.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Asked<'py> {
    shape: Bound<'py, PyAny>,
    dtype: Bound<'py, PyAny>,
    chunks: Bound<'py, PyAny>,
    shards: Bound<'py, PyAny>,
    /// Lists of codecs, or `None` for those that the type needs.
    filters: Option<Vec<Bound<'py, PyAny>>>,
    serializer: Option<Bound<'py, PyAny>>,
    compressors: Option<Vec<Bound<'py, PyAny>>>,
    /// `None` for the type's own; a tuple of one otherwise.
    fill_value: Option<(Bound<'py, PyAny>,)>,
    order: Option<String>,
    zarr_format: u64,
    attributes: Option<Bound<'py, PyDict>>,
    chunk_key_encoding: Option<Bound<'py, PyAny>>,
    dimension_names: Option<Vec<Option<String>>>,
    index_location: String,
}

/// Creates an array at ``path`` of ``store``; ``options`` are those of ``fuzarr.create_array``.
#[pyfunction]
pub(crate) fn create_array(
    py: Python<'_>,
    store: Option<&Bound<'_, PyAny>>,
    path: &str,
    options: &Bound<'_, PyDict>,
    overwrite: bool,
    config: Option<&Bound<'_, PyDict>>,
) -> PyResult<PyArray> {
    let config = ArrayConfig::default().with(config)?;
    let asked: Asked<'_> = options.extract()?;
    let metadata = match open::format(asked.zarr_format)? {
        Format::V3 => asked.metadata()?,
        Format::V2 => asked.metadata_v2()?,
    };
    // Before anything is stored: what fuzarr could not read and write again is refused.
    let nowhere = Arc::new(MemoryStore::new());
    let registry = fuzarr::codec::Registry::default();
    let array = Array::new(nowhere, path, metadata, &registry).map_err(as_argument)?;
    let node = Node::Array(Box::new(array.metadata().clone()));
    let (store, path) = put(py, store, path, &node, overwrite)?;
    let Node::Array(metadata) = node else { return Err(argument_error("no array")) };
    let array = Array::new(Arc::clone(&store.store), &path, *metadata, &registry).map_err(raise)?;
    PyArray::new(py, store, array, config, false)
}

/// Creates a group at ``path`` of ``store``.
#[pyfunction]
pub(crate) fn create_group(
    py: Python<'_>,
    store: Option<&Bound<'_, PyAny>>,
    path: &str,
    zarr_format: u64,
    overwrite: bool,
    attributes: Option<&Bound<'_, PyDict>>,
) -> PyResult<PyGroup> {
    let format = open::format(zarr_format)?;
    let attributes = self::attributes(attributes)?;
    let node = Node::Group(GroupMetadata { format, attributes, ..GroupMetadata::default() });
    let (store, path) = put(py, store, path, &node, overwrite)?;
    let group = request::look(py, &*store.store, || Group::open(Arc::clone(&store.store), &path))?;
    Ok(PyGroup::new(store, group, false))
}

/// Stores a new node, in a new store if there is none; the store, and the node's path in it.
fn put(
    py: Python<'_>,
    store: Option<&Bound<'_, PyAny>>,
    path: &str,
    node: &Node,
    overwrite: bool,
) -> PyResult<(Opened, String)> {
    let check = |path| NodePath::parse(path).and_then(|path| path.check_creatable()).map_err(raise);
    check(path)?;
    let (store, path) = Named::from_python(store)?.open(py, path, Missing::IsMade)?;
    check(&path)?;
    request::run_long(py, &Cancel::new(), || {
        let created =
            creation::create(&*store.store, &path, node, Existing::overwritten(overwrite));
        created.map_err(|error| match error.kind() {
            Kind::AlreadyExists => error.with("option", "overwrite=True"),
            _ => error,
        })
    })
    .map(|()| (store, path))
}

/// Nothing is stored yet: what is wrong is what was asked for.
fn as_argument(error: Error) -> PyErr {
    match error.kind() {
        fuzarr::Kind::InvalidMetadata | fuzarr::Kind::Corrupt => argument_error(error.to_string()),
        _ => raise(error),
    }
}

fn attributes(attributes: Option<&Bound<'_, PyDict>>) -> PyResult<Map<String, Value>> {
    let attributes = attributes.map(|attributes| json::from_mapping(attributes.as_mapping()));
    attributes.transpose().map(Option::unwrap_or_default)
}

/// The shapes of an array.
struct Shapes {
    array: Vec<u64>,
    chunks: Vec<u64>,
    shards: Option<Vec<u64>>,
}

impl Asked<'_> {
    fn shapes(&self, data_type: DataType) -> PyResult<Shapes> {
        let array = lengths(&self.shape)?;
        let element = match data_type.layout() {
            ElementLayout::Fixed(size) => size,
            ElementLayout::Variable => 1,
        };
        let is_off = |shards: &Bound<'_, PyBool>| !shards.is_true();
        let sharded = !self.shards.is_none() && !self.shards.cast::<PyBool>().is_ok_and(is_off);
        let ones = vec![1; array.len()];
        let chunks = match extents("chunks", &self.chunks, &array, &ones)? {
            Some(chunks) => chunks,
            None => chunking::chunks(&array, element, sharded),
        };
        let shards = match extents("shards", &self.shards, &array, &chunks)? {
            _ if !sharded => None,
            Some(shards) => Some(shards),
            None => Some(chunking::shards(&array, &chunks)),
        };
        Ok(Shapes { array, chunks, shards })
    }

    fn index_location(&self) -> PyResult<IndexLocation> {
        self.index_location.parse().map_err(raise)
    }

    fn fill(&self, element: &ElementType) -> PyResult<Option<Value>> {
        let Some((fill,)) = &self.fill_value else { return Ok(None) };
        if fill.is_none() {
            return Ok(None);
        }
        if let (false, Ok(text)) = (element.is_variable(), fill.cast::<PyString>()) {
            // As metadata spells it: `NaN`, `0x7fc00000`.
            let spelled = Value::from(text.to_str()?);
            if fuzarr::dtype::fill_from_json(element.data_type, &spelled).is_ok() {
                return Ok(Some(spelled));
            }
        }
        let fill = fill_to_json(element.data_type, &element.bytes_of(fill)?);
        fill.map(Some).map_err(raise)
    }

    fn chunk_keys(&self) -> PyResult<Option<ChunkKeyEncoding>> {
        let Some(keys) = &self.chunk_key_encoding else { return Ok(None) };
        let keys = Extension::from_json(&json::from_python(keys)?);
        keys.and_then(|keys| ChunkKeyEncoding::from_extension(&keys)).map(Some).map_err(as_argument)
    }

    /// The metadata of an array of Zarr v3.
    fn metadata(&self) -> PyResult<ArrayMetadata> {
        let (data_type, _) = element::parse(&self.dtype)?;
        let element = ElementType::new(self.dtype.py(), data_type)?;
        let shapes = self.shapes(data_type)?;
        let mut codecs = Vec::new();
        for filter in self.filters.iter().flatten() {
            codecs.extend(codec(filter, data_type)?);
        }
        codecs.push(match &self.serializer {
            Some(serializer) => one(codec(serializer, data_type)?)?,
            None => short::array_to_bytes(data_type, "little"),
        });
        match &self.compressors {
            Some(compressors) => {
                for compressor in compressors {
                    codecs.extend(codec(compressor, data_type)?);
                }
            }
            None => codecs.push(short::complete(Extension::new("zstd"), data_type)),
        }
        let mut builder = Array::builder(shapes.array, data_type)
            .chunks(shapes.chunks)
            .codecs(codecs)
            .index_location(self.index_location()?)
            .attributes(attributes(self.attributes.as_ref())?);
        if let Some(shards) = shapes.shards {
            builder = builder.shards(shards);
        }
        if let Some(fill) = self.fill(&element)? {
            builder = builder.fill_json(fill);
        }
        if let Some(names) = &self.dimension_names {
            builder = builder.dimension_names(names.iter().map(Option::as_deref));
        }
        if let Some(keys) = self.chunk_keys()? {
            builder = builder.chunk_keys(keys);
        }
        builder.metadata().map_err(raise)
    }

    /// The metadata of an array of Zarr v2.
    fn metadata_v2(&self) -> PyResult<ArrayMetadata> {
        let (data_type, endian) = element::parse(&self.dtype)?;
        let element = ElementType::new(self.dtype.py(), data_type)?;
        let shapes = self.shapes(data_type)?;
        if shapes.shards.is_some() {
            return Err(PyValueError::new_err("Zarr v2 has no shards"));
        }
        if self.serializer.is_some() {
            return Err(PyValueError::new_err("Zarr v2 has no serializer, only filters"));
        }
        if self.dimension_names.is_some() {
            return Err(PyValueError::new_err("Zarr v2 has no names of dimensions"));
        }
        let separator = match self.chunk_keys()? {
            None => '.',
            Some(ChunkKeyEncoding::V2 { separator }) => separator.as_char(),
            Some(_) => {
                return Err(PyValueError::new_err("Zarr v2 names chunks in the way of v2 only"));
            }
        };
        let fill = match &self.fill_value {
            Some((fill,)) if fill.is_none() => None,
            Some((fill,)) => Some(element.bytes_of(fill)?),
            None => Some(fuzarr::dtype::default_fill(data_type)),
        };
        let compressor = match self.compressors.as_deref() {
            None => Some(codec_v2(PyString::new(self.dtype.py(), "zstd").as_any())?),
            Some([]) => None,
            Some([compressor]) => Some(codec_v2(compressor)?),
            Some(_) => return Err(PyTypeError::new_err("Zarr v2 has one compressor")),
        };
        let filters = self.filters.as_ref();
        let filters = filters.map(|filters| filters.iter().map(codec_v2).collect()).transpose()?;
        v2::NewArray {
            shape: shapes.array,
            chunks: shapes.chunks,
            data_type,
            endian: if cfg!(target_endian = "big") { Endian::Big } else { endian },
            fill,
            fortran: self.order.as_deref() == Some("F"),
            filters,
            compressor,
            separator: separator.into(),
            attributes: attributes(self.attributes.as_ref())?,
        }
        .metadata()
        .map_err(raise)
    }
}

/// The shape of chunks or shards: an integer for all dimensions or one for each, -1 for a dimension
/// that is not cut, `False` of chunks for none that is. `None` if it is left open: "auto", `None`, `True`.
fn extents(
    what: &str,
    given: &Bound<'_, PyAny>,
    shape: &[u64],
    unit: &[u64],
) -> PyResult<Option<Vec<u64>>> {
    let spans = |(&extent, &unit): (&u64, &u64)| chunking::spanning(extent, unit);
    if let Ok(cut) = given.cast::<PyBool>() {
        let whole = || shape.iter().zip(unit).map(spans).collect();
        return Ok((!cut.is_true()).then(whole));
    }
    if given.is_none() || given.eq("auto")? {
        return Ok(None);
    }
    let numbers = if given.hasattr("__index__")? && !given.hasattr("__len__")? {
        vec![given.clone(); shape.len()]
    } else {
        given.try_iter()?.collect::<PyResult<Vec<_>>>()?
    };
    if numbers.len() != shape.len() {
        return Err(PyValueError::new_err(format!(
            "{what} has {} dimensions but shape has {} dimensions",
            numbers.len(),
            shape.len()
        )));
    }
    let extent = |(number, (extent, unit)): (&Bound<'_, PyAny>, (&u64, &u64))| {
        if number.hasattr("__len__")? {
            return Err(unsupported(
                "not supported: chunks of different shapes (rectilinear grids)",
            ));
        }
        match number.extract::<i64>()? {
            -1 => Ok(spans((extent, unit))),
            number => u64::try_from(number).ok().filter(|&number| number > 0).ok_or_else(|| {
                PyValueError::new_err(format!("{what} must be positive or -1, got {number}"))
            }),
        }
    };
    let dimensions = shape.iter().zip(unit);
    numbers.iter().zip(dimensions).map(extent).collect::<PyResult<_>>().map(Some)
}

/// The codecs that `object` names: text in the short form, or a codec as metadata has it.
fn codec(object: &Bound<'_, PyAny>, data_type: DataType) -> PyResult<Vec<Extension>> {
    let Ok(text) = object.cast::<PyString>() else {
        let codec = Extension::from_json(&json::from_python(object)?).map_err(as_argument)?;
        return Ok(vec![short::complete(codec, data_type)]);
    };
    let text = text.to_str()?;
    if !text.contains(['[', ',', ' ']) && !short::knows(text) {
        let codec = Extension::from_json(&text.into()).map_err(as_argument)?;
        return Ok(vec![codec]);
    }
    // The step from array to bytes, which the short form leaves out, has an argument of its own.
    short::steps(text, data_type).map_err(raise)
}

fn one(mut codecs: Vec<Extension>) -> PyResult<Extension> {
    match (codecs.pop(), codecs.is_empty()) {
        (Some(codec), true) => Ok(codec),
        _ => Err(PyValueError::new_err("the serializer is one codec")),
    }
}

/// A codec as numcodecs configures it.
fn codec_v2(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let codec = match json::from_python(object)? {
        Value::String(name) if name == "zstd" => serde_json::json!({"id": "zstd", "level": 0}),
        Value::String(name) => serde_json::json!({ "id": name }),
        codec => codec,
    };
    match codec.get("id") {
        Some(Value::String(_)) => Ok(codec),
        _ => Err(PyTypeError::new_err(format!("a codec of Zarr v2 has an `id`: {codec}"))),
    }
}
