//! How an object's bytes are read: in parts at the same time where the store is awaited, by all threads where a
//! file has many of them.

use std::ops::Range;

use futures_util::future::try_join_all;

use super::job::Job;
use super::life::PAGE;
use crate::buffer::{Buffer, resized, usize_of, zeroed};
use crate::error::{Error, Kind, Result};
use crate::limits::Limits;
use crate::plan::Machine;
use crate::store::{Object, Piece, Span, Store};

/// By how much parts of a large object grow where few operations at a time would take them in turns.
const LARGER: u64 = 8;

/// About how many bytes a thread copies from the system's memory in a nanosecond.
const BYTES_A_NANOSECOND: u64 = 8;

/// About how many bytes a span is.
pub(super) fn length_of(span: &Span) -> u64 {
    match span {
        Span::Whole(length) | Span::Prefix(length) | Span::Suffix(length) => *length,
        Span::Range(range) => range.end.saturating_sub(range.start),
    }
}

/// Reads the machine's targets; the bytes of the first, or `None` if the store cannot.
pub(super) async fn fill_targets(
    job: &Job<'_>,
    machine: &dyn Machine,
    object: &dyn Object,
    (targets, whole): (usize, bool),
) -> Result<Option<u64>> {
    let fill = |target: usize| async move {
        job.limits.check()?;
        match machine.target(target) {
            Some((start, memory)) => {
                let length = memory.len() as u64;
                let filled = fill(job, object, (start, whole), memory).await?;
                Ok(filled.then_some(length))
            }
            None => Err(Error::invalid_argument("a read has no place for what it asked for")),
        }
    };
    if !job.is_awaited() {
        let Some(first) = fill(0).await? else { return Ok(None) };
        for target in 1..targets {
            fill(target).await?;
        }
        return Ok(Some(first));
    }
    let filled = try_join_all((0..targets).map(fill)).await?;
    Ok(filled.into_iter().next().flatten())
}

/// Fills `memory` with the bytes from `start` on; a store that is awaited gives parts of it at the
/// same time. Of an object of which neither version nor size is known, the first part tells them; if
/// the bytes should be `the_rest` of it, `false` is also that it ends elsewhere.
async fn fill(
    job: &Job<'_>,
    object: &dyn Object,
    (start, the_rest): (u64, bool),
    memory: &mut [u8],
) -> Result<bool> {
    if !job.is_awaited() {
        return fill_here(job, object, start, memory);
    }
    let end = start.saturating_add(memory.len() as u64);
    let part = usize_of(job.limits.tuning.part.max(1));
    let is_known = object.size().is_some() || object.version().is_some() && !the_rest;
    let first = if is_known { 0 } else { part.min(memory.len()) };
    let (first, memory) = memory.split_at_mut(first);
    let from = start + first.len() as u64;
    let part = part.max(in_one_round(job.limits, memory.len()));
    if !first.is_empty() {
        if !job.ask(move || object.read_into(start, first)).await? {
            return Ok(false);
        }
        if the_rest && object.size() != Some(end) {
            return Ok(false);
        }
    }
    let parts = memory.chunks_mut(part).zip((from..).step_by(part));
    let fill = |(memory, start)| job.ask(move || object.read_into(start, memory));
    Ok(try_join_all(parts.map(fill)).await?.into_iter().all(|filled| filled))
}

/// As [`fill`], of a store that answers at once: what is large is shared out, since one thread copies from
/// the system's memory no faster than any other.
fn fill_here(job: &Job<'_>, object: &dyn Object, start: u64, memory: &mut [u8]) -> Result<bool> {
    let part = usize_of(job.limits.tuning.slab.max(1));
    // The first read tells whether the store can: a short one, if the rest is shared out.
    let first = if memory.len() <= part { memory.len() } else { part.min(usize_of(PAGE)) };
    let (first, rest) = memory.split_at_mut(first);
    let from = start + first.len() as u64;
    if !object.read_into(start, first).wait()? {
        return Ok(false);
    }
    let estimate = rest.len() as u64 / BYTES_A_NANOSECOND;
    let parts = rest.chunks_mut(part).zip((from..).step_by(part)).collect();
    job.parts(parts, estimate, |(memory, start)| {
        match object.read_into(start, memory).wait()? {
            true => Ok(()),
            false => Err(Error::io("a store reads into memory, and then does not")),
        }
    })?;
    Ok(true)
}

/// Where the bytes of a span are that are read by all threads: of a store that answers at once, what is
/// large and has to be copied, because a file has it.
pub(super) fn to_share_out(
    (job, store): (&Job<'_>, &dyn Store),
    object: &dyn Object,
    span: &Span,
) -> Option<Range<u64>> {
    let least = job.limits.tuning.slab.saturating_mul(2);
    let may_be = job.is_shared() && store.capabilities().ranges && !job.is_awaited();
    if length_of(span) < least || !may_be {
        return None;
    }
    object.file()?;
    // What is wrong with it, reading it tells.
    let range = span.of(object.size()?).ok()?;
    (range.end - range.start >= least).then_some(range)
}

/// Reads a range that is [`to_share_out`].
pub(super) fn read_shared(
    job: &Job<'_>,
    object: &dyn Object,
    range: Range<u64>,
    spare: Vec<u8>,
) -> Result<Option<Piece>> {
    let mut bytes = resized(spare, range.end - range.start)?;
    if !fill_here(job, object, range.start, &mut bytes)? {
        return object.read(Span::Range(range), bytes).wait();
    }
    let object_size = object.size().unwrap_or(range.end);
    Ok(Some(Piece { start: range.start, object_size, bytes: Buffer::Owned(bytes) }))
}

/// The bytes of a part with which so many bytes are asked for in one round of requests, as long as
/// parts do not get too large to be asked for again.
fn in_one_round(limits: &Limits, length: usize) -> usize {
    let most = usize_of(limits.tuning.part.saturating_mul(LARGER));
    length.div_ceil(limits.operations.max(1)).min(most)
}

/// Reads a span of an object of a store that is awaited: a large one in parts at the same time.
pub(super) async fn read_in_parts(
    (job, store): (&Job<'_>, &dyn Store),
    object: &dyn Object,
    span: Span,
) -> Result<Option<Piece>> {
    let part = job.limits.tuning.part.max(1);
    if length_of(&span) <= part || !store.capabilities().ranges {
        return job.ask(|| object.read(span, Vec::new())).await;
    }
    // How many bytes there are, unless it is known, the answer to the first part tells.
    let (first, range) = match &span {
        Span::Range(range) => (None, range.clone()),
        span => {
            let first = match span {
                Span::Suffix(_) => return job.ask(|| object.read(span.clone(), Vec::new())).await,
                _ => Span::Prefix(part),
            };
            let Some(first) = job.ask(|| object.read(first, Vec::new())).await? else {
                return Ok(None);
            };
            let range = span.of(first.object_size)?;
            (Some(first), range)
        }
    };
    let start = range.start;
    let mut bytes = zeroed(range.end - range.start)?;
    let mut done = 0;
    if let Some(first) = first {
        let here = first.bytes.as_slice();
        if here.len() == bytes.len() {
            return Ok(Some(first));
        }
        done = here.len();
        bytes[..done].copy_from_slice(here);
    }
    match fill(job, object, (start + done as u64, false), &mut bytes[done..]).await {
        Ok(true) => {}
        Ok(false) => return job.ask(|| object.read(span, Vec::new())).await,
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let object_size = object.size().unwrap_or(range.end);
    Ok(Some(Piece { start, object_size, bytes: Buffer::Owned(bytes) }))
}
