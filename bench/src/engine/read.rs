//! Operations that change nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;

use super::{Access, Array, Engine, Place, callers};
use crate::Result;
use crate::cell::{Cell, Durability, Operation, Paths, Store};
use crate::selection::Selection;
use crate::task::Task;

/// Opens a cell that reads.
pub(super) fn open(engine: &Arc<dyn Engine>, cell: &Cell, paths: &Paths) -> Result<Box<dyn Task>> {
    let place = Place::source(&**engine, cell, &paths.folder)?;
    let source = Source {
        engine: Arc::clone(engine),
        folder: (cell.store == Store::Local).then(|| paths.folder.clone()),
        place,
        selections: selections(cell),
        caches: cell.caches,
        callers: match &cell.operation {
            Operation::Threads { threads, .. } => *threads,
            Operation::Arrays { count } => *count,
            _ => 1,
        },
    };
    Ok(match &cell.operation {
        Operation::Read { into: true, .. } => {
            let size = |selection: &Selection| {
                Ok(vec![0; selection.count(&cell.array.shape)? * cell.array.itemsize()?])
            };
            let kept = cell.operation.selections().iter().map(size).collect::<Result<_>>()?;
            Box::new(ReadsInto { array: source.open()?, kept })
        }
        Operation::Threads { threads, .. } => {
            Box::new(Threads { arrays: vec![source.open()?], callers: callers(*threads)?, source })
        }
        Operation::Arrays { count } => {
            let open = |number: usize| source.open_at(&number.to_string());
            let arrays = (0..*count).map(open).collect::<Result<_>>()?;
            Box::new(Threads { arrays, callers: callers(*count)?, source })
        }
        Operation::Open => Box::new(Opens { source }),
        Operation::Walk => Box::new(Walk { source }),
        operation => {
            let cold = matches!(operation, Operation::ReadCold { .. });
            Box::new(Reads { array: source.open()?, source, cold })
        }
    })
}

/// What is read, and after that a single element.
fn selections(cell: &Cell) -> Vec<Selection> {
    let mut selections = match &cell.operation {
        Operation::Arrays { .. } => vec![Selection::Whole],
        operation => operation.selections().to_vec(),
    };
    selections.push(Selection::point(cell.array.shape.len()));
    selections
}

/// Where arrays are opened.
struct Source {
    engine: Arc<dyn Engine>,
    place: Place,
    /// Of a local store.
    folder: Option<PathBuf>,
    selections: Vec<Selection>,
    caches: bool,
    /// How many threads read at the same time.
    callers: usize,
}

impl Source {
    fn open(&self) -> Result<Box<dyn Array>> {
        self.open_at("")
    }

    fn open_at(&self, path: &str) -> Result<Box<dyn Array>> {
        self.place.store.open(path, &self.access())
    }

    fn access(&self) -> Access<'_> {
        Access {
            selections: &self.selections,
            workers: self.engine.workers(),
            callers: self.callers,
            caches: self.caches,
        }
    }

    /// Opens the store too.
    fn open_anew(&self) -> Result<Box<dyn Array>> {
        match &self.folder {
            Some(folder) => {
                let store = self.engine.local(folder, Durability::AsTheyCome)?;
                store.open("", &self.access())
            }
            None => self.open(),
        }
    }

    /// How many selections are read.
    fn count(&self) -> usize {
        self.selections.len() - 1
    }
}

/// Leaves a result for others to judge.
fn leave(scratch: &Path, results: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
    let whole: Vec<Vec<u8>> = results.into_iter().collect();
    Ok(std::fs::write(scratch.join("result.bin"), whole.concat())?)
}

/// Selections read one after the other, each into memory of its own.
struct Reads {
    source: Source,
    array: Box<dyn Array>,
    /// Whether the array is opened before every call.
    cold: bool,
}

impl Task for Reads {
    fn prepares(&self) -> bool {
        self.cold
    }

    fn prepare(&mut self) -> Result<()> {
        if self.cold {
            self.array = self.source.open_anew()?;
        }
        Ok(())
    }

    fn call(&mut self, _content: usize) -> Result<()> {
        for number in 0..self.source.count() {
            drop(self.array.read(number)?);
        }
        Ok(())
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        self.prepare()?;
        let read = |number| self.array.read(number);
        leave(scratch, (0..self.source.count()).map(read).collect::<Result<Vec<_>>>()?)
    }

    fn touch(&mut self) -> Result<()> {
        self.array.read(self.source.count()).map(drop)?;
        self.prepare()
    }
}

/// Selections read one after the other into memory that is kept.
struct ReadsInto {
    array: Box<dyn Array>,
    kept: Vec<Vec<u8>>,
}

impl Task for ReadsInto {
    fn call(&mut self, _content: usize) -> Result<()> {
        for (number, output) in self.kept.iter_mut().enumerate() {
            self.array.read_into(number, output)?;
        }
        Ok(())
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        self.kept.iter_mut().for_each(|output| output.fill(0xa5));
        self.call(0)?;
        leave(scratch, self.kept.iter().cloned())
    }

    fn touch(&mut self) -> Result<()> {
        // A caller's memory is there before the call.
        self.kept.iter_mut().for_each(|output| output.fill(0xa5));
        self.array.read(self.kept.len()).map(drop)
    }
}

/// Reads by several callers at the same time: one array's selections dealt out, or an array each.
struct Threads {
    source: Source,
    arrays: Vec<Box<dyn Array>>,
    callers: ThreadPool,
}

impl Threads {
    /// All reads in order: which array, and which selection.
    fn reads(&self) -> Vec<(usize, usize)> {
        let reads = |array| (0..self.source.count()).map(move |number| (array, number));
        (0..self.arrays.len()).flat_map(reads).collect()
    }

    fn run(&self, mut keep: impl FnMut(usize, Vec<u8>) + Send) -> Result<()> {
        let keep = Mutex::new(&mut keep);
        let reads = self.reads();
        let results = self.callers.broadcast(|caller| {
            let mine = reads.iter().enumerate().skip(caller.index());
            for (at, &(array, number)) in mine.step_by(caller.num_threads()) {
                let result = self.arrays[array].read(number)?;
                keep.lock().unwrap_or_else(PoisonError::into_inner)(at, result);
            }
            Ok(())
        });
        results.into_iter().collect()
    }
}

impl Task for Threads {
    fn call(&mut self, _content: usize) -> Result<()> {
        self.run(|_, result| drop(result))
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        let mut results = vec![Vec::new(); self.reads().len()];
        self.run(|at, result| results[at] = result)?;
        leave(scratch, results)
    }

    fn touch(&mut self) -> Result<()> {
        self.arrays[0].read(self.source.count()).map(drop)
    }
}

/// Opening an array.
struct Opens {
    source: Source,
}

impl Task for Opens {
    fn call(&mut self, _content: usize) -> Result<()> {
        self.source.open_anew().map(drop)
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        let array = self.source.open_anew()?;
        leave(scratch, [array.read(self.source.count())?])
    }
}

/// Visiting all members of a group.
struct Walk {
    source: Source,
}

impl Walk {
    fn members(&self) -> Result<Vec<super::Member>> {
        match &self.source.folder {
            Some(folder) => self.source.engine.local(folder, Durability::AsTheyCome)?.members(),
            None => self.source.place.store.members(),
        }
    }
}

impl Task for Walk {
    fn call(&mut self, _content: usize) -> Result<()> {
        self.members().map(drop)
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        let mut members = self.members()?;
        members.sort_by(|one, other| one.path.cmp(&other.path));
        let listed: Vec<_> = members
            .into_iter()
            .map(|member| (member.path, member.shape, member.data_type))
            .collect();
        leave(scratch, [serde_json::to_vec(&listed)?])
    }
}
