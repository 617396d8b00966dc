//! Recorded calls are replayed with the power cut after each of them, and what was not synced lost.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use fuzarr::store::faults::{self, Action, Event, Identity};
use fuzarr::store::{
    Content, LocalOptions, LocalStore, MemoryStore, Part, Precondition, Store, settled,
};

use crate::disk::{Disk, Pending};
use crate::scenario::{State, bytes, state};
use crate::turn;

type Step = fn(&dyn Store) -> fuzarr::Result<()>;

fn put(store: &dyn Store, key: &str, seed: usize) -> fuzarr::Result<()> {
    let content = Content { parts: &[Part::Bytes(&bytes(seed, 300))], base: None };
    store.put(key, content, Precondition::None).wait().map(drop)
}

/// Writes of every kind, one after the other. The change in place comes with no other: it may be
/// half done when the power is cut, but not after it is acknowledged. The last are many writes, as
/// of one request.
const STEPS: [Step; 17] = [
    |store| put(store, "zarr.json", 1),
    |store| put(store, "a/b/c/0", 2),
    |store| put(store, "a/b/c/1", 3),
    |store| put(store, "a/b/c/0", 4),
    |store| {
        let base = store.open("a/b/c/0").wait()?.unwrap();
        let parts = [Part::Kept(10..200), Part::Bytes(b"new"), Part::Kept(0..50)];
        let content = Content { parts: &parts, base: Some(&*base) };
        store.put("a/b/c/0", content, Precondition::None).wait().map(drop)
    },
    |store| {
        let upload = store.begin("a/e/0").wait()?;
        for (offset, piece) in [(5, &b"56789"[..]), (0, b"01234")] {
            let parts = [Part::Bytes(piece)];
            upload.write(offset, Content { parts: &parts, base: None }).wait()?;
        }
        upload.finish(Precondition::Absent).wait().map(drop)
    },
    |store| store.delete("a/b/c/1", Precondition::None).wait(),
    |store| put(store, "a/b/c/1", 5),
    |store| store.rename_all("a/b", "n/m/b").wait(),
    |store| put(store, "n/m/b/c/2", 6),
    |store| store.patch("n/m/b/c/2", &[(0, b"patched"), (290, b"too")], Precondition::None).wait(),
    |store| store.delete_all("n/m/b").wait(),
    |store| put(store, "n/m/b/c/2", 7),
    |store| store.delete_all("a").wait(),
    |store| (0..5).try_for_each(|nth| put(store, &format!("r/{}/s/{nth}", nth % 2), nth)),
    |store| {
        put(store, "r/0/s/0", 8)?;
        store.delete("r/0/s/2", Precondition::None).wait()?;
        store.delete("r/0/s/9", Precondition::None).wait()?;
        store.delete_all("r/1/s").wait()?;
        store.rename_all("n/m", "t/m").wait()?;
        put(store, "t/u/1", 9)
    },
    // More folders than wait at once.
    |store| (0..80).try_for_each(|nth| put(store, &format!("v/{nth}/0"), nth)),
];

/// The step that is not atomic.
const PATCH: usize = 10;

struct Recording {
    root: Identity,
    events: Vec<Event>,
    /// How many events there were when each step was acknowledged.
    ends: Vec<usize>,
    /// What was stored when each step was acknowledged, after what was before the first.
    states: Vec<State>,
}

/// What is recorded of steps. With `fsync` each is settled, unless `settle` is not set.
fn record(steps: &[Step], fsync: bool, settle: bool) -> Recording {
    let folder = tempfile::tempdir().unwrap();
    let root = std::fs::metadata(folder.path()).unwrap();
    let options = LocalOptions { fsync, ..LocalOptions::default() };
    faults::install(|_, _| Action::Pass);
    let store = LocalStore::create_with(folder.path().join("above/store"), options).unwrap();
    let twin = MemoryStore::new();
    let mut states = vec![State::new()];
    let mut ends = Vec::new();
    for step in steps {
        if settle {
            settled(&store, || step(&store)).unwrap();
        } else {
            step(&store).unwrap();
        }
        ends.push(faults::recorded());
        step(&twin).unwrap();
        states.push(state(&twin));
    }
    let (_, events) = faults::remove();
    assert_eq!(&state(&store), states.last().unwrap());
    Recording { root: (root.dev(), root.ino()), events, ends, states }
}

/// Numbers that look random, by xorshift.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// What is found after a power cut that is neither what was acknowledged nor what was being
/// written.
fn losses(recording: &Recording) -> BTreeSet<String> {
    let mut disk = Disk::new(recording.root);
    let mut losses = BTreeSet::new();
    let mut seed = 88_172_645_463_325_252;
    for (position, event) in recording.events.iter().enumerate() {
        disk.play(event);
        let done = position + 1;
        // Steps that were acknowledged by then, and the state that one in the making leads to.
        let acknowledged = recording.ends.partition_point(|&end| end <= done);
        let was = &recording.states[acknowledged];
        let in_the_making = acknowledged == 0 || recording.ends[acknowledged - 1] < done;
        let next = Some(acknowledged + 1).filter(|_| in_the_making);
        let is = next.and_then(|next| recording.states.get(next)).unwrap_or(was);
        for choice in 0..24 {
            let found = disk.after_power_cut("/above/store", |pending| match choice {
                0 => false,
                1 => true,
                2 => pending == Pending::Name,
                3 => pending == Pending::Bytes,
                _ => random(&mut seed).is_multiple_of(2),
            });
            for key in was.keys().chain(is.keys()).chain(found.keys()) {
                let [old, new, now] = [was, is, &found].map(|state| state.get(key));
                let is_patched = in_the_making
                    && acknowledged == PATCH
                    && now.is_some_and(|now| now.len() == 300);
                if now != old && now != new && !is_patched {
                    losses.insert(format!("step {acknowledged}, event {position}: {key}"));
                }
            }
        }
    }
    losses
}

#[test]
fn with_fsync_nothing_acknowledged_is_lost() {
    let _turn = turn();
    let recording = record(&STEPS, true, true);
    assert!(recording.events.len() > 100, "{}", recording.events.len());
    assert_eq!(losses(&recording), BTreeSet::new());
}

#[test]
fn without_fsync_the_replay_finds_losses() {
    let _turn = turn();
    assert!(losses(&record(&STEPS, false, true)).len() > 20);
}

#[test]
fn the_replay_finds_losses_if_what_was_put_is_not_settled() {
    let _turn = turn();
    // What is put is synced all the same, but not the folders that its name is in.
    let recording = record(&STEPS, true, false);
    let is_sync = |event: &&Event| matches!(event, Event::Sync { .. });
    assert!(recording.events.iter().filter(is_sync).count() > 80);
    assert!(losses(&recording).len() > 20);
}

#[test]
fn most_syncs_are_missed_if_they_are_not_made() {
    let _turn = turn();
    // Without the last, which would take long.
    let mut recording = record(&STEPS[..STEPS.len() - 1], true, true);
    let is_sync = |event: &Event| matches!(event, Event::Sync { .. });
    let positions = 0..recording.events.len();
    let syncs: Vec<usize> = positions.filter(|&at| is_sync(&recording.events[at])).collect();
    let mut missed = 0;
    for &position in &syncs {
        // A change of no effect in its place, so that the numbers of events stay.
        let nothing = Event::MakeFolder {
            folder: recording.root,
            name: "nothing".into(),
            made: (u64::MAX, u64::MAX),
        };
        let sync = std::mem::replace(&mut recording.events[position], nothing);
        missed += usize::from(!losses(&recording).is_empty());
        recording.events[position] = sync;
    }
    // The others sync once more what is on the disk: folders above a new one.
    assert!(missed * 3 > syncs.len() * 2, "{missed} of {}", syncs.len());
}
