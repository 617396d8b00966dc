//! fuzarr.

use std::path::Path;
use std::sync::Arc;

use fuzarr::limits::Limits;
use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{LocalOptions, LocalStore, MemoryStore, Precondition, Store, put_bytes};
use fuzarr::{Array, Selection, Term};

use super::{Engine, Family, Name, Objects, Place, Result, Writer, objects_below};
use crate::workload::{Change, Codec, Layout, Request, STRIDE};

/// An array open in fuzarr.
pub(crate) struct Fuzarr {
    name: Name,
    layout: &'static Layout,
    array: Array,
    options: ReadOptions,
}

/// Writes the array that all engines read, to an empty folder.
pub(crate) fn store_array(
    layout: &Layout,
    codec: Codec,
    values: &[u8],
    folder: &Path,
) -> Result<()> {
    let array = create(layout, codec, Arc::new(LocalStore::create(folder)?))?;
    Ok(array.write_bytes(&Selection::all(), values, &WriteOptions::default())?)
}

fn create(layout: &Layout, codec: Codec, store: Arc<dyn Store>) -> Result<Array> {
    let document = serde_json::to_vec(&layout.document(codec))?;
    let Node::Array(metadata) = Node::from_bytes(&document)? else {
        return Err("the document is not of an array".into());
    };
    Ok(Array::create(store, "", *metadata)?)
}

impl Fuzarr {
    pub(super) fn open(
        layout: &'static Layout,
        place: Place,
        folder: &Path,
        threads: usize,
    ) -> Result<Self> {
        if place == Place::Memory {
            return Self::new(layout, memory(objects_below(folder)?)?, threads);
        }
        Self::new(layout, Arc::new(LocalStore::open(folder)?), threads)
    }

    /// The array that `objects` are, in memory.
    pub(super) fn of(layout: &'static Layout, objects: Objects) -> Result<Self> {
        Self::new(layout, memory(objects)?, 1)
    }

    fn new(layout: &'static Layout, store: Arc<dyn Store>, threads: usize) -> Result<Self> {
        let options = ReadOptions { limits: limits(threads), ..ReadOptions::default() };
        let name = Name::new(Family::Fuzarr, threads);
        Ok(Self { name, layout, array: Array::open(store, "")?, options })
    }

    fn select(&self, selection: &Selection, output: &mut [u8]) -> Result<()> {
        Ok(self.array.read_bytes_into(selection, output, &self.options)?)
    }
}

impl Engine for Fuzarr {
    fn name(&self) -> &Name {
        &self.name
    }

    fn read(&self, request: Request, output: &mut [u8]) -> Result<()> {
        match request {
            Request::Whole => self.select(&Selection::all(), output),
            Request::OneChunk => self.select(&chunk(self.layout, &self.layout.middle())?, output),
            Request::OneChunkAnew => {
                let options = ReadOptions { index_cache: false, ..self.options.clone() };
                let selection = chunk(self.layout, &self.layout.middle())?;
                Ok(self.array.read_bytes_into(&selection, output, &options)?)
            }
            Request::EachChunk => {
                let targets = output.chunks_exact_mut(self.layout.chunk_bytes());
                for (at, target) in self.layout.chunks().iter().zip(targets) {
                    self.select(&chunk(self.layout, at)?, target)?;
                }
                Ok(())
            }
            Request::Strided => {
                let step = Some(i64::try_from(STRIDE)?);
                let term = Term::Slice { start: None, stop: None, step };
                self.select(&Selection::Orthogonal(vec![term; self.layout.shape.len()]), output)
            }
        }
    }
}

/// An array that fuzarr writes.
pub(crate) struct FuzarrWriter {
    name: Name,
    layout: &'static Layout,
    array: Array,
    memory: Option<Arc<MemoryStore>>,
    folder: std::path::PathBuf,
    options: WriteOptions,
}

impl FuzarrWriter {
    pub(super) fn create(
        (layout, codec): (&'static Layout, Codec),
        place: Place,
        folder: &Path,
        threads: usize,
    ) -> Result<Self> {
        let mut name = Name::new(Family::Fuzarr, threads);
        let mut memory = None;
        let store: Arc<dyn Store> = if place == Place::Memory {
            Arc::<MemoryStore>::clone(memory.insert(Arc::default()))
        } else {
            let fsync = place == Place::Synced;
            if fsync {
                name.variant = "fsync";
            }
            Arc::new(LocalStore::create_with(folder, LocalOptions { fsync, ..Default::default() })?)
        };
        let array = create(layout, codec, store)?;
        let options = WriteOptions { limits: limits(threads), ..WriteOptions::default() };
        Ok(Self { name, layout, array, memory, folder: folder.to_owned(), options })
    }

    /// The option that changes objects where they are, as far as it goes.
    pub(super) fn in_place(mut self) -> Self {
        self.name.variant = "in place";
        self.options.in_place = true;
        self
    }
}

impl Writer for FuzarrWriter {
    fn name(&self) -> &Name {
        &self.name
    }

    fn write(&self, change: Change, values: &[u8]) -> Result<()> {
        let selection = match change {
            Change::Whole => Selection::all(),
            _ => {
                let range = self.layout.changed(change);
                Selection::Orthogonal(vec![slice(range.start, range.end)?])
            }
        };
        Ok(self.array.write_bytes(&selection, values, &self.options)?)
    }

    fn objects(&self) -> Result<Objects> {
        let Some(memory) = &self.memory else { return objects_below(&self.folder) };
        Ok(memory.snapshot().into_iter().map(|(key, bytes)| (key, bytes.to_vec())).collect())
    }
}

fn limits(threads: usize) -> Limits {
    Limits { workers: threads, ..Limits::default() }
}

fn chunk(layout: &Layout, at: &[u64]) -> Result<Selection> {
    let extents = at.iter().zip(layout.chunk);
    let terms = extents.map(|(&at, &extent)| slice(at * extent, (at + 1) * extent));
    Ok(Selection::Orthogonal(terms.collect::<Result<_>>()?))
}

fn slice(start: u64, stop: u64) -> Result<Term> {
    let [start, stop] = [i64::try_from(start)?, i64::try_from(stop)?];
    Ok(Term::Slice { start: Some(start), stop: Some(stop), step: None })
}

fn memory(objects: Objects) -> Result<Arc<MemoryStore>> {
    let store = MemoryStore::new();
    for (key, bytes) in objects {
        put_bytes(&store, &key, &bytes, Precondition::None)?;
    }
    Ok(Arc::new(store))
}
