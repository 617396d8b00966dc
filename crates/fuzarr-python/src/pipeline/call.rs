//! Calls of the pipeline: a plan of all items, executed here or handed out machine by machine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fuzarr::buffer::{Output, zeroed};
use fuzarr::codec::Elements;
use fuzarr::plan::{ReadOptions, ReadPlan, Values, WriteMachine, WriteOptions, WritePlan};
use fuzarr::shard::WriteOrder;
use fuzarr::store::{LocalOptions, LocalStore, Store};
use fuzarr::{Cancel, Error, Kind, Limits, exec};
use pyo3::exceptions::PyBlockingIOError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::array::Place;
use super::foreign::{self, Machine};
use super::items::{self, Frame};
use super::layout::Layout;
use super::memory::Snapshot;
use super::pinned::{Made, Pinned};
use super::remote::Emptied;
use super::{decline, text};
use crate::config::ArrayConfig;
use crate::error::raise;
use crate::request;
use crate::store::PyStore;

/// How a call is carried out.
#[derive(FromPyObject)]
struct Options {
    #[pyo3(item("workers"))]
    workers: usize,
    #[pyo3(item("gap"))]
    gap: u64,
    #[pyo3(item("span"))]
    span: u64,
    /// Questions to a store that is awaited, at the same time.
    #[pyo3(item("operations"))]
    operations: usize,
    #[pyo3(item("write_empty_chunks"))]
    write_empty_chunks: bool,
    #[pyo3(item("order"))]
    order: String,
    /// Whether more than is wanted may be asked of the store: not all take ranges that end after an
    /// object.
    #[pyo3(item("generous"))]
    generous: bool,
    /// Whether the caller's own thread does the work, and so has to see to signals.
    #[pyo3(item("attended"))]
    attended: bool,
}

impl Options {
    /// The limits that zarr-python has options for, in the place of ours; memory is not counted,
    /// since most of it, the result, is zarr-python's.
    fn limit(&self, limits: &mut Limits) {
        limits.workers = self.workers;
        limits.max_decode_buffers = 0;
        limits.operations = self.operations;
        limits.memory = None;
    }

    fn reading(&self, cancel: &Cancel) -> PyResult<ReadOptions> {
        let mut options = ArrayConfig::default().read(cancel)?;
        options.coalesce_gap = self.gap;
        options.coalesce_span = self.span;
        options.one_round_trip &= self.generous;
        // Whoever wants chunks kept has zarr-python's own store for that, which its other arrays share.
        options.chunk_cache = 0;
        // What zarr-python writes past the pipeline has to be seen.
        options.index_staleness = Duration::ZERO;
        self.limit(&mut options.limits);
        Ok(options)
    }

    fn writing(&self, cancel: &Cancel) -> PyResult<WriteOptions> {
        let order = self.order.parse::<WriteOrder>();
        let order = order.map_err(|error| decline(error.to_string()))?;
        let mut options = ArrayConfig::default().write(cancel)?;
        options.write_empty_chunks = self.write_empty_chunks;
        options.order = order;
        self.limit(&mut options.limits);
        Ok(options)
    }
}

/// The folder of a `LocalStore`, which follows links as zarr-python does. `at_hand`: nothing is
/// waited for.
fn open_folder(root: PathBuf, at_hand: bool) -> PyResult<LocalStore> {
    let options = LocalOptions { follow_links_out: true, at_hand, ..LocalOptions::default() };
    LocalStore::open_with(root, options).map_err(|error| decline(error.to_string()))
}

/// Whether a folder is of a file system of this machine: reads of it may be asked to wait for nothing.
#[pyfunction]
pub(super) fn is_prompt(py: Python<'_>, root: PathBuf) -> bool {
    py.detach(|| open_folder(root, false).is_ok_and(|store| store.is_prompt()))
}

/// The objects of `keys` that a dict of buffers holds, as (key, memory) pairs.
fn pin(objects: &Bound<'_, PyDict>) -> PyResult<Snapshot> {
    let mut snapshot = Snapshot::default();
    for (key, memory) in objects.iter() {
        snapshot.objects.insert(key.extract()?, Pinned::new(&memory)?.into_bytes());
    }
    Ok(snapshot)
}

/// Runs `work` without the interpreter lock.
fn detached<T: Send>(
    py: Python<'_>,
    (attended, estimate): (bool, u64),
    cancel: &Cancel,
    work: impl FnOnce() -> PyResult<T> + Send,
) -> PyResult<T> {
    if attended { request::attended(py, cancel, estimate, work) } else { py.detach(work) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reading of the items of one call.
#[pyclass(frozen, module = "fuzarr._fuzarr")]
pub(super) struct ReadCall {
    plan: ReadPlan,
    output: Mutex<Option<Output<'static>>>,
    cancel: Cancel,
    /// Whether elements of variable size are text.
    text: bool,
    attended: bool,
    /// About how long it takes, in nanoseconds.
    #[pyo3(get)]
    estimate: u64,
    /// How many elements the items have.
    #[pyo3(get)]
    elements: u64,
}

impl ReadCall {
    fn take_output(&self) -> PyResult<Output<'static>> {
        lock(&self.output).take().ok_or_else(|| decline("a call that was made before"))
    }

    /// Executes the call; of each object, whether it is stored, and the elements of variable size.
    fn execute(&self, store: &dyn Store) -> PyResult<(Vec<bool>, Elements)> {
        let read = exec::read_present(&self.plan, store, self.take_output()?);
        let (output, present) = read.map_err(|error| match error.kind() {
            Kind::WouldBlock => PyBlockingIOError::new_err(error.to_string()),
            _ => raise(error),
        })?;
        Ok((present, finish(output).map_err(raise)?))
    }

    fn answer<'py>(
        &self,
        py: Python<'py>,
        (present, elements): (Vec<bool>, Elements),
    ) -> PyResult<(Vec<bool>, Option<Bound<'py, PyList>>)> {
        if elements.slots.is_empty() {
            return Ok((present, None));
        }
        Ok((present, Some(text::list(py, &elements, self.text)?)))
    }
}

/// The elements of variable size of a read that is done.
fn finish(output: Output<'_>) -> Result<Elements, Error> {
    let heap = output.take_heap()?;
    let slots = output.into_vec().unwrap_or_default();
    Ok(Elements { slots, heap })
}

#[pymethods]
impl ReadCall {
    /// Plans the reading of `batch` into `memory`, `None` for elements of variable size.
    #[new]
    #[pyo3(signature = (layout, batch, frame, memory, options))]
    fn new(
        layout: &Layout,
        batch: &Bound<'_, PyList>,
        frame: Frame<'_>,
        memory: Option<&Bound<'_, PyAny>>,
        options: Options,
    ) -> PyResult<Self> {
        let list = items::read(batch, layout.chunk_shape(), &frame)?;
        let elements = list.elements();
        let output = match memory {
            Some(memory) => Output::kept(Pinned::writable(memory)?),
            None => {
                let size = elements.saturating_mul(layout.layout.chain().element() as u64);
                Output::owned(zeroed(size).map_err(raise)?)
            }
        };
        let cancel = Cancel::new();
        let text = layout.variable() == Some("string");
        let reading = options.reading(&cancel)?;
        let plan = ReadPlan::of_objects(Arc::clone(&layout.layout), list, reading);
        let plan = plan.map_err(raise)?;
        let (attended, estimate) = (options.attended, plan.estimate_at_most());
        let output = Mutex::new(Some(output));
        Ok(Self { plan, output, cancel, text, attended, estimate, elements })
    }

    /// Plans the reading of a selection of a whole array into `memory`.
    #[staticmethod]
    fn of_array(
        py: Python<'_>,
        layout: &Layout,
        place: Place,
        memory: &Bound<'_, PyAny>,
        options: Options,
    ) -> PyResult<Self> {
        let (whole, resolved) = place.resolve(py, layout)?;
        let elements = resolved.elements();
        let output = Mutex::new(Some(Output::kept(Pinned::writable(memory)?)));
        let cancel = Cancel::new();
        let plan = ReadPlan::new(whole, resolved, options.reading(&cancel)?);
        let plan = plan.map_err(raise)?;
        let (attended, estimate) = (options.attended, plan.estimate_at_most());
        Ok(Self { plan, output, cancel, text: false, attended, estimate, elements })
    }

    /// The keys of all objects.
    fn keys(&self) -> Vec<String> {
        (0..self.plan.objects()).map(|number| self.plan.key(number)).collect()
    }

    /// Reads from the folder `root`; with `at_hand`, only if nothing has to be waited for: else
    /// `BlockingIOError`.
    #[pyo3(signature = (root, at_hand=false))]
    fn local<'py>(
        &self,
        py: Python<'py>,
        root: PathBuf,
        at_hand: bool,
    ) -> PyResult<(Vec<bool>, Option<Bound<'py, PyList>>)> {
        let read = || {
            let store = open_folder(root, at_hand)?;
            self.execute(&store)
        };
        let outcome = detached(py, (self.attended, self.estimate), &self.cancel, read)?;
        self.answer(py, outcome)
    }

    /// Reads from a place behind a network.
    fn remote<'py>(
        &self,
        py: Python<'py>,
        store: &Bound<'py, PyStore>,
    ) -> PyResult<(Vec<bool>, Option<Bound<'py, PyList>>)> {
        let store = &store.get().opened.store;
        let outcome =
            detached(py, (self.attended, u64::MAX), &self.cancel, || self.execute(&**store))?;
        self.answer(py, outcome)
    }

    /// Reads from a dict of buffers by key.
    fn memory<'py>(
        &self,
        py: Python<'py>,
        objects: &Bound<'py, PyDict>,
    ) -> PyResult<(Vec<bool>, Option<Bound<'py, PyList>>)> {
        let snapshot = pin(objects)?;
        let outcome =
            detached(py, (self.attended, self.estimate), &self.cancel, || self.execute(&snapshot));
        // Only now, under the lock, are the buffers let go of.
        drop(snapshot);
        self.answer(py, outcome?)
    }

    /// Machines for all objects, to be driven by Python, and the result.
    fn machines(&self) -> PyResult<(Vec<Machine>, ReadResult)> {
        let (machines, output) = self.plan.machines(self.take_output()?, foreign::CAPABILITIES);
        let limits = self.plan.options().limits.clone();
        let objects = machines.len();
        let driven = |machine| Machine::new(machine, objects, limits.clone(), true);
        let machines = machines.into_iter().map(driven).collect();
        Ok((machines, ReadResult { output: Mutex::new(Some(output)), text: self.text }))
    }

    /// Ends the call early.
    fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// What machines that Python drives read together.
#[pyclass(frozen, module = "fuzarr._fuzarr")]
pub(super) struct ReadResult {
    output: Mutex<Option<Arc<Output<'static>>>>,
    text: bool,
}

#[pymethods]
impl ReadResult {
    /// The elements of variable size, once all machines are done.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let output = lock(&self.output).take().and_then(Arc::into_inner);
        let Some(output) = output else { return Ok(None) };
        let elements = py.detach(|| finish(output)).map_err(raise)?;
        if elements.slots.is_empty() {
            return Ok(None);
        }
        Ok(Some(text::list(py, &elements, self.text)?))
    }
}

/// The values of a write.
enum Source {
    Pinned(Bytes),
    Elements(Elements),
}

impl Source {
    fn values(&self, plan: &WritePlan) -> Result<Values<'_>, Error> {
        match self {
            Self::Pinned(bytes) => plan.values(&bytes[..], &[][..]),
            Self::Elements(elements) => plan.values(&elements.slots[..], &elements.heap[..]),
        }
    }
}

/// The writing of the items of one call.
#[pyclass(frozen, module = "fuzarr._fuzarr")]
pub(super) struct WriteCall {
    plan: WritePlan,
    /// Let go of under the interpreter lock, when Python lets go of the call.
    source: Source,
    attended: bool,
    /// About how long it takes, in nanoseconds.
    #[pyo3(get)]
    estimate: u64,
    cancel: Cancel,
}

impl WriteCall {
    fn planned(
        mut plan: WritePlan,
        source: Source,
        options: &Options,
        cancel: Cancel,
    ) -> PyResult<Self> {
        plan.fit(foreign::CAPABILITIES, options.workers).map_err(raise)?;
        let (attended, estimate) = (options.attended, plan.estimate_at_most());
        Ok(Self { plan, source, attended, estimate, cancel })
    }

    fn execute(&self, store: &dyn Store) -> PyResult<()> {
        let write = || exec::write(&self.plan, store, self.source.values(&self.plan)?);
        write().map_err(raise)
    }
}

#[pymethods]
impl WriteCall {
    /// Plans the writing of `values` to `batch`: memory, or a list of elements of variable size.
    #[new]
    fn new(
        layout: &Layout,
        batch: &Bound<'_, PyList>,
        frame: Frame<'_>,
        values: &Bound<'_, PyAny>,
        options: Options,
    ) -> PyResult<Self> {
        let list = items::read(batch, layout.chunk_shape(), &frame)?;
        let source = match layout.variable() {
            Some(variable) => {
                Source::Elements(text::elements(values.cast::<PyList>()?, variable == "string")?)
            }
            None => Source::Pinned(Pinned::new(values)?.into_bytes()),
        };
        let cancel = Cancel::new();
        let writing = options.writing(&cancel)?;
        let plan = WritePlan::of_objects(Arc::clone(&layout.layout), list, writing);
        Self::planned(plan.map_err(raise)?, source, &options, cancel)
    }

    /// Plans the writing of `values` to a selection of a whole array.
    #[staticmethod]
    fn of_array(
        py: Python<'_>,
        layout: &Layout,
        place: Place,
        values: &Bound<'_, PyAny>,
        options: Options,
    ) -> PyResult<Self> {
        let (whole, resolved) = place.resolve(py, layout)?;
        let source = Source::Pinned(Pinned::new(values)?.into_bytes());
        let cancel = Cancel::new();
        let plan = WritePlan::new(whole, resolved, options.writing(&cancel)?);
        Self::planned(plan.map_err(raise)?, source, &options, cancel)
    }

    /// The keys of all objects.
    fn keys(&self) -> Vec<String> {
        (0..self.plan.objects()).map(|number| self.plan.key(number)).collect()
    }

    /// Writes to the folder `root`.
    fn local(&self, py: Python<'_>, root: PathBuf) -> PyResult<()> {
        detached(py, (self.attended, self.estimate), &self.cancel, || {
            let store = open_folder(root, false)?;
            self.execute(&store)
        })
    }

    /// Writes to a place behind a network.
    fn remote(&self, py: Python<'_>, store: &Bound<'_, PyStore>) -> PyResult<()> {
        let store = Emptied(Arc::clone(&store.get().opened.store));
        detached(py, (self.attended, u64::MAX), &self.cancel, || self.execute(&store))
    }

    /// Writes over a dict of buffers by key; gives what to put (memory) and to delete (`None`).
    fn memory<'py>(
        &self,
        py: Python<'py>,
        objects: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let snapshot = pin(objects)?;
        let outcome =
            detached(py, (self.attended, self.estimate), &self.cancel, || self.execute(&snapshot));
        let changes = PyDict::new(py);
        // What was written before an error stays written, as in any other store.
        for (key, bytes) in snapshot.into_changes() {
            changes.set_item(key, bytes.map(|bytes| Bound::new(py, Made(bytes))).transpose()?)?;
        }
        match outcome {
            Ok(()) => Ok(changes),
            Err(error) => {
                error.value(py).setattr("changes", changes)?;
                Err(error)
            }
        }
    }

    /// Machines for all objects, to be driven by Python. They own a copy of the values.
    fn machines(&self, py: Python<'_>) -> PyResult<Vec<Machine>> {
        let own = || {
            let values = match &self.source {
                Source::Pinned(bytes) => self.plan.values(bytes.to_vec(), Vec::new()),
                Source::Elements(elements) => {
                    self.plan.values(elements.slots.clone(), elements.heap.clone())
                }
            };
            values.map(Arc::new)
        };
        let values: Arc<Values<'static>> = py.detach(own).map_err(raise)?;
        let (objects, limits) = (self.plan.objects(), &self.plan.options().limits);
        let machine = |number| {
            let values = Arc::clone(&values);
            let mut machine = WriteMachine::new(&self.plan, values, foreign::CAPABILITIES);
            machine.begin(&self.plan, number);
            Machine::new(machine, objects, limits.clone(), false)
        };
        Ok((0..objects).map(machine).collect())
    }

    /// Ends the call early.
    fn cancel(&self) {
        self.cancel.cancel();
    }
}
