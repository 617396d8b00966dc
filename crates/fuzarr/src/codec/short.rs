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

use super::Registry;
use crate::dtype::{DataType, ElementLayout};
use crate::error::{Error, Result};
use crate::metadata::Extension;

/// The codecs that have a short form.
const NAMES: [&str; 8] =
    ["transpose", "bytes", "vlen-utf8", "vlen-bytes", "zstd", "gzip", "blosc", "crc32c"];

/// What a step turns into what; steps come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    ArrayToArray,
    ArrayToBytes,
    BytesToBytes,
}

/// Whether `word` begins with the name of a codec that has a short form, or is `none`.
#[must_use]
pub fn knows(word: &str) -> bool {
    let name = word.split(':').next().unwrap_or_default();
    NAMES.contains(&name) || is_none(word)
}

fn is_none(word: &str) -> bool {
    matches!(word, "none" | "raw")
}

/// The codecs that `text` asks for, as in metadata: a list in the short form, or JSON. In the
/// short form the step from array to bytes is added where it is left out.
///
/// # Errors
/// `InvalidArgument` if the text names no known codec, one with settings that it does not take, or
/// not in an order that is possible.
pub fn parse(text: &str, data_type: DataType) -> Result<Vec<Extension>> {
    if is_json(text) {
        return from_json(text);
    }
    let mut steps = staged(text, data_type)?;
    if !steps.iter().any(|(stage, _)| *stage == Stage::ArrayToBytes) {
        let place = steps.partition_point(|(stage, _)| *stage == Stage::ArrayToArray);
        steps.insert(place, (Stage::ArrayToBytes, array_to_bytes(data_type, "little")));
    }
    Ok(steps.into_iter().map(|(_, codec)| codec).collect())
}

/// The codecs that `text` names, as for [`parse`], and no others: none for `none`.
///
/// # Errors
/// As [`parse`].
pub fn steps(text: &str, data_type: DataType) -> Result<Vec<Extension>> {
    if is_json(text) {
        return from_json(text);
    }
    Ok(staged(text, data_type)?.into_iter().map(|(_, codec)| codec).collect())
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

fn from_json(text: &str) -> Result<Vec<Extension>> {
    let codecs: Vec<Value> = serde_json::from_str(text)
        .map_err(|error| Error::invalid_argument("the codecs are not JSON").with_source(error))?;
    let codecs = codecs.iter().map(Extension::from_json).collect::<Result<_>>();
    codecs.map_err(|error| Error::invalid_argument("the codecs are malformed").with_source(error))
}

/// The codecs of a text in the short form.
fn staged(text: &str, data_type: DataType) -> Result<Vec<(Stage, Extension)>> {
    let words: Vec<&str> = text.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    if let [word] = words.as_slice()
        && is_none(word)
    {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    let mut reached = Stage::ArrayToArray;
    for word in words {
        let (stage, codec) = step(word, data_type).map_err(|error| error.with("codec", word))?;
        if stage < reached || (stage, reached) == (Stage::ArrayToBytes, Stage::ArrayToBytes) {
            return Err(Error::invalid_argument(format!("codec `{word}` cannot come that late")));
        }
        reached = stage;
        steps.push((stage, codec));
    }
    Ok(steps)
}

/// The codec that lays elements out as bytes.
#[must_use]
pub fn array_to_bytes(data_type: DataType, endian: &str) -> Extension {
    match data_type {
        DataType::String => Extension::new("vlen-utf8"),
        DataType::Bytes => Extension::new("vlen-bytes"),
        _ => complete(Extension::new("bytes").with("endian", endian), data_type),
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

/// The codec of one word. What its settings may be, the codec itself says.
fn step(word: &str, data_type: DataType) -> Result<(Stage, Extension)> {
    let mut settings = word.split(':');
    let codec = Extension::new(settings.next().unwrap_or_default());
    let settings: Vec<&str> = settings.collect();
    let (stage, codec) = match (&*codec.name, settings.as_slice()) {
        ("transpose", order) if !order.is_empty() => {
            let order = order.iter().map(|axis| number(axis)).collect::<Result<Vec<_>>>()?;
            (Stage::ArrayToArray, codec.with("order", order))
        }
        ("bytes", []) => (Stage::ArrayToBytes, array_to_bytes(data_type, "little")),
        ("bytes", [endian]) => {
            // Judged here: types of single bytes have no byte order.
            judge(&codec.with("endian", *endian))?;
            (Stage::ArrayToBytes, array_to_bytes(data_type, endian))
        }
        ("vlen-utf8" | "vlen-bytes", []) => (Stage::ArrayToBytes, codec),
        ("zstd" | "gzip" | "crc32c", []) => (Stage::BytesToBytes, codec),
        ("zstd" | "gzip", [level]) => (Stage::BytesToBytes, codec.with("level", number(level)?)),
        ("zstd", [level, "checksum"]) => {
            let codec = codec.with("level", number(level)?).with("checksum", true);
            (Stage::BytesToBytes, codec)
        }
        ("blosc", settings) if settings.len() <= 3 => {
            (Stage::BytesToBytes, blosc(codec, settings)?)
        }
        (name, _) if NAMES.contains(&name) => {
            return Err(Error::invalid_argument("the settings of the codec are not understood"));
        }
        _ => {
            let names = NAMES.join(", ");
            return Err(Error::invalid_argument(format!(
                "no such codec; there are {names} and none"
            )));
        }
    };
    let codec = complete(codec, data_type);
    judge(&codec)?;
    Ok((stage, codec))
}

/// Checks that there is such a codec.
fn judge(codec: &Extension) -> Result<()> {
    let judged = Registry::default().codec(codec);
    judged.map(drop).map_err(|error| Error::invalid_argument(error.message()))
}

fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::invalid_argument(format!("`{text}` is no whole number")))
}

fn blosc(mut codec: Extension, settings: &[&str]) -> Result<Extension> {
    for (name, setting) in ["cname", "clevel", "shuffle"].into_iter().zip(settings) {
        codec = match name {
            "clevel" => codec.with(name, number(setting)?),
            _ => codec.with(name, *setting),
        };
    }
    Ok(codec)
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
        let parse = |text, data_type| -> Vec<Value> {
            let parsed = parse(text, data_type).unwrap();
            parsed.iter().map(Extension::to_json_object).collect()
        };
        let parsed = |text| parse(text, DataType::Int16);
        assert_eq!(parsed("none"), std::slice::from_ref(&little));
        assert_eq!(parsed("zstd:3"), [little.clone(), zstd.clone()]);
        assert_eq!(parsed("transpose:1:0"), [transpose.clone(), little.clone()]);
        assert_eq!(parsed("transpose:1:0, bytes, zstd:3"), [transpose, little, zstd]);
        assert_eq!(
            parsed("blosc:lz4:5:shuffle")[1],
            json!({"name": "blosc", "configuration": {"typesize": 2, "cname": "lz4", "clevel": 5,
                "shuffle": "shuffle", "blocksize": 0}})
        );
        assert_eq!(parse("crc32c", DataType::String)[0], json!({"name": "vlen-utf8"}));
        assert_eq!(parse("bytes:big", DataType::Int8), [json!({"name": "bytes"})]);
        assert_eq!(parse(r#"[{"name": "x"}]"#, DataType::Int8), [json!({"name": "x"})]);
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
            assert_eq!(
                codecs
                    .iter()
                    .map(|codec| short(&codec.to_json_object()))
                    .collect::<Vec<_>>()
                    .join(","),
                text
            );
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
    fn steps_are_what_is_named_and_no_more() {
        let steps = |text| {
            let steps = steps(text, DataType::Int16).unwrap();
            steps.into_iter().map(|codec| codec.name).collect::<Vec<_>>().join(",")
        };
        assert_eq!(steps("none"), "");
        assert_eq!(steps("zstd:3,crc32c"), "zstd,crc32c");
        assert_eq!(steps("transpose:1:0,bytes"), "transpose,bytes");
        assert!(knows("none") && knows("zstd:99") && knows("bytes"));
        assert!(!knows("numcodecs.lz4") && !knows("zstd2:1"));
    }

    #[test]
    fn codecs_judge_their_settings_themselves() {
        let error = parse("crc32c,zstd:99", DataType::Int8).unwrap_err();
        assert!(error.message().contains("level 99 is not in"), "{error}");
        assert_eq!(error.context("codec"), Some("zstd:99"));
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
            "[1]",
        ] {
            let error = parse(text, DataType::Int16).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::InvalidArgument, "{text}");
        }
    }
}
