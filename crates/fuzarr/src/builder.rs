//! Metadata of new arrays, without writing JSON.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::array::Array;
use crate::codec::{IndexLocation, Registry, short};
use crate::creation::Existing;
use crate::dtype::{DataType, ElementLayout, default_fill, fill_to_json};
use crate::element::{Element, check_type};
use crate::error::{Error, Result};
use crate::grid::ChunkKeyEncoding;
use crate::metadata::{ArrayMetadata, Extension};
use crate::store::Store;

/// A new array in the making, see [`Array::builder`]. What is wrong comes to light at
/// [`metadata`](Self::metadata) or [`create`](Self::create).
#[derive(Debug)]
#[must_use = "nothing is created before `create`"]
pub struct ArrayBuilder {
    shape: Vec<u64>,
    data_type: DataType,
    chunks: Option<Vec<u64>>,
    shards: Option<Vec<u64>>,
    index_location: IndexLocation,
    codecs: Codecs,
    fill: Option<Result<Value>>,
    attributes: Map<String, Value>,
    dimension_names: Option<Vec<Option<String>>>,
    chunk_keys: ChunkKeyEncoding,
    existing: Existing,
    registry: Registry,
}

/// How chunks are encoded: codecs of metadata, or text in their [short form](short), which
/// [`ArrayBuilder::codecs`] takes alike.
#[derive(Debug, Clone)]
pub enum Codecs {
    /// As metadata has them, first applied first.
    Listed(Vec<Extension>),
    /// The short form, or JSON.
    Text(String),
}

impl From<&str> for Codecs {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<Extension>> for Codecs {
    fn from(codecs: Vec<Extension>) -> Self {
        Self::Listed(codecs)
    }
}

impl Codecs {
    fn to_json(&self, data_type: DataType) -> Result<Vec<Value>> {
        let parsed = match self {
            Self::Listed(codecs) => Cow::Borrowed(codecs),
            Self::Text(text) => Cow::Owned(short::parse(text, data_type)?),
        };
        Ok(parsed.iter().map(Extension::to_json_object).collect())
    }
}

impl Array {
    /// Begins a new array of `shape`: one chunk compressed by `zstd:0`, filled with zeros, without
    /// attributes, unless told otherwise.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    ///
    /// use fuzarr::{Array, Selection, dtype::DataType, store::MemoryStore};
    ///
    /// # fn main() -> fuzarr::Result<()> {
    /// let array = Array::builder([1000, 2000], DataType::Float32)
    ///     .chunks([100, 100])
    ///     .shards([500, 1000])
    ///     .codecs("blosc:lz4:5:shuffle,crc32c")
    ///     .fill(f32::NAN)
    ///     .attribute("unit", "K")
    ///     .dimension_names(["y", "x"])
    ///     .create(Arc::new(MemoryStore::new()), "ocean/temperature")?;
    /// assert!(array.read::<f32>(&Selection::parse("0, 0")?)?.iter().all(|value| value.is_nan()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(shape: impl Into<Vec<u64>>, data_type: DataType) -> ArrayBuilder {
        ArrayBuilder {
            shape: shape.into(),
            data_type,
            chunks: None,
            shards: None,
            index_location: IndexLocation::End,
            codecs: Codecs::from("zstd:0"),
            fill: None,
            attributes: Map::new(),
            dimension_names: None,
            chunk_keys: ChunkKeyEncoding::default(),
            existing: Existing::Refuse,
            registry: Registry::default(),
        }
    }
}

impl ArrayBuilder {
    /// The shape of a chunk: the smallest piece that is encoded by itself.
    pub fn chunks(mut self, shape: impl Into<Vec<u64>>) -> Self {
        self.chunks = Some(shape.into());
        self
    }

    /// The shape of a shard, a stored object that holds many chunks: a multiple of the shape of a
    /// chunk.
    pub fn shards(mut self, shape: impl Into<Vec<u64>>) -> Self {
        self.shards = Some(shape.into());
        self
    }

    /// Where in a shard its index is; at the end unless told otherwise.
    pub fn index_location(mut self, location: IndexLocation) -> Self {
        self.index_location = location;
        self
    }

    /// How chunks are encoded: text in the [short form](short) such as `zstd:5,crc32c`, or codecs of
    /// metadata. With shards they apply to the chunks inside.
    pub fn codecs(mut self, codecs: impl Into<Codecs>) -> Self {
        self.codecs = codecs.into();
        self
    }

    /// The value of elements that were never written, of the [type](Element) of the elements.
    pub fn fill<T: Element>(mut self, value: T) -> Self {
        self.fill = Some(check_type::<T>(self.data_type).and_then(|()| {
            let elements = [value];
            let (slots, heap) = T::to_slots(&elements);
            match self.data_type.layout() {
                ElementLayout::Fixed(_) => fill_to_json(self.data_type, &slots),
                ElementLayout::Variable => fill_to_json(self.data_type, &heap),
            }
        }));
        self
    }

    /// As [`fill`](Self::fill), as metadata spells it.
    pub fn fill_json(mut self, value: impl Into<Value>) -> Self {
        self.fill = Some(Ok(value.into()));
        self
    }

    /// Sets an attribute.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// All attributes at once.
    pub fn attributes(mut self, attributes: Map<String, Value>) -> Self {
        self.attributes = attributes;
        self
    }

    /// A name for each dimension; `None` leaves that dimension without.
    pub fn dimension_names<'n, N: Into<Option<&'n str>>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        let names = names.into_iter().map(|name| name.into().map(str::to_owned));
        self.dimension_names = Some(names.collect());
        self
    }

    /// How chunks are named in the store; `c/0/1` unless told otherwise.
    pub fn chunk_keys(mut self, encoding: ChunkKeyEncoding) -> Self {
        self.chunk_keys = encoding;
        self
    }

    /// Whether [`create`](Self::create) deletes what is there already, see [`Existing`]; it does not
    /// unless told to.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.existing = Existing::overwritten(overwrite);
        self
    }

    /// The codecs that there are, with those of the caller's own, for [`create`](Self::create); all
    /// that fuzarr has unless told otherwise.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// The metadata, without creating anything.
    ///
    /// # Errors
    /// `InvalidArgument` for chunks or shards of another rank, with a 0, or that do not fit each
    /// other, codecs that make no sense, a fill value of another type, or too few names.
    pub fn metadata(self) -> Result<ArrayMetadata> {
        let rank = self.shape.len();
        let chunks = match self.chunks {
            Some(chunks) => chunks,
            None => self.shape.iter().map(|&extent| extent.max(1)).collect(),
        };
        check_shape("chunks", &chunks, rank)?;
        let mut codecs = self.codecs.to_json(self.data_type)?;
        let mut grid = &chunks;
        if let Some(shards) = &self.shards {
            check_shape("shards", shards, rank)?;
            if shards.iter().zip(&chunks).any(|(shard, chunk)| shard % chunk != 0) {
                return Err(Error::invalid_argument(
                    "the shape of a shard must be a multiple of that of a chunk",
                ));
            }
            codecs = vec![sharding(&chunks, &codecs, self.index_location)];
            grid = shards;
        }
        let fill = match self.fill {
            Some(fill) => fill?,
            None => fill_to_json(self.data_type, &default_fill(self.data_type))?,
        };
        let mut document = json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": self.data_type.to_extension().to_json_name_if_plain(),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}},
            "chunk_key_encoding": self.chunk_keys.to_extension().to_json_object(),
            "fill_value": fill,
            "codecs": codecs,
            "attributes": self.attributes,
        });
        if let Some(names) = &self.dimension_names {
            if names.len() != rank {
                return Err(Error::invalid_argument(format!(
                    "{} names for {rank} dimensions",
                    names.len()
                )));
            }
            document["dimension_names"] = json!(names);
        }
        // Nothing is stored yet: what is wrong is what was asked for.
        ArrayMetadata::from_json(&document)
            .map_err(|error| Error::invalid_argument("the codecs are malformed").with_source(error))
    }

    /// Creates the array at `path` (empty for the root) of `store`, with groups above it where
    /// there are none. Writes the metadata and nothing else.
    ///
    /// # Errors
    /// Those of [`metadata`](Self::metadata) and of [`Array::create`].
    pub fn create(self, store: Arc<dyn Store>, path: &str) -> Result<Array> {
        let (existing, registry) = (self.existing, self.registry.clone());
        Array::create_with(store, path, self.metadata()?, existing, &registry)
    }
}

fn check_shape(what: &str, shape: &[u64], rank: usize) -> Result<()> {
    if shape.len() != rank {
        return Err(Error::invalid_argument(format!(
            "the {what} have {} dimensions, the array has {rank}",
            shape.len()
        )));
    }
    if shape.contains(&0) {
        return Err(Error::invalid_argument(format!("the {what} must not be 0 along a dimension")));
    }
    Ok(())
}

/// The codec of shards of chunks that are encoded by `codecs`.
fn sharding(chunks: &[u64], codecs: &[Value], index: IndexLocation) -> Value {
    let bytes = short::array_to_bytes(DataType::UInt64, "little");
    json!({"name": "sharding_indexed", "configuration": {
        "chunk_shape": chunks,
        "codecs": codecs,
        "index_codecs": [bytes.to_json_object(), {"name": "crc32c"}],
        "index_location": index.name(),
    }})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_is_not_asked_for_is_the_default() {
        let metadata = Array::builder([3, 0], DataType::Int8).metadata().unwrap();
        assert_eq!(metadata.chunk_grid.configuration["chunk_shape"], json!([3, 1]));
        assert_eq!(metadata.fill_value, 0);
        assert_eq!(metadata.codecs.len(), 2);
        assert!(metadata.attributes.is_empty() && metadata.dimension_names.is_none());
        Array::builder([], DataType::String).metadata().unwrap();
    }

    #[test]
    fn fill_values_are_of_the_type_of_the_elements() {
        let fill = |builder: ArrayBuilder| builder.metadata().map(|metadata| metadata.fill_value);
        let of = |data_type| Array::builder([4], data_type);
        assert_eq!(fill(of(DataType::Float32).fill(f32::NAN)).unwrap(), "NaN");
        assert_eq!(fill(of(DataType::Bool).fill(true)).unwrap(), true);
        assert_eq!(fill(of(DataType::String).fill("é".to_owned())).unwrap(), "é");
        assert_eq!(fill(of(DataType::Raw(2)).fill([1, 2])).unwrap(), json!([1, 2]));
        for wrong in [of(DataType::Float32).fill(0.0_f64), of(DataType::Int16).fill(0_i32)] {
            assert_eq!(fill(wrong).unwrap_err().kind(), Kind::InvalidArgument);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let new = || Array::builder([10, 20], DataType::Int16);
        for builder in [
            new().chunks([5]),
            new().chunks([5, 0]),
            new().chunks([5, 5]).shards([12, 10]),
            new().chunks([5, 5]).shards([10]),
            new().dimension_names(["x"]),
            new().codecs("zstd:99"),
            new().codecs(Vec::new()),
        ] {
            assert_eq!(builder.metadata().unwrap_err().kind(), Kind::InvalidArgument);
        }
    }
}
