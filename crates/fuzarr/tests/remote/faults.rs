//! Every fault at every operation: right data or a typed error, nothing lost, nothing filled.

use std::sync::Arc;

use fuzarr::dtype::DataType;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{
    Content, Part, Precondition, RemoteOptions, RemoteStore, Span, Store, put_bytes,
};
use fuzarr::{Array, Error, Kind, Result};
use fuzarr_test_server::{Fault, Rule, Server};

use super::{
    Open, SERVICES, array, azure, created, google, open, selection, store, store_with, values,
};

/// Faults that pass.
const PASSING: [Fault; 9] = [
    Fault::Status(408),
    Fault::Status(429),
    Fault::Status(500),
    Fault::Status(502),
    Fault::Status(503),
    Fault::Status(504),
    Fault::Refused,
    Fault::Lost,
    Fault::Stalled(1000),
];

/// Answers that are final.
const FINAL: [u16; 4] = [400, 401, 403, 405];

/// Each service, with arrays of chunks and of shards.
fn each_service() -> impl Iterator<Item = (Open, bool)> {
    SERVICES.into_iter().flat_map(|open| [(open, false), (open, true)])
}

fn all(array: &Array) -> Result<Vec<u8>> {
    Ok(array.read_bytes(&selection("..."), &ReadOptions::default())?.bytes)
}

#[test]
fn reads_outlast_what_passes_and_tell_what_does_not() {
    let server = Server::start(2).unwrap();
    for (store, sharded) in each_service() {
        server.set_rules(Vec::new());
        server.clear();
        let array = array(store(&server, "x"), "", sharded);
        array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
        let objects = if sharded { 4 } else { 16 };
        for fault in PASSING.into_iter().chain([Fault::Truncated(0), Fault::Truncated(10)]) {
            server.set_rules(vec![Rule::once("GET", "/c/", fault)]);
            drop(server.take_requests());
            assert_eq!(all(&array).unwrap(), values(), "{fault:?}");
            assert_eq!(server.take_requests().len(), objects + 1, "{fault:?}");
        }
        // What never passes is told, after a few times; what is final, at once.
        for (fault, most) in
            [(Fault::Status(503), 11), (Fault::Refused, 5), (Fault::Truncated(3), 5)]
        {
            server.set_rules(vec![Rule::always("GET", "/c/0/0", fault)]);
            drop(server.take_requests());
            let error = all(&array).unwrap_err();
            assert_eq!(error.kind(), Kind::Io, "{fault:?}: {error}");
            assert_eq!(error.context("key"), Some("c/0/0"), "{fault:?}: {error}");
            let requests = server.take_requests();
            let asked = requests.iter().filter(|request| request.path.ends_with("/c/0/0")).count();
            assert_eq!(asked, most, "{fault:?}");
        }
        for status in FINAL {
            server.set_rules(vec![Rule::always("GET", "/c/0/1", Fault::Status(status))]);
            drop(server.take_requests());
            let error = all(&array).unwrap_err();
            assert_eq!(error.kind(), Kind::Io, "{status}: {error}");
            assert_eq!(error.context("status"), Some(status.to_string().as_str()), "{error}");
            let requests = server.take_requests();
            let asked = requests.iter().filter(|request| request.path.ends_with("/c/0/1")).count();
            assert_eq!(asked, 1, "{status}");
        }
        // A document that says "error" where a chunk should be is no chunk, and nothing is filled.
        server.set_rules(vec![Rule::always("GET", "/c/0/0", Fault::ErrorDocument)]);
        let error = all(&array).unwrap_err();
        assert!(matches!(error.kind(), Kind::Io | Kind::Corrupt), "{error}");
        // Only the store's own word is missing.
        server.set_rules(vec![Rule::once("GET", "/c/0/0", Fault::Status(404))]);
        let read = all(&array).unwrap();
        assert_eq!(read[0], 255);
        server.set_rules(Vec::new());
        assert_eq!(all(&array).unwrap(), values());
    }
}

/// What of the first shard is changed, and to what.
const CHANGE: (&str, u8) = ("4:12, 4:12", 77);

fn changed() -> Vec<u8> {
    let mut values = values();
    for row in 4..12 {
        values[row * 64 + 4..row * 64 + 12].fill(CHANGE.1);
    }
    values
}

fn change(array: &Array) -> Result<()> {
    array.write_bytes(&selection(CHANGE.0), &[CHANGE.1], &WriteOptions::default())
}

#[test]
fn changes_are_made_once_whatever_gets_lost() {
    let server = Server::start(2).unwrap();
    for (store, sharded) in each_service() {
        for (method, faults) in [("PUT", &PASSING[..]), ("GET", &PASSING[..])] {
            for &fault in faults {
                server.set_rules(Vec::new());
                server.clear();
                let array = array(store(&server, "x"), "", sharded);
                array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
                server.set_rules(vec![Rule::once(method, "/c/0/0", fault)]);
                change(&array).unwrap();
                assert_eq!(all(&array).unwrap(), changed(), "{method} {fault:?}");
            }
        }
        for status in FINAL {
            server.set_rules(Vec::new());
            server.clear();
            let array = array(store(&server, "x"), "", sharded);
            array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
            let before = server.objects();
            server.set_rules(vec![Rule::always("PUT", "/c/0/0", Fault::Status(status))]);
            let error = change(&array).unwrap_err();
            assert_eq!(error.kind(), Kind::Io, "{status}: {error}");
            server.set_rules(Vec::new());
            // An object that could not be written is as it was.
            let after = server.objects();
            let first = |objects: &[(String, bytes::Bytes)]| {
                objects.iter().find(|(key, _)| key.ends_with("c/0/0")).cloned()
            };
            assert_eq!(first(&before), first(&after), "{status}");
        }
    }
}

#[test]
fn a_lost_answer_to_a_conditional_put_is_no_conflict_and_a_conflict_is_one() {
    for open in SERVICES {
        let server = Server::start(1).unwrap();
        put_on_condition(&server, &open(&server, "x"));
    }
}

fn put_on_condition(server: &Server, store: &RemoteStore) {
    let lost = || server.set_rules(vec![Rule::once("PUT", "", Fault::Lost)]);
    lost();
    put_bytes(store, "k", b"mine", Precondition::Absent).unwrap();
    assert_eq!(store.traffic().retries, 1);
    let conflict = put_bytes(store, "k", b"other", Precondition::Absent).unwrap_err();
    assert_eq!(conflict.kind(), Kind::Conflict);
    // Lost, and then there is something else.
    server.set_rules(vec![Rule::once("PUT", "", Fault::Status(503))]);
    let conflict = put_bytes(store, "k", b"other", Precondition::Absent).unwrap_err();
    assert_eq!(conflict.kind(), Kind::Conflict);
    // The same bytes are another's all the same: whoever puts a claim twice has it once.
    server.set_rules(vec![Rule::once("PUT", "", Fault::Status(500))]);
    let conflict = put_bytes(store, "k", b"mine", Precondition::Absent).unwrap_err();
    assert_eq!(conflict.kind(), Kind::Conflict);
    let object = fuzarr::store::find(store, "k").wait().unwrap().unwrap();
    let version = object.version().unwrap();
    lost();
    put_bytes(store, "k", b"next", Precondition::Unchanged(version.clone())).unwrap();
    let stale = put_bytes(store, "k", b"late", Precondition::Unchanged(version)).unwrap_err();
    assert_eq!(stale.kind(), Kind::Conflict);
    let objects = server.objects();
    assert_eq!(objects.len(), 1);
    assert_eq!(&objects[0].1[..], b"next");
}

// Seen to fail: who answered 503 or 408 was believed to have done nothing.
#[test]
fn what_was_done_before_an_answer_that_says_otherwise_is_done_once() {
    let services = [
        (store as Open, ("POST", "uploadId")),
        (google, ("POST", "uploadId")),
        (azure, ("PUT", "comp=blocklist")),
    ];
    for (open, (method, complete)) in services {
        for status in [408, 500, 503, 504] {
            let server = Server::start(2).unwrap();
            let store = open(&server, "x");
            let array = Array::builder([0], DataType::UInt8).chunks([4]);
            let done =
                || server.set_rules(vec![Rule::once("PUT", "zarr.json", Fault::Done(status))]);
            done();
            let mut array = created(array, Arc::clone(&store) as _, "a");
            for value in [1, 2] {
                done();
                array.append(&[value; 4], 0).unwrap();
            }
            assert_eq!(all(&array).unwrap(), [1, 1, 1, 1, 2, 2, 2, 2], "{status}");
            let upload = store.begin("large").wait().unwrap();
            let part = vec![7; (16 << 20) + 1];
            upload.write(0, Content { parts: &[Part::Bytes(&part)], base: None }).wait().unwrap();
            server.set_rules(vec![Rule::once(method, complete, Fault::Done(status))]);
            upload.finish(Precondition::None).wait().unwrap();
            let objects = server.objects();
            assert!(objects.iter().any(|(key, bytes)| key == "bucket/x/large" && *bytes == part));
        }
    }
}

#[test]
fn a_web_server_that_refuses_has_not_said_that_there_is_nothing() {
    let server = Server::start(1).unwrap();
    let array = array(store(&server, "x"), "", false);
    array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    let address = format!("{}/bucket/x", server.endpoint());
    let plain = Arc::new(RemoteStore::open(&address, &RemoteOptions::default()).unwrap());
    let opened = Array::open(Arc::clone(&plain) as _, "").unwrap();
    assert_eq!(all(&opened).unwrap(), values());
    for status in [401, 403, 405, 410] {
        server.set_rules(vec![Rule::always("GET", "/c/0/1", Fault::Status(status))]);
        let error = all(&opened).unwrap_err();
        assert_eq!(error.kind(), Kind::Io, "{status}: {error}");
    }
    // There is no such method, so there are no lists.
    for status in [404, 405, 501] {
        server.set_rules(vec![Rule::always("PROPFIND", "", Fault::Status(status))]);
        let error = plain.list("").wait().unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{status}: {error}");
    }
}

#[test]
fn listings_and_deletions_outlast_what_passes() {
    let server = Server::start(1).unwrap();
    for (open, fault) in SERVICES.into_iter().flat_map(|open| PASSING.map(|fault| (open, fault))) {
        let store = open(&server, "x");
        server.set_rules(Vec::new());
        for key in ["a/1", "a/2", "b"] {
            put_bytes(&*store, key, b"1", Precondition::None).unwrap();
        }
        let once = |method: &str| server.set_rules(vec![Rule::once(method, "", fault)]);
        once("GET");
        assert_eq!(store.list("").wait().unwrap().prefixes, ["a"], "{fault:?}");
        once("DELETE");
        store.delete("b", Precondition::None).wait().unwrap();
        once("POST");
        store.delete_all("a").wait().unwrap();
        assert!(server.objects().is_empty(), "{fault:?}");
        server.set_rules(vec![Rule::always("GET", "", Fault::Status(403))]);
        let error: Error = store.list("").wait().unwrap_err();
        assert_eq!(error.kind(), Kind::Io);
        let missing = Array::open(store as _, "").unwrap_err();
        assert_eq!(missing.kind(), Kind::Io, "no array is not what was said");
    }
}

// Such a list was once asked for five times, and the error said no name.
#[test]
fn a_name_that_no_key_can_be_is_told_at_once() {
    let server = Server::start(1).unwrap();
    for (open, odd) in SERVICES
        .into_iter()
        .flat_map(|open| ["x//odd", "x/./odd", "x/\u{1}odd"].map(|odd| (open, odd)))
    {
        server.clear();
        let store = open(&server, "x");
        put_bytes(&*store, "k", b"1", Precondition::None).unwrap();
        server.put(&format!("bucket/{odd}"), b"2");
        drop(server.take_requests());
        for outcome in [store.list("").wait().map(drop), store.delete_all("").wait()] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported, "{odd:?}: {error}");
            let key = error.context("key").unwrap();
            assert!(format!("{odd:?}").starts_with(key.trim_end_matches('"')), "{odd:?}: {key}");
        }
        assert_eq!(server.take_requests().len(), 2, "{odd:?}");
    }
}

#[test]
fn settings_say_how_often_something_is_tried_again() {
    let server = Server::start(1).unwrap();
    // Whether there is an answer or not; more than the default once counted for nothing.
    for fault in [Fault::Status(500), Fault::Refused] {
        for most in [2_u64, 6] {
            let settings = [("max_retries", most.to_string()), ("first_pause", "0.001".to_owned())];
            let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
            let store = store_with(&server, "x", &settings);
            server.set_rules(vec![Rule::always("GET", "", fault)]);
            let object = store.open("a").wait().unwrap().unwrap();
            let error = object.read(Span::Whole(9), Vec::new()).wait().unwrap_err();
            assert_eq!(error.kind(), Kind::Io);
            assert_eq!(store.traffic().requests, most + 1, "{fault:?}");
        }
    }
}

// The time for all tries was once over when the patience with one large body was.
#[test]
fn what_a_large_body_may_take_is_no_time_that_is_too_late_to_try_again() {
    let server = Server::start(1).unwrap();
    let store = store_with(&server, "x", &[("retry_timeout", "1")]);
    let body = vec![7; 128 << 10];
    server.set_rules(vec![Rule::once("PUT", "", Fault::Stalled(60_000))]);
    put_bytes(&*store, "a", &body, Precondition::None).unwrap();
    assert_eq!(store.traffic().retries, 1);
}

#[test]
fn what_a_service_does_not_have_is_told_as_that() {
    let server = Server::start(1).unwrap();
    let store = store(&server, "x");
    server.set_rules(vec![Rule::always("PUT", "", Fault::Status(501))]);
    let error = put_bytes(&*store, "a", b"1", Precondition::Absent).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.message().contains("conditional_put"), "{error}");
}

#[test]
fn a_store_that_is_read_only_asks_for_no_change() {
    let server = Server::start(1).unwrap();
    put_bytes(&*store(&server, "x"), "a/1", b"1", Precondition::None).unwrap();
    let reader = store_with(&server, "x", &[("read_only", "true")]);
    let refused = [
        put_bytes(&*reader, "a/1", b"2", Precondition::None),
        reader.delete("a/1", Precondition::None).wait(),
        reader.delete_all("a").wait(),
        reader.delete_all("").wait(),
        reader.begin("a/2").wait().map(drop),
    ];
    for outcome in refused {
        assert_eq!(outcome.unwrap_err().kind(), Kind::InvalidArgument);
    }
    assert_eq!(reader.traffic().requests, 0);
    assert_eq!(reader.list("a").wait().unwrap().objects, [("1".to_owned(), 1)]);
}

// The text of an error was once waited for without end.
#[test]
fn the_text_of_an_error_is_not_waited_for_without_end() {
    let server = Server::start(2).unwrap();
    for open in SERVICES.into_iter().chain([azure as Open]) {
        let store = open(&server, "x");
        server.set_rules(Vec::new());
        put_bytes(&*store, "k", b"stored", Precondition::None).unwrap();
        let read =
            || store.open("k").wait().unwrap().unwrap().read(Span::Whole(9), Vec::new()).wait();
        drop(server.take_requests());
        server.set_rules(vec![Rule::once("GET", "", Fault::Endless(403))]);
        let error = read().unwrap_err();
        assert_eq!((error.kind(), error.context("status")), (Kind::Io, Some("403")), "{error}");
        assert_eq!(server.take_requests().len(), 1);
        server.set_rules(vec![Rule::once("GET", "", Fault::Endless(503))]);
        assert_eq!(read().unwrap().unwrap().bytes.as_slice(), b"stored");
        server.set_rules(vec![Rule::once("GET", "", Fault::Endless(404))]);
        assert!(read().unwrap().is_none());
        server.set_rules(vec![Rule::once("PUT", "", Fault::Endless(500))]);
        put_bytes(&*store, "k", b"other", Precondition::None).unwrap();
    }
}

// Seen to fail: what is asked for without a query was taken for an object.
#[test]
fn credentials_are_not_waited_for_without_end() {
    let server = Server::start(1).unwrap();
    let endpoint = server.endpoint();
    let settings = [
        ("environment", "false"),
        ("endpoint", endpoint.as_str()),
        ("metadata_endpoint", endpoint.as_str()),
    ];
    let store = open("s3://bucket/x", &settings).unwrap();
    server.set_rules(vec![Rule::always("GET", "security-credentials", Fault::Endless(200))]);
    let object = store.open("k").wait().unwrap().unwrap();
    let error = object.read(Span::Whole(9), Vec::new()).wait().unwrap_err();
    assert_eq!(error.kind(), Kind::Io, "{error}");
    let requests = server.take_requests();
    assert!(requests.iter().any(|request| request.path.contains("security-credentials")));
    assert!(!requests.iter().any(|request| request.path.ends_with("/k")), "{requests:?}");
}

// Seen to fail for Google's service, whose addresses have no slashes within a key.
#[test]
fn an_object_may_take_its_time_whatever_its_address_looks_like() {
    let plain: Open =
        |server, folder| open(&format!("{}/bucket/{folder}", server.endpoint()), &[]).unwrap();
    let server = Server::start(2).unwrap();
    let bytes = b"fifty bytes that take longer than there is patience";
    for (service, open) in
        [("S3", store as Open), ("GCS", google), ("Azure", azure), ("web", plain)]
    {
        for key in ["a/c/0/0", "a + b%25/%2F/ä/&~"] {
            server.clear();
            server.put(&format!("bucket/x/{key}"), bytes);
            server.set_rules(vec![Rule::always("GET", "", Fault::Slow(8))]);
            let store = open(&server, "x");
            let object = store.open(key).wait().unwrap().unwrap();
            let read = object.read(Span::Whole(99), Vec::new()).wait();
            let read = read.unwrap_or_else(|error| panic!("{service} {key}: {error}")).unwrap();
            assert_eq!(read.bytes.as_slice(), bytes, "{service} {key}");
            assert_eq!(store.traffic().requests, 1, "{service} {key}");
        }
    }
}

// Seen to fail: it was told as final.
#[test]
fn a_body_that_came_too_slowly_is_sent_again() {
    let server = Server::start(1).unwrap();
    let store = store(&server, "x");
    server.set_rules(vec![Rule::once("PUT", "", Fault::Told(400, "RequestTimeout"))]);
    put_bytes(&*store, "a", b"1", Precondition::None).unwrap();
    assert_eq!(store.traffic().retries, 1);
    server.set_rules(vec![Rule::always("PUT", "", Fault::Told(400, "BadDigest"))]);
    let error = put_bytes(&*store, "a", b"1", Precondition::None).unwrap_err();
    assert_eq!((error.kind(), error.context("status")), (Kind::Io, Some("400")), "{error}");
    assert_eq!(store.traffic().retries, 1);
}

// Seen to fail: what was sent stayed there.
#[test]
fn an_upload_is_called_off_though_that_fails_at_first() {
    for (open, fault) in SERVICES.into_iter().flat_map(|open| PASSING.map(|fault| (open, fault))) {
        let server = Server::start(2).unwrap();
        let store = open(&server, "x");
        let upload = store.begin("large").wait().unwrap();
        let part = vec![7; (16 << 20) + 1];
        upload.write(0, Content { parts: &[Part::Bytes(&part)], base: None }).wait().unwrap();
        assert_eq!(server.open_uploads(), 1);
        server.set_rules(vec![Rule::once("DELETE", "uploadId", fault)]);
        drop(upload);
        let begun = std::time::Instant::now();
        while server.open_uploads() > 0 {
            assert!(begun.elapsed().as_secs() < 10, "{fault:?}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
