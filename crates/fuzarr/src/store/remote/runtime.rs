//! The runtime that moves bytes between sockets and requests. It starts with the first request to a
//! remote store; its threads do no decoding.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};
use crate::store::process::PerProcess;

/// The most threads of the runtime.
const MOST_THREADS: usize = 4;

static RUNTIME: PerProcess<Started> = PerProcess::new();

/// A runtime that may be dropped anywhere: where two threads start one at the same time, one of the
/// two goes again, perhaps inside another runtime.
struct Started(Option<Runtime>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// This process's runtime.
pub(super) fn handle() -> Result<&'static Handle> {
    let start = || {
        let threads = available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(threads).thread_name("fuzarr-io").enable_all();
        let unable = || Error::io("the threads for remote stores cannot be started");
        match builder.build() {
            Ok(runtime) => Ok(Started(Some(runtime))),
            Err(error) => Err(unable().with_source(error)),
        }
    };
    let runtime = RUNTIME.get(start)?.0.as_ref();
    runtime.map(Runtime::handle).ok_or_else(|| Error::io("the threads for remote stores ended"))
}

/// A future that may be polled by any thread, as if by the runtime.
pub(super) struct Inside<'a, T> {
    handle: &'static Handle,
    future: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
}

impl<'a, T> Inside<'a, T> {
    pub(super) fn new(
        handle: &'static Handle,
        future: impl Future<Output = T> + Send + 'a,
    ) -> Self {
        Self { handle, future: Box::pin(future) }
    }
}

impl<T> Future for Inside<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let _guard = self.handle.enter();
        self.future.as_mut().poll(context)
    }
}
