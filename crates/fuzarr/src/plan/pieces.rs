//! Fetched pieces of one object, and which to ask for.

use std::ops::Range;

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::store::{Piece, Span};

/// Limits of joining ranges into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coalescing {
    /// Ranges at most this many bytes apart are joined.
    pub(super) gap: u64,
    /// A joined range grows to at most this many bytes.
    pub(super) span: u64,
}

impl Default for Coalescing {
    fn default() -> Self {
        Self { gap: 1 << 20, span: 16 << 20 }
    }
}

/// What one fetch asks for: mostly one span.
pub(super) type Spans = SmallVec<[Span; 1]>;

/// Joins `ranges` into few requests. Ranges that overlap or are equal are fetched once, whatever
/// the limits: they may never cost more than the object has bytes.
pub(super) fn coalesce(mut ranges: Vec<Range<u64>>, limits: Coalescing) -> Spans {
    if !ranges.is_sorted_by_key(|range| range.start) {
        ranges.sort_unstable_by_key(|range| range.start);
    }
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        if let Some(last) = joined.last_mut() {
            let end = last.end.max(range.end);
            let near = limits.gap > 0
                && range.start.saturating_sub(last.end) <= limits.gap
                && end - last.start <= limits.span;
            if near || range.start < last.end {
                last.end = end;
                continue;
            }
        }
        joined.push(range);
    }
    joined.into_iter().map(Span::Range).collect()
}

/// The fetched pieces of one version of an object, by start.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: SmallVec<[Piece; 1]>,
    object_size: u64,
}

impl Pieces {
    pub(super) fn add(&mut self, pieces: &mut Vec<Piece>) {
        if let Some(piece) = pieces.first() {
            self.object_size = piece.object_size;
        }
        self.pieces.extend(pieces.drain(..));
        self.pieces.sort_by_key(|piece| piece.start);
    }

    /// Gives up all pieces; one's memory may be used again.
    pub(super) fn clear(&mut self) -> Option<Vec<u8>> {
        let memory = self.pieces.drain(..).filter_map(|piece| match piece.bytes {
            crate::buffer::Buffer::Owned(memory) => Some(memory),
            crate::buffer::Buffer::Shared(_) => None,
        });
        memory.max_by_key(Vec::capacity)
    }

    /// The size of the object that the pieces are of.
    pub(super) fn object_size(&self) -> u64 {
        self.object_size
    }

    /// Takes note of the size of an object of which nothing was fetched yet.
    pub(super) fn set_object_size(&mut self, size: u64) {
        self.object_size = size;
    }

    /// The bytes of a range, if they are here, in one piece.
    pub(super) fn find(&self, range: &Range<u64>) -> Option<&[u8]> {
        let after = self.pieces.partition_point(|piece| piece.start <= range.start);
        self.pieces[..after].iter().rev().find_map(|piece| {
            let start = usize::try_from(range.start - piece.start).ok()?;
            let end = usize::try_from(range.end.checked_sub(piece.start)?).ok()?;
            piece.bytes.as_slice().get(start..end)
        })
    }

    /// The bytes of a range, which must lie in one piece.
    pub(super) fn get(&self, range: &Range<u64>) -> Result<&[u8]> {
        self.find(range).ok_or_else(|| {
            Error::io(format!("bytes {} to {} were not fetched", range.start, range.end))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_join_and_shared_ones_are_fetched_once() {
        let limits = Coalescing { gap: 10, span: 100 };
        let ranges = vec![50..60, 0..20, 25..30, 50..60, 55..58, 200..230, 95..199];
        let spans = coalesce(ranges, limits);
        assert_eq!(spans[..], [0..30, 50..60, 95..199, 200..230].map(Span::Range));
        let off = Coalescing { gap: 0, span: 0 };
        assert_eq!(
            coalesce(vec![0..5, 5..9, 3..6, 20..22], off)[..],
            [0..9, 20..22].map(Span::Range)
        );
        assert_eq!(coalesce(vec![0..5, 5..9], off)[..], [0..5, 5..9].map(Span::Range));
    }
}
