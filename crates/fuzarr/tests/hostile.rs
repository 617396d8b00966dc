//! Stored bytes are hostile: damage of every kind is a typed error or harmless, never a panic.

#![allow(
    clippy::cast_possible_truncation,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers in native order"
)]

use std::sync::Arc;

use fuzarr::codec::Registry;
use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{MemoryStore, Precondition, Store as _, put_bytes};
use fuzarr::{Array, Error, Kind, Selection};
use serde_json::{Value, json};

fn document(shape: &[u64], chunks: &[u64], codecs: Value) -> Value {
    json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 5, "codecs": codecs,
    })
}

fn sharding(inner: Value, location: &str) -> Value {
    json!([{"name": "sharding_indexed", "configuration": {
        "chunk_shape": [4], "codecs": inner, "index_location": location,
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
    }}])
}

fn little() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

/// An array of 24 elements in two objects, written, with its store.
fn written(codecs: Value) -> (Arc<MemoryStore>, Array) {
    let store = Arc::new(MemoryStore::new());
    let text = document(&[24], &[12], codecs).to_string();
    let Node::Array(metadata) = Node::from_bytes(text.as_bytes()).unwrap() else { panic!() };
    let array = Array::create(Arc::clone(&store) as _, "a", *metadata).unwrap();
    let values: Vec<u8> = (0..24_u16).flat_map(|value| (value * 3).to_ne_bytes()).collect();
    array.write_bytes(&Selection::all(), &values, &WriteOptions::default()).unwrap();
    (store, array)
}

fn chains() -> Vec<Value> {
    let zstd = json!({"name": "zstd", "configuration": {"level": 3, "checksum": true}});
    let gzip = json!({"name": "gzip", "configuration": {"level": 5}});
    let crc = json!({"name": "crc32c"});
    let blosc = |name: &str, shuffle: &str| {
        json!({"name": "blosc", "configuration": {
            "cname": name, "clevel": 5, "shuffle": shuffle, "typesize": 2, "blocksize": 0}})
    };
    let nested = sharding(sharding(json!([little(), crc]), "start"), "end");
    vec![
        json!([little()]),
        json!([little(), crc]),
        json!([little(), zstd]),
        json!([little(), gzip]),
        json!([little(), blosc("lz4", "shuffle")]),
        json!([little(), blosc("zstd", "bitshuffle")]),
        json!([little(), blosc("zlib", "noshuffle")]),
        json!([little(), blosc("snappy", "shuffle")]),
        json!([little(), blosc("blosclz", "shuffle")]),
        sharding(json!([little()]), "end"),
        sharding(json!([little(), zstd, crc]), "start"),
        nested,
        json!([sharding(json!([little(), gzip]), "end")[0], zstd]),
    ]
}

/// Reads everything and parts; whatever comes must be data or a typed error that says where.
fn provoke(array: &Array, what: &str) {
    for selection in ["", "3", "::5", "[1, 20], "] {
        let outcome =
            array.read_bytes(&Selection::parse(selection).unwrap(), &ReadOptions::default());
        if let Err(error) = outcome {
            assert_eq!(error.kind(), Kind::Corrupt, "{what}: {error}");
            assert_eq!(error.context("key").map(|key| &key[..2]), Some("a/"), "{what}: {error}");
            assert!(error.context("codec").is_some(), "{what}: {error}");
        }
    }
    let _ = array.verify(|_| {}).unwrap();
}

fn put(store: &MemoryStore, key: &str, bytes: &[u8]) {
    put_bytes(store, key, bytes, Precondition::None).unwrap();
}

#[test]
fn every_truncation_and_every_flipped_bit_of_chunks() {
    for codecs in chains() {
        let what = codecs.to_string();
        let (store, array) = written(codecs);
        let (key, bytes) =
            store.snapshot().unwrap().into_iter().find(|(key, _)| key == "a/c/0").unwrap();
        for length in 0..bytes.len() {
            put(&store, &key, &bytes[..length]);
            provoke(&array, &format!("{what}, {length} bytes"));
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            put(&store, &key, &flipped);
            provoke(&array, &format!("{what}, bit {bit}"));
        }
    }
}

#[test]
fn a_flipped_bit_under_a_checksum_is_always_found() {
    let codecs = sharding(json!([little(), {"name": "crc32c"}]), "end");
    let (store, array) = written(codecs);
    let (key, bytes) =
        store.snapshot().unwrap().into_iter().find(|(key, _)| key == "a/c/1").unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        put(&store, &key, &flipped);
        assert!(!array.verify(|_| {}).unwrap().damage.is_empty(), "bit {bit}");
        assert!(array.read_bytes(&Selection::all(), &ReadOptions::default()).is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_of_metadata() {
    let (store, _) = written(chains().swap_remove(10));
    let (key, bytes) =
        store.snapshot().unwrap().into_iter().find(|(key, _)| key == "a/zarr.json").unwrap();
    let try_open = |what: String| {
        let opened = Array::open(Arc::clone(&store) as _, "a");
        let read =
            opened.and_then(|array| array.read_bytes(&Selection::all(), &ReadOptions::default()));
        if let Err(error) = read {
            let expected = [
                Kind::InvalidMetadata,
                Kind::Unsupported,
                Kind::Corrupt,
                Kind::Limit,
                Kind::NotFound,
            ];
            assert!(expected.contains(&error.kind()), "{what}: {error:?}");
        }
    };
    for length in 0..bytes.len() {
        put(&store, &key, &bytes[..length]);
        try_open(format!("{length} bytes"));
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        put(&store, &key, &flipped);
        try_open(format!("bit {bit}: {}", String::from_utf8_lossy(&flipped)));
    }
}

/// A shard of three raw inner chunks of four `uint16`, its index given.
fn with_index(pairs: [u64; 6]) -> (Array, Vec<u8>) {
    let inner = json!([little()]);
    let mut codecs = sharding(inner, "end");
    codecs[0]["configuration"]["index_codecs"] = json!([little()]);
    let (store, array) = written(codecs);
    let payload: Vec<u8> = (0..24).collect();
    let index: Vec<u8> = pairs.iter().flat_map(|number| number.to_le_bytes()).collect();
    put(&store, "a/c/0", &[payload, index].concat());
    let snapshot = store.snapshot().unwrap();
    let (_, bytes) = snapshot.into_iter().find(|(key, _)| key == "a/c/0").unwrap();
    (array, bytes.to_vec())
}

fn read(array: &Array, selection: &str) -> Result<Vec<u8>, Error> {
    array
        .read_bytes(&Selection::parse(selection).unwrap(), &ReadOptions::default())
        .map(|read| read.bytes)
}

#[test]
fn index_entries_that_lie_are_errors_with_key_chunk_and_codec() {
    let max = u64::MAX;
    let damaged: [(u64, u64); 7] =
        [(max, 8), (0, max), (max - 3, 8), (72, 8), (65, 8), (0, 7), (0, 9)];
    for (offset, length) in damaged {
        let (array, _) = with_index([8, 8, offset, length, 16, 8]);
        for selection in ["4", "3:9", ":12"] {
            let error = read(&array, selection).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
            assert_eq!(error.context("key"), Some("a/c/0"), "{error}");
            assert_eq!(error.context("inner chunk"), Some("[1]"), "{error}");
            assert!(error.context("codec").is_some(), "{error}");
        }
        // The other inner chunks are not touched by the damage.
        assert_eq!(read(&array, "0:4").unwrap(), (8..16).collect::<Vec<u8>>());
        let verified = array.verify(|_| {}).unwrap();
        assert_eq!(verified.damage.len(), 1, "{:?}", verified.damage);
    }
}

#[test]
fn shared_overlapping_and_unordered_entries_are_legal() {
    let (array, _) = with_index([16, 8, 16, 8, 12, 8]);
    let expected: Vec<u8> = (16..24).chain(16..24).chain(12..20).collect();
    assert_eq!(read(&array, ":12").unwrap(), expected);
    assert_eq!(read(&array, "7:9").unwrap(), [22, 23, 12, 13]);
    assert!(array.verify(|_| {}).unwrap().damage.is_empty());
}

/// A shard of `slots` inner chunks of `inner`, all of whose index entries are `entry`.
fn shared(slots: u64, inner: &Value, extent: u64, entry: (u64, u64), payload: &[u8]) -> Array {
    let mut codecs = sharding(inner.clone(), "end");
    codecs[0]["configuration"]["chunk_shape"] = json!([extent]);
    codecs[0]["configuration"]["index_codecs"] = json!([little()]);
    let length = slots * extent;
    let text = document(&[length], &[length], codecs).to_string();
    let Node::Array(metadata) = Node::from_bytes(text.as_bytes()).unwrap() else { panic!() };
    let store = Arc::new(MemoryStore::new());
    let array = Array::create(Arc::clone(&store) as _, "a", *metadata).unwrap();
    let pair = [entry.0.to_le_bytes(), entry.1.to_le_bytes()].concat();
    put(&store, "a/c/0", &[payload, &pair.repeat(slots as usize)].concat());
    array
}

#[test]
fn entries_that_share_bytes_cannot_stand_for_endless_work() {
    // Each entry is far longer than an inner chunk of four elements can be.
    let raw = json!([little(), {"name": "crc32c"}]);
    let array = shared(1 << 12, &raw, 4, (0, 1 << 16), &vec![0; 1 << 16]);
    for selection in ["5", ""] {
        assert_eq!(read(&array, selection).unwrap_err().kind(), Kind::Corrupt);
    }
    let one = Selection::parse("5").unwrap();
    let write = array.write_bytes(&one, &1_u16.to_ne_bytes(), &WriteOptions::default());
    assert_eq!(write.unwrap_err().kind(), Kind::Corrupt);
    // One empty inner shard of many slots, shared by every slot of the outer one.
    let mut nested = sharding(json!([little()]), "end");
    nested[0]["configuration"]["chunk_shape"] = json!([1]);
    nested[0]["configuration"]["index_codecs"] = json!([little()]);
    let payload = vec![u8::MAX; 1 << 18];
    let array = shared(1 << 12, &nested, 1 << 14, (0, 1 << 18), &payload);
    assert_eq!(read(&array, "::16384").unwrap_err().kind(), Kind::Limit);
    assert_eq!(array.storage(true).unwrap_err().kind(), Kind::Limit);
    assert_eq!(read(&array, "16384").unwrap(), 5_u16.to_ne_bytes());
}

#[test]
fn an_object_larger_than_any_chunk_is_not_read() {
    let (store, array) = written(json!([little()]));
    put(&store, "a/c/0", &[0; 25]);
    let error = read(&array, "0").unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(error.context("key"), Some("a/c/0"));
}

#[test]
fn a_partial_write_into_a_damaged_shard_is_refused_and_a_whole_one_replaces_it() {
    let (array, before) = with_index([8, 8, 0, u64::MAX, 16, 8]);
    let write = |selection: &str| {
        let selection = Selection::parse(selection).unwrap();
        array.write_bytes(&selection, &1_u16.to_ne_bytes(), &WriteOptions::default())
    };
    assert_eq!(write("0").unwrap_err().kind(), Kind::Corrupt);
    let object = array.store().open("a/c/0").wait().unwrap().unwrap();
    let kept =
        object.read(fuzarr::store::Span::Whole(u64::MAX), Vec::new()).wait().unwrap().unwrap();
    assert_eq!(kept.bytes.as_slice(), before, "the damaged object was changed");
    write(":12").unwrap();
    assert_eq!(read(&array, ":12").unwrap(), 1_u16.to_ne_bytes().repeat(12));
}

#[test]
fn shapes_beyond_what_can_be_addressed() {
    let huge = [u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 62, 1 << 40];
    for extent in huge {
        for chunk in [1, 1 << 20, 1 << 62, u64::MAX] {
            for shape in [vec![extent], vec![extent, extent], vec![extent, 0], vec![3, extent]] {
                let chunks = vec![chunk; shape.len()];
                for codecs in [
                    json!([little()]),
                    json!([little(), {"name": "gzip", "configuration": {"level": 1}}]),
                ] {
                    let text = document(&shape, &chunks, codecs).to_string();
                    let Ok(Node::Array(metadata)) = Node::from_bytes(text.as_bytes()) else {
                        continue;
                    };
                    let store = Arc::new(MemoryStore::new());
                    let Ok(array) = Array::new(store, "a", *metadata, &Registry::default()) else {
                        continue;
                    };
                    let corner = vec!["-1"; shape.len()].join(",");
                    let _ = read(&array, &corner);
                    if shape.iter().all(|&extent| extent > 1 << 40) {
                        assert_eq!(read(&array, "").unwrap_err().kind(), Kind::Limit, "{shape:?}");
                    }
                    let _ = array.storage(true).unwrap();
                }
            }
        }
    }
}

#[test]
fn keys_and_paths_cannot_leave_a_local_store() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(outside.path(), root.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("absolute")).unwrap();
    let store = fuzarr::store::LocalStore::open(&root).unwrap();
    let keys = [
        "../secret",
        "link/secret",
        "absolute/passwd",
        "/etc/passwd",
        "a/../../secret",
        "a//b",
        "",
        "a\0b",
    ];
    for key in keys {
        assert_eq!(store.open(key).wait().unwrap_err().kind(), Kind::InvalidArgument, "{key}");
        let write = put_bytes(&store, key, b"x", Precondition::None);
        assert_eq!(write.unwrap_err().kind(), Kind::InvalidArgument, "{key}");
        assert!(store.delete(key, Precondition::None).wait().is_err(), "{key}");
    }
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert!(Array::open(Arc::new(store), "../root").is_err());
}
