//! An array without axes, printed like a NumPy scalar: full precision, no quotes, no padding.

use super::element::{
    NOT_A_TIME, Numeric, Table, boolean, characters, complex, float, integer, kind, steps,
};
use super::float::{Complex, Float};
use super::text;
use crate::time;
use fuzarr::Result;
use fuzarr::dtype::{DataType, TimeUnit};

/// Text of the one element.
pub(super) fn text(table: &Table<'_>) -> Result<String> {
    let bytes = table.bytes(0);
    Ok(match table.data_type {
        DataType::Bool => if boolean(bytes) { "True" } else { "False" }.into(),
        DataType::Raw(_) => text::raw(bytes),
        DataType::Bytes => text::bytes_literal(bytes),
        DataType::FixedBytes(_) => text::bytes_literal(text::unpadded(bytes)),
        DataType::FixedUnicode(_) => characters(bytes)?,
        DataType::DateTime64 { .. } | DataType::TimeDelta64 { .. }
            if steps(bytes) == NOT_A_TIME =>
        {
            "NaT".into()
        }
        DataType::DateTime64 { unit, scale } => time::text(steps(bytes), unit, scale),
        DataType::TimeDelta64 { unit, scale } => {
            format!("{} {}", i128::from(steps(bytes)) * i128::from(scale), plural(unit))
        }
        DataType::String => text::utf8(bytes)?.into(),
        data_type => match kind(data_type)? {
            Numeric::Integer => integer(data_type, bytes).to_string(),
            Numeric::Float => real(float(data_type, bytes)),
            Numeric::Complex => sum(complex(bytes)),
        },
    })
}

/// NumPy's word for several of a unit, which it has for one as well.
fn plural(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Year => "years",
        TimeUnit::Month => "months",
        TimeUnit::Week => "weeks",
        TimeUnit::Day => "days",
        TimeUnit::Hour => "hours",
        TimeUnit::Minute => "minutes",
        TimeUnit::Second => "seconds",
        TimeUnit::Millisecond => "milliseconds",
        TimeUnit::Microsecond => "microseconds",
        TimeUnit::Nanosecond => "nanoseconds",
        TimeUnit::Picosecond => "picoseconds",
        TimeUnit::Femtosecond => "femtoseconds",
        TimeUnit::Attosecond => "attoseconds",
        TimeUnit::Generic => "generic time units",
    }
}

fn real(value: Float) -> String {
    let mut text = part(value);
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        text.push_str(".0");
    }
    text
}

fn sum(value: Complex) -> String {
    let imaginary = part(value.imaginary);
    let zero = value.real.exact() == 0.0 && !value.real.exact().is_sign_negative();
    if zero {
        return format!("{imaginary}j");
    }
    let sign = if imaginary.starts_with('-') { "" } else { "+" };
    format!("({}{sign}{imaginary}j)", part(value.real))
}

/// The shortest text of a number, without a point where it is whole.
fn part(value: Float) -> String {
    let exact = value.exact();
    if exact.is_nan() {
        return "nan".into();
    }
    let sign = if exact.is_sign_negative() { "-" } else { "" };
    if exact.is_infinite() {
        return format!("{sign}inf");
    }
    let size = exact.abs();
    let digits = value.shortest();
    if size == 0.0 || (1e-4..value.largest_positional_scalar()).contains(&size) {
        let text = digits.positional();
        format!("{sign}{}", text.trim_end_matches('.'))
    } else {
        let (mantissa, exponent) = digits.scientific();
        format!("{sign}{}{exponent}", mantissa.trim_end_matches('.'))
    }
}
