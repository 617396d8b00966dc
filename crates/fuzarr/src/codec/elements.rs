//! Elements of one chunk in memory.

use crate::buffer::{native_u64s, usize_of};
use crate::dtype::VARIABLE_SLOT;
use crate::error::{Error, Result};

/// Elements of one chunk, in native byte order and C order of their shape.
///
/// Fixed elements stand in `slots`. A variable element's slot holds the start and the length of its
/// bytes in `heap`, see [`crate::dtype::VARIABLE_SLOT`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elements {
    /// One slot an element.
    pub slots: Vec<u8>,
    /// The bytes of variable elements; empty for fixed ones.
    pub heap: Vec<u8>,
}

impl Elements {
    /// The bytes of every variable element, in order.
    ///
    /// An item is `Corrupt` if its slot points outside the heap.
    pub fn variable(&self) -> impl Iterator<Item = Result<&[u8]>> {
        slots(&self.slots).map(|place| in_heap(&self.heap, place))
    }

    /// Adds a variable element.
    pub fn push_variable(&mut self, bytes: &[u8]) {
        self.slots.extend_from_slice(&slot(self.heap.len() as u64, bytes.len() as u64));
        self.heap.extend_from_slice(bytes);
    }
}

/// The slot of a variable element: where its bytes start in the heap, and how many there are.
#[expect(clippy::host_endian_bytes, reason = "slots are native numbers by contract")]
pub(crate) fn slot(start: u64, length: u64) -> [u8; VARIABLE_SLOT] {
    let mut slot = [0; VARIABLE_SLOT];
    slot[..8].copy_from_slice(&start.to_ne_bytes());
    slot[8..].copy_from_slice(&length.to_ne_bytes());
    slot
}

/// Start and length of every slot.
pub(crate) fn slots(slots: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
    slots.as_chunks::<VARIABLE_SLOT>().0.iter().map(|slot| {
        let mut numbers = native_u64s(slot);
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    })
}

/// The bytes in `heap` that a slot stands for.
pub(crate) fn in_heap(heap: &[u8], (start, length): (u64, u64)) -> Result<&[u8]> {
    let end = start.checked_add(length).filter(|&end| end <= heap.len() as u64);
    end.map(|end| &heap[usize_of(start)..usize_of(end)]).ok_or_else(|| {
        Error::corrupt(format!(
            "an element is at {start}, {length} bytes long, in a heap of {} bytes",
            heap.len()
        ))
    })
}
