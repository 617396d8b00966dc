//! Stores: keys and bytes.
//!
//! One small trait for all of them. A store that answers at once (memory, local files) gives
//! [`Answer::Ready`], one that waits gives a future; wrappers are written once, for both. Only an
//! authoritative "not found" is missing; anything else is an error.

mod answer;
mod local;
mod memory;
mod meter;
mod whole;

pub use answer::Answer;
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use meter::{Counts, Metered};
pub use whole::WholeObjects;

use std::fmt::Debug;
use std::ops::Range;

use crate::buffer::Buffer;
use crate::error::{Error, Result};

/// What a store can do. Plans ask for no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Every answer is ready at once: the blocking executor may be used.
    pub blocking: bool,
    /// Parts of objects can be read; without it, plans ask for whole objects only.
    pub ranges: bool,
    /// Preconditions of writes are honoured.
    pub compare_and_swap: bool,
}

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
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>>;

    /// What tells this version from others, once something has been read.
    fn version(&self) -> Option<Version>;
}

/// Identity of one version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub(crate) [u64; 5]);

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
}

/// A place that holds bytes by key. Implements the abstract store interface of the Zarr v3 core
/// specification, "Storage".
///
/// Keys are segments joined by `/`; the empty prefix is the root. Conflicts with a precondition
/// are errors of kind [`crate::Kind::Conflict`]. Every write is atomic: readers see the old object
/// or the new one.
pub trait Store: Debug + Send + Sync {
    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Pins the present version of an object; `None` if there is none.
    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>>;

    /// Writes an object, given as parts that follow each other.
    fn put<'a>(
        &'a self,
        key: &'a str,
        parts: &'a [&'a [u8]],
        precondition: Precondition,
    ) -> Answer<'a, ()>;

    /// Deletes an object; deleting what is not there is no error.
    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()>;

    /// Lists what is directly below `prefix` (without a trailing `/`).
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing>;
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
