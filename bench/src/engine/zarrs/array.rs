//! Arrays of zarrs.
#![expect(unsafe_code, reason = "zarrs reads into a caller's memory by an unsafe view only")]

use std::sync::Arc;

use unsafe_cell_slice::UnsafeCellSlice;
use zarrs::array::{
    Array, ArrayBytes, ArrayBytesDecodeIntoTarget, ArrayBytesFixedDisjointView,
    ArrayShardedExt as _, ArrayShardedReadableExt as _, ArrayShardedReadableExtCache, ArraySubset,
    CodecOptions,
};
use zarrs::storage::ReadableWritableListableStorageTraits;

use super::renaming::RenamingStore;
use crate::Result;
use crate::engine::{self, Access};
use crate::selection::Selection;

type Storage = dyn ReadableWritableListableStorageTraits;

/// An open array with its selections.
pub(super) struct Opened {
    array: Array<Storage>,
    selections: Vec<(ArraySubset, Way)>,
    /// Whether each selection is written by changing shards in part.
    in_part: Vec<bool>,
    options: CodecOptions,
    /// Indexes of shards, if they may be kept.
    indexes: Option<ArrayShardedReadableExtCache>,
    renaming: Option<Arc<RenamingStore>>,
    in_place: bool,
    itemsize: usize,
}

/// Which call reads a selection.
enum Way {
    /// The one for any subset; an index that it needs is read every time.
    Subset,
    /// The one for subsets that keeps indexes of shards.
    PartOfShards,
    /// The one for a single inner chunk.
    InnerChunk(Vec<u64>),
}

impl Opened {
    pub(super) fn new(
        array: Array<Storage>,
        renaming: Option<Arc<RenamingStore>>,
        in_place: bool,
        access: &Access,
    ) -> Result<Self> {
        let caches = access.caches && array.is_sharded();
        let way = |selection| {
            let subset = subset(selection, array.shape())?;
            let way = if caches { way(&array, &subset)? } else { Way::Subset };
            Ok((subset, way))
        };
        let target = (access.workers / access.callers).max(1);
        let selections: Vec<_> = access.selections.iter().map(way).collect::<Result<_>>()?;
        let in_part =
            selections.iter().map(|(subset, _)| Ok(in_place && is_in_part(&array, subset)?));
        Ok(Self {
            in_part: in_part.collect::<Result<_>>()?,
            selections,
            options: CodecOptions::default().with_concurrent_target(target),
            indexes: caches.then(|| ArrayShardedReadableExtCache::new(&array)),
            renaming,
            in_place,
            itemsize: array.data_type().fixed_size().ok_or("elements of variable size")?,
            array,
        })
    }

    fn retrieve(&self, number: usize) -> Result<ArrayBytes<'static>> {
        let (subset, way) = &self.selections[number];
        Ok(match (way, &self.indexes) {
            (Way::InnerChunk(at), Some(indexes)) => {
                self.array.retrieve_subchunk_opt(indexes, at, &self.options)?
            }
            (Way::PartOfShards, Some(indexes)) => {
                self.array.retrieve_array_subset_sharded_opt(indexes, subset, &self.options)?
            }
            _ => self.array.retrieve_array_subset_opt(subset, &self.options)?,
        })
    }

    fn store(&self, subset: &ArraySubset, values: &[u8], in_part: bool) -> Result<()> {
        let values = ArrayBytes::new_flen(values);
        let options = self.options.with_experimental_partial_encoding(in_part);
        self.array.store_array_subset_opt(subset, values, &options)?;
        match &self.renaming {
            Some(renaming) => renaming.settle(),
            None => Ok(()),
        }
    }
}

impl engine::Array for Opened {
    fn read(&self, number: usize) -> Result<Vec<u8>> {
        Ok(self.retrieve(number)?.into_fixed()?.into_owned())
    }

    fn read_into(&self, number: usize, output: &mut [u8]) -> Result<()> {
        let (subset, way) = &self.selections[number];
        if !matches!(way, Way::Subset) {
            output.copy_from_slice(&self.retrieve(number)?.into_fixed()?);
            return Ok(());
        }
        let shape = subset.shape().to_vec();
        let all = ArraySubset::new_with_shape(shape.clone());
        let cells = UnsafeCellSlice::new(output);
        // SAFETY: this is the only view of `output`, which is borrowed for as long as it lives.
        let view = unsafe { ArrayBytesFixedDisjointView::new(cells, self.itemsize, &shape, all) };
        let mut view = view?;
        let target = ArrayBytesDecodeIntoTarget::Fixed(&mut view);
        Ok(self.array.retrieve_array_subset_into_opt(subset, target, &self.options)?)
    }

    fn write(&self, number: usize, values: &[u8]) -> Result<()> {
        self.store(&self.selections[number].0, values, self.in_part[number])
    }

    fn leaves_waste(&self) -> bool {
        self.in_part.first().is_some_and(|&in_part| in_part)
    }

    fn append(&mut self, rows: &[u8]) -> Result<()> {
        let mut shape = self.array.shape().to_vec();
        let row = shape[1..].iter().product::<u64>() * self.itemsize as u64;
        let start = shape[0];
        shape[0] += rows.len() as u64 / row;
        let mut ranges: Vec<_> = shape.iter().map(|&extent| 0..extent).collect();
        ranges[0].start = start;
        self.array.set_shape(shape)?;
        self.array.store_metadata()?;
        let subset = ArraySubset::new_with_ranges(&ranges);
        let in_part = self.in_place && is_in_part(&self.array, &subset)?;
        self.store(&subset, rows, in_part)
    }
}

/// A selection without steps, lists or points.
fn subset(selection: &Selection, shape: &[u64]) -> Result<ArraySubset> {
    let axes = selection.positions(shape)?.ok_or("a selection of points")?;
    let range = |positions: &Vec<usize>| {
        let start = positions.first().map_or(0, |&first| first as u64);
        start..start + positions.len() as u64
    };
    Ok(ArraySubset::new_with_ranges(&axes.iter().map(range).collect::<Vec<_>>()))
}

/// What is best for a subset if indexes of shards are kept. Whole shards need no index.
fn way(array: &Array<Storage>, subset: &ArraySubset) -> Result<Way> {
    let inner = array.subchunk_shape().ok_or("no inner chunks")?;
    let inner: Vec<u64> = inner.iter().map(|extent| extent.get()).collect();
    let starts = subset.start().iter().zip(&inner);
    if subset.shape() == inner && starts.clone().all(|(start, extent)| start % extent == 0) {
        return Ok(Way::InnerChunk(starts.map(|(start, extent)| start / extent).collect()));
    }
    let shards = array.chunks_in_array_subset(subset)?.ok_or("outside of the array")?;
    let whole = array.chunks_subset_bounded(&shards)? == *subset;
    Ok(if whole { Way::Subset } else { Way::PartOfShards })
}

/// Whether a write is so small a part of its shards that it pays to leave the rest of them as it is:
/// the option for that appends to shards, and never drops what is replaced.
fn is_in_part(array: &Array<Storage>, subset: &ArraySubset) -> Result<bool> {
    if !array.is_sharded() {
        return Ok(false);
    }
    let shards = array.chunks_in_array_subset(subset)?.ok_or("outside of the array")?;
    Ok(array.chunks_subset_bounded(&shards)?.num_elements() > 2 * subset.num_elements())
}
