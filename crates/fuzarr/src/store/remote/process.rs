//! What each process makes for itself: a forked child has none of its parent's threads, so what
//! rests on them is left alone there, and made anew.

use std::process;

use once_cell::race::OnceBox;

use crate::error::Result;

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

    /// This process's value, made by `make` if there is none yet. Two threads may both make one; one
    /// of them is kept.
    pub(super) fn get(&self, make: impl Fn() -> Result<T>) -> Result<&T> {
        let present = process::id();
        let mut place = self;
        loop {
            let node = place.0.get_or_try_init(|| -> Result<_> {
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
