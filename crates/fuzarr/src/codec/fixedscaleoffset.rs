//! The `fixedscaleoffset` codec of numcodecs: numbers less an offset, times a scale, rounded.

use serde_json::Value;

use super::number::{
    Loss, Number, Real, Wide, cast, check_view, copied, map, no_number, type_setting, with_integer,
    with_real,
};
use super::{ArrayToArray, ChunkSpec, Effect, Elements};
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "fixedscaleoffset";

/// A setting as Python has it: integers and floating-point numbers lead to other arithmetic.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Parameter {
    Integer(i128),
    Real(f64),
}

impl Parameter {
    #[expect(clippy::cast_precision_loss, reason = "Python rounds it, too")]
    fn real(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Real(real) => real,
        }
    }
}

/// The `fixedscaleoffset` codec of numcodecs, with the arithmetic of NumPy: that of floating-point
/// elements is done in their own type; that of integers in theirs as long as the settings are
/// integers, too, else in `float64`.
///
/// What numcodecs loses without a word, a number that the stored type cannot hold, is an error, but
/// for the fill value, with which chunks are padded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedScaleOffset {
    offset: Parameter,
    scale: Parameter,
    data_type: Option<DataType>,
    stored: Option<DataType>,
}

impl FixedScaleOffset {
    /// The codec that `extension` configures: `offset`, `scale`, and the types `dtype`, which is
    /// the array's unless given, and `astype`, which is `dtype` unless given.
    ///
    /// # Errors
    /// `InvalidMetadata` for a missing, wrong or unknown setting, `Unsupported` for unknown types.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["offset", "scale", "dtype", "astype"])?;
            let parameter = |key: &str| {
                let value = extension.configuration.get(key);
                value
                    .and_then(parameter)
                    .ok_or_else(|| Error::invalid_metadata(format!("`{key}` must be a number")))
            };
            Ok(Self {
                offset: parameter("offset")?,
                scale: parameter("scale")?,
                data_type: type_setting(extension, "dtype")?,
                stored: type_setting(extension, "astype")?,
            })
        };
        parse().map_err(|error: Error| error.with("codec", NAME))
    }

    /// What elements are seen as, and what they are stored as.
    fn types(&self, decoded: &ChunkSpec) -> (DataType, DataType) {
        let data_type = self.data_type.unwrap_or(decoded.data_type);
        (data_type, self.stored.unwrap_or(data_type))
    }

    /// What is stored for elements. The fill value goes all the way with them, since it may be
    /// lost where they may not.
    fn encoded(&self, decoded: &ChunkSpec, slots: &[u8]) -> Result<Vec<u8>> {
        let (data_type, stored) = self.types(decoded);
        let (mut now, mut numbers, mut fill) = (data_type, copied(slots)?, decoded.fill.clone());
        for step in [Step::Subtract(self.offset), Step::Multiply(self.scale), Step::Round] {
            let (next, made) = step.apply(now, &numbers, &fill)?;
            (_, fill) = step.apply(now, &fill, &fill)?;
            (now, numbers) = (next, made);
        }
        cast(now, stored, &numbers, Loss::Refused { but_for: &fill })
    }

    fn decoded(&self, decoded: &ChunkSpec, slots: &[u8]) -> Result<Vec<u8>> {
        let (data_type, stored) = self.types(decoded);
        let (now, numbers) = if is_integer(stored) {
            (DataType::Float64, cast(stored, DataType::Float64, slots, Loss::Wraps)?)
        } else {
            (stored, copied(slots)?)
        };
        let numbers = with_real!(now, N => {
            let real = |parameter: Parameter| N::wrapped(Wide::Real(parameter.real()));
            let (scale, offset) = (real(self.scale), real(self.offset));
            map(N::SIZE, &numbers, |slot| Ok(N::read(slot) / scale + offset))?
        }, return Err(no_number(now)));
        cast(now, data_type, &numbers, Loss::Wraps)
    }
}

fn parameter(value: &Value) -> Option<Parameter> {
    match (value.as_i64(), value.as_u64()) {
        (Some(integer), _) => Some(Parameter::Integer(integer.into())),
        (None, Some(integer)) => Some(Parameter::Integer(integer.into())),
        (None, None) => value.as_f64().map(Parameter::Real),
    }
}

fn is_integer(data_type: DataType) -> bool {
    with_integer!(data_type, Any => Any::SIZE > 0, false)
}

/// A step of encoding.
#[derive(Debug, Clone, Copy)]
enum Step {
    Subtract(Parameter),
    Multiply(Parameter),
    Round,
}

impl Step {
    /// What the step makes of numbers, and of which type those are.
    fn apply(self, of: DataType, slots: &[u8], fill: &[u8]) -> Result<(DataType, Vec<u8>)> {
        let parameter = match self {
            Self::Subtract(parameter) | Self::Multiply(parameter) => parameter,
            Self::Round if is_integer(of) => return Ok((of, copied(slots)?)),
            Self::Round => Parameter::Real(0.0),
        };
        if let (Parameter::Integer(integer), true) = (parameter, is_integer(of)) {
            let numbers = with_integer!(of, N => self.integers::<N>(slots, integer, fill)?, {
                return Err(no_number(of));
            });
            return Ok((of, numbers));
        }
        if is_integer(of) {
            let reals = cast(of, DataType::Float64, slots, Loss::Wraps)?;
            return Ok((DataType::Float64, self.reals::<f64>(&reals, parameter)?));
        }
        let numbers =
            with_real!(of, N => self.reals::<N>(slots, parameter)?, return Err(no_number(of)));
        Ok((of, numbers))
    }

    fn reals<N: Real>(self, slots: &[u8], parameter: Parameter) -> Result<Vec<u8>> {
        let parameter = N::wrapped(Wide::Real(parameter.real()));
        map(N::SIZE, slots, |slot| {
            let number = N::read(slot);
            Ok(match self {
                Self::Subtract(_) => number - parameter,
                Self::Multiply(_) => number * parameter,
                Self::Round => number.rounded(),
            })
        })
    }

    /// Differences may wrap around: so do the sums that undo them. Products must fit.
    fn integers<N: Number>(self, slots: &[u8], parameter: i128, fill: &[u8]) -> Result<Vec<u8>> {
        let beyond = |what: String| {
            Error::invalid_argument(format!("{what} is beyond the type of the elements"))
        };
        if N::checked(Wide::Integer(parameter)).is_none() {
            return Err(beyond(parameter.to_string()));
        }
        map(N::SIZE, slots, |slot| {
            let number = N::read(slot);
            let Wide::Integer(integer) = number.widen() else { return Ok(number) };
            if matches!(self, Self::Subtract(_)) {
                return Ok(N::wrapped(Wide::Integer(integer - parameter)));
            }
            let product = integer.checked_mul(parameter).map(Wide::Integer);
            match product.and_then(N::checked) {
                Some(product) => Ok(product),
                None if slot == fill => {
                    Ok(N::wrapped(Wide::Integer(integer.wrapping_mul(parameter))))
                }
                None => Err(beyond(format!("{integer} × {parameter}"))),
            }
        })
    }
}

impl ArrayToArray for FixedScaleOffset {
    fn effect(&self, _rank: usize) -> Effect {
        Effect::Elementwise
    }

    fn resolve(&self, decoded: &ChunkSpec) -> Result<ChunkSpec> {
        let (data_type, stored) = self.types(decoded);
        let resolve = || {
            check_view(decoded, data_type)?;
            let fill = self.encoded(decoded, &decoded.fill)?;
            // Makes sure of the types, both ways.
            self.decoded(decoded, &[])?;
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
        let slots = self.decoded(decoded, &elements.slots);
        let slots = slots.map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::number::slots;
    use super::*;
    use crate::error::Kind;

    fn codec(offset: f64, scale: f64, stored: &str) -> FixedScaleOffset {
        let extension = Extension::new(NAME).with("offset", offset).with("scale", scale);
        FixedScaleOffset::from_extension(&extension.with("astype", stored)).unwrap()
    }

    fn spec(fill: f64) -> ChunkSpec {
        let fill = slots(&[fill]);
        ChunkSpec { shape: vec![3], data_type: DataType::Float64, fill }
    }

    fn elements(numbers: &[f64]) -> Elements {
        Elements { slots: slots(numbers), heap: Vec::new() }
    }

    #[test]
    fn the_example_of_numcodecs() {
        let codec = codec(1000.0, 10.0, "u1");
        let spec = spec(1000.0);
        assert_eq!(codec.resolve(&spec).unwrap().data_type, DataType::UInt8);
        let encoded = codec.encode(&spec, &elements(&[1000.0, 1000.0 + 5.0 / 9.0, 1001.0]));
        let encoded = encoded.unwrap();
        assert_eq!(encoded.slots, [0, 6, 10]);
        assert_eq!(codec.decode(&spec, &encoded).unwrap(), elements(&[1000.0, 1000.6, 1001.0]));
    }

    #[test]
    fn only_the_fill_value_may_be_lost() {
        let codec = codec(0.0, 1.0, "u1");
        let nan = spec(f64::NAN);
        assert_eq!(codec.resolve(&nan).unwrap().fill, [0]);
        assert_eq!(codec.encode(&nan, &elements(&[1.0, f64::NAN])).unwrap().slots, [1, 0]);
        for (spec, number) in [(spec(0.0), f64::NAN), (nan, 255.6), (spec(1.0), -1.0)] {
            let error = codec.encode(&spec, &elements(&[number])).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert_eq!(error.context("codec"), Some("fixedscaleoffset"));
        }
    }

    #[test]
    fn integers_may_wrap_where_that_can_be_undone() {
        let extension = Extension::new(NAME).with("offset", 10).with("scale", 1);
        let codec = FixedScaleOffset::from_extension(&extension).unwrap();
        let spec = ChunkSpec { shape: vec![2], data_type: DataType::UInt8, fill: vec![0] };
        let elements = Elements { slots: vec![5, 200], heap: Vec::new() };
        let encoded = codec.encode(&spec, &elements).unwrap();
        assert_eq!(encoded.slots, [251, 190]);
        assert_eq!(codec.decode(&spec, &encoded).unwrap(), elements);
        let extension = Extension::new(NAME).with("offset", 0).with("scale", 2);
        let codec = FixedScaleOffset::from_extension(&extension).unwrap();
        assert_eq!(codec.encode(&spec, &elements).unwrap_err().kind(), Kind::InvalidArgument);
    }
}
