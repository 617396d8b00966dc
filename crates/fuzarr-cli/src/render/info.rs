//! `fuzarr info`.

use super::quantity::{bytes, count, ratio, shape};
use super::{table, visible};
use fuzarr::codec::short;
use fuzarr::metadata::json;
use owo_colors::OwoColorize as _;
use serde_json::{Map, Value, json};

/// What is stored of an array.
#[derive(Debug, Clone, Copy, Default)]
pub struct Storage {
    /// Bytes of all elements in memory, where the size of one is fixed and known.
    pub decoded_bytes: Option<u128>,
    /// Bytes of all stored objects that hold chunks.
    pub bytes: u128,
    /// Stored objects.
    pub objects: u128,
    /// Objects there would be if no chunk were left out.
    pub possible_objects: u128,
    /// The same two numbers of inner chunks, where they were counted.
    pub inner_chunks: Option<(u128, u128)>,
}

/// An array as `info` shows it.
#[derive(Debug, Clone)]
pub struct ArrayInfo<'a> {
    /// Store and path.
    pub name: &'a str,
    /// The metadata document; what it lacks is not shown.
    pub document: &'a Value,
    /// What is stored, if that can be told.
    pub storage: Option<Storage>,
    /// Why the array cannot be read, if so.
    pub missing: Vec<String>,
}

/// A group as `info` shows it.
#[derive(Debug, Clone)]
pub struct GroupInfo<'a> {
    /// Store and path.
    pub name: &'a str,
    /// The metadata document.
    pub document: &'a Value,
    /// Names of the groups right below.
    pub groups: Vec<String>,
    /// Names of the arrays right below.
    pub arrays: Vec<String>,
    /// Names right below whose metadata cannot be read, with the reason.
    pub broken: Vec<(String, String)>,
}

impl ArrayInfo<'_> {
    /// Aligned text, a line for each thing known.
    #[must_use]
    pub fn text(&self) -> String {
        let document = self.document;
        let mut rows = vec![("Array", visible(self.name).bold().to_string())];
        rows.extend(format(document));
        rows.push(("Shape", self.shape()));
        rows.push(("Type", extension(&document["data_type"])));
        rows.extend(layout(document));
        rows.push(("Fill", visible(&document["fill_value"].to_string())));
        if let Some(storage) = &self.storage {
            rows.extend(storage.rows());
        }
        rows.extend(attributes(document));
        let missing = self.missing.iter();
        rows.extend(missing.map(|reason| ("Missing", visible(reason).red().to_string())));
        table(&rows)
    }

    fn shape(&self) -> String {
        let mut text = lengths(&self.document["shape"]);
        if let Some(names) = self.document["dimension_names"].as_array() {
            let names = names.iter().map(|name| visible(name.as_str().unwrap_or("-")));
            text.push_str(&format!("  ({})", names.collect::<Vec<_>>().join(", ")));
        }
        text
    }

    /// The document's members, and what is stored.
    #[must_use]
    pub fn json(&self) -> Value {
        let document = self.document;
        let (chunks, shards) = shapes(document);
        let mut json = json!({
            "name": self.name,
            "node_type": "array",
            "chunks": chunks,
            "shards": shards,
            "missing": self.missing,
        });
        for member in MEMBERS {
            json[member] = document[member].clone();
        }
        let storage = self.storage.unwrap_or_default();
        for (member, value) in storage.members() {
            json[member] = value.filter(|_| self.storage.is_some()).map(number).into();
        }
        json
    }
}

/// What of a document is shown in JSON as it is.
const MEMBERS: [&str; 8] = [
    "zarr_format",
    "shape",
    "data_type",
    "chunk_key_encoding",
    "codecs",
    "fill_value",
    "dimension_names",
    "attributes",
];

impl Storage {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut stored = bytes(self.bytes);
        if let Some(decoded) = self.decoded_bytes {
            let ratio = ratio(decoded, self.bytes).map(|ratio| format!("  ({ratio})"));
            stored = format!("{stored} of {}{}", bytes(decoded), ratio.unwrap_or_default());
        }
        let of = |(some, all)| format!("{} of {}", count(some), count(all));
        let mut rows =
            vec![("Stored", stored), ("Objects", of((self.objects, self.possible_objects)))];
        rows.extend(self.inner_chunks.map(|chunks| ("Inner chunks", of(chunks))));
        rows
    }

    fn members(&self) -> [(&'static str, Option<u128>); 6] {
        [
            ("bytes", self.decoded_bytes),
            ("stored_bytes", Some(self.bytes)),
            ("objects", Some(self.possible_objects)),
            ("stored_objects", Some(self.objects)),
            ("inner_chunks", self.inner_chunks.map(|chunks| chunks.1)),
            ("stored_inner_chunks", self.inner_chunks.map(|chunks| chunks.0)),
        ]
    }
}

/// A number of JSON; beyond 64 bits, the nearest it can hold.
fn number(number: u128) -> Value {
    json!(u64::try_from(number).unwrap_or(u64::MAX))
}

impl GroupInfo<'_> {
    /// Aligned text.
    #[must_use]
    pub fn text(&self) -> String {
        let names = |names: &[String]| visible(&names.join(", "));
        let mut rows = vec![("Group", visible(self.name).bold().to_string())];
        rows.extend(format(self.document));
        if !self.groups.is_empty() {
            rows.push(("Groups", names(&self.groups)));
        }
        if !self.arrays.is_empty() {
            rows.push(("Arrays", names(&self.arrays)));
        }
        for (name, reason) in &self.broken {
            rows.push(("Broken", visible(&format!("{name}: {reason}")).red().to_string()));
        }
        rows.extend(attributes(self.document));
        table(&rows)
    }

    /// The attributes and the names of the members.
    #[must_use]
    pub fn json(&self) -> Value {
        let broken = self.broken.iter();
        let broken = broken.map(|(name, reason)| json!({"name": name, "message": reason}));
        json!({
            "name": self.name,
            "node_type": "group",
            "zarr_format": self.document["zarr_format"],
            "attributes": self.document["attributes"],
            "groups": self.groups,
            "arrays": self.arrays,
            "broken": broken.collect::<Vec<_>>(),
        })
    }
}

/// The version of the format, where it is not the latest.
fn format(document: &Value) -> Option<(&'static str, String)> {
    (document["zarr_format"] == 2).then(|| ("Format", "Zarr v2".into()))
}

/// The codec that makes shards of chunks, where it is the whole chain.
fn shard(document: &Value) -> Option<&Value> {
    let chain = document["codecs"].as_array().filter(|codecs| codecs.len() == 1)?;
    chain.first().filter(|codec| codec["name"] == "sharding_indexed")
}

/// The shapes of chunks and of shards; null for what there is not.
fn shapes(document: &Value) -> (&Value, &Value) {
    let grid = &document["chunk_grid"]["configuration"]["chunk_shape"];
    match shard(document) {
        Some(shard) => (&shard["configuration"]["chunk_shape"], grid),
        None => (grid, &Value::Null),
    }
}

/// Chunks, shards and codecs. A chain that is nothing but a shard is shown by what is in the shard.
fn layout(document: &Value) -> Vec<(&'static str, String)> {
    let grid = &document["chunk_grid"];
    let chunks = match &grid["configuration"]["chunk_shape"] {
        Value::Null => extension(grid),
        shape => lengths(shape),
    };
    let Some(shard) = shard(document) else {
        return vec![("Chunks", chunks), ("Codecs", codec_chain(&document["codecs"], 0))];
    };
    let configuration = &shard["configuration"];
    let at_start = configuration["index_location"] == "start";
    vec![
        ("Shards", format!("{chunks}{}", if at_start { "  (index at the start)" } else { "" })),
        ("Chunks", lengths(&configuration["chunk_shape"])),
        ("Codecs", codec_chain(&configuration["codecs"], 0)),
    ]
}

fn codec_chain(chain: &Value, depth: usize) -> String {
    /// Shards within shards beyond which what is inside is left out.
    const DEEPEST: usize = 8;
    let Some(codecs) = chain.as_array() else { return "?".into() };
    let show = |codec: &Value| {
        let configuration = &codec["configuration"];
        if codec["name"] != "sharding_indexed" {
            return visible(&short::short(codec));
        }
        if depth == DEEPEST {
            return "sharding_indexed(…)".into();
        }
        let inner = codec_chain(&configuration["codecs"], depth + 1);
        format!("sharding_indexed({}: {inner})", lengths(&configuration["chunk_shape"]))
    };
    codecs.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn lengths(value: &Value) -> String {
    let numbers: Option<Option<Vec<u64>>> =
        value.as_array().map(|array| array.iter().map(Value::as_u64).collect());
    match numbers {
        Some(Some(lengths)) => shape(&lengths),
        _ => visible(&value.to_string()),
    }
}

/// A name alone, or with its configuration where it has one.
fn extension(value: &Value) -> String {
    let empty = Map::new();
    let name = value.as_str().or_else(|| value["name"].as_str()).unwrap_or("?");
    let configuration = value["configuration"].as_object().unwrap_or(&empty);
    if configuration.is_empty() {
        return visible(name);
    }
    visible(&format!("{name}{}", value["configuration"]))
}

fn attributes(document: &Value) -> Option<(&'static str, String)> {
    let attributes = document["attributes"].as_object().filter(|members| !members.is_empty())?;
    let members = attributes.iter().map(|(name, value)| {
        let value = json::number(value).map_or_else(|| value.to_string(), str::to_owned);
        // Long values are for --json.
        let value = if value.chars().count() > 60 {
            format!("{}…", value.chars().take(59).collect::<String>())
        } else {
            value
        };
        format!("{}: {}", visible(name), visible(&value))
    });
    Some(("Attributes", members.collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn an_array_is_shown_in_aligned_lines() {
        let document = json!({
            "shape": [1000, 2000], "data_type": "float32", "fill_value": "NaN",
            "dimension_names": ["y", null],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [500, 500]}},
            "codecs": [{"name": "sharding_indexed", "configuration": {
                "chunk_shape": [50, 50], "index_location": "start",
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}},
                           {"name": "zstd", "configuration": {"level": 3, "checksum": false}}],
            }}],
            "attributes": {"units": "K", "history": [1, 2]},
        });
        let storage = Storage {
            decoded_bytes: Some(8_000_000),
            bytes: 3_000_000,
            objects: 7,
            possible_objects: 8,
            inner_chunks: Some((650, 800)),
        };
        let missing = vec!["codec `zfp`".to_owned()];
        let info =
            ArrayInfo { name: "o.zarr/t", document: &document, storage: Some(storage), missing };
        let expected = "\
Array         o.zarr/t
Shape         1,000 × 2,000  (y, -)
Type          float32
Shards        500 × 500  (index at the start)
Chunks        50 × 50
Codecs        bytes:little, zstd:3
Fill          \"NaN\"
Stored        2.9 MiB of 7.6 MiB  (2.67×)
Objects       7 of 8
Inner chunks  650 of 800
Attributes    units: \"K\"
              history: [1,2]
Missing       codec `zfp`
";
        assert_eq!(plain(&info.text()), expected);
        let json = info.json();
        assert_eq!((&json["chunks"], &json["shards"]), (&json!([50, 50]), &json!([500, 500])));
        assert_eq!((&json["stored_bytes"], &json["objects"]), (&json!(3_000_000), &json!(8)));
        assert_eq!(json["attributes"], document["attributes"]);
    }

    #[test]
    fn what_a_store_says_cannot_drive_the_terminal() {
        let document = json!({
            "shape": "\u{1b}[2J", "data_type": {"name": "\u{9b}2J", "configuration": {"\u{7f}": 1}},
            "codecs": [{"name": "\u{1b}c", "configuration": {"\u{9b}": 1}}, 3],
            "dimension_names": ["\u{1b}"], "fill_value": "\u{9b}",
            "attributes": {"\u{1b}]": "\u{9b}"},
        });
        let missing = vec!["\u{1b}".to_owned()];
        let info = ArrayInfo { name: "\u{7}", document: &document, storage: None, missing };
        let text = plain(&info.text());
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        let escapes = info.text().matches('\u{1b}').count();
        let tame = json!({"attributes": {"a": 1}, "dimension_names": ["a"]});
        let missing = vec!["a".to_owned()];
        let tame = ArrayInfo { name: "a", document: &tame, storage: None, missing };
        assert_eq!(escapes, tame.text().matches('\u{1b}').count(), "more colours than its own");
    }

    #[test]
    fn shards_within_shards_are_shown_up_to_a_depth() {
        let mut chain = json!(["bytes"]);
        for _ in 0..100 {
            let configuration = json!({"chunk_shape": [2], "codecs": chain});
            chain = json!([{"name": "sharding_indexed", "configuration": configuration}]);
        }
        assert!(codec_chain(&chain, 0).contains("sharding_indexed(…)"));
        let nested = json!([{"name": "sharding_indexed", "configuration": {"chunk_shape": [2],
            "codecs": ["bytes"]}}, "crc32c"]);
        assert_eq!(codec_chain(&nested, 0), "sharding_indexed(2: bytes), crc32c");
    }
}
