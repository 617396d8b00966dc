//! Cells: one operation on one array in one kind of store, as the harness describes them.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::codec::Codec;
use crate::selection::Selection;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Cell {
    pub(crate) array: Layout,
    /// The document of the array as it is stored.
    pub(crate) document: Value,
    pub(crate) store: Store,
    #[serde(default)]
    pub(crate) durability: Durability,
    /// Whether decoded data or indexes of shards may be kept between calls.
    #[serde(default)]
    pub(crate) caches: bool,
    pub(crate) operation: Operation,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Layout {
    pub(crate) shape: Vec<u64>,
    pub(crate) chunks: Vec<u64>,
    pub(crate) shards: Option<Vec<u64>>,
    pub(crate) dtype: String,
    pub(crate) format: u8,
    #[serde(default)]
    pub(crate) fill_value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Store {
    Local,
    Memory,
    /// Memory, and every request waits.
    Latency,
    /// Memory that can only be awaited.
    Async,
}

/// How safe local writes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// A temporary file takes the object's name.
    #[default]
    Renamed,
    /// The same, and everything is on the disk before the call ends.
    Synced,
    /// Whatever the engine does if nothing is said.
    #[serde(rename = "as they come")]
    AsTheyCome,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Operation {
    Read {
        selections: Vec<Selection>,
        #[serde(default)]
        into: bool,
    },
    #[serde(rename = "read cold")]
    ReadCold {
        selections: Vec<Selection>,
    },
    Threads {
        selections: Vec<Selection>,
        threads: usize,
    },
    Arrays {
        count: usize,
    },
    Write {
        selections: Vec<Selection>,
        onto: Onto,
    },
    Append {
        rows: u64,
    },
    #[serde(rename = "round trip")]
    RoundTrip,
    Open,
    Walk,
}

/// What is there before every call of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Onto {
    /// The document.
    Nothing,
    /// What the call before has written.
    Stored,
}

/// Which bytes of which objects an operation needs, found without any engine.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Trace {
    pub(crate) objects: Vec<TracedObject>,
    pub(crate) codec: Codec,
    #[serde(default = "one")]
    pub(crate) typesize: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TracedObject {
    pub(crate) key: String,
    pub(crate) parts: Vec<Part>,
    /// Offsets and lengths of indexes that a read cannot do without.
    #[serde(default)]
    pub(crate) indexes: Vec<(u64, usize)>,
}

/// What is encoded by itself: offset and length as stored, bytes when decoded, and how many of those
/// are wanted.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(from = "(u64, usize, usize, usize)")]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) length: usize,
    pub(crate) decoded: usize,
    pub(crate) wanted: usize,
}

/// The place of everything that a cell needs.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The stored array or group that is read.
    pub(crate) folder: PathBuf,
    /// An empty folder; what is written goes to `array` in it.
    pub(crate) scratch: PathBuf,
    /// The two contents of the whole array.
    pub(crate) contents: [PathBuf; 2],
}

impl From<(u64, usize, usize, usize)> for Part {
    fn from((offset, length, decoded, wanted): (u64, usize, usize, usize)) -> Self {
        Self { offset, length, decoded, wanted }
    }
}

fn one() -> usize {
    1
}

impl Layout {
    /// Bytes of an element.
    pub(crate) fn itemsize(&self) -> Result<usize> {
        if self.dtype == "bool" {
            return Ok(1);
        }
        let start = self.dtype.find(|letter: char| letter.is_ascii_digit());
        let bits: usize = self.dtype[start.ok_or("a type without a size")?..].parse()?;
        Ok(if bits < 8 { bits } else { bits / 8 })
    }

    /// The shape of a stored object.
    pub(crate) fn object(&self) -> &[u64] {
        self.shards.as_deref().unwrap_or(&self.chunks)
    }

    /// The key of the array's document.
    pub(crate) fn document_key(&self) -> &'static str {
        if self.format == 2 { ".zarray" } else { "zarr.json" }
    }
}

impl Operation {
    /// Whether it changes what is stored.
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Append { .. } | Self::RoundTrip)
    }

    /// What is read or written of the array.
    pub(crate) fn selections(&self) -> &[Selection] {
        match self {
            Self::Read { selections, .. }
            | Self::ReadCold { selections }
            | Self::Threads { selections, .. }
            | Self::Write { selections, .. } => selections,
            _ => &[],
        }
    }
}
