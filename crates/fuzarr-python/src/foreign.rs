//! Python drives the plan: the foreign executor, in its smallest form.
//!
//! Python does the I/O with whatever store it has; planning, decoding, encoding and copying happen
//! here, outside the interpreter lock. No thread of ours calls into Python.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fuzarr::buffer::{Buffer, Output, zeroed};
use fuzarr::codec::Registry;
use fuzarr::metadata::Node;
use fuzarr::plan::{Commit, Machine, ReadMachine, ReadOptions, Scratch, Step, WriteMachine};
use fuzarr::plan::{WriteOptions, WritePlan};
use fuzarr::store::{Capabilities, Content, MemoryStore, Piece, Precondition, Span};
use fuzarr::{Array, Error, Kind, Selection};
use pyo3::exceptions::{PyKeyError, PyNotImplementedError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

fn raise(error: Error) -> PyErr {
    let message = error.to_string();
    match error.kind() {
        Kind::NotFound => PyKeyError::new_err(message),
        Kind::Unsupported => PyNotImplementedError::new_err(message),
        Kind::Io | Kind::Conflict => PyOSError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

/// The array that a metadata document describes; its store is never asked.
fn array(document: &[u8]) -> Result<Array, Error> {
    match Node::from_bytes(document)? {
        Node::Array(metadata) => {
            Array::new(Arc::new(MemoryStore::new()), "", *metadata, &Registry::default())
        }
        Node::Group(_) => Err(Error::invalid_argument("the document is a group's")),
    }
}

/// The reading of a selection: `len(plan)` objects, each driven by a `Machine`.
#[pyclass(frozen, module = "fuzarr")]
pub(crate) struct ReadPlan {
    shape: Vec<u64>,
    machines: Mutex<Vec<Option<ReadMachine<'static>>>>,
    output: Mutex<Option<Arc<Output<'static>>>>,
}

#[pymethods]
impl ReadPlan {
    #[new]
    #[pyo3(signature = (document, selection, ranges = true))]
    fn new(document: &[u8], selection: &str, ranges: bool) -> PyResult<Self> {
        let build = || {
            let array = array(document)?;
            let resolved = array.resolve(&Selection::parse(selection)?)?;
            let shape = resolved.shape().to_vec();
            let size = resolved.elements().checked_mul(array.element_size() as u64);
            let size = size.ok_or_else(|| Error::limit("the result has too many bytes"))?;
            let layout = Arc::clone(array.layout());
            let plan = fuzarr::plan::ReadPlan::new(layout, resolved, ReadOptions::default())?;
            let capabilities = CAPABILITIES.with_ranges(ranges);
            let (machines, output) = plan.machines(Output::owned(zeroed(size)?), capabilities);
            let machines = Mutex::new(machines.into_iter().map(Some).collect());
            Ok(Self { shape, machines, output: Mutex::new(Some(output)) })
        };
        build().map_err(raise)
    }

    fn __len__(&self) -> usize {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The shape of the result.
    #[getter]
    fn shape(&self) -> Vec<u64> {
        self.shape.clone()
    }

    /// The machine for object `number`; each is given once.
    fn machine(&self, number: usize) -> PyResult<ObjectMachine> {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        match machines.get_mut(number).and_then(Option::take) {
            Some(machine) => Ok(ObjectMachine::new(machine)),
            None => Err(PyValueError::new_err("the plan has no such machine, or gave it before")),
        }
    }

    /// The bytes of the result, once all machines are done.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner).take();
        match output.and_then(Arc::into_inner).and_then(Output::into_vec) {
            Some(memory) => Ok(PyBytes::new(py, &memory)),
            None => Err(PyValueError::new_err("machines of the plan are still at work")),
        }
    }
}

/// The writing of a selection, each object driven by a `Machine`.
#[pyclass(frozen, module = "fuzarr", name = "WritePlan")]
pub(crate) struct PyWritePlan {
    plan: WritePlan,
    values: Arc<fuzarr::plan::Values<'static>>,
}

#[pymethods]
impl PyWritePlan {
    #[new]
    fn new(document: &[u8], selection: &str, values: Vec<u8>) -> PyResult<Self> {
        let build = || {
            let array = array(document)?;
            let resolved = array.resolve(&Selection::parse(selection)?)?;
            let layout = Arc::clone(array.layout());
            let plan = WritePlan::new(layout, resolved, WriteOptions::default())?;
            let values = Arc::new(plan.values(values, Vec::new())?);
            Ok(Self { plan, values })
        };
        build().map_err(raise)
    }

    fn __len__(&self) -> usize {
        self.plan.objects()
    }

    /// A machine for object `number`.
    fn machine(&self, number: usize) -> PyResult<ObjectMachine> {
        if number >= self.plan.objects() {
            return Err(PyValueError::new_err("there is no such object in the plan"));
        }
        let mut machine = WriteMachine::new(&self.plan, Arc::clone(&self.values), CAPABILITIES);
        machine.begin(&self.plan, number);
        Ok(ObjectMachine::new(machine))
    }
}

/// What a store in Python can do.
const CAPABILITIES: Capabilities =
    Capabilities::NONE.with_ranges(true).with_gap(u64::MAX).with_conditional_delete(true);

/// A part of an object that Python fetched: where it starts, the object's size, the bytes.
type Fetched = (u64, u64, PyBackedBytes);

/// A span for Python: start and end, `None` for open ends, a negative start for a suffix.
type PySpan = (Option<i64>, Option<u64>);

/// One stored object's life. At its end it lets go of the plan's memory at once: how long Python
/// keeps the shell of it does not matter.
#[pyclass(frozen, module = "fuzarr", name = "Machine")]
pub(crate) struct ObjectMachine {
    /// The object's key, relative to the array.
    #[pyo3(get)]
    key: String,
    machine: Mutex<Option<Box<dyn Machine + Send>>>,
}

impl ObjectMachine {
    fn new(machine: impl Machine + 'static) -> Self {
        Self { key: machine.key().to_owned(), machine: Mutex::new(Some(Box::new(machine))) }
    }

    /// Calls `act` with the machine.
    fn with<T>(&self, act: impl FnOnce(&mut dyn Machine) -> PyResult<T>) -> PyResult<T> {
        match &mut *self.machine.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(machine) => act(&mut **machine),
            None => Err(PyValueError::new_err("the machine is done")),
        }
    }

    /// Works until the machine needs Python, or is done.
    fn advance(&self) -> Result<Option<&'static str>, Error> {
        let mut guard = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = Scratch::default();
        while let Some(machine) = guard.as_mut() {
            match machine.next()? {
                // A store in Python has nothing to hold, and no way into this process's memory.
                Step::Open => machine.opened(None, None),
                Step::Fetch(_) => {
                    machine.without_targets();
                    return Ok(Some("fetch"));
                }
                Step::Work(units) => {
                    (0..units).try_for_each(|unit| machine.run(unit, &mut scratch))?;
                }
                Step::Commit(Commit::Put) => return Ok(Some("put")),
                Step::Commit(Commit::Delete) => return Ok(Some("delete")),
                Step::Commit(_) => {
                    return Err(Error::unsupported("the store can put and delete only"));
                }
                Step::Done { present } => {
                    *guard = None;
                    return Ok(Some(if present { "present" } else { "missing" }));
                }
            }
        }
        Ok(None)
    }
}

#[pymethods]
impl ObjectMachine {
    /// Works until the machine needs Python: `"fetch"`, `"put"`, `"delete"`, or `"present"` or
    /// `"missing"` at its end, and `None` after that.
    fn next(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        py.detach(|| self.advance()).map_err(|error| raise(error.with("key", &self.key)))
    }

    /// What to fetch after `"fetch"`.
    #[getter]
    fn spans(&self) -> PyResult<Vec<PySpan>> {
        let signed = |number: u64| {
            i64::try_from(number).map_err(|_| PyValueError::new_err("a span beyond 2^63"))
        };
        let span = |span: &Span| match span {
            Span::Whole(_) => Ok((None, None)),
            Span::Prefix(length) => Ok((Some(0), Some(*length))),
            Span::Suffix(length) => Ok((Some(-signed(*length)?), None)),
            Span::Range(range) => Ok((Some(signed(range.start)?), Some(range.end))),
        };
        self.with(|machine| machine.spans().iter().map(span).collect())
    }

    /// Takes what was fetched, one part a span, or `None` for a missing object.
    fn supply(&self, parts: Option<Vec<Fetched>>) -> PyResult<()> {
        let precondition = if parts.is_some() { Precondition::None } else { Precondition::Absent };
        let piece = |(start, object_size, bytes)| {
            let bytes = Buffer::Shared(Bytes::from_owner(bytes));
            Piece { start, object_size, bytes }
        };
        let mut pieces: Option<Vec<Piece>> =
            parts.map(|parts| parts.into_iter().map(piece).collect());
        self.with(|machine| {
            machine.supply(pieces.as_mut(), precondition);
            Ok(())
        })
    }

    /// The bytes to store after `"put"`.
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(|machine| {
            let content = Content { parts: &machine.parts(), base: None };
            Ok(PyBytes::new(py, &content.join().map_err(raise)?))
        })
    }

    /// Tells the machine that its put or delete is done, or that the object had changed.
    fn committed(&self, done: bool) -> PyResult<()> {
        self.with(|machine| {
            if done {
                machine.committed()
            } else {
                machine.restart()
            }
            Ok(())
        })
    }
}
