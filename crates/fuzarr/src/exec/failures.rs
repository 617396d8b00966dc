//! What went wrong in a request: the first failure, which ends it, or all of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Kind, Result};

/// Failures of the parts of a request, from any thread.
#[derive(Debug)]
pub(super) struct Failures<'a> {
    /// Whether to go on after a failure.
    all: bool,
    ended: AtomicBool,
    found: Mutex<Vec<(usize, Error)>>,
    /// Those of the request that this is a part of.
    outer: Option<&'a Failures<'a>>,
}

impl<'a> Failures<'a> {
    /// The first failure ends the request.
    pub(super) fn first() -> Self {
        Self { all: false, ended: AtomicBool::new(false), found: Mutex::default(), outer: None }
    }

    /// Failures are collected.
    pub(super) fn all() -> Self {
        Self { all: true, ..Self::first() }
    }

    /// For a part of the request.
    pub(super) fn inner(&'a self) -> Self {
        Self { all: self.all, outer: Some(self), ..Self::first() }
    }

    /// Whether the request goes on after a failure.
    pub(super) fn go_on(&self) -> bool {
        self.all
    }

    /// Whether the rest of the request is called off.
    pub(super) fn end(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.outer.is_some_and(Failures::end)
    }

    /// Calls the rest off.
    pub(super) fn call_off(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Adds the failure of part `number`.
    pub(super) fn add(&self, number: usize, error: Error) {
        if !self.all || error.kind() == Kind::Cancelled {
            self.call_off();
        }
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push((number, error));
    }

    /// All failures, in the order of the parts.
    pub(super) fn into_vec(self) -> Vec<Error> {
        let mut found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, error)| error).collect()
    }

    /// The failure of the foremost part. One that was only called off does not hide why.
    pub(super) fn into_result(self) -> Result<()> {
        let mut found = self.into_vec();
        let cause = found.iter().position(|error| error.kind() != Kind::Cancelled).unwrap_or(0);
        if found.is_empty() { Ok(()) } else { Err(found.swap_remove(cause)) }
    }

    /// What the failures of an object's units are: the first is the object's, or all are given back and
    /// the object's life goes on. They are [added](Self::add) when that has come to its end: what it
    /// read may turn out to be of two versions.
    pub(super) fn of_units(&self, units: Failures<'_>) -> Result<Vec<Error>> {
        let ended = units.ended.load(Ordering::Relaxed);
        // Where the rest of the request was called off, units may have been left out.
        if !self.all || ended || self.end() {
            return match units.into_result() {
                // Ended by another object's failure: this one is not complete.
                Ok(()) if self.end() => Err(Error::cancelled("another part of the request failed")),
                outcome => outcome.map(|()| Vec::new()),
            };
        }
        Ok(units.into_vec())
    }
}
