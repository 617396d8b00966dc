//! Plain servers of the web, and those of WebDAV.

use std::sync::Arc;
use std::time::Duration;

use fuzarr::Array;
use fuzarr::dtype::DataType;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{Span, Store as _, find};
use fuzarr_test_server::{Fault, Rule, Server};

use super::{created, open, selection, values};

// Seen to fail: all of it was fetched to learn its size.
#[test]
fn a_server_without_ranges_is_not_asked_for_all_to_learn_a_size() {
    let server = Server::start(1).unwrap();
    server.put("bucket/x/k", &[7; 5000]);
    server.set_rules(vec![Rule::always("GET", "", Fault::Rangeless)]);
    let web = open(&format!("{}/bucket/x", server.endpoint()), &[]).unwrap();
    let object = web.open("k").wait().unwrap().unwrap();
    object.read(Span::Prefix(5), Vec::new()).wait().unwrap_err();
    let read = object.read(Span::Prefix(5), Vec::new()).wait().unwrap().unwrap();
    assert_eq!(read.bytes.as_slice(), [7; 5]);
    drop(server.take_requests());
    let found = find(&*web, "k").wait().unwrap().unwrap();
    assert_eq!(found.size(), Some(5000));
    assert!(find(&*web, "l").wait().unwrap().is_none());
    let asked = server.take_requests();
    assert!(asked.iter().all(|asked| asked.method == "HEAD"), "{asked:?}");
    // What is there already is not asked for.
    object.read(Span::Prefix(0), Vec::new()).wait().unwrap();
    assert!(server.take_requests().is_empty());
    // Nor need there be such a question.
    server.set_rules(vec![
        Rule::always("HEAD", "", Fault::Status(405)),
        Rule::always("GET", "", Fault::Rangeless),
    ]);
    let found = find(&*web, "k").wait().unwrap().unwrap();
    assert_eq!(found.size(), Some(5000));
}

// Seen to fail: of those who make a folder at the same time, all but one were told that it is there.
#[test]
fn folders_that_several_make_at_the_same_time_are_there() {
    let server = Server::start(2).unwrap();
    server.set_rules(vec![
        Rule::always("PUT", "", Fault::Foldered),
        Rule::always("MKCOL", "", Fault::Foldered),
    ]);
    server.set_latency(Duration::from_millis(5));
    for round in 0..3 {
        let web = open(&format!("{}/bucket/{round}", server.endpoint()), &[]).unwrap();
        let array = Array::builder([64, 64], DataType::UInt8).chunks([16, 16]).codecs("none");
        let array = created(array, Arc::clone(&web) as _, "a/b");
        array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
        let read = array.read_bytes(&selection("..."), &ReadOptions::default()).unwrap();
        assert_eq!(read.bytes, values());
    }
    // What is no folder that is there already is told at once.
    server.set_rules(vec![Rule::always("PUT", "", Fault::Status(405))]);
    let web = open(&format!("{}/bucket/x", server.endpoint()), &[]).unwrap();
    drop(server.take_requests());
    fuzarr::store::put_bytes(&*web, "k", b"1", fuzarr::store::Precondition::None).unwrap_err();
    assert_eq!(server.take_requests().len(), 1);
}
