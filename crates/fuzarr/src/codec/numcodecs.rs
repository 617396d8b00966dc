//! The names and configurations that numcodecs gives to codecs: `numcodecs.zlib` and the like, as
//! zarr-python writes them. A configuration is that of a Zarr v2 codec without its `id`, and may
//! lack what numcodecs has a default for.

use std::sync::Arc;

use serde_json::Value;

use super::{
    ArrayToArray, AsType, BitRound, Blosc, BloscCompressor, BloscShuffle, BytesToBytes, Bz2,
    Checksum, ChecksumAlgorithm, Codec, Delta, FixedScaleOffset, Gzip, Lz4, Lzma, Quantize,
    Registry, Shuffle, Zlib, Zstd, deflate,
};
use crate::error::{Error, Result};
use crate::metadata::Extension;

/// Makes the codecs of numcodecs known by their names.
pub(super) fn register(registry: &mut Registry) {
    bytes(registry, "blosc", blosc);
    bytes(registry, "bz2", Bz2::from_extension);
    bytes(registry, "gzip", |extension| Gzip::new(deflate::numcodecs_level(extension)?));
    bytes(registry, "lz4", Lz4::from_extension);
    bytes(registry, "lzma", Lzma::from_extension);
    bytes(registry, "shuffle", Shuffle::from_extension);
    bytes(registry, "zlib", Zlib::from_extension);
    bytes(registry, "zstd", Zstd::from_extension);
    for (name, algorithm) in [
        ("adler32", ChecksumAlgorithm::Adler32),
        ("crc32", ChecksumAlgorithm::Crc32),
        ("crc32c", ChecksumAlgorithm::Crc32c),
        ("fletcher32", ChecksumAlgorithm::Fletcher32),
    ] {
        bytes(registry, name, move |extension| Checksum::from_extension(algorithm, extension));
    }
    array(registry, "astype", AsType::from_extension);
    array(registry, "bitround", BitRound::from_extension);
    array(registry, "delta", Delta::from_extension);
    array(registry, "fixedscaleoffset", FixedScaleOffset::from_extension);
    array(registry, "quantize", Quantize::from_extension);
}

fn bytes<C, F>(registry: &mut Registry, name: &str, parse: F)
where
    C: BytesToBytes + 'static,
    F: Fn(&Extension) -> Result<C> + Send + Sync + 'static,
{
    registry.register(format!("numcodecs.{name}"), move |extension, _| {
        Ok(Codec::BytesToBytes(Arc::new(parse(extension)?)))
    });
}

fn array<C, F>(registry: &mut Registry, name: &str, parse: F)
where
    C: ArrayToArray + 'static,
    F: Fn(&Extension) -> Result<C> + Send + Sync + 'static,
{
    registry.register(format!("numcodecs.{name}"), move |extension, _| {
        Ok(Codec::ArrayToArray(Arc::new(parse(extension)?)))
    });
}

/// Blosc, with shuffles as numbers: 0, 1 and 2, and −1 for bits of elements of one byte and bytes of
/// others. Elements are of one byte unless `typesize` says otherwise, since all that zarr-python
/// gives to such a codec are bytes.
fn blosc(extension: &Extension) -> Result<Blosc> {
    extension.allow_only(&["cname", "clevel", "shuffle", "typesize", "blocksize"])?;
    let compressor = BloscCompressor::from_name(extension.string("cname")?.unwrap_or("lz4"))?;
    let size = |key: &str| match extension.configuration.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => match u64::try_from(extension.integer(key)?.unwrap_or(0)) {
            Ok(size) => Ok(Some(size)),
            Err(_) => Err(Error::invalid_metadata(format!("`{key}` is negative"))),
        },
    };
    let typesize = size("typesize")?.unwrap_or(1);
    let shuffle = match extension.integer("shuffle")?.unwrap_or(1) {
        0 => BloscShuffle::None,
        1 => BloscShuffle::Bytes,
        2 => BloscShuffle::Bits,
        -1 if typesize == 1 => BloscShuffle::Bits,
        -1 => BloscShuffle::Bytes,
        other => return Err(Error::invalid_metadata(format!("no shuffle {other}"))),
    };
    let level = extension.integer("clevel")?.unwrap_or(5);
    let level = u8::try_from(level).unwrap_or(u8::MAX);
    Blosc::new(compressor, level, shuffle, typesize, size("blocksize")?.unwrap_or(0))
}

#[cfg(test)]
mod tests;
