//! Reading and writing elements as Rust types, in and out of `ndarray`.

use std::borrow::Cow;

use ndarray::{ArrayBase, ArrayD, ArrayView, ArrayViewD, ArrayViewMut, Data, Dimension, IxDyn};

use crate::array::Array;
use crate::buffer::addressable;
use crate::element::{Element, check_type, zeroed_slots};
use crate::error::{Error, Result};
use crate::plan::{ReadOptions, WriteOptions};
use crate::selection::{Resolved, Selection};

/// Values to write: one for all, a list, or an array. Made from each of them by `From`, so that
/// [`Array::write`] takes `7_i16`, `&[1.0, 2.0]`, `&vec` and `&array2` alike.
#[derive(Debug, Clone)]
pub enum Input<'a, T> {
    /// One value for every element.
    One(T),
    /// As many values as the selection has elements, in C order of its result.
    List(&'a [T]),
    /// An array of the result's shape, or one that broadcasts to it as NumPy's do.
    View(ArrayViewD<'a, T>),
}

impl<T: Element> From<T> for Input<'_, T> {
    fn from(value: T) -> Self {
        Self::One(value)
    }
}

impl<'a, T: Element> From<&'a [T]> for Input<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Self::List(values)
    }
}

impl<'a, T: Element, const N: usize> From<&'a [T; N]> for Input<'a, T> {
    fn from(values: &'a [T; N]) -> Self {
        Self::List(values)
    }
}

impl<'a, T: Element> From<&'a Vec<T>> for Input<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        Self::List(values)
    }
}

impl<'a, T: Element, S: Data<Elem = T>, D: Dimension> From<&'a ArrayBase<S, D>> for Input<'a, T> {
    fn from(array: &'a ArrayBase<S, D>) -> Self {
        Self::View(array.view().into_dyn())
    }
}

impl<'a, T: Element, D: Dimension> From<ArrayView<'a, T, D>> for Input<'a, T> {
    fn from(view: ArrayView<'a, T, D>) -> Self {
        Self::View(view.into_dyn())
    }
}

impl<T: Element> Input<'_, T> {
    /// The values for a selection: one, or as many as it has elements, in C order.
    fn values(&self, resolved: &Resolved) -> Result<Cow<'_, [T]>> {
        let shape = resolved.shape();
        match self {
            Self::One(value) => Ok(Cow::Borrowed(std::slice::from_ref(value))),
            Self::List(values) if values.len() as u64 == resolved.elements() => {
                Ok(Cow::Borrowed(values))
            }
            Self::List(values) => Err(Error::invalid_argument(format!(
                "{} values for a selection of shape {shape:?}",
                values.len()
            ))),
            Self::View(view) => match view.first() {
                Some(value) if view.ndim() == 0 => Ok(Cow::Borrowed(std::slice::from_ref(value))),
                _ => dense(view, &dimensions(shape)?),
            },
        }
    }
}

/// The elements of `view`, broadcast to `shape`, in C order; borrowed if that is how they lie.
fn dense<'a, T: Element>(view: &'a ArrayViewD<'_, T>, shape: &[usize]) -> Result<Cow<'a, [T]>> {
    if view.shape() == shape
        && let Some(values) = view.as_slice()
    {
        return Ok(Cow::Borrowed(values));
    }
    let broadcast = view.broadcast(IxDyn(shape)).ok_or_else(|| {
        Error::invalid_argument(format!(
            "values of shape {:?} for a selection of shape {shape:?}",
            view.shape()
        ))
    })?;
    let mut values = Vec::new();
    values.try_reserve_exact(broadcast.len()).map_err(|error| {
        Error::limit(format!("no memory for {} values", broadcast.len())).with_source(error)
    })?;
    values.extend(broadcast.iter().cloned());
    Ok(Cow::Owned(values))
}

/// A shape as `ndarray` has it.
fn dimensions(shape: &[u64]) -> Result<Vec<usize>> {
    shape.iter().map(|&extent| addressable(extent)).collect()
}

impl Array {
    /// Reads `selection` as an array of `T`, which must be the type of the elements, see
    /// [`Element`]. Missing chunks read as fill value. The options are those of the
    /// [environment](crate::environment).
    ///
    /// The result has a dimension for each that the selection does not drop. Chunks are decoded
    /// into its memory; there is no copy besides. [`explain`](Self::explain) tells what a read will
    /// cost.
    ///
    /// # Errors
    /// `InvalidArgument` for a selection out of bounds, another type, or a bad environment;
    /// `Corrupt` for damaged chunks (naming key, inner chunk and codec), `Limit` if the result
    /// cannot be allocated, `Io`.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use fuzarr::{Array, Selection, dtype::DataType, store::MemoryStore};
    /// # fn main() -> fuzarr::Result<()> {
    /// # let array = Array::builder([4, 6], DataType::Float32)
    /// #     .create(Arc::new(MemoryStore::new()), "")?;
    /// let row = array.read::<f32>(&Selection::parse("1, ::2")?)?;
    /// assert_eq!(row.shape(), [3]);
    /// assert!(array.read::<f64>(&Selection::all()).is_err(), "the elements are float32");
    /// # Ok(())
    /// # }
    /// ```
    pub fn read<T: Element>(&self, selection: &Selection) -> Result<ArrayD<T>> {
        self.read_with(selection, &ReadOptions::from_environment()?)
    }

    /// As [`read`](Self::read), with options.
    ///
    /// # Errors
    /// As [`read`](Self::read); also `NotFound` for a missing chunk if the options make that an
    /// error, and `Cancelled`.
    pub fn read_with<T: Element>(
        &self,
        selection: &Selection,
        options: &ReadOptions,
    ) -> Result<ArrayD<T>> {
        check_type::<T>(self.data_type())?;
        let resolved = self.resolve(selection)?;
        let shape = dimensions(resolved.shape())?;
        let elements = self.read_elements(resolved, options)?;
        ArrayD::from_shape_vec(shape, elements).map_err(|error| {
            Error::limit("the result is too large for an array").with_source(error)
        })
    }

    /// Reads `selection` into `view`, which must have the shape of the result. The options are
    /// those of the [environment](crate::environment).
    ///
    /// A view that is contiguous in C order is read into. Any other is filled from a buffer of the
    /// result's size, and so is one of `bool` (which not every stored byte is) or of a variable
    /// type.
    ///
    /// # Errors
    /// As [`read`](Self::read); `InvalidArgument` for a view of another shape. On error the content
    /// of `view` is unspecified.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use fuzarr::{Array, Selection, dtype::DataType, store::MemoryStore};
    /// # fn main() -> fuzarr::Result<()> {
    /// # let array = Array::builder([4, 6], DataType::Int32)
    /// #     .fill(3_i32).create(Arc::new(MemoryStore::new()), "")?;
    /// let mut frames = ndarray::Array3::<i32>::zeros((10, 4, 6));
    /// array.read_into(&Selection::all(), frames.index_axis_mut(ndarray::Axis(0), 7))?;
    /// assert_eq!(frames[[7, 0, 0]], 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_into<T: Element, D: Dimension>(
        &self,
        selection: &Selection,
        view: ArrayViewMut<'_, T, D>,
    ) -> Result<()> {
        self.read_into_with(selection, view, &ReadOptions::from_environment()?)
    }

    /// As [`read_into`](Self::read_into), with options.
    ///
    /// # Errors
    /// As [`read_into`](Self::read_into) and [`read_with`](Self::read_with).
    pub fn read_into_with<T: Element, D: Dimension>(
        &self,
        selection: &Selection,
        mut view: ArrayViewMut<'_, T, D>,
        options: &ReadOptions,
    ) -> Result<()> {
        check_type::<T>(self.data_type())?;
        let resolved = self.resolve(selection)?;
        let shape = dimensions(resolved.shape())?;
        if view.shape() != shape {
            return Err(Error::invalid_argument(format!(
                "a view of shape {:?} for a result of shape {shape:?}",
                view.shape()
            )));
        }
        if let Some(memory) = view.as_slice_mut().and_then(T::memory) {
            return self.execute_read(resolved, memory, options).map(drop);
        }
        let elements = self.read_elements(resolved, options)?;
        for (place, element) in view.iter_mut().zip(elements) {
            *place = element;
        }
        Ok(())
    }

    /// The elements of a selection in C order, read into the memory that they are given in.
    fn read_elements<T: Element>(
        &self,
        resolved: Resolved,
        options: &ReadOptions,
    ) -> Result<Vec<T>> {
        let mut slots = zeroed_slots::<T>(resolved.elements())?;
        let heap = self.execute_read(resolved, bytemuck::cast_slice_mut(&mut slots), options)?;
        T::from_slots(slots, heap)
    }

    /// Writes `values` to `selection`: one value, a slice in C order, or an `ndarray` that has the
    /// shape of the selection or broadcasts to it. Chunks left with fill value only are deleted. The
    /// options are those of the [environment](crate::environment).
    ///
    /// Each stored object is replaced as a whole or not at all; which of them are written if one
    /// fails is unspecified. A chunk of which a part is written is read, merged and written; inner
    /// chunks of a shard that are not touched keep their bytes. Parts that are whole chunks, or
    /// whole shards, cost least. Values that do not lie in C order are copied first.
    ///
    /// # Errors
    /// `InvalidArgument` for a selection out of bounds, values of another shape or type, or a bad
    /// environment; `Corrupt` if a chunk to be merged is damaged, `Conflict` if an object never
    /// stops changing, `Unsupported` if metadata holds a codec fuzarr may skip for reading only,
    /// `Io`.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use fuzarr::{Array, Selection, dtype::DataType, store::MemoryStore};
    /// # fn main() -> fuzarr::Result<()> {
    /// # let array = Array::builder([4, 6], DataType::Int16)
    /// #     .create(Arc::new(MemoryStore::new()), "")?;
    /// array.write(&Selection::all(), 7_i16)?;
    /// array.write(&Selection::parse("0, :3")?, &[1_i16, 2, 3])?;
    /// array.write(&Selection::parse("1:3, ::3")?, &ndarray::arr2(&[[1_i16, 2], [3, 4]]))?;
    /// array.write(&Selection::parse("3")?, ndarray::arr1(&[9_i16]).view())?; // broadcast
    /// # Ok(())
    /// # }
    /// ```
    pub fn write<'a, T: Element>(
        &self,
        selection: &Selection,
        values: impl Into<Input<'a, T>>,
    ) -> Result<()> {
        self.write_with(selection, values, &WriteOptions::from_environment()?)
    }

    /// As [`write`](Self::write), with options.
    ///
    /// # Errors
    /// As [`write`](Self::write), and `Cancelled`.
    pub fn write_with<'a, T: Element>(
        &self,
        selection: &Selection,
        values: impl Into<Input<'a, T>>,
        options: &WriteOptions,
    ) -> Result<()> {
        check_type::<T>(self.data_type())?;
        let resolved = self.resolve(selection)?;
        let values = values.into();
        let values = values.values(&resolved)?;
        let (slots, heap) = T::to_slots(&values);
        self.execute_write(resolved, (&slots, &heap), options)
    }
}

#[cfg(test)]
mod tests;
