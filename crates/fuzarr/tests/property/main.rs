//! The judge: random arrays, chains, selections and write sequences against a naive model.

#![allow(
    clippy::cast_possible_truncation,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers in native order"
)]

mod choices;
mod explain;
mod model;
mod widen;

use std::sync::Arc;

use choices::{Case, Choices};
use fuzarr::codec::Registry;
use fuzarr::metadata::{ArrayMetadata, Node};
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::shard::WriteOrder;
use fuzarr::store::{LocalStore, MemoryStore, Metered, Store, WholeObjects};
use fuzarr::{Array, Limits, Selection, Tuning};
use model::Model;
use proptest::prelude::*;

fn open(store: Arc<dyn Store>, metadata: &ArrayMetadata) -> Array {
    let mut registry = Registry::default();
    widen::register(&mut registry);
    Array::new(store, "some/array", metadata.clone(), &registry).unwrap()
}

fn options(choices: &mut Choices) -> (ReadOptions, WriteOptions) {
    let orders = [
        WriteOrder::Morton,
        WriteOrder::Lexicographic,
        WriteOrder::Colexicographic,
        WriteOrder::Unordered,
    ];
    let mut flag = || choices.below(4) > 0;
    let switches: Vec<bool> = (0..10).map(|_| flag()).collect();
    let tuning = Tuning {
        helper: [40_000, 1][choices.below(2)],
        large_chunk: [64 << 10, 0, 8][choices.below(3)],
        beside_index: [4 << 10, 0, 20][choices.below(3)],
        fetched: [256 << 20, 30][choices.below(2)],
        small_object: [128 << 10, 0][choices.below(2)],
        streamed: [32 << 20, 0][choices.below(2)],
        group: [16 << 20, 20][choices.below(2)],
    };
    let limits = Limits { workers: 1 + choices.below(3), tuning, ..Limits::default() };
    let read = ReadOptions {
        coalesce_gap: [1 << 20, 0, 7][choices.below(3)],
        coalesce_span: [16 << 20, 40][choices.below(2)],
        partial_reads: switches[0],
        one_round_trip: switches[9],
        bulk_decode: switches[1],
        direct_decode: switches[2],
        direct_reads: switches[3],
        index_cache: switches[4],
        missing_is_error: false,
        limits: limits.clone(),
    };
    let write = WriteOptions {
        write_empty_chunks: choices.below(4) == 3,
        order: orders[choices.below(4)],
        scalar_memo: switches[5],
        partial_writes: switches[6],
        streaming: switches[7],
        in_place: !switches[8],
        limits,
    };
    (read, write)
}

/// Writes and reads at random; the model always agrees.
fn check(store: Arc<dyn Store>, case: &Case, choices: &mut Choices) {
    let node = Node::from_bytes(&serde_json::to_vec(&case.document).unwrap()).unwrap();
    let Node::Array(metadata) = node else { panic!("no array") };
    let mut array = open(Arc::clone(&store), &metadata);
    let mut model = Model::new(&case.shape, &array.layout().chain.spec.fill);
    let mut ever_empty_written = false;
    for _ in 0..choices.below(5) {
        let (read, write) = options(choices);
        let selection = case.selection(choices);
        let count = model.positions(&selection, &case.chunk_shape).len();
        let values = case.values(choices, count, &model.fill);
        ever_empty_written |= write.write_empty_chunks;
        array.write_bytes(&selection, &values, &write).unwrap();
        model.write(&selection, &case.chunk_shape, &values);
        if choices.below(2) == 0 {
            array = open(Arc::clone(&store), &metadata);
        }
        let wanted = case.selection(choices);
        let result = array.read_bytes(&wanted, &read).unwrap();
        assert_eq!(result.shape, model.shape_of(&wanted, &case.chunk_shape), "{wanted:?}");
        assert_eq!(result.bytes, model.read(&wanted, &case.chunk_shape), "{wanted:?}");
    }
    let whole = array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap();
    assert_eq!(whole.bytes, model.elements);
    let verified = array.verify(|_| {}).unwrap();
    assert!(verified.damage.is_empty(), "{:?}", verified.damage);
    if !ever_empty_written {
        let stored: Vec<Vec<u64>> =
            array.stored_objects().unwrap().into_iter().map(|object| object.chunk).collect();
        assert_eq!(stored, model.chunks_with_data(&case.chunk_shape), "stored chunks");
    }
}

fn run(entropy: &[u32]) {
    let mut choices = Choices::new(entropy);
    let case = Case::new(&mut choices);
    match choices.below(4) {
        0 | 1 => check(Arc::new(MemoryStore::new()), &case, &mut choices),
        2 => check(Arc::new(WholeObjects(Metered::new(MemoryStore::new()))), &case, &mut choices),
        _ => {
            let folder = tempfile::tempdir().unwrap();
            check(Arc::new(LocalStore::open(folder.path()).unwrap()), &case, &mut choices);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(entropy in prop::collection::vec(any::<u32>(), 0..400)) {
        run(&entropy);
    }
}
