use serde_json::json;

use super::*;
use crate::error::Kind;
use crate::metadata::Node;
use crate::plan::ReadOptions;
use crate::store::{MemoryStore, Store};

/// The same store, as arrays and groups take it.
fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    Arc::<MemoryStore>::clone(store)
}

/// An array of one dimension in chunks of two, holding 1, 2, 3, …
fn array(format: Format, length: u8) -> (Arc<MemoryStore>, Array) {
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [length], "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "v2"}, "fill_value": 0, "codecs": ["bytes"],
    });
    let Node::Array(mut metadata) = Node::from_json(&document).unwrap() else { panic!() };
    if format == Format::V2 {
        *metadata = v2::describe(&metadata).unwrap();
    }
    let store = Arc::new(MemoryStore::new());
    let array = Array::create(shared(&store), "a", *metadata).unwrap();
    let values: Vec<u8> = (1..=length).collect();
    array.write_bytes(&Selection::all(), &values, &WriteOptions::default()).unwrap();
    (store, array)
}

fn all(array: &Array) -> Vec<u8> {
    array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes
}

fn chunks(store: &MemoryStore) -> Vec<String> {
    let keys = store
        .snapshot()
        .unwrap()
        .into_iter()
        .map(|(key, _)| key.trim_start_matches("a/").to_owned());
    keys.filter(|key| key.starts_with(|first: char| first.is_ascii_digit())).collect()
}

/// What is asserted here is what zarr-python 3.4.2 does to the same array.
#[test]
fn a_shrunken_array_forgets_whole_chunks_and_keeps_cut_ones() {
    for format in [Format::V2, Format::V3] {
        let (store, mut array) = array(format, 7);
        array.resize(&[3]).unwrap();
        assert_eq!((array.shape(), all(&array)), (&[3][..], vec![1, 2, 3]));
        assert_eq!(chunks(&store), ["0", "1"]);
        array.resize(&[7]).unwrap();
        assert_eq!(all(&array), [1, 2, 3, 4, 0, 0, 0]);
        let opened = Array::open(store, "a").unwrap();
        assert_eq!(opened.shape(), [7]);
        assert_eq!(opened.metadata(), array.metadata());
    }
}

#[test]
fn resizing_again_deletes_what_an_interrupted_one_left() {
    let (store, mut array) = array(Format::V3, 7);
    array.update_shape(|_| Ok(vec![2])).unwrap();
    assert_eq!(chunks(&store).len(), 4, "the shape alone changed");
    array.resize(&[2]).unwrap();
    assert_eq!(chunks(&store), ["0"]);
}

#[test]
fn changes_of_others_are_kept() {
    for format in [Format::V2, Format::V3] {
        let (store, mut array) = array(format, 4);
        let mut other = Array::open(shared(&store), "a").unwrap();
        let set = |attributes: &mut Map<String, Value>| {
            attributes.insert("units".into(), "K".into());
            Ok(())
        };
        other.update_attributes(set).unwrap();
        array.resize(&[5]).unwrap();
        // Both append to an array that is longer than they know.
        other.append(&[8, 9], 0).unwrap();
        array.append(&[10], 0).unwrap();
        let now = Array::open(store, "a").unwrap();
        assert_eq!(all(&now), [1, 2, 3, 4, 0, 8, 9, 10]);
        assert_eq!(now.metadata().attributes["units"], "K");
    }
}

#[test]
fn values_are_appended_along_any_axis() {
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [2, 3], "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": ["bytes"],
    });
    let Node::Array(metadata) = Node::from_json(&document).unwrap() else { panic!() };
    let mut array = Array::create(Arc::new(MemoryStore::new()), "", *metadata).unwrap();
    array.append(&[1, 2, 3], 0).unwrap();
    array.append(&[4, 5, 6, 7, 8, 9], 1).unwrap();
    assert_eq!(array.shape(), [3, 5]);
    assert_eq!(all(&array), [0, 0, 0, 4, 5, 0, 0, 0, 6, 7, 1, 2, 3, 8, 9]);
    array.append(&[], 0).unwrap();
    assert_eq!(array.shape(), [3, 5]);
    for (values, axis) in [(&[1, 2][..], 0), (&[1], 2)] {
        assert_eq!(array.append(values, axis).unwrap_err().kind(), Kind::InvalidArgument);
    }
}

#[test]
fn impossible_shapes_are_refused_and_change_nothing() {
    let (store, mut array) = array(Format::V3, 7);
    let before = store.snapshot().unwrap();
    assert_eq!(array.resize(&[7, 1]).unwrap_err().kind(), Kind::InvalidArgument);
    assert_eq!(array.resize(&[u64::MAX]).unwrap_err().kind(), Kind::Limit);
    assert_eq!(store.snapshot().unwrap(), before);
    // Another array in its place, of another type.
    let mut stale = array.clone();
    let (_, document) = before.iter().find(|(key, _)| key == "a/zarr.json").unwrap();
    let text = String::from_utf8(document.to_vec()).unwrap();
    let changed = text.replace("uint8", "int8");
    crate::store::put_bytes(&*store, "a/zarr.json", changed.as_bytes(), Precondition::None)
        .unwrap();
    assert_eq!(stale.resize(&[3]).unwrap_err().kind(), Kind::InvalidArgument);
    hierarchy::delete_node(&*store, "a").unwrap();
    assert_eq!(array.resize(&[3]).unwrap_err().kind(), Kind::NotFound);
}
