//! Objects while threads write them.
#![expect(unsafe_code, reason = "threads write different parts of one object")]

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use super::plan::Object;
use super::{NOWHERE, Stored};
use crate::Result;
use crate::floor::files;
use crate::floor::memory::Memory;

/// What is written to.
pub(super) enum Target {
    File(OwnedFd),
    Memory(Memory),
    /// Nothing any more.
    Taken,
}

/// An object that is several groups.
pub(super) struct Draft {
    target: RwLock<Target>,
    /// Where the next group goes whose place is not fixed.
    pub(super) end: AtomicU64,
    /// Groups that are not written yet.
    pub(super) left: AtomicUsize,
    pub(super) places: Mutex<Vec<(u64, u64)>>,
}

impl Draft {
    pub(super) fn new(object: &Object, target: Target) -> Self {
        Self {
            target: RwLock::new(target),
            end: AtomicU64::new(object.fixed),
            left: AtomicUsize::new(object.groups),
            places: Mutex::new(vec![NOWHERE; object.parts]),
        }
    }

    /// A place for so many bytes.
    pub(super) fn reserve(&self, length: usize) -> u64 {
        self.end.fetch_add(length as u64, Ordering::AcqRel)
    }

    /// Writes to a place that nobody else writes to.
    pub(super) fn write(&self, at: u64, pieces: [&[u8]; 2]) -> Result<()> {
        match &*self.target.read().unwrap_or_else(PoisonError::into_inner) {
            Target::File(file) => files::write(file, pieces, at),
            Target::Memory(memory) => {
                let mut start = usize::try_from(at)?;
                for piece in pieces {
                    // SAFETY: places are given out once.
                    unsafe { memory.part(start..start + piece.len()) }.copy_from_slice(piece);
                    start += piece.len();
                }
                Ok(())
            }
            Target::Taken => Err("an object is finished".into()),
        }
    }

    /// Copies a range of a file to a place that nobody else writes to.
    pub(super) fn copy(&self, from: BorrowedFd, range: (u64, usize), at: u64) -> Result<()> {
        match &*self.target.read().unwrap_or_else(PoisonError::into_inner) {
            Target::File(file) => files::copy(from, range, file, at),
            _ => Err("an object is no file".into()),
        }
    }

    /// What was written to.
    pub(super) fn take(&self) -> Target {
        let mut target = self.target.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut target, Target::Taken)
    }
}

impl Stored {
    /// An object of two pieces.
    pub(super) fn of(pieces: [&[u8]; 2]) -> Result<Self> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let memory = Memory::new(length, false)?;
        let mut start = 0;
        for piece in pieces {
            // SAFETY: nobody else has this memory yet.
            unsafe { memory.part(start..start + piece.len()) }.copy_from_slice(piece);
            start += piece.len();
        }
        Ok(Self { memory, length })
    }

    pub(super) fn range(&self, offset: u64, length: usize) -> Result<&[u8]> {
        let start = usize::try_from(offset)?;
        if start.checked_add(length).is_none_or(|end| end > self.length) {
            return Err("an object is too short".into());
        }
        // SAFETY: inside of what was written before the object was stored; nothing writes it since.
        Ok(unsafe { self.memory.written(start..start + length) })
    }
}

/// Bytes of an index of so many parts.
pub(super) fn index_length(parts: usize) -> usize {
    parts * 16 + 4
}

/// The index of a shard whose parts are at `places`, with its checksum.
pub(super) fn index(places: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(index_length(places.len()));
    for (offset, length) in places {
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
    }
    let checksum = u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes));
    bytes.extend_from_slice(&checksum.unwrap_or_default().to_le_bytes());
    bytes
}
