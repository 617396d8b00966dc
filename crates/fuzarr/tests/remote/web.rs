//! Plain servers of the web, and those of WebDAV.

use fuzarr::store::{Span, Store as _, find};
use fuzarr_test_server::{Fault, Rule, Server};

use super::open;

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
