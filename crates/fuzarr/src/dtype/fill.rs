//! Fill values: JSON to bytes and back.
//!
//! Implements "Fill values" of the Zarr v3 core specification and of the data types of its
//! extensions: bit-exact both ways, so that empty chunks can be told by comparing bits.

mod float;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::{DataType, ElementLayout};
use crate::error::{Error, Result};
use crate::metadata::json::kind_of;
use float::Format;
pub(crate) use float::rounded_to_odd;

/// Integers up to here are exact in a `float64`.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// The bytes of the fill value that metadata spells as `value`: of one fixed element, in native byte
/// order, or those of a variable one.
///
/// Numbers that a float type lacks are rounded to the nearest, ties to even. Beyond the
/// specification, this reads what other writers write: `1.0` for an integer, `"+Infinity"`, base64
/// for raw types, lists of bytes for all that are made of bytes.
///
/// # Errors
/// `InvalidMetadata` if `value` does not spell an element of `data_type`.
pub fn fill_from_json(data_type: DataType, value: &Value) -> Result<Vec<u8>> {
    let part = data_type.number_size();
    match Class::of(data_type) {
        Class::Bool => value.as_bool().map(|flag| vec![u8::from(flag)]),
        Class::Integer { signed } => integer_from_json(value, part, signed),
        Class::Float(format) => float_from_json(value, format),
        Class::Complex(format) => complex_from_json(value, format),
        Class::Time if value.as_str() == Some("NaT") => Some(NOT_A_TIME.to_vec()),
        Class::Time => integer_from_json(value, part, true),
        Class::Raw(size) => bytes_from_json(value).filter(|bytes| bytes.len() == size),
        Class::FixedBytes(size) => bytes_from_json(value).and_then(|bytes| padded(bytes, size)),
        Class::FixedUnicode(characters) => value.as_str().and_then(|text| {
            let bytes = text.chars().flat_map(|letter| native(u32::from(letter).to_le_bytes(), 4));
            padded(bytes.collect(), characters as usize * 4)
        }),
        Class::String => value.as_str().map(|text| text.as_bytes().to_vec()),
        Class::Bytes => bytes_from_json(value),
    }
    .ok_or_else(|| malformed(data_type, value))
}

/// Spells a fill value as metadata does, in the form that most readers take: the inverse of
/// [`fill_from_json`].
///
/// # Errors
/// `InvalidArgument` if `fill` is no element of `data_type`.
pub fn fill_to_json(data_type: DataType, fill: &[u8]) -> Result<Value> {
    let invalid = || Error::invalid_argument(format!("no element of `{data_type}`"));
    if let ElementLayout::Fixed(size) = data_type.layout()
        && size != fill.len()
    {
        return Err(invalid());
    }
    let part = data_type.number_size();
    match Class::of(data_type) {
        Class::Bool => match fill {
            [0] => Some(false.into()),
            [1] => Some(true.into()),
            _ => None,
        },
        Class::Integer { signed: false } => Some(bits_of(fill).into()),
        Class::Integer { signed: true } => Some(sign_extended(bits_of(fill), part).into()),
        Class::Float(format) => Some(float_to_json(bits_of(fill), format)),
        Class::Complex(format) => {
            Some(fill.chunks(part).map(|half| float_to_json(bits_of(half), format)).collect())
        }
        Class::Time if fill == NOT_A_TIME => Some("NaT".into()),
        Class::Time => Some(sign_extended(bits_of(fill), part).into()),
        Class::Raw(_) => Some(fill.into()),
        Class::String => std::str::from_utf8(fill).ok().map(Value::from),
        Class::FixedUnicode(_) => text_of(fill).map(Value::from),
        Class::FixedBytes(_) => {
            let end = fill.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            Some(BASE64.encode(fill.get(..end).unwrap_or(fill)).into())
        }
        Class::Bytes => Some(BASE64.encode(fill).into()),
    }
    .ok_or_else(invalid)
}

/// The fill value of an array that names none: zero, false, empty, and "not a time" for times, as
/// zarr-python has it.
#[must_use]
pub fn default_fill(data_type: DataType) -> Vec<u8> {
    if matches!(Class::of(data_type), Class::Time) {
        return NOT_A_TIME.to_vec();
    }
    match data_type.layout() {
        ElementLayout::Fixed(size) => vec![0; size],
        ElementLayout::Variable => Vec::new(),
    }
}

/// The time that is none, "NaT", in native order.
#[expect(clippy::host_endian_bytes, reason = "elements in memory are of native order")]
const NOT_A_TIME: [u8; 8] = i64::MIN.to_ne_bytes();

/// How the fill value of a type is spelled.
enum Class {
    Bool,
    Integer { signed: bool },
    Float(Format),
    Complex(Format),
    Time,
    Raw(usize),
    FixedBytes(usize),
    FixedUnicode(u32),
    String,
    Bytes,
}

impl Class {
    fn of(data_type: DataType) -> Self {
        use DataType as D;
        match data_type {
            D::Bool => Self::Bool,
            D::Int8 | D::Int16 | D::Int32 | D::Int64 => Self::Integer { signed: true },
            D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => Self::Integer { signed: false },
            D::Float16 => Self::Float(Format::Half),
            D::BFloat16 => Self::Float(Format::Brain),
            D::Float32 => Self::Float(Format::Single),
            D::Float64 => Self::Float(Format::Double),
            D::Complex64 => Self::Complex(Format::Single),
            D::Complex128 => Self::Complex(Format::Double),
            D::DateTime64 { .. } | D::TimeDelta64 { .. } => Self::Time,
            D::Raw(size) => Self::Raw(size as usize),
            D::FixedBytes(size) => Self::FixedBytes(size as usize),
            D::FixedUnicode(characters) => Self::FixedUnicode(characters),
            D::String => Self::String,
            D::Bytes => Self::Bytes,
        }
    }
}

#[cold]
fn malformed(data_type: DataType, value: &Value) -> Error {
    let expected = match Class::of(data_type) {
        Class::Bool => "true or false".into(),
        Class::Integer { signed } => {
            let (low, high) = range(data_type.number_size(), signed);
            format!("an integer from {low} to {high}")
        }
        Class::Float(_) => format!(
            "a number, \"NaN\", \"Infinity\", \"-Infinity\" or \"0x\" and {} digits",
            2 * data_type.number_size()
        ),
        Class::Complex(_) => "a list of a real and an imaginary part".into(),
        Class::Time => "an integer of 64 bits or \"NaT\"".into(),
        Class::Raw(size) => format!("a list of {size} bytes"),
        Class::FixedBytes(size) => format!("base64 of at most {size} bytes"),
        Class::FixedUnicode(characters) => format!("a string of at most {characters} characters"),
        Class::String => "a string".into(),
        Class::Bytes => "base64 or a list of bytes".into(),
    };
    let found = match value {
        Value::Number(number) => number.to_string(),
        other => kind_of(other).into(),
    };
    Error::invalid_metadata(format!("a fill value of `{data_type}` must be {expected}"))
        .with("found", found)
}

/// The smallest and the largest integer of `size` bytes.
fn range(size: usize, signed: bool) -> (i128, i128) {
    let bits = 8 * size;
    if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

fn integer_from_json(value: &Value, size: usize, signed: bool) -> Option<Vec<u8>> {
    let number = match (value.as_i64(), value.as_u64()) {
        (Some(number), _) => i128::from(number),
        (None, Some(number)) => i128::from(number),
        (None, None) => whole(value.as_f64()?)?,
    };
    let (low, high) = range(size, signed);
    (low..=high).contains(&number).then(|| native(number.to_le_bytes(), size))
}

/// The integer that a float is, if it is one and no neighbour could have been meant.
#[expect(clippy::cast_possible_truncation, reason = "the number is whole and below 2^53")]
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() <= MAX_EXACT_FLOAT).then_some(number as i128)
}

fn complex_from_json(value: &Value, format: Format) -> Option<Vec<u8>> {
    let [real, imaginary] = value.as_array()?.as_slice() else { return None };
    let mut bytes = float_from_json(real, format)?;
    bytes.extend(float_from_json(imaginary, format)?);
    Some(bytes)
}

fn float_from_json(value: &Value, format: Format) -> Option<Vec<u8>> {
    let bits = match value {
        Value::Number(number) => format.rounded(number.as_f64()?),
        Value::String(text) => match text.as_str() {
            "NaN" => format.canonical_nan(),
            "Infinity" | "+Infinity" => format.rounded(f64::INFINITY),
            "-Infinity" => format.rounded(f64::NEG_INFINITY),
            _ => hexadecimal(text.strip_prefix("0x")?, format.size())?,
        },
        _ => return None,
    };
    Some(native(bits.to_le_bytes(), format.size()))
}

/// The bits of a float of `size` bytes, most significant digit first. Too few or too many digits are
/// of a float of another size: never guessed at.
fn hexadecimal(digits: &str, size: usize) -> Option<u64> {
    let whole = digits.len() == 2 * size && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if whole { u64::from_str_radix(digits, 16).ok() } else { None }
}

fn float_to_json(bits: u64, format: Format) -> Value {
    let number = format.widened(bits);
    if number.is_finite() {
        return number.into();
    }
    if bits == format.canonical_nan() {
        return "NaN".into();
    }
    if number.is_nan() {
        return format!("0x{bits:0digits$x}", digits = 2 * format.size()).into();
    }
    if number > 0.0 { "Infinity".into() } else { "-Infinity".into() }
}

fn bytes_from_json(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => BASE64.decode(text).ok(),
        Value::Array(items) => {
            items.iter().map(|item| item.as_u64().and_then(|byte| byte.try_into().ok())).collect()
        }
        _ => None,
    }
}

/// `bytes`, extended by zeros to `size`; `None` if there are more.
fn padded(mut bytes: Vec<u8>, size: usize) -> Option<Vec<u8>> {
    if bytes.len() > size {
        return None;
    }
    bytes.resize(size, 0);
    Some(bytes)
}

/// The text of characters of four bytes, without the U+0000 at its end.
fn text_of(characters: &[u8]) -> Option<String> {
    let text: Option<String> = characters
        .chunks(4)
        .map(|character| u32::try_from(bits_of(character)).ok().and_then(char::from_u32))
        .collect();
    text.map(|text| text.trim_end_matches('\0').to_owned())
}

/// The low `size` bytes of a little-endian number, in native order.
fn native<const N: usize>(little: [u8; N], size: usize) -> Vec<u8> {
    let mut bytes = little.get(..size).unwrap_or(&little).to_vec();
    if cfg!(target_endian = "big") {
        bytes.reverse();
    }
    bytes
}

/// The number whose native bytes are `bytes`, at most 8.
fn bits_of(bytes: &[u8]) -> u64 {
    let append = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
    if cfg!(target_endian = "big") {
        bytes.iter().fold(0, append)
    } else {
        bytes.iter().rev().fold(0, append)
    }
}

/// `bits`, of a number of `size` bytes in two's complement, as a number.
fn sign_extended(bits: u64, size: usize) -> i64 {
    let unused = 64 - 8 * size;
    (bits << unused).cast_signed() >> unused
}

#[cfg(test)]
mod tests;
