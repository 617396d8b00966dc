//! Peak memory, measured in processes of their own: this test program again, told by its environment
//! what to do.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers in native order"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::shard::WriteOrder;
use fuzarr::store::LocalStore;
use fuzarr::{Array, Kind, Limits, Selection};
use serde_json::json;

const JOB: &str = "FUZARR_TEST_MEMORY";

/// What a process takes besides its budget: the program itself, thread stacks, the allocator.
const BESIDES: u64 = 12 << 20;

const MIB: u64 = 1 << 20;

/// One shard of 128 MiB in inner chunks of 1 MiB.
const SHARD: u64 = 128 * MIB;

fn shard(folder: &Path, compressed: bool) -> Array {
    let mut codecs = vec![json!({"name": "bytes", "configuration": {"endian": "little"}})];
    if compressed {
        let zstd = json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}});
        codecs.push(zstd);
    }
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [SHARD / 8], "data_type": "uint64",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [SHARD / 8]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [MIB / 8], "codecs": codecs,
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        }}],
    });
    let Node::Array(metadata) = Node::from_bytes(document.to_string().as_bytes()).unwrap() else {
        panic!("no array")
    };
    let store = Arc::new(LocalStore::open(folder).unwrap());
    Array::open(Arc::clone(&store) as _, "")
        .unwrap_or_else(|_| Array::create(store, "", *metadata).unwrap())
}

/// Numbers that do not compress.
fn number(at: u64) -> u64 {
    (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn limits(memory: u64) -> Limits {
    Limits { workers: 2, memory: Some(memory), ..Limits::default() }
}

/// The bytes of memory that the process took, from here on, at most.
fn peak_of(act: impl FnOnce()) -> u64 {
    let peak = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // Forgets the peak so far.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let now = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let now: u64 = now.trim().trim_end_matches(" kB").parse().unwrap();
    act();
    (peak() - now.min(peak())) * 1024
}

#[test]
#[ignore = "run by other tests as a process of its own"]
fn child() {
    let Some(job) = std::env::var_os(JOB) else { return };
    let job = job.into_string().unwrap();
    let words: Vec<&str> = job.split('|').collect();
    let [folder, what, compressed, budget] = words[..] else { panic!("{job}") };
    let array = shard(Path::new(folder), compressed == "zstd");
    let budget: u64 = budget.parse().unwrap();
    let peak = match what {
        "write" => {
            let values: Vec<u8> = (0..SHARD / 8).flat_map(|at| number(at).to_ne_bytes()).collect();
            let options = WriteOptions {
                order: WriteOrder::Unordered,
                limits: limits(budget),
                ..WriteOptions::default()
            };
            peak_of(|| array.write_bytes(&Selection::all(), &values, &options).unwrap())
        }
        // Little is wanted of every inner chunk.
        "read" => {
            let options = ReadOptions { limits: limits(budget), ..ReadOptions::default() };
            let selection = Selection::parse("7::1024").unwrap();
            let mut result = None;
            let peak = peak_of(|| result = Some(array.read_bytes(&selection, &options).unwrap()));
            let expected = (7..SHARD / 8).step_by(1024).flat_map(|at| number(at).to_ne_bytes());
            assert!(result.unwrap().bytes.into_iter().eq(expected));
            peak
        }
        _ => panic!("{what}"),
    };
    println!("\npeak={peak}");
}

fn peak(folder: &Path, job: &str) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(JOB, format!("{}|{job}", folder.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let peak = text.split_whitespace().find_map(|word| word.strip_prefix("peak="));
    peak.unwrap_or_else(|| panic!("{text}{errors}")).parse().unwrap()
}

#[test]
fn one_shard_larger_than_the_budget_is_written_and_read_within_it() {
    for codec in ["raw", "zstd"] {
        let folder = tempfile::tempdir().unwrap();
        let budget = 24 * MIB;
        for what in ["write", "read"] {
            let peak = peak(folder.path(), &format!("{what}|{codec}|{budget}"));
            assert!(peak <= budget + BESIDES, "{what} {codec}: {} MiB", peak / MIB);
            println!("{what} {codec}: {} MiB", peak / MIB);
        }
        // The budget is what keeps it there.
        let unlimited = peak(folder.path(), &format!("read|{codec}|{}", 1_u64 << 40));
        assert!(codec == "raw" || unlimited > 2 * budget, "{} MiB", unlimited / MIB);
    }
}

#[test]
fn a_budget_below_one_chunk_is_an_error_that_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let array = shard(folder.path(), true);
    let options = ReadOptions { limits: limits(MIB), ..ReadOptions::default() };
    let error = array.read_bytes(&Selection::parse("5").unwrap(), &options).unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    let needed: u64 = error.context("needed").unwrap().parse().unwrap();
    let options = ReadOptions { limits: limits(needed), ..ReadOptions::default() };
    array.read_bytes(&Selection::parse("5").unwrap(), &options).unwrap();
    let options = WriteOptions { limits: limits(MIB), ..WriteOptions::default() };
    let error = array.write_bytes(&Selection::parse("5").unwrap(), &[1; 8], &options).unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    // A little of every inner chunk: all of them are held.
    let options = WriteOptions { limits: limits(64 * MIB), ..WriteOptions::default() };
    let little = Selection::parse("3::131072").unwrap();
    let error = array.write_bytes(&little, &[1; 8], &options).unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    assert!(array.stored_objects().unwrap().is_empty());
}
