//! Waiting for a future on the calling thread, and what ends that early.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use crate::error::{Error, Result};

/// How long a thread waits for a future before it polls it again unasked.
const PAUSE: Duration = Duration::from_millis(10);

/// Wakes a thread that is parked.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

thread_local! {
    /// What ends the waiting of this thread when it becomes true.
    static END: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// What ended the waiting before, to be put back.
struct Before(Option<Arc<AtomicBool>>);

impl Drop for Before {
    fn drop(&mut self) {
        let before = self.0.take();
        END.with(|end| *end.borrow_mut() = before);
    }
}

/// Does something; what it waits for on this thread, of a store, is an error as soon as `end` is true.
pub(crate) fn until<T>(end: Arc<AtomicBool>, work: impl FnOnce() -> T) -> T {
    let _before = Before(END.with(|present| present.borrow_mut().replace(end)));
    work()
}

/// Whether what this thread waits for is to end.
pub(crate) fn is_ended() -> bool {
    let is_true = |end: &Arc<AtomicBool>| end.load(Ordering::Relaxed);
    END.with(|end| end.borrow().as_ref().is_some_and(is_true))
}

/// What `work` gives; as soon as this thread is to end, an error. For work of many parts at the same
/// time: one that nothing wakes is not polled, and would not look for itself.
pub(crate) async fn unless_ended<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    poll_fn(|context| match is_ended() {
        true => Poll::Ready(Err(cancelled())),
        false => work.as_mut().poll(context),
    })
    .await
}

/// What is told of waiting that was to end.
pub(crate) fn cancelled() -> Error {
    Error::cancelled("the request was cancelled")
}

/// The outcome of a future; the calling thread polls it, and sleeps until it is woken. A future that
/// is ready at once costs nothing more. It is polled every 10 ms even if nothing woke it, so that it
/// can look whether it should end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return outcome;
    }
    let thread = std::thread::current();
    let unpark = Arc::new(Unpark { thread, woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
        if !unpark.woken.swap(false, Ordering::Acquire) {
            std::thread::park_timeout(PAUSE);
        }
    }
}
