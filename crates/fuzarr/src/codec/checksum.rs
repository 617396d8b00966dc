//! The checksums of numcodecs: the data, with four bytes before or after it.
#![expect(unsafe_code, reason = "libdeflate is a C library")]

use std::ops::Range;

use libdeflate_sys as deflate;

use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const CHECKSUM_SIZE: usize = 4;

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Adler-32 (RFC 1950).
    Adler32,
    /// The CRC-32 of gzip (RFC 1952).
    Crc32,
    /// CRC-32C (RFC 3720).
    Crc32c,
    /// The Fletcher checksum of HDF5: words of 16 bits, most significant byte first.
    Fletcher32,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Adler32 => "adler32",
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Fletcher32 => "fletcher32",
        }
    }

    /// Where numcodecs puts the checksum unless told otherwise.
    fn usual_location(self) -> Location {
        match self {
            Self::Adler32 | Self::Crc32 => Location::Start,
            Self::Crc32c | Self::Fletcher32 => Location::End,
        }
    }

    fn of(self, data: &[u8]) -> u32 {
        match self {
            // SAFETY: the pointer is valid for the length, and not null even for no bytes.
            Self::Adler32 => unsafe {
                deflate::libdeflate_adler32(1, data.as_ptr().cast(), data.len())
            },
            // SAFETY: as above.
            Self::Crc32 => unsafe {
                deflate::libdeflate_crc32(0, data.as_ptr().cast(), data.len())
            },
            Self::Crc32c => crc_fast::crc32_iscsi(data),
            Self::Fletcher32 => fletcher32(data),
        }
    }
}

/// The CRC-32 of gzip and of zip archives.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    Algorithm::Crc32.of(data)
}

/// Where in the encoded bytes the checksum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// Before the data.
    Start,
    /// After the data.
    End,
}

/// Sums modulo 65535 of words, and of those sums; an odd last byte is the high half of a word.
/// Zero stands for itself only as long as all words are zero, as in HDF5.
fn fletcher32(data: &[u8]) -> u32 {
    /// Words that can be added before the sum of sums might overflow.
    const BURST: usize = 360;
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    let (mut sum, mut sums) = (0_u32, 0_u32);
    let (words, odd) = data.as_chunks::<2>();
    for burst in words.chunks(BURST) {
        for word in burst {
            sum += u32::from(u16::from_be_bytes(*word));
            sums += sum;
        }
        (sum, sums) = (fold(sum), fold(sums));
    }
    if let [byte] = odd {
        sum += u32::from(*byte) << 8;
        sums += sum;
        (sum, sums) = (fold(sum), fold(sums));
    }
    (fold(sums) << 16) | fold(sum)
}

/// The codecs `adler32`, `crc32`, `crc32c` and `fletcher32` of numcodecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    location: Location,
}

impl Checksum {
    /// The codec.
    #[must_use]
    pub fn new(algorithm: Algorithm, location: Location) -> Self {
        Self { algorithm, location }
    }

    /// The codec that `extension` configures. An absent `location` is what numcodecs takes it for:
    /// the start for `adler32` and `crc32`, the end for `crc32c`; `fletcher32` has no such setting.
    ///
    /// # Errors
    /// `InvalidMetadata` for another location or an unknown setting.
    pub fn from_extension(algorithm: Algorithm, extension: &Extension) -> Result<Self> {
        let parse = || {
            let fixed = algorithm == Algorithm::Fletcher32;
            extension.allow_only(if fixed { &[] } else { &["location"] })?;
            let location = match extension.string("location")? {
                None => algorithm.usual_location(),
                Some("start") => Location::Start,
                Some("end") => Location::End,
                Some(other) => {
                    return Err(Error::invalid_metadata(format!("no location `{other}`")));
                }
            };
            Ok(Self { algorithm, location })
        };
        parse().map_err(|error| error.with("codec", algorithm.name()))
    }

    /// Where the data within `encoded` is, checked.
    fn checked(self, encoded: &[u8]) -> Result<Range<usize>> {
        let parts = match self.location {
            Location::Start => encoded.split_first_chunk::<CHECKSUM_SIZE>(),
            Location::End => encoded.split_last_chunk().map(|(data, checksum)| (checksum, data)),
        };
        let Some((stored, data)) = parts else {
            let message = format!("{} bytes are too few for a checksum", encoded.len());
            return Err(Error::corrupt(message).with("codec", self.algorithm.name()));
        };
        let (stored, computed) = (u32::from_le_bytes(*stored), self.algorithm.of(data));
        if stored != computed {
            return Err(Error::corrupt(format!(
                "checksum {computed:#010x} of the data is not the stored {stored:#010x}"
            ))
            .with("codec", self.algorithm.name()));
        }
        Ok(match self.location {
            Location::Start => CHECKSUM_SIZE..encoded.len(),
            Location::End => 0..data.len(),
        })
    }
}

impl BytesToBytes for Checksum {
    fn name(&self) -> &'static str {
        self.algorithm.name()
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::enlarged(decoded, CHECKSUM_SIZE as u64)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        bound::reserve(encoded, decoded.len().saturating_add(CHECKSUM_SIZE))
            .map_err(|error| error.with("codec", self.name()))?;
        let checksum = self.algorithm.of(decoded).to_le_bytes();
        let (first, second) = match self.location {
            Location::Start => (&checksum[..], decoded),
            Location::End => (decoded, &checksum[..]),
        };
        encoded.extend_from_slice(first);
        encoded.extend_from_slice(second);
        Ok(())
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        let data = self.checked(encoded)?;
        bound::filled(data.len(), decoded.len())
            .map_err(|error| error.with("codec", self.name()))?;
        decoded.copy_from_slice(encoded.get(data).unwrap_or_default());
        Ok(())
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        decoded.clear();
        let data = self.checked(encoded)?;
        let limit = bound::in_memory(limit);
        if data.len() > limit {
            return Err(bound::too_large(limit).with("codec", self.name()));
        }
        bound::reserve(decoded, data.len()).map_err(|error| error.with("codec", self.name()))?;
        decoded.extend_from_slice(encoded.get(data).unwrap_or_default());
        Ok(())
    }

    fn view(&self, encoded: &[u8]) -> Option<Result<Range<usize>>> {
        Some(self.checked(encoded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn known_checksums() {
        // RFC 1950's and RFC 1952's sums of "123456789", as every catalogue of checksums has them.
        for (algorithm, expected) in [
            (Algorithm::Adler32, 0x091e_01de),
            (Algorithm::Crc32, 0xcbf4_3926),
            (Algorithm::Crc32c, 0xe306_9283),
        ] {
            assert_eq!(algorithm.of(b"123456789"), expected, "{algorithm:?}");
        }
        // numcodecs.Fletcher32().encode(b"abcde") and of b"abcd".
        assert_eq!(Algorithm::Fletcher32.of(b"abcde"), 0x4ff0_29c7);
        assert_eq!(Algorithm::Fletcher32.of(b"abcd"), 0x2629_c4c6);
    }

    #[test]
    fn sums_of_the_largest_words_do_not_overflow() {
        assert_eq!(Algorithm::Fletcher32.of(&[0xff; 1 << 20]), 0xffff_ffff);
        assert_eq!(Algorithm::Fletcher32.of(&[0xff; 721]), 0xff00_ff00);
    }

    #[test]
    fn locations_are_those_of_numcodecs() {
        let parse = |algorithm, location: Option<&str>| {
            let extension = Extension::new("checksum");
            let extension = match location {
                Some(location) => extension.with("location", location),
                None => extension,
            };
            Checksum::from_extension(algorithm, &extension)
        };
        assert_eq!(parse(Algorithm::Crc32, None).unwrap().location, Location::Start);
        assert_eq!(parse(Algorithm::Adler32, Some("end")).unwrap().location, Location::End);
        assert_eq!(parse(Algorithm::Crc32c, None).unwrap().location, Location::End);
        assert_eq!(parse(Algorithm::Crc32c, Some("start")).unwrap().location, Location::Start);
        for (algorithm, location) in
            [(Algorithm::Crc32, "middle"), (Algorithm::Fletcher32, "start")]
        {
            let error = parse(algorithm, Some(location)).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidMetadata);
            assert_eq!(error.context("codec"), Some(algorithm.name()));
        }
    }
}
