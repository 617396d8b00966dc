//! Stores: keys and bytes.
//!
//! One small trait for all of them. A store that answers at once (memory, local files) gives
//! [`Answer::Ready`], one that waits gives a future; wrappers are written once, for both. Only an
//! authoritative "not found" is missing; anything else is an error.

mod address;
mod answer;
mod capabilities;
mod faulty;
mod latency;
mod local;
mod memory;
mod meter;
mod process;
#[cfg(feature = "remote")]
mod remote;
mod whole;
mod zip;

pub use address::{Address, AddressOptions, Opened, Root};
pub use answer::Answer;
pub use capabilities::Capabilities;
pub use faulty::{Faulty, Operation};
pub use latency::Latency;
#[cfg(feature = "faults")]
pub use local::faults;
pub use local::{LocalOptions, LocalStore};
pub use memory::MemoryStore;
pub use meter::{Counts, Metered};
#[cfg(feature = "remote")]
pub use remote::{RemoteOptions, RemoteStore, Retries, Traffic};
pub use whole::WholeObjects;
pub use zip::{Writing, ZipOptions, ZipStore};

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer::{Buffer, addressable, reserve};
use crate::error::{Error, Kind, Result};
use crate::wait::wait;

/// Which bytes of an object to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// All of them, if they are at most this many: more is damage, and is not read.
    Whole(u64),
    /// These; the read fails if the object ends before.
    Range(Range<u64>),
    /// The first so many, or all if there are fewer.
    Prefix(u64),
    /// The last so many, or all if there are fewer.
    Suffix(u64),
}

impl Span {
    /// The range that the span is in an object of `size` bytes.
    ///
    /// # Errors
    /// `Corrupt` if the object ends before the span does.
    pub fn of(&self, size: u64) -> Result<Range<u64>> {
        match self {
            Self::Whole(most) if size <= *most => Ok(0..size),
            Self::Whole(most) => Err(Error::corrupt(format!(
                "an object of {size} bytes where at most {most} bytes make sense"
            ))),
            Self::Prefix(length) => Ok(0..size.min(*length)),
            Self::Suffix(length) => Ok(size.saturating_sub(*length)..size),
            Self::Range(range) if range.end <= size && range.start <= range.end => {
                Ok(range.clone())
            }
            Self::Range(range) => Err(Error::corrupt(format!(
                "bytes {} to {} are wanted of an object of {size}",
                range.start, range.end
            ))),
        }
    }
}

/// A part of an object.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Where in the object the part starts.
    pub start: u64,
    /// The size of the whole object.
    pub object_size: u64,
    /// The bytes.
    pub bytes: Buffer,
}

/// One version of an object, held so that everything read of it fits together: an open file, a
/// shared snapshot, an ETag.
pub trait Object: Debug + Send + Sync {
    /// Reads a part, into `spare` if the store has no bytes to share. `None` if the object turns
    /// out to be missing, for a store that finds out only now.
    ///
    /// The error is `Unsupported` if the store finds out only now that it has no parts to give: its
    /// [`Capabilities::ranges`] say so from then on, and each part is cut out of the whole object, which
    /// is held until this one is dropped.
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>>;

    /// Fills `memory` with the bytes from `start` on, without a buffer in between. `false` if this
    /// object has no such way and nothing was read.
    ///
    /// The error is `Corrupt` if the object ends before, `NotFound` if it turns out to be missing.
    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool>;

    /// The size in bytes, if it is known without asking.
    fn size(&self) -> Option<u64>;

    /// What tells this version from others, once something has been read.
    fn version(&self) -> Option<Version>;

    /// Whether what was read so far is certainly of [`version`](Self::version): `false` if somebody
    /// changed the object in place since it was opened.
    fn is_unchanged(&self) -> Answer<'_, bool>;

    /// The open file that holds the object's bytes, if one does: the kernel can copy from it, and many
    /// threads read it at the same time where there is much to read.
    fn file(&self) -> Option<BorrowedFd<'_>>;
}

/// A part of an object that is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// These bytes, all of a buffer that nothing changes any more: a store in memory may keep it.
    Shared(&'a Bytes),
    /// These bytes of the object that the put is based on.
    Kept(Range<u64>),
}

/// A new object: its parts follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// The parts.
    pub parts: &'a [Part<'a>],
    /// What kept parts are of: a pinned object of the same store.
    pub base: Option<&'a dyn Object>,
}

impl Content<'_> {
    /// All bytes, joined; kept ones are read, and waited for. One part that may be shared is; else it is
    /// a copy.
    ///
    /// # Errors
    /// Those of reading the base; `InvalidArgument` if it is missing; `Limit` if there is no memory.
    pub fn join(&self) -> Result<Bytes> {
        wait(self.joined())
    }

    /// As [`join`](Self::join), for stores that are awaited.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn joined(&self) -> Result<Bytes> {
        if let [Part::Shared(bytes)] = self.parts {
            return Ok(Bytes::clone(bytes));
        }
        let mut joined = Vec::new();
        reserve(&mut joined, addressable(self.length())?)?;
        for part in self.parts {
            match part {
                Part::Bytes(bytes) => joined.extend_from_slice(bytes),
                Part::Shared(bytes) => joined.extend_from_slice(bytes),
                Part::Kept(range) => joined.extend_from_slice(&self.read(range).await?),
            }
        }
        Ok(joined.into())
    }

    /// How many bytes there are.
    #[must_use]
    pub fn length(&self) -> u64 {
        let length = |part: &Part<'_>| match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Shared(bytes) => bytes.len() as u64,
            Part::Kept(range) => range.end.saturating_sub(range.start),
        };
        self.parts.iter().map(length).fold(0, u64::saturating_add)
    }

    /// The bytes of a kept part, which are waited for.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn kept(&self, range: &Range<u64>) -> Result<Bytes> {
        wait(self.read(range))
    }

    async fn read(&self, range: &Range<u64>) -> Result<Bytes> {
        let base = self.base.ok_or_else(|| {
            Error::invalid_argument("a put keeps bytes of an object that it does not name")
        })?;
        match base.read(Span::Range(range.clone()), Vec::new()).await? {
            Some(piece) => Ok(piece.bytes.into_bytes()),
            None => Err(Error::conflict("the object that bytes are kept of is gone")),
        }
    }
}

/// An object that is being written piece by piece. Dropping it leaves what was stored before.
pub trait Upload: Debug + Send + Sync {
    /// Writes a piece of the new object at `offset`. Pieces may come in any order and from any
    /// thread; together they must cover the object.
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()>;

    /// Replaces the object by what was written, if the precondition holds. Gives what [`Store::put`]
    /// does.
    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>>;
}

/// Identity of one version of an object.
#[derive(Debug, Clone)]
pub struct Version {
    identity: Identity,
    is_tentative: bool,
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Identity {
    Numbers([u64; 5]),
    Tag(Arc<str>),
}

impl Version {
    /// A version by numbers that no other version of the key has or will have: a generation, a hash,
    /// what a file system knows of a file.
    #[must_use]
    pub const fn new(identity: [u64; 5]) -> Self {
        Self { identity: Identity::Numbers(identity), is_tentative: false }
    }

    /// A version by a text that no other version of the key has or will have: an ETag.
    #[must_use]
    pub fn tagged(tag: impl Into<Arc<str>>) -> Self {
        Self { identity: Identity::Tag(tag.into()), is_tentative: false }
    }

    /// The same version, of which it is not certain yet that other bytes of the key will not have it too: a
    /// file system's clock may not have advanced since, a server may call similar bytes the same.
    /// It equals the certain one. Nothing that is decoded is kept by it.
    #[must_use]
    pub fn tentative(self) -> Self {
        Self { is_tentative: true, ..self }
    }

    /// Whether it is [`tentative`](Self::tentative).
    #[must_use]
    pub fn is_tentative(&self) -> bool {
        self.is_tentative
    }

    /// The text of a version that was made of one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match &self.identity {
            Identity::Numbers(_) => None,
            Identity::Tag(tag) => Some(tag),
        }
    }
}

/// A moment in the life of a store, see [`Store::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment(pub(crate) u64);

/// What must hold for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// There is no object of this key.
    Absent,
    /// The object is still of this version.
    Unchanged(Version),
}

/// What is directly below a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Objects by name (not key) with their size in bytes, sorted.
    pub objects: Vec<(String, u64)>,
    /// Names that have objects below them, sorted.
    pub prefixes: Vec<String>,
    /// Names of what is neither, sorted: where a store is a folder, links that lead nowhere or out
    /// of it, pipes and devices.
    pub others: Vec<String>,
}

impl Listing {
    /// Whether there are no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.prefixes.is_empty()
    }
}

/// A place that holds bytes by key. Implements the abstract store interface of the Zarr v3 core
/// specification, "Storage".
///
/// Keys are segments joined by `/`; the empty prefix is the root. Conflicts with a precondition
/// are errors of kind [`crate::Kind::Conflict`]. Every write is atomic: readers see the old object
/// or the new one. What [`put`](Store::put) and the others have changed is seen by all at once, but
/// durable, where the store promises that, only after [`settle`](Store::settle): requests of many
/// writes pay once for what these have in common. [`settled`] does both.
pub trait Store: Debug + Send + Sync {
    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Pins the present version of an object; `None` if there is none.
    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>>;

    /// Pins a version of an object that was met before. A store may do so without asking whether it
    /// is still there: what is read of it is a `Conflict` then if it is not. Any other pins the
    /// present version.
    fn open_at<'a>(
        &'a self,
        key: &'a str,
        version: &Version,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        let _ = version;
        self.open(key)
    }

    /// Writes an object. Gives its version, as opening it would find it, if the store tells that
    /// without being asked.
    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>>;

    /// Starts to write an object piece by piece. Other writers of the key may have to wait until
    /// the upload is finished or dropped.
    ///
    /// The error is `Unsupported` for a store without [`Capabilities::uploads`].
    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        let _ = key;
        Answer::ready(Err(Error::unsupported("this store cannot write an object in pieces")))
    }

    /// Changes bytes of an object in place, each at its offset, inside the object. Not atomic: a
    /// reader or a crash may see some changes without the others.
    ///
    /// The error is `Unsupported` for a store without [`Capabilities::patch`], `Conflict` if the
    /// precondition does not hold.
    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        let _ = (key, changes, precondition);
        Answer::ready(Err(Error::unsupported("this store cannot change objects in place")))
    }

    /// Deletes an object; deleting what is not there is no error.
    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()>;

    /// Lists what is directly below `prefix` (without a trailing `/`).
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing>;

    /// Deletes everything below `prefix` (without a trailing `/`; empty for the whole store), what
    /// the store keeps beside its objects included. Not atomic.
    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()>;

    /// Moves everything below one prefix to another, at which there must be nothing.
    ///
    /// The error is `Unsupported` for a store that cannot do that in one step, `AlreadyExists` if
    /// something is at `to`, `NotFound` if nothing is at `from`.
    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        let _ = (from, to);
        Answer::ready(Err(Error::unsupported("this store cannot rename")))
    }

    /// The present moment, from which on changes are to be settled.
    fn moment(&self) -> Moment {
        Moment::default()
    }

    /// Waits until all that was put, finished, changed, deleted and renamed since a moment is as
    /// durable as the store promises. Before, any of it may be lost, and the earlier without the
    /// later: what must not come after something else is begun when that is settled.
    ///
    /// The error is that of any failure since then, be it met by this call or by another: it is not
    /// known whose changes are lost.
    fn settle(&self, since: Moment) -> Answer<'_, ()> {
        let _ = since;
        Answer::ready(Ok(()))
    }
}

/// Runs changes of a store and settles them, also those made before a failure.
///
/// # Errors
/// Those of `change` or else of [`Store::settle`].
pub fn settled<T>(store: &dyn Store, change: impl FnOnce() -> Result<T>) -> Result<T> {
    wait(settled_async(store, async { change() }))
}

/// As [`settled`], for callers that await.
///
/// # Errors
/// As [`settled`].
pub(crate) async fn settled_async<T>(
    store: &dyn Store,
    change: impl Future<Output = Result<T>>,
) -> Result<T> {
    let since = store.moment();
    let outcome = change.await;
    let settled = store.settle(since).await;
    outcome.and_then(|value| settled.map(|()| value))
}

/// Puts an object of bytes at hand, and settles it.
///
/// # Errors
/// Those of [`Store::put`] and [`Store::settle`].
pub fn put_bytes(
    store: &dyn Store,
    key: &str,
    bytes: &[u8],
    precondition: Precondition,
) -> Result<()> {
    wait(put_bytes_async(store, key, bytes, precondition))
}

/// As [`put_bytes`], for callers that await.
///
/// # Errors
/// As [`put_bytes`].
pub(crate) async fn put_bytes_async(
    store: &dyn Store,
    key: &str,
    bytes: &[u8],
    precondition: Precondition,
) -> Result<()> {
    let content = Content { parts: &[Part::Bytes(bytes)], base: None };
    settled_async(store, async { store.put(key, content, precondition).await.map(drop) }).await
}

/// Deletes an object, and settles that.
///
/// # Errors
/// Those of [`Store::delete`] and [`Store::settle`].
pub fn delete(store: &dyn Store, key: &str) -> Result<()> {
    settled(store, || store.delete(key, Precondition::None).wait())
}

/// Opens an object that is there: also of a store that finds out only when it is read whether it is.
/// `None` if there is none. The object's version and size are known then, if the store knows any.
pub fn find<'a>(store: &'a dyn Store, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
    let opened = store.open(key);
    if store.capabilities().blocking {
        return opened;
    }
    Answer::later(async move {
        let Some(object) = opened.await? else { return Ok(None) };
        if object.version().is_none() && object.size().is_none() {
            let found = object.read(Span::Prefix(0), Vec::new()).await?;
            return Ok(found.map(|_| object));
        }
        Ok(Some(object))
    })
}

/// Reads a part of an object, for those who have room for the whole if the store turns out to give no
/// parts.
pub(crate) async fn read_any(
    object: &dyn Object,
    span: Span,
    spare: Vec<u8>,
) -> Result<Option<Piece>> {
    match object.read(span.clone(), spare).await {
        Err(error) if error.kind() == Kind::Unsupported => object.read(span, Vec::new()).await,
        read => read,
    }
}

/// Checks that a key stays inside a store: no empty, `.` or `..` segments, no NUL.
///
/// # Errors
/// `InvalidArgument` naming the key.
pub fn check_key(key: &str) -> Result<()> {
    let bad = |segment: &str| matches!(segment, "" | "." | "..") || segment.contains('\0');
    if key.split('/').any(bad) {
        return Err(Error::invalid_argument("the key has an empty, `.` or `..` segment, or a NUL")
            .with("key", format!("{key:?}")));
    }
    Ok(())
}

/// `path/name`, or `name` at the root.
#[must_use]
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}
