//! The command on zip archives, in this process.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers"
)]

use std::ffi::OsString;
use std::path::Path;

use fuzarr::plan::ReadOptions;
use fuzarr::store::{ZipOptions, ZipStore};
use fuzarr::{Array, Selection};

/// Runs the command, which must end with `code`.
fn run(arguments: &[&str], code: u8) {
    let all = std::iter::once("fuzarr").chain(arguments.iter().copied()).map(OsString::from);
    assert_eq!(fuzarr_cli::exit_code(all), code, "{arguments:?}");
}

fn values(archive: &Path, path: &str) -> Vec<u8> {
    let store = ZipStore::local(archive, ZipOptions::default()).unwrap();
    let array = Array::open(std::sync::Arc::new(store), path).unwrap();
    array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes
}

#[test]
fn archives_are_made_read_changed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("new/x.zip");
    let at = |path: &str| archive.join(path).to_str().unwrap().to_owned();
    let array = ["--shape", "4", "--dtype", "uint8", "--chunks", "2"];
    let create = |path: &str, code: u8| run(&[&["create", &at(path)], &array[..]].concat(), code);
    run(&["info", &at("a/b")], 2);
    assert!(!archive.exists());
    create("a/b", 0);
    create("a/b", 2);
    run(&["put", &at("a/b"), "1:3", "7"], 0);
    assert_eq!(values(&archive, "a/b"), [0, 7, 7, 0]);
    let before = std::fs::read(&archive).unwrap();
    for command in ["info", "tree", "get", "explain", "verify", "attrs"] {
        run(&[command, &at("a/b")], 0);
    }
    run(&["get", &at("a/c")], 2);
    run(&["put", &at("a/b"), "9", "1"], 2);
    assert_eq!(std::fs::read(&archive).unwrap(), before);
    let other = folder.path().join("y.bin|zip:c").to_str().unwrap().to_owned();
    run(&["copy", &at("a/b"), &other, "--chunks", "3", "--verify"], 0);
    assert_eq!(values(&folder.path().join("y.bin"), "c"), [0, 7, 7, 0]);
    run(&["copy", &at("a"), &at("a/inside")], 2);
    run(&["mv", &at("a/b"), &at("d/e")], 0);
    run(&["mv", &at("d"), &other], 2);
    run(&["attrs", &at("d/e"), "--set", "x=1"], 0);
    assert_eq!(values(&archive, "d/e"), [0, 7, 7, 0]);
    run(&["rm", &at("d")], 2);
    run(&["rm", "-r", &at("d")], 0);
    run(&["info", &at("d/e")], 2);
    create("", 2);
    let file = folder.path().join("y.bin");
    run(&["info", file.to_str().unwrap()], 2);
    run(&["info", "memory://x"], 2);
    // What is cut off is damage.
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(folder.path().join("cut.zip"), &whole[..whole.len() - 1]).unwrap();
    run(&["info", folder.path().join("cut.zip").to_str().unwrap()], 1);
}

#[test]
fn an_array_may_be_all_of_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("x.zip");
    let text = archive.to_str().unwrap();
    run(&["create", text, "--shape", "4", "--dtype", "uint8", "--chunks", "2"], 0);
    run(&["put", text, "...", "5"], 0);
    assert_eq!(values(&archive, ""), [5; 4]);
    run(&["rm", text], 0);
    assert!(!archive.exists());
}
