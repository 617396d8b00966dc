//! The bare codecs of the floor.
#![expect(unsafe_code, reason = "c-blosc is a C library")]

use std::ffi::c_void;

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use crate::engine::Result;
use crate::workload::{BLOSC_LEVEL, Codec, ELEMENT, GZIP_LEVEL, ZSTD_LEVEL};

/// The most that blosc adds.
const BLOSC_OVERHEAD: usize = 16;

/// Bytes are shuffled.
const BLOSC_SHUFFLE: i32 = 1;

/// A decoder with its memory.
pub(crate) enum Decoder {
    Raw,
    Zstd(zstd::bulk::Decompressor<'static>),
    Gzip(Decompressor),
    Blosc,
}

impl Decoder {
    pub(crate) fn new(codec: Codec) -> Result<Self> {
        Ok(match codec {
            Codec::Raw => Self::Raw,
            Codec::Zstd => Self::Zstd(zstd::bulk::Decompressor::new()?),
            Codec::Gzip => Self::Gzip(Decompressor::new()),
            Codec::Blosc => Self::Blosc,
        })
    }

    /// Whether decoding is copying.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self, Self::Raw)
    }

    /// Decodes into all of `decoded`.
    pub(crate) fn decode(&mut self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        let length = match self {
            Self::Raw => {
                decoded.copy_from_slice(encoded);
                decoded.len()
            }
            Self::Zstd(decoder) => decoder.decompress_to_buffer(encoded, decoded)?,
            Self::Gzip(decoder) => decoder.gzip_decompress(encoded, decoded)?,
            Self::Blosc => blosc(encoded, decoded)?,
        };
        if length == decoded.len() { Ok(()) } else { Err("a chunk is of another size".into()) }
    }
}

fn blosc(encoded: &[u8], decoded: &mut [u8]) -> Result<usize> {
    let source = encoded.as_ptr().cast::<c_void>();
    let mut size = 0;
    // SAFETY: the pointer and the length are of one slice.
    let valid = unsafe { blosc_src::blosc_cbuffer_validate(source, encoded.len(), &raw mut size) };
    if valid != 0 || size != decoded.len() {
        return Err("no blosc chunk of the expected size".into());
    }
    let target = decoded.as_mut_ptr().cast::<c_void>();
    // SAFETY: `source` was validated with its length on the lines above, `target` is as long as is
    // said, and one thread is asked for.
    let length = unsafe { blosc_src::blosc_decompress_ctx(source, target, size, 1) };
    Ok(usize::try_from(length)?)
}

/// An encoder with its memory.
pub(crate) enum Encoder {
    Raw,
    Zstd(zstd::bulk::Compressor<'static>),
    Gzip(Compressor),
    Blosc,
}

impl Encoder {
    pub(crate) fn new(codec: Codec) -> Result<Self> {
        let level = |_| "no such level of gzip";
        Ok(match codec {
            Codec::Raw => Self::Raw,
            Codec::Zstd => Self::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
            Codec::Gzip => {
                Self::Gzip(Compressor::new(CompressionLvl::new(GZIP_LEVEL).map_err(level)?))
            }
            Codec::Blosc => Self::Blosc,
        })
    }

    /// Appends the encoded form of `decoded` to `encoded`.
    pub(crate) fn encode(&mut self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        let start = encoded.len();
        let most = match self {
            Self::Raw => {
                encoded.extend_from_slice(decoded);
                return Ok(());
            }
            Self::Zstd(_) => zstd::zstd_safe::compress_bound(decoded.len()),
            Self::Gzip(encoder) => encoder.gzip_compress_bound(decoded.len()),
            Self::Blosc => decoded.len() + BLOSC_OVERHEAD,
        };
        encoded.resize(start + most, 0);
        let target = &mut encoded[start..];
        let length = match self {
            Self::Raw => 0,
            Self::Zstd(encoder) => encoder.compress_to_buffer(decoded, target)?,
            Self::Gzip(encoder) => encoder.gzip_compress(decoded, target)?,
            Self::Blosc => to_blosc(decoded, target)?,
        };
        encoded.truncate(start + length);
        Ok(())
    }
}

fn to_blosc(decoded: &[u8], encoded: &mut [u8]) -> Result<usize> {
    let source = decoded.as_ptr().cast::<c_void>();
    let target = encoded.as_mut_ptr().cast::<c_void>();
    let name = c"lz4".as_ptr();
    // SAFETY: both pointers are given with the lengths of their slices, the name ends in a zero, and
    // one thread is asked for.
    let length = unsafe {
        blosc_src::blosc_compress_ctx(
            BLOSC_LEVEL,
            BLOSC_SHUFFLE,
            ELEMENT,
            decoded.len(),
            source,
            target,
            encoded.len(),
            name,
            0,
            1,
        )
    };
    usize::try_from(length).ok().filter(|&length| length > 0).ok_or("blosc failed".into())
}
