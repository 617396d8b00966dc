//! Explaining reads: their machines are driven as far as indexes go; data is counted, not fetched.

use std::future::ready;
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::failures::Failures;
use super::job::{Job, with_scratch};
use crate::error::{Result, ResultExt};
use crate::plan::{Bounds, Counters, Explanation, Machine as _, ReadMachine, ReadPlan, Step};
use crate::store::{Object, Precondition, Span, Store, find, read_any};
use crate::wait::wait;

/// What reading `plan` takes. With `exact`, indexes are read and objects opened; without, nothing is
/// asked of the store.
///
/// # Errors
/// With `exact`, `Corrupt` for a damaged index, `Io`; `Limit`, `Cancelled`.
pub fn explain(plan: &ReadPlan, store: &dyn Store, exact: bool) -> Result<Explanation> {
    let failures = Failures::first();
    let total = Mutex::new(plan.outline()?);
    // No read's: what is explained is not counted.
    let counters = Counters::default();
    let job = Job::new((store, plan.objects()), &plan.options().limits, &counters, &failures);
    let capabilities = store.capabilities();
    plan.explainer(capabilities)?;
    let add = |cost: &Explanation| {
        total.lock().unwrap_or_else(PoisonError::into_inner).absorb(cost);
    };
    if exact && job.is_awaited() {
        let most = plan.options().limits.operations.max(1);
        let ask = |number| async move {
            let mut machine = plan.explainer(capabilities)?;
            machine.begin(plan, number);
            plan.options().limits.check()?;
            ask(&mut machine, store).await.context("key", || machine.key())
        };
        let asked = stream::iter(0..plan.objects()).map(ask).buffer_unordered(most);
        wait(asked.try_for_each(|cost| {
            add(&cost);
            ready(Ok(()))
        }))?;
    } else {
        job.objects(plan.estimate(), |claims| {
            let Ok(mut machine) = plan.explainer(capabilities) else { return };
            claims.each(&mut |number| {
                machine.begin(plan, number);
                let cost = if exact { wait(ask(&mut machine, store)) } else { machine.foresee() };
                add(&cost.context("key", || machine.key())?);
                Ok(())
            });
        });
    }
    failures.into_result()?;
    Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Requests of one object.
#[derive(Default)]
struct Tally {
    requests: u64,
    bytes: u64,
    round_trips: u64,
}

/// What reading the machine's object takes, from its indexes.
async fn ask(machine: &mut ReadMachine<'_>, store: &dyn Store) -> Result<Explanation> {
    let mut object = None;
    let mut tally = Tally::default();
    loop {
        match machine.next()? {
            Step::Open => match open(machine, store).await? {
                Some(opened) => {
                    machine.opened(opened.version(), opened.size());
                    object = Some(opened);
                }
                None => return Ok(missing()),
            },
            Step::Fetch(purpose) => {
                if object.is_none() {
                    object = open(machine, store).await?;
                }
                let Some(object) = object.as_deref() else { return Ok(missing()) };
                let is_index = purpose == crate::plan::Purpose::Index;
                fetch(machine, object, is_index, &mut tally).await?;
            }
            Step::Work(units) => {
                with_scratch(|scratch| (0..units).try_for_each(|unit| machine.run(unit, scratch)))?;
            }
            Step::Append(_) | Step::Commit(_) | Step::Done { .. } => {
                let memory = machine.reclaim();
                with_scratch(|scratch| scratch.keep(memory));
                return Ok(Explanation {
                    requests: Bounds::exactly(tally.requests),
                    fetched: Bounds::exactly(tally.bytes),
                    round_trips: Bounds::exactly(tally.round_trips),
                    ..machine.explanation()
                });
            }
        }
    }
}

async fn open(machine: &ReadMachine<'_>, store: &dyn Store) -> Result<Option<Box<dyn Object>>> {
    find(store, machine.key()).await
}

/// What an object that does not exist takes: that it is asked for.
fn missing() -> Explanation {
    Explanation { missing: 1, round_trips: Bounds::exactly(1), ..Explanation::default() }
}

/// Answers a request of the machine: reads an index, counts everything else.
async fn fetch(
    machine: &mut ReadMachine<'_>,
    object: &dyn Object,
    is_index: bool,
    tally: &mut Tally,
) -> Result<()> {
    let mut requests = 0;
    let mut bytes = 0;
    // Reading nothing tells whether the store reads into memory.
    if machine.targets(object.size()) > 0 && object.read_into(0, &mut []).await? {
        for source in machine.target_sources() {
            requests += 1;
            bytes += source.end - source.start;
        }
        machine.placed();
    } else {
        machine.without_targets();
    }
    // A store that does not tell sizes has to be read.
    let size = object.size().filter(|_| !is_index);
    let mut pieces = Vec::new();
    for span in machine.spans() {
        requests += 1;
        if let Some(size) = size {
            bytes += length(span, size);
        } else if let Some(piece) = read_any(object, span.clone(), Vec::new()).await? {
            bytes += piece.bytes.as_slice().len() as u64;
            pieces.push(piece);
        }
    }
    if !machine.is_at_hand() {
        tally.requests += requests;
        tally.bytes += bytes;
        // What came with an index needs no more requests.
        tally.round_trips += u64::from(requests > 0);
    }
    match size.or_else(|| pieces.first().map(|piece| piece.object_size)) {
        Some(size) if !is_index => return machine.skip(size),
        _ => {
            let version = object.version().map_or(Precondition::None, Precondition::Unchanged);
            machine.supply(Some(&mut pieces), version);
        }
    }
    Ok(())
}

/// Bytes of a span of an object of `size` bytes.
fn length(span: &Span, size: u64) -> u64 {
    match span {
        Span::Whole(_) => size,
        Span::Prefix(length) | Span::Suffix(length) => (*length).min(size),
        Span::Range(range) => range.end.min(size).saturating_sub(range.start),
    }
}
