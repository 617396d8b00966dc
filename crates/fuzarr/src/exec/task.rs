//! What a request does with its objects, and the two ways to have it done.
//!
//! Where the store answers at once, each object's whole life runs on one thread, beside those of
//! other objects on others. Where answers are awaited, one thread keeps the lives of many objects
//! under way, and the pool's threads run their units.

#![expect(unsafe_code, reason = "a promise about a future that is waited for")]

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::job::{Held, Job, with_scratch};
use super::life::{Life, Workers};
use super::pool::Unleaked;
use crate::error::Result;
use crate::plan::Machine;
use crate::store::Store;
use crate::wait::wait;

/// What a request does with its objects.
pub(super) trait Task: Sync {
    /// What drives through an object's life; it is used for one object after the other.
    type Machine: Machine + Send;

    /// Where the objects are.
    fn store(&self) -> &dyn Store;

    /// A machine that has not begun yet.
    fn machine(&self) -> Self::Machine;

    /// Starts on object `number`.
    fn begin(&self, machine: &mut Self::Machine, number: usize);

    /// Takes note of the end of object `number`, which is stored or not.
    fn end(&self, machine: &Self::Machine, number: usize, present: bool) -> Result<()>;

    /// Bytes that an object holds from its start to its end; 0 if just what is fetched of it.
    fn weight(&self) -> u64 {
        0
    }
}

/// Does the task with all of the job's objects, which take one thread `estimate` nanoseconds. What fails
/// is in the job's failures.
pub(super) fn run(job: &Job<'_>, task: &impl Task, estimate: u64) {
    if job.is_awaited() {
        // SAFETY: the future is waited for right here, and dropped before the call returns.
        let unleaked = unsafe { Unleaked::promise() };
        return wait(run_awaited(job, task, unleaked));
    }
    job.objects(estimate, |claims| {
        let mut machine = task.machine();
        with_scratch(|scratch| {
            claims.each(&mut |number| {
                task.begin(&mut machine, number);
                let life = Life::new((job, task.store()), &mut machine, Workers::Here(scratch));
                let present = wait(life.run(Held::default()))?;
                task.end(&machine, number, present)
            });
        });
    });
}

/// As [`run`], without keeping the calling thread: awaits the store's answers, or a thread of the pool
/// that does all of it.
pub(super) async fn run_async(job: &Job<'_>, task: &impl Task, estimate: u64, unleaked: Unleaked) {
    if job.is_awaited() {
        return run_awaited(job, task, unleaked).await;
    }
    let all = || run(job, task, estimate);
    job.crew_elsewhere().hand_out(1, false, &all, unleaked).await;
}

/// As [`run`], awaiting the store's answers: objects are begun in order, and some are under way at
/// the same time. Dropped before its end, it ends all of them.
async fn run_awaited(job: &Job<'_>, task: &impl Task, unleaked: Unleaked) {
    let idle = Mutex::new(Vec::new());
    let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
    let live = |number| async move {
        let mut held = Held::default();
        if task.weight() > 0 {
            // Before there is a machine: it keeps memory after its life, for the next.
            held.exchange(job, task.weight()).await;
        }
        let mut machine = idle().pop().unwrap_or_else(|| task.machine());
        task.begin(&mut machine, number);
        let workers = Workers::Elsewhere(unleaked);
        let present = Life::new((job, task.store()), &mut machine, workers).run(held).await;
        let outcome = present.and_then(|present| task.end(&machine, number, present));
        idle().push(machine);
        (number, outcome)
    };
    // While some are decoded, others are asked for.
    let most = job.limits.operations.saturating_mul(2).max(1);
    let (mut lives, mut begun) = (FuturesUnordered::new(), 0);
    let drive = poll_fn(|context| {
        loop {
            if let Err(cancelled) = job.limits.check() {
                job.failures.add(begun, cancelled);
            }
            if job.failures.end() {
                return Poll::Ready(());
            }
            while lives.len() < most && begun < job.count() {
                lives.push(live(begun));
                begun += 1;
            }
            match lives.poll_next_unpin(context) {
                Poll::Ready(Some((number, Err(error)))) => job.failures.add(number, error),
                Poll::Ready(Some((_, Ok(())))) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    drive.await;
}
