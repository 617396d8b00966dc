//! The crate `zarrs`.
#![expect(unsafe_code, reason = "zarrs reads into a caller's memory by an unsafe view only")]

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};
use unsafe_cell_slice::UnsafeCellSlice;
use zarrs::array::{
    Array, ArrayBytes, ArrayBytesDecodeIntoTarget, ArrayBytesFixedDisjointView,
    ArrayShardedReadableExt as _, ArrayShardedReadableExtCache, ArraySubset, CodecOptions,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{
    ReadableStorage, ReadableStorageTraits, StoreKey, WritableStorageTraits as _,
};

use super::{Engine, Place, Result, objects};
use crate::plane::{Extent, Tile};
use crate::workload::{ELEMENT, Layout, Request, bytes_of};

/// An array open in zarrs, with a pool of its own that all of its work runs in.
pub(crate) struct Zarrs {
    name: String,
    layout: &'static Layout,
    array: Array<dyn ReadableStorageTraits>,
    options: CodecOptions,
    pool: ThreadPool,
    /// Where everything is read to for a strided read, kept so that its allocation is not counted.
    whole: Mutex<Vec<u8>>,
}

impl Zarrs {
    pub(crate) fn open(
        layout: &'static Layout,
        place: Place,
        folder: &Path,
        threads: usize,
    ) -> Result<Self> {
        let store: ReadableStorage = match place {
            Place::Local => Arc::new(FilesystemStore::new(folder)?),
            Place::Memory => Arc::new(memory(folder)?),
        };
        let plural = if threads == 1 { "" } else { "s" };
        Ok(Self {
            name: format!("zarrs, {threads} thread{plural}"),
            layout,
            array: Array::open(store, "/")?,
            options: CodecOptions::default().with_concurrent_target(threads),
            pool: ThreadPoolBuilder::new().num_threads(threads).build()?,
            whole: Mutex::new(Vec::new()),
        })
    }

    /// Reads a subset into `output`, without memory of zarrs' own where it can.
    fn subset(&self, subset: &ArraySubset, output: &mut [u8]) -> Result<()> {
        let shape = subset.shape().to_vec();
        let all = ArraySubset::new_with_shape(shape.clone());
        let cells = UnsafeCellSlice::new(output);
        // SAFETY: this is the only view of `output`, which is borrowed for as long as it lives.
        let mut view = unsafe { ArrayBytesFixedDisjointView::new(cells, ELEMENT, &shape, all)? };
        let target = ArrayBytesDecodeIntoTarget::Fixed(&mut view);
        Ok(self.array.retrieve_array_subset_into_opt(subset, target, &self.options)?)
    }

    fn chunk(&self, chunk: &[u64], output: &mut [u8]) -> Result<()> {
        let start = chunk.iter().zip(self.layout.chunk).map(|(at, extent)| at * extent).collect();
        let subset = ArraySubset::new_with_start_shape(start, self.layout.chunk.to_vec())?;
        self.subset(&subset, output)
    }

    /// Chunk by chunk. In a shard, by zarrs' call for that, which reads the index once.
    fn each_chunk(&self, output: &mut [u8]) -> Result<()> {
        let cache = ArrayShardedReadableExtCache::new(&self.array);
        let targets = output.chunks_exact_mut(self.layout.chunk_bytes());
        for (chunk, target) in self.layout.chunks().iter().zip(targets) {
            if self.layout.sharded {
                let bytes: ArrayBytes<'static> =
                    self.array.retrieve_subchunk_opt(&cache, chunk, &self.options)?;
                target.copy_from_slice(&bytes.into_fixed()?);
            } else {
                self.chunk(chunk, target)?;
            }
        }
        Ok(())
    }

    /// zarrs has no strided read: everything is read, and what is wanted of it copied.
    fn strided(&self, output: &mut [u8]) -> Result<()> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.resize(bytes_of(self.layout.shape), 0);
        self.subset(&self.array.subset_all(), &mut whole)?;
        let plane = Extent::of(self.layout.shape);
        Tile { row: 0, column: 0, extent: plane }.put_strided(&whole, output, plane);
        Ok(())
    }
}

impl Engine for Zarrs {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, request: Request, output: &mut [u8]) -> Result<()> {
        match request {
            Request::Whole => self.subset(&self.array.subset_all(), output),
            Request::OneChunk => self.chunk(&self.layout.middle(), output),
            Request::EachChunk => self.each_chunk(output),
            Request::Strided => self.strided(output),
        }
    }

    /// The clock runs in the pool, so that entering it is not counted.
    fn time(&self, request: Request, repeats: u32, output: &mut [u8]) -> Result<Duration> {
        self.pool.install(|| {
            let start = Instant::now();
            for _ in 0..repeats {
                self.read(request, output)?;
            }
            Ok(start.elapsed())
        })
    }
}

fn memory(folder: &Path) -> Result<MemoryStore> {
    let mut found = Vec::new();
    objects(folder, "", &mut found)?;
    let store = MemoryStore::new();
    for (key, bytes) in found {
        store.set(&StoreKey::new(key)?, bytes.into())?;
    }
    Ok(store)
}
