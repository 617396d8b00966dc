//! From the options of `fuzarr create` to the metadata document of a Zarr v3 array; for one of v2 it is
//! put into that format's terms later.

use crate::arguments::{Create, IndexLocation, Lengths};
use crate::value;
use fuzarr::codec;
use fuzarr::dtype::{DataType, from_numpy};
use fuzarr::grid::{ChunkKeyEncoding, Separator};
use fuzarr::metadata::json;
use fuzarr::metadata::{Extension, Format};
use fuzarr::{Array, Error, Kind, Result};
use serde_json::{Map, Value, json};

/// The type that `text` names in Zarr's spelling (`int16`, `r24`) or NumPy's (`<i2`, `V3`, `U7`,
/// `M8[ns]`).
///
/// # Errors
/// `Unsupported`, `InvalidMetadata`, `Limit` or `InvalidArgument` if it names none.
pub fn data_type(text: &str) -> Result<DataType> {
    if text.starts_with('>') {
        return Err(Error::invalid_argument(
            "byte order is a matter of how chunks are stored: `--codecs bytes:big`",
        ));
    }
    if matches!(text, "str" | "T") {
        return Ok(DataType::String);
    }
    DataType::from_extension(&Extension::new(text)).or_else(|error| match from_numpy(text) {
        Ok((data_type, _)) => Ok(data_type),
        Err(other) if other.kind() == Kind::Unsupported => Err(error),
        Err(other) => Err(other),
    })
}

/// The metadata document that the options describe, for an array that will be of `format`;
/// `--metadata` is not looked at.
///
/// # Errors
/// `InvalidArgument` for options that are missing, malformed or contradict each other.
pub fn document(options: &Create, format: Format) -> Result<Value> {
    let missing = |option| Error::invalid_argument(format!("`--{option}` is missing"));
    let Lengths(shape) = options.shape.as_ref().ok_or_else(|| missing("shape"))?;
    let Lengths(chunks) = options.chunks.as_ref().ok_or_else(|| missing("chunks"))?;
    let data_type = options.dtype.ok_or_else(|| missing("dtype"))?;
    let mut builder = Array::builder(shape.as_slice(), data_type)
        .chunks(chunks.as_slice())
        .codecs(options.codecs.as_str())
        .index_location(match options.index_location {
            IndexLocation::Start => codec::IndexLocation::Start,
            IndexLocation::End => codec::IndexLocation::End,
        })
        .chunk_keys(chunk_keys(options.chunk_keys.as_deref(), format)?)
        .attributes(attributes(options.attributes.as_deref())?);
    if let Some(Lengths(shards)) = &options.shards {
        builder = builder.shards(shards.as_slice());
    }
    if let Some(text) = &options.fill {
        let fill = value::parse(text, data_type);
        builder = builder.fill_json(fill.map_err(|error| error.with("option", "--fill"))?);
    }
    if let Some(names) = &options.dimension_names {
        let names = names.split(',').map(str::trim);
        builder = builder.dimension_names(names.map(|name| (!name.is_empty()).then_some(name)));
    }
    builder.metadata().map(|metadata| metadata.to_json())
}

/// The metadata document of a group.
///
/// # Errors
/// `InvalidArgument` for attributes that are no JSON object.
pub fn group(options: &Create) -> Result<Value> {
    let attributes = attributes(options.attributes.as_deref())?;
    Ok(json!({"zarr_format": 3, "node_type": "group", "attributes": attributes}))
}

fn chunk_keys(text: Option<&str>, format: Format) -> Result<ChunkKeyEncoding> {
    let text = match (text, format) {
        (Some(text), _) => text,
        (None, Format::V2) => "v2",
        (None, Format::V3) => "default",
    };
    let (name, separator) = match text.split_once(':') {
        Some((name, separator)) => (name, separator),
        None => (text, if text == "v2" { "." } else { "/" }),
    };
    let separator = match separator {
        "/" => Some(Separator::Slash),
        "." => Some(Separator::Dot),
        _ => None,
    };
    match (name, separator) {
        ("default", Some(_)) if format == Format::V2 => {
            Err(Error::invalid_argument("Zarr v2 names chunks by `--chunk-keys v2` only"))
        }
        ("default", Some(separator)) => Ok(ChunkKeyEncoding::Default { separator }),
        ("v2", Some(separator)) => Ok(ChunkKeyEncoding::V2 { separator }),
        _ => Err(Error::invalid_argument(format!(
            "`--chunk-keys {text}`: `default` or `v2`, then perhaps `:.` or `:/`"
        ))),
    }
}

fn attributes(text: Option<&str>) -> Result<Map<String, Value>> {
    let wrong = || Error::invalid_argument("`--attributes` is not a JSON object");
    match json::parse(text.unwrap_or("{}").as_bytes()) {
        Ok(Value::Object(attributes)) => Ok(attributes),
        Ok(_) => Err(wrong()),
        Err(error) => Err(wrong().with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser as _;
    use fuzarr::dtype::TimeUnit;

    fn create(options: &str) -> Result<Value> {
        let words = ["fuzarr", "create", "x.zarr"].into_iter().chain(options.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Create(create) => document(&create, Format::V3),
            _ => panic!("not create"),
        }
    }

    /// As `zarr.create_array` of zarr-python 3.4.2 writes it.
    #[test]
    fn the_defaults_are_those_of_zarr_python() {
        let document = create("--shape 10,20 --dtype int16 --chunks 5,5 --shards 10,10").unwrap();
        let expected = json!({
            "shape": [10, 20],
            "data_type": "int16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10, 10]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "sharding_indexed", "configuration": {
                "chunk_shape": [5, 5],
                "codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}},
                    {"name": "zstd", "configuration": {"level": 0, "checksum": false}},
                ],
                "index_codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}},
                    {"name": "crc32c"},
                ],
                "index_location": "end",
            }}],
            "attributes": {},
            "storage_transformers": [],
            "zarr_format": 3,
            "node_type": "array",
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn options_appear_in_the_document() {
        let document = create(
            "--shape 10,20 --dtype f4 --chunks 5,4 --fill nan --dimension-names y, \
             --attributes {\"a\":1} --chunk-keys v2 --codecs none",
        )
        .unwrap();
        assert_eq!(document["fill_value"], "NaN");
        assert_eq!(document["dimension_names"], json!(["y", null]));
        assert_eq!(document["attributes"], json!({"a": 1}));
        assert_eq!(document["chunk_key_encoding"]["configuration"]["separator"], ".");
        assert_eq!(document["codecs"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn types_with_a_configuration_are_written_with_it() {
        let document = create("--shape 3 --chunks 2 --codecs none --dtype M8[ms]").unwrap();
        let data_type = json!({"name": "numpy.datetime64",
            "configuration": {"unit": "ms", "scale_factor": 1}});
        assert_eq!((&document["data_type"], &document["fill_value"]), (&data_type, &json!("NaT")));
        let document = create("--shape 3 --chunks 2 --codecs none --dtype U7 --fill é").unwrap();
        let data_type =
            json!({"name": "fixed_length_utf32", "configuration": {"length_bytes": 28}});
        assert_eq!((&document["data_type"], &document["fill_value"]), (&data_type, &json!("é")));
        let bytes = json!([{"name": "bytes", "configuration": {"endian": "little"}}]);
        assert_eq!(document["codecs"], bytes);
    }

    #[test]
    fn contradictions_are_refused() {
        let base = "--shape 10,20 --dtype i2";
        for options in [
            "--chunks 5",
            "--chunks 5,0",
            "--chunks 5,5 --shards 12,10",
            "--chunks 5,5 --shards 10",
            "--chunks 5,5 --dimension-names x",
            "--chunks 5,5 --attributes [1]",
            "--chunks 5,5 --attributes {",
            "--chunks 5,5 --fill 1.5",
            "--chunks 5,5 --fill 32768",
            "--chunks 5,5 --chunk-keys v3",
            "--chunks 5,5 --chunk-keys v2:-",
        ] {
            let error = create(&format!("{base} {options}")).unwrap_err();
            assert_eq!(error.kind(), fuzarr::Kind::InvalidArgument, "{options}");
        }
    }

    #[test]
    fn types_go_by_zarr_and_numpy_names() {
        for (text, expected) in [
            ("int16", DataType::Int16),
            ("<i2", DataType::Int16),
            ("|b1", DataType::Bool),
            ("r24", DataType::Raw(3)),
            ("V3", DataType::Raw(3)),
            ("c16", DataType::Complex128),
            ("str", DataType::String),
            ("bytes", DataType::Bytes),
            ("bfloat16", DataType::BFloat16),
            ("|S5", DataType::FixedBytes(5)),
            ("<U7", DataType::FixedUnicode(7)),
            ("M8[ns]", DataType::DateTime64 { unit: TimeUnit::Nanosecond, scale: 1 }),
            ("timedelta64[10s]", DataType::TimeDelta64 { unit: TimeUnit::Second, scale: 10 }),
        ] {
            assert_eq!(data_type(text).unwrap(), expected, "{text}");
        }
        for text in ["i3", ">i2", "V0", "S0", "U99999999", "|i2", "V", "", "int", "raw_bytes", "O"]
        {
            assert!(data_type(text).is_err(), "{text}");
        }
    }
}
