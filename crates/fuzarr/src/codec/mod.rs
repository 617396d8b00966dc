//! Codecs: pure functions from bytes to bytes and from arrays to arrays.
//!
//! Three traits after the three kinds of the specification ("Codecs" of the Zarr v3 core). A codec
//! does no I/O, keeps no state that a caller could see, and never trusts encoded bytes.

mod astype;
mod bitround;
mod blosc;
mod bound;
mod bz2;
mod chain;
mod checksum;
#[cfg(test)]
mod conformance;
mod crc32c;
mod deflate;
mod delta;
mod elements;
mod fixedscaleoffset;
mod gzip;
mod lz4;
mod lzma;
mod number;
mod numcodecs;
mod order;
mod quantize;
mod registry;
pub mod short;
mod shuffle;
mod stream;
mod transpose;
mod vlen;
mod zlib;
mod zstd;

pub use astype::AsType;
pub use bitround::BitRound;
pub use blosc::{Blosc, Compressor as BloscCompressor, Shuffle as BloscShuffle};
pub use bz2::Bz2;
pub use chain::Prepared;
pub(crate) use chain::{PreparedShard, Stages, wrong_length};
pub(crate) use checksum::crc32;
pub use checksum::{Algorithm as ChecksumAlgorithm, Checksum, Location as ChecksumLocation};
pub use crc32c::Crc32c;
pub(crate) use deflate::inflate;
pub use delta::Delta;
pub use elements::Elements;
pub(crate) use elements::{in_heap, slot, slots};
pub use fixedscaleoffset::FixedScaleOffset;
pub use gzip::Gzip;
pub use lz4::Lz4;
pub use lzma::Lzma;
pub(crate) use order::c_strides;
pub use quantize::Quantize;
pub use registry::{Nested, ParsedChain, Registry};
pub use shuffle::Shuffle;
pub use transpose::Transpose;
pub use vlen::{MOST_VARIABLE, Vlen};
pub use zlib::Zlib;
pub use zstd::Zstd;

pub use crate::dtype::Endian;

use std::fmt::{self, Debug};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use crate::dtype::DataType;
use crate::error::{Error, Result, no_such};

/// What is known of a number of bytes before they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Exactly this many.
    Exact(u64),
    /// At most this many; more is damage.
    AtMost(u64),
}

impl Size {
    /// The largest number of bytes that is allowed.
    #[must_use]
    pub fn limit(self) -> u64 {
        match self {
            Self::Exact(size) | Self::AtMost(size) => size,
        }
    }
}

/// What an array codec is bound to: the chunk it is given when encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSpec {
    /// Elements along each dimension.
    pub shape: Vec<u64>,
    /// The type of the elements.
    pub data_type: DataType,
    /// The fill value: the bytes of one fixed element in native order, or those of a variable one.
    pub fill: Vec<u8>,
}

/// How an array→array codec treats positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Only moves elements: dimension `i` of the encoded array is dimension `order[i]` of the
    /// decoded one. Never executed: plans fold it into strides.
    Permutes(Vec<usize>),
    /// Changes each element by itself and leaves it in its place.
    Elementwise,
    /// Needs the whole chunk in C order.
    Opaque,
}

/// An array→array codec.
pub trait ArrayToArray: Debug + Send + Sync {
    /// How the codec treats positions of chunks of `rank` dimensions. Plans rely on it.
    fn effect(&self, rank: usize) -> Effect;

    /// The spec of what [`encode`](Self::encode) makes of a chunk of `decoded`: shape, type and
    /// fill value after the codec.
    ///
    /// # Errors
    /// `InvalidMetadata` or `Unsupported` if the codec cannot be applied to such a chunk.
    fn resolve(&self, decoded: &ChunkSpec) -> Result<ChunkSpec>;

    /// Encodes `elements`, a chunk of `decoded` (for an elementwise codec: any number of its
    /// elements, in any order).
    ///
    /// # Errors
    /// `InvalidArgument` if an element has no encoded form.
    fn encode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements>;

    /// Undoes [`encode`](Self::encode).
    ///
    /// # Errors
    /// `Corrupt` if an element has no decoded form.
    fn decode(&self, decoded: &ChunkSpec, elements: &Elements) -> Result<Elements>;
}

/// An array→bytes codec other than the built-in `bytes` and `sharding_indexed`, which plans know.
pub trait ArrayToBytes: Debug + Send + Sync {
    /// How many bytes a chunk of `decoded` takes when encoded.
    ///
    /// # Errors
    /// `InvalidMetadata` or `Unsupported` if the codec cannot be applied to such a chunk.
    fn encoded_size(&self, decoded: &ChunkSpec) -> Result<Size>;

    /// Appends the encoding of `elements`, a chunk of `decoded`, to `encoded`.
    ///
    /// # Errors
    /// `InvalidArgument` if an element has no encoded form.
    fn encode(&self, decoded: &ChunkSpec, elements: &Elements, encoded: &mut Vec<u8>)
    -> Result<()>;

    /// Undoes [`encode`](Self::encode).
    ///
    /// # Errors
    /// `Corrupt` if `encoded` is not what a chunk of `decoded` encodes to.
    fn decode(&self, decoded: &ChunkSpec, encoded: &[u8]) -> Result<Elements>;
}

/// A bytes→bytes codec: compression, checksums.
pub trait BytesToBytes: Debug + Send + Sync {
    /// The codec's name, for errors.
    fn name(&self) -> &'static str;

    /// How many bytes the encoding of `decoded` bytes takes: what is accepted when decoding, so
    /// generous bounds where encoders differ.
    fn encoded_size(&self, decoded: Size) -> Size;

    /// Appends the encoding of `decoded` to `encoded`.
    ///
    /// # Errors
    /// `InvalidArgument` if `decoded` is larger than the format can hold.
    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()>;

    /// As [`encode`](Self::encode), on up to `threads` threads if there is work for them, while this one waits.
    /// What is appended does not depend on how many there are.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encode_on(&self, threads: usize, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        let _ = threads;
        self.encode(decoded, encoded)
    }

    /// Decodes into `decoded`, which must be filled exactly.
    ///
    /// # Errors
    /// `Corrupt` if `encoded` is damaged or decodes to fewer or more bytes.
    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()>;

    /// Decodes bytes of unknown number, at most `limit`, replacing what `decoded` held. Memory is
    /// taken as output appears, never on the word of a header alone.
    ///
    /// # Errors
    /// `Corrupt` if `encoded` is damaged or decodes to more than `limit` bytes.
    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()>;

    /// Decodes bytes `wanted` of the `size` that `encoded` decodes to, to the start of `decoded`, if that takes
    /// less than all of them do. `false` if it does not, if what is looked at is damaged, and if only all of it
    /// tells whether it is: then [`decode_into`](Self::decode_into) has to say.
    fn decode_part(
        &self,
        encoded: &[u8],
        size: usize,
        wanted: Range<usize>,
        decoded: &mut Vec<u8>,
    ) -> bool {
        let _ = (encoded, size, wanted, decoded);
        false
    }

    /// For a codec that only adds to its input: where in the encoded bytes the decoded ones are,
    /// after checking them. `None` for all others.
    fn view(&self, encoded: &[u8]) -> Option<Result<Range<usize>>> {
        let _ = encoded;
        None
    }
}

/// A codec as metadata names it, of any kind.
#[derive(Debug, Clone)]
pub enum Codec {
    /// An array→array codec.
    ArrayToArray(Arc<dyn ArrayToArray>),
    /// The `bytes` codec; whether elements are stored in big-endian order, or `None` if the
    /// metadata does not say.
    Bytes(Option<Endian>),
    /// The `sharding_indexed` codec.
    Sharding(Box<Sharding>),
    /// Another array→bytes codec.
    ArrayToBytes(Arc<dyn ArrayToBytes>),
    /// A bytes→bytes codec.
    BytesToBytes(Arc<dyn BytesToBytes>),
}

/// The configuration of `sharding_indexed`.
#[derive(Debug, Clone)]
pub struct Sharding {
    /// Shape of an inner chunk.
    pub chunk_shape: Vec<u64>,
    /// The chain of an inner chunk.
    pub codecs: Vec<Codec>,
    /// The chain of the index.
    pub index_codecs: Vec<Codec>,
    /// Where in the shard the index is.
    pub index_location: IndexLocation,
}

/// Where in a shard its index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexLocation {
    /// Before the inner chunks.
    Start,
    /// After the inner chunks.
    #[default]
    End,
}

impl IndexLocation {
    /// Its name in metadata.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
        }
    }
}

impl fmt::Display for IndexLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for IndexLocation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Start, Self::End];
        let known = all.into_iter().find(|location| location.name() == name);
        known.ok_or_else(|| no_such("index location", name, &all.map(Self::name)))
    }
}
