//! The system calls that change something. All of them pass through one place, so that tests can
//! make each fail, die at it, and record what was done.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

/// A system call that changes something, with what it is told.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "faults"), expect(dead_code, reason = "only fault points look inside"))]
pub(super) enum Call<'a> {
    /// Opens a file, making it if it is missing.
    Create { folder: BorrowedFd<'a>, name: &'a OsStr },
    /// Locks a file.
    Lock,
    /// Writes bytes.
    Write { file: BorrowedFd<'a>, offset: u64 },
    /// Copies bytes between files.
    Copy { file: BorrowedFd<'a>, offset: u64 },
    /// Sets the length of a file.
    Truncate { file: BorrowedFd<'a>, length: u64 },
    /// Sets the times of a file.
    Touch,
    /// Makes a file or folder durable.
    Sync { file: BorrowedFd<'a> },
    /// Renames.
    Rename { from: BorrowedFd<'a>, name: &'a OsStr, to: BorrowedFd<'a>, new: &'a OsStr },
    /// Removes a file or, with a flag, a folder.
    Unlink { folder: BorrowedFd<'a>, name: &'a OsStr },
    /// Makes a folder.
    MakeFolder { folder: BorrowedFd<'a>, name: &'a OsStr },
    /// Closes a descriptor of a written file, when the file system reports what it put off.
    Close,
}

#[cfg(feature = "faults")]
pub(super) use super::faults::point;

/// Runs a call. It is told how many bytes it may move at most.
#[cfg(not(feature = "faults"))]
pub(super) fn point<T>(
    _call: Call<'_>,
    run: impl FnOnce(usize) -> Result<T, Errno>,
) -> Result<T, Errno> {
    run(usize::MAX)
}

/// Opens or makes a file for reading and writing; a link of that name is an error.
pub(super) fn create(folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| {
        point(Call::Create { folder, name }, |_| {
            fs::openat(folder, name, flags, Mode::from_raw_mode(0o666))
        })
    })
}

/// Writes some of the bytes at an offset.
pub(super) fn write(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    retry_on_intr(|| {
        point(Call::Write { file, offset }, |most| {
            rustix::io::pwrite(file, &bytes[..bytes.len().min(most)], offset)
        })
    })
}

/// Writes some of the slices, one after the other, at an offset.
pub(super) fn write_slices(
    file: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    offset: u64,
) -> Result<usize, Errno> {
    retry_on_intr(|| {
        point(Call::Write { file, offset }, |most| match slices.first() {
            Some(first) if most < first.len() => rustix::io::pwrite(file, &first[..most], offset),
            _ => rustix::io::pwritev(file, slices, offset),
        })
    })
}

/// Copies some bytes between files inside the kernel.
pub(super) fn copy(
    from: BorrowedFd<'_>,
    mut start: u64,
    file: BorrowedFd<'_>,
    mut offset: u64,
    length: usize,
) -> Result<usize, Errno> {
    retry_on_intr(|| {
        point(Call::Copy { file, offset }, |most| {
            fs::copy_file_range(from, Some(&mut start), file, Some(&mut offset), length.min(most))
        })
    })
}

/// Sets the length of a file.
pub(super) fn truncate(file: BorrowedFd<'_>, length: u64) -> Result<(), Errno> {
    retry_on_intr(|| point(Call::Truncate { file, length }, |_| fs::ftruncate(file, length)))
}

/// Sets the time of the last change.
pub(super) fn touch(file: BorrowedFd<'_>, modified: fs::Timespec) -> Result<(), Errno> {
    let last_access = fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT };
    let times = fs::Timestamps { last_access, last_modification: modified };
    retry_on_intr(|| point(Call::Touch, |_| fs::futimens(file, &times)))
}

/// Waits until a file or folder is on the disk.
pub(super) fn sync(file: BorrowedFd<'_>) -> Result<(), Errno> {
    retry_on_intr(|| point(Call::Sync { file }, |_| fs::fsync(file)))
}

/// Renames; what has the new name is replaced.
pub(super) fn rename(
    from: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> Result<(), Errno> {
    retry_on_intr(|| {
        point(Call::Rename { from, name, to, new }, |_| fs::renameat(from, name, to, new))
    })
}

/// Removes a file, or an empty folder with [`AtFlags::REMOVEDIR`].
pub(super) fn unlink(folder: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> Result<(), Errno> {
    retry_on_intr(|| point(Call::Unlink { folder, name }, |_| fs::unlinkat(folder, name, flags)))
}

/// Makes a folder.
pub(super) fn make_folder(folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    retry_on_intr(|| {
        point(Call::MakeFolder { folder, name }, |_| {
            fs::mkdirat(folder, name, Mode::from_raw_mode(0o777))
        })
    })
}
