//! Every call that changes something is made to fail in turn.

use fuzarr::Kind;
use fuzarr::store::faults::{self, Action, Kind as Call};
use fuzarr::store::{LocalOptions, Store};

use crate::scenario::{KEY, Place, SCENARIOS, Scenario, state};
use crate::turn;

const INTERRUPTED: i32 = 4;
const IO: i32 = 5;
const NO_SPACE: i32 = 28;
const OTHER_DEVICE: i32 = 18;
const INVALID: i32 = 22;
const NO_LOCKS: i32 = 37;
const NO_SUCH_CALL: i32 = 38;
const NOT_SUPPORTED: i32 = 95;

fn options(fsync: bool) -> LocalOptions {
    LocalOptions { fsync, ..LocalOptions::default() }
}

/// Runs a scenario with `action` for the calls that `chosen` names, by number and kind, in a place
/// of its own, on a file system that may report errors late. Gives the outcome and the calls.
fn run(
    scenario: Scenario,
    place: &Place,
    action: Action,
    chosen: impl Fn(usize, Call) -> bool + Send + 'static,
) -> (fuzarr::Result<()>, Vec<Call>) {
    faults::install(|_, call| match call {
        Call::FileSystem => Action::Fail(NO_SUCH_CALL),
        _ => Action::Pass,
    });
    let store = place.store();
    faults::install(move |nth, call| if chosen(nth, call) { action } else { Action::Pass });
    let outcome = scenario.run(&store);
    (outcome, faults::remove().0)
}

#[test]
fn each_failing_call_is_an_error_and_leaves_what_was_stored() {
    let _turn = turn();
    let mut failed = std::collections::HashSet::new();
    for scenario in SCENARIOS {
        let (before, after) = scenario.states();
        for (number, fsync) in [(IO, false), (NO_SPACE, false), (IO, true)] {
            for nth in 0.. {
                let place = Place::new(scenario, options(fsync));
                let (outcome, calls) =
                    run(scenario, &place, Action::Fail(number), move |at, _| at == nth);
                let Some(&call) = calls.get(nth) else { break };
                failed.insert(call);
                let text = format!("{scenario:?}, fsync {fsync}, {call:?} {nth} fails");
                let stored = state(&place.store());
                scenario.assert_old_or_new(&stored, &text);
                // From here on the new state is in place, if not yet known to be on the disk.
                let done = [Call::Rename, Call::Unlink];
                let is_done = calls[..nth].iter().any(|call| done.contains(call));
                match outcome {
                    // The lock file could not be removed: the next writer takes it.
                    Ok(()) => {
                        let deletes = [Scenario::Delete, Scenario::DeleteAll].contains(&scenario);
                        // What makes room needs none.
                        let is_got_round = deletes && number == NO_SPACE;
                        let locks = [Call::Create, Call::Lock].contains(&call);
                        assert!(call == Call::Unlink || is_got_round && locks, "{text}");
                        assert_eq!(stored, after, "{text}");
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), Kind::Io, "{text}: {error}");
                        let partial = [Scenario::Patch, Scenario::DeleteAll].contains(&scenario);
                        assert!(partial || is_done || stored == before, "{text}");
                    }
                }
                place.assert_clean(&text);
            }
        }
    }
    let all = [
        Call::Create,
        Call::Lock,
        Call::Write,
        Call::Copy,
        Call::Truncate,
        Call::Sync,
        Call::Rename,
        Call::Unlink,
        Call::MakeFolder,
        Call::Close,
    ];
    assert!(all.iter().all(|call| failed.contains(call)), "{failed:?}");
}

#[test]
fn what_can_be_got_round_is_no_error() {
    let _turn = turn();
    let mut cases = vec![
        (Call::Write, Action::Short(1)),
        (Call::Write, Action::Short(999)),
        (Call::Copy, Action::Short(1)),
        (Call::Copy, Action::Short(0)),
        (Call::Lock, Action::Fail(NO_LOCKS)),
        (Call::Lock, Action::Fail(NOT_SUPPORTED)),
        (Call::Lock, Action::Fail(NO_SUCH_CALL)),
    ];
    let fall_back = [OTHER_DEVICE, INVALID, NO_SUCH_CALL, NOT_SUPPORTED];
    cases.extend(fall_back.map(|number| (Call::Copy, Action::Fail(number))));
    for scenario in SCENARIOS {
        for &(kind, action) in &cases {
            let place = Place::new(scenario, options(false));
            let (outcome, calls) = run(scenario, &place, action, move |_, call| call == kind);
            outcome.unwrap();
            assert_eq!(state(&place.store()), scenario.states().1, "{scenario:?}, {kind:?}");
            let copies = calls.iter().filter(|&&call| call == Call::Copy).count();
            assert_eq!(copies > 0, matches!(scenario, Scenario::Kept | Scenario::Upload));
            place.assert_clean("got round");
        }
        for nth in 0.. {
            let place = Place::new(scenario, options(true));
            let (outcome, calls) =
                run(scenario, &place, Action::Fail(INTERRUPTED), move |at, _| at == nth);
            if nth >= calls.len() {
                break;
            }
            outcome.unwrap();
            assert_eq!(state(&place.store()), scenario.states().1, "{scenario:?}, {nth}");
        }
    }
}

#[test]
fn without_locks_the_writers_of_one_process_exclude_each_other() {
    let _turn = turn();
    let place = Place::new(Scenario::PutOver, options(false));
    let store = place.store();
    let count = |store: &dyn Store| -> u32 {
        let object = store.open("count").wait().unwrap();
        object.map_or(0, |object| {
            let mut bytes = [0; 4];
            assert!(object.read_into(0, &mut bytes).wait().unwrap());
            u32::from_le_bytes(bytes)
        })
    };
    faults::install(|_, call| match call {
        Call::Lock => Action::Fail(NO_LOCKS),
        _ => Action::Pass,
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    add_one(&store);
                }
            });
        }
    });
    faults::remove();
    assert_eq!(count(&store), 200);

    let shared = LocalOptions { shared_writers: true, ..options(false) };
    let store = fuzarr::store::LocalStore::open_with(place.path(), shared).unwrap();
    faults::install(|_, call| match call {
        Call::Lock => Action::Fail(NO_LOCKS),
        _ => Action::Pass,
    });
    let outcome = Scenario::PutOver.run(&store);
    faults::remove();
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.context("key")), (Kind::Io, Some(KEY)), "{error}");
    place.assert_clean("no locks");
}

/// Adds one to a counter, again and again until nobody else did meanwhile.
fn add_one(store: &dyn Store) {
    use fuzarr::store::{Precondition, put_bytes};
    loop {
        let object = store.open("count").wait().unwrap();
        let mut bytes = [0; 4];
        let precondition = match &object {
            Some(object) => {
                assert!(object.read_into(0, &mut bytes).wait().unwrap());
                Precondition::Unchanged(object.version().unwrap())
            }
            None => Precondition::Absent,
        };
        let next = (u32::from_le_bytes(bytes) + 1).to_le_bytes();
        match put_bytes(store, "count", &next, precondition) {
            Ok(()) => return,
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
        }
    }
}

#[test]
fn a_failed_sync_reaches_every_request_that_it_was_of() {
    use fuzarr::store::{Content, Part, Precondition};
    let _turn = turn();
    let place = Place::new(Scenario::PutOver, options(true));
    let store = place.store();
    let put = |key: &str| {
        let content = Content { parts: &[Part::Bytes(b"new")], base: None };
        store.put(key, content, Precondition::None).wait()
    };
    let (mine, theirs) = (store.moment(), store.moment());
    put(KEY).unwrap();
    put("array/c/1").unwrap();
    faults::install(|_, call| match call {
        Call::Sync => Action::Fail(IO),
        _ => Action::Pass,
    });
    let failed = store.settle(mine).wait().unwrap_err();
    faults::remove();
    assert_eq!(failed.kind(), Kind::Io, "{failed}");
    // Syncing once more would succeed, and not say what is lost.
    assert_eq!(store.settle(theirs).wait().unwrap_err().kind(), Kind::Io);
    let next = store.moment();
    put(KEY).unwrap();
    store.settle(next).wait().unwrap();
}
