//! The blocking executor, on the calling thread.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::buffer::Output;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::plan::{
    Commit, Machine, ReadMachine, ReadPlan, Scratch, Step, Values, WriteMachine, WritePlan,
};
use crate::store::{Content, Object, Part, Precondition, Store};

/// How often an object that keeps changing under a write is read anew before giving up.
const ATTEMPTS: usize = 100;

thread_local! {
    /// What this thread's calls reuse. Taken while in use, so that a call within a call is safe.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Calls `act` with the thread's scratch.
fn with_scratch<T>(act: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take();
    let outcome = act(&mut scratch);
    scratch.shrink();
    SCRATCH.set(scratch);
    outcome
}

/// Reads all objects of `plan` into `output`.
///
/// # Errors
/// The first error, with the key of its object; the output is unspecified then. `NotFound` for a
/// missing object if the options make that an error.
pub fn read(plan: &ReadPlan, store: &dyn Store, output: Output<'_>) -> Result<()> {
    let mut machine = ReadMachine::new(plan, Arc::new(output), store.capabilities().ranges);
    with_scratch(|scratch| {
        for number in 0..plan.objects() {
            machine.begin(plan, number);
            let present = drive(&mut machine, store, scratch)?;
            if !present && plan.options().missing_is_error {
                return Err(Error::not_found("the chunk is missing").with("key", machine.key()));
            }
        }
        Ok(())
    })
}

/// Writes `values` to all objects of `plan`.
///
/// # Errors
/// The first error, with the key of its object. Objects before it are written, those after it are
/// not, its own is as it was.
pub fn write(plan: &WritePlan, store: &dyn Store, values: Values<'_>) -> Result<()> {
    let mut machine = WriteMachine::new(plan, Arc::new(values));
    with_scratch(|scratch| {
        for number in 0..plan.objects() {
            machine.begin(plan, number);
            drive(&mut machine, store, scratch)?;
        }
        Ok(())
    })
}

/// How many inner chunks of the objects of `plan` are stored, from their indexes. An object that is
/// no shard counts as one.
///
/// # Errors
/// `Corrupt` for a damaged index, with the object's key.
pub fn survey(plan: &ReadPlan, store: &dyn Store) -> Result<u64> {
    let ranges = store.capabilities().ranges;
    let mut machine = ReadMachine::new(plan, Arc::new(Output::owned(Vec::new())), ranges);
    let counter = Arc::new(AtomicU64::new(0));
    machine.count_into(Arc::clone(&counter));
    with_scratch(|scratch| {
        (0..plan.objects()).try_for_each(|number| {
            machine.begin(plan, number);
            drive(&mut machine, store, scratch).map(drop)
        })
    })?;
    Ok(counter.load(Ordering::Relaxed))
}

/// Reads all objects of `plan` and gives every error instead of the first one only.
#[must_use]
pub fn check(plan: &ReadPlan, store: &dyn Store, output: Output<'_>) -> Vec<Error> {
    let mut machine = ReadMachine::new(plan, Arc::new(output), store.capabilities().ranges);
    let mut scratch = Scratch::default();
    let mut errors = Vec::new();
    for number in 0..plan.objects() {
        machine.begin(plan, number);
        let known = errors.len();
        let mut life = Life { machine: &mut machine, store, object: None };
        if let Err(error) = life.check(&mut scratch, &mut errors) {
            errors.push(error);
        }
        let found = errors.split_off(known);
        errors.extend(found.into_iter().map(|error| error.with("key", machine.key())));
    }
    errors
}

/// Drives one machine to its end; whether its object is stored.
///
/// # Errors
/// The machine's or the store's, with the object's key.
pub fn drive(machine: &mut dyn Machine, store: &dyn Store, scratch: &mut Scratch) -> Result<bool> {
    let mut life = Life { machine, store, object: None };
    let outcome = life.run(scratch);
    outcome.context("key", || life.machine.key())
}

/// One object's life: the machine, and the version of the object that it works on.
struct Life<'a> {
    machine: &'a mut dyn Machine,
    store: &'a dyn Store,
    /// Held until the end, so that the version cannot be mistaken for another.
    object: Option<Box<dyn Object>>,
}

impl Life<'_> {
    fn run(&mut self, scratch: &mut Scratch) -> Result<bool> {
        let mut conflicts = 0;
        loop {
            match self.machine.next()? {
                Step::Fetch(_) => self.fetch(scratch)?,
                Step::Work(units) => {
                    (0..units).try_for_each(|unit| self.machine.run(unit, scratch))?;
                }
                Step::Commit(commit) => {
                    let outcome = self.commit(commit);
                    let conflict = matches!(&outcome, Err(error) if error.kind() == Kind::Conflict);
                    if conflict && conflicts < ATTEMPTS {
                        conflicts += 1;
                        self.object = None;
                        self.machine.committed(false);
                        continue;
                    }
                    outcome?;
                    self.machine.committed(true);
                }
                Step::Done { present } => {
                    scratch.keep(self.machine.reclaim());
                    return Ok(present);
                }
            }
        }
    }

    /// As [`run`](Self::run), but goes on after a unit's error.
    fn check(&mut self, scratch: &mut Scratch, errors: &mut Vec<Error>) -> Result<()> {
        loop {
            match self.machine.next()? {
                Step::Fetch(_) => self.fetch(scratch)?,
                Step::Work(units) => {
                    let failed =
                        (0..units).filter_map(|unit| self.machine.run(unit, scratch).err());
                    errors.extend(failed);
                }
                Step::Commit(_) | Step::Done { .. } => return Ok(()),
            }
        }
    }

    /// Reads what the machine asks for, all from one version of the object.
    fn fetch(&mut self, scratch: &mut Scratch) -> Result<()> {
        if self.object.is_none() {
            self.object = self.store.open(self.machine.key()).now()?;
        }
        let Some(object) = &self.object else {
            self.machine.supply(None, Precondition::Absent);
            return Ok(());
        };
        let mut pieces = Vec::with_capacity(self.machine.spans().len());
        for span in self.machine.spans() {
            let read = object.read(span.clone(), std::mem::take(&mut scratch.fetch)).now();
            let codec = self.machine.codec();
            // An object of a size that its codecs cannot make.
            match read.map_err(|error| match error.kind() {
                Kind::Corrupt => error.with("codec", codec),
                _ => error,
            })? {
                Some(piece) => pieces.push(piece),
                None => {
                    self.machine.supply(None, Precondition::Absent);
                    return Ok(());
                }
            }
        }
        let precondition = object.version().map_or(Precondition::None, Precondition::Unchanged);
        self.machine.supply(Some(pieces), precondition);
        Ok(())
    }

    fn commit(&self, commit: Commit) -> Result<()> {
        let (key, precondition) = (self.machine.key(), self.machine.precondition());
        match commit {
            Commit::Put => {
                let parts: Vec<Part<'_>> =
                    self.machine.parts().into_iter().map(Part::Bytes).collect();
                let content = Content { parts: &parts, base: self.object.as_deref() };
                self.store.put(key, content, precondition).now()
            }
            Commit::Delete => self.store.delete(key, precondition).now(),
        }
    }
}
