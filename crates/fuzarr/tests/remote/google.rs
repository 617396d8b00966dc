//! Google's service: what differs from the others'.

use std::sync::Arc;

use fuzarr::Kind;
use fuzarr::plan::{FastPath, ReadOptions, WriteOptions};
use fuzarr::store::{Precondition, Store as _, find, put_bytes};
use fuzarr::{Limits, Tuning};
use fuzarr_test_server::{Fault, Rule, Server};

use super::{array, google, open, selection, values};

#[test]
fn arrays_are_written_read_and_deleted() {
    let server = Server::start(2).unwrap();
    let store = google(&server, "x");
    // In parts, and at once.
    let tuning = Tuning { streamed: 0, group: 256, ..Tuning::default() };
    let streaming = Limits { tuning, ..Limits::default() };
    for (path, limits) in [("a", Limits::default()), ("b", streaming)] {
        let written = array(Arc::clone(&store) as _, path, true);
        let options = WriteOptions { limits, ..WriteOptions::default() };
        written.write_bytes(&selection("..."), &values(), &options).unwrap();
        assert_eq!(written.counters().get(FastPath::Streaming) > 0, path == "b");
        let opened = fuzarr::Array::open(google(&server, "x"), path).unwrap();
        let read = |text: &str| {
            opened.read_bytes(&selection(text), &ReadOptions::default()).unwrap().bytes
        };
        assert_eq!(read("..."), values());
        assert_eq!(read("3, 5:9"), values()[3 * 64 + 5..3 * 64 + 9]);
    }
    assert_eq!(store.list("").wait().unwrap().prefixes, ["a", "b"]);
    assert_eq!(store.list("a/c").wait().unwrap().prefixes, ["0", "1"]);
    // The service says of what is deleted that it is not there, if so.
    let key = "a/c/0/0";
    for _ in 0..2 {
        store.delete(key, Precondition::None).wait().unwrap();
        assert!(find(&*store, key).wait().unwrap().is_none());
    }
    // Also if it was there when it was asked first.
    server.set_rules(vec![Rule::once("DELETE", "", Fault::Lost)]);
    store.delete("a/c/0/1", Precondition::None).wait().unwrap();
    store.delete_all("").wait().unwrap();
    assert!(server.objects().is_empty());
    assert_eq!(server.open_uploads(), 0);
}

#[test]
fn versions_are_the_services_generations() {
    let server = Server::start(1).unwrap();
    let store = google(&server, "x");
    put_bytes(&*store, "k", b"1", Precondition::Absent).unwrap();
    let object = find(&*store, "k").wait().unwrap().unwrap();
    let version = object.version().unwrap();
    // Beside the ETag, the number that writes are made on condition of.
    let told = version.tag().unwrap().split_once('\n').map(|(_, number)| number.to_owned());
    assert!(told.is_some_and(|number| number.parse::<u64>().is_ok()), "{version:?}");
    put_bytes(&*store, "k", b"2", Precondition::Unchanged(version.clone())).unwrap();
    for stale in [Precondition::Unchanged(version), Precondition::Absent] {
        let conflict = put_bytes(&*store, "k", b"3", stale).unwrap_err();
        assert_eq!(conflict.kind(), Kind::Conflict, "{conflict}");
    }
    assert_eq!(&server.objects()[0].1[..], b"2");
    // What was pinned is gone.
    let read = object.read(fuzarr::store::Span::Whole(9), Vec::new()).wait();
    assert_eq!(read.unwrap_err().kind(), Kind::Conflict);
}

// Seen to fail: the client knows one of the two names only, and calls the endpoint otherwise.
#[test]
fn both_names_of_the_service_lead_to_it_and_its_endpoint_is_named_as_all_are() {
    let server = Server::start(1).unwrap();
    for scheme in ["gs", "gcs"] {
        for name in ["endpoint", "endpoint_url", "base_url", "google_base_url"] {
            let endpoint = server.endpoint();
            let settings = [(name, endpoint.as_str()), ("bearer_token", "somebody")];
            let url = format!("{scheme}://bucket/x");
            let store = open(&url, &settings).unwrap();
            put_bytes(&*store, "k", b"1", Precondition::None).unwrap();
        }
    }
    assert_eq!(server.take_requests().len(), 8);
    // What is public is read without a name.
    let endpoint = server.endpoint();
    let settings = [("endpoint", endpoint.as_str()), ("anonymous", "true")];
    let public = open("gs://bucket/x", &settings).unwrap();
    assert_eq!(find(&*public, "k").wait().unwrap().unwrap().size(), Some(1));
}
