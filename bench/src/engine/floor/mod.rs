//! The least that must be done: move the bytes, run the bare codec, put the elements in place. It
//! knows beforehand where every chunk is, and plans, checks and allocates next to nothing.

mod crew;
mod read;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};

pub(super) use self::read::Reader;
pub(super) use self::write::Writer;
use super::Result;
use crate::workload::usize_of;

/// A request is dealt out to threads in about so many parts.
const PARTS: usize = 64;

fn part(place: &Range<u64>) -> Range<usize> {
    usize_of(place.start)..usize_of(place.end)
}

/// The key of the object at `position`, under the default key encoding.
fn key(position: &[u64]) -> String {
    position.iter().fold("c".to_owned(), |key, at| format!("{key}/{at}"))
}

/// The file of the object at `position`.
fn file(folder: &Path, position: &[u64]) -> PathBuf {
    folder.join(key(position))
}

/// Where a shard's inner chunks are: the pairs before the checksum at its end.
fn index(shard: &[u8], count: usize) -> Result<Vec<Range<u64>>> {
    let start = shard.len().checked_sub(count * 16 + 4).ok_or("the shard is too short")?;
    let (pairs, _) = shard[start..shard.len() - 4].as_chunks::<16>();
    let range = |pair: &[u8; 16]| {
        let [offset, length] = [0, 8].map(|at| {
            pair[at..at + 8].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        });
        offset..offset + length
    };
    Ok(pairs.iter().map(range).collect())
}

/// The index of a shard whose inner chunks are at `places`, with its checksum.
fn index_bytes(places: &[Range<u64>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(places.len() * 16 + 4);
    for place in places {
        bytes.extend_from_slice(&place.start.to_le_bytes());
        bytes.extend_from_slice(&(place.end - place.start).to_le_bytes());
    }
    let checksum = crc_fast::crc32_iscsi(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}
