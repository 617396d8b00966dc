//! The bytes of an object in memory, in pieces that versions of it share.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer::{Buffer, reserve, usize_of};
use crate::error::Result;
use crate::store::{Part, Span};

/// What is kept of the version before is copied if it is shorter than this.
const LEAST: usize = 4096;
/// An object is put together anew rather than in more pieces than this.
const MOST: usize = 64;

/// The bytes of one version of an object: as they were put, or, where parts of the version before were
/// kept, in pieces that share its memory. They hold at most twice their length.
#[derive(Debug, Clone)]
pub(super) enum Pieces {
    One(Bytes),
    Many(Arc<Many>),
}

#[derive(Debug)]
pub(super) struct Many {
    /// Each with where it ends.
    pieces: Vec<(u64, Bytes)>,
    /// Bytes of the memory that the pieces are in, at most.
    held: u64,
}

impl Pieces {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::One(bytes) => bytes.len() as u64,
            Self::Many(many) => many.pieces.last().map_or(0, |(end, _)| *end),
        }
    }

    /// The pieces of a range that lies inside.
    fn of(&self, range: Range<u64>) -> impl Iterator<Item = Bytes> {
        let (one, many): (Option<&Bytes>, &[(u64, Bytes)]) = match self {
            Self::One(bytes) => (Some(bytes), &[]),
            Self::Many(many) => {
                let first = many.pieces.partition_point(|(end, _)| *end <= range.start);
                (None, &many.pieces[first..])
            }
        };
        let one = one.map(|bytes| (bytes.len() as u64, bytes));
        let pieces = one.into_iter().chain(many.iter().map(|(end, bytes)| (*end, bytes)));
        pieces.map_while(move |(end, bytes)| {
            let start = end - bytes.len() as u64;
            let (from, to) = (range.start.max(start), range.end.min(end));
            // Inside a piece, so it fits `usize`.
            (from < to).then(|| bytes.slice(usize_of(from - start)..usize_of(to - start)))
        })
    }

    /// The bytes of a range that lies inside: shared if they are in one piece, else copied to `spare`.
    ///
    /// # Errors
    /// `Limit` if there is no memory.
    pub(super) fn read(&self, range: Range<u64>, mut spare: Vec<u8>) -> Result<Buffer> {
        let length = usize_of(range.end - range.start);
        let mut pieces = self.of(range);
        let first = pieces.next().unwrap_or_default();
        if first.len() == length {
            return Ok(Buffer::Shared(first));
        }
        spare.clear();
        reserve(&mut spare, length)?;
        spare.extend_from_slice(&first);
        pieces.for_each(|piece| spare.extend_from_slice(&piece));
        Ok(Buffer::Owned(spare))
    }

    /// Copies the bytes of a range that lies inside to `memory`, which is as long.
    pub(super) fn copy(&self, range: Range<u64>, memory: &mut [u8]) {
        let mut rest = memory;
        for piece in self.of(range) {
            let (place, after) = rest.split_at_mut(piece.len());
            place.copy_from_slice(&piece);
            rest = after;
        }
    }

    /// A new version, of which the kept parts are of this one.
    ///
    /// # Errors
    /// `Corrupt` if one ends after it, `Limit` if there is no memory.
    pub(super) fn change(&self, parts: &[Part<'_>]) -> Result<Self> {
        let mut next = Next::default();
        // Neighbours, such as inner chunks that stay as they are, are one piece.
        let mut run = 0..0;
        for part in parts {
            let new: &[u8] = match part {
                Part::Bytes(bytes) => bytes,
                Part::Shared(bytes) => bytes,
                Part::Kept(range) => {
                    let range = Span::Range(range.clone()).of(self.length())?;
                    if range.start == run.end {
                        run.end = range.end;
                    } else {
                        next.keep(self, std::mem::replace(&mut run, range))?;
                    }
                    continue;
                }
            };
            if !new.is_empty() {
                next.keep(self, std::mem::take(&mut run))?;
                next.copy(new)?;
            }
        }
        next.keep(self, run)?;
        next.finish(self.held())
    }

    fn held(&self) -> u64 {
        match self {
            Self::One(bytes) => bytes.len() as u64,
            Self::Many(many) => many.held,
        }
    }
}

impl<B: Into<Bytes>> From<B> for Pieces {
    fn from(bytes: B) -> Self {
        Self::One(bytes.into())
    }
}

/// A version that is being put together.
#[derive(Debug, Default)]
struct Next {
    pieces: Vec<(u64, Bytes)>,
    length: u64,
    /// What is new since the last piece.
    new: Vec<u8>,
    /// Bytes that are new in all.
    copied: u64,
    /// Whether anything is shared.
    shares: bool,
}

impl Next {
    fn copy(&mut self, bytes: &[u8]) -> Result<()> {
        reserve(&mut self.new, bytes.len())?;
        self.new.extend_from_slice(bytes);
        self.copied = self.copied.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Shares a range of another version, but for what is short.
    fn keep(&mut self, version: &Pieces, range: Range<u64>) -> Result<()> {
        for piece in version.of(range) {
            if piece.len() < LEAST {
                self.copy(&piece)?;
                continue;
            }
            self.settle();
            self.push(piece);
            self.shares = true;
        }
        Ok(())
    }

    fn push(&mut self, piece: Bytes) {
        self.length = self.length.saturating_add(piece.len() as u64);
        self.pieces.push((self.length, piece));
    }

    fn settle(&mut self) {
        if !self.new.is_empty() {
            let mut new = std::mem::take(&mut self.new);
            new.shrink_to_fit();
            self.push(Bytes::from(new));
        }
    }

    /// The version; in one piece if they would be many, or hold much that it does not have. What it shares
    /// is in the `held` bytes of another.
    fn finish(mut self, held: u64) -> Result<Pieces> {
        self.settle();
        if !self.shares {
            // All of it is new, and so in one piece.
            let new = self.pieces.pop().unwrap_or_default().1;
            return Ok(Pieces::One(new));
        }
        let held = held.saturating_add(self.copied);
        if self.pieces.len() <= MOST && held / 2 <= self.length {
            return Ok(Pieces::Many(Arc::new(Many { pieces: self.pieces, held })));
        }
        let mut whole = Vec::new();
        reserve(&mut whole, usize_of(self.length))?;
        self.pieces.iter().for_each(|(_, piece)| whole.extend_from_slice(piece));
        Ok(Pieces::from(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pieces: &Pieces) -> Vec<u8> {
        let all = pieces.read(0..pieces.length(), vec![1; 3]).unwrap();
        assert_eq!(all.as_slice().len() as u64, pieces.length());
        all.as_slice().to_vec()
    }

    fn many(pieces: &Pieces) -> usize {
        match pieces {
            Pieces::One(_) => 1,
            Pieces::Many(many) => many.pieces.len(),
        }
    }

    fn address(pieces: &Pieces) -> *const u8 {
        let Buffer::Shared(bytes) = pieces.read(0..100, Vec::new()).unwrap() else { panic!() };
        bytes.as_ptr()
    }

    /// Versions whose parts are replaced again and again, against a copy that is changed likewise.
    #[test]
    fn versions_are_what_their_parts_say() {
        let mut model: Vec<u8> = (0..=249).cycle().take(100_000).collect();
        let mut pieces = Pieces::from(model.clone());
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 33) % below
        };
        let (mut most, mut shared) = (0, 0);
        for step in 0..400_u32 {
            let length = model.len() as u64;
            let mut cuts = [next(length + 1), next(length + 1), next(length + 1)];
            cuts.sort_unstable();
            let [first, second, third] = cuts;
            let new = vec![step.to_le_bytes()[0]; usize_of(next(9000))];
            let parts = [
                Part::Kept(0..first),
                Part::Kept(first..second),
                Part::Bytes(&new),
                Part::Kept(third..length),
                Part::Bytes(b"end"),
            ];
            pieces = pieces.change(&parts).unwrap();
            let [second, third] = [second, third].map(usize_of);
            model = [&model[..second], &new, &model[third..], b"end"].concat();
            assert_eq!(bytes(&pieces), model);
            let (from, to) = (model.len() / 3, model.len() / 2);
            let part = pieces.read(from as u64..to as u64, Vec::new()).unwrap();
            assert_eq!(part.as_slice(), &model[from..to]);
            let mut copy = vec![0; to - from];
            pieces.copy(from as u64..to as u64, &mut copy);
            assert_eq!(copy, model[from..to]);
            most = most.max(many(&pieces));
            shared += usize::from(matches!(pieces, Pieces::Many(_)));
            assert!(pieces.held() <= 2 * pieces.length() + 1);
            if model.len() < 50_000 {
                model = (0..=247).cycle().take(100_000).collect();
                pieces = Pieces::from(model.clone());
            }
        }
        assert!(most <= MOST && most > 4 && shared > 50, "{most} {shared}");
    }

    #[test]
    fn what_is_kept_is_not_copied() {
        let whole = Pieces::from(vec![5; 1 << 20]);
        let parts: Vec<Part<'_>> = (0..100)
            .map(|n| Part::Kept(n * 10_000..(n + 1) * 10_000))
            .chain([Part::Bytes(b"new")])
            .collect();
        let next = whole.change(&parts).unwrap();
        assert_eq!(many(&next), 2);
        assert_eq!(address(&whole), address(&next));
        let beyond = next.change(&[Part::Kept(1_000_000..1_000_004)]).unwrap_err();
        assert_eq!(beyond.kind(), crate::error::Kind::Corrupt);
        let none = next.change(&[]).unwrap();
        assert_eq!((none.length(), bytes(&none)), (0, vec![]));
        // Backwards is no range, whatever its neighbours make of it.
        let back = [Part::Kept(0..100), Part::Kept(Range { start: 100, end: 50 })];
        assert_eq!(whole.change(&back).unwrap_err().kind(), crate::error::Kind::Corrupt);
    }

    #[test]
    fn little_that_is_kept_does_not_hold_all() {
        // Once, one piece of a large version was taken for one that is as small as it.
        let whole = Pieces::from(vec![5; 1 << 20]);
        let little = whole.change(&[Part::Kept(0..5000)]).unwrap();
        assert_ne!(address(&whole), address(&little));
        assert_eq!(bytes(&little), vec![5; 5000]);
        let new = whole.change(&[Part::Bytes(&[6; 9000]), Part::Bytes(b"")]).unwrap();
        assert_eq!((many(&new), new.held()), (1, 9000));
    }
}
