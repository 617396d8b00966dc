//! The `shuffle` codec of numcodecs: first bytes of all elements first, then all second bytes, …

use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "shuffle";
/// Elements that are moved at once, so that their bytes are read while they are near.
const BATCH: usize = 256;

/// The `shuffle` codec of numcodecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shuffle {
    element: usize,
}

impl Shuffle {
    /// The codec for elements of `element` bytes; 0 and 1 leave the bytes as they are.
    #[must_use]
    pub fn new(element: usize) -> Self {
        Self { element: element.max(1) }
    }

    /// The codec that `extension` configures.
    ///
    /// # Errors
    /// `InvalidMetadata` for an unknown setting or one out of range. A missing `elementsize` is one
    /// too: readers differ on whether it means 4 or the size of the array's elements.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["elementsize"])?;
            let element = extension
                .integer("elementsize")?
                .ok_or_else(|| Error::invalid_metadata("`elementsize` is missing"))?;
            match usize::try_from(element) {
                Ok(element) => Ok(Self::new(element)),
                Err(_) => Err(Error::invalid_metadata("`elementsize` is negative")),
            }
        };
        parse().map_err(|error| error.with("codec", NAME))
    }

    /// Elements in `size` bytes, if that is a whole number of them.
    fn count(self, size: usize) -> Option<usize> {
        size.is_multiple_of(self.element).then_some(size / self.element)
    }

    /// Fills `plain` with the elements whose bytes are in `shuffled`; both are of one size.
    fn gather(self, shuffled: &[u8], plain: &mut [u8], count: usize) {
        if self.element == 1 || count == 0 {
            return plain.copy_from_slice(shuffled);
        }
        for (batch, elements) in plain.chunks_mut(BATCH * self.element).enumerate() {
            for (position, bytes) in shuffled.chunks_exact(count).enumerate() {
                let places = elements.iter_mut().skip(position).step_by(self.element);
                for (place, byte) in places.zip(bytes.iter().skip(batch * BATCH)) {
                    *place = *byte;
                }
            }
        }
    }

    /// Fills `shuffled` with the bytes of the elements in `plain`; both are of one size.
    fn scatter(self, plain: &[u8], shuffled: &mut [u8], count: usize) {
        if self.element == 1 || count == 0 {
            return shuffled.copy_from_slice(plain);
        }
        for (batch, elements) in plain.chunks(BATCH * self.element).enumerate() {
            for (position, places) in shuffled.chunks_exact_mut(count).enumerate() {
                let bytes = elements.iter().skip(position).step_by(self.element);
                for (place, byte) in places.iter_mut().skip(batch * BATCH).zip(bytes) {
                    *place = *byte;
                }
            }
        }
    }

    fn checked_count(self, encoded: &[u8]) -> Result<usize> {
        self.count(encoded.len()).ok_or_else(|| {
            let message = format!("{} bytes are no elements of {}", encoded.len(), self.element);
            Error::corrupt(message).with("codec", NAME)
        })
    }
}

/// Adds `size` zeros to `bytes`, and gives them.
fn zeros(bytes: &mut Vec<u8>, size: usize) -> Result<&mut [u8]> {
    bound::reserve(bytes, size).map_err(|error| error.with("codec", NAME))?;
    let start = bytes.len();
    bytes.resize(start + size, 0);
    Ok(bytes.get_mut(start..).unwrap_or_default())
}

impl BytesToBytes for Shuffle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        decoded
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        let count = self.count(decoded.len()).ok_or_else(|| {
            let message = format!("{} bytes are no elements of {}", decoded.len(), self.element);
            Error::invalid_argument(message).with("codec", NAME)
        })?;
        self.scatter(decoded, zeros(encoded, decoded.len())?, count);
        Ok(())
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        let count = self.checked_count(encoded)?;
        bound::filled(encoded.len(), decoded.len()).map_err(|error| error.with("codec", NAME))?;
        self.gather(encoded, decoded, count);
        Ok(())
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        decoded.clear();
        let count = self.checked_count(encoded)?;
        let limit = bound::in_memory(limit);
        if encoded.len() > limit {
            return Err(bound::too_large(limit).with("codec", NAME));
        }
        self.gather(encoded, zeros(decoded, encoded.len())?, count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn bytes_change_places() {
        let mut encoded = Vec::new();
        Shuffle::new(3).encode(b"abcABC123", &mut encoded).unwrap();
        assert_eq!(encoded, b"aA1bB2cC3");
    }

    #[test]
    fn batches_join_without_a_seam() {
        for element in [1, 2, 3, 8, 16, 1000] {
            for count in [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 7] {
                let data: Vec<u8> = (0..251).cycle().take(element * count).collect();
                let codec = Shuffle::new(element);
                let mut encoded = Vec::new();
                codec.encode(&data, &mut encoded).unwrap();
                let naive = (0..element).flat_map(|b| data.iter().skip(b).step_by(element));
                assert!(encoded.iter().eq(naive), "{element} {count}");
                let mut decoded = vec![0; data.len()];
                codec.decode_into(&encoded, &mut decoded).unwrap();
                assert!(decoded == data, "{element} {count}");
            }
        }
    }

    #[test]
    fn broken_elements_are_errors() {
        let codec = Shuffle::new(4);
        let error = codec.encode(&[0; 6], &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        let error = codec.decode_into(&[0; 6], &mut [0; 6]).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        let error = Shuffle::from_extension(&Extension::new("shuffle")).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidMetadata);
    }
}
