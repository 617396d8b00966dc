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

use bytes::Bytes;
use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{
    Content, Faulty, Latency, LocalOptions, LocalStore, MemoryStore, Metered, Operation, Part,
    Precondition, RemoteStore, Span, Store, WholeObjects, Writing, ZipOptions, ZipStore, find,
    put_bytes,
};
use fuzarr::{Array, Kind, Selection, Term};
use object_store::memory::InMemory;
use serde_json::json;

const WHOLE: Span = Span::Whole(u64::MAX);

fn get(store: &dyn Store, key: &str, span: Span) -> Option<Vec<u8>> {
    let object = find(store, key).wait().unwrap()?;
    let piece = object.read(span, Vec::new()).wait().unwrap().unwrap();
    Some(piece.bytes.as_slice().to_vec())
}

fn put(store: &dyn Store, key: &str, parts: &[&[u8]]) {
    let parts: Vec<Part<'_>> = parts.iter().map(|part| Part::Bytes(part)).collect();
    store.put(key, Content { parts: &parts, base: None }, Precondition::None).wait().unwrap();
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
    let object = store.open("a/b").wait().unwrap().unwrap();
    let beyond = object.read(Span::Range(8..11), Vec::new()).wait();
    assert_eq!(beyond.unwrap_err().kind(), Kind::Corrupt);
    let larger = object.read(Span::Whole(9), Vec::new()).wait();
    assert_eq!(larger.unwrap_err().kind(), Kind::Corrupt);
    put(store, "a/b", &[b"short"]);
    assert_eq!(get(store, "a/b", WHOLE).unwrap(), b"short");
    // The pinned object is still the old one, whatever happens to the key; or the store has none but
    // the present one, and says so.
    match object.read(WHOLE, Vec::new()).wait() {
        Err(error) if !store.capabilities().blocking => assert_eq!(error.kind(), Kind::Conflict),
        pinned => {
            let pinned = pinned.unwrap().unwrap();
            assert_eq!(pinned.bytes.as_slice(), b"0123456789");
            assert_eq!(pinned.object_size, 10);
        }
    }
    store.delete("a/b", Precondition::None).wait().unwrap();
    store.delete("a/b", Precondition::None).wait().unwrap();
    store.delete("never/was", Precondition::None).wait().unwrap();
    assert_eq!(get(store, "a/b", WHOLE), None);
}

fn preconditions(store: &dyn Store) {
    let fails = |outcome: fuzarr::Result<()>| {
        assert_eq!(outcome.unwrap_err().kind(), Kind::Conflict);
    };
    put_bytes(store, "k", b"1", Precondition::Absent).unwrap();
    fails(put_bytes(store, "k", b"2", Precondition::Absent));
    let version = || {
        let object = store.open("k").wait().unwrap().unwrap();
        object.read(WHOLE, Vec::new()).wait().unwrap();
        (object.version().unwrap(), object)
    };
    let (first, held) = version();
    put_bytes(store, "k", b"2", Precondition::Unchanged(first.clone())).unwrap();
    fails(put_bytes(store, "k", b"3", Precondition::Unchanged(first.clone())));
    fails(store.delete("k", Precondition::Unchanged(first.clone())).wait());
    drop(held);
    let (second, held) = version();
    assert_ne!(first, second);
    fails(store.delete("k", Precondition::Absent).wait());
    store.delete("k", Precondition::Unchanged(second.clone())).wait().unwrap();
    fails(put_bytes(store, "k", b"4", Precondition::Unchanged(second)));
    drop(held);
    assert_eq!(get(store, "k", WHOLE), None);
}

fn listings(store: &dyn Store) {
    for key in ["z/a", "z/b/c", "z/b/d", "z/bb", "z/b.x", "y"] {
        put(store, key, &[key.as_bytes()]);
    }
    let list = |prefix: &str| store.list(prefix).wait().unwrap();
    assert_eq!(list("").prefixes, ["z"]);
    assert_eq!(list("").objects, [("y".to_owned(), 1)]);
    let names = [("a", 3), ("b.x", 5), ("bb", 4)];
    assert_eq!(list("z").objects, names.map(|(name, size)| (name.to_owned(), size)));
    assert_eq!(list("z").prefixes, ["b"]);
    assert_eq!(list("nothing"), fuzarr::store::Listing::default());
}

fn kind<T: std::fmt::Debug>(outcome: fuzarr::Result<T>) -> Kind {
    outcome.unwrap_err().kind()
}

fn pinned(store: &dyn Store, key: &str) -> Box<dyn fuzarr::store::Object> {
    find(store, key).wait().unwrap().unwrap()
}

fn reads_into_memory(store: &dyn Store) {
    put(store, "k", &[b"0123456789"]);
    let object = pinned(store, "k");
    assert_eq!(object.size().unwrap_or(10), 10);
    let mut memory = *b"abcd";
    let read = object.read_into(3, &mut memory).wait().unwrap();
    assert_eq!(&memory, if read { b"3456" } else { b"abcd" });
    let beyond = object.read_into(8, &mut memory[..3]).wait();
    assert!(matches!(&beyond, Ok(false)) || kind(beyond) == Kind::Corrupt);
    assert!(object.is_unchanged().wait().unwrap());
    // Memory that is lent may be of any length.
    for length in [0, 3, 100] {
        let piece = object.read(WHOLE, vec![1; length]).wait().unwrap().unwrap();
        assert_eq!(piece.bytes.as_slice(), b"0123456789");
    }
    // A successor changes nothing of what is pinned.
    put(store, "k", &[b"new"]);
    assert!(object.is_unchanged().wait().unwrap());
}

fn kept_parts(store: &dyn Store) {
    if !store.capabilities().carry_over {
        return;
    }
    let long: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    put(store, "k", &[&long]);
    let base = pinned(store, "k");
    let (empty, shared) = (Bytes::new(), Bytes::from_static(b"its own"));
    let kept = |range: std::ops::Range<usize>| Part::Kept(range.start as u64..range.end as u64);
    let parts = [
        kept(5..100),
        kept(100..200_000),
        Part::Bytes(b""),
        kept(200_000..200_000),
        Part::Bytes(b"between"),
        Part::Bytes(b"and more"),
        kept(0..7),
        Part::Shared(&empty),
        Part::Shared(&shared),
        Part::Shared(&empty),
        kept(299_999..300_000),
        Part::Bytes(b"end"),
    ];
    let (first, last) = (&long[5..200_000], &long[299_999..]);
    let expected = [first, b"betweenand more", &long[0..7], &shared, last, b"end"].concat();
    let content = Content { parts: &parts, base: Some(&*base) };
    let version = base.version().unwrap();
    store.put("k", content, Precondition::Unchanged(version.clone())).wait().unwrap();
    assert_eq!(get(store, "k", WHOLE).unwrap(), expected);
    let stale = store.put("k", content, Precondition::Unchanged(version)).wait();
    assert_eq!(kind(stale), Kind::Conflict);
    let beyond = [Part::Bytes(b"x"), kept(299_999..300_001)];
    let content = Content { parts: &beyond, base: Some(&*base) };
    assert_eq!(kind(store.put("k", content, Precondition::None).wait()), Kind::Corrupt);
    let nothing = Content { parts: &beyond, base: None };
    assert_eq!(kind(store.put("k", nothing, Precondition::None).wait()), Kind::InvalidArgument);
    assert_eq!(get(store, "k", WHOLE).unwrap(), expected);
}

fn shared_parts(store: &dyn Store) {
    let shared = Bytes::from(vec![7; 1000]);
    let alone = [Part::Shared(&shared)];
    let content = Content { parts: &alone, base: None };
    store.put("k", content, Precondition::None).wait().unwrap();
    assert_eq!(get(store, "k", WHOLE).unwrap(), shared);
    let base = pinned(store, "k");
    let parts = [Part::Bytes(b"a"), Part::Shared(&shared), Part::Shared(&shared)];
    let content = Content { parts: &parts, base: Some(&*base) };
    assert_eq!(content.length(), 2001);
    store.put("k", content, Precondition::None).wait().unwrap();
    assert_eq!(get(store, "k", WHOLE).unwrap(), [b"a", &shared[..], &shared].concat());
    let empty = Bytes::new();
    for parts in [&[Part::Shared(&empty)][..], &[Part::Shared(&empty), Part::Shared(&shared)]] {
        store.put("k", Content { parts, base: None }, Precondition::None).wait().unwrap();
        let expected = if parts.len() == 1 { &empty } else { &shared };
        assert_eq!(get(store, "k", WHOLE).unwrap(), *expected);
    }
    if store.capabilities().uploads {
        let upload = store.begin("k").wait().unwrap();
        upload.write(0, content).wait().unwrap();
        upload.finish(Precondition::None).wait().unwrap();
        assert_eq!(get(store, "k", WHOLE).unwrap().len(), 2001);
    }
}

#[test]
fn a_store_in_memory_keeps_what_it_may_share() {
    let store = MemoryStore::new();
    let shared = Bytes::from(vec![7; 1000]);
    let put = |parts: &[Part<'_>], base| {
        store.put("k", Content { parts, base }, Precondition::None).wait().unwrap();
        let kept = store.snapshot().unwrap().remove(0).1;
        assert_eq!(kept, shared);
        kept.as_ptr()
    };
    assert_eq!(put(&[Part::Shared(&shared)], None), shared.as_ptr());
    // Also in the place of an object of which nothing is kept.
    let base = pinned(&store, "k");
    assert_eq!(put(&[Part::Shared(&shared)], Some(&*base)), shared.as_ptr());
    assert_ne!(put(&[Part::Bytes(&shared)], None), shared.as_ptr());
    // What is changed in place is a copy.
    put(&[Part::Shared(&shared)], None);
    store.patch("k", &[(1, &[9])], Precondition::None).wait().unwrap();
    assert_eq!(get(&store, "k", WHOLE).unwrap()[..3], [7, 9, 7]);
    assert_eq!(shared, vec![7; 1000]);
}

fn uploads(store: &dyn Store) {
    fn bytes<'a>(part: &'a [Part<'a>; 1]) -> Content<'a> {
        Content { parts: part, base: None }
    }
    if !store.capabilities().uploads {
        assert_eq!(kind(store.begin("k").wait()), Kind::Unsupported);
        return;
    }
    put(store, "k", &[b"old one"]);
    let base = pinned(store, "k");
    let upload = store.begin("k").wait().unwrap();
    upload.write(9, bytes(&[Part::Bytes(b"9ab")])).wait().unwrap();
    drop(upload);
    assert_eq!(get(store, "k", WHOLE).unwrap(), b"old one");
    let upload = store.begin("k").wait().unwrap();
    std::thread::scope(|scope| {
        for (offset, piece) in [(7, b"789"), (1, b"123"), (4, b"456")] {
            let upload = &upload;
            scope.spawn(move || upload.write(offset, bytes(&[Part::Bytes(piece)])).wait().unwrap());
        }
    });
    let kept = Content { parts: &[Part::Kept(4..7)], base: Some(&*base) };
    upload.write(10, kept).wait().unwrap();
    upload.write(0, bytes(&[Part::Bytes(b"0")])).wait().unwrap();
    assert_eq!(get(store, "k", WHOLE).unwrap(), b"old one");
    upload.finish(Precondition::Unchanged(base.version().unwrap())).wait().unwrap();
    assert_eq!(get(store, "k", WHOLE).unwrap(), b"0123456789one");
    let upload = store.begin("k").wait().unwrap();
    assert_eq!(kind(upload.finish(Precondition::Absent).wait()), Kind::Conflict);
    let upload = store.begin("new/folder/k").wait().unwrap();
    upload.finish(Precondition::Absent).wait().unwrap();
    assert_eq!(get(store, "new/folder/k", WHOLE).unwrap(), b"");
    assert_eq!(kind(store.begin("a//b").wait()), Kind::InvalidArgument);
    assert_eq!(get(store, "k", WHOLE).unwrap(), b"0123456789one");
}

fn patches(store: &dyn Store) {
    if !store.capabilities().patch {
        return;
    }
    put(store, "k", &[b"0123456789"]);
    let object = pinned(store, "k");
    let version = object.version().unwrap();
    let changes: [(u64, &[u8]); 2] = [(8, b"AB"), (0, b"C")];
    store.patch("k", &changes, Precondition::Unchanged(version.clone())).wait().unwrap();
    assert_eq!(get(store, "k", WHOLE).unwrap(), b"C1234567AB");
    // Versions tell, however fast one change follows another.
    for digit in 0..10 {
        let version = pinned(store, "k").version().unwrap();
        store
            .patch("k", &[(3, &[digit])], Precondition::Unchanged(version.clone()))
            .wait()
            .unwrap();
        let stale = store.patch("k", &[(3, &[digit])], Precondition::Unchanged(version)).wait();
        assert_eq!(kind(stale), Kind::Conflict);
    }
    store.patch("k", &[(3, b"3")], Precondition::None).wait().unwrap();
    let outside: [(u64, &[u8]); 2] = [(0, b"never"), (9, b"xy")];
    for changes in [outside, [(0, b"never"), (u64::MAX, b"x")]] {
        let patched = store.patch("k", &changes, Precondition::None).wait();
        assert_eq!(kind(patched), Kind::InvalidArgument);
    }
    let stale = store.patch("k", &changes, Precondition::Unchanged(version.clone())).wait();
    assert_eq!(kind(stale), Kind::Conflict);
    assert_eq!(get(store, "k", WHOLE).unwrap(), b"C1234567AB");
    for key in ["missing", "not/a/folder"] {
        assert_eq!(kind(store.patch(key, &changes, Precondition::None).wait()), Kind::NotFound);
        let gone = store.patch(key, &changes, Precondition::Unchanged(version.clone())).wait();
        assert_eq!(kind(gone), Kind::Conflict);
    }
}

fn whole_prefixes(store: &dyn Store) {
    let keys = ["a/b/c/1", "a/b/c/2", "a/b/zarr.json", "a/bc/1", "a/d", "x"];
    for key in keys {
        put(store, key, &[key.as_bytes()]);
    }
    let has = |key: &str| find(store, key).wait().unwrap().is_some();
    let delete = |prefix: &str| store.delete_all(prefix).wait();
    let rename = |from: &str, to: &str| store.rename_all(from, to).wait();
    let missing = kind(rename("nothing", "y"));
    if missing != Kind::Unsupported {
        assert_eq!(missing, Kind::NotFound);
        renaming(store, &has, &rename);
    }

    delete("nothing/at/all").unwrap();
    delete("x").unwrap();
    assert!(has("x"), "an object is not below itself");
    delete("a/b").unwrap();
    assert!(!has("a/b/c/1") && !has("a/b/zarr.json") && has("a/bc/1") && has("a/d") && has("x"));
    assert_eq!(store.list("a").wait().unwrap().prefixes, ["bc"]);
    put(store, "a/b/c/1", &[b"again"]);
    assert_eq!(kind(delete("a/../x")), Kind::InvalidArgument);
    delete("").unwrap();
    assert_eq!(store.list("").wait().unwrap(), fuzarr::store::Listing::default());
}

/// Moves what is below prefixes, and back.
fn renaming(
    store: &dyn Store,
    has: &dyn Fn(&str) -> bool,
    rename: &dyn Fn(&str, &str) -> fuzarr::Result<()>,
) {
    let keys = ["a/b/c/1", "a/b/c/2", "a/b/zarr.json", "a/bc/1", "a/d", "x"];
    assert_eq!(kind(rename("x", "y")), Kind::NotFound);
    assert_eq!(kind(rename("a/b", "a/bc")), Kind::AlreadyExists);
    assert_eq!(kind(rename("a/b", "x")), Kind::AlreadyExists);
    assert_eq!(kind(rename("a/b", "a/b")), Kind::AlreadyExists);
    assert_eq!(kind(rename("a/b", "a/b/c/e")), Kind::InvalidArgument);
    assert_eq!(kind(rename("a/b", "../y")), Kind::InvalidArgument);
    assert_eq!(kind(rename("", "y")), Kind::InvalidArgument);
    assert!(keys.into_iter().all(has));
    rename("a/b", "new/home/b").unwrap();
    assert_eq!(get(store, "new/home/b/c/2", WHOLE).unwrap(), b"a/b/c/2");
    assert!(!has("a/b/c/1") && !has("a/b/zarr.json") && has("a/bc/1") && has("a/d"));
    rename("new/home/b", "a/b").unwrap();
    assert!(keys.into_iter().all(has));
}

#[test]
fn every_store_keeps_the_contract() {
    let folder = || {
        let folder = tempfile::tempdir().unwrap();
        (LocalStore::open(folder.path()).unwrap(), folder)
    };
    let contracts = [
        objects_and_ranges,
        preconditions,
        listings,
        reads_into_memory,
        kept_parts,
        shared_parts,
        uploads,
        patches,
        whole_prefixes,
    ];
    for contract in contracts {
        contract(&MemoryStore::new());
        contract(&folder().0);
        let synced = tempfile::tempdir().unwrap();
        let options = LocalOptions {
            fsync: true,
            follow_links_out: true,
            shared_writers: true,
            ..LocalOptions::default()
        };
        contract(&LocalStore::create_with(synced.path().join("a/b"), options).unwrap());
        contract(&Metered::new(folder().0));
        contract(&WholeObjects(Metered::new(MemoryStore::new())));
        contract(&Latency::new(folder().0, std::time::Duration::from_micros(10)));
        contract(&Latency::awaiting(MemoryStore::new(), || std::future::ready(())));
        contract(&RemoteStore::of(Arc::new(InMemory::new())));
        contract(&Faulty::new(folder().0));
        contract(&Faulty::tampered(folder().0, |_, piece| piece));
        let (local, _guard) = folder();
        let inside: [Arc<dyn Store>; 4] = [
            Arc::new(MemoryStore::new()),
            Arc::new(local),
            Arc::new(Latency::awaiting(MemoryStore::new(), || std::future::ready(()))),
            Arc::new(RemoteStore::of(Arc::new(InMemory::new()))),
        ];
        for store in inside {
            contract(&ZipStore::new(store, "a/b.zip", ZipOptions::default()));
        }
        contract(&spooled_zip(synced.path()));
    }
}

/// An archive that is written when it is closed; until then what is put lies in files of the folder.
fn spooled_zip(folder: &Path) -> ZipStore {
    let options = ZipOptions {
        writing: Writing::OnClose,
        memory: 0,
        spool: Some(folder.to_owned()),
        ..ZipOptions::default()
    };
    ZipStore::new(Arc::new(MemoryStore::new()), "a/b.zip", options)
}

#[test]
fn a_meter_counts_what_is_written_and_what_is_kept() {
    let store = Metered::new(MemoryStore::new());
    put(&store, "k", &[b"0123", b"456789"]);
    let base = pinned(&store, "k");
    let content = Content { parts: &[Part::Kept(2..9), Part::Bytes(b"abc")], base: Some(&*base) };
    store.put("k", content, Precondition::None).wait().unwrap();
    let upload = store.begin("k").wait().unwrap();
    upload.write(0, content).wait().unwrap();
    upload.finish(Precondition::None).wait().unwrap();
    store.patch("k", &[(0, b"x"), (1, b"yz")], Precondition::None).wait().unwrap();
    let counts = store.counts();
    let counted = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(counted(&counts.bytes_written), 10 + 3 + 3 + 3);
    assert_eq!(counted(&counts.bytes_kept), 14);
    assert_eq!(counted(&counts.puts), 4);
}

#[test]
fn faults_come_as_scripted_and_surface_with_their_key() {
    let store = Arc::new(Faulty::new(MemoryStore::new()));
    let array = array(Arc::<Faulty<MemoryStore>>::clone(&store), &[64], &[16], &[4]);
    let write = || array.write_bytes(&Selection::all(), &[7; 256], &WriteOptions::default());
    write().unwrap();
    store.fail(Operation::Read, 1, Kind::Io);
    let error = array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
    assert!(error.context("key").is_some_and(|key| key.starts_with("c/")), "{error}");
    // The fault was that one operation's.
    assert_eq!(
        array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes,
        [7; 256]
    );
    // A conflict is tried again, other errors are not.
    let puts = store.count(Operation::Put) + store.count(Operation::Finish);
    assert!(puts > 0);
    for operation in [Operation::Put, Operation::Finish] {
        store.fail(operation, 0, Kind::Conflict);
    }
    write().unwrap();
    for operation in [Operation::Put, Operation::Finish] {
        store.fail(operation, 2, Kind::Io);
    }
    assert_eq!(write().unwrap_err().kind(), Kind::Io);
}

#[test]
fn reads_that_give_too_little_or_something_else_are_errors() {
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2),
        |bytes: &mut Vec<u8>| bytes.clear(),
        |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte ^= 1),
    ] {
        let store = MemoryStore::new();
        let inner = Arc::new(store);
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&inner);
        let sound = array(shared, &[64], &[16], &[4]);
        sound.write_bytes(&Selection::all(), &[7; 256], &WriteOptions::default()).unwrap();
        let tampered = MemoryStore::new();
        for (key, bytes) in inner.snapshot().unwrap() {
            put(&tampered, &key, &[&bytes]);
        }
        let store = Faulty::tampered(tampered, move |key, mut piece| {
            if key.starts_with("c/") {
                let mut bytes = piece.bytes.into_bytes().to_vec();
                damage(&mut bytes);
                piece.bytes = fuzarr::buffer::Buffer::Owned(bytes);
            }
            piece
        });
        let array = Array::open(Arc::new(store), "").unwrap();
        for selection in ["...", "17"] {
            let read =
                array.read_bytes(&Selection::parse(selection).unwrap(), &ReadOptions::default());
            // The store's fault where it gave fewer bytes than were asked for.
            assert!(matches!(kind(read.map(drop)), Kind::Corrupt | Kind::Io), "{selection}");
        }
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
                        array.write_bytes(&place, &value, &WriteOptions::default()).unwrap();
                    }
                });
            }
        });
        let expected: Vec<u8> = (1..=64_u32).flat_map(u32::to_ne_bytes).collect();
        assert_eq!(
            array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes,
            expected
        );
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
    assert!(store.list("").wait().unwrap().objects.is_empty());
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
    assert!(store.open("folder").wait().unwrap().is_none());
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(store.open("file/below").wait().unwrap().is_none());
    let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    assert!(pipe.unwrap().success());
    assert_eq!(store.open("pipe").wait().unwrap_err().kind(), Kind::Io);
}

/// An array of two shards of 16 inner chunks of 64 bytes, and what reading `selection` costs.
fn cost(selection: &str, options: &ReadOptions) -> (u64, u64, u64) {
    let store = Arc::new(Metered::new(MemoryStore::new()));
    let array = array(Arc::clone(&store) as _, &[512], &[256], &[16]);
    let values: Vec<u8> = (1..=512_u32).flat_map(u32::to_ne_bytes).collect();
    array.write_bytes(&Selection::all(), &values, &WriteOptions::default()).unwrap();
    let counts = || {
        let counts = store.counts();
        [&counts.opens, &counts.reads, &counts.bytes_read]
            .map(|count| count.load(Ordering::Relaxed))
    };
    let before = counts();
    array.read_bytes(&Selection::parse(selection).unwrap(), options).unwrap();
    let after = counts();
    (after[0] - before[0], after[1] - before[1], after[2] - before[2])
}

#[test]
fn requests_are_as_few_as_the_selection_allows() {
    // The inner chunks would come with the index.
    let default = ReadOptions { one_round_trip: false, ..ReadOptions::default() };
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
    assert_eq!(cost("17", &ReadOptions::default()), (1, 1, shard));
}
