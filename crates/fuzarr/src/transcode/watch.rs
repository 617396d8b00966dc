//! Stores that tell a copy what passes through them: what version of a source object was read, and
//! when an object of the destination is finished.

use std::sync::Arc;

use super::ledger::Ledger;
use crate::error::Result;
use crate::store::{
    Answer, Capabilities, Content, Listing, Moment, Object, Precondition, Store, Upload, Version,
    find,
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
    async fn stored(&self, key: &str) -> Result<()> {
        match self.side {
            Side::Source => Ok(()),
            Side::Destination => self.ledger.stored(&*self.store, key).await,
        }
    }
}

#[derive(Debug)]
struct WatchedUpload {
    upload: Box<dyn Upload>,
    key: String,
    watched: Watched,
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Upload for WatchedUpload {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        self.upload.write(offset, content)
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, ()> {
        let Self { upload, key, watched } = *self;
        let finished = upload.finish(precondition);
        Answer::later(async move {
            finished.await?;
            watched.stored(&key).await
        })
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Store for Watched {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        if self.side == Side::Destination {
            return self.store.open(key);
        }
        let opened = find(&*self.store, key);
        Answer::later(async move {
            let object = opened.await?;
            self.ledger.opened(key, object.as_deref());
            Ok(object)
        })
    }

    fn open_at<'a>(
        &'a self,
        key: &'a str,
        version: &Version,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        match self.side {
            // The ledger wants to know what is there now.
            Side::Source => self.open(key),
            Side::Destination => self.store.open_at(key, version),
        }
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        let put = self.store.put(key, content, precondition);
        Answer::later(async move {
            put.await?;
            self.stored(key).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        self.store.delete(key, precondition)
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
            Ok(Box::new(WatchedUpload { upload, key, watched }) as Box<dyn Upload>)
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
