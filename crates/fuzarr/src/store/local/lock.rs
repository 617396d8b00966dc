//! One writer of a key at a time.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;

use super::object::identity;
use super::process::{self, Claim, Watched};
use super::{LOCK_SUFFIX, LocalOptions, changed, failed, is_missing, system};
use crate::error::{Error, Result};
use crate::store::Precondition;

/// A key whose writes are excluded by its lock file, which is also the file that is written.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) folder: OwnedFd,
    pub(super) name: OsString,
    lock_name: OsString,
    lock: Watched,
    /// Held until the file is closed, where the file system cannot lock.
    _claim: Option<Claim>,
    /// The lock file has its name, and is removed in the end.
    is_named: bool,
    fsync: bool,
}

impl Target {
    /// Opens or makes the lock file of `name` and locks it; `None` if the folder was deleted.
    pub(super) fn lock(
        folder: OwnedFd,
        name: &OsStr,
        options: LocalOptions,
    ) -> Result<Option<Self>> {
        let mut lock_name = name.to_owned();
        lock_name.push(LOCK_SUFFIX);
        let cannot = |errno| failed(errno, "the object cannot be locked");
        loop {
            let opened = Watched::open(|| system::create(folder.as_fd(), &lock_name));
            let lock = match opened {
                Ok(lock) => lock,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(cannot(errno)),
            };
            let file = lock.file().ok_or_else(forked)?;
            let claim = match process::lock(file) {
                Ok(()) => None,
                Err(errno) if cannot_lock(errno) && !options.shared_writers => {
                    warn_once();
                    let folder = fs::fstat(&folder).map_err(cannot)?;
                    let name = (folder.st_dev, folder.st_ino, name.to_owned());
                    Some(Claim::new(name).map_err(cannot)?)
                }
                Err(errno) => return Err(cannot(errno)),
            };
            // The last holder may have renamed or removed the file while we waited for it.
            if !names(&folder, &lock_name, file).map_err(cannot)? {
                continue;
            }
            let name = name.to_owned();
            let fsync = options.fsync;
            let is_named = true;
            let target = Self { folder, name, lock_name, lock, _claim: claim, is_named, fsync };
            return Ok(Some(target));
        }
    }

    /// Checks the precondition; what it says stays true while the lock is held.
    pub(super) fn check(&self, precondition: &Precondition) -> Result<()> {
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

    /// The file that is written.
    pub(super) fn file(&self) -> Result<BorrowedFd<'_>> {
        self.lock.file().ok_or_else(forked)
    }

    /// Drops what an earlier, killed writer left in the file.
    pub(super) fn clear(&self) -> Result<()> {
        let cannot = |errno| failed(errno, "the object cannot be written");
        let file = self.file()?;
        if fs::fstat(file).map_err(cannot)?.st_size != 0 {
            system::truncate(file, 0).map_err(cannot)?;
        }
        Ok(())
    }

    /// Puts the file that was written in the place of the object.
    pub(super) fn replace(mut self) -> Result<()> {
        let cannot = |errno| failed(errno, "the object cannot be replaced");
        let file = self.file()?;
        if self.fsync {
            system::sync(file).map_err(cannot)?;
        }
        self.lock.settle().map_err(cannot)?;
        if !names(&self.folder, &self.lock_name, file).map_err(cannot)? {
            // Somebody deleted the folder around us, or the lock file. Another writer's half
            // written file may have its name by now.
            self.is_named = false;
            return Err(Error::conflict("the object's temporary file was deleted"));
        }
        let folder = self.folder.as_fd();
        system::rename(folder, &self.lock_name, folder, &self.name).map_err(cannot)?;
        self.is_named = false;
        self.sync_folder()
    }

    /// Removes the object; nothing happens if there is none.
    pub(super) fn remove(&self) -> Result<()> {
        match system::unlink(self.folder.as_fd(), &self.name, AtFlags::empty()) {
            Ok(()) => self.sync_folder(),
            Err(errno) if is_missing(errno) => Ok(()),
            Err(errno) => Err(failed(errno, "the object cannot be deleted")),
        }
    }

    /// Makes a change of the folder durable, if the store is asked to.
    fn sync_folder(&self) -> Result<()> {
        if !self.fsync {
            return Ok(());
        }
        super::sync_folder(self.folder.as_fd())
            .map_err(|errno| failed(errno, "the object is changed, but its folder is not synced"))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.is_named && self.lock.file().is_some() {
            // Still locked, so this removes our file and no other. A failure leaves a file that
            // the next writer reuses.
            let _ = system::unlink(self.folder.as_fd(), &self.lock_name, AtFlags::empty());
        }
    }
}

/// Whether a name is that of an open file.
fn names(folder: &OwnedFd, name: &OsStr, file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let held = fs::fstat(file)?;
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether this says that the file system has no locks.
fn cannot_lock(errno: Errno) -> bool {
    matches!(errno, Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
}

fn warn_once() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "the file system cannot lock files: writers of this process exclude each other, those \
             of other processes do not"
        );
    }
}

#[cold]
fn forked() -> Error {
    Error::io("the write was begun by the process that this one was forked from")
}
