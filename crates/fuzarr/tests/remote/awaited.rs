//! Requests that are awaited, on whatever store.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use fuzarr::codec::Elements;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{LocalStore, MemoryStore, RemoteOptions, RemoteStore, Store};
use fuzarr::{Cancel, Kind};
use fuzarr_test_server::{Fault, Rule, Server};

use super::{array, selection, store, values};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn what_is_awaited_is_what_is_waited_for() {
    let server = Server::start(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn Store>; 3] = [
        store(&server, "x"),
        Arc::new(MemoryStore::new()),
        Arc::new(LocalStore::open(folder.path()).unwrap()),
    ];
    for store in stores {
        let array = array(store, "a", true);
        let elements = Elements { slots: values(), heap: Vec::new() };
        let options = WriteOptions::default();
        block_on(array.write_elements_async(&selection("..."), elements, &options)).unwrap();
        for part in ["...", "3:40, 60", "5, ::7"] {
            let (part, options) = (selection(part), ReadOptions::default());
            let awaited = block_on(array.read_bytes_async(&part, &options)).unwrap();
            assert_eq!(awaited, array.read_bytes(&part, &options).unwrap());
        }
        let error = block_on(array.read_bytes_async(&selection("64"), &ReadOptions::default()));
        assert_eq!(error.unwrap_err().kind(), fuzarr::Kind::InvalidArgument);
    }
}

#[test]
fn opening_ends_when_it_is_cancelled() {
    let server = Server::start(1).unwrap();
    let store = store(&server, "x");
    drop(array(Arc::clone(&store) as _, "a", true));
    server.set_rules(vec![Rule::always("GET", "", Fault::Status(503))]);
    let cancel = Cancel::new();
    let open = || fuzarr::Array::open(Arc::clone(&store) as _, "a");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            cancel.cancel();
        });
        let mut outcome = cancel.over(open);
        while !cancel.is_cancelled() {
            assert_eq!(outcome.unwrap_err().kind(), Kind::Io);
            outcome = cancel.over(open);
        }
    });
    assert_eq!(cancel.over(open).unwrap_err().kind(), Kind::Cancelled);
    // Only what is done over it.
    server.set_rules(Vec::new());
    assert!(open().is_ok());
}

// Seen to fail: who waits for many answers was told when one of them came, or none for too long.
#[test]
fn looking_at_many_nodes_ends_when_it_is_cancelled() {
    let server = Server::start(2).unwrap();
    let store = store_with_patience(&server);
    for name in ["a", "b", "c"] {
        drop(array(Arc::clone(&store) as _, name, true));
    }
    let objects = array(Arc::clone(&store) as _, "d", true);
    objects.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    assert!(objects.stored_objects().unwrap().len() > 1);
    let ends = |method: &str, path: &str, work: &dyn Fn() -> fuzarr::Result<()>| {
        server.set_rules(vec![Rule::always(method, path, Fault::Stalled(60_000))]);
        let (cancel, begun) = (Cancel::new(), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(100));
                cancel.cancel();
            });
            assert_eq!(cancel.over(work).unwrap_err().kind(), Kind::Cancelled);
        });
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    };
    ends("GET", ".json", &|| fuzarr::hierarchy::children(&*store, "").map(drop));
    ends("POST", "", &|| objects.clone().resize(&[0, 0]));
}

/// A store that waits for answers as long as it does where nothing is said.
fn store_with_patience(server: &Server) -> Arc<RemoteStore> {
    let endpoint = server.endpoint();
    let settings = [
        ("endpoint", endpoint.as_str()),
        ("access_key_id", "somebody"),
        ("secret_access_key", "secret"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = RemoteOptions { settings, ..RemoteOptions::default() };
    Arc::new(RemoteStore::open("s3://bucket/x", &options).unwrap())
}

#[test]
fn many_wait_at_the_same_time_and_who_is_dropped_asks_no_more() {
    let server = Server::start(2).unwrap();
    let array = array(store(&server, "x"), "", false);
    array.write_bytes(&selection("..."), &values(), &WriteOptions::default()).unwrap();
    server.set_latency(Duration::from_millis(50));
    let (all, options) = (selection("..."), ReadOptions::default());
    let begun = Instant::now();
    let reads = (0..20).map(|_| array.read_bytes_async(&all, &options));
    for read in block_on(futures_util::future::join_all(reads)) {
        assert_eq!(read.unwrap().bytes, values());
    }
    assert!(begun.elapsed() < Duration::from_millis(50 * 16 * 20 / 4));

    drop(server.take_requests());
    let limits = fuzarr::Limits { operations: 1, ..fuzarr::Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    let mut read = Box::pin(array.read_bytes_async(&all, &options));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(read.as_mut().poll(&mut context), Poll::Pending));
    std::thread::sleep(Duration::from_millis(10));
    drop(read);
    std::thread::sleep(Duration::from_millis(150));
    assert!(server.take_requests().len() <= 1);
}
