//! A file without a name: for what has to be kept until it is written, and does not fit into memory.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, OFlags};

use super::object::read_at;
use super::write::Writer;
use super::{failed, system};
use crate::buffer::{Buffer, resized};
use crate::error::{Error, Result, ResultExt};
use crate::store::{Answer, Content, Object, Part, Piece, Span, Version};

/// A file that goes when the process does, or this.
#[derive(Debug)]
pub(in crate::store) struct Spool {
    file: OwnedFd,
    /// The process that made it. A forked child shares the file, and leaves it alone.
    process: u32,
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
        Ok(Self { file, process: process::id(), length: Mutex::new(0) })
    }

    /// Puts bytes at the end; where that is.
    ///
    /// # Errors
    /// Those of the file system; `Io` in a process that did not make the file.
    pub(in crate::store) fn append(&self, bytes: &[u8]) -> Result<u64> {
        self.check_process()?;
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

    /// Bytes that were put there are not needed any more. Their room on the disk is free, where the
    /// file system can do that.
    pub(in crate::store) fn free(&self, range: Range<u64>) {
        if self.process != process::id() || range.is_empty() {
            return;
        }
        {
            let mut length = self.length();
            // Nobody else has had this place: it is the next one's.
            if *length == range.end {
                *length = range.start;
                return;
            }
        }
        // Behind it is something else: without this the file is as long, and as right.
        let _ = system::punch(self.file.as_fd(), range.start, range.end - range.start);
    }

    /// Who made the file may have overwritten anything in it, and is not disturbed.
    fn check_process(&self) -> Result<()> {
        if self.process == process::id() {
            return Ok(());
        }
        Err(Error::io(
            "what was not written yet belongs to the process that this one was forked from",
        ))
    }

    /// Bytes that were put there.
    pub(in crate::store) fn bytes(&self, range: Range<u64>, spare: Vec<u8>) -> Result<Vec<u8>> {
        self.check_process()?;
        let mut bytes = resized(spare, range.end.saturating_sub(range.start))?;
        read_at(self.file.as_fd(), range.start, &mut bytes)?;
        Ok(bytes)
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
