//! Writes by zarrs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};
use zarrs::array::{Array, ArrayBytes, ArraySubset, CodecOptions};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::storage_adapter::atomic_write::AtomicWriteStorageAdapter;
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{
    ListableStorageTraits as _, ReadableStorageTraits as _, ReadableWritableStorageTraits, StoreKey,
};

use super::renaming::RenamingStore;
use crate::engine::{Family, Name, Objects, Place, Result, Writer, objects_below};
use crate::workload::{Change, Codec, Layout};

/// An array that zarrs writes, with a pool of its own that all of its work runs in.
pub(crate) struct ZarrsWriter {
    name: Name,
    layout: &'static Layout,
    array: Array<dyn ReadableWritableStorageTraits>,
    memory: Option<Arc<MemoryStore>>,
    folder: PathBuf,
    options: CodecOptions,
    pool: ThreadPool,
}

impl ZarrsWriter {
    pub(crate) fn create(
        (layout, codec): (&'static Layout, Codec),
        place: Place,
        folder: &Path,
        threads: usize,
    ) -> Result<Self> {
        let mut name = Name::new(Family::Zarrs, threads);
        let mut memory = None;
        let store: Arc<dyn ReadableWritableStorageTraits> = match place {
            Place::Memory => Arc::<MemoryStore>::clone(memory.insert(Arc::default())),
            Place::AsTheyCome => Arc::new(FilesystemStore::new(folder)?),
            Place::Local => {
                name.variant = "renamed";
                Arc::new(RenamingStore::new(folder)?)
            }
            Place::Synced => {
                name.variant = "synced and renamed";
                let files = Arc::new(FilesystemStore::new(folder)?);
                Arc::new(AtomicWriteStorageAdapter::new(files))
            }
        };
        let document = serde_json::to_vec(&layout.document(codec))?;
        store.set(&StoreKey::new("zarr.json")?, document.into())?;
        Ok(Self {
            name,
            layout,
            array: Array::open(store, "/")?,
            memory,
            folder: folder.to_owned(),
            options: CodecOptions::default().with_concurrent_target(threads),
            pool: ThreadPoolBuilder::new().num_threads(threads).build()?,
        })
    }

    /// The option that appends to shards what is changed and leaves the rest where it is.
    pub(crate) fn partial_encoding(mut self) -> Self {
        self.name.variant = "partial encoding";
        self.options = self.options.with_experimental_partial_encoding(true);
        self
    }
}

impl Writer for ZarrsWriter {
    fn name(&self) -> &Name {
        &self.name
    }

    fn write(&self, change: Change, values: &[u8]) -> Result<()> {
        let subset = match change {
            Change::Whole => self.array.subset_all(),
            _ => ArraySubset::new_with_ranges(&[self.layout.changed(change)]),
        };
        let values = ArrayBytes::new_flen(values);
        Ok(self.array.store_array_subset_opt(&subset, values, &self.options)?)
    }

    fn objects(&self) -> Result<Objects> {
        let Some(memory) = &self.memory else { return objects_below(&self.folder) };
        let mut found = Vec::new();
        for key in memory.list()? {
            let bytes = memory.get(&key)?.ok_or("a listed object is missing")?;
            found.push((key.to_string(), bytes.to_vec()));
        }
        Ok(found)
    }

    /// The clock runs in the pool, so that entering it is not counted.
    fn time(&self, change: Change, repeats: u32, contents: [&[u8]; 2]) -> Result<Duration> {
        self.pool.install(|| {
            let start = Instant::now();
            for repeat in 0..repeats {
                self.write(change, contents[usize::from(repeat % 2 == 1)])?;
            }
            Ok(start.elapsed())
        })
    }
}
