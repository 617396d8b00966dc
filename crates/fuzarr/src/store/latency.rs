//! A wrapper that is slow.

use std::fmt;
use std::future::Future;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Answer, Capabilities, Content, Listing, Moment, Object, Piece, Precondition, Span, Store,
    Upload, Version,
};

type Wait = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A store whose every operation takes longer: each waits before it does anything.
#[derive(Debug)]
pub struct Latency<S> {
    store: S,
    wait: Delay,
    blocking: bool,
}

impl<S> Latency<S> {
    /// Each operation blocks its thread for `delay` before it starts, as a slow disk does. The
    /// store is driven as it was without.
    pub fn new(store: S, delay: Duration) -> Self
    where
        S: Store,
    {
        let blocking = store.capabilities().blocking;
        let sleep = move || {
            Box::pin(async move { std::thread::sleep(delay) })
                as Pin<Box<dyn Future<Output = ()> + Send>>
        };
        Self { store, wait: Delay(Arc::new(sleep)), blocking }
    }

    /// Each operation waits for a future that `wait` makes, a timer of the runtime for example,
    /// and keeps no thread meanwhile. The store is one that has to be waited for.
    pub fn awaiting<F>(store: S, wait: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let wait = move || Box::pin(wait()) as Pin<Box<dyn Future<Output = ()> + Send>>;
        Self { store, wait: Delay(Arc::new(wait)), blocking: false }
    }

    /// The object that `open` gives, later and slow.
    fn slow<'a>(
        &'a self,
        open: impl FnOnce() -> Answer<'a, Option<Box<dyn Object>>> + Send + 'a,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        let (wait, open) = (self.wait.clone(), self.wait.then(open));
        Answer::later(async move {
            let object = open.await?;
            Ok(object.map(|object| Box::new(SlowObject { object, wait }) as Box<dyn Object>))
        })
    }

    /// The store inside.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.store
    }
}

#[derive(Clone)]
struct Delay(Wait);

impl fmt::Debug for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delay")
    }
}

impl Delay {
    /// The answer of `operation`, which starts when the delay is over.
    fn then<'a, T: Unpin + Send + 'a>(
        &self,
        operation: impl FnOnce() -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        let wait = (self.0)();
        Answer::later(async move {
            wait.await;
            operation().await
        })
    }
}

#[derive(Debug)]
struct SlowObject {
    object: Box<dyn Object>,
    wait: Delay,
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Object for SlowObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        self.wait.then(move || self.object.read(span, spare))
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        self.wait.then(move || self.object.read_into(start, memory))
    }

    fn size(&self) -> Option<u64> {
        self.object.size()
    }

    fn version(&self) -> Option<Version> {
        self.object.version()
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        self.wait.then(move || self.object.is_unchanged())
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        self.object.file()
    }
}

#[derive(Debug)]
struct SlowUpload {
    upload: Box<dyn Upload>,
    wait: Delay,
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Upload for SlowUpload {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        self.wait.then(move || self.upload.write(offset, content))
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>> {
        let Self { upload, wait } = *self;
        wait.then(move || upload.finish(precondition))
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl<S: Store> Store for Latency<S> {
    fn capabilities(&self) -> Capabilities {
        Capabilities { blocking: self.blocking, gap: u64::MAX, ..self.store.capabilities() }
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        self.slow(move || self.store.open(key))
    }

    fn open_at<'a>(
        &'a self,
        key: &'a str,
        version: &Version,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        let version = version.clone();
        self.slow(move || self.store.open_at(key, &version))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        self.wait.then(move || self.store.put(key, content, precondition))
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        self.wait.then(move || self.store.delete(key, precondition))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.wait.then(move || self.store.list(prefix))
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        let wait = self.wait.clone();
        let begin = self.wait.then(move || self.store.begin(key));
        Answer::later(async move {
            let upload = begin.await?;
            Ok(Box::new(SlowUpload { upload, wait }) as Box<dyn Upload>)
        })
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        self.wait.then(move || self.store.patch(key, changes, precondition))
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.wait.then(move || self.store.delete_all(prefix))
    }

    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        self.wait.then(move || self.store.rename_all(from, to))
    }

    fn moment(&self) -> Moment {
        self.store.moment()
    }

    fn settle(&self, since: Moment) -> Answer<'_, ()> {
        self.wait.then(move || self.store.settle(since))
    }
}
