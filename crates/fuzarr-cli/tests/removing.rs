//! The built command where it deletes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

fn run(folder: &Path, arguments: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzarr"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{text}\n{error}");
    text + &error
}

/// The array `g.zarr/a/deep`.
fn array() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let create = ["create", "g.zarr/a/deep", "--shape", "4", "--dtype", "u1", "--chunks", "2"];
    run(folder.path(), &create, 0);
    run(folder.path(), &["put", "g.zarr/a/deep", "", "1"], 0);
    folder
}

#[test]
fn what_is_not_empty_asks_for_more() {
    let lost: [&[&str]; 3] = [&["a/zarr.json"], &["a/zarr.json", "a/deep/zarr.json"], &[]];
    for lost in lost {
        let folder = array();
        for document in lost {
            fs::remove_file(folder.path().join("g.zarr").join(document)).unwrap();
        }
        assert!(run(folder.path(), &["rm", "g.zarr"], 2).contains("-r"), "{lost:?}");
        assert!(folder.path().join("g.zarr/a/deep/c/0").exists());
        run(folder.path(), &["rm", "-r", "g.zarr"], 0);
        assert!(!folder.path().join("g.zarr").exists());
    }
    let folder = array();
    run(folder.path(), &["create", "g.zarr/empty", "--group"], 0);
    fs::write(folder.path().join("g.zarr/empty/notes"), "mine").unwrap();
    assert!(run(folder.path(), &["rm", "g.zarr/empty"], 2).contains("-r"));
    fs::remove_file(folder.path().join("g.zarr/empty/notes")).unwrap();
    run(folder.path(), &["rm", "g.zarr/empty"], 0);
    run(folder.path(), &["rm", "g.zarr/a/deep"], 0);
}

#[test]
fn what_was_interrupted_goes_on() {
    let folder = array();
    let chunks = folder.path().join("g.zarr/a/deep/c");
    // What cannot be deleted: a chunk whose lock is a folder.
    fs::create_dir_all(chunks.join("1.__lock/x")).unwrap();
    for place in ["g.zarr/a/deep", "g.zarr/a", "g.zarr"] {
        run(folder.path(), &["rm", "-r", place], 2);
        run(folder.path(), &["info", place], 2);
        run(folder.path(), &["rm", "-r", place], 2);
        assert!(chunks.join("1").exists());
    }
    fs::remove_dir_all(chunks.join("1.__lock")).unwrap();
    run(folder.path(), &["rm", "g.zarr"], 0);
    assert!(!folder.path().join("g.zarr").exists());
    run(folder.path(), &["rm", "g.zarr"], 2);
}

#[test]
fn empty_folders_are_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["create", "g.zarr", "--group"], 0);
    fs::create_dir_all(folder.path().join("g.zarr/a/c")).unwrap();
    run(folder.path(), &["rm", "g.zarr"], 0);
    assert!(!folder.path().join("g.zarr").exists());
}
