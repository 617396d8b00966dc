//! Data types: what one element is, how many bytes it takes, how its fill value is spelled.
//!
//! Implements "Data types" and "Fill values" of the Zarr v3 core specification.

mod fill;

pub use fill::{default_fill, fill_from_json, fill_to_json};

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
    /// `r8`, `r16`, …: opaque bytes, this many an element.
    Raw(u32),
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

/// Types whose name is the whole of their metadata, with their bytes per element and the size of
/// the numbers in them (which is what byte order is about).
const NAMED: [(&str, DataType, usize, usize); 14] = [
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
];

impl DataType {
    /// How elements of this type lie in memory.
    #[must_use]
    pub fn layout(self) -> ElementLayout {
        match self {
            Self::Raw(size) => ElementLayout::Fixed(size as usize),
            Self::String | Self::Bytes => ElementLayout::Variable,
            _ => ElementLayout::Fixed(self.row().map_or(0, |row| row.2)),
        }
    }

    /// Bytes of the numbers that an element consists of: what a change of byte order reverses.
    /// 1 for types without a byte order.
    #[must_use]
    pub fn number_size(self) -> usize {
        self.row().map_or(1, |row| row.3)
    }

    fn row(self) -> Option<&'static (&'static str, Self, usize, usize)> {
        NAMED.iter().find(|row| row.1 == self)
    }

    /// The name in v3 metadata, for example `int16` or `r24`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Raw(size) => format!("r{}", u64::from(size) * 8),
            Self::String => "string".into(),
            Self::Bytes => "bytes".into(),
            _ => self.row().map_or_else(String::new, |row| row.0.into()),
        }
    }

    /// The type that v3 metadata names.
    ///
    /// # Errors
    /// `Unsupported` for a name fuzarr does not have, `InvalidMetadata` for a configuration on a
    /// type that takes none or a raw type whose bits are no whole bytes.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let name = extension.name.as_str();
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

/// The type of a name like `r16`; `None` if the name is not of that form.
fn raw(name: &str) -> Result<Option<DataType>> {
    let Some(digits) = name.strip_prefix('r') else { return Ok(None) };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match digits.parse::<u32>() {
        Ok(bits) if bits > 0 && bits % 8 == 0 => Ok(Some(DataType::Raw(bits / 8))),
        _ => Err(Error::invalid_metadata(format!(
            "data type `{name}`: the bits must be a positive multiple of 8"
        ))),
    }
}
