//! Copies between remote stores: what overlaps, and that it stays exact.

use std::sync::Arc;
use std::time::Duration;

use fuzarr::dtype::DataType;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::Store;
use fuzarr::transcode::{Node, Options, Progress, Relayout, Transcode};
use fuzarr::{Array, Error, Kind, Limits, Result};
use fuzarr_test_server::{Fault, Request, Rule, Server};

use super::{SERVICES, open, selection, store};

/// Rows of 64 bytes of the array that is copied.
const ROWS: u64 = 1024;

/// The array, in objects of so many rows.
fn source(store: &Arc<dyn Store>, rows: u64) -> Array {
    let builder = Array::builder([ROWS, 64], DataType::UInt8).chunks([rows, 64]).codecs("none");
    let array = builder.create(Arc::clone(store), "").unwrap();
    let values: Vec<u8> = (0..ROWS * 64).map(|place| (place % 251) as u8 + 1).collect();
    array.write_bytes(&selection("..."), &values, &WriteOptions::default()).unwrap();
    array
}

/// A copy into objects of so many rows.
fn plan(from: &Arc<dyn Store>, to: &Arc<dyn Store>, rows: u64, memory: u64) -> Result<Transcode> {
    let options = Options { memory, checkpoint: Duration::ZERO, ..Options::default() };
    plan_with(from, to, rows, options)
}

fn plan_with(
    from: &Arc<dyn Store>,
    to: &Arc<dyn Store>,
    rows: u64,
    options: Options,
) -> Result<Transcode> {
    let node = |store: &Arc<dyn Store>| Node { store: Arc::clone(store), path: String::new() };
    let relayout = Relayout { chunks: Some(vec![rows, 64]), ..Relayout::default() };
    Transcode::plan(node(from), node(to), |_| Ok(relayout.clone()), options)
}

/// Memory that has room for two parts of so many of the copy's objects, and not for larger ones.
fn room_for(parts_of: u64, from: &Arc<dyn Store>, to: &Arc<dyn Store>, rows: u64) -> u64 {
    let error = plan(from, to, rows, 0).unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    let one: u64 = error.context("needed").unwrap().parse().unwrap();
    one + (2 * parts_of - 1) * rows * 64
}

/// The places in the log of requests of a method for the objects of a part in a folder.
fn places(
    log: &[Request],
    (method, folder): (&str, &str),
    part: std::ops::Range<u64>,
) -> Vec<usize> {
    let wanted = |request: &Request| {
        let key = request.path.split_once(&format!("/{folder}/c/"));
        let row = key.and_then(|(_, key)| key.split('/').next()?.parse().ok());
        request.method == method && row.is_some_and(|row: u64| part.contains(&row))
    };
    (0..log.len()).filter(|&place| wanted(&log[place])).collect()
}

// Seen to fail when a step read and wrote one after the other.
#[test]
fn the_next_part_is_read_while_one_is_written() {
    let server = Server::start(2).unwrap();
    let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (store(&server, "a"), store(&server, "b"));
    source(&from, 64);
    // One byte less than two parts of one object take leaves parts of one, one after the other.
    let least = room_for(1, &from, &to, 64);
    for (objects, memory, overlaps) in
        [(2, room_for(2, &from, &to, 64), true), (1, least, true), (1, least - 1, false)]
    {
        to.delete_all("").wait().unwrap();
        // The record is put when the answer is there.
        server.set_rules(vec![Rule::always("PUT", "/b/c/", Fault::Stalled(60))]);
        drop(server.take_requests());
        let mut told = Vec::new();
        let progress = |progress: &Progress<'_>| {
            told.push(progress.done / (64 * 64));
            Ok(())
        };
        let copy = plan(&from, &to, 64, memory).unwrap();
        assert_eq!(copy.run(progress).unwrap().objects, 16);
        assert_eq!(told, (1..=16 / objects).map(|part| part * objects).collect::<Vec<_>>());
        let log = server.take_requests();
        for part in 0..16 / objects - 1 {
            let (start, end) = (part * objects, (part + 1) * objects);
            let puts = places(&log, ("PUT", "b"), start..end);
            let gets = places(&log, ("GET", "a"), end..end + objects);
            assert_eq!((puts.len() as u64, gets.len() as u64), (objects, objects), "{log:?}");
            let is_record = |place: &usize| log[*place].path.ends_with("/b/.fuzarr-copy");
            let recorded = (*puts.last().unwrap()..log.len()).find(is_record).unwrap();
            assert_eq!(gets[0] < recorded, overlaps, "{part}: {log:?}");
        }
        server.set_rules(Vec::new());
        assert_eq!(copy.compare(|_| Ok(())).unwrap(), None);
    }
}

// Seen to fail when all chunks that make up 32 MiB were one part.
#[test]
fn small_chunks_are_read_while_others_are_written() {
    let server = Server::start(2).unwrap();
    let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (store(&server, "a"), store(&server, "b"));
    source(&from, 4);
    for rows in [4, 64] {
        let limits = Limits { operations: 8, ..Limits::default() };
        let options = Options {
            read: ReadOptions { limits: limits.clone(), ..ReadOptions::default() },
            write: WriteOptions { limits, ..WriteOptions::default() },
            ..Options::default()
        };
        let copy = plan_with(&from, &to, rows, options).unwrap();
        server.set_latency(Duration::from_millis(2));
        drop(server.take_requests());
        let _ = server.take_most_at_once();
        let mut parts = 0;
        let progress = |_: &Progress<'_>| {
            parts += 1;
            Ok(())
        };
        assert_eq!(copy.run(progress).unwrap().objects, ROWS / rows);
        // Of 256 chunks, four times as many make up a part as may be asked for at the same time.
        assert_eq!(parts, 8);
        assert!(server.take_most_at_once() <= 2 * 8);
        server.set_latency(Duration::ZERO);
        let log = server.take_requests();
        let gets = places(&log, ("GET", "a"), 0..ROWS);
        let puts = places(&log, ("PUT", "b"), 0..ROWS);
        assert_eq!((gets.len() as u64, puts.len() as u64), (ROWS / 4, ROWS / rows));
        // All that is read after the first part is read while something is written.
        assert!(puts[0] < gets[2 * 32], "{log:?}");
        assert!(puts[puts.len() / 2] < *gets.last().unwrap(), "{log:?}");
        assert_eq!(copy.compare(|_| Ok(())).unwrap(), None);
        to.delete_all("").wait().unwrap();
    }
}

// Each object was once looked at before it was read and after it was put.
#[test]
fn answers_tell_the_versions_that_are_recorded() {
    for open in SERVICES {
        let server = Server::start(2).unwrap();
        let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (open(&server, "a"), open(&server, "b"));
        let written = source(&from, 64);
        // One is not stored.
        written.write_bytes(&selection("64:128"), &[0], &WriteOptions::default()).unwrap();
        drop(server.take_requests());
        let copy = plan(&from, &to, 32, 64 << 20).unwrap();
        let mut told = 0;
        let stopped = copy.run(|_| {
            told += 1;
            if told == 1 { Err(Error::io("enough")) } else { Ok(()) }
        });
        assert_eq!(stopped.unwrap_err().message(), "enough");
        let log = server.take_requests();
        let count = |(method, folder)| places(&log, (method, folder), 0..ROWS).len();
        assert_eq!((count(("GET", "a")), count(("HEAD", "a"))), (16, 0));
        assert_eq!((count(("PUT", "b")), count(("HEAD", "b"))), (30, 0));
        // What was recorded is what is found: nothing is read or put again.
        assert_eq!(copy.run(|_| Ok(())).unwrap().objects, 0);
        let log = server.take_requests();
        let count = |(method, folder)| places(&log, (method, folder), 0..ROWS).len();
        assert_eq!((count(("GET", "a")), count(("PUT", "b"))), (1, 0));
        assert_eq!(copy.compare(|_| Ok(())).unwrap(), None);
    }
}

#[test]
fn what_failed_while_the_next_part_was_read_goes_on_exactly() {
    let server = Server::start(2).unwrap();
    let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (store(&server, "a"), store(&server, "b"));
    source(&from, 64);
    let copy = plan(&from, &to, 64, room_for(2, &from, &to, 64)).unwrap();
    for (rule, side) in [
        (Rule::always("PUT", "/b/c/9/", Fault::Status(403)), None),
        (Rule::always("GET", "/a/c/10/", Fault::Status(403)), Some("source")),
    ] {
        to.delete_all("").wait().unwrap();
        server.set_rules(vec![rule]);
        let error = copy.run(|_| Ok(())).unwrap_err();
        assert_eq!((error.kind(), error.context("side")), (Kind::Io, side), "{error}");
        server.set_rules(Vec::new());
        // What was put beside what failed is finished, too.
        let put = to.list("c").wait().unwrap().prefixes.len() as u64;
        let report = copy.run(|_| Ok(())).unwrap();
        assert!((8..=10).contains(&report.kept_objects), "{report:?}");
        assert!(report.kept_objects <= put && put <= 10);
        assert_eq!(report.kept_objects + report.objects, 16);
        assert_eq!(copy.compare(|_| Ok(())).unwrap(), None);
    }
}

// Seen to fail when what was seen of source objects was kept for both parts together.
#[test]
fn what_a_part_is_made_of_is_what_was_read_for_it() {
    let server = Server::start(2).unwrap();
    let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (store(&server, "a"), store(&server, "b"));
    let array = source(&from, 16);
    let copy = plan(&from, &to, 30, room_for(4, &from, &to, 30)).unwrap();
    let mut told = 0;
    let stopped = copy.run(|_| {
        told += 1;
        match told {
            // The third part, of rows 240 to 360, has been read; the fourth one has not.
            2 => array.write_bytes(&selection("352:368"), &[99], &WriteOptions::default()),
            3 => Err(Error::io("enough")),
            _ => Ok(()),
        }
    });
    assert_eq!(stopped.unwrap_err().message(), "enough");
    let report = copy.run(|_| Ok(())).unwrap();
    // All of three parts but the one object that holds some of these rows.
    assert_eq!(report.kept_objects, 3 * 4 - 1);
    assert_eq!(copy.compare(|_| Ok(())).unwrap(), None);
}

/// Makes a copy up to the end of its first part.
fn stop(copy: &Transcode) {
    let stopped = copy.run(|_| Err(Error::io("enough")));
    assert_eq!(stopped.unwrap_err().message(), "enough");
}

// Seen to fail when objects without versions were taken for the same by their size.
#[test]
fn what_has_no_version_is_copied_again() {
    let server = Server::start(2).unwrap();
    let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (store(&server, "a"), store(&server, "b"));
    let array = source(&from, 64);
    let web: Arc<dyn Store> = open(&format!("{}/bucket/a", server.endpoint()), &[]).unwrap();
    let rule = |method| Rule::always(method, "/a/", Fault::Untagged);
    server.set_rules(vec![rule("GET"), rule("HEAD")]);
    stop(&plan(&web, &to, 64, 64 << 20).unwrap());
    // Of the same size, and within the second that a date tells.
    array.write_bytes(&selection("100"), &[77], &WriteOptions::default()).unwrap();
    let copy = plan(&web, &to, 64, 64 << 20).unwrap();
    let report = copy.run(|_| Ok(())).unwrap();
    assert_eq!((report.kept_objects, report.objects), (0, 16));
    assert_eq!(copy.compare(|_| Ok(())).unwrap(), None);
}

// Seen to fail when objects were looked at one after the other.
#[test]
fn what_is_looked_at_is_asked_for_at_the_same_time() {
    let server = Server::start(2).unwrap();
    let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (store(&server, "a"), store(&server, "b"));
    source(&from, 16);
    let limits = Limits { operations: 8, ..Limits::default() };
    let options = Options {
        read: ReadOptions { limits: limits.clone(), ..ReadOptions::default() },
        write: WriteOptions { limits, ..WriteOptions::default() },
        ..Options::default()
    };
    let copy = plan_with(&from, &to, 32, options).unwrap();
    let mut told = 0;
    let progress = |progress: &Progress<'_>| {
        told = progress.done;
        if told == progress.total { Err(Error::io("enough")) } else { Ok(()) }
    };
    assert_eq!(copy.run(progress).unwrap_err().message(), "enough");
    server.set_latency(Duration::from_millis(50));
    drop(server.take_requests());
    let _ = server.take_most_at_once();
    assert_eq!(copy.run(|_| Ok(())).unwrap().kept_objects, 32);
    // Those of one side, and some of the other, and not more of either than may be.
    let most = server.take_most_at_once();
    assert!((9..=16).contains(&most), "{most}");
    let log = server.take_requests();
    let count = |(method, folder)| places(&log, (method, folder), 0..ROWS).len();
    assert_eq!((count(("HEAD", "a")), count(("HEAD", "b"))), (64, 32));
    assert_eq!((count(("GET", "a")), count(("PUT", "b"))), (0, 0));
}

// Seen to fail when each deletion was waited for.
#[test]
fn what_is_deleted_is_deleted_at_the_same_time() {
    let server = Server::start(2).unwrap();
    let store: Arc<dyn Store> = store(&server, "a");
    let mut array = source(&store, 16);
    server.set_rules(vec![Rule::always("POST", "", Fault::Stalled(100))]);
    let _ = server.take_most_at_once();
    array.resize(&[16 * 32, 64]).unwrap();
    let most = server.take_most_at_once();
    assert!((9..=64).contains(&most), "{most}");
    assert_eq!(array.stored_objects().unwrap().len(), 32);
    let builder = Array::builder([1], DataType::Int8).overwrite(true);
    builder.create(store, "").unwrap();
    let most = server.take_most_at_once();
    assert!((9..=64).contains(&most), "{most}");
    assert_eq!(server.objects().len(), 1);
}
