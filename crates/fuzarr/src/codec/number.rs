//! Numbers that array codecs compute with, and the casts between them, as NumPy has them.

use half::f16;

use super::{ChunkSpec, bound};
use crate::dtype::{DataType, ElementLayout, from_numpy, rounded_to_odd};
use crate::error::{Error, Result};
use crate::metadata::Extension;

/// A number of any type, without loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wide {
    Integer(i128),
    Real(f64),
}

/// A number as it stands in a slot.
pub(super) trait Number: Copy + PartialEq {
    const SIZE: usize;

    /// The number in the first bytes of `slot`.
    fn read(slot: &[u8]) -> Self;

    fn write(self, slot: &mut [u8]);

    fn widen(self) -> Wide;

    /// `wide`, or `None` if that is beyond the type. Reals are cut to integers towards zero, and
    /// rounded to reals to the nearest.
    fn checked(wide: Wide) -> Option<Self>;

    /// `wide`, its lowest bits if it is beyond the type. NaN is 0 as an integer.
    fn wrapped(wide: Wide) -> Self;
}

/// A floating-point number, whose arithmetic rounds each result to its own type.
pub(super) trait Real:
    Number
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
{
    /// The nearest integer, the even one of two.
    fn rounded(self) -> Self;
}

/// The integer towards zero from `real`; NaN is 0.
#[expect(clippy::cast_possible_truncation, reason = "the cut is what is wanted")]
fn cut(real: f64) -> i128 {
    /// 2^63, below which the machine's own conversion does.
    const COMMON: f64 = 9_223_372_036_854_775_808.0;
    if real.abs() < COMMON { (real as i64).into() } else { real as i128 }
}

macro_rules! in_slots {
    () => {
        const SIZE: usize = size_of::<Self>();

        fn read(slot: &[u8]) -> Self {
            let bytes = slot.first_chunk().copied().unwrap_or_default();
            if cfg!(target_endian = "big") {
                Self::from_be_bytes(bytes)
            } else {
                Self::from_le_bytes(bytes)
            }
        }

        fn write(self, slot: &mut [u8]) {
            let bytes =
                if cfg!(target_endian = "big") { self.to_be_bytes() } else { self.to_le_bytes() };
            if let Some(place) = slot.first_chunk_mut() {
                *place = bytes;
            }
        }
    };
}

macro_rules! integer {
    ($($integer:ty),*) => {$(
        impl Number for $integer {
            in_slots!();

            fn widen(self) -> Wide {
                Wide::Integer(self.into())
            }

            fn checked(wide: Wide) -> Option<Self> {
                match wide {
                    Wide::Integer(integer) => Self::try_from(integer).ok(),
                    Wide::Real(real) if real.is_nan() => None,
                    Wide::Real(real) => Self::try_from(cut(real)).ok(),
                }
            }

            #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are wanted")]
            fn wrapped(wide: Wide) -> Self {
                match wide {
                    Wide::Integer(integer) => integer as Self,
                    Wide::Real(real) => cut(real) as Self,
                }
            }
        }
    )*};
}

integer!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! real {
    ($real:ty, $widen:expr, $from_integer:expr, $from_real:expr, $rounded:expr) => {
        impl Number for $real {
            in_slots!();

            fn widen(self) -> Wide {
                let widen: fn(Self) -> f64 = $widen;
                Wide::Real(widen(self))
            }

            fn checked(wide: Wide) -> Option<Self> {
                Some(Self::wrapped(wide))
            }

            fn wrapped(wide: Wide) -> Self {
                let (from_integer, from_real): (fn(i128) -> Self, fn(f64) -> Self) =
                    ($from_integer, $from_real);
                match wide {
                    Wide::Integer(integer) => from_integer(integer),
                    Wide::Real(real) => from_real(real),
                }
            }
        }

        impl Real for $real {
            fn rounded(self) -> Self {
                let rounded: fn(Self) -> Self = $rounded;
                rounded(self)
            }
        }
    };
}

real!(f64, |own| own, |integer| integer as f64, |real| real, f64::round_ties_even);
real!(f32, f64::from, |integer| integer as f32, single, f32::round_ties_even);
// NumPy, too, takes integers to 16 bits by way of 32.
real!(
    f16,
    f16::to_f64,
    |integer| f16::from_f32(integer as f32),
    |real| f16::from_f32(rounded_to_odd(real)),
    |own| f16::from_f32(own.to_f32().round_ties_even())
);

#[expect(clippy::cast_possible_truncation, reason = "the cast rounds to nearest, as wanted")]
fn single(real: f64) -> f32 {
    real as f32
}

/// A `bool`: 0 or 1, and all that is not 0 becomes 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flag(bool);

impl Number for Flag {
    const SIZE: usize = 1;

    fn read(slot: &[u8]) -> Self {
        Self(slot.first().is_some_and(|byte| *byte != 0))
    }

    fn write(self, slot: &mut [u8]) {
        if let Some(place) = slot.first_mut() {
            *place = self.0.into();
        }
    }

    fn widen(self) -> Wide {
        Wide::Integer(self.0.into())
    }

    fn checked(wide: Wide) -> Option<Self> {
        match wide {
            Wide::Integer(0 | 1) => Some(Self::wrapped(wide)),
            Wide::Real(real) if real == 0.0 || real == 1.0 => Some(Self::wrapped(wide)),
            _ => None,
        }
    }

    fn wrapped(wide: Wide) -> Self {
        match wide {
            Wide::Integer(integer) => Self(integer != 0),
            Wide::Real(real) => Self(real != 0.0),
        }
    }
}

/// Runs a body with a name for the Rust type of a data type of integers; another body for others.
macro_rules! with_integer {
    ($data_type:expr, $name:ident => $body:expr, $other:expr) => {
        match $data_type {
            DataType::Int8 => {
                type $name = i8;
                $body
            }
            DataType::Int16 => {
                type $name = i16;
                $body
            }
            DataType::Int32 => {
                type $name = i32;
                $body
            }
            DataType::Int64 => {
                type $name = i64;
                $body
            }
            DataType::UInt8 => {
                type $name = u8;
                $body
            }
            DataType::UInt16 => {
                type $name = u16;
                $body
            }
            DataType::UInt32 => {
                type $name = u32;
                $body
            }
            DataType::UInt64 => {
                type $name = u64;
                $body
            }
            _ => $other,
        }
    };
}

/// As [`with_integer`], for floating-point numbers.
macro_rules! with_real {
    ($data_type:expr, $name:ident => $body:expr, $other:expr) => {
        match $data_type {
            DataType::Float16 => {
                type $name = half::f16;
                $body
            }
            DataType::Float32 => {
                type $name = f32;
                $body
            }
            DataType::Float64 => {
                type $name = f64;
                $body
            }
            _ => $other,
        }
    };
}

pub(super) use {with_integer, with_real};

/// What to do with a number that the type it is cast to does not have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss<'a> {
    /// For encoding: an error, unless it has the bits of this, the fill value, with which chunks
    /// are padded. That is cast as well as can be, as numcodecs does with all of them.
    Refused { but_for: &'a [u8] },
    /// For decoding: its lowest bits are taken, as NumPy does. What has none is damage.
    Wraps,
}

/// Numbers of one type as numbers of another.
///
/// # Errors
/// `InvalidArgument` or `Corrupt` for numbers that cannot be cast, `Unsupported` for types that are
/// no numbers.
pub(super) fn cast(from: DataType, to: DataType, slots: &[u8], loss: Loss<'_>) -> Result<Vec<u8>> {
    if from == to {
        return copied(slots);
    }
    with_integer!(from, From => cast_from::<From>(to, slots, loss), {
        with_real!(from, From => cast_from::<From>(to, slots, loss), {
            match from {
                DataType::Bool => cast_from::<Flag>(to, slots, loss),
                _ => Err(no_number(from)),
            }
        })
    })
}

fn cast_from<F: Number>(to: DataType, slots: &[u8], loss: Loss<'_>) -> Result<Vec<u8>> {
    let convert = |slot: &[u8]| F::read(slot).widen();
    with_integer!(to, To => map(F::SIZE, slots, |slot| narrowed::<To>(convert(slot), slot, to, loss)), {
        with_real!(to, To => map(F::SIZE, slots, |slot| narrowed::<To>(convert(slot), slot, to, loss)), {
            match to {
                DataType::Bool => {
                    map(F::SIZE, slots, |slot| narrowed::<Flag>(convert(slot), slot, to, loss))
                }
                _ => Err(no_number(to)),
            }
        })
    })
}

/// The number of `slot` in the type `T`, which is `to`.
fn narrowed<T: Number>(wide: Wide, slot: &[u8], to: DataType, loss: Loss<'_>) -> Result<T> {
    match (T::checked(wide), loss) {
        (Some(number), _) => Ok(number),
        (None, Loss::Refused { but_for }) if slot == but_for => Ok(T::wrapped(wide)),
        (None, Loss::Refused { .. }) => Err(Error::invalid_argument(does_not_fit(wide, to))),
        (None, Loss::Wraps) if finite(wide) => Ok(T::wrapped(wide)),
        (None, Loss::Wraps) => Err(Error::corrupt(does_not_fit(wide, to))),
    }
}

fn finite(wide: Wide) -> bool {
    match wide {
        Wide::Integer(_) => true,
        Wide::Real(real) => real.is_finite(),
    }
}

#[cold]
fn does_not_fit(wide: Wide, to: DataType) -> String {
    let value = match wide {
        Wide::Integer(integer) => integer.to_string(),
        Wide::Real(real) => real.to_string(),
    };
    format!("{value} is no number of type `{}`", to.name())
}

/// The error for a type that codecs do not compute with.
#[cold]
pub(super) fn no_number(data_type: DataType) -> Error {
    Error::unsupported(format!("not supported: arithmetic on type `{}`", data_type.name()))
}

/// The numbers that `each` makes of slots of `size` bytes.
pub(super) fn map<T: Number>(
    size: usize,
    slots: &[u8],
    mut each: impl FnMut(&[u8]) -> Result<T>,
) -> Result<Vec<u8>> {
    let mut mapped = zeros(slots.len() / size * T::SIZE)?;
    for (slot, place) in slots.chunks_exact(size).zip(mapped.chunks_exact_mut(T::SIZE)) {
        each(slot)?.write(place);
    }
    Ok(mapped)
}

fn zeros(size: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bound::reserve(&mut bytes, size)?;
    bytes.resize(size, 0);
    Ok(bytes)
}

/// The same bytes.
pub(super) fn copied(slots: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bound::reserve(&mut bytes, slots.len())?;
    bytes.extend_from_slice(slots);
    Ok(bytes)
}

/// The type that a setting names in NumPy's spelling, or in Zarr's. Its byte order means nothing
/// here: it is the `bytes` codec that says how numbers are stored.
///
/// # Errors
/// `InvalidMetadata` or `Unsupported` if it names none.
pub(super) fn type_setting(extension: &Extension, key: &str) -> Result<Option<DataType>> {
    extension.string(key)?.map(|text| Ok(from_numpy(text)?.0)).transpose()
}

/// Checks that elements of `decoded` can be seen as of type `data_type`: numcodecs looks at nothing
/// but the size, so that, say, times can be given to a codec as integers.
///
/// # Errors
/// `InvalidMetadata` if not, `Unsupported` for elements of variable size.
pub(super) fn check_view(decoded: &ChunkSpec, data_type: DataType) -> Result<()> {
    let (own, seen) = (decoded.data_type.layout(), data_type.layout());
    if own == ElementLayout::Variable {
        return Err(no_number(decoded.data_type));
    }
    if own == seen {
        return Ok(());
    }
    Err(Error::invalid_metadata(format!(
        "elements of type `{}` are not of the size of `{}`",
        decoded.data_type.name(),
        data_type.name()
    )))
}

/// Numbers as they stand in slots.
#[cfg(test)]
pub(super) fn slots<N: Number>(numbers: &[N]) -> Vec<u8> {
    let mut slots = vec![0; numbers.len() * N::SIZE];
    for (number, slot) in numbers.iter().zip(slots.chunks_mut(N::SIZE)) {
        number.write(slot);
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const REFUSED: Loss<'_> = Loss::Refused { but_for: &[] };

    #[test]
    fn what_fits_is_cast_both_ways_alike() {
        use DataType as D;
        let reals = slots(&[0.0, -1.9, 127.999, -128.9, -0.0]);
        let integers = slots(&[0_i8, -1, 127, -128, 0]);
        for loss in [REFUSED, Loss::Wraps] {
            assert_eq!(cast(D::Float64, D::Int8, &reals, loss).unwrap(), integers);
        }
        let large = slots(&[u64::MAX, 1 << 63, (1 << 53) + 1]);
        let rounded = slots(&[
            18_446_744_073_709_551_616.0,
            9_223_372_036_854_775_808.0,
            9_007_199_254_740_992.0,
        ]);
        assert_eq!(cast(D::UInt64, D::Float64, &large, REFUSED).unwrap(), rounded);
    }

    #[test]
    fn sixteen_bits_are_rounded_once() {
        // Just above the tie between two neighbours, which a detour over 32 bits would not see.
        let above = slots(&[1.0 + f64::from(f16::EPSILON) / 2.0 + 1e-12]);
        let cast = cast(DataType::Float64, DataType::Float16, &above, REFUSED).unwrap();
        assert_eq!(f16::read(&cast).to_bits(), f16::ONE.to_bits() + 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_but_for_the_fill_value() {
        use DataType as D;
        for number in [128.0, -129.0, f64::NAN, f64::INFINITY, 1e300] {
            let number = slots(&[number]);
            let error = cast(D::Float64, D::Int8, &number, REFUSED).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            cast(D::Float64, D::Int8, &number, Loss::Refused { but_for: &number }).unwrap();
        }
        let error = cast(D::Int16, D::UInt8, &slots(&[-1_i16]), REFUSED).unwrap_err();
        assert_eq!(error.message(), "-1 is no number of type `uint8`");
    }

    #[test]
    fn decoding_wraps() {
        use DataType as D;
        let wrapped = cast(D::Float32, D::UInt8, &slots(&[261.7_f32, -1.0]), Loss::Wraps).unwrap();
        assert_eq!(wrapped, [5, 255]);
        let error = cast(D::Float32, D::UInt8, &slots(&[f32::NAN]), Loss::Wraps).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
    }
}
