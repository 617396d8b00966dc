//! A process that forks in the middle of a write: the child keeps no lock of its parent alive, and
//! leaves the parent's write alone. A binary of its own, as it forks.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "a test may panic, and this one forks"
)]

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{
    Content, LocalOptions, LocalStore, Part, Precondition, Span, Store, Upload, Writing,
    ZipOptions, ZipStore, put_bytes,
};
use fuzarr::{Array, Limits, Selection, Tuning};

const ORDERS: &str = "FUZARR_FORK_ORDERS";

/// Runs `child` in a forked process, which ends with its answer; gives the process.
fn fork(child: impl FnOnce() -> bool) -> libc::pid_t {
    // SAFETY: the child runs nothing but `child` and ends without cleaning up after its parent.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: sets a timer. A child that waits for ever is killed.
            unsafe { libc::alarm(20) };
            let is_good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(!is_good.unwrap_or(false))) }
        }
        process => process,
    }
}

/// Waits for a forked process; whether it ended well.
fn ended_well(process: libc::pid_t) -> bool {
    let mut status = 0;
    // SAFETY: a child of this process, and a place for its status.
    let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
    waited == process && status == 0
}

fn get(store: &dyn Store, key: &str) -> Vec<u8> {
    let object = store.open(key).wait().unwrap().unwrap();
    let piece = object.read(Span::Whole(1 << 20), Vec::new()).wait().unwrap().unwrap();
    piece.bytes.as_slice().to_vec()
}

fn write(upload: &dyn Upload, offset: u64, bytes: &[u8]) -> fuzarr::Result<()> {
    upload.write(offset, Content { parts: &[Part::Bytes(bytes)], base: None }).wait()
}

/// Does what the orders say; in the tests' own process there are none.
#[test]
fn helper_process() {
    let Ok(folder) = std::env::var(ORDERS) else { return };
    let store = LocalStore::open(folder).unwrap();
    let upload = store.begin("k").wait().unwrap();
    write(&*upload, 0, b"half").unwrap();
    // The child lives until the test closes its standard input, long after its parent.
    fork(|| {
        println!("forked");
        std::io::stdin().read_to_string(&mut String::new()).is_ok()
    });
    // SAFETY: kills this very process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

#[test]
fn a_child_keeps_no_lock_of_a_parent_that_died() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    put_bytes(&store, "k", b"old", Precondition::None).unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["helper_process", "--exact", "--nocapture", "--test-threads=1"])
        .env(ORDERS, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let child_input = parent.stdin.take();
    let mut out = parent.stdout.take().unwrap();
    let mut told = Vec::new();
    while !told.ends_with(b"forked\n") {
        let mut byte = [0];
        out.read_exact(&mut byte).unwrap();
        told.extend(byte);
    }
    assert_eq!(parent.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(folder.path().join("k.__lock").exists());
    let (sender, written) = mpsc::channel();
    let path = folder.path().to_owned();
    std::thread::spawn(move || {
        let store = LocalStore::open(path).unwrap();
        sender.send(put_bytes(&store, "k", b"new", Precondition::None)).unwrap();
    });
    let outcome = written.recv_timeout(Duration::from_secs(20));
    // Only now may the child end.
    drop(child_input);
    outcome.expect("the child keeps its parent's lock").unwrap();
    assert_eq!(get(&store, "k"), b"new");
    assert!(!folder.path().join("k.__lock").exists());
}

#[test]
fn a_child_leaves_its_parents_write_alone_and_makes_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    put_bytes(&store, "k", b"old", Precondition::None).unwrap();
    let upload = store.begin("k").wait().unwrap();
    let spare = store.begin("spare").wait().unwrap();
    write(&*upload, 0, b"par").unwrap();
    let mut uploads = Some((upload, spare));
    let child = fork(|| {
        let (upload, spare) = uploads.take().unwrap();
        // A file that takes the number of one that was closed is not closed in its place.
        let mine = std::fs::read_dir(folder.path()).unwrap();
        let fails = write(&*upload, 3, b"CHILD").is_err()
            && upload.finish(Precondition::None).wait().is_err();
        drop(spare);
        let names = mine.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        put_bytes(&store, "other", b"child's", Precondition::None).unwrap();
        fails && names.len() == 3
    });
    assert!(ended_well(child));
    let (upload, spare) = uploads.unwrap();
    assert_eq!(get(&store, "k"), b"old");
    write(&*upload, 3, b"ent").unwrap();
    upload.finish(Precondition::None).wait().unwrap();
    write(&*spare, 0, b"spare").unwrap();
    spare.finish(Precondition::Absent).wait().unwrap();
    assert_eq!(get(&store, "k"), b"parent");
    assert_eq!(get(&store, "spare"), b"spare");
    assert_eq!(get(&store, "other"), b"child's");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn children_forked_while_others_write_can_write() {
    fork_while_others_write(LocalOptions::default(), 200);
}

#[test]
fn children_forked_while_others_wait_for_the_disk_can_write() {
    // Seen to fail when a child took over which folders its parent syncs.
    fork_while_others_write(LocalOptions { fsync: true, ..LocalOptions::default() }, 60);
}

fn fork_while_others_write(options: LocalOptions, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open_with(folder.path(), options).unwrap();
    let done = AtomicBool::new(false);
    let put = |store: &LocalStore, key: &str| {
        put_bytes(store, key, &[7; 3000], Precondition::None).unwrap();
    };
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    put(store, &format!("t/{thread}"));
                    put(store, "shared");
                }
            });
        }
        let all_good = (0..count).all(|_| {
            let child = fork(|| {
                put(&store, "child");
                put(&store, "shared");
                open_lock_files(folder.path()) == 0
            });
            ended_well(child)
        });
        done.store(true, Ordering::Relaxed);
        assert!(all_good);
    });
    for key in ["t/0", "t/1", "t/2", "child", "shared"] {
        assert_eq!(get(&store, key), [7; 3000]);
    }
}

/// Threads of the parent, which the child does not have, are neither waited for nor are their locks.
#[test]
fn children_forked_while_others_read_can_read_with_several_workers() {
    // Seen to fail when the child kept the pool of its parent.
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(folder.path()).unwrap());
    let document = serde_json::json!({
        "zarr_format": 3, "node_type": "array", "shape": [4096], "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [512]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [8], "codecs": ["bytes", "crc32c"],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, "crc32c"],
        }}],
    });
    let Node::Array(metadata) = Node::from_json(&document).unwrap() else { panic!() };
    let array = Array::create(store, "a", *metadata).unwrap();
    let values: Vec<u8> = (0..4096_u32).map(|at| (at % 251) as u8).collect();
    array.write_bytes(&Selection::all(), &values, &WriteOptions::default()).unwrap();
    let tuning = Tuning { helper: 1, ..Tuning::default() };
    let limits = Limits { workers: 3, tuning, ..Limits::default() };
    let options = ReadOptions { limits: limits.clone(), ..ReadOptions::default() };
    let is_right = || {
        let some = array.read_bytes(&Selection::parse("::17").unwrap(), &options);
        let all = array.read_bytes(&Selection::all(), &options);
        all.is_ok_and(|all| all.bytes == values)
            && some.is_ok_and(|some| some.bytes.iter().eq(values.iter().step_by(17)))
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(is_right());
                }
            });
        }
        let all_good = (0..200).all(|_| {
            let child = fork(|| {
                // SAFETY: a child that hangs is ended.
                unsafe { libc::alarm(20) };
                let one = Selection::parse("5").unwrap();
                let options = WriteOptions { limits: limits.clone(), ..WriteOptions::default() };
                is_right() && is_right() && array.write_bytes(&one, &[5], &options).is_ok()
            });
            ended_well(child)
        });
        done.store(true, Ordering::Relaxed);
        assert!(all_good);
    });
}

/// What a parent has not written yet is its own, also where that is in a file that both have open.
#[test]
fn a_child_begins_with_the_archive_and_leaves_its_parents_changes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    let options = ZipOptions { writing: Writing::OnClose, memory: 0, ..ZipOptions::default() };
    let store = ZipStore::local(&path, options.clone()).unwrap();
    let put = |store: &ZipStore, key: &str, value: u8| {
        put_bytes(store, key, &[value; 3000], Precondition::None).unwrap();
    };
    put(&store, "old", 1);
    store.close().unwrap();
    put(&store, "one", 2);
    let inherited = store.open("one").wait().unwrap().unwrap();
    let child = fork(|| {
        let is_refused = inherited.read(Span::Whole(1 << 20), Vec::new()).wait().is_err();
        let is_missing = store.open("one").wait().unwrap().is_none();
        put(&store, "child", 3);
        put(&store, "two", 3);
        is_refused
            && is_missing
            && !std::fs::read(&path).unwrap().is_empty()
            && get(&store, "old") == [1; 3000]
            && get(&store, "two") == [3; 3000]
    });
    put(&store, "two", 4);
    assert!(ended_well(child));
    put(&store, "three", 5);
    for (key, value) in [("one", 2), ("two", 4), ("three", 5)] {
        assert_eq!(get(&store, key), [value; 3000]);
    }
    store.close().unwrap();
    let stored = ZipStore::local(&path, options).unwrap();
    for (key, value) in [("old", 1), ("one", 2), ("two", 4), ("three", 5)] {
        assert_eq!(get(&stored, key), [value; 3000]);
    }
    assert!(stored.open("child").wait().unwrap().is_none());
}

#[test]
fn children_forked_while_others_use_an_archive_can_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    let store = ZipStore::local(&path, ZipOptions::default()).unwrap();
    put_bytes(&store, "k", &[7; 3000], Precondition::None).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Refused when a child was first.
                let _ = put_bytes(&store, "parent", &[8; 3000], Precondition::None);
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(get(&store, "k"), [7; 3000]);
            }
        });
        let all_good = (0..100).all(|_| {
            let child = fork(|| {
                let _ = put_bytes(&store, "child", &[9; 3000], Precondition::None);
                get(&store, "k") == [7; 3000]
            });
            ended_well(child)
        });
        done.store(true, Ordering::Relaxed);
        assert!(all_good);
    });
}

/// How many files below a folder this process has open.
fn open_lock_files(folder: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let paths = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    paths.filter(|path| path.starts_with(folder) && path.to_str().unwrap().contains("lock")).count()
}
