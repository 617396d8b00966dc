//! The built command where it deletes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

mod shell;

use std::fs;

use shell::run;

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

// Once, what the link led to was deleted or moved, however the link was written but plainly.
#[test]
fn links_are_not_followed_to_what_is_deleted() {
    let folder = array();
    let at = |name: &str| folder.path().join(name);
    run(folder.path(), &["create", "z.zip", "--shape", "4", "--dtype", "u1", "--chunks", "2"], 0);
    std::os::unix::fs::symlink("g.zarr", at("link.zarr")).unwrap();
    std::os::unix::fs::symlink("z.zip", at("link.zip")).unwrap();
    let address = format!("file://{}", at("link.zarr").display());
    let shape = ["--shape", "4", "--dtype", "u1", "--chunks", "2", "--overwrite"];
    for link in [&address, "link.zarr", "link.zarr/", "link.zarr|zarr3:"] {
        for command in [&["rm", "-r", link][..], &["mv", link, "new.zarr"]] {
            assert!(run(folder.path(), command, 2).contains("this is a link"), "{command:?}");
        }
        let create = [&["create", link][..], &shape].concat();
        assert!(run(folder.path(), &create, 2).contains("this is a link"), "{link}");
        let copy = ["copy", "g.zarr/a/deep", link, "--overwrite"];
        assert!(run(folder.path(), &copy, 2).contains("this is a link"), "{link}");
    }
    for link in ["link.zip", "link.zip|zip:"] {
        assert!(run(folder.path(), &["rm", "-r", link], 2).contains("this is a link"), "{link}");
    }
    assert!(at("g.zarr/a/deep/c/1").exists() && at("z.zip").exists() && !at("new.zarr").exists());
    // Nothing is in the way of what is only read, or made below.
    run(folder.path(), &["info", &address], 0);
    run(folder.path(), &["create", "link.zarr/b", "--group", "--overwrite"], 0);
    run(folder.path(), &["create", "groups.zip", "--group"], 0);
    std::os::unix::fs::symlink("groups.zip", at("link2.zip")).unwrap();
    run(folder.path(), &["create", "link2.zip/b", "--group", "--overwrite"], 0);
    run(folder.path(), &["rm", "link2.zip/b"], 0);
}
