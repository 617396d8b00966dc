//! `fuzarr copy` as it is used.

#![allow(
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and writes numbers in native order"
)]

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    /// A folder with the arrays `a.zarr/x/y` (sharded, 60 by 40, all but its last rows written)
    /// and `a.zarr/z`, in groups with attributes.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.fine(&["create", "a.zarr", "--group", "--attributes", r#"{"title": "t"}"#]);
        let y = "create a.zarr/x/y --shape 60,40 --dtype int16 --chunks 10,10 --shards 20,20 \
                 --codecs transpose:1:0,zstd:3 --fill -1 --dimension-names row,column \
                 --attributes {\"units\":\"K\"}";
        folder.fine(&y.split_whitespace().collect::<Vec<_>>());
        folder.fine(&["create", "a.zarr/z", "--shape", "7,7", "--dtype", "f8", "--chunks", "2,2"]);
        for row in 0..50 {
            let (row, value) = (row.to_string(), (row * 3).to_string());
            folder.fine(&["put", "a.zarr/x/y", &row, &value]);
        }
        folder.fine(&["put", "a.zarr/z", "3", "nan"]);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str], code: i32) -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fuzarr"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
        (out, err)
    }

    fn fine(&self, arguments: &[&str]) -> String {
        let (out, err) = self.run(arguments, 0);
        assert_eq!(err, "", "{arguments:?}");
        out
    }

    fn wrong(&self, arguments: &[&str]) -> String {
        let (out, err) = self.run(arguments, 2);
        assert!(out.is_empty() && err.starts_with("error: "), "{arguments:?}\n{out}\n{err}");
        err
    }

    fn document(&self, node: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(node).join("zarr.json")).unwrap()).unwrap()
    }

    /// The whole array as a NumPy file.
    fn elements(&self, array: &str) -> Vec<u8> {
        self.fine(&["get", array, "-o", "all.npy"]);
        fs::read(self.path("all.npy")).unwrap()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn an_array_is_copied_into_any_layout() {
    let folder = Folder::new();
    let elements = folder.elements("a.zarr/x/y");
    let layouts: [(&str, Value, usize); 6] = [
        ("", json!([20, 20]), 6),
        ("--chunks 5,20", json!([20, 20]), 6),
        ("--chunks 8,8", json!([8, 8]), 35),
        ("--shards none", json!([10, 10]), 20),
        ("--chunks 8,8 --shards 16,24 --codecs blosc:lz4:5,crc32c", json!([16, 24]), 8),
        ("--shards 1000,1000 --codecs none", json!([1000, 1000]), 1),
    ];
    for (number, (options, grid, objects)) in layouts.into_iter().enumerate() {
        let name = format!("copy{number}.zarr");
        let mut line = vec!["copy", "a.zarr/x/y", &name, "--verify"];
        line.extend(options.split_whitespace());
        let said = folder.fine(&line);
        let lines: Vec<&str> = said.lines().collect();
        let start = format!("1 array, {objects} object");
        assert!(lines[0].starts_with(&start) && lines[0].ends_with("/s"), "{options}: {said}");
        assert_eq!(lines[1], "compared: equal");
        assert_eq!(folder.elements(&name), elements, "{options}");
        let (made, source) = (folder.document(&name), folder.document("a.zarr/x/y"));
        assert_eq!(made["chunk_grid"]["configuration"]["chunk_shape"], grid, "{options}");
        for member in ["shape", "data_type", "fill_value", "attributes", "dimension_names"] {
            assert_eq!(made[member], source[member], "{member}");
        }
        let transposed = made["codecs"].to_string().contains("transpose");
        assert_eq!(transposed, !options.contains("--codecs"), "{options}");
        assert_eq!(files(&folder.path(&name)).len(), objects + 1);
    }
}

#[test]
fn a_group_is_copied_with_all_below_it() {
    let folder = Folder::new();
    let said = folder.fine(&["copy", "a.zarr", "b.zarr/inside", "--chunks", "5,5"]);
    assert!(said.starts_with("2 arrays, "), "{said}");
    assert_eq!(folder.document("b.zarr/inside")["attributes"], json!({"title": "t"}));
    for array in ["x/y", "z"] {
        let (source, made) = (format!("a.zarr/{array}"), format!("b.zarr/inside/{array}"));
        assert_eq!(folder.elements(&source), folder.elements(&made));
    }
    let tree = folder.fine(&["tree", "b.zarr"]);
    assert!(tree.contains("inside") && tree.contains("z  float64 7 × 7"), "{tree}");
    let error = folder.wrong(&["copy", "a.zarr", "c.zarr", "--chunks", "5"]);
    assert!(error.contains("/x/y") && error.contains("a.zarr"), "{error}");
    assert!(!folder.path("c.zarr").exists(), "a folder for nothing");
}

#[test]
fn what_cannot_be_done_is_said_with_what_would_help() {
    let folder = Folder::new();
    let refused = |line: &str, parts: &[&str]| {
        let error = folder.wrong(&line.split_whitespace().collect::<Vec<_>>());
        for part in parts {
            assert!(error.contains(part), "{line}: {error}");
        }
    };
    refused("copy a.zarr/x/y b.zarr --shards 24,24", &["[10, 10]", "[20, 20]"]);
    refused("copy a.zarr/x/y b.zarr --chunks 0,1", &["[0, 1]"]);
    refused("copy a.zarr/x/y b.zarr --memory 1k", &["needs at least", "bytes of memory"]);
    refused("copy a.zarr/x/y b.zarr --memory lots", &["512MiB"]);
    refused("copy a.zarr/x/y b.zarr --codecs rot13", &["rot13"]);
    refused("copy a.zarr/x/y b.zarr --format v2", &["Zarr v2"]);
    refused("copy nothing.zarr b.zarr", &["nothing.zarr"]);
    assert!(!folder.path("b.zarr").exists(), "a folder for nothing");
    refused("copy a.zarr/x a.zarr --overwrite", &["inside the other"]);
    refused("copy a.zarr a.zarr/x/w", &["inside the other"]);
    refused("copy a.zarr a.zarr --overwrite", &["inside the other"]);
    let needed = folder.wrong(&["copy", "a.zarr/x/y", "b.zarr", "--memory", "1k"]);
    let digits: String = needed.chars().skip_while(|c| !c.is_ascii_digit()).collect();
    let needed = digits.split(' ').next().unwrap();
    folder.fine(&["copy", "a.zarr/x/y", "b.zarr", "--memory", needed, "--verify"]);
}

#[test]
fn what_is_there_is_deleted_only_when_told_to() {
    let folder = Folder::new();
    folder.fine(&["copy", "a.zarr/x/y", "b.zarr"]);
    fs::write(folder.path("b.zarr/notes.txt"), "mine").unwrap();
    let error = folder.wrong(&["copy", "a.zarr/z", "b.zarr"]);
    assert!(error.contains("--overwrite"), "{error}");
    folder.fine(&["copy", "a.zarr/z", "b.zarr", "--overwrite", "--verify"]);
    assert_eq!(folder.elements("b.zarr"), folder.elements("a.zarr/z"));
    // Of `z` one row was written, in chunks of 2 by 2.
    assert_eq!(files(&folder.path("b.zarr")).len(), 4 + 2);
}

#[test]
fn stores_in_a_folder_that_is_none_stay() {
    let folder = Folder::new();
    folder.fine(&["copy", "a.zarr/z", "all/x.zarr"]);
    folder.fine(&["copy", "a.zarr/z", "all/y.zarr", "--no-sync"]);
    let before = files(&folder.path("all"));
    for line in [&["copy", "a.zarr", "all"][..], &["copy", "a.zarr", "all", "--overwrite"]] {
        let error = folder.wrong(line);
        assert!(error.contains("x.zarr") && !error.contains("--overwrite"), "{error}");
        assert_eq!(files(&folder.path("all")), before);
    }
}

#[test]
fn damage_of_the_source_is_told_and_the_copy_can_go_on() {
    let folder = Folder::new();
    let shard = folder.path("a.zarr/x/y/c/2/0");
    let sound = fs::read(&shard).unwrap();
    fs::write(&shard, &sound[..sound.len() - 1]).unwrap();
    let line = ["copy", "a.zarr/x/y", "b.zarr", "--codecs", "none", "--memory", "4500", "--verify"];
    let (_, error) = folder.run(&line, 1);
    assert!(error.contains("c/2/0") && error.contains("a.zarr/x/y"), "{error}");
    assert!(folder.path("b.zarr/.fuzarr-copy").exists());
    folder.wrong(&["info", "b.zarr"]);
    let error = folder.wrong(&["copy", "a.zarr/x/y", "b.zarr", "--codecs", "gzip"]);
    assert!(error.contains("unfinished copy") && error.contains("--overwrite"), "{error}");
    fs::write(&shard, &sound).unwrap();
    let said = folder.fine(&line);
    assert!(said.contains("from before") && said.contains("compared: equal"), "{said}");
    assert!(!folder.path("b.zarr/.fuzarr-copy").exists());
}
