//! The short form of codecs, as in `transpose:1:0,zstd:5`: from text to metadata and back.
//!
//! | Codec | |
//! |---|---|
//! | `transpose:1:0` | order of the axes |
//! | `bytes:little`, `bytes:big` | byte order; little unless given |
//! | `zstd:LEVEL[:checksum]` | levels -131072 to 22; 0 unless given |
//! | `gzip:LEVEL` | levels 0 to 9; 5 unless given |
//! | `blosc:CNAME:LEVEL[:SHUFFLE]` | `lz4`, `lz4hc`, `blosclz`, `zstd`, `snappy`, `zlib`; levels 0 to 9; `noshuffle`, `shuffle`, `bitshuffle` |
//! | `crc32c` | checksum |
//! | `none` | no compression, alone |

use serde_json::{Value, json};

use crate::dtype::{DataType, ElementLayout};
use crate::error::{Error, Result};
use crate::metadata::Extension;

/// What a step turns into what; steps come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    ArrayToArray,
    ArrayToBytes,
    BytesToBytes,
}

/// The codecs that `text` asks for, as in metadata: a list in the short form, or JSON. In the
/// short form the step from array to bytes is added where it is left out.
///
/// # Errors
/// `InvalidArgument` if the text names no known codec, or not in an order that is possible.
pub fn parse(text: &str, data_type: DataType) -> Result<Vec<Value>> {
    let text = text.trim();
    if text.starts_with('[') {
        let wrong = |error| Error::invalid_argument("the codecs are not JSON").with_source(error);
        return serde_json::from_str(text).map_err(wrong);
    }
    let words: Vec<&str> = text.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    let words = match words.as_slice() {
        ["none" | "raw"] => &[],
        words => words,
    };
    let mut codecs = Vec::new();
    let mut reached = Stage::ArrayToArray;
    for word in words {
        let (stage, codec) = step(word, data_type).map_err(|error| error.with("codec", word))?;
        if stage < reached || (stage, reached) == (Stage::ArrayToBytes, Stage::ArrayToBytes) {
            return Err(Error::invalid_argument(format!("codec `{word}` cannot come that late")));
        }
        if stage == Stage::BytesToBytes && reached == Stage::ArrayToArray {
            codecs.push(array_to_bytes(data_type, "little"));
        }
        reached = stage;
        codecs.push(codec);
    }
    if reached == Stage::ArrayToArray {
        codecs.push(array_to_bytes(data_type, "little"));
    }
    Ok(codecs)
}

/// The codec that lays elements out as bytes.
pub fn array_to_bytes(data_type: DataType, endian: &str) -> Value {
    match data_type {
        DataType::String => json!({"name": "vlen-utf8"}),
        DataType::Bytes => json!({"name": "vlen-bytes"}),
        _ if data_type.number_size() == 1 => json!({"name": "bytes"}),
        _ => json!({"name": "bytes", "configuration": {"endian": endian}}),
    }
}

/// The codec with the settings that it leaves open, as zarr-python chooses them for elements of
/// `data_type`; null counts as open. `bytes` has a byte order if the type has one.
#[must_use]
pub fn complete(mut codec: Extension, data_type: DataType) -> Extension {
    codec.configuration.retain(|_, setting| !setting.is_null());
    let size = match data_type.layout() {
        ElementLayout::Fixed(size) => size,
        ElementLayout::Variable => 1,
    };
    let shuffle = if size == 1 { "bitshuffle" } else { "shuffle" };
    let defaults = match codec.name.as_str() {
        "bytes" if data_type.number_size() == 1 => {
            codec.configuration.shift_remove("endian");
            return codec;
        }
        "bytes" => json!({"endian": "little"}),
        "zstd" => json!({"level": 0, "checksum": false}),
        "gzip" => json!({"level": 5}),
        "blosc" => json!({
            "typesize": size, "cname": "zstd", "clevel": 5, "shuffle": shuffle, "blocksize": 0
        }),
        _ => return codec,
    };
    for (key, setting) in defaults.as_object().into_iter().flatten() {
        codec.configuration.entry(key).or_insert_with(|| setting.clone());
    }
    codec
}

fn step(word: &str, data_type: DataType) -> Result<(Stage, Value)> {
    let mut settings = word.split(':');
    let name = settings.next().unwrap_or_default();
    let settings: Vec<&str> = settings.collect();
    let codec = match (name, settings.as_slice()) {
        ("transpose", order) if !order.is_empty() => {
            let order = order.iter().map(|axis| number(axis, 0, i64::from(u32::MAX)));
            let order = order.collect::<Result<Vec<_>>>()?;
            (Stage::ArrayToArray, json!({"name": name, "configuration": {"order": order}}))
        }
        ("bytes", []) => (Stage::ArrayToBytes, array_to_bytes(data_type, "little")),
        ("bytes", [endian @ ("little" | "big")]) => {
            (Stage::ArrayToBytes, array_to_bytes(data_type, endian))
        }
        ("vlen-utf8" | "vlen-bytes", []) => (Stage::ArrayToBytes, json!({"name": name})),
        ("zstd", []) => (Stage::BytesToBytes, zstd("0", false)?),
        ("zstd", [level]) => (Stage::BytesToBytes, zstd(level, false)?),
        ("zstd", [level, "checksum"]) => (Stage::BytesToBytes, zstd(level, true)?),
        ("gzip", []) => (Stage::BytesToBytes, gzip("5")?),
        ("gzip", [level]) => (Stage::BytesToBytes, gzip(level)?),
        ("blosc", settings) => (Stage::BytesToBytes, blosc(settings, data_type)?),
        ("crc32c", []) => (Stage::BytesToBytes, json!({"name": name})),
        ("transpose" | "bytes" | "zstd" | "gzip" | "crc32c", _) => {
            return Err(Error::invalid_argument("the settings of the codec are not understood"));
        }
        _ => {
            return Err(Error::invalid_argument(
                "no such codec; there are transpose, bytes, zstd, gzip, blosc, crc32c and none",
            ));
        }
    };
    Ok(codec)
}

fn number(text: &str, least: i64, most: i64) -> Result<i64> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        Error::invalid_argument(format!("`{text}` is not a number from {least} to {most}"))
    })
}

fn zstd(level: &str, checksum: bool) -> Result<Value> {
    let level = number(level, -131_072, 22)?;
    Ok(json!({"name": "zstd", "configuration": {"level": level, "checksum": checksum}}))
}

fn gzip(level: &str) -> Result<Value> {
    Ok(json!({"name": "gzip", "configuration": {"level": number(level, 0, 9)?}}))
}

fn blosc(settings: &[&str], data_type: DataType) -> Result<Value> {
    let (cname, level, shuffle) = match *settings {
        [] => ("zstd", "5", None),
        [cname] => (cname, "5", None),
        [cname, level] => (cname, level, None),
        [cname, level, shuffle] => (cname, level, Some(shuffle)),
        _ => return Err(Error::invalid_argument("blosc takes three settings at most")),
    };
    if !["lz4", "lz4hc", "blosclz", "zstd", "snappy", "zlib"].contains(&cname) {
        return Err(Error::invalid_argument(format!("blosc has no compressor `{cname}`")));
    }
    let size = match data_type.layout() {
        ElementLayout::Fixed(size) => size,
        ElementLayout::Variable => 1,
    };
    // Of single bytes there is nothing to shuffle but bits.
    let shuffle = shuffle.unwrap_or(if size == 1 { "bitshuffle" } else { "shuffle" });
    if !["noshuffle", "shuffle", "bitshuffle"].contains(&shuffle) {
        return Err(Error::invalid_argument(format!("blosc has no shuffle `{shuffle}`")));
    }
    Ok(json!({"name": "blosc", "configuration": {
        "typesize": size,
        "cname": cname,
        "clevel": number(level, 0, 9)?,
        "shuffle": shuffle,
        "blocksize": 0,
    }}))
}

/// A codec of metadata in the short form. What the short form cannot say is shown as JSON.
#[must_use]
pub fn short(codec: &Value) -> String {
    let (name, configuration) = match codec {
        Value::String(name) => (name.as_str(), &Value::Null),
        _ => (codec["name"].as_str().unwrap_or("?"), &codec["configuration"]),
    };
    let text = |key: &str| configuration[key].as_str();
    let known = match name {
        "bytes" => Some(text("endian").map_or("bytes".into(), |endian| format!("bytes:{endian}"))),
        "transpose" => configuration["order"].as_array().map(|order| {
            let order: Vec<String> = order.iter().map(Value::to_string).collect();
            format!("transpose:{}", order.join(":"))
        }),
        "zstd" => configuration["level"].as_i64().map(|level| {
            let checksum = configuration["checksum"] == true;
            format!("zstd:{level}{}", if checksum { ":checksum" } else { "" })
        }),
        "gzip" => configuration["level"].as_i64().map(|level| format!("gzip:{level}")),
        "blosc" => (|| {
            let level = configuration["clevel"].as_i64()?;
            Some(format!("blosc:{}:{level}:{}", text("cname")?, text("shuffle")?))
        })(),
        _ if configuration.as_object().is_none_or(serde_json::Map::is_empty) => Some(name.into()),
        _ => None,
    };
    known.unwrap_or_else(|| format!("{name}{configuration}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_to_bytes_is_added_where_it_belongs() {
        let little = json!({"name": "bytes", "configuration": {"endian": "little"}});
        let zstd = json!({"name": "zstd", "configuration": {"level": 3, "checksum": false}});
        let transpose = json!({"name": "transpose", "configuration": {"order": [1, 0]}});
        let parsed = |text| parse(text, DataType::Int16).unwrap();
        assert_eq!(parsed("none"), std::slice::from_ref(&little));
        assert_eq!(parsed("zstd:3"), [little.clone(), zstd.clone()]);
        assert_eq!(parsed("transpose:1:0"), [transpose.clone(), little.clone()]);
        assert_eq!(parsed("transpose:1:0, bytes, zstd:3"), [transpose, little, zstd]);
        assert_eq!(
            parsed("blosc:lz4:5:shuffle")[1],
            json!({"name": "blosc", "configuration": {"typesize": 2, "cname": "lz4", "clevel": 5,
                "shuffle": "shuffle", "blocksize": 0}})
        );
        assert_eq!(parse("crc32c", DataType::String).unwrap()[0], json!({"name": "vlen-utf8"}));
        assert_eq!(parse("bytes:big", DataType::Int8).unwrap(), [json!({"name": "bytes"})]);
        assert_eq!(parse(r#"[{"name": "x"}]"#, DataType::Int8).unwrap(), [json!({"name": "x"})]);
    }

    #[test]
    fn short_forms_read_back() {
        for text in [
            "bytes:big",
            "transpose:2:0:1,bytes:little,zstd:-5,crc32c",
            "bytes:little,zstd:22:checksum",
            "bytes:little,gzip:9,blosc:lz4hc:1:noshuffle,blosc:snappy:9:bitshuffle",
        ] {
            let codecs = parse(text, DataType::Float32).unwrap();
            assert_eq!(codecs.iter().map(short).collect::<Vec<_>>().join(","), text);
        }
        assert_eq!(short(&json!("crc32c")), "crc32c");
        assert_eq!(short(&json!({"name": "x", "configuration": {"a": 1}})), r#"x{"a":1}"#);
    }

    #[test]
    fn open_settings_are_filled_in() {
        let complete = |codec: Value, data_type| {
            super::complete(Extension::from_json(&codec).unwrap(), data_type).to_json_object()
        };
        let bytes = json!({"name": "bytes", "configuration": {"endian": "little"}});
        assert_eq!(complete(bytes.clone(), DataType::Bool), json!({"name": "bytes"}));
        assert_eq!(complete(json!("bytes"), DataType::Int16), bytes);
        let blosc = json!({"name": "blosc", "configuration": {"typesize": null, "clevel": 1}});
        let blosc = complete(blosc, DataType::Int16);
        assert_eq!(blosc["configuration"]["typesize"], 2);
        assert_eq!(blosc["configuration"]["clevel"], 1);
        assert_eq!(blosc["configuration"]["shuffle"], "shuffle");
        assert_eq!(complete(json!({"name": "other"}), DataType::Bool), json!({"name": "other"}));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            "zstd:23",
            "zstd:x",
            "gzip:10",
            "gzip:-1",
            "blosc:lz5",
            "blosc:lz4:10",
            "lz4",
            "zstd:1:2",
            "blosc:lz4:1:2",
            "bytes:middle",
            "transpose",
            "transpose:-1",
            "zstd,bytes",
            "bytes,bytes",
            "bytes,transpose:1:0",
            "none,zstd",
            "crc32c:1",
            "[",
            "[1",
        ] {
            let error = parse(text, DataType::Int16).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::InvalidArgument, "{text}");
        }
    }
}
