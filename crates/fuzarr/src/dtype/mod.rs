//! Data types: what one element is, how many bytes it takes, how its fill value is spelled.
//!
//! Implements "Data types" and "Fill values" of the Zarr v3 core specification.

mod fill;
mod numpy;
mod time;

pub(crate) use fill::rounded_to_odd;
pub use fill::{default_fill, fill_from_json, fill_to_json};
pub use numpy::{fill_from_v2, fill_to_v2, from_numpy, to_numpy};
pub use time::TimeUnit;

use std::fmt;

use crate::error::{Error, Result};
use crate::metadata::Extension;

/// The type of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// `bool`, one byte, 0 or 1.
    Bool,
    /// `int8`.
    Int8,
    /// `int16`.
    Int16,
    /// `int32`.
    Int32,
    /// `int64`.
    Int64,
    /// `uint8`.
    UInt8,
    /// `uint16`.
    UInt16,
    /// `uint32`.
    UInt32,
    /// `uint64`.
    UInt64,
    /// `float16`.
    Float16,
    /// `float32`.
    Float32,
    /// `float64`.
    Float64,
    /// `complex64`: two `float32`, real part first.
    Complex64,
    /// `complex128`: two `float64`, real part first.
    Complex128,
    /// `bfloat16`: the upper half of a `float32`.
    BFloat16,
    /// `r8`, `r16`, …: opaque bytes, this many an element.
    Raw(u32),
    /// `null_terminated_bytes`, NumPy's `S`: up to this many bytes, padded with zeros.
    FixedBytes(u32),
    /// `fixed_length_utf32`, NumPy's `U`: up to this many characters of four bytes, padded with
    /// U+0000.
    FixedUnicode(u32),
    /// `numpy.datetime64`: steps since 1970 in an `int64`, the least of which is "not a time".
    DateTime64 {
        /// The unit of a step.
        unit: TimeUnit,
        /// How many units a step takes, at least 1.
        scale: u32,
    },
    /// `numpy.timedelta64`: a number of steps in an `int64`, the least of which is "not a time".
    TimeDelta64 {
        /// The unit of a step.
        unit: TimeUnit,
        /// How many units a step takes, at least 1.
        scale: u32,
    },
    /// `string`: UTF-8 of any length.
    String,
    /// `bytes`: bytes of any length.
    Bytes,
}

/// How elements lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementLayout {
    /// Every element takes this many bytes.
    Fixed(usize),
    /// Elements differ in size: a slot of [`VARIABLE_SLOT`] bytes each, pointing into a heap.
    Variable,
}

/// Bytes of the slot that stands for one element of variable size: where its bytes start in the
/// heap and how many there are, each a native `u64`. Slots are of fixed size, so that copying,
/// merging and filling know one kind of element only.
pub const VARIABLE_SLOT: usize = 16;

impl ElementLayout {
    /// Bytes that one element takes in a chunk's slots.
    #[must_use]
    pub fn slot(self) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::Variable => VARIABLE_SLOT,
        }
    }
}

/// Byte order of stored numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// The most bytes that an element of a fixed size may take. Fill values are held in memory, so what
/// metadata may ask for has an end.
pub const MAX_ELEMENT_SIZE: u32 = 1 << 26;

/// Types whose name is the whole of their metadata, with their bytes per element and the size of
/// the numbers in them (which is what byte order is about).
const NAMED: [(&str, DataType, usize, usize); 15] = [
    ("bool", DataType::Bool, 1, 1),
    ("int8", DataType::Int8, 1, 1),
    ("int16", DataType::Int16, 2, 2),
    ("int32", DataType::Int32, 4, 4),
    ("int64", DataType::Int64, 8, 8),
    ("uint8", DataType::UInt8, 1, 1),
    ("uint16", DataType::UInt16, 2, 2),
    ("uint32", DataType::UInt32, 4, 4),
    ("uint64", DataType::UInt64, 8, 8),
    ("float16", DataType::Float16, 2, 2),
    ("float32", DataType::Float32, 4, 4),
    ("float64", DataType::Float64, 8, 8),
    ("complex64", DataType::Complex64, 8, 4),
    ("complex128", DataType::Complex128, 16, 8),
    ("bfloat16", DataType::BFloat16, 2, 2),
];

/// Bytes of a character of [`DataType::FixedUnicode`].
const CHARACTER_SIZE: u32 = 4;

impl DataType {
    /// Whether bytes are elements of the type, in native order: a bool is 0 or 1.
    pub(crate) fn admits(self, elements: &[u8]) -> bool {
        self != Self::Bool || elements.iter().all(|&byte| byte <= 1)
    }

    /// Checks that what was decoded are elements of the type.
    ///
    /// # Errors
    /// `Corrupt` if they are not.
    pub(crate) fn check(self, decoded: &[u8]) -> Result<()> {
        if self.admits(decoded) {
            return Ok(());
        }
        Err(Error::corrupt("a bool is neither 0 nor 1"))
    }

    /// How elements of this type lie in memory.
    #[must_use]
    pub fn layout(self) -> ElementLayout {
        match self {
            Self::Raw(size) | Self::FixedBytes(size) => ElementLayout::Fixed(size as usize),
            Self::FixedUnicode(characters) => {
                ElementLayout::Fixed((characters as usize).saturating_mul(CHARACTER_SIZE as usize))
            }
            Self::DateTime64 { .. } | Self::TimeDelta64 { .. } => ElementLayout::Fixed(8),
            Self::String | Self::Bytes => ElementLayout::Variable,
            _ => ElementLayout::Fixed(self.row().map_or(0, |row| row.2)),
        }
    }

    /// Bytes of the numbers that an element consists of: what a change of byte order reverses.
    /// 1 for types without a byte order.
    #[must_use]
    pub fn number_size(self) -> usize {
        match self {
            Self::FixedUnicode(_) => CHARACTER_SIZE as usize,
            Self::DateTime64 { .. } | Self::TimeDelta64 { .. } => 8,
            _ => self.row().map_or(1, |row| row.3),
        }
    }

    fn row(self) -> Option<&'static (&'static str, Self, usize, usize)> {
        NAMED.iter().find(|row| row.1 == self)
    }

    /// The name in v3 metadata, for example `int16`, `r24` or `fixed_length_utf32`; the last has a
    /// configuration besides, see [`to_extension`](Self::to_extension).
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Raw(size) => format!("r{}", u64::from(size) * 8),
            Self::FixedBytes(_) => "null_terminated_bytes".into(),
            Self::FixedUnicode(_) => "fixed_length_utf32".into(),
            Self::DateTime64 { .. } => "numpy.datetime64".into(),
            Self::TimeDelta64 { .. } => "numpy.timedelta64".into(),
            Self::String => "string".into(),
            Self::Bytes => "bytes".into(),
            _ => self.row().map_or_else(String::new, |row| row.0.into()),
        }
    }

    /// The type as v3 metadata spells it.
    #[must_use]
    pub fn to_extension(self) -> Extension {
        let extension = Extension::new(self.name());
        match self {
            Self::FixedBytes(size) => extension.with("length_bytes", size),
            Self::FixedUnicode(characters) => {
                extension.with("length_bytes", u64::from(characters) * u64::from(CHARACTER_SIZE))
            }
            Self::DateTime64 { unit, scale } | Self::TimeDelta64 { unit, scale } => {
                extension.with("unit", unit.name()).with("scale_factor", scale)
            }
            _ => extension,
        }
    }

    /// The type that v3 metadata names. `raw_bytes` is another spelling of `r8`, `r16`, …, and
    /// `variable_length_bytes` of `bytes`.
    ///
    /// # Errors
    /// `Unsupported` for a name fuzarr does not have; `InvalidMetadata` for a configuration on a
    /// type that takes none, one that is missing or malformed, or a raw type whose bits are no whole
    /// bytes; `Limit` for elements of more than [`MAX_ELEMENT_SIZE`] bytes.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let name = extension.name.as_str();
        match name {
            "raw_bytes" => return Ok(Self::Raw(length_bytes(extension, 1)?)),
            "null_terminated_bytes" => return Ok(Self::FixedBytes(length_bytes(extension, 1)?)),
            "fixed_length_utf32" => {
                return Ok(Self::FixedUnicode(length_bytes(extension, CHARACTER_SIZE)?));
            }
            "numpy.datetime64" => {
                return time::step(extension).map(|(unit, scale)| Self::DateTime64 { unit, scale });
            }
            "numpy.timedelta64" => {
                return time::step(extension)
                    .map(|(unit, scale)| Self::TimeDelta64 { unit, scale });
            }
            _ => {}
        }
        let named = NAMED.iter().find(|row| row.0 == name).map(|row| row.1);
        let data_type = match name {
            "string" => Self::String,
            "bytes" | "variable_length_bytes" => Self::Bytes,
            _ => match named.map_or_else(|| raw(name), |named| Ok(Some(named)))? {
                Some(data_type) => data_type,
                None => {
                    return Err(Error::unsupported(format!("not supported: data type `{name}`")));
                }
            },
        };
        if extension.configuration.is_empty() {
            return Ok(data_type);
        }
        Err(Error::invalid_metadata(format!("data type `{name}` takes no configuration")))
    }
}

/// The name of [`DataType::name`], or NumPy's where that leaves something open: `S5`, `U7`,
/// `datetime64[ns]`.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FixedBytes(size) => write!(f, "S{size}"),
            Self::FixedUnicode(characters) => write!(f, "U{characters}"),
            Self::DateTime64 { unit, scale } => {
                write!(f, "datetime64{}", numpy::step_name(unit, scale))
            }
            Self::TimeDelta64 { unit, scale } => {
                write!(f, "timedelta64{}", numpy::step_name(unit, scale))
            }
            plain => f.write_str(&plain.name()),
        }
    }
}

/// The type of a name like `r16`; `None` if the name is not of that form.
fn raw(name: &str) -> Result<Option<DataType>> {
    let Some(digits) = name.strip_prefix('r') else { return Ok(None) };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // More digits than fit are beyond every limit as well.
    let bits: u64 = digits.parse().unwrap_or(u64::MAX - 7);
    if bits == 0 || !bits.is_multiple_of(8) {
        return Err(Error::invalid_metadata(format!(
            "data type `{name}`: the bits must be a positive multiple of 8"
        )));
    }
    element_size(bits / 8, name).map(|size| Some(DataType::Raw(size)))
}

/// How many parts of `part` bytes the elements of a type with a `length_bytes` have.
fn length_bytes(extension: &Extension, part: u32) -> Result<u32> {
    let name = extension.name.as_str();
    extension.allow_only(&["length_bytes"])?;
    let length = extension.integer("length_bytes")?.ok_or_else(|| missing(name, "length_bytes"))?;
    match u64::try_from(length) {
        Ok(bytes) if bytes > 0 && bytes.is_multiple_of(part.into()) => {
            element_size(bytes, name).map(|bytes| bytes / part)
        }
        _ => {
            let multiple =
                if part > 1 { format!(" multiple of {part}") } else { " number".to_owned() };
            Err(Error::invalid_metadata(format!(
                "data type `{name}`: `length_bytes` must be a positive{multiple}, not {length}"
            )))
        }
    }
}

/// Checks the size of an element against [`MAX_ELEMENT_SIZE`].
fn element_size(bytes: u64, name: &str) -> Result<u32> {
    match u32::try_from(bytes) {
        Ok(size) if size <= MAX_ELEMENT_SIZE => Ok(size),
        _ => Err(Error::limit(format!(
            "data type `{name}`: elements of {bytes} bytes are more than {MAX_ELEMENT_SIZE}"
        ))),
    }
}

#[cold]
fn missing(name: &str, key: &str) -> Error {
    Error::invalid_metadata(format!("data type `{name}` needs `{key}` in its configuration"))
}

#[cfg(test)]
mod tests;
