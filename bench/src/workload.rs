//! What is timed, as tables: arrays, and what is read and written of them.

use std::ops::Range;

use serde_json::{Value, json};

/// Bytes of one element, a `uint16`.
pub(crate) const ELEMENT: usize = 2;

/// The distance between elements of a strided read.
pub(crate) const STRIDE: u64 = 4;

pub(crate) const ZSTD_LEVEL: i32 = 3;
pub(crate) const GZIP_LEVEL: i32 = 5;
pub(crate) const BLOSC_LEVEL: i32 = 5;

/// Inner chunks that [`Change::Run`] writes.
const RUN: u64 = 32;

/// Chunks of at most this many bytes are tiny: their decoding is little beside everything else.
const TINY: usize = 1000;

/// The codecs that follow `bytes`.
pub(crate) const CODECS: &[Codec] = &[Codec::Raw, Codec::Zstd, Codec::Gzip, Codec::Blosc];

/// The arrays.
pub(crate) const LAYOUTS: &[Layout] = &[
    Layout {
        name: "32 MB in 100 kB chunks",
        shape: &[16_000_000],
        chunk: &[50_000],
        sharded: false,
        requests: &[Request::Whole, Request::EachChunk, Request::Strided],
        changes: &[Change::Whole],
    },
    Layout {
        name: "32 MB shard of 100 kB chunks",
        shape: &[16_000_000],
        chunk: &[50_000],
        sharded: true,
        requests: &[Request::Whole, Request::EachChunk, Request::Strided],
        changes: &[Change::Whole, Change::Run, Change::OneChunk, Change::OneElement],
    },
    Layout {
        name: "32 MB plane in 100 kB tiles",
        shape: &[4000, 4000],
        chunk: &[250, 200],
        sharded: false,
        requests: &[Request::Whole, Request::EachChunk, Request::Strided],
        changes: &[Change::Whole],
    },
    Layout {
        name: "1 MB in 1 kB chunks",
        shape: &[500_000],
        chunk: &[500],
        sharded: false,
        requests: &[Request::Whole, Request::EachChunk],
        changes: &[Change::Whole],
    },
    Layout {
        name: "1 MB shard of 100 B chunks",
        shape: &[500_000],
        chunk: &[50],
        sharded: true,
        requests: &[Request::Whole, Request::OneChunk, Request::OneChunkAnew],
        changes: &[Change::Whole, Change::OneChunk, Change::OneElement],
    },
];

/// A bytes-to-bytes codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// None.
    Raw,
    Zstd,
    Gzip,
    Blosc,
}

/// An array, but for its codec.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    /// One or two dimensions, a multiple of `chunk`.
    pub(crate) shape: &'static [u64],
    /// What is encoded by itself: an inner chunk if there is a shard.
    pub(crate) chunk: &'static [u64],
    /// Whether one shard holds the whole array.
    pub(crate) sharded: bool,
    pub(crate) requests: &'static [Request],
    pub(crate) changes: &'static [Change],
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// All, by one call.
    Whole,
    /// Every chunk or inner chunk, by a call each; the results one after the other.
    EachChunk,
    /// The chunk or inner chunk in the middle.
    OneChunk,
    /// The same, without what an engine may know of the shard from earlier requests.
    OneChunkAnew,
    /// Every fourth element along each dimension, by one call.
    Strided,
}

impl Codec {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Blosc => "blosc",
        }
    }

    fn chain(self) -> Value {
        let bytes = json!({"name": "bytes", "configuration": {"endian": "little"}});
        let configuration = match self {
            Self::Raw => return json!([bytes]),
            Self::Zstd => json!({"level": ZSTD_LEVEL, "checksum": false}),
            Self::Gzip => json!({"level": GZIP_LEVEL}),
            Self::Blosc => json!({
                "cname": "lz4", "clevel": BLOSC_LEVEL, "shuffle": "shuffle",
                "typesize": ELEMENT, "blocksize": 0,
            }),
        };
        json!([bytes, {"name": self.name(), "configuration": configuration}])
    }
}

impl Request {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::EachChunk => "chunk by chunk",
            Self::OneChunk => "one chunk",
            Self::OneChunkAnew => "one chunk, anew",
            Self::Strided => "every 4th",
        }
    }
}

/// What is written, by one call, where something is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// All.
    Whole,
    /// Inner chunks from the one in the middle on.
    Run,
    /// The inner chunk in the middle.
    OneChunk,
    /// An element of that.
    OneElement,
}

impl Change {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Run => "32 chunks",
            Self::OneChunk => "one chunk",
            Self::OneElement => "one element",
        }
    }
}

impl Layout {
    /// The metadata document of the array.
    pub(crate) fn document(&self, codec: Codec) -> Value {
        let inner = codec.chain();
        let (stored, codecs) = if self.sharded {
            let sharding = json!({"name": "sharding_indexed", "configuration": {
                "chunk_shape": self.chunk,
                "codecs": inner,
                "index_codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}},
                    {"name": "crc32c"},
                ],
                "index_location": "end",
            }});
            (self.shape, json!([sharding]))
        } else {
            (self.chunk, inner)
        };
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": stored}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": codecs,
        })
    }

    /// Chunks along each dimension.
    pub(crate) fn grid(&self) -> Vec<u64> {
        self.shape.iter().zip(self.chunk).map(|(extent, chunk)| extent / chunk).collect()
    }

    /// All chunks, in C order.
    pub(crate) fn chunks(&self) -> Vec<Vec<u64>> {
        let mut chunks = vec![Vec::new()];
        for extent in self.grid() {
            let longer = |chunk: &Vec<u64>| -> Vec<Vec<u64>> {
                (0..extent).map(|at| [chunk.as_slice(), &[at]].concat()).collect()
            };
            chunks = chunks.iter().flat_map(longer).collect();
        }
        chunks
    }

    /// The chunk that [`Request::OneChunk`] reads.
    pub(crate) fn middle(&self) -> Vec<u64> {
        self.grid().iter().map(|extent| extent / 2).collect()
    }

    /// Bytes of one chunk.
    pub(crate) fn chunk_bytes(&self) -> usize {
        bytes_of(self.chunk)
    }

    /// Whether chunks are so small that it is not the codec that takes the time.
    pub(crate) fn is_tiny(&self) -> bool {
        self.chunk_bytes() <= TINY
    }

    /// Whether `change` is measured, to keep the whole run short: where every file is synced the disk
    /// takes the time, and `gzip` takes long everywhere.
    pub(crate) fn measures(&self, codec: Codec, change: Change, synced: bool) -> bool {
        match codec {
            Codec::Raw => true,
            Codec::Zstd => !synced || change != Change::Whole,
            Codec::Blosc => !synced,
            Codec::Gzip if synced => false,
            Codec::Gzip if change == Change::Whole => !self.sharded && self.shape.len() == 1,
            Codec::Gzip => change == Change::OneChunk,
        }
    }

    /// Elements that `change` replaces, in C order.
    pub(crate) fn changed(&self, change: Change) -> Range<u64> {
        let chunk: u64 = self.chunk.iter().product();
        let start = self.middle().iter().product::<u64>() * chunk;
        match change {
            Change::Whole => 0..self.shape.iter().product(),
            Change::Run => start..start + RUN * chunk,
            Change::OneChunk => start..start + chunk,
            Change::OneElement => start + chunk / 2..start + chunk / 2 + 1,
        }
    }

    /// Bytes that `request` gives.
    pub(crate) fn result_bytes(&self, request: Request) -> usize {
        match request {
            Request::Whole | Request::EachChunk => bytes_of(self.shape),
            Request::OneChunk | Request::OneChunkAnew => self.chunk_bytes(),
            Request::Strided => {
                let extents: Vec<u64> =
                    self.shape.iter().map(|extent| extent.div_ceil(STRIDE)).collect();
                bytes_of(&extents)
            }
        }
    }
}

/// Bytes of an array of `shape`.
pub(crate) fn bytes_of(shape: &[u64]) -> usize {
    usize_of(shape.iter().product::<u64>()) * ELEMENT
}

/// Extents as the tables give them fit memory.
pub(crate) fn usize_of(extent: u64) -> usize {
    usize::try_from(extent).unwrap_or(usize::MAX)
}
