//! What an array is: the attributes of arrays in Python.

use fuzarr::codec::{Codec, Registry};
use fuzarr::metadata::Extension;
use fuzarr::{Array, dtype, v2};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use serde_json::Value;

use super::PyArray;
use crate::error::raise;
use crate::store::PyStore;
use crate::{json, open, request};

impl PyArray {
    /// The codecs of the smallest chunks, in the order in which they encode, and where the one from
    /// array to bytes is.
    fn codecs(&self) -> PyResult<(Vec<Extension>, usize)> {
        let array = self.current();
        let mut codecs = array.metadata().codecs.clone();
        while let Some(shard) = codecs.iter().find(|codec| codec.name == "sharding_indexed") {
            codecs = shard.extensions("codecs").map_err(raise)?.unwrap_or_default();
        }
        let parsed = Registry::default().chain(&codecs).map_err(raise)?.codecs;
        let filters = parsed.iter().take_while(|codec| matches!(codec, Codec::ArrayToArray(_)));
        let position = filters.count();
        Ok((codecs, position))
    }

    /// The shape of the smallest chunks.
    fn leaf(array: &Array) -> &[u64] {
        array.inner_chunk_shape().unwrap_or(array.chunk_shape())
    }
}

/// A tuple of codecs as metadata has them.
fn codec_tuple<'py>(py: Python<'py>, codecs: &[Extension]) -> PyResult<Bound<'py, PyTuple>> {
    let codecs: Vec<Value> = codecs.iter().map(Extension::to_json_object).collect();
    json_tuple(py, &codecs)
}

fn json_tuple<'a, 'py>(
    py: Python<'py>,
    values: impl IntoIterator<Item = &'a Value>,
) -> PyResult<Bound<'py, PyTuple>> {
    let values = values.into_iter().map(|value| json::to_python(py, value));
    PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)
}

/// Exact up to 128 bits, which no array that can be opened exceeds by much.
fn product(extents: impl IntoIterator<Item = u64>) -> u128 {
    extents.into_iter().fold(1, |product, extent| product.saturating_mul(extent.into()))
}

#[pymethods]
impl PyArray {
    /// Elements along each dimension.
    #[getter]
    pub(super) fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.current().shape())
    }

    /// NumPy's type of the elements.
    #[getter]
    pub(super) fn dtype<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.element.dtype.bind(py).clone()
    }

    /// The number of dimensions.
    #[getter]
    fn ndim(&self) -> usize {
        self.current().shape().len()
    }

    /// The number of elements.
    #[getter]
    fn size(&self) -> u128 {
        product(self.current().shape().iter().copied())
    }

    /// Bytes of all elements in memory.
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> PyResult<u128> {
        let size: u128 = self.element.dtype.getattr(py, "itemsize")?.extract(py)?;
        Ok(self.size().saturating_mul(size))
    }

    /// The shape of a chunk: of the smallest piece that is encoded by itself.
    #[getter]
    fn chunks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, Self::leaf(&self.current()))
    }

    /// The shape of a shard; ``None`` if chunks are stored each by itself.
    #[getter]
    fn shards<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let array = self.current();
        array.inner_chunk_shape().map(|_| PyTuple::new(py, array.chunk_shape())).transpose()
    }

    /// The number of chunks along each dimension.
    #[getter]
    fn cdata_shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let array = self.current();
        let extents = array.shape().iter().zip(Self::leaf(&array));
        PyTuple::new(
            py,
            extents.map(|(&extent, &chunk)| extent.div_ceil(chunk)).collect::<Vec<_>>(),
        )
    }

    /// The number of chunks, stored or not.
    #[getter]
    fn nchunks(&self) -> u128 {
        let array = self.current();
        let extents = array.shape().iter().zip(Self::leaf(&array));
        product(extents.map(|(&extent, &chunk)| extent.div_ceil(chunk)))
    }

    /// The number of chunks that are stored; a shard that is stored counts with all of its chunks.
    /// Lists the store.
    #[getter]
    fn nchunks_initialized(&self, py: Python<'_>) -> PyResult<u128> {
        let array = self.current();
        let storage = request::look(py, &**array.store(), || array.storage(false))?;
        let shard = array.chunk_shape().iter().zip(Self::leaf(&array));
        Ok(u128::from(storage.objects)
            .saturating_mul(product(shard.map(|(&shard, &chunk)| shard / chunk))))
    }

    /// Bytes of everything that is stored of the array. Lists the store.
    fn nbytes_stored(&self, py: Python<'_>) -> PyResult<u64> {
        let array = self.current();
        request::look(py, &**array.store(), || open::stored_bytes(&array))
    }

    /// What elements of chunks that are not stored are.
    #[getter]
    fn fill_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let array = self.current();
        let metadata = array.metadata();
        if metadata.v2.as_ref().is_some_and(|document| document["fill_value"].is_null()) {
            return Ok(py.None().into_bound(py));
        }
        let fill = dtype::fill_from_json(array.data_type(), &metadata.fill_value);
        self.element.scalar(py, &fill.map_err(raise)?)
    }

    /// The user's attributes: a mapping whose changes are stored.
    #[getter]
    fn attrs<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("fuzarr._attributes")?.getattr("Attributes")?.call1((slf,))
    }

    /// The metadata document: that of Zarr v3, or the ``.zarray`` of v2.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let array = self.current();
        let metadata = array.metadata();
        let document = v2::array_to_json(metadata).unwrap_or_else(|| metadata.to_json());
        json::to_python(py, &document)
    }

    /// The path in the store, empty for its root.
    #[getter]
    pub(super) fn path(&self) -> String {
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

    /// Whether the array was opened for reading only.
    #[getter]
    fn read_only(&self) -> bool {
        self.read_only
    }

    /// The format that the array is stored in, 2 or 3.
    #[getter]
    fn zarr_format(&self) -> u64 {
        self.current().metadata().format().number()
    }

    /// The order in which Zarr v2 says that elements lie in a chunk, ``C`` or ``F``.
    #[getter]
    fn order(&self) -> &'static str {
        let array = self.current();
        let document = array.metadata().v2.as_ref();
        if document.is_some_and(|document| document["order"] == "F") { "F" } else { "C" }
    }

    /// A name or ``None`` for each dimension; ``None`` if there are no names.
    #[getter]
    fn dimension_names<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let array = self.current();
        let names = array.metadata().dimension_names.as_ref();
        names.map(|names| PyTuple::new(py, names)).transpose()
    }

    /// The codecs that turn chunks into other arrays, as metadata has them; all but the last one in
    /// Zarr v2.
    #[getter]
    fn filters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        if let Some(document) = &self.current().metadata().v2 {
            let filters = document.get("filters").and_then(Value::as_array).into_iter().flatten();
            return json_tuple(py, filters);
        }
        let (codecs, position) = self.codecs()?;
        codec_tuple(py, codecs.get(..position).unwrap_or_default())
    }

    /// The codec that turns chunks into bytes, as metadata has it; ``None`` in Zarr v2.
    #[getter]
    fn serializer<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.current().metadata().v2.is_some() {
            return Ok(None);
        }
        let (codecs, position) = self.codecs()?;
        let codec = codecs.get(position);
        codec.map(|codec| json::to_python(py, &codec.to_json_object())).transpose()
    }

    /// The codecs that compress, as metadata has them.
    #[getter]
    fn compressors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        if let Some(document) = &self.current().metadata().v2 {
            let compressor = document.get("compressor").filter(|codec| !codec.is_null());
            return json_tuple(py, compressor);
        }
        let (codecs, position) = self.codecs()?;
        codec_tuple(py, codecs.get(position + 1..).unwrap_or_default())
    }

    /// Options that metadata does not tell: ``write_empty_chunks``, ``read_missing_chunks``,
    /// ``subchunk_write_order``.
    #[getter]
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.config.to_python(py)
    }

    /// The same array with other options.
    fn with_config(&self, py: Python<'_>, config: &Bound<'_, PyDict>) -> PyResult<Self> {
        let config = self.config.with(Some(config))?;
        Self::new(py, self.store.clone(), (*self.current()).clone(), config, self.read_only)
    }

    /// What the array is, for people.
    #[getter]
    fn info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("fuzarr._display")?.getattr("Info")?.call1((slf,))
    }
}
