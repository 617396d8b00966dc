//! How many requests are made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fuzarr::plan::{FastPath, ReadOptions, WriteOptions};
use fuzarr::store::{Content, Part, Precondition, Store as _, find};
use fuzarr::{Array, Limits, Tuning};
use fuzarr_test_server::{Fault, Request, Rule, Server};

use super::{array, open, selection, store, values};

/// Methods and ranges of the requests for chunks.
fn of_chunks(requests: Vec<Request>) -> Vec<(String, Option<String>)> {
    let chunks = requests.into_iter().filter(|request| request.path.contains("/c/"));
    chunks.map(|request| (request.method, request.range)).collect()
}

/// Options under which a part of a shard is worth its own requests, however small the shard.
pub(super) fn in_parts() -> ReadOptions {
    let tuning = Tuning { small_object: 0, beside_index: 0, ..Tuning::default() };
    ReadOptions { limits: Limits { tuning, ..Limits::default() }, ..ReadOptions::default() }
}

#[test]
fn a_part_of_a_shard_takes_two_requests_and_one_when_its_index_is_known() {
    let server = Server::start(1).unwrap();
    let written = array(store(&server, "x"), "", true);
    written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    let opened = Array::open(store(&server, "x"), "").unwrap();
    drop(server.take_requests());
    let (part, options) = (selection("3:5, 40:45"), in_parts());
    let read = || opened.read_bytes(&part, &options).unwrap().bytes;
    let expected: Vec<u8> =
        [3, 4].iter().flat_map(|row| values()[row * 64 + 40..row * 64 + 45].to_vec()).collect();
    assert_eq!(read(), expected);
    let cold = of_chunks(server.take_requests());
    assert_eq!(cold.len(), 2, "{cold:?}");
    assert!(cold[0].1.as_ref().unwrap().starts_with("bytes=-"), "{cold:?}");
    assert_eq!(read(), expected);
    let again = of_chunks(server.take_requests());
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(opened.counters().get(FastPath::CachedIndex), 1);

    // What another writer has changed meanwhile is met as it is now, with its own index.
    written.write_bytes(&selection("0:32, 32:64"), &[9], &WriteOptions::default()).unwrap();
    drop(server.take_requests());
    assert_eq!(read(), [9; 10]);
    let changed = server.take_requests();
    assert_eq!(changed[0].status, 412, "{changed:?}");
    assert_eq!(of_chunks(changed).len(), 3);

    // Nothing of the part is stored: the index alone tells, if it is still that of the object.
    written.write_bytes(&selection("0:8, 40:48"), &[255], &WriteOptions::default()).unwrap();
    assert_eq!(read(), [255; 10]);
    drop(server.take_requests());
    assert_eq!(read(), [255; 10]);
    let known = server.take_requests();
    assert_eq!(known.iter().map(|request| &request.method[..]).collect::<Vec<_>>(), ["HEAD"]);
    written.write_bytes(&selection("0:8, 40:48"), &[7], &WriteOptions::default()).unwrap();
    assert_eq!(read(), [7; 10]);
}

#[test]
fn that_an_inner_chunk_is_not_stored_is_asked_again_unless_it_may_be_believed() {
    let server = Server::start(1).unwrap();
    let first = array(store(&server, "x"), "", true);
    let other = Array::open(store(&server, "x"), "").unwrap();
    let (stored, empty) = (selection("0:8, 0:8"), selection("8:16, 0:8"));
    first.write_bytes(&stored, &[1; 64], &WriteOptions::default()).unwrap();
    let believing = ReadOptions { index_staleness: Duration::from_secs(600), ..in_parts() };
    let read = |options: &ReadOptions| first.read_bytes(&empty, options).unwrap().bytes[0];
    assert_eq!(read(&in_parts()), 255);
    drop(server.take_requests());
    for (options, asked) in [(in_parts(), 1), (believing.clone(), 0)] {
        assert_eq!(read(&options), 255);
        assert_eq!(server.take_requests().len(), asked);
    }
    other.write_bytes(&empty, &[2; 64], &WriteOptions::default()).unwrap();
    assert_eq!(read(&believing), 255, "what was said is believed");
    // What is there is read of the version that the index is of.
    assert_eq!(first.read_bytes(&stored, &believing).unwrap().bytes, [1; 64]);
    assert_eq!(read(&believing), 2, "and so the new index was met");
    other.write_bytes(&empty, &[3; 64], &WriteOptions::default()).unwrap();
    assert_eq!(read(&in_parts()), 3);
}

#[test]
fn small_objects_take_one_request_and_missing_ones_too() {
    let server = Server::start(1).unwrap();
    let written = array(store(&server, "x"), "", true);
    written
        .write_bytes(&selection("0:32"), &values()[..32 * 64], &WriteOptions::default())
        .unwrap();
    drop(server.take_requests());
    let read = written.read_bytes(&selection("..."), &ReadOptions::default()).unwrap().bytes;
    assert_eq!(read[..32 * 64], values()[..32 * 64]);
    assert!(read[32 * 64..].iter().all(|&byte| byte == 255));
    let requests = of_chunks(server.take_requests());
    assert_eq!(requests.len(), 4, "{requests:?}");
}

#[test]
fn an_explanation_knows_what_is_missing_and_fetches_no_data() {
    let server = Server::start(1).unwrap();
    for sharded in [false, true] {
        server.clear();
        let written = array(store(&server, "x"), "", sharded);
        let half = selection("0:32");
        written.write_bytes(&half, &values()[..32 * 64], &WriteOptions::default()).unwrap();
        drop(server.take_requests());
        let explained = written.explain_exactly(&selection("..."), &in_parts()).unwrap();
        assert_eq!(explained.missing, if sharded { 2 } else { 8 });
        let requests = server.take_requests();
        let is_small = |request: &Request| request.method == "HEAD" || request.range.is_some();
        assert!(requests.iter().all(is_small), "{requests:?}");
    }
}

#[test]
fn a_large_object_comes_in_parts_at_the_same_time() {
    let server = Server::start(2).unwrap();
    let written = array(store(&server, "x"), "", false);
    written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    drop(server.take_requests());
    let tuning = Tuning { part: 100, ..Tuning::default() };
    let limits = Limits { tuning, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    assert_eq!(written.read_bytes(&selection("..."), &options).unwrap().bytes, values());
    // Each chunk of 256 bytes: 100 that tell its size, then 100 and 56.
    let requests = of_chunks(server.take_requests());
    assert_eq!(requests.len(), 16 * 3);
    let ranged =
        |range: &str| requests.iter().filter(|(_, asked)| asked.as_deref() == Some(range)).count();
    assert_eq!(
        (ranged("bytes=0-99"), ranged("bytes=100-199"), ranged("bytes=200-255")),
        (16, 16, 16)
    );
}

#[test]
fn no_more_is_asked_at_the_same_time_than_is_allowed() {
    let server = Server::start(2).unwrap();
    let written = array(store(&server, "x"), "", false);
    written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    let latency = Duration::from_millis(30);
    server.set_latency(latency);
    for (operations, in_flight, rounds) in [(4, 1 << 20, 4), (100, 512 * 8, 16), (100, 1 << 20, 1)]
    {
        let limits = Limits { operations, in_flight, ..Limits::default() };
        let options = ReadOptions { limits, ..ReadOptions::default() };
        let begun = std::time::Instant::now();
        assert_eq!(written.read_bytes(&selection("..."), &options).unwrap().bytes, values());
        assert!(begun.elapsed() >= latency * rounds, "{operations} {in_flight}");
    }
}

#[test]
fn shards_are_uploaded_in_parts_or_at_once_and_leave_nothing_behind() {
    let server = Server::start(1).unwrap();
    let store = store(&server, "x");
    let written = array(Arc::clone(&store) as _, "", true);
    let tuning = Tuning { streamed: 0, group: 256, ..Tuning::default() };
    let limits = Limits { tuning, ..Limits::default() };
    let options = WriteOptions { limits, ..WriteOptions::default() };
    written.write_bytes(&selection("..."), &values(), &options).unwrap();
    assert!(written.counters().get(FastPath::Streaming) > 0);
    let read = written.read_bytes(&selection("..."), &ReadOptions::default()).unwrap().bytes;
    assert_eq!(read, values());
    assert_eq!(server.open_uploads(), 0);
    assert!(find(&*store, "zarr.json").wait().unwrap().is_some());
}

#[test]
fn parts_from_several_threads_are_of_one_upload() {
    const PART: usize = 16 << 20;
    let server = Server::start(2).unwrap();
    server.set_latency(Duration::from_millis(5));
    let store = store(&server, "x");
    let upload = store.begin("k").wait().unwrap();
    std::thread::scope(|scope| {
        for number in (0..3_u8).rev() {
            let upload = &upload;
            scope.spawn(move || {
                let bytes = vec![number; PART + usize::from(number == 2)];
                let part = [Part::Bytes(&bytes)];
                let offset = u64::from(number) * PART as u64;
                upload.write(offset, Content { parts: &part, base: None }).wait().unwrap();
            });
        }
    });
    upload.finish(Precondition::None).wait().unwrap();
    let begun = |request: &&Request| request.method == "POST" && request.query.contains("uploads");
    assert_eq!(server.take_requests().iter().filter(begun).count(), 1);
    assert_eq!(server.open_uploads(), 0);
    let objects = server.objects();
    let (key, bytes) = &objects[0];
    assert_eq!((key.as_str(), bytes.len()), ("bucket/x/k", 3 * PART + 1));
    assert!((0..bytes.len()).step_by(4099).all(|place| usize::from(bytes[place]) == place / PART));

    // Dropped before its end, it is called off.
    let upload = store.begin("k").wait().unwrap();
    let bytes = vec![7; PART];
    upload.write(0, Content { parts: &[Part::Bytes(&bytes)], base: None }).wait().unwrap();
    assert_eq!(server.open_uploads(), 1);
    drop(upload);
    let begun = std::time::Instant::now();
    while server.open_uploads() > 0 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.open_uploads(), 0);
    assert_eq!(server.objects()[0].1.len(), 3 * PART + 1);
}

#[test]
fn chunks_wanted_whole_and_in_part_come_together() {
    // Seen to fail when whole ones were read to where they belong first, and then once more.
    let server = Server::start(2).unwrap();
    let builder = Array::builder([64, 64], fuzarr::dtype::DataType::UInt8);
    let builder = builder.shards([64, 64]).chunks([16, 64]).codecs("none");
    let written = builder.create(store(&server, "x"), "").unwrap();
    written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    drop(server.take_requests());
    let mut options = in_parts();
    options.limits.tuning.large_chunk = 1;
    let read = written.read_bytes(&selection("15:49"), &options).unwrap();
    assert_eq!(read.bytes, values()[15 * 64..49 * 64]);
    let asked = of_chunks(server.take_requests());
    assert_eq!(asked.len(), 2, "the index and one range: {asked:?}");
}

#[test]
fn large_chunks_of_unknown_size_are_read_to_where_they_belong() {
    // Of the right size, shorter, longer, and not there.
    let server = Server::start(2).unwrap();
    let written = array(store(&server, "x"), "", false);
    let mut options = ReadOptions::default();
    (options.limits.tuning.large_chunk, options.limits.tuning.part) = (1, 100);
    let first = selection("0:16, 0:16");
    for (length, read) in [(256, Some(7)), (255, None), (257, None), (99, None), (0, None)] {
        fuzarr::store::put_bytes(&**written.store(), "c/0/0", &vec![7; length], Precondition::None)
            .unwrap();
        let before = written.counters().get(FastPath::DirectRead);
        match (written.read_bytes(&first, &options), read) {
            (Ok(found), Some(value)) => assert_eq!(found.bytes, [value; 256]),
            (Err(error), None) => {
                assert_eq!(error.kind(), fuzarr::Kind::Corrupt);
                assert!(error.to_string().contains("256"), "{error}");
            }
            (outcome, _) => panic!("{length}: {outcome:?}"),
        }
        let direct = written.counters().get(FastPath::DirectRead) - before;
        assert_eq!(direct, u64::from(read.is_some()), "{length}");
    }
    drop(server.take_requests());
    let other = selection("16:32, 0:16");
    assert_eq!(written.read_bytes(&other, &options).unwrap().bytes, [255; 256]);
    assert_eq!(server.take_requests().len(), 1, "what is missing is asked for once");
}

#[test]
fn parts_of_a_large_inner_chunk_are_asked_for_once() {
    // The end of an inner chunk was once taken for the object's, if an index was known.
    let server = Server::start(2).unwrap();
    for codecs in ["zstd:3", "none"] {
        let builder = Array::builder([4, 1000], fuzarr::dtype::DataType::UInt8);
        let builder = builder.shards([4, 1000]).chunks([1, 1000]).codecs(codecs);
        let written = builder.create(store(&server, codecs), "").unwrap();
        let mut random = 1_u32;
        let mut values = vec![0; 4000];
        values.fill_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        });
        written.write_bytes(&selection("..."), &values, &WriteOptions::default()).unwrap();
        let mut options = in_parts();
        options.limits.tuning.part = 256;
        for (row, index) in [(1, 1), (2, 0)] {
            drop(server.take_requests());
            let read = written.read_bytes(&selection(&row.to_string()), &options).unwrap();
            assert_eq!(read.bytes, values[row * 1000..][..1000]);
            let asked = of_chunks(server.take_requests());
            // A thousand bytes do not get fewer by zstd.
            assert_eq!(asked.len(), index + 4, "{codecs}: {asked:?}");
        }
    }
}

#[test]
fn parts_of_a_large_object_come_in_one_round() {
    // Parts were once of one size: with 4 operations at a time, 16 of them in 4 rounds.
    let server = Server::start(2).unwrap();
    let written = array(store(&server, "x"), "", false);
    let place = selection("0:16, 0:16");
    written.write_bytes(&place, &[5; 256], &WriteOptions::default()).unwrap();
    let mut options = ReadOptions::default();
    (options.limits.tuning.large_chunk, options.limits.tuning.part) = (1, 16);
    for (operations, requests) in [(4, 1 + 4), (1, 1 + 2), (64, 1 + 15)] {
        options.limits.operations = operations;
        drop(server.take_requests());
        assert_eq!(written.read_bytes(&place, &options).unwrap().bytes, [5; 256]);
        assert_eq!(server.take_requests().len(), requests, "{operations} at a time");
    }
}

#[test]
fn shards_that_may_have_gaps_are_no_larger_in_flight_than_others() {
    // Seen to fail when each counted with all that a shard may have: three at the same time.
    let server = Server::start(2).unwrap();
    let builder = Array::builder([64, 64], fuzarr::dtype::DataType::UInt8);
    let builder = builder.shards([16, 16]).chunks([8, 8]).codecs("zstd:3");
    let written = builder.create(store(&server, "x"), "").unwrap();
    written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    server.set_latency(Duration::from_millis(100));
    let _ = server.take_most_at_once();
    let read = written.read_bytes(&selection("..."), &ReadOptions::default()).unwrap();
    assert_eq!(read.bytes, values());
    assert!(server.take_most_at_once() > 8);
}

#[test]
fn what_looks_at_every_object_looks_at_many_at_the_same_time() {
    let server = Server::start(2).unwrap();
    for sharded in [false, true] {
        let written = array(store(&server, "x"), if sharded { "s" } else { "c" }, sharded);
        written.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
        let objects = written.stored_objects().unwrap().len();
        assert!(objects >= 4);
        server.set_latency(Duration::from_millis(100));
        let _ = server.take_most_at_once();
        let mut told = Vec::new();
        let found = written.verify(|object| told.push(object.key.clone())).unwrap();
        assert!(found.damage.is_empty() && told.len() == objects);
        assert!(server.take_most_at_once() > objects / 2);
        let cost = written.explain_exactly(&selection("..., :9"), &in_parts()).unwrap();
        assert!(server.take_most_at_once() as u64 > cost.objects / 2);
        if sharded {
            written.storage(true).unwrap();
            assert!(server.take_most_at_once() > objects / 2);
        }
        server.set_latency(Duration::ZERO);
    }
}

#[test]
fn whole_objects_in_the_place_of_parts_are_within_what_may_be_in_flight() {
    // Seen to fail when each object that was asked for a part was there as a whole at the same time.
    let server = Server::start(2).unwrap();
    let (shards, bytes) = (16, 256 << 10);
    let builder = Array::builder([shards, bytes], fuzarr::dtype::DataType::UInt8);
    let builder = builder.shards([1, bytes]).chunks([1, 4096]).codecs("none");
    let written = builder.create(store(&server, "x"), "").unwrap();
    written.write_bytes(&selection("..."), &[7], &WriteOptions::default()).unwrap();
    server.set_rules(vec![Rule::always("GET", "/x/", Fault::Rangeless)]);
    let web = open(&format!("{}/bucket/x", server.endpoint()), &[]).unwrap();
    let array = Array::open(web, "").unwrap();
    let mut options = ReadOptions::default();
    options.limits.in_flight = 2 * bytes;
    let latency = Duration::from_millis(50);
    server.set_latency(latency);
    // The first read finds out, the second one knows; both take two objects at a time.
    for most_requests in [2 * shards, shards] {
        drop(server.take_requests());
        let begun = Instant::now();
        let read = array.read_bytes(&selection(":, :10"), &options).unwrap();
        assert!(begun.elapsed() >= latency * 8, "{:?}", begun.elapsed());
        assert_eq!(read.bytes, [7; 160]);
        let log = server.take_requests();
        let whole = log.iter().filter(|request| request.range.is_none()).count() as u64;
        assert!(whole == shards && log.len() as u64 <= most_requests, "{log:?}");
    }
}

// A shard has two groups, one that is encoded and one that is sent. Eight would be at once if what is
// streamed counted and not its groups; it was one while a group was raised to a chunk for each of many
// threads.
#[test]
fn shards_that_are_streamed_are_as_many_in_flight_as_there_is_room_for_their_groups() {
    let server = Server::start(2).unwrap();
    let (shards, bytes) = (8, 4 << 20);
    let builder = Array::builder([shards, bytes], fuzarr::dtype::DataType::UInt8);
    let builder = builder.shards([1, bytes]).chunks([1, 512 << 10]).codecs("none");
    let written = builder.create(store(&server, "x"), "").unwrap();
    let values = vec![7; 32 << 20];
    let tuning = Tuning { streamed: 512 << 10, group: 512 << 10, ..Tuning::default() };
    let limits = Limits { tuning, workers: 8, in_flight: 4 << 20, ..Limits::default() };
    let options = WriteOptions { limits, ..WriteOptions::default() };
    server.set_latency(Duration::from_millis(200));
    let _ = server.take_most_at_once();
    written.write_bytes(&selection("..."), &values, &options).unwrap();
    assert!(written.counters().get(FastPath::Streaming) > 0);
    assert_eq!(server.take_most_at_once(), 4);
}
