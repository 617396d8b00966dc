//! The 16 bytes at the start of a Blosc buffer, and the checks that c-blosc 1.21 leaves out.

use std::ops::Range;

use crate::codec::zstd;
use crate::error::{Error, Result};

pub(super) const HEADER_SIZE: usize = 16;
/// `BLOSC_MAX_BUFFERSIZE` of c-blosc: sizes are `i32`, with room for the header.
pub(super) const LARGEST_INPUT: usize = i32::MAX as usize - HEADER_SIZE;
const FORMAT_VERSION: u8 = 2;
const MEMCPYED: u8 = 0x02;
/// No encoder of this format sets it.
const RESERVED: u8 = 0x08;
const UNSPLIT: u8 = 0x10;
const MOST_SPLITS: usize = 16;
const LEAST_SPLIT: usize = 128;
/// A run of this many bytes 255 in a `blosclz` stream makes the decoder's 32-bit match length
/// overflow, and then write out of bounds. No encoder makes one.
const OVERFLOWING_RUN: usize = 8 << 20;
/// The largest block that is decoded without first asking whether there is memory for it.
const LARGE_BLOCK: usize = 64 << 20;

/// How the blocks are compressed, from bits 5–7 of the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    BloscLz,
    Lz4,
    Snappy,
    Zlib,
    Zstd,
}

impl Format {
    /// Bytes that one compressed byte can stand for, at most.
    fn expansion(self) -> usize {
        match self {
            Self::BloscLz | Self::Lz4 | Self::Snappy => 256,
            Self::Zlib => 1032,
            // A block of 3 bytes for 128 KiB.
            Self::Zstd => 1 << 16,
        }
    }
}

/// What follows a header.
pub(super) enum Content<'a> {
    /// The data as it is.
    Stored(&'a [u8]),
    /// Blocks.
    Compressed(Compressed<'a>),
}

/// A compressed buffer, header included, that passed all checks.
pub(super) struct Compressed<'a>(&'a [u8]);

impl Compressed<'_> {
    pub(super) fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

/// A Blosc buffer whose header fits it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer<'a> {
    encoded: &'a [u8],
    /// Bytes that it decodes to.
    pub(super) decoded_size: usize,
    flags: u8,
    typesize: usize,
    block_size: usize,
}

impl<'a> Buffer<'a> {
    /// Reads and checks the header at the start of `encoded`. Bytes after the buffer are ignored,
    /// as numcodecs does.
    ///
    /// # Errors
    /// `Corrupt` if it does not fit the buffer or contradicts itself.
    pub(super) fn parse(encoded: &'a [u8]) -> Result<Self> {
        let header = encoded
            .first_chunk::<HEADER_SIZE>()
            .ok_or_else(|| Error::corrupt("too short for a blosc header"))?;
        let [version, _, flags, typesize, sizes @ ..] = *header;
        let mut sizes = sizes.as_chunks::<4>().0.iter().map(|size| u32::from_le_bytes(*size));
        let mut next = || sizes.next().map_or(usize::MAX, |size| size as usize);
        let (decoded_size, block_size, encoded_size) = (next(), next(), next());
        if version != FORMAT_VERSION {
            return Err(Error::corrupt(format!("blosc format {version} is not 2")));
        }
        if decoded_size > LARGEST_INPUT {
            return Err(Error::corrupt("the decoded size is beyond the format's"));
        }
        let encoded =
            encoded.get(..encoded_size).filter(|encoded| encoded.len() >= HEADER_SIZE).ok_or_else(
                || Error::corrupt(format!("a buffer of {encoded_size} bytes is cut off")),
            )?;
        let typesize = usize::from(typesize);
        Ok(Self { encoded, decoded_size, flags, typesize, block_size })
    }

    /// What follows the header, checked.
    ///
    /// # Errors
    /// `Corrupt` if no encoder can have made it, `Limit` if there is no memory to decode it.
    pub(super) fn content(&self) -> Result<Content<'a>> {
        let data = self.encoded.get(HEADER_SIZE..).unwrap_or(&[]);
        if self.decoded_size == 0 {
            return Ok(Content::Stored(&[]));
        }
        if self.flags & MEMCPYED == 0 {
            self.check_blocks(data.len())?;
            return Ok(Content::Compressed(Compressed(self.encoded)));
        }
        if data.len() == self.decoded_size {
            return Ok(Content::Stored(data));
        }
        Err(Error::corrupt("uncompressed data has another size than it should"))
    }

    /// The items of `typesize` bytes that bytes `wanted` are, if they start and end with one, and lie in
    /// at most half of the blocks.
    pub(super) fn items(&self, wanted: &Range<usize>) -> Option<Range<usize>> {
        let (block, item) = (self.block_size.max(1), self.typesize.max(1));
        let touched = wanted.end.div_ceil(block).saturating_sub(wanted.start / block);
        let few =
            touched <= self.decoded_size.div_ceil(block) / 2 && wanted.end <= self.decoded_size;
        let aligned = wanted.start.is_multiple_of(item) && wanted.end.is_multiple_of(item);
        (few && aligned).then_some(wanted.start / item..wanted.end / item)
    }

    /// Checks what c-blosc does not before it reads, writes and allocates on the word of a
    /// compressed buffer.
    fn check_blocks(&self, payload: usize) -> Result<()> {
        let format = match self.flags >> 5 {
            0 => Format::BloscLz,
            1 => Format::Lz4,
            2 => Format::Snappy,
            3 => Format::Zlib,
            4 => Format::Zstd,
            other => return Err(Error::corrupt(format!("blosc compressor {other} is unknown"))),
        };
        if self.flags & RESERVED != 0 {
            return Err(Error::corrupt("a reserved flag is set"));
        }
        let blocks = self.block_starts()?;
        if self.block_size > payload.saturating_mul(format.expansion()) {
            return Err(Error::corrupt("blocks are larger than their data can make them"));
        }
        if self.splits(self.block_size) > 1 && !self.block_size.is_multiple_of(self.typesize) {
            return Err(Error::corrupt("blocks end within an element"));
        }
        if format == Format::BloscLz && has_overflowing_run(self.encoded) {
            return Err(Error::corrupt("a blosclz match is too long"));
        }
        self.check_streams(format, blocks)?;
        self.probe_memory()
    }

    /// Where each block starts, unchecked.
    fn block_starts(&self) -> Result<&'a [[u8; 4]]> {
        if self.block_size == 0 || self.block_size > self.decoded_size || self.typesize == 0 {
            return Err(Error::corrupt("the block size or element size is impossible"));
        }
        let count = self.decoded_size.div_ceil(self.block_size);
        let starts = self.encoded.get(HEADER_SIZE..).unwrap_or(&[]).as_chunks::<4>().0;
        starts.get(..count).ok_or_else(|| Error::corrupt("the table of blocks is cut off"))
    }

    /// Streams that a block of `size` bytes consists of.
    fn splits(&self, size: usize) -> usize {
        let split = self.flags & UNSPLIT == 0
            && size == self.block_size
            && self.typesize <= MOST_SPLITS
            && size / self.typesize >= LEAST_SPLIT;
        if split { self.typesize } else { 1 }
    }

    /// Checks that streams lie in the buffer, that they could lie side by side (else a few bytes
    /// decode to as much as the header likes), and that those of zstd are of the one format that
    /// encoders write: the library may have been built with decoders of Zstandard before 0.8,
    /// which were not made for hostile input.
    fn check_streams(&self, format: Format, blocks: &[[u8; 4]]) -> Result<()> {
        let cut_off = || Error::corrupt("a compressed block is cut off");
        let mut left = self.decoded_size;
        let mut unclaimed = self.encoded.len() - HEADER_SIZE - blocks.len() * 4;
        for start in blocks {
            let size = left.min(self.block_size);
            left -= size;
            let start = u32::from_le_bytes(*start) as usize;
            let mut rest = self.encoded.get(start..).ok_or_else(cut_off)?;
            let splits = self.splits(size);
            for _ in 0..splits {
                let (length, after) = rest.split_first_chunk().ok_or_else(cut_off)?;
                let length = u32::from_le_bytes(*length) as usize;
                let (stream, after) = after.split_at_checked(length).ok_or_else(cut_off)?;
                unclaimed = unclaimed
                    .checked_sub(length + 4)
                    .ok_or_else(|| Error::corrupt("compressed blocks overlap"))?;
                // A stream of the decoded size is stored.
                if format == Format::Zstd && length != size / splits {
                    zstd::frames(stream).try_for_each(|frame| frame.map(|_| ()))?;
                }
                rest = after;
            }
        }
        Ok(())
    }

    /// Asks for the memory that c-blosc will use without looking whether it got it.
    fn probe_memory(&self) -> Result<()> {
        if self.block_size <= LARGE_BLOCK {
            return Ok(());
        }
        let mut scratch = Vec::<u8>::new();
        scratch
            .try_reserve_exact(self.block_size * 3 + self.typesize * 4)
            .map_err(|error| Error::limit("no memory for a blosc block").with_source(error))
    }
}

/// Whether there are [`OVERFLOWING_RUN`] bytes 255 in a row. Such a run covers a multiple of its
/// length, so that only those places need a look.
fn has_overflowing_run(encoded: &[u8]) -> bool {
    let filler = |byte: &&u8| **byte == u8::MAX;
    (0..encoded.len()).step_by(OVERFLOWING_RUN).any(|place| {
        let (before, after) = encoded.split_at(place);
        let after = after.iter().take(OVERFLOWING_RUN).take_while(filler).count();
        if after == 0 {
            return false;
        }
        let before = before.iter().rev().take(OVERFLOWING_RUN).take_while(filler).count();
        before + after >= OVERFLOWING_RUN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflowing_runs_are_found_wherever_they_are() {
        for start in [0, 1, 17, OVERFLOWING_RUN - 1, OVERFLOWING_RUN, OVERFLOWING_RUN + 9] {
            let mut bytes = vec![0; start + OVERFLOWING_RUN + 5];
            bytes[start..start + OVERFLOWING_RUN - 1].fill(255);
            assert!(!has_overflowing_run(&bytes), "{start}");
            bytes[start + OVERFLOWING_RUN - 1] = 255;
            assert!(has_overflowing_run(&bytes), "{start}");
        }
    }
}
