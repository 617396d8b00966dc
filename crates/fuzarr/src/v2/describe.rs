//! From the terms of v3 to a document of v2.

use serde_json::{Map, Value, json};

use super::codecs::{NUMCODECS, SHUFFLES};
use super::{DIMENSIONS, array_from_json};
use crate::dtype::{self, DataType, Endian};
use crate::error::{Error, Result};
use crate::metadata::{ArrayMetadata, Extension};

/// The same array stored in Zarr v2. Names of dimensions become the attribute [`DIMENSIONS`], and a
/// key encoding other than that of v2 becomes it, with the same separator.
///
/// # Errors
/// `Unsupported` for what v2 cannot say: sharding, transposes other than the reversal of all
/// dimensions, grids that are not regular, dimensions of which only some have names, and types,
/// fill values and codecs that it has no spelling for; `InvalidMetadata` for a malformed
/// configuration.
pub fn describe(array: &ArrayMetadata) -> Result<ArrayMetadata> {
    if array.v2.is_some() {
        return Ok(array.clone());
    }
    if let Some(member) = array.extra.keys().next() {
        return Err(cannot(&format!("the member `{member}`")));
    }
    let data_type = DataType::from_extension(&array.data_type)?;
    let chain = Chain::of(&array.codecs, array.shape.len())?;
    let fill = dtype::fill_from_json(data_type, &array.fill_value)?;
    // Filters may leave the numbers in another order than the elements are said to have.
    let endian = chain.endian.unwrap_or(Endian::Little);
    let element = dtype::to_numpy(data_type, endian)
        .ok_or_else(|| cannot(&format!("data type `{}` in this byte order", data_type.name())))?;
    let mut filters = chain.filters;
    let compressor = if chain.compressed { filters.pop() } else { None };
    let document = json!({
        "shape": array.shape,
        "chunks": chunks(&array.chunk_grid)?,
        "dtype": element,
        "fill_value": dtype::fill_to_v2(data_type, &fill)?,
        "order": if chain.reversed { "F" } else { "C" },
        "filters": if filters.is_empty() { Value::Null } else { filters.into() },
        "dimension_separator": separator(&array.chunk_key_encoding)?,
        "compressor": compressor,
        "zarr_format": 2,
    });
    let described = array_from_json(&document, attributes(array)?)?;
    let read = dtype::fill_from_json(data_type, &described.fill_value)?;
    if read != fill {
        return Err(cannot("a NaN of this kind as fill value"));
    }
    // A filter names its types itself, so the order that it leaves is not ours to choose.
    if data_type.number_size() > 1
        && Chain::of(&described.codecs, array.shape.len())?.endian != chain.endian
    {
        return Err(cannot("another byte order than that of the filters' types"));
    }
    Ok(described)
}

#[cold]
fn cannot(what: &str) -> Error {
    Error::unsupported(format!("not supported by Zarr v2: {what}"))
}

/// A chain of codecs, as far as v2 can say it.
struct Chain {
    /// Whether the elements are stored with their dimensions reversed.
    reversed: bool,
    endian: Option<Endian>,
    filters: Vec<Value>,
    /// Whether the last filter is one of bytes, and so may be the compressor.
    compressed: bool,
}

impl Chain {
    fn of(codecs: &[Extension], rank: usize) -> Result<Self> {
        let mut chain =
            Self { reversed: false, endian: None, filters: Vec::new(), compressed: false };
        let mut is_bytes = false;
        for (position, codec) in codecs.iter().enumerate() {
            match codec.name.as_str() {
                "transpose" if position == 0 => chain.reversed = is_reversal(codec, rank)?,
                "transpose" => return Err(cannot("a transpose after other codecs")),
                "sharding_indexed" => return Err(cannot("sharding")),
                "bytes" | "endian" => {
                    chain.endian = endian(codec)?;
                    is_bytes = true;
                }
                "vlen-utf8" | "vlen-bytes" => {
                    chain.filters.push(filter(&codec.name, &Map::new()));
                    is_bytes = true;
                }
                _ => {
                    chain.filters.push(compressor(codec)?);
                    chain.compressed = is_bytes;
                }
            }
        }
        Ok(chain)
    }
}

/// Whether a transpose reverses all dimensions; `false` if it leaves them.
fn is_reversal(codec: &Extension, rank: usize) -> Result<bool> {
    let order = codec.shape("order")?.unwrap_or_default();
    let identity: Vec<u64> = (0..rank as u64).collect();
    if order == identity {
        return Ok(false);
    }
    if order.iter().rev().eq(&identity) {
        return Ok(true);
    }
    Err(cannot("a transpose that does not reverse all dimensions"))
}

fn endian(codec: &Extension) -> Result<Option<Endian>> {
    match codec.string("endian")? {
        None => Ok(None),
        Some("little") => Ok(Some(Endian::Little)),
        Some("big") => Ok(Some(Endian::Big)),
        Some(other) => Err(Error::invalid_metadata(format!("no byte order `{other}`"))),
    }
}

fn filter(id: &str, configuration: &Map<String, Value>) -> Value {
    let mut filter = Map::new();
    filter.insert("id".into(), id.into());
    filter.extend(configuration.iter().map(|(key, value)| (key.clone(), value.clone())));
    filter.into()
}

/// A filter or compressor with the settings that zarr-python writes.
fn compressor(codec: &Extension) -> Result<Value> {
    let mut settings = codec.configuration.clone();
    match codec.name.as_str() {
        "gzip" | "crc32c" => {}
        "zstd" => {
            if settings.get("checksum") == Some(&Value::Bool(false)) {
                settings.shift_remove("checksum");
            }
        }
        "blosc" => {
            let shuffle = codec.string("shuffle")?.unwrap_or("noshuffle");
            let number = SHUFFLES.iter().position(|name| *name == shuffle).ok_or_else(|| {
                Error::invalid_metadata(format!("no shuffle `{shuffle}`")).with("codec", "blosc")
            })?;
            settings.shift_remove("typesize");
            settings.insert("shuffle".into(), number.into());
            settings.entry("blocksize").or_insert_with(|| 0.into());
        }
        name => {
            let id = name.strip_prefix(NUMCODECS).filter(|_| codec.must_understand);
            let id = id.ok_or_else(|| cannot(&format!("codec `{name}`")).with("codec", name))?;
            return Ok(filter(id, &settings));
        }
    }
    Ok(filter(&codec.name, &settings))
}

fn chunks(grid: &Extension) -> Result<Vec<u64>> {
    if grid.name != "regular" {
        return Err(cannot(&format!("chunk grid `{}`", grid.name)));
    }
    grid.shape("chunk_shape")?
        .ok_or_else(|| Error::invalid_metadata("the chunk grid has no `chunk_shape`"))
}

fn separator(keys: &Extension) -> Result<&str> {
    let default = match keys.name.as_str() {
        "v2" => ".",
        "default" => "/",
        name => return Err(cannot(&format!("chunk key encoding `{name}`"))),
    };
    Ok(keys.string("separator")?.unwrap_or(default))
}

/// The attributes, with the names of the dimensions among them.
fn attributes(array: &ArrayMetadata) -> Result<Map<String, Value>> {
    let mut attributes = array.attributes.clone();
    let names = array.dimension_names.iter().flatten();
    let names: Option<Vec<&str>> = names.map(Option::as_deref).collect();
    let Some(names) = names else {
        let unnamed = array.dimension_names.iter().flatten().all(Option::is_none);
        return if unnamed {
            Ok(attributes)
        } else {
            Err(cannot("dimensions of which only some have names"))
        };
    };
    if array.dimension_names.is_none() {
        return Ok(attributes);
    }
    let names = json!(names);
    match attributes.get(DIMENSIONS) {
        Some(other) if *other != names => Err(Error::invalid_argument(format!(
            "the dimensions have names, and the attribute `{DIMENSIONS}` has others"
        ))),
        _ => {
            attributes.insert(DIMENSIONS.into(), names);
            Ok(attributes)
        }
    }
}
