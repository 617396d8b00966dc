//! What only a folder of the file system can do to a store: links, foreign names, deleted folders.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use fuzarr::Kind;
use fuzarr::store::{LocalOptions, LocalStore, Precondition, Span, Store, put_bytes};

fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> fuzarr::Result<()> {
    put_bytes(store, key, bytes, Precondition::None)
}

fn get(store: &dyn Store, key: &str) -> fuzarr::Result<Option<Vec<u8>>> {
    let Some(object) = store.open(key).wait()? else { return Ok(None) };
    let piece = object.read(Span::Whole(1 << 20), Vec::new()).wait()?.unwrap();
    Ok(Some(piece.bytes.as_slice().to_vec()))
}

/// A store beside a folder that it must not touch, with links to that: `out`, a folder; `file`.
fn beside_another(options: LocalOptions) -> (LocalStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    std::fs::create_dir_all(other.join("below")).unwrap();
    std::fs::write(other.join("below/precious"), "kept").unwrap();
    let root = folder.path().join("store");
    let store = LocalStore::create_with(&root, options).unwrap();
    symlink(&other, root.join("out")).unwrap();
    symlink(other.join("below/precious"), root.join("file")).unwrap();
    (store, folder)
}

fn precious(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("other/below/precious")).unwrap()
}

#[test]
fn links_that_lead_out_are_followed_only_if_asked_for() {
    let (store, folder) = beside_another(LocalOptions::default());
    for key in ["out/below/precious", "file"] {
        assert_eq!(get(&store, key).unwrap_err().kind(), Kind::InvalidArgument);
    }
    let new = put(&store, "out/below/precious", b"lost").unwrap_err();
    assert_eq!(new.kind(), Kind::InvalidArgument);
    assert_eq!(precious(folder.path()), "kept");

    let follow = LocalOptions { follow_links_out: true, ..LocalOptions::default() };
    let (store, folder) = beside_another(follow);
    assert_eq!(get(&store, "out/below/precious").unwrap().unwrap(), b"kept");
    assert_eq!(get(&store, "file").unwrap().unwrap(), b"kept");
    assert_eq!(store.list("out").wait().unwrap().prefixes, ["below"]);
    put(&store, "out/below/precious", b"new").unwrap();
    assert_eq!(precious(folder.path()), "new");
    // A key still cannot climb.
    let climbing = get(&store, "../other/below/precious").unwrap_err();
    assert_eq!(climbing.kind(), Kind::InvalidArgument);
}

#[test]
fn deleting_removes_links_and_never_what_they_lead_to() {
    for follow_links_out in [false, true] {
        let options = LocalOptions { follow_links_out, ..LocalOptions::default() };
        for prefix in ["", "a", "out"] {
            let (store, folder) = beside_another(options);
            put(&store, "a/b/c", b"1").unwrap();
            let root = folder.path().join("store");
            symlink(folder.path().join("other"), root.join("a/b/out")).unwrap();
            symlink("c", root.join("a/b/inside")).unwrap();
            symlink("nowhere", root.join("a/b/dangling")).unwrap();
            store.delete_all(prefix).wait().unwrap();
            assert_eq!(precious(folder.path()), "kept");
            let name = if prefix.is_empty() { "out" } else { prefix };
            // A link that is not followed is no part of the store, if not of what is deleted.
            let stays = prefix == "out" && !follow_links_out;
            assert_eq!(root.join(name).symlink_metadata().is_ok(), stays, "{prefix}");
            assert!(root.exists());
        }
    }
}

#[test]
fn what_is_no_key_is_deleted_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    put(&store, "a/b", b"1").unwrap();
    let odd = folder.path().join("a").join(OsStr::from_bytes(b"\xff\xfe"));
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join(OsStr::from_bytes(b"\xf0")), "x").unwrap();
    std::fs::write(folder.path().join("a/b.__lock"), "left over").unwrap();
    std::fs::write(folder.path().join("a/gone.__lock"), "left over").unwrap();
    std::fs::create_dir(folder.path().join("a/folder.__lock")).unwrap();
    let mut deep = folder.path().join("a/deep");
    for _ in 0..200 {
        deep.push("x");
    }
    std::fs::create_dir_all(&deep).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("a/pipe")).status();
    assert!(pipe.unwrap().success());
    store.delete_all("a").wait().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_empty_folder_is_nothing_to_a_rename() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    put(&store, "a/b", b"1").unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    store.rename_all("a", "empty").wait().unwrap();
    assert_eq!(get(&store, "empty/b").unwrap().unwrap(), b"1");
    // What a link leads to is not below it.
    symlink("empty", folder.path().join("link")).unwrap();
    assert_eq!(store.rename_all("link", "new").wait().unwrap_err().kind(), Kind::NotFound);
}

/// Tells that a thread has ended, however it did.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn writers_go_on_while_their_folder_is_deleted_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2_u8 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                let _ended = Ended(done);
                for round in 0..500 {
                    let bytes = [writer; 5000];
                    put(store, "a/b/shared", &bytes).unwrap();
                    put(store, &format!("a/b/{writer}/{}", round % 3), &bytes).unwrap();
                }
            });
        }
        while !done.load(Ordering::Relaxed) {
            store.delete_all("a").wait().unwrap();
            if let Some(bytes) = get(&store, "a/b/shared").unwrap() {
                assert!(bytes.len() == 5000 && bytes.iter().all(|&byte| byte == bytes[0]));
            }
        }
    });
    store.delete_all("a").wait().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_lock_file_that_is_deleted_from_under_a_writer_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    put(&store, "k", b"old").unwrap();
    let upload = store.begin("k").wait().unwrap();
    std::fs::remove_file(folder.path().join("k.__lock")).unwrap();
    let other = store.begin("k").wait().unwrap();
    // Renaming by name would now put the other writer's unfinished file in place.
    assert_eq!(upload.finish(Precondition::None).wait().unwrap_err().kind(), Kind::Conflict);
    assert_eq!(get(&store, "k").unwrap().unwrap(), b"old");
    other.finish(Precondition::None).wait().unwrap();
    assert_eq!(get(&store, "k").unwrap().unwrap(), b"");
}

#[test]
fn a_new_file_has_the_permissions_of_new_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    let path = folder.path().join("k");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    std::fs::write(&path, "made by another").unwrap();
    let usual = mode();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    put(&store, "k", b"new").unwrap();
    assert_eq!(mode(), usual);
}

/// Whether the system has forgotten a file's bytes, as asked; some file systems keep them.
fn forgets(path: &Path) -> bool {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let mut memory = [0];
    let mut memory = [std::io::IoSliceMut::new(&mut memory)];
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    rustix::io::preadv2(&file, &mut memory, 0, flags) == Err(rustix::io::Errno::AGAIN)
}

#[test]
fn a_store_of_what_is_at_hand_waits_for_no_disk() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bytes = vec![7; 100_000];
    put(&LocalStore::open(folder.path()).unwrap(), "a/b", &bytes).unwrap();
    let options = LocalOptions { at_hand: true, ..LocalOptions::default() };
    let store = LocalStore::open_with(folder.path(), options).unwrap();
    // Whatever the file system: all of it, or the error.
    match get(&store, "a/b") {
        Ok(found) => assert_eq!(found.unwrap(), bytes),
        Err(error) => assert_eq!(error.kind(), Kind::WouldBlock),
    }
    if forgets(&folder.path().join("a/b")) {
        assert_eq!(get(&store, "a/b").unwrap_err().kind(), Kind::WouldBlock);
        let mut memory = [0; 10];
        let object = store.open("a/b").wait().unwrap().unwrap();
        let filled = object.read_into(50_000, &mut memory).wait();
        assert_eq!(filled.unwrap_err().kind(), Kind::WouldBlock);
    }
    // In memory nothing is waited for.
    if let Ok(folder) = tempfile::tempdir_in("/dev/shm") {
        put(&LocalStore::open(folder.path()).unwrap(), "a/b", &bytes).unwrap();
        let store = LocalStore::open_with(folder.path(), options).unwrap();
        assert_eq!(get(&store, "a/b").unwrap().unwrap(), bytes);
        assert_eq!(get(&store, "a/c").unwrap(), None);
    }
    // A file system that cannot tell is never read.
    let elsewhere = LocalStore::open_with("/proc", options).unwrap();
    assert_eq!(get(&elsewhere, "version").unwrap_err().kind(), Kind::WouldBlock);
}

// Once, the file was emptied and written, and with it whatever else was linked to it.
#[test]
fn a_left_over_lock_that_is_linked_to_is_nobodys_object() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    for at in 0..2 {
        let (lock, copy) =
            (folder.path().join("k.__lock"), folder.path().join(format!("copy{at}")));
        std::fs::write(&lock, "live").unwrap();
        std::fs::hard_link(&lock, &copy).unwrap();
        put(&store, "k", b"new").unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), b"live");
        assert_eq!(get(&store, "k").unwrap().unwrap(), b"new");
        assert!(!lock.exists());
    }
}
