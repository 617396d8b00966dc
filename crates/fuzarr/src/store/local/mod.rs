//! A store in a folder of the local file system.
//!
//! Every path is opened below the root by the kernel (`openat2` with `RESOLVE_BENEATH`), so no key
//! and no symbolic link leads out. A write goes to the hidden sibling `<name>.__lock`, which is both
//! the temporary file and the lock, and is renamed onto its target: readers see the old object or the
//! new one, writers exclude each other, and a kill leaves at most one reusable file. tensorstore uses
//! the same file and the same kind of lock.

#[cfg(feature = "faults")]
pub mod faults;
mod lock;
mod object;
mod process;
mod spool;
mod system;
mod tree;
mod unsettled;
mod write;

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, CWD, FileType, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use self::lock::Target;
use self::object::LocalObject;
pub(super) use self::spool::Spool;
use self::system::{Opened, Prompt};
use self::unsettled::{Unsettled, birth};
use self::write::LocalUpload;
use super::{
    Answer, Capabilities, Content, Listing, Moment, Object, Precondition, Store, Upload, Version,
    check_key,
};
use crate::error::{Error, Kind, Result, ResultExt};

/// What is added to an object's name for its lock and temporary file.
const LOCK_SUFFIX: &str = ".__lock";

/// Bytes that are copied from memory in the time of a system call.
const NEAR: u64 = 16 << 10;

/// Bytes that another machine sends in the time of a request.
const FAR: u64 = 1 << 20;

/// How often a folder is made anew that others delete before it is written to. Against somebody who
/// does nothing but delete it, about one attempt in ten succeeds.
const ATTEMPTS: usize = 1000;

/// How a [`LocalStore`] treats its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalOptions {
    /// A write is acknowledged when it is on the disk: the object is synced before it takes its
    /// name; its folder, and those above new folders, once at the end of a request
    /// ([`Store::settle`]).
    pub fsync: bool,
    /// Follow symbolic links that lead out of the folder. Without it they are errors.
    pub follow_links_out: bool,
    /// Reads wait for no disk: what the system does not have in memory is an error of kind
    /// [`Kind::WouldBlock`], and so is any read of a file system that cannot tell. For threads that
    /// others wait for.
    pub at_hand: bool,
    /// Other processes write too. A file system that cannot lock is then an error; without this,
    /// writers of this process exclude each other and a warning is logged once.
    pub shared_writers: bool,
}

/// A folder of the local file system as a store. Objects are files, `/` separates folders.
///
/// A new file gets the permissions that the process gives to new files (its umask), also where it
/// replaces one, as zarr-python does; only a [file by itself](Self::of_file) keeps those it has.
#[derive(Debug)]
pub struct LocalStore {
    root: Arc<Opened>,
    path: PathBuf,
    options: LocalOptions,
    /// The file system, if it reports all errors of writing at once.
    prompt: Option<Prompt>,
    /// Folders that have to be synced, if that is asked for.
    unsettled: Option<Arc<Unsettled>>,
    /// A file that replaces another has its permissions.
    keeps_permissions: bool,
}

impl LocalStore {
    /// Opens an existing folder.
    ///
    /// # Errors
    /// `NotFound` if there is no such folder, `Io` otherwise.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, LocalOptions::default())
    }

    /// Opens an existing folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: LocalOptions) -> Result<Self> {
        let path = path.as_ref();
        let unsettled = || options.fsync.then(Unsettled::new).transpose();
        let open = || {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let root = if options.at_hand {
                system::open(CWD, path.as_os_str(), flags, ResolveFlags::CACHED)?
            } else {
                system::open_anywhere(CWD, path.as_os_str(), flags)?
            };
            Ok((root, unsettled()?.map(Arc::new)))
        };
        let (root, unsettled) = open()
            .map_err(|errno| match errno {
                errno if options.at_hand && cannot_tell(errno) => not_at_hand(),
                errno => failed(errno, "the folder cannot be opened"),
            })
            .context("path", || path.display())?;
        let prompt = system::prompt(root.as_fd());
        let root = Arc::new(root);
        let (path, keeps_permissions) = (path.to_owned(), false);
        Ok(Self { root, path, options, prompt, unsettled, keeps_permissions })
    }

    /// Opens a folder, creating it and its parents if they are missing.
    ///
    /// # Errors
    /// `Io` if it cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::create_with(path, LocalOptions::default())
    }

    /// Opens a folder with options, creating it and its parents if they are missing.
    ///
    /// # Errors
    /// `Io` if it cannot be created.
    pub fn create_with(path: impl AsRef<Path>, options: LocalOptions) -> Result<Self> {
        let path = path.as_ref();
        make_folders(path, options.fsync)
            .map_err(|errno| failed(errno, "the folder cannot be made"))
            .context("path", || path.display())?;
        Self::open_with(path, options)
    }

    /// Opens the folder that a file is in, or will be, and gives the file's key in it. A link is
    /// followed. With `create`, a missing folder is made. What replaces the file gets its permissions,
    /// and a file that nobody may write is not replaced.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with) and [`create_with`](Self::create_with); `InvalidArgument` for
    /// the path of a folder, and for a name that is no key.
    pub fn of_file(
        path: impl AsRef<Path>,
        options: LocalOptions,
        create: bool,
    ) -> Result<(Self, String)> {
        let path = path.as_ref();
        let no_file = |what: &str| Error::invalid_argument(what).with("path", path.display());
        let found = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if is_folder(&found) {
            return Err(no_file("this is a folder, not a file"));
        }
        let name = found.file_name().ok_or_else(|| no_file("the path names no file"))?;
        let name = name.to_str().ok_or_else(|| no_file("the name of the file is not UTF-8"))?;
        check_writable(name)?;
        let folder = found.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let opened = if create {
            Self::create_with(folder, options)
        } else {
            Self::open_with(folder, options)
        };
        Ok((Self { keeps_permissions: true, ..opened? }, name.to_owned()))
    }

    /// Whether the folder is of a file system of this machine, of which
    /// [`at_hand`](LocalOptions::at_hand) can be asked.
    #[must_use]
    pub fn is_prompt(&self) -> bool {
        self.prompt.is_some()
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> LocalOptions {
        self.options
    }

    /// Opens what is below the root.
    fn beneath(&self, key: impl AsRef<OsStr>, flags: OFlags) -> Result<Opened, Errno> {
        self.resolve(key, flags, ResolveFlags::empty())
    }

    fn resolve(
        &self,
        key: impl AsRef<OsStr>,
        flags: OFlags,
        how: ResolveFlags,
    ) -> Result<Opened, Errno> {
        let inside = if self.options.follow_links_out {
            ResolveFlags::empty()
        } else {
            ResolveFlags::BENEATH
        };
        let resolve = how | inside | ResolveFlags::NO_MAGICLINKS;
        let key = Some(key.as_ref()).filter(|key| !key.is_empty()).unwrap_or(OsStr::new("."));
        system::open(self.root.as_fd(), key, flags, resolve)
    }

    fn open_object(&self, key: &str) -> Result<Option<LocalObject>> {
        let waiting = self.waiting()?;
        let how = match waiting {
            Waiting::Forbidden => ResolveFlags::CACHED,
            Waiting::Allowed | Waiting::Needless => ResolveFlags::empty(),
        };
        // Not blocking, so that a named pipe in place of a file is an error and no hang.
        let file = match self.resolve(key, OFlags::RDONLY | OFlags::NONBLOCK, how) {
            Ok(file) => file,
            Err(errno) if is_missing(errno) => return Ok(None),
            Err(errno) if waiting == Waiting::Forbidden && cannot_tell(errno) => {
                return Err(not_at_hand());
            }
            Err(errno) => return Err(failed(errno, "the object cannot be opened")),
        };
        let stat = system::status(file.as_fd());
        let stat = stat.map_err(|errno| failed(errno, "the object has no status"))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if waiting != Waiting::Allowed && !self.is_here(&stat) => {
                Err(not_at_hand())
            }
            FileType::RegularFile => {
                let is_young = object::is_young(&stat);
                Ok(Some(LocalObject { file, stat, waiting, is_young }))
            }
            FileType::Directory => Ok(None),
            _ => Err(Error::io("the object is no regular file")),
        }
    }

    /// Whether reads may wait.
    fn waiting(&self) -> Result<Waiting> {
        match self.prompt {
            _ if !self.options.at_hand => Ok(Waiting::Allowed),
            Some(Prompt { in_memory: true, .. }) => Ok(Waiting::Needless),
            Some(_) => Ok(Waiting::Forbidden),
            None => Err(not_at_hand()),
        }
    }

    /// Whether a file is on the folder's own file system, and that one of this machine.
    fn is_here(&self, stat: &Stat) -> bool {
        self.prompt.is_some_and(|prompt| prompt.device == stat.st_dev)
    }

    /// The folder that holds `key`; `None` if it is missing and `create` is not set, or if it was
    /// deleted while it was made.
    fn parent(&self, key: &str, create: bool) -> Result<Option<Arc<Opened>>> {
        let Some((folder, _)) = key.rsplit_once('/') else {
            return Ok(Some(Arc::clone(&self.root)));
        };
        let opened = match self.beneath(folder, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(opened) => opened,
            Err(Errno::NOENT) if create => match self.make_folder(folder) {
                Ok(made) => made,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(failed(errno, "a folder cannot be made")),
            },
            Err(errno) if is_missing(errno) && !create => return Ok(None),
            Err(errno) => return Err(failed(errno, "the object's folder cannot be opened")),
        };
        if create && !self.keep(folder, &opened)? {
            return Ok(None);
        }
        Ok(Some(Arc::new(opened)))
    }

    /// Makes a folder and those above it.
    fn make_folder(&self, folder: &str) -> Result<Opened, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut above = self.beneath("", flags)?;
        for end in folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]) {
            let path = &folder[..end];
            above = match self.beneath(path, flags) {
                Err(Errno::NOENT) => {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    match system::make_folder(above.as_fd(), OsStr::new(name)) {
                        Ok(()) | Err(Errno::EXIST) => self.beneath(path, flags)?,
                        Err(errno) => return Err(errno),
                    }
                }
                opened => opened?,
            };
        }
        Ok(above)
    }

    /// Sees to it that the folders above one that something is written to are synced in the end, so
    /// that it stays reachable, if the store is asked to; `false` if one of them was deleted.
    fn keep(&self, path: &str, folder: &Opened) -> Result<bool> {
        let Some(unsettled) = self.unsettled.as_deref() else { return Ok(true) };
        match self.arrive(unsettled, path, folder) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(failed(errno, "the object's folder cannot be synced")),
        }
    }

    fn arrive(&self, unsettled: &Unsettled, path: &str, folder: &Opened) -> Result<(), Errno> {
        let birth = birth(folder)?;
        if unsettled.is_reachable(path, birth) {
            return Ok(());
        }
        let above = path.rmatch_indices('/').map(|(end, _)| &path[..end]).chain([""]);
        let open = |above| self.beneath(above, OFlags::PATH | OFlags::DIRECTORY).map(Arc::new);
        let above = above.map(open).collect::<Result<Vec<_>, Errno>>()?;
        unsettled.arrive(path, birth, &above);
        Ok(())
    }

    /// Notes that a folder has to be synced, if the store is asked to.
    fn note(&self, folder: &Arc<Opened>) {
        if let Some(unsettled) = &self.unsettled {
            unsettled.note(folder);
        }
    }

    /// Locks a key for writing; its folder is made if it is missing.
    fn target(&self, key: &str) -> Result<Target> {
        check_writable(key)?;
        for _ in 0..ATTEMPTS {
            let Some(folder) = self.parent(key, true)? else { continue };
            if let Some(target) = Target::lock(self, folder, name_of(key))? {
                return Ok(target);
            }
        }
        Err(Error::conflict("the object's folder is deleted whenever it is made"))
    }

    /// Locks a key for changing what is there; `None` if not even its folder is.
    fn existing_target(&self, key: &str) -> Result<Option<Target>> {
        check_writable(key)?;
        let Some(folder) = self.parent(key, false)? else { return Ok(None) };
        // Who made the folder may not have settled that.
        if let Some((path, _)) = key.rsplit_once('/')
            && !self.keep(path, &folder)?
        {
            return Ok(None);
        }
        Target::lock(self, folder, name_of(key))
    }
}

/// Whether reading an object may wait for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Allowed,
    Forbidden,
    /// There is no disk.
    Needless,
}

/// Whether a call that was to wait for nothing would have to, or does not know how not to: older
/// kernels, filters of system calls, and some file systems.
fn cannot_tell(errno: Errno) -> bool {
    matches!(errno, Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM)
}

#[cold]
fn not_at_hand() -> Error {
    Error::would_block("the object is not at hand")
}

fn name_of(key: &str) -> &OsStr {
    OsStr::new(key.rsplit('/').next().unwrap_or(key))
}

/// Whether something has this name.
pub(super) fn exists(path: &Path) -> bool {
    path.exists()
}

/// Whether this is a folder.
pub(super) fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

/// Whether nothing has this name.
fn is_absent(path: &Path) -> bool {
    !path.as_os_str().is_empty() && matches!(fs::stat(path), Err(Errno::NOENT))
}

/// Makes a folder of the file system and those above it.
fn make_folders(path: &Path, fsync: bool) -> Result<(), Errno> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| is_absent(path)).collect();
    for path in missing.into_iter().rev() {
        match system::make_folder(CWD, path.as_os_str()) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        if fsync {
            let above = path.parent().filter(|above| !above.as_os_str().is_empty());
            let above = above.unwrap_or(Path::new(".")).as_os_str();
            let above = system::open_anywhere(CWD, above, OFlags::RDONLY | OFlags::DIRECTORY)?;
            system::sync(above.as_fd())?;
        }
    }
    Ok(())
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
        Errno::XDEV | Errno::LOOP => Error::invalid_argument(format!(
            "{what}: the path leaves the store, or goes in a circle"
        )),
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
            gap: if self.prompt.is_some() { NEAR } else { FAR },
            compare_and_swap: true,
            conditional_delete: true,
            carry_over: true,
            uploads: true,
            conditional_uploads: true,
            patch: true,
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
    ) -> Answer<'a, Option<Version>> {
        let written = self.write(key, &content, &precondition).context("key", || key);
        Answer::ready(written.map(|()| None))
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        Answer::ready(self.remove(key, &precondition).context("key", || key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        let checked = if prefix.is_empty() { Ok(()) } else { check_key(prefix) };
        let listed = checked.and_then(|()| self.entries(prefix));
        Answer::ready(listed.context("prefix", || prefix))
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        let upload = self.target(key).and_then(|target| LocalUpload::new(target, key));
        let boxed = upload.map(|upload| Box::new(upload) as Box<dyn Upload>);
        Answer::ready(boxed.context("key", || key))
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        Answer::ready(self.change(key, changes, &precondition).context("key", || key))
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        let checked = if prefix.is_empty() { Ok(()) } else { check_writable(prefix) };
        let deleted = checked.and_then(|()| self.remove_all(prefix));
        Answer::ready(deleted.context("prefix", || prefix))
    }

    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        let renamed = self.rename_folder(from, to);
        Answer::ready(renamed.context("from", || from).context("to", || to))
    }

    fn moment(&self) -> Moment {
        Moment(self.unsettled.as_ref().map_or(0, |unsettled| unsettled.moment()))
    }

    fn settle(&self, Moment(since): Moment) -> Answer<'_, ()> {
        let settled = self.unsettled.as_ref().map_or(Ok(()), |unsettled| unsettled.settle(since));
        Answer::ready(settled.map_err(|errno| {
            failed(errno, "what was written is in its place, but its folder is not synced")
        }))
    }
}
