//! Executors: what drives the machines of a plan.
//!
//! The blocking executor, for stores that answer at once. Threads and runtimes live here and
//! nowhere else.

mod blocking;
mod explain;
mod failures;
mod pool;
mod watch;

pub use blocking::{check, read, read_present, survey, threads, work, write};
pub use explain::explain;
pub use watch::watched;
