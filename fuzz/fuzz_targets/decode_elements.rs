//! A chunk of hostile bytes under codecs that change elements, or that hold elements of variable size:
//! read whole and one by one, both ways equal, or refused with a typed error. What was read of text
//! and bytes is written and read again.
#![no_main]

use std::sync::Arc;

use fuzarr::codec::{Elements, Registry};
use fuzarr::dtype::DataType;
use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{MemoryStore, Precondition, Store, put_bytes};
use fuzarr::{Array, Kind, Result, Selection};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// A type, its fill value, and the codecs before the bytes.
fn chain(kind: u8) -> (&'static str, Value, Value) {
    let numcodecs = |name: &str, configuration: Value| {
        json!([
            {"name": format!("numcodecs.{name}"), "configuration": configuration},
            {"name": "bytes", "configuration": {"endian": "little"}},
        ])
    };
    match kind % 10 {
        0 => ("int32", json!(7), numcodecs("delta", json!({"dtype": "<i4", "astype": "<i2"}))),
        1 => ("float64", json!(1), numcodecs("delta", json!({"dtype": "<f8"}))),
        2 => (
            "float64",
            json!(0),
            numcodecs(
                "fixedscaleoffset",
                json!({"offset": 1000, "scale": 10, "dtype": "<f8", "astype": "u1"}),
            ),
        ),
        3 => (
            "int32",
            json!(-1),
            numcodecs(
                "fixedscaleoffset",
                json!({"offset": -3, "scale": 2, "dtype": "<i4", "astype": "<i2"}),
            ),
        ),
        4 => (
            "float32",
            json!("NaN"),
            numcodecs("quantize", json!({"digits": 2, "dtype": "<f4", "astype": "<f2"})),
        ),
        5 => (
            "int8",
            json!(1),
            numcodecs("astype", json!({"encode_dtype": "<f4", "decode_dtype": "i1"})),
        ),
        6 => (
            "float32",
            json!(0),
            numcodecs("astype", json!({"encode_dtype": "<f8", "decode_dtype": "<f4"})),
        ),
        7 => ("float32", json!(0), numcodecs("bitround", json!({"keepbits": 3}))),
        8 => ("string", json!("é"), json!([{"name": "vlen-utf8"}])),
        _ => ("bytes", json!("AP8="), json!([{"name": "vlen-bytes"}])),
    }
}

fn read(array: &Array, text: &str) -> Result<Vec<Vec<u8>>> {
    let selection = Selection::parse(text).expect("a valid selection");
    let read = array.read_bytes(&selection, &ReadOptions::default())?;
    let size = array.element_size();
    let elements = Elements { slots: read.bytes, heap: read.heap };
    match array.data_type() {
        DataType::String | DataType::Bytes => {
            elements.variable().map(|element| element.map(<[u8]>::to_vec)).collect()
        }
        _ => Ok(elements.slots.chunks(size).map(<[u8]>::to_vec).collect()),
    }
}

fn array(kind: u8, store: &Arc<MemoryStore>) -> Array {
    let (data_type, fill, codecs) = chain(kind);
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [6], "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [6]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": fill, "codecs": codecs,
    });
    let node = Node::from_bytes(document.to_string().as_bytes()).expect("a valid document");
    let Node::Array(metadata) = node else { unreachable!("an array's document") };
    let store = Arc::clone(store) as Arc<dyn Store>;
    Array::new(store, "", *metadata, &Registry::default()).expect("a valid array")
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, chunk)) = data.split_first() else { return };
    let store = Arc::new(MemoryStore::new());
    put_bytes(&*store, "c/0", chunk, Precondition::None).expect("a valid key");
    let stored = array(kind, &store);
    let whole = read(&stored, "");
    for (at, text) in ["0", "1", "2", "3", "4", "5"].into_iter().enumerate() {
        match (&whole, read(&stored, text)) {
            (Ok(whole), Ok(part)) => assert_eq!(part, whole[at..=at]),
            (Ok(_), Err(error)) => panic!("element {at} alone cannot be read: {error}"),
            (Err(_), Ok(_)) => {}
            (Err(_), Err(error)) => assert_eq!(error.kind(), Kind::Corrupt, "{error}"),
        }
    }
    let Ok(whole) = whole else { return };
    if kind % 10 >= 8 {
        let mut elements = Elements::default();
        whole.iter().for_each(|element| elements.push_variable(element));
        let again = array(kind, &Arc::new(MemoryStore::new()));
        let options = WriteOptions::default();
        again.write_elements(&Selection::all(), &elements, &options).expect("can be written");
        assert_eq!(read(&again, "").expect("reads what it wrote"), whole);
    }
});
