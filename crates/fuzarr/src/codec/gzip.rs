//! The `gzip` codec: gzip members (RFC 1952), one after another.
#![expect(unsafe_code, reason = "libdeflate is a C library")]

use std::cell::RefCell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use libdeflate_sys as deflate;

use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "gzip";
const HIGHEST_LEVEL: u8 = 9;
/// Deflate makes at most this many bytes of one.
const EXPANSION: usize = 1032;
/// Where decoding bytes of unknown number starts.
const FIRST_GUESS: usize = 1 << 16;

/// The `gzip` codec of the Zarr v3 core ("Gzip codec").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gzip {
    level: u8,
}

thread_local! {
    static ENCODER: RefCell<Option<Encoder>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<Decoder>> = const { RefCell::new(None) };
}

impl Gzip {
    /// The codec; level 0 stores, 9 takes the most time.
    ///
    /// # Errors
    /// `InvalidMetadata` if `level` is above 9.
    pub fn new(level: u8) -> Result<Self> {
        if level <= HIGHEST_LEVEL {
            return Ok(Self { level });
        }
        let message = format!("level {level} is not in 0…{HIGHEST_LEVEL}");
        Err(Error::invalid_metadata(message).with("codec", NAME))
    }

    /// The codec that `extension` configures.
    ///
    /// # Errors
    /// `InvalidMetadata` for a missing level or one out of range, or an unknown setting.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["level"])?;
            let level = extension
                .integer("level")?
                .ok_or_else(|| Error::invalid_metadata("`level` is missing"))?;
            Self::new(u8::try_from(level).unwrap_or(u8::MAX))
        };
        parse().map_err(|error| error.with("codec", NAME))
    }
}

/// A compressor and its level.
struct Encoder {
    compressor: NonNull<deflate::libdeflate_compressor>,
    level: u8,
}

impl Encoder {
    fn new(level: u8) -> Result<Self> {
        // SAFETY: a plain allocation; null on failure.
        let compressor = unsafe { deflate::libdeflate_alloc_compressor(c_int::from(level)) };
        let compressor = NonNull::new(compressor).ok_or_else(no_context)?;
        Ok(Self { compressor, level })
    }

    fn encode(&mut self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        let compressor = self.compressor.as_ptr();
        // SAFETY: the compressor is alive.
        let most = unsafe { deflate::libdeflate_gzip_compress_bound(compressor, decoded.len()) };
        bound::reserve(encoded, most)?;
        let tail = encoded.spare_capacity_mut();
        // SAFETY: both ranges are valid for their lengths, and `&mut self` excludes other users of
        // the compressor.
        let written = unsafe {
            deflate::libdeflate_gzip_compress(
                compressor,
                decoded.as_ptr().cast(),
                decoded.len(),
                tail.as_mut_ptr().cast(),
                tail.len(),
            )
        };
        if written == 0 {
            return Err(Error::limit("libdeflate could not encode"));
        }
        // SAFETY: so many bytes of the reserved capacity were written.
        unsafe { encoded.set_len(encoded.len() + written) };
        Ok(())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: allocated by the library, freed once.
        unsafe { deflate::libdeflate_free_compressor(self.compressor.as_ptr()) };
    }
}

struct Decoder(NonNull<deflate::libdeflate_decompressor>);

/// How decoding one member ended.
enum Member {
    /// Well: bytes read and bytes written.
    Complete(usize, usize),
    /// It needs more room.
    Cramped,
}

impl Decoder {
    fn new() -> Result<Self> {
        // SAFETY: a plain allocation; null on failure.
        let decompressor = unsafe { deflate::libdeflate_alloc_decompressor() };
        NonNull::new(decompressor).map(Self).ok_or_else(no_context)
    }

    /// Decodes the member at the start of `encoded` to the start of `destination`.
    fn member(&mut self, encoded: &[u8], destination: &mut [MaybeUninit<u8>]) -> Result<Member> {
        let (mut read, mut written) = (0, 0);
        // SAFETY: both ranges are valid for their lengths, and `&mut self` excludes other users of
        // the decompressor.
        let result = unsafe {
            deflate::libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                encoded.as_ptr().cast(),
                encoded.len(),
                destination.as_mut_ptr().cast(),
                destination.len(),
                &raw mut read,
                &raw mut written,
            )
        };
        match result {
            deflate::libdeflate_result_LIBDEFLATE_SUCCESS => Ok(Member::Complete(read, written)),
            deflate::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Ok(Member::Cramped),
            _ => Err(Error::corrupt("damaged gzip member")),
        }
    }

    /// Decodes all members, at most `limit` bytes.
    fn members(&mut self, encoded: &[u8], limit: usize, decoded: &mut Vec<u8>) -> Result<()> {
        let mut rest = encoded;
        let mut guess = first_guess(encoded);
        while !rest.is_empty() {
            // No member makes more than this of what is left, whatever it says of itself.
            let room = limit.saturating_sub(decoded.len());
            let most = room.min(rest.len().saturating_mul(EXPANSION));
            bound::reserve(decoded, guess.min(most))?;
            let tail = decoded.spare_capacity_mut();
            let tail = tail.get_mut(..most.min(tail.len())).unwrap_or_default();
            match self.member(rest, tail)? {
                Member::Complete(read, written) => {
                    // SAFETY: so many bytes of the capacity were written.
                    unsafe { decoded.set_len(decoded.len() + written) };
                    rest = after(rest, read);
                    guess = 0;
                }
                Member::Cramped if tail.len() >= room => return Err(bound::too_large(limit)),
                Member::Cramped if tail.len() >= most => {
                    return Err(Error::corrupt("damaged gzip member"));
                }
                // Room doubles, so that all attempts together cost little more than the last.
                Member::Cramped => guess = tail.len().saturating_mul(2).max(FIRST_GUESS),
            }
        }
        Ok(())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: allocated by the library, freed once.
        unsafe { deflate::libdeflate_free_decompressor(self.0.as_ptr()) };
    }
}

/// What follows the member of `read` bytes, without the zeros that may pad it.
fn after(encoded: &[u8], read: usize) -> &[u8] {
    let rest = encoded.get(read..).unwrap_or(&[]);
    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
    rest.get(zeros..).unwrap_or(&[])
}

/// The size that the last member gives, which is right for the usual single member below 4 GiB.
fn first_guess(encoded: &[u8]) -> usize {
    let size = encoded.last_chunk().map_or(0, |size| u32::from_le_bytes(*size));
    bound::in_memory(size.into()).max(FIRST_GUESS)
}

#[cold]
fn no_context() -> Error {
    Error::limit("no memory for a gzip context")
}

fn with_decoder<T>(run: impl FnOnce(&mut Decoder) -> Result<T>) -> Result<T> {
    DECODER.with_borrow_mut(|kept| match kept {
        Some(decoder) => run(decoder),
        None => run(kept.insert(Decoder::new()?)),
    })
}

impl BytesToBytes for Gzip {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::generous(decoded)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        ENCODER
            .with_borrow_mut(|kept| match kept {
                Some(encoder) if encoder.level == self.level => encoder.encode(decoded, encoded),
                _ => kept.insert(Encoder::new(self.level)?).encode(decoded, encoded),
            })
            .map_err(|error| error.with("codec", NAME))
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        let decode = |decoder: &mut Decoder| {
            let wanted = decoded.len();
            // SAFETY: initialised bytes are also possibly uninitialised ones, and only the library
            // writes through this slice: initialised bytes.
            let destination: &mut [MaybeUninit<u8>] =
                unsafe { &mut *(std::ptr::from_mut(decoded) as *mut [MaybeUninit<u8>]) };
            let (mut rest, mut filled) = (encoded, 0);
            loop {
                let tail = destination.get_mut(filled..).unwrap_or_default();
                match decoder.member(rest, tail)? {
                    Member::Complete(read, written) => {
                        filled += written;
                        rest = after(rest, read);
                    }
                    Member::Cramped => return Err(bound::too_large(wanted)),
                }
                if rest.is_empty() {
                    return bound::filled(filled, wanted);
                }
            }
        };
        with_decoder(decode).map_err(|error| error.with("codec", NAME))
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        decoded.clear();
        if encoded.is_empty() {
            return Err(Error::corrupt("no gzip member").with("codec", NAME));
        }
        let limit = bound::in_memory(limit);
        with_decoder(|decoder| decoder.members(encoded, limit, decoded))
            .map_err(|error| error.with("codec", NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn sizes_that_members_claim_are_not_needed() {
        // Many members, the last of which is empty: its size is no guide to the whole.
        let codec = Gzip::new(9).unwrap();
        let data = vec![5; 3_000_000];
        let mut encoded = Vec::new();
        for part in [&data[..1], &data[1..2_900_000], &data[2_900_000..], &[]] {
            codec.encode(part, &mut encoded).unwrap();
        }
        let mut decoded = Vec::new();
        codec.decode(&encoded, 3_000_000, &mut decoded).unwrap();
        assert!(decoded == data);
        let error = codec.decode(&encoded, 2_999_999, &mut decoded).unwrap_err();
        assert_eq!(error.message(), "decodes to more than 2999999 bytes");
    }

    #[test]
    fn a_claimed_size_takes_no_memory() {
        let codec = Gzip::new(1).unwrap();
        let mut encoded = Vec::new();
        codec.encode(b"little", &mut encoded).unwrap();
        let size = encoded.len() - 4;
        encoded[size..].fill(0xff);
        let mut decoded = Vec::new();
        assert!(codec.decode(&encoded, u64::MAX, &mut decoded).is_err());
        assert!(decoded.capacity() < 1 << 20, "{}", decoded.capacity());
    }

    #[test]
    fn anything_but_zeros_after_a_member_is_damage() {
        let codec = Gzip::new(1).unwrap();
        let mut encoded = Vec::new();
        codec.encode(b"data", &mut encoded).unwrap();
        encoded.extend_from_slice(&[0; 20]);
        let mut decoded = [0; 4];
        codec.decode_into(&encoded, &mut decoded).unwrap();
        encoded.push(1);
        assert_eq!(codec.decode_into(&encoded, &mut decoded).unwrap_err().kind(), Kind::Corrupt);
    }
}
