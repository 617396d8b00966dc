//! One request being executed: its parts, who works on them, and what of it is under way.

use std::cell::RefCell;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::join;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::failures::Failures;
use super::pool::{Crew, Unleaked, cores};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::plan::{Counters, FastPath, Machine, Scratch};
use crate::store::{Answer, Store};

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

/// One request being executed.
pub(super) struct Job<'a> {
    pub(super) limits: &'a Limits,
    pub(super) counters: &'a Counters,
    pub(super) failures: &'a Failures<'a>,
    threads: usize,
    /// How many objects there are to work on.
    objects: usize,
    /// Made when there is work to share.
    crew: OnceLock<Arc<Crew>>,
    /// What may be under way at the same time, if the store's answers are awaited.
    flight: Option<Flight>,
}

/// What of a request may be under way at the same time.
#[derive(Debug)]
struct Flight {
    operations: Semaphore,
    /// In units of [`UNIT`].
    bytes: Semaphore,
    most: u32,
}

/// Bytes in flight are counted in units of so many.
const UNIT: u64 = 4096;

impl Flight {
    fn new(limits: &Limits) -> Self {
        // The rest of a budget is for the result and for what is decoded.
        let bytes = limits.in_flight.min(limits.memory.map_or(u64::MAX, |memory| memory / 2));
        let most = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        Self {
            operations: Semaphore::new(limits.operations.clamp(1, Semaphore::MAX_PERMITS)),
            bytes: Semaphore::new(most as usize),
            most,
        }
    }
}

/// A share of the bytes in flight.
#[derive(Debug, Default)]
pub(super) struct Held<'a>(Option<SemaphorePermit<'a>>);

impl<'a> Held<'a> {
    /// Whether there is a share.
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Gives the share back and waits for another, of `bytes`. What is more than all there is gets
    /// all there is.
    pub(super) async fn exchange(&mut self, job: &'a Job<'_>, bytes: u64) {
        self.0 = None;
        if let Some(flight) = &job.flight {
            let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(flight.most);
            // Nobody closes it.
            self.0 = flight.bytes.acquire_many(units).await.ok();
        }
    }
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
    /// What is done with `objects` objects of `store`.
    pub(super) fn new(
        (store, objects): (&dyn Store, usize),
        limits: &'a Limits,
        counters: &'a Counters,
        failures: &'a Failures<'a>,
    ) -> Self {
        let flight = (!store.capabilities().blocking).then(|| Flight::new(limits));
        Self { flight, ..Self::of_units(objects, limits, counters, failures) }
    }

    /// The units of one of `objects` machines that somebody else drives: no store is asked for anything.
    pub(super) fn of_units(
        objects: usize,
        limits: &'a Limits,
        counters: &'a Counters,
        failures: &'a Failures<'a>,
    ) -> Self {
        let (threads, crew) = (threads(limits), OnceLock::new());
        Self { limits, counters, failures, threads, objects, crew, flight: None }
    }

    /// How many objects there are to work on.
    pub(super) fn count(&self) -> usize {
        self.objects
    }

    /// How many threads may encode one unit where each object has so many: those that objects and units, all
    /// of them side by side, would leave idle.
    fn threads_each(&self, units: usize) -> usize {
        self.threads / self.objects.saturating_mul(units).clamp(1, self.threads)
    }

    /// Whether more than one thread may work on the request.
    pub(super) fn is_shared(&self) -> bool {
        self.threads > 1
    }

    /// Whether the store's answers are awaited.
    pub(super) fn is_awaited(&self) -> bool {
        self.flight.is_some()
    }

    /// Asks the store, as soon as no more of the request's questions are under way than may be.
    pub(super) async fn ask<'s, T: Unpin>(&self, ask: impl FnOnce() -> Answer<'s, T>) -> Result<T> {
        let Some(flight) = &self.flight else { return ask().await };
        let _permit = flight.operations.acquire().await.ok();
        self.limits.check()?;
        ask().await
    }

    fn crew(&self) -> &Arc<Crew> {
        if self.is_awaited() {
            return self.crew_elsewhere();
        }
        self.crew.get_or_init(|| Crew::new(self.threads))
    }

    /// The crew of a request on which the calling thread does not work, because it awaits answers or
    /// the crew's end: as many of the pool's threads do.
    pub(super) fn crew_elsewhere(&self) -> &Arc<Crew> {
        self.crew.get_or_init(|| Crew::new(self.threads + 1))
    }

    /// How many threads are worth it for `count` parts that take `estimate` nanoseconds together,
    /// beside one.
    fn helpers(&self, count: usize, estimate: u64) -> usize {
        let worth =
            usize::try_from(estimate / self.limits.tuning.helper.max(1)).unwrap_or(usize::MAX);
        worth.min(count.saturating_sub(1)).min(self.threads - 1)
    }

    fn grain(&self, count: usize, helpers: usize) -> usize {
        if helpers == 0 { count.max(1) } else { (count / (8 * (helpers + 1))).clamp(1, 64) }
    }

    /// Has every object claimed and worked on, by this thread and those that join.
    pub(super) fn objects(&self, estimate: u64, work: impl Fn(&Claims<'_>) + Sync) {
        let count = self.objects;
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

    /// Has every part acted on, by this thread and those that join; all take about `estimate`
    /// nanoseconds together.
    ///
    /// # Errors
    /// The first; parts that were not begun then are left.
    pub(super) fn parts<P: Send>(
        &self,
        parts: Vec<P>,
        estimate: u64,
        act: impl Fn(P) -> Result<()> + Sync,
    ) -> Result<()> {
        let helpers = self.helpers(parts.len(), estimate);
        let left = Mutex::new((parts.into_iter(), None));
        let lock = || left.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            loop {
                let Some(part) = lock().0.next() else { return };
                if let Err(error) = self.limits.check().and_then(|()| act(part)) {
                    let (parts, failed) = &mut *lock();
                    parts.by_ref().for_each(drop);
                    failed.get_or_insert(error);
                }
            }
        };
        if helpers == 0 {
            work();
        } else {
            self.counters.add(FastPath::Shared, 1);
            self.crew().share(helpers, false, &work);
        }
        let failed = left.into_inner().unwrap_or_else(PoisonError::into_inner).1;
        failed.map_or(Ok(()), Err)
    }

    /// Runs the units of a machine's work, on this thread and those that join. What failed, where that
    /// does not end the request.
    pub(super) fn units(
        &self,
        machine: &dyn Machine,
        units: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<Error>> {
        if units == 1 && !self.failures.go_on() {
            self.limits.check()?;
            return self.run_unit(machine, (0, units), scratch).map(|()| Vec::new());
        }
        self.each_unit((units, machine.estimate()), true, scratch, |unit, scratch| {
            self.run_unit(machine, (unit, units), scratch)
        })
    }

    /// As [`units`](Self::units), of which this thread does its share after `act`, which does not wait for
    /// them. If it fails, the units that were not begun are left.
    pub(super) fn units_beside(
        &self,
        machine: &dyn Machine,
        units: usize,
        scratch: &mut Scratch,
        act: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<Error>> {
        let helpers = self.helpers(units + 1, machine.estimate());
        let failures = self.failures.inner();
        let mut acted = Ok(());
        let first = || {
            acted = act();
            if acted.is_err() {
                failures.call_off();
            }
        };
        self.share_units((units, helpers), true, scratch, (&failures, first), |unit, scratch| {
            self.run_unit(machine, (unit, units), scratch)
        });
        acted?;
        self.failures.of_units(failures)
    }

    fn run_unit(
        &self,
        machine: &dyn Machine,
        (unit, units): (usize, usize),
        scratch: &mut Scratch,
    ) -> Result<()> {
        scratch.stages.threads = self.threads_each(units);
        machine.run(unit, scratch)
    }

    /// As [`units`](Self::units), of units that take about `estimate` nanoseconds together. `pure`: see
    /// [`Crew::share`].
    pub(super) fn each_unit(
        &self,
        (units, estimate): (usize, u64),
        pure: bool,
        scratch: &mut Scratch,
        run: impl Fn(usize, &mut Scratch) -> Result<()> + Sync,
    ) -> Result<Vec<Error>> {
        let helpers = self.helpers(units, estimate);
        let failures = self.failures.inner();
        self.share_units((units, helpers), pure, scratch, (&failures, || ()), run);
        self.failures.of_units(failures)
    }

    /// Has `first` done by this thread, and units run by it and by `helpers` others.
    fn share_units(
        &self,
        (units, helpers): (usize, usize),
        pure: bool,
        scratch: &mut Scratch,
        (failures, first): (&Failures<'_>, impl FnOnce()),
        run: impl Fn(usize, &mut Scratch) -> Result<()> + Sync,
    ) {
        let cursor = AtomicUsize::new(0);
        let claims = self.claims(&cursor, units, helpers, failures);
        if helpers == 0 {
            first();
            return claims.each(&mut |unit| run(unit, scratch));
        }
        // This thread's scratch is for whoever comes first once it is free, the others have their own.
        let lent = Mutex::new(None);
        let lock = || lent.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || {
            first();
            *lock() = Some(scratch);
        };
        self.counters.add(FastPath::Shared, 1);
        self.crew().share_after(first, helpers, pure, &|| {
            let mine = lock().take();
            let work = |scratch: &mut Scratch| claims.each(&mut |unit| run(unit, scratch));
            match mine {
                Some(scratch) => work(scratch),
                None => with_scratch(work),
            }
        });
    }

    /// Has the pool's threads run the units of a machine's work, while this thread goes on with
    /// other objects, and with what is done `beside` them; little work, and that of a request of one
    /// worker, is done here. Both are brought to an end: if what is done beside them fails, the units that
    /// were not begun are left.
    pub(super) async fn units_elsewhere(
        &self,
        (machine, units): (&dyn Machine, usize),
        unleaked: Unleaked,
        beside: impl Future<Output = Result<()>>,
    ) -> Result<Vec<Error>> {
        let estimate = machine.estimate();
        let helpers = self.helpers(units, estimate);
        let failures = self.failures.inner();
        let cursor = AtomicUsize::new(0);
        let claims = self.claims(&cursor, units, helpers, &failures);
        let work = || {
            with_scratch(|scratch| {
                claims.each(&mut |unit| self.run_unit(machine, (unit, units), scratch));
            });
        };
        let is_here = self.threads == 1 || estimate < self.limits.tuning.helper;
        let elsewhere = (!is_here).then(|| {
            self.counters.add(FastPath::Shared, u64::from(helpers > 0));
            self.crew().hand_out(helpers + 1, true, &work, unleaked)
        });
        let acting = async {
            let acted = beside.await;
            if acted.is_err() {
                failures.call_off();
            }
            acted
        };
        // What is asked of a store is under way when units are run here.
        let working = async {
            match elsewhere {
                Some(elsewhere) => elsewhere.await,
                None => work(),
            }
        };
        let (acted, ()) = join(acting, working).await;
        acted?;
        self.failures.of_units(failures)
    }

    fn claims<'c>(
        &self,
        cursor: &'c AtomicUsize,
        count: usize,
        helpers: usize,
        failures: &'c Failures<'c>,
    ) -> Claims<'c>
    where
        'a: 'c,
    {
        let grain = self.grain(count, helpers);
        Claims { cursor, count, grain, limits: self.limits, failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_threads_go_to_units() {
        let (counters, failures) = (Counters::default(), Failures::first());
        let limits = Limits { workers: 6, ..Limits::default() };
        // Objects, units of each, threads for one unit.
        for (objects, units, each) in [
            (0, 0, 6),
            (1, 1, 6),
            (1, 2, 3),
            (2, 1, 3),
            (2, 2, 1),
            (4, 1, 1),
            (6, 1, 1),
            (usize::MAX, 9, 1),
        ] {
            let job = Job::of_units(objects, &limits, &counters, &failures);
            assert_eq!(job.threads_each(units), each, "{objects} objects of {units}");
        }
    }
}
