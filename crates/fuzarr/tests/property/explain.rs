//! What a read is said to cost against what a store then counts.
//!
//! Seen to fail when ranges read straight into the output were not counted, when explaining counted
//! fast paths as taken, and when it left indexes in the cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fuzarr::plan::{FastPath, ReadOptions};
use fuzarr::store::{Counts, LocalStore, MemoryStore, Metered, Store, WholeObjects};
use fuzarr::{Array, Selection, Tuning};
use proptest::prelude::*;

use super::choices::{Case, Choices};
use super::model::{Dictionary, Model};
use super::{Subject, metadata_of, options};

/// What a store was asked for: objects opened, reads, bytes read.
fn counted(counts: &Counts) -> [u64; 3] {
    let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    [number(&counts.opens), number(&counts.reads), number(&counts.bytes_read)]
}

/// Reads, and compares with what was foretold.
fn judge(array: &Array, counts: &Counts, selection: &Selection, options: &ReadOptions) {
    let before = counted(counts);
    let estimate = array.explain(selection, options).unwrap();
    assert_eq!(counted(counts), before, "an estimate asks the store for nothing");
    let paths = [FastPath::PartialRead, FastPath::Coalesced, FastPath::DirectRead];
    let taken = paths.map(|path| array.counters().get(path));
    let exact = array.explain_exactly(selection, options).unwrap();
    assert_eq!(paths.map(|path| array.counters().get(path)), taken, "nothing was read");
    let before = counted(counts);
    let read = array.read_bytes(selection, options).unwrap();
    let after = counted(counts);
    let [opens, requests, fetched] = [0, 1, 2].map(|number| after[number] - before[number]);

    assert_eq!(exact.bytes, read.bytes.len() as u64);
    assert_eq!(exact.objects, opens, "{selection:?}");
    assert_eq!(exact.requests.exact(), Some(requests), "{selection:?} {options:?}");
    assert_eq!(exact.fetched.exact(), Some(fetched), "{selection:?} {options:?}");
    assert!(exact.used.at_most <= fetched, "{exact:?}");
    assert!(exact.decoded.at_most <= exact.chunks, "{exact:?}");
    assert!(exact.round_trips.at_most <= requests.max(1), "{exact:?}");

    assert_eq!((estimate.objects, estimate.chunks), (exact.objects, exact.chunks));
    for (bounds, found) in [
        (estimate.requests, exact.requests),
        (estimate.fetched, exact.fetched),
        (estimate.used, exact.used),
        (estimate.decoded, exact.decoded),
        (estimate.round_trips, exact.round_trips),
    ] {
        assert!(found.at_most <= bounds.at_most, "{estimate:?} {exact:?}");
        if exact.missing == 0 {
            assert!(found.at_least >= bounds.at_least, "{estimate:?} {exact:?}");
        }
    }
}

fn check(store: Arc<dyn Store>, counts: &Counts, case: &Case, choices: &mut Choices<'_>) {
    let metadata = metadata_of(case);
    let mut subject = Subject::new(case, &metadata, store);
    let dictionary = &mut Dictionary::new(&subject.array.layout().chain().spec().fill);
    let model = Model::new(&case.shape);
    let mut is_compact = true;
    for _ in 0..choices.below(4) {
        let (_, write) = options(choices);
        is_compact &= !write.write_empty_chunks;
        let selection = case.selection(choices);
        let count = model.positions(&selection, &case.chunk_shape).len();
        let values = case.values(choices, count, dictionary);
        subject.write(dictionary, &selection, &values, &write);
    }
    for _ in 0..3 {
        if choices.below(3) == 0 {
            // Without the indexes that earlier reads have left.
            subject.reopen();
        }
        let (mut read, _) = options(choices);
        // What is known before a read has to make way during it only if there is too little room.
        read.chunk_cache = if read.chunk_cache > 0 { 1 << 20 } else { 0 };
        // A request counts once, in however many slabs it is made: here, in one.
        read.limits.tuning.slab = Tuning::default().slab;
        judge(&subject.array, counts, &case.selection(choices), &read);
    }
    let array = &subject.array;
    let all = array.explain_exactly(&Selection::all(), &ReadOptions::default()).unwrap();
    let storage = array.storage(true).unwrap();
    let stored = storage.inner_chunks.unwrap_or(storage.objects);
    assert_eq!(all.objects - all.missing, storage.objects);
    // Chunks of shards that overhang the array are stored only if told to.
    if is_compact {
        assert!(all.decoded.contains(stored), "{all:?} {stored}");
    }
}

fn run(entropy: &[u32]) {
    let mut choices = Choices::new(entropy);
    let is_v2 = choices.below(4) == 3;
    let case = if is_v2 { super::v2::case(&mut choices) } else { Case::new(&mut choices) };
    match choices.below(4) {
        0 => {
            let store = Arc::new(Metered::new(MemoryStore::new()));
            check(Arc::clone(&store) as Arc<dyn Store>, store.counts(), &case, &mut choices);
        }
        1 => {
            let store = Arc::new(Metered::new(WholeObjects(MemoryStore::new())));
            check(Arc::clone(&store) as Arc<dyn Store>, store.counts(), &case, &mut choices);
        }
        _ => {
            let folder = tempfile::tempdir().unwrap();
            let store = Arc::new(Metered::new(LocalStore::open(folder.path()).unwrap()));
            check(Arc::clone(&store) as Arc<dyn Store>, store.counts(), &case, &mut choices);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_read_costs_what_was_said(entropy in prop::collection::vec(any::<u32>(), 0..400)) {
        run(&entropy);
    }
}
