//! A shard of hostile bytes, with its index at either end, nested, under checksums and codecs: read
//! whole and in part, both ways equal, or refused with a typed error.
#![no_main]

use std::sync::Arc;

use fuzarr::codec::Registry;
use fuzarr::metadata::Node;
use fuzarr::plan::ReadOptions;
use fuzarr::store::{MemoryStore, Precondition, put_bytes};
use fuzarr::{Array, Kind, Selection};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fn sharding(extent: u64, inner: Value, index: Value, location: &str) -> Value {
    json!([{"name": "sharding_indexed", "configuration": {
        "chunk_shape": [extent], "codecs": inner, "index_codecs": index, "index_location": location,
    }}])
}

fn chain(kind: u8) -> Value {
    let little = json!({"name": "bytes", "configuration": {"endian": "little"}});
    let zstd = json!({"name": "zstd", "configuration": {"level": 0, "checksum": false}});
    let raw = || json!([little]);
    match kind % 5 {
        0 => sharding(2, raw(), raw(), "end"),
        1 => sharding(
            2,
            raw(),
            json!([{"name": "bytes", "configuration": {"endian": "big"}}]),
            "start",
        ),
        2 => sharding(4, sharding(2, raw(), raw(), "start"), raw(), "end"),
        3 => sharding(2, json!([little, zstd]), raw(), "end"),
        _ => json!([sharding(2, raw(), raw(), "end")[0], zstd]),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, shard)) = data.split_first() else { return };
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [8], "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 7, "codecs": chain(*kind),
    });
    let node = Node::from_bytes(document.to_string().as_bytes()).expect("a valid document");
    let Node::Array(metadata) = node else { unreachable!("an array's document") };
    let store = Arc::new(MemoryStore::new());
    put_bytes(&*store, "c/0", shard, Precondition::None).expect("a valid key");
    let array = Array::new(store, "", *metadata, &Registry::default()).expect("a valid array");
    let read = |text: &str| {
        array.read_bytes(
            &Selection::parse(text).expect("a valid selection"),
            &ReadOptions::default(),
        )
    };
    let whole = read("");
    for (at, text) in ["0", "1", "2", "3", "4", "5", "6", "7"].into_iter().enumerate() {
        match (&whole, read(text)) {
            (Ok(whole), Ok(part)) => assert_eq!(part.bytes, whole.bytes[at * 2..at * 2 + 2]),
            (Ok(_), Err(error)) => panic!("element {at} alone cannot be read: {error}"),
            (Err(_), Ok(_)) => {}
            (Err(_), Err(error)) => assert_eq!(error.kind(), Kind::Corrupt, "{error}"),
        }
    }
});
