use serde_json::json;

use super::*;
use crate::error::Kind;
use crate::metadata::Node;

fn array(shape: &[u64], chunks: &[u64], codecs: &Value) -> ArrayMetadata {
    let names: Vec<String> = (0..shape.len()).map(|axis| format!("axis{axis}")).collect();
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "int16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}},
        "fill_value": 7, "codecs": codecs, "attributes": {"units": "K"},
        "dimension_names": names,
    });
    match Node::from_json(&document).unwrap() {
        Node::Array(metadata) => *metadata,
        Node::Group(_) => unreachable!(),
    }
}

fn bytes() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

fn gzip() -> Value {
    json!({"name": "gzip", "configuration": {"level": 1}})
}

fn transpose(order: &[u64]) -> Value {
    json!({"name": "transpose", "configuration": {"order": order}})
}

fn shard(chunks: &[u64], codecs: &Value) -> Value {
    json!({"name": "sharding_indexed", "configuration": {
        "chunk_shape": chunks, "codecs": codecs,
        "index_codecs": [bytes()], "index_location": "start",
    }})
}

/// Grid and codecs of the copy; all else is as it was.
fn relaid(source: &ArrayMetadata, relayout: &Relayout) -> (Value, Value) {
    let copy = relayout.apply(source, Format::V3, &Registry::default()).unwrap();
    let same = ArrayMetadata {
        chunk_grid: source.chunk_grid.clone(),
        codecs: source.codecs.clone(),
        ..copy.clone()
    };
    assert_eq!(&same, source);
    let document = copy.to_json();
    (document["chunk_grid"]["configuration"]["chunk_shape"].clone(), document["codecs"].clone())
}

fn chunks(shape: &[u64]) -> Relayout {
    Relayout { chunks: Some(shape.to_vec()), ..Relayout::default() }
}

fn shards(shape: &[u64]) -> Relayout {
    Relayout { shards: Shards::Shape(shape.to_vec()), ..Relayout::default() }
}

fn codecs(list: &Value) -> Option<Vec<Extension>> {
    list.as_array().unwrap().iter().map(|codec| Extension::from_json(codec).ok()).collect()
}

fn refused(source: &ArrayMetadata, relayout: &Relayout) -> Error {
    let error = relayout.apply(source, Format::V3, &Registry::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    error
}

#[test]
fn nothing_asked_is_nothing_changed() {
    let nested = shard(&[4, 6], &json!([transpose(&[1, 0]), shard(&[3, 2], &json!([bytes()]))]));
    let chain = json!([transpose(&[1, 0]), nested, {"name": "crc32c"}]);
    let source = array(&[20, 20], &[12, 8], &chain);
    let kept = Relayout::default();
    assert_eq!(relaid(&source, &kept), (json!([12, 8]), chain));
    let empty = array(&[0, 3], &[0, 3], &json!([bytes()]));
    assert_eq!(relaid(&empty, &Relayout::default()).0, json!([1, 3]));
}

#[test]
fn chunks_keep_shards_that_fit() {
    let source = array(&[10, 10], &[8, 8], &json!([shard(&[4, 4], &json!([bytes(), gzip()]))]));
    let inner = json!([bytes(), gzip()]);
    let (grid, chain) = relaid(&source, &chunks(&[2, 8]));
    assert_eq!((grid, chain), (json!([8, 8]), json!([shard(&[2, 8], &inner)])));
    // 3 does not divide 8; 16 does not either.
    for shape in [[3, 4], [4, 16]] {
        assert_eq!(relaid(&source, &chunks(&shape)), (json!(shape), inner.clone()));
    }
    let unsharded = array(&[10, 10], &[8, 8], &inner);
    assert_eq!(relaid(&unsharded, &chunks(&[2, 2])), (json!([2, 2]), inner.clone()));
    let off = Relayout { shards: Shards::Off, ..Relayout::default() };
    assert_eq!(relaid(&source, &off), (json!([4, 4]), inner));
}

#[test]
fn shards_are_multiples_of_chunks_and_may_exceed_the_array() {
    let source = array(&[10, 10], &[4, 5], &json!([transpose(&[1, 0]), bytes(), gzip()]));
    let (grid, chain) = relaid(&source, &shards(&[400, 5]));
    assert_eq!(grid, json!([400, 5]));
    let inner = &chain[0]["configuration"];
    assert_eq!(inner["chunk_shape"], json!([4, 5]));
    assert_eq!(inner["codecs"], json!([transpose(&[1, 0]), bytes(), gzip()]));
    assert_eq!(inner["index_codecs"], json!([bytes(), {"name": "crc32c"}]));
    assert_eq!((chain.as_array().unwrap().len(), &inner["index_location"]), (1, &json!("end")));
    for (asked, nearest) in [([9, 5], "[8, 5]"), ([11, 7], "[12, 5]"), ([1, 2], "[4, 5]")] {
        let error = refused(&source, &shards(&asked));
        assert!(error.message().ends_with(nearest), "{error}");
    }
    let both = Relayout { chunks: Some(vec![3, 3]), ..shards(&[6, 9]) };
    assert_eq!(relaid(&source, &both).0, json!([6, 9]));
    refused(&source, &Relayout { chunks: Some(vec![4, 4]), ..both });
}

#[test]
fn the_order_of_axes_stays_unless_codecs_are_given() {
    // Stored shards are 8 by 6; their chunks are 4 by 3, which are 3 by 4 of the array.
    let chain = json!([
        transpose(&[1, 0]),
        shard(&[4, 3], &json!([transpose(&[1, 0]), bytes(), gzip()])),
        {"name": "crc32c"},
    ]);
    let source = array(&[20, 20], &[6, 8], &chain);
    let arrays = [transpose(&[1, 0]), transpose(&[1, 0])];
    let off = Relayout { shards: Shards::Off, ..Relayout::default() };
    let (grid, unsharded) = relaid(&source, &off);
    assert_eq!(grid, json!([3, 4]));
    assert_eq!(unsharded, json!([arrays[0], arrays[1], bytes(), gzip(), {"name": "crc32c"}]));
    let (grid, sharded) = relaid(&source, &chunks(&[3, 2]));
    assert_eq!(grid, json!([6, 8]));
    let inner = json!([arrays[0], arrays[1], bytes(), gzip()]);
    assert_eq!(sharded, json!([shard(&[3, 2], &inner), {"name": "crc32c"}]));
    let given = Relayout { codecs: codecs(&json!([bytes()])), ..Relayout::default() };
    let (grid, sharded) = relaid(&source, &given);
    assert_eq!((grid, sharded), (json!([6, 8]), json!([shard(&[3, 4], &json!([bytes()]))])));
}

#[test]
fn nested_shards_become_one_level() {
    let second = json!([transpose(&[1, 0]), shard(&[2, 4], &json!([bytes()])), gzip()]);
    let source = array(&[20, 20], &[16, 16], &json!([shard(&[8, 8], &second)]));
    let off = Relayout { shards: Shards::Off, ..Relayout::default() };
    let inner = json!([transpose(&[1, 0]), bytes(), gzip()]);
    assert_eq!(relaid(&source, &off), (json!([4, 2]), inner.clone()));
    let (grid, sharded) = relaid(&source, &shards(&[8, 8]));
    assert_eq!((grid, sharded), (json!([8, 8]), json!([shard(&[4, 2], &inner)])));
}

#[test]
fn what_does_not_fit_is_refused() {
    let source = array(&[10, 10], &[4, 5], &json!([bytes()]));
    for relayout in
        [chunks(&[4]), chunks(&[4, 4, 4]), chunks(&[4, 0]), shards(&[4]), shards(&[0, 5])]
    {
        refused(&source, &relayout);
    }
    let scalar = array(&[], &[], &json!([bytes()]));
    assert_eq!(relaid(&scalar, &chunks(&[])).0, json!([]));
    assert_eq!(relaid(&scalar, &shards(&[])).0, json!([]));
    refused(&scalar, &chunks(&[1]));
    let empty = array(&[0, 10], &[4, 5], &json!([bytes()]));
    assert_eq!(relaid(&empty, &chunks(&[3, 3])).0, json!([3, 3]));
    let sharded = array(&[20], &[12], &json!([shard(&[4], &json!([bytes()]))]));
    let kept = Relayout::default().apply(&sharded, Format::V2, &Registry::default());
    assert_eq!(kept.unwrap_err().kind(), Kind::Unsupported, "v2 has no shards");
    let optional = json!({"name": "rot13", "must_understand": false});
    let skipped = array(&[10], &[4], &json!([bytes(), optional]));
    assert_eq!(
        Relayout::default().apply(&skipped, Format::V3, &Registry::default()).unwrap_err().kind(),
        Kind::Unsupported
    );
    let replaced = Relayout { codecs: codecs(&json!([bytes()])), ..Relayout::default() };
    assert_eq!(relaid(&skipped, &replaced).1, json!([bytes()]));
}
