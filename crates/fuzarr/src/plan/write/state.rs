//! The states of one object's writing.

use std::ops::Range;

use crate::plan::machine::{Commit, Purpose};

/// Where the writing of an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Start,
    /// Waiting for the object to be pinned.
    Open,
    /// The object is pinned, and has this many bytes, if that is known.
    Opened(Option<u64>),
    /// Waiting for this of the stored object.
    Fetch(Purpose),
    /// What is asked for is here.
    Ready(Purpose),
    /// The job's units are being run.
    Work(Job),
    Commit(Commit),
    Finished {
        present: bool,
    },
}

/// What the units of a [`State::Work`] do; encoded runs of a [stream](super::stream::Stream) may be written
/// beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// Encode the object, which is one chunk.
    Chunk,
    /// Decode the old shard's index.
    Open,
    /// Encode these runs of touched inner chunks.
    Inner(Range<usize>),
    /// Lay out the new shard.
    Lay,
    /// Encode the new index.
    Index,
}
