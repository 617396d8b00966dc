//! A wrapper that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Answer, Capabilities, Listing, Object, Piece, Precondition, Span, Store, Version};

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

    fn version(&self) -> Option<Version> {
        self.object.version()
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
        parts: &'a [&'a [u8]],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        count(&self.counts.puts);
        self.store.put(key, parts, precondition)
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        count(&self.counts.deletes);
        self.store.delete(key, precondition)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        count(&self.counts.lists);
        self.store.list(prefix)
    }
}
