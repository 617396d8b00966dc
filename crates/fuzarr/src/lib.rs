//! A Zarr engine: reads and writes Zarr arrays as fast as the machine allows.
//!
//! A request becomes a [`plan`], data and state machines that do no I/O; an executor ([`exec`])
//! drives it against a [`store`]. [`Array`] puts the three together:
//!
//! ```
//! use std::sync::Arc;
//!
//! use fuzarr::dtype::DataType;
//! use fuzarr::store::MemoryStore;
//! use fuzarr::{Array, Selection};
//!
//! # fn main() -> fuzarr::Result<()> {
//! let array = Array::builder([4, 6], DataType::UInt8)
//!     .chunks([2, 3])
//!     .codecs("zstd:3")
//!     .fill(9_u8)
//!     .create(Arc::new(MemoryStore::new()), "grids/small")?;
//!
//! array.write(&Selection::parse("1, ::2")?, &[1_u8, 2, 3])?;
//! let read = array.read::<u8>(&Selection::parse("1:3, -2:")?)?;
//! assert_eq!(read, ndarray::arr2(&[[3, 9], [9, 9]]).into_dyn());
//! # Ok(())
//! # }
//! ```
//!
//! [`Element`] lists the Rust types of elements. Where none is known beforehand there are bytes:
//! [`Array::read_bytes`], [`Array::write_bytes`]. Options can be given with each call
//! ([`Array::read_with`]) or for all by the [`environment`].

#[cfg(not(target_pointer_width = "64"))]
compile_error!("fuzarr needs a 64-bit machine");

pub mod array;
pub mod buffer;
pub mod builder;
pub mod chunking;
pub mod codec;
mod copy;
pub mod creation;
pub mod dtype;
pub mod element;
pub mod environment;
pub mod error;
pub mod exec;
mod explain;
pub mod grid;
pub mod group;
pub mod hierarchy;
pub mod inspect;
pub mod limits;
pub mod metadata;
pub mod plan;
mod removal;
mod resize;
pub mod selection;
pub mod shard;
pub mod store;
pub mod transcode;
mod typed;
pub mod v2;
mod wait;

pub use array::{Array, Read};
pub use builder::ArrayBuilder;
pub use creation::Existing;
pub use element::Element;
pub use error::{Error, Kind, Result};
pub use group::Group;
pub use limits::{Cancel, Limits, Tuning};
pub use plan::{Bounds, Explanation};
pub use selection::{Selection, Term};
pub use typed::Input;
