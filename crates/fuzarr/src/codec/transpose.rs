//! The `transpose` codec: dimensions in another order.

use serde_json::Value;

use super::{ArrayToArray, ChunkSpec, Effect, Elements, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "transpose";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    Given(Vec<usize>),
    /// The old `"C"`: unchanged, for any number of dimensions.
    Same,
    /// The old `"F"`: reversed, for any number of dimensions.
    Reversed,
}

/// The `transpose` codec of the Zarr v3 core ("Transpose codec").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transpose {
    order: Order,
}

impl Transpose {
    /// The codec: dimension `i` of the encoded array is dimension `order[i]` of the decoded one.
    ///
    /// # Errors
    /// `InvalidMetadata` if `order` is no permutation.
    pub fn new(order: Vec<usize>) -> Result<Self> {
        let mut seen = vec![false; order.len()];
        let fresh = |dimension: &usize| {
            seen.get_mut(*dimension).is_some_and(|seen| !std::mem::replace(seen, true))
        };
        if order.iter().all(fresh) {
            return Ok(Self { order: Order::Given(order) });
        }
        let message = format!("order {order:?} is no permutation");
        Err(Error::invalid_metadata(message).with("codec", NAME))
    }

    /// The codec that `extension` configures. The strings `"C"` and `"F"` of earlier drafts are
    /// understood.
    ///
    /// # Errors
    /// `InvalidMetadata` if `order` is missing or no permutation.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["order"])?;
            match extension.configuration.get("order") {
                Some(Value::String(order)) if order == "C" => Ok(Self { order: Order::Same }),
                Some(Value::String(order)) if order == "F" => Ok(Self { order: Order::Reversed }),
                _ => {
                    let order = extension
                        .shape("order")?
                        .ok_or_else(|| Error::invalid_metadata("`order` is missing"))?;
                    Self::new(order.into_iter().map(bound::in_memory).collect())
                }
            }
        };
        parse().map_err(|error| error.with("codec", NAME))
    }

    /// The order for chunks of `rank` dimensions.
    fn order(&self, rank: usize) -> Result<Vec<usize>> {
        match &self.order {
            Order::Same => Ok((0..rank).collect()),
            Order::Reversed => Ok((0..rank).rev().collect()),
            Order::Given(order) if order.len() == rank => Ok(order.clone()),
            Order::Given(order) => {
                let message = format!("order {order:?} does not fit an array of {rank} dimensions");
                Err(Error::invalid_metadata(message).with("codec", NAME))
            }
        }
    }
}

/// Moves elements of `slot` bytes: the result, in C order of `shape`, has at position `p` the
/// element at Σ `p[i]` × `strides[i]`.
fn gather(slots: &[u8], slot: usize, shape: &[usize], strides: &[usize]) -> Result<Vec<u8>> {
    let mut moved = Vec::new();
    bound::reserve(&mut moved, slots.len())?;
    let mut position = vec![0_usize; shape.len()];
    let mut place = 0;
    while moved.len() < slots.len() {
        let element = slots.get(place * slot..).and_then(|rest| rest.get(..slot));
        moved.extend_from_slice(element.ok_or_else(wrong_size)?);
        for dimension in (0..shape.len()).rev() {
            position[dimension] += 1;
            place += strides[dimension];
            if position[dimension] < shape[dimension] {
                break;
            }
            place -= strides[dimension] * shape[dimension];
            position[dimension] = 0;
        }
    }
    Ok(moved)
}

/// Elements from one position to the next along each dimension of a C-ordered array; of an empty
/// array, whose other extents may be anything, no matter what.
fn c_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension].wrapping_mul(shape[dimension]);
    }
    strides
}

#[cold]
fn wrong_size() -> Error {
    Error::invalid_argument("not as many elements as the chunk has").with("codec", NAME)
}

/// The shape as numbers of elements in memory, if `elements` are as many.
fn checked_shape(decoded: &ChunkSpec, elements: &Elements) -> Result<Vec<usize>> {
    let shape: Vec<usize> = decoded.shape.iter().copied().map(bound::in_memory).collect();
    let slot = decoded.data_type.layout().slot();
    let size = shape.iter().try_fold(slot, |size, extent| size.checked_mul(*extent));
    if size == Some(elements.slots.len()) { Ok(shape) } else { Err(wrong_size()) }
}

impl ArrayToArray for Transpose {
    fn effect(&self, rank: usize) -> Effect {
        Effect::Permutes(match &self.order {
            Order::Given(order) => order.clone(),
            Order::Same => (0..rank).collect(),
            Order::Reversed => (0..rank).rev().collect(),
        })
    }

    fn resolve(&self, decoded: &ChunkSpec) -> Result<ChunkSpec> {
        let order = self.order(decoded.shape.len())?;
        let shape = order.iter().filter_map(|dimension| decoded.shape.get(*dimension)).copied();
        Ok(ChunkSpec { shape: shape.collect(), ..decoded.clone() })
    }

    fn encode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        if self.order == Order::Same {
            return Ok(elements.clone());
        }
        let shape = checked_shape(decoded, elements)?;
        let order = self.order(shape.len())?;
        let strides = c_strides(&shape);
        let permuted = |values: &[usize]| -> Vec<usize> {
            order.iter().map(|dimension| values[*dimension]).collect()
        };
        let slot = decoded.data_type.layout().slot();
        let slots = gather(&elements.slots, slot, &permuted(&shape), &permuted(&strides))?;
        Ok(Elements { slots, heap: elements.heap.clone() })
    }

    fn decode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        if self.order == Order::Same {
            return Ok(elements.clone());
        }
        let shape = checked_shape(decoded, elements)?;
        let order = self.order(shape.len())?;
        let encoded_shape: Vec<usize> = order.iter().map(|dimension| shape[*dimension]).collect();
        let mut strides = vec![0; shape.len()];
        for (dimension, stride) in order.iter().zip(c_strides(&encoded_shape)) {
            strides[*dimension] = stride;
        }
        let slots = gather(&elements.slots, decoded.data_type.layout().slot(), &shape, &strides)?;
        Ok(Elements { slots, heap: elements.heap.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DataType;
    use crate::error::Kind;
    use serde_json::json;

    fn spec(shape: &[u64], data_type: DataType) -> ChunkSpec {
        ChunkSpec { shape: shape.to_vec(), data_type, fill: vec![0, 0] }
    }

    fn numbers(values: &[u16]) -> Elements {
        let slots = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Elements { slots, heap: Vec::new() }
    }

    fn configured(order: Value) -> Transpose {
        Transpose::from_extension(&Extension::new("transpose").with("order", order)).unwrap()
    }

    #[test]
    fn known_transposes() {
        // numpy.arange(6).reshape(1, 2, 3).transpose(order)
        let spec = spec(&[1, 2, 3], DataType::UInt16);
        let elements = numbers(&[0, 1, 2, 3, 4, 5]);
        for (order, shape, expected) in [
            (json!([0, 1, 2]), [1, 2, 3], [0, 1, 2, 3, 4, 5]),
            (json!([2, 0, 1]), [3, 1, 2], [0, 3, 1, 4, 2, 5]),
            (json!([1, 2, 0]), [2, 3, 1], [0, 1, 2, 3, 4, 5]),
            (json!("C"), [1, 2, 3], [0, 1, 2, 3, 4, 5]),
            (json!("F"), [3, 2, 1], [0, 3, 1, 4, 2, 5]),
        ] {
            let codec = configured(order.clone());
            assert_eq!(codec.resolve(&spec).unwrap().shape, shape, "{order}");
            let encoded = codec.encode(&spec, &elements).unwrap();
            assert_eq!(encoded, numbers(&expected), "{order}");
            assert_eq!(codec.decode(&spec, &encoded).unwrap(), elements, "{order}");
        }
    }

    #[test]
    fn decoding_undoes_encoding() {
        let spec = spec(&[2, 3, 4, 5], DataType::UInt16);
        let values: Vec<u16> = (0..120).collect();
        for order in [[3, 0, 2, 1], [1, 2, 3, 0], [2, 3, 1, 0]] {
            let codec = Transpose::new(order.to_vec()).unwrap();
            assert_eq!(codec.effect(order.len()), Effect::Permutes(order.to_vec()));
            let encoded = codec.encode(&spec, &numbers(&values)).unwrap();
            assert_ne!(encoded, numbers(&values));
            assert_eq!(codec.decode(&spec, &encoded).unwrap(), numbers(&values));
        }
    }

    #[test]
    fn slots_of_variable_elements_move_and_the_heap_stays() {
        let spec = spec(&[1, 2], DataType::String);
        let elements = Elements { slots: (0..32).collect(), heap: b"heap".to_vec() };
        let codec = Transpose::new(vec![1, 0]).unwrap();
        assert_eq!(codec.encode(&spec, &elements).unwrap(), elements);
    }

    #[test]
    fn empty_and_scalar_chunks() {
        let empty = spec(&[0, u64::MAX, u64::MAX], DataType::UInt16);
        let codec = Transpose::new(vec![1, 2, 0]).unwrap();
        assert_eq!(codec.encode(&empty, &Elements::default()).unwrap(), Elements::default());
        let scalar = spec(&[], DataType::UInt16);
        let codec = Transpose::new(vec![]).unwrap();
        assert_eq!(codec.encode(&scalar, &numbers(&[7])).unwrap(), numbers(&[7]));
    }

    #[test]
    fn misfits_are_errors() {
        assert_eq!(Transpose::new(vec![0, 0]).unwrap_err().kind(), Kind::InvalidMetadata);
        assert_eq!(Transpose::new(vec![1]).unwrap_err().kind(), Kind::InvalidMetadata);
        let codec = Transpose::new(vec![1, 0]).unwrap();
        let three = spec(&[1, 1, 1], DataType::UInt16);
        assert_eq!(codec.resolve(&three).unwrap_err().kind(), Kind::InvalidMetadata);
        let two = spec(&[2, 2], DataType::UInt16);
        let error = codec.encode(&two, &numbers(&[1, 2, 3])).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
    }
}
