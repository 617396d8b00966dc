//! What deleting and overwriting take away, and what they leave.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::os::unix::fs::symlink;
use std::sync::Arc;

use fuzarr::dtype::DataType;
use fuzarr::metadata::{Format, GroupMetadata};
use fuzarr::store::{Faulty, LocalStore, MemoryStore, Operation, Precondition, Store, put_bytes};
use fuzarr::{Array, Error, Existing, Group, Kind, Selection, hierarchy, v2};

/// An array of four ones in chunks of two, at `path`.
fn ones(store: &Arc<dyn Store>, path: &str) -> Array {
    let new = Array::builder([4], DataType::UInt8).chunks([2]);
    let array = new.create(Arc::clone(store), path).unwrap();
    array.write(&Selection::all(), 1_u8).unwrap();
    array
}

fn read(store: &Arc<dyn Store>, path: &str) -> Vec<u8> {
    let array = Array::open(Arc::clone(store), path).unwrap();
    array.read::<u8>(&Selection::all()).unwrap().into_iter().collect()
}

fn group(store: &Arc<dyn Store>, path: &str, existing: Existing) -> Result<Group, Error> {
    Group::create_with(Arc::clone(store), path, GroupMetadata::default(), existing)
}

fn local() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(folder.path()).unwrap());
    (folder, store)
}

fn paths(store: &dyn Store) -> Vec<String> {
    let visits = hierarchy::traverse(store, "", hierarchy::DEEPEST).unwrap();
    visits.map(|visit| visit.unwrap()).map(|visit| visit.path).collect()
}

#[test]
fn overwriting_a_group_does_not_follow_links() {
    let (folder, store) = local();
    ones(&store, "keep/x");
    ones(&store, "view/own");
    symlink("../keep", folder.path().join("view/link")).unwrap();
    group(&store, "view", Existing::Overwrite).unwrap();
    assert_eq!(paths(&*store), ["keep", "keep/x", "view"]);
    assert_eq!(read(&store, "keep/x"), [1; 4]);
    assert!(folder.path().join("view/link").symlink_metadata().is_err());
    // The node itself is a link.
    symlink("keep", folder.path().join("link")).unwrap();
    group(&store, "link", Existing::Overwrite).unwrap();
    assert_eq!(paths(&*store), ["keep", "keep/x", "link", "view"]);
    assert_eq!(read(&store, "keep/x"), [1; 4]);
}

#[test]
fn overwriting_an_array_does_not_follow_links() {
    let (folder, store) = local();
    ones(&store, "keep");
    let new = ones(&store, "a").metadata().clone();
    std::fs::remove_dir_all(folder.path().join("a/c")).unwrap();
    symlink("../keep/c", folder.path().join("a/c")).unwrap();
    assert_eq!(read(&store, "a"), [1; 4]);
    let create = |existing| {
        let registry = fuzarr::codec::Registry::default();
        Array::create_with(Arc::clone(&store), "a", new.clone(), existing, &registry)
    };
    create(Existing::Overwrite).unwrap();
    assert_eq!((read(&store, "keep"), read(&store, "a")), (vec![1; 4], vec![0; 4]));
    // Nor if nothing but the link is left.
    std::fs::remove_file(folder.path().join("a/zarr.json")).unwrap();
    symlink("../keep/c", folder.path().join("a/c")).unwrap();
    assert_eq!(create(Existing::Refuse).unwrap_err().kind(), Kind::AlreadyExists);
    create(Existing::Overwrite).unwrap();
    assert_eq!((read(&store, "keep"), read(&store, "a")), (vec![1; 4], vec![0; 4]));
    // Nor if the folder itself is one.
    std::fs::remove_dir_all(folder.path().join("a")).unwrap();
    std::fs::rename(folder.path().join("keep/zarr.json"), folder.path().join("kept")).unwrap();
    symlink("keep", folder.path().join("a")).unwrap();
    create(Existing::Overwrite).unwrap();
    std::fs::rename(folder.path().join("kept"), folder.path().join("keep/zarr.json")).unwrap();
    assert_eq!((read(&store, "keep"), read(&store, "a")), (vec![1; 4], vec![0; 4]));
}

#[test]
fn what_cannot_be_overwritten_whole_stays_whole() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    ones(&store, "g/a");
    ones(&store, "g/b");
    hierarchy::consolidate(&*store, "").unwrap();
    put_bytes(&*store, "g/b/zarr.json", b"{", Precondition::None).unwrap();
    let error = group(&store, "g", Existing::Overwrite).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidMetadata, "{error}");
    assert_eq!(error.context("key"), Some("g/b/zarr.json"));
    assert_eq!(read(&store, "g/a"), [1; 4]);
    assert!(Group::open(Arc::clone(&store), "").unwrap().is_consolidated());
}

/// Whether each node that a group names, also by consolidated metadata, is there and whole.
fn is_sound(store: &Arc<dyn Store>) -> bool {
    let Ok(group) = Group::open(Arc::clone(store), "g") else { return true };
    let children = group.children().unwrap();
    children.iter().all(|(name, _)| {
        let path = format!("g/{name}");
        hierarchy::document_at(&**store, &path).unwrap().is_some() && read(store, &path) == [1; 4]
    })
}

#[test]
fn an_interrupted_deletion_leaves_no_group_that_names_what_is_gone() {
    let overwrite: fn(&Arc<dyn Store>) -> Result<(), Error> =
        |store| group(store, "g", Existing::Overwrite).map(drop);
    let remove: fn(&Arc<dyn Store>) -> Result<(), Error> =
        |store| hierarchy::delete_node(&**store, "g");
    for (delete, is_removal) in [(overwrite, false), (remove, true)] {
        for format in [Format::V2, Format::V3] {
            for number in 0..100 {
                let faulty = Arc::new(Faulty::new(MemoryStore::new()));
                let store: Arc<dyn Store> = Arc::<Faulty<_>>::clone(&faulty);
                let metadata = GroupMetadata { format, ..GroupMetadata::default() };
                Group::create(Arc::clone(&store), "g", metadata).unwrap();
                for path in ["g/a", "g/b"] {
                    let new = Array::builder([4], DataType::UInt8).chunks([2]);
                    let mut new = new.metadata().unwrap();
                    if format == Format::V2 {
                        new = v2::describe(&new).unwrap();
                    }
                    let array = Array::create(Arc::clone(&store), path, new).unwrap();
                    array.write(&Selection::all(), 1_u8).unwrap();
                }
                hierarchy::consolidate(&*store, "g").unwrap();
                faulty.fail(Operation::Delete, number, Kind::Io);
                let ended = delete(&store).is_ok();
                assert!(is_sound(&store), "{format} {is_removal} {number}");
                if ended {
                    assert!(number > 2);
                    break;
                }
            }
        }
    }
}

#[test]
fn groups_too_deep_to_walk_are_not_overwritten_in_part() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let document = br#"{"zarr_format": 3, "node_type": "group"}"#;
    let mut path = String::from("g");
    for _ in 0..hierarchy::DEEPEST + 50 {
        put_bytes(&*store, &format!("{path}/zarr.json"), document, Precondition::None).unwrap();
        path.push_str("/g");
    }
    let error = group(&store, "g", Existing::Overwrite).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    assert!(hierarchy::document_at(&*store, "g/g/g").unwrap().is_some());
    hierarchy::delete_node(&*store, "g").unwrap();
    assert!(store.list("").wait().unwrap().is_empty());
}

#[test]
fn an_interrupted_deletion_is_taken_up() {
    for kind in [Operation::Delete, Operation::DeleteAll] {
        for number in 0..5 {
            let faulty = Arc::new(Faulty::new(MemoryStore::new()));
            let store: Arc<dyn Store> = Arc::<Faulty<_>>::clone(&faulty);
            ones(&store, "g/a");
            faulty.fail(kind, number, Kind::Io);
            let first = hierarchy::delete_node(&*store, "g");
            if first.is_err() {
                hierarchy::delete_node(&*store, "g").unwrap();
            }
            assert!(store.list("g").wait().unwrap().is_empty());
            let again = hierarchy::delete_node(&*store, "g").unwrap_err();
            assert_eq!(again.kind(), Kind::NotFound);
        }
    }
}

#[test]
fn the_mark_of_a_deletion_goes_last() {
    let (folder, store) = local();
    let flat = fuzarr::grid::ChunkKeyEncoding::V2 { separator: fuzarr::grid::Separator::Dot };
    let new = Array::builder([4], DataType::UInt8).chunks([2]).chunk_keys(flat);
    new.create(Arc::clone(&store), "g").unwrap().write(&Selection::all(), 1_u8).unwrap();
    // What cannot be deleted: a chunk whose lock is a folder.
    std::fs::create_dir_all(folder.path().join("g/1.__lock/x")).unwrap();
    hierarchy::delete_node(&*store, "g").unwrap_err();
    assert!(folder.path().join("g").join(hierarchy::REMOVAL).exists());
    std::fs::remove_dir_all(folder.path().join("g/1.__lock")).unwrap();
    hierarchy::delete_node(&*store, "g").unwrap();
    assert!(!folder.path().join("g").exists());
}

#[test]
fn files_of_others_with_long_names_go_too() {
    let (folder, store) = local();
    ones(&store, "g/a");
    std::fs::write(folder.path().join("g").join("n".repeat(252)), "not ours").unwrap();
    hierarchy::delete_node(&*store, "g").unwrap();
    assert!(!folder.path().join("g").exists());
}
