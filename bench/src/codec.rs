//! The bare decoders of the floor.
#![expect(unsafe_code, reason = "c-blosc is a C library")]

use std::ffi::c_void;

use libdeflater::Decompressor;

use crate::engine::Result;
use crate::workload::Codec;

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
