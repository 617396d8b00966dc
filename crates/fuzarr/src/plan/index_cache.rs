//! Shard indexes that earlier requests have decoded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Instant;

use crate::store::Version;

/// Bytes of decoded indexes that one array keeps.
const CAPACITY: usize = 64 << 20;

/// How often a lock that is held is tried again. It is held for a moment only, unless a process was
/// forked while another thread held it: then nobody will ever let go of it.
const TRIES: usize = 10_000;

/// Decoded indexes by key. An index is given only for the version of the object that it was read
/// from, so it is never stale.
#[derive(Debug, Default)]
pub struct IndexCache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<String, Entry>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    version: Version,
    size: u64,
    pairs: Arc<Vec<u64>>,
    /// When the object was last seen to be of this version.
    at: Instant,
    used: u64,
}

/// What is known of an object.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The index.
    pub(super) pairs: Arc<Vec<u64>>,
    /// The object's size.
    pub(super) size: u64,
    /// When it was last seen to be of the version asked for.
    pub(super) at: Instant,
}

impl IndexCache {
    /// The state, if its lock is to be had; the cache can be done without.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        for _ in 0..TRIES {
            match self.state.try_lock() {
                Ok(state) => return Some(state),
                Err(TryLockError::Poisoned(state)) => return Some(state.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }

    /// What is known of a version of an object.
    pub(super) fn get(&self, key: &str, version: &Version) -> Option<Known> {
        let mut state = self.lock()?;
        state.clock += 1;
        let clock = state.clock;
        let entry = state.entries.get_mut(key).filter(|entry| entry.version == *version)?;
        entry.used = clock;
        Some(Known { pairs: Arc::clone(&entry.pairs), size: entry.size, at: entry.at })
    }

    /// Takes note that an object is of this version now.
    pub(super) fn confirm(&self, key: &str, version: &Version) {
        let Some(mut state) = self.lock() else { return };
        if let Some(entry) = state.entries.get_mut(key).filter(|entry| entry.version == *version) {
            entry.at = Instant::now();
        }
    }

    /// Whether an index of the object may be known, of whatever version.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.lock().is_none_or(|state| state.entries.contains_key(key))
    }

    /// The version of the object that an index is known of.
    pub(super) fn version(&self, key: &str) -> Option<Version> {
        self.lock()?.entries.get(key).map(|entry| entry.version.clone())
    }

    /// Keeps the index of an object of this version and size.
    pub(super) fn insert(&self, key: &str, (version, size): (Version, u64), pairs: &Arc<Vec<u64>>) {
        let length = pairs.len() * size_of::<u64>();
        if length > CAPACITY / 4 {
            return;
        }
        let Some(mut state) = self.lock() else { return };
        state.clock += 1;
        let (pairs, at) = (Arc::clone(pairs), Instant::now());
        let entry = Entry { version, size, pairs, at, used: state.clock };
        state.bytes += length;
        if let Some(old) = state.entries.insert(key.to_owned(), entry) {
            state.bytes -= old.pairs.len() * size_of::<u64>();
        }
        while state.bytes > CAPACITY {
            let oldest = state.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(old) = state.entries.remove(&key) {
                state.bytes -= old.pairs.len() * size_of::<u64>();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_let_go_of_leaves_a_cache_that_knows_nothing() {
        let cache = IndexCache::default();
        let version = Version::new([0; 5]);
        cache.insert("k", (version.clone(), 9), &Arc::new(vec![1, 2]));
        let held = cache.state.lock().unwrap();
        assert!(cache.get("k", &version).is_none());
        cache.insert("k", (version.clone(), 9), &Arc::new(vec![3, 4]));
        drop(held);
        assert_eq!(cache.get("k", &version).unwrap().pairs[..], [1, 2]);
    }

    #[test]
    fn an_index_is_given_for_its_version_only_and_the_oldest_goes_first() {
        let cache = IndexCache::default();
        let version = |number| Version::new([number, 0, 0, 0, 0]);
        let pairs = Arc::new(vec![0; CAPACITY / 8 / 4]);
        for number in 0..4 {
            cache.insert(&number.to_string(), (version(number), 9), &pairs);
        }
        assert!(cache.get("0", &version(1)).is_none());
        assert!(cache.get("0", &version(0)).is_some());
        cache.insert("4", (version(4), 9), &pairs);
        assert!(cache.get("0", &version(0)).is_some(), "used just now");
        assert!(cache.get("1", &version(1)).is_none(), "the oldest");
        cache.insert("4", (version(5), 9), &pairs);
        assert!(cache.get("4", &version(5)).is_some());
        assert_eq!(cache.state.lock().unwrap().bytes, CAPACITY);
    }
}
