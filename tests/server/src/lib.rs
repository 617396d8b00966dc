//! An object store for tests: the needed part of S3, of Google's XML and of Azure's blobs over HTTP, in
//! memory, with real compare-and-swap, and with latency and faults on demand.
//!
//! Every request is taken note of, but for those to `/__control/…`: orders to the server, and
//! `/__control/objects/<bucket>/<key>`, which is done at once, whatever befalls requests to the same
//! path without that prefix. Signatures are not looked at. Nothing leaves the machine: the
//! server listens on loopback, on a port that the system chooses.

mod fault;
mod objects;
mod service;

pub use fault::{Fault, Rule};
pub use service::Request;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use self::objects::{Condition, Objects};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    _runtime: Runtime,
}

/// What connections share.
#[derive(Debug, Default)]
struct State {
    objects: Mutex<Objects>,
    orders: Mutex<Orders>,
    requests: Mutex<Vec<Request>>,
    /// Requests that are being answered.
    answering: Gauge,
    /// Connections that are open.
    connections: Gauge,
}

/// How many there are of something now, and how many there were at most.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// One of them.
struct Counted<'a>(&'a Gauge);

impl Gauge {
    fn one(&self) -> Counted<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Counted(self)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the server is told to do to requests.
#[derive(Debug, Default)]
struct Orders {
    latency: Duration,
    rules: Vec<Rule>,
    /// Grows with each question to it.
    chance: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Starts a server of `threads`.
    ///
    /// # Errors
    /// If the system has no port or no threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("test-server")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        runtime.spawn(service::serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, _runtime: runtime })
    }

    /// The address, as in `http://127.0.0.1:1234`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Each request takes so much longer.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.state.orders).latency = latency;
    }

    /// What becomes of requests from now on: the first rule that fits one is applied.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        lock(&self.state.orders).rules = rules;
    }

    /// Takes out what was noted of requests so far.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.state.requests))
    }

    /// How many requests were being answered at the same time, at most, since this was last asked.
    #[must_use]
    pub fn take_most_at_once(&self) -> usize {
        self.state.answering.most.swap(0, Ordering::SeqCst)
    }

    /// How many requests are being answered.
    #[must_use]
    pub fn answering(&self) -> usize {
        self.state.answering.now.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.now.load(Ordering::SeqCst)
    }

    /// Bucket and key of each object, with its bytes, sorted.
    #[must_use]
    pub fn objects(&self) -> Vec<(String, bytes::Bytes)> {
        lock(&self.state.objects).all()
    }

    /// Puts an object at once, by bucket and key.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let content = (bytes::Bytes::copy_from_slice(bytes), Vec::new());
        lock(&self.state.objects).put(path, content, &Condition::None);
    }

    /// Forgets all objects.
    pub fn clear(&self) {
        *lock(&self.state.objects) = Objects::default();
    }

    /// Uploads in parts that were begun and neither completed nor called off.
    #[must_use]
    pub fn open_uploads(&self) -> usize {
        lock(&self.state.objects).open_uploads()
    }
}
