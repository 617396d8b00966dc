use serde_json::json;

use super::*;
use crate::error::Kind;

fn read(value: &serde_json::Value) -> Result<DataType> {
    DataType::from_extension(&Extension::from_json(value).unwrap())
}

fn time(unit: &str, scale: i64) -> serde_json::Value {
    json!({"name": "numpy.datetime64", "configuration": {"unit": unit, "scale_factor": scale}})
}

/// Every form of type: as metadata spells it, the type, bytes of an element and of its numbers.
#[test]
fn types_are_spelled_as_metadata_does() {
    let step = |name| json!({"name": name, "configuration": {"unit": "ms", "scale_factor": 25}});
    let length = |name, bytes| json!({"name": name, "configuration": {"length_bytes": bytes}});
    let (unit, scale) = (TimeUnit::Millisecond, 25);
    for (value, data_type, size, number) in [
        (json!("bool"), DataType::Bool, Some(1), 1),
        (json!("complex64"), DataType::Complex64, Some(8), 4),
        (json!("bfloat16"), DataType::BFloat16, Some(2), 2),
        (json!("r24"), DataType::Raw(3), Some(3), 1),
        (length("null_terminated_bytes", 5), DataType::FixedBytes(5), Some(5), 1),
        (length("fixed_length_utf32", 28), DataType::FixedUnicode(7), Some(28), 4),
        (step("numpy.datetime64"), DataType::DateTime64 { unit, scale }, Some(8), 8),
        (step("numpy.timedelta64"), DataType::TimeDelta64 { unit, scale }, Some(8), 8),
        (json!("string"), DataType::String, None, 1),
        (json!("bytes"), DataType::Bytes, None, 1),
    ] {
        assert_eq!(read(&value).unwrap(), data_type);
        assert_eq!(data_type.to_extension().to_json_name_if_plain(), value);
        let layout = size.map_or(ElementLayout::Variable, ElementLayout::Fixed);
        assert_eq!((data_type.layout(), data_type.number_size()), (layout, number), "{value}");
    }
}

#[test]
fn types_are_shown_in_full() {
    let (unit, scale) = (TimeUnit::Second, 10);
    for (data_type, text) in [
        (DataType::Int16, "int16"),
        (DataType::Raw(3), "r24"),
        (DataType::FixedBytes(5), "S5"),
        (DataType::FixedUnicode(7), "U7"),
        (DataType::DateTime64 { unit, scale }, "datetime64[10s]"),
        (DataType::TimeDelta64 { unit: TimeUnit::Generic, scale: 1 }, "timedelta64"),
    ] {
        assert_eq!(data_type.to_string(), text);
    }
}

#[test]
fn other_spellings_are_read() {
    let raw = json!({"name": "raw_bytes", "configuration": {"length_bytes": 3}});
    assert_eq!(read(&raw).unwrap(), DataType::Raw(3));
    assert_eq!(read(&json!("variable_length_bytes")).unwrap(), DataType::Bytes);
    for name in ["us", "\u{3bc}s", "\u{b5}s"] {
        let expected = DataType::DateTime64 { unit: TimeUnit::Microsecond, scale: 1 };
        assert_eq!(read(&time(name, 1)).unwrap(), expected);
        assert_eq!(expected.to_extension().configuration["unit"], "us");
    }
    for unit in ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic"] {
        let DataType::DateTime64 { unit: found, scale } = read(&time(unit, 2_147_483_647)).unwrap()
        else {
            panic!("no time");
        };
        assert_eq!((found.name(), scale), (unit, 2_147_483_647));
    }
}

#[test]
fn malformed_types_are_errors_of_their_kind() {
    let length = |name, bytes| json!({"name": name, "configuration": {"length_bytes": bytes}});
    let names = ["null_terminated_bytes", "fixed_length_utf32", "raw_bytes"];
    for name in names {
        for value in [json!(0), json!(-4), json!(1.5), json!("4"), json!(null), json!(u64::MAX)] {
            let error = read(&length(name, value)).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidMetadata, "{error}");
        }
        for bytes in [u64::from(MAX_ELEMENT_SIZE) + 4, 1 << 34, 1 << 62] {
            let error = read(&length(name, json!(bytes))).unwrap_err();
            assert_eq!(error.kind(), Kind::Limit, "{error}");
        }
        assert!(read(&length(name, json!(MAX_ELEMENT_SIZE))).is_ok());
    }
    for value in [
        json!("fixed_length_utf32"),
        json!("raw_bytes"),
        length("fixed_length_utf32", json!(6)),
        json!({"name": "raw_bytes", "configuration": {"length_bytes": 4, "length": 4}}),
        json!("numpy.datetime64"),
        json!({"name": "numpy.datetime64", "configuration": {"unit": "s"}}),
        json!({"name": "numpy.timedelta64", "configuration": {"scale_factor": 1}}),
        json!({"name": "numpy.datetime64",
            "configuration": {"unit": "s", "scale_factor": 1, "zone": "UTC"}}),
        time("B", 1),
        time("S", 1),
        time("", 1),
        time("s", 0),
        time("s", -1),
        time("s", 1 << 31),
        json!({"name": "bfloat16", "configuration": {"bits": 16}}),
        json!("r0"),
        json!("r12"),
    ] {
        let error = read(&value).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidMetadata, "{value}: {error}");
    }
    for name in ["r4294967296", "r536870920", "r99999999999999999999"] {
        assert_eq!(read(&json!(name)).unwrap_err().kind(), Kind::Limit);
    }
    for name in ["float8_e4m3", "S5", "r", "r8x", "datetime64", "raw"] {
        assert_eq!(read(&json!(name)).unwrap_err().kind(), Kind::Unsupported);
    }
}
