//! Types and fill values as NumPy spells them, and with it Zarr v2 and the codecs of numcodecs.
//!
//! Implements "Data type encoding" and "Fill value encoding" of the Zarr v2 specification.

use serde_json::{Value, json};

use super::{
    CHARACTER_SIZE, DataType, Endian, NAMED, TimeUnit, default_fill, element_size, fill_from_json,
    fill_to_json, time,
};
use crate::error::{Error, Result};

/// NumPy's kind and size of the types that Zarr v3 names without a configuration.
const NUMBERS: [(&str, DataType); 14] = [
    ("b1", DataType::Bool),
    ("i1", DataType::Int8),
    ("i2", DataType::Int16),
    ("i4", DataType::Int32),
    ("i8", DataType::Int64),
    ("u1", DataType::UInt8),
    ("u2", DataType::UInt16),
    ("u4", DataType::UInt32),
    ("u8", DataType::UInt64),
    ("f2", DataType::Float16),
    ("f4", DataType::Float32),
    ("f8", DataType::Float64),
    ("c8", DataType::Complex64),
    ("c16", DataType::Complex128),
];

/// The type, and the byte order if it has one, that NumPy means by `text`: `<f8`, `|S5`, `>M8[ns]`,
/// and also, without a byte order, `i4` or `float32`. `bfloat16` is read as tensorstore writes it.
///
/// # Errors
/// `Unsupported` for types that fuzarr has not, among them structured types and objects (`|O`: it
/// takes an object codec to say what they are); `InvalidMetadata` for elements of no bytes and for
/// byte orders that are missing from or do not go with the type; `Limit` for elements of more than
/// [`MAX_ELEMENT_SIZE`](super::MAX_ELEMENT_SIZE) bytes.
pub fn from_numpy(text: &str) -> Result<(DataType, Option<Endian>)> {
    let (order, name) = match text.chars().next() {
        Some(order @ ('<' | '>' | '|' | '=')) => (Some(order), text.get(1..).unwrap_or_default()),
        _ => (None, text),
    };
    let data_type = kind_and_size(name, text)?;
    if data_type.number_size() == 1 {
        return Ok((data_type, None));
    }
    match order {
        Some('<') => Ok((data_type, Some(Endian::Little))),
        Some('>') => Ok((data_type, Some(Endian::Big))),
        Some('|') => {
            Err(Error::invalid_metadata(format!("NumPy type `{text}` needs `<` or `>`, not `|`")))
        }
        _ => Ok((data_type, None)),
    }
}

/// NumPy's spelling of a type in this byte order, as Zarr v2 has it: `<f8`, `|S5`. Types of variable
/// size are `|O`; their filter says the rest. `None` for what v2 cannot spell: big-endian `bfloat16`.
#[must_use]
pub fn to_numpy(data_type: DataType, endian: Endian) -> Option<String> {
    let name = match data_type {
        DataType::BFloat16 => return (endian == Endian::Little).then(|| "bfloat16".into()),
        DataType::String | DataType::Bytes => "O".into(),
        DataType::Raw(size) => format!("V{size}"),
        DataType::FixedBytes(size) => format!("S{size}"),
        DataType::FixedUnicode(characters) => format!("U{characters}"),
        DataType::DateTime64 { unit, scale } => format!("M8{}", step_name(unit, scale)),
        DataType::TimeDelta64 { unit, scale } => format!("m8{}", step_name(unit, scale)),
        _ => NUMBERS.iter().find(|row| row.1 == data_type)?.0.into(),
    };
    let order = match endian {
        _ if data_type.number_size() == 1 => '|',
        Endian::Little => '<',
        Endian::Big => '>',
    };
    Some(format!("{order}{name}"))
}

/// The bytes of the fill value that v2 metadata spells as `value`; see
/// [`fill_from_json`](super::fill_from_json). Null, which leaves the value open, is
/// [`default_fill`](super::default_fill).
///
/// Also read is what other writers write: 0 for an empty text, 0 and 1 for a `bool`, a number for a
/// complex one.
///
/// # Errors
/// `InvalidMetadata` if `value` does not spell an element of `data_type`.
pub fn fill_from_v2(data_type: DataType, value: &Value) -> Result<Vec<u8>> {
    use DataType as D;
    match (data_type, value) {
        (_, Value::Null) => Ok(default_fill(data_type)),
        (
            D::Raw(_) | D::FixedBytes(_) | D::FixedUnicode(_) | D::String | D::Bytes,
            Value::Number(number),
        ) if number.as_f64() == Some(0.0) => Ok(default_fill(data_type)),
        (D::Bool, Value::Number(number)) if number.as_f64() == Some(0.0) => Ok(vec![0]),
        (D::Bool, Value::Number(number)) if number.as_f64() == Some(1.0) => Ok(vec![1]),
        (D::Complex64 | D::Complex128, Value::Number(_) | Value::String(_)) => {
            fill_from_json(data_type, &json!([value, 0.0]))
        }
        _ => fill_from_json(data_type, value),
    }
}

/// Spells a fill value as v2 metadata does, in the form that most readers take: the inverse of
/// [`fill_from_v2`], but for NaNs, of which v2 has one.
///
/// # Errors
/// `InvalidArgument` if `fill` is no element of `data_type`.
pub fn fill_to_v2(data_type: DataType, fill: &[u8]) -> Result<Value> {
    let value = fill_to_json(data_type, fill)?;
    Ok(match (data_type, value) {
        (DataType::Raw(_) | DataType::FixedBytes(_), _) => fill_to_json(DataType::Bytes, fill)?,
        (DataType::DateTime64 { .. } | DataType::TimeDelta64 { .. }, _) => {
            fill_to_json(DataType::Int64, fill)?
        }
        (DataType::Complex64 | DataType::Complex128, Value::Array(parts)) => {
            parts.into_iter().map(without_payload).collect()
        }
        (
            DataType::Float16 | DataType::BFloat16 | DataType::Float32 | DataType::Float64,
            number,
        ) => without_payload(number),
        (_, value) => value,
    })
}

/// A float that is spelled in hexadecimal is a NaN.
fn without_payload(number: Value) -> Value {
    match number.as_str() {
        Some(text) if text.starts_with("0x") => "NaN".into(),
        _ => number,
    }
}

/// The type of a name without its byte order; `text` is what stands in the document.
fn kind_and_size(name: &str, text: &str) -> Result<DataType> {
    if let Some(row) = NUMBERS.iter().find(|row| row.0 == name) {
        return Ok(row.1);
    }
    if let Some(row) = NAMED.iter().find(|row| row.0 == text) {
        return Ok(row.1);
    }
    if name == "O" {
        return Err(Error::unsupported(
            "not supported: NumPy type `|O` without an object codec such as vlen-utf8",
        ));
    }
    let times = [("M8", "datetime64"), ("m8", "timedelta64")].map(|(short, long)| {
        name.strip_prefix(short).or_else(|| text.strip_prefix(long)).map(parse_step)
    });
    let data_type = match times {
        [Some(step), _] => step.map(|(unit, scale)| DataType::DateTime64 { unit, scale }),
        [_, Some(step)] => step.map(|(unit, scale)| DataType::TimeDelta64 { unit, scale }),
        _ => return bytes_or_text(name, text),
    };
    data_type.ok_or_else(|| unsupported(text))
}

fn bytes_or_text(name: &str, text: &str) -> Result<DataType> {
    let (kind, digits) = name.split_at_checked(1).ok_or_else(|| unsupported(text))?;
    let (part, of): (u32, fn(u32) -> DataType) = match kind {
        "S" => (1, DataType::FixedBytes),
        "V" => (1, DataType::Raw),
        "U" => (CHARACTER_SIZE, DataType::FixedUnicode),
        _ => return Err(unsupported(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(unsupported(text));
    }
    // More digits than fit are beyond every limit as well.
    let count: u64 = digits.parse().unwrap_or(u64::MAX);
    if count == 0 {
        return Err(Error::invalid_metadata(format!(
            "NumPy type `{text}`: elements must be of at least one byte"
        )));
    }
    element_size(count.saturating_mul(part.into()), text).map(|size| of(size / part))
}

/// The step that follows the name of a type of times: `[ns]`, `[10s]`, or nothing.
fn parse_step(text: &str) -> Option<(TimeUnit, u32)> {
    if text.is_empty() {
        return Some((TimeUnit::Generic, 1));
    }
    let step = text.strip_prefix('[')?.strip_suffix(']')?;
    let (digits, unit) = step.split_at(step.find(|c: char| !c.is_ascii_digit())?);
    let scale = if digits.is_empty() { 1 } else { digits.parse().ok()? };
    Some((TimeUnit::from_name(unit)?, time::checked_scale(scale)?))
}

/// What follows the name of a type of times: the inverse of [`parse_step`].
pub(super) fn step_name(unit: TimeUnit, scale: u32) -> String {
    match (unit, scale) {
        (TimeUnit::Generic, 1) => String::new(),
        (_, 1) => format!("[{}]", unit.name()),
        _ => format!("[{scale}{}]", unit.name()),
    }
}

#[cold]
fn unsupported(text: &str) -> Error {
    Error::unsupported(format!("not supported: NumPy type `{text}`"))
}

#[cfg(test)]
mod tests;
