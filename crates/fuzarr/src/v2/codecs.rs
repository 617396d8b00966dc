//! Filters and compressors of v2, and the chain of codecs that they come to.

use serde_json::{Map, Value};

use crate::dtype::{self, DataType, ElementLayout, Endian};
use crate::error::{Error, Result};
use crate::metadata::{Extension, wrong};

/// The blosc setting that leaves the choice of the shuffle to the size of the elements.
const AUTO_SHUFFLE: i64 = -1;
/// The names in v3 of blosc's shuffles, by their numbers in v2.
pub(super) const SHUFFLES: [&str; 3] = ["noshuffle", "shuffle", "bitshuffle"];

/// What the names in v3 of codecs that have none of their own start with.
pub(super) const NUMCODECS: &str = "numcodecs.";

/// A filter or compressor: its `id` and all else that is said of it.
#[derive(Debug)]
pub(super) struct Step {
    id: String,
    configuration: Map<String, Value>,
}

/// What a step takes and makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    ArrayToArray,
    ArrayToBytes,
    BytesToBytes,
}

impl Step {
    fn stage(&self) -> Stage {
        match self.id.as_str() {
            "astype" | "bitround" | "categorize" | "delta" | "fixedscaleoffset" | "packbits"
            | "quantize" => Stage::ArrayToArray,
            "json2" | "msgpack2" | "pcodec" | "pickle" | "vlen-array" | "vlen-bytes"
            | "vlen-utf8" | "zfpy" => Stage::ArrayToBytes,
            _ => Stage::BytesToBytes,
        }
    }

    /// NumPy's name of the type that the elements have after an array filter, if it says so.
    fn encoded_type(&self) -> Option<&str> {
        let setting = |key| self.configuration.get(key).and_then(Value::as_str);
        match self.id.as_str() {
            "astype" => setting("encode_dtype"),
            "packbits" => Some("|u1"),
            "categorize" => setting("astype").or(Some("|u1")),
            _ => setting("astype").or_else(|| setting("dtype")),
        }
    }

    /// The codec of v3 for elements of `size` bytes.
    fn codec(&self, size: u64) -> Result<Extension> {
        let known = |key: &str, default: Value| {
            (key.to_owned(), self.configuration.get(key).cloned().unwrap_or(default))
        };
        let core = |name: &str, members: Vec<(String, Value)>| Extension {
            name: name.into(),
            configuration: members.into_iter().collect(),
            must_understand: true,
        };
        let location = self.configuration.get("location").and_then(Value::as_str);
        Ok(match self.id.as_str() {
            "blosc" => self.blosc(size)?,
            "crc32c" if location.is_none_or(|location| location == "end") => {
                core("crc32c", Vec::new())
            }
            "gzip" => core("gzip", vec![known("level", 1.into())]),
            "zstd" => core("zstd", vec![known("level", 0.into()), known("checksum", false.into())]),
            "vlen-bytes" | "vlen-utf8" => core(&self.id, Vec::new()),
            id => Extension {
                name: format!("{NUMCODECS}{id}"),
                configuration: self.configuration.clone(),
                must_understand: true,
            },
        })
    }

    fn blosc(&self, size: u64) -> Result<Extension> {
        let setting = |key: &str, default: i64| match self.configuration.get(key) {
            None => Ok(default),
            Some(value) => {
                value.as_i64().ok_or_else(|| wrong(key, "an integer", value).with("codec", "blosc"))
            }
        };
        let typesize = setting("typesize", i64::try_from(size).unwrap_or(i64::MAX))?;
        let shuffle = match setting("shuffle", 1)? {
            AUTO_SHUFFLE if typesize == 1 => Some("bitshuffle"),
            AUTO_SHUFFLE => Some("shuffle"),
            number => usize::try_from(number).ok().and_then(|at| SHUFFLES.get(at).copied()),
        };
        let shuffle = shuffle.ok_or_else(|| {
            Error::invalid_metadata("`shuffle` must be -1, 0, 1 or 2").with("codec", "blosc")
        })?;
        let cname = self.configuration.get("cname").cloned().unwrap_or_else(|| "lz4".into());
        Ok(Extension::new("blosc")
            .with("cname", cname)
            .with("clevel", setting("clevel", 5)?)
            .with("shuffle", shuffle)
            .with("typesize", typesize)
            .with("blocksize", setting("blocksize", 0)?))
    }
}

/// The filters, and after them the compressor.
pub(super) fn steps(filters: Option<&Value>, compressor: Option<&Value>) -> Result<Vec<Step>> {
    let filters = match filters {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(filters)) => filters,
        Some(other) => return Err(wrong("filters", "a list or null", other)),
    };
    let compressor = compressor.filter(|compressor| !compressor.is_null());
    let labelled = filters.iter().map(|filter| ("filters", filter));
    labelled.chain(compressor.map(|value| ("compressor", value))).map(step).collect()
}

fn step((member, value): (&'static str, &Value)) -> Result<Step> {
    let Value::Object(configuration) = value else {
        return Err(wrong(member, "made of objects", value));
    };
    let mut configuration = configuration.clone();
    match configuration.shift_remove("id") {
        Some(Value::String(id)) if !id.is_empty() => Ok(Step { id, configuration }),
        _ => Err(Error::invalid_metadata("a codec has no `id`").with("member", member)),
    }
}

/// What the objects of an array of type `|O` are, as far as its filters say.
pub(super) fn object_type(steps: &[Step]) -> Option<DataType> {
    steps.iter().find_map(|step| match step.id.as_str() {
        "vlen-utf8" => Some(DataType::String),
        "vlen-bytes" => Some(DataType::Bytes),
        _ => None,
    })
}

/// The chain of codecs that the steps are, for elements of a type (if it is known) in this order.
pub(super) fn chain(
    steps: &[Step],
    data_type: Option<DataType>,
    endian: Option<Endian>,
) -> Result<Vec<Extension>> {
    let mut size = data_type.map_or(1, size_of);
    let mut endian = endian;
    let mut chain = Vec::new();
    let mut reached = Stage::ArrayToArray;
    for step in steps {
        let stage = step.stage();
        if stage != Stage::BytesToBytes && reached != Stage::ArrayToArray {
            return Err(Error::unsupported(format!(
                "not supported: filter `{}` on what is bytes already",
                step.id
            )));
        }
        if stage == Stage::BytesToBytes && reached == Stage::ArrayToArray {
            chain.push(bytes(endian));
        }
        chain.push(step.codec(size)?);
        match (stage, step.encoded_type().map(dtype::from_numpy)) {
            (Stage::ArrayToArray, Some(Ok((encoded, order)))) => {
                size = size_of(encoded);
                endian = order.or((encoded.number_size() > 1).then_some(Endian::Little));
            }
            // The codec itself will say what is wrong with its type.
            (Stage::ArrayToArray, _) => {}
            // What is bytes already has elements of one byte.
            _ => size = 1,
        }
        reached = stage;
    }
    if reached == Stage::ArrayToArray {
        chain.push(bytes(endian));
    }
    Ok(chain)
}

fn size_of(data_type: DataType) -> u64 {
    match data_type.layout() {
        ElementLayout::Fixed(size) => size as u64,
        ElementLayout::Variable => 1,
    }
}

fn bytes(endian: Option<Endian>) -> Extension {
    let codec = Extension::new("bytes");
    match endian {
        Some(Endian::Little) => codec.with("endian", "little"),
        Some(Endian::Big) => codec.with("endian", "big"),
        None => codec,
    }
}
