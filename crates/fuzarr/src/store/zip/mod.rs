//! A zip archive as a store, wherever the archive itself is stored: a file, an object behind a network,
//! memory.
//!
//! Reading takes the end of the archive, its directory, and then ranges of the entries that are
//! stored as they are, all of one version of the archive; entries that are deflated are read whole.
//! Checksums are checked whenever all of an entry is read.
//!
//! An archive is never changed. What is put, deleted and renamed is kept beside it, in memory and
//! beyond [`ZipOptions::memory`] in a file without a name, and seen by who reads from this store.
//! Then a new archive is written, of ranges of the old one and what is new, and takes its place in
//! one step, if the old one is still there: at the end of each request ([`Store::settle`]), or with
//! [`Writing::OnClose`] when [`close`](ZipStore::close) is called. If anything fails, or the process
//! dies, the old archive is what there is. If somebody else has replaced it meanwhile, that is a
//! `Conflict`: only one may write.
//!
//! Writing an archive costs as much as copying it: for many requests, let the store write when it
//! is closed. Nothing is compressed once more; what is no entry any more takes no room.
//!
//! An archive that others replace is read anew: inside a store that answers at once, its version is
//! looked at whenever an entry is opened or listed; inside one that waits, a read of an entry finds
//! out, which is a `Conflict` that requests take for a reason to start again. Until then, what is not
//! in the directory that was read is missing.
//!
//! An entry's version is that of its archive, with its place, size and checksum: who opens the same
//! archive finds the same, in another process too. It is as tentative as the archive's, and where that
//! has none it is another one with each opening. What was changed has a version that nobody else
//! gives, before and, for this store, after it is written.

mod contents;
mod directory;
mod layout;
mod object;
mod record;
mod rewrite;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::contents::{Archive, Changes, Contents, Found, Place, Unwritten};
use self::directory::Directory;
use self::object::ZipObject;
use self::rewrite::Refused;
use super::local::Spool;
use super::process::PerProcess;
use super::{
    Answer, Capabilities, Content, Listing, LocalOptions, LocalStore, Moment, Object, Precondition,
    Store, Version, check_key,
};
use crate::codec::crc32;
use crate::error::{Error, Result, ResultExt};
use crate::wait::wait;

/// When a [`ZipStore`] writes what was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writing {
    /// At the end of each request that changes something.
    #[default]
    EachRequest,
    /// When it is [closed](ZipStore::close); without that, never.
    OnClose,
}

/// How a [`ZipStore`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipOptions {
    /// When.
    pub writing: Writing,
    /// Bytes of what is not written yet that are kept in memory.
    pub memory: u64,
    /// The folder of the file for what is beyond that; without one it is an error of kind
    /// [`Limit`](crate::Kind::Limit).
    pub spool: Option<PathBuf>,
    /// Whether an object of no bytes is an archive without entries, as one that is not there is: where
    /// one is to be made, of a file that somebody has made room with. Otherwise it is an error.
    pub create: bool,
}

impl Default for ZipOptions {
    fn default() -> Self {
        Self { writing: Writing::default(), memory: 256 << 20, spool: None, create: false }
    }
}

/// A zip archive as a store: its entries are the objects.
///
/// Entries that are stored or deflated can be read; they are written stored, as zarr-python's
/// `ZipStore` does.
#[derive(Debug, Clone)]
pub struct ZipStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    key: String,
    /// Those of the store that the archive is in.
    capabilities: Capabilities,
    options: ZipOptions,
    /// What a process changes is its own to write: a forked child begins with the archive.
    state: PerProcess<State>,
}

#[derive(Debug)]
struct State {
    /// The key of the archive.
    key: String,
    contents: Mutex<Contents>,
    /// Who writes the archive, or renames.
    turn: tokio::sync::Mutex<()>,
}

impl Shared {
    fn state(&self) -> &State {
        self.state.get_or_make(|| State {
            key: self.key.clone(),
            contents: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.state().contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The archive as it is stored; the known one, if that is it.
    async fn read(&self, known: Option<Arc<Archive>>) -> Result<Arc<Archive>> {
        let present = self.store.open(&self.key).await?;
        if let Some(archive) = known
            && let version = present.as_ref().map(|object| object.version())
            && version.as_ref().is_none_or(Option::is_some)
            && version == archive.object.as_ref().map(|object| object.version())
        {
            archive.found_again(version.flatten().as_ref());
            return Ok(archive);
        }
        let read = match present {
            None => None,
            Some(object) => {
                let directory = Directory::read(&*object, self.options.create).await?;
                directory.map(|directory| (object, directory))
            }
        };
        let archive =
            read.map_or_else(Archive::none, |(object, directory)| Archive::new(object, directory));
        Ok(Arc::new(archive))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let contents = self.contents.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !contents.changes.is_empty() {
            let (archive, changes) = (&self.key, contents.changes.len());
            tracing::warn!(archive, changes, "a zip archive was not closed: changes are lost");
        }
    }
}

impl ZipStore {
    /// The archive that is, or will be, the object `key` of a store. Nothing is read yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, key: impl Into<String>, options: ZipOptions) -> Self {
        let (capabilities, key) = (store.capabilities(), key.into());
        let state = PerProcess::new();
        Self { shared: Arc::new(Shared { store, key, capabilities, options, state }) }
    }

    /// The archive that is, or will be, a file; its folder must exist, and takes what is not written
    /// yet unless the options name another.
    ///
    /// # Errors
    /// Those of [`LocalStore::of_file`].
    pub fn local(path: impl AsRef<Path>, options: ZipOptions) -> Result<Self> {
        Self::local_with(path, options, LocalOptions::default(), false)
    }

    /// As [`local`](Self::local), with options of the folder, which is made if `create` is set; that of
    /// the options is set then, too.
    ///
    /// # Errors
    /// Those of [`LocalStore::of_file`].
    pub fn local_with(
        path: impl AsRef<Path>,
        options: ZipOptions,
        local: LocalOptions,
        create: bool,
    ) -> Result<Self> {
        let (store, key) = LocalStore::of_file(path, local, create)?;
        let spool = options.spool.or_else(|| Some(store.path().to_owned()));
        let create = create || options.create;
        Ok(Self::new(Arc::new(store), key, ZipOptions { spool, create, ..options }))
    }

    /// Writes what was changed and is not written yet. The store can be used further.
    ///
    /// # Errors
    /// `Conflict` if somebody else has replaced the archive since it was read; those of the store that
    /// it is in. What was changed is kept then, so that this can be tried again.
    pub fn close(&self) -> Result<()> {
        wait(self.close_async())
    }

    /// As [`close`](Self::close), without keeping the calling thread.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub async fn close_async(&self) -> Result<()> {
        self.write(Refused::Kept).await.context("archive", || &self.shared.key)
    }

    /// Gives up what was changed and is not written yet: after a conflict, say. What the archive has is
    /// what there is.
    pub fn discard(&self) {
        self.shared.contents().give_up(&Changes::default(), true);
    }

    /// When it writes.
    #[must_use]
    pub fn writing(&self) -> Writing {
        self.shared.options.writing
    }

    /// Whether something was changed that is not written yet.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        !self.shared.contents().changes.is_empty()
    }

    /// The archive as it is now, as far as that can be told without waiting, or as the changes are of.
    async fn archive(&self) -> Result<Arc<Archive>> {
        let shared = &*self.shared;
        loop {
            let (known, is_pinned, generation) = {
                let contents = shared.contents();
                let is_pinned = !shared.capabilities.blocking || !contents.changes.is_empty();
                (contents.archive.clone(), is_pinned, contents.generation)
            };
            let read = match known {
                Some(archive) if is_pinned => return Ok(archive),
                known => shared.read(known).await,
            };
            let mut contents = shared.contents();
            // Somebody may have written, or read, another one meanwhile.
            if contents.generation == generation {
                let archive = read?;
                let is_known =
                    contents.archive.as_ref().is_some_and(|known| Arc::ptr_eq(known, &archive));
                if !is_known && (contents.archive.is_none() || contents.changes.is_empty()) {
                    contents.replace(Some(Arc::clone(&archive)));
                }
                return Ok(archive);
            }
        }
    }

    async fn find(&self, key: &str) -> Result<Option<Box<dyn Object>>> {
        check_key(key)?;
        let (archive, found) = {
            let contents = self.contents().await?;
            (contents.archive.clone(), contents.find(key))
        };
        let (Some(archive), Some(found)) = (archive, found) else { return Ok(None) };
        let shared = Arc::clone(&self.shared);
        let object = ZipObject::new(shared, key, archive, found)?;
        Ok(Some(Box::new(object)))
    }

    /// The contents, of an archive that is known.
    async fn contents(&self) -> Result<MutexGuard<'_, Contents>> {
        loop {
            let archive = self.archive().await?;
            let contents = self.shared.contents();
            // Another may have been written since.
            if contents.archive.as_ref().is_some_and(|known| Arc::ptr_eq(known, &archive)) {
                return Ok(contents);
            }
        }
    }

    /// Keeps bytes until they are written.
    fn keep(&self, bytes: Bytes) -> Result<Unwritten> {
        let (size, crc) = (bytes.len() as u64, crc32(&bytes));
        let ZipOptions { memory, spool, .. } = &self.shared.options;
        let spool = {
            let mut contents = self.shared.contents();
            if contents.in_memory.saturating_add(size) <= *memory {
                return Ok(Unwritten::new(Place::Memory(bytes), size, crc));
            }
            match (&contents.spool, spool) {
                (Some(spool), _) => Arc::clone(spool),
                (None, Some(folder)) => {
                    Arc::clone(contents.spool.insert(Arc::new(Spool::new(folder)?)))
                }
                (None, None) => {
                    return Err(Error::limit(format!(
                        "more than {memory} bytes of changes that the zip archive does not have yet"
                    )));
                }
            }
        };
        let start = spool.append(&bytes)?;
        Ok(Unwritten::new(Place::Spool(spool, start), size, crc))
    }

    async fn put(&self, key: &str, content: Content<'_>, precondition: Precondition) -> Result<()> {
        check_key(key)?;
        if key.len() > usize::from(u16::MAX) {
            return Err(Error::invalid_argument("the key is longer than zip archives can name"));
        }
        let bytes = content.joined().await?;
        self.contents().await?.check(key, &precondition)?;
        let new = Found::Unwritten(Arc::new(self.keep(bytes)?));
        let mut contents = self.contents().await?;
        contents.check(key, &precondition)?;
        contents.change(key, Some(new));
        Ok(())
    }

    async fn delete(&self, key: &str, precondition: Precondition) -> Result<()> {
        check_key(key)?;
        let mut contents = self.contents().await?;
        contents.check(key, &precondition)?;
        contents.change(key, None);
        Ok(())
    }

    async fn delete_all(&self, prefix: &str) -> Result<()> {
        if !prefix.is_empty() {
            check_key(prefix)?;
        }
        let mut contents = self.contents().await?;
        for (key, _) in contents.below(prefix) {
            contents.change(&key, None);
        }
        Ok(())
    }

    async fn rename_all(&self, from: &str, to: &str) -> Result<()> {
        check_key(from)?;
        check_key(to)?;
        let _turn = self.shared.state().turn.lock().await;
        self.contents().await?.rename(from, to)
    }

    async fn settle(&self, Moment(since): Moment) -> Result<()> {
        if self.shared.options.writing == Writing::OnClose {
            return Ok(());
        }
        // Nothing is there that was refused.
        let written = self.write(Refused::GivenUp).await.context("archive", || &self.shared.key);
        if written.is_ok() && self.shared.contents().lost > since {
            let lost = "changes were lost, as the zip archive could not be written";
            return Err(Error::conflict(lost).with("archive", &self.shared.key));
        }
        written
    }
}

impl Store for ZipStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking: self.shared.capabilities.blocking,
            ranges: true,
            gap: self.shared.capabilities.gap,
            compare_and_swap: true,
            conditional_delete: true,
            carry_over: false,
            uploads: false,
            conditional_uploads: false,
            patch: false,
        }
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        Answer::later(async move { self.find(key).await.context("key", || key) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        Answer::later(async move {
            self.put(key, content, precondition).await.context("key", || key)?;
            Ok(None)
        })
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        Answer::later(async move { self.delete(key, precondition).await.context("key", || key) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Answer::later(async move {
            let checked = if prefix.is_empty() { Ok(()) } else { check_key(prefix) };
            let contents = match checked {
                Ok(()) => self.contents().await,
                Err(error) => Err(error),
            };
            contents.map(|contents| contents.list(prefix)).context("prefix", || prefix)
        })
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        Answer::later(async move { self.delete_all(prefix).await.context("prefix", || prefix) })
    }

    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        Answer::later(async move {
            let renamed = self.rename_all(from, to).await;
            renamed.context("from", || from).context("to", || to)
        })
    }

    fn moment(&self) -> Moment {
        Moment(self.shared.contents().moment)
    }

    fn settle(&self, since: Moment) -> Answer<'_, ()> {
        Answer::later(self.settle(since))
    }
}
