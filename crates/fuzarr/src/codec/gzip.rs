//! The `gzip` codec: gzip members (RFC 1952), one after another.

use super::deflate::{self, Container, HIGHEST_LEVEL};
use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "gzip";

/// The `gzip` codec of the Zarr v3 core ("Gzip codec").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gzip {
    level: u8,
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

impl BytesToBytes for Gzip {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::generous(decoded)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        deflate::encode(Container::Gzip, self.level, decoded, encoded)
            .map_err(|error| error.with("codec", NAME))
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        deflate::decode_into(Container::Gzip, encoded, decoded)
            .map_err(|error| error.with("codec", NAME))
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        deflate::decode(Container::Gzip, encoded, limit, decoded)
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
