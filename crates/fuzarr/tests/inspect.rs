//! What is stored of an array, counted; nodes created and found.

#![allow(
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fuzarr::inspect::Storage;
use fuzarr::limits::Tuning;
use fuzarr::metadata::{GroupMetadata, Node};
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{
    Answer, Capabilities, Content, Latency, Listing, LocalStore, MemoryStore, Object, Precondition,
    Span, Store, Version, WholeObjects, put_bytes,
};
use fuzarr::{Array, Kind, Limits, Selection, hierarchy};
use serde_json::{Value, json};

fn little() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

fn sharding(shape: [u64; 2], codecs: Value) -> Value {
    json!({"name": "sharding_indexed", "configuration": {
        "chunk_shape": shape, "codecs": codecs,
        "index_codecs": [little(), {"name": "crc32c"}],
    }})
}

/// An array of 16 × 16 in four objects of 8 × 8.
fn document(codecs: &Value) -> Node {
    let text = json!({
        "zarr_format": 3, "node_type": "array", "shape": [16, 16], "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8, 8]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": codecs,
    });
    Node::from_bytes(text.to_string().as_bytes()).unwrap()
}

fn array(store: Arc<dyn Store>, path: &str, codecs: &Value) -> Array {
    let Node::Array(metadata) = document(codecs) else { panic!("no array") };
    Array::create(store, path, *metadata).unwrap()
}

fn storage(array: &Array, selection: &str) -> Storage {
    let selection = Selection::parse(selection).unwrap();
    array.write_bytes(&selection, &[1, 0], &WriteOptions::default()).unwrap();
    array.storage(true).unwrap()
}

#[test]
fn inner_chunks_are_counted_wherever_their_index_hides() {
    let zstd = json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}});
    let inner = sharding([2, 2], json!([little()]));
    let chains = [
        json!([sharding([2, 2], json!([little()]))]),
        json!([sharding([2, 2], json!([little(), zstd])), {"name": "crc32c"}]),
        json!([sharding([4, 4], json!([inner]))]),
        json!([sharding([4, 4], json!([inner, zstd]))]),
        json!([sharding([4, 4], json!([inner])), zstd]),
    ];
    for codecs in chains {
        let stores: [Arc<dyn Store>; 2] =
            [Arc::new(MemoryStore::new()), Arc::new(WholeObjects(MemoryStore::new()))];
        for store in stores {
            let array = array(store, "a", &codecs);
            let first = storage(&array, "3:5, 0");
            assert_eq!(first.objects, 1, "{codecs}");
            assert_eq!((first.inner_chunks, first.possible_inner_chunks), (Some(2), Some(64)));
            let all = storage(&array, "");
            assert_eq!((all.objects, all.possible_objects), (4, 4), "{codecs}");
            assert_eq!(all.inner_chunks, Some(64), "{codecs}");
        }
    }
}

#[test]
fn an_array_without_shards_has_no_inner_chunks() {
    let array = array(Arc::new(MemoryStore::new()), "", &json!([little()]));
    let found = storage(&array, "0, 0");
    assert_eq!((found.objects, found.bytes, found.inner_chunks), (1, 128, None));
}

fn read(store: &dyn Store, path: &str) -> Option<Node> {
    hierarchy::read_node(store, path).unwrap()
}

#[test]
fn groups_above_a_new_node_are_made_and_nothing_goes_into_an_array() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    array(Arc::clone(&store), "/a/b/c", &json!([little()]));
    for group in ["", "a", "a/b"] {
        assert!(matches!(read(&*store, group), Some(Node::Group(_))), "{group}");
    }
    assert!(Array::open(Arc::clone(&store), "/a/b/c").is_ok());
    let group = Node::Group(GroupMetadata::default());
    let inside = hierarchy::create_node(&*store, "a/b/c/d/e", &group).unwrap_err();
    assert_eq!(inside.kind(), Kind::InvalidArgument);
    assert_eq!(read(&*store, "a/b/c/d"), None);
    let again = hierarchy::create_node(&*store, "a", &group).unwrap_err();
    assert_eq!(again.kind(), Kind::AlreadyExists);
    let names: Vec<String> = hierarchy::children(&*store, "a/b")
        .unwrap()
        .into_iter()
        .map(|(name, node)| {
            assert!(matches!(node, Ok(Node::Array(_))));
            name
        })
        .collect();
    assert_eq!(names, ["c"]);
}

#[test]
fn consolidated_metadata_that_a_new_node_makes_stale_is_dropped() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let root = json!({
        "zarr_format": 3, "node_type": "group", "attributes": {"kept": 1},
        "consolidated_metadata": {"kind": "inline", "must_understand": false, "metadata": {}},
    });
    put_bytes(&*store, "zarr.json", root.to_string().as_bytes(), Precondition::None).unwrap();
    array(Arc::clone(&store), "new", &json!([little()]));
    let Some(Node::Group(group)) = read(&*store, "") else { panic!("no group") };
    assert_eq!(group.consolidated, None);
    assert_eq!(group.attributes["kept"], 1);
}

/// A store in which somebody else changes the root's attributes just before it is rewritten.
#[derive(Debug, Default)]
struct Racing {
    store: MemoryStore,
    raced: AtomicBool,
}

fn root(attributes: &Value) -> Vec<u8> {
    let document = json!({
        "zarr_format": 3, "node_type": "group", "attributes": attributes,
        "consolidated_metadata": {"kind": "inline", "must_understand": false, "metadata": {}},
    });
    document.to_string().into_bytes()
}

impl Store for Racing {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        self.store.open(key)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        if key == "zarr.json" && !self.raced.swap(true, Ordering::Relaxed) {
            let changed = root(&json!({"theirs": 2}));
            put_bytes(&self.store, key, &changed, Precondition::None).unwrap();
        }
        self.store.put(key, content, precondition)
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        self.store.delete(key, precondition)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.store.list(prefix)
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.store.delete_all(prefix)
    }
}

#[test]
fn a_change_beside_the_dropping_of_consolidated_metadata_is_kept() {
    let store = Arc::new(Racing::default());
    let before = root(&json!({"ours": 1}));
    put_bytes(&store.store, "zarr.json", &before, Precondition::None).unwrap();
    array(Arc::clone(&store) as _, "new", &json!([little()]));
    assert!(store.raced.load(Ordering::Relaxed));
    let Some(Node::Group(group)) = read(&*store, "") else { panic!("no group") };
    assert_eq!(group.consolidated, None);
    assert_eq!(group.attributes["theirs"], 2);
}

#[test]
fn links_out_of_a_store_and_to_themselves_are_no_objects() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    };
    link("../secret", "out");
    link("loop", "loop");
    link("nowhere", "dangling");
    link("inside", "in");
    std::fs::write(root.join("inside"), "four").unwrap();
    let store = LocalStore::open(&root).unwrap();
    let listing = store.list("").wait().unwrap();
    let expected = [("in", 4), ("inside", 4)].map(|(name, size)| (name.to_owned(), size));
    assert_eq!(listing.objects, expected);
    assert!(store.open("out").wait().is_err());
    let object = store.open("in").wait().unwrap().unwrap();
    let piece = object.read(Span::Whole(4), Vec::new()).wait().unwrap().unwrap();
    assert_eq!(piece.bytes.as_slice(), b"four");
}

#[test]
fn folders_that_cannot_hold_chunks_are_not_searched() {
    // Each link doubles the folders below it.
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(folder.path()).unwrap());
    let rank = 40;
    let text = json!({
        "zarr_format": 3, "node_type": "array", "shape": vec![1; rank], "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": vec![1; rank]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": [{"name": "bytes"}],
    });
    let Node::Array(metadata) = Node::from_bytes(text.to_string().as_bytes()).unwrap() else {
        panic!("no array")
    };
    let array = Array::create(store, "", *metadata).unwrap();
    std::fs::create_dir(folder.path().join("c")).unwrap();
    for name in ["1", "2", "c/1", "c/2"] {
        std::os::unix::fs::symlink(".", folder.path().join(name)).unwrap();
    }
    assert_eq!(array.stored_objects().unwrap(), []);
}

// Seen to fail when what is no object was taken for nothing.
#[test]
fn what_is_in_the_place_of_a_chunk_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(folder.path()).unwrap());
    let array = array(Arc::clone(&store), "a", &json!([little()]));
    array.write_bytes(&Selection::all(), &[1, 0], &WriteOptions::default()).unwrap();
    let chunk = |key: &str| folder.path().join("a/c").join(key);
    let keys = ["0/0", "0/1", "1/0", "1/1"];
    for key in keys {
        std::fs::remove_file(chunk(key)).unwrap();
    }
    std::fs::create_dir(chunk("0/0")).unwrap();
    std::fs::create_dir(chunk("0/1")).unwrap();
    std::fs::write(chunk("0/1").join("file"), b"x").unwrap();
    std::os::unix::fs::symlink("nowhere", chunk("1/0")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", chunk("1/1")).unwrap();
    // Beyond the grid there are no chunks.
    std::fs::create_dir(chunk("0/2")).unwrap();
    std::os::unix::fs::symlink("nowhere", chunk("9")).unwrap();
    let found = array.verify(|_| {}).unwrap();
    assert_eq!((found.objects, found.bytes), (0, 0));
    let told: Vec<_> = found.damage.iter().map(|e| (e.kind(), e.context("key").unwrap())).collect();
    let expected = keys.map(|key| (Kind::Corrupt, format!("a/c/{key}")));
    assert_eq!(told, expected.each_ref().map(|(kind, key)| (*kind, key.as_str())));
    assert!(array.stored_objects().unwrap().is_empty());
    // A folder of chunks in the place of which something else is.
    std::fs::remove_dir_all(folder.path().join("a/c")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("a/c")).unwrap();
    let found = array.verify(|_| {}).unwrap();
    assert_eq!(found.damage.len(), 1);
    assert_eq!(found.damage[0].context("key"), Some("a/c"));
}

// Seen to fail when damage was told of what was read of two versions, once for each time.
#[test]
fn what_changes_in_place_while_it_is_verified_is_not_damaged() {
    let text = json!({
        "zarr_format": 3, "node_type": "array", "shape": [1 << 16], "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1 << 16]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0,
        "codecs": [{"name": "bytes"}, {"name": "crc32c"}],
    });
    let Node::Array(metadata) = Node::from_bytes(text.to_string().as_bytes()).unwrap() else {
        panic!("no array")
    };
    let folder = tempfile::tempdir().unwrap();
    let local: Arc<dyn Store> = Arc::new(LocalStore::open(folder.path()).unwrap());
    let array = Array::create(local, "", *metadata).unwrap();
    let file = folder.path().join("c/0");
    let versions = [1, 2].map(|value| {
        array.write_bytes(&Selection::all(), &[value], &WriteOptions::default()).unwrap();
        std::fs::read(&file).unwrap()
    });
    // Each of so many questions finds the other version in the file.
    let left = Arc::new(AtomicUsize::new(0));
    let (changes, place) = (Arc::clone(&left), file.clone());
    let wait = move || {
        let take = |left: usize| left.checked_sub(1);
        if let Ok(left) = changes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            std::thread::sleep(Duration::from_millis(10));
            std::fs::write(&place, &versions[left % 2]).unwrap();
        }
        async {}
    };
    let store = Latency::awaiting(LocalStore::open(folder.path()).unwrap(), wait);
    let array = Array::open(Arc::new(store), "").unwrap();
    let tuning = Tuning { part: 16 << 10, ..Tuning::default() };
    let limits = Limits { tuning, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    left.store(25, Ordering::SeqCst);
    let found = array.verify_with(&options, |_| {}).unwrap();
    assert_eq!(left.load(Ordering::SeqCst), 0);
    assert!(found.damage.is_empty(), "{:?}", found.damage);
    // What stays damaged is told once.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    left.store(0, Ordering::SeqCst);
    let found = array.verify_with(&options, |_| {}).unwrap();
    assert_eq!(found.damage.len(), 1);
    assert_eq!(found.damage[0].context("key"), Some("c/0"));
}
