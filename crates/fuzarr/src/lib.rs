//! A Zarr engine: reads and writes Zarr arrays as fast as the machine allows.
//!
//! A request becomes a [`plan`], data and state machines that do no I/O; an executor ([`exec`])
//! drives it against a [`store`]. [`Array`] puts the three together:
//!
//! ```
//! use std::sync::Arc;
//!
//! use fuzarr::metadata::Node;
//! use fuzarr::plan::WriteOptions;
//! use fuzarr::store::MemoryStore;
//! use fuzarr::{Array, Selection};
//!
//! # fn main() -> fuzarr::Result<()> {
//! let document = br#"{
//!     "zarr_format": 3, "node_type": "array", "shape": [4, 6], "data_type": "uint8",
//!     "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
//!     "chunk_key_encoding": {"name": "default"}, "fill_value": 9,
//!     "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3}}]
//! }"#;
//! let Node::Array(metadata) = Node::from_bytes(document)? else { unreachable!() };
//! let array = Array::create(Arc::new(MemoryStore::new()), "grids/small", *metadata)?;
//!
//! array.write(&Selection::parse("1, ::2")?, &[1, 2, 3], &WriteOptions::default())?;
//! let read = array.read(&Selection::parse("1:3, -2:")?)?;
//! assert_eq!(read.shape, [2, 2]);
//! assert_eq!(read.bytes, [3, 9, 9, 9]);
//! # Ok(())
//! # }
//! ```

#[cfg(not(target_pointer_width = "64"))]
compile_error!("fuzarr needs a 64-bit machine");

pub mod array;
pub mod buffer;
pub mod codec;
mod copy;
pub mod dtype;
pub mod error;
pub mod exec;
pub mod grid;
pub mod group;
pub mod hierarchy;
pub mod inspect;
pub mod limits;
pub mod metadata;
pub mod plan;
pub mod removal;
mod resize;
pub mod selection;
pub mod shard;
pub mod store;
pub mod transcode;
pub mod v2;

pub use array::{Array, Read};
pub use error::{Error, Kind, Result};
pub use group::Group;
pub use limits::{Cancel, Limits, Tuning};
pub use selection::{Selection, Term};
