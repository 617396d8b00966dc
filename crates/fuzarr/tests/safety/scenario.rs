//! The kinds of writes, each with what is there before and after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fuzarr::Result;
use fuzarr::store::{
    Content, LocalOptions, LocalStore, MemoryStore, Part, Precondition, Span, Store, join,
    put_bytes, settled,
};

/// All objects of a store.
pub(crate) type State = BTreeMap<String, Vec<u8>>;

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    PutNew,
    PutOver,
    PutOverLeftOver,
    Kept,
    Upload,
    Patch,
    Delete,
    DeleteAll,
    RenameAll,
}

pub(crate) const SCENARIOS: [Scenario; 9] = [
    Scenario::PutNew,
    Scenario::PutOver,
    Scenario::PutOverLeftOver,
    Scenario::Kept,
    Scenario::Upload,
    Scenario::Patch,
    Scenario::Delete,
    Scenario::DeleteAll,
    Scenario::RenameAll,
];

/// The keys that are there before.
const KEYS: [&str; 3] = ["array/zarr.json", "array/c/0", "array/c/1"];

/// The key that most kinds write.
pub(crate) const KEY: &str = "array/c/0";

pub(crate) fn bytes(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|position| (position * 31 + seed * 7 + position / 256) as u8).collect()
}

/// Makes what is there before.
pub(crate) fn set_up(store: &dyn Store) {
    for (seed, key) in KEYS.into_iter().enumerate() {
        put_bytes(store, key, &bytes(seed, 3000), Precondition::None).unwrap();
    }
}

impl Scenario {
    /// Writes, and waits until that is durable.
    pub(crate) fn run(self, store: &dyn Store) -> Result<()> {
        settled(store, || self.write(store))
    }

    fn write(self, store: &dyn Store) -> Result<()> {
        let new = bytes(9, 2000);
        let pinned = || store.open(KEY).wait().map(|object| object.unwrap());
        match self {
            Self::PutNew => put_bytes(store, "new/folder/k", &new, Precondition::Absent),
            Self::PutOver | Self::PutOverLeftOver => {
                put_bytes(store, KEY, &new, Precondition::None)
            }
            Self::Kept => {
                let base = pinned()?;
                let parts = [
                    Part::Kept(100..1500),
                    Part::Bytes(&new[..700]),
                    Part::Bytes(&new[700..]),
                    Part::Kept(0..2999),
                ];
                let content = Content { parts: &parts, base: Some(&*base) };
                let precondition = Precondition::Unchanged(base.version().unwrap());
                store.put(KEY, content, precondition).wait().map(drop)
            }
            Self::Upload => {
                let base = pinned()?;
                let upload = store.begin(KEY).wait()?;
                let kept = [Part::Kept(0..500)];
                upload.write(2000, Content { parts: &kept, base: Some(&*base) }).wait()?;
                for start in [1000, 0] {
                    let parts = [Part::Bytes(&new[start..start + 1000])];
                    upload.write(start as u64, Content { parts: &parts, base: None }).wait()?;
                }
                upload.finish(Precondition::Unchanged(base.version().unwrap())).wait().map(drop)
            }
            Self::Patch => {
                let changes = [(5, &new[..500]), (2000, &new[..1000])];
                store.patch(KEY, &changes, Precondition::None).wait()
            }
            Self::Delete => store.delete(KEY, Precondition::None).wait(),
            Self::DeleteAll => store.delete_all("array").wait(),
            Self::RenameAll => store.rename_all("array", "else/where").wait(),
        }
    }

    /// What is there before and after.
    pub(crate) fn states(self) -> (State, State) {
        let store = MemoryStore::new();
        set_up(&store);
        let before = state(&store);
        self.run(&store).unwrap();
        (before, state(&store))
    }

    /// Fails unless what is stored is, key by key, what was there before or what is there after.
    pub(crate) fn assert_old_or_new(self, stored: &State, place: &str) {
        let (before, after) = self.states();
        for key in before.keys().chain(after.keys()).chain(stored.keys()) {
            let [was, is, found] = [&before, &after, stored].map(|state| state.get(key));
            let is_mixed = || {
                let (Some(was), Some(is), Some(found)) = (was, is, found) else { return false };
                let old_or_new = |at: usize| found[at] == was[at] || found[at] == is[at];
                found.len() == is.len() && (0..found.len()).all(old_or_new)
            };
            // Changes in place are not atomic.
            let mixed = self == Self::Patch && is_mixed();
            assert!(found == was || found == is || mixed, "{self:?}, {place}: {key} is damaged");
        }
    }
}

/// A folder with what is there before, outside of any fault.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    options: LocalOptions,
}

impl Place {
    pub(crate) fn new(scenario: Scenario, options: LocalOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder, options };
        set_up(&place.unsynced());
        if scenario == Scenario::PutOverLeftOver {
            let name = place.path().join(format!("{KEY}.__lock"));
            std::fs::write(name, bytes(3, 5000)).unwrap();
        }
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> LocalStore {
        LocalStore::open_with(self.path(), self.options).unwrap()
    }

    /// The store as the tests look at it; waiting for the disk would cost them most of their time.
    fn unsynced(&self) -> LocalStore {
        LocalStore::open(self.path()).unwrap()
    }

    /// Fails unless what a write left behind is of no consequence: at most one file of the store's
    /// own, which is not listed and is gone after the next write.
    pub(crate) fn assert_clean(&self, place: &str) {
        let store = self.unsynced();
        let left = leftovers(self.path());
        assert!(left.len() <= 1, "{place}: {left:?}");
        assert!(state(&store).keys().all(|key| !key.contains("__lock")), "{place}");
        for key in [KEY, "new/folder/k", "array/zarr.json", "array/c/1"] {
            put_bytes(&store, key, b"next", Precondition::None).unwrap();
        }
        let left = leftovers(self.path());
        assert!(left.is_empty(), "{place}: {left:?}");
        assert_eq!(state(&store)[KEY], b"next", "{place}");
    }
}

/// All objects of a store, found by its listings.
pub(crate) fn state(store: &dyn Store) -> State {
    let mut state = State::new();
    let mut prefixes = vec![String::new()];
    while let Some(prefix) = prefixes.pop() {
        let listing = store.list(&prefix).wait().unwrap();
        prefixes.extend(listing.prefixes.iter().map(|name| join(&prefix, name)));
        for (name, size) in listing.objects {
            let key = join(&prefix, &name);
            let object = store.open(&key).wait().unwrap().unwrap();
            let piece = object.read(Span::Whole(size), Vec::new()).wait().unwrap().unwrap();
            state.insert(key, piece.bytes.as_slice().to_vec());
        }
    }
    state
}

/// The store's own files.
pub(crate) fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(leftovers(&path));
        } else if path.to_str().unwrap().contains("__lock") {
            found.push(path);
        }
    }
    found
}
