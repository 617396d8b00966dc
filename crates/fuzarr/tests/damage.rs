//! Damaged shards: replaced whole, left alone by partial writes, and found by `verify`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers"
)]

use std::sync::Arc;

use bytes::Bytes;
use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{MemoryStore, Precondition, WholeObjects, put_bytes};
use fuzarr::{Array, Kind, Limits, Selection, Tuning};
use serde_json::{Value, json};

fn sharding(inner: &[u64], codecs: &Value, location: &str, index: &Value) -> Value {
    json!({"name": "sharding_indexed", "configuration": {
        "chunk_shape": inner, "codecs": codecs, "index_location": location, "index_codecs": index,
    }})
}

fn checked_index() -> Value {
    json!([{"name": "bytes", "configuration": {"endian": "little"}}, "crc32c"])
}

fn document(shape: &[u64], chunk: &[u64], codecs: &Value) -> Value {
    json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": codecs,
    })
}

fn open(document: &Value) -> (Arc<MemoryStore>, Array) {
    let store = Arc::new(MemoryStore::new());
    let Node::Array(metadata) = Node::from_json(document).unwrap() else { panic!() };
    (Arc::clone(&store), Array::create(store, "a", *metadata).unwrap())
}

fn values(array: &Array) -> Vec<u8> {
    let count: u64 = array.shape().iter().product();
    (0..count).map(|at| (at % 250 + 1) as u8).collect()
}

fn put(store: &MemoryStore, key: &str, bytes: &[u8]) {
    put_bytes(store, key, bytes, Precondition::None).unwrap();
}

fn chunks(store: &MemoryStore) -> Vec<(String, Bytes)> {
    store.snapshot().unwrap().into_iter().filter(|(key, _)| key.starts_with("a/c")).collect()
}

/// Layouts of which every stored byte is under a checksum.
fn checked() -> Vec<Value> {
    let inner = json!(["bytes", "crc32c"]);
    let zipped = json!(["bytes", {"name": "zstd", "configuration": {"level": 1}}, "crc32c"]);
    let index = checked_index();
    let mut layouts = vec![document(&[10], &[4], &inner)];
    for location in ["start", "end"] {
        let flat = sharding(&[4], &inner, location, &index);
        layouts.push(document(&[22], &[12], &json!([flat])));
        let square = sharding(&[2, 2], &zipped, location, &index);
        layouts.push(document(&[7, 4], &[4, 4], &json!([square])));
        let nested = sharding(&[2], &inner, location, &index);
        let other = if location == "start" { "end" } else { "start" };
        let nested = sharding(&[4], &json!([nested]), other, &index);
        layouts.push(document(&[14], &[8], &json!([nested])));
        // The checksum is around the shard.
        let plain = sharding(&[4], &json!(["bytes"]), location, &json!([index[0]]));
        layouts.push(document(&[16], &[8], &json!([plain, "crc32c"])));
    }
    layouts
}

#[test]
fn every_flipped_bit_under_a_checksum_is_found() {
    // Seen to fail when the checksum of the index was not compared.
    for layout in checked() {
        let (store, array) = open(&layout);
        array.write_bytes(&Selection::all(), &values(&array), &WriteOptions::default()).unwrap();
        // One inner chunk is empty.
        array
            .write_bytes(&Selection::parse("4:8").unwrap(), &[0], &WriteOptions::default())
            .unwrap();
        assert!(array.verify(|_| {}).unwrap().damage.is_empty());
        for (key, bytes) in chunks(&store) {
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                put(&store, &key, &flipped);
                let damage = array.verify(|_| {}).unwrap().damage;
                // A damaged index is one damage, not one for each inner chunk.
                assert_eq!(damage.len(), 1, "{layout}, {key}, bit {bit}");
                for error in damage {
                    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
                    assert_eq!(error.context("key"), Some(&*key), "{error}");
                }
            }
            put(&store, &key, &bytes);
        }
    }
}

/// Every way of writing.
fn ways() -> Vec<WriteOptions> {
    let tuning = Tuning { small_object: 0, streamed: 0, group: 4, ..Tuning::default() };
    let keen = Limits { tuning, ..Limits::default() };
    let fast = WriteOptions { limits: keen.clone(), ..WriteOptions::default() };
    vec![
        WriteOptions::default(),
        fast.clone(),
        WriteOptions { in_place: true, ..fast },
        WriteOptions { partial_writes: false, streaming: false, ..WriteOptions::default() },
    ]
}

#[test]
fn a_damaged_shard_is_replaced_whole_and_left_alone_by_a_partial_write() {
    // Seen to fail when places in the old shard were not checked.
    let index = checked_index();
    let inner = json!(["bytes", "crc32c"]);
    let bare = json!([index[0]]);
    let mut cases = Vec::new();
    for location in ["start", "end"] {
        for index in [&index, &bare] {
            let flat = json!([sharding(&[4], &inner, location, index)]);
            let sealed = json!([flat[0], "crc32c"]);
            let outer = json!([sharding(&[8], &flat, location, index)]);
            cases.extend([flat, sealed, outer].map(|codecs| document(&[32], &[16], &codecs)));
        }
    }
    for layout in cases {
        let (store, array) = open(&layout);
        array.write_bytes(&Selection::all(), &values(&array), &WriteOptions::default()).unwrap();
        let (key, bytes) = chunks(&store).swap_remove(0);
        let mut damaged: Vec<Vec<u8>> = (0..bytes.len()).map(|end| bytes[..end].to_vec()).collect();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            damaged.push(flipped);
        }
        for (number, damaged) in damaged.into_iter().enumerate().step_by(3) {
            for options in ways() {
                put(&store, &key, &damaged);
                for selection in ["5", "3:14"].map(|text| Selection::parse(text).unwrap()) {
                    let before = chunks(&store);
                    match array.write_bytes(&selection, &[9], &options) {
                        // What was not looked into is carried over as it is.
                        Ok(()) => {}
                        Err(error) => {
                            let kind = error.kind();
                            assert!(matches!(kind, Kind::Corrupt | Kind::Limit), "{error:?}");
                            assert_eq!(error.context("key"), Some(&*key), "{error}");
                            assert!(before == chunks(&store), "{layout}, {number}: changed");
                        }
                    }
                }
                put(&store, &key, &damaged);
                array.write_bytes(&Selection::parse(":16").unwrap(), &[3], &options).unwrap();
                let read = array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap();
                let expected = [&[3; 16][..], &values(&array)[16..]].concat();
                assert_eq!(read.bytes, expected, "{layout}, {number}");
                assert!(array.verify(|_| {}).unwrap().damage.is_empty());
            }
        }
    }
}

#[test]
fn a_damaged_inner_chunk_is_kept_as_it_is_or_replaced_whole() {
    // Seen to fail when a chunk that is changed in part was not decoded.
    let codecs = json!([sharding(&[4], &json!(["bytes", "crc32c"]), "end", &checked_index())]);
    let layout = document(&[16], &[16], &codecs);
    for options in ways() {
        let (store, array) = open(&layout);
        array.write_bytes(&Selection::all(), &values(&array), &WriteOptions::default()).unwrap();
        let (key, bytes) = chunks(&store).swap_remove(0);
        // In Morton order the inner chunks of one dimension stand one after the other.
        let mut damaged = bytes.to_vec();
        damaged[9] ^= 1;
        put(&store, &key, &damaged);
        let write =
            |text: &str| array.write_bytes(&Selection::parse(text).unwrap(), &[9], &options);
        for part in ["5", "2:6", "6:9"] {
            let error = write(part).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{part}");
            assert_eq!(error.context("inner chunk"), Some("[1]"), "{part}");
            assert_eq!(chunks(&store)[0].1, damaged, "{part}");
        }
        write("9").unwrap();
        assert_eq!(array.verify(|_| {}).unwrap().damage.len(), 1, "still damaged");
        write("4:8").unwrap();
        assert!(array.verify(|_| {}).unwrap().damage.is_empty());
        let mut expected = values(&array);
        expected[4..8].fill(9);
        expected[9] = 9;
        assert_eq!(
            array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes,
            expected
        );
        array.store().delete(&key, Precondition::None).wait().unwrap();
    }
    // The same of a store without ranges.
    let store = Arc::new(WholeObjects(MemoryStore::new()));
    let Node::Array(metadata) = Node::from_json(&layout).unwrap() else { panic!() };
    let array = Array::create(Arc::clone(&store) as _, "a", *metadata).unwrap();
    put(&store.0, "a/c/0", b"too short for an index");
    let one = Selection::parse("5").unwrap();
    let error = array.write_bytes(&one, &[1], &WriteOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(chunks(&store.0)[0].1, &b"too short for an index"[..]);
    array.write_bytes(&Selection::all(), &[1], &WriteOptions::default()).unwrap();
    assert_eq!(array.read_bytes(&one, &ReadOptions::default()).unwrap().bytes, [1]);
}
