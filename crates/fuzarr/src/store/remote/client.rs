//! What the objects and uploads of a remote store share: the way to the service, and its manners.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectStore};

use super::attempt::{Attempts, Meter, Retries, Traffic, Trouble, chance, receiving};
use super::runtime::{Inside, handle};
use crate::error::{Error, Result};
use crate::store::process::PerProcess;
use crate::store::{Answer, check_key};

/// The longest pause of who was too late for the first time, and how often it doubles.
const PAUSE: Duration = Duration::from_millis(1);
const MOST_DOUBLED: u32 = 6;

/// What a service can do beside reading ranges and writing whole objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manners {
    /// The last bytes of an object can be asked for without knowing its size.
    pub(super) suffixes: bool,
    /// Writes may be on condition.
    pub(super) conditions: bool,
    /// An answer to a request for a range may be the whole object.
    pub(super) may_ignore_ranges: bool,
    /// Objects can be written in parts.
    pub(super) parts: bool,
    /// An object in parts can bear a mark.
    pub(super) marks_parts: bool,
    /// Objects are deleted by lists: "not found" is not said of one of them.
    pub(super) deletes_lists: bool,
    /// Every object has an ETag: an answer without one is about something else.
    pub(super) tags: bool,
    /// Nothing may be changed.
    pub(super) read_only: bool,
}

/// The clients of one process.
pub(super) struct Service {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// For objects that are written in parts.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
}

/// What makes the clients.
pub(super) type Make = Box<dyn Fn(&Arc<Meter>) -> Result<Service> + Send + Sync>;

/// What the objects of a remote store share.
pub(super) struct Client {
    make: Make,
    service: PerProcess<Service>,
    pub(super) manners: Manners,
    ignores_ranges: AtomicBool,
    /// What stands before each key.
    prefix: Path,
    retries: Retries,
    /// How long nothing may come.
    patience: Duration,
    /// How many objects were another version than the one to replace, since one was not.
    lost: AtomicU32,
    meter: Arc<Meter>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { manners, prefix, retries, .. } = self;
        let mut fields = f.debug_struct("Client");
        fields.field("manners", manners).field("prefix", prefix).field("retries", retries);
        fields.finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(
        make: Make,
        manners: Manners,
        prefix: Path,
        (retries, patience): (Retries, Duration),
    ) -> Self {
        let (service, ignores_ranges) = (PerProcess::new(), AtomicBool::new(false));
        let (lost, meter) = (AtomicU32::new(0), Arc::default());
        Self { make, service, manners, ignores_ranges, prefix, retries, patience, lost, meter }
    }

    /// This process's clients.
    pub(super) fn service(&self) -> Result<&Service> {
        self.service.get(|| (self.make)(&self.meter))
    }

    /// The path of a key.
    pub(super) fn path(&self, key: &str) -> Result<Path> {
        check_key(key)?;
        self.place(key)
    }

    /// The path of a key that is to be changed.
    pub(super) fn path_to_change(&self, key: &str) -> Result<Path> {
        self.check_writable()?;
        self.path(key)
    }

    /// # Errors
    /// `InvalidArgument` if the store was opened to be read.
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.manners.read_only {
            return Err(Error::invalid_argument("the store was opened for reading only"));
        }
        Ok(())
    }

    /// The path of a prefix, which may be empty.
    pub(super) fn folder(&self, prefix: &str) -> Result<Path> {
        if prefix.is_empty() { Ok(self.prefix.clone()) } else { self.path(prefix) }
    }

    fn place(&self, key: &str) -> Result<Path> {
        let prefix = self.prefix.as_ref();
        let full = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") };
        Path::parse(full).map_err(|error| {
            Error::invalid_argument("no object can have this key")
                .with("key", format!("{key:?}"))
                .with_source(error)
        })
    }

    /// The key of a path.
    pub(super) fn key(&self, path: &Path) -> String {
        let prefix = self.prefix.as_ref();
        let key = path.as_ref();
        key.strip_prefix(prefix).unwrap_or(key).trim_start_matches('/').to_owned()
    }

    pub(super) async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult, Trouble> {
        let service = self.service().map_err(Trouble::Refused)?;
        let is_head = options.head;
        let answer = receiving(path, service.objects.get_opts(path, options)).await?;
        // No bytes will tell what the headers were of.
        if is_head && self.manners.tags && answer.meta.e_tag.is_none() {
            return Err(Trouble::Garbled);
        }
        Ok(answer)
    }

    /// The tries of one operation.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.retries, &self.meter)
    }

    /// Takes note of whether an object was still of the version to replace. Who was too late waits a moment,
    /// drawn by chance: those who write one object would else meet again and again.
    pub(super) async fn note_whether_late(&self, is_late: bool) {
        if !is_late {
            return self.lost.store(0, Ordering::Relaxed);
        }
        let doubled = self.lost.fetch_add(1, Ordering::Relaxed).min(MOST_DOUBLED);
        tokio::time::sleep((PAUSE * (1 << doubled)).mul_f64(chance())).await;
    }

    /// Waits for something, for as long as that makes sense.
    pub(super) async fn patiently<T>(&self, wanted: impl Future<Output = T>) -> Result<T, Trouble> {
        let patience = self.patience;
        tokio::time::timeout(patience, wanted).await.map_err(|_| Trouble::Stalled(patience))
    }

    /// The outcome of something that has to be done by the runtime.
    pub(super) fn answer<'a, T: 'a>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'a,
    ) -> Answer<'a, T> {
        match handle() {
            Ok(handle) => Answer::Pending(Box::pin(Inside::new(handle, future))),
            Err(error) => Answer::ready(Err(error)),
        }
    }

    pub(super) fn has_ranges(&self) -> bool {
        !self.ignores_ranges.load(Ordering::Relaxed)
    }

    pub(super) fn note_that_ranges_are_ignored(&self) {
        self.ignores_ranges.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_suffixes(&self) -> bool {
        self.manners.suffixes
    }

    pub(super) fn received(&self, bytes: u64) {
        self.meter.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.meter.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}
