//! A full disk: a small file system of its own where the test may mount one, and fault points that
//! allow only so many bytes everywhere.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use fuzarr::Kind;
use fuzarr::store::faults::{self, Action, Kind as Call};
use fuzarr::store::{LocalOptions, LocalStore, Precondition, Store, put_bytes};

use crate::scenario::{Place, Scenario, bytes, leftovers, state};
use crate::{helper, turn};

const NO_SPACE: i32 = 28;
const QUOTA: i32 = 122;

#[test]
fn a_disk_that_fills_while_an_object_is_written_leaves_the_old_one() {
    let _turn = turn();
    for scenario in [Scenario::PutOver, Scenario::Kept, Scenario::Upload] {
        // Each write moves 100 bytes; after so many of them the disk is full.
        for writes in 0..10 {
            let place = Place::new(scenario, LocalOptions::default());
            let store = place.store();
            let made = AtomicUsize::new(0);
            faults::install(move |_, call| match call {
                Call::Write | Call::Copy if made.fetch_add(1, Ordering::Relaxed) < writes => {
                    Action::Short(100)
                }
                Call::Write | Call::Copy => Action::Fail(NO_SPACE),
                _ => Action::Pass,
            });
            let outcome = scenario.run(&store);
            faults::remove();
            assert_eq!(outcome.unwrap_err().kind(), Kind::Io);
            assert_eq!(state(&store), scenario.states().0);
            assert_eq!(leftovers(place.path()).len(), 0);
            place.assert_clean("full disk");
        }
    }
}

#[test]
fn a_real_full_disk_keeps_the_old_object_and_can_be_freed() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let mounted = format!("mount -t tmpfs -o size=256k fuzarr '{place}'");
    let may_mount = Command::new("unshare").args(["-rm", "sh", "-c", &mounted]).output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        eprintln!("no file system can be mounted here: only the fault points ran");
        return;
    }
    let helper = helper(&["fill", place]);
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &format!("{mounted} && exec \"$@\""), "sh"])
        .arg(helper.get_program())
        .args(helper.get_args())
        .envs(helper.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 passed"), "the helper did nothing: {told}");
}

// Once, the lock file had to be made first.
#[test]
fn what_is_deleted_where_no_file_can_be_made_is_deleted() {
    let _turn = turn();
    for number in [NO_SPACE, QUOTA] {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        for key in ["a/b", "a/c", "a/d"] {
            put_bytes(&store, key, b"1", Precondition::None).unwrap();
        }
        faults::install(move |_, call| match call {
            Call::Create => Action::Fail(number),
            _ => Action::Pass,
        });
        let deleted = store.delete("a/b", Precondition::None).wait();
        let compared = store.delete("a/c", Precondition::Absent).wait();
        let all = store.delete_all("a").wait();
        faults::remove();
        deleted.unwrap();
        // What has to be compared needs the lock.
        assert_eq!(compared.unwrap_err().kind(), Kind::Io);
        all.unwrap();
        assert!(state(&store).is_empty());
    }
}

/// The helper: fills the disk that `folder` is on.
pub(crate) fn fill(folder: &str) {
    let store = LocalStore::open(Path::new(folder)).unwrap();
    let put = |key: &str, length| put_bytes(&store, key, &bytes(1, length), Precondition::None);
    put("a/old", 100_000).unwrap();
    let before = state(&store);
    // The old object stays until the new one is whole, so both have to fit.
    let full = put("a/old", 200_000).unwrap_err();
    assert_eq!((full.kind(), full.context("key")), (Kind::Io, Some("a/old")), "{full}");
    assert!(full.to_string().contains("o space"), "{full}");
    assert_eq!(put("b/new", 200_000).unwrap_err().kind(), Kind::Io);
    assert_eq!(state(&store), before);
    assert_eq!(leftovers(Path::new(folder)).len(), 0);
    // Filled to the last page, one can still delete and write again.
    let mut pages = 0;
    while put(&format!("page/{pages}"), 4096).is_ok() {
        pages += 1;
    }
    assert!(pages > 5, "{pages}");
    store.delete("page/0", Precondition::None).wait().unwrap();
    put("page/0", 4096).unwrap();
    store.delete_all("page").wait().unwrap();
    put("a/old", 90_000).unwrap();
    assert_eq!(state(&store), [("a/old".to_owned(), bytes(1, 90_000))].into());
}
