//! What gzip, zlib and zip archives have in common: DEFLATE (RFC 1951), made and read by libdeflate.
#![expect(unsafe_code, reason = "libdeflate is a C library")]

use std::cell::RefCell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use libdeflate_sys as deflate;

use super::bound;
use crate::buffer::zeroed;
use crate::error::{Error, Result};
use crate::metadata::Extension;

/// The highest level of both codecs; the library has more.
pub(super) const HIGHEST_LEVEL: u8 = 9;
/// Deflate makes at most this many bytes of one.
const EXPANSION: usize = 1032;
/// The library decodes the last bytes of its input with care, one at a time. Members of no more than
/// [`SHORT`] bytes, which a run of one value may be as a whole, are given it with so many zeros after
/// them: ten times as fast for a chunk of one value.
const PADDING: usize = 64;
const SHORT: usize = 4096;
/// Where decoding bytes of unknown number starts.
const FIRST_GUESS: usize = 1 << 16;

/// What stands around the compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// Members (RFC 1952), one after another, with zeros between.
    Gzip,
    /// One stream (RFC 1950). What follows it is ignored, as Python's `zlib` does.
    Zlib,
    /// Nothing: the stream itself, as in zip archives. What follows it is ignored.
    Bare,
}

impl Container {
    #[cold]
    fn damaged(self) -> Error {
        Error::corrupt(match self {
            Self::Gzip => "damaged gzip member",
            Self::Zlib => "damaged zlib stream",
            Self::Bare => "damaged deflate stream",
        })
    }

    /// What is to be decoded after the first `read` bytes.
    fn after(self, encoded: &[u8], read: usize) -> &[u8] {
        if self != Self::Gzip {
            return &[];
        }
        let rest = encoded.get(read..).unwrap_or(&[]);
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        rest.get(zeros..).unwrap_or(&[])
    }

    /// Where decoding starts: for gzip the size that the last member gives, which is right for the
    /// usual single member below 4 GiB.
    fn first_guess(self, encoded: &[u8]) -> usize {
        match (self, encoded.last_chunk()) {
            (Self::Gzip, Some(size)) => bound::in_memory(u32::from_le_bytes(*size).into()),
            _ => encoded.len().saturating_mul(4),
        }
        .max(FIRST_GUESS)
    }
}

thread_local! {
    static ENCODER: RefCell<Option<Encoder>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<Decoder>> = const { RefCell::new(None) };
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

    fn encode(
        &mut self,
        container: Container,
        decoded: &[u8],
        encoded: &mut Vec<u8>,
    ) -> Result<()> {
        let compressor = self.compressor.as_ptr();
        let (bound, compress) = match container {
            Container::Gzip => (
                deflate::libdeflate_gzip_compress_bound as unsafe extern "C" fn(_, _) -> usize,
                deflate::libdeflate_gzip_compress as unsafe extern "C" fn(_, _, _, _, _) -> usize,
            ),
            Container::Zlib => (
                deflate::libdeflate_zlib_compress_bound as unsafe extern "C" fn(_, _) -> usize,
                deflate::libdeflate_zlib_compress as unsafe extern "C" fn(_, _, _, _, _) -> usize,
            ),
            Container::Bare => (
                deflate::libdeflate_deflate_compress_bound as unsafe extern "C" fn(_, _) -> usize,
                deflate::libdeflate_deflate_compress
                    as unsafe extern "C" fn(_, _, _, _, _) -> usize,
            ),
        };
        // SAFETY: the compressor is alive.
        let most = unsafe { bound(compressor, decoded.len()) };
        bound::reserve(encoded, most)?;
        let tail = encoded.spare_capacity_mut();
        // SAFETY: both ranges are valid for their lengths, and `&mut self` excludes other users of
        // the compressor.
        let written = unsafe {
            compress(
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

/// A decompressor, and room for a short member and its padding.
struct Decoder {
    decompressor: NonNull<deflate::libdeflate_decompressor>,
    padded: Vec<u8>,
}

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
        let decompressor = NonNull::new(decompressor).ok_or_else(no_context)?;
        Ok(Self { decompressor, padded: Vec::new() })
    }

    /// Decodes the member at the start of `encoded` to the start of `destination`.
    fn member(
        &mut self,
        container: Container,
        encoded: &[u8],
        destination: &mut [MaybeUninit<u8>],
    ) -> Result<Member> {
        let (mut read, mut written) = (0, 0);
        let mut input = encoded;
        if encoded.len() <= SHORT {
            self.padded.clear();
            self.padded.extend_from_slice(encoded);
            self.padded.resize(encoded.len() + PADDING, 0);
            input = &self.padded;
        }
        let decompress = match container {
            Container::Gzip => {
                deflate::libdeflate_gzip_decompress_ex
                    as unsafe extern "C" fn(_, _, _, _, _, _, _) -> _
            }
            Container::Zlib => deflate::libdeflate_zlib_decompress_ex,
            Container::Bare => deflate::libdeflate_deflate_decompress_ex,
        };
        // SAFETY: both ranges are valid for their lengths, and `&mut self` excludes other users of
        // the decompressor.
        let result = unsafe {
            decompress(
                self.decompressor.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                destination.as_mut_ptr().cast(),
                destination.len(),
                &raw mut read,
                &raw mut written,
            )
        };
        match result {
            // Not what goes on in the padding.
            deflate::libdeflate_result_LIBDEFLATE_SUCCESS if read <= encoded.len() => {
                Ok(Member::Complete(read, written))
            }
            deflate::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Ok(Member::Cramped),
            _ => Err(container.damaged()),
        }
    }

    /// Decodes all members, at most `limit` bytes.
    fn members(
        &mut self,
        container: Container,
        encoded: &[u8],
        limit: usize,
        decoded: &mut Vec<u8>,
    ) -> Result<()> {
        let mut rest = encoded;
        let mut guess = container.first_guess(encoded);
        while !rest.is_empty() {
            // No member makes more than this of what is left, whatever it says of itself.
            let room = limit.saturating_sub(decoded.len());
            let most = room.min(rest.len().saturating_mul(EXPANSION));
            bound::reserve(decoded, guess.min(most))?;
            let tail = decoded.spare_capacity_mut();
            let tail = tail.get_mut(..most.min(tail.len())).unwrap_or_default();
            match self.member(container, rest, tail)? {
                Member::Complete(read, written) => {
                    // SAFETY: so many bytes of the capacity were written.
                    unsafe { decoded.set_len(decoded.len() + written) };
                    rest = container.after(rest, read);
                    guess = 0;
                }
                Member::Cramped if tail.len() >= room => return Err(bound::too_large(limit)),
                Member::Cramped if tail.len() >= most => {
                    return Err(container.damaged());
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
        unsafe { deflate::libdeflate_free_decompressor(self.decompressor.as_ptr()) };
    }
}

#[cold]
fn no_context() -> Error {
    Error::limit("no memory for a deflate context")
}

fn with_decoder<T>(run: impl FnOnce(&mut Decoder) -> Result<T>) -> Result<T> {
    DECODER.with_borrow_mut(|kept| match kept {
        Some(decoder) => run(decoder),
        None => run(kept.insert(Decoder::new()?)),
    })
}

/// Appends the encoding of `decoded` at `level`.
///
/// # Errors
/// `Limit` if there is no memory.
pub(super) fn encode(
    container: Container,
    level: u8,
    decoded: &[u8],
    encoded: &mut Vec<u8>,
) -> Result<()> {
    ENCODER.with_borrow_mut(|kept| {
        let encoder = match kept {
            Some(encoder) if encoder.level == level => encoder,
            _ => kept.insert(Encoder::new(level)?),
        };
        encoder.encode(container, decoded, encoded)
    })
}

/// Decodes into `decoded`, which is filled exactly.
///
/// # Errors
/// `Corrupt` if `encoded` is damaged or decodes to fewer or more bytes.
pub(super) fn decode_into(container: Container, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
    with_decoder(|decoder| {
        let wanted = decoded.len();
        // SAFETY: initialised bytes are also possibly uninitialised ones, and only the library
        // writes through this slice: initialised bytes.
        let destination: &mut [MaybeUninit<u8>] =
            unsafe { &mut *(std::ptr::from_mut(decoded) as *mut [MaybeUninit<u8>]) };
        let (mut rest, mut filled) = (encoded, 0);
        loop {
            let tail = destination.get_mut(filled..).unwrap_or_default();
            match decoder.member(container, rest, tail)? {
                Member::Complete(read, written) => {
                    filled += written;
                    rest = container.after(rest, read);
                }
                Member::Cramped => return Err(bound::too_large(wanted)),
            }
            if rest.is_empty() {
                return bound::filled(filled, wanted);
            }
        }
    })
}

/// Decodes a stream without anything around it, to as many bytes as `size` says.
///
/// # Errors
/// `Corrupt` if it is damaged or decodes to fewer or more bytes; `Limit` if there is no memory.
pub(crate) fn inflate(encoded: &[u8], size: u64) -> Result<Vec<u8>> {
    if size.div_ceil(EXPANSION as u64) > encoded.len() as u64 {
        return Err(Container::Bare.damaged());
    }
    let mut decoded = zeroed(size)?;
    decode_into(Container::Bare, encoded, &mut decoded)?;
    Ok(decoded)
}

/// Decodes to at most `limit` bytes in place of what `decoded` held.
///
/// # Errors
/// `Corrupt` if `encoded` is damaged or decodes to more.
pub(super) fn decode(
    container: Container,
    encoded: &[u8],
    limit: u64,
    decoded: &mut Vec<u8>,
) -> Result<()> {
    decoded.clear();
    if encoded.is_empty() {
        return Err(container.damaged());
    }
    with_decoder(|decoder| decoder.members(container, encoded, bound::in_memory(limit), decoded))
}

/// The level of a configuration in numcodecs' form: 1 if absent, and −1 for zlib's default, 6.
///
/// # Errors
/// `InvalidMetadata` for a wrong or unknown setting.
pub(super) fn numcodecs_level(extension: &Extension) -> Result<u8> {
    extension.allow_only(&["level"])?;
    match extension.integer("level")? {
        None => Ok(1),
        Some(-1) => Ok(6),
        Some(level) => Ok(u8::try_from(level).unwrap_or(u8::MAX)),
    }
}
