//! The `crc32c` codec: the data, then its CRC-32C as a little-endian `u32`.

use std::ops::Range;

use crc_fast::crc32_iscsi;

use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "crc32c";
const CHECKSUM_SIZE: usize = 4;

/// The `crc32c` codec of the Zarr v3 core ("CRC32C checksum codec").
#[derive(Debug, Clone, Copy, Default)]
pub struct Crc32c;

impl Crc32c {
    /// The codec; it has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// The codec that `extension` configures.
    ///
    /// # Errors
    /// `InvalidMetadata` if there is any configuration.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        extension.allow_only(&[]).map_err(|error| error.with("codec", NAME))?;
        Ok(Self)
    }
}

/// The data within `encoded`, checked.
fn checked(encoded: &[u8]) -> Result<&[u8]> {
    let Some((data, stored)) = encoded.split_last_chunk::<CHECKSUM_SIZE>() else {
        let message = format!("{} bytes are too few for a checksum", encoded.len());
        return Err(Error::corrupt(message).with("codec", NAME));
    };
    let stored = u32::from_le_bytes(*stored);
    let computed = crc32_iscsi(data);
    if stored == computed {
        return Ok(data);
    }
    let message = format!("checksum {computed:#010x} of the data is not the stored {stored:#010x}");
    Err(Error::corrupt(message).with("codec", NAME))
}

impl BytesToBytes for Crc32c {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::enlarged(decoded, CHECKSUM_SIZE as u64)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        bound::reserve(encoded, decoded.len().saturating_add(CHECKSUM_SIZE))
            .map_err(|error| error.with("codec", NAME))?;
        encoded.extend_from_slice(decoded);
        encoded.extend_from_slice(&crc32_iscsi(decoded).to_le_bytes());
        Ok(())
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        let data = checked(encoded)?;
        bound::filled(data.len(), decoded.len()).map_err(|error| error.with("codec", NAME))?;
        decoded.copy_from_slice(data);
        Ok(())
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        decoded.clear();
        let data = checked(encoded)?;
        let limit = bound::in_memory(limit);
        if data.len() > limit {
            return Err(bound::too_large(limit).with("codec", NAME));
        }
        bound::reserve(decoded, data.len()).map_err(|error| error.with("codec", NAME))?;
        decoded.extend_from_slice(data);
        Ok(())
    }

    fn view(&self, encoded: &[u8]) -> Option<Result<Range<usize>>> {
        Some(checked(encoded).map(|data| 0..data.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn known_checksum() {
        // RFC 3720, B.4: 32 bytes of zeros.
        let mut encoded = Vec::new();
        Crc32c::new().encode(&[0; 32], &mut encoded).unwrap();
        assert_eq!(encoded[32..], [0xaa, 0x36, 0x91, 0x8a]);
    }

    #[test]
    fn a_mismatch_names_both_sums() {
        let encoded = [vec![1; 32], vec![0xaa, 0x36, 0x91, 0x8a]].concat();
        let error = Crc32c::new().view(&encoded).unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert_eq!(error.context("codec"), Some("crc32c"));
        assert!(error.message().contains("0x8a9136aa"), "{error}");
        let computed = format!("{:#010x}", crc32_iscsi(&[1; 32]));
        assert!(error.message().contains(&computed), "{error}");
    }

    #[test]
    fn view_is_the_data() {
        let encoded = [vec![0; 32], vec![0xaa, 0x36, 0x91, 0x8a]].concat();
        assert_eq!(Crc32c::new().view(&encoded).unwrap().unwrap(), 0..32);
    }
}
