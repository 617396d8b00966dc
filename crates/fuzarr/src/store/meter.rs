//! A wrapper that counts.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Answer, Capabilities, Content, Listing, Moment, Object, Part, Piece, Precondition, Span, Store,
    Upload, Version,
};

/// How often each operation was asked for, how many bytes were read, and how many were to be
/// written.
#[derive(Debug, Default)]
pub struct Counts {
    /// Objects opened.
    pub opens: AtomicU64,
    /// Reads of an object or a part of it.
    pub reads: AtomicU64,
    /// Bytes read.
    pub bytes_read: AtomicU64,
    /// Objects written: put, uploaded or changed in place.
    pub puts: AtomicU64,
    /// Bytes given to be written, by puts, uploads and changes in place.
    pub bytes_written: AtomicU64,
    /// Bytes to be carried over from the object that a write is based on.
    pub bytes_kept: AtomicU64,
    /// Objects deleted.
    pub deletes: AtomicU64,
    /// Listings.
    pub lists: AtomicU64,
    /// How often changes were settled.
    pub settles: AtomicU64,
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

impl Counts {
    fn written(&self, content: &Content<'_>) {
        for part in content.parts {
            match part {
                Part::Bytes(bytes) => add(&self.bytes_written, bytes.len() as u64),
                Part::Shared(bytes) => add(&self.bytes_written, bytes.len() as u64),
                Part::Kept(range) => {
                    add(&self.bytes_kept, range.end.saturating_sub(range.start));
                }
            }
        }
    }
}

fn count(counter: &AtomicU64) {
    add(counter, 1);
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
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
            add(&self.counts.bytes_read, length as u64);
            Ok(piece)
        })
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        let length = memory.len() as u64;
        Answer::later(async move {
            let read = self.object.read_into(start, memory).await?;
            if read {
                count(&self.counts.reads);
                add(&self.counts.bytes_read, length);
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

#[derive(Debug)]
struct MeteredUpload {
    upload: Box<dyn Upload>,
    counts: Arc<Counts>,
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Upload for MeteredUpload {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        self.counts.written(&content);
        self.upload.write(offset, content)
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>> {
        self.upload.finish(precondition)
    }
}

impl<S> Metered<S> {
    fn counted(&self, object: Box<dyn Object>) -> Box<dyn Object> {
        Box::new(MeteredObject { object, counts: Arc::clone(&self.counts) })
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl<S: Store> Store for Metered<S> {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        count(&self.counts.opens);
        Answer::later(
            async move { Ok(self.store.open(key).await?.map(|object| self.counted(object))) },
        )
    }

    fn open_at<'a>(
        &'a self,
        key: &'a str,
        version: &Version,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        count(&self.counts.opens);
        let opened = self.store.open_at(key, version);
        Answer::later(async move { Ok(opened.await?.map(|object| self.counted(object))) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        count(&self.counts.puts);
        self.counts.written(&content);
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
        let counts = Arc::clone(&self.counts);
        Answer::later(async move {
            let upload = self.store.begin(key).await?;
            Ok(Box::new(MeteredUpload { upload, counts }) as Box<dyn Upload>)
        })
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        count(&self.counts.puts);
        let lengths = changes.iter().map(|(_, bytes)| bytes.len() as u64);
        add(&self.counts.bytes_written, lengths.sum());
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
        count(&self.counts.settles);
        self.store.settle(since)
    }
}
