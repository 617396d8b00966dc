//! What copying a part takes in memory.

use super::schedule::Geometry;
use crate::array::Array;
use crate::codec::Prepared;

/// What is read of an array, and how much memory that takes.
#[derive(Debug)]
pub(super) struct Reading {
    shape: Vec<u64>,
    /// A stored object, and what of it is decoded by itself.
    object: Vec<u64>,
    chunk: Vec<u64>,
    element: u64,
    /// Whether the chunks of an object are fetched one by one.
    partial: bool,
    /// Whether an object has codecs around its shard, which are undone in memory first.
    sealed: bool,
}

/// What is written of an array, and how much memory that takes.
#[derive(Debug)]
pub(super) struct Writing {
    object: Vec<u64>,
    chunk: Vec<u64>,
    element: u64,
    sharded: bool,
}

/// Bytes of a box of elements.
fn bytes(shape: impl IntoIterator<Item = u64>, element: u64) -> u64 {
    shape.into_iter().fold(element, u64::saturating_mul)
}

/// What of an object is decoded by itself: its innermost chunks, or what has codecs around it.
fn decoded_alone(chain: &Prepared) -> &Prepared {
    let mut chain = chain;
    while let Some(shard) = chain.open_shard() {
        chain = &shard.inner;
    }
    chain
}

impl Reading {
    pub(super) fn of(array: &Array) -> Self {
        let outer = &array.layout().chain;
        let chain = decoded_alone(outer);
        Self {
            shape: array.shape().to_vec(),
            object: array.chunk_shape().to_vec(),
            chunk: chain.spec.shape.clone(),
            element: array.element_size() as u64,
            partial: outer.open_shard().is_some() && array.store().capabilities().ranges,
            sealed: chain.any_shard().is_some(),
        }
    }

    /// The shape of what is decoded as a whole.
    pub(super) fn chunk(&self) -> &[u64] {
        &self.chunk
    }

    /// Bytes of what is decoded as a whole.
    pub(super) fn chunk_size(&self) -> u64 {
        bytes(self.chunk.iter().copied(), self.element)
    }

    /// Bytes that reading a part takes beyond the elements themselves: what is fetched of one
    /// object, and what a codec hands to the next.
    pub(super) fn need(&self, part: &[u64]) -> u64 {
        if part.contains(&0) {
            return 0;
        }
        let object = bytes(self.object.iter().copied(), self.element);
        let touched = (0..part.len()).map(|dimension| {
            let (chunk, part) = (self.chunk[dimension], part[dimension]);
            let aligned = part.is_multiple_of(chunk) || part >= self.shape[dimension];
            let count = part.div_ceil(chunk).saturating_add(u64::from(!aligned));
            count.saturating_mul(chunk).min(self.object[dimension])
        });
        // Joined ranges hold gaps: no longer than a chunk each, see `Options::reading`.
        let fetched = match self.partial {
            true => bytes(touched, self.element).saturating_mul(2).min(object),
            false => object,
        };
        let sealed = if self.sealed { self.chunk_size() } else { 0 };
        fetched.saturating_add(self.chunk_size().saturating_mul(2)).saturating_add(sealed)
    }
}

impl Writing {
    pub(super) fn of(array: &Array) -> Self {
        let outer = &array.layout().chain;
        let mut chain = outer.as_ref();
        while let Some(shard) = chain.any_shard() {
            chain = &shard.inner;
        }
        Self {
            object: array.chunk_shape().to_vec(),
            chunk: chain.spec.shape.clone(),
            element: array.element_size() as u64,
            sharded: outer.any_shard().is_some(),
        }
    }

    /// Bytes that writing a part takes beyond the elements themselves: what is encoded of one
    /// object until it is stored, and what one codec hands to the next.
    pub(super) fn need(&self, part: &[u64]) -> u64 {
        if part.contains(&0) {
            return 0;
        }
        let chunk = bytes(self.chunk.iter().copied(), self.element);
        if !self.sharded {
            return chunk.saturating_mul(4);
        }
        // Of a shard, inner chunks outside the array are not encoded.
        let inside =
            part.iter().zip(&self.object).zip(&self.chunk).map(|((&part, &object), &chunk)| {
                part.min(object).div_ceil(chunk).saturating_mul(chunk)
            });
        bytes(inside, self.element).saturating_mul(2).saturating_add(chunk.saturating_mul(3))
    }
}

/// Bytes that a part's elements take.
pub(super) fn elements(geometry: Geometry<'_>, part: &[u64]) -> u64 {
    bytes(part.iter().copied(), geometry.element)
}

/// A little more, for what encoders add and indexes take.
pub(super) fn with_margin(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 64)
}
