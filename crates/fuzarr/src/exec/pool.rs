//! The pool: threads that join in where work is offered.
//!
//! Work is a closure that takes its parts from a shared cursor until there are none, so that any
//! number of threads may run it side by side. The calling thread always does; threads of the pool
//! join if they are free. A caller that has finished before its helpers joins in what else its
//! request offers, so that no core waits while a shard has inner chunks left. A caller that has
//! other things to look after hands work out, and is told when it is done.

#![expect(unsafe_code, reason = "helpers borrow from the caller's stack; the fork handler is C")]

use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The most threads that the pool starts.
const MOST_THREADS: usize = 256;

/// The present process's pool. Forking leaves the parent's to the parent: its threads do not exist
/// in the child, and its locks may be held for ever.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

/// How many cores there are for this process.
pub(super) fn cores() -> usize {
    static CORES: AtomicUsize = AtomicUsize::new(0);
    match CORES.load(Ordering::Relaxed) {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            CORES.store(cores, Ordering::Relaxed);
            cores
        }
        cores => cores,
    }
}

/// The promise that is asked of those who [hand work out](Crew::hand_out).
#[derive(Debug, Clone, Copy)]
pub(super) struct Unleaked(());

impl Unleaked {
    /// Promises it of one future.
    ///
    /// # Safety
    /// What is handed out with it is awaited inside one future. As long as that future was not dropped,
    /// all that it borrows is there and in use by nobody else: it is dropped before that ends, or owns
    /// all of it, or borrows what lasts for ever. (One that owns all may be forgotten: it was pinned, so
    /// its memory stays.)
    pub(super) const unsafe fn promise() -> Self {
        Self(())
    }
}

/// The threads of one request: how many may help, and how many do. Offers of one request share it.
#[derive(Debug)]
pub(super) struct Crew {
    most: usize,
    /// Changed under the pool's lock only.
    helping: AtomicUsize,
}

impl Crew {
    /// A crew of `threads`, the calling one included.
    pub(super) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self { most: threads.saturating_sub(1), helping: AtomicUsize::new(0) })
    }

    /// Runs `work` on this thread, and on up to `helpers` of the pool's that are free meanwhile.
    /// Returns when all of them have left it.
    ///
    /// `pure` work never waits, neither for a lock nor for a store: a caller that holds a lock may
    /// join it.
    ///
    /// # Panics
    /// If `work` does, on whatever thread.
    pub(super) fn share(self: &Arc<Self>, helpers: usize, pure: bool, work: &(dyn Fn() + Sync)) {
        self.share_after(|| (), helpers, pure, work);
    }

    /// As [`share`](Self::share), of which this thread does its share after something else.
    ///
    /// # Panics
    /// If `first` does, or `work` on whatever thread.
    pub(super) fn share_after(
        self: &Arc<Self>,
        first: impl FnOnce(),
        helpers: usize,
        pure: bool,
        work: &(dyn Fn() + Sync),
    ) {
        let helpers = helpers.min(self.most);
        let offered = if helpers == 0 { None } else { Offered::new(self, helpers, pure, work) };
        first();
        work();
        let Some(offered) = offered else { return };
        drop(offered.end);
        assert!(!offered.offer.has_panicked(), "a helper of this request panicked");
    }

    /// Has `work` run by up to `helpers` threads of the pool, and not by this one, which awaits its
    /// end: all of them have left it then. Work that no thread could be started for is done here.
    /// `pure` work: see [`share`](Self::share). They use what `work` borrows until what is given back is
    /// dropped, wherever it is meanwhile: hence the promise.
    ///
    /// # Panics
    /// When it is awaited, if `work` did.
    pub(super) fn hand_out<'w>(
        self: &Arc<Self>,
        helpers: usize,
        pure: bool,
        work: &'w (dyn Fn() + Sync),
        _unleaked: Unleaked,
    ) -> HandedOut<'w> {
        let helpers = helpers.clamp(1, self.most.max(1));
        let offered = Offered::new(self, helpers, pure, work);
        let offered = offered.filter(|offered| offered.threads > 0);
        if offered.is_none() {
            work();
        }
        HandedOut(offered)
    }
}

/// Work that is offered to the pool, until it is dropped.
struct Offered<'w> {
    offer: Arc<Offer>,
    end: Withdraw,
    /// How many threads the pool has.
    threads: usize,
    work: PhantomData<&'w (dyn Fn() + Sync)>,
}

impl<'w> Offered<'w> {
    /// `None` if there is no pool to offer it to.
    fn new(
        crew: &Arc<Crew>,
        helpers: usize,
        pure: bool,
        work: &'w (dyn Fn() + Sync + 'w),
    ) -> Option<Self> {
        let pool = Pool::get()?;
        // SAFETY: only the lifetime changes. `Withdraw` does not let go of the borrow before no
        // helper is inside and none can enter any more; that it is dropped before the borrow ends,
        // `share_after` sees to itself and `hand_out` is promised.
        let erased = unsafe {
            std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const (dyn Fn() + Sync + 'static)>(
                std::ptr::from_ref(work),
            )
        };
        let offer = Arc::new(Offer {
            work: Work(erased),
            crew: Arc::clone(crew),
            pure,
            seats: AtomicUsize::new(helpers),
            inside: AtomicUsize::new(0),
            left: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        let threads = pool.offer(&offer, helpers);
        let end = Withdraw { pool, offer: Arc::clone(&offer) };
        Some(Self { offer, end, threads, work: PhantomData })
    }
}

/// A pointer to work on the stack of the thread that offers it.
struct Work(*const (dyn Fn() + Sync + 'static));

// SAFETY: what is pointed to is `Sync`, and outlives the offer (see `Offered::new`).
unsafe impl Send for Work {}
// SAFETY: as for `Send`.
unsafe impl Sync for Work {}

/// Work that threads may join. The counts change under the pool's lock only.
struct Offer {
    work: Work,
    crew: Arc<Crew>,
    pure: bool,
    /// How many more may enter.
    seats: AtomicUsize,
    inside: AtomicUsize,
    /// Whether somebody has entered and left.
    left: AtomicBool,
    panicked: AtomicBool,
    /// Who awaits the end.
    waker: Mutex<Option<Waker>>,
}

impl Offer {
    fn is_open(&self) -> bool {
        self.seats.load(Ordering::Relaxed) > 0
    }

    fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends an offer when it is dropped: nobody enters any more, and those inside are waited for.
struct Withdraw {
    pool: &'static Pool,
    offer: Arc<Offer>,
}

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.pool.withdraw(&self.offer);
    }
}

/// The end of work that was [handed out](Crew::hand_out). Dropped before, it calls off what nobody
/// has begun, and waits for the rest. `None`: it was done at once.
pub(super) struct HandedOut<'w>(Option<Offered<'w>>);

impl Future for HandedOut<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(offered) = &self.0 else { return Poll::Ready(()) };
        let Withdraw { pool, offer } = &offered.end;
        let state = pool.lock();
        // Whoever leaves has found no part to do.
        if offer.left.load(Ordering::Relaxed) && offer.inside.load(Ordering::Relaxed) == 0 {
            drop(state);
            assert!(!offer.has_panicked(), "a helper of this request panicked");
            return Poll::Ready(());
        }
        *offer.waker() = Some(context.waker().clone());
        Poll::Pending
    }
}

struct Pool {
    state: Mutex<State>,
    /// Threads of the pool wait here for offers.
    offered: Condvar,
    /// Callers wait here for their helpers to leave, or for something to help with.
    left: Condvar,
}

#[derive(Default)]
struct State {
    offers: VecDeque<Arc<Offer>>,
    threads: usize,
    idle: usize,
    /// Callers that wait.
    waiting: usize,
}

impl Pool {
    /// The pool of this process. There is none where forks could not be noticed: a child would wait for
    /// threads that it does not have.
    fn get() -> Option<&'static Self> {
        static AT_FORK: AtomicBool = AtomicBool::new(false);
        loop {
            let pool = POOL.load(Ordering::Acquire);
            // SAFETY: the pointer comes from a leaked box below, and is never freed.
            if let Some(pool) = unsafe { pool.as_ref() } {
                return Some(pool);
            }
            // No `Once`: forked while another thread was at it, a child would wait for that thread. Two
            // handlers do what one does.
            if !AT_FORK.load(Ordering::Acquire) {
                extern "C" fn forget() {
                    POOL.store(std::ptr::null_mut(), Ordering::Release);
                }
                // SAFETY: the handler only stores to an atomic, which is allowed after a fork.
                if unsafe { libc::pthread_atfork(None, None, Some(forget)) } != 0 {
                    return None;
                }
                AT_FORK.store(true, Ordering::Release);
            }
            let new = Box::into_raw(Box::new(Self {
                state: Mutex::default(),
                offered: Condvar::new(),
                left: Condvar::new(),
            }));
            let null = std::ptr::null_mut();
            if POOL.compare_exchange(null, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: made just now and given to nobody.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an offer up; how many threads there are to take it.
    fn offer(&'static self, offer: &Arc<Offer>, helpers: usize) -> usize {
        let mut state = self.lock();
        state.offers.push_back(Arc::clone(offer));
        // Threads are for as many helpers as were ever asked for at once.
        while state.idle < helpers && state.threads < offer.crew.most.min(MOST_THREADS) {
            let name = format!("fuzarr-{}", state.threads);
            let started = std::thread::Builder::new().name(name).spawn(|| self.serve());
            if started.is_err() {
                // The caller works alone.
                break;
            }
            state.threads += 1;
            state.idle += 1;
        }
        let State { threads, idle, waiting, .. } = *state;
        drop(state);
        for _ in 0..helpers.min(idle) {
            self.offered.notify_one();
        }
        if offer.pure && waiting > 0 {
            self.left.notify_all();
        }
        threads
    }

    /// The life of one thread of the pool.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            match enter(&mut state, has_room) {
                Some(offer) => {
                    state.idle -= 1;
                    offer.crew.helping.fetch_add(1, Ordering::Relaxed);
                    drop(state);
                    state = self.join(&offer);
                    offer.crew.helping.fetch_sub(1, Ordering::Relaxed);
                    state.idle += 1;
                }
                None => state = self.offered.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Works on an offer that was entered.
    fn join(&self, offer: &Offer) -> MutexGuard<'_, State> {
        // SAFETY: whoever offers it waits in `withdraw` until this thread has left.
        let work = unsafe { &*offer.work.0 };
        let panicked = catch_unwind(AssertUnwindSafe(work)).is_err();
        let state = self.lock();
        if panicked {
            offer.panicked.store(true, Ordering::Relaxed);
        }
        offer.left.store(true, Ordering::Relaxed);
        let is_last = offer.inside.fetch_sub(1, Ordering::Relaxed) == 1;
        if state.waiting > 0 {
            self.left.notify_all();
        }
        let waker = if is_last { offer.waker().take() } else { None };
        let Some(waker) = waker else { return state };
        drop(state);
        waker.wake();
        self.lock()
    }

    fn withdraw(&self, offer: &Arc<Offer>) {
        let mut state = self.lock();
        state.offers.retain(|other| !Arc::ptr_eq(other, offer));
        // The caller has no work left, so it is free to help where its helpers are.
        while offer.inside.load(Ordering::Relaxed) > 0 {
            let ours = |other: &Offer| other.pure && Arc::ptr_eq(&other.crew, &offer.crew);
            if let Some(other) = enter(&mut state, ours) {
                drop(state);
                state = self.join(&other);
                continue;
            }
            state.waiting += 1;
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }
}

/// Whether the offer's crew is not complete. A thread that is of the crew already need not ask.
fn has_room(offer: &Offer) -> bool {
    offer.crew.helping.load(Ordering::Relaxed) < offer.crew.most
}

/// Takes a seat in the first open offer that is `wanted`.
fn enter(state: &mut State, wanted: impl Fn(&Offer) -> bool) -> Option<Arc<Offer>> {
    let place = state.offers.iter().position(|offer| offer.is_open() && wanted(offer))?;
    let offer = Arc::clone(&state.offers[place]);
    offer.seats.fetch_sub(1, Ordering::Relaxed);
    offer.inside.fetch_add(1, Ordering::Relaxed);
    if !offer.is_open() {
        state.offers.remove(place);
    }
    Some(offer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_by_whoever_is_there() {
        let crew = Crew::new(4);
        for _ in 0..200 {
            let cursor = AtomicUsize::new(0);
            let done: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            crew.share(3, true, &|| {
                while let Some(part) = done.get(cursor.fetch_add(1, Ordering::Relaxed)) {
                    part.fetch_add(1, Ordering::Relaxed);
                }
            });
            assert!(done.iter().all(|part| part.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_caller_helps_where_its_helpers_are() {
        // Two objects; the helper's has many units, which the caller joins when it is done.
        let crew = Crew::new(2);
        let (objects, units) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let workers = Mutex::new(std::collections::HashSet::new());
        let caller = std::thread::current().id();
        crew.share(1, false, &|| {
            while objects.fetch_add(1, Ordering::Relaxed) < 2 {
                if std::thread::current().id() == caller {
                    // Leaves an object to the helper.
                    while objects.load(Ordering::Relaxed) < 2 {
                        std::thread::yield_now();
                    }
                    continue;
                }
                crew.share(1, true, &|| {
                    while units.fetch_add(1, Ordering::Relaxed) < 1000 {
                        workers.lock().unwrap().insert(std::thread::current().id());
                        std::thread::sleep(std::time::Duration::from_micros(100));
                    }
                });
            }
        });
        assert!(workers.lock().unwrap().contains(&caller));
    }

    #[test]
    fn what_is_handed_out_is_done_by_others_and_awaited() {
        let crew = Crew::new(3);
        let caller = std::thread::current().id();
        let cursor = AtomicUsize::new(0);
        let done: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        let work = || {
            assert_ne!(std::thread::current().id(), caller);
            while let Some(part) = done.get(cursor.fetch_add(1, Ordering::Relaxed)) {
                part.fetch_add(1, Ordering::Relaxed);
            }
        };
        let hand_out = |helpers, work| {
            // SAFETY: nothing here is forgotten.
            crew.hand_out(helpers, true, work, unsafe { Unleaked::promise() })
        };
        crate::wait::wait(hand_out(2, &work));
        assert!(done.iter().all(|part| part.load(Ordering::Relaxed) == 1));

        // Not awaited, it is waited for when it is dropped; what panics is told when it is awaited.
        let begun = AtomicBool::new(false);
        let slow = || {
            begun.store(true, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        drop(hand_out(1, &slow));
        let panics = || panic!("on a thread of the pool");
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            crate::wait::wait(hand_out(1, &panics));
        }));
        assert!(outcome.is_err());
        every_part_is_done_once_by_whoever_is_there();
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_pool_usable() {
        let crew = Crew::new(2);
        let cursor = AtomicUsize::new(0);
        let panics = catch_unwind(AssertUnwindSafe(|| {
            crew.share(1, true, &|| {
                while cursor.fetch_add(1, Ordering::Relaxed) < 100 {
                    std::thread::sleep(std::time::Duration::from_micros(50));
                }
                panic!("on every thread");
            });
        }));
        assert!(panics.is_err());
        every_part_is_done_once_by_whoever_is_there();
    }
}
