//! Random arrays of Zarr v2.

use serde_json::{Value, json};

use super::choices::{Case, Choices, Values, small_shape};

/// Types with their values, fill values to choose from beside null, and filters.
fn types() -> Vec<(&'static str, Values, Value, Vec<Value>)> {
    let any = Values::Any;
    let delta = |dtype: &str| json!({"id": "delta", "dtype": dtype});
    let wide = json!({"id": "astype", "encode_dtype": ">i4", "decode_dtype": "<i2"});
    let whole = json!({
        "id": "fixedscaleoffset", "offset": 10, "scale": 2, "dtype": "<f8", "astype": "<i2",
    });
    vec![
        ("|u1", any(1), json!(3), vec![delta("|u1")]),
        ("<i2", any(2), json!(-2), vec![delta("<i2"), wide]),
        (">i4", any(4), json!(1), vec![delta(">i4")]),
        ("<u8", any(8), json!(u64::MAX), vec![delta("<u8")]),
        ("<f4", any(4), json!("NaN"), vec![]),
        (">f8", any(8), json!(-0.0), vec![]),
        ("<f8", Values::Whole, json!(3.0), vec![whole]),
        ("|b1", Values::Bool, json!(true), vec![]),
        (">c8", any(8), json!([1.0, "NaN"]), vec![]),
        ("|S5", any(5), json!("YWI="), vec![]),
        ("<U2", any(8), json!("\u{e9}"), vec![]),
        (">U2", any(8), json!(""), vec![]),
        ("|V3", any(3), json!("AQID"), vec![]),
        ("<M8[ms]", any(8), json!(-1), vec![]),
        (">m8[25s]", any(8), json!(7), vec![]),
        ("|O", Values::Text, json!("f\u{fc}ll"), vec![json!({"id": "vlen-utf8"})]),
        ("|O", Values::Bytes, json!("AQID"), vec![json!({"id": "vlen-bytes"})]),
    ]
}

fn compressor(choices: &mut Choices<'_>) -> Value {
    let level = 1 + choices.below(4);
    match choices.below(9) {
        0 => Value::Null,
        1 => json!({"id": "zlib", "level": level}),
        2 => json!({"id": "gzip", "level": level}),
        3 => json!({"id": "zstd", "level": level}),
        4 => json!({"id": "bz2", "level": level}),
        5 => json!({"id": "lz4", "acceleration": level}),
        6 => json!({"id": "lzma", "preset": 0}),
        _ => json!({
            "id": "blosc", "clevel": level, "shuffle": choices.pick(&[0, 1, 2, -1]),
            "cname": choices.pick(&["lz4", "zstd", "blosclz", "zlib", "snappy", "lz4hc"]),
        }),
    }
}

/// An array of v2, and its document.
pub(crate) fn case(choices: &mut Choices<'_>) -> Case {
    let rank = choices.pick(&[1, 2, 3, 0, 4]);
    let (dtype, values, fill, array_filters) = choices.pick(&types());
    let chunk_shape: Vec<u64> = (0..rank).map(|_| 1 + choices.below(7) as u64).collect();
    let shape = small_shape(choices, &chunk_shape);
    // Elements of variable size always have their filter.
    let mut filters: Vec<Value> = match array_filters.is_empty() {
        true => Vec::new(),
        false if values.is_variable() => vec![choices.pick(&array_filters)],
        false if choices.below(2) == 1 => vec![choices.pick(&array_filters)],
        false => Vec::new(),
    };
    // Shuffling takes whole numbers only.
    let elements: u64 = chunk_shape.iter().product();
    if let (Some(size), true, 3) = (values.size(), filters.is_empty(), choices.below(4)) {
        let bytes = elements as usize * size;
        let element = [8, 4, 2, 1].into_iter().find(|&element| bytes.is_multiple_of(element));
        filters.push(json!({"id": "shuffle", "elementsize": element}));
    }
    if choices.below(6) == 5 {
        filters.push(json!({"id": choices.pick(&["crc32", "adler32", "fletcher32"])}));
    }
    let empty = choices.pick(&[Value::Null, json!([])]);
    let document = json!({
        "zarr_format": 2, "shape": shape, "chunks": chunk_shape, "dtype": dtype,
        "order": choices.pick(&["C", "F"]),
        "dimension_separator": choices.pick(&[".", "/"]),
        "fill_value": choices.pick(&[Value::Null, fill]),
        "filters": if filters.is_empty() { empty } else { filters.into() },
        "compressor": compressor(choices),
    });
    Case { document, shape, chunk_shape, values }
}
