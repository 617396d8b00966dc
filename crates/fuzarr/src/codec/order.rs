//! Codecs in the order of a chain, and what shape, type and fill value become on their way through it.

use std::sync::Arc;

use super::{ArrayToArray, BytesToBytes, ChunkSpec, Codec, Effect};
use crate::error::{Error, Result};

/// A chain's codecs by kind, in the order that the specification asks for.
pub(super) struct Parts<'a> {
    pub(super) arrays: Vec<&'a Arc<dyn ArrayToArray>>,
    pub(super) body: &'a Codec,
    pub(super) bytes: Vec<&'a Arc<dyn BytesToBytes>>,
}

pub(super) fn parts(codecs: &[Codec]) -> Result<Parts<'_>> {
    let (mut arrays, mut body, mut bytes) = (Vec::new(), None, Vec::new());
    for codec in codecs {
        match codec {
            Codec::ArrayToArray(codec) if body.is_none() => arrays.push(codec),
            Codec::BytesToBytes(codec) if body.is_some() => bytes.push(codec),
            Codec::Bytes(_) | Codec::Sharding(_) | Codec::ArrayToBytes(_) if body.is_none() => {
                body = Some(codec);
            }
            _ => {
                return Err(Error::invalid_metadata(
                    "codecs must be: array→array codecs, one array→bytes codec, bytes→bytes codecs",
                ));
            }
        }
    }
    let body =
        body.ok_or_else(|| Error::invalid_metadata("the codecs lack an array→bytes codec"))?;
    Ok(Parts { arrays, body, bytes })
}

/// Elements of a chunk.
pub(super) fn elements(shape: &[u64]) -> Result<u64> {
    shape
        .iter()
        .try_fold(1_u64, |count, &extent| count.checked_mul(extent))
        .ok_or_else(|| Error::limit(format!("a chunk of shape {shape:?} has too many elements")))
}

/// C-order strides of `shape`, in elements. The shape's product must be known to fit.
pub(crate) fn c_strides(shape: &[u64]) -> Vec<u64> {
    let mut strides = vec![1; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension] * shape[dimension];
    }
    strides
}

/// What the array→array codecs come to.
pub(super) struct Arrays {
    /// Stored dimension `i` is the caller's dimension `order[i]`.
    pub(super) order: Vec<usize>,
    pub(super) transforms: Vec<(Arc<dyn ArrayToArray>, ChunkSpec)>,
    /// What the array→bytes codec is given.
    pub(super) stored: ChunkSpec,
    pub(super) opaque: bool,
}

pub(super) fn arrays(codecs: &[&Arc<dyn ArrayToArray>], spec: &ChunkSpec) -> Result<Arrays> {
    // An opaque codec needs C order, so permutations around it are passes of their own.
    let rank = spec.shape.len();
    let opaque = codecs.iter().any(|codec| codec.effect(rank) == Effect::Opaque);
    let mut order: Vec<usize> = (0..rank).collect();
    let mut transforms = Vec::new();
    let mut stored = spec.clone();
    for codec in codecs {
        let resolved = codec.resolve(&stored)?;
        match codec.effect(stored.shape.len()) {
            Effect::Permutes(permutation) if !opaque => {
                order = permutation
                    .iter()
                    .map(|&dimension| order.get(dimension).copied())
                    .collect::<Option<_>>()
                    .ok_or_else(|| Error::invalid_metadata("transpose: order of another rank"))?;
            }
            _ => transforms.push((Arc::clone(codec), stored)),
        }
        stored = resolved;
    }
    Ok(Arrays { order, transforms, stored, opaque })
}
