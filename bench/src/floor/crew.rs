//! Threads that are there before the clock runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::Result;

/// How often a thread looks for work before it sleeps: some tens of microseconds, which is about what
/// waking it would take.
const LOOKS: usize = 2_000;

/// Work that any number of threads can take part in.
pub(super) trait Job: Send + Sync {
    /// Does parts of it until there are none left. `member` differs between threads.
    fn work(&self, member: usize) -> Result<()>;
}

/// The calling thread, and others that help it.
pub(super) struct Crew {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    posted: Mutex<Posted>,
    wake: Condvar,
    /// Counts what was posted.
    generation: AtomicU64,
    /// Helpers that are at work.
    active: AtomicUsize,
}

#[derive(Default)]
struct Posted {
    job: Option<Arc<dyn Job>>,
    failure: Option<Box<dyn std::error::Error + Send + Sync>>,
    closing: bool,
}

impl Crew {
    /// A crew of so many threads, the calling one included.
    pub(super) fn new(threads: usize) -> Result<Self> {
        let shared = Arc::new(Shared {
            posted: Mutex::default(),
            wake: Condvar::new(),
            generation: AtomicU64::new(0),
            active: AtomicUsize::new(0),
        });
        let start = |member| {
            let shared = Arc::clone(&shared);
            Builder::new().spawn(move || shared.help(member))
        };
        let helpers = (1..threads).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { shared, helpers })
    }

    pub(super) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Does all of `job`, alone or with everybody who is awake in time.
    pub(super) fn run(&self, job: &Arc<dyn Job>, alone: bool) -> Result<()> {
        if alone || self.helpers.is_empty() {
            return job.work(0);
        }
        let shared = &self.shared;
        shared.post(Some(Arc::clone(job)));
        shared.wake.notify_all();
        let result = job.work(0);
        shared.posted().job = None;
        let mut looks = 0;
        while shared.active.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let failure = shared.posted().failure.take();
        result.and(failure.map_or(Ok(()), Err))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.posted().closing = true;
        self.shared.post(None);
        self.shared.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // What a helper has to say was said in `run`.
            helper.join().unwrap_or_default();
        }
    }
}

impl Shared {
    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, job: Option<Arc<dyn Job>>) {
        let mut posted = self.posted();
        posted.job = job;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The life of a helper.
    fn help(&self, member: usize) {
        let mut seen = 0;
        loop {
            for _ in 0..LOOKS {
                if self.generation.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut posted = self.posted();
            while self.generation.load(Ordering::Acquire) == seen {
                posted = self.wake.wait(posted).unwrap_or_else(PoisonError::into_inner);
            }
            seen = self.generation.load(Ordering::Acquire);
            if posted.closing {
                return;
            }
            let Some(job) = posted.job.clone() else { continue };
            self.active.fetch_add(1, Ordering::AcqRel);
            drop(posted);
            let result = catch_unwind(AssertUnwindSafe(|| job.work(member)));
            drop(job);
            if let Err(error) = result.unwrap_or_else(|_| Err("a thread failed".into())) {
                self.posted().failure = Some(error);
            }
            self.active.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count {
        next: AtomicUsize,
        sum: AtomicUsize,
    }

    impl Job for Count {
        fn work(&self, _member: usize) -> Result<()> {
            loop {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                if number > 1000 {
                    return Ok(());
                }
                self.sum.fetch_add(number, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn all_of_a_job_is_done_when_it_ends() {
        let crew = Crew::new(3).unwrap();
        for repeat in 0..200 {
            let count = Arc::new(Count { next: AtomicUsize::new(0), sum: AtomicUsize::new(0) });
            let job: Arc<dyn Job> = Arc::<Count>::clone(&count);
            crew.run(&job, repeat % 5 == 0).unwrap();
            assert_eq!(count.sum.load(Ordering::Relaxed), 500_500);
        }
    }
}
