//! The documents of Zarr v2, `.zarray` and `.zattrs` with a NUL between them: refused with a typed
//! error, or written to ones that read the same; and the array can be asked for an element, and its
//! attributes changed.
#![no_main]

use std::sync::Arc;

use fuzarr::codec::Registry;
use fuzarr::metadata::{Node, json};
use fuzarr::plan::ReadOptions;
use fuzarr::store::{MemoryStore, Precondition, Store, put_bytes};
use fuzarr::{Array, Selection, Term, hierarchy, v2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut documents = data.splitn(2, |&byte| byte == 0);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    for name in [".zarray", ".zattrs"] {
        let Some(document) = documents.next() else { break };
        put_bytes(&*store, name, document, Precondition::None).expect("a valid key");
    }
    let Ok(Some(Node::Array(metadata))) = hierarchy::read_node(&*store, "") else { return };
    let written = v2::array_to_json(&metadata).expect("of Zarr v2");
    let parsed = json::parse(&json::to_vec(&written)).expect("JSON");
    let again = v2::array_from_json(&parsed, metadata.attributes.clone());
    assert_eq!(again.expect("reads what it wrote"), *metadata);

    let attributes = hierarchy::update_attributes(&*store, "", |attributes| {
        attributes.insert("fuzz".into(), 1.into());
        Ok(())
    });
    let changed = hierarchy::read_node(&*store, "").expect("still reads").expect("a node");
    assert_eq!(*changed.attributes(), attributes.expect("can be changed"));

    let rank = metadata.shape.len();
    let Ok(array) = Array::new(store, "", *metadata, &Registry::default()) else { return };
    let corner = Selection::Orthogonal(vec![Term::Index(0); rank]);
    // An element of up to half a GiB is legal; the fuzzer need not allocate it.
    if array.element_size() < 1 << 16
        && let Ok(read) = array.read_bytes(&corner, &ReadOptions::default())
    {
        assert_eq!(read.bytes.len(), array.element_size());
    }
});
