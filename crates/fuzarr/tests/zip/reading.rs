//! Archives that others wrote, and what reading takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{MemoryStore, Metered, Precondition, Span, Store, find, put_bytes};
use fuzarr::{Array, Kind, Limits, Tuning};

use super::{KEY, MIXED, archive, array, get, keys, kind, open, put, selection, values};

#[test]
fn what_python_wrote_is_read() {
    let store = archive(MIXED);
    let all = ["empty", "folder/deflated", "folder/twice", "folder/ö", "lzma", "stored", "wide"];
    assert_eq!(keys(&store, "").unwrap(), all);
    let repeated = b"again and ".repeat(100);
    let expected: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("folder/deflated", &repeated),
        ("folder/twice", b"the second"),
        ("folder/ö", "named in UTF-8".as_bytes()),
        ("stored", b"0123456789"),
        ("wide", b"with an extra field"),
    ];
    for (key, bytes) in expected {
        // Twice: the second time it is known where the bytes are.
        for _ in 0..2 {
            assert_eq!(get(&store, key).unwrap().unwrap(), bytes, "{key}");
        }
        let object = find(&store, key).wait().unwrap().unwrap();
        for start in (0..bytes.len()).step_by(7) {
            for end in (start..=bytes.len()).step_by(11) {
                let span = Span::Range(start as u64..end as u64);
                let piece = object.read(span, Vec::new()).wait().unwrap().unwrap();
                assert_eq!(piece.bytes.as_slice(), &bytes[start..end], "{key} {start} {end}");
                let mut memory = vec![0; end - start];
                if object.read_into(start as u64, &mut memory).wait().unwrap() {
                    assert_eq!(memory, &bytes[start..end], "{key} {start} {end}");
                }
            }
        }
    }
    let lzma = get(&store, "lzma").unwrap_err();
    assert_eq!((lzma.kind(), lzma.context("key")), (Kind::Unsupported, Some("lzma")));
    assert_eq!(get(&store, "folder").unwrap(), None);
    assert_eq!(kind(get(&store, "folder/")), Kind::InvalidArgument);
    assert_eq!(kind(get(&store, "../stored")), Kind::InvalidArgument);
}

#[test]
fn what_precedes_an_archive_and_what_its_comment_says_do_no_harm() {
    let mut bytes = MIXED.to_vec();
    let comment = bytes.len() - "a comment of some length".len();
    bytes[comment + 2..comment + 6].copy_from_slice(b"PK\x05\x06");
    let before: Vec<u8> = [b"#!/bin/sh\n".repeat(30), bytes].concat();
    let store = archive(&before);
    assert_eq!(get(&store, "stored").unwrap().unwrap(), b"0123456789");
    put_bytes(&store, "new", b"new", Precondition::Absent).unwrap();
    assert_eq!(get(&store, "folder/twice").unwrap().unwrap(), b"the second");
    store.delete("lzma", Precondition::None).wait().unwrap();
    store.close().unwrap();
    assert_eq!(get(&store, "new").unwrap().unwrap(), b"new");
    assert_eq!(get(&store, "wide").unwrap().unwrap(), b"with an extra field");
}

/// Options under which a part of a shard is worth its own reads, however small the shard.
fn in_parts() -> ReadOptions {
    let tuning = Tuning { small_object: 0, beside_index: 0, large_chunk: 0, ..Tuning::default() };
    let limits = Limits { tuning, ..Limits::default() };
    ReadOptions { coalesce_gap: 0, limits, ..ReadOptions::default() }
}

#[test]
fn a_part_of_a_shard_is_read_by_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    let store = fuzarr::store::ZipStore::local(&path, Default::default()).unwrap();
    let written = array(Arc::new(store.clone()));
    written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    // Much that nobody asks for.
    put_bytes(&store, "b", &vec![7; 3 << 20], Precondition::None).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size > 3 << 20);
    // Of an archive that was just written nothing is kept: its version is not certain.
    std::thread::sleep(std::time::Duration::from_millis(150));
    let local = fuzarr::store::LocalStore::open(folder.path()).unwrap();
    let metered = Arc::new(Metered::new(local));
    let inside: Arc<dyn Store> = Arc::<Metered<_>>::clone(&metered);
    let store = fuzarr::store::ZipStore::new(inside, "x.zip", Default::default());
    let array = Array::open(Arc::new(store), "a").unwrap();
    let counts = metered.counts();
    let read = |part: &str, options: &ReadOptions| {
        let count =
            || [&counts.reads, &counts.bytes_read].map(|counter| counter.load(Ordering::Relaxed));
        let before = count();
        let read = array.read_bytes(&selection(part), options).unwrap();
        let after = count();
        (read.bytes, after[0] - before[0], after[1] - before[1])
    };
    let expected: Vec<u8> =
        [3, 4].iter().flat_map(|row| values()[row * 64 + 40..row * 64 + 45].to_vec()).collect();
    let (bytes, reads, first) = read("3:5, 40:45", &in_parts());
    assert_eq!(bytes, expected);
    // The shard's header in the archive, with its index or before it, and the inner chunk.
    assert!(reads <= 3 && first <= 64 * 16 + 64 + 8192, "{reads} reads of {first} bytes");
    let (bytes, reads, again) = read("3:5, 40:45", &in_parts());
    assert_eq!(bytes, expected);
    assert!(reads == 1 && again <= 64, "the index is known, and where the shard is: {again}");
    assert_eq!(counts.puts.load(Ordering::Relaxed), 0);
}

#[test]
fn an_archive_that_was_replaced_is_read_anew() {
    let memory = Arc::new(MemoryStore::new());
    let inside = || Arc::<MemoryStore>::clone(&memory) as Arc<dyn Store>;
    let (one, other) = (open(inside()), open(inside()));
    assert_eq!(get(&one, "k").unwrap(), None);
    put_bytes(&other, "k", b"1", Precondition::Absent).unwrap();
    assert_eq!(get(&one, "k").unwrap().unwrap(), b"1");
    let pinned = find(&one, "k").wait().unwrap().unwrap();
    put_bytes(&other, "k", b"2", Precondition::None).unwrap();
    let old = pinned.read(Span::Whole(9), Vec::new()).wait().unwrap().unwrap();
    assert_eq!(old.bytes.as_slice(), b"1");
    assert_eq!(get(&one, "k").unwrap().unwrap(), b"2");
    put(&*memory, KEY, b"no archive");
    assert_eq!(kind(get(&one, "k")), Kind::Corrupt);
    memory.delete(KEY, Precondition::None).wait().unwrap();
    assert_eq!(get(&one, "k").unwrap(), None);
}
