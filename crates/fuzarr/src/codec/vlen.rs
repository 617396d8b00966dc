//! The `vlen-utf8` and `vlen-bytes` codecs: each element's length, then its bytes.

use super::{ArrayToBytes, ChunkSpec, Elements, Size, bound};
use crate::dtype::{DataType, VARIABLE_SLOT};
use crate::error::{Error, Result};
use crate::metadata::Extension;

/// Bytes that the elements of one chunk may have together, without their lengths: 2 GiB.
pub const MOST_VARIABLE: u64 = 2 << 30;
/// Bytes of a count and of a length, both little-endian.
const NUMBER_SIZE: u64 = 4;

/// The codecs `vlen-utf8`, of strings, and `vlen-bytes` of the extension registry: a `u32` with the
/// number of elements, then for each in C order a `u32` with its length, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vlen {
    /// `vlen-utf8`, for elements of type `string`.
    Utf8,
    /// `vlen-bytes`, for elements of type `bytes`.
    Bytes,
}

impl Vlen {
    /// The codec; it has no settings.
    ///
    /// # Errors
    /// `InvalidMetadata` if there is any configuration.
    pub fn from_extension(self, extension: &Extension) -> Result<Self> {
        extension.allow_only(&[]).map_err(|error| error.with("codec", self.name()))?;
        Ok(self)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "vlen-utf8",
            Self::Bytes => "vlen-bytes",
        }
    }

    /// Elements of a chunk, as many as the format can count.
    fn count(self, decoded: &ChunkSpec) -> Result<u32> {
        let fits = match self {
            Self::Utf8 => decoded.data_type == DataType::String,
            Self::Bytes => decoded.data_type == DataType::Bytes,
        };
        if !fits {
            let name = decoded.data_type.name();
            return Err(Error::invalid_metadata(format!("no codec of elements of type `{name}`")));
        }
        let count =
            decoded.shape.iter().try_fold(1_u64, |count, &extent| count.checked_mul(extent));
        count.and_then(|count| u32::try_from(count).ok()).ok_or_else(|| {
            let shape = &decoded.shape;
            Error::limit(format!("a chunk of shape {shape:?} has more elements than 32 bits count"))
        })
    }

    /// Whether the codec has elements of such bytes.
    fn allows(self, element: &[u8]) -> bool {
        self == Self::Bytes || std::str::from_utf8(element).is_ok()
    }

    fn append(self, decoded: &ChunkSpec, elements: &Elements, encoded: &mut Vec<u8>) -> Result<()> {
        let count = self.count(decoded)?;
        let (slots, rest) = elements.slots.as_chunks::<VARIABLE_SLOT>();
        if slots.len() as u64 != u64::from(count) || !rest.is_empty() {
            return Err(Error::invalid_argument("not as many elements as the chunk has"));
        }
        let mut total = 0_u64;
        for slot in slots {
            total = total.saturating_add(element(slot, &elements.heap)?.len() as u64);
        }
        if total > MOST_VARIABLE {
            return Err(Error::limit(format!("the elements have {total} bytes, above 2 GiB")));
        }
        let lengths = u64::from(count).saturating_add(1).saturating_mul(NUMBER_SIZE);
        bound::reserve(encoded, bound::in_memory(total.saturating_add(lengths)))?;
        encoded.extend_from_slice(&count.to_le_bytes());
        for slot in slots {
            let bytes = element(slot, &elements.heap)?;
            let length = u32::try_from(bytes.len())
                .map_err(|_| Error::limit("an element has more bytes than 32 bits count"))?;
            if !self.allows(bytes) {
                return Err(Error::invalid_argument("an element is no UTF-8"));
            }
            encoded.extend_from_slice(&length.to_le_bytes());
            encoded.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn take(self, decoded: &ChunkSpec, encoded: &[u8]) -> Result<Elements> {
        let expected = self.count(decoded)?;
        let cut_off = || Error::corrupt("the elements are cut off");
        let (count, mut rest) = number(encoded).ok_or_else(cut_off)?;
        if count != expected {
            return Err(Error::corrupt(format!("{count} elements where a chunk has {expected}")));
        }
        // Every element takes its length at least, so that a lie about their number stops here.
        let lengths = u64::from(count) * NUMBER_SIZE;
        let total = (rest.len() as u64).checked_sub(lengths).ok_or_else(cut_off)?;
        let mut elements = Elements::default();
        bound::reserve(&mut elements.heap, bound::in_memory(total))?;
        bound::reserve(&mut elements.slots, bound::in_memory(u64::from(count)) * VARIABLE_SLOT)?;
        for _ in 0..count {
            let (length, after) = number(rest).ok_or_else(cut_off)?;
            let length = bound::in_memory(length.into());
            let (bytes, after) = after.split_at_checked(length).ok_or_else(cut_off)?;
            if !self.allows(bytes) {
                return Err(Error::corrupt("an element is no UTF-8"));
            }
            let place = [elements.heap.len(), length];
            for part in place {
                elements.slots.extend_from_slice(&native(part as u64));
            }
            elements.heap.extend_from_slice(bytes);
            rest = after;
        }
        if rest.is_empty() {
            return Ok(elements);
        }
        Err(Error::corrupt(format!("{} bytes follow the elements", rest.len())))
    }
}

/// The number at the start of `encoded`, and what follows it.
fn number(encoded: &[u8]) -> Option<(u32, &[u8])> {
    encoded.split_first_chunk().map(|(number, rest)| (u32::from_le_bytes(*number), rest))
}

/// A part of a slot.
fn native(part: u64) -> [u8; 8] {
    if cfg!(target_endian = "big") { part.to_be_bytes() } else { part.to_le_bytes() }
}

/// The bytes that a slot stands for.
fn element<'h>(slot: &[u8; VARIABLE_SLOT], heap: &'h [u8]) -> Result<&'h [u8]> {
    let part = |bytes: [u8; 8]| {
        let part = if cfg!(target_endian = "big") {
            u64::from_be_bytes(bytes)
        } else {
            u64::from_le_bytes(bytes)
        };
        bound::in_memory(part)
    };
    let ([start, length], _) = slot.as_chunks::<8>() else {
        return Err(Error::invalid_argument("a slot is of another size"));
    };
    heap.get(part(*start)..)
        .and_then(|rest| rest.get(..part(*length)))
        .ok_or_else(|| Error::invalid_argument("an element is beyond the heap"))
}

impl ArrayToBytes for Vlen {
    /// At most [`MOST_VARIABLE`] bytes of elements, beside their number and lengths.
    fn encoded_size(&self, decoded: &ChunkSpec) -> Result<Size> {
        let count = self.count(decoded).map_err(|error| error.with("codec", self.name()))?;
        Ok(Size::AtMost(MOST_VARIABLE + NUMBER_SIZE + u64::from(count) * NUMBER_SIZE))
    }

    fn encode(
        &self,
        decoded: &ChunkSpec,
        elements: &Elements,
        encoded: &mut Vec<u8>,
    ) -> Result<()> {
        self.append(decoded, elements, encoded).map_err(|error| error.with("codec", self.name()))
    }

    fn decode(&self, decoded: &ChunkSpec, encoded: &[u8]) -> Result<Elements> {
        self.take(decoded, encoded).map_err(|error| error.with("codec", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn spec(count: u64, data_type: DataType) -> ChunkSpec {
        ChunkSpec { shape: vec![count], data_type, fill: Vec::new() }
    }

    fn strings(texts: &[&str]) -> Elements {
        let mut elements = Elements::default();
        for text in texts {
            elements.slots.extend_from_slice(&native(elements.heap.len() as u64));
            elements.slots.extend_from_slice(&native(text.len() as u64));
            elements.heap.extend_from_slice(text.as_bytes());
        }
        elements
    }

    fn encoded(texts: &[&str]) -> Vec<u8> {
        let mut encoded = b"before".to_vec();
        let spec = spec(texts.len() as u64, DataType::String);
        Vlen::Utf8.encode(&spec, &strings(texts), &mut encoded).unwrap();
        assert_eq!(&encoded[..6], b"before");
        encoded.split_off(6)
    }

    fn message(encoded: &[u8]) -> String {
        let error = Vlen::Utf8.decode(&spec(2, DataType::String), encoded).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert_eq!(error.context("codec"), Some("vlen-utf8"));
        error.message().to_owned()
    }

    #[test]
    fn known_bytes() {
        let bytes = encoded(&["é", ""]);
        assert_eq!(bytes, b"\x02\0\0\0\x02\0\0\0\xc3\xa9\0\0\0\0");
        let decoded = Vlen::Utf8.decode(&spec(2, DataType::String), &bytes).unwrap();
        assert_eq!(decoded, strings(&["é", ""]));
        let size = Vlen::Utf8.encoded_size(&spec(2, DataType::String)).unwrap();
        assert_eq!(size, Size::AtMost(MOST_VARIABLE + 12));
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = encoded(&["one", "two"]);
        for size in 0..bytes.len() {
            assert_eq!(message(&bytes[..size]), "the elements are cut off", "{size}");
        }
        assert_eq!(message(&[&bytes[..], b"!"].concat()), "1 bytes follow the elements");
        assert_eq!(message(&encoded(&["one"])), "1 elements where a chunk has 2");
        let mut broken = bytes.clone();
        broken[8] = 0xff;
        assert_eq!(message(&broken), "an element is no UTF-8");
        let raw = Vlen::Bytes.decode(&spec(2, DataType::Bytes), &broken).unwrap();
        assert_eq!(raw.heap, b"\xffnetwo");
        let mut long = bytes;
        long[4..8].fill(0xff);
        assert_eq!(message(&long), "the elements are cut off");
    }

    #[test]
    fn a_large_count_takes_no_memory() {
        let many = spec(u64::from(u32::MAX), DataType::Bytes);
        let error = Vlen::Bytes.decode(&many, &[0xff; 8]).unwrap_err();
        assert_eq!(error.message(), "the elements are cut off");
        let more = spec(1 << 32, DataType::Bytes);
        assert_eq!(Vlen::Bytes.encoded_size(&more).unwrap_err().kind(), Kind::Limit);
    }

    #[test]
    fn elements_are_checked_before_they_are_written() {
        let two = spec(2, DataType::String);
        let encode = |elements: &Elements| {
            Vlen::Utf8.encode(&two, elements, &mut Vec::new()).unwrap_err().kind()
        };
        assert_eq!(encode(&strings(&["one"])), Kind::InvalidArgument);
        let mut elements = strings(&["one", "two"]);
        elements.heap[4] = 0xff;
        assert_eq!(encode(&elements), Kind::InvalidArgument);
        elements.heap.pop();
        assert_eq!(encode(&elements), Kind::InvalidArgument);
        let mut huge = Elements { slots: Vec::new(), heap: vec![0; 1 << 24] };
        for _ in 0..256 {
            huge.slots.extend_from_slice(&native(0));
            huge.slots.extend_from_slice(&native(1 << 24));
        }
        let error = Vlen::Bytes.encode(&spec(256, DataType::Bytes), &huge, &mut Vec::new());
        assert_eq!(error.unwrap_err().kind(), Kind::Limit);
    }

    #[test]
    fn other_types_are_errors() {
        for (codec, data_type) in [
            (Vlen::Utf8, DataType::Bytes),
            (Vlen::Bytes, DataType::String),
            (Vlen::Bytes, DataType::Int8),
        ] {
            let error = codec.encoded_size(&spec(1, data_type)).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidMetadata);
        }
    }
}
