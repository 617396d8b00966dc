//! Bounds on what bytes→bytes codecs take: encoded sizes that are accepted, memory that is reserved.

use super::Size;
pub(super) use crate::buffer::reserve;
use crate::error::{Error, Result};

/// What the encoding of `decoded` bytes may take when encoders differ: incompressible data, headers,
/// many small frames.
pub(super) fn generous(decoded: Size) -> Size {
    let limit = decoded.limit();
    Size::AtMost(limit.saturating_add(limit / 4).saturating_add(1 << 16))
}

/// `size`, with `more` bytes around it.
pub(super) fn enlarged(size: Size, more: u64) -> Size {
    match size {
        Size::Exact(size) => Size::Exact(size.saturating_add(more)),
        Size::AtMost(size) => Size::AtMost(size.saturating_add(more)),
    }
}

/// A limit as a number of bytes in memory.
pub(super) fn in_memory(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Appends bytes.
///
/// # Errors
/// `Limit` if there is no memory for them.
pub(super) fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Result<()> {
    reserve(bytes, more.len())?;
    bytes.extend_from_slice(more);
    Ok(())
}

/// The error for output that does not fit.
#[cold]
pub(super) fn too_large(limit: usize) -> Error {
    Error::corrupt(format!("decodes to more than {limit} bytes"))
}

/// Checks that exactly `wanted` bytes were decoded.
///
/// # Errors
/// `Corrupt` if not.
pub(super) fn filled(got: usize, wanted: usize) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    Err(Error::corrupt(format!("decodes to {got} bytes, not {wanted}")))
}
