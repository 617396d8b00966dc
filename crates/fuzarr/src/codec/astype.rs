//! The `astype` codec of numcodecs: numbers of one type stored as another.

use super::number::{Loss, cast, check_view, type_setting};
use super::{ArrayToArray, ChunkSpec, Effect, Elements};
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "astype";

/// The `astype` codec of numcodecs.
///
/// Reals lose their digits, as NumPy has it. A number that the stored type cannot hold at all is an
/// error, but for the fill value, with which chunks are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsType {
    data_type: Option<DataType>,
    stored: DataType,
}

impl AsType {
    /// The codec that `extension` configures: `encode_dtype`, and `decode_dtype`, which is the
    /// array's type unless given.
    ///
    /// # Errors
    /// `InvalidMetadata` for a missing, wrong or unknown setting, `Unsupported` for unknown types.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["encode_dtype", "decode_dtype"])?;
            let stored = type_setting(extension, "encode_dtype")?
                .ok_or_else(|| Error::invalid_metadata("`encode_dtype` is missing"))?;
            Ok(Self { data_type: type_setting(extension, "decode_dtype")?, stored })
        };
        parse().map_err(|error: Error| error.with("codec", NAME))
    }

    /// What elements are seen as, and what they are stored as.
    fn types(&self, decoded: &ChunkSpec) -> (DataType, DataType) {
        (self.data_type.unwrap_or(decoded.data_type), self.stored)
    }

    fn encoded(&self, decoded: &ChunkSpec, slots: &[u8]) -> Result<Vec<u8>> {
        let (data_type, stored) = self.types(decoded);
        cast(data_type, stored, slots, Loss::Refused { but_for: &decoded.fill })
    }
}

impl ArrayToArray for AsType {
    fn effect(&self, _rank: usize) -> Effect {
        Effect::Elementwise
    }

    fn resolve(&self, decoded: &ChunkSpec) -> Result<ChunkSpec> {
        let resolve = || {
            check_view(decoded, self.types(decoded).0)?;
            let fill = self.encoded(decoded, &decoded.fill)?;
            Ok(ChunkSpec { data_type: self.stored, fill, ..decoded.clone() })
        };
        resolve().map_err(|error: Error| error.with("codec", NAME))
    }

    fn encode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        let slots = self.encoded(decoded, &elements.slots);
        let slots = slots.map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }

    fn decode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements> {
        let (data_type, stored) = self.types(decoded);
        let slots = cast(stored, data_type, &elements.slots, Loss::Wraps);
        let slots = slots.map_err(|error| error.with("codec", NAME))?;
        Ok(Elements { slots, heap: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::number::slots;
    use super::*;
    use crate::error::Kind;

    #[test]
    fn numbers_that_do_not_fit_are_errors() {
        let codec =
            AsType::from_extension(&Extension::new(NAME).with("encode_dtype", "|i1")).unwrap();
        let fill = slots(&[300_i16]);
        let spec = ChunkSpec { shape: vec![1], data_type: DataType::Int16, fill };
        assert_eq!(codec.resolve(&spec).unwrap().data_type, DataType::Int8);
        let number = |number: i16| {
            codec.encode(&spec, &Elements { slots: slots(&[number]), heap: Vec::new() })
        };
        assert_eq!(number(-5).unwrap().slots, [251]);
        assert_eq!(number(300).unwrap().slots, [44]);
        assert_eq!(number(301).unwrap_err().kind(), Kind::InvalidArgument);
        let text = ChunkSpec { data_type: DataType::String, ..spec.clone() };
        assert_eq!(codec.resolve(&text).unwrap_err().kind(), Kind::Unsupported);
    }
}
