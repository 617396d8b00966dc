//! A Zarr engine: reads and writes Zarr arrays as fast as the machine allows.

pub mod codec;
pub mod dtype;
pub mod error;
pub mod metadata;

pub use error::{Error, Kind, Result};
