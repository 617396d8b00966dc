//! Printed arrays are what NumPy prints: `fixtures/print/generate.py` asked it.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read fails the test")]

use fuzarr::dtype::DataType;
use fuzarr_cli::create::data_type;
use fuzarr_cli::print::{Elements, array};
use serde_json::Value;

fn unhex(text: &str) -> Vec<u8> {
    let pair = |start| u8::from_str_radix(&text[start..start + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Little-endian elements in the byte order of this machine.
fn native(mut bytes: Vec<u8>, data_type: DataType) -> Vec<u8> {
    if cfg!(target_endian = "big") {
        bytes.chunks_mut(data_type.number_size()).for_each(<[u8]>::reverse);
    }
    bytes
}

fn printed(case: &Value) -> String {
    let shape: Vec<u64> =
        case["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    let data_type = data_type(case["type"].as_str().unwrap()).unwrap();
    let count = usize::try_from(shape.iter().product::<u64>()).unwrap();
    if let Some(items) = case["items"].as_array() {
        let items: Vec<_> = items.iter().map(|item| unhex(item.as_str().unwrap())).collect();
        let items: Vec<&[u8]> = items.iter().cycle().take(count).map(Vec::as_slice).collect();
        return array(&shape, data_type, Elements::Variable(&items)).unwrap();
    }
    let block = native(unhex(case["bytes"].as_str().unwrap()), data_type);
    let size = data_type.layout().slot();
    let bytes: Vec<u8> = block.iter().copied().cycle().take(count * size).collect();
    array(&shape, data_type, Elements::Fixed(&bytes)).unwrap()
}

#[test]
fn arrays_print_like_numpy() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for line in include_str!("fixtures/print/cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = printed(&case);
        if text != case["text"] {
            let expected = case["text"].as_str().unwrap();
            wrong.push(format!("{} {}\n{expected}\nbut\n{text}", case["type"], case["shape"]));
        }
        cases += 1;
    }
    assert!(cases > 300, "only {cases} cases");
    assert!(wrong.is_empty(), "{} of {cases} differ: {}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn elements_that_do_not_fill_the_shape_are_refused() {
    for (shape, bytes) in [(&[3][..], 5), (&[3], 7), (&[], 0), (&[0], 1), (&[u64::MAX, 3], 6)] {
        let error = array(shape, DataType::Int16, Elements::Fixed(&vec![0; bytes])).unwrap_err();
        assert_eq!(error.kind(), fuzarr::Kind::InvalidArgument, "{shape:?}");
    }
    let error = array(&[1], DataType::String, Elements::Fixed(&[0])).unwrap_err();
    assert_eq!(error.kind(), fuzarr::Kind::InvalidArgument);
}

#[test]
fn a_string_that_is_no_unicode_is_damage() {
    for shape in [&[][..], &[1]] {
        let error = array(shape, DataType::String, Elements::Variable(&[b"\xff"])).unwrap_err();
        assert_eq!(error.kind(), fuzarr::Kind::Corrupt);
        let elements = Elements::Fixed(&[0xff; 4]);
        let error = array(shape, DataType::FixedUnicode(1), elements).unwrap_err();
        assert_eq!(error.kind(), fuzarr::Kind::Corrupt);
    }
}

/// NumPy refuses to print these.
#[test]
fn times_without_a_unit_are_numbers() {
    let data_type = data_type("M8").unwrap();
    let bytes: Vec<u8> =
        [5, i64::MIN, -1].into_iter().flat_map(|steps: i64| steps.to_le_bytes()).collect();
    let text = array(&[3], data_type, Elements::Fixed(&native(bytes, data_type))).unwrap();
    assert_eq!(text, "[  '5' 'NaT'  '-1']");
}

#[test]
fn an_empty_array_with_long_axes_is_empty() {
    let shape = [u64::MAX, 0, u64::MAX];
    assert_eq!(array(&shape, DataType::Int8, Elements::Fixed(&[])).unwrap(), "[]");
}
