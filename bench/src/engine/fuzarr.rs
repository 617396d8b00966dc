//! fuzarr.

use std::path::Path;
use std::sync::Arc;

use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{LocalStore, MemoryStore, Precondition, Store, put_bytes};
use fuzarr::{Array, Selection, Term};

use super::{Engine, Place, Result, objects};
use crate::workload::{Codec, Layout, Request, STRIDE};

/// An array open in fuzarr.
pub(crate) struct Fuzarr {
    layout: &'static Layout,
    array: Array,
}

/// Writes the array that all engines read, to an empty folder.
pub(crate) fn write(layout: &Layout, codec: Codec, values: &[u8], folder: &Path) -> Result<()> {
    let document = serde_json::to_vec(&layout.document(codec))?;
    let Node::Array(metadata) = Node::from_bytes(&document)? else {
        return Err("the document is not of an array".into());
    };
    let array = Array::create(Arc::new(LocalStore::create(folder)?), "", *metadata)?;
    array.write(&Selection::all(), values, &WriteOptions::default())?;
    Ok(())
}

impl Fuzarr {
    pub(crate) fn open(layout: &'static Layout, place: Place, folder: &Path) -> Result<Self> {
        let store: Arc<dyn Store> = match place {
            Place::Local => Arc::new(LocalStore::open(folder)?),
            Place::Memory => Arc::new(memory(folder)?),
        };
        Ok(Self { layout, array: Array::open(store, "")? })
    }

    fn chunk(&self, chunk: &[u64], output: &mut [u8]) -> Result<()> {
        let term = |(&at, &extent): (&u64, &u64)| -> Result<Term> {
            let start = i64::try_from(at * extent)?;
            let stop = i64::try_from((at + 1) * extent)?;
            Ok(Term::Slice { start: Some(start), stop: Some(stop), step: None })
        };
        let terms = chunk.iter().zip(self.layout.chunk).map(term).collect::<Result<_>>()?;
        self.select(&Selection::Orthogonal(terms), output)
    }

    fn select(&self, selection: &Selection, output: &mut [u8]) -> Result<()> {
        Ok(self.array.read_into(selection, output, &ReadOptions::default())?)
    }
}

impl Engine for Fuzarr {
    fn name(&self) -> &str {
        "fuzarr, 1 thread"
    }

    fn read(&self, request: Request, output: &mut [u8]) -> Result<()> {
        match request {
            Request::Whole => self.select(&Selection::all(), output),
            Request::OneChunk => self.chunk(&self.layout.middle(), output),
            Request::EachChunk => {
                let targets = output.chunks_exact_mut(self.layout.chunk_bytes());
                for (chunk, target) in self.layout.chunks().iter().zip(targets) {
                    self.chunk(chunk, target)?;
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

fn memory(folder: &Path) -> Result<MemoryStore> {
    let mut found = Vec::new();
    objects(folder, "", &mut found)?;
    let store = MemoryStore::new();
    for (key, bytes) in found {
        put_bytes(&store, &key, &bytes, Precondition::None)?;
    }
    Ok(store)
}
