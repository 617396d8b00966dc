#![expect(clippy::host_endian_bytes, reason = "the order of the machine is what is tested")]

use half::f16;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::dtype::TimeUnit;
use crate::error::Kind;

const FIXED: [DataType; 20] = [
    DataType::Bool,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
    DataType::Float16,
    DataType::Float32,
    DataType::Float64,
    DataType::Complex64,
    DataType::Complex128,
    DataType::Raw(1),
    DataType::Raw(3),
    DataType::BFloat16,
    DataType::FixedBytes(3),
    SECONDS,
    DataType::TimeDelta64 { unit: TimeUnit::Nanosecond, scale: 100 },
];

const SECONDS: DataType = DataType::DateTime64 { unit: TimeUnit::Second, scale: 1 };

/// The fill value's bits, most significant first, whatever the machine.
fn bits(data_type: DataType, value: &Value) -> u64 {
    bits_of(&fill_from_json(data_type, value).unwrap())
}

fn rejected(data_type: DataType, value: &Value) {
    let error = fill_from_json(data_type, value).expect_err(&format!("{data_type:?}: {value}"));
    assert_eq!(error.kind(), Kind::InvalidMetadata);
}

/// As a document would carry it: through its text.
fn through_text(value: &Value) -> Value {
    crate::metadata::json::parse(&crate::metadata::json::to_vec(value)).unwrap()
}

#[test]
fn native_order_is_that_of_the_machine() {
    let bytes = fill_from_json(DataType::Int32, &json!(-2)).unwrap();
    assert_eq!(i32::from_ne_bytes(bytes.try_into().unwrap()), -2);
    let bytes = fill_from_json(DataType::Complex64, &json!([1.5, -0.25])).unwrap();
    let (real, imaginary) = bytes.split_at(4);
    assert_eq!(f32::from_ne_bytes(real.try_into().unwrap()), 1.5);
    assert_eq!(f32::from_ne_bytes(imaginary.try_into().unwrap()), -0.25);
}

#[test]
fn booleans_are_booleans() {
    assert_eq!(fill_from_json(DataType::Bool, &json!(true)).unwrap(), [1]);
    assert_eq!(fill_from_json(DataType::Bool, &json!(false)).unwrap(), [0]);
    for value in [json!(1), json!("true"), json!(null)] {
        rejected(DataType::Bool, &value);
    }
    assert!(fill_to_json(DataType::Bool, &[2]).is_err());
}

#[test]
fn integers_are_exact_to_the_ends_of_their_range() {
    for (data_type, low, high) in [
        (DataType::Int8, json!(i8::MIN), json!(i8::MAX)),
        (DataType::Int16, json!(i16::MIN), json!(i16::MAX)),
        (DataType::Int32, json!(i32::MIN), json!(i32::MAX)),
        (DataType::Int64, json!(i64::MIN), json!(i64::MAX)),
        (DataType::UInt8, json!(0), json!(u8::MAX)),
        (DataType::UInt16, json!(0), json!(u16::MAX)),
        (DataType::UInt32, json!(0), json!(u32::MAX)),
        (DataType::UInt64, json!(0), json!(u64::MAX)),
    ] {
        for value in [low, high] {
            let fill = fill_from_json(data_type, &through_text(&value)).unwrap();
            assert_eq!(fill_to_json(data_type, &fill).unwrap(), value);
        }
    }
}

#[test]
fn integers_outside_their_range_are_rejected() {
    rejected(DataType::Int8, &json!(128));
    rejected(DataType::Int8, &json!(-129));
    rejected(DataType::UInt8, &json!(256));
    rejected(DataType::UInt64, &json!(-1));
    rejected(DataType::Int64, &json!(1u64 << 63));
    rejected(DataType::UInt64, &json!(18_446_744_073_709_551_616.0));
    for value in [json!(0.5), json!("1"), json!(true), json!(null), json!([1]), json!(1e300)] {
        rejected(DataType::Int32, &value);
    }
}

#[test]
fn whole_floats_are_integers_while_exact() {
    assert_eq!(bits(DataType::Int16, &json!(1.0)), 1);
    assert_eq!(bits(DataType::UInt8, &json!(-0.0)), 0);
    rejected(DataType::Int64, &json!(9_007_199_254_740_994.0));
}

#[test]
fn floats_of_all_spellings() {
    for (data_type, value, expected) in [
        (DataType::Float16, json!(1), 0x3c00),
        (DataType::Float32, json!(0.1), 0x3dcc_cccd),
        (DataType::Float64, json!(0.1), 0x3fb9_9999_9999_999a),
        (DataType::Float64, json!(-0.0), 1 << 63),
        (DataType::BFloat16, json!(1), 0x3f80),
        (DataType::BFloat16, json!("NaN"), 0x7fc0),
        (DataType::BFloat16, json!("-Infinity"), 0xff80),
        (DataType::BFloat16, json!("0x7fC1"), 0x7fc1),
        (DataType::BFloat16, json!(1e300), 0x7f80),
        (DataType::Float16, json!("NaN"), 0x7e00),
        (DataType::Float32, json!("NaN"), 0x7fc0_0000),
        (DataType::Float64, json!("NaN"), 0x7ff8 << 48),
        (DataType::Float16, json!("Infinity"), 0x7c00),
        (DataType::Float32, json!("+Infinity"), 0x7f80_0000),
        (DataType::Float64, json!("-Infinity"), 0xfff0 << 48),
        (DataType::Float16, json!("0x7C01"), 0x7c01),
        (DataType::Float32, json!("0xffC0beeF"), 0xffc0_beef),
        (DataType::Float64, json!("0x3ff0000000000000"), 0x3ff0 << 48),
        (DataType::Float32, json!(1e300), 0x7f80_0000),
        (DataType::Float32, json!(-1e-300), 1 << 31),
    ] {
        assert_eq!(bits(data_type, &value), expected, "{data_type:?}: {value}");
    }
}

#[test]
fn misspelt_floats_are_rejected() {
    for value in [
        json!("0x3ff0"),
        json!("0x3ff00000000000000"),
        json!("0x3ff000000000000g"),
        json!("0x+ff0000000000000"),
        json!("0X3ff0000000000000"),
        json!("3ff0000000000000"),
        json!("1.5"),
        json!("nan"),
        json!("inf"),
        json!(""),
        json!(true),
        json!(null),
        json!([1.0]),
    ] {
        rejected(DataType::Float64, &value);
    }
}

#[test]
fn halves_are_rounded_once() {
    let tie = 1.0 + f64::exp2(-11.0);
    assert_eq!(bits(DataType::Float16, &json!(tie)), 0x3c00);
    // Both are ties once rounded to `f32`.
    assert_eq!(bits(DataType::Float16, &json!(tie + f64::exp2(-40.0))), 0x3c01);
    let odd_tie = 1.0 + 3.0 * f64::exp2(-11.0);
    assert_eq!(bits(DataType::Float16, &json!(odd_tie - f64::exp2(-40.0))), 0x3c01);
    assert_eq!(bits(DataType::Float16, &json!(65519.999)), 0x7bff);
    assert_eq!(bits(DataType::Float16, &json!(65520)), 0x7c00);
    assert_eq!(bits(DataType::Float16, &json!(-1e300)), 0xfc00);
    assert_eq!(bits(DataType::Float16, &json!(f64::exp2(-25.0))), 0);
    assert_eq!(bits(DataType::Float16, &json!(f64::exp2(-25.0) + f64::exp2(-70.0))), 1);
}

#[test]
fn complex_values_are_pairs() {
    for value in [json!(1.0), json!([1.0]), json!([1.0, 2.0, 3.0]), json!(["NaN", null])] {
        rejected(DataType::Complex128, &value);
    }
    let value = json!(["0x7fc00001", "-Infinity"]);
    let fill = fill_from_json(DataType::Complex64, &value).unwrap();
    assert_eq!(fill_to_json(DataType::Complex64, &fill).unwrap(), value);
}

#[test]
fn bytes_are_lists_or_base64() {
    let r24 = DataType::Raw(3);
    for value in [json!([1, 0, 255]), json!("AQD/")] {
        assert_eq!(fill_from_json(r24, &value).unwrap(), [1, 0, 255]);
        assert_eq!(fill_from_json(DataType::Bytes, &value).unwrap(), [1, 0, 255]);
    }
    assert_eq!(fill_to_json(r24, &[1, 0, 255]).unwrap(), json!([1, 0, 255]));
    assert_eq!(fill_to_json(DataType::Bytes, &[1, 0, 255]).unwrap(), json!("AQD/"));
    for value in [json!([1, 0]), json!([1, 0, 256]), json!([1, 0, -1]), json!("AQA="), json!(0)] {
        rejected(r24, &value);
    }
    for value in [json!("AQ"), json!("A QD"), json!([1.5]), json!(null)] {
        rejected(DataType::Bytes, &value);
    }
}

/// The oracle is exact arithmetic: bfloat16 has 8 significant bits.
#[test]
fn brain_floats_are_rounded_once() {
    let tie = 1.0 + f64::exp2(-8.0);
    assert_eq!(bits(DataType::BFloat16, &json!(tie)), 0x3f80);
    // Both are ties once rounded to `f32`.
    assert_eq!(bits(DataType::BFloat16, &json!(tie + f64::exp2(-40.0))), 0x3f81);
    let odd_tie = 1.0 + 3.0 * f64::exp2(-8.0);
    assert_eq!(bits(DataType::BFloat16, &json!(odd_tie)), 0x3f82);
    assert_eq!(bits(DataType::BFloat16, &json!(odd_tie - f64::exp2(-40.0))), 0x3f81);
    let largest = f64::exp2(127.0) * (2.0 - f64::exp2(-7.0));
    let half_step = f64::exp2(127.0 - 8.0);
    assert_eq!(bits(DataType::BFloat16, &json!(largest)), 0x7f7f);
    assert_eq!(bits(DataType::BFloat16, &json!(largest + half_step)), 0x7f80);
    assert_eq!(bits(DataType::BFloat16, &json!(largest + half_step * 0.999_999)), 0x7f7f);
    assert_eq!(bits(DataType::BFloat16, &json!(f64::exp2(-134.0))), 0);
    assert_eq!(bits(DataType::BFloat16, &json!(f64::exp2(-134.0) + f64::exp2(-180.0))), 1);
    assert_eq!(bits(DataType::BFloat16, &json!(-f64::exp2(-133.0))), 0x8001);
}

#[test]
fn times_are_integers_or_none() {
    assert_eq!(bits(SECONDS, &json!("NaT")), 1 << 63);
    assert_eq!(bits(SECONDS, &json!(i64::MIN)), 1 << 63);
    assert_eq!(bits(SECONDS, &json!(-1)), u64::MAX);
    assert_eq!(fill_to_json(SECONDS, &NOT_A_TIME).unwrap(), json!("NaT"));
    for value in [json!("nat"), json!("2024-01-01"), json!(1.5), json!(null), json!(1u64 << 63)] {
        rejected(SECONDS, &value);
    }
}

#[test]
fn fixed_bytes_are_padded() {
    let five = DataType::FixedBytes(5);
    for value in [json!("YWI="), json!("YWIAAAA="), json!([97, 98])] {
        assert_eq!(fill_from_json(five, &value).unwrap(), b"ab\0\0\0");
    }
    assert_eq!(fill_from_json(five, &json!("")).unwrap(), [0; 5]);
    assert_eq!(fill_to_json(five, b"ab\0\0\0").unwrap(), json!("YWI="));
    assert_eq!(fill_to_json(five, b"\0b\0\0c").unwrap(), json!("AGIAAGM="));
    for value in [json!("YWIAAAAA"), json!("ab"), json!(0), json!([256])] {
        rejected(five, &value);
    }
}

#[test]
fn fixed_text_is_padded() {
    let three = DataType::FixedUnicode(3);
    let fill = fill_from_json(three, &json!("\u{e9}\u{1f600}")).unwrap();
    let characters: Vec<u64> = fill.chunks(4).map(bits_of).collect();
    assert_eq!(characters, [0xe9, 0x1f600, 0]);
    assert_eq!(fill_to_json(three, &fill).unwrap(), json!("\u{e9}\u{1f600}"));
    assert_eq!(fill_from_json(three, &json!("a\0")).unwrap()[4..], [0; 8]);
    rejected(three, &json!("abcd"));
    rejected(three, &json!(0));
    rejected(three, &json!([97]));
    for code in [0xd800_u32, 0x0011_0000] {
        let mut fill = vec![0; 12];
        fill[..4].copy_from_slice(&code.to_ne_bytes());
        assert_eq!(fill_to_json(three, &fill).unwrap_err().kind(), Kind::InvalidArgument);
    }
}

#[test]
fn strings_are_strings() {
    assert_eq!(fill_from_json(DataType::String, &json!("é\0")).unwrap(), "é\0".as_bytes());
    rejected(DataType::String, &json!(0));
    assert!(fill_to_json(DataType::String, b"\xff").is_err());
}

#[test]
fn wrong_sizes_are_no_elements() {
    for data_type in FIXED {
        let mut fill = default_fill(data_type);
        fill.push(0);
        assert_eq!(fill_to_json(data_type, &fill).unwrap_err().kind(), Kind::InvalidArgument);
        assert!(fill_to_json(data_type, &[]).is_err());
    }
}

#[test]
fn defaults_are_zero() {
    for (data_type, value) in [
        (DataType::Bool, json!(false)),
        (DataType::Int16, json!(0)),
        (DataType::Float16, json!(0.0)),
        (DataType::Complex128, json!([0.0, 0.0])),
        (DataType::Raw(2), json!([0, 0])),
        (DataType::BFloat16, json!(0.0)),
        (DataType::FixedBytes(2), json!("")),
        (DataType::FixedUnicode(2), json!("")),
        (SECONDS, json!("NaT")),
        (DataType::String, json!("")),
        (DataType::Bytes, json!("")),
    ] {
        assert_eq!(fill_to_json(data_type, &default_fill(data_type)).unwrap(), value);
    }
}

#[test]
fn every_half_survives() {
    for bits in 0..=u16::MAX {
        let fill = bits.to_ne_bytes();
        for data_type in [DataType::Float16, DataType::BFloat16] {
            let value = through_text(&fill_to_json(data_type, &fill).unwrap());
            assert_eq!(fill_from_json(data_type, &value).unwrap(), fill, "{value}");
        }
    }
}

proptest! {
    #[test]
    fn every_element_survives(which in 0..FIXED.len(), bytes: [u8; 16]) {
        let data_type = FIXED[which];
        let size = default_fill(data_type).len();
        let mut fill = bytes[..size].to_vec();
        if data_type == DataType::Bool {
            fill[0] &= 1;
        }
        let value = through_text(&fill_to_json(data_type, &fill).unwrap());
        prop_assert_eq!(fill_from_json(data_type, &value).unwrap(), fill);
    }

    #[test]
    fn every_nan_survives(bits: u64) {
        for (data_type, exponent, size) in
            [(DataType::Float32, 0x7f80_0000, 4), (DataType::Float64, 0x7ff0 << 48, 8)]
        {
            let fill = native((bits | exponent).to_le_bytes(), size);
            let value = through_text(&fill_to_json(data_type, &fill).unwrap());
            prop_assert_eq!(fill_from_json(data_type, &value).unwrap(), fill);
        }
    }

    #[test]
    fn text_and_bytes_survive(text: String, bytes: Vec<u8>) {
        let value = through_text(&fill_to_json(DataType::String, text.as_bytes()).unwrap());
        prop_assert_eq!(fill_from_json(DataType::String, &value).unwrap(), text.as_bytes());
        let value = through_text(&fill_to_json(DataType::Bytes, &bytes).unwrap());
        prop_assert_eq!(fill_from_json(DataType::Bytes, &value).unwrap(), bytes);
        let characters = u32::try_from(text.chars().count() + 2).unwrap();
        let fixed = DataType::FixedUnicode(characters);
        let fill = fill_from_json(fixed, &json!(text)).unwrap();
        let value = through_text(&fill_to_json(fixed, &fill).unwrap());
        prop_assert_eq!(&value, &json!(text.trim_end_matches('\0')));
        prop_assert_eq!(fill_from_json(fixed, &value).unwrap(), fill);
    }

    /// The nearest half is no farther than its neighbours.
    #[test]
    fn halves_are_nearest(number in -70000.0f64..70000.0, shift in 0i32..30) {
        let number = number * f64::exp2(f64::from(-shift));
        let found = u16::try_from(bits(DataType::Float16, &json!(number))).unwrap();
        let nearest = f16::from_bits(found).to_f64();
        prop_assume!(nearest.is_finite());
        for neighbour in [found.wrapping_sub(1), found + 1] {
            let neighbour = f16::from_bits(neighbour).to_f64();
            if neighbour.is_finite() {
                prop_assert!((nearest - number).abs() <= (neighbour - number).abs());
            }
        }
    }
}
