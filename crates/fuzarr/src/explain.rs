//! What a read will cost, before it is made.

use std::sync::Arc;

use crate::array::Array;
use crate::error::Result;
use crate::exec;
use crate::plan::{Explanation, ReadOptions, ReadPlan};
use crate::selection::Selection;

impl Array {
    /// What [`read_with`](Self::read_with) of `selection` takes, without asking the store for
    /// anything: objects, chunks, requests, bytes, decodes, round trips.
    ///
    /// Objects are taken to exist. Then everything is known of chunks that are stored as they are;
    /// of compressed ones the number, and of shards, whose indexes say what is stored where, bounds
    /// only. [`explain_exactly`](Self::explain_exactly) reads the indexes.
    ///
    /// # Errors
    /// `InvalidArgument` for a selection out of bounds, `Limit` if it touches more chunks than one
    /// request may.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use fuzarr::{Array, Selection, dtype::DataType, store::MemoryStore};
    /// use fuzarr::plan::ReadOptions;
    ///
    /// # fn main() -> fuzarr::Result<()> {
    /// let array = Array::builder([100, 100], DataType::Int16)
    ///     .chunks([10, 10])
    ///     .codecs("none")
    ///     .create(Arc::new(MemoryStore::new()), "")?;
    /// let cost = array.explain(&Selection::parse("5, :")?, &ReadOptions::default())?;
    /// assert_eq!(cost.objects, 10);
    /// assert_eq!(cost.fetched.exact(), Some(10 * 10 * 10 * 2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn explain(&self, selection: &Selection, options: &ReadOptions) -> Result<Explanation> {
        self.explain_by(selection, options, false)
    }

    /// As [`explain`](Self::explain), from what is stored: opens every object of the selection and
    /// reads the indexes that the read would, nothing else. Chunks in a shard that is itself
    /// compressed stay bounds. What an earlier request has left (indexes, chunks) is not fetched again; if it
    /// has to make way for other chunks during the read, that takes more.
    ///
    /// # Errors
    /// As [`explain`](Self::explain); `Corrupt` for a damaged index, `Io`, `Cancelled`.
    pub fn explain_exactly(
        &self,
        selection: &Selection,
        options: &ReadOptions,
    ) -> Result<Explanation> {
        self.explain_by(selection, options, true)
    }

    fn explain_by(
        &self,
        selection: &Selection,
        options: &ReadOptions,
        exact: bool,
    ) -> Result<Explanation> {
        let resolved = self.resolve(selection)?;
        let mut plan = ReadPlan::new(Arc::clone(self.layout()), resolved, options.clone())?;
        plan.fit(self.store().capabilities().ranges, exec::threads(&options.limits))?;
        exec::explain(&plan, &**self.store(), exact)
    }
}
