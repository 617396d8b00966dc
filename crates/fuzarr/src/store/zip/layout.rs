//! How a new archive is made of an old one and what was changed.

use std::ops::Range;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::contents::{Archive, Changes, Found, Unwritten};
use super::directory::{Directory, Entry};
use super::object::data_of;
use super::record::{Central, End};
use crate::error::{Error, Result, ResultExt};
use crate::store::Object;

/// How many headers of entries that are renamed are read at the same time.
const AT_ONCE: usize = 32;

/// A part of the new archive.
#[derive(Debug)]
pub(super) enum Segment {
    /// These bytes of the old one.
    Kept(Range<u64>),
    /// Records.
    Records(Vec<u8>),
    /// A new entry's bytes.
    Unwritten(Arc<Unwritten>),
}

/// The new archive: its parts follow each other.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) segments: Vec<Segment>,
    pub(super) length: u64,
    directory: Vec<u8>,
    entries: u64,
}

impl Layout {
    /// The archive with the changes made: entries that stay, in the old order, then those of a new name,
    /// then new ones in the order in which they came. Folders, which are no objects, and bytes that
    /// belong to nothing any more are left out.
    ///
    /// # Errors
    /// `Unsupported` if a name in the archive is no key; `Corrupt` if entries overlap; those of reading
    /// the headers of entries that have a new name.
    pub(super) async fn of(archive: &Archive, changes: &Changes) -> Result<Self> {
        let directory = &archive.directory;
        if let Some(name) = &directory.not_a_key {
            let reason = "the zip archive has an entry whose name is no key; it can be read, but not \
                          changed";
            return Err(Error::unsupported(reason).with("entry", format!("{name:?}")));
        }
        let mut layout = Self::default();
        layout.keep(0..directory.before);
        let stay = directory.entries.iter().filter(|(key, _)| !changes.contains_key(*key));
        let mut stay: Vec<_> = stay.collect();
        stay.sort_unstable_by_key(|(_, entry)| entry.header);
        for (key, entry) in stay {
            entry.check_place().context("entry", || key)?;
            let record = directory.record(entry)?;
            layout.list(&record.at(layout.length));
            // With what may follow its bytes: their sizes.
            layout.keep(entry.header..entry.end);
        }
        for (key, entry, data) in renamed(archive, changes).await? {
            let record = directory.record(&entry)?.named(&key);
            layout.begin(record);
            layout.keep(data..data + entry.compressed);
        }
        let new = changes.iter().filter_map(|(key, found)| match found {
            Some(Found::Unwritten(new)) => Some((key, new)),
            _ => None,
        });
        let mut new: Vec<_> = new.collect();
        new.sort_unstable_by_key(|(_, new)| new.number);
        for (key, new) in new {
            layout.begin(Central::stored(key, new.size, new.crc));
            layout.length += new.size;
            layout.segments.push(Segment::Unwritten(Arc::clone(new)));
        }
        layout.end(&directory.comment);
        Ok(layout)
    }

    fn keep(&mut self, range: Range<u64>) {
        self.length += range.end - range.start;
        match self.segments.last_mut() {
            Some(Segment::Kept(last)) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => self.segments.push(Segment::Kept(range)),
        }
    }

    fn records(&mut self, bytes: Vec<u8>) {
        self.length += bytes.len() as u64;
        self.segments.push(Segment::Records(bytes));
    }

    /// Whether an archive is this one: the directory says how long all entries are, and has their
    /// checksums.
    pub(super) fn is_of(&self, object: &dyn Object, directory: &Directory) -> bool {
        let is_end = match self.segments.last() {
            Some(Segment::Records(records)) => directory.is_of(records),
            _ => false,
        };
        is_end && object.size().is_none_or(|size| size == self.length)
    }

    /// Puts an entry into the directory.
    fn list(&mut self, record: &Central<'_>) {
        record.write(&mut self.directory);
        self.entries += 1;
    }

    /// Begins an entry whose bytes come next.
    fn begin(&mut self, record: Central<'_>) {
        let header = record.local();
        self.list(&record.at(self.length));
        self.records(header);
    }

    fn end(&mut self, comment: &[u8]) {
        let mut records = std::mem::take(&mut self.directory);
        let (offset, size) = (self.length, records.len() as u64);
        let end = End { entries: self.entries, size, offset, is_narrow: true };
        end.write(offset + size, comment, &mut records);
        self.records(records);
    }
}

/// The entries of the archive that have another name now, with where their bytes are.
async fn renamed(archive: &Archive, changes: &Changes) -> Result<Vec<(Arc<str>, Arc<Entry>, u64)>> {
    let renamed: Vec<(Arc<str>, Arc<Entry>)> = changes
        .iter()
        .filter_map(|(key, found)| match found {
            Some(Found::Archive(entry)) => Some((Arc::clone(key), Arc::clone(entry))),
            _ => None,
        })
        .collect();
    let found = renamed.into_iter().map(|(key, entry)| async move {
        let data = data_of(archive, &entry).await.context("entry", || &key)?;
        Ok((key, entry, data))
    });
    stream::iter(found).buffered(AT_ONCE).try_collect().await
}
