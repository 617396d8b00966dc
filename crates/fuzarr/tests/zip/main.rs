//! Zip archives as stores: what others wrote, what is hostile, and that nothing is lost.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers in native order"
)]

mod hostile;
mod reading;
mod remote;
mod together;
mod versions;
mod writing;

use std::sync::Arc;

use fuzarr::dtype::DataType;
use fuzarr::store::{
    Content, MemoryStore, Part, Precondition, Span, Store, ZipOptions, ZipStore, find,
};
use fuzarr::{Array, Kind, Selection};

/// Made by Python's zipfile, see `generate.py`.
const MIXED: &[u8] = include_bytes!("../fixtures/zip/mixed.zip");

/// The key of the archive.
const KEY: &str = "folder/x.zip";

fn put(store: &dyn Store, key: &str, bytes: &[u8]) {
    let content = Content { parts: &[Part::Bytes(bytes)], base: None };
    store.put(key, content, Precondition::None).wait().unwrap();
}

fn get(store: &dyn Store, key: &str) -> fuzarr::Result<Option<Vec<u8>>> {
    let Some(object) = find(store, key).wait()? else { return Ok(None) };
    let piece = object.read(Span::Whole(u64::MAX), Vec::new()).wait()?;
    Ok(piece.map(|piece| piece.bytes.as_slice().to_vec()))
}

/// An archive of these bytes in memory.
fn archive(bytes: &[u8]) -> ZipStore {
    let store = MemoryStore::new();
    put(&store, KEY, bytes);
    open(Arc::new(store))
}

fn open(store: Arc<dyn Store>) -> ZipStore {
    ZipStore::new(store, KEY, ZipOptions::default())
}

/// All keys below a prefix.
fn keys(store: &dyn Store, prefix: &str) -> fuzarr::Result<Vec<String>> {
    let listing = store.list(prefix).wait()?;
    let join = |name: &str| fuzarr::store::join(prefix, name);
    let mut keys: Vec<String> = listing.objects.iter().map(|(name, _)| join(name)).collect();
    for name in &listing.prefixes {
        keys.extend(self::keys(store, &join(name))?);
    }
    keys.sort();
    Ok(keys)
}

fn kind<T: std::fmt::Debug>(outcome: fuzarr::Result<T>) -> Kind {
    outcome.unwrap_err().kind()
}

/// An array of 64 × 64 bytes in one shard, of chunks of 8 × 8 that are not compressed.
fn array(store: Arc<dyn Store>) -> Array {
    let builder = Array::builder([64, 64], DataType::UInt8).fill(255_u8);
    builder.shards([64, 64]).chunks([8, 8]).codecs("none").create(store, "a").unwrap()
}

fn values() -> Vec<u8> {
    (0..64 * 64).map(|place: u32| (place % 251) as u8).collect()
}

fn selection(text: &str) -> Selection {
    Selection::parse(text).unwrap()
}
