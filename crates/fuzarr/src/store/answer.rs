//! What a store's operation gives: a result now, or one later.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::wait::{cancelled, is_ended, wait};

/// The outcome of a store's operation. Awaiting a ready one neither allocates nor suspends.
pub enum Answer<'a, T> {
    /// The outcome itself; `None` after it has been taken.
    Ready(Option<Result<T>>),
    /// A future of it.
    Pending(Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>),
}

impl<T> std::fmt::Debug for Answer<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Pending(_) => "Pending",
        })
    }
}

impl<'a, T> Answer<'a, T> {
    /// An answer given at once.
    pub fn ready(outcome: Result<T>) -> Self {
        Self::Ready(Some(outcome))
    }

    /// An answer that has to be waited for.
    pub fn later(future: impl Future<Output = Result<T>> + Send + 'a) -> Self {
        Self::Pending(Box::pin(future))
    }

    /// The outcome. If it is not ready, the calling thread sleeps until it is.
    ///
    /// # Errors
    /// The operation's.
    pub fn wait(self) -> Result<T>
    where
        T: Unpin,
    {
        wait(self)
    }
}

impl<T: Unpin> Future for Answer<'_, T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(outcome) => Poll::Ready(
                outcome.take().unwrap_or_else(|| Err(Error::io("an answer was asked for twice"))),
            ),
            Self::Pending(_) if is_ended() => Poll::Ready(Err(cancelled())),
            Self::Pending(future) => future.as_mut().poll(context),
        }
    }
}
