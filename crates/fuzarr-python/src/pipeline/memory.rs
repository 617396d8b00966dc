//! A snapshot of some objects of a store in Python's memory, and what a write makes of them.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use fuzarr::Error;
use fuzarr::buffer::Buffer;
use fuzarr::store::{
    Answer, Capabilities, Content, Listing, Object, Piece, Precondition, Span, Store, Version,
};
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::PyDict;

/// Puts changed objects into a store in Python's memory, each only if it is as it was `before`; the
/// keys of the others. Nobody gets in between: no code of Python's runs meanwhile.
#[pyfunction]
pub(super) fn commit(
    objects: &Bound<'_, PyDict>,
    before: &Bound<'_, PyDict>,
    changes: &Bound<'_, PyDict>,
) -> PyResult<Vec<String>> {
    let mut again = Vec::new();
    // Let go of at the end: finalizers are code of Python's.
    let mut replaced = Vec::with_capacity(changes.len());
    with_critical_section(objects, || {
        for (key, new) in changes.iter() {
            let now = objects.get_item(&key)?;
            let same = match (&now, before.get_item(&key)?) {
                (Some(now), Some(before)) => now.is(&before),
                (now, before) => now.is_none() && before.is_none(),
            };
            if !same {
                again.push(key.extract()?);
            } else if !new.is_none() {
                objects.set_item(&key, new)?;
            } else if now.is_some() {
                objects.del_item(&key)?;
            }
            replaced.push(now);
        }
        Ok(again)
    })
}

/// Objects by key, as they were when the call began. Changes are kept aside.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) objects: HashMap<String, Bytes>,
    changes: Mutex<Vec<(String, Option<Bytes>)>>,
}

impl Snapshot {
    /// What was put (its bytes) or deleted, in order.
    pub(super) fn into_changes(self) -> Vec<(String, Option<Bytes>)> {
        self.changes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, key: &str, bytes: Option<Bytes>) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push((key.to_owned(), bytes));
    }
}

/// One object of the snapshot.
#[derive(Debug)]
struct Shared(Bytes);

impl Object for Shared {
    fn read(&self, span: Span, _spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        let object_size = self.0.len() as u64;
        let read = || {
            let range = span.of(object_size)?;
            let place = |at| {
                usize::try_from(at).map_err(|_| Error::limit("more than this machine can address"))
            };
            let bytes = self.0.slice(place(range.start)?..place(range.end)?);
            Ok(Some(Piece { start: range.start, object_size, bytes: Buffer::Shared(bytes) }))
        };
        Answer::ready(read())
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        let part = usize::try_from(start)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(memory.len())?));
        Answer::ready(match part {
            Some(part) => {
                memory.copy_from_slice(part);
                Ok(true)
            }
            None => Err(Error::corrupt("the object ends before what is wanted of it")),
        })
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn version(&self) -> Option<Version> {
        None
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        Answer::ready(Ok(true))
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn keys_only<'a, T>() -> Answer<'a, T> {
    Answer::ready(Err(Error::unsupported("a snapshot of objects has no folders")))
}

impl Store for Snapshot {
    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
            .with_blocking(true)
            .with_ranges(true)
            .with_gap(u64::MAX)
            .with_conditional_delete(true)
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        let object = self.objects.get(key).cloned();
        Answer::ready(Ok(object.map(|bytes| Box::new(Shared(bytes)) as Box<dyn Object>)))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        _precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        match content.join() {
            Ok(bytes) => {
                self.change(key, Some(bytes));
                Answer::ready(Ok(None))
            }
            Err(error) => Answer::ready(Err(error)),
        }
    }

    fn delete<'a>(&'a self, key: &'a str, _precondition: Precondition) -> Answer<'a, ()> {
        self.change(key, None);
        Answer::ready(Ok(()))
    }

    fn list<'a>(&'a self, _prefix: &'a str) -> Answer<'a, Listing> {
        keys_only()
    }

    fn delete_all<'a>(&'a self, _prefix: &'a str) -> Answer<'a, ()> {
        keys_only()
    }
}
