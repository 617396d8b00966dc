//! The crate `zarrs`.

mod read;
mod renaming;
mod write;

use zarrs::storage::store::MemoryStore;
use zarrs::storage::{StoreKey, WritableStorageTraits as _};

pub(super) use self::read::Zarrs;
pub(super) use self::write::ZarrsWriter;
use super::{Objects, Result};

fn memory(objects: Objects) -> Result<MemoryStore> {
    let store = MemoryStore::new();
    for (key, bytes) in objects {
        store.set(&StoreKey::new(key)?, bytes.into())?;
    }
    Ok(store)
}
