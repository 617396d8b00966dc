//! One writer of a key at a time.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::object::identity;
use super::process::{self, Claim, Watched};
use super::system::Opened;
use super::unsettled::{Identity, Unsettled};
use super::{LOCK_SUFFIX, LocalStore, changed, failed, is_missing, system};
use crate::error::{Error, Result};
use crate::store::Precondition;

/// A key whose writes are excluded by its lock file, which is also the file that is written.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) folder: Arc<Opened>,
    pub(super) name: OsString,
    lock_name: OsString,
    lock: Watched,
    /// Which file the lock file is.
    identity: Identity,
    /// An earlier, killed writer left something in it.
    is_used: bool,
    /// The file system may report errors of writing only when the file is closed.
    is_late: bool,
    /// Held until the file is closed, where the file system cannot lock.
    _claim: Option<Claim>,
    /// The lock file has its name, and is removed in the end.
    is_named: bool,
    /// Where folders are noted that have to be synced, if the store is asked to.
    unsettled: Option<Arc<Unsettled>>,
    /// What replaces the object has its permissions.
    keeps_permissions: bool,
}

impl Target {
    /// Opens or makes the lock file of `name` and locks it; `None` if the folder was deleted.
    pub(super) fn lock(
        store: &LocalStore,
        folder: Arc<Opened>,
        name: &OsStr,
    ) -> Result<Option<Self>> {
        let mut lock_name = name.to_owned();
        lock_name.push(LOCK_SUFFIX);
        let cannot = |errno| failed(errno, "the object cannot be locked");
        let mut is_anew = false;
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
                Err(errno) if cannot_lock(errno) && !store.options.shared_writers => {
                    warn_once();
                    let folder = system::status(folder.as_fd()).map_err(cannot)?;
                    let name = (folder.st_dev, folder.st_ino, name.to_owned());
                    Some(Claim::new(name).map_err(cannot)?)
                }
                Err(errno) => return Err(cannot(errno)),
            };
            // The last holder may have renamed or removed the file while we waited for it.
            let held = system::status(file).map_err(cannot)?;
            let identity = (held.st_dev, held.st_ino);
            if !is_name_of(&folder, &lock_name, identity).map_err(cannot)? {
                continue;
            }
            if held.st_nlink > 1 && !is_anew {
                // A copy of the folder made of links has it, too, or has had it: there it is an object,
                // or becomes one.
                is_anew = true;
                system::unlink(folder.as_fd(), &lock_name, AtFlags::empty()).map_err(cannot)?;
                continue;
            }
            return Ok(Some(Self {
                folder,
                name: name.to_owned(),
                lock_name,
                lock,
                identity,
                is_used: held.st_size != 0,
                is_late: store.prompt.map(|prompt| prompt.device) != Some(held.st_dev),
                _claim: claim,
                is_named: true,
                unsettled: store.unsettled.clone(),
                keeps_permissions: store.keeps_permissions,
            }));
        }
    }

    /// Checks the precondition; what it says stays true while the lock is held.
    pub(super) fn check(&self, precondition: &Precondition) -> Result<()> {
        let expected = match precondition {
            Precondition::None => return Ok(()),
            Precondition::Absent => None,
            Precondition::Unchanged(version) => Some(version.clone()),
        };
        let present = match system::status_of(self.folder.as_fd(), &self.name, AtFlags::empty()) {
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

    /// Makes the file ready for what replaces the object: what an earlier, killed writer left in it is
    /// dropped, and nobody can read of it who cannot read the object.
    pub(super) fn prepare(&self) -> Result<()> {
        if self.keeps_permissions {
            self.keep_permissions()?;
        }
        if self.is_used {
            let cannot = |errno| failed(errno, "the object cannot be written");
            system::truncate(self.file()?, 0).map_err(cannot)?;
        }
        Ok(())
    }

    fn keep_permissions(&self) -> Result<()> {
        let mode = match system::status_of(self.folder.as_fd(), &self.name, AtFlags::empty()) {
            Ok(stat) => Mode::from_raw_mode(stat.st_mode),
            Err(errno) if is_missing(errno) => return Ok(()),
            Err(errno) => return Err(failed(errno, "the object has no status")),
        };
        if !mode.intersects(Mode::WUSR | Mode::WGRP | Mode::WOTH) {
            let what = "the file is read-only; to change it, make it writable (chmod u+w)";
            return Err(Error::io(what));
        }
        system::permit(self.file()?, mode)
            .map_err(|errno| failed(errno, "the permissions of the file cannot be kept"))
    }

    /// Puts the file that was written in the place of the object.
    pub(super) fn replace(mut self) -> Result<()> {
        let cannot = |errno| failed(errno, "the object cannot be replaced");
        let file = self.file()?;
        if self.unsettled.is_some() {
            system::sync(file).map_err(cannot)?;
        }
        if self.is_late {
            self.lock.report().map_err(cannot)?;
        }
        if !is_name_of(&self.folder, &self.lock_name, self.identity).map_err(cannot)? {
            // Somebody deleted the folder around us, or the lock file. Another writer's half
            // written file may have its name by now.
            self.is_named = false;
            return Err(Error::conflict("the object's temporary file was deleted"));
        }
        let folder = self.folder.as_fd();
        system::rename(folder, &self.lock_name, folder, &self.name).map_err(cannot)?;
        self.is_named = false;
        self.note();
        Ok(())
    }

    /// Removes the object; nothing happens if there is none.
    pub(super) fn remove(&self) -> Result<()> {
        unlink(&self.folder, &self.name)?;
        self.note();
        Ok(())
    }

    /// Notes that the folder has to be synced, if the store is asked to.
    pub(super) fn note(&self) {
        if let Some(unsettled) = &self.unsettled {
            unsettled.note(&self.folder);
        }
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

/// Removes an object; nothing happens if there is none.
pub(super) fn unlink(folder: &Opened, name: &OsStr) -> Result<()> {
    match system::unlink(folder.as_fd(), name, AtFlags::empty()) {
        Err(errno) if !is_missing(errno) => Err(failed(errno, "the object cannot be deleted")),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether a name is that of a file.
fn is_name_of(folder: &Opened, name: &OsStr, file: Identity) -> Result<bool, Errno> {
    match system::status_of(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == file),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether this says that the file system has no locks.
fn cannot_lock(errno: Errno) -> bool {
    matches!(errno, Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
}

/// Whether an error of [`Target::lock`] says that there is no lock file and can be none: its name would
/// be longer than the file system has names, or there is no room.
pub(super) fn cannot_be_made(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let errno = source.and_then(std::io::Error::raw_os_error).map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NAMETOOLONG | Errno::NOSPC | Errno::DQUOT))
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
