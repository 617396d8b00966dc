//! Stores that tell a copy what passes through them: what version of a source object was read, and
//! when an object of the destination is finished.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::ledger::{Ledger, Seen};
use crate::error::{Kind, Result};
use crate::store::{
    Answer, Capabilities, Content, Listing, Moment, Object, Piece, Precondition, Span, Store,
    Upload, Version,
};

/// Which side of a copy a store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

/// A store of a copy that tells the ledger.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) store: Arc<dyn Store>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) side: Side,
}

impl Watched {
    /// An object that the store has opened, of which the ledger is told: now, if the store knows it, or
    /// once it is read.
    fn opened<'a>(
        &'a self,
        key: &'a str,
        opened: Answer<'a, Option<Box<dyn Object>>>,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        if self.side == Side::Destination {
            return opened;
        }
        Answer::later(async move {
            let Some(object) = opened.await? else {
                self.ledger.opened(key, None);
                return Ok(None);
            };
            if self.store.capabilities().blocking || object.size().is_some() {
                self.ledger.opened(key, Some(&Seen::of(&*object)));
                return Ok(Some(object));
            }
            let (key, ledger) = (key.to_owned(), Arc::clone(&self.ledger));
            let watched = WatchedObject { object, key, ledger, is_told: AtomicBool::new(false) };
            Ok(Some(Box::new(watched) as Box<dyn Object>))
        })
    }

    /// Before an object is stored or deleted: makes sure that it is still this copy's.
    async fn hold(&self) -> Result<()> {
        match self.side {
            Side::Source => Ok(()),
            Side::Destination => self.ledger.hold(&*self.store).await,
        }
    }

    /// An object of so many bytes was stored, as this version, if that is known.
    async fn stored(&self, key: &str, size: u64, version: Option<Version>) -> Result<()> {
        if self.side == Side::Source {
            return Ok(());
        }
        let seen = version.map(|version| Seen { size: Some(size), version: Some(version) });
        self.ledger.stored(&*self.store, key, seen).await
    }
}

/// A source object of a store that has not been asked for it: the ledger is told by the first answer.
#[derive(Debug)]
struct WatchedObject {
    object: Box<dyn Object>,
    key: String,
    ledger: Arc<Ledger>,
    is_told: AtomicBool,
}

impl WatchedObject {
    fn tell(&self, is_there: bool) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            let seen = is_there.then(|| Seen::of(&*self.object));
            self.ledger.opened(&self.key, seen.as_ref());
        }
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Object for WatchedObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        Answer::later(async move {
            let piece = self.object.read(span, spare).await?;
            self.tell(piece.is_some());
            Ok(piece)
        })
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        Answer::later(async move {
            let read = self.object.read_into(start, memory).await;
            match &read {
                Ok(true) => self.tell(true),
                Err(error) if error.kind() == Kind::NotFound => self.tell(false),
                _ => {}
            }
            read
        })
    }

    fn size(&self) -> Option<u64> {
        self.object.size()
    }

    fn version(&self) -> Option<Version> {
        self.object.version()
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        Answer::later(async move {
            let is_unchanged = self.object.is_unchanged().await?;
            // Otherwise nothing was asked.
            if is_unchanged && self.object.size().is_some() {
                self.tell(true);
            }
            Ok(is_unchanged)
        })
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        self.object.file()
    }
}

#[derive(Debug)]
struct WatchedUpload {
    upload: Box<dyn Upload>,
    key: String,
    watched: Watched,
    /// How many bytes there are so far.
    size: AtomicU64,
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Upload for WatchedUpload {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        let end = offset.saturating_add(content.length());
        self.size.fetch_max(end, Ordering::Relaxed);
        self.upload.write(offset, content)
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>> {
        let Self { upload, key, watched, size } = *self;
        Answer::later(async move {
            watched.hold().await?;
            let version = upload.finish(precondition).await?;
            watched.stored(&key, size.into_inner(), version).await?;
            Ok(None)
        })
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Store for Watched {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        self.opened(key, self.store.open(key))
    }

    fn open_at<'a>(
        &'a self,
        key: &'a str,
        version: &Version,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        self.opened(key, self.store.open_at(key, version))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        Answer::later(async move {
            self.hold().await?;
            let version = self.store.put(key, content, precondition).await?;
            self.stored(key, content.length(), version).await?;
            Ok(None)
        })
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        Answer::later(async move {
            self.hold().await?;
            self.store.delete(key, precondition).await
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.store.list(prefix)
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        let begun = self.store.begin(key);
        let watched = Self {
            store: Arc::clone(&self.store),
            ledger: Arc::clone(&self.ledger),
            side: self.side,
        };
        let key = key.to_owned();
        Answer::later(async move {
            let upload = begun.await?;
            let size = AtomicU64::new(0);
            Ok(Box::new(WatchedUpload { upload, key, watched, size }) as Box<dyn Upload>)
        })
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        self.store.patch(key, changes, precondition)
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.store.delete_all(prefix)
    }

    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        self.store.rename_all(from, to)
    }

    fn moment(&self) -> Moment {
        self.store.moment()
    }

    fn settle(&self, since: Moment) -> Answer<'_, ()> {
        self.store.settle(since)
    }
}
