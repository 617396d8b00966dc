//! A file without a name: for what has to be kept until it is written, and does not fit into memory.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, OFlags};

use super::object::read_at;
use super::write::Writer;
use super::{failed, system};
use crate::buffer::{Buffer, addressable, reuse};
use crate::error::{Result, ResultExt};
use crate::store::{Answer, Content, Object, Part, Piece, Span, Version};

/// A file that goes when the process does, or this.
#[derive(Debug)]
pub(in crate::store) struct Spool {
    file: OwnedFd,
    length: Mutex<u64>,
}

impl Spool {
    /// A new file, in the file system of a folder.
    pub(in crate::store) fn new(folder: &Path) -> Result<Self> {
        let open = || {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let folder = system::open_anywhere(CWD, folder.as_os_str(), flags)?;
            system::nameless(folder.as_fd())
        };
        let file = open().map_err(|errno| failed(errno, "no file can be made for what is written"));
        let file = file.context("folder", || folder.display())?;
        Ok(Self { file, length: Mutex::new(0) })
    }

    /// Puts bytes at the end; where that is.
    pub(in crate::store) fn append(&self, bytes: &[u8]) -> Result<u64> {
        // Each has its place before it is written, so that several are written at the same time.
        let start = {
            let mut length = self.length();
            let start = *length;
            *length = start.saturating_add(bytes.len() as u64);
            start
        };
        let content = Content { parts: &[Part::Bytes(bytes)], base: None };
        Writer::new(self.file.as_fd(), start).write(&content)?;
        Ok(start)
    }

    /// Bytes that were put there.
    pub(in crate::store) fn bytes(&self, range: Range<u64>, mut spare: Vec<u8>) -> Result<Vec<u8>> {
        let length = addressable(range.end.saturating_sub(range.start))?;
        read_at(self.file.as_fd(), range.start, reuse(&mut spare, length)?)?;
        Ok(spare)
    }

    fn length(&self) -> std::sync::MutexGuard<'_, u64> {
        self.length.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for Spool {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        let object_size = *self.length();
        let piece = span.of(object_size).and_then(|range| {
            let start = range.start;
            let bytes = Buffer::Owned(self.bytes(range, spare)?);
            Ok(Some(Piece { start, object_size, bytes }))
        });
        Answer::ready(piece)
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        Answer::ready(read_at(self.file.as_fd(), start, memory).map(|()| true))
    }

    fn size(&self) -> Option<u64> {
        Some(*self.length())
    }

    fn version(&self) -> Option<Version> {
        None
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        Answer::ready(Ok(true))
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}
