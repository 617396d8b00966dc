//! The central directory: found from the end of the archive, and checked before it is believed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::record::{
    CENTRAL_SIZE, Central, DEFLATED, ENCRYPTED, END, END_64_SIZE, END_SIZE, End, Fields,
    LOCAL_SIZE, LOCATOR_SIZE, STORED, locator,
};
use crate::buffer::{Buffer, usize_of};
use crate::error::{Error, Result};
use crate::store::{Object, Piece, Span, check_key, read_any};

/// As much of the end of an archive as its end record can be in, with the longest comment.
const TAIL: u64 = u16::MAX as u64 + END_SIZE as u64 + LOCATOR_SIZE as u64 + END_64_SIZE;

/// The most bytes of a directory that are read: those of about ten million entries.
const MOST: u64 = 1 << 30;

/// An entry that is a key.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where in the directory its record is.
    record: usize,
    /// Where its local header is.
    pub(super) header: u64,
    /// Where something else begins.
    pub(super) end: u64,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) method: u16,
    flags: u16,
    name_length: u16,
    /// What it was in an archive before this one, or before it was in any.
    pub(super) identity: Option<(u64, u64)>,
    /// Where its bytes are, once that is known: never 0.
    data: AtomicU64,
}

impl Entry {
    /// The least that the local header takes.
    pub(super) fn header_length(&self) -> u64 {
        LOCAL_SIZE + u64::from(self.name_length)
    }

    /// Where its bytes are, if that is known.
    pub(super) fn data(&self) -> Option<u64> {
        Some(self.data.load(Ordering::Relaxed)).filter(|data| *data != 0)
    }

    /// Takes note of where its bytes are.
    ///
    /// # Errors
    /// `Corrupt` if they do not end before something else begins.
    pub(super) fn found(&self, data: u64) -> Result<u64> {
        if data.checked_add(self.compressed).is_none_or(|end| end > self.end) {
            return Err(overlapping());
        }
        self.data.store(data, Ordering::Relaxed);
        Ok(data)
    }

    /// Checks that there is room for what it says of itself.
    ///
    /// # Errors
    /// `Corrupt` if not.
    pub(super) fn check_place(&self) -> Result<()> {
        let end = self.header.checked_add(self.header_length());
        let end = end.and_then(|end| end.checked_add(self.compressed));
        if end.is_none_or(|end| end > self.end) { Err(overlapping()) } else { Ok(()) }
    }

    /// Checks that it can be read.
    ///
    /// # Errors
    /// `Unsupported` for other methods than storing and deflating, and for what is encrypted;
    /// `Corrupt` if the directory contradicts itself.
    pub(super) fn check_readable(&self) -> Result<()> {
        if self.flags & ENCRYPTED != 0 {
            return Err(Error::unsupported("the entry of the zip archive is encrypted"));
        }
        if !matches!(self.method, STORED | DEFLATED) {
            let method = self.method;
            return Err(Error::unsupported(format!(
                "the entry of the zip archive is compressed by method {method}; 0 (stored) and 8 \
                 (deflated) are supported"
            )));
        }
        if self.method == STORED && self.size != self.compressed {
            return Err(Error::corrupt("a stored entry of the zip archive has two sizes"));
        }
        self.check_place()
    }
}

#[cold]
fn overlapping() -> Error {
    Error::corrupt("an entry of the zip archive reaches into another or the directory")
}

#[cold]
fn no_bytes() -> Error {
    Error::corrupt(
        "this is no zip archive yet: it has no bytes; what creates an array or group makes it one",
    )
}

/// What is in an archive.
#[derive(Debug, Default)]
pub(super) struct Directory {
    bytes: Bytes,
    /// By key; of entries of one name the last counts.
    pub(super) entries: BTreeMap<Arc<str>, Arc<Entry>>,
    /// What is before the first entry: a program that unpacks the archive, say.
    pub(super) before: u64,
    pub(super) comment: Bytes,
    /// A name that is no key, if there is one.
    pub(super) not_a_key: Option<String>,
}

impl Directory {
    /// Reads the directory of an archive; `None` if the object turns out to be missing. An object of no
    /// bytes has none, and is an error unless `may_be_empty`.
    ///
    /// # Errors
    /// `Corrupt` for what is no zip archive, or cut off, or lies about itself; `Unsupported` for one in
    /// several parts; `Limit` for a directory of more than 1 GiB; those of the store.
    pub(super) async fn read(archive: &dyn Object, may_be_empty: bool) -> Result<Option<Self>> {
        let Some(tail) = read_any(archive, Span::Suffix(TAIL), Vec::new()).await? else {
            return Ok(None);
        };
        if tail.object_size == 0 {
            return if may_be_empty { Ok(Some(Self::default())) } else { Err(no_bytes()) };
        }
        let tail = Tail::of(tail)?;
        let Some((end, directory_end)) = tail.end(archive).await? else { return Ok(None) };
        if end.size > MOST {
            return Err(Error::limit(format!("a directory of {} bytes", end.size)));
        }
        let start = directory_end.checked_sub(end.size);
        // What precedes the archive in the object moves all that it says.
        let shift = start.and_then(|start| start.checked_sub(end.offset));
        let (Some(start), Some(shift)) = (start, shift) else {
            return Err(Error::corrupt(
                "the directory of the zip archive begins before the archive",
            ));
        };
        let Some(bytes) = tail.bytes(archive, start, directory_end).await? else {
            return Ok(None);
        };
        let comment = tail.bytes.slice(tail.record + END_SIZE..);
        Self::parse(bytes, &end, (start, shift), comment).map(Some)
    }

    fn parse(bytes: Bytes, end: &End, (start, shift): (u64, u64), comment: Bytes) -> Result<Self> {
        if end.entries.checked_mul(CENTRAL_SIZE).is_none_or(|least| least > end.size) {
            return Err(Error::corrupt("the zip archive has fewer entries than it says"));
        }
        let mut fields = Fields(&bytes);
        let mut found: Vec<(Entry, Option<Arc<str>>)> = Vec::new();
        let mut not_a_key = None;
        while !fields.0.is_empty() {
            let record = bytes.len() - fields.0.len();
            let central = Central::read(&mut fields)?;
            let name = central.text()?;
            let header = central.offset.checked_add(shift).filter(|header| *header < start);
            let header = header.ok_or_else(|| overlapping().with("key", format!("{name:?}")))?;
            let key = if name.ends_with('/') {
                // A folder, which is not an object.
                None
            } else if check_key(&name).is_err() {
                not_a_key = Some(name);
                None
            } else {
                Some(Arc::from(name))
            };
            found.push((entry(record, header, &central), key));
        }
        if found.len() as u64 != end.entries {
            return Err(Error::corrupt(
                "the zip archive has another number of entries than it says",
            ));
        }
        let headers = bound(&mut found, start);
        let before = headers.first().copied().unwrap_or(start);
        let mut entries = BTreeMap::new();
        for (entry, key) in found {
            if let Some(key) = key {
                entries.insert(key, Arc::new(entry));
            }
        }
        Ok(Self { bytes: bytes.clone(), entries, before, comment, not_a_key })
    }

    /// Whether these are the records at the end of an archive with this directory.
    pub(super) fn is_of(&self, records: &[u8]) -> bool {
        records.starts_with(&self.bytes)
    }

    /// The record of an entry.
    ///
    /// # Errors
    /// None that were not met when the directory was read.
    pub(super) fn record(&self, entry: &Entry) -> Result<Central<'_>> {
        Central::read(&mut Fields(self.bytes.get(entry.record..).unwrap_or_default()))
    }
}

fn entry(record: usize, header: u64, central: &Central<'_>) -> Entry {
    Entry {
        record,
        header,
        end: header,
        compressed: central.compressed,
        size: central.size,
        crc: central.crc,
        method: central.method,
        flags: central.flags,
        // The length is one of 16 bits.
        name_length: u16::try_from(central.name.len()).unwrap_or(u16::MAX),
        identity: None,
        data: AtomicU64::new(0),
    }
}

/// Tells each entry where the next begins, and gives all beginnings in order.
fn bound(found: &mut [(Entry, Option<Arc<str>>)], start: u64) -> Vec<u64> {
    let mut headers: Vec<u64> = found.iter().map(|(entry, _)| entry.header).collect();
    headers.sort_unstable();
    for (entry, _) in found {
        let next = headers.partition_point(|header| *header <= entry.header);
        // Two at one place have no room.
        let is_shared = next >= 2 && headers[next - 2] == entry.header;
        entry.end =
            if is_shared { entry.header } else { headers.get(next).copied().unwrap_or(start) };
    }
    headers
}

/// The end of an archive.
struct Tail {
    bytes: Bytes,
    /// Where in the archive it begins.
    start: u64,
    /// Where in it the end record is.
    record: usize,
}

impl Tail {
    fn of(piece: Piece) -> Result<Self> {
        let bytes = piece.bytes.into_bytes();
        let size = END.to_le_bytes();
        let last = bytes.len().checked_sub(END_SIZE);
        let found = last.and_then(|last| {
            (0..=last).rev().find(|&at| {
                let comment = bytes.len() - at - END_SIZE;
                bytes[at..].starts_with(&size)
                    && bytes[at + END_SIZE - 2..at + END_SIZE]
                        == u16::try_from(comment).unwrap_or(0).to_le_bytes()
                    && comment <= usize::from(u16::MAX)
            })
        });
        let record = found.ok_or_else(|| {
            Error::corrupt("this is no zip archive, or its end is cut off: it has no directory")
        })?;
        Ok(Self { bytes, start: piece.start, record })
    }

    /// What the end says, by zip64 if that is there, and where the directory ends; `None` if the
    /// archive is gone.
    async fn end(&self, archive: &dyn Object) -> Result<Option<(End, u64)>> {
        let at = self.start + self.record as u64;
        let end = End::read(&self.bytes[self.record..])?;
        let place = self.record.checked_sub(LOCATOR_SIZE);
        let stated = place.map(|place| locator(&self.bytes[place..])).transpose()?.flatten();
        let Some(stated) = stated else {
            if end.is_narrow || end.offset != u64::from(u32::MAX) {
                return Ok(Some((end, at)));
            }
            return Err(Error::corrupt("the zip archive lacks its end of zip64"));
        };
        let locator = at - LOCATOR_SIZE as u64;
        // Just before, or where the locator says, if nothing precedes the archive.
        let places = [locator.checked_sub(END_64_SIZE), Some(stated)];
        let mut outcome = Err(Error::corrupt("the zip archive lacks its end of zip64"));
        for place in places.into_iter().flatten() {
            let after = place.saturating_add(END_64_SIZE);
            if after > locator {
                continue;
            }
            let Some(record) = self.bytes(archive, place, after).await? else { return Ok(None) };
            outcome = End::read_64(&record).map(|end| Some((end, place)));
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Bytes of the archive, which may have to be read.
    async fn bytes(&self, archive: &dyn Object, start: u64, end: u64) -> Result<Option<Bytes>> {
        let held = self.start + self.bytes.len() as u64;
        if start >= self.start && end <= held {
            let place = |at: u64| usize_of(at - self.start);
            return Ok(Some(self.bytes.slice(place(start)..place(end))));
        }
        let piece = read_any(archive, Span::Range(start..end), Vec::new()).await?;
        Ok(piece.map(|piece| piece.bytes).map(Buffer::into_bytes))
    }
}
