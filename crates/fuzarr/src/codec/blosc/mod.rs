//! The `blosc` codec: Blosc 1 buffers, made and read by c-blosc.
//!
//! c-blosc is called without threads of its own. Decoding goes by the buffer's header alone, and
//! only after [`header`] has checked it.
#![expect(unsafe_code, reason = "c-blosc is a C library")]

mod header;

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::ops::Range;

use self::header::{Buffer, Compressed, Content, HEADER_SIZE, LARGEST_INPUT};
use super::{BytesToBytes, Size, bound};
use crate::buffer::reuse;
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "blosc";
const HIGHEST_LEVEL: u8 = 9;
const LARGEST_TYPESIZE: u64 = 255;

/// The compressor of the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compressor {
    /// `blosclz`.
    BloscLz,
    /// `lz4`.
    Lz4,
    /// `lz4hc`.
    Lz4Hc,
    /// `snappy`.
    Snappy,
    /// `zlib`.
    Zlib,
    /// `zstd`.
    Zstd,
}

impl Compressor {
    const ALL: [Self; 6] =
        [Self::BloscLz, Self::Lz4, Self::Lz4Hc, Self::Snappy, Self::Zlib, Self::Zstd];

    fn name(self) -> &'static CStr {
        match self {
            Self::BloscLz => c"blosclz",
            Self::Lz4 => c"lz4",
            Self::Lz4Hc => c"lz4hc",
            Self::Snappy => c"snappy",
            Self::Zlib => c"zlib",
            Self::Zstd => c"zstd",
        }
    }

    /// The compressor that metadata calls `name`.
    ///
    /// # Errors
    /// `InvalidMetadata` if there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        let known = |compressor: &Self| compressor.name().to_bytes() == name.as_bytes();
        Self::ALL.into_iter().find(known).ok_or_else(|| {
            Error::invalid_metadata(format!("no compressor `{name}`")).with("codec", NAME)
        })
    }
}

/// What is done to elements before they are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuffle {
    /// Nothing.
    None,
    /// First bytes of all elements first.
    Bytes,
    /// First bits of all elements first.
    Bits,
}

impl Shuffle {
    /// The filter that metadata calls `name`.
    ///
    /// # Errors
    /// `InvalidMetadata` if there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "noshuffle" => Ok(Self::None),
            "shuffle" => Ok(Self::Bytes),
            "bitshuffle" => Ok(Self::Bits),
            _ => Err(Error::invalid_metadata(format!("no shuffle `{name}`")).with("codec", NAME)),
        }
    }

    fn code(self) -> c_int {
        match self {
            Self::None => 0,
            Self::Bytes => 1,
            Self::Bits => 2,
        }
    }
}

/// The `blosc` codec of the Zarr v3 core ("Blosc codec").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blosc {
    compressor: Compressor,
    level: u8,
    shuffle: Shuffle,
    typesize: usize,
    blocksize: usize,
}

impl Blosc {
    /// The codec. `typesize` is the number of bytes of an element, above 255 treated as 1 as the
    /// format demands; `blocksize` 0 leaves the choice to the library.
    ///
    /// # Errors
    /// `InvalidMetadata` if `level` is above 9, `typesize` 0, or `blocksize` beyond the format's.
    pub fn new(
        compressor: Compressor,
        level: u8,
        shuffle: Shuffle,
        typesize: u64,
        blocksize: u64,
    ) -> Result<Self> {
        let invalid = |message: String| Err(Error::invalid_metadata(message).with("codec", NAME));
        if level > HIGHEST_LEVEL {
            return invalid(format!("clevel {level} is not in 0…{HIGHEST_LEVEL}"));
        }
        let typesize = match typesize {
            0 => return invalid("typesize must not be 0".into()),
            1..=LARGEST_TYPESIZE => bound::in_memory(typesize),
            _ => 1,
        };
        match usize::try_from(blocksize) {
            Ok(blocksize) if blocksize <= LARGEST_INPUT => {
                Ok(Self { compressor, level, shuffle, typesize, blocksize })
            }
            _ => invalid(format!("blocksize {blocksize} is above {LARGEST_INPUT}")),
        }
    }

    /// The codec that `extension` configures.
    ///
    /// # Errors
    /// `InvalidMetadata` for a missing, unknown or wrong setting.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["cname", "clevel", "shuffle", "typesize", "blocksize"])?;
            let missing = |key: &str| Error::invalid_metadata(format!("`{key}` is missing"));
            let negative = |key: &str| Error::invalid_metadata(format!("`{key}` is negative"));
            let name = extension.string("cname")?.ok_or_else(|| missing("cname"))?;
            let level = extension.integer("clevel")?.ok_or_else(|| missing("clevel"))?;
            let shuffle = extension.string("shuffle")?.ok_or_else(|| missing("shuffle"))?;
            let shuffle = Shuffle::from_name(shuffle)?;
            let typesize = match extension.integer("typesize")? {
                Some(typesize) => u64::try_from(typesize).map_err(|_| negative("typesize"))?,
                None if shuffle == Shuffle::None => 1,
                None => return Err(missing("typesize")),
            };
            let blocksize = extension.integer("blocksize")?.unwrap_or(0);
            Self::new(
                Compressor::from_name(name)?,
                u8::try_from(level).unwrap_or(u8::MAX),
                shuffle,
                typesize,
                u64::try_from(blocksize).map_err(|_| negative("blocksize"))?,
            )
        };
        parse().map_err(|error| error.with("codec", NAME))
    }

    fn append(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        if decoded.len() > LARGEST_INPUT {
            let message = format!("blosc holds at most {LARGEST_INPUT} bytes");
            return Err(Error::invalid_argument(message));
        }
        let room = decoded.len() + HEADER_SIZE;
        bound::reserve(encoded, room)?;
        // SAFETY: both ranges are valid for their lengths, the latter reserved just now; the name
        // is a C string; sizes are within the library's limits.
        let written = unsafe {
            blosc_src::blosc_compress_ctx(
                c_int::from(self.level),
                self.shuffle.code(),
                self.typesize,
                decoded.len(),
                decoded.as_ptr().cast(),
                encoded.spare_capacity_mut().as_mut_ptr().cast(),
                room,
                self.compressor.name().as_ptr(),
                self.blocksize,
                1,
            )
        };
        match usize::try_from(written) {
            Ok(written) if written >= HEADER_SIZE => {
                // SAFETY: so many bytes of the reserved capacity were written.
                unsafe { encoded.set_len(encoded.len() + written) };
                Ok(())
            }
            _ => Err(Error::limit("c-blosc could not encode")),
        }
    }
}

/// Decodes blocks, which fill `destination` exactly or are damaged.
fn decode_blocks(blocks: &Compressed<'_>, destination: &mut [MaybeUninit<u8>]) -> Result<()> {
    // SAFETY: the buffer is as long as its header says and passed the checks that the library
    // leaves to its caller; the destination is valid for its length, which the library honours.
    let written = unsafe {
        blosc_src::blosc_decompress_ctx(
            blocks.as_ptr().cast(),
            destination.as_mut_ptr().cast(),
            destination.len(),
            1,
        )
    };
    if usize::try_from(written).is_ok_and(|written| written == destination.len()) {
        return Ok(());
    }
    Err(Error::corrupt("damaged blosc block"))
}

fn decode_exactly(encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
    let buffer = Buffer::parse(encoded)?;
    bound::filled(buffer.decoded_size, decoded.len())?;
    let blocks = match buffer.content()? {
        Content::Stored(data) => {
            decoded.copy_from_slice(data);
            return Ok(());
        }
        Content::Compressed(blocks) => blocks,
    };
    // SAFETY: initialised bytes are also possibly uninitialised ones, and only the library writes
    // through this slice: initialised bytes.
    let destination = unsafe { &mut *(std::ptr::from_mut(decoded) as *mut [MaybeUninit<u8>]) };
    decode_blocks(&blocks, destination)
}

fn decode_within(encoded: &[u8], limit: usize, decoded: &mut Vec<u8>) -> Result<()> {
    let buffer = Buffer::parse(encoded)?;
    let size = buffer.decoded_size;
    if size > limit {
        return Err(bound::too_large(limit));
    }
    let content = buffer.content()?;
    bound::reserve(decoded, size)?;
    match content {
        Content::Stored(data) => decoded.extend_from_slice(data),
        Content::Compressed(blocks) => {
            let destination = decoded.spare_capacity_mut().get_mut(..size).unwrap_or_default();
            decode_blocks(&blocks, destination)?;
            // SAFETY: the vector was empty, and so many bytes of its capacity were written.
            unsafe { decoded.set_len(size) };
        }
    }
    Ok(())
}

/// Decodes the blocks that hold bytes `wanted`, if they are at most half of all.
fn decode_items(
    encoded: &[u8],
    size: usize,
    wanted: &Range<usize>,
    decoded: &mut Vec<u8>,
) -> Option<()> {
    let buffer = Buffer::parse(encoded).ok().filter(|buffer| buffer.decoded_size == size)?;
    let items = buffer.items(wanted)?;
    let place = reuse(decoded, wanted.len()).ok()?;
    let blocks = match buffer.content().ok()? {
        Content::Stored(data) => {
            place.copy_from_slice(data.get(wanted.clone())?);
            return Some(());
        }
        Content::Compressed(blocks) => blocks,
    };
    let (first, count) = (c_int::try_from(items.start).ok()?, c_int::try_from(items.len()).ok()?);
    // SAFETY: the buffer passed the checks that the library leaves to its caller, the items are
    // within what it says it holds, and there is room for just so many.
    let written = unsafe {
        blosc_src::blosc_getitem(blocks.as_ptr().cast(), first, count, place.as_mut_ptr().cast())
    };
    (usize::try_from(written) == Ok(wanted.len())).then_some(())
}

impl BytesToBytes for Blosc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::generous(decoded)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        self.append(decoded, encoded).map_err(|error| error.with("codec", NAME))
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        decode_exactly(encoded, decoded).map_err(|error| error.with("codec", NAME))
    }

    fn decode_part(
        &self,
        encoded: &[u8],
        size: usize,
        wanted: Range<usize>,
        decoded: &mut Vec<u8>,
    ) -> bool {
        decode_items(encoded, size, &wanted, decoded).is_some()
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        decoded.clear();
        decode_within(encoded, bound::in_memory(limit), decoded)
            .map_err(|error| error.with("codec", NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn encoded(compressor: Compressor, level: u8, data: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        let codec = Blosc::new(compressor, level, Shuffle::Bytes, 4, 0).unwrap();
        codec.encode(data, &mut encoded).unwrap();
        encoded
    }

    fn message(encoded: &[u8], limit: u64) -> String {
        let codec = Blosc::new(Compressor::Lz4, 1, Shuffle::None, 1, 0).unwrap();
        let mut decoded = Vec::new();
        let error = codec.decode(encoded, limit, &mut decoded).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(decoded.capacity() < 1 << 20, "{}", decoded.capacity());
        error.message().to_owned()
    }

    #[test]
    fn lies_of_the_header_take_no_memory() {
        let honest = encoded(Compressor::Lz4, 5, &[1; 4096]);
        let lie = |place: usize, value: u32| {
            let mut lie = honest.clone();
            lie[place..place + 4].copy_from_slice(&value.to_le_bytes());
            message(&lie, u64::MAX)
        };
        assert_eq!(lie(4, 0x7fff_ffff), "the decoded size is beyond the format's");
        assert_eq!(lie(4, 0x7000_0000), "the table of blocks is cut off");
        assert_eq!(lie(8, 0), "the block size or element size is impossible");
        assert_eq!(lie(8, u32::MAX), "the block size or element size is impossible");
        assert_eq!(lie(12, 15), "a buffer of 15 bytes is cut off");
        assert_eq!(lie(12, 0x7000_0000), "a buffer of 1879048192 bytes is cut off");
        let mut both = honest.clone();
        both[4..8].copy_from_slice(&0x7000_0000_u32.to_le_bytes());
        both[8..12].copy_from_slice(&0x7000_0000_u32.to_le_bytes());
        assert_eq!(message(&both, u64::MAX), "blocks are larger than their data can make them");
    }

    #[test]
    fn blocks_that_share_their_data_are_damage() {
        // 64 blocks of 1 KiB, all at the same place.
        let count = 64;
        let mut bomb = vec![2, 1, 0x31, 4];
        let size = u32::try_from(16 + 4 * count + 4 + 40).unwrap();
        bomb.extend_from_slice(&u32::try_from(1024 * count).unwrap().to_le_bytes());
        bomb.extend_from_slice(&1024_u32.to_le_bytes());
        bomb.extend_from_slice(&size.to_le_bytes());
        for _ in 0..count {
            bomb.extend_from_slice(&u32::try_from(16 + 4 * count).unwrap().to_le_bytes());
        }
        bomb.extend_from_slice(&40_u32.to_le_bytes());
        bomb.extend_from_slice(&[0; 40]);
        assert_eq!(message(&bomb, 1 << 20), "compressed blocks overlap");
    }

    #[test]
    fn a_blosclz_match_that_overflows_is_damage() {
        // One block that is one match, whose length does not fit 32 bits.
        let run = 8_500_000;
        let size: u32 = 200 << 20;
        let mut bomb = vec![2, 1, 0x10, 1];
        bomb.extend_from_slice(&size.to_le_bytes());
        bomb.extend_from_slice(&size.to_le_bytes());
        bomb.extend_from_slice(&u32::try_from(16 + 4 + 4 + 3 + run + 4).unwrap().to_le_bytes());
        bomb.extend_from_slice(&20_u32.to_le_bytes());
        bomb.extend_from_slice(&u32::try_from(3 + run + 4).unwrap().to_le_bytes());
        bomb.extend_from_slice(&[0, b'x', 0xe0]);
        bomb.resize(bomb.len() + run, 0xff);
        bomb.extend_from_slice(&[0; 4]);
        assert_eq!(message(&bomb, u64::MAX), "a blosclz match is too long");
    }

    #[test]
    fn settings_are_checked() {
        let new = |level, typesize, blocksize| {
            Blosc::new(Compressor::Lz4, level, Shuffle::Bits, typesize, blocksize)
        };
        assert_eq!(new(5, 256, 0).unwrap(), new(5, 1, 0).unwrap());
        for (level, typesize, blocksize) in [(10, 1, 0), (5, 0, 0), (5, 1, 1 << 31)] {
            let error = new(level, typesize, blocksize).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidMetadata);
            assert_eq!(error.context("codec"), Some("blosc"));
        }
    }
}
