//! Requests: what is done with the objects of a plan.

#![expect(unsafe_code, reason = "promises about futures that own what they work on")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::failures::Failures;
use super::job::{Job, with_scratch};
use super::pool::Unleaked;
use super::task::{Task, run, run_async};
use crate::buffer::Output;
use crate::error::{Error, Result, ResultExt};
use crate::limits::Limits;
use crate::plan::{Aim, Counters, Machine, ReadMachine, ReadPlan, Values, WriteMachine, WritePlan};
use crate::store::{Capabilities, Store, settled, settled_async};

/// Reads all objects of `plan` into `output`, which is given back.
///
/// # Errors
/// An error of the first object that failed, with its key; the output is dropped then, and the memory
/// it is of holds anything. `NotFound` for a missing object if the options make that an error,
/// `Cancelled`.
pub fn read<'o>(plan: &ReadPlan, store: &dyn Store, output: Output<'o>) -> Result<Output<'o>> {
    read_all(plan, store, output, &[])
}

/// As [`read`], for callers that await: it keeps no thread, and dropped before its end it ends its
/// requests. It owns what it works on: threads of the pool may be at work for it until it is dropped,
/// and it may be forgotten instead.
///
/// # Errors
/// As [`read`].
pub(crate) async fn read_async(
    plan: ReadPlan,
    store: Arc<dyn Store>,
    output: Output<'static>,
) -> Result<Output<'static>> {
    let failures = Failures::first();
    let reading = Reading::new(&plan, &*store, output, &[]);
    {
        let job =
            Job::new((&*store, plan.objects()), &plan.options().limits, plan.counters(), &failures);
        // SAFETY: the future owns all that is worked on.
        let unleaked = unsafe { Unleaked::promise() };
        run_async(&job, &reading, plan.estimate(), unleaked).await;
    }
    failures.into_result()?;
    reading.into_output()
}

/// As [`read`]; gives back also of each object whether it is stored.
///
/// # Errors
/// As [`read`].
pub fn read_present<'o>(
    plan: &ReadPlan,
    store: &dyn Store,
    output: Output<'o>,
) -> Result<(Output<'o>, Vec<bool>)> {
    let present: Vec<_> = (0..plan.objects()).map(|_| AtomicBool::new(false)).collect();
    let output = read_all(plan, store, output, &present)?;
    Ok((output, present.into_iter().map(AtomicBool::into_inner).collect()))
}

/// The reading of objects into an output.
struct Reading<'a, 'o> {
    plan: &'a ReadPlan,
    store: &'a dyn Store,
    capabilities: Capabilities,
    /// Shared by this request's machines and by nobody else: an object is begun by one of them only.
    output: Arc<Output<'o>>,
    /// Which objects are stored; empty if nobody wants to know.
    found: &'a [AtomicBool],
}

impl<'a, 'o> Reading<'a, 'o> {
    fn new(
        plan: &'a ReadPlan,
        store: &'a dyn Store,
        output: Output<'o>,
        found: &'a [AtomicBool],
    ) -> Self {
        let capabilities = store.capabilities();
        Self { plan, store, capabilities, output: Arc::new(output), found }
    }

    /// The output, once there are no machines any more.
    fn into_output(self) -> Result<Output<'o>> {
        let output = Arc::into_inner(self.output);
        output.ok_or_else(|| Error::io("the result of a read is still in use"))
    }
}

impl<'o> Task for Reading<'_, 'o> {
    type Machine = ReadMachine<'o>;

    fn store(&self) -> &dyn Store {
        self.store
    }

    fn machine(&self) -> ReadMachine<'o> {
        ReadMachine::new(self.plan, Arc::clone(&self.output), self.capabilities)
    }

    fn begin(&self, machine: &mut ReadMachine<'o>, number: usize) {
        machine.begin(self.plan, number);
    }

    fn end(&self, machine: &ReadMachine<'o>, number: usize, present: bool) -> Result<()> {
        if let Some(found) = self.found.get(number) {
            found.store(present, Ordering::Relaxed);
        }
        if !present && self.plan.options().missing_is_error {
            return Err(Error::not_found("the chunk is missing").with("key", machine.key()));
        }
        Ok(())
    }
}

/// Reads all objects, and takes note in `found`, if it is not empty, which of them are stored.
fn read_all<'o>(
    plan: &ReadPlan,
    store: &dyn Store,
    output: Output<'o>,
    found: &[AtomicBool],
) -> Result<Output<'o>> {
    let failures = Failures::first();
    let reading = Reading::new(plan, store, output, found);
    let job = Job::new((store, plan.objects()), &plan.options().limits, plan.counters(), &failures);
    run(&job, &reading, plan.estimate());
    drop(job);
    failures.into_result()?;
    reading.into_output()
}

/// The writing of values to objects.
struct Writing<'a, 'v> {
    plan: &'a WritePlan,
    store: &'a dyn Store,
    capabilities: Capabilities,
    values: Arc<Values<'v>>,
}

impl<'v> Task for Writing<'_, 'v> {
    type Machine = WriteMachine<'v>;

    fn store(&self) -> &dyn Store {
        self.store
    }

    fn machine(&self) -> WriteMachine<'v> {
        WriteMachine::new(self.plan, Arc::clone(&self.values), self.capabilities)
    }

    fn begin(&self, machine: &mut WriteMachine<'v>, number: usize) {
        machine.begin(self.plan, number);
    }

    fn end(&self, _machine: &WriteMachine<'v>, _number: usize, _present: bool) -> Result<()> {
        Ok(())
    }

    fn weight(&self) -> u64 {
        self.plan.weight(self.capabilities)
    }
}

/// Writes `values` to all objects of `plan`.
///
/// # Errors
/// An error of the first object that failed, with its key. That object is as it was; of the
/// others, some are written and some are not. What is written is settled either way.
pub fn write(plan: &WritePlan, store: &dyn Store, values: Values<'_>) -> Result<()> {
    let (capabilities, values) = (store.capabilities(), Arc::new(values));
    let writing = Writing { plan, store, capabilities, values };
    settled(store, || {
        let failures = Failures::first();
        let job =
            Job::new((store, plan.objects()), &plan.options().limits, plan.counters(), &failures);
        run(&job, &writing, plan.estimate());
        drop(job);
        failures.into_result()
    })
}

/// As [`write()`], for callers that await: it keeps no thread. Dropped before its end, it leaves some
/// objects written and some not, and nothing settled. Like [`read_async`] it owns what it works on; the
/// values are given back.
///
/// # Errors
/// As [`write()`].
pub(crate) async fn write_async(
    plan: WritePlan,
    store: Arc<dyn Store>,
    values: Values<'static>,
) -> Result<Values<'static>> {
    let (capabilities, values) = (store.capabilities(), Arc::new(values));
    let writing = Writing { plan: &plan, store: &*store, capabilities, values };
    settled_async(&*store, async {
        let failures = Failures::first();
        {
            let job = Job::new(
                (&*store, plan.objects()),
                &plan.options().limits,
                plan.counters(),
                &failures,
            );
            // SAFETY: the future owns all that is worked on.
            let unleaked = unsafe { Unleaked::promise() };
            run_async(&job, &writing, plan.estimate(), unleaked).await;
        }
        failures.into_result()
    })
    .await?;
    let values = Arc::into_inner(writing.values);
    values.ok_or_else(|| Error::io("the values of a write are still in use"))
}

/// Runs the `units` of a machine's last [`Step::Work`](crate::plan::Step::Work), for an executor that
/// lives elsewhere, on this thread and on those of the pool that join; it has `objects` machines.
///
/// # Errors
/// The first unit's that failed, with the object's key.
pub fn work(
    machine: &dyn Machine,
    (units, objects): (usize, usize),
    limits: &Limits,
    counters: &Counters,
) -> Result<()> {
    let failures = Failures::first();
    let job = Job::of_units(objects, limits, counters, &failures);
    let failed = with_scratch(|scratch| job.units(machine, units, scratch));
    failed.context("key", || machine.key())?;
    failures.into_result()
}

/// The examining of whole objects, by their place in the grid.
struct Examining<'a> {
    plan: &'a ReadPlan,
    store: &'a dyn Store,
    capabilities: Capabilities,
    aim: Aim,
    chunks: &'a [&'a [u64]],
    /// Told of each object as it begins.
    begun: Mutex<&'a mut (dyn FnMut(usize) + Send)>,
    counted: AtomicU64,
}

impl Task for Examining<'_> {
    type Machine = ReadMachine<'static>;

    fn store(&self) -> &dyn Store {
        self.store
    }

    fn machine(&self) -> ReadMachine<'static> {
        ReadMachine::examiner(self.plan, self.capabilities, self.aim)
    }

    fn begin(&self, machine: &mut ReadMachine<'static>, number: usize) {
        (self.begun.lock().unwrap_or_else(PoisonError::into_inner))(number);
        machine.begin_at(self.plan, self.chunks[number]);
    }

    fn end(&self, machine: &ReadMachine<'static>, _number: usize, _present: bool) -> Result<()> {
        self.counted.fetch_add(machine.counted(), Ordering::Relaxed);
        Ok(())
    }
}

/// Examines the objects at `chunks` of the grid, as `plan` would read the whole of one; how many
/// inner chunks were counted.
fn examine<'a>(
    (plan, aim): (&'a ReadPlan, Aim),
    store: &'a dyn Store,
    chunks: &'a [&'a [u64]],
    begun: &'a mut (dyn FnMut(usize) + Send),
    failures: &Failures<'_>,
) -> u64 {
    let job = Job::new((store, chunks.len()), &plan.options().limits, plan.counters(), failures);
    let (capabilities, begun) = (store.capabilities(), Mutex::new(begun));
    let examining =
        Examining { plan, store, capabilities, aim, chunks, begun, counted: AtomicU64::new(0) };
    let estimate = plan.estimate().saturating_mul(chunks.len() as u64);
    run(&job, &examining, estimate);
    examining.counted.into_inner()
}

/// Decodes the objects at `chunks` of the grid and gives all that is wrong with them. `plan` reads the
/// whole of one of them; `begun` is told the number of each before it is read.
#[must_use]
pub fn check(
    plan: &ReadPlan,
    store: &dyn Store,
    chunks: &[&[u64]],
    begun: &mut (dyn FnMut(usize) + Send),
) -> Vec<Error> {
    let failures = Failures::all();
    examine((plan, Aim::Soundness), store, chunks, begun, &failures);
    failures.into_vec()
}

/// How many inner chunks of the objects at `chunks` of the grid are stored, from their indexes. An
/// object that is no shard counts as one. `plan` is as for [`check`].
///
/// # Errors
/// `Corrupt` for a damaged index, with the object's key.
pub fn survey(plan: &ReadPlan, store: &dyn Store, chunks: &[&[u64]]) -> Result<u64> {
    let failures = Failures::first();
    let counted = examine((plan, Aim::Count), store, chunks, &mut |_| (), &failures);
    failures.into_result().map(|()| counted)
}
