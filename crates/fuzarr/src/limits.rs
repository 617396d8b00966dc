//! What a request may take: threads, memory, and until when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use crate::wait::{cancelled, until};

/// What one request may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Threads that work on the request, the calling one included; 0 for one a core.
    pub workers: usize,
    /// The most chunks that are held decoded at the same time, and so the most threads: each may hold
    /// one. 0 for as many as there are `workers`.
    pub max_decode_buffers: usize,
    /// Bytes that the request may hold: its result, indexes, chunks being worked on, bytes fetched
    /// and not yet decoded, or encoded and not yet written. `None` for no limit of the request's own.
    pub memory: Option<u64>,
    /// Questions to the store that may be under way at the same time, if its answers are awaited.
    pub operations: usize,
    /// Bytes that may be under way at the same time, or fetched and not yet decoded, or being encoded
    /// and not yet stored, if the store's answers are awaited. An object that is larger is
    /// alone.
    pub in_flight: u64,
    /// Ends the request early.
    pub cancel: Option<Cancel>,
    /// From where on which way is the faster one.
    pub tuning: Tuning,
}

/// From where on which way is the faster one. Results are equal whatever is set here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Nanoseconds of work that pay for inviting one more thread.
    pub helper: u64,
    /// Uncompressed chunks from this many bytes on are read in part, or straight into the output; others
    /// are decoded in part.
    pub large_chunk: u64,
    /// A chunk of which bytes are only moved, as many as two of this, is cut into units of this many; so is
    /// what a store that answers at once reads straight into the output, or from a file.
    pub slab: u64,
    /// Bytes beside a shard's index that are fetched with it.
    pub beside_index: u64,
    /// Bytes of a shard that are fetched at once; more are fetched one batch after the other.
    pub fetched: u64,
    /// Objects of at most this many bytes are fetched and written whole when a part is changed, and
    /// fetched whole when a part is wanted of a store that answers late.
    pub small_object: u64,
    /// Bytes of one request to a store whose answers are awaited: what is larger is asked for in
    /// parts at the same time, and in larger ones, up to 8 times this, if `operations` would have
    /// them take turns.
    pub part: u64,
    /// Shards of more bytes than this are written as their inner chunks are encoded.
    pub streamed: u64,
    /// Bytes of elements of a streamed shard that are encoded while as many are written.
    pub group: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            helper: 40_000,
            large_chunk: 64 << 10,
            slab: 1 << 20,
            beside_index: 4 << 10,
            fetched: 256 << 20,
            small_object: 128 << 10,
            part: 8 << 20,
            streamed: 32 << 20,
            group: 8 << 20,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: 0,
            max_decode_buffers: 0,
            memory: None,
            operations: 128,
            in_flight: 256 << 20,
            cancel: None,
            tuning: Tuning::default(),
        }
    }
}

impl Limits {
    /// How many threads work at the same time, on a machine of `cores`.
    pub(crate) fn threads(&self, cores: usize) -> usize {
        let workers = if self.workers == 0 { cores } else { self.workers };
        let most = if self.max_decode_buffers == 0 { workers } else { self.max_decode_buffers };
        workers.min(most).max(1)
    }

    /// # Errors
    /// `Cancelled` if the request was.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(cancelled()),
            _ => Ok(()),
        }
    }
}

/// The number of bytes that `text` spells: with a unit that is decimal (`kB`, `MB`, …), binary
/// (`KiB`, `MiB`, …, the same as `K`, `M`, …) or none. `None` if it is no such number.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let (letter, base) = match unit.as_bytes() {
        [] | [b'b'] => return Some(number),
        [letter] | [letter, b'i', b'b'] => (letter, 1024_u64),
        [letter, b'b'] => (letter, 1000),
        _ => return None,
    };
    let power = b"kmgt".iter().position(|known| known == letter)?;
    number.checked_mul(base.pow(u32::try_from(power).ok()? + 1))
}

/// Ends requests early, from any thread. It is looked at between units of work, so a request ends
/// within the time of one; what it has written by then stays written.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A token that nobody has cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all requests that were given this token or a clone of it.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Does something that has no [`Limits`], as opening a node has none: from when this token is
    /// cancelled on, what a store makes the calling thread wait for is an error of kind
    /// [`Cancelled`](crate::Kind::Cancelled).
    pub fn over<T>(&self, work: impl FnOnce() -> T) -> T {
        until(Arc::clone(&self.0), work)
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl PartialEq for Cancel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Cancel {}

#[cfg(test)]
mod tests {
    use super::{Limits, parse_size};

    #[test]
    fn threads_are_as_many_as_cores_unless_said_otherwise() {
        let threads = |workers, max_decode_buffers| {
            Limits { workers, max_decode_buffers, ..Limits::default() }.threads(64)
        };
        assert_eq!(Limits::default().threads(64), 64);
        assert_eq!(threads(3, 0), 3);
        assert_eq!(threads(0, 2), 2);
        assert_eq!(threads(100, 0), 100);
        assert_eq!(threads(3, 100), 3);
    }

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 17 ", Some(17)),
            ("17B", Some(17)),
            ("1k", Some(1024)),
            ("2 MiB", Some(2 << 20)),
            ("3GB", Some(3_000_000_000)),
            ("4tib", Some(4 << 40)),
            ("", None),
            ("-1", None),
            ("1.5GiB", None),
            ("1XB", None),
            ("1kibi", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
