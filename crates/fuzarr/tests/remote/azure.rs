//! Azure's service: what differs from the others'.

use fuzarr::Kind;
use fuzarr::store::{Content, Part, Precondition, RemoteStore, Span, Store as _, put_bytes};
use fuzarr_test_server::{Fault, Rule, Server};

use super::{azure, azure_as};

/// Bytes of an object in two parts.
const LARGE: usize = (16 << 20) + 1;

/// Writes an object in parts that are all `value`.
fn upload(store: &RemoteStore, value: u8) -> fuzarr::Result<()> {
    let upload = store.begin("large").wait()?;
    let bytes = vec![value; LARGE];
    upload.write(0, Content { parts: &[Part::Bytes(&bytes)], base: None }).wait()?;
    upload.finish(Precondition::None).wait().map(drop)
}

/// What all bytes of the object are.
fn stored(server: &Server) -> u8 {
    let objects = server.objects();
    let (key, bytes) = &objects[0];
    assert_eq!((key.as_str(), bytes.len()), ("bucket/x/large", LARGE));
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    bytes[0]
}

const COMPLETE: &str = "comp=blocklist";

// Seen to fail: the old object has the same length, and was taken for the new one.
#[test]
fn an_upload_that_is_not_completed_is_no_success_because_of_what_was_there() {
    let server = Server::start(2).unwrap();
    let store = azure(&server, "x");
    upload(&store, 1).unwrap();
    assert_eq!(stored(&server), 1);
    let once = |fault| Rule::once("PUT", COMPLETE, fault);
    let always = |fault| Rule::always("PUT", COMPLETE, fault);
    for rules in [
        vec![always(Fault::Status(500))],
        vec![always(Fault::Status(503))],
        vec![always(Fault::Refused)],
        vec![once(Fault::Status(500)), always(Fault::Status(401))],
        vec![once(Fault::Status(500)), always(Fault::Status(403))],
        // The parts are gone, for another reason than that they were put together.
        vec![once(Fault::Status(500)), always(Fault::Status(404))],
    ] {
        let told = format!("{rules:?}");
        server.set_rules(rules);
        let error = upload(&store, 2).unwrap_err();
        assert!(matches!(error.kind(), Kind::Io | Kind::NotFound), "{told}: {error}");
        assert_eq!(error.context("key"), Some("large"), "{told}: {error}");
        assert_eq!(stored(&server), 1, "{told}");
    }
    // It was done, says the service's answer to the second try, which finds no parts.
    for (value, fault) in [(3, Fault::Lost), (4, Fault::Done(500)), (5, Fault::Done(504))] {
        server.set_rules(vec![once(fault)]);
        upload(&store, value).unwrap();
        assert_eq!(stored(&server), value, "{fault:?}");
    }
    // Done, but never said so: nobody knows.
    server.set_rules(vec![always(Fault::Done(403))]);
    assert_eq!(upload(&store, 6).unwrap_err().kind(), Kind::Io);
}

// Seen to fail: with a signature in the query, an object was to come as quickly as a list.
#[test]
fn an_object_may_take_its_time_whoever_asks_for_it() {
    let server = Server::start(2).unwrap();
    let bytes = b"fifty bytes that take longer than there is patience";
    for who in [("account_key", "c2VjcmV0"), ("sas_token", "sv=2021&sig=abc")] {
        let store = azure_as(&server, "a + b%25/ä", who);
        server.set_rules(Vec::new());
        put_bytes(&*store, "c/k &~", bytes, Precondition::None).unwrap();
        server.set_rules(vec![Rule::once("GET", "", Fault::Slow(10))]);
        let object = store.open("c/k &~").wait().unwrap().unwrap();
        let read = object.read(Span::Whole(99), Vec::new()).wait().unwrap().unwrap();
        assert_eq!(read.bytes.as_slice(), bytes, "{}", who.0);
        assert_eq!(store.traffic().requests, 2, "{}", who.0);
    }
}
