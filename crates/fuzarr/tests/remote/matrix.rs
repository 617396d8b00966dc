//! Every kind of fault, once, at every kind of request: whether it is outlasted, and with how many
//! requests. The table is also in `docs/remote.md`.

use std::fmt::Write as _;
use std::sync::Arc;

use fuzarr::plan::WriteOptions;
use fuzarr::store::{
    Content, Object, Part, Precondition, RemoteStore, Span, Store, Upload, find, put_bytes,
};
use fuzarr::{Array, Error, Kind};
use fuzarr_test_server::{Fault, Rule, Server};

use super::requests::in_parts;
use super::{array, selection, store};

const FAULTS: [(&str, Fault); 11] = [
    ("401", Fault::Status(401)),
    ("403", Fault::Status(403)),
    ("408", Fault::Status(408)),
    ("429", Fault::Status(429)),
    ("500", Fault::Status(500)),
    ("503", Fault::Status(503)),
    ("stalled", Fault::Stalled(1000)),
    ("truncated", Fault::Truncated(3)),
    ("reset", Fault::Refused),
    ("lost", Fault::Lost),
    ("error with 200", Fault::ErrorDocument),
];

const BYTES: &[u8] = b"0123456789";

/// Bytes of a part of an upload.
const PART: usize = 16 << 20;

/// What an operation is done to: made before the fault is ordered.
struct Ready {
    store: Arc<RemoteStore>,
    object: Box<dyn Object>,
    /// An array whose one shard has an inner chunk and a known index.
    array: Array,
    upload: Box<dyn Upload>,
    part: Vec<u8>,
}

type Outcome = Result<(), Error>;

/// A kind of request: its name, its method, and what sends it and checks what comes of it.
type Operation = (&'static str, &'static str, fn(Ready, &Server) -> Outcome);

const OPERATIONS: [Operation; 18] = [
    ("read whole", "GET", |ready, _| read(&*ready.object, Span::Whole(10), BYTES)),
    ("read range", "GET", |ready, _| read(&*ready.object, Span::Range(2..7), &BYTES[2..7])),
    ("read suffix", "GET", |ready, _| read(&*ready.object, Span::Suffix(6), &BYTES[4..])),
    ("open array", "GET", |ready, _| {
        let array = Array::open(ready.store, "a")?;
        assert_eq!(array.shape(), [64, 64]);
        Ok(())
    }),
    ("list", "GET", |ready, _| {
        let listed = ready.store.list("").wait()?;
        let names = listed.objects.iter().map(|(name, _)| name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["empty", "k", "zarr.json"]);
        assert_eq!(listed.prefixes, ["a"]);
        Ok(())
    }),
    ("find", "HEAD", |ready, _| {
        let found = find(&*ready.store, "k").wait()?.unwrap();
        assert_eq!((found.size(), found.version()), (Some(10), ready.object.version()));
        Ok(())
    }),
    ("find what is not there", "HEAD", |ready, _| {
        assert!(find(&*ready.store, "new").wait()?.is_none());
        Ok(())
    }),
    ("find a known version", "HEAD", |ready, _| {
        let version = ready.object.version().unwrap();
        let object = ready.store.open_at("k", &version).wait()?.unwrap();
        assert!(object.is_unchanged().wait()?);
        Ok(())
    }),
    ("read what an index knows to be missing", "HEAD", |ready, _| {
        let read = ready.array.read_bytes(&selection("8:16, 8:16"), &in_parts())?;
        assert_eq!(read.bytes, [255; 64]);
        Ok(())
    }),
    // The service has no such range, so the size is asked for.
    ("read the end of nothing", "HEAD", |ready, _| {
        let empty = ready.store.open("empty").wait()?.unwrap();
        read(&*empty, Span::Suffix(6), b"")
    }),
    ("put", "PUT", |ready, server| {
        put_bytes(&*ready.store, "new", BYTES, Precondition::None)?;
        is_stored(server, "bucket/x/new", BYTES);
        Ok(())
    }),
    ("put on condition", "PUT", |ready, server| {
        put_bytes(&*ready.store, "new", BYTES, Precondition::Absent)?;
        is_stored(server, "bucket/x/new", BYTES);
        Ok(())
    }),
    ("put whose answer got lost: look", "HEAD", |ready, server| {
        put_bytes(&*ready.store, "new", BYTES, Precondition::Absent)?;
        is_stored(server, "bucket/x/new", BYTES);
        Ok(())
    }),
    ("delete", "POST", |ready, server| {
        ready.store.delete("k", Precondition::None).wait()?;
        assert!(!server.objects().iter().any(|(key, _)| key == "bucket/x/k"));
        Ok(())
    }),
    ("upload: begin", "POST", |ready, _| send(&*ready.upload, &ready.part)),
    ("upload: part", "PUT", |ready, _| send(&*ready.upload, &ready.part)),
    ("upload: complete", "POST", |ready, server| {
        ready.upload.finish(Precondition::None).wait()?;
        is_stored(server, "bucket/x/large", &ready.part);
        Ok(())
    }),
    ("upload whose answer got lost: look", "HEAD", |ready, server| {
        ready.upload.finish(Precondition::None).wait()?;
        is_stored(server, "bucket/x/large", &ready.part);
        Ok(())
    }),
];

/// What befalls an operation beside the fault: of some, an answer gets lost before.
fn before(name: &str) -> Vec<Rule> {
    match name {
        "put whose answer got lost: look" => vec![Rule::once("PUT", "bucket", Fault::Lost)],
        "upload whose answer got lost: look" => vec![Rule::once("POST", "bucket", Fault::Lost)],
        _ => Vec::new(),
    }
}

fn read(object: &dyn Object, span: Span, expected: &[u8]) -> Outcome {
    let piece = object.read(span, Vec::new()).wait()?.unwrap();
    assert_eq!(piece.bytes.as_slice(), expected);
    Ok(())
}

fn send(upload: &dyn Upload, part: &[u8]) -> Outcome {
    let parts = [Part::Bytes(part)];
    upload.write(0, Content { parts: &parts, base: None }).wait()
}

fn is_stored(server: &Server, key: &str, expected: &[u8]) {
    let objects = server.objects();
    let found = objects.iter().find(|(found, _)| found == key).unwrap();
    assert!(found.1 == expected, "{key}");
}

fn ready(server: &Server, name: &str) -> Ready {
    server.set_rules(Vec::new());
    server.clear();
    let store = store(server, "x");
    let array = array(Arc::clone(&store) as _, "a", true);
    let stored = selection("0:8, 0:8");
    array.write_bytes(&stored, &[1; 64], &WriteOptions::default()).unwrap();
    drop(array.read_bytes(&stored, &in_parts()).unwrap());
    put_bytes(&*store, "k", BYTES, Precondition::None).unwrap();
    put_bytes(&*store, "empty", b"", Precondition::None).unwrap();
    let object = find(&*store, "k").wait().unwrap().unwrap();
    let upload = store.begin("large").wait().unwrap();
    let part = if name.starts_with("upload") { vec![7; PART] } else { Vec::new() };
    if matches!(name, "upload: complete" | "upload whose answer got lost: look") {
        send(&*upload, &part).unwrap();
    }
    Ready { store, object, array, upload, part }
}

/// What becomes of each fault at each operation: the number of requests, with `!` if there was an error.
fn table() -> String {
    let server = Server::start(2).unwrap();
    let mut table = String::from("|  |");
    for (fault, _) in FAULTS {
        write!(table, " {fault} |").unwrap();
    }
    table.push_str(&format!("\n|{}\n", "---|".repeat(FAULTS.len() + 1)));
    for (name, method, act) in OPERATIONS {
        write!(table, "| {name} |").unwrap();
        for (told, fault) in FAULTS {
            let ready = ready(&server, name);
            let stored = server.objects();
            let mut rules = before(name);
            let is_done = !rules.is_empty();
            rules.push(Rule::once(method, "bucket", fault));
            server.set_rules(rules);
            drop(server.take_requests());
            let outcome = act(ready, &server);
            // An upload that is dropped is called off some time later.
            let sent = server.take_requests();
            let requests = sent.iter().filter(|request| request.method != "DELETE").count();
            if let Err(error) = &outcome {
                let kinds = [Kind::Io, Kind::Corrupt, Kind::InvalidMetadata, Kind::Conflict];
                assert!(kinds.contains(&error.kind()), "{name}, {told}: {error}");
                // Nothing that was stored is harmed, and what is not done leaves nothing.
                let after = server.objects();
                let kept = stored.iter().filter(|object| after.contains(object)).count();
                let expected = stored.len() + usize::from(is_done);
                assert_eq!(
                    (kept, after.len()),
                    (stored.len(), expected),
                    "{name}, {told}: {error}"
                );
            }
            write!(table, " {requests}{} |", if outcome.is_err() { "!" } else { "" }).unwrap();
        }
        table.push('\n');
    }
    table
}

#[test]
fn every_fault_at_every_request_is_outlasted_or_told() {
    let documented = include_str!("../../../../docs/remote.md");
    let table = table();
    assert!(documented.contains(&table), "docs/remote.md should say:\n{table}");
}
