//! Folders: what is in them, and what becomes of all of it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, OFlags};
use rustix::io::Errno;

use super::lock::{Target, cannot_be_made};
use super::system::Opened;
use super::{LOCK_SUFFIX, LocalStore, check_writable, failed, is_missing, system};
use crate::error::{Error, Result};
use crate::store::{Listing, join};

impl LocalStore {
    pub(super) fn entries(&self, prefix: &str) -> Result<Listing> {
        let mut listing = Listing::default();
        let folder = match self.beneath(prefix, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => folder,
            Err(errno) if is_missing(errno) => return Ok(listing),
            Err(errno) => return Err(failed(errno, "the folder cannot be listed")),
        };
        let cannot = |errno| failed(errno, "the folder cannot be listed");
        for entry in fs::Dir::read_from(folder.as_fd()).map_err(cannot)? {
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
            let opened = self.beneath(join(prefix, name), OFlags::PATH);
            let stat = match opened.and_then(|opened| system::status(opened.as_fd())) {
                Ok(stat) => stat,
                Err(errno) if errno == Errno::XDEV || errno == Errno::LOOP || is_missing(errno) => {
                    // Gone meanwhile, unless it is a link.
                    if entry.file_type() == FileType::Symlink {
                        listing.others.push(name.to_owned());
                    }
                    continue;
                }
                Err(errno) => return Err(cannot(errno)),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => listing.prefixes.push(name.to_owned()),
                FileType::RegularFile => {
                    listing.objects.push((name.to_owned(), stat.st_size.unsigned_abs()));
                }
                _ => listing.others.push(name.to_owned()),
            }
        }
        listing.objects.sort_unstable();
        listing.prefixes.sort_unstable();
        listing.others.sort_unstable();
        Ok(listing)
    }

    /// Deletes everything below a folder, and the folder.
    ///
    /// Each object goes under its lock, so that no writer's file is taken from under it. Links are
    /// removed, never followed. An object that somebody writes at the same time goes or stays, whole
    /// either way, and its folder with it.
    pub(super) fn remove_all(&self, prefix: &str) -> Result<()> {
        let cannot = |errno| failed(errno, "the folder cannot be deleted");
        if self.unlink_link(prefix)? {
            return Ok(());
        }
        let mut folders = vec![OsString::from(prefix)];
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            match self.beneath(&folder, flags) {
                Ok(opened) => {
                    let below = self.clear_folder(&Arc::new(opened))?;
                    folders.extend(below.into_iter().map(|name| join_os(&folder, &name)));
                }
                // An object or a link in its place has nothing below it.
                Err(errno) if is_missing(errno) || errno == Errno::LOOP => {}
                Err(errno) => return Err(cannot(errno)),
            }
        }
        for folder in folders.iter().rev().filter(|folder| !folder.is_empty()) {
            let (above, name) = split(folder);
            let above = match self.beneath(above, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(above) => above,
                Err(errno) if is_missing(errno) => continue,
                Err(errno) => return Err(cannot(errno)),
            };
            match system::unlink(above.as_fd(), name, AtFlags::REMOVEDIR) {
                // An object, or gone.
                Ok(()) | Err(Errno::NOTDIR | Errno::NOENT) => {}
                // Written to meanwhile: it stays, but not what was deleted from it.
                Err(Errno::NOTEMPTY | Errno::EXIST) => self.note_path(folder).map_err(cannot)?,
                Err(errno) => return Err(cannot(errno)),
            }
        }
        let above = if prefix.is_empty() { OsStr::new("") } else { split(OsStr::new(prefix)).0 };
        self.note_path(above).map_err(cannot)
    }

    /// Notes that a folder has to be synced, if it is there and the store is asked to.
    fn note_path(&self, path: &OsStr) -> Result<(), Errno> {
        if self.unsettled.is_none() {
            return Ok(());
        }
        match self.beneath(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(folder) => self.note(&Arc::new(folder)),
            Err(errno) if is_missing(errno) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Notes that the nearest folder above a key has to be synced, if the store is asked to.
    pub(super) fn note_above(&self, key: &str) -> Result<(), Errno> {
        if self.unsettled.is_none() {
            return Ok(());
        }
        for (end, _) in key.rmatch_indices('/') {
            match self.beneath(&key[..end], OFlags::PATH | OFlags::DIRECTORY) {
                Ok(folder) => {
                    self.note(&Arc::new(folder));
                    return Ok(());
                }
                Err(errno) if is_missing(errno) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.note(&self.root);
        Ok(())
    }

    /// Removes a link to a folder; `false` if it is none.
    fn unlink_link(&self, path: &str) -> Result<bool> {
        if path.is_empty() {
            return Ok(false);
        }
        let cannot = |errno| failed(errno, "the link cannot be deleted");
        let (above, name) = split(OsStr::new(path));
        let folder = OFlags::PATH | OFlags::DIRECTORY;
        let (Ok(above), Ok(_)) = (self.beneath(above, folder), self.beneath(path, folder)) else {
            return Ok(false);
        };
        let stat =
            system::status_of(above.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).map_err(cannot)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(false);
        }
        system::unlink(above.as_fd(), name, AtFlags::empty()).map_err(cannot)?;
        self.note(&Arc::new(above));
        Ok(true)
    }

    /// Removes what is no folder from a folder, and gives the names of those that are.
    fn clear_folder(&self, folder: &Arc<Opened>) -> Result<Vec<OsString>> {
        let cannot = |errno| failed(errno, "the folder cannot be deleted");
        let status_of =
            |name: &OsStr| system::status_of(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW);
        let mut files = BTreeSet::new();
        let mut folders = Vec::new();
        for entry in fs::Dir::read_from(folder.as_fd()).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match status_of(name) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(errno) if is_missing(errno) => continue,
                    Err(errno) => return Err(cannot(errno)),
                },
                known => known,
            };
            if kind == FileType::Directory {
                folders.push(name.to_owned());
            } else {
                // Locking an object makes a left over lock file its own, and removes it.
                let object = name.as_bytes().strip_suffix(LOCK_SUFFIX.as_bytes());
                files.insert(object.map_or(name, OsStr::from_bytes).to_owned());
            }
        }
        for name in files {
            let _locked = match Target::lock(self, Arc::clone(folder), &name) {
                Ok(Some(target)) => Some(target),
                // The folder is gone, and with it what was in it.
                Ok(None) => break,
                // No writer has a lock of that name either.
                Err(error) if cannot_be_made(&error) => None,
                Err(error) => return Err(error),
            };
            match system::unlink(folder.as_fd(), &name, AtFlags::empty()) {
                // A folder of the name of a left over lock file is among the folders.
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(cannot(errno)),
            }
        }
        Ok(folders)
    }

    /// Moves a folder to where nothing or an empty folder is.
    pub(super) fn rename_folder(&self, from: &str, to: &str) -> Result<()> {
        check_writable(from)?;
        check_writable(to)?;
        let cannot = |errno| failed(errno, "the folder cannot be renamed");
        if to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
            return Err(Error::invalid_argument("a folder cannot be moved below itself"));
        }
        let missing = || Error::not_found("there is nothing to rename");
        let exists = || Error::already_exists("there is something at the new name");
        match self.beneath(from, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
            Ok(_) if from == to => return Err(exists()),
            Ok(_) => {}
            Err(errno) if is_missing(errno) => return Err(missing()),
            Err(errno) => return Err(cannot(errno)),
        }
        let Some(old) = self.parent(from, false)? else { return Err(missing()) };
        let Some(new) = self.parent(to, true)? else {
            return Err(Error::conflict("the new folder was deleted while it was made"));
        };
        // The slash makes the kernel insist on a folder, and a folder replaces an empty one only:
        // so one call, with no gap before it, keeps whatever else there is.
        let mut name = split(OsStr::new(from)).1.to_owned();
        name.push("/");
        let new_name = split(OsStr::new(to)).1;
        match system::rename(old.as_fd(), &name, new.as_fd(), new_name) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => return Err(exists()),
            Err(Errno::XDEV) => {
                return Err(Error::unsupported(
                    "the new place is on another file system, to which nothing moves in one step: \
                     copy it, and delete the old one",
                ));
            }
            Err(errno) => return Err(cannot(errno)),
        }
        if let Some(unsettled) = &self.unsettled {
            unsettled.forget();
            unsettled.note(&new);
            unsettled.note(&old);
        }
        Ok(())
    }
}

/// The folder and the name of a path.
fn split(path: &OsStr) -> (&OsStr, &OsStr) {
    let bytes = path.as_bytes();
    match bytes.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (OsStr::from_bytes(&bytes[..slash]), OsStr::from_bytes(&bytes[slash + 1..])),
        None => (OsStr::new(""), path),
    }
}

fn join_os(folder: &OsStr, name: &OsStr) -> OsString {
    if folder.is_empty() {
        return name.to_owned();
    }
    OsString::from_vec([folder.as_bytes(), b"/", name.as_bytes()].concat())
}
