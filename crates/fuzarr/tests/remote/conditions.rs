//! Answers that look like those to a condition that does not hold.

use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{Precondition, Span, find, put_bytes};
use fuzarr::{Error, Kind};
use fuzarr_test_server::{Fault, Rule, Server};

use super::{Open, SERVICES, array, azure, selection, store, values};

// Seen to fail: each of them was read or written a hundred times more.
#[test]
fn what_is_refused_without_a_condition_is_no_conflict() {
    let server = Server::start(2).unwrap();
    let told = |error: Error, status: u16, what: &str| {
        assert_eq!(error.kind(), Kind::Io, "{what}: {error}");
        assert_eq!(error.context("status"), Some(status.to_string().as_str()), "{what}: {error}");
        let asked = server.take_requests();
        assert_eq!(asked.iter().filter(|asked| asked.status == status).count(), 1, "{what}");
    };
    for open in SERVICES.into_iter().chain([azure as Open]) {
        server.set_rules(Vec::new());
        server.clear();
        let array = array(open(&server, "x"), "", false);
        let options = WriteOptions::default();
        array.write_bytes(&selection("..."), &values(), &options).unwrap();
        for status in [409, 412] {
            drop(server.take_requests());
            server.set_rules(vec![Rule::always("PUT", "/c/0/1", Fault::Status(status))]);
            let written = array.write_bytes(&selection("..."), &values(), &options);
            told(written.unwrap_err(), status, "whole");
            server.set_rules(vec![Rule::always("GET", "/c/0/1", Fault::Status(status))]);
            let read = array.read_bytes(&selection("..."), &ReadOptions::default());
            told(read.unwrap_err(), status, "read");
        }
    }
}

#[test]
fn what_a_service_wants_tried_again_is_tried_again() {
    let server = Server::start(2).unwrap();
    let store = SERVICES[0](&server, "x");
    server.set_rules(vec![Rule::once("PUT", "", Fault::Told(409, "OperationAborted"))]);
    put_bytes(&*store, "k", b"1", Precondition::None).unwrap();
    assert_eq!(server.take_requests().len(), 2);
}

#[test]
fn a_lease_is_no_other_version() {
    let server = Server::start(1).unwrap();
    let store = azure(&server, "x");
    put_bytes(&*store, "k", b"1", Precondition::Absent).unwrap();
    let object = find(&*store, "k").wait().unwrap().unwrap();
    let version = object.version().unwrap();
    for (status, code) in [
        (412, "LeaseIdMissing"),
        (409, "BlobImmutableDueToPolicy"),
        (409, "BlobArchived"),
        (409, "BlobBeingRehydrated"),
    ] {
        server.set_rules(vec![Rule::always("PUT", "", Fault::Told(status, code))]);
        let error = put_bytes(&*store, "k", b"2", Precondition::Unchanged(version.clone()));
        assert_eq!(error.unwrap_err().kind(), Kind::Io, "{code}");
    }
    // A read on condition is refused by 412 alone.
    server.set_rules(vec![Rule::always("GET", "", Fault::Told(409, "BlobArchived"))]);
    let error = object.read(Span::Whole(9), Vec::new()).wait().unwrap_err();
    assert_eq!(error.kind(), Kind::Io, "{error}");
    server.set_rules(vec![Rule::always("PUT", "", Fault::Told(412, "ConditionNotMet"))]);
    let error = put_bytes(&*store, "k", b"2", Precondition::Unchanged(version)).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
}

#[test]
fn who_loses_again_and_again_pauses_and_gives_up() {
    let server = Server::start(1).unwrap();
    let array = array(store(&server, "x"), "", false);
    let options = WriteOptions::default();
    array.write_bytes(&selection("..."), &values(), &options).unwrap();
    drop(server.take_requests());
    server.set_rules(vec![Rule::always("PUT", "/c/0/0", Fault::Status(412))]);
    let begun = std::time::Instant::now();
    let error = array.write_bytes(&selection("1, 1"), &[9], &options).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert!(begun.elapsed().as_millis() > 1000, "{:?}", begun.elapsed());
    let put = server.take_requests().iter().filter(|asked| asked.method == "PUT").count();
    assert_eq!(put, 101);
    // Whoever ends the request need not wait for that.
    let cancel = fuzarr::Cancel::new();
    let mut options = options;
    options.limits.cancel = Some(cancel.clone());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| array.write_bytes(&selection("1, 1"), &[9], &options));
        std::thread::sleep(std::time::Duration::from_millis(100));
        cancel.cancel();
        assert_eq!(writer.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
    });
}
