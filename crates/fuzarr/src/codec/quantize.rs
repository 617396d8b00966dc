//! The `quantize` codec of numcodecs: so many decimal digits of reals, for better compression.

use super::number::{
    Loss, Number, Real, Wide, cast, check_view, map, no_number, type_setting, with_real,
};
use super::{ArrayToArray, ChunkSpec, Effect, Elements};
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "quantize";
/// Digits at which a `float64` has no more to lose, or to keep.
const MOST_DIGITS: i64 = 300;

/// The `quantize` codec of numcodecs: reals are rounded to multiples of a power of two that is at
/// most the wanted decimal digit. Decoding only changes the type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantize {
    scale: f64,
    data_type: Option<DataType>,
    stored: Option<DataType>,
}

impl Quantize {
    /// The codec that `extension` configures: `digits`, and the types `dtype`, which is the array's
    /// unless given, and `astype`, which is `dtype` unless given.
    ///
    /// # Errors
    /// `InvalidMetadata` for a missing, wrong or unknown setting, `Unsupported` for unknown types.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["digits", "dtype", "astype"])?;
            let digits = extension
                .integer("digits")?
                .ok_or_else(|| Error::invalid_metadata("`digits` is missing"))?;
            if digits.abs() > MOST_DIGITS {
                return Err(Error::invalid_metadata(format!("{digits} are too many digits")));
            }
            Ok(Self {
                scale: scale(digits),
                data_type: type_setting(extension, "dtype")?,
                stored: type_setting(extension, "astype")?,
            })
        };
        parse().map_err(|error| error.with("codec", NAME))
    }

    /// What elements are seen as, and what they are stored as.
    fn types(&self, decoded: &ChunkSpec) -> (DataType, DataType) {
        let data_type = self.data_type.unwrap_or(decoded.data_type);
        (data_type, self.stored.unwrap_or(data_type))
    }

    fn encoded(&self, decoded: &ChunkSpec, slots: &[u8]) -> Result<Vec<u8>> {
        let (data_type, stored) = self.types(decoded);
        let rounded = with_real!(data_type, N => {
            let scale = N::wrapped(Wide::Real(self.scale));
            map(N::SIZE, slots, |slot| Ok((scale * N::read(slot)).rounded() / scale))?
        }, return Err(no_number(data_type)));
        cast(data_type, stored, &rounded, Loss::Wraps)
    }
}

/// The power of two by which numbers are multiplied, computed as numcodecs does.
#[expect(clippy::cast_precision_loss, reason = "digits are few")]
fn scale(digits: i64) -> f64 {
    let exponent = 10_f64.powf(-(digits as f64)).log10();
    let exponent = if exponent < 0.0 { exponent.floor() } else { exponent.ceil() };
    10_f64.powf(-exponent).log2().ceil().exp2()
}

impl ArrayToArray for Quantize {
    fn effect(&self, _rank: usize) -> Effect {
        Effect::Elementwise
    }

    fn resolve(&self, decoded: &ChunkSpec) -> Result<ChunkSpec> {
        let resolve = || {
            let (data_type, stored) = self.types(decoded);
            check_view(decoded, data_type)?;
            with_real!(stored, _N => (), return Err(no_number(stored)));
            let fill = self.encoded(decoded, &decoded.fill)?;
            let data_type = if stored == data_type { decoded.data_type } else { stored };
            Ok(ChunkSpec { data_type, fill, ..decoded.clone() })
        };
        resolve().map_err(|error: Error| error.with("codec", NAME))
    }

    fn encode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        let slots = self.encoded(decoded, &elements.slots);
        let slots = slots.map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }

    fn decode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        let (data_type, stored) = self.types(decoded);
        let slots = cast(stored, data_type, &elements.slots, Loss::Wraps);
        let slots = slots.map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn scales_are_those_of_numcodecs() {
        for (digits, expected) in [(0, 1.0), (1, 16.0), (2, 128.0), (3, 1024.0), (-2, 0.015625)] {
            assert_eq!(scale(digits), expected, "{digits}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let digits = |digits| {
            Quantize::from_extension(
                &Extension::new(NAME).with("digits", serde_json::json!(digits)),
            )
        };
        assert_eq!(digits(301).unwrap_err().kind(), Kind::InvalidMetadata);
        let codec = digits(2).unwrap();
        let integers = ChunkSpec { shape: vec![1], data_type: DataType::Int8, fill: vec![0] };
        assert_eq!(codec.resolve(&integers).unwrap_err().kind(), Kind::Unsupported);
    }
}
