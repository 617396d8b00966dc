//! Reads by zarrs.
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
use zarrs::storage::{ReadableStorage, ReadableStorageTraits};

use super::memory;
use crate::engine::{Engine, Family, Name, Objects, Place, Result, objects_below};
use crate::plane::{Extent, Tile};
use crate::workload::{ELEMENT, Layout, Request, bytes_of};

/// An array open in zarrs, with a pool of its own that all of its work runs in.
pub(crate) struct Zarrs {
    name: Name,
    layout: &'static Layout,
    array: Array<dyn ReadableStorageTraits>,
    options: CodecOptions,
    pool: ThreadPool,
    /// Indexes of shards, kept from one request to the next.
    indexes: ArrayShardedReadableExtCache,
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
        if place == Place::Memory {
            return Self::new(layout, Arc::new(memory(objects_below(folder)?)?), threads);
        }
        Self::new(layout, Arc::new(FilesystemStore::new(folder)?), threads)
    }

    /// The array that `objects` are, in memory.
    pub(crate) fn of(layout: &'static Layout, objects: Objects) -> Result<Self> {
        Self::new(layout, Arc::new(memory(objects)?), 1)
    }

    fn new(layout: &'static Layout, store: ReadableStorage, threads: usize) -> Result<Self> {
        let array = Array::open(store, "/")?;
        Ok(Self {
            name: Name::new(Family::Zarrs, threads),
            layout,
            indexes: ArrayShardedReadableExtCache::new(&array),
            array,
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

    /// One chunk; in a shard, by zarrs' call for that, which keeps the index.
    fn chunk(&self, chunk: &[u64], output: &mut [u8]) -> Result<()> {
        if !self.layout.sharded {
            return self.chunk_anew(chunk, output);
        }
        let bytes: ArrayBytes<'static> =
            self.array.retrieve_subchunk_opt(&self.indexes, chunk, &self.options)?;
        output.copy_from_slice(&bytes.into_fixed()?);
        Ok(())
    }

    /// One chunk, with nothing known of the shard.
    fn chunk_anew(&self, chunk: &[u64], output: &mut [u8]) -> Result<()> {
        let start = chunk.iter().zip(self.layout.chunk).map(|(at, extent)| at * extent).collect();
        let subset = ArraySubset::new_with_start_shape(start, self.layout.chunk.to_vec())?;
        self.subset(&subset, output)
    }

    fn each_chunk(&self, output: &mut [u8]) -> Result<()> {
        let targets = output.chunks_exact_mut(self.layout.chunk_bytes());
        for (chunk, target) in self.layout.chunks().iter().zip(targets) {
            self.chunk(chunk, target)?;
        }
        Ok(())
    }

    /// zarrs has no strided read: everything is read, and what is wanted of it copied.
    fn strided(&self, output: &mut [u8]) -> Result<()> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.resize(bytes_of(self.layout.shape), 0);
        self.subset(&self.array.subset_all(), &mut whole)?;
        let plane = Extent::of(self.layout.shape);
        Tile { row: 0, column: 0, extent: plane }.put_strided(&whole, output, plane, 0);
        Ok(())
    }
}

impl Engine for Zarrs {
    fn name(&self) -> &Name {
        &self.name
    }

    fn read(&self, request: Request, output: &mut [u8]) -> Result<()> {
        match request {
            Request::Whole => self.subset(&self.array.subset_all(), output),
            Request::OneChunk => self.chunk(&self.layout.middle(), output),
            Request::OneChunkAnew => self.chunk_anew(&self.layout.middle(), output),
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
