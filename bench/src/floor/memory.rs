//! Memory that threads fill, each its own part.
#![expect(unsafe_code, reason = "memory that is not touched before it is filled, by many threads")]

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ops::Range;
use std::ptr::NonNull;

use crate::Result;

/// Memory from this size on is asked for in large pages, as NumPy does.
const LARGE: usize = 4 << 20;

/// Memory of its own.
pub(super) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it is plain memory that nothing else owns; who writes where is settled by `part`.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory of so many bytes: as the allocator gives it, or zero, which costs nothing more if it
    /// comes fresh from the system.
    pub(super) fn new(length: usize, zero: bool) -> Result<Self> {
        let layout = Layout::array::<u8>(length.max(1))?;
        // SAFETY: the size is not zero.
        let start = unsafe { if zero { alloc_zeroed(layout) } else { alloc(layout) } };
        let start = NonNull::new(start).ok_or("no memory")?;
        let memory = Self { start, layout };
        if length >= LARGE {
            memory.ask_for_large_pages();
        }
        Ok(memory)
    }

    /// Makes the first touch of every large page cheap. If the system has none, so be it.
    fn ask_for_large_pages(&self) {
        let page = 4096 - self.start.addr().get() % 4096;
        let length = self.layout.size() - page;
        // SAFETY: the range lies inside of the allocation; the advice does not change its content.
        let advised = unsafe {
            let start = self.start.as_ptr().add(page).cast();
            rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxHugepage)
        };
        advised.unwrap_or_default();
    }

    /// Memory that has been touched.
    pub(super) fn touched(length: usize) -> Result<Self> {
        let memory = Self::new(length, false)?;
        // SAFETY: nobody else has this memory yet.
        unsafe { memory.part(0..length) }.fill(0xa5);
        Ok(memory)
    }

    /// A part to be written. Its bytes are unspecified before, and must not be read.
    ///
    /// # Safety
    /// No other part that overlaps is in use at the same time.
    #[expect(clippy::mut_from_ref, reason = "parts do not overlap, which the caller promises")]
    pub(super) unsafe fn part(&self, range: Range<usize>) -> &mut [u8] {
        assert!(range.start <= range.end && range.end <= self.layout.size(), "outside of memory");
        // SAFETY: inside of the allocation, checked above; nobody else uses it, says the caller.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(range.start), range.len()) }
    }

    /// What was written.
    ///
    /// # Safety
    /// The range was written, and nobody writes it any more.
    pub(super) unsafe fn written(&self, range: Range<usize>) -> &[u8] {
        // SAFETY: as the caller says.
        unsafe { self.part(range) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
