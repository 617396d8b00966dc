//! Files, by as few calls of the system as there can be.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::Result;

/// The file that a thread has open, with its number.
pub(super) type Open = Option<(usize, OwnedFd)>;

/// Opens a folder, to open files relative to it.
pub(super) fn folder(path: &Path) -> Result<OwnedFd> {
    Ok(File::open(path)?.into())
}

pub(super) fn name(key: &str) -> Result<CString> {
    Ok(CString::new(key)?)
}

/// Opens file `number`, unless it is the one that is open.
pub(super) fn open<'o>(
    open: &'o mut Open,
    folder: &OwnedFd,
    number: usize,
    name: &CStr,
) -> Result<BorrowedFd<'o>> {
    if open.as_ref().is_none_or(|(at, _)| *at != number) {
        // Closed first, so that never more than one is open.
        *open = None;
        *open = Some((number, to_read(folder, name)?));
    }
    let (_, file) = open.as_ref().ok_or("no file is open")?;
    Ok(file.as_fd())
}

pub(super) fn to_read(folder: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(|error| missing(error, name))
}

/// Opens a file that is made anew.
pub(super) fn to_write(folder: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    rustix::fs::openat(folder, name, flags, mode).map_err(|error| missing(error, name))
}

/// Opens a file that is changed.
pub(super) fn to_change(folder: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(|error| missing(error, name))
}

#[cold]
fn missing(error: Errno, name: &CStr) -> Box<dyn std::error::Error + Send + Sync> {
    format!("{}: {error}", name.to_string_lossy()).into()
}

/// Reads all of `memory`.
pub(super) fn read(file: impl AsFd, mut memory: &mut [u8], mut offset: u64) -> Result<()> {
    while !memory.is_empty() {
        match rustix::io::pread(&file, &mut *memory, offset)? {
            0 => return Err("a file ends too early".into()),
            count => {
                memory = &mut memory[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

/// Writes two pieces, one after the other.
pub(super) fn write(file: impl AsFd, pieces: [&[u8]; 2], mut offset: u64) -> Result<()> {
    let [mut first, mut second] = pieces;
    while !first.is_empty() || !second.is_empty() {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        let slices = if second.is_empty() { &slices[..1] } else { &slices };
        let count = rustix::io::pwritev(&file, slices, offset)?;
        offset += count as u64;
        let of_first = count.min(first.len());
        first = &first[of_first..];
        second = &second[count - of_first..];
    }
    Ok(())
}

/// Has the kernel copy a range to the place `to` of another file.
pub(super) fn copy(
    from: impl AsFd,
    (mut offset, mut length): (u64, usize),
    file: impl AsFd,
    mut to: u64,
) -> Result<()> {
    while length > 0 {
        match rustix::fs::copy_file_range(&from, Some(&mut offset), &file, Some(&mut to), length)? {
            0 => return Err("a file ends too early".into()),
            count => length -= count,
        }
    }
    Ok(())
}

pub(super) fn rename(folder: &OwnedFd, from: &CStr, to: &CStr) -> Result<()> {
    Ok(rustix::fs::renameat(folder, from, folder, to)?)
}

/// Makes a folder, if it is not there.
pub(super) fn make_folder(folder: &OwnedFd, name: &CStr) -> Result<()> {
    match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(missing(error, name)),
    }
}

pub(super) fn sync_folder(folder: &OwnedFd, name: &CStr) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    Ok(rustix::fs::fsync(opened)?)
}
