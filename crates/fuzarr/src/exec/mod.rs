//! Executors: what drives the machines of a plan.
//!
//! The blocking executor, for stores that answer at once. Threads and runtimes live here and
//! nowhere else.

mod blocking;
mod explain;
mod failures;
mod pool;
mod watch;

pub use blocking::{check, read, survey, threads, write};
pub use explain::explain;
pub use watch::watched;
