//! Remote stores, judged by a server that does what it is told: how many requests are made, what
//! becomes of faults, and that nothing is lost.

#![allow(
    clippy::cast_possible_truncation,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers in native order"
)]

mod awaited;
mod azure;
mod conditions;
mod copies;
mod faults;
mod google;
mod kept;
mod matrix;
mod races;
mod requests;
mod web;

use std::sync::Arc;
use std::time::Duration;

use fuzarr::dtype::DataType;
use fuzarr::metadata::Node;
use fuzarr::store::{RemoteOptions, RemoteStore, Retries, Store};
use fuzarr::{Array, ArrayBuilder, Result, Selection, hierarchy};
use fuzarr_test_server::Server;

/// What opens a store in a server's bucket, as one of a service.
type Open = fn(&Server, &str) -> Arc<RemoteStore>;

/// The services that the server speaks for.
const SERVICES: [Open; 2] = [store, google];

/// A store in a server's bucket, reached with little patience and quick retries.
fn store(server: &Server, folder: &str) -> Arc<RemoteStore> {
    store_with(server, folder, &[])
}

/// As [`store`], with more settings.
fn store_with(server: &Server, folder: &str, more: &[(&str, &str)]) -> Arc<RemoteStore> {
    let endpoint = server.endpoint();
    let settings = [
        ("endpoint", endpoint.as_str()),
        ("access_key_id", "somebody"),
        ("secret_access_key", "secret"),
    ];
    open(&format!("s3://bucket/{folder}"), &[&settings, more].concat()).unwrap()
}

/// As [`store`], of Google's service.
fn google(server: &Server, folder: &str) -> Arc<RemoteStore> {
    let endpoint = server.endpoint();
    let settings = [("endpoint", endpoint.as_str()), ("bearer_token", "somebody")];
    open(&format!("gs://bucket/{folder}"), &settings).unwrap()
}

/// As [`store`], of Azure's service.
fn azure(server: &Server, folder: &str) -> Arc<RemoteStore> {
    azure_as(server, folder, ("account_key", "c2VjcmV0"))
}

/// As [`azure`], with this to say who asks.
fn azure_as(server: &Server, folder: &str, who: (&str, &str)) -> Arc<RemoteStore> {
    let endpoint = server.endpoint();
    let settings = [("endpoint", endpoint.as_str()), ("account_name", "somebody"), who];
    open(&format!("az://bucket/{folder}"), &settings).unwrap()
}

fn open(url: &str, settings: &[(&str, &str)]) -> Result<Arc<RemoteStore>> {
    let own = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    let options = RemoteOptions {
        settings: own.collect(),
        retries: Retries {
            pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(5),
            ..Retries::default()
        },
        patience: Duration::from_millis(300),
    };
    RemoteStore::open(url, &options).map(Arc::new)
}

/// An array of 64 × 64 bytes in `shards` of 32 × 32 and chunks of 8 × 8, or chunks of 16 × 16.
fn array(store: Arc<dyn Store>, path: &str, sharded: bool) -> Array {
    let builder = Array::builder([64, 64], DataType::UInt8).fill(255_u8);
    let builder = match sharded {
        true => builder.shards([32, 32]).chunks([8, 8]).codecs("zstd:3"),
        false => builder.chunks([16, 16]).codecs("none"),
    };
    created(builder, store, path)
}

/// A new array. What lies at its place is not listed: in Azure's words, and over plain HTTP, the test server
/// has no lists.
fn created(builder: ArrayBuilder, store: Arc<dyn Store>, path: &str) -> Array {
    let node = Node::Array(Box::new(builder.metadata().unwrap()));
    hierarchy::create_node(&*store, path, &node).unwrap();
    Array::open(store, path).unwrap()
}

/// The values that tests write: each tells its place.
fn values() -> Vec<u8> {
    (0..64 * 64).map(|place: u32| (place % 251) as u8).collect()
}

fn selection(text: &str) -> Selection {
    Selection::parse(text).unwrap()
}
