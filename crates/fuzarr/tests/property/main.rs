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
mod kept;
mod model;
mod v2;
mod widen;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use choices::{Case, Choices};
use fuzarr::codec::{Elements, Registry};
use fuzarr::metadata::{ArrayMetadata, Node};
use fuzarr::plan::{FastPath, ReadOptions, WriteOptions};
use fuzarr::shard::WriteOrder;
use fuzarr::store::{
    Latency, LocalStore, MemoryStore, Metered, RemoteStore, Span, Store, WholeObjects, Writing,
    ZipOptions, ZipStore,
};
use fuzarr::{Array, Limits, Selection, Tuning};
use model::{Dictionary, Model};
use object_store::memory::InMemory;
use proptest::prelude::*;
use serde_json::Map;

fn open(store: Arc<dyn Store>, metadata: &ArrayMetadata) -> Array {
    let mut registry = Registry::default();
    widen::register(&mut registry);
    Array::new(store, "some/array", metadata.clone(), &registry).unwrap()
}

const ORDERS: [WriteOrder; 4] = [
    WriteOrder::Morton,
    WriteOrder::Lexicographic,
    WriteOrder::Colexicographic,
    WriteOrder::Unordered,
];

fn options(choices: &mut Choices) -> (ReadOptions, WriteOptions) {
    let mut flag = || choices.below(4) > 0;
    let switches: Vec<bool> = (0..11).map(|_| flag()).collect();
    let tuning = Tuning {
        helper: [40_000, 1][choices.below(2)],
        large_chunk: [64 << 10, 0, 8][choices.below(3)],
        slab: [4 << 20, 1, 16][choices.below(3)],
        beside_index: [4 << 10, 0, 20][choices.below(3)],
        fetched: [256 << 20, 30][choices.below(2)],
        small_object: [128 << 10, 0][choices.below(2)],
        part: [8 << 20, 20][choices.below(2)],
        streamed: [32 << 20, 0][choices.below(2)],
        group: [16 << 20, 20][choices.below(2)],
    };
    let limits = Limits {
        workers: 1 + choices.below(3),
        memory: [None, Some(64 << 20)][choices.below(2)],
        operations: [128, 1, 3][choices.below(3)],
        in_flight: [256 << 20, 1, 40_000][choices.below(3)],
        tuning,
        ..Limits::default()
    };
    let read = ReadOptions {
        coalesce_gap: [1 << 20, 0, 7][choices.below(3)],
        coalesce_span: [16 << 20, 40][choices.below(2)],
        partial_reads: switches[0],
        one_round_trip: switches[9],
        bulk_decode: switches[1],
        direct_decode: switches[2],
        direct_reads: switches[3],
        partial_decode: switches[10],
        index_cache: switches[4],
        index_staleness: Duration::from_secs(u64::from(switches[0]) * 60),
        chunk_cache: [0, 1 << 20, 2000][choices.below(3)],
        missing_is_error: false,
        limits: limits.clone(),
    };
    let write = WriteOptions {
        write_empty_chunks: choices.below(4) == 3,
        order: ORDERS[choices.below(4)],
        scalar_memo: switches[5],
        partial_writes: switches[6],
        streaming: switches[7],
        in_place: !switches[8],
        limits,
    };
    (read, write)
}

/// The options with every switch off; what is asked for is the same.
fn plain(read: &ReadOptions, write: &WriteOptions) -> (ReadOptions, WriteOptions) {
    let limits = Limits { workers: 1, ..Limits::default() };
    let read = ReadOptions {
        coalesce_gap: 0,
        coalesce_span: 0,
        partial_reads: false,
        one_round_trip: false,
        bulk_decode: false,
        direct_decode: false,
        direct_reads: false,
        partial_decode: false,
        index_cache: false,
        index_staleness: Duration::ZERO,
        chunk_cache: 0,
        missing_is_error: read.missing_is_error,
        limits: limits.clone(),
    };
    let write = WriteOptions {
        write_empty_chunks: write.write_empty_chunks,
        order: write.order,
        scalar_memo: false,
        partial_writes: false,
        streaming: false,
        in_place: false,
        limits,
    };
    (read, write)
}

/// An array with the model of what is in it.
struct Subject<'a> {
    case: &'a Case,
    metadata: &'a ArrayMetadata,
    store: Arc<dyn Store>,
    array: Array,
}

impl<'a> Subject<'a> {
    fn new(case: &'a Case, metadata: &'a ArrayMetadata, store: Arc<dyn Store>) -> Self {
        let array = open(Arc::clone(&store), metadata);
        Self { case, metadata, store, array }
    }

    fn reopen(&mut self) {
        self.array = open(Arc::clone(&self.store), self.metadata);
    }

    fn write(
        &self,
        dictionary: &Dictionary,
        selection: &Selection,
        values: &[u32],
        options: &WriteOptions,
    ) {
        let mut elements = Elements::default();
        for &value in values {
            let element = dictionary.element(value);
            match self.case.values.is_variable() {
                true => elements.push_variable(element),
                false => elements.slots.extend_from_slice(element),
            }
        }
        self.array.write_elements(selection, &elements, options).unwrap();
    }

    /// Shape and elements of a selection.
    fn read(
        &self,
        dictionary: &mut Dictionary,
        selection: &Selection,
        options: &ReadOptions,
    ) -> (Vec<u64>, Vec<u32>) {
        let read = self.array.read_bytes(selection, options).unwrap();
        let elements = Elements { slots: read.bytes, heap: read.heap };
        let numbers = match self.case.values.is_variable() {
            true => {
                elements.variable().map(|element| dictionary.number(element.unwrap())).collect()
            }
            false => {
                let size = self.array.element_size();
                elements.slots.chunks(size).map(|element| dictionary.number(element)).collect()
            }
        };
        (read.shape, numbers)
    }

    /// Which chunks are stored.
    fn chunks(&self) -> Vec<Vec<u64>> {
        let objects = self.array.stored_objects().unwrap();
        objects.into_iter().map(|object| object.chunk).collect()
    }

    /// Keys and bytes of what is stored.
    fn stored(&self) -> Vec<(String, Bytes)> {
        let objects = self.array.stored_objects().unwrap();
        let bytes = |key: &str| {
            let object = self.store.open(key).wait().unwrap().unwrap();
            let piece = object.read(Span::Whole(1 << 30), Vec::new()).wait().unwrap().unwrap();
            piece.bytes.into_bytes()
        };
        objects.into_iter().map(|object| (object.key.clone(), bytes(&object.key))).collect()
    }
}

/// The metadata of a case, of either format.
fn metadata_of(case: &Case) -> ArrayMetadata {
    if case.document["zarr_format"] == 2 {
        return fuzarr::v2::array_from_json(&case.document, Map::new()).unwrap();
    }
    let Node::Array(metadata) = Node::from_json(&case.document).unwrap() else {
        panic!("no array")
    };
    *metadata
}

/// Writes and reads at random; the model always agrees, and so does an array of which every switch
/// is off.
fn check(store: Arc<dyn Store>, case: &Case, choices: &mut Choices) {
    let metadata = metadata_of(case);
    // Where nothing is deleted on condition, objects of nothing stay.
    let keeps_nothing = !store.capabilities().conditional_delete;
    let mut fast = Subject::new(case, &metadata, store);
    let slow = Subject::new(case, &metadata, Arc::new(MemoryStore::new()));
    let dictionary = &mut Dictionary::new(&fast.array.layout().chain().spec().fill);
    let (mut model, chunks) = (Model::new(&case.shape), &case.chunk_shape);
    let (mut ever_empty_written, mut patched) = (keeps_nothing, keeps_nothing);
    let rounds = choices.below(5);
    for round in 0..=rounds {
        let (read, mut write) = options(choices);
        let (selection, values) = if round < rounds {
            let selection = case.selection(choices);
            let count = model.positions(&selection, chunks).len();
            (selection, case.values(choices, count, dictionary))
        } else if choices.below(4) == 3 {
            // All ends in fill value: nothing is left.
            write.write_empty_chunks = false;
            ever_empty_written = keeps_nothing;
            (Selection::all(), vec![0])
        } else {
            break;
        };
        ever_empty_written |= write.write_empty_chunks;
        let (plain_read, plain_write) = plain(&read, &write);
        fast.write(dictionary, &selection, &values, &write);
        slow.write(dictionary, &selection, &values, &plain_write);
        model.write(&selection, chunks, &values);
        patched |= fast.array.counters().get(FastPath::Patch) > 0;
        if !patched {
            assert!(fast.stored() == slow.stored(), "other keys or bytes, {selection:?}");
        }
        if choices.below(2) == 0 {
            fast.reopen();
        }
        let wanted = case.selection(choices);
        let expected = (model.shape_of(&wanted, chunks), model.read(&wanted, chunks));
        assert_eq!(fast.read(dictionary, &wanted, &read), expected, "{wanted:?}");
        assert_eq!(fast.read(dictionary, &wanted, &plain_read), expected, "{wanted:?}");
        assert_eq!(slow.read(dictionary, &wanted, &read), expected, "{wanted:?}");
    }
    let whole = fast.read(dictionary, &Selection::all(), &ReadOptions::default());
    assert_eq!(whole.1, model.elements);
    let verified = fast.array.verify(|_| {}).unwrap();
    assert!(verified.damage.is_empty(), "{:?}", verified.damage);
    if !keeps_nothing {
        assert_eq!(fast.chunks(), slow.chunks(), "stored chunks");
    }
    if !ever_empty_written {
        assert_eq!(fast.chunks(), model.chunks_with_data(chunks), "stored chunks");
    }
}

/// A store each of whose answers is awaited, for none to a few turns.
fn awaited<S: Store>(store: S) -> impl Store {
    let asked = AtomicUsize::new(0);
    Latency::awaiting(store, move || {
        let mut turns = asked.fetch_add(1, Ordering::Relaxed) % 4;
        poll_fn(move |context| {
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
    })
}

fn run(case: &Case, choices: &mut Choices) {
    match choices.below(9) {
        8 => {
            let inside: Arc<dyn Store> = Arc::new(awaited(MemoryStore::new()));
            check(Arc::new(ZipStore::new(inside, "x.zip", ZipOptions::default())), case, choices);
        }
        7 => {
            let options = ZipOptions { writing: Writing::OnClose, ..ZipOptions::default() };
            let memory = Arc::new(MemoryStore::new());
            let store = ZipStore::new(memory, "x.zip", options);
            check(Arc::new(store.clone()), case, choices);
            store.close().unwrap();
        }
        6 => check(Arc::new(RemoteStore::of(Arc::new(InMemory::new()))), case, choices),
        5 => check(Arc::new(awaited(MemoryStore::new())), case, choices),
        0 | 1 => check(Arc::new(MemoryStore::new()), case, choices),
        2 => check(Arc::new(WholeObjects(Metered::new(MemoryStore::new()))), case, choices),
        local => {
            let folder = tempfile::tempdir().unwrap();
            let store = LocalStore::open(folder.path()).unwrap();
            let store: Arc<dyn Store> =
                if local == 3 { Arc::new(store) } else { Arc::new(WholeObjects(store)) };
            check(store, case, choices);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn arrays_agree_with_the_model(entropy in prop::collection::vec(any::<u32>(), 0..400)) {
        let mut choices = Choices::new(&entropy);
        run(&Case::new(&mut choices), &mut choices);
    }

    #[test]
    fn arrays_of_v2_agree_with_the_model(entropy in prop::collection::vec(any::<u32>(), 0..400)) {
        let mut choices = Choices::new(&entropy);
        run(&v2::case(&mut choices), &mut choices);
    }
}
