//! The built command on stores in temporary folders: what it does, says and exits with.

#![allow(
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and writes numbers in native order"
)]

use fuzarr::dtype::DataType;
use fuzarr_cli::npy;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const COMMANDS: [&str; 12] = [
    "info",
    "tree",
    "get",
    "explain",
    "put",
    "create",
    "verify",
    "copy",
    "attrs",
    "rm",
    "mv",
    "consolidate",
];

/// A folder to run the command in.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with the array `a.zarr/x/y`: sharded, 6 by 8, values of its rows 0 to 3 written.
    fn with_array() -> Self {
        let folder = Self::new();
        folder.fine(&[
            "create",
            "a.zarr/x/y",
            "--shape",
            "6,8",
            "--dtype",
            "int16",
            "--chunks",
            "2,2",
            "--shards",
            "4,4",
            "--codecs",
            "zstd:3,crc32c",
            "--fill",
            "-1",
            "--dimension-names",
            "row,",
            "--attributes",
            r#"{"units": "K"}"#,
        ]);
        let values: Vec<u8> = (0..32_i16).flat_map(i16::to_ne_bytes).collect();
        npy::write(&folder.path("rows.npy"), &[4, 8], DataType::Int16, &values).unwrap();
        folder.fine(&["put", "a.zarr/x/y", ":4", "rows.npy"]);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fuzarr"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the command, which must end with `code`; what it wrote to its two outputs.
    fn run(&self, arguments: &[&str], code: i32) -> (String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert_eq!(status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
        assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "colours: {out}{err}");
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

    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.run(&arguments, code).0).unwrap()
    }
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(objects(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

#[test]
fn help_explains_every_command() {
    let folder = Folder::new();
    let all = folder.fine(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(command));
        let help = folder.fine(&[command, "--help"]);
        assert!(help.contains(&format!("Usage: fuzarr {command}")), "{help}");
    }
    assert!(folder.fine(&["--version"]).starts_with("fuzarr "));
}

#[test]
fn what_is_put_is_got() {
    let folder = Folder::with_array();
    assert_eq!(
        folder.fine(&["get", "a.zarr/x/y", "2:5, ::3"]),
        "[[16 19 22]\n [24 27 30]\n [-1 -1 -1]]\n"
    );
    assert_eq!(folder.fine(&["get", "a.zarr/x/y", "--", "-3, -1"]), "31\n");
    assert_eq!(folder.fine(&["get", "a.zarr/x/y", "--", "-3::-2, 1:3"]), "[[25 26]\n [ 9 10]]\n");
    folder.fine(&["put", "a.zarr/x/y", "--", "-1, ::2", "-7"]);
    assert_eq!(folder.fine(&["get", "a.zarr/x/y", "5"]), "[-7 -1 -7 -1 -7 -1 -7 -1]\n");
    folder.fine(&["get", "a.zarr/x/y", "3, 5:", "-o", "part.npy"]);
    let part = npy::read(&folder.path("part.npy")).unwrap();
    assert_eq!((part.shape, part.data_type), (vec![3], DataType::Int16));
    assert_eq!(part.bytes, [29_i16, 30, 31].map(i16::to_ne_bytes).concat());
    std::os::unix::fs::symlink("part.npy", folder.path("link.npy")).unwrap();
    std::os::unix::fs::symlink("new.npy", folder.path("dead.npy")).unwrap();
    for link in ["link.npy", "dead.npy"] {
        folder.fine(&["get", "a.zarr/x/y", "3, 5:", "-o", link]);
        assert!(folder.path(link).is_symlink(), "{link}");
    }
    assert_eq!(
        fs::read(folder.path("new.npy")).unwrap(),
        fs::read(folder.path("part.npy")).unwrap()
    );
    let piped = folder.command(&["get", "a.zarr/x/y", "3, 5:", "-o", "-"]).output().unwrap();
    assert_eq!(piped.stdout, fs::read(folder.path("part.npy")).unwrap());
}

#[test]
fn a_single_value_of_a_file_is_put_everywhere() {
    let folder = Folder::with_array();
    npy::write(&folder.path("one.npy"), &[1, 1], DataType::Int16, &9_i16.to_ne_bytes()).unwrap();
    folder.fine(&["put", "a.zarr/x/y", "..., 1", "one.npy"]);
    assert_eq!(folder.fine(&["get", "a.zarr/x/y", ":, 1"]), "[9 9 9 9 9 9]\n");
    let file = fs::read(folder.path("rows.npy")).unwrap();
    let mut put =
        folder.command(&["put", "a.zarr/x/y", "2:, :", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    put.stdin.take().unwrap().write_all(&file).unwrap();
    assert!(put.wait().unwrap().success());
    assert_eq!(folder.fine(&["get", "a.zarr/x/y", "5, 6:"]), "[30 31]\n");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let folder = Folder::with_array();
    let before = folder.fine(&["get", "a.zarr/x/y"]);
    npy::write(&folder.path("wide.npy"), &[1], DataType::Int64, &[0; 8]).unwrap();
    let error = folder.wrong(&["put", "a.zarr/x/y", "0", "wide.npy"]);
    assert!(error.contains("int64") && error.contains(".astype(\"int16\")"), "{error}");
    let error = folder.wrong(&["put", "a.zarr/x/y", "0:2", "rows.npy"]);
    assert!(error.contains("[4, 8]") && error.contains("[2, 8]"), "{error}");
    for (selection, source) in [
        ("0", "32768"),
        ("0", "blue"),
        ("0", "none.npy"),
        ("6", "1"),
        ("0, 0, 0", "1"),
        ("::0", "1"),
        ("one", "1"),
    ] {
        folder.wrong(&["put", "a.zarr/x/y", selection, source]);
    }
    assert_eq!(folder.fine(&["get", "a.zarr/x/y"]), before);
}

#[test]
fn info_shows_what_an_array_is_and_what_is_stored() {
    let folder = Folder::with_array();
    let text = folder.fine(&["info", "a.zarr/x/y", "--deep"]);
    for line in [
        "Array         a.zarr/x/y",
        "Shape         6 × 8  (row, -)",
        "Shards        4 × 4",
        "Chunks        2 × 2",
        "Codecs        bytes:little, zstd:3, crc32c",
        "Objects       2 of 4",
        "Inner chunks  8 of 16",
        "Attributes    units: \"K\"",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let info = folder.json(&["info", "a.zarr/x/y"], 0);
    let stored: u64 = objects(&folder.path("a.zarr/x/y/c"))
        .iter()
        .map(|object| object.metadata().unwrap().len())
        .sum();
    for (member, expected) in [
        ("node_type", json!("array")),
        ("shape", json!([6, 8])),
        ("data_type", json!("int16")),
        ("chunks", json!([2, 2])),
        ("shards", json!([4, 4])),
        ("fill_value", json!(-1)),
        ("dimension_names", json!(["row", null])),
        ("attributes", json!({"units": "K"})),
        ("bytes", json!(96)),
        ("stored_bytes", json!(stored)),
        ("stored_objects", json!(2)),
        ("objects", json!(4)),
        ("stored_inner_chunks", Value::Null),
        ("missing", json!([])),
    ] {
        assert_eq!(info[member], expected, "{member}");
    }
    let deep = folder.json(&["info", "a.zarr/x/y", "--deep"], 0);
    assert_eq!((&deep["stored_inner_chunks"], &deep["inner_chunks"]), (&json!(8), &json!(16)));
    let group = folder.json(&["info", "a.zarr/x"], 0);
    assert_eq!((&group["node_type"], &group["arrays"]), (&json!("group"), &json!(["y"])));
    assert!(folder.fine(&["info", "a.zarr"]).contains("Groups  x\n"));
}

/// Changes a member of the metadata document of the array.
fn change(folder: &Folder, member: &str, value: Value) {
    let file = folder.path("a.zarr/x/y/zarr.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    document[member] = value;
    fs::write(&file, document.to_string()).unwrap();
}

#[test]
fn an_array_beyond_us_is_shown_with_what_is_missing() {
    let folder = Folder::with_array();
    change(&folder, "codecs", json!([{"name": "bytes"}, {"name": "rot13"}]));
    change(&folder, "data_type", json!("posit16"));
    let info = folder.json(&["info", "a.zarr/x/y"], 0);
    assert_eq!(info["shape"], json!([6, 8]));
    assert_eq!((&info["stored_objects"], &info["bytes"]), (&json!(2), &Value::Null));
    let missing = info["missing"].to_string();
    assert!(missing.contains("rot13") && missing.contains("posit16"), "{missing}");
    assert!(folder.fine(&["info", "a.zarr/x/y"]).contains("rot13"));
    assert!(folder.fine(&["tree", "a.zarr"]).contains("y  posit16 6 × 8"));
    assert!(folder.wrong(&["get", "a.zarr/x/y"]).contains("posit16"));
    let (out, _) = folder.run(&["verify", "a.zarr"], 2);
    assert!(out.contains("unchecked  x/y/zarr.json: ") && out.contains(": 1 unchecked"), "{out}");
}

#[test]
fn tree_lists_nodes_and_says_which_are_broken() {
    let folder = Folder::with_array();
    assert_eq!(folder.fine(&["tree", "a.zarr"]), "a.zarr\n└── x\n    └── y  int16 6 × 8\n");
    assert_eq!(folder.fine(&["tree", "a.zarr", "--depth", "1"]), "a.zarr\n└── x …\n");
    assert_eq!(folder.fine(&["tree", "a.zarr/x/y"]), "a.zarr/x/y  int16 6 × 8\n");
    let tree = folder.json(&["tree", "a.zarr"], 0);
    assert_eq!(tree["children"][0]["children"][0]["shape"], json!([6, 8]));
    change(&folder, "shape", json!("large"));
    let (out, _) = folder.run(&["tree", "a.zarr"], 1);
    assert!(out.contains("y  ") && out.contains("shape"), "{out}");
    assert_eq!(folder.json(&["info", "a.zarr/x"], 1)["broken"][0]["name"], "y");
}

#[test]
fn tree_says_when_it_is_by_consolidated_metadata() {
    let folder = Folder::with_array();
    let array: Value =
        serde_json::from_slice(&fs::read(folder.path("a.zarr/x/y/zarr.json")).unwrap()).unwrap();
    let group = json!({"zarr_format": 3, "node_type": "group"});
    let mut root = group.clone();
    root["consolidated_metadata"] = json!({"kind": "inline", "must_understand": false,
        "metadata": {"x": group, "x/y": array, "x/gone": group}});
    fs::write(folder.path("a.zarr/zarr.json"), root.to_string()).unwrap();
    assert_eq!(
        folder.fine(&["tree", "a.zarr"]),
        "a.zarr  (by its consolidated metadata)\n└── x\n    ├── gone\n    └── y  int16 6 × 8\n"
    );
    assert_eq!(
        folder.fine(&["tree", "a.zarr", "--depth", "1"]),
        "a.zarr  (by its consolidated metadata)\n└── x …\n"
    );
    let tree = folder.json(&["tree", "a.zarr"], 0);
    assert_eq!(tree["consolidated"], true);
    assert_eq!(tree["children"][0]["children"][1]["name"], "y");
    assert_eq!(folder.fine(&["tree", "a.zarr/x"]), "a.zarr/x\n└── y  int16 6 × 8\n");
    let new = ["create", "a.zarr/x/z", "--shape", "1", "--dtype", "u1", "--chunks", "1"];
    folder.run(&new, 0);
    // It would not name the new node, so it is gone, and the store itself is listed.
    assert_eq!(
        folder.fine(&["tree", "a.zarr"]),
        "a.zarr\n└── x\n    ├── y  int16 6 × 8\n    └── z  uint8 1\n"
    );
}

#[test]
fn overwrite_deletes_the_old_node_and_nothing_else() {
    let folder = Folder::with_array();
    fs::write(folder.path("a.zarr/x/notes.txt"), "mine").unwrap();
    let group = ["create", "a.zarr/x", "--group", "--overwrite", "--attributes", "{\"a\": 1}"];
    folder.run(&group[..3], 2);
    folder.run(&group, 0);
    assert_eq!(folder.fine(&["tree", "a.zarr"]), "a.zarr\n└── x\n");
    assert!(!folder.path("a.zarr/x/y/c/0/1").exists());
    assert_eq!(fs::read(folder.path("a.zarr/x/notes.txt")).unwrap(), b"mine");
    assert_eq!(folder.json(&["info", "a.zarr/x"], 0)["attributes"]["a"], 1);
}

#[test]
fn verify_names_what_is_damaged() {
    let folder = Folder::with_array();
    assert!(folder.fine(&["verify", "a.zarr"]).starts_with("1 array, 2 objects, "));
    let shard = folder.path("a.zarr/x/y/c/0/1");
    let sound = fs::read(&shard).unwrap();
    let mut bytes = sound.clone();
    bytes[3] ^= 1;
    fs::write(&shard, &bytes).unwrap();
    let (out, _) = folder.run(&["verify", "a.zarr"], 1);
    assert!(out.starts_with("damaged  x/y/c/0/1: ") && out.contains("codec crc32c"), "{out}");
    let report = folder.json(&["verify", "a.zarr/x/y"], 1);
    let damage = &report["damaged"];
    assert_eq!(damage.as_array().unwrap().len(), 1);
    assert_eq!((&damage[0]["key"], &damage[0]["codec"]), (&json!("x/y/c/0/1"), &json!("crc32c")));
    assert!(damage[0]["inner_chunk"].is_string() && damage[0]["message"].is_string());
    let (_, err) = folder.run(&["get", "a.zarr/x/y"], 1);
    assert!(err.contains("x/y/c/0/1"), "{err}");
    fs::write(&shard, &sound).unwrap();
    fs::write(folder.path("a.zarr/x/y/zarr.json"), "{").unwrap();
    let report = folder.json(&["verify", "a.zarr"], 1);
    assert_eq!(report["damaged"][0]["key"], "x/y/zarr.json");
    folder.run(&["info", "a.zarr/x/y"], 1);
}

#[test]
fn what_is_not_there_is_not_found() {
    let folder = Folder::with_array();
    for command in ["info", "tree", "get", "verify"] {
        for place in ["nothing", "a.zarr/nothing", "a.zarr/x/y/c", "a.zarr/x/y/c/0/1"] {
            folder.wrong(&[command, place]);
        }
    }
    folder.wrong(&["get", "a.zarr/x"]);
    folder.wrong(&["put", "a.zarr", "...", "1"]);
    folder.wrong(&["get", "a.zarr/x/y", "-o", "no/such/folder.npy"]);
    for arguments in [&["get"][..], &["frobnicate"], &["get", "a.zarr/x/y", "--deep"]] {
        folder.wrong(arguments);
    }
}

#[test]
fn create_refuses_what_is_there_unless_told_to() {
    let folder = Folder::with_array();
    let create = |place: &str, more: &[&str], code| {
        let options = ["--shape", "8", "--dtype", "f4", "--chunks", "2"];
        folder.run(&[&["create", place], &options[..], more].concat(), code)
    };
    let (_, err) = create("a.zarr/x/y", &[], 2);
    assert!(err.contains("--overwrite"), "{err}");
    assert_eq!(objects(&folder.path("a.zarr/x/y/c")).len(), 2);
    create("a.zarr/x/y/inside", &["--overwrite"], 2);
    create("a.zarr/x/y/c/0", &["--overwrite", "--chunk-keys", "v2"], 2);
    assert_eq!(objects(&folder.path("a.zarr/x/y/c")).len(), 2);
    create("a.zarr/x/__y", &[], 2);
    create("a.zarr/x/y", &["--overwrite"], 0);
    assert_eq!(objects(&folder.path("a.zarr/x/y")), [folder.path("a.zarr/x/y/zarr.json")]);
    assert_eq!(folder.fine(&["get", "a.zarr/x/y"]), "[0. 0. 0. 0. 0. 0. 0. 0.]\n");
    create("a.zarr/x", &["--overwrite"], 0);
    assert_eq!(objects(&folder.path("a.zarr/x")), [folder.path("a.zarr/x/zarr.json")]);
}

#[test]
fn chunks_left_over_do_not_become_those_of_a_new_array() {
    let folder = Folder::with_array();
    fs::remove_file(folder.path("a.zarr/x/y/zarr.json")).unwrap();
    let create = ["create", "a.zarr/x/y", "--shape", "2,2", "--dtype", "u1", "--chunks", "1,1"];
    let error = folder.wrong(&create);
    assert!(error.contains("x/y/c/0/0"), "{error}");
    folder.fine(&[&create[..], &["--overwrite"]].concat());
    assert_eq!(folder.fine(&["get", "a.zarr/x/y"]), "[[0 0]\n [0 0]]\n");
}

#[test]
fn create_takes_a_whole_document() {
    let folder = Folder::with_array();
    let document = folder.path("a.zarr/x/y/zarr.json");
    folder.fine(&["create", "b.zarr", "--metadata", document.to_str().unwrap()]);
    assert_eq!(fs::read(folder.path("b.zarr/zarr.json")).unwrap(), fs::read(&document).unwrap());
    fs::write(folder.path("group.json"), r#"{"zarr_format": 3, "node_type": "group"}"#).unwrap();
    folder.fine(&["create", "c.zarr/g", "--metadata", "group.json"]);
    assert_eq!(folder.fine(&["tree", "c.zarr"]), "c.zarr\n└── g\n");
    fs::write(folder.path("broken.json"), "{").unwrap();
    folder.wrong(&["create", "d.zarr", "--metadata", "broken.json"]);
    folder.wrong(&["create", "d.zarr", "--metadata", "none.json"]);
    folder.wrong(&["create", "d.zarr", "--shape", "3", "--dtype", "u1", "--chunks", "2,2"]);
    assert!(!folder.path("d.zarr").exists(), "a folder for nothing");
}

const SMALL: [&str; 6] = ["--shape", "3,4", "--dtype", "i2", "--chunks", "2,2"];

#[test]
fn arrays_of_v2_are_created_shown_written_and_verified() {
    let folder = Folder::new();
    let create = |place: &str, more: &[&str], code| {
        folder.run(&[&["create", place], &SMALL[..], more].concat(), code)
    };
    let codecs = ["--codecs", "transpose:1:0,bytes:big,zstd:1", "--dimension-names", "y,x"];
    create("b.zarr/g/a", &[&["--format", "v2"], &codecs[..]].concat(), 0);
    folder.fine(&["put", "b.zarr/g/a", "1, :", "7"]);
    assert_eq!(folder.fine(&["get", "b.zarr/g/a", "0:2, 1:3"]), "[[0 0]\n [7 7]]\n");
    let names = ["0.0", "0.1"].map(|chunk| folder.path("b.zarr/g/a").join(chunk));
    let documents = [".zarray", ".zattrs"].map(|name| folder.path("b.zarr/g/a").join(name));
    assert_eq!(objects(&folder.path("b.zarr/g/a")), [documents, names].concat());
    let read = |file: &Path| -> Value { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() };
    let document = read(&folder.path("b.zarr/g/a/.zarray"));
    assert_eq!((&document["order"], &document["dtype"]), (&json!("F"), &json!(">i2")));
    assert_eq!(document["compressor"], json!({"id": "zstd", "level": 1}));
    let attributes = read(&folder.path("b.zarr/g/a/.zattrs"));
    assert_eq!(attributes, json!({"_ARRAY_DIMENSIONS": ["y", "x"]}));
    let info = folder.json(&["info", "b.zarr/g/a"], 0);
    assert_eq!((&info["zarr_format"], &info["stored_objects"]), (&json!(2), &json!(2)));
    assert!(folder.fine(&["info", "b.zarr/g/a"]).contains("Format      Zarr v2\n"));
    assert_eq!(folder.fine(&["tree", "b.zarr"]), "b.zarr\n└── g\n    └── a  int16 3 × 4\n");
    assert!(folder.fine(&["verify", "b.zarr"]).starts_with("1 array, 2 objects, "));
    // What is put into a store of v2 is of v2, and nothing else may be.
    create("b.zarr/plain", &[], 0);
    assert!(folder.path("b.zarr/plain/.zarray").is_file());
    create("b.zarr/three", &["--format", "v3"], 2);
    create("b.zarr/shards", &["--shards", "4,4"], 2);
    create("b.zarr/keys", &["--chunk-keys", "default"], 2);
    create("b.zarr/slashes", &["--chunk-keys", "v2:/"], 0);
    assert_eq!(read(&folder.path("b.zarr/slashes/.zarray"))["dimension_separator"], "/");
    create("b.zarr/g/a", &[], 2);
    create("b.zarr/g/a", &["--overwrite"], 0);
    assert_eq!(folder.fine(&["get", "b.zarr/g/a", "1"]), "[0 0 0 0]\n");
    folder.fine(&["create", "b.zarr/more", "--group"]);
    assert!(folder.path("b.zarr/more/.zgroup").is_file());
}

#[test]
fn create_takes_a_whole_document_of_v2() {
    let folder = Folder::new();
    let document = json!({
        "shape": [3], "chunks": [2], "dtype": "<f4", "fill_value": null, "order": "C",
        "filters": null, "compressor": null, "zarr_format": 2, "mine": 1,
    });
    fs::write(folder.path("d.json"), document.to_string()).unwrap();
    folder.fine(&["create", "c.zarr/a", "--metadata", "d.json"]);
    let written = fs::read(folder.path("c.zarr/a/.zarray")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), document);
    assert_eq!(folder.fine(&["get", "c.zarr/a"]), "[0. 0. 0.]\n");
    let three = ["create", "d.zarr", "--metadata", "d.json", "--format", "v3"];
    folder.fine(&three);
    assert!(folder.path("d.zarr/zarr.json").is_file());
    assert_eq!(folder.fine(&["get", "d.zarr"]), "[0. 0. 0.]\n");
}

#[test]
fn attributes_are_shown_and_changed() {
    let folder = Folder::with_array();
    let attrs = |options: &[&str]| -> Value {
        let text = folder.fine(&[&["attrs", "a.zarr/x/y"], options].concat());
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(attrs(&[]), json!({"units": "K"}));
    let set = ["--set", "range=[0,1.5]", "--set", "note=\"a=b\"", "--unset", "units"];
    assert_eq!(attrs(&set), json!({"range": [0, 1.5], "note": "a=b"}));
    assert_eq!(attrs(&[]), json!({"range": [0, 1.5], "note": "a=b"}));
    fs::write(folder.path("new.json"), r#"{"é": null}"#).unwrap();
    assert_eq!(attrs(&["--replace", "new.json"]), json!({"é": null}));
    fs::write(folder.path("list.json"), "[1]").unwrap();
    for wrong in [
        &["--unset", "units"][..],
        &["--set", "units=K"],
        &["--set", "units"],
        &["--replace", "list.json"],
        &["--replace", "none.json"],
        &["--replace", "new.json", "--set", "a=1"],
    ] {
        folder.wrong(&[&["attrs", "a.zarr/x/y"], wrong].concat());
    }
    assert_eq!(attrs(&[]), json!({"é": null}));
    assert_eq!(folder.json(&["info", "a.zarr/x/y"], 0)["dimension_names"], json!(["row", null]));
    assert_eq!(folder.fine(&["attrs", "a.zarr"]), "{}\n");
}

#[test]
fn nodes_are_moved_and_deleted() {
    let folder = Folder::with_array();
    let before = folder.fine(&["get", "a.zarr/x/y"]);
    folder.fine(&["mv", "a.zarr/x/y", "a.zarr/p/q"]);
    assert_eq!(folder.fine(&["get", "a.zarr/p/q"]), before);
    assert_eq!(folder.fine(&["tree", "a.zarr"]), "a.zarr\n├── p\n│   └── q  int16 6 × 8\n└── x\n");
    for to in ["a.zarr/x", "a.zarr/p/q/r", "a.zarr/p/q", "b.zarr/q"] {
        folder.wrong(&["mv", "a.zarr/p/q", to]);
    }
    folder.wrong(&["mv", "a.zarr", "b.zarr"]);
    folder.wrong(&["rm", "a.zarr/y"]);
    assert!(folder.wrong(&["rm", "a.zarr/p"]).contains("-r"));
    std::os::unix::fs::symlink("p", folder.path("a.zarr/link")).unwrap();
    folder.wrong(&["rm", "-r", "a.zarr/link"]);
    assert_eq!(folder.fine(&["get", "a.zarr/p/q"]), before);
    folder.fine(&["rm", "a.zarr/x"]);
    folder.fine(&["rm", "-r", "a.zarr/p"]);
    fs::remove_file(folder.path("a.zarr/link")).unwrap();
    assert_eq!(objects(&folder.path("a.zarr")), [folder.path("a.zarr/zarr.json")]);
    folder.fine(&["rm", "a.zarr"]);
    assert!(!folder.path("a.zarr").exists());
}

#[test]
fn consolidated_metadata_is_written_and_removed_by_what_changes() {
    for format in ["v2", "v3"] {
        let folder = Folder::new();
        let place = ["create", "a.zarr/x/y", "--format", format];
        folder.fine(&[&place[..], &SMALL].concat());
        assert_eq!(folder.fine(&["consolidate", "a.zarr"]), "2 nodes\n");
        let tree = || folder.fine(&["tree", "a.zarr"]);
        let shown = "└── x\n    └── y  int16 3 × 4\n";
        assert_eq!(tree(), format!("a.zarr  (by its consolidated metadata)\n{shown}"));
        folder.fine(&["attrs", "a.zarr/x/y", "--set", "a=1"]);
        assert_eq!(tree(), format!("a.zarr\n{shown}"));
        folder.wrong(&["consolidate", "a.zarr/x/y"]);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = Folder::with_array();
    let ends = |arguments: &[&str], code| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = folder.command(arguments).stdout(writer).output().unwrap();
        assert_eq!((run.status.code(), run.stderr.as_slice()), (Some(code), &b""[..]));
    };
    ends(&["get", "a.zarr/x/y"], 0);
    ends(&["get", "a.zarr/x/y", "-o", "-"], 0);
    ends(&["verify", "a.zarr"], 0);
    // Nor is it a reason to call fine what is damaged.
    fs::write(folder.path("a.zarr/x/y/c/0/0"), "cut").unwrap();
    ends(&["verify", "a.zarr"], 1);
    ends(&["verify", "a.zarr", "--json"], 1);
    fs::write(folder.path("a.zarr/x/y/zarr.json"), "{").unwrap();
    ends(&["tree", "a.zarr"], 1);
}

#[test]
fn reads_are_explained_and_bad_variables_named() {
    let folder = Folder::with_array();
    let estimate = folder.json(&["explain", "a.zarr/x/y", "0, :4"], 0);
    assert_eq!((&estimate["objects"], &estimate["chunks"]), (&json!(1), &json!(2)));
    assert_eq!(estimate["missing"], Value::Null);
    assert!(estimate["requests"]["at_least"] == 1 && estimate["requests"]["at_most"] == 3);
    let exact = folder.json(&["explain", "a.zarr/x/y", "0, :4", "--exact"], 0);
    // Two chunks so near to the index that they come with it.
    assert_eq!((&exact["requests"], &exact["round_trips"]), (&json!(1), &json!(1)));
    assert_eq!((&exact["decoded"], &exact["missing"]), (&json!(2), &json!(0)));
    let below = folder.json(&["explain", "a.zarr/x/y", "5", "--exact"], 0);
    assert_eq!(
        (&below["objects"], &below["missing"], &below["requests"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert!(folder.fine(&["explain", "a.zarr/x/y"]).contains("Round trips"));
    let far = ["explain", "a.zarr/x/y", "0, :4", "--exact", "--latency", "50", "--price", "2"];
    let far = folder.json(&far, 0);
    assert_eq!((&far["seconds"], &far["price"]), (&json!(0.05), &json!(0.002)));

    let output =
        folder.command(&["get", "a.zarr/x/y"]).env("FUZARR_WORKERS", "all").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("FUZARR_WORKERS") && error.contains("all"), "{error}");
    // The index, and the chunks joined; the whole object.
    for (variable, requests) in [("FUZARR_ONE_ROUND_TRIP", 2), ("FUZARR_PARTIAL_READS", 1)] {
        let mut command = folder.command(&["explain", "a.zarr/x/y", "0, :4", "--exact", "--json"]);
        let output = command.env(variable, "off").output().unwrap();
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&shown["requests"], &shown["decoded"]), (&json!(requests), &json!(2)));
    }
}
