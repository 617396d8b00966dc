//! An open file as an object.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use rustix::io::Errno;

use super::system::Opened;
use super::{Waiting, cannot_tell, failed, not_at_hand, system};
use crate::buffer::{Buffer, addressable, read_exact, reserve};
use crate::error::{Error, Result};
use crate::store::{Answer, Object, Piece, Span, Version};

/// An open file: later writes replace the name, not what this reads.
#[derive(Debug)]
pub(super) struct LocalObject {
    pub(super) file: Opened,
    pub(super) stat: Stat,
    pub(super) waiting: Waiting,
    /// Whether it was changed so short before it was opened that a later change may not show.
    pub(super) is_young: bool,
}

impl LocalObject {
    fn piece(&self, span: &Span, mut spare: Vec<u8>) -> Result<Piece> {
        let object_size = self.stat.st_size.unsigned_abs();
        let range = span.of(object_size)?;
        let length = addressable(range.end - range.start)?;
        if self.waiting == Waiting::Forbidden {
            spare.clear();
            reserve(&mut spare, length)?;
            spare.resize(length, 0);
            self.read_at(range.start, &mut spare)?;
            let bytes = Buffer::Owned(spare);
            return Ok(Piece { start: range.start, object_size, bytes });
        }
        read_exact(&mut spare, length, |unused, done| {
            match system::read(self.file.as_fd(), unused, range.start + done as u64) {
                Ok((written, _)) => Ok(Some(written)),
                Err(Errno::INTR) => Ok(None),
                Err(errno) => Err(cannot_read(errno)),
            }
        })?;
        let bytes = Buffer::Owned(spare);
        Ok(Piece { start: range.start, object_size, bytes })
    }

    fn fill(&self, start: u64, memory: &mut [u8]) -> Result<()> {
        let end = start.saturating_add(memory.len() as u64);
        Span::Range(start..end).of(self.stat.st_size.unsigned_abs())?;
        self.read_at(start, memory)
    }

    fn read_at(&self, start: u64, memory: &mut [u8]) -> Result<()> {
        let file = self.file.as_fd();
        if self.waiting == Waiting::Forbidden {
            let read = |memory: &mut [u8], at| match system::read_at_hand(file, memory, at) {
                Err(errno) if cannot_tell(errno) => Err(not_at_hand()),
                read => read.map(Some).or_else(interrupted),
            };
            return fill(start, memory, read);
        }
        read_at(file, start, memory)
    }
}

/// Fills memory with the bytes of a file from `start` on.
pub(super) fn read_at(file: BorrowedFd<'_>, start: u64, memory: &mut [u8]) -> Result<()> {
    fill(start, memory, |memory, at| system::read(file, memory, at).map(Some).or_else(interrupted))
}

/// No bytes, where a read is to be asked again.
fn interrupted(errno: Errno) -> Result<Option<usize>> {
    if errno == Errno::INTR { Ok(None) } else { Err(cannot_read(errno)) }
}

/// Fills memory with what `read` puts at its start, asked again until all is there.
fn fill(
    start: u64,
    memory: &mut [u8],
    read: impl Fn(&mut [u8], u64) -> Result<Option<usize>>,
) -> Result<()> {
    let mut done = 0;
    while done < memory.len() {
        match read(&mut memory[done..], start + done as u64)? {
            Some(0) => return Err(Error::corrupt("the object became shorter while it was read")),
            Some(read) => done += read,
            None => {}
        }
    }
    Ok(())
}

#[cold]
fn cannot_read(errno: Errno) -> Error {
    failed(errno, "the object cannot be read")
}

impl Object for LocalObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        Answer::ready(self.piece(&span, spare).map(Some))
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        Answer::ready(self.fill(start, memory).map(|()| true))
    }

    fn size(&self) -> Option<u64> {
        Some(self.stat.st_size.unsigned_abs())
    }

    fn version(&self) -> Option<Version> {
        let version = identity(&self.stat);
        Some(if self.is_young { version.tentative() } else { version })
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        let stat = system::status(self.file.as_fd());
        let stat = stat.map_err(|errno| failed(errno, "the object has no status"));
        // Its other times also change when a successor takes its name, and that changes no byte.
        let same = |stat: Stat| {
            (stat.st_size, modified(&stat)) == (self.stat.st_size, modified(&self.stat))
        };
        Answer::ready(stat.map(same))
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

/// What tells files apart. While one is held open its inode number is not given to another, so a
/// renamed successor differs; times and size tell apart what was changed in place.
pub(super) fn identity(stat: &Stat) -> Version {
    let changed = time(stat.st_ctime, nanoseconds(stat.st_ctime_nsec));
    Version::new([
        stat.st_dev,
        stat.st_ino,
        stat.st_size.unsigned_abs(),
        modified(stat).cast_unsigned(),
        changed.cast_unsigned(),
    ])
}

/// Nanoseconds after which the clock of a file system has certainly advanced: it may tick a hundred times a
/// second, and others count whole seconds only, every other one.
const TICK: i64 = 100_000_000;
const LONG_TICK: i64 = 2_500_000_000;

/// Whether a file of this status may have changed after it was asked for and still be of the same status: it
/// was changed just before, by the clock of this machine.
pub(super) fn is_young(stat: &Stat) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
    let part = nanoseconds(stat.st_ctime_nsec);
    let tick = if part == 0 { LONG_TICK } else { TICK };
    now.saturating_sub(time(stat.st_ctime, part)) < tick
}

/// The time of the last change of the bytes, in nanoseconds.
pub(super) fn modified(stat: &Stat) -> i64 {
    time(stat.st_mtime, nanoseconds(stat.st_mtime_nsec))
}

fn time(seconds: i64, nanoseconds: u64) -> i64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add_unsigned(nanoseconds)
}

#[allow(clippy::useless_conversion, reason = "the field's type differs between targets")]
fn nanoseconds(field: impl TryInto<u64>) -> u64 {
    field.try_into().unwrap_or(0)
}
