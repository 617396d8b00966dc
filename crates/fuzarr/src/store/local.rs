//! A store in a folder of the local file system.
//!
//! Every path is opened below the root by the kernel (`openat2` with `RESOLVE_BENEATH`), so no key
//! and no symbolic link leads out. A write goes to the hidden sibling `<name>.__lock`, which is both
//! the temporary file and the lock (`flock`), and is renamed onto its target: readers see the old
//! object or the new one, writers exclude each other, and a kill leaves at most one reusable file.

use std::fs::File;
use std::io::{IoSlice, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{
    Answer, Capabilities, Content, Listing, Object, Piece, Precondition, Span, Store, Version,
    check_key,
};
use crate::buffer::{Buffer, addressable, read_exact};
use crate::error::{Error, Kind, Result, ResultExt};

/// What is added to an object's name for its lock and temporary file.
const LOCK_SUFFIX: &str = ".__lock";

/// A folder of the local file system as a store. Objects are files, `/` separates folders.
#[derive(Debug)]
pub struct LocalStore {
    root: OwnedFd,
    path: PathBuf,
}

impl LocalStore {
    /// Opens an existing folder.
    ///
    /// # Errors
    /// `NotFound` if there is no such folder, `Io` otherwise.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| failed(errno, "the folder cannot be opened"))
            .context("path", || path.display())?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// Opens a folder, creating it and its parents if they are missing.
    ///
    /// # Errors
    /// `Io` if it cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        std::fs::create_dir_all(path).map_err(Error::from).context("path", || path.display())?;
        Self::open(path)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beneath(&self, key: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let key = if key.is_empty() { "." } else { key };
        loop {
            match fs::openat2(&self.root, key, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // Something was renamed while the kernel made sure that the path stays inside.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    fn open_object(&self, key: &str) -> Result<Option<LocalObject>> {
        // Not blocking, so that a named pipe in place of a file is an error and no hang.
        let file = match self.beneath(key, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(errno) if is_missing(errno) => return Ok(None),
            Err(errno) => return Err(failed(errno, "the object cannot be opened")),
        };
        let stat = fs::fstat(&file).map_err(|errno| failed(errno, "the object has no status"))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Some(LocalObject { file: file.into(), stat })),
            FileType::Directory => Ok(None),
            _ => Err(Error::io("the object is no regular file")),
        }
    }

    /// The folder that holds `key`; `None` if it is missing and `create` is not set.
    fn parent(&self, key: &str, create: bool) -> Result<Option<OwnedFd>> {
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.beneath(folder, flags) {
            Ok(folder) => return Ok(Some(folder)),
            Err(Errno::NOENT) if create => {}
            Err(errno) if is_missing(errno) && !create => return Ok(None),
            Err(errno) => return Err(failed(errno, "the object's folder cannot be opened")),
        }
        let ends = folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]);
        let mut above = None;
        for end in ends {
            let opened = match self.beneath(&folder[..end], flags) {
                Err(Errno::NOENT) => {
                    let name = folder[..end].rsplit('/').next().unwrap_or_default();
                    let made = fs::mkdirat(
                        above.as_ref().unwrap_or(&self.root),
                        name,
                        Mode::from_raw_mode(0o777),
                    );
                    match made {
                        Ok(()) | Err(Errno::EXIST) => self.beneath(&folder[..end], flags),
                        Err(errno) => Err(errno),
                    }
                }
                other => other,
            };
            above = Some(opened.map_err(|errno| failed(errno, "a folder cannot be made"))?);
        }
        Ok(above)
    }

    fn write(&self, key: &str, parts: &[&[u8]], precondition: &Precondition) -> Result<()> {
        check_writable(key)?;
        let Some(folder) = self.parent(key, true)? else {
            return Err(Error::io("the object's folder vanished"));
        };
        let target = Target::lock(folder, key)?;
        target.check(precondition)?;
        target.replace(parts)
    }

    fn remove(&self, key: &str, precondition: &Precondition) -> Result<()> {
        check_writable(key)?;
        let Some(folder) = self.parent(key, false)? else {
            return match precondition {
                Precondition::Unchanged(_) => Err(changed()),
                Precondition::None | Precondition::Absent => Ok(()),
            };
        };
        let target = Target::lock(folder, key)?;
        target.check(precondition)?;
        match fs::unlinkat(&target.folder, &target.name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(errno) if is_missing(errno) => Ok(()),
            Err(errno) => Err(failed(errno, "the object cannot be deleted")),
        }
    }

    fn entries(&self, prefix: &str) -> Result<Listing> {
        let mut listing = Listing::default();
        let folder = match self.beneath(prefix, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => folder,
            Err(errno) if is_missing(errno) => return Ok(listing),
            Err(errno) => return Err(failed(errno, "the folder cannot be listed")),
        };
        let cannot = |errno| failed(errno, "the folder cannot be listed");
        for entry in fs::Dir::read_from(&folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            // Keys are Unicode: a name that is not cannot be one.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") || name.ends_with(LOCK_SUFFIX) {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                listing.prefixes.push(name.to_owned());
                continue;
            }
            // A link is what it leads to, if that is inside; else it is no object of the store.
            let opened = self.beneath(&super::join(prefix, name), OFlags::PATH);
            let stat = match opened.and_then(fs::fstat) {
                Ok(stat) => stat,
                Err(Errno::XDEV | Errno::LOOP) => continue,
                Err(errno) if is_missing(errno) => continue,
                Err(errno) => return Err(cannot(errno)),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => listing.prefixes.push(name.to_owned()),
                FileType::RegularFile => {
                    listing.objects.push((name.to_owned(), stat.st_size.unsigned_abs()));
                }
                _ => {}
            }
        }
        listing.objects.sort_unstable();
        listing.prefixes.sort_unstable();
        Ok(listing)
    }
}

/// A key whose writes are excluded by its lock file.
struct Target {
    folder: OwnedFd,
    name: String,
    lock_name: String,
    lock: Option<File>,
}

impl Target {
    /// Opens or creates the lock file and locks it.
    fn lock(folder: OwnedFd, key: &str) -> Result<Self> {
        let name = key.rsplit('/').next().unwrap_or(key).to_owned();
        let lock_name = format!("{name}{LOCK_SUFFIX}");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let cannot = |errno| failed(errno, "the object cannot be locked");
        loop {
            let lock = fs::openat(&folder, &lock_name, flags, Mode::from_raw_mode(0o666))
                .map_err(cannot)?;
            fs::flock(&lock, fs::FlockOperation::LockExclusive).map_err(cannot)?;
            // The last holder may have renamed or removed the file while we waited for it.
            let held = fs::fstat(&lock).map_err(cannot)?;
            match fs::statat(&folder, &lock_name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino) => {
                    return Ok(Self { folder, name, lock_name, lock: Some(lock.into()) });
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(cannot(errno)),
            }
        }
    }

    /// Checks the precondition; what it says stays true while the lock is held.
    fn check(&self, precondition: &Precondition) -> Result<()> {
        let expected = match precondition {
            Precondition::None => return Ok(()),
            Precondition::Absent => None,
            Precondition::Unchanged(version) => Some(version.clone()),
        };
        let present = match fs::statat(&self.folder, &self.name, AtFlags::empty()) {
            Ok(stat) => Some(identity(&stat)),
            Err(errno) if is_missing(errno) => None,
            Err(errno) => return Err(failed(errno, "the object has no status")),
        };
        if present == expected { Ok(()) } else { Err(changed()) }
    }

    /// Writes the new object to the lock file and renames it onto the target.
    fn replace(mut self, parts: &[&[u8]]) -> Result<()> {
        let Some(mut file) = self.lock.take() else { return Ok(()) };
        let mut write = || -> std::io::Result<()> {
            if file.metadata()?.len() > 0 {
                file.set_len(0)?;
            }
            write_parts(&mut file, parts)?;
            fs::renameat(&self.folder, &self.lock_name, &self.folder, &self.name)?;
            Ok(())
        };
        let written = write();
        if written.is_err() {
            // Dropping the target removes what was half written.
            self.lock = Some(file);
        }
        written.map_err(Error::from)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Still locked, so this removes our file and no other. A failure leaves a file that
            // the next writer reuses.
            let _ = fs::unlinkat(&self.folder, &self.lock_name, AtFlags::empty());
        }
    }
}

/// Writes all parts, many in one system call.
fn write_parts(file: &mut File, parts: &[&[u8]]) -> std::io::Result<()> {
    if let [part] = parts {
        return file.write_all(part);
    }
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An open file: later writes replace the name, not what this reads.
#[derive(Debug)]
struct LocalObject {
    file: File,
    stat: Stat,
}

impl LocalObject {
    fn piece(&self, span: &Span, mut spare: Vec<u8>) -> Result<Piece> {
        let object_size = self.stat.st_size.unsigned_abs();
        let range = span.of(object_size)?;
        let length = addressable(range.end - range.start)?;
        read_exact(&mut spare, length, |unused, done| {
            match rustix::io::pread(&self.file, unused, range.start + done as u64) {
                Ok((written, _)) => Ok(Some(written)),
                Err(Errno::INTR) => Ok(None),
                Err(errno) => Err(failed(errno, "the object cannot be read")),
            }
        })?;
        let bytes = Buffer::Owned(spare);
        Ok(Piece { start: range.start, object_size, bytes })
    }
}

impl Object for LocalObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        Answer::ready(self.piece(&span, spare).map(Some))
    }

    fn read_into<'a>(&'a self, _start: u64, _memory: &'a mut [u8]) -> Answer<'a, bool> {
        Answer::ready(Ok(false))
    }

    fn size(&self) -> Option<u64> {
        Some(self.stat.st_size.unsigned_abs())
    }

    fn version(&self) -> Option<Version> {
        Some(identity(&self.stat))
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        let stat = fs::fstat(&self.file).map_err(|errno| failed(errno, "the object has no status"));
        Answer::ready(stat.map(|stat| identity(&stat) == identity(&self.stat)))
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

/// What tells files apart. While one is held open its inode number is not given to another, so a
/// renamed successor differs; times and size tell apart what was changed in place.
fn identity(stat: &Stat) -> Version {
    let modified =
        stat.st_mtime.wrapping_mul(1_000_000_000).wrapping_add_unsigned(nanoseconds(stat));
    Version([
        stat.st_dev,
        stat.st_ino,
        stat.st_size.unsigned_abs(),
        modified.cast_unsigned(),
        stat.st_ctime.cast_unsigned(),
    ])
}

fn nanoseconds(stat: &Stat) -> u64 {
    #[allow(clippy::useless_conversion, reason = "the field's type differs between targets")]
    u64::try_from(stat.st_mtime_nsec).unwrap_or(0)
}

fn check_writable(key: &str) -> Result<()> {
    if key.split('/').any(|name| name.ends_with(LOCK_SUFFIX)) {
        return Err(Error::invalid_argument("names ending in `.__lock` are the store's own"));
    }
    check_key(key)
}

fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR)
}

#[cold]
fn changed() -> Error {
    Error::conflict("the object changed since it was read")
}

#[cold]
fn failed(errno: Errno, what: &str) -> Error {
    match errno {
        Errno::XDEV | Errno::LOOP => {
            Error::invalid_argument(format!("{what}: the path leaves the store"))
        }
        Errno::NOENT => Error::new(Kind::NotFound, what),
        _ => Error::io(what),
    }
    .with_source(std::io::Error::from(errno))
}

impl Store for LocalStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking: true,
            ranges: true,
            compare_and_swap: true,
            carry_over: false,
            uploads: false,
            patch: false,
        }
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        let opened = check_key(key).and_then(|()| self.open_object(key));
        let boxed = opened.map(|object| object.map(|object| Box::new(object) as Box<dyn Object>));
        Answer::ready(boxed.context("key", || key))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        let written = content.join().and_then(|bytes| self.write(key, &[&bytes], &precondition));
        Answer::ready(written.context("key", || key))
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        Answer::ready(self.remove(key, &precondition).context("key", || key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        let checked = if prefix.is_empty() { Ok(()) } else { check_key(prefix) };
        let listed = checked.and_then(|()| self.entries(prefix));
        Answer::ready(listed.context("prefix", || prefix))
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        let _ = prefix;
        Answer::ready(Err(Error::unsupported("not yet")))
    }
}
