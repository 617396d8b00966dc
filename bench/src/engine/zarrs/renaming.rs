//! A store of files for zarrs whose writes are as safe as fuzarr's: an object is written to a
//! temporary file that then takes its name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use zarrs::filesystem::FilesystemStore;
use zarrs::storage::byte_range::ByteRangeIterator;
use zarrs::storage::{
    Bytes, ListableStorageTraits, MaybeBytesIterator, OffsetBytesIterator, ReadableStorageTraits,
    StorageError, StoreKey, StoreKeys, StoreKeysPrefixes, StorePrefix, WritableStorageTraits,
    store_set_partial_many,
};

use crate::Result;

type StorageResult<T> = std::result::Result<T, StorageError>;

/// zarrs' store, but for how it writes.
#[derive(Debug)]
pub(super) struct RenamingStore {
    files: FilesystemStore,
    root: PathBuf,
    /// Makes names of temporary files differ.
    written: AtomicU64,
    /// Folders that have to be synced, if files are.
    unsettled: Option<Mutex<BTreeSet<PathBuf>>>,
}

impl RenamingStore {
    pub(super) fn new(folder: &Path, synced: bool) -> Result<Self> {
        Ok(Self {
            files: FilesystemStore::new(folder)?,
            root: folder.to_owned(),
            written: AtomicU64::new(0),
            unsettled: synced.then(Mutex::default),
        })
    }

    /// Syncs the folders in which files were named, once each.
    pub(super) fn settle(&self) -> Result<()> {
        let Some(unsettled) = &self.unsettled else { return Ok(()) };
        let folders =
            std::mem::take(&mut *unsettled.lock().unwrap_or_else(PoisonError::into_inner));
        for folder in folders {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    fn temporary(&self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.tmp", self.written.fetch_add(1, Ordering::Relaxed)));
        name.into()
    }

    fn write(&self, temporary: &Path, value: &[u8]) -> std::io::Result<()> {
        let mut file = File::create(temporary)?;
        file.write_all(value)?;
        if self.unsettled.is_some() { file.sync_all() } else { Ok(()) }
    }

    /// Notes a folder, and if it is new those above it.
    fn note(&self, folder: &Path, new: bool) {
        let Some(unsettled) = &self.unsettled else { return };
        let mut unsettled = unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        if !new {
            if !unsettled.contains(folder) {
                unsettled.insert(folder.to_owned());
            }
            return;
        }
        let above = folder.ancestors().take_while(|above| above.starts_with(&self.root));
        unsettled.extend(above.map(Path::to_owned));
    }
}

impl ReadableStorageTraits for RenamingStore {
    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> StorageResult<MaybeBytesIterator<'a>> {
        self.files.get_partial_many(key, ranges)
    }

    fn size_key(&self, key: &StoreKey) -> StorageResult<Option<u64>> {
        self.files.size_key(key)
    }

    fn supports_get_partial(&self) -> bool {
        self.files.supports_get_partial()
    }
}

impl ListableStorageTraits for RenamingStore {
    fn list(&self) -> StorageResult<StoreKeys> {
        self.files.list()
    }

    fn list_prefix(&self, prefix: &StorePrefix) -> StorageResult<StoreKeys> {
        self.files.list_prefix(prefix)
    }

    fn list_dir(&self, prefix: &StorePrefix) -> StorageResult<StoreKeysPrefixes> {
        self.files.list_dir(prefix)
    }

    fn size_prefix(&self, prefix: &StorePrefix) -> StorageResult<u64> {
        self.files.size_prefix(prefix)
    }
}

impl WritableStorageTraits for RenamingStore {
    fn set(&self, key: &StoreKey, value: Bytes) -> StorageResult<()> {
        let path = self.files.key_to_fspath(key);
        let temporary = self.temporary(&path);
        let folder = path.parent().unwrap_or(&self.root);
        let new = match self.write(&temporary, &value) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(folder)?;
                self.write(&temporary, &value)?;
                true
            }
            result => {
                result?;
                false
            }
        };
        std::fs::rename(temporary, &path)?;
        self.note(folder, new);
        Ok(())
    }

    fn set_partial_many(
        &self,
        key: &StoreKey,
        values: OffsetBytesIterator<'_>,
    ) -> StorageResult<()> {
        store_set_partial_many(self, key, values)
    }

    fn erase(&self, key: &StoreKey) -> StorageResult<()> {
        self.files.erase(key)
    }

    fn erase_prefix(&self, prefix: &StorePrefix) -> StorageResult<()> {
        self.files.erase_prefix(prefix)
    }

    fn supports_set_partial(&self) -> bool {
        false
    }
}
