//! The blocking executor, for stores that answer at once: the calling thread drives each object's
//! life, and the pool's threads join in, object by object and unit by unit.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::failures::Failures;
use super::pool::{Crew, cores};
use crate::buffer::Output;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::limits::Limits;
use crate::plan::{
    Commit, Counters, FastPath, Machine, ReadMachine, ReadPlan, Scratch, Step, Values,
    WriteMachine, WritePlan,
};
use crate::store::{Content, MemoryStore, Object, Precondition, Store, Upload, settled};

/// How often an object that keeps changing under a request is read anew before giving up.
const ATTEMPTS: usize = 100;

/// A read of at most this many bytes is not torn by a writer that changes the file in place.
const PAGE: u64 = 4096;

thread_local! {
    /// What this thread's calls reuse. Taken while in use, so that a call within a call is safe.
    static SCRATCH: RefCell<Option<Box<Scratch>>> = const { RefCell::new(None) };
}

/// Calls `act` with the thread's scratch.
pub(super) fn with_scratch<T>(act: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let outcome = act(&mut scratch);
    scratch.shrink();
    SCRATCH.set(Some(scratch));
    outcome
}

/// How many threads work on a request of these limits, on this machine.
#[must_use]
pub fn threads(limits: &Limits) -> usize {
    limits.threads(cores())
}

/// Reads all objects of `plan` into `output`.
///
/// # Errors
/// An error of the first object that failed, with its key; the output is unspecified then.
/// `NotFound` for a missing object if the options make that an error, `Cancelled`.
pub fn read(plan: &ReadPlan, store: &dyn Store, output: &Arc<Output<'_>>) -> Result<()> {
    let failures = Failures::first();
    read_all(plan, store, output, (&failures, &[]));
    failures.into_result()
}

/// As [`read`]; gives back of each object whether it is stored.
///
/// # Errors
/// As [`read`].
pub fn read_present(
    plan: &ReadPlan,
    store: &dyn Store,
    output: &Arc<Output<'_>>,
) -> Result<Vec<bool>> {
    let failures = Failures::first();
    let present: Vec<_> = (0..plan.objects()).map(|_| AtomicBool::new(false)).collect();
    read_all(plan, store, output, (&failures, &present));
    failures.into_result()?;
    Ok(present.into_iter().map(AtomicBool::into_inner).collect())
}

/// Reads all objects of `plan` and gives every error instead of the first one only.
#[must_use]
pub fn check(plan: &ReadPlan, store: &dyn Store, output: Output<'_>) -> Vec<Error> {
    let failures = Failures::all();
    read_all(plan, store, &Arc::new(output), (&failures, &[]));
    failures.into_vec()
}

/// Reads all objects, and takes note in `found`, if it is not empty, which of them are stored.
fn read_all(
    plan: &ReadPlan,
    store: &dyn Store,
    output: &Arc<Output<'_>>,
    (failures, found): (&Failures<'_>, &[AtomicBool]),
) {
    let options = plan.options();
    let capabilities = store.capabilities();
    let job = Job::new(store, &options.limits, plan.counters(), failures);
    job.objects(plan.objects(), plan.estimate(), |claims| {
        let mut machine = ReadMachine::new(plan, Arc::clone(output), capabilities);
        with_scratch(|scratch| {
            claims.each(&mut |number| {
                machine.begin(plan, number);
                let present = job.drive(&mut machine, scratch)?;
                if let Some(found) = found.get(number) {
                    found.store(present, Ordering::Relaxed);
                }
                if !present && options.missing_is_error {
                    let missing = Error::not_found("the chunk is missing");
                    return Err(missing.with("key", machine.key()));
                }
                Ok(())
            });
        });
    });
}

/// Writes `values` to all objects of `plan`.
///
/// # Errors
/// An error of the first object that failed, with its key. That object is as it was; of the
/// others, some are written and some are not. What is written is settled either way.
pub fn write(plan: &WritePlan, store: &dyn Store, values: Values<'_>) -> Result<()> {
    let failures = Failures::first();
    let values = Arc::new(values);
    let job = Job::new(store, &plan.options().limits, plan.counters(), &failures);
    let capabilities = store.capabilities();
    let outcome = settled(store, || {
        job.objects(plan.objects(), plan.estimate(), |claims| {
            let mut machine = WriteMachine::new(plan, Arc::clone(&values), capabilities);
            with_scratch(|scratch| {
                claims.each(&mut |number| {
                    machine.begin(plan, number);
                    job.drive(&mut machine, scratch).map(drop)
                });
            });
        });
        Ok(())
    });
    failures.into_result().and(outcome)
}

/// Runs the `units` of a machine's last [`Step::Work`], for an executor that lives elsewhere, on this
/// thread and on those of the pool that join.
///
/// # Errors
/// The first unit's that failed, with the object's key.
pub fn work(
    machine: &dyn Machine,
    units: usize,
    limits: &Limits,
    counters: &Counters,
) -> Result<()> {
    let (nothing, failures) = (MemoryStore::new(), Failures::first());
    let job = Job::new(&nothing, limits, counters, &failures);
    with_scratch(|scratch| job.units(machine, units, scratch)).context("key", || machine.key())?;
    failures.into_result()
}

/// How many inner chunks of the objects of `plan` are stored, from their indexes. An object that is
/// no shard counts as one.
///
/// # Errors
/// `Corrupt` for a damaged index, with the object's key.
pub fn survey(plan: &ReadPlan, store: &dyn Store) -> Result<u64> {
    let failures = Failures::first();
    let counted = AtomicU64::new(0);
    let output = Arc::new(Output::owned(Vec::new()));
    let job = Job::new(store, &plan.options().limits, plan.counters(), &failures);
    let capabilities = store.capabilities();
    job.objects(plan.objects(), plan.estimate(), |claims| {
        let mut machine = ReadMachine::new(plan, Arc::clone(&output), capabilities);
        machine.survey();
        with_scratch(|scratch| {
            claims.each(&mut |number| {
                machine.begin(plan, number);
                job.drive(&mut machine, scratch)?;
                counted.fetch_add(machine.counted(), Ordering::Relaxed);
                Ok(())
            });
        });
    });
    failures.into_result().map(|()| counted.into_inner())
}

/// One request being executed.
pub(super) struct Job<'a> {
    store: &'a dyn Store,
    limits: &'a Limits,
    counters: &'a Counters,
    threads: usize,
    /// Made when there is work to share.
    crew: OnceLock<Arc<Crew>>,
    failures: &'a Failures<'a>,
}

/// Parts of a job that threads take from a cursor.
pub(super) struct Claims<'a> {
    cursor: &'a AtomicUsize,
    count: usize,
    /// How many are taken at once.
    grain: usize,
    limits: &'a Limits,
    failures: &'a Failures<'a>,
}

impl Claims<'_> {
    /// Calls `act` with parts until there are none, or the request has ended.
    pub(super) fn each(&self, act: &mut dyn FnMut(usize) -> Result<()>) {
        loop {
            let start = self.cursor.fetch_add(self.grain, Ordering::Relaxed);
            if start >= self.count {
                return;
            }
            for number in start..self.count.min(start + self.grain) {
                if self.failures.end() {
                    return;
                }
                if let Err(error) = self.limits.check().and_then(|()| act(number)) {
                    self.failures.add(number, error);
                }
            }
        }
    }
}

impl<'a> Job<'a> {
    pub(super) fn new(
        store: &'a dyn Store,
        limits: &'a Limits,
        counters: &'a Counters,
        failures: &'a Failures<'a>,
    ) -> Self {
        let threads = threads(limits);
        Self { store, limits, counters, threads, crew: OnceLock::new(), failures }
    }

    fn crew(&self) -> &Arc<Crew> {
        self.crew.get_or_init(|| Crew::new(self.threads))
    }

    /// How many threads to invite for `count` parts that take `estimate` nanoseconds together.
    fn helpers(&self, count: usize, estimate: u64) -> usize {
        let worth =
            usize::try_from(estimate / self.limits.tuning.helper.max(1)).unwrap_or(usize::MAX);
        worth.min(count.saturating_sub(1)).min(self.threads - 1)
    }

    fn grain(&self, count: usize, helpers: usize) -> usize {
        if helpers == 0 { count.max(1) } else { (count / (8 * (helpers + 1))).clamp(1, 64) }
    }

    /// Has every object claimed and driven, by this thread and those that join.
    pub(super) fn objects(&self, count: usize, estimate: u64, work: impl Fn(&Claims<'_>) + Sync) {
        let helpers = self.helpers(count, estimate);
        let cursor = AtomicUsize::new(0);
        let Self { limits, failures, .. } = *self;
        let grain = self.grain(count, helpers);
        let claims = Claims { cursor: &cursor, count, grain, limits, failures };
        self.counters.add(FastPath::Shared, u64::from(helpers > 0));
        if helpers == 0 {
            return work(&claims);
        }
        self.crew().share(helpers, false, &|| work(&claims));
    }

    /// Runs the units of a machine's work, on this thread and those that join.
    fn units(&self, machine: &dyn Machine, units: usize, scratch: &mut Scratch) -> Result<()> {
        let helpers = self.helpers(units, machine.estimate());
        if units == 1 && !self.failures.go_on() {
            return self.limits.check().and_then(|()| machine.run(0, scratch));
        }
        let failures = self.failures.inner();
        let cursor = AtomicUsize::new(0);
        let grain = self.grain(units, helpers);
        let claims = Claims {
            cursor: &cursor,
            count: units,
            grain,
            limits: self.limits,
            failures: &failures,
        };
        if helpers == 0 {
            claims.each(&mut |unit| machine.run(unit, scratch));
        } else {
            // The first to come works with this thread's scratch, the others with their own.
            let lent = Mutex::new(Some(scratch));
            self.counters.add(FastPath::Shared, 1);
            self.crew().share(helpers, true, &|| {
                let mine = lent.lock().unwrap_or_else(PoisonError::into_inner).take();
                let run = |scratch: &mut Scratch| {
                    claims.each(&mut |unit| machine.run(unit, scratch));
                };
                match mine {
                    Some(scratch) => run(scratch),
                    None => with_scratch(run),
                }
            });
        }
        self.failures.take_over(failures, machine.key())
    }

    /// Reads the machine's targets; the bytes of the first, or `None` if the store cannot.
    fn fill_targets(
        &self,
        machine: &dyn Machine,
        object: &dyn Object,
        targets: usize,
    ) -> Result<Option<u64>> {
        let fill = |target: usize| match machine.target(target) {
            Some((start, memory)) => {
                let length = memory.len() as u64;
                Ok(object.read_into(start, memory).now()?.then_some(length))
            }
            None => Err(Error::invalid_argument("a read has no place for what it asked for")),
        };
        let Some(first) = fill(0)? else { return Ok(None) };
        (1..targets).try_for_each(|target| {
            self.limits.check()?;
            fill(target).map(drop)
        })?;
        Ok(Some(first))
    }

    /// Drives one machine to its end; whether its object is stored.
    fn drive(&self, machine: &mut dyn Machine, scratch: &mut Scratch) -> Result<bool> {
        let mut life = Life { job: self, machine, upload: None, object: None, read: 0 };
        let outcome = life.run(scratch);
        outcome.context("key", || life.machine.key())
    }
}

/// What a read of so many bytes adds to those before it, see [`Life::read`].
fn read_of(before: u64, length: u64) -> u64 {
    length + if before == 0 { 1 } else { PAGE + 1 }
}

/// One object's life: the machine, and the version of the object that it works on.
struct Life<'a, 'm> {
    job: &'a Job<'a>,
    machine: &'m mut dyn Machine,
    /// The new object, if it is written piece by piece.
    upload: Option<Box<dyn Upload>>,
    /// Held until the end, so that the version cannot be mistaken for another.
    object: Option<Box<dyn Object>>,
    /// Bytes read of it, and one more; a page more for each read that follows another, since two
    /// reads may be of two versions however small they are.
    read: u64,
}

impl Life<'_, '_> {
    fn run(&mut self, scratch: &mut Scratch) -> Result<bool> {
        let mut restarts = 0;
        loop {
            let step = self.step(scratch);
            let restart = match &step {
                Ok(Some(_)) => !self.is_unchanged()?,
                Ok(None) => false,
                // What looks damaged may be two versions.
                Err(error) if error.kind() == Kind::Corrupt => !self.is_unchanged()?,
                Err(error) => error.kind() == Kind::Conflict,
            };
            if restart {
                if restarts == ATTEMPTS {
                    return Err(step
                        .err()
                        .filter(|error| error.kind() == Kind::Conflict)
                        .unwrap_or_else(|| Error::conflict("the object never stops changing")));
                }
                restarts += 1;
                (self.object, self.upload, self.read) = (None, None, 0);
                self.machine.restart();
                continue;
            }
            if let Some(present) = step? {
                scratch.keep(self.machine.reclaim());
                return Ok(present);
            }
        }
    }

    /// Takes one step; at the end, whether the object is stored.
    fn step(&mut self, scratch: &mut Scratch) -> Result<Option<bool>> {
        match self.machine.next()? {
            Step::Open => self.open()?,
            Step::Fetch(_) => self.fetch(scratch)?,
            Step::Work(units) => self.job.units(self.machine, units, scratch)?,
            Step::Commit(commit) => {
                self.commit(commit)?;
                self.machine.committed();
                if matches!(commit, Commit::Put | Commit::Patch | Commit::Finish | Commit::Delete) {
                    // What was read is no longer what is stored.
                    self.read = 0;
                }
            }
            Step::Done { present } => return Ok(Some(present)),
        }
        Ok(None)
    }

    /// Whether all that was read is of one version. One small read always is.
    fn is_unchanged(&self) -> Result<bool> {
        match &self.object {
            Some(object) if self.read > PAGE + 1 => object.is_unchanged().now(),
            _ => Ok(true),
        }
    }

    /// Pins the object.
    fn open(&mut self) -> Result<()> {
        self.object = self.job.store.open(self.machine.key()).now()?;
        // What is known of this version from before counts as read.
        self.read = 1;
        match &self.object {
            Some(object) => self.machine.opened(object.version(), object.size()),
            None => self.machine.supply(None, Precondition::Absent),
        }
        Ok(())
    }

    /// Reads what the machine asks for, all from one version of the object.
    fn fetch(&mut self, scratch: &mut Scratch) -> Result<()> {
        if self.object.is_none() {
            self.object = self.job.store.open(self.machine.key()).now()?;
        }
        let Some(object) = self.object.as_deref() else {
            self.machine.supply(None, Precondition::Absent);
            return Ok(());
        };
        let targets = self.machine.targets(object.size());
        let first =
            if targets > 0 { self.job.fill_targets(self.machine, object, targets)? } else { None };
        match first {
            Some(length) => {
                self.machine.placed();
                self.read += read_of(self.read, length) + (targets as u64 - 1) * (PAGE + 1);
            }
            None => self.machine.without_targets(),
        }
        scratch.pieces.clear();
        for span in self.machine.spans() {
            let read = object.read(span.clone(), std::mem::take(&mut scratch.fetch)).now();
            let codec = self.machine.codec();
            // An object of a size that its codecs cannot make.
            match read.map_err(|error| match error.kind() {
                Kind::Corrupt => error.with("codec", codec),
                _ => error,
            })? {
                Some(piece) => {
                    self.read += read_of(self.read, piece.bytes.as_slice().len() as u64);
                    scratch.pieces.push(piece);
                }
                None => {
                    self.machine.supply(None, Precondition::Absent);
                    return Ok(());
                }
            }
        }
        let precondition = object.version().map_or(Precondition::None, Precondition::Unchanged);
        self.machine.supply(Some(&mut scratch.pieces), precondition);
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        let (key, precondition) = (self.machine.key(), self.machine.precondition());
        let store = self.job.store;
        match commit {
            Commit::Put => {
                let parts = self.machine.parts();
                let content = Content { parts: &parts, base: self.object.as_deref() };
                store.put(key, content, precondition).now()
            }
            Commit::Delete => {
                self.upload = None;
                store.delete(key, precondition).now()
            }
            Commit::Patch => store.patch(key, &self.machine.changes(), precondition).now(),
            Commit::Append => self.append(),
            Commit::Finish => {
                self.append()?;
                self.upload.take().map_or(Ok(()), |upload| upload.finish(precondition).now())
            }
        }
    }

    /// Writes the machine's parts to the new object.
    fn append(&mut self) -> Result<()> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.job.store.begin(self.machine.key()).now()?),
        };
        let parts = self.machine.parts();
        let content = Content { parts: &parts, base: self.object.as_deref() };
        upload.write(self.machine.offset(), content).now()
    }
}
