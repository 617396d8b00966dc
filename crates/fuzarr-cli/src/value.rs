//! One value written on the command line, as Zarr metadata spells a fill value of its type.

use crate::time;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use fuzarr::dtype::DataType;
use fuzarr::{Error, Result};
use serde_json::{Value, json};

/// The value that `text` is in `data_type`: `3`, `-1.5`, `nan`, `true`, `1+2j`, `2024-02-29T12:00`,
/// or in hexadecimal an integer, the bits of a float or the bytes of an opaque element. A whole
/// number is a time too: so many steps since 1970.
///
/// # Errors
/// `InvalidArgument` if it is no value of that type.
pub fn parse(text: &str, data_type: DataType) -> Result<Value> {
    let trimmed = text.trim();
    let value = match data_type {
        DataType::Bool => boolean(trimmed),
        DataType::Float16 | DataType::BFloat16 | DataType::Float32 | DataType::Float64 => {
            float(trimmed, data_type)
        }
        DataType::Complex64 => complex(trimmed, DataType::Float32),
        DataType::Complex128 => complex(trimmed, DataType::Float64),
        DataType::Raw(size) => raw(trimmed, size),
        DataType::DateTime64 { .. } | DataType::TimeDelta64 { .. } if trimmed == "NaT" => {
            Some(json!("NaT"))
        }
        DataType::DateTime64 { unit, scale } => {
            let steps = trimmed.parse().ok().or_else(|| time::parse(trimmed, unit, scale));
            steps.map(|steps: i64| json!(steps))
        }
        DataType::TimeDelta64 { .. } => trimmed.parse().ok().map(|steps: i64| json!(steps)),
        DataType::FixedUnicode(most) => {
            (text.chars().count() <= most as usize).then(|| json!(text))
        }
        DataType::FixedBytes(most) => {
            (text.len() <= most as usize).then(|| json!(BASE64_STANDARD.encode(text)))
        }
        DataType::String => Some(json!(text)),
        DataType::Bytes => Some(json!(BASE64_STANDARD.encode(text))),
        _ => integer(trimmed, data_type),
    };
    value.ok_or_else(|| {
        Error::invalid_argument(format!("`{text}` is not a value of type {data_type}"))
    })
}

fn boolean(text: &str) -> Option<Value> {
    match text {
        "true" | "True" | "1" => Some(json!(true)),
        "false" | "False" | "0" => Some(json!(false)),
        _ => None,
    }
}

fn integer(text: &str, data_type: DataType) -> Option<Value> {
    let number = match text.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            i128::from_str_radix(digits, 16).ok()?
        }
        _ => text.parse().ok()?,
    };
    let bits = 8 * data_type.number_size();
    let signed = data_type.name().starts_with("int");
    let (least, end) =
        if signed { (-(1_i128 << (bits - 1)), 1 << (bits - 1)) } else { (0, 1_i128 << bits) };
    if !(least..end).contains(&number) {
        return None;
    }
    u64::try_from(number)
        .map(|number| json!(number))
        .or_else(|_| i64::try_from(number).map(|number| json!(number)))
        .ok()
}

fn float(text: &str, data_type: DataType) -> Option<Value> {
    let size = data_type.number_size();
    if let Some(digits) = text.strip_prefix("0x") {
        let complete = digits.len() == 2 * size && digits.bytes().all(|b| b.is_ascii_hexdigit());
        return complete.then(|| json!(format!("0x{}", digits.to_ascii_lowercase())));
    }
    let number: f64 = text.parse().ok()?;
    if number.is_nan() {
        return (!text.starts_with('-')).then(|| json!("NaN"));
    }
    if number.is_infinite() {
        // Digits that overflow were not meant as infinity.
        let infinite = !text.bytes().any(|byte| byte.is_ascii_digit());
        return infinite.then(|| json!(if number > 0.0 { "Infinity" } else { "-Infinity" }));
    }
    // The first size that rounds to infinity: halfway past the largest number.
    let overflow = match data_type {
        DataType::Float16 => 65_520.0,
        DataType::BFloat16 => f64::exp2(128.0) - f64::exp2(119.0),
        DataType::Float32 => 3.402_823_567_797_336_6e38,
        _ => f64::INFINITY,
    };
    (number.abs() < overflow).then(|| json!(number))
}

/// `1+2j`, `2j`, `1`, in brackets or not.
fn complex(text: &str, part: DataType) -> Option<Value> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let Some(sum) = inner.strip_suffix(['j', 'i']) else {
        return Some(json!([float(inner, part)?, 0.0]));
    };
    // The last sign that starts a number, not an exponent, parts the real from the imaginary.
    let split = sum.char_indices().rev().find(|&(position, character)| {
        let before = sum.get(..position).and_then(|before| before.chars().next_back());
        matches!(character, '+' | '-') && before.is_some_and(|before| !matches!(before, 'e' | 'E'))
    });
    match split.and_then(|(position, _)| sum.split_at_checked(position)) {
        Some((real, imaginary)) => Some(json!([float(real, part)?, float(imaginary, part)?])),
        None => Some(json!([0.0, float(sum, part)?])),
    }
}

fn raw(text: &str, size: u32) -> Option<Value> {
    let digits = match text {
        "0" => return Some(json!(vec![0; size as usize])),
        _ => text.strip_prefix("0x")?,
    };
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || u64::try_from(digits.len()).ok()? != 2 * u64::from(size) {
        return None;
    }
    let pair = |start| u8::from_str_radix(digits.get(start..start + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(pair).collect();
    bytes.map(|bytes| json!(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{Bool, Bytes, Complex64, Float16, Float32, Float64, Int8, Int64, Raw, UInt64};
    use fuzarr::dtype::TimeUnit;

    const DAYS: DataType = DataType::DateTime64 { unit: TimeUnit::Day, scale: 1 };

    #[test]
    fn values_are_spelled_as_in_metadata() {
        for (text, data_type, expected) in [
            ("true", Bool, json!(true)),
            ("0", Bool, json!(false)),
            ("-128", Int8, json!(-128)),
            ("0x7f", Int8, json!(127)),
            ("-9223372036854775808", Int64, json!(i64::MIN)),
            ("18446744073709551615", UInt64, json!(u64::MAX)),
            ("-1.5", Float16, json!(-1.5)),
            ("65519", Float16, json!(65519.0)),
            ("3", Float64, json!(3.0)),
            ("nan", Float32, json!("NaN")),
            ("-inf", Float32, json!("-Infinity")),
            ("Infinity", Float32, json!("Infinity")),
            ("0x7FC00001", Float32, json!("0x7fc00001")),
            ("1+2j", Complex64, json!([1.0, 2.0])),
            ("(-1e-3-2.5e+2j)", Complex64, json!([-1e-3, -250.0])),
            ("-2j", Complex64, json!([0.0, -2.0])),
            ("7", Complex64, json!([7.0, 0.0])),
            ("nan+infj", Complex64, json!(["NaN", "Infinity"])),
            ("0x00ff10", Raw(3), json!([0, 255, 16])),
            ("0", Raw(2), json!([0, 0])),
            (" a ", DataType::String, json!(" a ")),
            ("é", Bytes, json!("w6k=")),
            ("ab", DataType::FixedBytes(2), json!("YWI=")),
            ("", DataType::FixedBytes(2), json!("")),
            ("é ", DataType::FixedUnicode(2), json!("é ")),
            ("1e38", DataType::BFloat16, json!(1e38)),
            ("0x7FC1", DataType::BFloat16, json!("0x7fc1")),
            ("NaT", DAYS, json!("NaT")),
            ("-3", DAYS, json!(-3)),
            ("2024-02-29", DAYS, json!(19782)),
            (" 7", DataType::TimeDelta64 { unit: TimeUnit::Second, scale: 1 }, json!(7)),
        ] {
            assert_eq!(parse(text, data_type).unwrap(), expected, "{text}");
        }
        let negative_zero = parse("-0.0", Float64).unwrap();
        assert!(negative_zero.as_f64().unwrap().is_sign_negative());
    }

    #[test]
    fn values_of_other_types_are_refused() {
        for (text, data_type) in [
            ("2", Bool),
            ("128", Int8),
            ("-129", Int8),
            ("1.0", Int8),
            ("0x-1", Int8),
            ("-1", UInt64),
            ("18446744073709551616", UInt64),
            ("1e400", Float64),
            ("1e39", Float32),
            ("65520", Float16),
            ("0x7fc0", Float32),
            ("0x7fc0000g", Float32),
            ("one", Float64),
            ("-nan", Float64),
            ("1+j", Complex64),
            ("1+2", Complex64),
            ("0x00", Raw(2)),
            ("0x00+1", Raw(2)),
            ("5", Raw(1)),
            ("é", DataType::FixedBytes(1)),
            ("abc", DataType::FixedUnicode(2)),
            ("3.4e38", DataType::BFloat16),
            ("0x7fc00000", DataType::BFloat16),
            ("2023-02-29", DAYS),
            ("2024-02-28T12", DAYS),
            ("9223372036854775808", DAYS),
            ("2024-02-28", DataType::TimeDelta64 { unit: TimeUnit::Second, scale: 1 }),
        ] {
            assert!(parse(text, data_type).is_err(), "{text}");
        }
    }
}
