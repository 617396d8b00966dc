//! A metadata document: refused with a typed error, or written back to one that reads the same; and
//! the array that it describes can be asked for an element.
#![no_main]

use std::sync::Arc;

use fuzarr::codec::Registry;
use fuzarr::metadata::Node;
use fuzarr::plan::ReadOptions;
use fuzarr::store::MemoryStore;
use fuzarr::{Array, Selection, Term};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|document: &[u8]| {
    let Ok(node) = Node::from_bytes(document) else { return };
    let written = node.to_bytes();
    assert_eq!(Node::from_bytes(&written).expect("reads what it wrote").to_bytes(), written);
    let Node::Array(metadata) = node else { return };
    let rank = metadata.shape.len();
    let store = Arc::new(MemoryStore::new());
    let Ok(array) = Array::new(store, "", *metadata, &Registry::default()) else { return };
    let corner = Selection::Orthogonal(vec![Term::Index(0); rank]);
    // An element of up to half a GiB is legal; the fuzzer need not allocate it.
    if array.element_size() < 1 << 16
        && let Ok(read) = array.read_bytes(&corner, &ReadOptions::default())
    {
        assert_eq!(read.bytes.len(), array.element_size());
    }
});
