//! Writing: whole objects, piece by piece, and in place.

use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, OFlags};
use rustix::io::Errno;

use super::lock::{Target, cannot_be_made, unlink};
use super::object::{modified, read_at};
use super::{LocalStore, changed, check_writable, failed, is_missing, name_of, system};
use crate::error::{Error, Result, ResultExt};
use crate::store::{Answer, Content, Part, Precondition, Upload, Version};

/// Bytes that go through memory at a time when the kernel cannot copy them.
const COPY_BUFFER: u64 = 1 << 20;

/// Writes parts of a new object that follow each other.
pub(super) struct Writer<'a> {
    file: BorrowedFd<'a>,
    /// Where the next byte goes.
    offset: u64,
    slices: Vec<IoSlice<'a>>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(file: BorrowedFd<'a>, offset: u64) -> Self {
        Self { file, offset, slices: Vec::new() }
    }

    /// Writes all parts: bytes many in one system call, kept ones copied by the kernel.
    pub(super) fn write(mut self, content: &Content<'a>) -> Result<()> {
        let mut kept = 0..0;
        for part in content.parts {
            let bytes: &[u8] = match part {
                Part::Bytes(bytes) => bytes,
                Part::Shared(bytes) => bytes,
                Part::Kept(range) if range.start == kept.end => {
                    kept.end = range.end;
                    continue;
                }
                Part::Kept(range) => {
                    self.flush()?;
                    self.keep(content, std::mem::replace(&mut kept, range.clone()))?;
                    continue;
                }
            };
            if !bytes.is_empty() {
                self.keep(content, std::mem::take(&mut kept))?;
                self.slices.push(IoSlice::new(bytes));
            }
        }
        self.keep(content, kept)?;
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        let mut rest = &mut self.slices[..];
        while !rest.is_empty() {
            match system::write_slices(self.file, rest, self.offset) {
                Ok(0) => return Err(cannot_write(Errno::IO)),
                Ok(written) => {
                    self.offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(errno) => return Err(cannot_write(errno)),
            }
        }
        self.slices.clear();
        Ok(())
    }

    /// Carries over bytes of the object that the new one is based on.
    fn keep(&mut self, content: &Content<'_>, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.flush()?;
        let Some(base) = content.base.and_then(|base| base.file()) else {
            let bytes = content.kept(&range)?;
            write_at(self.file, &bytes, self.offset)?;
            self.offset += bytes.len() as u64;
            return Ok(());
        };
        let mut start = range.start;
        while start < range.end {
            let left = usize::try_from(range.end - start).unwrap_or(usize::MAX);
            match system::copy(base, start, self.file, self.offset, left) {
                Ok(0) => return self.keep_through_memory(base, start..range.end),
                Ok(copied) => {
                    start += copied as u64;
                    self.offset += copied as u64;
                }
                Err(errno) if cannot_copy(errno) => {
                    return self.keep_through_memory(base, start..range.end);
                }
                Err(errno) => return Err(cannot_write(errno)),
            }
        }
        Ok(())
    }

    fn keep_through_memory(&mut self, base: BorrowedFd<'_>, range: Range<u64>) -> Result<()> {
        let mut memory = crate::buffer::zeroed((range.end - range.start).min(COPY_BUFFER))?;
        let mut start = range.start;
        while start < range.end {
            let left = usize::try_from(range.end - start).unwrap_or(usize::MAX);
            let most = memory.len().min(left);
            let bytes = &mut memory[..most];
            read_at(base, start, bytes)?;
            write_at(self.file, bytes, self.offset)?;
            start += bytes.len() as u64;
            self.offset += bytes.len() as u64;
        }
        Ok(())
    }
}

/// Whether this says that the kernel cannot copy between two files: other file systems, an old
/// kernel, a sandbox.
fn cannot_copy(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::TXTBSY
    )
}

/// Writes all bytes at an offset.
fn write_at(file: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        match system::write(file, bytes, offset) {
            Ok(0) => return Err(cannot_write(Errno::IO)),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(errno) => return Err(cannot_write(errno)),
        }
    }
    Ok(())
}

#[cold]
fn cannot_write(errno: Errno) -> Error {
    failed(errno, "the object cannot be written")
}

/// An object that is being written to its lock file.
#[derive(Debug)]
pub(super) struct LocalUpload {
    target: Target,
    key: String,
}

impl LocalUpload {
    pub(super) fn new(target: Target, key: &str) -> Result<Self> {
        target.prepare()?;
        Ok(Self { target, key: key.to_owned() })
    }
}

impl Upload for LocalUpload {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        let write = |file| Writer::new(file, offset).write(&content);
        Answer::ready(self.target.file().and_then(write).context("key", || &self.key))
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>> {
        let Self { target, key } = *self;
        let replaced = target.check(&precondition).and_then(|()| target.replace());
        Answer::ready(replaced.map(|()| None).context("key", || key))
    }
}

impl LocalStore {
    pub(super) fn write(
        &self,
        key: &str,
        content: &Content<'_>,
        precondition: &Precondition,
    ) -> Result<()> {
        let target = self.target(key)?;
        target.check(precondition)?;
        target.prepare()?;
        Writer::new(target.file()?, 0).write(content)?;
        target.replace()
    }

    pub(super) fn change(
        &self,
        key: &str,
        changes: &[(u64, &[u8])],
        precondition: &Precondition,
    ) -> Result<()> {
        let missing = || match precondition {
            Precondition::Unchanged(_) => changed(),
            _ => Error::not_found("there is no object to change"),
        };
        let Some(target) = self.existing_target(key)? else { return Err(missing()) };
        target.check(precondition)?;
        let cannot = |errno| failed(errno, "the object cannot be changed in place");
        let file = match self.beneath(key, OFlags::RDWR | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(errno) if is_missing(errno) => return Err(missing()),
            Err(errno) => return Err(cannot(errno)),
        };
        let before = system::status(file.as_fd()).map_err(cannot)?;
        let size = before.st_size.unsigned_abs();
        let is_inside = |(offset, bytes): &(u64, &[u8])| {
            offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= size)
        };
        if !changes.iter().all(is_inside) {
            return Err(Error::invalid_argument("a change in place ends after the object"));
        }
        for (offset, bytes) in changes {
            write_at(file.as_fd(), bytes, *offset)?;
        }
        let after = system::status(file.as_fd()).map_err(cannot)?;
        if !changes.is_empty() && modified(&after) <= modified(&before) {
            // The clock of the file system did not advance; versions must, and never go back.
            let next = modified(&before).wrapping_add(1);
            let modified = fs::Timespec {
                tv_sec: next.div_euclid(1_000_000_000),
                tv_nsec: next.rem_euclid(1_000_000_000),
            };
            system::touch(file.as_fd(), modified).map_err(cannot)?;
        }
        if self.options.fsync {
            system::sync(file.as_fd()).map_err(cannot)?;
            // Another's put may have given the file its name, and not be settled yet.
            target.note();
        }
        Ok(())
    }

    pub(super) fn remove(&self, key: &str, precondition: &Precondition) -> Result<()> {
        let missing = || match precondition {
            Precondition::Unchanged(_) => Err(changed()),
            Precondition::None | Precondition::Absent => Ok(()),
        };
        check_writable(key)?;
        let Some(folder) = self.parent(key, false)? else {
            // Another's deletion of the folder may not be settled yet.
            self.note_above(key).map_err(|errno| failed(errno, "no folder above can be opened"))?;
            return missing();
        };
        // Chunks of nothing but fill value are deleted unseen, and most of them are not there: that
        // takes no lock, as the deletion is over before whoever holds it has written.
        match system::status_of(folder.as_fd(), name_of(key), AtFlags::SYMLINK_NOFOLLOW) {
            Err(errno) if is_missing(errno) => {
                // Another's deletion may not be settled yet.
                self.note(&folder);
                return missing();
            }
            Err(errno) => return Err(failed(errno, "the object has no status")),
            Ok(_) => {}
        }
        match Target::lock(self, Arc::clone(&folder), name_of(key)) {
            Ok(Some(target)) => {
                target.check(precondition)?;
                target.remove()
            }
            Ok(None) => missing(),
            // Nothing is compared, and what makes room needs none.
            Err(error) if *precondition == Precondition::None && cannot_be_made(&error) => {
                unlink(&folder, name_of(key))?;
                self.note(&folder);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
