//! The protocol between plans and executors.

use std::ops::Range;

use crate::codec::Stages;
use crate::error::{Error, Result};
use crate::store::{Part, Piece, Precondition, Span, Version};

/// What a machine needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// One version of the object, held from now on; answered by [`Machine::opened`], or by
    /// [`Machine::supply`] with `None` if there is no object.
    Open,
    /// The bytes of [`Machine::spans`] of the object, all of one version; answered by
    /// [`Machine::supply`], or, if the machine can do with that, [`Machine::begin_parts`].
    Fetch(Purpose),
    /// This many units of work, `0..n`, each [`Machine::run`] once, in any order, on any thread.
    /// All are done before [`Machine::next`] is called again.
    Work(usize),
    /// [`Machine::parts`], to be written to a new object at [`Machine::offset`], which is begun if it is the
    /// first time; the stored object stays as it is. And this many units, as for [`Step::Work`], beside it.
    /// Answered by [`Machine::committed`] when all of it is done.
    Append(usize),
    /// A write; answered by [`Machine::committed`], or by [`Machine::restart`] if the precondition
    /// did not hold.
    Commit(Commit),
    /// Nothing: the object's life is over.
    Done {
        /// Whether the object is stored (for a write: is now).
        present: bool,
    },
}

/// What fetched bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Shard indexes.
    Index,
    /// Inner chunks.
    Data,
    /// The whole object.
    Whole,
}

/// A change of the stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Replace it by [`Machine::parts`].
    Put,
    /// Delete it.
    Delete,
    /// Change it in place: [`Machine::changes`].
    Patch,
    /// Write [`Machine::parts`] to the new object at [`Machine::offset`], as [`Step::Append`] does, and
    /// then replace the stored object by the new one.
    Finish,
}

/// The life of one stored object, as data: asked what it needs next, never acting by itself.
///
/// Errors name what they know (codec, inner chunk); the executor adds the key.
pub trait Machine: Send + Sync {
    /// The object's key.
    fn key(&self) -> &str;

    /// The codec that makes the object's bytes, for errors.
    fn codec(&self) -> &'static str;

    /// What the machine needs next. Cheap: decoding and encoding are always units of work.
    ///
    /// # Errors
    /// `Corrupt` if what was supplied makes no sense, `Limit` if the plan would be too large,
    /// `InvalidArgument` if units of the last [`Step::Work`] or [`Step::Append`] were not run, or
    /// of a write failed.
    fn next(&mut self) -> Result<Step>;

    /// The spans that the last [`Step::Fetch`] asks for.
    fn spans(&self) -> &[Span];

    /// After the end: memory of what was fetched, for the next fetch to use.
    fn reclaim(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// On [`Step::Open`]: the version of the object that the machine knows most of. A store that has to
    /// be waited for may take its word for it, see `Store::open_at`.
    fn expected(&self) -> Option<Version> {
        None
    }

    /// Bytes that a whole object of this kind seldom exceeds, however many it may have.
    fn usual(&self) -> u64 {
        u64::MAX
    }

    /// Whether what is known of the object from before is to be believed without asking the store.
    fn is_believed(&self) -> bool {
        false
    }

    /// Takes note that the object is still of the version that was opened.
    fn confirmed(&mut self) {}

    /// Takes note of the version and the size of the opened object, as far as they are known.
    fn opened(&mut self, version: Option<Version>, size: Option<u64>) {
        let _ = (version, size);
    }

    /// How many parts of an object of `size` bytes the last [`Step::Fetch`] wants in memory of the
    /// machine's own, as they are: see [`target`](Self::target). An executor whose store can read
    /// into memory fills all of them, says [`placed`](Self::placed), and then reads the
    /// [`spans`](Self::spans); any other says [`without_targets`](Self::without_targets) first.
    fn targets(&self, size: Option<u64>) -> usize {
        let _ = size;
        0
    }

    /// Where target `number` starts in the object, and the memory to fill. Each is given once, between
    /// the [`Step::Fetch`] and what answers it.
    fn target(&self, number: usize) -> Option<(u64, &mut [u8])> {
        let _ = number;
        None
    }

    /// Takes note that all targets were filled.
    fn placed(&mut self) {}

    /// Takes note that targets will not be filled: spans cover everything.
    fn without_targets(&mut self) {}

    /// In how many units, beside the [`targets`](Self::targets), the work can be done on what the last
    /// [`Step::Fetch`] asks for of an object of `size` bytes, if each is given just the part of the object
    /// that it needs; 0 if it cannot. If it can, that is now the work: an executor that reads each
    /// [`part_of`](Self::part_of) the object by itself at no great cost asks for this instead of answering
    /// the fetch, and calls [`run_on`](Self::run_on) once for each unit, as it does for [`Step::Work`].
    fn begin_parts(&mut self, size: u64) -> usize {
        let _ = size;
        0
    }

    /// What a unit needs of the object.
    fn part_of(&self, unit: usize) -> Option<Range<u64>> {
        let _ = unit;
        None
    }

    /// Runs a unit on the bytes of its part.
    ///
    /// # Errors
    /// As [`run`](Self::run); `InvalidArgument` if they are not as many as asked for.
    fn run_on(&self, unit: usize, bytes: &[u8], scratch: &mut Scratch) -> Result<()> {
        let _ = (unit, bytes, scratch);
        Err(Error::invalid_argument("the machine works on what it was supplied with"))
    }

    /// Takes note that the store turned out to give no parts of objects, and starts again: from now on
    /// whole objects are asked for. `false` if that was known before, and nothing changes.
    fn without_ranges(&mut self) -> bool;

    /// Takes the fetched pieces out of their list, one a span in order, or `None` for a missing object, and what
    /// must hold for a later commit to replace just what was read.
    fn supply(&mut self, pieces: Option<&mut Vec<Piece>>, precondition: Precondition);

    /// Runs unit `unit` of the last [`Step::Work`] or [`Step::Append`].
    ///
    /// # Errors
    /// Those of codecs: `Corrupt`, naming the codec.
    fn run(&self, unit: usize, scratch: &mut Scratch) -> Result<()>;

    /// About how many nanoseconds the units of the last [`Step::Work`] or [`Step::Append`] take together
    /// on one thread: what decides whether help is worth inviting.
    fn estimate(&self) -> u64;

    /// The bytes to put, as parts that follow each other. Kept ones are of the object that was
    /// fetched from.
    fn parts(&self) -> Vec<Part<'_>> {
        Vec::new()
    }

    /// Where in the new object the parts go.
    fn offset(&self) -> u64 {
        0
    }

    /// What to change in place.
    fn changes(&self) -> Vec<(u64, &[u8])> {
        Vec::new()
    }

    /// What must hold for the commit to happen.
    fn precondition(&self) -> Precondition {
        Precondition::None
    }

    /// Takes note that the last [`Step::Commit`] or [`Step::Append`] was done.
    fn committed(&mut self) {}

    /// Starts again on a fresh read, since the object changed in the meantime. What did not depend
    /// on the old one is kept.
    fn restart(&mut self);
}

/// Memory that one thread reuses from unit to unit and from call to call.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) stages: Stages,
    pub(crate) chunk: Vec<u8>,
    pub(crate) offsets: Vec<u64>,
    /// What the next fetch may read into.
    pub(crate) fetch: Vec<u8>,
    /// What was fetched, on its way to the machine.
    pub(crate) pieces: Vec<Piece>,
}

/// Buffers of more bytes than this do not outlive a call.
const KEPT: usize = 32 << 20;

impl Scratch {
    /// Gives large buffers back to the system.
    pub(crate) fn shrink(&mut self) {
        if self.chunk.capacity() > KEPT {
            self.chunk = Vec::new();
        }
        if self.offsets.capacity() > KEPT / size_of::<u64>() {
            self.offsets = Vec::new();
        }
        if self.fetch.capacity() > KEPT {
            self.fetch = Vec::new();
        }
        if self.stages.capacity() > KEPT {
            self.stages = Stages::default();
        }
    }

    /// Keeps the larger of two buffers for the next fetch.
    pub(crate) fn keep(&mut self, fetched: Option<Vec<u8>>) {
        if let Some(memory) = fetched
            && memory.capacity() > self.fetch.capacity()
        {
            self.fetch = memory;
        }
    }
}
