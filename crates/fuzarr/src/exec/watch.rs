//! A request that somebody looks after while it runs.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Runs `work` on a thread of its own while the calling thread, every `pause`, calls `look`: for
/// hosts in which only one thread learns that a request should end, as Python's main thread does of
/// Ctrl-C. `look` ends the request by the token in its limits; `work` is waited for either way.
///
/// Costs the start of a thread. If the system has none to give, `work` runs on the calling thread.
pub fn watched<T: Send>(
    pause: Duration,
    work: impl FnOnce() -> T + Send,
    mut look: impl FnMut(),
) -> T {
    let (done, finished) = channel::<()>();
    let work = Mutex::new(Some(move || {
        // Dropped at the end of the work, also of one that panics.
        let _done = done;
        work()
    }));
    let run = || {
        let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.map(|work| work())
    };
    let outcome = thread::scope(|scope| {
        let Ok(worker) = thread::Builder::new().spawn_scoped(scope, run) else { return run() };
        while matches!(finished.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            look();
        }
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    match outcome {
        Some(outcome) => outcome,
        None => unreachable!("the work is taken once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Cancel;

    #[test]
    fn the_result_comes_back_and_the_look_can_end_the_work() {
        assert_eq!(watched(Duration::from_secs(9), || 3, || panic!("too late")), 3);
        let cancel = Cancel::new();
        let mut looks = 0;
        let rounds = watched(
            Duration::from_millis(1),
            || {
                while !cancel.is_cancelled() {
                    thread::yield_now();
                }
                7
            },
            || {
                looks += 1;
                if looks == 3 {
                    cancel.cancel();
                }
            },
        );
        assert_eq!((rounds, looks >= 3), (7, true));
    }

    #[test]
    #[should_panic(expected = "the work's own")]
    fn a_panic_reaches_the_caller() {
        watched(Duration::from_millis(1), || panic!("the work's own"), || ());
    }
}
