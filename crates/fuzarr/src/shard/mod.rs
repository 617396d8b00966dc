//! Shards: the index and the order of inner chunks. Pure bytes; reading and writing is planned.
//!
//! Implements the "Sharding codec" specification, version 1.0.

mod index;
mod order;

pub(crate) use index::{Entry, PreparedIndex};
pub use order::WriteOrder;
