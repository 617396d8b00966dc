//! The index of a shard: where each inner chunk is.

use std::ops::Range;

use crate::buffer::{addressable, bytes_of_u64s, isize_of, native_u64s, usize_of};
use crate::codec::{ChunkSpec, Codec, IndexLocation, Prepared, Size, Stages};
use crate::copy::{self, Dimension, Dimensions, Element, Walk};
use crate::dtype::DataType;
use crate::error::{Error, Result, ResultExt};

/// Bytes of one number of the index.
const NUMBER: usize = 8;

/// The most inner chunks of a shard; an index of more would take over a GiB.
const MOST_SLOTS: u64 = 1 << 26;

/// The index chain of a shard, bound to its grid of inner chunks.
#[derive(Debug)]
pub(crate) struct PreparedIndex {
    chain: Prepared,
    slots: u64,
    length: usize,
    location: IndexLocation,
}

/// What the index says of one inner chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Not stored: reads as fill value.
    Empty,
    /// Where it is, from the start of the shard.
    At(Range<u64>),
}

impl PreparedIndex {
    /// Binds the index chain to a shard with `grid` inner chunks.
    ///
    /// # Errors
    /// `InvalidMetadata` if the chain does not give a fixed size.
    pub(crate) fn new(codecs: &[Codec], grid: &[u64], location: IndexLocation) -> Result<Self> {
        let bind = || {
            let shape: Vec<u64> = grid.iter().copied().chain([2]).collect();
            let fill = vec![u8::MAX; NUMBER];
            let spec = ChunkSpec { shape, data_type: DataType::UInt64, fill };
            let chain = Prepared::new(codecs, spec)?;
            let (Size::Exact(length), false) = (chain.encoded_size, chain.any_shard().is_some())
            else {
                return Err(Error::invalid_metadata("the codecs must give a fixed size"));
            };
            let slots = (chain.length / (2 * NUMBER)) as u64;
            if slots > MOST_SLOTS {
                return Err(Error::limit(format!(
                    "a shard of {slots} inner chunks; at most {MOST_SLOTS} are supported"
                )));
            }
            Ok(Self { slots, length: addressable(length)?, chain, location })
        };
        bind().context("codec", || "sharding_indexed index_codecs")
    }

    /// How many inner chunks the shard has room for.
    pub(crate) fn slots(&self) -> u64 {
        self.slots
    }

    /// Bytes of the encoded index.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn location(&self) -> IndexLocation {
        self.location
    }

    /// Where the index is in a shard of `size` bytes.
    ///
    /// # Errors
    /// `Corrupt` if the shard is too short to hold it.
    pub(crate) fn place(&self, size: u64) -> Result<Range<u64>> {
        let length = self.length as u64;
        let Some(before) = size.checked_sub(length) else {
            return Err(Error::corrupt(format!(
                "a shard of {size} bytes is too short for its index of {length}"
            ))
            .with("codec", "sharding_indexed"));
        };
        Ok(match self.location {
            IndexLocation::Start => 0..length,
            IndexLocation::End => before..size,
        })
    }

    /// Decodes an index to pairs of offset and length, a slot each, in C order of the grid.
    ///
    /// # Errors
    /// `Corrupt`, naming the codec.
    pub(crate) fn decode(&self, encoded: &[u8], stages: &mut Stages) -> Result<Vec<u64>> {
        let decode = |stages| {
            let buffer = self.chain.decode(encoded, stages)?;
            if self.chain.native {
                return Ok(native_u64s(buffer).collect());
            }
            let mut native = vec![0; buffer.len()];
            let (dimensions, element) = self.copy(true);
            copy::gather((buffer, 0), (&mut native, 0), dimensions, element)?;
            Ok(native_u64s(&native).collect())
        };
        decode(stages).context("codec", || "sharding_indexed")
    }

    /// Encodes an index; the inverse of [`decode`](Self::decode).
    ///
    /// # Errors
    /// Those of the index codecs.
    pub(crate) fn encode(&self, pairs: &[u64], stages: &mut Stages) -> Result<Vec<u8>> {
        let native = bytes_of_u64s(pairs);
        let mut buffer = vec![0; native.len()];
        let (dimensions, element) = self.copy(false);
        copy::gather((&native, 0), (&mut buffer, 0), dimensions, element)?;
        let mut encoded = Vec::with_capacity(self.length());
        self.chain.encode(&buffer, stages, &mut encoded)?;
        Ok(encoded)
    }

    /// The copy between buffer form and C order of native numbers.
    fn copy(&self, decoding: bool) -> (Dimensions<'static>, Element) {
        let shape = &self.chain.spec.shape;
        let native = crate::codec::c_strides(shape);
        let stride =
            |stride: u64| Walk::Stride(isize_of(stride.cast_signed()) * NUMBER.cast_signed());
        let dimension = |((&count, &buffer), native): ((&u64, &u64), u64)| {
            let (buffer, native) = (stride(buffer), stride(native));
            let (source, target) = if decoding { (buffer, native) } else { (native, buffer) };
            Dimension { count: usize_of(count), source, target }
        };
        let dimensions = shape.iter().zip(&self.chain.strides).zip(native).map(dimension);
        (dimensions.collect(), Element { size: NUMBER, swap: self.chain.swap })
    }

    /// What a decoded index says of `slot`, in a shard of `size` bytes whose inner chunks take at
    /// most `most` bytes. Entries may overlap, so without that bound a small shard could stand for
    /// endless work.
    ///
    /// # Errors
    /// `Corrupt` for an entry that is half empty, wraps, is too long, or ends behind the shard.
    pub(crate) fn entry(pairs: &[u64], slot: u64, size: u64, most: u64) -> Result<Entry> {
        let start = usize_of(slot) * 2;
        let Some(&[offset, length]) = pairs.get(start..start + 2) else {
            return Err(bad(slot, "is missing from the index"));
        };
        match (offset, length) {
            (u64::MAX, u64::MAX) => Ok(Entry::Empty),
            (u64::MAX, _) | (_, u64::MAX) => Err(bad(slot, "is half marked as empty in the index")),
            _ if length > most => {
                let what = format!("is {length} bytes long, where at most {most} bytes make sense");
                Err(bad(slot, &what))
            }
            _ => match offset.checked_add(length).filter(|&end| end <= size) {
                Some(end) => Ok(Entry::At(offset..end)),
                None => Err(bad(
                    slot,
                    &format!("is at {offset}, {length} bytes long, in a shard of {size} bytes"),
                )),
            },
        }
    }
}

#[cold]
fn bad(slot: u64, what: &str) -> Error {
    Error::corrupt(format!("inner chunk number {slot} {what}")).with("codec", "sharding_indexed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_checked() {
        let pairs = [u64::MAX, u64::MAX, u64::MAX, 0, 0, u64::MAX, 10, 5, 11, 5, u64::MAX - 1, 4];
        let entry = |slot| PreparedIndex::entry(&pairs, slot, 15, 20);
        assert!(PreparedIndex::entry(&pairs, 3, 15, 4).is_err());
        assert_eq!(entry(0).unwrap(), Entry::Empty);
        assert_eq!(entry(3).unwrap(), Entry::At(10..15));
        for slot in [1, 2, 4, 5, 6] {
            assert_eq!(entry(slot).unwrap_err().kind(), crate::Kind::Corrupt, "{slot}");
        }
    }
}
