//! Drives compressors that take and make bytes piece by piece, within bounds on what they make.

use std::ops::Range;

use super::bound;
use crate::buffer::reuse;
use crate::error::{Error, Result};

/// Where decoding bytes of unknown number starts.
const FIRST_GUESS: usize = 1 << 16;
/// Bytes that are decoded at once on the way to a part that is wanted.
const SKIPPED: usize = 1 << 17;

/// How far one step came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Bytes taken from the input.
    pub(super) read: usize,
    /// Bytes made.
    pub(super) written: usize,
    /// Whether the stream has ended.
    pub(super) ended: bool,
}

/// A compressor or decompressor of one stream.
pub(super) trait Stream {
    /// Goes on with `input`, which is all that is left, into `output`, which is not empty.
    ///
    /// # Errors
    /// `Corrupt` for damaged input, `Limit` for a lack of memory.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step>;
}

/// Where decoded bytes go.
enum Output<'a> {
    /// A place for so many bytes and no more.
    Exact { place: &'a mut [u8], filled: usize },
    /// A vector that grows as it is filled, but for the last few bytes at most to twice that.
    Grown { bytes: &'a mut Vec<u8>, filled: usize, limit: usize },
}

impl Output<'_> {
    /// Room for more; empty if there may be no more.
    fn tail(&mut self) -> Result<&mut [u8]> {
        match self {
            Self::Exact { place, filled } => Ok(place.get_mut(*filled..).unwrap_or_default()),
            Self::Grown { bytes, filled, limit } => {
                if *filled == bytes.len() {
                    let size = filled.saturating_mul(2).max(FIRST_GUESS).min(*limit);
                    bound::reserve(bytes, size.saturating_sub(*filled))?;
                    bytes.resize(size, 0);
                }
                Ok(bytes.get_mut(*filled..).unwrap_or_default())
            }
        }
    }

    fn filled(&mut self) -> &mut usize {
        match self {
            Self::Exact { filled, .. } | Self::Grown { filled, .. } => filled,
        }
    }

    fn limit(&self) -> usize {
        match self {
            Self::Exact { place, .. } => place.len(),
            Self::Grown { limit, .. } => *limit,
        }
    }

    /// Decodes one stream at the start of `input`, and gives what follows it.
    fn take<'i>(&mut self, stream: &mut impl Stream, input: &'i [u8]) -> Result<&'i [u8]> {
        let mut rest = input;
        loop {
            let limit = self.limit();
            // With all of the room taken, a stream may still have an end to read.
            let mut surplus = [0];
            let mut tail = self.tail()?;
            let full = tail.is_empty();
            if full {
                tail = &mut surplus;
            }
            let step = stream.step(rest, tail)?;
            rest = rest.get(step.read..).unwrap_or_default();
            if full && step.written > 0 {
                return Err(bound::too_large(limit));
            }
            *self.filled() += step.written;
            if step.ended {
                return Ok(rest);
            }
            if step.read == 0 && step.written == 0 {
                return Err(Error::corrupt("a compressed stream is cut off"));
            }
        }
    }

    /// Decodes the streams that `open` makes out of what is left of the input, until it makes none.
    /// There must be one at least.
    fn take_all<S: Stream>(
        &mut self,
        input: &[u8],
        open: impl Fn(&[u8]) -> Option<Result<S>>,
    ) -> Result<()> {
        let mut rest = input;
        let mut found = false;
        while let Some(stream) = open(rest) {
            rest = self.take(&mut stream?, rest)?;
            found = true;
        }
        if found { Ok(()) } else { Err(Error::corrupt("no compressed stream")) }
    }
}

/// Decodes streams into `decoded`, which is filled exactly. `open` tells by what is left of the
/// input whether there is one more stream in it.
///
/// # Errors
/// `Corrupt` if `encoded` is damaged or decodes to fewer or more bytes.
pub(super) fn decode_into<S: Stream>(
    encoded: &[u8],
    decoded: &mut [u8],
    open: impl Fn(&[u8]) -> Option<Result<S>>,
) -> Result<()> {
    let mut output = Output::Exact { place: decoded, filled: 0 };
    output.take_all(encoded, open)?;
    bound::filled(*output.filled(), output.limit())
}

/// Decodes streams to at most `limit` bytes in place of what `decoded` held.
///
/// # Errors
/// `Corrupt` if `encoded` is damaged or decodes to more.
pub(super) fn decode<S: Stream>(
    encoded: &[u8],
    limit: u64,
    decoded: &mut Vec<u8>,
    open: impl Fn(&[u8]) -> Option<Result<S>>,
) -> Result<()> {
    decoded.clear();
    let limit = bound::in_memory(limit);
    let mut output = Output::Grown { bytes: decoded, filled: 0, limit };
    let outcome = output.take_all(encoded, open);
    let filled = *output.filled();
    decoded.truncate(filled);
    outcome
}

/// Decodes bytes `wanted` of what one stream holds to the start of `decoded`, and nothing after them.
///
/// # Errors
/// `Corrupt` if the stream is damaged or ends before, `Limit` for a lack of memory.
pub(super) fn decode_part(
    stream: &mut impl Stream,
    encoded: &[u8],
    wanted: Range<usize>,
    decoded: &mut Vec<u8>,
) -> Result<()> {
    let room = wanted.len().max(wanted.start.min(SKIPPED));
    let place = reuse(decoded, room)?;
    let (mut rest, mut skipped) = (encoded, 0);
    while skipped < wanted.start {
        let step = place.len().min(wanted.start - skipped);
        rest = fill(stream, rest, place.get_mut(..step).unwrap_or_default())?;
        skipped += step;
    }
    fill(stream, rest, place.get_mut(..wanted.len()).unwrap_or_default()).map(drop)
}

/// Fills `place` with what comes next, and gives what is left of the input.
fn fill<'i>(stream: &mut impl Stream, input: &'i [u8], place: &mut [u8]) -> Result<&'i [u8]> {
    let (mut rest, mut filled) = (input, 0);
    while let Some(tail) = place.get_mut(filled..).filter(|tail| !tail.is_empty()) {
        let step = stream.step(rest, tail)?;
        rest = rest.get(step.read..).unwrap_or_default();
        filled += step.written;
        if filled < place.len() && (step.ended || step.read == 0 && step.written == 0) {
            return Err(Error::corrupt("a compressed stream is cut off"));
        }
    }
    Ok(rest)
}

/// Appends all that `compressor` makes of `decoded`.
///
/// # Errors
/// Those of the compressor.
pub(super) fn encode(
    compressor: &mut impl Stream,
    decoded: &[u8],
    encoded: &mut Vec<u8>,
) -> Result<()> {
    let mut rest = decoded;
    let mut filled = encoded.len();
    loop {
        if filled == encoded.len() {
            let more = (filled / 2).max(FIRST_GUESS);
            bound::reserve(encoded, more)?;
            encoded.resize(filled + more, 0);
        }
        let step = compressor.step(rest, encoded.get_mut(filled..).unwrap_or_default())?;
        rest = rest.get(step.read..).unwrap_or_default();
        filled += step.written;
        if step.ended {
            encoded.truncate(filled);
            return Ok(());
        }
        if step.read == 0 && step.written == 0 {
            return Err(Error::limit("a compressor makes no progress"));
        }
    }
}

/// A difference of a stream's counters as a number of bytes in memory.
pub(super) fn advance(before: u64, after: u64) -> usize {
    bound::in_memory(after.saturating_sub(before))
}
