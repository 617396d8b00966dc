//! Executors: what drives the machines of a plan.
//!
//! One thread drives each object's life where the store answers at once; where it is awaited, one
//! thread keeps many under way (`task.rs`). The threads
//! that compute live here and nowhere else.

mod explain;
mod failures;
mod fetch;
mod job;
mod life;
mod pool;
mod request;
mod task;
mod watch;

pub use explain::explain;
pub use job::threads;
pub use request::{check, read, read_present, survey, work, write};
pub(crate) use request::{read_async, write_async};
pub use watch::watched;
