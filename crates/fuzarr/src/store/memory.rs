//! A store in memory.

mod pieces;

use std::collections::{BTreeSet, HashMap};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};

use bytes::Bytes;
use foldhash::fast::RandomState;

use self::pieces::Pieces;
use super::{
    Answer, Capabilities, Content, Listing, Object, Part, Piece, Precondition, Span, Store, Upload,
    Version, check_key,
};
use crate::buffer::{addressable, reserve, usize_of, zeroed};
use crate::error::{Error, Result};

/// A store in memory. Reading shares the stored bytes, unless they are in pieces; writing copies them
/// once, but for an object that is given to be shared, and what a new version keeps of the one before.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Arc<RwLock<Objects>>,
}

#[derive(Debug, Default)]
struct Objects {
    by_key: HashMap<Arc<str>, Snapshot, RandomState>,
    /// The keys in order, for listings.
    keys: BTreeSet<Arc<str>>,
    writes: u64,
}

impl Objects {
    fn insert(&mut self, key: &str, object: Snapshot) {
        if let Some(present) = self.by_key.get_mut(key) {
            *present = object;
            return;
        }
        let key: Arc<str> = key.into();
        self.keys.insert(Arc::clone(&key));
        self.by_key.insert(key, object);
    }

    fn remove(&mut self, key: &str) -> Option<Snapshot> {
        self.keys.remove(key);
        self.by_key.remove(key)
    }

    /// Checks a precondition, and gives the key a new state.
    fn change(
        &mut self,
        key: &str,
        precondition: &Precondition,
        bytes: impl FnOnce(Option<&Pieces>) -> Result<Option<Pieces>>,
    ) -> Result<()> {
        check_key(key)?;
        let present = self.by_key.get(key);
        let version = present.map(|object| identity(object.version));
        let holds = match precondition {
            Precondition::None => true,
            Precondition::Absent => version.is_none(),
            Precondition::Unchanged(expected) => version.as_ref() == Some(expected),
        };
        if !holds {
            return Err(Error::conflict("the object changed since it was read").with("key", key));
        }
        let bytes = bytes(present.map(|object| &object.bytes))?;
        self.writes += 1;
        let version = self.writes;
        match bytes {
            Some(bytes) => self.insert(key, Snapshot { bytes, version }),
            None => drop(self.remove(key)),
        }
        Ok(())
    }

    /// The keys below a prefix that ends in `/` or is empty, with what follows the prefix.
    fn below<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a Snapshot)> {
        let from = (std::ops::Bound::Included(start), std::ops::Bound::Unbounded);
        let keys = self.keys.range::<str, _>(from);
        keys.map_while(move |key| Some((key.strip_prefix(start)?, self.by_key.get(key)?)))
    }
}

/// What the keys below a prefix start with.
fn start_of(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{prefix}/") }
}

#[derive(Debug, Clone)]
struct Snapshot {
    bytes: Pieces,
    version: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Objects> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// All keys with their bytes, sorted. What is in pieces is copied.
    ///
    /// # Errors
    /// `Limit` if there is no memory.
    pub fn snapshot(&self) -> Result<Vec<(String, Bytes)>> {
        let objects = self.read();
        let copy = |(key, object): (&str, &Snapshot)| {
            let all = object.bytes.read(0..object.bytes.length(), Vec::new())?;
            Ok((key.to_owned(), all.into_bytes()))
        };
        objects.below("").map(copy).collect()
    }

    /// The bytes of a new version of an object.
    fn compose(&self, key: &str, content: &Content<'_>) -> Result<Pieces> {
        let keeps = content.parts.iter().any(|part| matches!(part, Part::Kept(_)));
        let base = content.base.filter(|_| keeps).and_then(|base| base.version());
        // Nothing is copied while the store is locked.
        let present = base.and_then(|base| {
            let present = self.read().by_key.get(key).cloned();
            present.filter(|present| base == identity(present.version))
        });
        match present {
            Some(present) => present.bytes.change(content.parts),
            None => content.join().map(Pieces::from),
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Objects> {
        write(&self.objects)
    }
}

fn write(objects: &RwLock<Objects>) -> RwLockWriteGuard<'_, Objects> {
    objects.write().unwrap_or_else(PoisonError::into_inner)
}

fn identity(version: u64) -> Version {
    Version::new([version, 0, 0, 0, 0])
}

impl Object for Snapshot {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        let object_size = self.bytes.length();
        Answer::ready(span.of(object_size).and_then(|range| {
            let (start, bytes) = (range.start, self.bytes.read(range, spare)?);
            Ok(Some(Piece { start, object_size, bytes }))
        }))
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        // Sharing the snapshot is cheaper, if it is in one piece.
        let Pieces::Many(_) = &self.bytes else { return Answer::ready(Ok(false)) };
        let range = start..start.saturating_add(memory.len() as u64);
        let range = Span::Range(range).of(self.bytes.length());
        Answer::ready(range.map(|range| {
            self.bytes.copy(range, memory);
            true
        }))
    }

    fn size(&self) -> Option<u64> {
        Some(self.bytes.length())
    }

    fn version(&self) -> Option<Version> {
        Some(identity(self.version))
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        Answer::ready(Ok(true))
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Store for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking: true,
            ranges: true,
            // Nothing is moved.
            gap: u64::MAX,
            compare_and_swap: true,
            conditional_delete: true,
            carry_over: true,
            uploads: true,
            conditional_uploads: true,
            patch: true,
        }
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        let object = self.read().by_key.get(key).cloned();
        Answer::ready(Ok(object.map(|object| Box::new(object) as Box<dyn Object>)))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        Answer::ready(self.compose(key, &content).and_then(|bytes| {
            self.write().change(key, &precondition, |_| Ok(Some(bytes)))?;
            Ok(None)
        }))
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        Answer::ready(self.write().change(key, &precondition, |_| Ok(None)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        let start = start_of(prefix);
        let mut listing = Listing::default();
        let objects = self.read();
        for (rest, object) in objects.below(&start) {
            match rest.split_once('/') {
                None => listing.objects.push((rest.to_owned(), object.bytes.length())),
                Some((name, _)) if listing.prefixes.last().is_none_or(|last| last != name) => {
                    listing.prefixes.push(name.to_owned());
                }
                Some(_) => {}
            }
        }
        listing.prefixes.sort_unstable();
        listing.prefixes.dedup();
        Answer::ready(Ok(listing))
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        let objects = Arc::clone(&self.objects);
        let begun = check_key(key).map(|()| {
            let bytes = Mutex::default();
            Box::new(MemoryUpload { objects, key: key.to_owned(), bytes }) as Box<dyn Upload>
        });
        Answer::ready(begun)
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        Answer::ready(self.write().change(key, &precondition, |present| {
            let present = present
                .ok_or_else(|| Error::not_found("there is no object to change").with("key", key))?;
            // A copy: whoever reads the old bytes shares them.
            let mut patched = zeroed(present.length())?;
            present.copy(0..present.length(), &mut patched);
            for (offset, bytes) in changes {
                let place = usize::try_from(*offset)
                    .ok()
                    .and_then(|start| patched.get_mut(start..start.checked_add(bytes.len())?));
                place
                    .ok_or_else(|| {
                        Error::invalid_argument("a change in place ends after the object")
                            .with("key", key)
                    })?
                    .copy_from_slice(bytes);
            }
            Ok(Some(Pieces::from(patched)))
        }))
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        let checked = if prefix.is_empty() { Ok(()) } else { check_key(prefix) };
        let start = start_of(prefix);
        Answer::ready(checked.map(|()| {
            let Objects { by_key, keys, .. } = &mut *self.write();
            keys.retain(|key| !key.starts_with(&start));
            by_key.retain(|key, _| !key.starts_with(&start));
        }))
    }

    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        let rename = || {
            check_key(from)?;
            check_key(to)?;
            let (old, new) = (start_of(from), start_of(to));
            if new.starts_with(&old) && new != old {
                return Err(Error::invalid_argument("a prefix cannot be moved below itself"));
            }
            let mut objects = self.write();
            if objects.below(&old).next().is_none() {
                return Err(Error::not_found("there is nothing to rename"));
            }
            if objects.by_key.contains_key(to) || objects.below(&new).next().is_some() {
                return Err(Error::already_exists("there is something at the new name"));
            }
            let moved: Vec<String> = objects.below(&old).map(|(rest, _)| rest.to_owned()).collect();
            for rest in moved {
                if let Some(object) = objects.remove(&format!("{old}{rest}")) {
                    objects.insert(&format!("{new}{rest}"), object);
                }
            }
            Ok(())
        };
        Answer::ready(rename().map_err(|error| error.with("from", from).with("to", to)))
    }
}

/// For how many pieces like the one that is written an upload makes room, up to so many bytes.
const ROOM: (usize, usize) = (64, 1 << 30);

/// An object of a store in memory that is being written.
#[derive(Debug)]
struct MemoryUpload {
    objects: Arc<RwLock<Objects>>,
    key: String,
    bytes: Mutex<Vec<u8>>,
}

impl MemoryUpload {
    fn place(&self, mut offset: u64, content: &Content<'_>) -> Result<()> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let end = addressable(offset.saturating_add(content.length()))?;
        if end > bytes.capacity() {
            // Memory that is not touched costs nothing. To grow moves what is there, and takes large pages
            // apart.
            let more = end - bytes.len();
            let room = more.saturating_mul(ROOM.0).min(more.max(ROOM.1));
            reserve(&mut bytes, room).or_else(|_| reserve(&mut bytes, more))?;
        }
        for part in content.parts {
            let kept;
            let piece = match part {
                Part::Bytes(piece) => *piece,
                Part::Shared(piece) => &piece[..],
                Part::Kept(range) => {
                    kept = content.kept(range)?;
                    &kept[..]
                }
            };
            place(&mut bytes, usize_of(offset), piece);
            offset = offset.saturating_add(piece.len() as u64);
        }
        Ok(())
    }
}

/// Puts `piece` at `start` of `bytes`, which become longer if they have to: there is room.
fn place(bytes: &mut Vec<u8>, start: usize, piece: &[u8]) {
    let end = start.saturating_add(piece.len());
    if start >= bytes.len() {
        bytes.resize(start, 0);
        bytes.extend_from_slice(piece);
        return;
    }
    if end > bytes.len() {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(piece);
}

impl Upload for MemoryUpload {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        let placed = self.place(offset, &content);
        Answer::ready(placed.map_err(|error| error.with("key", &self.key)))
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>> {
        let mut bytes = self.bytes.into_inner().unwrap_or_else(PoisonError::into_inner);
        bytes.shrink_to_fit();
        let bytes = |_: Option<&Pieces>| Ok(Some(Pieces::from(bytes)));
        let changed = write(&self.objects).change(&self.key, &precondition, bytes);
        Answer::ready(changed.map(|()| None))
    }
}
