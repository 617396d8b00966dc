//! The `zlib` codec of numcodecs: a zlib stream (RFC 1950).

use super::deflate::{self, Container, HIGHEST_LEVEL};
use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "zlib";

/// The `gzip` codec of the Zarr v3 core ("Zlib codec").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zlib {
    level: u8,
}

impl Zlib {
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

    /// The codec that `extension` configures; an absent level is 1, as numcodecs has it.
    ///
    /// # Errors
    /// `InvalidMetadata` for a level out of range or an unknown setting.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        deflate::numcodecs_level(extension)
            .and_then(Self::new)
            .map_err(|error| error.with("codec", NAME))
    }
}

impl BytesToBytes for Zlib {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::generous(decoded)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        deflate::encode(Container::Zlib, self.level, decoded, encoded)
            .map_err(|error| error.with("codec", NAME))
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        deflate::decode_into(Container::Zlib, encoded, decoded)
            .map_err(|error| error.with("codec", NAME))
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        deflate::decode(Container::Zlib, encoded, limit, decoded)
            .map_err(|error| error.with("codec", NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_follows_the_stream_is_ignored() {
        let codec = Zlib::new(6).unwrap();
        let mut encoded = Vec::new();
        codec.encode(b"data", &mut encoded).unwrap();
        encoded.extend_from_slice(b"beyond");
        let mut decoded = Vec::new();
        codec.decode(&encoded, 4, &mut decoded).unwrap();
        assert_eq!(decoded, b"data");
    }

    #[test]
    fn levels_are_those_of_numcodecs() {
        let level = |level: i64| Zlib::from_extension(&Extension::new("zlib").with("level", level));
        assert_eq!(Zlib::from_extension(&Extension::new("zlib")).unwrap(), Zlib::new(1).unwrap());
        assert_eq!(level(-1).unwrap(), Zlib::new(6).unwrap());
        for wrong in [-2, 10, 256] {
            assert_eq!(level(wrong).unwrap_err().kind(), Kind::InvalidMetadata);
        }
    }
}
