//! The `lzma` codec of numcodecs: what Python's `lzma` makes, by way of liblzma.

use std::ops::RangeInclusive;

use liblzma::stream::{
    Action, Check, Error as LzmaError, Filters, LzmaOptions, MatchFinder, Mode, Status,
    Stream as Coder,
};
use serde_json::{Map, Value};

use super::stream::{self, Step, Stream, advance};
use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "lzma";
/// What a stream of the format `xz` starts with.
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
/// Memory that a decoder may take, most of it the dictionary; presets need 65 MiB at most.
const MEMORY_LIMIT: u64 = 256 << 20;
const LARGEST_DICTIONARY: u32 = 192 << 20;
const SMALLEST_DICTIONARY: u32 = 4096;
/// The size of the dictionary, as a power of 2, of each preset.
const DICTIONARIES: [u32; 10] = [18, 20, 21, 22, 22, 23, 23, 24, 25, 26];
/// The flag of presets that take more time.
const EXTREME: u32 = 1 << 31;
const USUAL_PRESET: u32 = 6;
const MOST_FILTERS: usize = 4;
/// Numbers of filters.
const DELTA: i64 = 3;
const LZMA1: i64 = 0x4000_0000_0000_0001;
const LZMA2: i64 = 33;
/// Members of an LZMA filter.
const SETTINGS: [&str; 9] =
    ["preset", "dict_size", "lc", "lp", "pb", "mode", "nice_len", "mf", "depth"];

/// What stands around the compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Xz,
    Alone,
    Raw,
}

/// What a filter may change of its preset, with the range that it must be in.
const TUNING: [(&str, RangeInclusive<u32>); 7] = [
    ("lc", 0..=4),
    ("lp", 0..=4),
    ("pb", 0..=4),
    ("mode", 1..=2),
    ("nice_len", 2..=273),
    ("mf", 3..=20),
    ("depth", 0..=u32::MAX),
];

/// Settings of LZMA. What is absent of `tuning`, which is in the order of [`TUNING`], is the
/// preset's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    preset: u32,
    dictionary: u32,
    tuning: [Option<u32>; TUNING.len()],
}

/// What checks data of the format `xz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Integrity {
    Nothing,
    Crc32,
    Crc64,
    Sha256,
}

impl Integrity {
    fn check(self) -> Check {
        match self {
            Self::Nothing => Check::None,
            Self::Crc32 => Check::Crc32,
            Self::Crc64 => Check::Crc64,
            Self::Sha256 => Check::Sha256,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    /// Differences of bytes at a distance, which is this and 1.
    Delta(u8),
    Lzma1(Settings),
    Lzma2(Settings),
}

/// The `lzma` codec of numcodecs. Streams of the format `xz` may follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lzma {
    format: Format,
    check: Integrity,
    filters: Vec<Filter>,
}

impl Lzma {
    /// The codec in its usual form: the format `xz`, checked by CRC-64.
    ///
    /// # Errors
    /// `InvalidMetadata` if `preset` is above 9.
    pub fn new(preset: u32) -> Result<Self> {
        let filters = vec![Filter::Lzma2(Settings::preset(preset.into())?)];
        Ok(Self { format: Format::Xz, check: Integrity::Crc64, filters })
    }

    /// The codec that `extension` configures. The settings are those of Python's `lzma`: `format`
    /// (1 xz, the default; 2 alone; 3 raw), `check`, and either `preset` or `filters`. Absent ones
    /// and nulls have the meaning of numcodecs.
    ///
    /// # Errors
    /// `InvalidMetadata` for a wrong or unknown setting or a combination without sense,
    /// `Unsupported` for filters made for programs and dictionaries above 192 MiB.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        Self::parse(extension).map_err(|error| error.with("codec", NAME))
    }

    fn parse(extension: &Extension) -> Result<Self> {
        extension.allow_only(&["format", "check", "preset", "filters"])?;
        let settings = &extension.configuration;
        let format = match integer(settings, "format")?.unwrap_or(1) {
            1 => Format::Xz,
            2 => Format::Alone,
            3 => Format::Raw,
            other => return Err(invalid(format!("no format {other}"))),
        };
        let check = match (integer(settings, "check")?.unwrap_or(-1), format) {
            (-1 | 4, Format::Xz) => Integrity::Crc64,
            (1, Format::Xz) => Integrity::Crc32,
            (10, Format::Xz) => Integrity::Sha256,
            (-1 | 0, _) => Integrity::Nothing,
            (other, _) => return Err(invalid(format!("no check {other} in this format"))),
        };
        let preset = integer(settings, "preset")?;
        let filters = match (settings.get("filters"), preset, format) {
            (Some(Value::Array(_)), Some(_), _) => {
                return Err(invalid("`preset` and `filters` exclude each other"));
            }
            (Some(Value::Array(filters)), None, _) => {
                filters.iter().map(filter).collect::<Result<Vec<_>>>()?
            }
            (None | Some(Value::Null), _, Format::Raw) => {
                return Err(invalid("`filters` are missing, which raw data need"));
            }
            (None | Some(Value::Null), preset, _) => {
                let settings = Settings::preset(preset.unwrap_or(USUAL_PRESET.into()))?;
                let alone = format == Format::Alone;
                vec![if alone { Filter::Lzma1(settings) } else { Filter::Lzma2(settings) }]
            }
            (Some(_), ..) => return Err(invalid("`filters` must be a list or null")),
        };
        check_order(format, &filters)?;
        Ok(Self { format, check, filters })
    }

    fn encoder(&self, size: usize) -> Result<Coder, LzmaError> {
        match (self.format, &self.filters[..]) {
            (Format::Xz, _) => Coder::new_stream_encoder(&self.chain(size)?, self.check.check()),
            (Format::Raw, _) => Coder::new_raw_encoder(&self.chain(size)?),
            (Format::Alone, [Filter::Lzma1(settings)]) => {
                Coder::new_lzma_encoder(&settings.options(size)?)
            }
            (Format::Alone, _) => Err(LzmaError::Options),
        }
    }

    fn decoder(&self) -> Result<Coder, LzmaError> {
        match self.format {
            Format::Xz => Coder::new_stream_decoder(MEMORY_LIMIT, 0),
            Format::Alone => Coder::new_lzma_decoder(MEMORY_LIMIT),
            Format::Raw => Coder::new_raw_decoder(&self.chain(usize::MAX)?),
        }
    }

    /// The filters as liblzma has them, for `size` bytes.
    fn chain(&self, size: usize) -> Result<Filters, LzmaError> {
        let mut filters = Filters::new();
        for filter in &self.filters {
            match filter {
                Filter::Delta(distance) => filters.delta_properties(&[*distance])?,
                Filter::Lzma1(settings) => filters.lzma1(&settings.options(size)?),
                Filter::Lzma2(settings) => filters.lzma2(&settings.options(size)?),
            };
        }
        Ok(filters)
    }

    /// A decoder of the stream at the start of `rest`, if there is one. Other bytes after a stream
    /// are ignored, as Python's `lzma` does.
    fn open(&self, encoded: &[u8], rest: &[u8]) -> Option<Result<Decoder>> {
        let first = rest.len() == encoded.len() && !rest.is_empty();
        let starts = match self.format {
            Format::Xz => rest.starts_with(XZ_MAGIC),
            Format::Alone | Format::Raw => first,
        };
        starts.then(|| self.decoder().map(Decoder).map_err(|error| failure(error, "decode")))
    }
}

impl Settings {
    fn preset(preset: i64) -> Result<Self> {
        let known = u32::try_from(preset).ok().and_then(|preset| {
            let dictionary = DICTIONARIES.get(bound::in_memory((preset & !EXTREME).into()))?;
            Some((preset, 1 << dictionary))
        });
        let (preset, dictionary) =
            known.ok_or_else(|| invalid(format!("preset {preset} is not in 0…9")))?;
        Ok(Self { preset, dictionary, tuning: [None; TUNING.len()] })
    }

    fn from_json(filter: &Map<String, Value>) -> Result<Self> {
        let mut settings = Self::preset(integer(filter, "preset")?.unwrap_or(USUAL_PRESET.into()))?;
        if let Some(dictionary) = within(filter, "dict_size", SMALLEST_DICTIONARY..=u32::MAX)? {
            if dictionary > LARGEST_DICTIONARY {
                return Err(Error::unsupported("not supported: a dictionary above 192 MiB"));
            }
            settings.dictionary = dictionary;
        }
        for (value, (key, range)) in settings.tuning.iter_mut().zip(TUNING) {
            *value = within(filter, key, range)?;
        }
        let [context, position, _, _, _, finder, _] = settings.tuning;
        if context.unwrap_or(3) + position.unwrap_or(0) > 4 {
            return Err(invalid("`lc` and `lp` together are above 4"));
        }
        if finder.is_some_and(|finder| match_finder(finder).is_none()) {
            return Err(invalid("`mf` is no match finder"));
        }
        Ok(settings)
    }

    /// The settings as liblzma has them. A dictionary beyond the `size` of the data would take
    /// memory and time for nothing.
    fn options(&self, size: usize) -> Result<LzmaOptions, LzmaError> {
        let mut options = LzmaOptions::new_preset(self.preset)?;
        let size = u32::try_from(size).unwrap_or(u32::MAX).max(SMALLEST_DICTIONARY);
        options.dict_size(self.dictionary.min(size));
        let [context, literal, position, mode, nice, finder, depth] = self.tuning;
        context.map(|bits| options.literal_context_bits(bits));
        literal.map(|bits| options.literal_position_bits(bits));
        position.map(|bits| options.position_bits(bits));
        mode.map(|mode| options.mode(if mode == 1 { Mode::Fast } else { Mode::Normal }));
        nice.map(|length| options.nice_len(length));
        finder.and_then(match_finder).map(|finder| options.match_finder(finder));
        depth.map(|depth| options.depth(depth));
        Ok(options)
    }
}

/// The match finder that Python's constants name.
fn match_finder(code: u32) -> Option<MatchFinder> {
    match code {
        0x03 => Some(MatchFinder::HashChain3),
        0x04 => Some(MatchFinder::HashChain4),
        0x12 => Some(MatchFinder::BinaryTree2),
        0x13 => Some(MatchFinder::BinaryTree3),
        0x14 => Some(MatchFinder::BinaryTree4),
        _ => None,
    }
}

/// A filter as Python describes it: its number under `id`, beside its settings.
fn filter(value: &Value) -> Result<Filter> {
    let Value::Object(filter) = value else { return Err(invalid("a filter must be an object")) };
    let (known, parsed): (&[&str], _) = match integer(filter, "id")? {
        Some(DELTA) => {
            let distance = within(filter, "dist", 1..=256)?.unwrap_or(1);
            (&["dist"], Filter::Delta(u8::try_from(distance - 1).unwrap_or(u8::MAX)))
        }
        Some(LZMA1) => (&SETTINGS, Filter::Lzma1(Settings::from_json(filter)?)),
        Some(LZMA2) => (&SETTINGS, Filter::Lzma2(Settings::from_json(filter)?)),
        Some(other) => return Err(Error::unsupported(format!("not supported: filter {other}"))),
        None => return Err(invalid("the `id` of a filter is missing")),
    };
    match filter.keys().find(|key| *key != "id" && !known.contains(&key.as_str())) {
        Some(key) => Err(invalid(format!("unknown member `{key}` of a filter"))),
        None => Ok(parsed),
    }
}

/// Checks that the format allows such filters in such an order.
fn check_order(format: Format, filters: &[Filter]) -> Result<()> {
    let Some((last, before)) = filters.split_last() else {
        return Err(invalid("there are no filters"));
    };
    let deltas = before.iter().all(|filter| matches!(filter, Filter::Delta(_)));
    let fits = match (format, last) {
        (Format::Alone, Filter::Lzma1(_)) => before.is_empty(),
        (Format::Raw, Filter::Lzma1(_)) | (Format::Xz | Format::Raw, Filter::Lzma2(_)) => true,
        _ => false,
    };
    if fits && deltas && filters.len() <= MOST_FILTERS {
        return Ok(());
    }
    Err(invalid("the format has no such filters in such an order"))
}

/// An integer among settings, null being absent.
fn integer(settings: &Map<String, Value>, key: &str) -> Result<Option<i64>> {
    match settings.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_i64()
            .map(Some)
            .ok_or_else(|| invalid(format!("`{key}` must be an integer or null"))),
    }
}

fn within(
    settings: &Map<String, Value>,
    key: &str,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>> {
    let Some(value) = integer(settings, key)? else { return Ok(None) };
    match u32::try_from(value) {
        Ok(value) if range.contains(&value) => Ok(Some(value)),
        _ => Err(invalid(format!("`{key}` {value} is not in {}…{}", range.start(), range.end()))),
    }
}

#[cold]
fn invalid(message: impl Into<String>) -> Error {
    Error::invalid_metadata(message)
}

#[cold]
fn failure(error: LzmaError, verb: &str) -> Error {
    match error {
        LzmaError::Mem | LzmaError::MemLimit => {
            Error::limit(format!("liblzma needs more memory to {verb} than it may have"))
        }
        LzmaError::Options if verb == "encode" => invalid("liblzma has no such combination"),
        _ => Error::corrupt("damaged LZMA stream"),
    }
    .with_source(error)
}

struct Encoder(Coder);

struct Decoder(Coder);

fn step(
    coder: &mut Coder,
    input: &[u8],
    output: &mut [u8],
    action: Action,
) -> Result<Step, LzmaError> {
    let (read, written) = (coder.total_in(), coder.total_out());
    let status = coder.process(input, output, action)?;
    Ok(Step {
        read: advance(read, coder.total_in()),
        written: advance(written, coder.total_out()),
        ended: status == Status::StreamEnd,
    })
}

impl Stream for Encoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step> {
        step(&mut self.0, input, output, Action::Finish).map_err(|error| failure(error, "encode"))
    }
}

impl Stream for Decoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step> {
        step(&mut self.0, input, output, Action::Run).map_err(|error| failure(error, "decode"))
    }
}

impl BytesToBytes for Lzma {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::generous(decoded)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        self.encoder(decoded.len())
            .map_err(|error| failure(error, "encode"))
            .and_then(|coder| stream::encode(&mut Encoder(coder), decoded, encoded))
            .map_err(|error| error.with("codec", NAME))
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        stream::decode_into(encoded, decoded, |rest| self.open(encoded, rest))
            .map_err(|error| error.with("codec", NAME))
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        stream::decode(encoded, limit, decoded, |rest| self.open(encoded, rest))
            .map_err(|error| error.with("codec", NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use serde_json::json;

    fn configured(value: &Value) -> Result<Lzma> {
        let mut extension = Extension::new("lzma");
        extension.configuration = value.as_object().unwrap().clone();
        Lzma::from_extension(&extension)
    }

    #[test]
    fn configurations_that_python_takes() {
        let data: Vec<u8> = (0..20_000_u32).flat_map(|i| (i * i / 3).to_le_bytes()).collect();
        for configuration in [
            json!({}),
            json!({"format": 1, "check": -1, "preset": null, "filters": null}),
            json!({"check": 0, "preset": 0}),
            json!({"check": 1, "preset": 9}),
            json!({"check": 10, "preset": EXTREME | 1}),
            json!({"format": 2, "preset": 3}),
            json!({"format": 2, "filters": [{"id": LZMA1, "lc": 1, "lp": 2, "pb": 0}]}),
            json!({"format": 3, "filters": [{"id": 3, "dist": 4}, {"id": 33, "preset": 1}]}),
            json!({"format": 3, "filters": [{"id": LZMA1, "preset": 2, "dict_size": 8192}]}),
            json!({"filters": [{"id": 3, "dist": 256}, {"id": 33, "mf": 3, "mode": 1,
                "nice_len": 20, "depth": 7}]}),
        ] {
            let codec = configured(&configuration).unwrap();
            let mut encoded = Vec::new();
            codec.encode(&data, &mut encoded).unwrap();
            assert!(encoded.len() < data.len());
            let mut decoded = Vec::new();
            codec.decode(&encoded, data.len() as u64, &mut decoded).unwrap();
            assert!(decoded == data, "{configuration}");
        }
        assert_eq!(configured(&json!({})).unwrap(), Lzma::new(6).unwrap());
    }

    #[test]
    fn configurations_that_make_no_sense() {
        for (configuration, kind) in [
            (json!({"format": 0}), Kind::InvalidMetadata),
            (json!({"format": "xz"}), Kind::InvalidMetadata),
            (json!({"check": 3}), Kind::InvalidMetadata),
            (json!({"format": 2, "check": 4}), Kind::InvalidMetadata),
            (json!({"format": 3}), Kind::InvalidMetadata),
            (json!({"preset": 10}), Kind::InvalidMetadata),
            (json!({"preset": -1}), Kind::InvalidMetadata),
            (json!({"preset": 1, "filters": [{"id": 33}]}), Kind::InvalidMetadata),
            (json!({"filters": []}), Kind::InvalidMetadata),
            (json!({"filters": [{"id": 3}]}), Kind::InvalidMetadata),
            (json!({"filters": [{"id": 33}, {"id": 3}]}), Kind::InvalidMetadata),
            (json!({"filters": [{"id": LZMA1}]}), Kind::InvalidMetadata),
            (json!({"filters": [{"id": 33, "lc": 4, "lp": 1}]}), Kind::InvalidMetadata),
            (json!({"filters": [{"id": 33, "mf": 5}]}), Kind::InvalidMetadata),
            (json!({"filters": [{"id": 33, "dist": 5}]}), Kind::InvalidMetadata),
            (json!({"filters": [{"id": 3, "dist": 0}, {"id": 33}]}), Kind::InvalidMetadata),
            (json!({"filters": [{"id": 4}, {"id": 33}]}), Kind::Unsupported),
            (json!({"filters": [{"id": 33, "dict_size": 1 << 30}]}), Kind::Unsupported),
        ] {
            let error = configured(&configuration).unwrap_err();
            assert_eq!(error.kind(), kind, "{configuration}");
            assert_eq!(error.context("codec"), Some("lzma"));
        }
    }

    #[test]
    fn streams_follow_each_other_until_something_else_does() {
        let codec = Lzma::new(1).unwrap();
        let mut encoded = Vec::new();
        for part in [&b"one"[..], b"", b"two"] {
            codec.encode(part, &mut encoded).unwrap();
        }
        encoded.extend_from_slice(&[0; 4]);
        let mut decoded = [0; 6];
        codec.decode_into(&encoded, &mut decoded).unwrap();
        assert_eq!(&decoded, b"onetwo");
    }

    #[test]
    fn dictionaries_that_headers_ask_for_are_bounded() {
        // The header of the format `alone`: settings, dictionary of 4 GiB, size unknown.
        let codec = configured(&json!({"format": 2})).unwrap();
        let mut encoded = vec![0x5d];
        encoded.extend_from_slice(&[0xff; 12]);
        encoded.extend_from_slice(&[0; 30]);
        let error = codec.decode_into(&encoded, &mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
    }
}
