//! Nodes on local files: links, deletion, moves.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fuzarr::dtype::DataType;
use fuzarr::metadata::{Format, GroupMetadata, Node};
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{
    Answer, Capabilities, Content, Listing, LocalStore, MemoryStore, Object, Precondition, Store,
    Version, WholeObjects, put_bytes,
};
use fuzarr::transcode::{self, Options, Relayout, Transcode};
use fuzarr::{Array, Existing, Group, Kind, Selection, hierarchy, v2};
use serde_json::json;

fn node(format: Format) -> Node {
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "v2"}, "fill_value": 0, "codecs": ["bytes"],
    });
    let Node::Array(array) = Node::from_json(&document).unwrap() else { panic!() };
    match format {
        Format::V2 => Node::Array(Box::new(v2::describe(&array).unwrap())),
        Format::V3 => Node::Array(array),
    }
}

/// Arrays `a/x` and `b/y`, each holding ones.
fn fill(store: &Arc<dyn Store>, format: Format) {
    for path in ["a/x", "b/y"] {
        hierarchy::create_node(&**store, path, &node(format)).unwrap();
        let array = Array::open(Arc::clone(store), path).unwrap();
        array.write_bytes(&Selection::all(), &[1; 4], &WriteOptions::default()).unwrap();
    }
}

fn local(format: Format) -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(folder.path()).unwrap());
    fill(&store, format);
    (folder, store)
}

fn paths(store: &dyn Store) -> Vec<String> {
    let visits = hierarchy::traverse(store, "", hierarchy::DEEPEST).unwrap();
    visits.map(|visit| visit.unwrap()).map(|visit| visit.path).collect()
}

fn ones(store: &Arc<dyn Store>, path: &str) -> bool {
    let array = Array::open(Arc::clone(store), path).unwrap();
    array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes == [1; 4]
}

#[test]
fn a_link_to_a_group_above_ends_a_traversal() {
    for format in [Format::V2, Format::V3] {
        let (folder, store) = local(format);
        symlink("../../b", folder.path().join("a/x/aside")).unwrap();
        symlink("..", folder.path().join("a/up")).unwrap();
        symlink("../a", folder.path().join("b/over")).unwrap();
        let visits: Vec<_> = hierarchy::traverse(&*store, "", hierarchy::DEEPEST)
            .unwrap()
            .take(100)
            .map(Result::unwrap)
            .collect();
        assert!(visits.len() < 20, "{visits:?}");
        let broken = visits.iter().find(|visit| visit.path == "a/up").unwrap();
        let error = broken.node.as_ref().unwrap_err();
        assert!(error.message().contains("link"), "{error}");
        assert_eq!(hierarchy::consolidate(&*store, "").unwrap_err().kind(), error.kind());
    }
}

// A process may have 1024 files open where nobody has asked for more.
#[cfg(target_os = "linux")]
#[test]
fn members_are_not_all_open_at_the_same_time() {
    let (_folder, store) = local(Format::V3);
    for number in 0..200 {
        hierarchy::create_node(&*store, &format!("b/{number}"), &node(Format::V3)).unwrap();
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let mut visits = hierarchy::traverse(&*store, "", hierarchy::DEEPEST).unwrap();
    visits.by_ref().take(10).for_each(|visit| drop(visit.unwrap()));
    let more = open().saturating_sub(before);
    assert!(more < 100, "{more} files are open");
}

#[test]
fn equal_documents_in_one_file_are_no_link() {
    let (folder, store) = local(Format::V3);
    let document = |path: &str| folder.path().join(path).join("zarr.json");
    std::fs::remove_file(document("a")).unwrap();
    std::fs::hard_link(document(""), document("a")).unwrap();
    assert_eq!(paths(&*store), ["a", "a/x", "b", "b/y"]);
}

#[test]
fn deleting_does_not_follow_links() {
    for format in [Format::V2, Format::V3] {
        let (folder, store) = local(format);
        symlink("../b", folder.path().join("a/aside")).unwrap();
        assert_eq!(paths(&*store), ["a", "a/aside", "a/aside/y", "a/x", "b", "b/y"]);
        hierarchy::delete_node(&*store, "a").unwrap();
        assert_eq!(paths(&*store), ["b", "b/y"]);
        assert!(ones(&store, "b/y"));
        symlink("b", folder.path().join("link")).unwrap();
        hierarchy::delete_node(&*store, "link").unwrap();
        assert!(ones(&store, "b/y") && !folder.path().join("link").exists());
        hierarchy::delete_node(&*store, "").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn links_out_of_the_store_are_told() {
    // Once, members that are links out of the store were left out of everything.
    for format in [Format::V2, Format::V3] {
        let (elsewhere, _) = local(format);
        let (folder, store) = local(format);
        symlink(elsewhere.path().join("b"), folder.path().join("a/out")).unwrap();
        symlink("around", folder.path().join("a/around")).unwrap();
        symlink("nowhere", folder.path().join("a/dead")).unwrap();
        let children = hierarchy::children(&*store, "a").unwrap();
        let kinds: Vec<_> = children
            .iter()
            .map(|(name, node)| (name.as_str(), node.as_ref().err().map(fuzarr::Error::kind)))
            .collect();
        let refused = Some(Kind::InvalidArgument);
        assert_eq!(kinds, [("around", refused), ("out", refused), ("x", None)]);
        let error = hierarchy::consolidate(&*store, "").unwrap_err();
        assert!(error.to_string().contains("a/around"), "{error}");
        let other: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let place =
            |store: &Arc<dyn Store>| transcode::Node { store: Arc::clone(store), path: "a".into() };
        let relayout = |_: &_| Ok(Relayout::default());
        let copied = Transcode::plan(place(&store), place(&other), relayout, Options::default());
        assert_eq!(copied.unwrap_err().kind(), Kind::InvalidArgument);
        hierarchy::delete_node(&*store, "a").unwrap();
        assert_eq!(paths(&*store), ["b", "b/y"]);
        assert!(elsewhere.path().join("b/y").is_dir());
    }
}

fn moves(store: &Arc<dyn Store>, format: Format) {
    let root = GroupMetadata { format, ..GroupMetadata::default() };
    hierarchy::consolidate(&**store, "").unwrap();
    hierarchy::rename_node(&**store, "a", "c/d/a").unwrap();
    assert_eq!(paths(&**store), ["b", "b/y", "c", "c/d", "c/d/a", "c/d/a/x"]);
    assert!(ones(store, "c/d/a/x"));
    assert!(!Group::open(Arc::clone(store), "").unwrap().is_consolidated());
    Group::create(Arc::clone(store), "e", root).unwrap();
    for (from, to, kind) in [
        ("a", "f", Kind::NotFound),
        ("b", "e", Kind::AlreadyExists),
        ("b", "b", Kind::InvalidArgument),
        ("b", "b/y/z", Kind::InvalidArgument),
        ("", "f", Kind::InvalidArgument),
        ("b", "", Kind::InvalidArgument),
        ("b", "c/d/a/x/b", Kind::InvalidArgument),
        ("b", "__b", Kind::InvalidArgument),
    ] {
        let error = hierarchy::rename_node(&**store, from, to).unwrap_err();
        assert_eq!(error.kind(), kind, "{from} to {to}: {error}");
    }
    assert!(ones(store, "b/y"));
}

#[test]
fn nodes_move_with_all_that_is_in_them() {
    for format in [Format::V2, Format::V3] {
        let (_folder, store) = local(format);
        moves(&store, format);
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        fill(&memory, format);
        moves(&memory, format);
        let wrapped: Arc<dyn Store> = Arc::new(WholeObjects(MemoryStore::new()));
        fill(&wrapped, format);
        moves(&wrapped, format);
    }
}

#[test]
fn a_folder_without_documents_is_in_the_way() {
    let (folder, store) = local(Format::V3);
    std::fs::create_dir_all(folder.path().join("c")).unwrap();
    std::fs::write(Path::new(folder.path()).join("c/notes.txt"), "mine").unwrap();
    let error = hierarchy::rename_node(&*store, "a", "c").unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists);
    assert!(ones(&store, "a/x"));
}

/// Runs `change` eight times at once, with numbers 0 to 7.
fn at_once(change: impl Fn(u8) + Sync) {
    std::thread::scope(|scope| {
        for number in 0..8 {
            let change = &change;
            scope.spawn(move || change(number));
        }
    });
}

#[test]
fn changes_at_the_same_time_are_all_kept() {
    for format in [Format::V2, Format::V3] {
        let (_folder, local) = local(format);
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        fill(&memory, format);
        for store in [local, memory] {
            at_once(|number| {
                hierarchy::update_attributes(&*store, "a/x", |attributes| {
                    attributes.insert(number.to_string(), number.into());
                    Ok(())
                })
                .unwrap();
            });
            at_once(|number| {
                let mut array = Array::open(Arc::clone(&store), "a/x").unwrap();
                array.append(&[number + 2], 0).unwrap();
            });
            let array = Array::open(Arc::clone(&store), "a/x").unwrap();
            assert_eq!(array.metadata().attributes.len(), 8);
            let mut values =
                array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes;
            values.sort_unstable();
            assert_eq!(values, [1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
    }
}

/// A store in which something else happens before the first deletion.
struct Meanwhile {
    store: Arc<dyn Store>,
    act: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.store.fmt(f)
    }
}

impl Store for Meanwhile {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        self.store.open(key)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        self.store.put(key, content, precondition)
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        if let Some(act) = self.act.lock().unwrap().take() {
            act();
        }
        self.store.delete(key, precondition)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.store.list(prefix)
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.store.delete_all(prefix)
    }
}

// Seen to fail when objects were deleted whatever their version.
#[test]
fn what_others_append_while_an_array_shrinks_is_kept() {
    for format in [Format::V2, Format::V3] {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        fill(&store, format);
        let theirs = Arc::clone(&store);
        let append = move || {
            Array::open(theirs, "a/x").unwrap().append(&[7, 8], 0).unwrap();
        };
        let act: Box<dyn FnOnce() + Send> = Box::new(append);
        let ours = Arc::new(Meanwhile { store: Arc::clone(&store), act: Mutex::new(Some(act)) });
        Array::open(ours, "a/x").unwrap().resize(&[2]).unwrap();
        let array = Array::open(Arc::clone(&store), "a/x").unwrap();
        let read = array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap();
        assert_eq!(read.bytes, [1, 1, 7, 8]);
    }
}

#[test]
fn what_changes_nothing_keeps_consolidated_metadata() {
    for format in [Format::V2, Format::V3] {
        let (folder, store) = local(format);
        hierarchy::consolidate(&*store, "").unwrap();
        let consolidated = || {
            let Some(Node::Group(root)) = hierarchy::read_node(&*store, "").unwrap() else {
                panic!("no group")
            };
            hierarchy::read_consolidated(&*store, "", &root).unwrap().is_some()
        };
        let mut array = Array::open(Arc::clone(&store), "a/x").unwrap();
        array.resize(&[4]).unwrap();
        assert_eq!(array.resize(&[4, 4]).unwrap_err().kind(), Kind::InvalidArgument);
        assert_eq!(array.append(&[1], 7).unwrap_err().kind(), Kind::InvalidArgument);
        // There is something that is no node.
        put_bytes(&*store, "c/d/note", b"x", Precondition::None).unwrap();
        let moved = hierarchy::rename_node(&*store, "a/x", "c/d").unwrap_err();
        assert_eq!(moved.kind(), Kind::AlreadyExists);
        assert!(consolidated());
        assert!(hierarchy::document_at(&*store, "c").unwrap().is_none(), "a group was made");
        drop(folder);
    }
}

#[test]
fn what_lies_there_does_not_show_through_what_is_new() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let new = |extent: u64| Array::builder([extent], DataType::UInt8).chunks([2]);
    let create = |extent| new(extent).create(Arc::clone(&store), "a");
    create(4).unwrap().write(&Selection::all(), 1_u8).unwrap();
    let error = create(4).unwrap_err();
    assert_eq!((error.kind(), error.context("key")), (Kind::AlreadyExists, Some("a/zarr.json")));
    store.delete("a/zarr.json", Precondition::None).wait().unwrap();
    // Also what would show if the array grew.
    for extent in [4, 2, 0] {
        let error = create(extent).unwrap_err();
        assert_eq!((error.kind(), error.context("key")), (Kind::AlreadyExists, Some("a/c/0")));
    }
    put_bytes(&*store, "a/notes", b"mine", Precondition::Absent).unwrap();
    let mut array = new(2).overwrite(true).create(Arc::clone(&store), "a").unwrap();
    array.resize(&[4]).unwrap();
    let read = array.read::<u8>(&Selection::all()).unwrap();
    assert!(read.iter().all(|&element| element == 0));

    let group =
        |existing| Group::create_with(Arc::clone(&store), "a", GroupMetadata::default(), existing);
    assert_eq!(group(Existing::Refuse).unwrap_err().kind(), Kind::AlreadyExists);
    assert!(group(Existing::Overwrite).unwrap().children().unwrap().is_empty());
    assert!(store.open("a/notes").wait().unwrap().is_some());
}

// zarr-python lists them too.
#[test]
fn nodes_of_reserved_names_are_not_hidden() {
    for format in [Format::V2, Format::V3] {
        let (folder, store) = local(format);
        std::fs::rename(folder.path().join("a"), folder.path().join("__a")).unwrap();
        std::fs::rename(folder.path().join("b/y"), folder.path().join("b/__y")).unwrap();
        std::fs::create_dir_all(folder.path().join("b/__pycache__/x")).unwrap();
        let all = ["__a", "__a/x", "b", "b/__y"];
        assert_eq!(paths(&*store), all);
        assert_eq!(hierarchy::consolidate(&*store, "").unwrap(), 4);
        let group = Group::open(Arc::clone(&store), "").unwrap();
        let visits = group.traverse(hierarchy::DEEPEST).unwrap().map(Result::unwrap);
        assert_eq!(visits.map(|visit| visit.path).collect::<Vec<_>>(), all);
        let place = |path: &str| transcode::Node { store: Arc::clone(&store), path: path.into() };
        Transcode::plan(place("b"), place("c"), |_| Ok(Relayout::default()), Options::default())
            .unwrap()
            .run(|_| Ok(()))
            .unwrap();
        assert!(ones(&store, "c/__y"));
        hierarchy::delete_node(&*store, "__a").unwrap();
        assert_eq!(paths(&*store), ["b", "b/__y", "c", "c/__y"]);
    }
}

// Once, the attributes became `{}`.
#[test]
fn a_group_that_is_made_above_a_node_keeps_attributes_that_are_there() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    put_bytes(&*store, "g/.zattrs", br#"{"units":"K"}"#, Precondition::None).unwrap();
    hierarchy::create_node(&*store, "g/x", &node(Format::V2)).unwrap();
    let group = hierarchy::read_node(&*store, "g").unwrap().unwrap();
    assert_eq!(group.attributes()["units"], "K");
    // A node that is asked for has its own.
    put_bytes(&*store, "h/.zattrs", br#"{"units":"K"}"#, Precondition::None).unwrap();
    let metadata = GroupMetadata { format: Format::V2, ..GroupMetadata::default() };
    hierarchy::create_node(&*store, "h", &Node::Group(metadata)).unwrap();
    assert!(hierarchy::read_node(&*store, "h").unwrap().unwrap().attributes().is_empty());
}

/// What is below a path of a store, as a store.
#[derive(Debug)]
struct Below(Arc<dyn Store>, &'static str);

impl Below {
    fn key(&self, key: &str) -> String {
        format!("{}/{key}", self.1).trim_end_matches('/').to_owned()
    }
}

impl Store for Below {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        Answer::ready(self.0.open(&self.key(key)).wait())
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        Answer::ready(self.0.put(&self.key(key), content, precondition).wait())
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        Answer::ready(self.0.delete(&self.key(key), precondition).wait())
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Answer::ready(self.0.list(&self.key(prefix)).wait())
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        Answer::ready(self.0.delete_all(&self.key(prefix)).wait())
    }
}

// Once, the source was deleted, and all of it copied as fill value.
#[test]
fn a_source_is_not_overwritten_under_another_name() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    fill(&store, Format::V3);
    let other = Meanwhile { store: Arc::clone(&store), act: Mutex::new(None) };
    let other: Arc<dyn Store> = Arc::new(other);
    let below = |path| -> Arc<dyn Store> { Arc::new(Below(Arc::clone(&store), path)) };
    let place = |store: &Arc<dyn Store>, path: &str| transcode::Node {
        store: Arc::clone(store),
        path: path.to_owned(),
    };
    let before = paths(&*store);
    let same = [("a/x", "a/x"), ("a/x", "a"), ("a", "a"), ("", "a"), ("a", "")];
    let same = same.map(|(from, to)| (place(&store, from), place(&other, to)));
    let inside = [("a/x", "a"), ("a/x", ""), ("a", "")];
    let inside = inside.map(|(from, to)| (place(&below(from), ""), place(&store, to)));
    let around = ["a", ""].map(|from| (place(&store, from), place(&below("a"), "x")));
    for (from, to) in same.into_iter().chain(inside).chain(around) {
        let options = Options { overwrite: true, ..Options::default() };
        let copy = Transcode::plan(from, to, |_| Ok(Relayout::default()), options).unwrap();
        let error = copy.run(|_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
        assert_eq!(paths(&*store), before);
        let array = Array::open(Arc::clone(&store), "a/x").unwrap();
        assert_eq!(
            array.read_bytes(&Selection::all(), &ReadOptions::default()).unwrap().bytes,
            [1; 4]
        );
        for folder in ["", "a", "a/x"] {
            let listed = store.list(folder).wait().unwrap().objects;
            assert!(listed.iter().all(|(name, _)| name != ".fuzarr-copy"), "{listed:?}");
        }
    }
}

// Once, consolidated metadata was dropped, and groups made, before the store said that it does not move.
#[test]
fn a_store_that_does_not_move_is_left_as_it_is() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    fill(&store, Format::V3);
    hierarchy::consolidate(&*store, "").unwrap();
    let other = Meanwhile { store: Arc::clone(&store), act: Mutex::new(None) };
    let root = || hierarchy::read_node(&*store, "").unwrap();
    let before = (paths(&*store), root());
    let error = hierarchy::rename_node(&other, "a/x", "new/x").unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert_eq!((paths(&*store), root()), before);
}
