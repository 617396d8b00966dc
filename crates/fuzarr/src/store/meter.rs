//! A wrapper that counts.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Answer, Capabilities, Content, Listing, Object, Piece, Precondition, Span, Store, Upload,
    Version,
};

/// How often each operation was asked for, and how many bytes were read.
#[derive(Debug, Default)]
pub struct Counts {
    /// Objects opened.
    pub opens: AtomicU64,
    /// Reads of an object or a part of it.
    pub reads: AtomicU64,
    /// Bytes read.
    pub bytes_read: AtomicU64,
    /// Objects written.
    pub puts: AtomicU64,
    /// Objects deleted.
    pub deletes: AtomicU64,
    /// Listings.
    pub lists: AtomicU64,
}

/// A store that counts what is asked of it.
#[derive(Debug)]
pub struct Metered<S> {
    store: S,
    counts: Arc<Counts>,
}

impl<S> Metered<S> {
    /// Counts what is asked of `store`.
    pub fn new(store: S) -> Self {
        Self { store, counts: Arc::default() }
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The store inside.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.store
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug)]
struct MeteredObject {
    object: Box<dyn Object>,
    counts: Arc<Counts>,
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Object for MeteredObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        count(&self.counts.reads);
        Answer::later(async move {
            let piece = self.object.read(span, spare).await?;
            let length = piece.as_ref().map_or(0, |piece| piece.bytes.as_slice().len());
            self.counts.bytes_read.fetch_add(length as u64, Ordering::Relaxed);
            Ok(piece)
        })
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        let length = memory.len() as u64;
        Answer::later(async move {
            let read = self.object.read_into(start, memory).await?;
            if read {
                count(&self.counts.reads);
                self.counts.bytes_read.fetch_add(length, Ordering::Relaxed);
            }
            Ok(read)
        })
    }

    fn size(&self) -> Option<u64> {
        self.object.size()
    }

    fn version(&self) -> Option<Version> {
        self.object.version()
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        self.object.is_unchanged()
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        self.object.file()
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl<S: Store> Store for Metered<S> {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        count(&self.counts.opens);
        Answer::later(async move {
            let object = self.store.open(key).await?;
            Ok(object.map(|object| {
                Box::new(MeteredObject { object, counts: Arc::clone(&self.counts) })
                    as Box<dyn Object>
            }))
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        count(&self.counts.puts);
        self.store.put(key, content, precondition)
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        count(&self.counts.deletes);
        self.store.delete(key, precondition)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        count(&self.counts.lists);
        self.store.list(prefix)
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        count(&self.counts.puts);
        self.store.begin(key)
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        count(&self.counts.puts);
        self.store.patch(key, changes, precondition)
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.store.delete_all(prefix)
    }

    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        self.store.rename_all(from, to)
    }
}
