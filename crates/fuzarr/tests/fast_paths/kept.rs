//! Chunks that are kept decoded.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use fuzarr::Array;
use fuzarr::metadata::Node;
use fuzarr::plan::{FastPath, ReadOptions, WriteOptions};
use fuzarr::store::{
    Answer, Capabilities, Content, Listing, MemoryStore, Object, Piece, Precondition, Span, Store,
    Version,
};
use serde_json::{Value, json};

use super::{
    bytes_read, document, filled, local, open, raw, read_both, reading, reads, select, sharding,
    taken, values, writing, zstd,
};

/// Longer than a file counts as just changed.
pub(super) const SETTLED: Duration = Duration::from_millis(150);

fn keeping(most: u64) -> ReadOptions {
    ReadOptions { chunk_cache: most, ..reading() }
}

/// Layouts of 64 elements, and how many chunks hold something of `3:60`.
fn layouts() -> Vec<(Value, u64)> {
    let big = json!([{"name": "bytes", "configuration": {"endian": "big"}}]);
    let nested = sharding(&[16], &sharding(&[4], &zstd(), "end"), "start");
    vec![
        (document(&[64], &[8], &zstd()), 8),
        (document(&[64], &[8], &raw()), 8),
        (document(&[60], &[8], &big), 8),
        (document(&[64], &[32], &sharding(&[4], &zstd(), "end")), 15),
        (document(&[64], &[64], &sharding(&[4], &raw(), "start")), 15),
        (document(&[64], &[32], &nested), 15),
    ]
}

#[test]
fn chunks_that_are_known_are_not_fetched() {
    // Seen to fail when the version was not looked at, and when the place in the object was not.
    for (document, chunks) in layouts() {
        let (folder, stored) = local();
        for (store, wait, count) in [
            (Arc::clone(&stored) as Arc<dyn Store>, SETTLED, true),
            (filled(&document).0 as Arc<dyn Store>, Duration::ZERO, false),
        ] {
            let array = open(Arc::clone(&store), &document);
            let other = open(store, &document);
            // None is large enough to be read in part.
            let (mut on, off) = (keeping(1 << 20), reading());
            on.limits.tuning.large_chunk = u64::MAX;
            for round in 0..3 {
                other.write_bytes(&select(""), &values(&other, round), &writing()).unwrap();
                thread::sleep(wait);
                let cold = || array.read_bytes(&select("3:60"), &on).unwrap();
                assert_eq!(taken(&array, FastPath::CachedChunk, cold).0, 0, "{document}");
                let before = (reads(&stored), bytes_read(&stored));
                for text in ["3:60", "59:2:-3", "[17, 3, 50]"] {
                    let hits = read_both(&array, FastPath::CachedChunk, text, (&on, &off));
                    assert!(hits > 0 && (text != "3:60" || hits == chunks), "{document} {text}");
                }
                // Only those without the cache have read something.
                let without = (reads(&stored), bytes_read(&stored));
                assert!(!count || without > before);
                let explained = array.explain_exactly(&select("5:59"), &on).unwrap();
                assert_eq!(explained.decoded.exact(), Some(0), "{document}");
                let before = bytes_read(&stored);
                let read = || array.read_bytes(&select("5:59"), &on).unwrap();
                assert!(taken(&array, FastPath::CachedChunk, read).0 > 0);
                let fetched = bytes_read(&stored) - before;
                assert!(!count || explained.fetched.exact() == Some(fetched), "{document}");
                // The indexes of shards in shards are not kept.
                let is_nested = document.to_string().matches("sharding_indexed").count() > 1;
                assert_eq!(fetched == 0, !(is_nested && count), "{document}");
            }
        }
        drop(folder);
    }
}

#[test]
fn chunks_stay_known_when_an_array_grows_and_not_when_it_shrinks() {
    // Seen to fail: each append, and each change of attributes, let go of all that was known, also for
    // the array's clones.
    for (document, chunks) in layouts() {
        let Node::Array(metadata) = Node::from_json(&document).unwrap() else { panic!() };
        let mut array = Array::create(Arc::new(MemoryStore::new()), "a", *metadata).unwrap();
        array.write_bytes(&select(""), &values(&array, 1), &writing()).unwrap();
        let (mut on, off, last) = (keeping(1 << 20), reading(), array.shape()[0]);
        on.limits.tuning.large_chunk = u64::MAX;
        let read =
            |array: &Array, text: &str| read_both(array, FastPath::CachedChunk, text, (&on, &off));
        read(&array, "");
        assert_eq!(read(&array, "3:60"), chunks, "{document}");
        let clone = array.clone();
        array.update_attributes(|_| Ok(())).unwrap();
        assert_eq!(read(&array, "3:60"), chunks, "{document}");
        array.append_with((&[1; 16], &[]), 0, &writing()).unwrap();
        // The chunk at the end, if it is not complete, is another one now.
        assert!(read(&array, "3:56") > 0, "{document}");
        read(&array, &format!("{}:", last - 8));
        array.resize(&[last + 100]).unwrap();
        assert!(read(&array, "3:56") > 0, "{document}");
        assert!(read(&clone, "3:56") > 0, "{document}");
        array.resize(&[last - 1]).unwrap();
        assert_eq!(array.layout().chunks().bytes(), 0, "{document}");
        array.resize(&[last + 8]).unwrap();
        read(&array, "");
        assert!(read(&array, "3:56") > 0, "{document}");
    }
}

#[test]
fn only_what_is_not_known_is_fetched() {
    // Seen to fail when the place in the object was not looked at.
    let document = document(&[1024], &[1024], &sharding(&[32], &zstd(), "end"));
    let (store, array) = filled(&document);
    let on = keeping(1 << 20);
    let cost = |text: &str| {
        let explained = array.explain_exactly(&select(text), &on).unwrap();
        let before = (reads(&store), bytes_read(&store));
        let read = array.read_bytes(&select(text), &on).unwrap();
        assert_eq!(read, array.read_bytes(&select(text), &reading()).unwrap());
        let off = (reads(&store), bytes_read(&store));
        array.read_bytes(&select(text), &reading()).unwrap();
        let twice = (reads(&store) - off.0, bytes_read(&store) - off.1);
        let cost = (off.0 - before.0 - twice.0, off.1 - before.1 - twice.1);
        assert_eq!(explained.requests.exact(), Some(cost.0), "{text}");
        assert_eq!(explained.fetched.exact(), Some(cost.1), "{text}");
        cost
    };
    assert_eq!(cost("0:512").0, 2, "the index, and a range");
    assert_eq!(cost("32:500"), (0, 0));
    assert_eq!(cost("").0, 1, "the other half");
    assert_eq!(cost(""), (0, 0));
    // A whole shard of which nothing is known takes one request, and leaves its index and its chunks.
    array.write_bytes(&select("7"), &[1, 0], &writing()).unwrap();
    assert_eq!(cost("").0, 1);
    assert_eq!(cost("40:50"), (0, 0));
}

#[test]
fn elements_of_variable_size_are_known_with_their_bytes() {
    let codecs = json!([{"name": "vlen-utf8"}, {"name": "zstd", "configuration": {"level": 1, "checksum": false}}]);
    for codecs in [codecs.clone(), sharding(&[4], &codecs, "end")] {
        let mut document = document(&[30], &[8], &codecs);
        document["data_type"] = json!("string");
        document["fill_value"] = json!("fill");
        let array = open(Arc::new(MemoryStore::new()), &document);
        let mut elements = fuzarr::codec::Elements::default();
        (0..20).for_each(|number| elements.push_variable("ab\u{e9}".repeat(number).as_bytes()));
        array.write_elements(&select("0:20"), &elements, &WriteOptions::default()).unwrap();
        let (on, off) = (keeping(1 << 20), reading());
        let text = |options: &ReadOptions, part: &str| {
            let read = array.read_bytes(&select(part), options).unwrap();
            let elements = fuzarr::codec::Elements { slots: read.bytes, heap: read.heap };
            elements.variable().map(|text| text.unwrap().to_vec()).collect::<Vec<_>>()
        };
        for part in ["", "::-3", "[7, 7, 25, 1]"] {
            let (_, cold) = taken(&array, FastPath::CachedChunk, || text(&on, part));
            let (hits, warm) = taken(&array, FastPath::CachedChunk, || text(&on, part));
            assert!(hits > 0);
            assert_eq!((&cold, &warm), (&text(&off, part), &cold));
        }
        let slots = 3 * 8 * 16;
        let heap: usize = (0..20).map(|number| 4 * number).sum();
        assert!(array.layout().chunks().bytes() > (slots + heap) as u64);
    }
}

#[test]
fn no_more_is_kept_than_was_asked_for_and_what_was_used_last_stays() {
    // Seen to fail when what was used last went first.
    let (_, array) = filled(&document(&[1000], &[10], &zstd()));
    let most = 10_000;
    let on = keeping(most);
    let read = |text: &str| {
        let read = || array.read_bytes(&select(text), &on).unwrap();
        let (hits, _) = taken(&array, FastPath::CachedChunk, read);
        assert!(array.layout().chunks().bytes() <= most);
        hits
    };
    assert_eq!((read("0:10"), read("0:10")), (0, 1));
    for start in (10..300).step_by(10) {
        assert_eq!((read(&format!("{start}")), read("0")), (0, 1), "{start}");
    }
    assert_eq!(read("10"), 0, "it had to make way");
    assert!(array.layout().chunks().bytes() > most / 2);
    // With less, less is kept; and with less than a chunk takes, none is.
    array.read_bytes(&select("500"), &keeping(1000)).unwrap();
    assert!((1..=1000).contains(&array.layout().chunks().bytes()));
    let (_, array) = filled(&document(&[1000], &[10], &zstd()));
    for _ in 0..2 {
        let read = || array.read_bytes(&select("0:30"), &keeping(500)).unwrap();
        assert_eq!(taken(&array, FastPath::CachedChunk, read).0, 0);
    }
    assert_eq!(array.layout().chunks().bytes(), 0);
}

#[test]
fn parts_of_large_uncompressed_chunks_are_read_in_part_as_ever() {
    let (store, array) = filled(&document(&[4096], &[4096], &sharding(&[1024], &raw(), "end")));
    let (on, off) = (ReadOptions { coalesce_gap: 0, ..keeping(1 << 20) }, reading());
    array.read_bytes(&select("5:9"), &off).unwrap();
    for _ in 0..2 {
        let before = bytes_read(&store);
        let read = |options| array.read_bytes(&select("5:9"), options).unwrap();
        assert_eq!(read(&on), read(&off));
        assert_eq!(bytes_read(&store) - before, 2 * 8);
    }
    assert_eq!(array.layout().chunks().bytes(), 0);
    // One that is known is better than a part.
    array.read_bytes(&select("0:1024"), &on).unwrap();
    assert_eq!(read_both(&array, FastPath::CachedChunk, "5:9", (&on, &off)), 1);
}

#[test]
fn files_that_are_changed_all_the_time_are_read_as_they_are() {
    // By somebody who writes them in place, as fast as can be: size and file stay the same.
    let (folder, store) = local();
    let array = open(store, &document(&[4], &[4], &raw()));
    let path = folder.path().join("a/c/0");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for round in 0..2000_u16 {
        std::fs::write(&path, round.to_ne_bytes().repeat(4)).unwrap();
        for _ in 0..2 {
            let read = array.read_bytes(&select(""), &keeping(1 << 20)).unwrap();
            assert_eq!(read.bytes, round.to_ne_bytes().repeat(4));
        }
    }
}

type Tell = fn(Version) -> Option<Version>;

/// A store in memory whose versions are what `tell` makes of them.
#[derive(Debug)]
struct Vague {
    store: MemoryStore,
    tell: Tell,
}

#[derive(Debug)]
struct VagueObject {
    object: Box<dyn Object>,
    tell: Tell,
}

impl Object for VagueObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        self.object.read(span, spare)
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        self.object.read_into(start, memory)
    }

    fn size(&self) -> Option<u64> {
        self.object.size()
    }

    fn version(&self) -> Option<Version> {
        self.object.version().and_then(self.tell)
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        self.object.is_unchanged()
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Store for Vague {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        let object = self.store.open(key).wait();
        let vague = |object| Box::new(VagueObject { object, tell: self.tell }) as Box<dyn Object>;
        Answer::ready(object.map(|object| object.map(vague)))
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

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.store.delete_all(prefix)
    }
}

#[test]
fn objects_without_certain_versions_are_read_anew() {
    // Seen to fail when a tentative version was taken for a certain one.
    let tells: [(Tell, bool); 3] =
        [(|_| None, false), (|version| Some(version.tentative()), false), (Some, true)];
    for (document, _) in layouts() {
        for (tell, kept) in tells {
            let array = open(Arc::new(Vague { store: MemoryStore::new(), tell }), &document);
            array.write_bytes(&select(""), &values(&array, 3), &WriteOptions::default()).unwrap();
            array.read_bytes(&select("3:60"), &keeping(1 << 20)).unwrap();
            assert_eq!(array.layout().chunks().bytes() > 0, kept);
            let (on, off) = (keeping(1 << 20), reading());
            for text in ["3:60", ""] {
                let hits = read_both(&array, FastPath::CachedChunk, text, (&on, &off));
                assert_eq!(hits > 0, kept, "{document}");
            }
        }
    }
}

#[test]
fn threads_that_read_while_others_write_see_nothing_older_than_was_written() {
    let sharded = sharding(&[4], &zstd(), "end");
    for codecs in [zstd(), sharded] {
        let document = document(&[64], &[16], &codecs);
        let store = Arc::new(MemoryStore::new());
        let array = open(Arc::clone(&store) as _, &document);
        let written = AtomicU16::new(0);
        let write = |other: &Array, value: u16| {
            let bytes = value.to_ne_bytes().repeat(64);
            other.write_bytes(&select(""), &bytes, &writing()).unwrap();
            written.store(value, Ordering::SeqCst);
        };
        let other = open(store, &document);
        write(&other, 100);
        thread::scope(|scope| {
            let reader = |most: u64| {
                let (array, written) = (array.clone(), &written);
                move || {
                    let mut last = 0;
                    while last < 400 {
                        let least = written.load(Ordering::SeqCst);
                        let read = array.read_bytes(&select("2:62"), &keeping(most)).unwrap();
                        let values: Vec<u16> = read
                            .bytes
                            .chunks(2)
                            .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
                            .collect();
                        assert!(values.iter().all(|&value| value >= least), "{least}: {values:?}");
                        for chunk in [&values[..14], &values[14..30], &values[46..]] {
                            assert!(chunk.iter().all(|value| *value == chunk[0]), "{values:?}");
                        }
                        assert!(array.layout().chunks().bytes() <= 1 << 20);
                        last = least;
                    }
                }
            };
            for most in [1 << 20, 1 << 20, 3000, 0] {
                scope.spawn(reader(most));
            }
            (101..=400).for_each(|value| write(&other, value));
        });
        let read = || array.read_bytes(&select(""), &keeping(1 << 20)).unwrap();
        read();
        assert!(taken(&array, FastPath::CachedChunk, read).0 > 0);
    }
}
