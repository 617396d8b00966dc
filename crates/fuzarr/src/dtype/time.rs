//! Units of time, and the steps in which NumPy's times are counted.

use super::missing;
use crate::error::{Error, Result};
use crate::metadata::Extension;

/// The largest number of units in a step.
const MAX_SCALE: u32 = i32::MAX.cast_unsigned();

/// A unit of time as NumPy has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// `Y`
    Year,
    /// `M`
    Month,
    /// `W`
    Week,
    /// `D`
    Day,
    /// `h`
    Hour,
    /// `m`
    Minute,
    /// `s`
    Second,
    /// `ms`
    Millisecond,
    /// `us`, also spelled `μs`
    Microsecond,
    /// `ns`
    Nanosecond,
    /// `ps`
    Picosecond,
    /// `fs`
    Femtosecond,
    /// `as`
    Attosecond,
    /// `generic`: no unit
    Generic,
}

const UNITS: [(&str, TimeUnit); 16] = [
    ("Y", TimeUnit::Year),
    ("M", TimeUnit::Month),
    ("W", TimeUnit::Week),
    ("D", TimeUnit::Day),
    ("h", TimeUnit::Hour),
    ("m", TimeUnit::Minute),
    ("s", TimeUnit::Second),
    ("ms", TimeUnit::Millisecond),
    ("us", TimeUnit::Microsecond),
    // The Greek letter, then the micro sign.
    ("\u{3bc}s", TimeUnit::Microsecond),
    ("\u{b5}s", TimeUnit::Microsecond),
    ("ns", TimeUnit::Nanosecond),
    ("ps", TimeUnit::Picosecond),
    ("fs", TimeUnit::Femtosecond),
    ("as", TimeUnit::Attosecond),
    ("generic", TimeUnit::Generic),
];

impl TimeUnit {
    /// The name that NumPy and metadata have for it, for example `ms`.
    #[must_use]
    pub fn name(self) -> &'static str {
        UNITS.iter().find(|row| row.1 == self).map_or("generic", |row| row.0)
    }

    /// The unit of a name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        UNITS.iter().find(|row| row.0 == name).map(|row| row.1)
    }
}

/// The step that the configuration of `numpy.datetime64` or `numpy.timedelta64` names.
pub(super) fn step(extension: &Extension) -> Result<(TimeUnit, u32)> {
    let name = extension.name.as_str();
    extension.allow_only(&["unit", "scale_factor"])?;
    let unit = extension.string("unit")?.ok_or_else(|| missing(name, "unit"))?;
    let scale = extension.integer("scale_factor")?.ok_or_else(|| missing(name, "scale_factor"))?;
    let unit = TimeUnit::from_name(unit).ok_or_else(|| {
        Error::invalid_metadata(format!("data type `{name}`: `{unit}` is no unit of time"))
    })?;
    Ok((
        unit,
        checked_scale(scale).ok_or_else(|| {
            Error::invalid_metadata(format!(
                "data type `{name}`: `scale_factor` must be from 1 to {MAX_SCALE}, not {scale}"
            ))
        })?,
    ))
}

/// `scale` if a step may have so many units.
pub(super) fn checked_scale(scale: i64) -> Option<u32> {
    u32::try_from(scale).ok().filter(|scale| (1..=MAX_SCALE).contains(scale))
}
