//! What every bytes→bytes codec must do, and frozen encodings of other implementations.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::{
    Blosc, BloscCompressor as Compressor, BloscShuffle, BytesToBytes, Bz2, Checksum,
    ChecksumAlgorithm, ChecksumLocation, Crc32c, Gzip, Lz4, Lzma, Shuffle, Size, Zlib, Zstd,
};
use crate::error::Kind;
use crate::metadata::Extension;

const MIB: usize = 1 << 20;

fn blosc(name: &str, level: u8, shuffle: BloscShuffle, typesize: u64) -> Arc<dyn BytesToBytes> {
    let compressor = Compressor::from_name(name).unwrap();
    Arc::new(Blosc::new(compressor, level, shuffle, typesize, 0).unwrap())
}

/// One codec of each kind.
fn codecs() -> Vec<Arc<dyn BytesToBytes>> {
    let mut codecs: Vec<Arc<dyn BytesToBytes>> = vec![
        Arc::new(Crc32c::new()),
        Arc::new(Zstd::new(1, false).unwrap()),
        Arc::new(Zstd::new(-5, true).unwrap()),
        Arc::new(Gzip::new(0).unwrap()),
        Arc::new(Gzip::new(6).unwrap()),
    ];
    for name in ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"] {
        codecs.push(blosc(name, 5, BloscShuffle::Bytes, 4));
        codecs.push(blosc(name, 1, BloscShuffle::Bits, 2));
        codecs.push(blosc(name, 9, BloscShuffle::None, 3));
    }
    codecs.push(blosc("lz4", 0, BloscShuffle::Bytes, 4));
    // Blocks of 128 bytes: of short data, too, parts can be decoded.
    for name in ["blosclz", "lz4", "zstd"] {
        let compressor = Compressor::from_name(name).unwrap();
        codecs.push(Arc::new(Blosc::new(compressor, 5, BloscShuffle::Bytes, 4, 128).unwrap()));
    }
    codecs.extend(numcodecs());
    codecs
}

/// Those of numcodecs that the specification does not have.
fn numcodecs() -> Vec<Arc<dyn BytesToBytes>> {
    let lzma = |configuration: serde_json::Value| -> Arc<dyn BytesToBytes> {
        let mut extension = Extension::new("lzma");
        extension.configuration = configuration.as_object().unwrap().clone();
        Arc::new(Lzma::from_extension(&extension).unwrap())
    };
    let mut codecs: Vec<Arc<dyn BytesToBytes>> = vec![
        Arc::new(Zlib::new(1).unwrap()),
        Arc::new(Bz2::new(1).unwrap()),
        Arc::new(Lz4::new(1)),
        Arc::new(Lz4::new(50)),
        Arc::new(Shuffle::new(4)),
        lzma(json!({"preset": 1})),
        lzma(json!({"format": 2, "preset": 1})),
        lzma(json!({"format": 3, "filters": [{"id": 3, "dist": 4}, {"id": 33, "preset": 0}]})),
    ];
    for algorithm in [
        ChecksumAlgorithm::Adler32,
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32c,
        ChecksumAlgorithm::Fletcher32,
    ] {
        for location in [ChecksumLocation::Start, ChecksumLocation::End] {
            codecs.push(Arc::new(Checksum::new(algorithm, location)));
        }
    }
    codecs
}

/// Whether a codec is defined for so many bytes.
fn takes(codec: &dyn BytesToBytes, size: usize) -> bool {
    codec.name() != "shuffle" || size.is_multiple_of(4)
}

fn random(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn ramp(size: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(size).collect()
}

fn samples(size: usize) -> [Vec<u8>; 3] {
    [vec![0; size], random(size), ramp(size)]
}

fn encode(codec: &dyn BytesToBytes, data: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    codec.encode(data, &mut encoded).unwrap();
    encoded
}

/// Decodes with both functions, which must agree; `None` if they fail, which must be for damage.
fn decode(codec: &dyn BytesToBytes, encoded: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut exact = vec![0xa5; size];
    let exactly = codec.decode_into(encoded, &mut exact);
    let mut grown = vec![7; 3];
    let within = codec.decode(encoded, size as u64, &mut grown);
    for error in exactly.as_ref().err().iter().chain(&within.as_ref().err()) {
        // Headers of LZMA may ask for more memory than there is for them.
        let starved = codec.name() == "lzma" && error.kind() == Kind::Limit;
        assert!(error.kind() == Kind::Corrupt || starved, "{codec:?}: {error}");
        assert_eq!(error.context("codec"), Some(codec.name()), "{error}");
    }
    assert!(grown.len() <= size, "{codec:?} made {} bytes of at most {size}", grown.len());
    let fits = within.is_ok() && grown.len() == size;
    decode_parts(codec, encoded, size, exactly.is_ok().then_some(&exact[..]));
    assert_eq!(exactly.is_ok(), fits, "{codec:?}: {exactly:?}, {within:?}");
    if !fits {
        return None;
    }
    assert!(exact == grown, "{codec:?}: the two ways of decoding differ");
    Some(exact)
}

/// Decodes some parts, which must be those of `whole`; damage may lie beyond them. How many there were.
fn decode_parts(
    codec: &dyn BytesToBytes,
    encoded: &[u8],
    size: usize,
    whole: Option<&[u8]>,
) -> usize {
    let places = [(0, 8), (3, 4), (4, 5), (5, 6), (6, 7)].map(|(start, end)| {
        let [start, end] = [start, end].map(|eighths| size / 8 * eighths / 12 * 12);
        start..end
    });
    let decoded = places.into_iter().filter(|wanted| {
        let mut part = vec![7; 3];
        if !codec.decode_part(encoded, size, wanted.clone(), &mut part) {
            return false;
        }
        let part = &part[..wanted.len()];
        assert!(whole.is_none_or(|whole| part == &whole[wanted.clone()]), "{codec:?} {wanted:?}");
        true
    });
    decoded.count()
}

#[test]
fn parts_are_decoded_where_that_takes_less() {
    let blosc = blosc("lz4", 5, BloscShuffle::Bytes, 4);
    let cases: [(Arc<dyn BytesToBytes>, usize, usize); 7] = [
        // What ends in the last quarter takes as much as all.
        (Arc::new(Zstd::new(1, false).unwrap()), 3 * MIB, 3),
        (Arc::new(Zstd::new(1, false).unwrap()), MIB / 8, 0),
        (Arc::new(Zstd::new(1, true).unwrap()), 3 * MIB, 0),
        (Arc::clone(&blosc), 3 * MIB, 4),
        (blosc, 4000, 0),
        (Arc::new(Gzip::new(1).unwrap()), 3 * MIB, 0),
        (Arc::new(Crc32c::new()), 3 * MIB, 0),
    ];
    for (codec, size, count) in cases {
        for data in samples(size) {
            let encoded = encode(&*codec, &data);
            assert_eq!(decode_parts(&*codec, &encoded, size, Some(&data)), count, "{codec:?}");
            let beyond = [&encoded[..], &encoded[..]].concat();
            decode_parts(&*codec, &beyond, size, None);
        }
    }
}

#[test]
fn parts_of_what_is_damaged_are_survived() {
    let codec = Zstd::new(1, false).unwrap();
    let data: Vec<u8> = (0..MIB).map(|i| ((i * i) >> 7).to_le_bytes()[0] & 0x5f).collect();
    let encoded = encode(&codec, &data);
    for step in 0..200 {
        let mut damaged = encoded.clone();
        let place = if step < 20 { step } else { step * encoded.len() / 200 };
        damaged[place] ^= 1 << (step % 8);
        decode_parts(&codec, &damaged, MIB, None);
        // The end of a frame is looked for before anything is decoded.
        assert_eq!(decode_parts(&codec, &encoded[..place], MIB, None), 0);
        // What comes next finds nothing left of it.
        assert!(decode(&codec, &encoded, MIB).unwrap() == data);
    }
}

#[test]
fn round_trips() {
    for codec in codecs() {
        for size in [0, 1, 2, 3, 100, 127, 128, 4001, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, MIB] {
            if !takes(&*codec, size) {
                continue;
            }
            for data in samples(size) {
                let encoded = encode(&*codec, &data);
                let most = codec.encoded_size(Size::Exact(size as u64)).limit();
                assert!(encoded.len() as u64 <= most, "{codec:?} {size}");
                assert!(decode(&*codec, &encoded, size).unwrap() == data, "{codec:?} {size}");
            }
        }
    }
}

#[test]
fn encoding_appends() {
    for codec in codecs() {
        for data in samples(1000) {
            let mut encoded = b"before".to_vec();
            codec.encode(&data, &mut encoded).unwrap();
            assert_eq!(&encoded[..6], b"before", "{codec:?}");
            assert_eq!(&encoded[6..], encode(&*codec, &data), "{codec:?}");
        }
    }
}

#[test]
fn other_sizes_than_expected_are_damage() {
    for codec in codecs() {
        for size in [1, 100, 1000, 1 << 16] {
            if !takes(&*codec, size) {
                continue;
            }
            for data in samples(size) {
                let encoded = encode(&*codec, &data);
                for wrong in [0, size / 2, size - 1, size + 1, 2 * size] {
                    assert_eq!(decode(&*codec, &encoded, wrong), None, "{codec:?} {wrong}");
                }
            }
        }
    }
}

#[test]
fn truncation_is_damage() {
    for codec in codecs() {
        for data in [ramp(300), random(152), vec![9; 52], vec![]] {
            let encoded = encode(&*codec, &data);
            for size in 0..encoded.len() {
                let decoded = decode(&*codec, &encoded[..size], data.len());
                assert_eq!(decoded, None, "{codec:?}: {size} of {}", encoded.len());
            }
        }
    }
}

#[test]
fn flipped_bits_are_survived() {
    for codec in codecs() {
        for data in [ramp(2000), ramp(300), random(152), vec![9; 52], vec![]] {
            let mut encoded = encode(&*codec, &data);
            for bit in 0..encoded.len() * 8 {
                encoded[bit / 8] ^= 1 << (bit % 8);
                let decoded = decode(&*codec, &encoded, data.len());
                if codec.view(&encoded).is_some() {
                    assert_eq!(decoded, None);
                }
                encoded[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

#[test]
fn limits_hold_against_bombs() {
    let bomb = vec![0; 64 * MIB];
    for codec in codecs() {
        let encoded = encode(&*codec, &bomb);
        let mut decoded = Vec::new();
        let error = codec.decode(&encoded, MIB as u64, &mut decoded).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{codec:?}: {error}");
        assert!(decoded.capacity() <= 2 * MIB, "{codec:?} took {}", decoded.capacity());
    }
}

#[test]
fn views_are_what_decoding_makes() {
    for codec in codecs() {
        let data = ramp(100);
        let encoded = encode(&*codec, &data);
        if let Some(view) = codec.view(&encoded) {
            assert_eq!(encoded[view.unwrap()], data);
            assert!(codec.view(&encoded[1..]).unwrap().is_err());
        }
    }
}

/// Name, data and encoding of each line of a fixture.
fn fixtures(text: &str) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let parse = |line: &str| {
        let [name, _, recipe, encoded] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (count, typesize) = recipe.split_once(':').unwrap();
        let (count, typesize): (u128, usize) = (count.parse().unwrap(), typesize.parse().unwrap());
        let element = |i: u128| {
            let mut bytes = ((i * i / 3) % 1021).to_le_bytes().to_vec();
            bytes.resize(typesize, 0);
            bytes
        };
        let data = (0..count).flat_map(element).collect();
        (name.to_owned(), data, STANDARD.decode(encoded).unwrap())
    };
    text.lines().map(parse).collect()
}

/// Every frozen encoding, with a codec whose settings differ from the encoder's: they must not
/// matter.
#[test]
fn encodings_of_other_implementations() {
    let sources: [(&str, Arc<dyn BytesToBytes>, usize); 4] = [
        (
            include_str!("../../tests/fixtures/codec/blosc.txt"),
            blosc("lz4", 1, BloscShuffle::None, 1),
            195,
        ),
        (
            include_str!("../../tests/fixtures/codec/zstd.txt"),
            Arc::new(Zstd::new(3, false).unwrap()),
            13,
        ),
        (include_str!("../../tests/fixtures/codec/gzip.txt"), Arc::new(Gzip::new(1).unwrap()), 7),
        (include_str!("../../tests/fixtures/codec/crc32c.txt"), Arc::new(Crc32c::new()), 3),
    ];
    for (text, codec, count) in sources {
        let fixtures = fixtures(text);
        assert_eq!(fixtures.len(), count);
        for (name, data, encoded) in fixtures {
            let decoded = decode(&*codec, &encoded, data.len());
            assert!(decoded.as_ref() == Some(&data), "{} {name}", codec.name());
            assert_eq!(decode(&*codec, &encoded, data.len() + 1), None, "{name}");
        }
    }
}

/// The encoder is c-blosc of (nearly) the same version with the same libraries, so bytes agree.
#[test]
fn blosc_writes_what_numcodecs_writes() {
    let mut compared = 0;
    for (name, data, encoded) in fixtures(include_str!("../../tests/fixtures/codec/blosc.txt")) {
        let [compressor, shuffle, typesize, level, blocksize] =
            name.split('-').collect::<Vec<_>>()[..]
        else {
            continue;
        };
        let codec = Blosc::new(
            Compressor::from_name(compressor).unwrap(),
            level.parse().unwrap(),
            BloscShuffle::from_name(shuffle).unwrap(),
            typesize.parse().unwrap(),
            blocksize.parse().unwrap(),
        );
        assert_eq!(encode(&codec.unwrap(), &data), encoded, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 180);
}

#[test]
fn zstd_writes_what_numcodecs_writes() {
    let mut compared = 0;
    for (name, data, encoded) in fixtures(include_str!("../../tests/fixtures/codec/zstd.txt")) {
        let Some((level, checksum)) =
            name.strip_prefix("level").and_then(|name| name.rsplit_once('-'))
        else {
            continue;
        };
        let codec = Zstd::new(level.parse().unwrap(), checksum == "True").unwrap();
        assert_eq!(encode(&codec, &data), encoded, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 10);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(encoded in prop::collection::vec(any::<u8>(), 0..300)) {
        for codec in codecs() {
            decode(&*codec, &encoded, 64);
        }
    }
}
