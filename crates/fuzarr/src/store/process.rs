//! What each process makes for itself: a forked child has none of its parent's threads, so what
//! rests on them, and what they may have held locked, is left alone there and made anew.

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::BuildHasher as _;
use std::process;

use once_cell::race::OnceBox;

#[cfg(feature = "remote")]
use crate::error;

/// A number that nobody else draws: no other process either, nor a forked child, which begins with its
/// parent's randomness.
pub(super) fn drawn() -> u64 {
    RandomState::new().hash_one(process::id())
}

/// A value of which each process has its own. Without locks, which a child could inherit held.
#[derive(Debug)]
pub(super) struct PerProcess<T>(OnceBox<Node<T>>);

#[derive(Debug)]
struct Node<T> {
    process: u32,
    /// `None` only while it is dropped.
    value: Option<T>,
    /// That of a child.
    next: PerProcess<T>,
}

impl<T> PerProcess<T> {
    pub(super) const fn new() -> Self {
        Self(OnceBox::new())
    }

    /// This process's value, made by `make` if there is none yet, and cannot fail to be.
    pub(super) fn get_or_make(&self, make: impl Fn() -> T) -> &T {
        match self.find(|| Ok::<_, Infallible>(make())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// This process's value, made by `make` if there is none yet. Two threads may both make one; one
    /// of them is kept.
    #[cfg(feature = "remote")]
    pub(super) fn get(&self, make: impl Fn() -> error::Result<T>) -> error::Result<&T> {
        self.find(make)
    }

    fn find<E>(&self, make: impl Fn() -> Result<T, E>) -> Result<&T, E> {
        let present = process::id();
        let mut place = self;
        loop {
            let node = place.0.get_or_try_init(|| -> Result<_, E> {
                let value = Some(make()?);
                Ok(Box::new(Node { process: present, value, next: Self::new() }))
            })?;
            match &node.value {
                Some(value) if node.process == present => return Ok(value),
                _ => place = &node.next,
            }
        }
    }
}

impl<T> Drop for Node<T> {
    fn drop(&mut self) {
        if self.process != process::id() {
            // Its threads are elsewhere, and its locks may be held for ever.
            std::mem::forget(self.value.take());
        }
    }
}
