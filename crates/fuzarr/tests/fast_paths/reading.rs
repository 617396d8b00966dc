//! Fast paths of reading.

use std::sync::Arc;

use fuzarr::plan::{FastPath, ReadOptions, WriteOptions};
use fuzarr::store::{LocalStore, Metered, Store, WholeObjects};
use fuzarr::{Limits, Selection};
use serde_json::{Value, json};

use super::{
    ORDERS, bytes_read, document, filled, keen, little, local, open, raw, read_both, reading,
    reads, select, sharding, stored, taken, values, writing, zstd,
};

#[test]
fn part_of_a_shard() {
    // Seen to fail when the index was asked for at the other end of the shard.
    for location in ["start", "end"] {
        for order in ORDERS {
            let document = document(&[40, 30], &[20, 20], &sharding(&[5, 4], &zstd(), location));
            let (store, array) = filled(&document);
            let options = WriteOptions { order, ..writing() };
            array.write_bytes(&Selection::all(), &values(&array, 2), &options).unwrap();
            let on = ReadOptions { index_cache: false, ..reading() };
            let off = ReadOptions { partial_reads: false, ..on.clone() };
            for (text, shards) in [("3, 7", 1), ("19:21, 5", 2), ("::39, ::29", 4), ("-1", 2)] {
                let count = read_both(&array, FastPath::PartialRead, text, (&on, &off));
                assert_eq!(count, shards, "{text}");
            }
            // Everything is wanted: one request is better.
            assert_eq!(read_both(&array, FastPath::PartialRead, "", (&on, &off)), 0);
            let cost = |options| {
                let before = bytes_read(&store);
                array.read_bytes(&select("3, 7"), options).unwrap();
                bytes_read(&store) - before
            };
            assert!(cost(&on) < cost(&off), "no fewer bytes");
        }
    }
}

#[test]
fn ranges_that_are_near_each_other() {
    // Seen to fail when a joined range kept the end of its first part.
    for (location, order) in [("start", ORDERS[0]), ("end", ORDERS[2])] {
        let document = document(&[16, 16], &[16, 16], &sharding(&[4, 4], &zstd(), location));
        let (store, array) = filled(&document);
        let options = WriteOptions { order, ..writing() };
        array.write_bytes(&Selection::all(), &values(&array, 3), &options).unwrap();
        let on = ReadOptions { index_cache: false, ..reading() };
        let off = ReadOptions { coalesce_gap: 0, ..on.clone() };
        for (text, chunks) in [("::8, ::8", 4), ("0", 4), ("[0, 5, 15], 3", 3), ("2", 4)] {
            let before = reads(&store);
            assert_eq!(read_both(&array, FastPath::Coalesced, text, (&on, &off)), chunks - 1);
            // An index and one range; an index and each range by itself.
            assert_eq!(reads(&store) - before, 2 + 1 + chunks, "{text}");
        }
    }
}

#[test]
fn uncompressed_inner_chunks_in_a_run() {
    // Seen to fail when each was copied from its second element on.
    let big = json!([{"name": "bytes", "configuration": {"endian": "big"}}]);
    let turned = json!([{"name": "transpose", "configuration": {"order": [1, 0]}}, little()]);
    for codecs in [raw(), big, turned] {
        for order in ORDERS {
            let document = document(&[22, 16], &[16, 16], &sharding(&[4, 4], &codecs, "start"));
            let (_, array) = filled(&document);
            let options = WriteOptions { order, ..writing() };
            array.write_bytes(&Selection::all(), &values(&array, 4), &options).unwrap();
            let on = small_chunks();
            let off = ReadOptions { bulk_decode: false, ..on.clone() };
            for (text, chunks) in [("", 24), ("5:14, ::-3", 12), ("-1, -1", 1), ("[21, 0], 3", 2)] {
                let count = read_both(&array, FastPath::BulkDecode, text, (&on, &off));
                assert_eq!(count, chunks, "{codecs} {text}");
            }
        }
    }
    // Not for what is compressed.
    let (_, array) = filled(&document(&[16], &[16], &sharding(&[4], &zstd(), "end")));
    assert_eq!(
        taken(&array, FastPath::BulkDecode, || array
            .read_bytes(&Selection::all(), &ReadOptions::default()))
        .0,
        0
    );
}

/// Options for which no chunk is large.
fn small_chunks() -> ReadOptions {
    let mut options = reading();
    options.limits.tuning.large_chunk = u64::MAX;
    options
}

#[test]
fn a_part_of_an_uncompressed_inner_chunk() {
    // Seen to fail when the part was taken for the chunk's beginning.
    for (location, inner) in [("start", [8, 16]), ("end", [16, 8])] {
        let codecs = sharding(&inner, &raw(), location);
        let nested = sharding(&[16, 16], &codecs, "end");
        for codecs in [codecs, nested] {
            let (store, array) = filled(&document(&[44, 32], &[32, 32], &codecs));
            for text in ["3, 7", "9:11, 3:", "40, ::5", "[7, 0, 33], 31", "1:3, ::-1"] {
                let bytes = |options: &ReadOptions| {
                    let options =
                        ReadOptions { index_cache: false, coalesce_gap: 0, ..options.clone() };
                    let before = bytes_read(&store);
                    let read = array.read_bytes(&select(text), &options).unwrap();
                    (read, bytes_read(&store) - before)
                };
                let ((fast, few), (slow, many)) = (bytes(&reading()), bytes(&small_chunks()));
                assert_eq!(fast, slow, "{text}");
                assert!(few < many, "{text}: {few} bytes, not fewer than {many}");
                let options = ReadOptions { index_cache: false, coalesce_gap: 0, ..reading() };
                let explained = array.explain_exactly(&select(text), &options).unwrap();
                assert_eq!(explained.fetched.exact(), Some(few), "{text}");
            }
        }
    }
}

#[test]
fn parts_of_many_inner_chunks_come_in_batches() {
    // Seen to fail: all were fetched at once, with what lies between them.
    let (store, array) = filled(&document(&[1024], &[1024], &sharding(&[32], &raw(), "end")));
    let mut options = ReadOptions { index_cache: false, ..reading() };
    options.limits.tuning.fetched = 200;
    let before = reads(&store);
    let read = array.read_bytes(&select("::32"), &options).unwrap();
    // An index, and four inner chunks of 64 bytes at a time.
    assert_eq!(reads(&store) - before, 1 + 32 / 4);
    assert_eq!(read, array.read_bytes(&select("::32"), &small_chunks()).unwrap());
}

#[test]
fn decoding_into_the_output() {
    // Seen to fail when rows that are not adjacent in the output were taken for a whole chunk.
    let big = json!([
        {"name": "bytes", "configuration": {"endian": "big"}},
        {"name": "zstd", "configuration": {"level": 1, "checksum": false}},
    ]);
    let cases = [
        (document(&[60], &[16], &zstd()), "", 3),
        (document(&[60], &[16], &zstd()), "1:40", 1),
        (document(&[60], &[16], &zstd()), "::-1", 0),
        (document(&[12, 8], &[4, 8], &zstd()), "", 3),
        (document(&[12, 8], &[4, 4], &zstd()), "", 0),
        (document(&[12, 8], &[4, 4], &zstd()), ":, 4:", 3),
        (document(&[12, 8], &[1, 4], &zstd()), "", 24),
        (document(&[64], &[32], &sharding(&[4], &zstd(), "end")), "", 16),
        (document(&[64], &[32], &sharding(&[4], &zstd(), "end")), "6:", 14),
        (document(&[64], &[16], &big), "", 0),
    ];
    for (document, text, chunks) in cases {
        let (_, array) = filled(&document);
        let off = ReadOptions { direct_decode: false, ..reading() };
        let count = read_both(&array, FastPath::DirectDecode, text, (&reading(), &off));
        assert_eq!(count, chunks, "{document} {text}");
    }
}

#[test]
fn decoding_a_part() {
    // Seen to fail when what is wanted was taken to start where the part of it does.
    let coded = |codecs: &[Value]| Value::from([&[little()], codecs].concat());
    let level = |checksum: bool| json!({"name": "zstd", "configuration": {"level": 1, "checksum": checksum}});
    let blosc = json!({"name": "blosc", "configuration": {
        "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 4096,
    }});
    let big = json!([{"name": "bytes", "configuration": {"endian": "big"}}, level(false)]);
    let columns = json!([
        {"name": "transpose", "configuration": {"order": [1, 0]}}, little(), level(false),
    ]);
    let summed = coded(&[level(false), json!({"name": "crc32c"})]);
    let cases = [
        (zstd(), "10:20", 1),
        // All from the first row on, and all up to the last.
        (zstd(), "250:310", 1),
        (zstd(), "", 0),
        (zstd(), ":, 5", 0),
        (zstd(), "199:0:-30, 8:800:3", 1),
        (zstd(), "[3, 7, 301], [5, 9]", 2),
        (big, "10:20", 1),
        (columns, ":, 5:9", 2),
        (summed, "10:20", 1),
        (coded(&[level(true)]), "10:20", 0),
        (coded(&[json!({"name": "crc32c"}), level(false)]), "10:20", 0),
        (coded(&[json!({"name": "gzip", "configuration": {"level": 1}})]), "10:20", 0),
        (coded(std::slice::from_ref(&blosc)), "290:310", 2),
        (coded(std::slice::from_ref(&blosc)), "290:299, 3", 1),
        (sharding(&[100, 1000], &coded(&[blosc]), "end"), "[110, 230]", 2),
    ];
    for (codecs, text, chunks) in cases {
        let (_, array) = filled(&document(&[600, 1000], &[300, 1000], &codecs));
        let off = ReadOptions { partial_decode: false, ..reading() };
        let count = read_both(&array, FastPath::PartialDecode, text, (&reading(), &off));
        assert_eq!(count, chunks, "{codecs} {text}");
    }
}

#[test]
fn reading_into_the_output() {
    // Seen to fail when every target started at the output's first byte.
    let big = json!([{"name": "bytes", "configuration": {"endian": "big"}}]);
    let cases = [
        // Unsharded chunks, and one that ends outside.
        (document(&[60], &[16], &raw()), "", 3),
        (document(&[60], &[16], &raw()), "5:40", 1),
        (document(&[60], &[16], &raw()), "::-1", 0),
        (document(&[12, 8], &[4, 8], &raw()), "1:", 2),
        (document(&[12, 8], &[4, 4], &raw()), "", 0),
        (document(&[64], &[16], &big), "", 0),
        // Inner chunks: neighbours are read at once.
        (document(&[61], &[32], &sharding(&[4], &raw(), "end")), "", 2),
        (document(&[61], &[32], &sharding(&[4], &raw(), "start")), "5:50", 2),
        (document(&[64], &[64], &sharding(&[4], &raw(), "start")), "[4,5,6,7,20]", 0),
        (document(&[12, 8], &[12, 8], &sharding(&[4, 8], &raw(), "end")), "4:", 1),
        (document(&[8, 8], &[8, 8], &sharding(&[2, 4], &raw(), "end")), ":, 4:", 2),
        (document(&[64], &[64], &sharding(&[16], &sharding(&[4], &raw(), "end"), "end")), "20:", 3),
    ];
    for (document, text, targets) in cases {
        let (_folder, store) = local();
        let array = open(store, &document);
        array.write_bytes(&Selection::all(), &values(&array, 5), &writing()).unwrap();
        let off = ReadOptions { direct_reads: false, ..reading() };
        let count = read_both(&array, FastPath::DirectRead, text, (&reading(), &off));
        assert_eq!(count, targets, "{document} {text}");
        // Only what is large is worth a look.
        let small = ReadOptions { limits: Limits::default(), ..reading() };
        let (count, _) = taken(&array, FastPath::DirectRead, || {
            array.read_bytes(&select(text), &small).unwrap()
        });
        assert_eq!(count, 0);
    }
}

/// Waits until the version of a file that was just written is certain.
fn grow_old() {
    std::thread::sleep(super::kept::SETTLED);
}

#[test]
fn indexes_that_are_known() {
    // Seen to fail when the version was not looked at.
    for location in ["start", "end"] {
        for (folder, store) in [(None, filled(&document(&[64], &[64], &raw())).0 as Arc<dyn Store>)]
            .into_iter()
            .chain([local()].map(|(folder, store)| (Some(folder), store as Arc<dyn Store>)))
        {
            let document = document(&[64], &[64], &sharding(&[4], &zstd(), location));
            let array = open(Arc::clone(&store), &document);
            let other = open(store, &document);
            let one = select("[1, 30]");
            let off = ReadOptions { index_cache: false, ..reading() };
            for round in 0..if folder.is_some() { 8 } else { 40_u16 } {
                // Other values, in another order: entries differ, and the size may be the same.
                let options = WriteOptions { order: ORDERS[usize::from(round % 3)], ..writing() };
                let text = if round % 4 < 2 { "::-1" } else { "" };
                other.write_bytes(&select(text), &values(&other, round / 2), &options).unwrap();
                if folder.is_some() {
                    grow_old();
                }
                let read = || array.read_bytes(&one, &reading()).unwrap();
                assert_eq!(taken(&array, FastPath::CachedIndex, read).0, 0, "round {round}");
                assert_eq!(
                    read_both(&array, FastPath::CachedIndex, "[1, 30]", (&reading(), &off)),
                    1
                );
                assert_eq!(read(), other.read_bytes(&one, &off).unwrap());
            }
            // One that was written by this array itself.
            array.write_bytes(&select("5"), &[1, 1], &writing()).unwrap();
            if folder.is_some() {
                // By a version that others may come to have, nothing is kept.
                assert_eq!(read_both(&array, FastPath::CachedIndex, "4:7", (&reading(), &off)), 0);
                grow_old();
            }
            assert_eq!(read_both(&array, FastPath::CachedIndex, "4:7", (&reading(), &off)), 0);
            assert_eq!(read_both(&array, FastPath::CachedIndex, "4:7", (&reading(), &off)), 1);
        }
    }
}

#[test]
fn verifying_reads_indexes_anew() {
    // Seen to fail when the index was taken from the cache: damage of a disk gives no new version.
    let (_folder, store) = local();
    let document = document(&[1 << 17], &[1 << 17], &sharding(&[1 << 15], &raw(), "end"));
    let array = open(store, &document);
    array.write_bytes(&Selection::all(), &values(&array, 5), &writing()).unwrap();
    grow_old();
    array.read_bytes(&select("5"), &ReadOptions::default()).unwrap();
    let (again, _) = taken(&array, FastPath::CachedIndex, || {
        array.read_bytes(&select("5"), &ReadOptions::default()).unwrap()
    });
    assert_eq!(again, 1);
    let (known, found) = taken(&array, FastPath::CachedIndex, || array.verify(|_| {}).unwrap());
    assert!(known == 0 && found.damage.is_empty());
}

#[test]
fn threads_that_help() {
    // Seen to fail when helpers left out the last object of what they had claimed.
    for codecs in [zstd(), raw(), sharding(&[4], &zstd(), "end")] {
        let document = document(&[512 * 8], &[64], &codecs);
        let mut before = Vec::new();
        for workers in [1, 3] {
            let limits = Limits { workers, ..keen() };
            let (_, array) = filled(&document);
            let options = WriteOptions { limits: limits.clone(), ..writing() };
            let write =
                || array.write_bytes(&select("3:-3"), &values(&array, 9)[12..], &options).unwrap();
            let (shared, ()) = taken(&array, FastPath::Shared, write);
            assert_eq!(shared > 0, workers > 1);
            let options = ReadOptions { limits, ..reading() };
            let read = || array.read_bytes(&Selection::all(), &options).unwrap();
            let (shared, read) = taken(&array, FastPath::Shared, read);
            assert_eq!(shared > 0, workers > 1);
            before.push((read, stored(&array)));
        }
        assert!(before[0] == before[1]);
    }
}

#[test]
fn what_is_fetched_of_a_file_is_shared_out() {
    let (_folder, store) = local();
    let array = open(store, &document(&[40, 30], &[40, 30], &zstd()));
    array.write_bytes(&Selection::all(), &values(&array, 1), &WriteOptions::default()).unwrap();
    for workers in [1, 2] {
        let mut off = reading();
        off.limits.workers = workers;
        let mut on = off.clone();
        on.limits.tuning.slab = 50;
        for text in ["", "3:7, ::-2"] {
            let count = read_both(&array, FastPath::Shared, text, (&on, &off));
            assert_eq!(count, workers as u64 - 1);
        }
    }
}

#[test]
fn slabs_of_files_are_moved_as_they_are_read() {
    let turned = json!([{"name": "transpose", "configuration": {"order": [1, 0]}}, little()]);
    for codecs in [raw(), turned] {
        let (_folder, store) = local();
        let array = open(Arc::clone(&store) as _, &document(&[40, 30], &[40, 15], &codecs));
        array.write_bytes(&Selection::all(), &values(&array, 1), &WriteOptions::default()).unwrap();
        let is_turned = codecs != raw();
        // With the pieces that each chunk is read in; what has gaps, or lies across all slabs, is read in one.
        let cases = [
            ("", 6),
            ("::-1, :15", 6),
            ("18::-1, :15", 2),
            ("3:39, :15", 1),
            ("3:39:2, 1:15", 1),
            ("[0, 1, 2, 4, 5, 7, 9, 12, 20, 21, 22, 38, 39], :15", 1),
            ("[39, 0, 1, 1, 30, 2, 7, 8, 20, 21, 22, 5, 6, 9], :15", 1),
        ];
        for (text, pieces) in cases {
            for workers in [1, 2] {
                let mut off = ReadOptions { direct_reads: false, ..reading() };
                off.limits.workers = workers;
                let mut on = ReadOptions { direct_reads: true, ..off.clone() };
                on.limits.tuning.slab = 200;
                let before = (reads(&store), bytes_read(&store));
                let fast = array.read_bytes(&select(text), &on).unwrap();
                let between = (reads(&store), bytes_read(&store));
                let slow = array.read_bytes(&select(text), &off).unwrap();
                let after = (reads(&store), bytes_read(&store));
                assert_eq!(fast.bytes, slow.bytes, "{codecs} {text}");
                let chunks = after.0 - between.0;
                let pieces = if is_turned { 1 } else { pieces };
                // Two threads share the reading of what is read in one piece.
                let is_split = workers == 2 && pieces == 1;
                assert!(between.0 - before.0 == chunks * pieces || is_split, "{codecs} {text}");
                assert_eq!(between.1 - before.1, after.1 - between.1, "{codecs} {text}");
            }
        }
    }
}

#[test]
fn stores_without_ranges_are_asked_for_whole_objects_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = reading();
    options.limits.tuning.slab = 200;
    for codecs in [raw(), zstd()] {
        let whole = Arc::new(WholeObjects(Metered::new(LocalStore::open(folder.path()).unwrap())));
        let array = open(Arc::clone(&whole) as _, &document(&[40, 30], &[40, 30], &codecs));
        let elements = values(&array, 1);
        array.write_bytes(&Selection::all(), &elements, &WriteOptions::default()).unwrap();
        let before = reads(&whole.0);
        let read = array.read_bytes(&select("::-1"), &options).unwrap().bytes;
        assert_eq!(reads(&whole.0) - before, 1);
        assert_eq!(read, elements.chunks(60).rev().flatten().copied().collect::<Vec<u8>>());
    }
}

#[test]
fn large_chunks_that_are_only_moved() {
    // Seen to fail when each slab ended one row short.
    let turned = json!([{"name": "transpose", "configuration": {"order": [1, 0]}}, little()]);
    for codecs in [raw(), turned] {
        let (store, array) = filled(&document(&[40, 30], &[40, 15], &codecs));
        let mut on = ReadOptions { partial_reads: false, direct_reads: false, ..reading() };
        on.limits.tuning.slab = 200;
        let off = ReadOptions { limits: keen(), ..on.clone() };
        let cases = [
            ("", 12),
            ("::-1, 14", 0),
            ("::-3, :15", 2),
            ("[39, 0, 1, 1, 30, 2, 7, 8, 20, 21, 22, 5, 6, 9], :", 4),
            ("0, 0", 0),
        ];
        for missing in [false, true] {
            for (text, slabs) in cases {
                let count = read_both(&array, FastPath::Slabs, text, (&on, &off));
                assert_eq!(count, slabs, "{codecs} {text}");
            }
            let parts = ReadOptions { partial_reads: true, ..on.clone() };
            read_both(&array, FastPath::Slabs, "3:39, :", (&parts, &off));
            if !missing {
                store.delete("a/c/0/0", fuzarr::store::Precondition::None).wait().unwrap();
            }
        }
    }
}
