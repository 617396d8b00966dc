//! A wrapper that fails by a script.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Answer, Capabilities, Content, Listing, Moment, Object, Piece, Precondition, Span, Store,
    Upload, Version,
};
use crate::error::{Error, Kind, Result};

/// A kind of operation that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Store::open`].
    Open,
    /// [`Object::read`] and [`Object::read_into`].
    Read,
    /// [`Object::is_unchanged`].
    IsUnchanged,
    /// [`Store::put`].
    Put,
    /// [`Store::delete`].
    Delete,
    /// [`Store::list`].
    List,
    /// [`Store::begin`].
    Begin,
    /// [`Upload::write`].
    Write,
    /// [`Upload::finish`].
    Finish,
    /// [`Store::patch`].
    Patch,
    /// [`Store::delete_all`].
    DeleteAll,
    /// [`Store::rename_all`].
    RenameAll,
    /// [`Store::settle`].
    Settle,
}

type Tamper = Arc<dyn Fn(&str, Piece) -> Piece + Send + Sync>;

#[derive(Default)]
struct Script {
    /// How many operations of each kind were asked for.
    counts: [AtomicUsize; Operation::Settle as usize + 1],
    /// Which operation fails (the first of its kind is 0), and how.
    faults: Mutex<Vec<(Operation, usize, Kind)>>,
    tamper: Option<Tamper>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Script {
    fn faults(&self) -> MutexGuard<'_, Vec<(Operation, usize, Kind)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, which fails if the script says so.
    fn enter(&self, operation: Operation) -> Result<()> {
        let position = self.counts[operation as usize].fetch_add(1, Ordering::Relaxed);
        let fault = (operation, position);
        match self.faults().iter().find(|&&(kind, nth, _)| (kind, nth) == fault) {
            Some((.., kind)) => {
                Err(Error::new(*kind, format!("{operation:?} {position} fails as the script says")))
            }
            None => Ok(()),
        }
    }

    /// The answer of `run`, or the error that the script has for it.
    fn run<'a, T>(
        &self,
        operation: Operation,
        run: impl FnOnce() -> Answer<'a, T>,
    ) -> Answer<'a, T> {
        match self.enter(operation) {
            Ok(()) => run(),
            Err(error) => Answer::ready(Err(error)),
        }
    }
}

/// A store that fails as it is told, and gives bytes that were not stored.
#[derive(Debug)]
pub struct Faulty<S> {
    store: S,
    script: Arc<Script>,
}

impl<S> Faulty<S> {
    /// A store without faults so far.
    pub fn new(store: S) -> Self {
        Self { store, script: Arc::default() }
    }

    /// A store whose reads give what `tamper` makes of each key and what was read: something
    /// shorter, longer, or damaged.
    pub fn tampered(
        store: S,
        tamper: impl Fn(&str, Piece) -> Piece + Send + Sync + 'static,
    ) -> Self {
        let tamper: Option<Tamper> = Some(Arc::new(tamper));
        Self { store, script: Arc::new(Script { tamper, ..Script::default() }) }
    }

    /// Makes the `nth` operation of its kind fail (0 is the next one), without reaching the store.
    pub fn fail(&self, operation: Operation, nth: usize, kind: Kind) {
        let position = self.count(operation) + nth;
        self.script.faults().push((operation, position, kind));
    }

    /// How many operations of a kind were asked for, failed ones included.
    #[must_use]
    pub fn count(&self, operation: Operation) -> usize {
        self.script.counts[operation as usize].load(Ordering::Relaxed)
    }

    /// The store inside.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.store
    }
}

#[derive(Debug)]
struct FaultyObject {
    object: Box<dyn Object>,
    key: String,
    script: Arc<Script>,
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Object for FaultyObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        let read = self.script.run(Operation::Read, || self.object.read(span, spare));
        let Some(tamper) = &self.script.tamper else { return read };
        Answer::later(async move { Ok(read.await?.map(|piece| tamper(&self.key, piece))) })
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        if self.script.tamper.is_some() {
            // So that the bytes are asked for by way of `read`.
            return Answer::ready(Ok(false));
        }
        self.script.run(Operation::Read, || self.object.read_into(start, memory))
    }

    fn size(&self) -> Option<u64> {
        self.object.size()
    }

    fn version(&self) -> Option<Version> {
        self.object.version()
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        self.script.run(Operation::IsUnchanged, || self.object.is_unchanged())
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        if self.script.tamper.is_some() { None } else { self.object.file() }
    }
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn Upload>,
    script: Arc<Script>,
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Upload for FaultyUpload {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        self.script.run(Operation::Write, || self.upload.write(offset, content))
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>> {
        let Self { upload, script } = *self;
        script.run(Operation::Finish, || upload.finish(precondition))
    }
}

impl<S> Faulty<S> {
    fn object(&self, key: &str, object: Box<dyn Object>) -> Box<dyn Object> {
        let script = Arc::clone(&self.script);
        Box::new(FaultyObject { object, key: key.to_owned(), script })
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl<S: Store> Store for Faulty<S> {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        let open = self.script.run(Operation::Open, || self.store.open(key));
        Answer::later(async move { Ok(open.await?.map(|object| self.object(key, object))) })
    }

    fn open_at<'a>(
        &'a self,
        key: &'a str,
        version: &Version,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        let open = self.script.run(Operation::Open, || self.store.open_at(key, version));
        Answer::later(async move { Ok(open.await?.map(|object| self.object(key, object))) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        self.script.run(Operation::Put, || self.store.put(key, content, precondition))
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        self.script.run(Operation::Delete, || self.store.delete(key, precondition))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.script.run(Operation::List, || self.store.list(prefix))
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        let begin = self.script.run(Operation::Begin, || self.store.begin(key));
        let script = Arc::clone(&self.script);
        Answer::later(async move {
            let upload = begin.await?;
            Ok(Box::new(FaultyUpload { upload, script }) as Box<dyn Upload>)
        })
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        self.script.run(Operation::Patch, || self.store.patch(key, changes, precondition))
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.script.run(Operation::DeleteAll, || self.store.delete_all(prefix))
    }

    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        self.script.run(Operation::RenameAll, || self.store.rename_all(from, to))
    }

    fn moment(&self) -> Moment {
        self.store.moment()
    }

    fn settle(&self, since: Moment) -> Answer<'_, ()> {
        self.script.run(Operation::Settle, || self.store.settle(since))
    }
}
