use serde_json::json;

use super::*;
use crate::error::Kind;
use crate::metadata::Format;
use crate::store::{MemoryStore, Precondition, Store};
use crate::v2;

const FORMATS: [Format; 2] = [Format::V2, Format::V3];

/// The same store, as arrays and groups take it.
fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    Arc::<MemoryStore>::clone(store)
}

fn array(format: Format) -> Node {
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "v2"}, "fill_value": 0, "codecs": ["bytes"],
    });
    let Node::Array(metadata) = Node::from_json(&document).unwrap() else { panic!() };
    match format {
        Format::V2 => Node::Array(Box::new(v2::describe(&metadata).unwrap())),
        Format::V3 => Node::Array(metadata),
    }
}

fn group(format: Format) -> GroupMetadata {
    GroupMetadata { format, ..GroupMetadata::default() }
}

/// A root with `a`, `a/b/x`, `a/b-c` and `y`.
fn hierarchy_of(format: Format) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for path in ["y", "a/b/x", "a/b-c"] {
        hierarchy::create_node(&*store, path, &array(format)).unwrap();
    }
    store
}

fn paths(group: &Group, depth: usize) -> Vec<String> {
    group.traverse(depth).unwrap().map(|visit| visit.unwrap().path).collect()
}

const ALL: [&str; 5] = ["a", "a/b", "a/b/x", "a/b-c", "y"];

#[test]
fn groups_are_walked_the_same_with_and_without_consolidated_metadata() {
    for format in FORMATS {
        let store = hierarchy_of(format);
        for consolidated in [false, true] {
            let group = Group::open(shared(&store), "").unwrap();
            assert_eq!(group.is_consolidated(), consolidated);
            assert_eq!(paths(&group, 9), ALL);
            assert_eq!(paths(&group, 1), ["a", "y"]);
            let a = group.group("a").unwrap();
            assert_eq!((a.path(), a.is_consolidated()), ("a", consolidated));
            assert_eq!(paths(&a, 9), ["a/b", "a/b/x", "a/b-c"]);
            let children = a.children().unwrap();
            let names: Vec<_> = children.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["b", "b-c"]);
            assert_eq!(group.group("a/b").unwrap().array("x").unwrap().path(), "a/b/x");
            assert_eq!(group.array("a").unwrap_err().kind(), Kind::NotFound);
            assert_eq!(group.group("y").unwrap_err().kind(), Kind::NotFound);
            assert_eq!(group.group("nothing").unwrap_err().kind(), Kind::NotFound);
            hierarchy::consolidate(&*store, "").unwrap();
        }
    }
}

#[test]
fn consolidated_metadata_is_believed_as_asked() {
    for format in FORMATS {
        let store = hierarchy_of(format);
        let must = |path| Group::open_with(shared(&store), path, Consolidated::Must);
        assert_eq!(must("").unwrap_err().kind(), Kind::NotFound);
        assert_eq!(hierarchy::consolidate(&*store, "").unwrap(), 5);
        let document = if format == Format::V2 { "y/.zarray" } else { "y/zarr.json" };
        store.delete(document, Precondition::None).wait().unwrap();
        assert_eq!(paths(&must("").unwrap(), 9), ALL);
        assert!(must("").unwrap().array("y").is_ok(), "the store was asked");
        let listed = Group::open_with(shared(&store), "", Consolidated::Never).unwrap();
        assert_eq!(paths(&listed, 9), ALL[..4]);
        // Only the group that was asked for is consolidated.
        assert_eq!(must("a").unwrap_err().kind(), Kind::NotFound);
    }
}

#[test]
fn every_change_below_drops_consolidated_metadata() {
    let set = |attributes: &mut Map<String, Value>| {
        attributes.insert("n".into(), 1.into());
        Ok(())
    };
    type Change = Box<dyn Fn(&Arc<MemoryStore>, Format)>;
    let changes: [Change; 5] = [
        Box::new(|store, format| {
            hierarchy::create_node(&**store, "a/new", &array(format)).unwrap();
        }),
        Box::new(move |store, _| {
            hierarchy::update_attributes(&**store, "a/b/x", set).unwrap();
        }),
        Box::new(|store, _| hierarchy::delete_node(&**store, "a/b").unwrap()),
        Box::new(|store, _| {
            Array::open(shared(store), "y").unwrap().resize(&[9]).unwrap();
        }),
        Box::new(|store, _| {
            Array::open(shared(store), "a/b/x").unwrap().append(&[1, 2], 0).unwrap();
        }),
    ];
    for format in FORMATS {
        for change in &changes {
            let store = hierarchy_of(format);
            hierarchy::consolidate(&*store, "").unwrap();
            change(&store, format);
            assert!(!Group::open(store, "").unwrap().is_consolidated());
        }
    }
}

#[test]
fn attributes_change_and_nothing_else_does() {
    for format in FORMATS {
        let store = hierarchy_of(format);
        let before = store.snapshot().unwrap();
        let mut group = Group::open(shared(&store), "a").unwrap();
        group
            .update_attributes(|attributes| {
                attributes.insert("title".into(), json!({"é": [1.5]}));
                Ok(())
            })
            .unwrap();
        assert_eq!(group.attributes()["title"], json!({"é": [1.5]}));
        let opened = Group::open(shared(&store), "a").unwrap();
        assert_eq!(opened.attributes(), group.attributes());
        let changed: Vec<String> = store
            .snapshot()
            .unwrap()
            .into_iter()
            .zip(before)
            .filter(|(now, before)| now != before)
            .map(|(now, _)| now.0)
            .collect();
        let document = if format == Format::V2 { ".zattrs" } else { "zarr.json" };
        assert_eq!(changed, [format!("a/{document}")]);
        let refuse = |_: &mut Map<String, Value>| Err(Error::invalid_argument("no"));
        let error = group.update_attributes(refuse).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
    }
    let store = MemoryStore::new();
    let gone = hierarchy::update_attributes(&store, "x", |_| Ok(()));
    assert_eq!(gone.unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn groups_of_two_formats_do_not_mix() {
    let store = Arc::new(MemoryStore::new());
    Group::create(shared(&store), "two/g", group(Format::V2)).unwrap();
    Group::create(shared(&store), "three", group(Format::V2)).unwrap();
    let error = hierarchy::create_node(&*store, "two/a", &array(Format::V3)).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
    let again = Group::create(shared(&store), "two", group(Format::V2)).unwrap_err();
    assert_eq!(again.kind(), Kind::AlreadyExists);
    let other = Group::create(shared(&store), "", group(Format::V3)).unwrap_err();
    assert_eq!(other.kind(), Kind::AlreadyExists);
    // One in which both are, as after a migration that kept the old documents, is of v3.
    crate::store::put_bytes(
        &*store,
        "three/zarr.json",
        br#"{"zarr_format": 3, "node_type": "group"}"#,
        Precondition::None,
    )
    .unwrap();
    let both = Group::open(shared(&store), "three").unwrap();
    assert_eq!(both.metadata().format, Format::V3);
    assert_eq!(hierarchy::consolidate(&*store, "").unwrap_err().kind(), Kind::Unsupported);
}

#[test]
fn deleted_nodes_leave_nothing() {
    for format in FORMATS {
        let store = hierarchy_of(format);
        let x = Array::open(shared(&store), "a/b/x").unwrap();
        let all = crate::selection::Selection::all();
        x.write_bytes(&all, &[1], &crate::plan::WriteOptions::default()).unwrap();
        hierarchy::delete_node(&*store, "a").unwrap();
        assert_eq!(paths(&Group::open(shared(&store), "").unwrap(), 9), ["y"]);
        assert!(store.snapshot().unwrap().iter().all(|(key, _)| !key.starts_with("a/")));
        let again = hierarchy::delete_node(&*store, "a").unwrap_err();
        assert_eq!(again.kind(), Kind::NotFound);
        hierarchy::delete_node(&*store, "").unwrap();
        assert!(store.snapshot().unwrap().is_empty());
    }
}
