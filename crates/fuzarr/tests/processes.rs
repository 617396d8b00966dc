//! Many processes on one store: none loses what another wrote, and one that is killed leaves
//! nothing that matters. The helpers are this binary again, with their orders in the environment.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and runs itself with its orders in the environment"
)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{Content, LocalStore, Part, Precondition, Span, Store, put_bytes};
use fuzarr::{Array, Kind, Selection, Term};

const ORDERS: &str = "FUZARR_PROCESS_ORDERS";

fn helper(orders: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["helper_process", "--exact", "--nocapture", "--test-threads=1"])
        .env(ORDERS, orders.join("\n"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Does what the orders say; in the tests' own process there are none.
#[test]
fn helper_process() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    match *orders.split('\n').collect::<Vec<_>>() {
        ["write for ever", folder, start] => write_for_ever(folder, start.parse().unwrap()),
        ["write elements", folder, process] => write_elements(folder, process.parse().unwrap()),
        _ => panic!("no such orders: {orders}"),
    }
}

const KEYS: [&str; 3] = ["a/0", "a/1", "b/c/2"];

/// Bytes that tell their number in each place, of a length of their own.
fn bytes(number: u64) -> Vec<u8> {
    let length = 8 + usize::try_from(number * 7919 % 20_000).unwrap();
    number.to_le_bytes().into_iter().cycle().take(length).collect()
}

/// The number of an object; fails if it is not whole.
fn number(stored: &[u8]) -> u64 {
    let number = u64::from_le_bytes(stored[..8].try_into().unwrap());
    assert!(stored == bytes(number), "an object of {} bytes is torn", stored.len());
    number
}

fn stored(store: &dyn Store, key: &str) -> Option<u64> {
    let object = store.open(key).wait().unwrap()?;
    let piece = object.read(Span::Whole(1 << 20), Vec::new()).wait().unwrap().unwrap();
    Some(number(piece.bytes.as_slice()))
}

/// Writes one object after another, in every way, and tells of each when it is done: `did 0 5` for
/// key 0 and number 5. Every eleventh is deleted instead.
fn write_for_ever(folder: &str, start: u64) {
    let store = LocalStore::open(folder).unwrap();
    let mut out = std::io::stdout();
    for count in start.. {
        let index = usize::try_from(count).unwrap() % KEYS.len();
        let key = KEYS[index];
        let new = bytes(count);
        if after(count).is_none() {
            store.delete(key, Precondition::None).wait().unwrap();
        } else if count % 3 == 0 {
            let upload = store.begin(key).wait().unwrap();
            for (piece, bytes) in new.chunks(5000).enumerate() {
                let parts = [Part::Bytes(bytes)];
                let content = Content { parts: &parts, base: None };
                upload.write(piece as u64 * 5000, content).wait().unwrap();
            }
            upload.finish(Precondition::None).wait().unwrap();
        } else {
            let (first, second) = new.split_at(new.len() / 2);
            let parts = [Part::Bytes(first), Part::Bytes(second)];
            let content = Content { parts: &parts, base: None };
            store.put(key, content, Precondition::None).wait().unwrap();
        }
        out.write_all(format!("did {index} {count}\n").as_bytes()).unwrap();
    }
}

/// The state that an object has after the operation of this number.
fn after(count: u64) -> Option<u64> {
    (!count.is_multiple_of(11)).then_some(count)
}

fn lock_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => lock_files(&path),
            false => usize::from(path.to_str().unwrap().ends_with(".__lock")),
        })
        .sum()
}

/// Runs a helper and kills it some time after it first told something. Gives what it told.
fn run_and_kill(orders: &[&str], after: Duration) -> String {
    let mut child = helper(orders);
    let mut out = child.stdout.take().unwrap();
    let mut told = vec![0; 1 << 16];
    let mut length = 0;
    while !told[..length].windows(4).any(|text| text == b"did ") {
        length += out.read(&mut told[length..]).unwrap();
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    told.truncate(length);
    out.read_to_end(&mut told).unwrap();
    child.wait().unwrap();
    String::from_utf8(told).unwrap()
}

/// Kills a writer at a random moment, `runs` times over the same objects.
fn kill_writers(folder: &Path, runs: u64, seed: u64) {
    let store = LocalStore::open(folder).unwrap();
    let mut random = seed;
    let mut start = 0;
    let mut last: BTreeMap<usize, u64> = BTreeMap::new();
    for run in 0..runs {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let orders = ["write for ever", folder.to_str().unwrap(), &start.to_string()];
        let told = run_and_kill(&orders, Duration::from_micros(random % 3000));
        for line in told.lines() {
            let Some((_, done)) = line.split_once("did ") else { continue };
            let (index, count) = done.split_once(' ').unwrap();
            let count = count.parse().unwrap();
            last.insert(index.parse().unwrap(), count);
            start = start.max(count + 1);
        }
        for (index, key) in KEYS.into_iter().enumerate() {
            let acknowledged = last.get(&index).copied();
            let found = stored(&store, key);
            // The writer may have been killed after a write and before it told of it.
            let mut possible = vec![acknowledged.and_then(after)];
            if usize::try_from(start).unwrap() % KEYS.len() == index {
                possible.push(after(start));
            }
            assert!(possible.contains(&found), "run {run}, {key}: {found:?}, {possible:?}");
            if found != possible[0] {
                last.insert(index, start);
            }
        }
        if last.values().any(|&count| count == start) {
            start += 1;
        }
        assert!(lock_files(folder) <= KEYS.len());
        let listing = store.list("a").wait().unwrap();
        assert!(listing.objects.iter().all(|(name, _)| name == "0" || name == "1"));
    }
    for key in KEYS {
        put_bytes(&store, key, &bytes(1), Precondition::None).unwrap();
    }
    assert_eq!(lock_files(folder), 0);
    assert!(start > runs, "{start} writes in {runs} runs");
}

#[test]
fn a_thousand_writers_killed_at_random_leave_old_or_new() {
    std::thread::scope(|scope| {
        for seed in [88_172_645_463_325_252, 1_442_695_040_888_963_407] {
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                kill_writers(folder.path(), 500, seed);
            });
        }
    });
}

const ELEMENTS: usize = 64;
const PROCESSES: usize = 8;

fn shard(store: Arc<dyn Store>) -> Array {
    let document = br#"{
        "zarr_format": 3, "node_type": "array", "shape": [64], "data_type": "uint32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [4],
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}},
                       {"name": "zstd", "configuration": {"level": 1, "checksum": false}}],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}},
                             {"name": "crc32c"}]
        }}]
    }"#;
    let Node::Array(metadata) = Node::from_bytes(document).unwrap() else { panic!("no array") };
    Array::create(store, "", *metadata).unwrap()
}

/// One of the writers: its elements of the one shard, each several times, and in between another
/// key that all of them write and delete.
fn write_elements(folder: &str, process: usize) {
    let store = Arc::new(LocalStore::open(folder).unwrap());
    let array = Array::open(Arc::<LocalStore>::clone(&store), "").unwrap();
    // All start when the last of them is ready.
    println!("ready");
    std::io::stdin().read_to_string(&mut String::new()).unwrap();
    for round in 0..5 {
        for element in (process..ELEMENTS).step_by(PROCESSES) {
            let place = Selection::Orthogonal(vec![Term::Index(element as i64)]);
            let value = (element as u32 + 100 * round).to_ne_bytes();
            array.write_bytes(&place, &value, &WriteOptions::default()).unwrap();
        }
        let count = u64::from(round) * 8 + process as u64;
        put_bytes(&*store, "other", &bytes(count), Precondition::None).unwrap();
        let before = store.open("other").wait().unwrap().map(|object| object.version().unwrap());
        if let Some(version) = before {
            match store.delete("other", Precondition::Unchanged(version)).wait() {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), Kind::Conflict),
            }
        }
        put_bytes(&*store, "other", &bytes(count), Precondition::None).unwrap();
    }
}

#[test]
fn processes_that_write_disjoint_elements_of_one_shard_lose_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalStore::open(folder.path()).unwrap());
    let array = shard(Arc::<LocalStore>::clone(&store));
    let path = folder.path().to_str().unwrap();
    let mut writers: Vec<Child> = (0..PROCESSES)
        .map(|process| helper(&["write elements", path, &process.to_string()]))
        .collect();
    for writer in &mut writers {
        let mut told = Vec::new();
        let out = writer.stdout.as_mut().unwrap();
        while !told.ends_with(b"ready\n") {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            told.extend(byte);
        }
    }
    for writer in &mut writers {
        drop(writer.stdin.take());
    }
    let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.wait_with_output()).collect();
    for outcome in outcomes {
        let outcome = outcome.unwrap();
        assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stdout));
    }
    let expected: Vec<u8> =
        (0..ELEMENTS as u32).flat_map(|element| (element + 400).to_ne_bytes()).collect();
    assert_eq!(
        array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes,
        expected
    );
    assert!(stored(&*store, "other").is_some());
    assert_eq!(lock_files(folder.path()), 0);
}
