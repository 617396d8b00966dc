//! The least that must be done: move the bytes, run the bare codec, put the elements in place. It is
//! told where every chunk is, and plans, checks and allocates next to nothing while the clock runs.

mod crew;
mod files;
mod memory;
mod read;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use self::crew::Crew;
use crate::Result;
use crate::cell::{Cell, Paths, Store, Trace};
use crate::codec::{Codec, Decoder, Encoder};
use crate::protocol::not;
use crate::task::Task;

/// Nanoseconds of work that pay for waking other threads.
const WORTH_HELP: f64 = 30_000.0;

/// The two floors.
pub(crate) struct Floor {
    crew: Arc<Crew>,
    /// Whether results go to memory that is fresh from the system, or to memory that is kept.
    fresh: bool,
}

impl Floor {
    pub(crate) fn new(workers: usize, fresh: bool) -> Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let crew = Arc::new(Crew::new(if workers == 0 { cores } else { workers })?);
        Ok(Self { crew, fresh })
    }

    pub(crate) fn open(
        &self,
        cell: &Cell,
        trace: Option<&Trace>,
        paths: &Paths,
    ) -> Result<Box<dyn Task>> {
        let Some(trace) = trace else { return not("nothing is known of the least work") };
        if !matches!(cell.store, Store::Local | Store::Memory) {
            return not("waiting is no work");
        }
        let crew = Arc::clone(&self.crew);
        if !cell.operation.writes() {
            return read::open(crew, cell, trace, paths, self.fresh);
        }
        if self.fresh {
            return not("writes need no memory for a result");
        }
        write::open(crew, cell, trace, paths)
    }

    pub(crate) fn versions(&self) -> Value {
        let zstd = zstd::zstd_safe::version_string();
        json!({"zstd": zstd, "threads": self.crew.threads().to_string()})
    }
}

/// What a thread keeps.
struct Scratch {
    decoder: Decoder,
    encoder: Encoder,
    encoded: Vec<u8>,
    decoded: Vec<u8>,
    /// Bytes of an old object.
    stored: Vec<u8>,
    open: files::Open,
}

impl Scratch {
    /// One for each thread of a crew.
    fn of(crew: &Crew, codec: &Codec, typesize: usize) -> Result<Vec<Mutex<Self>>> {
        let scratch = |_| {
            Ok(Mutex::new(Self {
                decoder: Decoder::new(codec)?,
                encoder: Encoder::new(codec, typesize)?,
                encoded: Vec::new(),
                decoded: Vec::new(),
                stored: Vec::new(),
                open: None,
            }))
        };
        (0..crew.threads()).map(scratch).collect()
    }
}

/// At least so many bytes of a buffer, of unspecified content.
fn at_least(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    &mut buffer[..length]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// About how many nanoseconds a thread takes for a byte.
fn decoding(codec: &Codec) -> f64 {
    match codec {
        Codec::Raw => 0.1,
        Codec::Zstd { .. } => 0.7,
        Codec::Gzip { .. } => 2.0,
        Codec::Blosc { .. } => 0.3,
    }
}
