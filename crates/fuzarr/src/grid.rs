//! Where chunks are: how an array is cut into them, and what they are called in a store.
//!
//! Implements "Regular grids" and "Chunk key encoding" of the Zarr v3 core specification.

use crate::error::{Error, Result};
use crate::metadata::Extension;

/// The largest length of a dimension, and the most elements of a chunk: positions and differences of
/// them fit an `i64` too.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// The `regular` grid: all chunks have one shape, those at the upper edges overhang the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegularGrid {
    /// Elements of a chunk along each dimension, each at least 1.
    pub chunk_shape: Vec<u64>,
}

impl RegularGrid {
    /// A grid of chunks of `chunk_shape` over an array of `shape`.
    ///
    /// # Errors
    /// `InvalidMetadata` if the ranks differ or a chunk has no elements, `Limit` if a dimension or
    /// the elements of a chunk exceed `i64::MAX`.
    pub fn new(chunk_shape: Vec<u64>, shape: &[u64]) -> Result<Self> {
        if chunk_shape.len() != shape.len() {
            return Err(Error::invalid_metadata(format!(
                "the chunks have {} dimensions, the array has {}",
                chunk_shape.len(),
                shape.len()
            )));
        }
        if chunk_shape.contains(&0) {
            return Err(Error::invalid_metadata("a chunk must have at least 1 element"));
        }
        if shape.iter().any(|&length| length > MAX_LENGTH) {
            return Err(Error::limit(format!("a dimension is longer than {MAX_LENGTH}")));
        }
        let elements = chunk_shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        if elements.is_none_or(|elements| elements > MAX_LENGTH) {
            return Err(Error::limit(format!("a chunk has more than {MAX_LENGTH} elements")));
        }
        Ok(Self { chunk_shape })
    }

    /// The grid that `extension` describes, of an array of `shape`. A chunk length of 0 along a
    /// dimension of length 0, which zarr-python used to write, is read as 1: there are no chunks.
    ///
    /// # Errors
    /// `Unsupported` for a grid that is not regular, `InvalidMetadata` for a malformed
    /// configuration, and those of [`new`](Self::new).
    pub fn from_extension(extension: &Extension, shape: &[u64]) -> Result<Self> {
        if extension.name != "regular" {
            return Err(Error::unsupported(format!(
                "not supported: chunk grid `{}`",
                extension.name
            )));
        }
        extension.allow_only(&["chunk_shape"])?;
        let Some(mut chunk_shape) = extension.shape("chunk_shape")? else {
            return Err(Error::invalid_metadata("the chunk grid has no `chunk_shape`"));
        };
        for (chunk, length) in chunk_shape.iter_mut().zip(shape) {
            if (*chunk, *length) == (0, 0) {
                *chunk = 1;
            }
        }
        Self::new(chunk_shape, shape)
    }

    /// The grid as metadata describes it.
    #[must_use]
    pub fn to_extension(&self) -> Extension {
        Extension::new("regular").with("chunk_shape", self.chunk_shape.as_slice())
    }

    /// Chunks along each dimension of an array of `shape`; none along a dimension of length 0.
    #[must_use]
    pub fn chunks_per_dimension(&self, shape: &[u64]) -> Vec<u64> {
        shape.iter().zip(&self.chunk_shape).map(|(length, chunk)| length.div_ceil(*chunk)).collect()
    }
}

/// What stands between the numbers of a chunk key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// `/`: dimensions become folders.
    Slash,
    /// `.`: all chunks of an array are in one folder.
    Dot,
}

impl Separator {
    /// The separator as it is in keys.
    #[must_use]
    pub fn as_char(self) -> char {
        match self {
            Self::Slash => '/',
            Self::Dot => '.',
        }
    }
}

/// How the store key of a chunk is made from its grid coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKeyEncoding {
    /// `default`: `c/1/2`; `c` for the chunk of a scalar.
    Default {
        /// `/` unless the metadata says otherwise.
        separator: Separator,
    },
    /// `v2`: `1.2`; `0` for the chunk of a scalar.
    V2 {
        /// `.` unless the metadata says otherwise.
        separator: Separator,
    },
}

impl Default for ChunkKeyEncoding {
    fn default() -> Self {
        Self::Default { separator: Separator::Slash }
    }
}

impl ChunkKeyEncoding {
    /// The encoding that `extension` describes.
    ///
    /// # Errors
    /// `Unsupported` for an unknown name, `InvalidMetadata` for a malformed configuration.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let name = extension.name.as_str();
        if !matches!(name, "default" | "v2") {
            return Err(Error::unsupported(format!("not supported: chunk key encoding `{name}`")));
        }
        extension.allow_only(&["separator"])?;
        let separator = match extension.string("separator")? {
            None => None,
            Some("/") => Some(Separator::Slash),
            Some(".") => Some(Separator::Dot),
            Some(_) => {
                return Err(Error::invalid_metadata(format!(
                    "`{name}`: `separator` must be \"/\" or \".\""
                )));
            }
        };
        Ok(if name == "v2" {
            Self::V2 { separator: separator.unwrap_or(Separator::Dot) }
        } else {
            Self::Default { separator: separator.unwrap_or(Separator::Slash) }
        })
    }

    /// The encoding as metadata describes it, the separator always said.
    #[must_use]
    pub fn to_extension(self) -> Extension {
        let (name, separator) = match self {
            Self::Default { separator } => ("default", separator),
            Self::V2 { separator } => ("v2", separator),
        };
        Extension::new(name).with("separator", separator.as_char().to_string())
    }

    /// Replaces `key` by the key of the chunk at `coordinates`. `prefix` is what the keys of the
    /// array start with, empty or ending in `/`. Allocates only if `key` has to grow.
    pub fn write_key(self, prefix: &str, coordinates: &[u64], key: &mut String) {
        key.clear();
        key.push_str(prefix);
        match self {
            Self::Default { separator } => {
                key.push('c');
                for &coordinate in coordinates {
                    key.push(separator.as_char());
                    push_decimal(coordinate, key);
                }
            }
            Self::V2 { separator } => {
                let Some((&first, rest)) = coordinates.split_first() else {
                    return key.push('0');
                };
                push_decimal(first, key);
                for &coordinate in rest {
                    key.push(separator.as_char());
                    push_decimal(coordinate, key);
                }
            }
        }
    }

    /// The coordinates of the chunk that `key`, given without the array's prefix, is the key of;
    /// `None` if no chunk of an array of `rank` dimensions has it.
    #[must_use]
    pub fn parse_key(self, key: &str, rank: usize) -> Option<Vec<u64>> {
        let (numbers, separator) = match self {
            Self::V2 { .. } if rank == 0 => return (key == "0").then(Vec::new),
            Self::Default { .. } if rank == 0 => return (key == "c").then(Vec::new),
            Self::V2 { separator } => (key, separator),
            Self::Default { separator } => {
                (key.strip_prefix('c')?.strip_prefix(separator.as_char())?, separator)
            }
        };
        // A key may hold more numbers than there are dimensions: stop at the first beyond them.
        let mut coordinates = Vec::with_capacity(rank);
        for number in numbers.split(separator.as_char()) {
            if coordinates.len() == rank {
                return None;
            }
            coordinates.push(parse_decimal(number)?);
        }
        (coordinates.len() == rank).then_some(coordinates)
    }
}

/// Appends the decimal digits of `number`.
fn push_decimal(number: u64, text: &mut String) {
    let mut power = 10u64.pow(number.checked_ilog10().unwrap_or(0));
    while power > 0 {
        // At most 9: `power` starts at the number's own magnitude.
        let digit = u8::try_from(number / power % 10).unwrap_or(0);
        text.push(char::from(b'0' + digit));
        power /= 10;
    }
}

/// The number that `digits` are the canonical form of: no sign, no leading zero.
fn parse_decimal(digits: &str) -> Option<u64> {
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    if canonical { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    const ENCODINGS: [ChunkKeyEncoding; 4] = [
        ChunkKeyEncoding::Default { separator: Separator::Slash },
        ChunkKeyEncoding::Default { separator: Separator::Dot },
        ChunkKeyEncoding::V2 { separator: Separator::Slash },
        ChunkKeyEncoding::V2 { separator: Separator::Dot },
    ];

    fn grid(chunk_shape: serde_json::Value, shape: &[u64]) -> Result<RegularGrid> {
        let extension = Extension::new("regular").with("chunk_shape", chunk_shape);
        RegularGrid::from_extension(&extension, shape)
    }

    fn key(encoding: ChunkKeyEncoding, prefix: &str, coordinates: &[u64]) -> String {
        let mut key = String::from("left from before");
        encoding.write_key(prefix, coordinates, &mut key);
        key
    }

    #[test]
    fn chunks_are_counted_upward() {
        let shape = [10, 0, 1, i64::MAX as u64];
        let counted = grid(json!([3, 5, 9, 2]), &shape).unwrap().chunks_per_dimension(&shape);
        assert_eq!(counted, [4, 0, 1, 1 << 62]);
        assert!(grid(json!([]), &[]).unwrap().chunks_per_dimension(&[]).is_empty());
    }

    #[test]
    fn a_chunk_length_of_zero_is_for_empty_dimensions() {
        assert_eq!(grid(json!([0, 2]), &[0, 4]).unwrap().chunk_shape, [1, 2]);
        assert_eq!(grid(json!([0]), &[4]).unwrap_err().kind(), Kind::InvalidMetadata);
    }

    #[test]
    fn bad_grids_are_typed_errors() {
        for (chunk_shape, shape, kind) in [
            (json!([1]), vec![1, 1], Kind::InvalidMetadata),
            (json!([]), vec![1], Kind::InvalidMetadata),
            (json!([-1]), vec![1], Kind::InvalidMetadata),
            (json!([1.0]), vec![1], Kind::InvalidMetadata),
            (json!([[1]]), vec![1], Kind::InvalidMetadata),
            (json!(1), vec![1], Kind::InvalidMetadata),
            (json!([1]), vec![1 << 63], Kind::Limit),
            (json!([u64::MAX]), vec![1], Kind::Limit),
            (json!([1u64 << 32, 1u64 << 31]), vec![1, 1], Kind::Limit),
            (json!([u64::MAX, u64::MAX]), vec![1, 1], Kind::Limit),
        ] {
            assert_eq!(grid(chunk_shape, &shape).unwrap_err().kind(), kind);
        }
        let regular = Extension::new("regular");
        for (extension, kind) in [
            (regular.clone(), Kind::InvalidMetadata),
            (regular.with("chunk_shape", vec![1]).with("x", 1), Kind::InvalidMetadata),
            (Extension::new("rectilinear"), Kind::Unsupported),
        ] {
            assert_eq!(RegularGrid::from_extension(&extension, &[1]).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn grids_are_written_as_read() {
        let grid = grid(json!([2, 3]), &[4, 4]).unwrap();
        assert_eq!(RegularGrid::from_extension(&grid.to_extension(), &[4, 4]).unwrap(), grid);
    }

    #[test]
    fn encodings_have_their_own_separators() {
        let read = |extension: &Extension| ChunkKeyEncoding::from_extension(extension);
        let default = Extension::new("default");
        let v2 = Extension::new("v2");
        assert_eq!(read(&default).unwrap(), ENCODINGS[0]);
        assert_eq!(read(&v2).unwrap(), ENCODINGS[3]);
        for encoding in ENCODINGS {
            assert_eq!(read(&encoding.to_extension()).unwrap(), encoding);
        }
        for separator in [json!("-"), json!(""), json!(1)] {
            let error = read(&default.clone().with("separator", separator)).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidMetadata);
        }
        assert_eq!(read(&v2.with("suffix", "")).unwrap_err().kind(), Kind::InvalidMetadata);
        assert_eq!(read(&Extension::new("fanout")).unwrap_err().kind(), Kind::Unsupported);
    }

    #[test]
    fn keys_of_the_specification() {
        let keys = ENCODINGS.map(|encoding| key(encoding, "a/", &[1, 0, 23]));
        assert_eq!(keys, ["a/c/1/0/23", "a/c.1.0.23", "a/1/0/23", "a/1.0.23"]);
        assert_eq!(ENCODINGS.map(|encoding| key(encoding, "", &[])), ["c", "c", "0", "0"]);
        assert_eq!(key(ENCODINGS[3], "", &[u64::MAX]), "18446744073709551615");
    }

    #[test]
    fn only_canonical_keys_are_chunks() {
        let [slash, dot, v2_slash, v2_dot] = ENCODINGS;
        for (encoding, key, rank) in [
            (slash, "c", 1),
            (slash, "c/", 1),
            (slash, "c/01", 1),
            (slash, "c/+1", 1),
            (slash, "c/-1", 1),
            (slash, "c/1/2", 1),
            (slash, "c/1", 2),
            (slash, "c.1", 1),
            (slash, "c/1/", 1),
            (slash, "c/18446744073709551616", 1),
            (slash, "c/٣", 1),
            (slash, "zarr.json", 0),
            (slash, "c/0", 0),
            (dot, "c/1", 1),
            (v2_slash, "", 1),
            (v2_slash, "1.2", 2),
            (v2_dot, "1/2", 2),
            (v2_dot, "c", 0),
            (v2_dot, "", 0),
            (v2_dot, "00", 1),
        ] {
            assert_eq!(encoding.parse_key(key, rank), None, "{key}");
        }
    }

    proptest! {
        #[test]
        fn keys_round_trip(
            coordinates in prop::collection::vec(
                any::<u64>().prop_flat_map(|n| (0u32..64).prop_map(move |shift| n >> shift)), 0..6),
            which in 0usize..4,
        ) {
            let encoding = ENCODINGS[which];
            let written = key(encoding, "", &coordinates);
            let mut numbers: Vec<_> = coordinates.iter().map(ToString::to_string).collect();
            let separator = if which % 2 == 0 { "/" } else { "." };
            if which < 2 {
                numbers.insert(0, "c".into());
            } else if numbers.is_empty() {
                numbers.push("0".into());
            }
            prop_assert_eq!(&written, &numbers.join(separator));
            prop_assert_eq!(encoding.parse_key(&written, coordinates.len()), Some(coordinates));
        }

        #[test]
        fn what_parses_is_what_would_be_written(
            text in "(c[/.])?[0-9+/.]{0,8}", which in 0usize..4, rank in 0usize..4,
        ) {
            if let Some(coordinates) = ENCODINGS[which].parse_key(&text, rank) {
                prop_assert_eq!(key(ENCODINGS[which], "", &coordinates), text);
            }
        }
    }
}
