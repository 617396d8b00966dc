//! Work dealt out to threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::Result;

/// Does all of `work`, on a thread for each of `members`; the calling thread is the first.
pub(super) fn share<M: Send, T: Send>(
    members: &[Mutex<M>],
    work: Vec<T>,
    run: impl Fn(&mut M, T) -> Result<()> + Sync,
) -> Result<()> {
    let queue = Mutex::new(work.into_iter());
    let join_in = |member: &Mutex<M>| {
        let member = &mut *lock(member);
        loop {
            let Some(item) = lock(&queue).next() else { return Ok(()) };
            run(member, item)?;
        }
    };
    let (first, others) = members.split_first().ok_or("there is no thread")?;
    std::thread::scope(|scope| {
        let helpers: Vec<_> = others.iter().map(|member| scope.spawn(|| join_in(member))).collect();
        let mut result = join_in(first);
        for helper in helpers {
            result = result.and(helper.join().unwrap_or_else(|_| Err("a thread failed".into())));
        }
        result
    })
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
