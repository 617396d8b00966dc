//! A codec of the caller's own that changes the data type: it holds the threading of shape, type
//! and fill value through outer, inner and nested chains.

use std::sync::Arc;

use fuzarr::codec::{ArrayToArray, ChunkSpec, Codec, Effect, Elements, Registry};
use fuzarr::dtype::DataType;
use fuzarr::{Error, Result};

/// The name of the type that `test.widen` makes of a type, if any.
pub(crate) fn wider(name: &str) -> Option<&'static str> {
    match name {
        "uint8" => Some("uint16"),
        "int16" => Some("int32"),
        "int32" => Some("int64"),
        _ => None,
    }
}

#[derive(Debug)]
struct Widen;

fn convert<const N: usize, const M: usize>(
    bytes: &[u8],
    change: impl Fn([u8; N]) -> [u8; M],
) -> Vec<u8> {
    bytes.as_chunks::<N>().0.iter().flat_map(|&element| change(element)).collect()
}

fn elements(slots: Vec<u8>) -> Elements {
    Elements { slots, heap: Vec::new() }
}

impl ArrayToArray for Widen {
    fn effect(&self, _rank: usize) -> Effect {
        Effect::Elementwise
    }

    fn resolve(&self, decoded: &ChunkSpec) -> Result<ChunkSpec> {
        let data_type = match decoded.data_type {
            DataType::UInt8 => DataType::UInt16,
            DataType::Int16 => DataType::Int32,
            DataType::Int32 => DataType::Int64,
            _ => return Err(Error::unsupported("test.widen: no wider type")),
        };
        let fill = self.encode(decoded, &elements(decoded.fill.clone()))?.slots;
        Ok(ChunkSpec { shape: decoded.shape.clone(), data_type, fill })
    }

    fn encode(&self, decoded: &ChunkSpec, input: &Elements) -> Result<Elements> {
        let bytes = &input.slots;
        Ok(elements(match decoded.data_type {
            DataType::UInt8 => convert(bytes, |[byte]: [u8; 1]| u16::from(byte).to_ne_bytes()),
            DataType::Int16 => convert(bytes, |b| i32::from(i16::from_ne_bytes(b)).to_ne_bytes()),
            _ => convert(bytes, |b| i64::from(i32::from_ne_bytes(b)).to_ne_bytes()),
        }))
    }

    fn decode(&self, decoded: &ChunkSpec, input: &Elements) -> Result<Elements> {
        let bytes = &input.slots;
        Ok(elements(match decoded.data_type {
            DataType::UInt8 => convert(bytes, |b| (u16::from_ne_bytes(b) as u8).to_ne_bytes()),
            DataType::Int16 => convert(bytes, |b| (i32::from_ne_bytes(b) as i16).to_ne_bytes()),
            _ => convert(bytes, |b| (i64::from_ne_bytes(b) as i32).to_ne_bytes()),
        }))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    registry.register("test.widen", |_, _| Ok(Codec::ArrayToArray(Arc::new(Widen))));
}
