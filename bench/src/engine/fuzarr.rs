//! fuzarr.

use std::path::Path;
use std::sync::Arc;

use fuzarr::limits::Limits;
use fuzarr::metadata::Node;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{LocalOptions, LocalStore, MemoryStore, Precondition, put_bytes};
use fuzarr::{Group, Term};
use serde_json::{Value, json};

use super::{Access, Array, Engine, Member, Store};
use crate::Result;
use crate::cell::{Cell, Durability};
use crate::objects::Objects;
use crate::selection::{self, Selection};

/// The library.
pub(crate) struct Fuzarr {
    workers: usize,
}

impl Fuzarr {
    pub(crate) fn new(workers: usize) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Self { workers: if workers == 0 { cores() } else { workers } }
    }
}

impl Engine for Fuzarr {
    fn refuse(&self, _cell: &Cell) -> Result<()> {
        Ok(())
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn local(&self, folder: &Path, durability: Durability) -> Result<Arc<dyn Store>> {
        let options =
            LocalOptions { fsync: durability == Durability::Synced, ..LocalOptions::default() };
        Ok(Arc::new(Local { store: Arc::new(LocalStore::open_with(folder, options)?) }))
    }

    fn memory(&self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(Memory { store: Arc::new(MemoryStore::new()) }))
    }

    fn versions(&self) -> Value {
        json!({"fuzarr": env!("CARGO_PKG_VERSION")})
    }
}

/// A folder.
struct Local {
    store: Arc<LocalStore>,
}

impl Store for Local {
    fn open(&self, path: &str, access: &Access) -> Result<Box<dyn Array>> {
        open(Arc::<LocalStore>::clone(&self.store), path, access)
    }

    fn members(&self) -> Result<Vec<Member>> {
        members(Arc::<LocalStore>::clone(&self.store))
    }

    fn objects(&self) -> Result<Objects> {
        Err("a folder is not in memory".into())
    }

    fn put(&self, _key: &str, _bytes: &[u8]) -> Result<()> {
        Err("a folder is not in memory".into())
    }

    fn erase(&self, _key: &str) -> Result<()> {
        Err("a folder is not in memory".into())
    }
}

/// Memory.
struct Memory {
    store: Arc<MemoryStore>,
}

impl Store for Memory {
    fn open(&self, path: &str, access: &Access) -> Result<Box<dyn Array>> {
        open(Arc::<MemoryStore>::clone(&self.store), path, access)
    }

    fn members(&self) -> Result<Vec<Member>> {
        members(Arc::<MemoryStore>::clone(&self.store))
    }

    fn objects(&self) -> Result<Objects> {
        let objects = self.store.snapshot()?;
        Ok(objects.into_iter().map(|(key, bytes)| (key, bytes.to_vec())).collect())
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        Ok(put_bytes(&*self.store, key, bytes, Precondition::None)?)
    }

    fn erase(&self, key: &str) -> Result<()> {
        Ok(fuzarr::store::delete(&*self.store, key)?)
    }
}

/// An open array with its selections.
struct Opened {
    array: fuzarr::Array,
    selections: Vec<fuzarr::Selection>,
    reads: ReadOptions,
    writes: WriteOptions,
}

fn open(
    store: Arc<dyn fuzarr::store::Store>,
    path: &str,
    access: &Access,
) -> Result<Box<dyn Array>> {
    let limits = Limits { workers: access.workers, ..Limits::default() };
    Ok(Box::new(Opened {
        array: fuzarr::Array::open(store, path)?,
        selections: access.selections.iter().map(translate).collect::<Result<_>>()?,
        reads: ReadOptions {
            index_cache: access.caches,
            limits: limits.clone(),
            ..ReadOptions::default()
        },
        writes: WriteOptions { limits, ..WriteOptions::default() },
    }))
}

impl Array for Opened {
    fn read(&self, number: usize) -> Result<Vec<u8>> {
        Ok(self.array.read_bytes(&self.selections[number], &self.reads)?.bytes)
    }

    fn read_into(&self, number: usize, output: &mut [u8]) -> Result<()> {
        Ok(self.array.read_bytes_into(&self.selections[number], output, &self.reads)?)
    }

    fn write(&self, number: usize, values: &[u8]) -> Result<()> {
        Ok(self.array.write_bytes(&self.selections[number], values, &self.writes)?)
    }

    fn append(&mut self, rows: &[u8]) -> Result<()> {
        Ok(self.array.append_with((rows, &[]), 0, &self.writes)?)
    }
}

fn translate(selection: &Selection) -> Result<fuzarr::Selection> {
    Ok(match selection {
        Selection::Whole => fuzarr::Selection::all(),
        Selection::Basic { terms } | Selection::Orthogonal { terms } => {
            fuzarr::Selection::Orthogonal(terms.iter().map(term).collect())
        }
        Selection::Points { coordinates } => fuzarr::Selection::Points {
            shape: vec![coordinates.first().map_or(0, Vec::len) as u64],
            coordinates: coordinates.clone(),
        },
        Selection::Mask { file } => fuzarr::Selection::Mask(selection::mask(file)?),
    })
}

fn term(term: &selection::Term) -> Term {
    match term {
        selection::Term::Index(at) => Term::Index(*at),
        selection::Term::Slice(start, stop, step) => {
            Term::Slice { start: *start, stop: *stop, step: *step }
        }
        selection::Term::List { list } => Term::List(list.clone()),
    }
}

/// Visits all nodes of the group that the store is.
fn members(store: Arc<dyn fuzarr::store::Store>) -> Result<Vec<Member>> {
    let group = Group::open(store, "")?;
    let mut members = Vec::new();
    for visit in group.traverse(usize::MAX)? {
        let visit = visit?;
        if let Node::Array(array) = visit.node? {
            let data_type = array.data_type.name.clone();
            members.push(Member { path: visit.path, shape: array.shape, data_type });
        }
    }
    Ok(members)
}
