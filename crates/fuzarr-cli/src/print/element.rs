//! Elements out of bytes, and the words they are printed as inside an array.

use super::float::{Complex, Float, Format};
use super::{Elements, fixed_size, text};
use crate::time;
use fuzarr::dtype::DataType;
use fuzarr::{Error, Result};
use half::{bf16, f16};

/// The number of steps that stands for no time.
pub(super) const NOT_A_TIME: i64 = i64::MIN;

/// Elements whose number and size were checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) data_type: DataType,
    elements: Elements<'a>,
    /// Bytes of an element; 1 for variable ones, where it is not used.
    size: usize,
    count: usize,
}

impl<'a> Table<'a> {
    /// Checks `elements` against the shape and type.
    pub(super) fn new(shape: &[u64], data_type: DataType, elements: Elements<'a>) -> Result<Self> {
        // Any axis of length 0 makes the array empty, however long the others are.
        let count = if shape.contains(&0) {
            Some(0)
        } else {
            shape.iter().try_fold(1_u64, |count, &length| count.checked_mul(length))
        };
        let count = count.and_then(|count| usize::try_from(count).ok());
        let wrong = || Error::invalid_argument("the elements do not fill the shape");
        let count = count.ok_or_else(wrong)?;
        let (size, complete) = match (elements, fixed_size(data_type)) {
            (Elements::Fixed(bytes), Some(size)) => {
                (size, count.checked_mul(size) == Some(bytes.len()))
            }
            (Elements::Variable(slices), None) => (1, slices.len() == count),
            _ => return Err(Error::invalid_argument("the elements are not of the data type")),
        };
        if complete { Ok(Self { data_type, elements, size, count }) } else { Err(wrong()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the element at `offset`; nothing past the end.
    pub(super) fn bytes(&self, offset: usize) -> &'a [u8] {
        match self.elements {
            Elements::Fixed(bytes) => {
                let start = offset.saturating_mul(self.size);
                bytes.get(start..start.saturating_add(self.size)).unwrap_or_default()
            }
            Elements::Variable(slices) => slices.get(offset).copied().unwrap_or_default(),
        }
    }
}

/// The words of the elements at `offsets`, padded so that they align.
pub(super) fn words(table: &Table<'_>, offsets: &[usize]) -> Result<Vec<String>> {
    let bytes = offsets.iter().map(|&offset| table.bytes(offset));
    Ok(match table.data_type {
        DataType::Bool => {
            bytes.map(|b| if boolean(b) { " True" } else { "False" }.to_owned()).collect()
        }
        DataType::Raw(_) => bytes.map(text::raw).collect(),
        DataType::Bytes => bytes.map(text::bytes_literal).collect(),
        DataType::FixedBytes(_) => {
            bytes.map(|bytes| text::bytes_literal(text::unpadded(bytes))).collect()
        }
        DataType::FixedUnicode(_) => {
            let literal = |b: &[u8]| Ok(text::string_literal(&characters(b)?));
            bytes.map(literal).collect::<Result<_>>()?
        }
        DataType::DateTime64 { unit, scale } => {
            let steps: Vec<i64> = bytes.map(steps).collect();
            time_words(&steps, |steps| format!("'{}'", time::text(steps, unit, scale)))
        }
        DataType::TimeDelta64 { .. } => {
            time_words(&bytes.map(steps).collect::<Vec<_>>(), |steps| steps.to_string())
        }
        DataType::String => {
            let literal = |b| Ok(text::string_literal(text::utf8(b)?));
            bytes.map(literal).collect::<Result<_>>()?
        }
        data_type => match kind(data_type)? {
            Numeric::Integer => right_aligned(bytes.map(|b| integer(data_type, b).to_string())),
            Numeric::Float => {
                let values: Vec<Float> = bytes.map(|b| float(data_type, b)).collect();
                let format = Format::fitting(&values, false);
                values.iter().map(|&value| format.word(value)).collect()
            }
            Numeric::Complex => complex_words(&bytes.map(complex).collect::<Vec<_>>()),
        },
    })
}

/// Words of times in a width that those at either end of the range need, "not a time" apart.
fn time_words(values: &[i64], word: impl Fn(i64) -> String) -> Vec<String> {
    let times = || values.iter().copied().filter(|&steps| steps != NOT_A_TIME);
    let ends = times().min().into_iter().chain(times().max());
    let none = "'NaT'";
    let mut width = ends.map(|end| word(end).len()).max().unwrap_or(0);
    if times().count() < values.len() {
        width = width.max(none.len());
    }
    let word = |&steps| if steps == NOT_A_TIME { none.to_owned() } else { word(steps) };
    values.iter().map(|steps| format!("{:>width$}", word(steps))).collect()
}

fn right_aligned(words: impl Iterator<Item = String>) -> Vec<String> {
    let words: Vec<String> = words.collect();
    let width = words.iter().map(String::len).max().unwrap_or(0);
    words.into_iter().map(|word| format!("{word:>width$}")).collect()
}

fn complex_words(values: &[Complex]) -> Vec<String> {
    let real = Format::fitting(&values.iter().map(|value| value.real).collect::<Vec<_>>(), false);
    let imaginary: Vec<Float> = values.iter().map(|value| value.imaginary).collect();
    let imaginary = Format::fitting(&imaginary, true);
    let word = |value: &Complex| {
        let padded = imaginary.word(value.imaginary);
        let number = padded.trim_end();
        let padding = " ".repeat(padded.len() - number.len());
        format!("{}{number}j{padding}", real.word(value.real))
    };
    values.iter().map(word).collect()
}

/// Families of numbers that print alike.
pub(super) enum Numeric {
    Integer,
    Float,
    Complex,
}

pub(super) fn kind(data_type: DataType) -> Result<Numeric> {
    match data_type {
        DataType::Float16 | DataType::BFloat16 | DataType::Float32 | DataType::Float64 => {
            Ok(Numeric::Float)
        }
        DataType::Complex64 | DataType::Complex128 => Ok(Numeric::Complex),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => Ok(Numeric::Integer),
        other => Err(Error::unsupported(format!("not supported: printing `{}`", other.name()))),
    }
}

pub(super) fn boolean(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|&byte| byte != 0)
}

pub(super) fn integer(data_type: DataType, bytes: &[u8]) -> i128 {
    let unsigned = u64::from_le_bytes(little(bytes));
    let signed =
        matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64);
    let bits = 8 * bytes.len().min(8);
    let negative = signed && bits > 0 && (unsigned >> (bits - 1)) & 1 == 1;
    i128::from(unsigned) - if negative { 1 << bits } else { 0 }
}

/// The number of steps that a time is.
pub(super) fn steps(bytes: &[u8]) -> i64 {
    i64::from_le_bytes(little(bytes))
}

/// The text of characters of four bytes, without the U+0000 at its end.
pub(super) fn characters(bytes: &[u8]) -> Result<String> {
    let text: Option<String> = bytes
        .chunks(4)
        .map(|character| char::from_u32(u32::from_le_bytes(little(character))))
        .collect();
    let text = text.ok_or_else(|| Error::corrupt("a string holds what is no character"))?;
    Ok(text.trim_end_matches('\0').to_owned())
}

/// A number in its type. NumPy has no `bfloat16`; it is shown as the `float32` that it is.
pub(super) fn float(data_type: DataType, bytes: &[u8]) -> Float {
    match data_type {
        DataType::Float16 => Float::Half(f16::from_le_bytes(little(bytes))),
        DataType::BFloat16 => Float::Single(bf16::from_le_bytes(little(bytes)).to_f32()),
        DataType::Float32 => Float::Single(f32::from_le_bytes(little(bytes))),
        _ => Float::Double(f64::from_le_bytes(little(bytes))),
    }
}

pub(super) fn complex(bytes: &[u8]) -> Complex {
    let (real, imaginary) = bytes.split_at(bytes.len() / 2);
    let part = if real.len() == 4 { DataType::Float32 } else { DataType::Float64 };
    Complex { real: float(part, real), imaginary: float(part, imaginary) }
}

/// A number of native byte order as little-endian bytes, extended by zeros.
fn little<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut little = [0; N];
    for (position, byte) in little.iter_mut().zip(bytes) {
        *position = *byte;
    }
    if cfg!(target_endian = "big") {
        let length = bytes.len().min(N);
        if let Some(number) = little.get_mut(..length) {
            number.reverse();
        }
    }
    little
}
