//! What is in a store of an archive: its directory, and over it what was changed since.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use super::directory::{Directory, Entry};
use crate::error::{Error, Result, ResultExt};
use crate::store::local::Spool;
use crate::store::process::drawn;
use crate::store::{Listing, Object, Precondition, Version};

/// Numbers new entries in the order in which they were made.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One version of an archive.
#[derive(Debug)]
pub(super) struct Archive {
    /// Its bytes; none while it is yet to be written.
    pub(super) object: Option<Box<dyn Object>>,
    pub(super) directory: Directory,
    /// Of its version, which others find too; drawn if it has none.
    number: u64,
    /// Whether it is certain that other bytes will never be taken for this one.
    is_certain: AtomicBool,
}

/// What tells one state of a key from all others, with its size and checksum: of an entry that was found in
/// an archive the archive's number and the place in it, which other processes find as well, so that
/// they know it again; of one that was made here, what was drawn for it and its number.
type Identity = (u64, u64);

/// A number by the version of an archive.
fn number(version: &Version) -> u64 {
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    hasher.finish()
}

impl Archive {
    pub(super) fn new(object: Box<dyn Object>, directory: Directory) -> Self {
        let version = object.version();
        let is_certain = AtomicBool::new(version.as_ref().is_some_and(|it| !it.is_tentative()));
        let number = version.as_ref().map_or_else(drawn, number);
        Self { object: Some(object), directory, number, is_certain }
    }

    /// The archive that is yet to be written.
    pub(super) fn none() -> Self {
        let (directory, number) = (Directory::default(), drawn());
        Self { object: None, directory, number, is_certain: AtomicBool::new(false) }
    }

    /// It was found once more, by a version that may have become certain.
    pub(super) fn found_again(&self, version: Option<&Version>) {
        let is_certain = version.is_some_and(|version| !version.is_tentative());
        self.is_certain.store(is_certain, Ordering::Relaxed);
    }

    /// This archive, which was made of an earlier one and changes: what it has of them is the same for
    /// who has looked at it before.
    pub(super) fn following(mut self, earlier: &Self, changes: &Changes) -> Self {
        for (key, entry) in &mut self.directory.entries {
            let identity = match changes.get(key) {
                Some(change) => change.as_ref().map(|found| found.identity(earlier)),
                None => earlier.directory.entries.get(key).map(|entry| earlier.identity(entry)),
            };
            if let Some(entry) = Arc::get_mut(entry) {
                entry.identity = identity;
            }
        }
        self
    }

    fn identity(&self, entry: &Entry) -> Identity {
        entry.identity.unwrap_or((self.number, entry.header))
    }

    /// What has to hold for it to be replaced.
    pub(super) fn precondition(&self) -> Precondition {
        match self.object.as_ref().map(|object| object.version()) {
            None => Precondition::Absent,
            Some(Some(version)) => Precondition::Unchanged(version),
            Some(None) => Precondition::None,
        }
    }
}

/// Where new bytes are.
#[derive(Debug)]
pub(super) enum Place {
    Memory(Bytes),
    /// In a file without a name, from an offset on.
    Spool(Arc<Spool>, u64),
}

/// An entry that the archive does not have yet.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) number: u64,
    /// Tells it from those to which another process gave this number.
    drawn: u64,
}

impl Unwritten {
    pub(super) fn new(place: Place, size: u64, crc: u32) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { place, size, crc, number, drawn: drawn() }
    }

    fn in_memory(&self) -> u64 {
        if let Place::Memory(bytes) = &self.place { bytes.len() as u64 } else { 0 }
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        if let Place::Spool(spool, start) = &self.place {
            spool.free(*start..start.saturating_add(self.size));
        }
    }
}

/// What a key leads to.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Archive(Arc<Entry>),
    Unwritten(Arc<Unwritten>),
}

impl Found {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Archive(entry) => entry.size,
            Self::Unwritten(new) => new.size,
        }
    }

    pub(super) fn version(&self, archive: &Archive) -> Version {
        let (one, other) = self.identity(archive);
        let (crc, is_certain) = match self {
            Self::Archive(entry) => (entry.crc, archive.is_certain.load(Ordering::Relaxed)),
            Self::Unwritten(new) => (new.crc, true),
        };
        let version = Version::new([one, other, self.size(), crc.into(), 0]);
        if is_certain { version } else { version.tentative() }
    }

    fn identity(&self, archive: &Archive) -> Identity {
        match self {
            Self::Archive(entry) => archive.identity(entry),
            Self::Unwritten(new) => (new.drawn, new.number),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Archive(one), Self::Archive(other)) => Arc::ptr_eq(one, other),
            (Self::Unwritten(one), Self::Unwritten(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// What was changed: keys with what they lead to now, if anything. An entry of the archive is here
/// if it has another name now.
pub(super) type Changes = BTreeMap<Arc<str>, Option<Found>>;

/// The contents of a store, as they are now.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) archive: Option<Arc<Archive>>,
    /// Grows with each other archive: what was read of one before is not put in its place.
    pub(super) generation: u64,
    pub(super) changes: Changes,
    /// Bytes of changes that are in memory.
    pub(super) in_memory: u64,
    pub(super) spool: Option<Arc<Spool>>,
    /// How many changes were made.
    pub(super) moment: u64,
    /// How many had been made when some were given up.
    pub(super) lost: u64,
}

/// Whether two changes of a key are the same one.
fn is_same(one: &Option<Found>, other: &Option<Found>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.is(other),
        _ => false,
    }
}

/// Bytes in memory of what a key leads to.
fn held(found: &Option<Found>) -> u64 {
    if let Some(Found::Unwritten(new)) = found { new.in_memory() } else { 0 }
}

/// What the keys below a prefix start with.
fn start_of(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{prefix}/") }
}

impl Contents {
    /// What a key leads to.
    pub(super) fn find(&self, key: &str) -> Option<Found> {
        if let Some(change) = self.changes.get(key) {
            return change.clone();
        }
        let archive = self.archive.as_ref()?;
        archive.directory.entries.get(key).map(|entry| Found::Archive(Arc::clone(entry)))
    }

    /// The archive is to be read anew, if it is still this one and nothing was changed.
    pub(super) fn forget(&mut self, archive: &Arc<Archive>) {
        let is_this = self.archive.as_ref().is_some_and(|known| Arc::ptr_eq(known, archive));
        if is_this && self.changes.is_empty() {
            self.replace(None);
        }
    }

    /// From now on this is the archive; without one, it is to be read.
    pub(super) fn replace(&mut self, archive: Option<Arc<Archive>>) {
        self.archive = archive;
        self.generation += 1;
    }

    /// Checks a precondition.
    pub(super) fn check(&self, key: &str, precondition: &Precondition) -> Result<()> {
        let archive = self.archive.as_ref();
        let version =
            || archive.and_then(|archive| self.find(key).map(|found| found.version(archive)));
        let holds = match precondition {
            Precondition::None => true,
            Precondition::Absent => version().is_none(),
            Precondition::Unchanged(expected) => version().as_ref() == Some(expected),
        };
        if holds {
            return Ok(());
        }
        Err(Error::conflict("the object changed since it was read"))
    }

    /// Changes what a key leads to.
    pub(super) fn change(&mut self, key: &str, to: Option<Found>) {
        let in_archive =
            self.archive.as_ref().and_then(|it| it.directory.entries.get_key_value(key));
        let key = in_archive.map_or_else(|| Arc::from(key), |(key, _)| Arc::clone(key));
        if to.is_none() && in_archive.is_none() && !self.changes.contains_key(&key) {
            return;
        }
        self.moment += 1;
        self.in_memory += held(&to);
        let before = self.changes.insert(key, to);
        self.in_memory -= before.as_ref().map_or(0, held);
    }

    /// Changes are in the archive, which is this one now, those made meanwhile excepted.
    pub(super) fn stored(&mut self, stored: &Changes, archive: Option<Arc<Archive>>) {
        self.replace(archive);
        self.drop_changes(stored);
    }

    /// Changes are in an archive that others have replaced since.
    pub(super) fn stored_before(&mut self, stored: &Changes) {
        self.drop_changes(stored);
        if self.changes.is_empty() {
            self.replace(None);
        }
    }

    /// Changes are in the archive, which is this one now, but may not stay there: they are made once
    /// more when it is written again.
    pub(super) fn stored_for_now(&mut self, stored: &Changes, archive: &Arc<Archive>) {
        self.replace(Some(Arc::clone(archive)));
        let entries = &archive.directory.entries;
        for (key, found) in &mut self.changes {
            let is_stored = stored.get(key).is_some_and(|then| is_same(then, found));
            // An entry of the archive before has a place in this one.
            if is_stored && matches!(found, Some(Found::Archive(_))) {
                *found = entries.get(key).map(|entry| Found::Archive(Arc::clone(entry)));
            }
        }
    }

    /// Changes that could not be stored are given up; if the archive is another's by now, so are all
    /// that were made to the one before.
    pub(super) fn give_up(&mut self, refused: &Changes, is_replaced: bool) {
        self.lost = self.moment;
        if is_replaced {
            self.changes.clear();
        }
        self.drop_changes(refused);
        if self.changes.is_empty() {
            self.replace(None);
        }
    }

    /// Drops these changes; what was changed once more since stays.
    fn drop_changes(&mut self, done: &Changes) {
        self.changes.retain(|key, now| done.get(key).is_none_or(|then| !is_same(then, now)));
        self.count();
    }

    fn count(&mut self) {
        self.in_memory = self.changes.values().map(held).sum();
        if self.changes.is_empty() {
            self.spool = None;
        }
    }

    /// The first key from `from` on, with what it leads to.
    fn next(&self, from: &str) -> Option<(Arc<str>, Found)> {
        let mut bound = Bound::Included(Arc::from(from));
        loop {
            let range = (bound.as_ref().map(|key: &Arc<str>| &**key), Bound::Unbounded);
            let archive = self.archive.as_ref();
            let stored = archive.and_then(|it| it.directory.entries.range::<str, _>(range).next());
            let changed = self.changes.range::<str, _>(range).next();
            match (stored, changed) {
                (None, None) => return None,
                (Some((key, entry)), changed) if changed.is_none_or(|(other, _)| key < other) => {
                    return Some((Arc::clone(key), Found::Archive(Arc::clone(entry))));
                }
                (_, Some((key, Some(found)))) => return Some((Arc::clone(key), found.clone())),
                (_, Some((key, None))) => bound = Bound::Excluded(Arc::clone(key)),
                (Some(_), None) => return None,
            }
        }
    }

    /// What is directly below a prefix. What is deeper is passed over, not looked at.
    pub(super) fn list(&self, prefix: &str) -> Listing {
        let start = start_of(prefix);
        let (mut listing, mut from) = (Listing::default(), start.clone());
        while let Some((key, found)) = self.next(&from) {
            let Some(rest) = key.strip_prefix(start.as_str()) else { break };
            match rest.split_once('/') {
                None => {
                    listing.objects.push((rest.to_owned(), found.size()));
                    // The next key there is.
                    from = format!("{key}\0");
                }
                Some((name, _)) => {
                    listing.prefixes.push(name.to_owned());
                    // `0` follows `/`.
                    from = format!("{start}{name}0");
                }
            }
        }
        listing
    }

    /// All keys below a prefix.
    pub(super) fn below(&self, prefix: &str) -> Vec<(Arc<str>, Found)> {
        let start = start_of(prefix);
        let (mut found, mut from) = (Vec::new(), start.clone());
        while let Some((key, entry)) = self.next(&from).filter(|(key, _)| key.starts_with(&start)) {
            from = format!("{key}\0");
            found.push((key, entry));
        }
        found
    }

    /// Moves all that is below a prefix.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (old, new) = (start_of(from), start_of(to));
        if new.starts_with(&old) && new != old {
            return Err(Error::invalid_argument("a prefix cannot be moved below itself"));
        }
        let moved = self.below(from);
        if moved.is_empty() {
            return Err(Error::not_found("there is nothing to rename"));
        }
        let is_there = self.next(&new).is_some_and(|(key, _)| key.starts_with(&new));
        if is_there || self.find(to).is_some() {
            return Err(Error::already_exists("there is something at the new name"));
        }
        for (key, found) in &moved {
            if let Found::Archive(entry) = found {
                entry.check_readable().context("entry", || key)?;
            }
        }
        for (key, found) in moved {
            let rest = key.strip_prefix(old.as_str()).unwrap_or_default();
            self.change(&format!("{new}{rest}"), Some(found));
            self.change(&key, None);
        }
        Ok(())
    }
}
