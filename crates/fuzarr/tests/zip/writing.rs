//! Writing: what is stored stays until what is new is stored.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use fuzarr::Kind;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{
    Faulty, LocalStore, MemoryStore, Operation, Precondition, Store, Writing, ZipOptions, ZipStore,
    delete, put_bytes,
};

use super::{KEY, MIXED, array, get, keys, kind, open, put, selection, values};

fn on_close() -> ZipOptions {
    ZipOptions { writing: Writing::OnClose, ..ZipOptions::default() }
}

#[test]
fn an_archive_appears_when_something_is_written_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    let store = ZipStore::local(&path, ZipOptions::default()).unwrap();
    assert_eq!(get(&store, "k").unwrap(), None);
    delete(&store, "k").unwrap();
    store.close().unwrap();
    assert!(!path.exists());
    put_bytes(&store, "k", b"1", Precondition::Absent).unwrap();
    let before = std::fs::metadata(&path).unwrap();
    // Reading writes nothing, nor does what changes nothing.
    assert_eq!(get(&store, "k").unwrap().unwrap(), b"1");
    delete(&store, "other").unwrap();
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    delete(&store, "k").unwrap();
    let other = ZipStore::local(&path, ZipOptions::default()).unwrap();
    assert_eq!(keys(&other, "").unwrap(), Vec::<String>::new());
    let names = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.map(|name| name.unwrap().file_name()).collect::<Vec<_>>(), ["x.zip"]);
}

#[test]
fn an_object_of_no_bytes_is_an_archive_only_where_one_is_to_be_made() {
    // As Python's zipfile has it: in its mode "a" such a file is an archive without entries.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    std::fs::write(&path, b"").unwrap();
    let store = ZipStore::local(&path, ZipOptions::default()).unwrap();
    for error in [get(&store, "k").unwrap_err(), store.list("").wait().unwrap_err()] {
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.message().contains("no bytes"), "{error}");
    }
    let made = || {
        let options = ZipOptions { create: true, ..on_close() };
        ZipStore::local(&path, options).unwrap()
    };
    let (store, late) = (made(), made());
    for store in [&store, &late] {
        assert_eq!(keys(store, "").unwrap(), Vec::<String>::new());
        put_bytes(store, "k", b"1", Precondition::Absent).unwrap();
    }
    store.close().unwrap();
    assert_eq!(kind(late.close()), Kind::Conflict, "it was replaced meanwhile");
    let read = ZipStore::local(&path, ZipOptions::default()).unwrap();
    assert_eq!(get(&read, "k").unwrap().unwrap(), b"1");
    // What has bytes and is no archive is none.
    std::fs::write(&path, b"text").unwrap();
    assert_eq!(kind(get(&made(), "k")), Kind::Corrupt);
}

#[test]
fn what_is_changed_is_written_once_when_the_store_is_closed() {
    let memory = Arc::new(MemoryStore::new());
    put(&*memory, KEY, MIXED);
    let inside: Arc<dyn Store> = Arc::<MemoryStore>::clone(&memory) as Arc<dyn Store>;
    let store = ZipStore::new(Arc::clone(&inside), KEY, on_close());
    put_bytes(&store, "new", b"new", Precondition::Absent).unwrap();
    put_bytes(&store, "stored", b"changed", Precondition::None).unwrap();
    store.delete_all("folder").wait().unwrap();
    store.rename_all("nothing", "x").wait().unwrap_err();
    put_bytes(&store, "folder/x/y", b"again", Precondition::Absent).unwrap();
    store.rename_all("folder", "moved").wait().unwrap();
    assert_eq!(get(&*memory, KEY).unwrap().unwrap(), MIXED);
    assert!(store.is_changed());
    let expected = ["empty", "lzma", "moved/x/y", "new", "stored", "wide"];
    assert_eq!(keys(&store, "").unwrap(), expected);
    store.close().unwrap();
    assert!(!store.is_changed());
    for store in [&store, &open(inside)] {
        assert_eq!(keys(store, "").unwrap(), expected);
        assert_eq!(get(store, "stored").unwrap().unwrap(), b"changed");
        assert_eq!(get(store, "moved/x/y").unwrap().unwrap(), b"again");
        assert_eq!(get(store, "wide").unwrap().unwrap(), b"with an extra field");
        assert_eq!(kind(get(store, "lzma")), Kind::Unsupported);
    }
    let bytes = get(&*memory, KEY).unwrap().unwrap();
    assert!(bytes.ends_with(b"a comment of some length"));
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(!has(b"the first") && !has(b"0123456789"), "what is no entry takes no room");
    let place = MIXED.windows(4).position(|window| window == b"lzma").unwrap();
    assert!(has(&MIXED[place - 30..place + 40]), "what fuzarr does not read is kept");
}

#[test]
fn entries_that_are_renamed_keep_their_bytes() {
    let memory = Arc::new(MemoryStore::new());
    put(&*memory, KEY, MIXED);
    let store = open(memory);
    store.rename_all("folder", "a/longer/name").wait().unwrap();
    store.close().unwrap();
    assert_eq!(get(&store, "a/longer/name/twice").unwrap().unwrap(), b"the second");
    let deflated = get(&store, "a/longer/name/deflated").unwrap().unwrap();
    assert_eq!(deflated, b"again and ".repeat(100));
    assert_eq!(get(&store, "a/longer/name/ö").unwrap().unwrap(), b"named in UTF-8");
    assert_eq!(get(&store, "folder/twice").unwrap(), None);
}

#[test]
fn whatever_fails_leaves_the_old_archive() {
    let steps = [
        Operation::Begin,
        Operation::Write,
        Operation::Finish,
        Operation::Settle,
        Operation::Open,
        Operation::Read,
    ];
    for (step, nth) in steps.into_iter().flat_map(|step| [(step, 0), (step, 1), (step, 2)]) {
        for writing in [Writing::EachRequest, Writing::OnClose] {
            let folder = tempfile::tempdir().unwrap();
            let local = LocalStore::open(folder.path()).unwrap();
            put(&local, KEY, MIXED);
            let faulty = Arc::new(Faulty::new(local));
            let inside: Arc<dyn Store> = Arc::<Faulty<_>>::clone(&faulty) as Arc<dyn Store>;
            let options = ZipOptions { writing, ..ZipOptions::default() };
            let store = ZipStore::new(inside, KEY, options);
            faulty.fail(step, nth, Kind::Io);
            let change = || {
                store.rename_all("folder", "moved").wait()?;
                put_bytes(&store, "stored", b"changed", Precondition::None)?;
                store.close()
            };
            let outcome = change();
            let stored = get(faulty.inner(), KEY).unwrap().unwrap();
            match outcome {
                // What failed was never asked for.
                Ok(()) => assert_ne!(stored, MIXED),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Io, "{step:?} {nth}");
                    // That it is durable is not known; that it is stored is.
                    assert!((step == Operation::Settle) != (stored == MIXED), "{step:?} {nth}");
                    // Another try succeeds, of all of it or of what was not given up.
                    if writing == Writing::EachRequest {
                        put_bytes(&store, "stored", b"changed", Precondition::None).unwrap();
                    } else if store.is_changed() {
                        store.close().unwrap();
                    }
                }
            }
            let fresh = ZipStore::local(folder.path().join(KEY), ZipOptions::default()).unwrap();
            for key in keys(&fresh, "").unwrap().iter().filter(|key| *key != "lzma") {
                get(&fresh, key).unwrap();
            }
        }
    }
}

#[test]
fn the_second_of_two_writers_gets_a_conflict() {
    let memory = Arc::new(MemoryStore::new());
    let inside = || Arc::<MemoryStore>::clone(&memory) as Arc<dyn Store>;
    let one = ZipStore::new(inside(), KEY, on_close());
    let other = ZipStore::new(inside(), KEY, on_close());
    put_bytes(&one, "k", b"1", Precondition::Absent).unwrap();
    put_bytes(&other, "k", b"2", Precondition::Absent).unwrap();
    one.close().unwrap();
    assert_eq!(kind(other.close()), Kind::Conflict);
    assert_eq!(kind(other.close()), Kind::Conflict);
    assert_eq!(get(&other, "k").unwrap().unwrap(), b"2");
    other.discard();
    assert!(!other.is_changed());
    assert_eq!(get(&other, "k").unwrap().unwrap(), b"1");
    other.close().unwrap();
    assert_eq!(get(&open(inside()), "k").unwrap().unwrap(), b"1");
    // A request whose changes are refused is as if it had not been made.
    let (one, other) = (open(inside()), open(inside()));
    put(&other, "l", b"2");
    put_bytes(&one, "k", b"3", Precondition::None).unwrap();
    let refused = put_bytes(&other, "k", b"4", Precondition::None);
    assert_eq!(kind(refused), Kind::Conflict);
    assert_eq!(get(&other, "k").unwrap().unwrap(), b"3");
    assert_eq!(get(&other, "l").unwrap(), None);
    put_bytes(&other, "k", b"4", Precondition::None).unwrap();
    assert_eq!(get(&one, "k").unwrap().unwrap(), b"4");
}

#[test]
fn what_does_not_fit_into_memory_goes_through_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    let options = ZipOptions { memory: 5000, ..on_close() };
    let store = ZipStore::local(&path, options.clone()).unwrap();
    let array = array(Arc::new(store.clone()));
    array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    let many: Vec<Vec<u8>> = (0..50).map(|number| vec![number; 1000]).collect();
    for (number, bytes) in many.iter().enumerate() {
        put(&store, &format!("many/{number}"), bytes);
    }
    // Changed again while it is in the file.
    array.write_bytes(&selection("3, 4"), &[9], &WriteOptions::default()).unwrap();
    let mut expected = values();
    expected[3 * 64 + 4] = 9;
    for _ in 0..2 {
        let read = array.read_bytes(&selection("..."), &ReadOptions::default()).unwrap();
        assert!(read.bytes == expected);
        for (number, bytes) in many.iter().enumerate() {
            assert_eq!(&get(&store, &format!("many/{number}")).unwrap().unwrap(), bytes);
        }
        store.close().unwrap();
    }
    let nowhere = ZipStore::new(Arc::new(MemoryStore::new()), KEY, options);
    let refused = put_bytes(&nowhere, "k", &[0; 5001], Precondition::None);
    assert_eq!(kind(refused), Kind::Limit);
}

#[test]
fn many_entries_take_zip64() {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let store = ZipStore::new(Arc::clone(&memory), KEY, on_close());
    for number in 0..70_000_u32 {
        put(&store, &format!("c/{}/{}", number / 1000, number % 1000), &number.to_le_bytes());
    }
    store.close().unwrap();
    put_bytes(&store, "c/3/3", b"new", Precondition::None).unwrap();
    store.close().unwrap();
    let other = open(memory);
    assert_eq!(other.list("").wait().unwrap().prefixes, ["c"]);
    assert_eq!(other.list("c").wait().unwrap().prefixes.len(), 70);
    assert_eq!(other.list("c/69").wait().unwrap().objects.len(), 1000);
    assert_eq!(get(&other, "c/69/999").unwrap().unwrap(), 69_999_u32.to_le_bytes());
    assert_eq!(get(&other, "c/3/3").unwrap().unwrap(), b"new");
}
