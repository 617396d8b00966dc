//! The built command on consolidated metadata that does not tell what is there.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

mod shell;

use serde_json::{Value, json};
use std::fs;

use shell::run;

/// Arrays `x/y` and `z` of a format, and consolidated metadata that names them.
fn consolidated(format: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in ["a.zarr/x/y", "a.zarr/z"] {
        let create = ["create", path, "--shape", "4", "--dtype", "u1", "--chunks", "2"];
        run(folder.path(), &[&create[..], &["--format", format]].concat(), 0);
        run(folder.path(), &["put", path, "", "1"], 0);
    }
    run(folder.path(), &["consolidate", "a.zarr"], 0);
    run(folder.path(), &["verify", "a.zarr"], 0);
    folder
}

#[test]
fn verify_misses_what_consolidated_metadata_names() {
    for (format, document) in [("v3", "zarr.json"), ("v2", ".zarray")] {
        let folder = consolidated(format);
        fs::remove_file(folder.path().join("a.zarr/x/y").join(document)).unwrap();
        let shown = run(folder.path(), &["verify", "a.zarr"], 1);
        assert!(shown.starts_with(&format!("damaged  x/y/{document}: ")), "{shown}");
        assert!(shown.contains("not there"), "{shown}");
        // A group without its document hides what is in it, but not from those who believe.
        let group = if format == "v3" { "zarr.json" } else { ".zgroup" };
        let folder = consolidated(format);
        fs::remove_file(folder.path().join("a.zarr/x").join(group)).unwrap();
        let shown = run(folder.path(), &["verify", "a.zarr"], 1);
        assert!(shown.contains(&format!("damaged  x/{group}: ")), "{shown}");
        assert!(shown.contains("2 arrays"), "{shown}");
    }
}

#[test]
fn verify_tells_what_consolidated_metadata_tells_otherwise() {
    for (format, document) in [("v3", "zarr.json"), ("v2", ".zarray")] {
        let folder = consolidated(format);
        let file = folder.path().join("a.zarr/z").join(document);
        let text = fs::read_to_string(&file).unwrap();
        let mut changed: Value = serde_json::from_str(&text).unwrap();
        // Written in another way, but meaning the same.
        fs::write(&file, serde_json::to_string(&changed).unwrap()).unwrap();
        run(folder.path(), &["verify", "a.zarr"], 0);
        changed["shape"] = json!([3]);
        fs::write(&file, serde_json::to_string(&changed).unwrap()).unwrap();
        let shown = run(folder.path(), &["verify", "a.zarr"], 1);
        assert!(shown.contains(&format!("damaged  z/{document}: `shape`")), "{shown}");
        run(folder.path(), &["consolidate", "a.zarr"], 0);
        run(folder.path(), &["verify", "a.zarr"], 0);
    }
}
