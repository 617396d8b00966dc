//! A Zarr engine: reads and writes Zarr arrays as fast as the machine allows.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("fuzarr needs a 64-bit machine");

pub mod buffer;
pub mod codec;
mod copy;
pub mod dtype;
pub mod error;
pub mod grid;
pub mod metadata;
pub mod selection;
pub mod shard;
pub mod store;

pub use error::{Error, Kind, Result};
pub use selection::{Selection, Term};
