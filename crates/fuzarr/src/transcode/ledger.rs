//! The books of a running copy: what each object of the destination is made of, and which are
//! finished. The threads that write objects keep them, so that a kill in the middle of a part, which
//! may be large, loses little.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::plan::Job;
use super::record::{Due, Record};
use super::schedule::{Part, positions};
use crate::array::Array;
use crate::error::{Error, Kind, Result};
use crate::limits::Limits;
use crate::plan::Layout;
use crate::store::{Object, Store, Version, find};

/// The books of a copy. There is a record in them while it runs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: Mutex<Books>,
    /// Held by who makes sure that this run has the destination: the others wait for that.
    holding: futures_util::lock::Mutex<()>,
}

#[derive(Debug, Default)]
struct Books {
    record: Option<Record>,
    array: Option<Arrays>,
    /// What was seen of each source object of the part that is read, and of the one that was read
    /// before it, which is written.
    reading: Sources,
    writing: Sources,
    tally: Tally,
    /// The error of a record that another run has taken over.
    taken: Option<Error>,
}

/// What was seen of source objects, by key; `None` of one that could not be told from a later one.
type Sources = HashMap<String, Option<u64>>;

/// An object of the destination, by its place, with what an earlier run noted of it.
type Noted = (Vec<u64>, Option<u64>);

/// What was stored.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// The array that is copied: its number in the copy, and its two layouts.
#[derive(Debug, Clone)]
struct Arrays {
    number: usize,
    source: Arc<Layout>,
    destination: Arc<Layout>,
}

impl Arrays {
    /// The keys of the source objects that an object of the destination is made of.
    fn sources(&self, chunk: &[u64]) -> impl Iterator<Item = String> + use<> {
        let after: Vec<u64> = chunk.iter().map(|at| at.saturating_add(1)).collect();
        let part = elements_of(&self.destination, chunk, &after);
        let layout = Arc::clone(&self.source);
        chunks(&self.source, &part).map(move |chunk| {
            let mut key = String::new();
            layout.keys.write_key(&layout.prefix, &chunk, &mut key);
            key
        })
    }

    /// The key of an object of the destination.
    fn key(&self, chunk: &[u64]) -> String {
        let (layout, mut key) = (&self.destination, String::new());
        layout.keys.write_key(&layout.prefix, chunk, &mut key);
        key
    }

    /// Which object of the destination this is the key of.
    fn chunk_of(&self, key: &str) -> Option<Vec<u64>> {
        let layout = &self.destination;
        layout.keys.parse_key(key.strip_prefix(&layout.prefix)?, layout.shape.len())
    }
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the books for a run.
    pub(super) fn open(&self, record: Record) {
        *self.books() = Books { record: Some(record), ..Books::default() };
    }

    /// Closes them: the record, what was stored, and what came of the run, which is an error if another
    /// has taken over.
    pub(super) fn close(&self, outcome: Result<()>) -> (Option<Record>, Tally, Result<()>) {
        let books = std::mem::take(&mut *self.books());
        (books.record, books.tally, books.taken.map_or(outcome, Err))
    }

    /// Notes that all objects are finished, see [`Record::complete`].
    ///
    /// # Errors
    /// As [`Record::complete`].
    pub(super) fn complete(&self, store: &dyn Store) -> Result<()> {
        // Nothing else is under way that would have to wait for the lock.
        self.books().record.as_mut().map_or(Ok(()), |record| record.complete(store))
    }

    /// Says which array is copied from now on.
    pub(super) fn begin_array(&self, number: usize, job: &Job) {
        let (source, destination) = (job.source.layout(), job.destination.layout());
        let arrays =
            Arrays { number, source: Arc::clone(source), destination: Arc::clone(destination) };
        self.books().array = Some(arrays);
    }

    /// Forgets what was seen of source objects that were not read after all.
    pub(super) fn begin_part(&self) {
        self.books().reading.clear();
    }

    /// What was read is written from now on, and another part read: what is seen of source objects
    /// then says nothing of what was read.
    pub(super) fn turn(&self) {
        let mut books = self.books();
        books.writing = std::mem::take(&mut books.reading);
    }

    /// Whether an earlier run may have left objects.
    pub(super) fn is_resumed(&self) -> bool {
        self.books().record.as_ref().is_some_and(Record::is_resumed)
    }

    /// The objects of a part that no earlier run finished, or that are not what they were, or something is
    /// not that they were made of. Both sides are looked at, and many objects of each at the same time.
    ///
    /// # Errors
    /// `Io`, `Cancelled`.
    pub(super) async fn unfinished(&self, job: &Job, part: &Part) -> Result<Vec<Vec<u64>>> {
        let Some((arrays, objects)) = self.recorded(part) else {
            return Ok(chunks(job.destination.layout(), part).collect());
        };
        let recorded = || objects.iter().filter(|(_, stamp)| stamp.is_some());
        let key = |(chunk, _): &Noted| arrays.key(chunk);
        let sources = recorded().flat_map(|(chunk, _)| arrays.sources(chunk));
        let sources: BTreeSet<String> = sources.collect();
        let look = look_at(&job.destination, recorded().map(key), &job.write.limits);
        // This store tells the ledger.
        let tell = look_at(&job.source, sources.into_iter(), &job.read.limits);
        let (looked, _) = try_join(look, tell).await?;
        let (books, mut looked) = (self.books(), looked.into_iter());
        let is_finished = |(chunk, stamp): &Noted| {
            let Some(stamp) = stamp else { return false };
            let seen = looked.next().flatten();
            seen.and_then(|seen| made_of(&books.reading, &arrays, chunk, &seen)) == Some(*stamp)
        };
        let finished: Vec<bool> = objects.iter().map(is_finished).collect();
        let objects = objects.into_iter().zip(finished).filter(|(_, finished)| !finished);
        Ok(objects.map(|((chunk, _), _)| chunk).collect())
    }

    /// The objects of a part, each with what an earlier run noted of it.
    fn recorded(&self, part: &Part) -> Option<(Arrays, Vec<Noted>)> {
        let books = self.books();
        let (record, arrays) = (books.record.as_ref()?, books.array.clone()?);
        let stamped = |chunk: Vec<u64>| {
            let stamp = record.stamp_of((arrays.number, &chunk));
            (chunk, stamp)
        };
        let objects = chunks(&arrays.destination, part).map(stamped).collect();
        Some((arrays, objects))
    }

    /// Notes what was found of a source object.
    pub(super) fn opened(&self, key: &str, seen: Option<&Seen>) {
        let mut books = self.books();
        if books.record.is_some() {
            // Bytes may be taken for others by a version that others may come to have.
            let certain = |version: &Version| !version.is_tentative();
            let is_known = seen.is_none_or(|seen| seen.version.as_ref().is_some_and(certain));
            let stamp = if is_known { digest(seen) } else { None };
            books.reading.insert(key.to_owned(), stamp);
        }
    }

    /// Notes that an object of the destination is finished, and writes the record if it is time to. The
    /// object is looked at if it is not known what was stored.
    ///
    /// # Errors
    /// `Io`; `Cancelled` if another run has taken the record over, see [`close`](Self::close).
    pub(super) async fn stored(
        &self,
        store: &dyn Store,
        key: &str,
        seen: Option<Seen>,
    ) -> Result<()> {
        let seen = match seen {
            Some(seen) => seen,
            None => match find(store, key).await? {
                Some(object) => Seen::of(&*object),
                None => return Ok(()),
            },
        };
        // Awaited without the lock: others have objects to note meanwhile.
        match self.note(key, &seen) {
            Some(due) => self.write(store, due).await,
            None => Ok(()),
        }
    }

    /// Makes sure that this run still has the destination, if that was not looked at for long.
    ///
    /// # Errors
    /// As [`stored`](Self::stored).
    pub(super) async fn hold(&self, store: &dyn Store) -> Result<()> {
        if !self.books().record.as_ref().is_some_and(Record::is_overdue) {
            return Ok(());
        }
        let _holding = self.holding.lock().await;
        // Unless another has written it meanwhile.
        let due = self.books().record.as_ref().filter(|it| it.is_overdue()).map(Record::now);
        match due {
            Some(due) => self.write(store, due).await,
            None => Ok(()),
        }
    }

    async fn write(&self, store: &dyn Store, due: Due) -> Result<()> {
        let written = due.write(store).await;
        let mut books = self.books();
        if let Some(record) = &mut books.record {
            record.written(&due, &written);
        }
        match written {
            Err(error) if error.kind() == Kind::Conflict => {
                books.taken = Some(error);
                // A conflict would have the object written once more.
                Err(Error::cancelled("another copy is at work at the destination"))
            }
            written => written.map(drop),
        }
    }

    /// Notes a finished object; gives the record if it is time to write it.
    fn note(&self, key: &str, seen: &Seen) -> Option<Due> {
        let mut books = self.books();
        let arrays = books.array.clone()?;
        let chunk = arrays.chunk_of(key)?;
        books.tally.objects += 1;
        books.tally.bytes = books.tally.bytes.saturating_add(seen.size.unwrap_or(0));
        let stamp = made_of(&books.writing, &arrays, &chunk, seen);
        let record = books.record.as_mut()?;
        if let Some(stamp) = stamp {
            record.note((arrays.number, &chunk), stamp);
        }
        // Also where there is nothing to note: writing it tells whether another run has taken over.
        record.due()
    }
}

/// Looks at objects of an array, and gives what is seen of each, in order.
async fn look_at(
    array: &Array,
    keys: impl Iterator<Item = String>,
    limits: &Limits,
) -> Result<Vec<Option<Seen>>> {
    let look = |key: String| async move {
        limits.check()?;
        let found = find(&**array.store(), &key).await?;
        Ok(found.map(|object| Seen::of(&*object)))
    };
    stream::iter(keys.map(look)).buffered(limits.operations.max(1)).try_collect().await
}

/// What tells a finished object, and the source objects that it was made of, from all others; `None`
/// if it is not known which those were, or nothing tells one of them all from others.
fn made_of(sources: &Sources, arrays: &Arrays, chunk: &[u64], seen: &Seen) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    digest(Some(seen))?.hash(&mut hasher);
    for key in arrays.sources(chunk) {
        sources.get(&key).copied()??.hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// What tells an object from others.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) size: Option<u64>,
    pub(super) version: Option<Version>,
}

impl Seen {
    /// What is known of an object.
    pub(super) fn of(object: &dyn Object) -> Self {
        Self { size: object.size(), version: object.version() }
    }
}

/// What tells an object from others and from none, in short. `None` for one without a version: its size
/// says nothing of its bytes.
fn digest(seen: Option<&Seen>) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match seen {
        None => hasher.write_u8(0),
        Some(Seen { size, version }) => {
            size.hash(&mut hasher);
            version.as_ref()?.hash(&mut hasher);
        }
    }
    Some(hasher.finish())
}

/// The elements of the objects from `low` up to but not including `high`, as far as they are in the
/// array.
fn elements_of(layout: &Layout, low: &[u64], high: &[u64]) -> Part {
    let extents = &layout.chain.spec.shape;
    let position = |at: &[u64]| -> Vec<u64> {
        let places = at.iter().zip(extents).zip(&layout.shape);
        places.map(|((at, extent), &end)| at.saturating_mul(*extent).min(end)).collect()
    };
    let (start, end) = (position(low), position(high));
    Part { shape: end.iter().zip(&start).map(|(end, start)| end - start).collect(), start }
}

/// The objects of an array in which elements of a part lie, by their places in its grid.
pub(super) fn chunks(layout: &Layout, part: &Part) -> impl Iterator<Item = Vec<u64>> + use<> {
    let extents = &layout.chain.spec.shape;
    let low = part.start.iter().zip(extents).map(|(start, extent)| start / extent).collect();
    let ends = part.start.iter().zip(&part.shape).map(|(start, length)| start + length);
    let high = ends.zip(extents).map(|(end, extent)| end.div_ceil(*extent)).collect();
    positions(low, high)
}

/// The objects of a part that are not finished, in boxes. Objects are finished about in their order,
/// so a box for each slab of them, and one for slabs that are alike, come close.
#[derive(Debug)]
pub(super) struct Rest {
    /// The first dimension along which the part has more than one object.
    slabs: usize,
    /// From where to where, in the grid; the highest not included.
    boxes: Vec<(Vec<u64>, Vec<u64>)>,
}

impl Rest {
    /// Nothing so far of `part`.
    pub(super) fn new(layout: &Layout, part: &Part) -> Self {
        let extents = part.shape.iter().zip(&layout.chain.spec.shape);
        let slabs = extents.take_while(|(length, extent)| length <= extent).count();
        Self { slabs, boxes: Vec::new() }
    }

    /// Adds an object; they are given in order.
    pub(super) fn add(&mut self, chunk: &[u64]) {
        let after = chunk.iter().map(|at| at + 1).collect::<Vec<_>>();
        match self.boxes.last_mut() {
            Some((low, high)) if low.get(self.slabs) == chunk.get(self.slabs) => {
                low.iter_mut().zip(chunk).for_each(|(low, &at)| *low = at.min(*low));
                high.iter_mut().zip(after).for_each(|(high, at)| *high = at.max(*high));
            }
            _ => {
                self.join();
                self.boxes.push((chunk.to_vec(), after));
            }
        }
    }

    /// Joins the last two boxes if they follow each other and are alike.
    fn join(&mut self) {
        let slabs = self.slabs;
        let [.., (low, high), (next, end)] = self.boxes.as_mut_slice() else { return };
        let alike = (0..low.len()).all(|dimension| {
            if dimension == slabs {
                high[dimension] == next[dimension]
            } else {
                (low[dimension], high[dimension]) == (next[dimension], end[dimension])
            }
        });
        if alike && slabs < high.len() {
            high[slabs] = end[slabs];
            self.boxes.pop();
        }
    }

    /// How many objects are in the boxes.
    pub(super) fn objects(&mut self) -> u64 {
        self.join();
        let count = |(low, high): &(Vec<u64>, Vec<u64>)| -> u64 {
            low.iter().zip(high).map(|(low, high)| high - low).product()
        };
        self.boxes.iter().map(count).sum()
    }

    /// The boxes, in elements.
    pub(super) fn parts(mut self, layout: &Layout) -> Vec<Part> {
        self.join();
        self.boxes.iter().map(|(low, high)| elements_of(layout, low, high)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(slabs: usize, chunks: &[[u64; 3]]) -> Vec<(Vec<u64>, Vec<u64>)> {
        let mut rest = Rest { slabs, boxes: Vec::new() };
        chunks.iter().for_each(|chunk| rest.add(chunk));
        rest.objects();
        rest.boxes
    }

    #[test]
    fn an_object_is_known_by_its_version_not_by_its_size() {
        let of = |version| digest(Some(&Seen { size: Some(7), version }));
        let version = Version::new([1; 5]);
        assert_eq!(of(None), None);
        assert!(of(Some(version.clone())).is_some() && digest(None).is_some());
        assert_eq!(of(Some(version.clone())), of(Some(version.tentative())));
        assert_ne!(of(Some(Version::new([2; 5]))), of(Some(Version::new([1; 5]))));
    }

    #[test]
    fn what_is_left_is_a_box_for_the_first_slab_and_one_for_all_others() {
        let all = positions(vec![4, 0, 0], vec![5, 6, 3]);
        let left: Vec<[u64; 3]> = all.map(|chunk| [chunk[0], chunk[1], chunk[2]]).skip(4).collect();
        let expected =
            [(vec![4, 1, 1], vec![5, 2, 3]), (vec![4, 2, 0], vec![5, 6, 3])].map(Into::into);
        assert_eq!(rest(1, &left), expected);
    }

    #[test]
    fn gaps_and_single_objects_have_boxes_of_their_own() {
        assert!(rest(0, &[]).is_empty());
        assert_eq!(rest(3, &[[7, 8, 9]]), [(vec![7, 8, 9], vec![8, 9, 10])]);
        let apart = rest(0, &[[0, 1, 1], [2, 1, 1], [3, 1, 1], [4, 1, 0]]);
        let expected = [
            (vec![0, 1, 1], vec![1, 2, 2]),
            (vec![2, 1, 1], vec![4, 2, 2]),
            (vec![4, 1, 0], vec![5, 2, 1]),
        ];
        assert_eq!(apart, expected);
    }
}
