//! Arrays that grow and shrink, and their attributes.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::array::Array;
use crate::error::{Error, Kind, Result};
use crate::grid::RegularGrid;
use crate::hierarchy;
use crate::inspect;
use crate::metadata::{ArrayMetadata, Format, NodePath};
use crate::plan::{Layout, WriteOptions};
use crate::removal;
use crate::selection::{Selection, Term};
use crate::store::{Precondition, Store, find, settled};
use crate::v2;

impl Array {
    /// Gives the array another shape of the same rank. As in zarr-python, objects that lie outside
    /// of the new shape are deleted, and what one that is cut by the edge holds beyond it is kept
    /// and shows again if the array grows later; other new elements read as fill value.
    ///
    /// Only the shape changes in the document, so what others changed in it meanwhile is kept. Costs
    /// a listing of the array's objects if it shrinks.
    ///
    /// # Errors
    /// `InvalidArgument` for a shape of another rank, and if another array has taken the place of this
    /// one; `Limit` for a shape beyond what can be addressed; `Conflict` if the document never stops
    /// changing; `Io`. If deleting fails the array has the new shape; resizing to it again takes up
    /// the rest.
    pub fn resize(&mut self, shape: &[u64]) -> Result<()> {
        if shape.len() != self.shape().len() {
            return Err(Error::invalid_argument(format!(
                "a shape of {} dimensions for an array of {}",
                shape.len(),
                self.shape().len()
            )));
        }
        let (store, path) = (Arc::clone(self.store()), self.path().to_owned());
        let layout = Arc::clone(self.layout());
        let mut outside = Vec::new();
        self.update_shape(|old| {
            if shape == old || old.iter().zip(shape).any(|(old, new)| new < old) {
                outside = objects_outside(&*store, &path, &layout, shape)?;
            }
            Ok(shape.to_vec())
        })?;
        // The shape goes first: a kill before the deletions leaves an array of the new shape with
        // objects that nothing reads. The other way round it would leave one of the old shape that
        // has lost elements without a trace.
        let delete = |(key, precondition): (String, Precondition)| {
            let (store, layout) = (&store, &layout);
            async move {
                let deleted = store.delete(&key, precondition).await;
                // Also what was read since the array has the new shape, by who knew the old one.
                layout.forget(&key);
                match deleted {
                    // Somebody has made the array longer again, and written there.
                    Err(error) if error.kind() == Kind::Conflict => Ok(()),
                    deleted => deleted,
                }
            }
        };
        settled(&*store, || removal::each(&*store, outside, delete).map(drop))
    }

    /// Makes the array longer by `values` along `axis`, native elements in C order, and writes them
    /// there: as many elements as fit the other dimensions. The shape as it is stored counts, not as
    /// it was when the array was opened, so that of two who append neither overwrites the other.
    ///
    /// # Errors
    /// `InvalidArgument` for an axis that is not there or values that do not fit; those of
    /// [`resize`](Self::resize) and [`write`](Self::write). If writing fails, what was not written
    /// reads as fill value.
    pub fn append(&mut self, values: &[u8], axis: usize) -> Result<()> {
        self.append_with((values, &[]), axis, &WriteOptions::from_environment()?)
    }

    /// As [`append`](Self::append), with options, and what the slots of elements of variable size
    /// point into.
    ///
    /// # Errors
    /// As [`append`](Self::append), and `Cancelled`.
    pub fn append_with(
        &mut self,
        (values, heap): (&[u8], &[u8]),
        axis: usize,
        options: &WriteOptions,
    ) -> Result<()> {
        let element = self.element_size() as u64;
        let mut start = 0;
        // The shape goes first: it claims the new elements for us, before anybody else can.
        self.update_shape(|stored| {
            let mut shape = stored.to_vec();
            let length = shape.get_mut(axis).ok_or_else(|| {
                Error::invalid_argument(format!("there is no axis {axis} to append to"))
            })?;
            start = std::mem::replace(length, 1);
            let slab = shape.iter().try_fold(element, |size, &n| size.checked_mul(n));
            let slab = slab.ok_or_else(|| Error::limit("the array has too many bytes"))?;
            let bytes = values.len() as u64;
            if slab == 0 || !bytes.is_multiple_of(slab) {
                return Err(Error::invalid_argument(format!(
                    "{bytes} bytes cannot be appended to an array of shape {stored:?} along axis \
                     {axis}, where {slab} bytes make one step"
                )));
            }
            let end = start.checked_add(bytes / slab);
            shape[axis] = end.ok_or_else(|| Error::limit("the array would be too long"))?;
            Ok(shape)
        })?;
        if values.is_empty() {
            return Ok(());
        }
        let bound = |at: u64| {
            i64::try_from(at).map(Some).map_err(|_| Error::limit("the array would be too long"))
        };
        let stop = self.shape().get(axis).copied().unwrap_or_default();
        let mut terms = vec![Term::ALL; axis];
        terms.push(Term::Slice { start: bound(start)?, stop: bound(stop)?, step: None });
        let array = self.up_to_whole_chunks(axis);
        array.execute_write(array.resolve(&Selection::Orthogonal(terms))?, (values, heap), options)
    }

    /// The array as if it went on to the end of its last chunks along `axis`: what is written to them
    /// then leaves alone what lies beyond the end, where somebody else may have appended already.
    fn up_to_whole_chunks(&self, axis: usize) -> Self {
        let mut metadata = self.metadata().clone();
        if let (Some(length), Some(&chunk)) =
            (metadata.shape.get_mut(axis), self.chunk_shape().get(axis))
        {
            *length = length.checked_next_multiple_of(chunk).unwrap_or(*length);
        }
        let mut array = self.clone();
        array.set_metadata(metadata);
        array
    }

    /// Changes the attributes, see [`hierarchy::update_attributes`].
    ///
    /// # Errors
    /// As [`hierarchy::update_attributes`].
    pub fn update_attributes(
        &mut self,
        change: impl FnMut(&mut Map<String, Value>) -> Result<()>,
    ) -> Result<()> {
        let attributes = hierarchy::update_attributes(&**self.store(), self.path(), change)?;
        let metadata = ArrayMetadata { attributes, ..self.metadata().clone() };
        self.set_metadata(metadata);
        Ok(())
    }

    /// Stores the shape that `change` makes of the stored one, which is given back.
    fn update_shape(
        &mut self,
        mut change: impl FnMut(&[u64]) -> Result<Vec<u64>>,
    ) -> Result<Vec<u64>> {
        let store = Arc::clone(self.store());
        let path = NodePath::parse(self.path())?;
        let mut stored = None;
        let key = path.key(match self.metadata().format() {
            Format::V3 => hierarchy::DOCUMENT,
            Format::V2 => v2::ARRAY,
        });
        let mut dropped = false;
        hierarchy::edit(&*store, &key, |mut document| {
            let old = self.stored_metadata(&document)?;
            let shape = change(&old.shape)?;
            // Checks that such an array can be.
            RegularGrid::from_extension(&old.chunk_grid, &shape)?;
            document["shape"] = shape.as_slice().into();
            let new = self.stored_metadata(&document)?;
            let changes = shape != old.shape;
            // Before the change that makes it stale, and not for one that cannot be.
            if changes && !std::mem::replace(&mut dropped, true) {
                hierarchy::forget(&*store, path.as_str())?;
            }
            stored = Some((old.shape, new));
            Ok(changes.then_some(document))
        })?;
        let (old, new) = stored.ok_or_else(|| Error::io("the document was not read"))?;
        let shrinks = |before: &[u64]| before.iter().zip(&new.shape).any(|(old, new)| new < old);
        if shrinks(&old) || shrinks(self.shape()) {
            // Chunks outside are gone, or will be, and may not be believed to be there.
            self.layout().forget_all();
        }
        self.set_metadata(new);
        Ok(old)
    }

    /// What the document now says of this array.
    fn stored_metadata(&self, document: &Value) -> Result<ArrayMetadata> {
        if document.is_null() {
            return Err(Error::not_found("the array is gone"));
        }
        let known = self.metadata();
        let stored = match known.format() {
            Format::V3 => ArrayMetadata::from_json(document)?,
            Format::V2 => v2::array_from_json(document, known.attributes.clone())?,
        };
        // All but the shape and the attributes must be what it was when the array was opened.
        let same = |array: &ArrayMetadata| {
            let mut same =
                ArrayMetadata { shape: Vec::new(), attributes: Map::new(), ..array.clone() };
            if let Some(document) = &mut same.v2 {
                document.shift_remove("shape");
            }
            same
        };
        if stored.shape.len() != known.shape.len() || same(&stored) != same(known) {
            return Err(Error::invalid_argument(
                "another array has taken the place of this one since it was opened",
            ));
        }
        Ok(stored)
    }
}

/// The stored objects of an array that are outside of its grid if it has this shape, each with what
/// must hold for it to be what is there now.
fn objects_outside(
    store: &dyn Store,
    path: &str,
    layout: &Layout,
    shape: &[u64],
) -> Result<Vec<(String, Precondition)>> {
    let extents = &layout.chain.spec.shape;
    let mut outside = inspect::objects_anywhere(store, path, layout.keys, shape.len())?;
    outside.retain(|object| {
        let mut inside = object.chunk.iter().zip(shape.iter().zip(extents));
        !inside.all(|(&at, (shape, extent))| at < shape.div_ceil(*extent))
    });
    let found = removal::each(store, outside, |object| async move {
        // What is gone is somebody else's if it is there again.
        let Some(found) = find(store, &object.key).await? else { return Ok(None) };
        let precondition = found.version().map_or(Precondition::None, Precondition::Unchanged);
        Ok(Some((object.key, precondition)))
    })?;
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;
