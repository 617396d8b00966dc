//! Commands on stores behind a network.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use fuzarr_test_server::{Fault, Rule, Server};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a command in a folder, where the server's bucket is reached as `s3://bucket`; what it writes.
fn fine(server: &Server, folder: &Path, arguments: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzarr"));
    let options = ["access_key_id=somebody", "secret_access_key=secret"];
    let endpoint = format!("endpoint={}", server.endpoint());
    let options = options.iter().copied().chain([endpoint.as_str()]);
    command
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .args(options.flat_map(|option| ["--storage-option", option]))
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success() && err.is_empty(), "{arguments}\n{out}\n{err}");
    out
}

/// The number before a word in a line, as in `12 requests`.
fn number(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let place = words.iter().position(|found| found.trim_end_matches([':', '\n']) == word);
    words[place.unwrap_or_else(|| panic!("{word}: {line}")) - 1].parse().unwrap()
}

#[test]
fn a_copy_and_a_check_tell_what_was_asked() {
    let server = Server::start(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fine = |arguments: &str| fine(&server, folder.path(), arguments);
    fine("create here.zarr --shape 40,40 --dtype uint8 --chunks 10,10");
    fine("put here.zarr ... 7");

    // What is repeated counts, and is told.
    let rules = vec![
        Rule::once("PUT", "/c/0/0", Fault::Status(503)),
        Rule::once("PUT", "/c/3/3", Fault::Status(503)),
    ];
    server.set_rules(rules);
    let line = fine("copy here.zarr s3://bucket/there.zarr");
    assert!(line.starts_with("1 array, 16 objects, 1.6 KiB, "), "{line}");
    assert_eq!(number(&line, "requests"), server.take_requests().len(), "{line}");
    assert_eq!(number(&line, "retried"), 2, "{line}");

    // Both sides together.
    let line = fine("copy s3://bucket/there.zarr s3://bucket/again.zarr --shards 20,20");
    assert_eq!(number(&line, "requests"), server.take_requests().len(), "{line}");
    assert_eq!(number(&line, "retried"), 0, "{line}");

    server.set_rules(vec![Rule::once("GET", "/c/1/1", Fault::Status(503))]);
    let line = fine("verify s3://bucket/again.zarr");
    assert_eq!(number(&line, "requests"), server.take_requests().len(), "{line}");
    assert!(line.ends_with(", 1 retried: fine\n"), "{line}");
    let json = |arguments: &str| serde_json::from_str::<Value>(&fine(arguments)).unwrap();
    let report = json("verify s3://bucket/again.zarr --json");
    assert_eq!(report["requests"], server.take_requests().len());
    assert_eq!(report["retries"], 0);

    // Where nothing is asked, nothing is told.
    let line = fine("copy here.zarr local.zarr");
    assert!(!line.contains("request") && !line.contains("retried"), "{line}");
    assert!(!fine("verify local.zarr").contains("request"));
    assert_eq!(json("verify local.zarr --json")["requests"], Value::Null);
}
