//! The `bitround` codec: reals with fewer bits of mantissa, for better compression.

use super::number::{Number, copied, map, no_number};
use super::{ArrayToArray, ChunkSpec, Effect, Elements};
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "bitround";

/// The `bitround` codec of numcodecs and of the extension registry, for floating-point numbers.
/// Decoding changes nothing.
///
/// A NaN stays what it is, where numcodecs may make a number of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitRound {
    keep: u32,
}

impl BitRound {
    /// The codec, which keeps so many bits of the mantissa.
    #[must_use]
    pub fn new(keep: u32) -> Self {
        Self { keep }
    }

    /// The codec that `extension` configures.
    ///
    /// # Errors
    /// `InvalidMetadata` for a missing, wrong or unknown setting.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["keepbits"])?;
            let keep = extension
                .integer("keepbits")?
                .ok_or_else(|| Error::invalid_metadata("`keepbits` is missing"))?;
            u32::try_from(keep)
                .map(Self::new)
                .map_err(|_| Error::invalid_metadata(format!("`keepbits` {keep} is out of range")))
        };
        parse().map_err(|error| error.with("codec", NAME))
    }

    fn rounded(self, data_type: DataType, slots: &[u8]) -> Result<Vec<u8>> {
        match data_type {
            DataType::Float16 => self.bits::<u16>(slots, 10, 0x7c00),
            DataType::Float32 => self.bits::<u32>(slots, 23, 0x7f80_0000),
            DataType::Float64 => self.bits::<u64>(slots, 52, 0x7ff0_0000_0000_0000),
            _ => Err(no_number(data_type)),
        }
    }

    /// Rounds numbers of `mantissa` bits, ties to even; `infinity` has the bits of the exponent.
    fn bits<N>(self, slots: &[u8], mantissa: u32, infinity: u64) -> Result<Vec<u8>>
    where
        N: Number + Into<u64> + TryFrom<u64>,
    {
        let drop = mantissa.checked_sub(self.keep).ok_or_else(|| {
            let keep = self.keep;
            Error::invalid_metadata(format!("`keepbits` {keep} of a mantissa of {mantissa} bits"))
        })?;
        if drop == 0 {
            return copied(slots);
        }
        let half = (1 << (drop - 1)) - 1;
        map(N::SIZE, slots, |slot| {
            let number = N::read(slot);
            let bits: u64 = number.into();
            if bits & (infinity | (infinity - 1)) > infinity {
                return Ok(number);
            }
            let rounded = (bits + half + ((bits >> drop) & 1)) >> drop << drop;
            Ok(N::try_from(rounded).unwrap_or(number))
        })
    }
}

impl ArrayToArray for BitRound {
    fn effect(&self, _rank: usize) -> Effect {
        Effect::Elementwise
    }

    fn resolve(&self, decoded: &ChunkSpec) -> Result<ChunkSpec> {
        let fill = self.rounded(decoded.data_type, &decoded.fill);
        let fill = fill.map_err(|error| error.with("codec", NAME))?;
        Ok(ChunkSpec { fill, ..decoded.clone() })
    }

    fn encode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        let slots = self.rounded(decoded.data_type, &elements.slots);
        let slots = slots.map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }

    fn decode(&self, _decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        let slots = copied(&elements.slots).map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::number::slots;
    use super::*;
    use crate::error::Kind;

    fn rounded(keep: u32, number: f32) -> f32 {
        let rounded = BitRound::new(keep).rounded(DataType::Float32, &slots(&[number])).unwrap();
        f32::read(&rounded)
    }

    #[test]
    fn ties_go_to_even_and_nans_stay() {
        assert_eq!(rounded(1, 1.25), 1.0);
        assert_eq!(rounded(1, 1.75), 2.0);
        assert_eq!(rounded(1, 1.26), 1.5);
        assert_eq!(rounded(23, 1.26), 1.26);
        assert_eq!(rounded(3, f32::MAX), f32::INFINITY);
        assert_eq!(rounded(0, f32::NEG_INFINITY), f32::NEG_INFINITY);
        for keep in [0, 1, 22] {
            for bits in [0x7fc0_0000, 0x7fff_ffff, 0xffff_ffff, 0x7f80_0001] {
                assert_eq!(rounded(keep, f32::from_bits(bits)).to_bits(), bits);
            }
        }
    }

    #[test]
    fn settings_are_checked() {
        let keep =
            |keep: i64| BitRound::from_extension(&Extension::new(NAME).with("keepbits", keep));
        assert_eq!(keep(-1).unwrap_err().kind(), Kind::InvalidMetadata);
        let spec = |data_type: DataType| {
            let fill = vec![0; data_type.layout().slot()];
            ChunkSpec { shape: vec![1], data_type, fill }
        };
        let error = keep(24).unwrap().resolve(&spec(DataType::Float32)).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidMetadata);
        keep(24).unwrap().resolve(&spec(DataType::Float64)).unwrap();
        let error = keep(1).unwrap().resolve(&spec(DataType::Int32)).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
    }
}
