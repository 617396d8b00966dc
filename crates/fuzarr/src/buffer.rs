//! Memory: fallible zeroed allocation, reused buffers, and the output that units share.

#![expect(
    unsafe_code,
    reason = "zeroed allocation that can fail, large pages, and one output for many units"
)]

use std::any::Any;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::error::{Error, Result};

/// Memory of at least this many bytes is asked for in large pages, as NumPy does: to touch it the first
/// time costs a sixth then.
const LARGE: usize = 4 << 20;

/// Scratch of more bytes than this is given back instead of being kept for the next chunk.
const RETAINED: usize = 64 << 20;

/// The `usize` of a size that came from metadata or a store.
///
/// # Errors
/// `Limit` if this machine cannot address it.
pub fn addressable(size: u64) -> Result<usize> {
    usize::try_from(size)
        .ok()
        .filter(|&size| isize::try_from(size).is_ok())
        .ok_or_else(|| Error::limit(format!("{size} bytes are more than this machine can address")))
}

/// A `u64` as a `usize`: the same on the 64-bit machines that the crate asks for.
#[expect(clippy::cast_possible_truncation, reason = "`usize` has 64 bits, checked in lib.rs")]
pub(crate) const fn usize_of(number: u64) -> usize {
    number as usize
}

/// An `i64` as an `isize`: the same on the 64-bit machines that the crate asks for.
#[expect(clippy::cast_possible_truncation, reason = "`isize` has 64 bits, checked in lib.rs")]
pub(crate) const fn isize_of(number: i64) -> isize {
    number as isize
}

/// Zeroed memory; untouched pages cost nothing until they are written.
///
/// # Errors
/// `Limit` if the system refuses the allocation.
pub fn zeroed(size: u64) -> Result<Vec<u8>> {
    let length = addressable(size)?;
    if length == 0 {
        return Ok(Vec::new());
    }
    let layout = std::alloc::Layout::array::<u8>(length)
        .map_err(|_| Error::limit(format!("cannot allocate {size} bytes")))?;
    // SAFETY: the layout's size is not zero, checked above.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    if start.is_null() {
        return Err(Error::limit(format!("cannot allocate {size} bytes")));
    }
    prefer_large_pages(start, length);
    // SAFETY: allocated just now by the global allocator for `length` bytes of alignment 1, all
    // of them initialised to zero.
    Ok(unsafe { Vec::from_raw_parts(start, length, length) })
}

/// Makes room for `more` bytes.
///
/// # Errors
/// `Limit` if the system refuses the allocation.
pub(crate) fn reserve(memory: &mut Vec<u8>, more: usize) -> Result<()> {
    let before = memory.capacity();
    memory.try_reserve(more).map_err(|error| {
        Error::limit(format!("no memory for {more} more bytes")).with_source(error)
    })?;
    if memory.capacity() != before {
        prefer_large_pages(memory.as_ptr(), memory.capacity());
    }
    Ok(())
}

/// Asks the system for large pages in memory that was just allocated.
#[cfg(target_os = "linux")]
fn prefer_large_pages(start: *const u8, length: usize) {
    const PAGE: usize = 4096;
    if length < LARGE {
        return;
    }
    let skipped = start.addr().next_multiple_of(PAGE) - start.addr();
    let inside = (length - skipped) / PAGE * PAGE;
    let start = start.wrapping_add(skipped).cast_mut().cast();
    // SAFETY: the range is inside an allocation of ours, and the advice changes no contents. Systems
    // without large pages refuse it, which changes nothing.
    let _ = unsafe { rustix::mm::madvise(start, inside, rustix::mm::Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn prefer_large_pages(_start: *const u8, _length: usize) {}

/// Makes `buffer` at least `length` bytes long without clearing what is reused, and gives that
/// many bytes of it, of unspecified content.
///
/// # Errors
/// `Limit` if the system refuses the allocation.
pub(crate) fn reuse(buffer: &mut Vec<u8>, length: usize) -> Result<&mut [u8]> {
    if buffer.len() < length {
        *buffer = resized(std::mem::take(buffer), length as u64)?;
    } else if buffer.len() > RETAINED && length <= RETAINED {
        buffer.truncate(RETAINED);
        buffer.shrink_to_fit();
    }
    Ok(&mut buffer[..length])
}

/// `memory` as `length` bytes of unspecified content, if it has room for them; else zeroed memory.
///
/// # Errors
/// `Limit` if the system refuses the allocation.
pub(crate) fn resized(mut memory: Vec<u8>, length: u64) -> Result<Vec<u8>> {
    let room = addressable(length)?;
    if memory.capacity() < room {
        drop(memory);
        return zeroed(length);
    }
    memory.resize(room, 0);
    Ok(memory)
}

/// Replaces `memory` by `length` bytes that `read` writes; they are not cleared before. `read` is
/// given the part that is not written yet and how many bytes are, and gives back what it wrote at
/// the start of that part, or `None` to be asked again.
///
/// # Errors
/// Those of `read`, `Corrupt` if it writes nothing, `Limit` if there is no memory.
pub(crate) fn read_exact(
    memory: &mut Vec<u8>,
    length: usize,
    mut read: impl for<'m> FnMut(&'m mut [MaybeUninit<u8>], usize) -> Result<Option<&'m mut [u8]>>,
) -> Result<()> {
    memory.clear();
    // What does not do is given back first: no more is held than is needed, and nothing moved.
    if memory.capacity() < length || memory.capacity() > RETAINED && length <= RETAINED {
        *memory = Vec::new();
    }
    reserve(memory, length)?;
    while memory.len() < length {
        let done = memory.len();
        let unused = &mut memory.spare_capacity_mut()[..length - done];
        let start = unused.as_ptr();
        let Some(written) = read(unused, done)? else { continue };
        if written.is_empty() {
            return Err(Error::corrupt("the object became shorter while it was read"));
        }
        if written.as_ptr() != start.cast() || written.len() > length - done {
            return Err(Error::io("a store read somewhere else than asked"));
        }
        let written = written.len();
        // SAFETY: so many bytes after `done` are initialised, as the slice given back proves, and
        // they are within the capacity.
        unsafe { memory.set_len(done + written) };
    }
    Ok(())
}

/// Native `u64`s of bytes: the form of decoded shard indexes.
#[expect(clippy::host_endian_bytes, reason = "decoded elements are in native order by contract")]
pub(crate) fn native_u64s(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|&chunk| u64::from_ne_bytes(chunk))
}

/// The bytes of native `u64`s.
pub(crate) fn bytes_of_u64s(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().copied().flat_map(u64::to_ne_bytes).collect()
}

/// Bytes read from a store: shared with it, or in memory that will be reused.
#[derive(Debug, Clone)]
pub enum Buffer {
    /// A snapshot that the store shares.
    Shared(Bytes),
    /// Memory of their own.
    Owned(Vec<u8>),
}

impl Buffer {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(memory) => memory,
        }
    }

    /// The bytes as a shareable snapshot, without copying.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(memory) => Bytes::from(memory),
        }
    }
}

/// The memory that a read fills. Not to be cloned: the machines of one plan share it, and write
/// disjoint elements, each once.
#[derive(Debug)]
pub struct Output<'a> {
    start: NonNull<u8>,
    length: usize,
    /// The capacity of the vector that the memory was, if it was handed over.
    owned: Option<usize>,
    borrowed: PhantomData<&'a mut [u8]>,
    heap: Mutex<Heap>,
    /// What keeps the memory, if that is neither a borrow nor a vector.
    _keeper: Option<Keeper>,
}

/// What keeps the memory of an output. No box: to move one is to say that nothing else points into it,
/// and the output does where the memory is the keeper's own.
#[derive(Debug)]
struct Keeper(NonNull<dyn Any + Send + Sync>);

impl Drop for Keeper {
    fn drop(&mut self) {
        // SAFETY: from a box that `Output::kept` took apart, and freed here only.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// What the slots of an output of variable elements point into.
#[derive(Debug, Default)]
struct Heap {
    segments: Vec<Vec<u8>>,
    length: u64,
    /// Where the fill value is, once it was needed.
    fill: Option<u64>,
    /// How long they may become.
    most: Option<u64>,
}

impl Heap {
    fn append(&mut self, bytes: Vec<u8>) -> u64 {
        let start = self.length;
        self.length += bytes.len() as u64;
        if !bytes.is_empty() {
            self.segments.push(bytes);
        }
        start
    }
}

// SAFETY: an output is a place to write plain bytes; that no two units write the same byte is the
// contract of `part` and of the copy kernels, the only access. A keeper may be sent and shared.
unsafe impl Send for Output<'_> {}
// SAFETY: as for `Send`.
unsafe impl Sync for Output<'_> {}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<'a> Output<'a> {
    /// Output into the caller's memory, for a call that ends before the borrow does.
    #[must_use]
    pub fn borrowed(memory: &'a mut [u8]) -> Self {
        let length = memory.len();
        let start = NonNull::from(memory).cast();
        let heap = Mutex::default();
        Self { start, length, owned: None, borrowed: PhantomData, heap, _keeper: None }
    }

    /// Output into memory that `keeper` holds for as long as the output lives.
    #[must_use]
    pub fn kept<K: AsMut<[u8]> + Send + Sync + 'static>(keeper: K) -> Output<'static> {
        // SAFETY: the pointer of a box is never null.
        let mut place = unsafe { NonNull::new_unchecked(Box::into_raw(Box::new(keeper))) };
        let keeper = Keeper(place);
        // SAFETY: the box was made just now. It is neither moved nor touched before it is freed, with the
        // output, so that the memory is the output's for as long.
        let memory = unsafe { place.as_mut() }.as_mut();
        let length = memory.len();
        let (start, heap) = (NonNull::from(memory).cast(), Mutex::default());
        Output { start, length, owned: None, borrowed: PhantomData, heap, _keeper: Some(keeper) }
    }

    /// Output into memory of its own; [`into_vec`](Self::into_vec) gives it back.
    #[must_use]
    pub fn owned(memory: Vec<u8>) -> Output<'static> {
        let mut memory = std::mem::ManuallyDrop::new(memory);
        let (length, owned) = (memory.len(), Some(memory.capacity()));
        // SAFETY: a vector's pointer is never null.
        let start = unsafe { NonNull::new_unchecked(memory.as_mut_ptr()) };
        let heap = Mutex::default();
        Output { start, length, owned, borrowed: PhantomData, heap, _keeper: None }
    }

    /// The memory of an [`owned`](Self::owned) output; `None` for a borrowed one.
    #[must_use]
    pub fn into_vec(mut self) -> Option<Vec<u8>> {
        self.take()
    }

    /// Holds what slots point into to at most so many bytes.
    pub(crate) fn limit_heap(&self, most: u64) {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner).most = Some(most);
    }

    /// Checks that there is room for so many more bytes that slots point into.
    ///
    /// # Errors
    /// `Limit` if that is more than was allowed, with the bytes that are known to be needed.
    pub(crate) fn check_room(&self, more: u64) -> Result<()> {
        let heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        let length = heap.length.saturating_add(more);
        match heap.most {
            Some(most) if length > most => Err(Error::limit(format!(
                "elements of variable size take {length} bytes or more, {most} are allowed"
            ))
            .with("bytes", length)),
            _ => Ok(()),
        }
    }

    /// Adds to what slots point into; where it starts.
    pub(crate) fn append(&self, bytes: Vec<u8>) -> u64 {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner).append(bytes)
    }

    /// Where the fill value starts in what slots point into.
    pub(crate) fn fill_start(&self, fill: &[u8]) -> u64 {
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(start) = heap.fill {
            return start;
        }
        let start = heap.append(fill.to_vec());
        heap.fill = Some(start);
        start
    }

    /// Takes what the slots point into, if the elements are of variable size.
    ///
    /// # Errors
    /// `Limit` if there is no memory to join it.
    pub fn take_heap(&self) -> Result<Vec<u8>> {
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        let Heap { segments, length, .. } = std::mem::take(&mut *heap);
        let mut segments = segments.into_iter();
        let mut joined = segments.next().unwrap_or_default();
        let more = addressable(length)?.saturating_sub(joined.len());
        joined.try_reserve_exact(more).map_err(|error| {
            Error::limit(format!("no memory for {length} bytes of elements")).with_source(error)
        })?;
        for segment in segments {
            joined.extend_from_slice(&segment);
        }
        Ok(joined)
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let capacity = self.owned.take()?;
        // SAFETY: the parts come from a `Vec<u8>` that `owned` took apart, and are taken once.
        Some(unsafe { Vec::from_raw_parts(self.start.as_ptr(), self.length, capacity) })
    }

    /// Bytes of the output.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the output has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The output's first byte, for the copy kernels.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// `length` bytes from `offset`, to decode into; `None` if they are not all inside.
    ///
    /// # Safety
    /// While the slice lives, nothing else may touch these bytes: they belong to the one unit
    /// whose part of the plan they are.
    #[expect(clippy::mut_from_ref, reason = "units share the output and own disjoint parts")]
    pub(crate) unsafe fn part(&self, offset: usize, length: usize) -> Option<&mut [u8]> {
        let end = offset.checked_add(length)?;
        if end > self.length {
            return None;
        }
        // SAFETY: inside the allocation by the check above; exclusive by the caller's promise.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(offset), length) })
    }
}
