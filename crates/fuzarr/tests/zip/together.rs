//! Several threads and one store: what is told as written is written, and nobody is in another's way.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fuzarr::Kind;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{
    Faulty, Latency, MemoryStore, Operation, Precondition, Store, Writing, ZipOptions, ZipStore,
    put_bytes,
};

use super::{KEY, MIXED, array, get, keys, kind, open, put, selection};

const THREADS: u8 = 6;

fn on_close() -> ZipOptions {
    ZipOptions { writing: Writing::OnClose, ..ZipOptions::default() }
}

/// A store in which it takes a while to do anything: a disk, or a service.
fn slow(is_disk: bool) -> Arc<dyn Store> {
    let (memory, delay) = (MemoryStore::new(), Duration::from_millis(1));
    if is_disk {
        Arc::new(Latency::new(memory, delay))
    } else {
        Arc::new(Latency::awaiting(memory, move || async move { std::thread::sleep(delay) }))
    }
}

#[test]
fn each_request_of_several_threads_is_written_when_it_ends() {
    for is_disk in [true, false] {
        let slow = slow(is_disk);
        let store = open(Arc::clone(&slow));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (store, slow) = (&store, &slow);
                scope.spawn(move || {
                    for number in 0..12_u8 {
                        let (key, value) = (format!("{thread}/{number}"), [thread, number]);
                        put_bytes(store, &key, &value, Precondition::Absent).unwrap();
                        // By who wrote it, and by everybody else.
                        assert_eq!(get(store, &key).unwrap().unwrap(), value);
                        let other = open(Arc::clone(slow));
                        assert_eq!(get(&other, &key).unwrap().unwrap(), value);
                    }
                });
            }
        });
        assert_eq!(keys(&store, "").unwrap().len(), usize::from(THREADS) * 12);
    }
}

#[test]
fn parts_of_one_object_are_written_by_several_threads() {
    for is_disk in [true, false] {
        let slow = slow(is_disk);
        let array = array(Arc::new(open(Arc::clone(&slow))));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let array = &array;
                scope.spawn(move || {
                    for number in 0..8_u8 {
                        let place = selection(&format!("{thread}, {number}"));
                        let options = WriteOptions::default();
                        array.write_bytes(&place, &[thread + number], &options).unwrap();
                    }
                });
            }
        });
        let stored = fuzarr::Array::open(Arc::new(open(slow)), "a").unwrap();
        let read = stored.read_bytes(&selection("..."), &ReadOptions::default()).unwrap();
        for (place, value) in read.bytes.iter().enumerate() {
            let (row, column) = ((place / 64) as u8, (place % 64) as u8);
            let is_written = row < THREADS && column < 8;
            assert_eq!(*value, if is_written { row + column } else { 255 });
        }
    }
}

#[test]
fn what_is_changed_while_the_store_is_closed_is_written_by_the_next_closing() {
    for is_disk in [true, false] {
        let slow = slow(is_disk);
        let store = ZipStore::new(Arc::clone(&slow), KEY, on_close());
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Relaxed) {
                        store.close().unwrap();
                    }
                });
            }
            let writers = (0..THREADS).map(|thread| {
                let (store, slow) = (&store, &slow);
                scope.spawn(move || {
                    for number in 0..20_u8 {
                        let (key, value) = (format!("{thread}/{number}"), [thread, number]);
                        put_bytes(store, &key, &value, Precondition::Absent).unwrap();
                        assert_eq!(get(store, &key).unwrap().unwrap(), value);
                        if number % 7 == 0 {
                            store.close().unwrap();
                            let other = open(Arc::clone(slow));
                            assert_eq!(get(&other, &key).unwrap().unwrap(), value);
                        }
                    }
                })
            });
            let writers: Vec<_> = writers.collect();
            let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            is_done.store(true, Ordering::Relaxed);
            assert!(outcomes.iter().all(Result::is_ok));
        });
        store.close().unwrap();
        assert!(!store.is_changed());
        assert_eq!(keys(&open(slow), "").unwrap().len(), usize::from(THREADS) * 20);
    }
}

#[test]
fn what_may_not_stay_is_written_once_more() {
    let memory = MemoryStore::new();
    put(&memory, KEY, MIXED);
    let faulty = Arc::new(Faulty::new(memory));
    let store = ZipStore::new(Arc::<Faulty<_>>::clone(&faulty), KEY, on_close());
    store.rename_all("folder", "moved").wait().unwrap();
    put_bytes(&store, "new", b"new", Precondition::Absent).unwrap();
    faulty.fail(Operation::Settle, 0, Kind::Io);
    assert_eq!(kind(store.close()), Kind::Io);
    assert!(store.is_changed(), "it is not known to be durable");
    store.close().unwrap();
    assert!(!store.is_changed());
    for store in [&store, &open(faulty)] {
        assert_eq!(get(store, "moved/twice").unwrap().unwrap(), b"the second");
        assert_eq!(get(store, "new").unwrap().unwrap(), b"new");
        assert_eq!(get(store, "folder/twice").unwrap(), None);
    }
}

#[test]
fn a_failure_is_told_to_all_whose_changes_were_part_of_it() {
    let faulty = Arc::new(Faulty::new(MemoryStore::new()));
    let store = open(Arc::<Faulty<_>>::clone(&faulty) as Arc<dyn Store>);
    let before = store.moment();
    put(&store, "one", b"1");
    let step = if faulty.capabilities().uploads { Operation::Begin } else { Operation::Put };
    faulty.fail(step, 0, Kind::Io);
    assert_eq!(kind(put_bytes(&store, "two", b"2", Precondition::None)), Kind::Io);
    assert_eq!(kind(store.settle(before).wait()), Kind::Conflict);
    // Who begins after that has lost nothing.
    put_bytes(&store, "three", b"3", Precondition::None).unwrap();
    assert_eq!(keys(&open(faulty), "").unwrap(), ["three"]);
}

#[test]
fn an_archive_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    let store = ZipStore::local(&path, ZipOptions::default()).unwrap();
    put_bytes(&store, "k", b"1", Precondition::Absent).unwrap();
    for mode in [0o600, 0o640, 0o664] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        put_bytes(&store, "k", &mode.to_le_bytes(), Precondition::None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, mode);
    }
    let before = std::fs::read(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let refused = put_bytes(&store, "k", b"2", Precondition::None).unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Bytes on the disk of the files without a name below a folder that this process has open.
fn nameless(folder: &Path) -> u64 {
    let mut room = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let Ok(file) = std::fs::read_link(&path) else { continue };
        if file.starts_with(folder) && file.to_string_lossy().contains("(deleted)") {
            room += std::fs::metadata(&path).unwrap().blocks() * 512;
        }
    }
    room
}

#[test]
fn what_is_overwritten_before_it_is_written_takes_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let options = ZipOptions { memory: 0, ..on_close() };
    let store = ZipStore::local(folder.path().join("x.zip"), options).unwrap();
    let large = |value: u8| vec![value; 1 << 20];
    for number in 0..20 {
        put(&store, "one", &large(number));
        put(&store, "other", &large(100 + number));
    }
    let room = nameless(&folder.path().canonicalize().unwrap());
    assert!(((2 << 20)..=(4 << 20)).contains(&room), "{room}");
    assert_eq!(get(&store, "one").unwrap().unwrap(), large(19));
    store.close().unwrap();
    assert_eq!(get(&store, "one").unwrap().unwrap(), large(19));
    assert_eq!(get(&store, "other").unwrap().unwrap(), large(119));
}
