//! Putting a new archive in the place of the old one.

use std::sync::Arc;

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;

use super::contents::{Archive, Changes, Place};
use super::layout::{Layout, Segment};
use super::{Shared, ZipStore};
use crate::error::{Error, Kind, Result};
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

/// What becomes of changes that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// They can be written later.
    Kept,
    GivenUp,
}

impl ZipStore {
    /// Writes the changes made so far, all or none.
    pub(super) async fn write(&self, refused: Refused) -> Result<()> {
        let shared = &*self.shared;
        let _turn = shared.state().turn.lock().await;
        if shared.contents().changes.is_empty() {
            return Ok(());
        }
        let found = self.contents().await.map(|contents| {
            contents.archive.clone().map(|archive| (archive, contents.changes.clone()))
        });
        let (outcome, changes) = match found {
            Ok(Some((archive, changes))) => {
                (shared.rewrite(&archive, &changes, refused).await, changes)
            }
            Ok(None) => return Ok(()),
            Err(error) => (Err(Failure::Refused(error)), shared.contents().changes.clone()),
        };
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(Failure::NotSettled(error)) => return Err(error),
            Err(Failure::Refused(error)) => error,
        };
        if refused == Refused::GivenUp {
            shared.contents().give_up(&changes, error.kind() == Kind::Conflict);
        }
        Err(error)
    }
}

/// Why a new archive is not there, or may not stay.
enum Failure {
    Refused(Error),
    NotSettled(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Shared {
    /// Writes a new archive of an old one and changes, which are none any more then.
    async fn rewrite(
        &self,
        archive: &Archive,
        changes: &Changes,
        refused: Refused,
    ) -> Result<(), Failure> {
        let layout = Layout::of(archive, changes).await?;
        let since = self.store.moment();
        self.replace(archive, &layout).await?;
        let settled = self.store.settle(since).await;
        let new = self.read(None).await.ok().and_then(Arc::into_inner);
        let is_ours = new.as_ref().is_none_or(|new| {
            let object = new.object.as_deref();
            object.is_some_and(|object| layout.is_of(object, &new.directory))
        });
        let mut contents = self.contents();
        match new {
            Some(new) if is_ours => {
                let new = Arc::new(new.following(archive, changes));
                if settled.is_err() && refused == Refused::Kept {
                    contents.stored_for_now(changes, &new);
                } else {
                    contents.stored(changes, Some(new));
                }
            }
            // What was changed meanwhile was so in an archive that others have replaced since: that is
            // a conflict, of which is told when it is to be written.
            Some(_) => contents.stored_before(changes),
            None => contents.stored(changes, None),
        }
        settled.map_err(Failure::NotSettled)
    }

    async fn replace(&self, archive: &Archive, layout: &Layout) -> Result<()> {
        let capabilities = self.capabilities;
        let precondition = archive.precondition();
        let is_safe = capabilities.conditional_uploads || !capabilities.compare_and_swap;
        if capabilities.uploads && (is_safe || layout.length > AT_ONCE) {
            let upload = self.store.begin(&self.key).await?;
            self.send(&*upload, archive, layout).await?;
            if is_safe {
                return upload.finish(precondition).await.map(drop);
            }
            self.check(archive).await?;
            upload.finish(Precondition::None).await.map(drop)
        } else {
            let mut bytes = Vec::new();
            for piece in self.pieces(archive, layout) {
                let joined = piece.content().joined().await?;
                crate::buffer::reserve(&mut bytes, joined.len())?;
                bytes.extend_from_slice(&joined);
            }
            let content = Content { parts: &[Part::Bytes(&bytes)], base: None };
            self.store.put(&self.key, content, precondition).await.map(drop)
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
