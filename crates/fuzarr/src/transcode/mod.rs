//! Copying arrays and hierarchies into another layout.
//!
//! [`Relayout`] says what changes and derives the metadata of the copy; [`Transcode`] plans a copy,
//! makes it part by part within a budget of memory, and compares it afterwards. A copy that was
//! killed goes on where it was when it is planned and run again.
//!
//! ```
//! use std::sync::Arc;
//!
//! use fuzarr::transcode::{Node, Options, Relayout, Shards, Transcode};
//! # use fuzarr::{Array, store::{MemoryStore, Store}};
//!
//! # fn main() -> fuzarr::Result<()> {
//! # let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
//! # let document = br#"{
//! #     "zarr_format": 3, "node_type": "array", "shape": [40, 60], "data_type": "uint8",
//! #     "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
//! #     "chunk_key_encoding": {"name": "default"}, "fill_value": 9, "codecs": [{"name": "bytes"}]
//! # }"#;
//! # let fuzarr::metadata::Node::Array(metadata) = fuzarr::metadata::Node::from_bytes(document)?
//! # else { unreachable!() };
//! # Array::create(Arc::clone(&store), "small", *metadata)?;
//! let relayout = Relayout {
//!     chunks: Some(vec![8, 8]),
//!     shards: Shards::Shape(vec![16, 24]),
//!     ..Relayout::default()
//! };
//! let source = Node { store: Arc::clone(&store), path: "small".into() };
//! let destination = Node { store: Arc::clone(&store), path: "sharded".into() };
//! let copy = Transcode::plan(source, destination, |_| Ok(relayout.clone()), Options::default())?;
//! copy.run(|_| Ok(()))?;
//! assert_eq!(copy.compare(|_| Ok(()))?, None);
//! # Ok(())
//! # }
//! ```

mod compare;
mod elements;
mod layout;
mod ledger;
mod memory;
mod plan;
mod record;
mod run;
mod schedule;
mod watch;

pub use compare::Difference;
pub use layout::{Relayout, Shards};
pub use plan::Transcode;
pub use run::Report;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Registry;
use crate::limits::Limits;
use crate::metadata::Format;
use crate::plan::{ReadOptions, WriteOptions};
use crate::store::Store;

/// The place of a node: a store, and a path in it (empty for the root).
#[derive(Debug, Clone)]
pub struct Node {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The path.
    pub path: String,
}

/// How a copy is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of memory that the copy may take, beyond the metadata of all nodes and the record of
    /// what is finished (some 40 bytes for each stored object). Elements of variable size, of which one
    /// chunk is copied at a time, may take a third of it beside their slots, and 1 MiB in any case:
    /// more is a `Limit`.
    pub memory: u64,
    /// How many threads may work; `None` leaves that to the executor.
    pub workers: Option<NonZeroUsize>,
    /// Whether what is at the destination is deleted first, an unfinished copy too, if all of its nodes
    /// are also of this one. If not, a node
    /// there is an error, and an unfinished copy of the same source in the same layout goes on.
    pub overwrite: bool,
    /// The version of the format; that of the source if it is not said.
    pub format: Option<Format>,
    /// The codecs that there are, of source and destination; all that fuzarr has unless told otherwise.
    pub registry: Registry,
    /// How the source is read.
    pub read: ReadOptions,
    /// How the destination is written.
    pub write: WriteOptions,
    /// The least time between two writings of the record of what is finished, which is what a kill
    /// can cost; the first is as soon as something is. It becomes longer by itself where writing
    /// the record takes long, unless it is zero.
    pub checkpoint: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            workers: None,
            overwrite: false,
            format: None,
            registry: Registry::default(),
            read: ReadOptions::default(),
            write: WriteOptions::default(),
            checkpoint: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// How an array is read while so many bytes are held for something else.
    fn reading(&self, held: u64) -> ReadOptions {
        // What a copy holds is counted, and what it compares is read anew.
        let limits = self.limits(&self.read.limits, held);
        ReadOptions { limits, chunk_cache: 0, ..self.read.clone() }
    }

    /// How an array is written while so many bytes are held for something else.
    fn writing(&self, held: u64) -> WriteOptions {
        WriteOptions { limits: self.limits(&self.write.limits, held), ..self.write.clone() }
    }

    fn limits(&self, limits: &Limits, held: u64) -> Limits {
        let workers = self.workers.map_or(limits.workers, NonZeroUsize::get);
        let memory = Some(self.memory.saturating_sub(held));
        Limits { workers, memory, ..limits.clone() }
    }
}

/// How far a copy or a comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The path in the destination of the array that is worked on.
    pub array: &'a str,
    /// Bytes of elements that are done.
    pub done: u64,
    /// Those of them that an earlier run did.
    pub kept: u64,
    /// Bytes of the elements of all arrays.
    pub total: u64,
}
