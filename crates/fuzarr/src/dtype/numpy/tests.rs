use super::*;
use crate::error::Kind;
use DataType as D;

fn date(unit: TimeUnit, scale: u32) -> DataType {
    D::DateTime64 { unit, scale }
}

fn delta(unit: TimeUnit, scale: u32) -> DataType {
    D::TimeDelta64 { unit, scale }
}

#[test]
fn type_strings_go_both_ways() {
    for (text, data_type) in [
        ("b1", D::Bool),
        ("i1", D::Int8),
        ("u1", D::UInt8),
        ("i2", D::Int16),
        ("u8", D::UInt64),
        ("f2", D::Float16),
        ("f8", D::Float64),
        ("c8", D::Complex64),
        ("c16", D::Complex128),
        ("S5", D::FixedBytes(5)),
        ("U7", D::FixedUnicode(7)),
        ("V3", D::Raw(3)),
        ("M8", date(TimeUnit::Generic, 1)),
        ("M8[ns]", date(TimeUnit::Nanosecond, 1)),
        ("M8[10s]", date(TimeUnit::Second, 10)),
        ("m8[D]", delta(TimeUnit::Day, 1)),
        ("m8[25us]", delta(TimeUnit::Microsecond, 25)),
        ("m8[3generic]", delta(TimeUnit::Generic, 3)),
    ] {
        if data_type.number_size() == 1 {
            let spelled = format!("|{text}");
            assert_eq!(to_numpy(data_type, Endian::Big).unwrap(), spelled);
            assert_eq!(to_numpy(data_type, Endian::Little).unwrap(), spelled);
            for order in ["|", "<", ">", "=", ""] {
                let found = from_numpy(&format!("{order}{text}")).unwrap();
                assert_eq!(found, (data_type, None), "{order}{text}");
            }
            continue;
        }
        for (order, endian) in [('<', Endian::Little), ('>', Endian::Big)] {
            let spelled = format!("{order}{text}");
            assert_eq!(to_numpy(data_type, endian).unwrap(), spelled);
            assert_eq!(from_numpy(&spelled).unwrap(), (data_type, Some(endian)), "{spelled}");
        }
        for order in ["", "="] {
            assert_eq!(from_numpy(&format!("{order}{text}")).unwrap(), (data_type, None), "{text}");
        }
        let error = from_numpy(&format!("|{text}")).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidMetadata, "{error}");
    }
}

#[test]
fn names_are_read() {
    for (text, data_type) in [
        ("float32", D::Float32),
        ("int16", D::Int16),
        ("bool", D::Bool),
        ("complex128", D::Complex128),
        ("bfloat16", D::BFloat16),
        ("datetime64[\u{3bc}s]", date(TimeUnit::Microsecond, 1)),
        ("timedelta64", delta(TimeUnit::Generic, 1)),
    ] {
        assert_eq!(from_numpy(text).unwrap(), (data_type, None));
    }
    assert_eq!(to_numpy(D::BFloat16, Endian::Little).unwrap(), "bfloat16");
    assert_eq!(to_numpy(D::BFloat16, Endian::Big), None);
    for variable in [D::String, D::Bytes] {
        assert_eq!(to_numpy(variable, Endian::Big).unwrap(), "|O");
    }
}

#[test]
fn other_types_are_refused_by_kind() {
    for text in [
        "",
        "<",
        "|",
        "i",
        "i3",
        "i16",
        "<f16",
        "<c32",
        "<f",
        "<float32",
        "S",
        "|S-1",
        "|S+1",
        "|S1x",
        "<Sé",
        "é5",
        "M8[",
        "M8]",
        "M8[]",
        "M8[10]",
        "M8[0s]",
        "M8[x]",
        "M8[ns",
        "<M8[-1s]",
        "<M8[25s/2]",
        "<M8[2147483648s]",
        "<M8[99999999999999999999s]",
        "<M4[s]",
        "[('a', '<i4')]",
        "<i4,<f8",
        "|T",
        "int2",
        "<<i4",
    ] {
        let error = from_numpy(text).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{text}: {error}");
    }
    let error = from_numpy("|O").unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.message().contains("object codec"), "{error}");
    for text in ["|S0", "<U0", "|V0", "|S000"] {
        assert_eq!(from_numpy(text).unwrap_err().kind(), Kind::InvalidMetadata, "{text}");
    }
    for text in ["|S67108865", "<U16777217", "|V4294967296", "|S99999999999999999999"] {
        assert_eq!(from_numpy(text).unwrap_err().kind(), Kind::Limit, "{text}");
    }
    assert_eq!(from_numpy("<U16777216").unwrap().0, D::FixedUnicode(16_777_216));
}

/// Fill values as zarr-python 3.4.2 writes them, of elements that one hexadecimal word a number of
/// the element spells.
#[test]
fn fills_of_zarr_python() {
    let second = TimeUnit::Second;
    for (data_type, value, expected) in [
        (D::Bool, json!(true), vec![1]),
        (D::Int16, json!(-2), native(&[0xfffe], 2)),
        (D::Float16, json!("Infinity"), native(&[0x7c00], 2)),
        (D::Float32, json!("NaN"), native(&[0x7fc0_0000], 4)),
        (D::Float64, json!("-Infinity"), native(&[0xfff0 << 48], 8)),
        (D::Complex64, json!([0.0, 1.0]), native(&[0, 0x3f80_0000], 4)),
        (D::Complex64, json!(["NaN", "-Infinity"]), native(&[0x7fc0_0000, 0xff80_0000], 4)),
        (D::FixedBytes(5), json!("YWIAAAA="), b"ab\0\0\0".to_vec()),
        (D::FixedUnicode(3), json!("\u{e9}"), native(&[0xe9, 0, 0], 4)),
        (D::Raw(3), json!("YWJj"), b"abc".to_vec()),
        (date(second, 1), json!(5), native(&[5], 8)),
        (delta(second, 1), json!(i64::MIN), native(&[1 << 63], 8)),
        (D::String, json!("x"), b"x".to_vec()),
        (D::Bytes, json!("YWI="), b"ab".to_vec()),
    ] {
        assert_eq!(fill_from_v2(data_type, &value).unwrap(), expected, "{data_type:?} {value}");
        assert_eq!(fill_to_v2(data_type, &expected).unwrap(), value, "{data_type:?}");
    }
}

#[test]
fn fills_of_other_writers_are_read() {
    let second = TimeUnit::Second;
    let not_a_time = native(&[1 << 63], 8);
    for (data_type, value, expected) in [
        (D::FixedBytes(5), json!("YWI="), b"ab\0\0\0".to_vec()),
        (D::FixedBytes(2), json!(0), vec![0; 2]),
        (D::FixedUnicode(1), json!(0), vec![0; 4]),
        (D::FixedUnicode(1), json!(""), vec![0; 4]),
        (D::FixedUnicode(1), json!("0"), native(&[0x30], 4)),
        (D::Raw(2), json!(0), vec![0; 2]),
        (D::String, json!(0), vec![]),
        (D::Bytes, json!(0), vec![]),
        (D::Bool, json!(0), vec![0]),
        (D::Bool, json!(1.0), vec![1]),
        (D::Complex64, json!(1), native(&[0x3f80_0000, 0], 4)),
        (D::Int8, json!(3.0), vec![3]),
        (date(second, 1), json!("NaT"), not_a_time.clone()),
        (date(second, 1), json!(null), not_a_time),
        (D::Float32, json!(null), vec![0; 4]),
        (D::FixedUnicode(2), json!(null), vec![0; 8]),
        (D::String, json!(null), vec![]),
    ] {
        assert_eq!(fill_from_v2(data_type, &value).unwrap(), expected, "{data_type:?} {value}");
    }
    for (data_type, value) in [
        (D::FixedBytes(1), json!("YWI=")),
        (D::FixedBytes(5), json!("not base64")),
        (D::FixedBytes(5), json!(1)),
        (D::FixedUnicode(1), json!("ab")),
        (D::Raw(3), json!("YWI=")),
        (D::String, json!(1)),
        (D::Bool, json!(2)),
        (date(second, 1), json!("2024-01-01")),
        (date(second, 1), json!(1.5)),
    ] {
        let error = fill_from_v2(data_type, &value).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidMetadata, "{data_type:?} {value}");
    }
}

#[test]
fn all_nans_are_one_in_v2() {
    assert_eq!(fill_to_v2(D::Float32, &native(&[0xffc0_0001], 4)).unwrap(), "NaN");
    assert_eq!(fill_to_v2(D::BFloat16, &native(&[0xffc1], 2)).unwrap(), "NaN");
    let pair = native(&[0xffc0_0001, 0], 4);
    assert_eq!(fill_to_v2(D::Complex64, &pair).unwrap(), json!(["NaN", 0.0]));
    assert!(fill_to_v2(D::Float32, &[0]).is_err());
}

/// Numbers of `size` bytes in the order of the machine.
fn native(numbers: &[u64], size: usize) -> Vec<u8> {
    let bytes = |number: &u64| {
        let mut bytes = number.to_le_bytes()[..size].to_vec();
        if cfg!(target_endian = "big") {
            bytes.reverse();
        }
        bytes
    };
    numbers.iter().flat_map(bytes).collect()
}
