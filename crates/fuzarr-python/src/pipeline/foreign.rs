//! Machines that Python drives: it awaits the bytes of any store, units run here.

use std::sync::{Mutex, PoisonError};

use fuzarr::buffer::Buffer;
use fuzarr::plan::{self, Commit, Counters, Step};
use fuzarr::store::{Capabilities, Content, Piece, Precondition, Span};
use fuzarr::{Error, Kind, Limits, exec};
use pyo3::prelude::*;

use super::pinned::{Made, Pinned};
use crate::error::raise;

/// What a store in Python can do.
pub(super) const CAPABILITIES: Capabilities =
    Capabilities::NONE.with_ranges(true).with_gap(u64::MAX).with_conditional_delete(true);

/// The size that an object is taken to have if only a part of it was fetched: stores in Python do
/// not say. What lies beyond its real end is found missing when it is fetched.
const UNKNOWN: u64 = 1 << 62;

/// One stored object's life. At its end it lets go of the plan's memory at once.
#[pyclass(frozen, module = "fuzarr._fuzarr")]
pub(super) struct Machine {
    life: Mutex<Life>,
    limits: Limits,
}

struct Life {
    machine: Option<Box<dyn plan::Machine + Send>>,
    /// The units that wait to be run.
    units: usize,
    /// How many machines the call has.
    objects: usize,
    /// How often something was fetched since the start.
    fetches: usize,
    restarted: bool,
    /// Whether short work may be told apart. Encoding never is: some codecs take their time over
    /// little.
    reads: bool,
}

/// Work of at most so many nanoseconds, for most codecs, is shorter than the way to another thread.
const QUICK: u64 = 16_000;

impl Machine {
    /// A machine that reads, or one that writes: one of `objects` of a call.
    pub(super) fn new(
        machine: impl plan::Machine + 'static,
        objects: usize,
        limits: Limits,
        reads: bool,
    ) -> Self {
        let machine: Option<Box<dyn plan::Machine + Send>> = Some(Box::new(machine));
        let life = Life { machine, units: 0, objects, fetches: 0, restarted: false, reads };
        Self { life: Mutex::new(life), limits }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Life) -> T) -> T {
        act(&mut self.life.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Life {
    fn machine(&mut self) -> Result<&mut Box<dyn plan::Machine + Send>, Error> {
        self.machine.as_mut().ok_or_else(|| Error::invalid_argument("the machine is done"))
    }

    /// Moves on until Python is needed, or there are units to run.
    fn step(&mut self) -> Result<&'static str, Error> {
        loop {
            let machine = self.machine()?;
            match machine.next()? {
                // A store in Python has nothing to hold.
                Step::Open => machine.opened(None, None),
                Step::Fetch(_) => {
                    machine.without_targets();
                    self.fetches += 1;
                    return Ok("fetch");
                }
                Step::Work(units) => {
                    let quick = machine.estimate() <= QUICK;
                    self.units = units;
                    return Ok(if quick && self.reads { "quick" } else { "work" });
                }
                Step::Commit(Commit::Put) => return Ok("put"),
                Step::Commit(Commit::Delete) => return Ok("delete"),
                Step::Append(_) | Step::Commit(_) => {
                    return Err(Error::unsupported("the store can put and delete only"));
                }
                Step::Done { present } => {
                    self.machine = None;
                    return Ok(if present { "present" } else { "missing" });
                }
            }
        }
    }

    /// Runs the units that wait, then moves on until Python is needed, or work that is not `quick`.
    fn run(&mut self, limits: &Limits, quick: bool) -> Result<&'static str, Error> {
        loop {
            if self.units > 0 {
                let units = std::mem::take(&mut self.units);
                let units = (units, self.objects);
                exec::work(&**self.machine()?, units, limits, &Counters::default())?;
            }
            let step = self.step()?;
            if step != "quick" && (step != "work" || quick) {
                return Ok(step);
            }
        }
    }

    /// What looks damaged may be two versions of an object that is read in several parts.
    fn run_again(&mut self, limits: &Limits, quick: bool) -> Result<&'static str, Error> {
        match self.run(limits, quick) {
            Err(error) if error.kind() == Kind::Corrupt && self.fetches > 1 && !self.restarted => {
                self.restarted = true;
                self.fetches = 0;
                self.machine()?.restart();
                self.run(limits, quick)
            }
            outcome => outcome,
        }
    }

    /// A piece of what was fetched for `span`.
    fn piece(span: &Span, bytes: Buffer) -> Result<Piece, Error> {
        let length = bytes.as_slice().len() as u64;
        let short = || Error::corrupt("the object ends before what is wanted of it");
        let (start, object_size) = match span {
            Span::Whole(most) if length > *most => {
                let message =
                    format!("an object of {length} bytes where at most {most} bytes make sense");
                return Err(Error::corrupt(message));
            }
            Span::Whole(_) => (0, length),
            Span::Prefix(wanted) if length == *wanted => (0, UNKNOWN),
            Span::Suffix(wanted) if length == *wanted => (UNKNOWN - length, UNKNOWN),
            // There were no more: this is all of it.
            Span::Prefix(wanted) | Span::Suffix(wanted) if length < *wanted => (0, length),
            Span::Range(range) if length == range.end - range.start => (range.start, UNKNOWN),
            _ => return Err(short()),
        };
        Ok(Piece { start, object_size, bytes })
    }

    fn supply(&mut self, buffers: Option<Vec<Buffer>>) -> Result<(), Error> {
        let machine = self.machine()?;
        let Some(buffers) = buffers else {
            machine.supply(None, Precondition::Absent);
            return Ok(());
        };
        if buffers.len() != machine.spans().len() {
            return Err(Error::invalid_argument("one part a span is wanted"));
        }
        let pieces = machine.spans().iter().zip(buffers);
        let mut pieces =
            pieces.map(|(span, bytes)| Self::piece(span, bytes)).collect::<Result<Vec<_>, _>>()?;
        machine.supply(Some(&mut pieces), Precondition::None);
        Ok(())
    }
}

#[pymethods]
impl Machine {
    /// Moves on until Python is needed, without any work: `"work"` if there is some, `"quick"` if that
    /// is shorter than the way to another thread.
    fn step(&self) -> PyResult<&'static str> {
        self.with(Life::step).map_err(raise)
    }

    /// Works until Python is needed: `"fetch"`, `"put"`, `"delete"`, or `"present"` or `"missing"`
    /// at the end; with `quick`, also `"work"` if more than a little comes.
    #[pyo3(signature = (quick = false))]
    fn run(&self, py: Python<'_>, quick: bool) -> PyResult<&'static str> {
        py.detach(|| self.with(|life| life.run_again(&self.limits, quick))).map_err(raise)
    }

    /// What to fetch after `"fetch"`: `()` for all of it, `(start, end)`, or `(length,)` for the
    /// last so many bytes.
    #[getter]
    fn spans(&self) -> PyResult<Vec<Vec<u64>>> {
        let span = |span: &Span| match span {
            Span::Whole(_) => Vec::new(),
            Span::Prefix(length) => vec![0, *length],
            Span::Suffix(length) => vec![*length],
            Span::Range(range) => vec![range.start, range.end],
        };
        self.with(|life| Ok(life.machine()?.spans().iter().map(span).collect())).map_err(raise)
    }

    /// Takes what was fetched, memory for each span, or `None` for a missing object.
    fn supply(&self, parts: Option<Vec<Bound<'_, PyAny>>>) -> PyResult<()> {
        let pin = |part: &Bound<'_, PyAny>| {
            Pinned::new(part).map(|pinned| Buffer::Shared(pinned.into_bytes()))
        };
        let buffers = parts.map(|parts| parts.iter().map(pin).collect::<PyResult<Vec<_>>>());
        let buffers = buffers.transpose()?;
        self.with(|life| life.supply(buffers)).map_err(raise)
    }

    /// How many bytes are to be stored after `"put"`.
    #[getter]
    fn length(&self) -> PyResult<u64> {
        let length =
            |life: &mut Life| Ok(Content { parts: &life.machine()?.parts(), base: None }.length());
        self.with(length).map_err(raise)
    }

    /// The bytes to store after `"put"`, joined.
    fn payload(&self, py: Python<'_>) -> PyResult<Made> {
        let join = |life: &mut Life| {
            Content { parts: &life.machine()?.parts(), base: None }.join().map(Made)
        };
        py.detach(|| self.with(join)).map_err(raise)
    }

    /// Tells the machine that its put or delete is done, which lets go of its memory; what comes then.
    fn committed(&self, py: Python<'_>) -> PyResult<&'static str> {
        let commit = |life: &mut Life| {
            life.machine()?.committed();
            life.step()
        };
        py.detach(|| self.with(commit)).map_err(raise)
    }
}
