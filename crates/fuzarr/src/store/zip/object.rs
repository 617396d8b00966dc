//! An entry as an object: its bytes in the archive, or those that are yet to be written.

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::Shared;
use super::contents::{Archive, Found, Place, Unwritten};
use super::directory::Entry;
use super::record::{STORED, local_length};
use crate::buffer::{Buffer, usize_of};
use crate::codec::{crc32, inflate};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::store::{Answer, Object, Piece, Span, Version, read_any};

/// Room for the extra field of a local header, which the directory does not tell.
const EXTRA: u64 = 64;

/// An entry of an archive.
#[derive(Debug)]
pub(super) struct ZipObject {
    shared: Arc<Shared>,
    key: String,
    source: Source,
    version: Version,
    size: u64,
    /// The decoded bytes of an entry that is compressed.
    whole: OnceLock<Bytes>,
}

#[derive(Debug)]
enum Source {
    Archive(Arc<Archive>, Arc<Entry>),
    Unwritten(Arc<Unwritten>),
}

/// An entry's bytes in its archive.
struct Stored<'a> {
    archive: &'a Archive,
    entry: &'a Entry,
    /// Bytes that are read in about the time of one more request.
    gap: u64,
}

impl Stored<'_> {
    /// The bytes `start..end` of the archive.
    async fn bytes(&self, range: Range<u64>, spare: Vec<u8>) -> Result<Buffer> {
        let Some(object) = &self.archive.object else { return Err(gone()) };
        let found = read_any(&**object, Span::Range(range), spare).await?;
        found.map(|piece| piece.bytes).ok_or_else(gone)
    }

    /// Where the entry's bytes are, from the start of its local header.
    fn place(&self, header: &[u8]) -> Result<u64> {
        let record = self.archive.directory.record(self.entry)?;
        let length = local_length(header, record.name, self.entry.method)?;
        self.entry.found(self.entry.header + length)
    }

    /// Where the entry's bytes are.
    async fn data(&self) -> Result<u64> {
        if let Some(data) = self.entry.data() {
            return Ok(data);
        }
        let start = self.entry.header;
        let header = self.bytes(start..start + self.entry.header_length(), Vec::new()).await?;
        self.place(header.as_slice())
    }

    /// Bytes of the entry as it is stored. Where they are is found by the same read, if that is
    /// not known and they are near.
    async fn read(&self, range: Range<u64>, spare: Vec<u8>) -> Result<Buffer> {
        let Entry { header, end, .. } = *self.entry;
        if self.entry.data().is_some() || range.start > self.gap {
            let data = self.data().await?;
            return self.bytes(data + range.start..data + range.end, spare).await;
        }
        let room = self.entry.header_length() + EXTRA + range.end;
        let until = header.saturating_add(room).min(end);
        let bytes = self.bytes(header..until, spare).await?.into_bytes();
        let data = self.place(&bytes)?;
        let start = data - header;
        if data + range.end > until {
            return self.bytes(data + range.start..data + range.end, Vec::new()).await;
        }
        let place = |at: u64| usize_of(start + at);
        Ok(Buffer::Shared(bytes.slice(place(range.start)..place(range.end))))
    }

    fn check(&self, bytes: &[u8]) -> Result<()> {
        let (stored, found) = (self.entry.crc, crc32(bytes));
        if stored == found {
            return Ok(());
        }
        let message = format!(
            "checksum {found:#010x} of the entry is not the {stored:#010x} of the zip archive"
        );
        Err(Error::corrupt(message))
    }
}

#[cold]
fn gone() -> Error {
    Error::conflict("the zip archive is gone")
}

/// Where the bytes of an entry are in its archive.
pub(super) async fn data_of(archive: &Archive, entry: &Entry) -> Result<u64> {
    Stored { archive, entry, gap: 0 }.data().await
}

impl ZipObject {
    pub(super) fn new(
        shared: Arc<Shared>,
        key: &str,
        archive: Arc<Archive>,
        found: Found,
    ) -> Result<Self> {
        let (version, size) = (found.version(&archive), found.size());
        let source = match found {
            Found::Archive(entry) => {
                entry.check_readable()?;
                Source::Archive(archive, entry)
            }
            Found::Unwritten(new) => Source::Unwritten(new),
        };
        let (key, whole) = (key.to_owned(), OnceLock::new());
        Ok(Self { shared, key, source, version, size, whole })
    }

    fn stored<'a>(&'a self, archive: &'a Archive, entry: &'a Entry) -> Stored<'a> {
        Stored { archive, entry, gap: self.shared.capabilities.gap }
    }

    /// All bytes of a compressed entry, decoded once.
    async fn decoded(&self, stored: &Stored<'_>) -> Result<Bytes> {
        if let Some(whole) = self.whole.get() {
            return Ok(whole.clone());
        }
        let encoded = stored.read(0..stored.entry.compressed, Vec::new()).await?;
        let decoded = inflate(encoded.as_slice(), stored.entry.size)?;
        stored.check(&decoded)?;
        Ok(self.whole.get_or_init(|| decoded.into()).clone())
    }

    async fn piece(&self, span: Span, spare: Vec<u8>) -> Result<Piece> {
        let range = span.of(self.size)?;
        let start = range.start;
        let bytes = match &self.source {
            _ if range.is_empty() && self.size > 0 => Buffer::Owned(Vec::new()),
            Source::Archive(archive, entry) => {
                let stored = self.stored(archive, entry);
                if entry.method == STORED {
                    let is_whole = range == (0..self.size);
                    let bytes = stored.read(range, spare).await?;
                    if is_whole {
                        stored.check(bytes.as_slice())?;
                    }
                    bytes
                } else {
                    let whole = self.decoded(&stored).await?;
                    Buffer::Shared(whole.slice(usize_of(range.start)..usize_of(range.end)))
                }
            }
            Source::Unwritten(new) => match &new.place {
                Place::Memory(bytes) => {
                    Buffer::Shared(bytes.slice(usize_of(range.start)..usize_of(range.end)))
                }
                Place::Spool(spool, at) => {
                    Buffer::Owned(spool.bytes(at + range.start..at + range.end, spare)?)
                }
            },
        };
        Ok(Piece { start, object_size: self.size, bytes })
    }

    async fn fill(&self, start: u64, memory: &mut [u8]) -> Result<bool> {
        let Source::Archive(archive, entry) = &self.source else { return Ok(false) };
        let Some(object) = &archive.object else { return Err(gone()) };
        let stored = self.stored(archive, entry);
        // One read finds the bytes, and gets them.
        let is_near = entry.data().is_none() && start <= stored.gap;
        if entry.method != STORED || is_near && !self.shared.capabilities.blocking {
            return Ok(false);
        }
        let end = start.saturating_add(memory.len() as u64);
        Span::Range(start..end).of(self.size)?;
        let data = stored.data().await?;
        if !object.read_into(data + start, memory).await? {
            return Ok(false);
        }
        if memory.len() as u64 == self.size {
            stored.check(memory)?;
        }
        Ok(true)
    }

    /// An error names the entry, and an archive that changed is read anew by who opens it next.
    async fn judge<T>(&self, outcome: Result<T>) -> Result<T> {
        if let (Err(error), Source::Archive(archive, _)) = (&outcome, &self.source)
            && matches!(error.kind(), Kind::Conflict | Kind::NotFound)
        {
            // It may be this process that replaces it. Who tries again then does it with the new one.
            drop(self.shared.state().turn.lock().await);
            self.shared.contents().forget(archive);
        }
        outcome.context("entry", || &self.key)
    }
}

impl Object for ZipObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        Answer::later(async move { self.judge(self.piece(span, spare).await).await.map(Some) })
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        Answer::later(async move { self.judge(self.fill(start, memory).await).await })
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn version(&self) -> Option<Version> {
        Some(self.version.clone())
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        let Source::Archive(archive, _) = &self.source else { return Answer::ready(Ok(true)) };
        let Some(object) = &archive.object else { return Answer::ready(Ok(true)) };
        Answer::later(async move {
            let unchanged = object.is_unchanged().await?;
            if !unchanged {
                self.shared.contents().forget(archive);
            }
            Ok(unchanged)
        })
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
