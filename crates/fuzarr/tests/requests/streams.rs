//! Shards that are written while they are encoded.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use fuzarr::plan::{
    FastPath, Machine, ReadOptions, Scratch, Step, WriteMachine, WriteOptions, WritePlan,
};
use fuzarr::store::{
    Answer, Capabilities, Content, Listing, MemoryStore, Object, Part, Precondition, Store, Upload,
    Version,
};
use fuzarr::{Array, Error, Kind, Selection};
use serde_json::json;

use super::{Commit, Slow, bytes_of, document, eager, open, sharding, values, writing};

/// Bytes of an inner chunk that is a unit by itself.
const INNER: usize = 32 << 10;

/// Inner chunks that are encoded while as many are written: one for each of two threads.
const GROUP: usize = 2;

/// Inner chunks of a shard: two groups and a half.
const COUNT: usize = 5;

/// Writes shards in groups of so many inner chunks, or more if there are more workers.
fn options(workers: usize, group: usize) -> WriteOptions {
    let mut options = writing(eager(workers));
    options.limits.tuning.streamed = 0;
    options.limits.tuning.group = (group * INNER) as u64;
    options
}

/// One shard of so many slow inner chunks.
fn array(pieces: &Arc<Pieces>, count: usize) -> Array {
    let size = (count * INNER) as u64;
    let codecs = sharding(INNER as u64, &json!(["bytes", "test.slow"]));
    open(Arc::clone(pieces) as _, &document(size, size, &codecs), &pieces.slow)
}

/// A store whose uploads are what a test wants of them.
#[derive(Debug)]
struct Pieces {
    store: MemoryStore,
    /// Whether it answers at once.
    blocking: bool,
    slow: Arc<Slow>,
    /// Of all pieces, the one that cannot be written.
    failing: AtomicUsize,
    /// What becomes of encoding from the first piece on.
    harm: fn(&Slow),
    written: Arc<AtomicUsize>,
}

impl Pieces {
    fn new(blocking: bool, harm: fn(&Slow)) -> Arc<Self> {
        let (store, slow) = (MemoryStore::new(), Arc::default());
        let (failing, written) = (AtomicUsize::new(usize::MAX), Arc::default());
        Arc::new(Self { store, blocking, slow, failing, harm, written })
    }

    /// Starts counting anew.
    fn reset(&self, failing: usize) {
        self.failing.store(failing, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
        self.slow.calls.store(0, Ordering::Relaxed);
    }
}

/// One that waits in each piece until inner chunks beyond it are encoded.
#[derive(Debug)]
struct Waiting {
    upload: Box<dyn Upload>,
    slow: Arc<Slow>,
    failing: usize,
    harm: fn(&Slow),
    written: Arc<AtomicUsize>,
}

impl Upload for Waiting {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            (self.harm)(&self.slow);
        }
        let (until, begun) = (((number + 1) * GROUP + 1).min(COUNT), Instant::now());
        Answer::later(async move {
            if number == self.failing {
                return Err(Error::io("this piece cannot be written"));
            }
            poll_fn(|context| {
                if self.slow.calls.load(Ordering::Relaxed) >= until {
                    return Poll::Ready(Ok(()));
                }
                if begun.elapsed() > Duration::from_secs(20) {
                    let what = format!("nothing is encoded while piece {number} is written");
                    return Poll::Ready(Err(Error::io(what)));
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await?;
            self.upload.write(offset, content).await
        })
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>> {
        self.upload.finish(precondition)
    }
}

impl Store for Pieces {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities().with_blocking(self.blocking)
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
        self.store.put(key, content, precondition)
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        self.store.delete(key, precondition)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.store.list(prefix)
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        let (failing, harm) = (self.failing.load(Ordering::Relaxed), self.harm);
        let (slow, written) = (Arc::clone(&self.slow), Arc::clone(&self.written));
        Answer::ready(self.store.begin(key).wait().map(|upload| {
            Box::new(Waiting { upload, slow, failing, harm, written }) as Box<dyn Upload>
        }))
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.store.delete_all(prefix)
    }
}

#[test]
fn inner_chunks_are_encoded_while_those_before_them_are_written() {
    // One thread cannot do both at once, but what is awaited is sent meanwhile.
    for (blocking, workers) in [(true, 2), (false, 2), (false, 1)] {
        let pieces = Pieces::new(blocking, |_| ());
        let array = array(&pieces, COUNT);
        let (all, values) = (Selection::all(), values(COUNT * INNER));
        array.write_bytes(&all, &values, &options(workers, GROUP)).unwrap();
        assert_eq!(array.counters().get(FastPath::Streaming), 1);
        // Three groups, and the index.
        assert_eq!(pieces.written.load(Ordering::Relaxed), 4);
    }
}

#[test]
fn a_piece_that_cannot_be_written_ends_the_write_and_leaves_what_is_stored() {
    for (blocking, workers) in [(true, 1), (true, 2), (false, 1), (false, 2)] {
        let pieces = Pieces::new(blocking, |_| ());
        let array = array(&pieces, COUNT);
        let options = options(workers, GROUP);
        let old = values(COUNT * INNER);
        let other: Vec<u8> = old.iter().map(|value| value / 2).collect();
        let whole = WriteOptions { streaming: false, ..options.clone() };
        array.write_bytes(&Selection::all(), &old, &whole).unwrap();
        let stored = bytes_of(&pieces.store, "a/c/0");
        // One thread that answers at once cannot encode what the first piece waits for.
        for failing in 0..if (blocking, workers) == (true, 1) { 1 } else { 4 } {
            pieces.reset(failing);
            let write = array.write_bytes(&Selection::all(), &other, &options);
            let error = write.unwrap_err();
            assert_eq!((error.kind(), error.context("key")), (Kind::Io, Some("a/c/0")), "{error}");
            assert!(error.to_string().contains("this piece"), "{error}");
            assert_eq!(pieces.written.load(Ordering::Relaxed), failing + 1);
            let (before, calls) =
                ((failing + 1) * GROUP, pieces.slow.calls.load(Ordering::Relaxed));
            assert!(calls <= (before + GROUP).min(COUNT), "went on");
            if workers == 1 {
                assert_eq!(calls, before.min(COUNT), "what is left was begun");
            }
            assert!(bytes_of(&pieces.store, "a/c/0") == stored, "half a shard is stored");
        }
        pieces.reset(usize::MAX);
        assert!(array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes == old);
    }
}

#[test]
fn many_inner_chunks_are_not_encoded_beside_a_piece_that_cannot_be_written() {
    let group = 32;
    for blocking in [true, false] {
        let slowly = |slow: &Slow| slow.microseconds.store(20_000, Ordering::Relaxed);
        let pieces = Pieces::new(blocking, slowly);
        let array = array(&pieces, 2 * group);
        pieces.reset(0);
        pieces.slow.microseconds.store(1000, Ordering::Relaxed);
        let values = values(2 * group * INNER);
        let write = array.write_bytes(&Selection::all(), &values, &options(2, group));
        assert_eq!(write.unwrap_err().kind(), Kind::Io);
        let calls = pieces.slow.calls.load(Ordering::Relaxed);
        assert!(calls < 2 * group, "went on");
    }
}

#[test]
fn what_fails_beside_a_piece_that_is_written_ends_the_write() {
    for blocking in [true, false] {
        let fails = |slow: &Slow| slow.fails.store(true, Ordering::Relaxed);
        let panics = |slow: &Slow| slow.panics.store(true, Ordering::Relaxed);
        for (harm, is_panic) in [(fails as fn(&Slow), false), (panics, true)] {
            let pieces = Pieces::new(blocking, harm);
            let array = array(&pieces, COUNT);
            // Units may be begun before the piece.
            pieces.slow.microseconds.store(30_000, Ordering::Relaxed);
            let values = values(COUNT * INNER);
            let write = || array.write_bytes(&Selection::all(), &values, &options(2, GROUP));
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)) {
                Ok(outcome) => {
                    let error = outcome.unwrap_err();
                    assert!(!is_panic && error.to_string().contains("nothing can be"), "{error}");
                    assert_eq!(error.context("key"), Some("a/c/0"));
                }
                Err(_) => assert!(is_panic),
            }
            // What was begun came to an end, and nothing follows.
            assert_eq!(pieces.written.load(Ordering::Relaxed), 1);
            assert!(pieces.store.open("a/c/0").wait().unwrap().is_none());
        }
    }
}

#[test]
fn what_a_stream_asks_for_is_in_order_and_must_be_done() {
    let empty = vec![0; COUNT * INNER];
    for at_start in [false, true] {
        let mut codecs = sharding(INNER as u64, &json!(["bytes"]));
        codecs[0]["configuration"]["index_location"] =
            json!(if at_start { "start" } else { "end" });
        let size = (COUNT * INNER) as u64;
        let array =
            open(Arc::new(MemoryStore::new()), &document(size, size, &codecs), &Arc::default());
        let mut some = values(COUNT * INNER);
        some[GROUP * INNER..2 * GROUP * INNER].fill(0);
        for (values, groups) in [(&values(COUNT * INNER), 3), (&some, 2), (&empty, 0)] {
            let resolved = array.resolve(&Selection::all()).unwrap();
            let layout = Arc::clone(array.layout());
            let plan = WritePlan::new(layout, resolved, options(1, GROUP)).unwrap();
            let given = Arc::new(plan.values(&values[..], Vec::new()).unwrap());
            let mut machine = WriteMachine::new(&plan, given, array.store().capabilities());
            machine.begin(&plan, 0);
            let (pieces, last) = drive(&mut machine, &mut Vec::new());
            let index = COUNT * 16 + 4;
            let mut offset = if at_start { index as u64 } else { 0 };
            let mut written = Vec::new();
            for (start, bytes) in &pieces {
                assert_eq!(*start, offset);
                offset += bytes.len() as u64;
                written.extend_from_slice(bytes);
            }
            assert_eq!(pieces.len(), groups);
            let stored: Vec<u8> = values
                .chunks(INNER)
                .filter(|chunk| **chunk != empty[..INNER])
                .flatten()
                .copied()
                .collect();
            assert!(written == stored);
            match last {
                None => assert_eq!(groups, 0),
                Some((start, bytes)) => {
                    let place = if at_start { 0 } else { offset };
                    assert_eq!((start, bytes.len()), (place, index));
                }
            }
        }
    }
}

#[test]
fn of_large_inner_chunks_each_thread_has_one_and_all_are_written_before_the_next() {
    let size = (COUNT * INNER) as u64;
    let document = document(size, size, &sharding(INNER as u64, &json!(["bytes"])));
    let array = open(Arc::new(MemoryStore::new()), &document, &Arc::default());
    let blocking = array.store().capabilities();
    for (capabilities, threads, expected) in [
        (blocking, 1, vec![Step::Work(2), Step::Append(2), Step::Append(1), Step::Append(1)]),
        (blocking, 3, vec![Step::Work(3), Step::Append(0), Step::Work(2), Step::Append(1)]),
        (blocking.with_blocking(false), 3, vec![Step::Work(3), Step::Append(2), Step::Append(1)]),
    ] {
        let resolved = array.resolve(&Selection::all()).unwrap();
        let mut plan =
            WritePlan::new(Arc::clone(array.layout()), resolved, options(threads, GROUP)).unwrap();
        plan.fit(capabilities, threads).unwrap();
        let values = Arc::new(plan.values(values(COUNT * INNER), Vec::new()).unwrap());
        let mut machine = WriteMachine::new(&plan, values, capabilities);
        machine.begin(&plan, 0);
        let mut steps = Vec::new();
        drive(&mut machine, &mut steps);
        assert_eq!(steps.pop(), Some(Step::Commit(Commit::Finish)));
        assert_eq!(steps, expected);
    }
}

/// A piece of an object, and where it goes.
type Placed = (u64, Vec<u8>);

/// Does what a machine asks for; what it wrote piece by piece, and the last one, with the index, unless
/// it deletes the object.
fn drive(machine: &mut WriteMachine<'_>, steps: &mut Vec<Step>) -> (Vec<Placed>, Option<Placed>) {
    let joined = |machine: &WriteMachine<'_>| {
        let bytes = |part: &Part<'_>| match part {
            Part::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        };
        machine.parts().iter().flat_map(bytes).collect::<Vec<_>>()
    };
    let mut pieces = Vec::new();
    loop {
        let step = machine.next().unwrap();
        steps.push(step);
        let (units, appends) = match step {
            Step::Work(units) => (units, false),
            Step::Append(units) => (units, true),
            Step::Commit(Commit::Finish) => {
                return (pieces, Some((machine.offset(), joined(machine))));
            }
            Step::Commit(Commit::Delete) => return (pieces, None),
            other => panic!("{other:?}"),
        };
        if appends {
            pieces.push((machine.offset(), joined(machine)));
        }
        let mut scratch = Scratch::default();
        (0..units).for_each(|unit| machine.run(unit, &mut scratch).unwrap());
        if appends {
            // The units are done, and what is written beside them is still what it was.
            assert_eq!(machine.next().unwrap_err().kind(), Kind::InvalidArgument);
            assert_eq!(pieces.last(), Some(&(machine.offset(), joined(machine))));
            machine.committed();
        }
    }
}
