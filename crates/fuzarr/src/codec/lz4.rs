//! The `lz4` codec of numcodecs: the decoded size as a little-endian `u32`, then one LZ4 block.
#![expect(unsafe_code, reason = "LZ4 is a C library")]

use std::ffi::c_int;
use std::mem::MaybeUninit;

use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "lz4";
const HEADER_SIZE: usize = 4;
/// `LZ4_MAX_INPUT_SIZE`.
const LARGEST_INPUT: usize = 0x7e00_0000;
/// One byte of a block makes at most this many.
const EXPANSION: usize = 255;

/// The `lz4` codec of numcodecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lz4 {
    acceleration: c_int,
}

impl Lz4 {
    /// The codec. More acceleration is faster and compresses less; below 1 means 1.
    #[must_use]
    pub fn new(acceleration: i32) -> Self {
        Self { acceleration }
    }

    /// The codec that `extension` configures; an absent acceleration is 1.
    ///
    /// # Errors
    /// `InvalidMetadata` for a wrong or unknown setting.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["acceleration"])?;
            let acceleration = extension.integer("acceleration")?.unwrap_or(1);
            let invalid =
                |_| Error::invalid_metadata(format!("acceleration {acceleration} is out of range"));
            i32::try_from(acceleration).map(Self::new).map_err(invalid)
        };
        parse().map_err(|error| error.with("codec", NAME))
    }

    fn append(self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        let size = c_int::try_from(decoded.len()).ok().filter(|_| decoded.len() <= LARGEST_INPUT);
        let (Some(size), Ok(header)) = (size, u32::try_from(decoded.len())) else {
            let message = format!("{} bytes are too many for an LZ4 block", decoded.len());
            return Err(Error::invalid_argument(message));
        };
        // SAFETY: plain arithmetic.
        let room = unsafe { lz4_sys::LZ4_compressBound(size) };
        let most = usize::try_from(room).unwrap_or(0);
        bound::reserve(encoded, most + HEADER_SIZE)?;
        encoded.extend_from_slice(&header.to_le_bytes());
        // SAFETY: both ranges are valid for their lengths, the latter reserved just now.
        let written = unsafe {
            lz4_sys::LZ4_compress_fast(
                decoded.as_ptr().cast(),
                encoded.spare_capacity_mut().as_mut_ptr().cast(),
                size,
                room,
                self.acceleration,
            )
        };
        match usize::try_from(written) {
            Ok(written) if written > 0 => {
                // SAFETY: so many bytes of the reserved capacity were written.
                unsafe { encoded.set_len(encoded.len() + written) };
                Ok(())
            }
            _ => Err(Error::limit("LZ4 could not encode")),
        }
    }
}

/// The size that a chunk says it decodes to, checked against what its block could hold, and the
/// block.
fn parse(encoded: &[u8]) -> Result<(usize, &[u8])> {
    let (size, block) = encoded
        .split_first_chunk::<HEADER_SIZE>()
        .ok_or_else(|| Error::corrupt("too short for the size of an LZ4 block"))?;
    let size = bound::in_memory(u32::from_le_bytes(*size).into());
    if size > block.len().saturating_mul(EXPANSION) || block.is_empty() {
        return Err(Error::corrupt("an LZ4 block is cut off"));
    }
    Ok((size, block))
}

/// Decodes `block`, which fills `destination` exactly or is damaged.
fn decode_block(block: &[u8], destination: &mut [MaybeUninit<u8>]) -> Result<()> {
    let (Ok(size), Ok(room)) = (c_int::try_from(block.len()), c_int::try_from(destination.len()))
    else {
        return Err(Error::corrupt("an LZ4 block is beyond the format's size"));
    };
    // SAFETY: both ranges are valid for their lengths, which the library honours whatever the
    // block says.
    let written = unsafe {
        lz4_sys::LZ4_decompress_safe(
            block.as_ptr().cast(),
            destination.as_mut_ptr().cast(),
            size,
            room,
        )
    };
    if written == room { Ok(()) } else { Err(Error::corrupt("damaged LZ4 block")) }
}

fn decode_exactly(encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
    let (size, block) = parse(encoded)?;
    bound::filled(size, decoded.len())?;
    // SAFETY: initialised bytes are also possibly uninitialised ones, and only the library writes
    // through this slice: initialised bytes.
    let destination = unsafe { &mut *(std::ptr::from_mut(decoded) as *mut [MaybeUninit<u8>]) };
    decode_block(block, destination)
}

fn decode_within(encoded: &[u8], limit: usize, decoded: &mut Vec<u8>) -> Result<()> {
    let (size, block) = parse(encoded)?;
    if size > limit {
        return Err(bound::too_large(limit));
    }
    bound::reserve(decoded, size)?;
    decode_block(block, decoded.spare_capacity_mut().get_mut(..size).unwrap_or_default())?;
    // SAFETY: the vector was empty, and so many bytes of its capacity were written.
    unsafe { decoded.set_len(size) };
    Ok(())
}

impl BytesToBytes for Lz4 {
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

    #[test]
    fn a_claimed_size_takes_no_memory() {
        let mut encoded = Vec::new();
        Lz4::new(1).encode(&[7; 100], &mut encoded).unwrap();
        encoded[..4].fill(0xff);
        let mut decoded = Vec::new();
        let error = Lz4::new(1).decode(&encoded, u64::MAX, &mut decoded).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert_eq!(error.message(), "an LZ4 block is cut off");
        assert_eq!(decoded.capacity(), 0);
    }

    #[test]
    fn more_data_than_the_size_says_is_damage() {
        let mut encoded = Vec::new();
        Lz4::new(1).encode(&[7; 100], &mut encoded).unwrap();
        encoded[0] = 99;
        let error = Lz4::new(1).decode_into(&encoded, &mut [0; 99]).unwrap_err();
        assert_eq!(error.message(), "damaged LZ4 block");
    }
}
