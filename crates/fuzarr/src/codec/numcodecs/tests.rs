//! What numcodecs made, frozen, and what every array codec of it must do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::super::{ArrayToBytes, ChunkSpec, Effect, Elements, Vlen};
use super::*;
use crate::dtype::{DataType, VARIABLE_SLOT, from_numpy};
use crate::error::Kind;

fn codec(name: &str, configuration: &Value) -> Result<Codec> {
    let mut extension = Extension::new(format!("numcodecs.{name}"));
    extension.configuration = configuration.as_object().unwrap().clone();
    Registry::default().codec(&extension)
}

#[test]
fn configurations_may_be_empty_where_numcodecs_has_defaults() {
    for name in [
        "adler32",
        "blosc",
        "bz2",
        "crc32",
        "crc32c",
        "fletcher32",
        "gzip",
        "lz4",
        "lzma",
        "zlib",
        "zstd",
    ] {
        assert!(matches!(codec(name, &json!({})), Ok(Codec::BytesToBytes(_))), "{name}");
        let error = codec(name, &json!({"surplus": 1})).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidMetadata, "{name}");
    }
    for name in ["astype", "bitround", "delta", "fixedscaleoffset", "quantize", "shuffle"] {
        let error = codec(name, &json!({})).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidMetadata, "{name}");
        assert!(error.context("codec").is_some());
    }
}

#[test]
fn types_are_spelled_as_numpy_does() {
    for text in ["float32", "f4", "<f4", ">f4"] {
        codec("quantize", &json!({"digits": 2, "dtype": text})).unwrap();
        codec("astype", &json!({"encode_dtype": text, "decode_dtype": "|u1"})).unwrap();
    }
    assert!(codec("delta", &json!({"dtype": "i4", "astype": "<i2"})).is_ok());
    assert!(codec("delta", &json!({"dtype": "number"})).is_err());
}

#[test]
fn shuffles_are_numbers() {
    let parse = |configuration: &Value| {
        let mut extension = Extension::new("numcodecs.blosc");
        extension.configuration = configuration.as_object().unwrap().clone();
        blosc(&extension)
    };
    let lz4 = |shuffle, typesize| Blosc::new(BloscCompressor::Lz4, 5, shuffle, typesize, 0);
    for (configuration, expected) in [
        (json!({}), lz4(BloscShuffle::Bytes, 1)),
        (json!({"shuffle": 0, "typesize": null}), lz4(BloscShuffle::None, 1)),
        (json!({"shuffle": 2, "typesize": 4}), lz4(BloscShuffle::Bits, 4)),
        (json!({"shuffle": -1, "typesize": 4}), lz4(BloscShuffle::Bytes, 4)),
        (json!({"shuffle": -1}), lz4(BloscShuffle::Bits, 1)),
    ] {
        assert_eq!(parse(&configuration).unwrap(), expected.unwrap());
    }
    for wrong in [json!({"shuffle": "shuffle"}), json!({"shuffle": 3}), json!({"clevel": -1})] {
        assert_eq!(parse(&wrong).unwrap_err().kind(), Kind::InvalidMetadata);
    }
}

/// Cases in the fixture.
const COUNT: usize = 246;

/// One case of the fixture: see the script beside it.
struct Case(Value);

fn cases() -> Vec<Case> {
    let text = include_str!("../../../tests/fixtures/codec/numcodecs.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), COUNT);
    cases.into_iter().map(Case).collect()
}

impl Case {
    fn name(&self) -> &str {
        self.0["codec"].as_str().unwrap()
    }

    fn codec(&self) -> Codec {
        codec(self.name(), &self.0["configuration"]).unwrap()
    }

    fn array_codec(&self) -> Option<(Arc<dyn ArrayToArray>, DataType)> {
        let data_type = from_numpy(self.0["dtype"].as_str()?).unwrap().0;
        let Codec::ArrayToArray(codec) = self.codec() else { panic!("{self}") };
        Some((codec, data_type))
    }

    fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        Some(STANDARD.decode(self.0.get(key)?.as_str()?).unwrap())
    }

    /// Numbers in native order.
    fn numbers(&self, key: &str, data_type: DataType) -> Option<Elements> {
        let mut slots = self.bytes(key)?;
        if cfg!(target_endian = "big") {
            slots.chunks_mut(data_type.number_size()).for_each(<[u8]>::reverse);
        }
        Some(Elements { slots, heap: Vec::new() })
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name(), self.0["configuration"], self.0["dtype"])
    }
}

/// A chunk of such elements, with a fill value of zeros.
fn spec(data_type: DataType, elements: &Elements) -> ChunkSpec {
    let size = data_type.layout().slot();
    let count = elements.slots.len() / size;
    ChunkSpec { shape: vec![count as u64], data_type, fill: vec![0; size] }
}

#[test]
fn bytes_codecs_agree_with_numcodecs() {
    let mut compared = 0;
    for case in cases() {
        let (Some(given), true) = (case.bytes("given"), case.0["dtype"].is_null()) else {
            continue;
        };
        let Codec::BytesToBytes(codec) = case.codec() else { panic!("{case}") };
        let encoded = case.bytes("encoded").unwrap();
        let mut decoded = vec![0; given.len()];
        codec.decode_into(&encoded, &mut decoded).unwrap();
        assert!(decoded == given, "{case}");
        codec.decode(&encoded, given.len() as u64, &mut decoded).unwrap();
        assert!(decoded == given, "{case}");
        let mut own = Vec::new();
        codec.encode(&given, &mut own).unwrap();
        assert!(case.0["exact"] == false || own == encoded, "{case}");
        codec.decode_into(&own, &mut decoded).unwrap();
        assert!(decoded == given, "{case}");
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn array_codecs_agree_with_numcodecs() {
    let mut compared = 0;
    for case in cases() {
        let Some((codec, data_type)) = case.array_codec() else { continue };
        let given = case.numbers("given", data_type).unwrap();
        let spec = spec(data_type, &given);
        let resolved = codec.resolve(&spec).unwrap();
        let encoded = case.numbers("encoded", resolved.data_type).unwrap();
        let wanted = case.numbers("decoded", data_type).unwrap_or_else(|| given.clone());
        assert_eq!(codec.encode(&spec, &given).unwrap(), encoded, "{case}");
        assert_eq!(codec.decode(&spec, &encoded).unwrap(), wanted, "{case}");
        assert_eq!(resolved.fill.len(), resolved.data_type.layout().slot(), "{case}");
        compared += 1;
    }
    assert_eq!(compared, 181);
}

#[test]
fn elementwise_codecs_mind_no_neighbours() {
    let backwards = |elements: &Elements, data_type: DataType| {
        let parts = elements.slots.rchunks(data_type.layout().slot());
        Elements { slots: parts.flatten().copied().collect(), heap: Vec::new() }
    };
    for case in cases() {
        let Some((codec, data_type)) = case.array_codec() else { continue };
        if case.name() == "delta" {
            assert_eq!(codec.effect(1), Effect::Opaque);
            continue;
        }
        assert_eq!(codec.effect(1), Effect::Elementwise, "{case}");
        let given = case.numbers("given", data_type).unwrap();
        let spec = spec(data_type, &given);
        let stored = codec.resolve(&spec).unwrap().data_type;
        let encoded = codec.encode(&spec, &given).unwrap();
        let reversed = codec.encode(&spec, &backwards(&given, data_type)).unwrap();
        assert_eq!(reversed, backwards(&encoded, stored), "{case}");
        let decoded = codec.decode(&spec, &encoded).unwrap();
        let reversed = codec.decode(&spec, &reversed).unwrap();
        assert_eq!(reversed, backwards(&decoded, data_type), "{case}");
    }
}

#[test]
fn variable_elements_agree_with_numcodecs() {
    let mut compared = 0;
    for case in cases() {
        let Some(parts) = case.0["elements"].as_array() else { continue };
        let mut elements = Elements::default();
        for part in parts {
            let part = STANDARD.decode(part.as_str().unwrap()).unwrap();
            for number in [elements.heap.len() as u64, part.len() as u64] {
                let big = cfg!(target_endian = "big");
                let bytes = if big { number.to_be_bytes() } else { number.to_le_bytes() };
                elements.slots.extend_from_slice(&bytes);
            }
            elements.heap.extend_from_slice(&part);
        }
        let extension = Extension::new(case.name());
        let codec = Registry::default().codec(&extension).unwrap();
        let Codec::ArrayToBytes(codec) = codec else { panic!("{case}") };
        let data_type = if case.name() == "vlen-utf8" { DataType::String } else { DataType::Bytes };
        let shape = vec![(elements.slots.len() / VARIABLE_SLOT) as u64];
        let spec = ChunkSpec { shape, data_type, fill: Vec::new() };
        let mut encoded = Vec::new();
        codec.encode(&spec, &elements, &mut encoded).unwrap();
        assert_eq!(Some(&encoded), case.bytes("encoded").as_ref(), "{case}");
        assert_eq!(codec.decode(&spec, &encoded).unwrap(), elements, "{case}");
        compared += 1;
    }
    assert_eq!(compared, 3);
}

#[test]
fn stored_numbers_of_any_bits_are_survived() {
    let cases: Vec<_> = cases().into_iter().filter_map(|case| case.array_codec()).collect();
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..80))| {
        let elements = Elements { slots: bytes, heap: Vec::new() };
        for (codec, data_type) in &cases {
            let spec = spec(*data_type, &elements);
            if let Err(error) = codec.decode(&spec, &elements) {
                assert_eq!(error.kind(), Kind::Corrupt, "{codec:?}");
            }
            if let Err(error) = codec.encode(&spec, &elements) {
                assert_eq!(error.kind(), Kind::InvalidArgument, "{codec:?}");
            }
        }
    });
}

proptest! {
    #[test]
    fn variable_elements_of_any_bytes_are_survived(
        count in 0_u64..5,
        mut bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 4..60),
    ) {
        bytes[..4].copy_from_slice(&u32::try_from(count).unwrap().to_le_bytes());
        let spec = ChunkSpec { shape: vec![count], data_type: DataType::Bytes, fill: Vec::new() };
        match Vlen::Bytes.decode(&spec, &bytes) {
            Ok(elements) => {
                assert!(elements.heap.len() <= bytes.len());
                let mut again = Vec::new();
                Vlen::Bytes.encode(&spec, &elements, &mut again).unwrap();
                assert_eq!(again, bytes);
            }
            Err(error) => assert_eq!(error.kind(), Kind::Corrupt),
        }
    }
}
