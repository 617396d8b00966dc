//! The `delta` codec of numcodecs: the first number of a chunk, then differences.

use super::number::{
    Loss, Number, Wide, cast, check_view, map, no_number, type_setting, with_integer, with_real,
};
use super::{ArrayToArray, ChunkSpec, Effect, Elements};
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "delta";

/// The `delta` codec of numcodecs. Differences of integers wrap around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    data_type: DataType,
    stored: DataType,
}

impl Delta {
    /// The codec for elements seen as of `data_type`, differences stored as `stored`.
    ///
    /// # Errors
    /// `Unsupported` unless both are integers or both floating-point numbers.
    pub fn new(data_type: DataType, stored: DataType) -> Result<Self> {
        let integers = |of| with_integer!(of, Any => Any::SIZE > 0, false);
        let reals = |of| with_real!(of, Any => Any::SIZE > 0, false);
        let alike = integers(data_type) && integers(stored) || reals(data_type) && reals(stored);
        if alike {
            return Ok(Self { data_type, stored });
        }
        let other = if integers(data_type) || reals(data_type) { stored } else { data_type };
        Err(no_number(other).with("codec", NAME))
    }

    /// The codec that `extension` configures: `dtype`, and `astype` if it is another.
    ///
    /// # Errors
    /// `InvalidMetadata` for a missing, wrong or unknown setting, `Unsupported` as [`new`](Self::new).
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["dtype", "astype"])?;
            let data_type = type_setting(extension, "dtype")?
                .ok_or_else(|| Error::invalid_metadata("`dtype` is missing"))?;
            Self::new(data_type, type_setting(extension, "astype")?.unwrap_or(data_type))
        };
        parse().map_err(|error| error.with("codec", NAME))
    }
}

/// Differences of numbers of type `F`, as numbers of the same type.
fn differences<N: Number>(slots: &[u8], subtract: impl Fn(N, N) -> N) -> Result<Vec<u8>> {
    let mut before = None;
    map(N::SIZE, slots, |slot| {
        let number = N::read(slot);
        let previous = before.replace(number);
        Ok(previous.map_or(number, |previous| subtract(number, previous)))
    })
}

/// Sums of all numbers up to each.
fn sums<N: Number>(slots: &[u8], add: impl Fn(N, N) -> N) -> Result<Vec<u8>> {
    let mut sum = None;
    map(N::SIZE, slots, |slot| {
        let number = N::read(slot);
        Ok(*sum.insert(sum.map_or(number, |sum| add(sum, number))))
    })
}

/// Differences that `S` cannot hold so that `D` gets them back.
fn check_reversible<D: Number, S: Number>(differences: &[u8], stored: DataType) -> Result<()> {
    for slot in differences.chunks_exact(D::SIZE) {
        let difference = D::read(slot);
        if D::wrapped(S::wrapped(difference.widen()).widen()) != difference {
            let Wide::Integer(integer) = difference.widen() else { continue };
            return Err(Error::invalid_argument(format!(
                "a difference of {integer} is no number of type `{}`",
                stored.name()
            )));
        }
    }
    Ok(())
}

impl Delta {
    fn encoded(&self, slots: &[u8]) -> Result<Vec<u8>> {
        let Self { data_type, stored } = *self;
        let differences = with_integer!(data_type, N => {
            let subtract = |a: N, b: N| a.wrapping_sub(b);
            let differences = differences::<N>(slots, subtract)?;
            if data_type != stored {
                with_integer!(stored, S => check_reversible::<N, S>(&differences, stored)?, ());
            }
            differences
        }, with_real!(data_type, N => differences::<N>(slots, |a, b| a - b)?, {
            return Err(no_number(data_type));
        }));
        cast(data_type, stored, &differences, Loss::Wraps)
    }

    /// Reals are added up in the wider of the two types, as NumPy does.
    fn decoded(&self, slots: &[u8]) -> Result<Vec<u8>> {
        let Self { data_type, stored } = *self;
        let narrower = data_type.layout().slot() < stored.layout().slot();
        let widest = if narrower { stored } else { data_type };
        with_integer!(data_type, N => {
            let differences = cast(stored, data_type, slots, Loss::Wraps)?;
            return sums::<N>(&differences, |a, b| a.wrapping_add(b));
        }, {});
        let differences = cast(stored, widest, slots, Loss::Wraps)?;
        let sums = with_real!(widest, N => sums::<N>(&differences, |a, b| a + b)?, {
            return Err(no_number(data_type));
        });
        cast(widest, data_type, &sums, Loss::Wraps)
    }
}

impl ArrayToArray for Delta {
    fn effect(&self, _rank: usize) -> Effect {
        Effect::Opaque
    }

    /// The fill value is that of a chunk's first element: what stands for others depends on their
    /// neighbours.
    fn resolve(&self, decoded: &ChunkSpec) -> Result<ChunkSpec> {
        check_view(decoded, self.data_type).map_err(|error| error.with("codec", NAME))?;
        if self.stored == self.data_type {
            return Ok(decoded.clone());
        }
        let fill = cast(self.data_type, self.stored, &decoded.fill, Loss::Wraps)?;
        Ok(ChunkSpec { data_type: self.stored, fill, ..decoded.clone() })
    }

    fn encode(&self, _decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        let slots = self.encoded(&elements.slots).map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }

    fn decode(&self, _decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        let slots = self.decoded(&elements.slots).map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::number::slots;
    use super::*;
    use crate::error::Kind;

    fn spec(data_type: DataType) -> ChunkSpec {
        let fill = vec![0; data_type.layout().slot()];
        ChunkSpec { shape: vec![4], data_type, fill }
    }

    fn elements(numbers: &[i16]) -> Elements {
        Elements { slots: slots(numbers), heap: Vec::new() }
    }

    #[test]
    fn differences_that_are_too_large_are_no_silent_loss() {
        let codec = Delta::new(DataType::Int16, DataType::Int8).unwrap();
        let spec = spec(DataType::Int16);
        let small = codec.encode(&spec, &elements(&[100, 227, 99, 100])).unwrap();
        assert_eq!(small.slots, [100, 127, 128, 1]);
        assert_eq!(codec.decode(&spec, &small).unwrap(), elements(&[100, 227, 99, 100]));
        let error = codec.encode(&spec, &elements(&[0, 128])).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert_eq!(error.message(), "a difference of 128 is no number of type `int8`");
        assert_eq!(error.context("codec"), Some("delta"));
    }

    #[test]
    fn elements_may_be_seen_as_another_type_of_their_size() {
        let codec = Delta::new(DataType::Int16, DataType::Int16).unwrap();
        assert_eq!(codec.resolve(&spec(DataType::Float16)).unwrap(), spec(DataType::Float16));
        for (misfit, kind) in [
            (DataType::Int8, Kind::InvalidMetadata),
            (DataType::Float32, Kind::InvalidMetadata),
            (DataType::String, Kind::Unsupported),
        ] {
            assert_eq!(codec.resolve(&spec(misfit)).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn types_that_are_no_numbers_of_one_kind() {
        use DataType as D;
        for (data_type, stored) in [
            (D::Bool, D::Bool),
            (D::Int8, D::Float32),
            (D::Float32, D::Int32),
            (D::Raw(2), D::Int8),
        ] {
            let error = Delta::new(data_type, stored).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported, "{data_type:?} {stored:?}");
        }
    }
}
