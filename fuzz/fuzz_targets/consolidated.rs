//! Consolidated metadata of either format (the first byte says which): a group that has it opens, or
//! is refused with a typed error; what it names can be walked, and be consolidated anew.
#![no_main]

use std::sync::Arc;

use fuzarr::group::Group;
use fuzarr::hierarchy::{self, DEEPEST};
use fuzarr::store::{MemoryStore, Precondition, Store, put_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, document)) = data.split_first() else { return };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let put = |key: &str, bytes: &[u8]| {
        put_bytes(&*store, key, bytes, Precondition::None).expect("a valid key");
    };
    if kind % 2 == 0 {
        put("zarr.json", document);
    } else {
        put(".zgroup", br#"{"zarr_format": 2}"#);
        put(".zmetadata", document);
    }
    let Ok(group) = Group::open(Arc::clone(&store), "") else { return };
    if let Ok(visits) = group.traverse(DEEPEST) {
        for visit in visits.flatten() {
            assert!(!visit.path.is_empty());
            let _ = group.node(&visit.path);
        }
    }
    for (name, child) in group.children().unwrap_or_default() {
        assert!(!name.is_empty() && !name.contains('/'), "{name:?}");
        let found = group.node(&name);
        assert_eq!(found.is_ok_and(|node| node.is_some()), child.is_ok(), "{name:?}");
    }
    if hierarchy::consolidate(&*store, "").is_ok() {
        let group = Group::open(store, "").expect("opens what it wrote");
        assert!(group.is_consolidated());
        assert!(group.children().expect("lists what it wrote").is_empty());
    }
});
