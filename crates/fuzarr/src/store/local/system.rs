//! The system calls that objects cost. All of those that change something pass through one place,
//! so that tests can make each fail, die at it, and record what was done; the others are counted.

use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::Buffer;
use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

/// A system call that changes something, or that tests make fail, with what it is told.
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
    /// Asks what kind of file system it is.
    FileSystem,
}

/// A system call that changes nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    Open,
    Status,
    StatusOf,
    Read,
    Duplicate,
    Close,
}

#[cfg(feature = "faults")]
pub(super) use super::faults::{looked, point};

/// Counts a call that changes nothing.
#[cfg(not(feature = "faults"))]
pub(super) fn looked(_look: Look) {}

/// Runs a call. It is told how many bytes it may move at most.
#[cfg(not(feature = "faults"))]
pub(super) fn point<T>(
    _call: Call<'_>,
    run: impl FnOnce(usize) -> Result<T, Errno>,
) -> Result<T, Errno> {
    run(usize::MAX)
}

/// An open file or folder.
#[derive(Debug)]
pub(super) struct Opened(OwnedFd);

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        looked(Look::Close);
    }
}

/// Opens what a path leads to; with `RESOLVE_CACHED`, `AGAIN` if that is not known without asking the
/// disk.
pub(super) fn open(
    folder: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<Opened, Errno> {
    loop {
        looked(Look::Open);
        match fs::openat2(folder, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed while the kernel made sure that the path stays inside.
            Err(Errno::AGAIN) if !resolve.contains(ResolveFlags::CACHED) => {}
            Err(Errno::INTR) => {}
            other => return other.map(Opened),
        }
    }
}

/// Opens what a path leads to, wherever that is.
pub(super) fn open_anywhere(
    folder: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlags,
) -> Result<Opened, Errno> {
    retry_on_intr(|| {
        looked(Look::Open);
        fs::openat(folder, path, flags | OFlags::CLOEXEC, Mode::empty()).map(Opened)
    })
}

/// The status of an open file.
pub(super) fn status(file: BorrowedFd<'_>) -> Result<Stat, Errno> {
    looked(Look::Status);
    fs::fstat(file)
}

/// The status of what has a name.
pub(super) fn status_of(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    flags: AtFlags,
) -> Result<Stat, Errno> {
    looked(Look::StatusOf);
    fs::statat(folder, name, flags)
}

/// Reads some bytes from an offset on.
pub(super) fn read<B: Buffer<u8>>(
    file: BorrowedFd<'_>,
    memory: B,
    offset: u64,
) -> Result<B::Output, Errno> {
    looked(Look::Read);
    rustix::io::pread(file, memory, offset)
}

/// As [`read`], of what the system has in memory; `AGAIN` if it does not.
pub(super) fn read_at_hand(
    file: BorrowedFd<'_>,
    memory: &mut [u8],
    offset: u64,
) -> Result<usize, Errno> {
    looked(Look::Read);
    let mut memory = [IoSliceMut::new(memory)];
    rustix::io::preadv2(file, &mut memory, offset, ReadWriteFlags::NOWAIT)
}

/// File systems on which closing a file reports nothing that writing did not, by the numbers that
/// Linux gives them. Network file systems, those in user space, and those that lie over others are
/// not among them.
const PROMPT: [u64; 6] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683E, // Btrfs
    0xF2F5_2010, // F2FS
    0x2FC1_2FC1, // ZFS
    TMPFS,
];
const TMPFS: u64 = 0x0102_1994;

/// A file system of this machine, which reports all errors at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) device: u64,
    /// Whether files are in memory.
    pub(super) in_memory: bool,
}

/// The folder's file system, if it is one of those.
pub(super) fn prompt(folder: BorrowedFd<'_>) -> Option<Prompt> {
    let told = retry_on_intr(|| point(Call::FileSystem, |_| fs::fstatfs(folder))).ok()?;
    let number = number(told.f_type).filter(|number| PROMPT.contains(number))?;
    let device = status(folder).ok()?.st_dev;
    Some(Prompt { device, in_memory: number == TMPFS })
}

fn number(field: impl TryInto<u64>) -> Option<u64> {
    field.try_into().ok()
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

/// Makes a file for reading and writing that has no name, or has lost it.
pub(super) fn nameless(folder: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let name = OsStr::new(".");
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let made = retry_on_intr(|| {
        point(Call::Create { folder, name }, |_| {
            fs::openat(folder, name, flags | OFlags::TMPFILE, mode)
        })
    });
    if !matches!(made, Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT)) {
        return made;
    }
    // The file system wants a name first.
    for number in 0..u32::MAX {
        let name = format!(".fuzarr-{}-{number}", std::process::id());
        let name = OsStr::new(&name);
        let made = retry_on_intr(|| {
            point(Call::Create { folder, name }, |_| {
                fs::openat(folder, name, flags | OFlags::CREATE | OFlags::EXCL, mode)
            })
        });
        match made {
            Err(Errno::EXIST) => {}
            Ok(file) => return unlink(folder, name, AtFlags::empty()).map(|()| file),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
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

/// Gives back the room of bytes in a file, which are zeros from then on.
pub(super) fn punch(file: BorrowedFd<'_>, start: u64, length: u64) -> Result<(), Errno> {
    let flags = fs::FallocateFlags::PUNCH_HOLE | fs::FallocateFlags::KEEP_SIZE;
    retry_on_intr(|| fs::fallocate(file, flags, start, length))
}

/// Sets the permissions of a file.
pub(super) fn permit(file: BorrowedFd<'_>, mode: Mode) -> Result<(), Errno> {
    retry_on_intr(|| point(Call::Touch, |_| fs::fchmod(file, mode)))
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
