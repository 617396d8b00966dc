//! Every store keeps one contract; the local one keeps more: locks, atomic replacement, one root.

#![allow(
    clippy::cast_possible_truncation,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers in native order"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{
    Content, LocalStore, MemoryStore, Metered, Part, Precondition, Span, Store, WholeObjects,
    put_bytes,
};
use fuzarr::{Array, Kind, Selection, Term};
use serde_json::json;

const WHOLE: Span = Span::Whole(u64::MAX);

fn get(store: &dyn Store, key: &str, span: Span) -> Option<Vec<u8>> {
    let object = store.open(key).now().unwrap()?;
    let piece = object.read(span, Vec::new()).now().unwrap().unwrap();
    Some(piece.bytes.as_slice().to_vec())
}

fn put(store: &dyn Store, key: &str, parts: &[&[u8]]) {
    let parts: Vec<Part<'_>> = parts.iter().map(|part| Part::Bytes(part)).collect();
    store.put(key, Content { parts: &parts, base: None }, Precondition::None).now().unwrap();
}

fn objects_and_ranges(store: &dyn Store) {
    assert_eq!(get(store, "a/b", WHOLE), None);
    put(store, "a/b", &[b"01", b"", b"23456", b"789"]);
    assert_eq!(get(store, "a/b", WHOLE).unwrap(), b"0123456789");
    assert_eq!(get(store, "a/b", Span::Range(3..5)).unwrap(), b"34");
    assert_eq!(get(store, "a/b", Span::Range(4..4)).unwrap(), b"");
    assert_eq!(get(store, "a/b", Span::Prefix(3)).unwrap(), b"012");
    assert_eq!(get(store, "a/b", Span::Suffix(3)).unwrap(), b"789");
    assert_eq!(get(store, "a/b", Span::Suffix(30)).unwrap(), b"0123456789");
    assert_eq!(get(store, "a/b", Span::Prefix(30)).unwrap(), b"0123456789");
    let object = store.open("a/b").now().unwrap().unwrap();
    let beyond = object.read(Span::Range(8..11), Vec::new()).now();
    assert_eq!(beyond.unwrap_err().kind(), Kind::Corrupt);
    let larger = object.read(Span::Whole(9), Vec::new()).now();
    assert_eq!(larger.unwrap_err().kind(), Kind::Corrupt);
    put(store, "a/b", &[b"short"]);
    assert_eq!(get(store, "a/b", WHOLE).unwrap(), b"short");
    // The pinned object is still the old one, whatever happens to the key.
    let pinned = object.read(WHOLE, Vec::new()).now().unwrap().unwrap();
    assert_eq!(pinned.bytes.as_slice(), b"0123456789");
    assert_eq!(pinned.object_size, 10);
    store.delete("a/b", Precondition::None).now().unwrap();
    store.delete("a/b", Precondition::None).now().unwrap();
    store.delete("never/was", Precondition::None).now().unwrap();
    assert_eq!(get(store, "a/b", WHOLE), None);
}

fn preconditions(store: &dyn Store) {
    let fails = |outcome: fuzarr::Result<()>| {
        assert_eq!(outcome.unwrap_err().kind(), Kind::Conflict);
    };
    put_bytes(store, "k", b"1", Precondition::Absent).unwrap();
    fails(put_bytes(store, "k", b"2", Precondition::Absent));
    let version = || {
        let object = store.open("k").now().unwrap().unwrap();
        object.read(WHOLE, Vec::new()).now().unwrap();
        (object.version().unwrap(), object)
    };
    let (first, held) = version();
    put_bytes(store, "k", b"2", Precondition::Unchanged(first.clone())).unwrap();
    fails(put_bytes(store, "k", b"3", Precondition::Unchanged(first.clone())));
    fails(store.delete("k", Precondition::Unchanged(first.clone())).now());
    drop(held);
    let (second, held) = version();
    assert_ne!(first, second);
    fails(store.delete("k", Precondition::Absent).now());
    store.delete("k", Precondition::Unchanged(second.clone())).now().unwrap();
    fails(put_bytes(store, "k", b"4", Precondition::Unchanged(second)));
    drop(held);
    assert_eq!(get(store, "k", WHOLE), None);
}

fn listings(store: &dyn Store) {
    for key in ["z/a", "z/b/c", "z/b/d", "z/bb", "z/b.x", "y"] {
        put(store, key, &[key.as_bytes()]);
    }
    let list = |prefix: &str| store.list(prefix).now().unwrap();
    assert_eq!(list("").prefixes, ["z"]);
    assert_eq!(list("").objects, [("y".to_owned(), 1)]);
    let names = [("a", 3), ("b.x", 5), ("bb", 4)];
    assert_eq!(list("z").objects, names.map(|(name, size)| (name.to_owned(), size)));
    assert_eq!(list("z").prefixes, ["b"]);
    assert_eq!(list("nothing"), fuzarr::store::Listing::default());
}

#[test]
fn every_store_keeps_the_contract() {
    let folder = || {
        let folder = tempfile::tempdir().unwrap();
        (LocalStore::open(folder.path()).unwrap(), folder)
    };
    for contract in [objects_and_ranges, preconditions, listings] {
        contract(&MemoryStore::new());
        contract(&folder().0);
        contract(&Metered::new(folder().0));
        contract(&WholeObjects(Metered::new(MemoryStore::new())));
    }
}

fn document(shape: &[u64], shard: &[u64], inner: &[u64]) -> Node {
    let little = json!({"name": "bytes", "configuration": {"endian": "little"}});
    let text = json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": inner, "codecs": [little], "index_codecs": [little, {"name": "crc32c"}],
        }}],
    });
    Node::from_bytes(text.to_string().as_bytes()).unwrap()
}

fn array(store: Arc<dyn Store>, shape: &[u64], shard: &[u64], inner: &[u64]) -> Array {
    let Node::Array(metadata) = document(shape, shard, inner) else { panic!("no array") };
    Array::create(store, "", *metadata).unwrap()
}

#[test]
fn threads_that_write_disjoint_elements_of_one_shard_lose_none() {
    let folder = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn Store>; 2] =
        [Arc::new(LocalStore::open(folder.path()).unwrap()), Arc::new(MemoryStore::new())];
    for store in stores {
        let array = array(store, &[64], &[64], &[4]);
        std::thread::scope(|scope| {
            for thread in 0..8_i64 {
                let array = &array;
                scope.spawn(move || {
                    for element in (thread..64).step_by(8) {
                        let place = Selection::Orthogonal(vec![Term::Index(element)]);
                        let value = (element as u32 + 1).to_ne_bytes();
                        array.write(&place, &value, &WriteOptions::default()).unwrap();
                    }
                });
            }
        });
        let expected: Vec<u8> = (1..=64_u32).flat_map(u32::to_ne_bytes).collect();
        assert_eq!(array.read(&Selection::all()).unwrap().bytes, expected);
    }
    assert_eq!(names(&folder.path().join("c")), ["0"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_left_over_lock_file_is_reused_and_never_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    std::fs::write(folder.path().join("k.__lock"), "half of something longer than what comes")
        .unwrap();
    assert!(store.list("").now().unwrap().objects.is_empty());
    put(&store, "k", &[b"new"]);
    assert_eq!(std::fs::read(folder.path().join("k")).unwrap(), b"new");
    assert_eq!(names(folder.path()), ["k"]);
    let own = put_bytes(&store, "k.__lock", b"x", Precondition::None);
    assert_eq!(own.unwrap_err().kind(), Kind::InvalidArgument);
}

#[test]
fn a_failed_write_leaves_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    put(&store, "file", &[b"old"]);
    // A folder where an object should be written, and a file where a folder should be.
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::fs::write(folder.path().join("folder/inside"), "kept").unwrap();
    for key in ["folder", "file/below"] {
        let error = put_bytes(&store, key, b"new", Precondition::None).unwrap_err();
        assert_eq!(error.context("key"), Some(key), "{error}");
    }
    assert_eq!(names(folder.path()), ["file", "folder"]);
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"old");
    assert_eq!(std::fs::read(folder.path().join("folder/inside")).unwrap(), b"kept");
}

#[test]
fn what_is_no_file_is_missing_or_an_error_but_never_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(store.open("folder").now().unwrap().is_none());
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(store.open("file/below").now().unwrap().is_none());
    let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    assert!(pipe.unwrap().success());
    assert_eq!(store.open("pipe").now().unwrap_err().kind(), Kind::Io);
}

/// An array of two shards of 16 inner chunks of 64 bytes, and what reading `selection` costs.
fn cost(selection: &str, options: &ReadOptions) -> (u64, u64, u64) {
    let store = Arc::new(Metered::new(MemoryStore::new()));
    let array = array(Arc::clone(&store) as _, &[512], &[256], &[16]);
    let values: Vec<u8> = (1..=512_u32).flat_map(u32::to_ne_bytes).collect();
    array.write(&Selection::all(), &values, &WriteOptions::default()).unwrap();
    let counts = || {
        let counts = store.counts();
        [&counts.opens, &counts.reads, &counts.bytes_read]
            .map(|count| count.load(Ordering::Relaxed))
    };
    let before = counts();
    array.read_with(&Selection::parse(selection).unwrap(), options).unwrap();
    let after = counts();
    (after[0] - before[0], after[1] - before[1], after[2] - before[2])
}

#[test]
fn requests_are_as_few_as_the_selection_allows() {
    let default = ReadOptions::default();
    let index = 16 * 16 + 4;
    let shard = 16 * 64 + index;
    // Everything, or something of every inner chunk: one request a shard.
    assert_eq!(cost("", &default), (2, 2, 2 * shard));
    assert_eq!(cost("::16", &default), (2, 2, 2 * shard));
    // One inner chunk: index and chunk, from one open object.
    assert_eq!(cost("17", &default), (1, 2, index + 64));
    // Inner chunks apart: joined across the gap, or not, by option.
    let apart = ReadOptions { coalesce_gap: 0, ..default.clone() };
    assert_eq!(cost("[3, 200, 5]", &default), (1, 2, index + 13 * 64));
    assert_eq!(cost("[3, 200, 5]", &apart), (1, 3, index + 2 * 64));
    let narrow = ReadOptions { coalesce_span: 5 * 64, ..default.clone() };
    assert_eq!(cost("[3, 60, 200]", &narrow), (1, 3, index + 5 * 64));
    // The option for whole objects.
    let whole = ReadOptions { partial_reads: false, ..default.clone() };
    assert_eq!(cost("17", &whole), (1, 1, shard));
}
