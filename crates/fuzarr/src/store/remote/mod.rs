//! Stores behind a network: S3 and what is compatible with it, Google Cloud Storage, Azure, HTTP.
//!
//! The services' protocols are the `object_store` crate's; what is tried again, what an answer means
//! for a Zarr array, and which version of an object is read, is decided here.

mod attempt;
mod client;
mod location;
mod object;
mod runtime;
mod settings;
mod tag;
mod upload;

pub use attempt::{Retries, Traffic};
pub use location::RemoteOptions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload,
};

use self::attempt::{Failure, Trouble};
use self::client::{Client, Make, Manners, Service};
use self::object::RemoteObject;
use self::upload::RemoteUpload;
use super::process::drawn;
use super::{
    Answer, Capabilities, Content, Listing, Object, Precondition, Span, Store, Upload, Version,
};
use crate::error::{Error, Kind, Result};

/// Bytes that a network moves in about the time of one more request.
const GAP: u64 = 1 << 20;

/// A store behind a network. Opened by its address ([`RemoteStore::open`]), or made of any client of
/// the `object_store` crate ([`RemoteStore::of`]).
///
/// Only the service's own word that an object does not exist counts as missing. What it is too busy
/// for, and what gets lost on the way, is tried again ([`Retries`]); anything else is an error.
///
/// Safe after a fork: a child makes connections and threads of its own.
#[derive(Debug)]
pub struct RemoteStore {
    client: Arc<Client>,
}

impl RemoteStore {
    /// The store at an address, as in `s3://bucket/folder`, `gs://…`, `az://…` or `https://…`. Nothing
    /// is asked of it yet.
    ///
    /// # Errors
    /// `InvalidArgument` for an address or an option that makes no sense.
    pub fn open(url: &str, options: &RemoteOptions) -> Result<Self> {
        let location::Location { make, manners, prefix, retries } = location::parse(url, options)?;
        let client = Client::new(make, manners, prefix, (retries, options.patience));
        Ok(Self { client: Arc::new(client) })
    }

    /// Whether a text is the address of a remote store, or of something in one: it begins with `s3://`,
    /// `gs://`, `az://`, `https://` or another name of these.
    #[must_use]
    pub fn is_address(text: &str) -> bool {
        location::is_address(text)
    }

    /// The address of the store that a node is in, and the node's path: the store is the outermost
    /// folder whose name ends in `.zarr`, or the node itself if there is none. Nothing is asked.
    #[must_use]
    pub fn split(address: &str) -> (&str, &str) {
        location::split(address)
    }

    /// A store made of any client of the `object_store` crate.
    ///
    /// After a fork, the child uses the parent's client: for one with threads or connections of its
    /// own that is not safe.
    #[must_use]
    pub fn of(objects: Arc<dyn ObjectStore>) -> Self {
        let make: Make =
            Box::new(move |_| Ok(Service { objects: Arc::clone(&objects), parts: None }));
        let manners = Manners {
            suffixes: true,
            conditions: true,
            may_ignore_ranges: false,
            parts: false,
            marks_parts: false,
            deletes_lists: false,
            tags: false,
            read_only: false,
        };
        let options = RemoteOptions::default();
        let client = Client::new(make, manners, Path::ROOT, (options.retries, options.patience));
        Self { client: Arc::new(client) }
    }

    /// What was asked of the service so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.client.traffic()
    }

    fn object(&self, key: &str, version: Option<Version>) -> Result<Box<dyn Object>> {
        let path = self.client.path(key)?;
        Ok(Box::new(RemoteObject::new(Arc::clone(&self.client), path, version)))
    }

    async fn list(&self, prefix: &str) -> Result<Listing> {
        let folder = self.client.folder(prefix)?;
        let no_list = || Error::unsupported("this server does not list what it has");
        let mut attempts = self.client.attempts();
        let found = loop {
            let list = async {
                let service = self.client.service().map_err(Trouble::Refused)?;
                Ok(service.objects.list_with_delimiter(Some(&folder)).await?)
            };
            let trouble = match attempts.one(list).await {
                // The client takes "not found" for an empty list, where a server has no lists at all.
                Ok(_) if self.client.manners.may_ignore_ranges && attempts.status() == 404 => {
                    break Err(no_list());
                }
                Ok(found) => break Ok(found),
                Err(trouble) => trouble,
            };
            if let Err(failure) = attempts.again(trouble).await {
                let is_plain = self.client.manners.may_ignore_ranges
                    && matches!(failure.status, 400 | 404 | 405 | 501);
                break Err(if is_plain { no_list() } else { failure.into_error() });
            }
        };
        let found = found.map_err(|error| error.with("prefix", format!("{prefix:?}")))?;
        let mut listing = Listing::default();
        // What is named like the folder is no object in it.
        for object in found.objects.iter().filter(|object| object.location != folder) {
            if let Some(name) = object.location.filename() {
                listing.objects.push((name.to_owned(), object.size));
            }
        }
        let folders = found.common_prefixes.iter().filter(|path| **path != folder);
        listing.prefixes.extend(folders.filter_map(|path| path.filename().map(str::to_owned)));
        listing.objects.sort_unstable();
        listing.prefixes.sort_unstable();
        listing.prefixes.dedup();
        Ok(listing)
    }

    async fn delete_all(&self, prefix: &str) -> Result<()> {
        self.client.check_writable()?;
        let folder = self.client.folder(prefix)?;
        let in_lists = self.client.manners.deletes_lists;
        let delete = || async {
            let objects = &self.client.service().map_err(Trouble::Refused)?.objects;
            // A failed list is not an object that is gone already.
            let failed = |error| match error {
                object_store::Error::InvalidPath { .. } => error,
                error => object_store::Error::Generic { store: "list", source: Box::new(error) },
            };
            let found = objects.list(Some(&folder));
            let found = found.map_ok(|object| object.location).map_err(failed);
            let mut deleted = objects.delete_stream(found.boxed());
            while let Some(outcome) = deleted.next().await {
                match outcome {
                    Err(object_store::Error::NotFound { .. }) if !in_lists => {}
                    Err(error) => return Err(error.into()),
                    Ok(_) => {}
                }
            }
            Ok(())
        };
        let deleted = attempt(&self.client, delete).await;
        deleted.map_err(|failure| failure.into_error().with("prefix", format!("{prefix:?}")))
    }

    async fn delete(&self, key: &str, precondition: Precondition) -> Result<()> {
        let path = self.client.path_to_change(key)?;
        // Whether it may have been deleted, by a try whose answer got lost.
        let is_sent = AtomicBool::new(false);
        let delete = || async {
            let is_there = self.still_holds(&path, &precondition, &is_sent).await;
            if !is_there.map_err(Trouble::Refused)? {
                return Ok(());
            }
            is_sent.store(true, Ordering::Relaxed);
            let objects = &self.client.service().map_err(Trouble::Refused)?.objects;
            let mut deleted =
                objects.delete_stream(futures_util::stream::iter([Ok(path.clone())]).boxed());
            while let Some(outcome) = deleted.next().await {
                outcome?;
            }
            Ok(())
        };
        match attempt(&self.client, delete).await {
            Err(failure) if failure.is_missing() && !self.client.manners.deletes_lists => Ok(()),
            Err(failure) => Err(failure.into_error().with("key", key)),
            Ok(()) => Ok(()),
        }
    }

    /// Whether there is something to delete; an error if it is not what it should be.
    ///
    /// Services have no deleting on condition. So each try looks right before, for what a writer put
    /// there while the one before was not answered; only who writes between that look and the deletion
    /// loses. Plans do not ask for it, see [`Capabilities::conditional_delete`].
    async fn still_holds(
        &self,
        path: &Path,
        precondition: &Precondition,
        is_sent: &AtomicBool,
    ) -> Result<bool> {
        if *precondition == Precondition::None {
            return Ok(true);
        }
        let object = RemoteObject::new(Arc::clone(&self.client), path.clone(), None);
        let found = object.read(Span::Prefix(0), Vec::new()).await?;
        let holds = match precondition {
            // An earlier try has deleted it, though its answer got lost.
            _ if found.is_none() && is_sent.load(Ordering::Relaxed) => true,
            Precondition::Unchanged(expected) => object.version().as_ref() == Some(expected),
            _ => found.is_none(),
        };
        if holds {
            Ok(found.is_some())
        } else {
            Err(Error::conflict("the object changed since it was read"))
        }
    }
}

/// Does something, again if that is worth it.
async fn attempt<T, F: Future<Output = Result<T, Trouble>>>(
    client: &Client,
    mut act: impl FnMut() -> F,
) -> Result<T, Failure> {
    let mut attempts = client.attempts();
    loop {
        match attempts.one(act()).await {
            Ok(value) => return Ok(value),
            Err(trouble) => attempts.again(trouble).await?,
        }
    }
}

/// On which condition an object is put.
fn put_mode(client: &Client, precondition: &Precondition) -> Result<PutMode> {
    Ok(match precondition {
        _ if !client.manners.conditions => PutMode::Overwrite,
        Precondition::None => PutMode::Overwrite,
        Precondition::Absent => PutMode::Create,
        Precondition::Unchanged(version) => {
            PutMode::Update(tag::update(version).ok_or_else(|| {
                Error::unsupported("the store has no name for the version that is to be replaced")
            })?)
        }
    })
}

/// The name under which a write leaves a mark on the object, by which it knows its own.
const MARK: &str = "fuzarrwrite";

/// A mark that no other write has.
fn mark() -> String {
    format!("{:016x}{:016x}", drawn(), drawn())
}

fn marked(mark: &str) -> Attributes {
    let name = Attribute::Metadata(MARK.into());
    Attributes::from_iter([(name, mark.to_owned())])
}

/// Puts an object; its version, if the answer tells.
async fn put(
    client: &Client,
    path: &Path,
    bytes: &Bytes,
    mode: &PutMode,
) -> Result<Option<Version>> {
    let put = put_once(client, path, bytes, mode).await;
    if matches!(mode, PutMode::Update(_)) {
        let is_late = put.as_ref().is_err_and(|error| error.kind() == Kind::Conflict);
        client.note_whether_late(is_late).await;
    }
    put
}

/// As [`put`]. If an answer got lost and a later one says that the condition does not hold, the object
/// is looked at: it may be the one that was put.
async fn put_once(
    client: &Client,
    path: &Path,
    bytes: &Bytes,
    mode: &PutMode,
) -> Result<Option<Version>> {
    let length = bytes.len() as u64;
    let mark = mark();
    let put = || async {
        let objects = &client.service().map_err(Trouble::Refused)?.objects;
        let payload = PutPayload::from_bytes(bytes.clone());
        let mut options = PutOptions::from(mode.clone());
        if *mode != PutMode::Overwrite {
            options.attributes = marked(&mark);
        }
        objects.put_opts(path, payload, options).await.map_err(Trouble::from)
    };
    match attempt(client, put).await {
        Ok(put) => {
            client.sent(length);
            Ok(tag::version_of(put.e_tag.as_deref(), put.version.as_deref()))
        }
        Err(failure) if failure.may_be_ours() => {
            if is_ours(client, path, &mark).await? {
                Ok(None)
            } else {
                Err(failure.into_error())
            }
        }
        Err(failure) => Err(failure.into_error()),
    }
}

/// Whether the object that is there bears this mark.
async fn is_ours(client: &Client, path: &Path, mark: &str) -> Result<bool> {
    let look = || async {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let found = client.get(path, options).await?;
        let name = Attribute::Metadata(MARK.into());
        Ok(found.attributes.get(&name).is_some_and(|found| found.as_ref() == mark))
    };
    match attempt(client, look).await {
        Ok(ours) => Ok(ours),
        Err(failure) if failure.is_missing() => Ok(false),
        Err(failure) => Err(failure.into_error()),
    }
}

impl Store for RemoteStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking: false,
            ranges: self.client.has_ranges(),
            gap: GAP,
            compare_and_swap: self.client.manners.conditions,
            conditional_delete: false,
            carry_over: false,
            uploads: self.client.manners.parts,
            conditional_uploads: false,
            patch: false,
        }
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        Answer::ready(self.object(key, None).map(Some))
    }

    fn open_at<'a>(
        &'a self,
        key: &'a str,
        version: &Version,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        Answer::ready(self.object(key, Some(version.clone())).map(Some))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        self.client.answer(async move {
            let path = self.client.path_to_change(key)?;
            let mode = put_mode(&self.client, &precondition)?;
            let bytes = content.joined().await?;
            put(&self.client, &path, &bytes, &mode).await.map_err(|error| error.with("key", key))
        })
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        if !self.client.manners.parts {
            return Answer::ready(Err(Error::unsupported("this store takes no objects in parts")));
        }
        let path = self.client.path_to_change(key);
        let upload = path.map(|path| RemoteUpload::new(Arc::clone(&self.client), path));
        Answer::ready(upload.map(|upload| Box::new(upload) as Box<dyn Upload>))
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        self.client.answer(self.delete(key, precondition))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.client.answer(self.list(prefix))
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.client.answer(self.delete_all(prefix))
    }
}
