//! Shards of many small inner chunks, which are encoded some at a time, written at random while
//! somebody else writes between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::shard::WriteOrder;
use fuzarr::store::{
    Answer, Capabilities, Content, Listing, LocalStore, MemoryStore, Object, Precondition, Store,
    Upload, Version,
};
use fuzarr::{Array, Limits, Selection, Tuning};
use serde_json::{Value, json};

type Act = Box<dyn FnOnce() + Send>;

/// A store that does something once, before the first change of an object.
struct Between {
    store: Arc<dyn Store>,
    act: Mutex<Option<Act>>,
    conflicts: AtomicUsize,
}

impl std::fmt::Debug for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Between")
    }
}

impl Between {
    fn before(&self) {
        let act = self.act.lock().unwrap().take();
        act.into_iter().for_each(|act| act());
    }

    fn after<T>(&self, outcome: fuzarr::Result<T>) -> Answer<'static, T> {
        if outcome.as_ref().is_err_and(|error| error.kind() == fuzarr::Kind::Conflict) {
            self.conflicts.fetch_add(1, Ordering::Relaxed);
        }
        Answer::ready(outcome)
    }
}

impl Store for Between {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        self.store.open(key)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        self.before();
        self.after(self.store.put(key, content, precondition).wait())
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        self.before();
        self.after(self.store.delete(key, precondition).wait())
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.store.list(prefix)
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        self.before();
        self.store.begin(key)
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        self.before();
        self.after(self.store.patch(key, changes, precondition).wait())
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.store.delete_all(prefix)
    }
}

/// Numbers that look random, by xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// Some positions along an axis, and how they are written.
    fn positions(&mut self, extent: u64) -> (String, Vec<u64>) {
        match self.below(5) {
            0 => (":".to_owned(), (0..extent).collect()),
            1 => {
                let mut list: Vec<u64> =
                    (0..1 + self.below(9)).map(|_| self.below(extent)).collect();
                list.sort_unstable();
                list.dedup();
                let text = list.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
                (format!("[{text}]"), list)
            }
            _ => {
                let (start, end) = (self.below(extent), self.below(extent) + 1);
                let (start, end) = (start.min(end - 1), end.max(start + 1));
                let step = self.of(&[1, 1, 1, 2, 7]);
                (format!("{start}:{end}:{step}"), (start..end).step_by(step as usize).collect())
            }
        }
    }
}

/// A write, and what it does to the elements of the array.
struct Change {
    selection: Selection,
    values: Vec<u8>,
    places: Vec<usize>,
}

impl Change {
    fn random(random: &mut Random, shape: [u64; 2]) -> Self {
        let [(rows, down), (columns, across)] = shape.map(|extent| random.positions(extent));
        let selection = Selection::parse(&format!("{rows}, {columns}")).unwrap();
        let places: Vec<usize> = down
            .iter()
            .flat_map(|row| across.iter().map(move |column| (row * shape[1] + column) as usize))
            .collect();
        // Often nothing but zeros, which is the fill value.
        let value = |random: &mut Random| {
            let byte = random.below(6).saturating_sub(2) as u8;
            [byte, 3 * byte]
        };
        let values = match random.below(3) {
            0 => value(random).to_vec(),
            _ => places.iter().flat_map(|_| value(random)).collect(),
        };
        Self { selection, values, places }
    }

    fn apply(&self, elements: &mut [u8]) {
        for (place, value) in self.places.iter().zip(self.values.chunks_exact(2).cycle()) {
            elements[2 * place..][..2].copy_from_slice(value);
        }
    }
}

fn codecs(random: &mut Random) -> Value {
    let bytes =
        json!({"name": "bytes", "configuration": {"endian": random.of(&["little", "big"])}});
    let index =
        json!([{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]);
    let zstd = json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}});
    let gzip = json!({"name": "gzip", "configuration": {"level": 1}});
    let crc32c = json!({"name": "crc32c"});
    let inside = match random.below(5) {
        0 => json!([bytes]),
        1 => json!([bytes, crc32c]),
        2 => json!([bytes, zstd]),
        3 => {
            json!([{"name": "transpose", "configuration": {"order": [1, 0]}}, bytes, gzip, crc32c])
        }
        _ => json!([{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 2], "codecs": [bytes, crc32c], "index_codecs": index,
        }}]),
    };
    let shard = json!({"name": "sharding_indexed", "configuration": {
        "chunk_shape": [2, 2], "codecs": inside, "index_codecs": index,
        "index_location": random.of(&["start", "end"]),
    }});
    if random.below(4) == 0 { json!([shard, zstd]) } else { json!([shard]) }
}

fn options(random: &mut Random) -> WriteOptions {
    let tuning = Tuning {
        helper: random.of(&[1, 40_000]),
        small_object: random.of(&[0, 128 << 10]),
        streamed: random.of(&[0, 32 << 20]),
        group: random.of(&[1, 3000, 16 << 20]),
        ..Tuning::default()
    };
    let memory = random.of(&[None, Some(4 << 20)]);
    WriteOptions {
        write_empty_chunks: random.below(3) == 0,
        order: random.of(&[WriteOrder::Morton, WriteOrder::Lexicographic]),
        scalar_memo: random.below(2) == 0,
        partial_writes: random.below(3) > 0,
        in_place: random.below(2) == 0,
        limits: Limits { workers: 3, memory, tuning, ..Limits::default() },
        ..WriteOptions::default()
    }
}

#[test]
fn many_small_inner_chunks_are_written_over_what_others_write() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut conflicts = 0;
    for round in 0..60 {
        // Others come between where there is one object: of several, each has an order of its own.
        let shape = random.of(&[[60, 50], [63, 64], [70, 100]]);
        let document = json!({
            "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64]}},
            "chunk_key_encoding": {"name": "default"}, "fill_value": 0,
            "codecs": codecs(&mut random),
        });
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = match random.below(2) {
            0 => Arc::new(MemoryStore::new()),
            _ => Arc::new(LocalStore::open(folder.path()).unwrap()),
        };
        let between = Arc::new(Between {
            store: Arc::clone(&store),
            act: Mutex::default(),
            conflicts: AtomicUsize::new(0),
        });
        let Node::Array(metadata) = Node::from_json(&document).unwrap() else { panic!() };
        let array = Array::create(Arc::clone(&between) as _, "a", *metadata).unwrap();
        let theirs = Array::open(store, "a").unwrap();
        let mut elements = vec![0; 2 * (shape[0] * shape[1]) as usize];
        for step in 0..12 {
            let other = Arc::new(Change::random(&mut random, shape));
            let mine = Change::random(&mut random, shape);
            if shape[0] <= 64 {
                let (theirs, other, options) =
                    (theirs.clone(), Arc::clone(&other), options(&mut random));
                *between.act.lock().unwrap() = Some(Box::new(move || {
                    theirs.write_bytes(&other.selection, &other.values, &options).unwrap();
                }));
            }
            let options = options(&mut random);
            array.write_bytes(&mine.selection, &mine.values, &options).unwrap();
            if shape[0] <= 64 && between.act.lock().unwrap().take().is_none() {
                other.apply(&mut elements);
            }
            mine.apply(&mut elements);
            let read = array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes;
            assert!(read == elements, "round {round}, step {step}: {options:?}, {document}");
            assert!(theirs.verify(|_| {}).unwrap().damage.is_empty(), "round {round}, step {step}");
        }
        conflicts += between.conflicts.load(Ordering::Relaxed);
    }
    assert!(conflicts > 50, "{conflicts}");
}
