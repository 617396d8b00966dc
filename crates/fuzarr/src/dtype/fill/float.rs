//! The formats of floating-point numbers.

use half::{bf16, f16};

/// How the bits of a float are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Half,
    Brain,
    Single,
    Double,
}

impl Format {
    /// Bytes of a number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Half | Self::Brain => 2,
            Self::Single => 4,
            Self::Double => 8,
        }
    }

    /// What `"NaN"` means: sign 0 and only the top bit of the mantissa set.
    pub(super) fn canonical_nan(self) -> u64 {
        match self {
            Self::Half => 0x7e00,
            Self::Brain => 0x7fc0,
            Self::Single => 0x7fc0_0000,
            Self::Double => 0x7ff8_0000_0000_0000,
        }
    }

    /// The bits of the float nearest to `number`, ties to even.
    #[expect(clippy::cast_possible_truncation, reason = "the cast rounds to nearest, as wanted")]
    pub(super) fn rounded(self, number: f64) -> u64 {
        match self {
            Self::Half => f16::from_f32(rounded_to_odd(number)).to_bits().into(),
            Self::Brain => bf16::from_f32(rounded_to_odd(number)).to_bits().into(),
            Self::Single => (number as f32).to_bits().into(),
            Self::Double => number.to_bits(),
        }
    }

    /// The number that `bits` stand for; exact but for payloads of NaNs.
    pub(super) fn widened(self, bits: u64) -> f64 {
        match self {
            Self::Half => u16::try_from(bits).map_or(f64::NAN, |b| f16::from_bits(b).to_f64()),
            Self::Brain => u16::try_from(bits).map_or(f64::NAN, |b| bf16::from_bits(b).to_f64()),
            Self::Single => u32::try_from(bits).map_or(f64::NAN, |b| f32::from_bits(b).into()),
            Self::Double => f64::from_bits(bits),
        }
    }
}

/// A first step on the way to 16 bits. Were it rounded to the nearest `f32`, what is just above a
/// tie would become a tie. Rounding to odd keeps ties and neighbours of ties apart.
#[expect(clippy::cast_possible_truncation, reason = "the rounding is corrected after")]
pub(crate) fn rounded_to_odd(number: f64) -> f32 {
    let nearest = number as f32;
    let mut bits = nearest.to_bits();
    let widened = f64::from(nearest);
    if number.is_finite() && widened != number {
        bits -= u32::from(widened.abs() > number.abs());
        bits |= 1;
    }
    f32::from_bits(bits)
}
