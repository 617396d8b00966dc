use serde_json::json;

use super::*;

fn document() -> Value {
    json!({
        "shape": [5, 6], "chunks": [2, 3], "dtype": "<i4", "fill_value": 7, "order": "C",
        "filters": null, "dimension_separator": ".", "compressor": null, "zarr_format": 2,
    })
}

fn with(members: Value) -> Value {
    let mut document = document();
    let Value::Object(members) = members else { panic!() };
    document.as_object_mut().unwrap().extend(members);
    document
}

fn array(members: Value) -> ArrayMetadata {
    array_from_json(&with(members), Map::new()).unwrap()
}

fn codecs(members: Value) -> Value {
    array(members).codecs.iter().map(Extension::to_json_object).collect()
}

fn kind(document: &Value) -> Kind {
    array_from_json(document, Map::new()).unwrap_err().kind()
}

#[test]
fn the_plainest_array_in_the_terms_of_v3() {
    let expected = json!({
        "zarr_format": 3, "node_type": "array", "shape": [5, 6], "data_type": "int32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
        "fill_value": 7,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {}, "storage_transformers": [],
    });
    assert_eq!(array(json!({})).to_json(), expected);
    let slashes = array(json!({"dimension_separator": "/"}));
    assert_eq!(slashes.chunk_key_encoding.configuration["separator"], "/");
    assert_eq!(array(json!({})).format(), Format::V2);
}

#[test]
fn what_was_read_is_written_back_with_all_that_is_unknown() {
    let document = with(json!({"order": "F", "filters": [], "mine": [1, {}], "shape": [1, 1]}));
    let mut array = array_from_json(&document, Map::new()).unwrap();
    assert_eq!(array_to_json(&array).unwrap(), document);
    array.shape = vec![9, 9];
    assert_eq!(array_to_json(&array).unwrap(), {
        let mut document = document;
        document["shape"] = json!([9, 9]);
        document
    });
    array.v2 = None;
    assert_eq!(array_to_json(&array), None);
    let group = json!({"zarr_format": 2, "mine": 1});
    assert_eq!(group_to_json(&group_from_json(&group, Map::new()).unwrap()), group);
}

#[test]
fn orders_and_byte_orders_become_codecs() {
    let reversed = json!([
        {"name": "transpose", "configuration": {"order": [1, 0]}},
        {"name": "bytes", "configuration": {"endian": "big"}},
    ]);
    assert_eq!(codecs(json!({"order": "F", "dtype": ">i4"})), reversed);
    let short = json!({"order": "F", "dtype": "|u1", "shape": [3], "chunks": [3]});
    assert_eq!(codecs(short), json!([{"name": "bytes"}]));
}

#[test]
fn compressors_become_codecs_with_their_defaults() {
    for (dtype, compressor, expected) in [
        ("<i4", json!({"id": "gzip"}), json!({"name": "gzip", "configuration": {"level": 1}})),
        (
            "<i4",
            json!({"id": "zstd", "level": 3}),
            json!({"name": "zstd", "configuration": {"level": 3, "checksum": false}}),
        ),
        ("<i4", json!({"id": "crc32c"}), json!({"name": "crc32c"})),
        (
            "<i4",
            json!({"id": "crc32c", "location": "start"}),
            json!({"name": "numcodecs.crc32c", "configuration": {"location": "start"}}),
        ),
        (
            "<i4",
            json!({"id": "lzma", "format": 1}),
            json!({"name": "numcodecs.lzma", "configuration": {"format": 1}}),
        ),
        ("<f8", json!({"id": "blosc", "shuffle": -1}), blosc("shuffle", 8)),
        ("|i1", json!({"id": "blosc", "shuffle": -1}), blosc("bitshuffle", 1)),
        ("<f8", json!({"id": "blosc", "shuffle": 0, "cname": "lz4"}), blosc("noshuffle", 8)),
        ("<f8", json!({"id": "blosc"}), blosc("shuffle", 8)),
    ] {
        let codecs = codecs(json!({"dtype": dtype, "fill_value": 0, "compressor": compressor}));
        assert_eq!(codecs[1], expected);
    }
}

fn blosc(shuffle: &str, typesize: u64) -> Value {
    json!({"name": "blosc", "configuration": {
        "cname": "lz4", "clevel": 5, "shuffle": shuffle, "typesize": typesize, "blocksize": 0,
    }})
}

#[test]
fn filters_are_sorted_by_what_they_take() {
    let filters = json!([
        {"id": "delta", "dtype": "<i4", "astype": ">i2"},
        {"id": "shuffle", "elementsize": 2},
    ]);
    let blosc = json!({"id": "blosc"});
    let chain = codecs(json!({"order": "F", "filters": filters, "compressor": blosc}));
    let names: Vec<_> =
        chain.as_array().unwrap().iter().map(|codec| codec["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["transpose", "numcodecs.delta", "bytes", "numcodecs.shuffle", "blosc"]);
    assert_eq!(chain[1]["configuration"], json!({"dtype": "<i4", "astype": ">i2"}));
    // The filter leaves big-endian numbers; what comes after the shuffle is bytes.
    assert_eq!(chain[2]["configuration"], json!({"endian": "big"}));
    assert_eq!(chain[4]["configuration"]["typesize"], 1);
    let backwards = json!([{"id": "shuffle"}, {"id": "delta", "dtype": "<i4"}]);
    assert_eq!(kind(&with(json!({"filters": backwards}))), Kind::Unsupported);
}

#[test]
fn objects_are_what_their_filter_says() {
    for (id, name, fill, expected) in [
        ("vlen-utf8", "string", json!(0), json!("")),
        ("vlen-utf8", "string", json!("é"), json!("é")),
        ("vlen-utf8", "string", Value::Null, json!("")),
        ("vlen-bytes", "bytes", json!("AAE="), json!("AAE=")),
    ] {
        let array = array(json!({
            "dtype": "|O", "filters": [{"id": id}], "compressor": {"id": "zlib", "level": 1},
            "fill_value": fill,
        }));
        assert_eq!((array.data_type.name.as_str(), &array.fill_value), (name, &expected));
        let names: Vec<_> = array.codecs.iter().map(|codec| codec.name.as_str()).collect();
        assert_eq!(names, [id, "numcodecs.zlib"]);
    }
}

#[test]
fn what_fuzarr_lacks_keeps_its_name() {
    let pickled = json!({"dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": null});
    assert_eq!(array(pickled.clone()).data_type.name, "|O");
    assert_eq!(codecs(pickled)[0]["name"], "numcodecs.pickle");
    let fields = json!({"dtype": [["x", "<f4"], ["y", "<i2"]], "fill_value": "AAAA"});
    assert_eq!(array(fields.clone()).data_type.name, r#"[["x","<f4"],["y","<i2"]]"#);
    assert_eq!(array(fields).fill_value, "AAAA");
}

#[test]
fn null_fill_values_are_zeros() {
    for (dtype, expected) in
        [("<i4", json!(0)), ("|b1", json!(false)), ("<c8", json!([0.0, 0.0])), ("<U2", json!(""))]
    {
        let array = array(json!({"dtype": dtype, "fill_value": null}));
        assert_eq!(array.fill_value, expected, "{dtype}");
        assert_eq!(array_to_json(&array).unwrap()["fill_value"], Value::Null);
    }
}

#[test]
fn malformed_arrays_are_rejected() {
    for members in [
        json!({"order": "A"}),
        json!({"order": null}),
        json!({"shape": [-1, 1]}),
        json!({"chunks": 3}),
        json!({"dtype": "i4"}),
        json!({"dtype": "=i4"}),
        json!({"dtype": 3}),
        json!({"dtype": ""}),
        json!({"fill_value": "seven"}),
        json!({"filters": {"id": "delta"}}),
        json!({"filters": [3]}),
        json!({"filters": [{"level": 3}]}),
        json!({"compressor": "zlib"}),
        json!({"compressor": {"id": ""}}),
        json!({"compressor": {"id": "blosc", "shuffle": 3}}),
        json!({"dimension_separator": "-"}),
        json!({"zarr_format": "2"}),
    ] {
        assert!(
            matches!(kind(&with(members.clone())), Kind::InvalidMetadata | Kind::Unsupported),
            "{members}"
        );
    }
    assert_eq!(kind(&with(json!({"zarr_format": 3}))), Kind::Unsupported);
    for missing in ["shape", "chunks", "dtype", "order", "zarr_format"] {
        let mut document = document();
        document.as_object_mut().unwrap().shift_remove(missing);
        assert_eq!(kind(&document), Kind::InvalidMetadata, "{missing}");
    }
}

#[test]
fn names_of_dimensions_are_an_attribute() {
    let attributes = |names: Value| json!({DIMENSIONS: names}).as_object().cloned().unwrap();
    let named = array_from_json(&document(), attributes(json!(["y", "x"]))).unwrap();
    assert_eq!(named.dimension_names, Some(vec![Some("y".into()), Some("x".into())]));
    for names in [json!(["y"]), json!(["y", null]), json!("yx")] {
        let array = array_from_json(&document(), attributes(names.clone())).unwrap();
        assert_eq!((array.dimension_names, &array.attributes[DIMENSIONS]), (None, &names));
    }
}

fn v3(codecs: &Value) -> ArrayMetadata {
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [4, 6], "data_type": "int16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": -1, "codecs": codecs,
        "attributes": {"units": "K"}, "dimension_names": ["y", "x"],
    });
    ArrayMetadata::from_json(&document).unwrap()
}

#[test]
fn arrays_are_described_as_zarr_python_does() {
    let bytes = json!({"name": "bytes", "configuration": {"endian": "big"}});
    let described = describe(&v3(&json!([
        {"name": "transpose", "configuration": {"order": [1, 0]}},
        bytes,
        {"name": "numcodecs.shuffle", "configuration": {"elementsize": 2}},
        blosc("bitshuffle", 2),
    ])))
    .unwrap();
    let expected = json!({
        "shape": [4, 6], "chunks": [2, 3], "dtype": ">i2", "fill_value": -1, "order": "F",
        "filters": [{"id": "shuffle", "elementsize": 2}], "dimension_separator": "/",
        "compressor":
            {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 2, "blocksize": 0},
        "zarr_format": 2,
    });
    assert_eq!(array_to_json(&described).unwrap(), expected);
    assert_eq!(
        Value::from(described.attributes.clone()),
        json!({"units": "K", DIMENSIONS: ["y", "x"]})
    );
    assert_eq!(describe(&described).unwrap(), described);
    let zstd =
        |checksum| json!({"name": "zstd", "configuration": {"level": 1, "checksum": checksum}});
    for (checksum, expected) in [
        (false, json!({"id": "zstd", "level": 1})),
        (true, json!({"id": "zstd", "level": 1, "checksum": true})),
    ] {
        let described = describe(&v3(&json!([bytes, zstd(checksum)]))).unwrap();
        assert_eq!(array_to_json(&described).unwrap()["compressor"], expected);
    }
}

#[test]
fn what_v2_cannot_say_is_refused() {
    let bytes = json!({"name": "bytes", "configuration": {"endian": "little"}});
    let delta = |dtype| json!({"name": "numcodecs.delta", "configuration": {"dtype": dtype}});
    for codecs in [
        json!([{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 1]}}]),
        json!([delta("<i2"), {"name": "transpose", "configuration": {"order": [1, 0]}}, bytes]),
        json!([bytes, {"name": "zarrs.gdeflate"}]),
        json!([delta(">i2"), bytes]),
    ] {
        assert_eq!(describe(&v3(&codecs)).unwrap_err().kind(), Kind::Unsupported, "{codecs}");
    }
    describe(&v3(&json!([delta("<i2"), bytes]))).unwrap();
    let plain = v3(&json!([bytes]));
    let half = vec![Some("y".into()), None];
    let three = json!([{"name": "transpose", "configuration": {"order": [0, 2, 1]}}, bytes]);
    for array in [
        ArrayMetadata { dimension_names: Some(half), ..plain.clone() },
        ArrayMetadata { chunk_grid: Extension::new("rectilinear"), ..plain.clone() },
        ArrayMetadata { shape: vec![1, 2, 3], dimension_names: None, ..v3(&three) },
        ArrayMetadata {
            data_type: Extension::new("float32"),
            fill_value: json!("0x7fc00001"),
            ..plain.clone()
        },
        ArrayMetadata { extra: json!({"mine": {}}).as_object().cloned().unwrap(), ..plain.clone() },
    ] {
        assert_eq!(describe(&array).unwrap_err().kind(), Kind::Unsupported, "{array:?}");
    }
    let unnamed = ArrayMetadata { dimension_names: Some(vec![None, None]), ..plain };
    assert!(!describe(&unnamed).unwrap().attributes.contains_key(DIMENSIONS));
}

#[test]
fn consolidated_documents_are_gathered_into_nodes() {
    let document = json!({"zarr_consolidated_format": 1, "metadata": {
        ".zgroup": {"zarr_format": 2}, ".zattrs": {"a": 1},
        "g/.zattrs": {"b": 2}, "g/.zgroup": {"zarr_format": 2, "consolidated_metadata": {}},
        "g/x/.zarray": document(), "y/.zarray": document(), "y/.zattrs": {"c": 3},
    }});
    let nodes = consolidated_from_json(&document).unwrap();
    let paths: Vec<_> = nodes.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["g", "g/x", "y"]);
    assert_eq!(nodes[0].1.attributes()["b"], 2);
    assert_eq!(nodes[2].1.attributes()["c"], 3);
    assert!(matches!(&nodes[1].1, Node::Array(array) if array.format() == Format::V2));
    for wrong in [
        json!({}),
        json!({"zarr_consolidated_format": 1, "metadata": []}),
        json!({"zarr_consolidated_format": 1, "metadata": {"../a/.zgroup": {"zarr_format": 2}}}),
        json!({"zarr_consolidated_format": 1, "metadata": {"a/.zgroup": {}}}),
        json!({"zarr_consolidated_format": 1, "metadata": {"a/.zarray": {"zarr_format": 2}}}),
    ] {
        assert_eq!(consolidated_from_json(&wrong).unwrap_err().kind(), Kind::InvalidMetadata);
    }
    let other = json!({"zarr_consolidated_format": 2, "metadata": {}});
    assert_eq!(consolidated_from_json(&other).unwrap_err().kind(), Kind::Unsupported);
}
