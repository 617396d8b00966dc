//! Fast paths of writing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuzarr::plan::{FastPath, ReadOptions, WriteOptions};
use fuzarr::store::{MemoryStore, Metered, Precondition, Store, WholeObjects, put_bytes};
use fuzarr::{Array, Limits, Selection, Tuning};
use serde_json::{Value, json};

use super::{
    ORDERS, document, filled, keen, local, open, raw, select, sharding, stored, taken, values,
    writing, zstd,
};

/// Makes the same two writes with each of the options; `path` is taken so often by the second with
/// the first, and never with the second. What is stored is the same.
fn write_both(
    document: &Value,
    path: FastPath,
    (text, value): (&str, &[u8]),
    (on, off): (&WriteOptions, &WriteOptions),
) -> u64 {
    let write = |options: &WriteOptions| {
        let (_, array) = filled(document);
        array.write_bytes(&Selection::all(), &values(&array, 1), options).unwrap();
        let (count, ()) =
            taken(&array, path, || array.write_bytes(&select(text), value, options).unwrap());
        (
            count,
            stored(&array),
            array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap(),
        )
    };
    let (count, fast, fast_read) = write(on);
    let (without, slow, slow_read) = write(off);
    assert_eq!(without, 0, "{text}: switched off");
    assert!(fast == slow, "{document} {text}: other bytes");
    assert!(fast_read == slow_read, "{document} {text}: other elements");
    count
}

#[test]
fn one_value_for_many_chunks() {
    // Seen to fail when chunks at the edge were told apart by nothing.
    let nested = sharding(&[4, 4], &sharding(&[2, 4], &zstd(), "end"), "start");
    let cases = [
        // Nine chunks of four extents.
        (document(&[10, 9], &[4, 4], &zstd()), "", 5),
        (document(&[10, 9], &[8, 8], &sharding(&[4, 4], &zstd(), "end")), "", 5),
        // Of fifteen inner chunks: whole ones and those of one column.
        (document(&[10, 9], &[8, 8], &nested), "", 13),
        // Chunks that are changed in part have their own bytes.
        (document(&[14, 13], &[4, 4], &zstd()), "1:, 1:", 5),
        (document(&[16], &[4], &raw()), "2:", 2),
    ];
    for (document, text, known) in cases {
        for value in [[7, 0], [1, 2]] {
            let off = WriteOptions { scalar_memo: false, ..writing() };
            let write = (text, &value[..]);
            let count = write_both(&document, FastPath::ScalarMemo, write, (&writing(), &off));
            assert_eq!(count, known, "{document} {text}");
        }
    }
}

#[test]
fn a_store_in_memory_keeps_what_a_large_chunk_was_encoded_to() {
    // One value is encoded once: its chunks have the same memory, if none of them was copied.
    let keeps = |elements: u64| {
        let store = Arc::new(MemoryStore::new());
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let array = open(shared, &document(&[2 * elements], &[elements], &raw()));
        array.write_bytes(&Selection::all(), &[1, 2], &writing()).unwrap();
        let objects = store.snapshot().unwrap();
        let [(_, one), (_, other)] = &objects[..] else { panic!("{} objects", objects.len()) };
        assert_eq!(one, other);
        one.as_ptr() == other.as_ptr()
    };
    assert!(keeps(200_000));
    assert!(!keeps(100_000));
}

#[test]
fn part_of_a_shard_is_fetched_and_the_rest_kept() {
    // Seen to fail when the parts that are kept were taken to follow each other in the old shard.
    for location in ["start", "end"] {
        for order in ORDERS {
            let document = document(&[24, 20], &[16, 16], &sharding(&[4, 4], &zstd(), location));
            let on = WriteOptions { order, ..writing() };
            let off = WriteOptions { partial_writes: false, ..on.clone() };
            for (text, shards) in [("5, 6", 1), ("4:8, 4:8", 1), ("15:17, 3", 2), ("::23, ::19", 4)]
            {
                for value in [[7, 0], [3, 4]] {
                    let write = (text, &value[..]);
                    let count = write_both(&document, FastPath::PartialWrite, write, (&on, &off));
                    assert_eq!(count, shards, "{text}");
                }
            }
            // In another order than the stored one: the result is as if written anew.
            let (_, array) = filled(&document);
            array.write_bytes(&select("5, 6"), &[3, 4], &on).unwrap();
            let elements =
                array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes;
            let (_, anew) = filled(&document);
            anew.write_bytes(&Selection::all(), &elements, &on).unwrap();
            // The edges of the fourth shard's chunks differ in nothing, since all are whole.
            assert_eq!(stored(&array)[0], stored(&anew)[0]);
        }
    }
}

#[test]
fn what_a_partial_write_costs() {
    // Seen to fail when inner chunks that are replaced whole were fetched too.
    let (store, array) = filled(&document(&[256], &[256], &sharding(&[16], &zstd(), "end")));
    let counts = || {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counts = store.counts();
        [&counts.bytes_read, &counts.bytes_written, &counts.bytes_kept].map(count)
    };
    let index = 16 * 16 + 4;
    let size = |array: &Array| stored(array)[0].1.len() as u64;
    let chunk = |array: &Array, number: usize| {
        let bytes = stored(array)[0].1.clone();
        let entry = bytes.len() - index as usize + number * 16 + 8;
        u64::from_le_bytes(bytes[entry..entry + 8].try_into().unwrap())
    };
    for (text, fetched) in [("20", true), ("16:32", false)] {
        let (old, old_size) = (chunk(&array, 1), size(&array));
        let before = counts();
        array.write_bytes(&select(text), &[9, 9], &writing()).unwrap();
        let after = counts();
        let new = chunk(&array, 1);
        assert_eq!(after[1] - before[1], new + index, "{text}: written");
        assert_eq!(after[2] - before[2], old_size - index - old, "{text}: kept");
        let fetched = if fetched { index + old } else { index };
        // What is kept, the store takes from the version before: nobody reads it.
        assert_eq!(after[0] - before[0], fetched, "{text}: read");
    }
}

/// Entries of a shard's index, in the order of slots.
fn with_entries(document: &Value, entries: &[(u64, u64)]) -> Array {
    let (store, array) = filled(document);
    let (key, bytes) = stored(&array).swap_remove(0);
    let payload = &bytes[..bytes.len() - entries.len() * 16 - 4];
    let mut index: Vec<u8> = Vec::new();
    for (offset, length) in entries {
        index.extend(offset.to_le_bytes());
        index.extend(length.to_le_bytes());
    }
    let checksum = crc32c(&index).to_le_bytes();
    let object = [payload, &index, &checksum].concat();
    put_bytes(&*store, &key, &object, Precondition::None).unwrap();
    array
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            sum >> 1 ^ (0x82f6_3b78 & 0_u32.wrapping_sub(sum & 1))
        })
    })
}

#[test]
fn changing_in_place() {
    // Seen to fail when every change was made where the first inner chunk is.
    let flat = document(&[32], &[32], &sharding(&[4], &raw(), "end"));
    let on = WriteOptions { in_place: true, ..writing() };
    let mut fills = vec![(flat.clone(), "5", 1), (flat.clone(), "3:9", 3)];
    let start = document(&[16, 8], &[16, 8], &sharding(&[4, 4], &raw(), "start"));
    fills.push((start, "3:6, 2", 2));
    let nested = sharding(&[8], &sharding(&[4], &raw(), "start"), "end");
    fills.push((document(&[32], &[32], &nested), "9", 1));
    for (document, text, chunks) in &fills {
        let write = (*text, &[3, 3][..]);
        let count = write_both(document, FastPath::Patch, write, (&on, &writing()));
        assert_eq!(count, *chunks, "{document} {text}");
    }
    // Only the changed inner chunk is written.
    let (store, array) = filled(&flat);
    let written = || store.counts().bytes_written.load(Ordering::Relaxed);
    let before = written();
    array.write_bytes(&select("5"), &[3, 3], &on).unwrap();
    assert_eq!(written() - before, 8);
}

#[test]
fn what_cannot_be_changed_in_place_is_written_anew() {
    // Seen to fail when places that overlap were changed each by itself.
    let on = WriteOptions { in_place: true, ..writing() };
    let expect = |array: &Array, text: &str, value: &[u8], on: &WriteOptions| {
        let before = array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes;
        let numbers: Vec<u8> = {
            let positions = document(&[before.len() as u64 / 2], &[64], &raw());
            let (_, plain) = filled(&positions);
            plain.write_bytes(&Selection::all(), &before, &WriteOptions::default()).unwrap();
            plain.write_bytes(&select(text), value, &WriteOptions::default()).unwrap();
            plain.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes
        };
        let (count, ()) =
            taken(array, FastPath::Patch, || array.write_bytes(&select(text), value, on).unwrap());
        assert_eq!(count, 0, "{text}");
        assert_eq!(
            array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes,
            numbers,
            "{text}"
        );
        assert!(array.verify(|_| {}).unwrap().damage.is_empty());
    };
    let flat = document(&[16], &[16], &sharding(&[4], &raw(), "end"));
    // Two slots share bytes, or a part of them; one of them is wanted.
    for entries in [
        [(0, 8), (8, 8), (8, 8), (24, 8)],
        [(0, 8), (4, 8), (16, 8), (24, 8)],
        [(0, 8), (8, 8), (12, 8), (30, 8)],
    ] {
        for text in ["5", "9", "5:12"] {
            expect(&with_entries(&flat, &entries), text, &[3, 3], &on);
        }
    }
    // Nothing is stored there yet, or nothing will be.
    let max = u64::MAX;
    let hole = [(0, 8), (max, max), (16, 8), (24, 8)];
    for text in ["5", "3:6", "4:8"] {
        expect(&with_entries(&flat, &hole), text, &[3, 3], &on);
    }
    expect(&filled(&flat).1, "4:8", &[7, 0], &on);
    expect(&filled(&flat).1, "3:8", &[7, 0], &on);
    // Other sizes, codecs around the shard, a whole shard.
    let zipped = document(&[64], &[64], &sharding(&[32], &zstd(), "end"));
    expect(&filled(&zipped).1, ":20", &[3, 3], &on);
    let mut sealed = sharding(&[4], &raw(), "end");
    sealed.as_array_mut().unwrap().push(json!({"name": "crc32c"}));
    expect(&filled(&document(&[16], &[16], &sealed)).1, "5", &[3, 3], &on);
    expect(&filled(&flat).1, "", &[3, 3], &on);
    // A store that cannot.
    let store: Arc<dyn Store> = Arc::new(WholeObjects(MemoryStore::new()));
    let array = open(store, &flat);
    array.write_bytes(&Selection::all(), &values(&array, 1), &on).unwrap();
    expect(&array, "5", &[3, 3], &on);
}

#[test]
fn shards_written_as_they_are_encoded() {
    // Seen to fail when the first inner chunk was put where an index stands at the start.
    for location in ["start", "end"] {
        for order in ORDERS {
            for codecs in [raw(), zstd()] {
                let document =
                    document(&[20, 40], &[16, 16], &sharding(&[4, 4], &codecs, location));
                for group in [1, 100, 1 << 20] {
                    let tuning = Tuning { group, ..keen().tuning };
                    let limits = Limits { tuning, ..keen() };
                    let on = WriteOptions { order, limits, ..writing() };
                    let off = WriteOptions { streaming: false, ..on.clone() };
                    stream_both(&document, (&on, &off));
                }
            }
        }
    }
}

fn stream_both(document: &Value, (on, off): (&WriteOptions, &WriteOptions)) {
    let (_folder, files) = local();
    let memory: Arc<dyn Store> = Arc::new(Metered::new(MemoryStore::new()));
    let arrays = [open(memory, document), open(files, document)];
    let (_, slow) = filled(document);
    for array in arrays {
        // All; some inner chunks and one whole shard empty; all empty.
        let all = values(&array, 1);
        let mut some = all.clone();
        for (at, value) in some.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let (row, column) = (at / 40, at % 40);
            if column < 16 && row < 16 || column / 4 % 2 == 0 && row % 8 < 4 {
                *value = [7, 0];
            }
        }
        let none = [7, 0].repeat(all.len() / 2);
        for (elements, empty) in [(&all, false), (&some, false), (&some, true), (&none, false)] {
            let with = |options: &WriteOptions| WriteOptions {
                write_empty_chunks: empty,
                ..options.clone()
            };
            let (count, ()) = taken(&array, FastPath::Streaming, || {
                array.write_bytes(&Selection::all(), elements, &with(on)).unwrap();
            });
            assert_eq!(count, 6);
            let (count, ()) = taken(&slow, FastPath::Streaming, || {
                slow.write_bytes(&Selection::all(), elements, &with(off)).unwrap();
            });
            assert_eq!(count, 0);
            assert!(stored(&array) == stored(&slow), "{document} {on:?}");
            assert_eq!(
                array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes,
                *elements
            );
        }
    }
}

#[test]
fn threads_inside_a_chunk() {
    // Seen to fail when frames were made in jobs only where threads were idle.
    let (size, half) = (18 << 20, 9 << 20);
    let chunks = document(&[size], &[size], &zstd());
    let shard = document(&[size], &[size], &sharding(&[size], &zstd(), "end"));
    let beside = document(&[2 * size], &[size], &zstd());
    for document in [chunks, shard, beside] {
        let write = |workers| {
            let limits = Limits { workers, ..Limits::default() };
            let (write, read) = (
                WriteOptions { limits: limits.clone(), ..WriteOptions::default() },
                ReadOptions { limits, ..ReadOptions::default() },
            );
            let array = open(Arc::new(MemoryStore::new()), &document);
            let values = values(&array, 1);
            array.write_bytes(&Selection::all(), &values, &write).unwrap();
            let all = array.read_bytes(&Selection::all(), &read).unwrap();
            assert!(all.bytes == values);
            let part = array.read_bytes(&select(&format!("{half}:{}", half + 9)), &read).unwrap();
            assert_eq!(part.bytes, values[2 * half as usize..][..18]);
            stored(&array)
        };
        let one = write(1);
        for workers in [2, 5] {
            assert!(write(workers) == one, "{document}: {workers} workers");
        }
    }
}
