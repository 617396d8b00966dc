//! Chunks that are kept decoded: what is still asked of a remote store.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fuzarr::plan::{FastPath, ReadOptions, WriteOptions};
use fuzarr::{Array, Limits, Tuning};
use fuzarr_test_server::{Request, Server};

use super::{array, selection, store, values};

fn keeping() -> ReadOptions {
    let tuning = Tuning { small_object: 0, ..Tuning::default() };
    let limits = Limits { tuning, ..Limits::default() };
    ReadOptions { chunk_cache: 1 << 20, limits, ..ReadOptions::default() }
}

fn believing() -> ReadOptions {
    ReadOptions { index_staleness: Duration::from_secs(600), ..keeping() }
}

fn methods(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.method.as_str()).collect()
}

#[test]
fn what_is_read_again_is_asked_for_by_one_question_an_object_or_by_none() {
    for (sharded, objects) in [(true, 4), (false, 8)] {
        let server = Server::start(1).unwrap();
        let written = array(store(&server, "x"), "", sharded);
        written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
        let opened = Array::open(store(&server, "x"), "").unwrap();
        // Parts of shards, and then whole ones.
        for (text, objects) in [("20:40, :", objects), ("...", if sharded { 4 } else { 16 })] {
            let part = selection(text);
            let read = |options: ReadOptions| opened.read_bytes(&part, &options).unwrap();
            let expected = written.read_bytes(&part, &ReadOptions::default()).unwrap();
            assert_eq!(read(keeping()), expected);
            drop(server.take_requests());
            let cost = opened.explain_exactly(&part, &keeping()).unwrap();
            assert_eq!((cost.fetched.exact(), cost.round_trips.exact()), (Some(0), Some(0)));
            drop(server.take_requests());
            assert_eq!(read(keeping()), expected);
            let again = server.take_requests();
            assert_eq!(methods(&again), vec!["HEAD"; objects], "{again:?}");
            assert_eq!(read(believing()), expected);
            assert_eq!(server.take_requests().len(), 0);
            // Inside what was read, anything is known.
            opened.read_bytes(&selection("21:39:2, ::-7"), &believing()).unwrap();
            assert_eq!(server.take_requests().len(), 0);
        }
        assert!(opened.counters().get(FastPath::CachedChunk) > 0);
    }
}

#[test]
fn what_others_write_is_seen_unless_the_store_is_not_asked_and_what_is_written_here_always_is() {
    for sharded in [true, false] {
        let server = Server::start(1).unwrap();
        let first = array(store(&server, "x"), "", sharded);
        let other = Array::open(store(&server, "x"), "").unwrap();
        let part = selection("0:8, 0:8");
        let write = |array: &Array, value: u8| {
            array.write_bytes(&part, &[value; 64], &WriteOptions::default()).unwrap();
        };
        let read = |options: ReadOptions| first.read_bytes(&part, &options).unwrap().bytes;
        write(&other, 1);
        assert_eq!(read(keeping()), [1; 64]);
        write(&other, 2);
        assert_eq!(read(believing()), [1; 64], "what was said is believed");
        drop(server.take_requests());
        assert_eq!(read(keeping()), [2; 64]);
        assert_eq!(server.take_requests()[0].status, 412);
        assert_eq!(read(believing()), [2; 64]);
        write(&first, 3);
        assert_eq!(read(believing()), [3; 64]);
        // Fill value: the object is gone, or the chunk is.
        write(&first, 255);
        assert_eq!(read(believing()), [255; 64]);
        write(&other, 4);
        assert_eq!(read(keeping()), [4; 64]);
        write(&other, 255);
        assert_eq!(read(keeping()), [255; 64]);
    }
}

#[test]
fn what_is_written_here_is_read_here_however_long_indexes_are_believed() {
    // Seen to fail: the index that said that the chunk is not stored was believed.
    let server = Server::start(1).unwrap();
    let array = array(store(&server, "x"), "", true);
    let write = |text: &str| {
        array.write_bytes(&selection(text), &[1; 64], &WriteOptions::default()).unwrap();
    };
    let options = ReadOptions { chunk_cache: 0, ..believing() };
    let read = || array.read_bytes(&selection("8:16, 0:8"), &options).unwrap().bytes;
    write("0:8, 0:8");
    assert_eq!((read(), read()), (vec![255; 64], vec![255; 64]));
    write("8:16, 0:8");
    assert_eq!(read(), [1; 64]);
}

#[test]
fn an_array_shrunk_and_grown_again_is_empty_however_long_stores_are_believed() {
    // Seen to fail when the chunks that were deleted stayed known.
    for sharded in [true, false] {
        let server = Server::start(1).unwrap();
        let mut array = array(store(&server, "x"), "", sharded);
        array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
        array.read_bytes(&selection("..."), &believing()).unwrap();
        array.resize(&[32, 32]).unwrap();
        array.resize(&[64, 64]).unwrap();
        let read = array.read_bytes(&selection("32:, 32:"), &believing()).unwrap();
        assert!(read.bytes.iter().all(|&byte| byte == 255));
    }
}

#[test]
fn threads_share_what_is_kept() {
    // Seen to fail when a shard that was fetched whole left no index.
    let server = Arc::new(Server::start(2).unwrap());
    let written = array(store(&server, "x"), "", true);
    written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    let read = |array: &Array| array.read_bytes(&selection("..."), &believing()).unwrap().bytes;
    assert_eq!(read(&written), values());
    drop(server.take_requests());
    thread::scope(|scope| {
        for _ in 0..4 {
            let array = written.clone();
            scope.spawn(move || (0..20).for_each(|_| assert_eq!(read(&array), values())));
        }
    });
    // A thread that was stopped with the lock may have made another do without.
    let asked = server.take_requests().len();
    assert!(asked < 4 * 20 * 4 / 4, "{asked}");
}
