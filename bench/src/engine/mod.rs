//! Engines behind one trait, and the operations that all of them do.

mod fuzarr;
mod read;
mod write;
mod zarrs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub(crate) use self::fuzarr::Fuzarr;
pub(crate) use self::zarrs::Zarrs;
use crate::Result;
use crate::cell::{self, Cell, Durability, Operation, Paths};
use crate::objects::{self, Objects, is_document};
use crate::protocol::not;
use crate::selection::Selection;
use crate::task::Task;

/// A Zarr library.
pub(crate) trait Engine: Send + Sync {
    /// Fails with the reason if it has no way to do what the cell asks for.
    fn refuse(&self, cell: &Cell) -> Result<()>;

    /// Threads that it works with.
    fn workers(&self) -> usize;

    /// A folder.
    fn local(&self, folder: &Path, durability: Durability) -> Result<Arc<dyn Store>>;

    /// Memory.
    fn memory(&self) -> Result<Arc<dyn Store>>;

    /// Runs something where its threads are at hand.
    fn within(&self, run: &mut (dyn FnMut() + Send)) {
        run();
    }

    fn versions(&self) -> Value;
}

/// A store of an engine's.
pub(crate) trait Store: Send + Sync {
    /// Opens the array at `path`, ready for some selections.
    fn open(&self, path: &str, access: &Access) -> Result<Box<dyn Array>>;

    /// All arrays below the group that the store is.
    fn members(&self) -> Result<Vec<Member>>;

    /// All that is stored in memory.
    fn objects(&self) -> Result<Objects>;

    /// Stores an object in memory.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()>;

    /// Removes an object from memory.
    fn erase(&self, key: &str) -> Result<()>;
}

/// How an array will be used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access<'a> {
    /// What is read and written, by number.
    pub(crate) selections: &'a [Selection],
    /// Threads of one request.
    pub(crate) workers: usize,
    /// How many threads make requests at the same time.
    pub(crate) callers: usize,
    /// Whether indexes of shards may be kept.
    pub(crate) caches: bool,
}

/// An open array.
pub(crate) trait Array: Send + Sync {
    /// Reads a selection into memory of its own.
    fn read(&self, number: usize) -> Result<Vec<u8>>;

    /// Reads a selection into `output`, which is of the right size.
    fn read_into(&self, number: usize, output: &mut [u8]) -> Result<()>;

    /// Writes a selection.
    fn write(&self, number: usize, values: &[u8]) -> Result<()>;

    /// Whether writing the first selection makes objects longer every time.
    fn leaves_waste(&self) -> bool {
        false
    }

    /// Makes the array longer along its first axis.
    fn append(&mut self, rows: &[u8]) -> Result<()>;
}

/// An array of a group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) path: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) data_type: String,
}

/// Where an array or a group is.
#[derive(Clone)]
struct Place {
    store: Arc<dyn Store>,
    /// Of a local store.
    folder: Option<PathBuf>,
}

impl Place {
    /// What is stored in a folder, to be read.
    fn source(engine: &dyn Engine, cell: &Cell, folder: &Path) -> Result<Self> {
        if cell.store == cell::Store::Local {
            let store = engine.local(folder, Durability::AsTheyCome)?;
            return Ok(Self { store, folder: Some(folder.to_owned()) });
        }
        let store = engine.memory()?;
        for (key, bytes) in objects::below(folder)? {
            store.put(&key, &bytes)?;
        }
        Ok(Self { store, folder: None })
    }

    /// A new array of `document`, to be written.
    fn target(engine: &dyn Engine, cell: &Cell, document: &Value, paths: &Paths) -> Result<Self> {
        let (key, document) = (cell.array.document_key(), serde_json::to_vec(document)?);
        if cell.store == cell::Store::Local {
            let folder = paths.scratch.join("array");
            objects::write(&folder, [(key.to_owned(), document)])?;
            let store = engine.local(&folder, cell.durability)?;
            return Ok(Self { store, folder: Some(folder) });
        }
        let store = engine.memory()?;
        store.put(key, &document)?;
        Ok(Self { store, folder: None })
    }

    fn objects(&self) -> Result<Objects> {
        match &self.folder {
            Some(folder) => objects::below(folder),
            None => self.store.objects(),
        }
    }

    /// Removes all objects but documents.
    fn clear(&self) -> Result<()> {
        if let Some(folder) = &self.folder {
            return objects::clear(folder, false);
        }
        for (key, _) in self.store.objects()?.iter().filter(|(key, _)| !is_document(key)) {
            self.store.erase(key)?;
        }
        Ok(())
    }

    /// Makes `objects` all that is stored.
    fn restore(&self, objects: &Objects) -> Result<()> {
        if let Some(folder) = &self.folder {
            objects::clear(folder, true)?;
            let objects = objects.iter();
            return objects::write(folder, objects.map(|(key, bytes)| (key.clone(), bytes)));
        }
        self.clear()?;
        for (key, bytes) in objects {
            self.store.put(key, bytes)?;
        }
        Ok(())
    }

    /// Leaves all objects as files of an array in `scratch`.
    fn leave(&self, scratch: &Path) -> Result<()> {
        match &self.folder {
            Some(_) => Ok(()),
            None => objects::write(&scratch.join("array"), self.store.objects()?),
        }
    }
}

/// Opens a cell in an engine.
pub(crate) fn open(engine: &Arc<dyn Engine>, cell: &Cell, paths: &Paths) -> Result<Box<dyn Task>> {
    engine.refuse(cell)?;
    // Here nobody has a peer: zarrs has no such stores.
    if matches!(cell.store, cell::Store::Async | cell::Store::Latency) {
        return not("the worker has no stores that wait");
    }
    match &cell.operation {
        Operation::Write { .. } => write::selections(&**engine, cell, paths),
        Operation::Append { rows } => write::append(&**engine, cell, paths, *rows),
        Operation::RoundTrip => write::round_trip(&**engine, cell, paths),
        _ => read::open(engine, cell, paths),
    }
}

/// A pool for callers of an engine, each with a thread of its own.
fn callers(count: usize) -> Result<rayon::ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(count).build()?)
}
