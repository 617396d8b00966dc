//! Fill values: JSON to bytes and back.
//!
//! Implements "Fill values" of the Zarr v3 core specification: bit-exact both ways, so that empty
//! chunks can be told by comparing bits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use half::f16;
use serde_json::Value;

use super::{DataType, ElementLayout};
use crate::error::{Error, Result};
use crate::metadata::json::kind_of;

/// Integers up to here are exact in a `float64`.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// The bytes of the fill value that metadata spells as `value`: of one fixed element, in native byte
/// order, or those of a variable one.
///
/// Numbers that a float type lacks are rounded to the nearest, ties to even. Beyond the
/// specification, this reads what other writers write: `1.0` for an integer, `"+Infinity"`, base64
/// for raw types, lists of bytes for `bytes`.
///
/// # Errors
/// `InvalidMetadata` if `value` does not spell an element of `data_type`.
pub fn fill_from_json(data_type: DataType, value: &Value) -> Result<Vec<u8>> {
    let part = data_type.number_size();
    match Class::of(data_type) {
        Class::Bool => value.as_bool().map(|flag| vec![u8::from(flag)]),
        Class::Integer { signed } => integer_from_json(value, part, signed),
        Class::Float => float_from_json(value, part),
        Class::Complex => complex_from_json(value, part),
        Class::Raw(size) => {
            bytes_from_json(value).filter(|bytes| u32::try_from(bytes.len()) == Ok(size))
        }
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
    let invalid = || Error::invalid_argument(format!("no element of `{}`", data_type.name()));
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
        Class::Float => Some(float_to_json(bits_of(fill), part)),
        Class::Complex => {
            Some(fill.chunks(part).map(|half| float_to_json(bits_of(half), part)).collect())
        }
        Class::Raw(_) => Some(fill.into()),
        Class::String => std::str::from_utf8(fill).ok().map(Value::from),
        Class::Bytes => Some(BASE64.encode(fill).into()),
    }
    .ok_or_else(invalid)
}

/// The fill value of an array that names none: zero, false, empty.
#[must_use]
pub fn default_fill(data_type: DataType) -> Vec<u8> {
    match data_type.layout() {
        ElementLayout::Fixed(size) => vec![0; size],
        ElementLayout::Variable => Vec::new(),
    }
}

/// How the fill value of a type is spelled.
enum Class {
    Bool,
    Integer { signed: bool },
    Float,
    Complex,
    Raw(u32),
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
            D::Float16 | D::Float32 | D::Float64 => Self::Float,
            D::Complex64 | D::Complex128 => Self::Complex,
            D::Raw(size) => Self::Raw(size),
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
        Class::Float => format!(
            "a number, \"NaN\", \"Infinity\", \"-Infinity\" or \"0x\" and {} digits",
            2 * data_type.number_size()
        ),
        Class::Complex => "a list of a real and an imaginary part".into(),
        Class::Raw(size) => format!("a list of {size} bytes"),
        Class::String => "a string".into(),
        Class::Bytes => "base64 or a list of bytes".into(),
    };
    let found = match value {
        Value::Number(number) => number.to_string(),
        other => kind_of(other).into(),
    };
    Error::invalid_metadata(format!("a fill value of `{}` must be {expected}", data_type.name()))
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

fn complex_from_json(value: &Value, size: usize) -> Option<Vec<u8>> {
    let [real, imaginary] = value.as_array()?.as_slice() else { return None };
    let mut bytes = float_from_json(real, size)?;
    bytes.extend(float_from_json(imaginary, size)?);
    Some(bytes)
}

fn float_from_json(value: &Value, size: usize) -> Option<Vec<u8>> {
    let bits = match value {
        Value::Number(number) => rounded(number.as_f64()?, size),
        Value::String(text) => match text.as_str() {
            "NaN" => canonical_nan(size),
            "Infinity" | "+Infinity" => rounded(f64::INFINITY, size),
            "-Infinity" => rounded(f64::NEG_INFINITY, size),
            _ => hexadecimal(text.strip_prefix("0x")?, size)?,
        },
        _ => return None,
    };
    Some(native(bits.to_le_bytes(), size))
}

/// The bits of a float of `size` bytes, most significant digit first. Too few or too many digits are
/// of a float of another size: never guessed at.
fn hexadecimal(digits: &str, size: usize) -> Option<u64> {
    let whole = digits.len() == 2 * size && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if whole { u64::from_str_radix(digits, 16).ok() } else { None }
}

fn float_to_json(bits: u64, size: usize) -> Value {
    let number = widened(bits, size);
    if number.is_finite() {
        return number.into();
    }
    if bits == canonical_nan(size) {
        return "NaN".into();
    }
    if number.is_nan() {
        return format!("0x{bits:0digits$x}", digits = 2 * size).into();
    }
    if number > 0.0 { "Infinity".into() } else { "-Infinity".into() }
}

/// What `"NaN"` means: sign 0 and only the top bit of the mantissa set.
fn canonical_nan(size: usize) -> u64 {
    match size {
        2 => 0x7e00,
        4 => 0x7fc0_0000,
        _ => 0x7ff8_0000_0000_0000,
    }
}

/// The bits of the float of `size` bytes nearest to `number`, ties to even.
#[expect(clippy::cast_possible_truncation, reason = "the cast rounds to nearest, as wanted")]
fn rounded(number: f64, size: usize) -> u64 {
    match size {
        2 => u64::from(rounded_to_half(number).to_bits()),
        4 => u64::from((number as f32).to_bits()),
        _ => number.to_bits(),
    }
}

/// Rounds once. `f16::from_f64` may round to `f32` first, which turns what is just above a tie into
/// a tie. Rounding that first step to odd keeps ties and neighbours of ties apart.
#[expect(clippy::cast_possible_truncation, reason = "the rounding is corrected after")]
fn rounded_to_half(number: f64) -> f16 {
    let nearest = number as f32;
    let mut bits = nearest.to_bits();
    let widened = f64::from(nearest);
    if number.is_finite() && widened != number {
        bits -= u32::from(widened.abs() > number.abs());
        bits |= 1;
    }
    f16::from_f32(f32::from_bits(bits))
}

/// The number that `bits` stand for as a float of `size` bytes; exact but for payloads of NaNs.
fn widened(bits: u64, size: usize) -> f64 {
    match size {
        2 => u16::try_from(bits).map_or(f64::NAN, |bits| f16::from_bits(bits).to_f64()),
        4 => u32::try_from(bits).map_or(f64::NAN, |bits| f32::from_bits(bits).into()),
        _ => f64::from_bits(bits),
    }
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
