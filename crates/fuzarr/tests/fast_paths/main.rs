//! Every fast path: that it is taken where it should be, that its switch turns it off, and that what
//! is read and stored is the same either way. Each test names the fault that it was seen to find.

#![allow(
    clippy::cast_possible_truncation,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers in native order"
)]

mod kept;
mod reading;
mod writing;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use fuzarr::metadata::Node;
use fuzarr::plan::{FastPath, ReadOptions, WriteOptions};
use fuzarr::shard::WriteOrder;
use fuzarr::store::{LocalStore, MemoryStore, Metered, Span, Store};
use fuzarr::{Array, Limits, Selection, Tuning};
use serde_json::{Value, json};

const ORDERS: [WriteOrder; 4] = [
    WriteOrder::Morton,
    WriteOrder::Lexicographic,
    WriteOrder::Colexicographic,
    WriteOrder::Unordered,
];

/// A document of an array of `uint16`.
fn document(shape: &[u64], chunk: &[u64], codecs: &Value) -> Value {
    json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 7, "codecs": codecs,
    })
}

fn little() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

fn zstd() -> Value {
    json!([little(), {"name": "zstd", "configuration": {"level": 1, "checksum": false}}])
}

fn raw() -> Value {
    json!([little()])
}

fn sharding(inner: &[u64], codecs: &Value, location: &str) -> Value {
    json!([{"name": "sharding_indexed", "configuration": {
        "chunk_shape": inner, "codecs": codecs, "index_location": location,
        "index_codecs": [little(), {"name": "crc32c"}],
    }}])
}

fn open(store: Arc<dyn Store>, document: &Value) -> Array {
    let Node::Array(metadata) = Node::from_json(document).unwrap() else { panic!() };
    Array::new(store, "a", *metadata, &fuzarr::codec::Registry::default()).unwrap()
}

/// An array in memory whose requests are counted, with every element written.
fn filled(document: &Value) -> (Arc<Metered<MemoryStore>>, Array) {
    let store = Arc::new(Metered::new(MemoryStore::new()));
    let array = open(Arc::clone(&store) as _, document);
    array.write_bytes(&Selection::all(), &values(&array, 1), &WriteOptions::default()).unwrap();
    (store, array)
}

/// As many values as the array has elements, none of them the fill value.
fn values(array: &Array, seed: u16) -> Vec<u8> {
    let count: u64 = array.shape().iter().product();
    let value = |at: u64| (at as u16).wrapping_mul(31).wrapping_add(seed * 1000) | 8;
    (0..count).flat_map(|at| value(at).to_ne_bytes()).collect()
}

fn select(text: &str) -> Selection {
    Selection::parse(text).unwrap()
}

/// Limits under which everything is worth its fast path.
fn keen() -> Limits {
    let tuning = Tuning {
        helper: 1,
        large_chunk: 1,
        slab: u64::MAX,
        beside_index: 0,
        small_object: 0,
        streamed: 0,
        ..Tuning::default()
    };
    Limits { workers: 1, tuning, ..Limits::default() }
}

fn reading() -> ReadOptions {
    ReadOptions { limits: keen(), ..ReadOptions::default() }
}

fn writing() -> WriteOptions {
    WriteOptions { limits: keen(), ..WriteOptions::default() }
}

/// What `request` gives, and how often it takes `path`.
fn taken<T>(array: &Array, path: FastPath, request: impl FnOnce() -> T) -> (u64, T) {
    let before = array.counters().get(path);
    let outcome = request();
    (array.counters().get(path) - before, outcome)
}

/// Reads with `path` on and off; it is taken so often, and the results are equal.
fn read_both(
    array: &Array,
    path: FastPath,
    text: &str,
    (on, off): (&ReadOptions, &ReadOptions),
) -> u64 {
    let read = |options| taken(array, path, || array.read_bytes(&select(text), options).unwrap());
    let (with, fast) = read(on);
    let (without, slow) = read(off);
    assert_eq!(without, 0, "{text}: switched off");
    assert_eq!(fast, slow, "{text}");
    with
}

/// Every stored object.
fn stored(array: &Array) -> Vec<(String, Bytes)> {
    let objects = array.stored_objects().unwrap();
    let bytes = |key: &str| {
        let object = array.store().open(key).wait().unwrap().unwrap();
        let piece = object.read(Span::Whole(1 << 30), Vec::new()).wait().unwrap().unwrap();
        piece.bytes.into_bytes()
    };
    objects.into_iter().map(|object| (object.key.clone(), bytes(&object.key))).collect()
}

fn bytes_read<S>(store: &Metered<S>) -> u64 {
    store.counts().bytes_read.load(Ordering::Relaxed)
}

fn reads<S>(store: &Metered<S>) -> u64 {
    store.counts().reads.load(Ordering::Relaxed)
}

fn local() -> (tempfile::TempDir, Arc<Metered<LocalStore>>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Metered::new(LocalStore::open(folder.path()).unwrap()));
    (folder, store)
}
