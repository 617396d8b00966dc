//! Bare codecs, as the floors use them.
#![expect(unsafe_code, reason = "c-blosc is a C library")]

use std::ffi::{CString, c_int, c_void};

use libdeflater::{CompressionLvl, Compressor, Decompressor};
use serde::Deserialize;
use zstd::zstd_safe::CParameter;

use crate::Result;

/// The most that blosc adds.
const BLOSC_OVERHEAD: usize = 16;

/// What follows `bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub(crate) enum Codec {
    /// Nothing.
    Raw,
    Zstd {
        level: i32,
        #[serde(default)]
        checksum: bool,
    },
    Gzip {
        level: i32,
    },
    Blosc {
        cname: String,
        clevel: c_int,
        shuffle: Shuffle,
    },
}

/// What is done to elements before they are compressed; the numbers are c-blosc's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Shuffle {
    #[serde(rename = "noshuffle")]
    Nothing,
    #[serde(rename = "shuffle")]
    Bytes,
    #[serde(rename = "bitshuffle")]
    Bits,
}

/// A decoder with its memory.
pub(crate) enum Decoder {
    Raw,
    Zstd(zstd::bulk::Decompressor<'static>),
    Gzip(Decompressor),
    Blosc,
}

impl Decoder {
    pub(crate) fn new(codec: &Codec) -> Result<Self> {
        Ok(match codec {
            Codec::Raw => Self::Raw,
            Codec::Zstd { .. } => Self::Zstd(zstd::bulk::Decompressor::new()?),
            Codec::Gzip { .. } => Self::Gzip(Decompressor::new()),
            Codec::Blosc { .. } => Self::Blosc,
        })
    }

    /// Decodes into all of `decoded`.
    pub(crate) fn decode(&mut self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        let length = match self {
            Self::Raw if encoded.len() == decoded.len() => {
                decoded.copy_from_slice(encoded);
                decoded.len()
            }
            Self::Raw => encoded.len(),
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
    Blosc(Blosc),
}

/// How c-blosc encodes.
pub(crate) struct Blosc {
    name: CString,
    level: c_int,
    shuffle: c_int,
    typesize: usize,
}

impl Encoder {
    pub(crate) fn new(codec: &Codec, typesize: usize) -> Result<Self> {
        Ok(match codec {
            Codec::Raw => Self::Raw,
            Codec::Zstd { level, checksum } => {
                let mut encoder = zstd::bulk::Compressor::new(*level)?;
                encoder.set_parameter(CParameter::ChecksumFlag(*checksum))?;
                Self::Zstd(encoder)
            }
            Codec::Gzip { level } => {
                let level = CompressionLvl::new(*level).map_err(|_| "no such level of gzip")?;
                Self::Gzip(Compressor::new(level))
            }
            Codec::Blosc { cname, clevel, shuffle } => Self::Blosc(Blosc {
                name: CString::new(cname.as_str())?,
                level: *clevel,
                shuffle: *shuffle as c_int,
                typesize,
            }),
        })
    }

    /// The most bytes that `length` bytes take when they are encoded.
    pub(crate) fn bound(&mut self, length: usize) -> usize {
        match self {
            Self::Raw => length,
            Self::Zstd(_) => zstd::zstd_safe::compress_bound(length),
            Self::Gzip(encoder) => encoder.gzip_compress_bound(length),
            Self::Blosc(_) => length + BLOSC_OVERHEAD,
        }
    }

    /// Encodes to the start of `encoded`, which is as long as [`bound`](Self::bound) asks for; gives
    /// back how long it became.
    pub(crate) fn encode(&mut self, decoded: &[u8], encoded: &mut [u8]) -> Result<usize> {
        Ok(match self {
            Self::Raw => {
                encoded[..decoded.len()].copy_from_slice(decoded);
                decoded.len()
            }
            Self::Zstd(encoder) => encoder.compress_to_buffer(decoded, encoded)?,
            Self::Gzip(encoder) => encoder.gzip_compress(decoded, encoded)?,
            Self::Blosc(encoder) => encoder.encode(decoded, encoded)?,
        })
    }
}

impl Blosc {
    fn encode(&self, decoded: &[u8], encoded: &mut [u8]) -> Result<usize> {
        // SAFETY: both pointers are given with the lengths of their slices, the name ends in a zero,
        // and one thread is asked for.
        let length = unsafe {
            blosc_src::blosc_compress_ctx(
                self.level,
                self.shuffle,
                self.typesize,
                decoded.len(),
                decoded.as_ptr().cast::<c_void>(),
                encoded.as_mut_ptr().cast::<c_void>(),
                encoded.len(),
                self.name.as_ptr(),
                0,
                1,
            )
        };
        usize::try_from(length).ok().filter(|&length| length > 0).ok_or("blosc failed".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes() {
        let decoded: Vec<u8> =
            (0..9000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        for text in [
            r#"{"name": "raw"}"#,
            r#"{"name": "zstd", "level": 0, "checksum": true}"#,
            r#"{"name": "gzip", "level": 5}"#,
            r#"{"name": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "shuffle"}"#,
        ] {
            let codec: Codec = serde_json::from_str(text).unwrap();
            let mut encoder = Encoder::new(&codec, 4).unwrap();
            let mut encoded = vec![0; encoder.bound(decoded.len())];
            let length = encoder.encode(&decoded, &mut encoded).unwrap();
            let mut found = vec![0; decoded.len()];
            Decoder::new(&codec).unwrap().decode(&encoded[..length], &mut found).unwrap();
            assert_eq!(found, decoded, "{text}");
        }
    }
}
