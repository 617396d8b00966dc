//! A store in memory.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use super::{
    Answer, Capabilities, Content, Listing, Object, Piece, Precondition, Span, Store, Version,
    check_key,
};
use crate::buffer::{Buffer, usize_of};
use crate::error::{Error, Result};

/// A store in memory. Reading shares the stored bytes; writing copies them once.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: RwLock<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    by_key: BTreeMap<String, Snapshot>,
    writes: u64,
}

#[derive(Debug, Clone)]
struct Snapshot {
    bytes: Bytes,
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

    /// All keys with their bytes, sorted.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(String, Bytes)> {
        let objects = self.read();
        objects.by_key.iter().map(|(key, object)| (key.clone(), object.bytes.clone())).collect()
    }

    fn change(&self, key: &str, precondition: &Precondition, bytes: Option<Bytes>) -> Result<()> {
        check_key(key)?;
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let present = objects.by_key.get(key).map(|object| identity(object.version));
        let holds = match precondition {
            Precondition::None => true,
            Precondition::Absent => present.is_none(),
            Precondition::Unchanged(version) => present.as_ref() == Some(version),
        };
        if !holds {
            return Err(Error::conflict("the object changed since it was read").with("key", key));
        }
        objects.writes += 1;
        let version = objects.writes;
        match bytes {
            Some(bytes) => {
                objects.by_key.insert(key.to_owned(), Snapshot { bytes, version });
            }
            None => {
                objects.by_key.remove(key);
            }
        }
        Ok(())
    }
}

fn identity(version: u64) -> Version {
    Version([version, 0, 0, 0, 0])
}

impl Object for Snapshot {
    fn read(&self, span: Span, _spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        let object_size = self.bytes.len() as u64;
        Answer::ready(span.of(object_size).map(|range| {
            // Inside the snapshot, so it fits `usize`.
            let bytes = self.bytes.slice(usize_of(range.start)..usize_of(range.end));
            Some(Piece { start: range.start, object_size, bytes: Buffer::Shared(bytes) })
        }))
    }

    fn read_into<'a>(&'a self, _start: u64, _memory: &'a mut [u8]) -> Answer<'a, bool> {
        // Sharing the snapshot is cheaper.
        Answer::ready(Ok(false))
    }

    fn size(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
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
            compare_and_swap: true,
            carry_over: true,
            uploads: false,
            patch: false,
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
    ) -> Answer<'a, ()> {
        let put = |bytes| self.change(key, &precondition, Some(Bytes::from(bytes)));
        Answer::ready(content.join().and_then(put))
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        Answer::ready(self.change(key, &precondition, None))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut listing = Listing::default();
        let objects = self.read();
        let below = objects.by_key.range(start.clone()..);
        for (key, object) in below.take_while(|(key, _)| key.starts_with(&start)) {
            match key[start.len()..].split_once('/') {
                None => {
                    let name = key[start.len()..].to_owned();
                    listing.objects.push((name, object.bytes.len() as u64));
                }
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

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        objects.by_key.retain(|key, _| !key.starts_with(&start));
        Answer::ready(Ok(()))
    }
}
