//! Python's indices as selections, with the meaning that zarr-python gives them.

use fuzarr::{Selection, Term};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PyList, PySlice, PyString, PyTuple};

use crate::error::selection_error;
use crate::numpy::numpy;

/// How an index is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `a[...]`: whichever fits.
    Auto,
    /// Integers and slices.
    Basic,
    /// Lists and masks choose along their dimension each.
    Orthogonal,
    /// Lists choose points together, a mask elements.
    Vectorized,
    /// Lists choose points together.
    Coordinates,
    /// A mask chooses elements.
    Mask,
    /// Integers and slices choose chunks.
    Blocks,
}

/// One item of an index.
enum Item<'py> {
    Term(Term),
    /// An array of integers.
    Integers(Bound<'py, PyAny>),
    /// An array of flags.
    Flags(Bound<'py, PyAny>),
}

impl Item<'_> {
    fn is_array(&self) -> bool {
        !matches!(self, Self::Term(_))
    }
}

/// The selection that `index` is for an array of `shape`.
///
/// # Errors
/// `IndexError` for what is none; `ValueError` for a slice of step 0.
pub(crate) fn parse(index: &Bound<'_, PyAny>, mode: Mode, shape: &[u64]) -> PyResult<Selection> {
    let items = match index.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter_borrowed().map(|each| item(&each)).collect::<PyResult<Vec<_>>>()?,
        Err(_) => vec![item(index)?],
    };
    let single = !index.is_instance_of::<PyTuple>();
    match mode {
        Mode::Basic => basic(items).map(Selection::Orthogonal),
        Mode::Blocks => basic(items).map(Selection::Blocks),
        Mode::Orthogonal => orthogonal(items),
        Mode::Coordinates => points(items, shape),
        Mode::Mask => mask(items, shape),
        Mode::Vectorized => match items.as_slice() {
            [Item::Flags(_)] => mask(items, shape),
            _ => points(items, shape),
        },
        Mode::Auto => auto(items, single, shape),
    }
}

fn auto(items: Vec<Item<'_>>, single: bool, shape: &[u64]) -> PyResult<Selection> {
    let arrays = items.iter().filter(|item| item.is_array()).count();
    if arrays == 0 {
        return basic(items).map(Selection::Orthogonal);
    }
    if let [Item::Flags(flags)] = items.as_slice() {
        let dimensions: usize = flags.getattr("ndim")?.extract()?;
        if dimensions == shape.len() || dimensions > 1 {
            return mask(items, shape);
        }
        return orthogonal(items);
    }
    let together = items.len() == shape.len()
        && items.iter().all(|item| matches!(item, Item::Integers(_) | Item::Term(Term::Index(_))))
        && (!single || shape.len() == 1);
    if together {
        return points(items, shape);
    }
    let each = items.len() == shape.len() && arrays == items.len();
    if arrays == 1 || each {
        return orthogonal(items);
    }
    Err(selection_error(
        "several lists or masks beside slices: say with .oindex or .vindex how they are meant",
    ))
}

fn basic(items: Vec<Item<'_>>) -> PyResult<Vec<Term>> {
    let term = |item| match item {
        Item::Term(term) => Ok(term),
        Item::Integers(_) | Item::Flags(_) => {
            Err(selection_error("lists and masks have no place in a basic or block selection"))
        }
    };
    items.into_iter().map(term).collect()
}

fn orthogonal(items: Vec<Item<'_>>) -> PyResult<Selection> {
    let one_dimension = |array: &Bound<'_, PyAny>| {
        if array.getattr("ndim")?.extract::<usize>()? == 1 {
            return Ok(());
        }
        Err(selection_error("lists and masks along a dimension have one dimension themselves"))
    };
    let term = |item| match item {
        Item::Term(term) => Ok(term),
        Item::Integers(array) => {
            one_dimension(&array)?;
            integers(&array).map(Term::List)
        }
        Item::Flags(array) => {
            one_dimension(&array)?;
            flags(&array).map(Term::Mask)
        }
    };
    items.into_iter().map(term).collect::<PyResult<_>>().map(Selection::Orthogonal)
}

fn points(items: Vec<Item<'_>>, shape: &[u64]) -> PyResult<Selection> {
    const EXPECTED: &str = "points are chosen by one list of integers for each dimension";
    if items.len() != shape.len() {
        return Err(selection_error(format!("{EXPECTED}: {} for {}", items.len(), shape.len())));
    }
    let [Some(py), ..] = [items.iter().find_map(array_of).map(Bound::py)] else {
        return single_point(items, EXPECTED);
    };
    let lists = items.into_iter().map(|item| match item {
        Item::Integers(array) => Ok(array),
        Item::Term(Term::Index(index)) => Ok(index.into_pyobject(py)?.into_any()),
        _ => Err(selection_error(EXPECTED)),
    });
    let lists = lists.collect::<PyResult<Vec<_>>>()?;
    let numpy = py.import("numpy")?;
    let broadcast = numpy.call_method1("broadcast_arrays", PyTuple::new(py, lists)?);
    let broadcast = broadcast.map_err(|_| {
        selection_error("shape mismatch: the lists of points could not be broadcast together")
    })?;
    let mut coordinates = Vec::new();
    let mut result: Vec<u64> = vec![1];
    for array in broadcast.try_iter()? {
        let array = array?;
        result = array.getattr("shape")?.extract()?;
        coordinates.push(integers(&array)?);
    }
    Ok(Selection::Points { coordinates, shape: if result.is_empty() { vec![1] } else { result } })
}

fn array_of<'a, 'py>(item: &'a Item<'py>) -> Option<&'a Bound<'py, PyAny>> {
    match item {
        Item::Integers(array) | Item::Flags(array) => Some(array),
        Item::Term(_) => None,
    }
}

/// A point that is given by integers alone.
fn single_point(items: Vec<Item<'_>>, expected: &str) -> PyResult<Selection> {
    let coordinate = |item| match item {
        Item::Term(Term::Index(index)) => Ok(vec![index]),
        _ => Err(selection_error(expected)),
    };
    let coordinates = items.into_iter().map(coordinate).collect::<PyResult<_>>()?;
    Ok(Selection::Points { coordinates, shape: vec![1] })
}

fn mask(items: Vec<Item<'_>>, shape: &[u64]) -> PyResult<Selection> {
    let [Item::Flags(array)] = items.as_slice() else {
        return Err(selection_error("elements are chosen by one mask"));
    };
    let found: Vec<u64> = array.getattr("shape")?.extract()?;
    if found != shape {
        return Err(selection_error(format!(
            "a mask of shape {found:?} for an array of shape {shape:?}"
        )));
    }
    flags(array).map(Selection::Mask)
}

fn item<'py>(object: &Bound<'py, PyAny>) -> PyResult<Item<'py>> {
    let py = object.py();
    if object.is_exact_instance_of::<PyInt>() {
        return index(object).map(Term::Index).map(Item::Term);
    }
    if let Ok(slice) = object.cast::<PySlice>() {
        return self::slice(slice).map(Item::Term);
    }
    if object.is_instance_of::<PyEllipsis>() {
        return Ok(Item::Term(Term::Ellipsis));
    }
    if object.is_none() {
        return Err(selection_error("a selection adds no dimensions: newaxis has no place in it"));
    }
    if object.is_instance_of::<PyString>() {
        return Err(selection_error(format!("there are no fields, and so no field {object:?}")));
    }
    let is_list = object.is_instance_of::<PyList>();
    let is_array = is_list
        || match object.getattr_opt("ndim")? {
            Some(dimensions) => dimensions.extract::<usize>().is_ok_and(|count| count > 0),
            None => false,
        };
    if is_array {
        return array(object, is_list);
    }
    let is_flag =
        object.is_instance_of::<PyBool>() || object.is_instance(numpy(py)?.bool_.bind(py))?;
    if is_flag || !object.hasattr("__index__")? {
        return Err(no_index(object));
    }
    index(object).map(Term::Index).map(Item::Term)
}

#[cold]
fn no_index(object: &Bound<'_, PyAny>) -> PyErr {
    let name = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    selection_error(format!(
        "only integers, slices (`:`), ellipsis (`...`), and integer or boolean arrays are valid \
         indices, not {name}"
    ))
}

fn index(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    object.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(object.py()) {
            selection_error(format!("index {object} is out of bounds"))
        } else {
            no_index(object)
        }
    })
}

fn slice(slice: &Bound<'_, PySlice>) -> PyResult<Term> {
    let bound = |name: &str| {
        let bound = slice.getattr(name)?;
        if bound.is_none() {
            return Ok(None);
        }
        // Bounds beyond any array's are clamped, as Python clamps them.
        let clamped = |_| bound.lt(0).map(|negative| if negative { i64::MIN } else { i64::MAX });
        if bound.hasattr("__index__")? {
            return bound.extract::<i64>().or_else(clamped).map(Some);
        }
        Err(selection_error("the bounds of slices are integers or None"))
    };
    let (start, stop, step) = (bound("start")?, bound("stop")?, bound("step")?);
    if step == Some(0) {
        return Err(PyValueError::new_err("slice step cannot be zero"));
    }
    Ok(Term::Slice { start, stop, step })
}

fn array<'py>(object: &Bound<'py, PyAny>, is_list: bool) -> PyResult<Item<'py>> {
    let asarray = &numpy(object.py())?.asarray;
    let array = asarray.bind(object.py()).call1((object,));
    let array = array.map_err(|_| no_index(object))?;
    let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
    let is_empty = array.getattr("size")?.extract::<usize>()? == 0;
    match kind.as_str() {
        "b" => Ok(Item::Flags(array)),
        "i" | "u" => Ok(Item::Integers(array)),
        _ if is_list && is_empty => Ok(Item::Integers(array)),
        _ => Err(selection_error("arrays used as indices must be of integer (or boolean) type")),
    }
}

/// The integers of an array, in C order.
fn integers(array: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    let py = array.py();
    let numpy = py.import("numpy")?;
    let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
    if kind == "u" {
        let numbers = numpy.call_method1("ascontiguousarray", (array, "u8"))?;
        let numbers = PyBuffer::<u64>::get(&numbers)?.to_vec(py)?;
        let number = |number: u64| {
            i64::try_from(number)
                .map_err(|_| selection_error(format!("index {number} is out of bounds")))
        };
        return numbers.into_iter().map(number).collect();
    }
    let numbers = numpy.call_method1("ascontiguousarray", (array, "i8"))?;
    PyBuffer::<i64>::get(&numbers)?.to_vec(py)
}

/// The flags of an array, in C order.
fn flags(array: &Bound<'_, PyAny>) -> PyResult<Vec<bool>> {
    let py = array.py();
    let contiguous = py.import("numpy")?.call_method1("ascontiguousarray", (array,))?;
    let bytes = contiguous.call_method1("reshape", (-1,))?.call_method1("view", ("u1",))?;
    let bytes = PyBuffer::<u8>::get(&bytes)?.to_vec(py)?;
    Ok(bytes.into_iter().map(|byte| byte != 0).collect())
}
