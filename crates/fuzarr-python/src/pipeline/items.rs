//! The items of a call of zarr-python's: what its indexers cut, read as objects of a plan.

use fuzarr::plan::{Along, Memory, ObjectList};
use fuzarr::store::check_key;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PySlice, PySliceMethods, PyTuple};

use super::decline;

/// What a call works on, beside its items.
#[derive(FromPyObject)]
pub(super) struct Frame<'py> {
    /// The class of the byte getters, and the store and the spec that all of them share.
    #[pyo3(item("getter"))]
    getter: Bound<'py, PyAny>,
    #[pyo3(item("store"))]
    store: Bound<'py, PyAny>,
    #[pyo3(item("spec"))]
    spec: Bound<'py, PyAny>,
    /// Whether an item that says that it is complete leaves nothing of its object to be kept.
    #[pyo3(item("trust_complete"))]
    trust_complete: bool,
    #[pyo3(item("drop_axes"))]
    drop_axes: Vec<usize>,
    /// The shape of the caller's memory, and its strides in elements; `None` for a single value.
    #[pyo3(item("shape"))]
    shape: Option<Vec<u64>>,
    #[pyo3(item("strides"))]
    strides: Vec<u64>,
}

/// One dimension of a selection.
enum Term {
    Range { start: u64, step: u64, count: u64 },
    List { positions: Vec<u64>, rank: usize },
    Index(u64),
}

impl Term {
    fn count(&self) -> u64 {
        match self {
            Self::Range { count, .. } => *count,
            Self::List { positions, .. } => positions.len() as u64,
            Self::Index(_) => 1,
        }
    }

    fn positions(self) -> Vec<u64> {
        match self {
            Self::Range { start, step, count } => {
                (0..count).map(|number| start + number * step).collect()
            }
            Self::List { positions, .. } => positions,
            Self::Index(index) => vec![index],
        }
    }
}

/// Reads a term that selects from `extent` positions.
fn term(term: &Bound<'_, PyAny>, extent: u64) -> PyResult<Term> {
    if let Ok(slice) = term.cast::<PySlice>() {
        let length = isize::try_from(extent).map_err(|_| decline("a dimension beyond 2^63"))?;
        let indices = slice.indices(length)?;
        let unsigned = |number: isize| u64::try_from(number).ok();
        return match (unsigned(indices.start), unsigned(indices.step)) {
            (Some(start), Some(step)) if step > 0 => {
                Ok(Term::Range { start, step, count: indices.slicelength as u64 })
            }
            _ => Err(decline("a slice that runs backwards")),
        };
    }
    let rank = match term.cast::<PyInt>() {
        Ok(_) => 0,
        Err(_) => term
            .getattr("ndim")
            .and_then(|rank| rank.extract::<usize>())
            .map_err(|_| decline("a selection that is neither a slice, a number nor an array"))?,
    };
    let unsigned = |number: i64| {
        u64::try_from(number).map_err(|_| decline("a selection with a negative position"))
    };
    if rank == 0 {
        return Ok(Term::Index(unsigned(term.extract()?)?));
    }
    let positions = match PyBuffer::<i64>::get(term) {
        Ok(buffer) => buffer.to_vec(term.py())?,
        Err(_) => positions(term, rank)?,
    };
    let positions = positions.into_iter().map(unsigned).collect::<PyResult<_>>()?;
    Ok(Term::List { positions, rank })
}

/// The positions of an array that is not of `int64`.
fn positions(array: &Bound<'_, PyAny>, rank: usize) -> PyResult<Vec<i64>> {
    let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
    let array = match kind.as_str() {
        "b" if rank == 1 => array.call_method0("nonzero")?.get_item(0)?,
        "i" | "u" => array.call_method1("astype", ("int64",))?,
        _ => return Err(decline("a selection by an array of neither numbers nor truths")),
    };
    PyBuffer::<i64>::get(&array)?.to_vec(array.py())
}

/// The terms of a selection, which may stand alone.
fn terms<'py>(selection: &Bound<'py, PyAny>) -> Vec<Bound<'py, PyAny>> {
    match selection.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter().collect(),
        Err(_) => vec![selection.clone()],
    }
}

/// Reads all items as objects of chunks of `chunk_shape`.
pub(super) fn read(
    batch: &Bound<'_, PyList>,
    chunk_shape: &[u64],
    frame: &Frame<'_>,
) -> PyResult<ObjectList> {
    let mut reader = Reader { chunk_shape, frame, list: None };
    for item in batch.iter() {
        let item = item.cast::<PyTuple>().map_err(|_| decline("an item that is no tuple"))?;
        reader.push(item)?;
    }
    reader.list.map(|(list, _)| list).ok_or_else(|| decline("no items"))
}

struct Reader<'a, 'py> {
    chunk_shape: &'a [u64],
    frame: &'a Frame<'py>,
    /// The objects so far, and which dimensions of the memory their chunks run along.
    list: Option<(ObjectList, Vec<Option<usize>>)>,
}

impl Reader<'_, '_> {
    fn push(&mut self, item: &Bound<'_, PyTuple>) -> PyResult<()> {
        let Frame { getter, store, spec, .. } = self.frame;
        let of = item.get_item(0)?;
        if !of.get_type().is(getter) || !of.getattr("store")?.is(store) {
            return Err(decline("items of several stores"));
        }
        let other = item.get_item(1)?;
        if !other.is(spec) && !other.eq(spec)? {
            return Err(decline("items of several specs"));
        }
        let key: String = of.getattr("path")?.extract()?;
        check_key(&key).map_err(|error| mismatch(&error))?;
        let selections = terms(&item.get_item(2)?);
        let complete = self.frame.trust_complete && item.get_item(4)?.is_truthy()?;
        if selections.len() != self.chunk_shape.len() {
            return Err(decline("a selection that leaves dimensions out"));
        }
        let selected: Vec<Term> = selections
            .iter()
            .zip(self.chunk_shape)
            .map(|(selection, &extent)| term(selection, extent))
            .collect::<PyResult<_>>()?;
        let lists =
            selected.iter().filter(|term| matches!(term, Term::List { rank: 1, .. })).count();
        if lists > 1 {
            if lists < selected.len() {
                return Err(decline("a selection of points along some dimensions only"));
            }
            return self.push_points(key, selected, &item.get_item(3)?);
        }
        self.push_product(key, complete, selected, &item.get_item(3)?)
    }

    /// The list, made for the dimensions of the first item, which all others must have.
    fn list(&mut self, dimensions: Vec<Option<usize>>) -> PyResult<&mut ObjectList> {
        if self.list.is_none() {
            let memory = Memory {
                shape: self.frame.shape.clone().unwrap_or_default(),
                strides: self.frame.strides.clone(),
                dimensions: dimensions.clone(),
            };
            let list =
                ObjectList::new(self.chunk_shape, memory).map_err(|error| mismatch(&error))?;
            self.list = Some((list, dimensions.clone()));
        }
        match &mut self.list {
            Some((list, known)) if *known == dimensions => Ok(list),
            _ => Err(decline("selections of several kinds")),
        }
    }

    fn push_points(
        &mut self,
        key: String,
        selected: Vec<Term>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let positions: Vec<Vec<u64>> = selected.into_iter().map(Term::positions).collect();
        let count = positions.first().map_or(0, Vec::len);
        let mut dimensions = vec![None; positions.len()];
        let places = match self.frame.shape.as_deref() {
            None => vec![0; count],
            Some(&[extent]) => {
                dimensions[0] = Some(0);
                let [out] = &terms(out)[..] else {
                    return Err(decline("points that go to several dimensions"));
                };
                term(out, extent)?.positions()
            }
            Some(_) => return Err(decline("points that go to several dimensions")),
        };
        let list = self.list(dimensions)?;
        list.push_points(key, &positions, places).map_err(|error| mismatch(&error))
    }

    fn push_product(
        &mut self,
        key: String,
        complete: bool,
        selected: Vec<Term>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let mut dimensions = vec![None; selected.len()];
        let mut along = Vec::with_capacity(selected.len());
        match self.frame.shape.as_deref() {
            None => along.extend(selected.into_iter().map(|term| join(term, None))),
            Some(shape) => {
                let mut outs = terms(out).into_iter().zip(shape).enumerate();
                for (dimension, term) in selected.into_iter().enumerate() {
                    let dropped = self.frame.drop_axes.contains(&dimension);
                    if dropped || matches!(term, Term::Index(_)) {
                        along.push(join(term, None));
                        continue;
                    }
                    let (target, (out, &extent)) =
                        outs.next().ok_or_else(|| decline("fewer dimensions than selected"))?;
                    dimensions[dimension] = Some(target);
                    let out = self::term(&out, extent)?;
                    if matches!(out, Term::Index(_)) || out.count() != term.count() {
                        return Err(decline("values that are spread over a selection"));
                    }
                    along.push(join(term, Some(out)));
                }
                if outs.next().is_some() || terms(out).len() != shape.len() {
                    return Err(decline("more dimensions than selected"));
                }
            }
        }
        self.list(dimensions)?.push(key, complete, along).map_err(|error| mismatch(&error))
    }
}

/// What the core refuses of items, NumPy may still have a meaning for.
fn mismatch(error: &fuzarr::Error) -> PyErr {
    decline(error.to_string())
}

/// Positions and where they go; nowhere in particular if there is no dimension for them.
fn join(term: Term, out: Option<Term>) -> Along {
    let term = match term {
        Term::Index(index) => Term::Range { start: index, step: 1, count: 1 },
        term => term,
    };
    match (term, out) {
        (Term::Range { start, step, count }, None) => Along::Range { start, step, count, place: 0 },
        (Term::Range { start, step, count }, Some(Term::Range { start: place, step: 1, .. })) => {
            Along::Range { start, step, count, place }
        }
        (term, out) => {
            let positions = term.positions();
            let places = out.map_or_else(|| vec![0; positions.len()], Term::positions);
            Along::List { positions, places }
        }
    }
}
