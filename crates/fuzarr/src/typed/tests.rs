use std::fmt::Debug;
use std::sync::Arc;

use half::{bf16, f16};
use ndarray::{Array2, Array3, Axis, ShapeBuilder as _, arr0, arr1, arr2, s};
use num_complex::Complex;
use serde_json::{Value, json};

use super::*;
use crate::error::Kind;
use crate::metadata::ArrayMetadata;
use crate::store::{MemoryStore, Precondition, Store, put_bytes};

/// An array of shape 4, 6 in chunks of 3, 4.
fn array(data_type: Value, codec: &str, fill: Value) -> Array {
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [4, 6], "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3, 4]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": fill, "attributes": {},
        "codecs": [{"name": codec, "configuration": match codec {
            "bytes" => json!({"endian": "big"}),
            _ => json!({}),
        }}],
    });
    let metadata = ArrayMetadata::from_json(&document).unwrap();
    Array::create(Arc::new(MemoryStore::new()), "", metadata).unwrap()
}

fn select(text: &str) -> Selection {
    Selection::parse(text).unwrap()
}

/// Writes 24 values made of numbers, reads them back in every way, and compares with `ndarray`.
fn round_trip<T: Element + PartialEq + Debug>(
    data_type: Value,
    fill: Value,
    value: impl Fn(u8) -> T,
) {
    let codec = match data_type.as_str() {
        Some("string") => "vlen-utf8",
        Some("bytes") => "vlen-bytes",
        _ => "bytes",
    };
    let array = array(data_type, codec, fill);
    let values = Array2::from_shape_fn((4, 6), |(row, column)| {
        value(u8::try_from(row * 6 + column).unwrap())
    });
    array.write(&Selection::all(), &values).unwrap();
    assert_eq!(array.read::<T>(&Selection::all()).unwrap(), values.clone().into_dyn());
    let part = array.read::<T>(&select("::-2, 3")).unwrap();
    assert_eq!(part, values.slice(s![..;-2, 3]).into_dyn());
    // Contiguous, strided and column-major memory.
    let mut stack = Array3::from_elem((2, 4, 6), value(77));
    array.read_into(&Selection::all(), stack.index_axis_mut(Axis(0), 1)).unwrap();
    assert_eq!(stack.index_axis(Axis(0), 1), values);
    assert!(stack.index_axis(Axis(0), 0).iter().all(|other| *other == value(77)));
    let mut strided = Array3::from_elem((4, 6, 2), value(77));
    array.read_into(&Selection::all(), strided.index_axis_mut(Axis(2), 0)).unwrap();
    assert_eq!(strided.index_axis(Axis(2), 0), values);
    assert!(strided.index_axis(Axis(2), 1).iter().all(|other| *other == value(77)));
    let mut columns = Array2::from_elem((4, 6).f(), value(77));
    array.read_into(&Selection::all(), columns.view_mut()).unwrap();
    assert_eq!(columns, values);
    // One for all, and values in another order.
    array.write(&select("1:3"), value(5)).unwrap();
    array.write(&select(":, 5"), values.slice(s![..;-1, 0])).unwrap();
    let mut expected = values.clone();
    expected.slice_mut(s![1..3, ..]).fill(value(5));
    expected.slice_mut(s![.., 5]).assign(&values.slice(s![..;-1, 0]));
    assert_eq!(array.read::<T>(&Selection::all()).unwrap(), expected.into_dyn());
}

#[test]
fn every_type_reads_back() {
    round_trip(json!("bool"), json!(false), |number| number % 3 == 1);
    round_trip(json!("int8"), json!(0), |number| -(number as i8));
    round_trip(json!("int16"), json!(0), |number| -300 * i16::from(number));
    round_trip(json!("int32"), json!(0), |number| -70_000 * i32::from(number));
    round_trip(json!("int64"), json!(0), |number| -(1_i64 << 40) * i64::from(number));
    round_trip(json!("uint8"), json!(0), |number| number);
    round_trip(json!("uint16"), json!(0), |number| 300 * u16::from(number));
    round_trip(json!("uint32"), json!(0), |number| 70_000 * u32::from(number));
    round_trip(json!("uint64"), json!(0), |number| (1 << 40) * u64::from(number));
    round_trip(json!("float16"), json!(0), |number| f16::from_f32(0.5 * f32::from(number)));
    round_trip(json!("bfloat16"), json!(0), |number| bf16::from_f32(0.5 * f32::from(number)));
    round_trip(json!("float32"), json!(0), |number| 0.1 * f32::from(number));
    round_trip(json!("float64"), json!(0), |number| 0.1 * f64::from(number));
    let complex = |number| Complex::new(f32::from(number), -1.0);
    round_trip(json!("complex64"), json!([0, 0]), complex);
    let complex = |number| Complex::new(f64::from(number), -1.0);
    round_trip(json!("complex128"), json!([0, 0]), complex);
    round_trip(json!("r24"), json!([0, 0, 0]), |number| [number, 1, 2]);
    let fixed = json!({"name": "null_terminated_bytes", "configuration": {"length_bytes": 2}});
    round_trip(fixed, json!(""), |number| [b'a' + number, 0]);
    let time = json!({"name": "numpy.datetime64",
        "configuration": {"unit": "s", "scale_factor": 1}});
    round_trip(time, json!("NaT"), |number| i64::from(number) - 12);
    round_trip(json!("string"), json!(""), |number| "é".repeat(number.into()));
    round_trip(json!("bytes"), json!(""), |number| vec![number; usize::from(number % 5)]);
}

#[test]
fn another_type_is_refused_by_both_names() {
    let array = array(json!("int16"), "bytes", json!(0));
    let read = array.read::<f32>(&Selection::all()).unwrap_err();
    let write = array.write(&Selection::all(), 1.0_f64).unwrap_err();
    let mut memory = Array2::<u16>::zeros((4, 6));
    let into = array.read_into(&Selection::all(), memory.view_mut()).unwrap_err();
    for (error, name) in [(read, "f32"), (write, "f64"), (into, "u16")] {
        assert_eq!(error.kind(), Kind::InvalidArgument);
        let names = error.message().contains("int16") && error.message().contains(name);
        assert!(names, "{error}");
    }
    assert!(array.read::<[u8; 2]>(&Selection::all()).is_err());
    assert!(array.read::<String>(&Selection::all()).is_err());
}

#[test]
fn values_broadcast_as_in_numpy_and_other_shapes_are_refused() {
    let array = array(json!("int32"), "bytes", json!(0));
    array.write(&Selection::all(), &arr1(&[0, 1, 2, 3, 4, 5])).unwrap();
    array.write(&select("0, :2"), &arr0(9)).unwrap();
    array.write(&select("2:, :3"), &arr2(&[[7], [8]])).unwrap();
    array.write(&select("1, 4:"), &vec![20, 21]).unwrap();
    let expected =
        arr2(&[[9, 9, 2, 3, 4, 5], [0, 1, 2, 3, 20, 21], [7, 7, 7, 3, 4, 5], [8, 8, 8, 3, 4, 5]]);
    assert_eq!(array.read::<i32>(&Selection::all()).unwrap(), expected.into_dyn());
    let refused = [
        array.write(&Selection::all(), &[1, 2, 3]),
        array.write(&Selection::all(), &[1]),
        array.write(&Selection::all(), &arr1(&[1, 2, 3])),
        array.write(&select("0"), &arr2(&[[1; 6]])),
        array.read_into(&Selection::all(), Array2::<i32>::zeros((6, 4)).view_mut()),
    ];
    for outcome in refused {
        assert_eq!(outcome.unwrap_err().kind(), Kind::InvalidArgument);
    }
}

#[test]
fn dropped_dimensions_and_empty_selections_have_their_shapes() {
    let array = array(json!("int16"), "bytes", json!(3));
    assert_eq!(array.read::<i16>(&select("1, 2")).unwrap(), arr0(3).into_dyn());
    assert_eq!(array.read::<i16>(&select("2:2, 1:")).unwrap().shape(), [0, 5]);
    array.write(&select("2:2, 1:"), 5_i16).unwrap();
    array.write::<i16>(&select("2:2, 1:"), &[]).unwrap();
    assert!(array.read::<i16>(&Selection::all()).unwrap().iter().all(|&value| value == 3));
}

#[test]
fn a_stored_bool_that_is_none_is_damage_and_never_a_bool() {
    let array = array(json!("bool"), "bytes", json!(false));
    let store: &dyn Store = &**array.store();
    put_bytes(store, "c/0/0", &[2; 12], Precondition::None).unwrap();
    assert_eq!(array.read::<bool>(&Selection::all()).unwrap_err().kind(), Kind::Corrupt);
    let mut memory = Array2::from_elem((4, 6), false);
    let error = array.read_into(&Selection::all(), memory.view_mut()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
}
