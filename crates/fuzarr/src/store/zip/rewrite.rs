//! Putting a new archive in the place of the old one.

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;

use super::contents::{Archive, Place};
use super::layout::{Layout, Segment};
use super::{Shared, ZipStore};
use crate::error::{Error, Result};
use crate::store::{Content, Object, Part, Precondition, Upload, find};

/// The most bytes of an archive that are put at once, where what comes in pieces cannot be put on
/// condition.
const AT_ONCE: u64 = 64 << 20;

/// Bytes of a piece, where kept bytes are read and sent.
const PIECE: u64 = 16 << 20;

/// The most parts of a piece.
const MOST_PARTS: usize = 512;

/// How many pieces are under way at the same time.
const UNDER_WAY: usize = 4;

/// Parts of the archive that are written together: where, and what kept parts are of.
struct Piece<'a> {
    offset: u64,
    length: u64,
    parts: Vec<Part<'a>>,
    base: Option<&'a dyn Object>,
}

impl Piece<'_> {
    fn content(&self) -> Content<'_> {
        Content { parts: &self.parts, base: self.base }
    }

    async fn write(self, upload: &dyn Upload) -> Result<()> {
        upload.write(self.offset, self.content()).await
    }
}

impl ZipStore {
    /// Writes the changes made so far, all or none.
    pub(super) async fn write(&self) -> Result<()> {
        let _turn = self.shared.turn.lock().await;
        let (archive, changes) = {
            let contents = self.shared.contents();
            let Some(archive) = &contents.archive else { return Ok(()) };
            if contents.changes.is_empty() {
                return Ok(());
            }
            (std::sync::Arc::clone(archive), contents.changes.clone())
        };
        let layout = Layout::of(&archive, &changes).await?;
        let since = self.shared.store.moment();
        self.shared.replace(&archive, &layout).await?;
        self.shared.contents().stored(&changes);
        self.shared.store.settle(since).await
    }
}

impl Shared {
    async fn replace(&self, archive: &Archive, layout: &Layout) -> Result<()> {
        let capabilities = self.capabilities;
        let precondition = archive.precondition();
        let is_safe = capabilities.conditional_uploads || !capabilities.compare_and_swap;
        if capabilities.uploads && (is_safe || layout.length > AT_ONCE) {
            let upload = self.store.begin(&self.key).await?;
            self.send(&*upload, archive, layout).await?;
            if is_safe {
                return upload.finish(precondition).await;
            }
            self.check(archive).await?;
            upload.finish(Precondition::None).await
        } else {
            let mut bytes = Vec::new();
            for piece in self.pieces(archive, layout) {
                let joined = piece.content().joined().await?;
                crate::buffer::reserve(&mut bytes, joined.len())?;
                bytes.extend_from_slice(&joined);
            }
            let content = Content { parts: &[Part::Bytes(&bytes)], base: None };
            self.store.put(&self.key, content, precondition).await
        }
    }

    /// Checks that the archive is still as it was read.
    async fn check(&self, archive: &Archive) -> Result<()> {
        let found = find(&*self.store, &self.key).await?;
        let version = found.and_then(|object| object.version());
        let known = archive.object.as_ref().and_then(|object| object.version());
        if version == known {
            return Ok(());
        }
        Err(Error::conflict("the zip archive changed since it was read"))
    }

    async fn send(&self, upload: &dyn Upload, archive: &Archive, layout: &Layout) -> Result<()> {
        let mut under_way = FuturesUnordered::new();
        for piece in self.pieces(archive, layout) {
            if under_way.len() >= UNDER_WAY {
                under_way.try_next().await?;
            }
            under_way.push(piece.write(upload));
        }
        under_way.try_collect().await
    }

    /// The archive in pieces that are written together.
    fn pieces<'a>(&self, archive: &'a Archive, layout: &'a Layout) -> Vec<Piece<'a>> {
        // Where nothing goes through memory, more at a time is better.
        let most = if self.capabilities.carry_over { u64::MAX } else { PIECE };
        let mut pieces = Pieces { pieces: Vec::new(), offset: 0, most };
        let old = archive.object.as_deref();
        for segment in &layout.segments {
            match segment {
                Segment::Records(bytes) => pieces.bytes(bytes),
                Segment::Kept(range) => pieces.kept(range.clone(), old),
                Segment::Unwritten(new) => match &new.place {
                    Place::Memory(bytes) => pieces.bytes(bytes),
                    Place::Spool(spool, at) => {
                        let spool: &dyn Object = &**spool;
                        pieces.kept(*at..at + new.size, Some(spool));
                    }
                },
            }
        }
        pieces.pieces
    }
}

struct Pieces<'a> {
    pieces: Vec<Piece<'a>>,
    offset: u64,
    most: u64,
}

impl<'a> Pieces<'a> {
    fn bytes(&mut self, bytes: &'a [u8]) {
        self.add(Part::Bytes(bytes), bytes.len() as u64, None);
    }

    fn kept(&mut self, range: std::ops::Range<u64>, base: Option<&'a dyn Object>) {
        let mut start = range.start;
        while start < range.end {
            let length = (range.end - start).min(self.most);
            self.add(Part::Kept(start..start + length), length, base);
            start += length;
        }
    }

    /// Adds to the last piece, or begins another.
    fn add(&mut self, part: Part<'a>, length: u64, base: Option<&'a dyn Object>) {
        let is_same = |one: &dyn Object, other: &dyn Object| std::ptr::addr_eq(one, other);
        if let Some(last) = self.pieces.last_mut()
            && last.parts.len() < MOST_PARTS
            && last.length.saturating_add(length) <= self.most
            && match (last.base, base) {
                (Some(one), Some(other)) => is_same(one, other),
                _ => true,
            }
        {
            last.base = last.base.or(base);
            last.length += length;
            last.parts.push(part);
        } else {
            self.pieces.push(Piece { offset: self.offset, length, parts: vec![part], base });
        }
        self.offset += length;
    }
}
