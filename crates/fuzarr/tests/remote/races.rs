//! Several writers of one shard.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{Precondition, Store as _, find};
use fuzarr::{Array, Kind};
use fuzarr_test_server::{Fault, Rule, Server};

use super::{Open, SERVICES, array, google, selection, store, values};

#[test]
fn writers_of_one_shard_lose_nothing_though_answers_do() {
    for open in SERVICES {
        write_from_all_sides(open);
    }
}

fn write_from_all_sides(store: Open) {
    let server = Arc::new(Server::start(2).unwrap());
    drop(array(store(&server, "x"), "", true));
    server.set_rules(vec![Rule {
        method: None,
        path: "/c/".to_owned(),
        times: None,
        one_in: 12,
        fault: Fault::Lost,
    }]);
    // Each has stores, caches and connections of its own, and an eighth of the rows.
    thread::scope(|scope| {
        for writer in 0..8 {
            let server = Arc::clone(&server);
            scope.spawn(move || {
                let array = Array::open(store(&server, "x"), "").unwrap();
                for round in 0..4 {
                    let row = writer * 8 + round * 2;
                    let rows = selection(&format!("{row}:{}", row + 2));
                    let values = &values()[row * 64..(row + 2) * 64];
                    array.write_bytes(&rows, values, &WriteOptions::default()).unwrap();
                }
            });
        }
    });
    server.set_rules(Vec::new());
    let array = Array::open(store(&server, "x"), "").unwrap();
    let read = array.read_bytes(&selection("..."), &ReadOptions::default()).unwrap();
    assert_eq!(read.bytes, values());
}

#[test]
fn who_empties_a_shard_does_not_delete_what_another_writer_puts_there() {
    let server = Arc::new(Server::start(2).unwrap());
    let first = array(store(&server, "x"), "", true);
    first.write_bytes(&selection("0:8, 0:8"), &[1], &WriteOptions::default()).unwrap();
    thread::scope(|scope| {
        for (part, value) in [("0:8, 0:8", 255), ("8:16, 8:16", 5)] {
            let server = Arc::clone(&server);
            scope.spawn(move || {
                let array = Array::open(store(&server, "x"), "").unwrap();
                for _ in 0..10 {
                    let options = WriteOptions::default();
                    array.write_bytes(&selection(part), &[value], &options).unwrap();
                }
            });
        }
    });
    let read = first.read_bytes(&selection("0:16, 0:16"), &ReadOptions::default()).unwrap();
    let expected: Vec<u8> =
        (0..256).map(|place| if place / 16 >= 8 && place % 16 >= 8 { 5 } else { 255 }).collect();
    assert_eq!(read.bytes, expected);
}

// Seen to fail: it was deleted without a condition.
#[test]
fn who_shrinks_an_array_leaves_what_another_writer_puts_where_nothing_was() {
    for open in SERVICES {
        let server = Server::start(2).unwrap();
        let mut array = array(open(&server, "x"), "", false);
        array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
        // It is there when the list is made, gone when it is looked at, and there again.
        server.set_rules(vec![Rule::always("HEAD", "/c/3/3", Fault::Status(404))]);
        array.resize(&[32, 64]).unwrap();
        let left: Vec<_> = server.objects().into_iter().map(|(key, _)| key).collect();
        assert_eq!(left.iter().filter(|key| key.contains("/c/")).count(), 9, "{left:?}");
        assert!(left.iter().any(|key| key.ends_with("/c/3/3")), "{left:?}");
    }
}

// Seen to fail: it was looked at once, and the deletion sent again without another look.
#[test]
fn who_deletes_again_what_was_not_answered_does_not_delete_what_another_writer_put_there() {
    // Amazon's service deletes by lists.
    for (open, method) in [(store as Open, "POST"), (google, "DELETE")] {
        let server = Server::start(2).unwrap();
        let store = open(&server, "x");
        let expected = || {
            server.put("bucket/x/k", b"mine");
            let object = find(&*store, "k").wait().unwrap().unwrap();
            Precondition::Unchanged(object.version().unwrap())
        };
        for fault in [Fault::Lost, Fault::Status(503), Fault::Done(503)] {
            let precondition = expected();
            server.set_rules(vec![Rule::once(method, "", fault)]);
            store.delete("k", precondition).wait().unwrap();
            assert!(server.objects().is_empty(), "{fault:?}");
        }
        // A neighbour writes while the answer is waited for.
        let precondition = expected();
        server.set_rules(vec![Rule::once(method, "", Fault::Stalled(60_000))]);
        thread::scope(|scope| {
            scope.spawn(|| {
                while server.objects().iter().any(|(key, _)| key == "bucket/x/k") {
                    thread::sleep(Duration::from_millis(1));
                }
                server.put("bucket/x/k", b"theirs");
            });
            let error = store.delete("k", precondition).wait().unwrap_err();
            assert_eq!(error.kind(), Kind::Conflict, "{error}");
        });
        assert_eq!(server.objects()[0].1, "theirs");
    }
}
