//! The record of what an unfinished copy has written, so that it can go on after a kill.
//!
//! One object, `.fuzarr-copy`, below the destination: a line that names the copy and the run that is
//! at work, a line for each finished object, and a last one once all are; while what was there is
//! being deleted, only a line that says so. It is no chunk and no node,
//! so no listing shows it. It is replaced as a whole, seldom enough to cost little; what was finished
//! since is copied again.
//!
//! Whose run it names has the destination: another run takes it over by writing its own, and the
//! earlier one, if it still lives, finds that out when it writes next, and stops.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result, ResultExt as _};
use crate::store::{
    self, Content, Part, Precondition, Span, Store, put_bytes, settled, settled_async,
};
use crate::wait::wait;

/// The first word of a record, with the version of its form.
const TITLE: &str = "fuzarr-copy-3";

/// The last line of a record once all objects are finished.
const COMPLETE: &str = "complete";

/// The second and last line while what was at the destination is being deleted.
const CLEARING: &str = "clearing\n";

/// How often a record that is this run's own is written anew where it is not as it was left: an answer
/// was lost.
const ATTEMPTS: usize = 3;

/// The largest record that is read.
const LARGEST: u64 = 16 << 30;

/// The share of time that writing the record may take: one part of so many.
const SHARE: u32 = 20;

/// After this long without a writing of the record, it is written before the next object.
const LONG: Duration = Duration::from_secs(2);

/// What tells a copy from another: where its source is in the store, and both metadata documents of
/// every node. Where the store itself is another, each object tells that it is made of other ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of all parts of a description. It may differ between builds of fuzarr; an
    /// unfinished copy then has to start anew.
    pub(super) fn of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut hasher = DefaultHasher::new();
        parts.for_each(|part| part.hash(&mut hasher));
        Self(hasher.finish())
    }
}

/// Which stored object: the array's number in the copy, and its place in the array's grid.
pub(super) type Place<'a> = (usize, &'a [u64]);

/// A record that was found.
#[derive(Debug)]
pub(super) struct Earlier {
    text: String,
    unchanged: Precondition,
}

impl Earlier {
    /// The record at `key`, of whatever copy, if there is one.
    ///
    /// # Errors
    /// `Io`; `Corrupt` if it is larger than any.
    pub(super) fn find(store: &dyn Store, key: &str) -> Result<Option<Self>> {
        let Some(object) = store.open(key).wait()? else { return Ok(None) };
        let piece = object.read(Span::Whole(LARGEST), Vec::new()).wait().context("key", || key)?;
        let Some(piece) = piece else { return Ok(None) };
        let text = std::str::from_utf8(piece.bytes.as_slice()).unwrap_or_default().to_owned();
        let unchanged = object.version().map_or(Precondition::None, Precondition::Unchanged);
        Ok(Some(Self { text, unchanged }))
    }
}

/// The record of a running copy.
#[derive(Debug)]
pub(super) struct Record {
    key: String,
    /// The first line.
    title: String,
    text: String,
    /// What must hold of what is stored for this run to have the destination.
    unchanged: Precondition,
    /// What an earlier run finished, by array and chunk.
    finished: HashMap<(usize, Vec<u64>), u64>,
    written: Instant,
    /// The least time from one writing to the next.
    interval: Duration,
    /// How much of the text is stored.
    stored: usize,
    /// Whether it is just being written.
    under_way: bool,
    resumed: bool,
    complete: bool,
    /// Whether nothing that this run finished is in the record yet.
    fresh: bool,
}

impl Record {
    /// The record of a run that goes on with what `earlier` tells; not written yet.
    ///
    /// # Errors
    /// `AlreadyExists` if it is of another copy.
    pub(super) fn resume(
        earlier: Earlier,
        key: &str,
        fingerprint: Fingerprint,
        interval: Duration,
    ) -> Result<Self> {
        let lines = earlier.text.strip_prefix(&name_of(fingerprint));
        let Some((_, lines)) = lines.and_then(|lines| lines.split_once('\n')) else {
            return Err(Error::already_exists(
                "here is an unfinished copy of something else, or into another layout, or of a \
                 source whose metadata was changed since; overwriting begins anew",
            )
            .with("key", key));
        };
        if lines == CLEARING {
            return Err(Error::already_exists(
                "here overwriting was interrupted before it had deleted all that was there; \
                 overwriting begins anew",
            )
            .with("key", key));
        }
        let finished = lines.lines().filter_map(parse).collect();
        let mut record = Self::new(key, fingerprint, interval);
        let unfinished = lines.strip_suffix('\n').and_then(|lines| lines.strip_suffix(COMPLETE));
        record.complete = unfinished.is_some();
        record.text.push_str(unfinished.unwrap_or(lines));
        Ok(Self { finished, resumed: true, unchanged: earlier.unchanged, ..record })
    }

    /// A record in which nothing is finished, instead of any other. `clearing`: what is there is to be
    /// deleted first, see [`cleared`](Self::cleared).
    pub(super) fn replacing(
        earlier: Option<Earlier>,
        key: &str,
        (fingerprint, clearing): (Fingerprint, bool),
        interval: Duration,
    ) -> Self {
        let mut record = Self::new(key, fingerprint, interval);
        if clearing {
            record.text.push_str(CLEARING);
        }
        let unchanged = earlier.map_or(Precondition::Absent, |earlier| earlier.unchanged);
        Self { unchanged, ..record }
    }

    /// Whether what is at `key` of a store is this record, or a [`probe`](Self::probe) of it.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn is_at(&self, store: &dyn Store, key: &str) -> Result<bool> {
        let found = async {
            let Some(object) = store.open(key).await? else { return Ok(None) };
            object.read(Span::Prefix(self.title.len() as u64), Vec::new()).await
        };
        match wait(found) {
            Ok(found) => Ok(found.is_some_and(|it| it.bytes.as_slice() == self.title.as_bytes())),
            // What services say of what is not there to whoever may not list.
            Err(error) if matches!(error.context("status"), Some("401" | "403")) => Ok(false),
            Err(error) => Err(error.with("key", key)),
        }
    }

    /// Whether what is put at `key` of a store is found at `place` of another. Nothing is left; `false`
    /// if there is something at `key`.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn probe(
        &self,
        (store, key): (&dyn Store, &str),
        (other, place): (&dyn Store, &str),
    ) -> Result<bool> {
        match put_bytes(store, key, self.title.as_bytes(), Precondition::Absent) {
            Err(error) if error.kind() == Kind::Conflict => return Ok(false),
            put => put?,
        }
        let is_there = self.is_at(other, place);
        store::delete(store, key)?;
        is_there
    }

    /// Notes that what was there is deleted.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(super) fn cleared(&mut self, store: &dyn Store) -> Result<()> {
        self.text.clone_from(&self.title);
        self.write(store)
    }

    fn new(key: &str, fingerprint: Fingerprint, interval: Duration) -> Self {
        let run = RandomState::new().hash_one((std::process::id(), Instant::now()));
        let title = format!("{}{run:016x}\n", name_of(fingerprint));
        Self {
            key: key.to_owned(),
            text: title.clone(),
            title,
            unchanged: Precondition::Absent,
            finished: HashMap::new(),
            written: Instant::now(),
            interval,
            stored: 0,
            under_way: false,
            resumed: false,
            complete: false,
            fresh: true,
        }
    }

    /// How many objects an earlier run finished.
    pub(super) fn finished(&self) -> u64 {
        self.finished.len() as u64
    }

    /// Whether an earlier run finished all objects.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// What an earlier run noted of an object.
    pub(super) fn stamp_of(&self, (array, chunk): Place<'_>) -> Option<u64> {
        if self.finished.is_empty() {
            return None;
        }
        self.finished.get(&(array, chunk.to_vec())).copied()
    }

    /// Whether an earlier run may have left objects.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Notes that an object is finished.
    pub(super) fn note(&mut self, (array, chunk): Place<'_>, stamp: u64) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{stamp:x} {array}");
        for at in chunk {
            let _ = write!(self.text, " {at}");
        }
        self.text.push('\n');
    }

    /// Whether the record has to be written before another object is, since it was not for long: this
    /// run may have stood still, and another have the destination by now.
    pub(super) fn is_overdue(&self) -> bool {
        self.written.elapsed() >= self.interval.max(LONG)
    }

    /// What has to be written if it is time to, and the first time at once. Nothing is due before
    /// [`written`](Self::written) is told what became of it.
    pub(super) fn due(&mut self) -> Option<Due> {
        if self.under_way || !self.fresh && self.written.elapsed() < self.interval {
            return None;
        }
        (self.fresh, self.under_way) = (false, true);
        Some(self.now())
    }

    /// Takes note of a writing that has ended.
    pub(super) fn written(&mut self, due: &Due, outcome: &Result<Precondition>) {
        self.under_way = false;
        let Ok(unchanged) = outcome else { return };
        self.unchanged = unchanged.clone();
        self.stored = due.text.len();
        self.written = Instant::now();
        if !self.interval.is_zero() {
            self.interval = self.interval.max(due.begun.elapsed().saturating_mul(SHARE));
        }
    }

    /// Writes the record, if there is anything new in it.
    ///
    /// # Errors
    /// `Conflict` if another run has the destination; `Io`.
    pub(super) fn write(&mut self, store: &dyn Store) -> Result<()> {
        if self.stored == self.text.len() {
            return Ok(());
        }
        let due = self.now();
        let outcome = wait(due.write(store));
        self.written(&due, &outcome);
        outcome.map(drop)
    }

    /// Notes that all objects are finished, and makes sure that no other run has the destination.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(super) fn complete(&mut self, store: &dyn Store) -> Result<()> {
        self.text.push_str(COMPLETE);
        self.text.push('\n');
        self.write(store)
    }

    /// The record as it is now, to be written.
    pub(super) fn now(&self) -> Due {
        Due {
            key: self.key.clone(),
            text: self.text.clone(),
            title: self.title.len(),
            unchanged: self.unchanged.clone(),
            is_first: self.stored == 0,
            begun: Instant::now(),
        }
    }

    /// Deletes the record: the copy is complete. One that another run has written since stays, where the
    /// store can tell.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn delete(self, store: &dyn Store) -> Result<()> {
        let due = self.now();
        let mut unchanged = match self.unchanged {
            unchanged if store.capabilities().conditional_delete => unchanged,
            _ => Precondition::None,
        };
        for _ in 0..ATTEMPTS {
            match settled(store, || store.delete(&self.key, unchanged).wait()) {
                Err(error) if error.kind() == Kind::Conflict => {}
                deleted => return deleted,
            }
            // It may be ours, and not as it was left: a link to the file was made, say.
            unchanged = match wait(due.look(store)) {
                Err(error) if error.kind() == Kind::Conflict => return Ok(()),
                looked => looked?,
            };
        }
        Err(Error::conflict("the record of the copy, which is complete, never stops changing")
            .with("key", self.key))
    }
}

/// A record as it has to be written.
#[derive(Debug)]
pub(super) struct Due {
    key: String,
    text: String,
    /// How long the first line is.
    title: usize,
    unchanged: Precondition,
    /// Whether this run has written none yet.
    is_first: bool,
    begun: Instant,
}

impl Due {
    /// Writes it; gives what must hold for the next writing.
    ///
    /// # Errors
    /// `Conflict` if another run has the destination; `Io`.
    pub(super) async fn write(&self, store: &dyn Store) -> Result<Precondition> {
        let swaps = store.capabilities().compare_and_swap;
        let mut unchanged = self.unchanged.clone();
        // What the store does not compare is looked at.
        if !self.is_first && (!swaps || unchanged == Precondition::None) {
            self.look(store).await?;
        }
        for _ in 0..ATTEMPTS {
            let precondition = if swaps { unchanged } else { Precondition::None };
            let parts = [Part::Bytes(self.text.as_bytes())];
            let content = Content { parts: &parts, base: None };
            let put = store.put(&self.key, content, precondition);
            match settled_async(store, put).await {
                Ok(Some(version)) => return Ok(Precondition::Unchanged(version)),
                Ok(None) => return self.look(store).await,
                Err(error) if error.kind() == Kind::Conflict => {
                    unchanged = self.look(store).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(self.taken())
    }

    /// Checks that what is stored is of this run.
    async fn look(&self, store: &dyn Store) -> Result<Precondition> {
        let title = self.text.get(..self.title).unwrap_or_default().as_bytes();
        let Some(object) = store.open(&self.key).await? else { return Err(self.taken()) };
        let piece = object.read(Span::Prefix(title.len() as u64), Vec::new()).await;
        match piece.context("key", || &self.key)? {
            Some(piece) if piece.bytes.as_slice() == title => {
                Ok(object.version().map_or(Precondition::None, Precondition::Unchanged))
            }
            _ => Err(self.taken()),
        }
    }

    fn taken(&self) -> Error {
        Error::conflict(
            "another copy is at work here, or was since this one began, which therefore stops; what \
             is here is that one's",
        )
        .with("key", &self.key)
    }
}

/// What the first line of a copy's record begins with, whatever the run.
fn name_of(Fingerprint(fingerprint): Fingerprint) -> String {
    format!("{TITLE} {fingerprint:016x} ")
}

/// Reads the line of a finished object. One that is malformed finishes nothing.
fn parse(line: &str) -> Option<((usize, Vec<u64>), u64)> {
    let mut words = line.split(' ');
    let stamp = u64::from_str_radix(words.next()?, 16).ok()?;
    let array = words.next()?.parse().ok()?;
    let chunk = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    Some(((array, chunk), stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::store::{MemoryStore, put_bytes};

    const NOW: Duration = Duration::ZERO;

    /// Writes a record if it is time to; whether it was.
    fn keep(record: &mut Record, store: &MemoryStore) -> bool {
        let Some(due) = record.due() else { return false };
        assert!(record.due().is_none(), "it is being written");
        let outcome = wait(due.write(store));
        record.written(&due, &outcome);
        outcome.is_ok()
    }

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint::of([text.as_bytes()].into_iter())
    }

    fn find(store: &MemoryStore, key: &str, text: &str) -> Result<Record> {
        Record::resume(Earlier::find(store, key)?.unwrap(), key, fingerprint(text), NOW)
    }

    #[test]
    fn what_was_not_deleted_is_not_gone_on_over() {
        let store = MemoryStore::new();
        let mut record = Record::replacing(None, "k", (fingerprint("a"), true), NOW);
        record.write(&store).unwrap();
        assert_eq!(find(&store, "k", "a").unwrap_err().kind(), Kind::AlreadyExists);
        record.cleared(&store).unwrap();
        record.note((0, &[1]), 7);
        record.write(&store).unwrap();
        assert_eq!(find(&store, "k", "a").unwrap().stamp_of((0, &[1])), Some(7));
    }

    #[test]
    fn its_own_record_a_run_deletes_and_no_other() {
        let store = MemoryStore::new();
        let mut record = Record::new("k", fingerprint("a"), NOW);
        record.write(&store).unwrap();
        let text = store.snapshot().unwrap()[0].1.clone();
        put_bytes(&store, "k", &text, Precondition::None).unwrap();
        record.delete(&store).unwrap();
        assert!(store.snapshot().unwrap().is_empty());
        let mut record = Record::new("k", fingerprint("a"), NOW);
        record.write(&store).unwrap();
        let earlier = Earlier::find(&store, "k").unwrap();
        let mut other = Record::replacing(earlier, "k", (fingerprint("a"), false), NOW);
        other.write(&store).unwrap();
        record.delete(&store).unwrap();
        assert_eq!(store.snapshot().unwrap().len(), 1);
    }

    #[test]
    fn what_was_noted_is_found() {
        let store = MemoryStore::new();
        assert!(Earlier::find(&store, "x/record").unwrap().is_none());
        let mut record = Record::new("x/record", fingerprint("a"), NOW);
        record.note((0, &[3, 4]), 7);
        record.note((2, &[]), u64::MAX);
        record.write(&store).unwrap();
        let mut found = find(&store, "x/record", "a").unwrap();
        assert_eq!(found.stamp_of((0, &[3, 4])), Some(7));
        assert_eq!(found.stamp_of((2, &[])), Some(u64::MAX));
        assert_eq!(found.stamp_of((1, &[3, 4])), None);
        found.note((1, &[0]), 1);
        found.write(&store).unwrap();
        let found = find(&store, "x/record", "a").unwrap();
        assert_eq!((found.stamp_of((1, &[0])), found.stamp_of((0, &[3, 4]))), (Some(1), Some(7)));
        found.delete(&store).unwrap();
        assert!(store.snapshot().unwrap().is_empty());
    }

    #[test]
    fn the_last_note_of_an_object_counts() {
        let store = MemoryStore::new();
        let mut record = Record::new("record", fingerprint("a"), NOW);
        record.note((0, &[1]), 1);
        record.note((0, &[1]), 2);
        record.write(&store).unwrap();
        let found = find(&store, "record", "a").unwrap();
        assert_eq!(found.stamp_of((0, &[1])), Some(2));
    }

    #[test]
    fn the_record_of_another_copy_is_refused() {
        let store = MemoryStore::new();
        Record::new("record", fingerprint("a"), NOW).write(&store).unwrap();
        let error = find(&store, "record", "b").unwrap_err();
        assert_eq!(error.kind(), Kind::AlreadyExists);
        assert!(error.message().contains("overwriting"));
        put_bytes(&store, "record", &[0xff; 99], Precondition::None).unwrap();
        assert!(find(&store, "record", "a").is_err());
    }

    #[test]
    fn malformed_lines_finish_nothing() {
        for line in ["", "7", "x 0", "7 x", "7 0 x", "7 0 -1", "7 0 1 "] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        assert_eq!(parse("ff 0"), Some(((0, vec![]), 255)));
    }

    #[test]
    fn the_record_is_written_at_once_and_then_seldom() {
        let store = MemoryStore::new();
        let mut record = Record::new("record", fingerprint("a"), Duration::from_secs(3600));
        let found = || find(&store, "record", "a").unwrap();
        record.note((0, &[1]), 1);
        assert!(keep(&mut record, &store));
        assert_eq!(found().stamp_of((0, &[1])), Some(1));
        record.note((0, &[2]), 1);
        assert!(!keep(&mut record, &store));
        assert_eq!(found().stamp_of((0, &[2])), None);
        record.write(&store).unwrap();
        assert_eq!(found().stamp_of((0, &[2])), Some(1));
    }
}
