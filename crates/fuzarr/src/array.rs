//! Arrays: metadata, and the reading and writing of any selection.

use std::sync::Arc;

use crate::buffer::{Output, zeroed};
use crate::codec::{ChunkSpec, Elements, Prepared, Registry};
use crate::dtype::{DataType, fill_from_json};
use crate::error::{Error, Result};
use crate::exec;
use crate::grid::{ChunkKeyEncoding, RegularGrid};
use crate::hierarchy;
use crate::metadata::{ArrayMetadata, Node, NodePath};
use crate::plan::{Counters, Layout, ReadOptions, ReadPlan, WriteOptions, WritePlan};
use crate::selection::{Resolved, Selection};
use crate::store::Store;

/// An array in a store. Cheap to clone; opening does all parsing and checking.
#[derive(Debug, Clone)]
pub struct Array {
    store: Arc<dyn Store>,
    path: String,
    metadata: Arc<ArrayMetadata>,
    data_type: DataType,
    layout: Arc<Layout>,
    /// Codecs that metadata allows to be ignored, and that fuzarr ignores: readable, not writable.
    skipped: Vec<String>,
}

/// What [`Array::read_bytes`] gives: elements in native byte order, C order of `shape`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The shape of the result.
    pub shape: Vec<u64>,
    /// The bytes of its elements; slots for elements of variable size.
    pub bytes: Vec<u8>,
    /// What slots point into, see [`crate::codec::Elements`]; empty for elements of fixed size.
    pub heap: Vec<u8>,
}

impl Array {
    /// Opens the array at `path` (empty for the root) of `store`. Two small reads at most.
    ///
    /// # Errors
    /// `NotFound` if there is no array, `InvalidMetadata` if its document breaks the
    /// specification, `Unsupported` if it needs something fuzarr does not have.
    pub fn open(store: Arc<dyn Store>, path: &str) -> Result<Self> {
        Self::open_with(store, path, &Registry::default())
    }

    /// As [`open`](Self::open), with codecs of the caller's own.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(store: Arc<dyn Store>, path: &str, registry: &Registry) -> Result<Self> {
        match hierarchy::read_node(&*store, path)? {
            Some(Node::Array(metadata)) => Self::new(store, path, *metadata, registry),
            Some(Node::Group(_)) => {
                Err(Error::not_found("there is a group, not an array").at_node(path))
            }
            None => Err(Error::not_found("there is no array").at_node(path)),
        }
    }

    /// An array of the given metadata, without reading or writing anything.
    ///
    /// # Errors
    /// `InvalidMetadata`, `Unsupported` or `Limit`, as for [`open`](Self::open).
    pub fn new(
        store: Arc<dyn Store>,
        path: &str,
        metadata: ArrayMetadata,
        registry: &Registry,
    ) -> Result<Self> {
        let node = NodePath::parse(path)?;
        let bind = || {
            let data_type = DataType::from_extension(&metadata.data_type)?;
            let fill = fill_from_json(data_type, &metadata.fill_value)?;
            let grid = RegularGrid::from_extension(&metadata.chunk_grid, &metadata.shape)?;
            let keys = ChunkKeyEncoding::from_extension(&metadata.chunk_key_encoding)?;
            let resolved = registry.chain(&metadata.codecs)?;
            let spec = ChunkSpec { shape: grid.chunk_shape, data_type, fill };
            let chain = Arc::new(Prepared::new(&resolved.codecs, spec)?);
            let layout = Arc::new(Layout {
                prefix: node.prefix(),
                shape: metadata.shape.clone(),
                keys,
                chain,
                counters: Arc::default(),
                indexes: Arc::default(),
                chunks: Arc::default(),
            });
            Ok((data_type, layout, resolved.skipped))
        };
        let (data_type, layout, skipped) = bind().map_err(|error: Error| error.at_node(&node))?;
        let metadata = Arc::new(metadata);
        let path = node.as_str().to_owned();
        Ok(Self { store, path, metadata, data_type, layout, skipped })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The path in the store, empty for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes on metadata that differs in its shape or attributes. What is known of chunks stays: all of
    /// a chunk is kept, also what is outside of the array.
    pub(crate) fn set_metadata(&mut self, metadata: ArrayMetadata) {
        Arc::make_mut(&mut self.layout).shape.clone_from(&metadata.shape);
        self.metadata = Arc::new(metadata);
    }

    /// The metadata document.
    #[must_use]
    pub fn metadata(&self) -> &ArrayMetadata {
        &self.metadata
    }

    /// The extent of each dimension.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.layout.shape
    }

    /// The type of the elements.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Bytes of one element.
    #[must_use]
    pub fn element_size(&self) -> usize {
        self.layout.chain.element
    }

    /// The shape of a stored object: a shard's if the array is sharded.
    #[must_use]
    pub fn chunk_shape(&self) -> &[u64] {
        &self.layout.chain.spec.shape
    }

    /// The shape of the smallest piece that is encoded by itself, if the array is sharded.
    #[must_use]
    pub fn inner_chunk_shape(&self) -> Option<&[u64]> {
        let mut chain = self.layout.chain.any_shard()?.inner.as_ref();
        while let Some(shard) = chain.any_shard() {
            chain = &shard.inner;
        }
        Some(&chain.spec.shape)
    }

    /// What plans need to know of the array.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Reads `selection` as bytes: for elements of which no Rust type is known beforehand. Missing
    /// chunks read as fill value. [`read`](Self::read) gives elements of a type.
    ///
    /// Costs one request per touched object that is wanted whole or is no shard, and two or more
    /// (index, joined ranges) per shard of which a part is wanted;
    /// [`explain`](Self::explain) tells beforehand.
    ///
    /// # Errors
    /// `InvalidArgument` for a selection out of bounds, `Corrupt` for damaged chunks (naming key,
    /// inner chunk and codec), `Limit` if the result cannot be allocated, `NotFound` for a missing
    /// chunk if the options make that an error, `Cancelled`, `Io`.
    pub fn read_bytes(&self, selection: &Selection, options: &ReadOptions) -> Result<Read> {
        let resolved = self.resolve(selection)?;
        let shape = resolved.shape().to_vec();
        let mut bytes = zeroed(self.size_of(&resolved)?)?;
        let heap = self.execute_read(resolved, &mut bytes, options)?;
        Ok(Read { shape, bytes, heap })
    }

    /// As [`read_bytes`](Self::read_bytes), for callers that await. The future keeps no thread and needs
    /// no runtime of a certain kind: remote stores have their own. Dropped before its end, it ends
    /// its requests.
    ///
    /// # Errors
    /// As [`read_bytes`](Self::read_bytes).
    pub fn read_bytes_async(
        &self,
        selection: &Selection,
        options: &ReadOptions,
    ) -> impl Future<Output = Result<Read>> + Send + use<> {
        self.read_within_async(selection, options, None)
    }

    /// As [`read_bytes_async`](Self::read_bytes_async); elements of variable size may take `most` bytes
    /// beside their slots.
    ///
    /// # Errors
    /// As [`read_bytes`](Self::read_bytes), and `Limit` if they take more.
    pub(crate) fn read_within_async(
        &self,
        selection: &Selection,
        options: &ReadOptions,
        most: Option<u64>,
    ) -> impl Future<Output = Result<Read>> + Send + use<> {
        let resolved = self.resolve(selection);
        let planned = resolved.and_then(|resolved| self.plan_read(resolved, options.clone()));
        let array = self.clone();
        async move {
            let plan = planned?;
            let shape = plan.resolved().shape().to_vec();
            let output = Output::owned(zeroed(array.size_of(plan.resolved())?)?);
            if let Some(most) = most {
                output.limit_heap(most);
            }
            let output = exec::read_async(plan, Arc::clone(&array.store), output).await?;
            let heap = output.take_heap()?;
            let bytes = output.into_vec().unwrap_or_default();
            array.check_bools(&bytes)?;
            Ok(Read { shape, bytes, heap })
        }
    }

    /// Reads `selection` into `output`, native elements in C order of the result.
    ///
    /// # Errors
    /// As [`read_bytes`](Self::read_bytes), and `InvalidArgument` if `output` is not exactly as long
    /// as the result, or elements are of variable size. On error `output` is unspecified.
    pub fn read_bytes_into(
        &self,
        selection: &Selection,
        output: &mut [u8],
        options: &ReadOptions,
    ) -> Result<()> {
        let resolved = self.resolve(selection)?;
        if self.layout.chain.is_variable() {
            return Err(Error::invalid_argument(
                "elements of variable size need more than the output: use `read_bytes`",
            ));
        }
        self.execute_read(resolved, output, options).map(drop)
    }

    /// Bytes of the result of a read.
    fn size_of(&self, resolved: &Resolved) -> Result<u64> {
        let size = resolved.elements().checked_mul(self.element_size() as u64);
        size.ok_or_else(|| Error::limit("the result has too many bytes"))
    }

    /// Reads into `output`, which has the size of the result; what slots point into is given back.
    pub(crate) fn execute_read(
        &self,
        resolved: Resolved,
        output: &mut [u8],
        options: &ReadOptions,
    ) -> Result<Vec<u8>> {
        self.run_read(&self.plan_read(resolved, options.clone())?, output)
    }

    /// Plans the reading of a selection that [`resolve`](Self::resolve) gave. Nothing is read yet:
    /// for callers that look at the plan's size before they say where it runs.
    ///
    /// # Errors
    /// `Limit` if the selection touches more chunks than one request may, or its memory is too small.
    pub fn plan_read(&self, resolved: Resolved, options: ReadOptions) -> Result<ReadPlan> {
        let threads = exec::threads(&options.limits);
        let mut plan = ReadPlan::new(Arc::clone(&self.layout), resolved, options)?;
        plan.fit(self.store.capabilities().ranges, threads)?;
        Ok(plan)
    }

    /// Executes a plan of [`plan_read`](Self::plan_read). What slots point into is given back; it is
    /// empty for elements of fixed size.
    ///
    /// # Errors
    /// As [`read_bytes`](Self::read_bytes), and `InvalidArgument` if `output` is not exactly as long
    /// as the result. On error `output` is unspecified.
    pub fn run_read(&self, plan: &ReadPlan, output: &mut [u8]) -> Result<Vec<u8>> {
        self.check_length(plan, output)?;
        let heap = exec::read(plan, &*self.store, Output::borrowed(output))?.take_heap()?;
        self.check_bools(output)?;
        Ok(heap)
    }

    /// As [`read_bytes_into`](Self::read_bytes_into), for callers that await. Threads may be at work on
    /// the output until the future is dropped, so it is handed over, and given back.
    ///
    /// # Errors
    /// As [`read_bytes_into`](Self::read_bytes_into); the output is gone then.
    pub(crate) async fn read_bytes_into_async(
        &self,
        selection: &Selection,
        output: Vec<u8>,
        options: &ReadOptions,
    ) -> Result<Vec<u8>> {
        let plan = self.plan_read(self.resolve(selection)?, options.clone())?;
        self.check_length(&plan, &output)?;
        let output = Output::owned(output);
        let output = exec::read_async(plan, Arc::clone(&self.store), output).await?;
        let output = output.into_vec().unwrap_or_default();
        self.check_bools(&output)?;
        Ok(output)
    }

    fn check_length(&self, plan: &ReadPlan, output: &[u8]) -> Result<()> {
        if self.size_of(plan.resolved())? == output.len() as u64 {
            return Ok(());
        }
        Err(Error::invalid_argument(format!(
            "an output of {} bytes for a result of shape {:?}",
            output.len(),
            plan.resolved().shape()
        )))
    }

    /// Checks what was read of an array of `bool`.
    fn check_bools(&self, read: &[u8]) -> Result<()> {
        self.data_type.check(read).map_err(|error| error.at_node(&self.path))
    }

    /// Writes `values` to `selection`: native elements in C order of the selection's result, or a
    /// single element for all. Chunks left with fill value only are deleted, unless options ask
    /// otherwise. [`write`](Self::write) takes elements of a type.
    ///
    /// Each stored object is replaced as a whole or not at all. A chunk of which a part is written
    /// is read, merged and written; inner chunks of a shard that are not touched keep their bytes.
    /// "All of a chunk" is all that lies inside the array as this handle knows its shape: where
    /// others may have appended, open the array anew, or [`append`](Self::append).
    ///
    /// # Errors
    /// `InvalidArgument` for a selection out of bounds or values of another size, `Corrupt` if a
    /// chunk to be merged is damaged, `Conflict` if an object never stops changing, `Unsupported`
    /// if metadata holds a codec fuzarr may skip for reading only, `Cancelled`, `Io`. The object
    /// that failed is as it was; of the others some are written and some are not.
    pub fn write_bytes(
        &self,
        selection: &Selection,
        values: &[u8],
        options: &WriteOptions,
    ) -> Result<()> {
        if self.layout.chain.is_variable() {
            return Err(Error::invalid_argument(
                "elements of variable size are written by `write_elements`",
            ));
        }
        self.execute_write(self.resolve(selection)?, (values, &[]), options)
    }

    /// As [`write_elements`](Self::write_elements), for callers that await: the future owns the values,
    /// keeps no thread, and needs no runtime of a certain kind. Dropped before its end, it leaves some
    /// objects written and some not.
    ///
    /// # Errors
    /// As [`write_elements`](Self::write_elements).
    pub fn write_elements_async(
        &self,
        selection: &Selection,
        values: Elements,
        options: &WriteOptions,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let written = self.write_lent_async(selection, values, options);
        async move { written.await.map(drop) }
    }

    /// As [`write_bytes`](Self::write_bytes), with elements of fixed or of variable size.
    ///
    /// # Errors
    /// As [`write_bytes`](Self::write_bytes); also `InvalidArgument` for a slot that points outside
    /// the heap, or an element that its type does not allow.
    pub fn write_elements(
        &self,
        selection: &Selection,
        values: &Elements,
        options: &WriteOptions,
    ) -> Result<()> {
        self.execute_write(self.resolve(selection)?, (&values.slots, &values.heap), options)
    }

    pub(crate) fn execute_write(
        &self,
        resolved: Resolved,
        values: (&[u8], &[u8]),
        options: &WriteOptions,
    ) -> Result<()> {
        self.run_write(&self.plan_write(resolved, options.clone())?, values)
    }

    /// As [`write_elements_async`](Self::write_elements_async); gives the memory of the values back.
    ///
    /// # Errors
    /// As [`write_elements`](Self::write_elements); the values are gone then.
    pub(crate) fn write_lent_async(
        &self,
        selection: &Selection,
        values: Elements,
        options: &WriteOptions,
    ) -> impl Future<Output = Result<Elements>> + Send + use<> {
        let resolved = self.resolve(selection);
        let planned = resolved.and_then(|resolved| self.plan_write(resolved, options.clone()));
        let array = self.clone();
        async move {
            let plan = planned?;
            array.check_values(&values.slots)?;
            let values = plan.values(values.slots, values.heap)?;
            let values = exec::write_async(plan, Arc::clone(&array.store), values).await?;
            Ok(values.into_elements())
        }
    }

    /// Plans the writing of a selection that [`resolve`](Self::resolve) gave. Nothing is written yet.
    ///
    /// # Errors
    /// `Unsupported` if metadata holds a codec fuzarr may skip for reading only; `Limit` if the
    /// selection touches more chunks than one request may, or its memory is too small.
    pub fn plan_write(&self, resolved: Resolved, options: WriteOptions) -> Result<WritePlan> {
        if let Some(codec) = self.skipped.first() {
            return Err(Error::unsupported(format!(
                "not supported: writing through codec `{codec}`, which may be skipped in reading"
            )));
        }
        let threads = exec::threads(&options.limits);
        let mut plan = WritePlan::new(Arc::clone(&self.layout), resolved, options)?;
        plan.fit(self.store.capabilities(), threads)?;
        Ok(plan)
    }

    /// Executes a plan of [`plan_write`](Self::plan_write): `values` are native elements in C order of
    /// the selection's result, or a single element for all, and what their slots point into.
    ///
    /// # Errors
    /// As [`write_elements`](Self::write_elements).
    pub fn run_write(&self, plan: &WritePlan, (values, heap): (&[u8], &[u8])) -> Result<()> {
        self.check_values(values)?;
        exec::write(plan, &*self.store, plan.values(values, heap)?)
    }

    /// Checks what is to be written to an array of `bool`.
    fn check_values(&self, values: &[u8]) -> Result<()> {
        if !self.data_type.admits(values) {
            return Err(Error::invalid_argument("a bool is neither 0 nor 1"));
        }
        Ok(())
    }

    /// How often this array's requests took each fast path, since it was opened.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.layout.counters
    }

    /// Checks `selection` against the array.
    ///
    /// # Errors
    /// `InvalidArgument`, see [`Selection::resolve`].
    pub fn resolve(&self, selection: &Selection) -> Result<Resolved> {
        selection.resolve(self.shape(), self.chunk_shape())
    }
}
