//! The crate `zarrs`.

mod array;
mod renaming;

use std::path::Path;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Value, json};
use zarrs::array::ArrayMetadata;
use zarrs::filesystem::FilesystemStore;
use zarrs::group::Group;
use zarrs::metadata::v2::DataTypeMetadataV2;
use zarrs::node::NodeMetadata;
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{
    ListableStorageTraits as _, ReadableStorageTraits as _, ReadableWritableListableStorageTraits,
    StoreKey, WritableStorageTraits as _,
};

use self::array::Opened;
use self::renaming::RenamingStore;
use super::{Access, Array, Engine, Member, Store};
use crate::Result;
use crate::cell::{Cell, Durability};
use crate::objects::Objects;
use crate::protocol::not;
use crate::selection::{Selection, Term};

/// The library, with a pool that all of its work runs in.
pub(crate) struct Zarrs {
    pool: ThreadPool,
}

impl Zarrs {
    pub(crate) fn new(workers: usize) -> Result<Self> {
        Ok(Self { pool: ThreadPoolBuilder::new().num_threads(workers).build()? })
    }
}

impl Engine for Zarrs {
    fn refuse(&self, cell: &Cell) -> Result<()> {
        for selection in cell.operation.selections() {
            match selection {
                Selection::Points { .. } => return not("no selections of points"),
                Selection::Mask { .. } => return not("no masks"),
                Selection::Whole => {}
                Selection::Basic { terms } | Selection::Orthogonal { terms } => {
                    terms.iter().try_for_each(refuse)?;
                }
            }
        }
        Ok(())
    }

    fn workers(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn local(&self, folder: &Path, durability: Durability) -> Result<Arc<dyn Store>> {
        if durability == Durability::AsTheyCome {
            let storage = Arc::new(FilesystemStore::new(folder)?);
            return Ok(Arc::new(Storage { storage, renaming: None, in_place: true }));
        }
        let synced = durability == Durability::Synced;
        let store = Arc::new(RenamingStore::new(folder, synced)?);
        let storage = Arc::<RenamingStore>::clone(&store);
        let renaming = synced.then_some(store);
        Ok(Arc::new(Storage { storage, renaming, in_place: false }))
    }

    fn memory(&self) -> Result<Arc<dyn Store>> {
        let storage = Arc::new(MemoryStore::new());
        Ok(Arc::new(Storage { storage, renaming: None, in_place: false }))
    }

    /// Entering the pool is not counted.
    fn within(&self, run: &mut (dyn FnMut() + Send)) {
        self.pool.install(run);
    }

    fn versions(&self) -> Value {
        json!({"zarrs": zarrs::version::version_str()})
    }
}

fn refuse(term: &Term) -> Result<()> {
    match term {
        Term::List { .. } => not("no lists of positions"),
        Term::Slice(_, _, step) if step.is_some_and(|step| step != 1) => not("no steps"),
        _ => Ok(()),
    }
}

/// A store, and what of it has to be synced.
struct Storage {
    storage: Arc<dyn ReadableWritableListableStorageTraits>,
    renaming: Option<Arc<RenamingStore>>,
    /// Whether objects may be changed where they are. That option of zarrs never drops what is
    /// replaced, and others may read a shard that is changed by half: it is not what objects that are
    /// replaced are to be compared with.
    in_place: bool,
}

impl Store for Storage {
    fn open(&self, path: &str, access: &Access) -> Result<Box<dyn Array>> {
        let array = zarrs::array::Array::open(Arc::clone(&self.storage), &format!("/{path}"))?;
        Ok(Box::new(Opened::new(array, self.renaming.clone(), self.in_place, access)?))
    }

    fn members(&self) -> Result<Vec<Member>> {
        let group = Group::open(Arc::clone(&self.storage), "/")?;
        let mut members = Vec::new();
        for (path, node) in group.traverse()? {
            let (shape, data_type) = match node {
                NodeMetadata::Array(ArrayMetadata::V3(array)) => {
                    (array.shape, array.data_type.name().to_owned())
                }
                NodeMetadata::Array(ArrayMetadata::V2(array)) => match array.dtype {
                    DataTypeMetadataV2::Simple(name) => (array.shape, name),
                    DataTypeMetadataV2::Structured(_) => (array.shape, "structured".to_owned()),
                },
                NodeMetadata::Group(_) => continue,
            };
            let path = path.as_str().trim_start_matches('/').to_owned();
            members.push(Member { path, shape, data_type });
        }
        Ok(members)
    }

    fn objects(&self) -> Result<Objects> {
        let mut found = Vec::new();
        for key in self.storage.list()? {
            let bytes = self.storage.get(&key)?.ok_or("a listed object is missing")?;
            found.push((key.to_string(), bytes.to_vec()));
        }
        Ok(found)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        Ok(self.storage.set(&StoreKey::new(key)?, bytes.to_vec().into())?)
    }

    fn erase(&self, key: &str) -> Result<()> {
        Ok(self.storage.erase(&StoreKey::new(key)?)?)
    }
}
