//! A store of files for zarrs whose writes are as safe as fuzarr's: an object is written to a
//! temporary file that then takes its name.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zarrs::filesystem::FilesystemStore;
use zarrs::storage::byte_range::ByteRangeIterator;
use zarrs::storage::{
    Bytes, MaybeBytesIterator, OffsetBytesIterator, ReadableStorageTraits, StorageError, StoreKey,
    StorePrefix, WritableStorageTraits, store_set_partial_many,
};

use crate::engine::Result;

/// zarrs' store, but for how it writes.
#[derive(Debug)]
pub(super) struct RenamingStore {
    files: FilesystemStore,
    /// Makes names of temporary files differ.
    written: AtomicU64,
}

impl RenamingStore {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        Ok(Self { files: FilesystemStore::new(folder)?, written: AtomicU64::new(0) })
    }

    fn temporary(&self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.tmp", self.written.fetch_add(1, Ordering::Relaxed)));
        name.into()
    }
}

impl ReadableStorageTraits for RenamingStore {
    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> std::result::Result<MaybeBytesIterator<'a>, StorageError> {
        self.files.get_partial_many(key, ranges)
    }

    fn size_key(&self, key: &StoreKey) -> std::result::Result<Option<u64>, StorageError> {
        self.files.size_key(key)
    }

    fn supports_get_partial(&self) -> bool {
        self.files.supports_get_partial()
    }
}

impl WritableStorageTraits for RenamingStore {
    fn set(&self, key: &StoreKey, value: Bytes) -> std::result::Result<(), StorageError> {
        let path = self.files.key_to_fspath(key);
        let temporary = self.temporary(&path);
        match (std::fs::write(&temporary, &value), path.parent()) {
            (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(folder)?;
                std::fs::write(&temporary, &value)?;
            }
            (result, _) => result?,
        }
        Ok(std::fs::rename(temporary, path)?)
    }

    fn set_partial_many(
        &self,
        key: &StoreKey,
        values: OffsetBytesIterator<'_>,
    ) -> std::result::Result<(), StorageError> {
        store_set_partial_many(self, key, values)
    }

    fn erase(&self, key: &StoreKey) -> std::result::Result<(), StorageError> {
        self.files.erase(key)
    }

    fn erase_prefix(&self, prefix: &StorePrefix) -> std::result::Result<(), StorageError> {
        self.files.erase_prefix(prefix)
    }

    fn supports_set_partial(&self) -> bool {
        false
    }
}
