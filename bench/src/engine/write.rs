//! Operations that write.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;

use super::{Access, Array, Engine, Place, callers};
use crate::Result;
use crate::cell::{Cell, Onto, Operation, Paths};
use crate::objects::Objects;
use crate::selection::Selection;
use crate::task::Task;

/// After this many calls that leave waste everything is as it was.
const WASTEFUL: usize = 100;

/// Opens a cell that writes selections.
pub(super) fn selections(engine: &dyn Engine, cell: &Cell, paths: &Paths) -> Result<Box<dyn Task>> {
    let Operation::Write { selections, onto } = &cell.operation else {
        return Err("no write".into());
    };
    let place = Place::target(engine, cell, &cell.document, paths)?;
    let mut access = selections.clone();
    access.extend([Selection::point(cell.array.shape.len()), Selection::Whole]);
    let contents = contents(paths)?;
    let of = |content: &Arc<Vec<u8>>| {
        let part = |selection: &Selection| {
            if *selection == Selection::Whole {
                return Ok(Arc::clone(content));
            }
            Ok(Arc::new(selection.of(content, &cell.array.shape, cell.array.itemsize()?)?))
        };
        selections.iter().map(part).collect::<Result<Vec<_>>>()
    };
    let [values, other] = &contents;
    let write = Write {
        place,
        values: [of(values)?, of(other)?],
        onto: *onto,
        // Writes may know the index of a shard from the one before.
        forgets: *onto == Onto::Stored && cell.array.shards.is_some() && !cell.caches,
        workers: engine.workers(),
        caches: cell.caches,
        array: None,
        before: None,
        selections: access,
    };
    let array = write.open()?;
    let mut before = None;
    if *onto == Onto::Stored {
        array.write(write.selections.len() - 1, values)?;
        if array.leaves_waste() {
            before = Some((write.place.objects()?, 0));
        }
    }
    Ok(Box::new(Write { array: Some(array), before, ..write }))
}

/// The contents of the whole array.
fn contents(paths: &Paths) -> Result<[Arc<Vec<u8>>; 2]> {
    let [values, other] = &paths.contents;
    Ok([Arc::new(std::fs::read(values)?), Arc::new(std::fs::read(other)?)])
}

struct Write {
    place: Place,
    array: Option<Box<dyn Array>>,
    /// What is written; after that a single element and everything.
    selections: Vec<Selection>,
    /// The values of each selection, in both contents.
    values: [Vec<Arc<Vec<u8>>>; 2],
    onto: Onto,
    /// What is stored before the first call, and how many were made since, if a call leaves waste.
    before: Option<(Objects, usize)>,
    /// Whether the array is opened before every call.
    forgets: bool,
    workers: usize,
    caches: bool,
}

impl Write {
    /// Reads the other contents again.
    fn confirm(&self) -> Result<()> {
        let array = self.open()?;
        for (number, values) in self.values[1].iter().enumerate() {
            if array.read(number)? != **values {
                return Err("a write over what was stored changed something else".into());
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Array>> {
        let selections = &self.selections;
        let access = Access { selections, workers: self.workers, callers: 1, caches: self.caches };
        self.place.store.open("", &access)
    }
}

impl Task for Write {
    fn prepares(&self) -> bool {
        self.onto == Onto::Nothing || self.forgets || self.before.is_some()
    }

    fn prepare(&mut self) -> Result<()> {
        if self.onto == Onto::Nothing {
            self.place.clear()?;
        }
        if let Some((before, calls)) = &mut self.before {
            *calls += 1;
            if calls.is_multiple_of(WASTEFUL) {
                self.place.restore(before)?;
            }
        }
        if self.forgets {
            self.array = Some(self.open()?);
        }
        Ok(())
    }

    fn call(&mut self, content: usize) -> Result<()> {
        let array = self.array.as_ref().ok_or("no array is open")?;
        for (number, values) in self.values[content].iter().enumerate() {
            array.write(number, values)?;
        }
        Ok(())
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        self.prepare()?;
        if self.onto == Onto::Stored {
            // If the values that are there already were all that is written, who does nothing would pass.
            self.call(1)?;
            self.confirm()?;
            self.prepare()?;
        }
        self.call(0)?;
        self.place.leave(scratch)
    }

    fn touch(&mut self) -> Result<()> {
        let array = self.array.as_ref().ok_or("no array is open")?;
        array.read(self.values[0].len()).map(drop)
    }
}

/// Opens a cell that makes an array longer.
pub(super) fn append(
    engine: &dyn Engine,
    cell: &Cell,
    paths: &Paths,
    rows: u64,
) -> Result<Box<dyn Task>> {
    let [values, other] = contents(paths)?;
    let (first, inner) = cell.array.shape.split_first().ok_or("no axis to append to")?;
    let row = usize::try_from(inner.iter().product::<u64>())? * cell.array.itemsize()?;
    let length = first.checked_sub(rows).ok_or("more rows than there are")?;
    let mut document = cell.document.clone();
    document["shape"][0] = length.into();
    let place = Place::target(engine, cell, &document, paths)?;
    let whole = &[Selection::Whole];
    let access = Access { selections: whole, workers: engine.workers(), callers: 1, caches: false };
    let end = usize::try_from(length)? * row;
    let array = place.store.open("", &access)?;
    array.write(0, &values[..end])?;
    drop(array);
    Ok(Box::new(Append {
        before: place.objects()?,
        contents: [values[end..].to_vec(), other[end..].to_vec()],
        place,
        array: None,
        workers: engine.workers(),
        caches: cell.caches,
        rank: cell.array.shape.len(),
    }))
}

struct Append {
    place: Place,
    /// What is stored before every call.
    before: Objects,
    array: Option<Box<dyn Array>>,
    /// The rows of both contents.
    contents: [Vec<u8>; 2],
    workers: usize,
    caches: bool,
    rank: usize,
}

impl Task for Append {
    fn prepares(&self) -> bool {
        true
    }

    fn prepare(&mut self) -> Result<()> {
        self.array = None;
        self.place.restore(&self.before)?;
        let selections = &[Selection::point(self.rank)];
        let access = Access { selections, workers: self.workers, callers: 1, caches: self.caches };
        self.array = Some(self.place.store.open("", &access)?);
        Ok(())
    }

    fn call(&mut self, _content: usize) -> Result<()> {
        self.array.as_mut().ok_or("no array is open")?.append(&self.contents[1])
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        self.prepare()?;
        self.call(1)?;
        self.place.leave(scratch)
    }

    fn touch(&mut self) -> Result<()> {
        self.array.as_ref().ok_or("no array is open")?.read(0).map(drop)
    }
}

/// Opens a cell that reads an array and writes it elsewhere, stored object by stored object.
pub(super) fn round_trip(engine: &dyn Engine, cell: &Cell, paths: &Paths) -> Result<Box<dyn Task>> {
    let (shape, itemsize) = (&cell.array.shape, cell.array.itemsize()?);
    let mut selections = Selection::objects(shape, cell.array.object())?;
    let objects = selections.len();
    selections.push(Selection::point(shape.len()));
    let size = |selection: &Selection| Ok(selection.count(shape)? * itemsize);
    let sizes = selections[..objects].iter().map(size).collect::<Result<Vec<_>>>()?;
    // Objects are done at the same time as far as there are enough of them, and what threads are
    // left works inside each.
    let at_once = engine.workers().min(objects).max(1);
    let workers = engine.workers().div_ceil(at_once);
    let access = Access { selections: &selections, workers, callers: 1, caches: cell.caches };
    let source = Place::source(engine, cell, &paths.folder)?;
    let target = Place::target(engine, cell, &cell.document, paths)?;
    Ok(Box::new(RoundTrip {
        from: source.store.open("", &access)?,
        to: target.store.open("", &access)?,
        target,
        sizes,
        at_once,
        callers: callers(engine.workers())?,
    }))
}

struct RoundTrip {
    from: Box<dyn Array>,
    to: Box<dyn Array>,
    target: Place,
    /// Bytes of each object's elements.
    sizes: Vec<usize>,
    /// Objects that are done at the same time.
    at_once: usize,
    callers: ThreadPool,
}

impl RoundTrip {
    /// Does objects until there are none left.
    fn copy(&self, next: &AtomicUsize) -> Result<()> {
        let mut values = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(&size) = self.sizes.get(number) else { return Ok(()) };
            values.resize(size, 0);
            self.from.read_into(number, &mut values)?;
            self.to.write(number, &values)?;
        }
    }
}

impl Task for RoundTrip {
    fn prepares(&self) -> bool {
        true
    }

    fn prepare(&mut self) -> Result<()> {
        self.target.clear()
    }

    fn call(&mut self, _content: usize) -> Result<()> {
        let next = AtomicUsize::new(0);
        let result = Mutex::new(Ok(()));
        let this = &*self;
        self.callers.scope(|scope| {
            for _ in 0..self.at_once {
                scope.spawn(|_| {
                    if let Err(error) = this.copy(&next) {
                        *result.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
                    }
                });
            }
        });
        result.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        self.prepare()?;
        self.call(0)?;
        self.target.leave(scratch)
    }

    fn touch(&mut self) -> Result<()> {
        self.from.read(self.sizes.len()).map(drop)
    }
}
