//! What earlier requests have decoded, by the version of the object that it was read from: the
//! indexes of shards, and chunks.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::codec::Elements;
use crate::store::Version;

/// Bytes of decoded indexes that one array keeps.
const INDEXES: u64 = 64 << 20;

/// Bytes that are counted for a value beside its own, and for an object beside its key: places in
/// maps, and what the allocator adds.
const VALUE: u64 = 256;
const OBJECT: u64 = 512;

/// All of an object, where values are kept by what of the object they were decoded from.
pub(super) const ALL: Range<u64> = 0..u64::MAX;

/// For how long a lock that is held is waited for in a forked child. It is held for a moment only, unless the
/// process was forked while another thread held it: then nobody will ever let go of it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Counts of what was let go of, each for the keys of one hash.
const COUNTS: usize = 64;

/// Values by key and place. A value is given only for the version of the object that it was read
/// from, so it is never stale. What was used least recently goes first.
#[derive(Debug)]
pub struct Cache<V> {
    state: Mutex<State<V>>,
    /// How often objects were forgotten: what was begun to be read before is not kept after.
    forgotten: [AtomicU64; COUNTS],
    /// The process that is known to let go of the lock.
    process: AtomicU32,
    /// Whether the lock was not to be had, so that what is known may be what should be forgotten.
    is_lost: AtomicBool,
}

/// What a value was read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) key: &'a str,
    pub(super) version: &'a Version,
    /// What [`since`](Cache::since) said before anything was read.
    pub(super) since: u64,
}

/// Indexes of shards.
pub type IndexCache = Cache<Index>;

/// Decoded chunks in buffer form.
pub type ChunkCache = Cache<Arc<Elements>>;

#[derive(Debug)]
struct State<V> {
    objects: HashMap<Arc<str>, Object<V>>,
    /// Where each value is, by when it was last used.
    uses: BTreeMap<u64, (Arc<str>, Range<u64>)>,
    bytes: u64,
    clock: u64,
}

#[derive(Debug)]
struct Object<V> {
    version: Version,
    /// When it was last seen to be of this version.
    at: Instant,
    values: HashMap<Range<u64>, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: u64,
    used: u64,
}

/// The index of a shard, and the size of the object that it is.
#[derive(Debug, Clone)]
pub struct Index {
    pub(super) pairs: Arc<Vec<u64>>,
    pub(super) size: u64,
}

/// What is known of a version of an object.
#[derive(Debug, Clone)]
pub(super) struct Known<V> {
    pub(super) value: V,
    /// When the object was last seen to be of the version asked for.
    pub(super) at: Instant,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        let (objects, uses) = (HashMap::new(), BTreeMap::new());
        Self {
            state: Mutex::new(State { objects, uses, bytes: 0, clock: 0 }),
            forgotten: [const { AtomicU64::new(0) }; COUNTS],
            process: AtomicU32::new(process::id()),
            is_lost: AtomicBool::new(false),
        }
    }
}

impl<V> Cache<V> {
    /// Bytes that are kept, with what is counted beside values.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().map_or(0, |state| state.bytes)
    }

    /// The state, if its lock is to be had; the cache can be done without, from then on for good.
    fn lock(&self) -> Option<MutexGuard<'_, State<V>>> {
        if self.is_lost.load(Ordering::Relaxed) {
            return None;
        }
        self.try_lock().or_else(|| self.wait_for_lock())
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, State<V>>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The state of a cache whose lock is held. By a thread of this process, it is waited for however long
    /// that takes: a process may be stopped for a while.
    #[cold]
    fn wait_for_lock(&self) -> Option<MutexGuard<'_, State<V>>> {
        let present = process::id();
        if self.process.load(Ordering::Relaxed) == present {
            return Some(self.state.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let begun = Instant::now();
        while !self.is_lost.load(Ordering::Relaxed) {
            if let Some(state) = self.try_lock() {
                self.process.store(present, Ordering::Relaxed);
                return Some(state);
            }
            std::hint::spin_loop();
            if begun.elapsed() > PATIENCE {
                self.is_lost.store(true, Ordering::Relaxed);
            }
        }
        None
    }

    fn count(&self, key: &str) -> &AtomicU64 {
        // FNV-1a.
        let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        &self.forgotten[(hash >> 32) as usize % COUNTS]
    }

    /// How often the object, or one that cannot be told from it, was forgotten: to be asked before it is
    /// read, and given with what is kept of it.
    pub(super) fn since(&self, key: &str) -> u64 {
        self.count(key).load(Ordering::Acquire)
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        for count in &self.forgotten {
            count.fetch_add(1, Ordering::AcqRel);
        }
        let Some(mut state) = self.lock() else { return };
        let objects = std::mem::take(&mut state.objects);
        state.uses.clear();
        state.bytes = 0;
        // Memory is given back without the lock.
        drop(state);
        drop(objects);
    }
}

impl<V: Clone> Cache<V> {
    /// The value of a place in a version of an object.
    pub(super) fn get(&self, key: &str, version: &Version, place: &Range<u64>) -> Option<Known<V>> {
        self.lock()?.get(key, version, place)
    }

    /// Takes note that an object is of this version now.
    pub(super) fn confirm(&self, key: &str, version: &Version) {
        let Some(mut state) = self.lock() else { return };
        if let Some(object) = state.objects.get_mut(key).filter(|it| it.version == *version) {
            object.at = Instant::now();
        }
    }

    /// Whether something of the object may be known, of whatever version.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.lock().is_none_or(|state| state.objects.contains_key(key))
    }

    /// The version of the object that something is known of.
    pub(super) fn version(&self, key: &str) -> Option<Version> {
        self.lock()?.objects.get(key).map(|object| object.version.clone())
    }

    /// Lets go of what is known of an object.
    pub(super) fn forget(&self, key: &str) {
        self.count(key).fetch_add(1, Ordering::AcqRel);
        let Some(mut state) = self.lock() else { return };
        let object = state.forget(key);
        // Memory is given back without the lock.
        drop(state);
        drop(object);
    }

    /// Keeps a value of so many bytes, and of all values no more than `most`. One that is larger is
    /// not kept, nor one of an object that was forgotten since it was begun to be read.
    pub(super) fn insert(
        &self,
        Source { key, version, since }: Source<'_>,
        place: Range<u64>,
        value: V,
        (bytes, most): (u64, u64),
    ) {
        let bytes = bytes.saturating_add(VALUE);
        if bytes.saturating_add(cost_of(key)) > most {
            return;
        }
        let Some(mut state) = self.lock() else { return };
        if self.since(key) != since {
            return;
        }
        let old = state.insert((key, version), place, value, bytes);
        let mut gone = Vec::new();
        while state.bytes > most {
            let Some((_, (key, place))) = state.uses.pop_first() else { break };
            gone.push(state.remove(&key, &place));
        }
        // Memory is given back without the lock.
        drop(state);
        drop((old, gone));
    }
}

/// Bytes that are counted for an object.
fn cost_of(key: &str) -> u64 {
    OBJECT.saturating_add(key.len() as u64)
}

impl<V: Clone> State<V> {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn get(&mut self, key: &str, version: &Version, place: &Range<u64>) -> Option<Known<V>> {
        let clock = self.tick();
        let object = self.objects.get_mut(key).filter(|object| object.version == *version)?;
        let entry = object.values.get_mut(place)?;
        let owner = self.uses.remove(&std::mem::replace(&mut entry.used, clock))?;
        self.uses.insert(clock, owner);
        Some(Known { value: entry.value.clone(), at: object.at })
    }

    /// Adds a value; what has to make way for it is given back.
    fn insert(
        &mut self,
        (key, version): (&str, &Version),
        place: Range<u64>,
        value: V,
        bytes: u64,
    ) -> (Option<Object<V>>, Option<V>) {
        let is_other = |object: &Object<V>| object.version != *version;
        let other = self.objects.get(key).is_some_and(is_other).then(|| self.forget(key)).flatten();
        let used = self.tick();
        let name = match self.objects.get_key_value(key) {
            Some((name, _)) => Arc::clone(name),
            None => self.add(key, version),
        };
        let object = self.objects.get_mut(key);
        let entry = Entry { value, bytes, used };
        let same = object.and_then(|object| object.values.insert(place.clone(), entry));
        if let Some(same) = &same {
            self.uses.remove(&same.used);
            self.bytes -= same.bytes;
        }
        self.uses.insert(used, (name, place));
        self.bytes += bytes;
        (other, same.map(|same| same.value))
    }

    /// Adds an object of which nothing is known yet.
    fn add(&mut self, key: &str, version: &Version) -> Arc<str> {
        let name: Arc<str> = key.into();
        let object =
            Object { version: version.clone(), at: Instant::now(), values: HashMap::new() };
        self.objects.insert(Arc::clone(&name), object);
        self.bytes += cost_of(key);
        name
    }

    /// Removes a value that is in `uses` no more, and its object with the last one.
    fn remove(&mut self, key: &str, place: &Range<u64>) -> Option<V> {
        let object = self.objects.get_mut(key)?;
        let entry = object.values.remove(place)?;
        self.bytes -= entry.bytes;
        if object.values.is_empty() {
            self.objects.remove(key);
            self.bytes -= cost_of(key);
        }
        Some(entry.value)
    }

    fn forget(&mut self, key: &str) -> Option<Object<V>> {
        let object = self.objects.remove(key)?;
        self.bytes -= cost_of(key);
        for entry in object.values.values() {
            self.uses.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
        Some(object)
    }
}

impl IndexCache {
    /// What is known of the index of an object of this version.
    pub(super) fn index(&self, key: &str, version: &Version) -> Option<Known<Index>> {
        self.get(key, version, &ALL)
    }

    /// Keeps the index of an object of this size.
    pub(super) fn keep(&self, source: Source<'_>, size: u64, pairs: &Arc<Vec<u64>>) {
        let bytes = size_of_val(&pairs[..]) as u64;
        let index = Index { pairs: Arc::clone(pairs), size };
        self.insert(source, ALL, index, (bytes, INDEXES));
    }
}

impl ChunkCache {
    /// Keeps the elements of a chunk at a place in an object, and of all chunks no more than `most` bytes.
    pub(super) fn keep(
        &self,
        source: Source<'_>,
        place: Range<u64>,
        elements: Elements,
        most: u64,
    ) {
        let bytes =
            (elements.slots.capacity() as u64).saturating_add(elements.heap.capacity() as u64);
        self.insert(source, place, Arc::new(elements), (bytes, most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the bound, and of each value, in most tests: with what is counted beside it, four fit.
    const MOST: u64 = 4 * (1000 + VALUE + OBJECT + 1);

    fn version(number: u64) -> Version {
        Version::new([number, 0, 0, 0, 0])
    }

    fn source<'a, V>(cache: &Cache<V>, key: &'a str, version: &'a Version) -> Source<'a> {
        Source { key, version, since: cache.since(key) }
    }

    /// What is counted, counted anew.
    fn recount<V>(cache: &Cache<V>) -> (u64, usize) {
        let state = cache.state.lock().unwrap();
        let of = |(key, object): (&Arc<str>, &Object<V>)| {
            cost_of(key) + object.values.values().map(|entry| entry.bytes).sum::<u64>()
        };
        let values = state.objects.values().map(|object| object.values.len()).sum();
        assert_eq!(values, state.uses.len());
        (state.objects.iter().map(of).sum(), values)
    }

    #[test]
    fn a_lock_that_is_never_let_go_of_leaves_a_cache_that_knows_nothing() {
        let cache = IndexCache::default();
        let version = version(0);
        cache.keep(source(&cache, "k", &version), 9, &Arc::new(vec![1, 2]));
        // As in a forked child.
        cache.process.fetch_add(1, Ordering::Relaxed);
        let held = cache.state.lock().unwrap();
        // It may be what should have been forgotten.
        cache.forget("k");
        let begun = Instant::now();
        for _ in 0..1000 {
            assert!(cache.index("k", &version).is_none() && cache.version("k").is_none());
            cache.keep(source(&cache, "k", &version), 9, &Arc::new(vec![3, 4]));
        }
        assert!(begun.elapsed() < PATIENCE, "it is waited for once");
        drop(held);
        assert!(cache.index("k", &version).is_none());
    }

    // Seen to fail: the cache knew nothing from then on.
    #[test]
    fn a_lock_that_is_let_go_of_late_is_waited_for() {
        let cache = IndexCache::default();
        let version = version(0);
        cache.keep(source(&cache, "k", &version), 9, &Arc::new(vec![1, 2]));
        std::thread::scope(|scope| {
            let held = cache.state.lock().unwrap();
            let waits = scope.spawn(|| cache.index("k", &version).is_some());
            std::thread::sleep(PATIENCE * 3);
            drop(held);
            assert!(waits.join().unwrap());
        });
        assert!(cache.knows("k") && cache.version("k").is_some());
    }

    #[test]
    fn what_was_begun_to_be_read_before_is_not_kept_after_it_is_forgotten() {
        let (cache, version) = (IndexCache::default(), version(0));
        let before = source(&cache, "k", &version);
        cache.forget("k");
        cache.keep(before, 9, &Arc::new(vec![1, 2]));
        assert!(!cache.knows("k"));
        let before = source(&cache, "k", &version);
        cache.keep(before, 9, &Arc::new(vec![1, 2]));
        assert!(cache.knows("k"));
        cache.clear();
        assert!(!cache.knows("k") && cache.bytes() == 0);
        cache.keep(before, 9, &Arc::new(vec![1, 2]));
        assert!(!cache.knows("k"));
        assert_eq!(recount(&cache), (0, 0));
    }

    #[test]
    fn a_value_is_given_for_its_version_only_and_the_least_recently_used_goes_first() {
        let cache = Cache::default();
        let put = |key: &str, number| {
            cache.insert(source(&cache, key, &version(number)), ALL, number, (1000, MOST));
        };
        let get = |key: &str, number| cache.get(key, &version(number), &ALL).map(|it| it.value);
        for (number, key) in ["0", "1", "2", "3"].into_iter().enumerate() {
            put(key, number as u64);
        }
        assert_eq!((get("0", 1), get("0", 0)), (None, Some(0)));
        put("4", 4);
        assert_eq!((get("0", 0), get("1", 1)), (Some(0), None), "used just now, and the oldest");
        put("4", 5);
        assert_eq!((get("4", 4), get("4", 5)), (None, Some(5)));
        assert_eq!(cache.bytes(), MOST);
        cache.forget("4");
        cache.forget("4");
        assert!(!cache.knows("4") && cache.knows("3"));
        assert_eq!(recount(&cache), (cache.bytes(), 3));
    }

    #[test]
    fn places_of_an_object_are_apart_and_gone_with_its_version() {
        let cache = Cache::default();
        let put = |number, place: Range<u64>, value| {
            cache.insert(source(&cache, "k", &version(number)), place, value, (100, MOST));
        };
        put(1, 0..5, 'a');
        put(1, 0..6, 'b');
        put(1, 5..6, 'c');
        put(1, 0..6, 'd');
        let get = |number, place| cache.get("k", &version(number), &place).map(|it| it.value);
        assert_eq!([get(1, 0..5), get(1, 0..6), get(1, 5..6)], [Some('a'), Some('d'), Some('c')]);
        assert_eq!(recount(&cache), (OBJECT + 1 + 3 * (VALUE + 100), 3));
        put(2, 5..6, 'e');
        assert_eq!(
            [get(1, 0..5), get(1, 5..6), get(2, 0..5), get(2, 5..6)],
            [None, None, None, Some('e')]
        );
        assert_eq!((recount(&cache), cache.version("k")), ((cache.bytes(), 1), Some(version(2))));
    }

    #[test]
    fn no_more_is_kept_than_is_allowed_by_whoever_keeps_something() {
        let cache = Cache::default();
        let one = 1000 + VALUE + OBJECT + 1;
        cache.insert(source(&cache, "a", &version(0)), ALL, 'a', (1000, one - 1));
        assert_eq!(cache.bytes(), 0, "larger than the bound");
        cache.insert(source(&cache, "a", &version(0)), ALL, 'a', (u64::MAX, one));
        assert_eq!(cache.bytes(), 0, "larger than can be counted");
        for key in ["a", "b", "c"] {
            cache.insert(source(&cache, key, &version(0)), ALL, 'a', (1000, one * 3));
        }
        assert_eq!(cache.bytes(), one * 3);
        cache.insert(source(&cache, "d", &version(0)), ALL, 'a', (1000, one));
        assert_eq!(recount(&cache), (one, 1));
        // In any order, with any sizes, places and versions.
        let mut state = 1_u64;
        let mut below = |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % most
        };
        for _ in 0..5000 {
            let key = if below(2) == 0 { "a" } else { "bb" };
            let (version, place) = (version(below(2)), below(4)..9);
            match below(8) {
                0 => cache.forget(key),
                1..4 => drop(cache.get(key, &version, &place)),
                _ => cache.insert(source(&cache, key, &version), place, 'x', (below(2000), MOST)),
            }
            let (counted, _) = recount(&cache);
            assert!(counted == cache.bytes() && counted <= MOST);
        }
    }

    #[test]
    fn what_is_kept_of_chunks_is_counted_with_all_of_its_memory() {
        let cache = ChunkCache::default();
        let slots = Vec::with_capacity(5000);
        let elements = Elements { slots, heap: Vec::with_capacity(300) };
        cache.keep(source(&cache, "k", &version(0)), 0..1, elements, 1 << 20);
        assert_eq!(cache.bytes(), 5300 + VALUE + OBJECT + 1);
    }
}
