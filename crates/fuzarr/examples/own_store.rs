//! A store of one's own: it forgets nothing, and can be looked at as it was.
//!
//! ```text
//! cargo run -p fuzarr --example own_store
//! ```

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fuzarr::buffer::Buffer;
use fuzarr::dtype::DataType;
use fuzarr::store::{
    Answer, Capabilities, Content, Listing, Object, Piece, Precondition, Span, Store, Version,
};
use fuzarr::{Array, Error, Result, Selection};

/// Every object that was ever put, in order; `None` where one was deleted.
#[derive(Debug, Default)]
struct History {
    events: Mutex<Vec<(String, Option<Bytes>)>>,
}

/// What is stored at one moment: for each key its bytes, and when they were put.
type State = BTreeMap<String, (u64, Bytes)>;

impl History {
    fn events(&self) -> MutexGuard<'_, Vec<(String, Option<Bytes>)>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> usize {
        self.events().len()
    }

    /// The state after so many events.
    fn at(&self, moment: usize) -> State {
        let mut state = State::new();
        for (number, (key, bytes)) in (0..).zip(self.events().iter().take(moment)) {
            match bytes {
                Some(bytes) => state.insert(key.clone(), (number, bytes.clone())),
                None => state.remove(key),
            };
        }
        state
    }

    /// Takes note of a change if its precondition holds.
    fn change(&self, key: &str, bytes: Option<Bytes>, condition: &Precondition) -> Result<()> {
        let mut events = self.events();
        let last = (0..).zip(events.iter()).filter(|(_, (known, _))| known == key).last();
        let present = last.and_then(|(number, (_, bytes))| bytes.as_ref().map(|_| number));
        let holds = match condition {
            Precondition::None => true,
            Precondition::Absent => present.is_none(),
            Precondition::Unchanged(version) => present.map(version_of).as_ref() == Some(version),
        };
        if !holds {
            return Err(Error::conflict("the object changed since it was read").with("key", key));
        }
        events.push((key.to_owned(), bytes));
        Ok(())
    }
}

fn version_of(number: u64) -> Version {
    Version::new([number, 0, 0, 0, 0])
}

/// One version of an object. Its bytes are shared, so it stays what it is.
#[derive(Debug)]
struct Pinned(u64, Bytes);

impl Object for Pinned {
    fn read(&self, span: Span, _spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        let object_size = self.1.len() as u64;
        let read = || {
            let range = span.of(object_size)?;
            let end = |at| usize::try_from(at).map_err(|_| Error::limit("too large for memory"));
            let bytes = self.1.slice(end(range.start)?..end(range.end)?);
            Ok(Some(Piece { start: range.start, object_size, bytes: Buffer::Shared(bytes) }))
        };
        Answer::ready(read())
    }

    fn read_into<'a>(&'a self, _start: u64, _memory: &'a mut [u8]) -> Answer<'a, bool> {
        Answer::ready(Ok(false))
    }

    fn size(&self) -> Option<u64> {
        Some(self.1.len() as u64)
    }

    fn version(&self) -> Option<Version> {
        Some(version_of(self.0))
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        Answer::ready(Ok(true))
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Store for History {
    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
            .with_blocking(true)
            .with_ranges(true)
            .with_gap(u64::MAX)
            .with_compare_and_swap(true)
            .with_conditional_delete(true)
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        let found = self.at(self.now()).remove(key);
        let object =
            found.map(|(number, bytes)| Box::new(Pinned(number, bytes)) as Box<dyn Object>);
        Answer::ready(Ok(object))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        let joined = content.join();
        let put = joined.and_then(|bytes| self.change(key, Some(bytes), &precondition));
        // Which version that made, whoever wants to know can ask.
        Answer::ready(put.map(|()| None))
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        Answer::ready(self.change(key, None, &precondition))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut listing = Listing::default();
        for (key, (_, bytes)) in &self.at(self.now()) {
            match key.strip_prefix(&start).map(|rest| (rest, rest.split_once('/'))) {
                Some((name, None)) => listing.objects.push((name.into(), bytes.len() as u64)),
                Some((_, Some((name, _)))) => listing.prefixes.push(name.into()),
                None => {}
            }
        }
        listing.prefixes.dedup();
        Answer::ready(Ok(listing))
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let keys = self.at(self.now()).into_keys().filter(|key| key.starts_with(&start));
        let delete = |key: String| self.change(&key, None, &Precondition::None);
        Answer::ready(keys.collect::<Vec<_>>().into_iter().try_for_each(delete))
    }
}

fn main() -> Result<()> {
    let history = Arc::new(History::default());
    let store: Arc<dyn Store> = Arc::clone(&history) as Arc<dyn Store>;
    let array = Array::builder([100, 100], DataType::UInt16)
        .chunks([10, 10])
        .shards([50, 50])
        .create(store, "a")?;
    array.write(&Selection::all(), 1_u16)?;
    let before = history.now();
    array.write(&Selection::parse("20:70, 3")?, 2_u16)?;
    let sum: u64 =
        array.read::<u16>(&Selection::all())?.iter().map(|&value| u64::from(value)).sum();
    assert_eq!(sum, 100 * 100 + 50);

    println!("{} changes in all:", history.now());
    for (number, (key, bytes)) in history.events().iter().enumerate() {
        let size =
            bytes.as_ref().map_or("deleted".into(), |bytes| format!("{} bytes", bytes.len()));
        println!(
            "  {number}: {key}, {size}{}",
            if number < before { "" } else { " (the last write)" }
        );
    }
    assert_eq!(history.now() - before, 2, "a shard each for both halves");
    Ok(())
}
