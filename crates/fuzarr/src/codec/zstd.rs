//! The `zstd` codec: Zstandard frames (RFC 8878).
#![expect(unsafe_code, reason = "the library writes into the unused capacity of a vector")]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use zstd_safe::zstd_sys::ZSTD_EndDirective::{ZSTD_e_continue, ZSTD_e_end};
use zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, SafeResult, WriteBuf,
};

use super::stream::{self, Step, Stream};
use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "zstd";
const LEVELS: std::ops::RangeInclusive<i32> = -131_072..=22;
const FRAME_MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
/// The most that a block decodes to, and the least that it takes when encoded.
const BLOCK_SIZE: (usize, usize) = (1 << 17, 3);
/// In the byte after the magic number: whether a checksum of all that it holds follows the frame.
const CHECKSUM_FLAG: u8 = 0x04;
/// What holds at least so many bytes is decoded as far as is wanted, and no further.
const LEAST_IN_PART: usize = 2 * BLOCK_SIZE.0;
/// The largest window, as a power of two, of a frame that is decoded in part: memory that is kept.
const LARGEST_WINDOW: u32 = 23;
/// Contexts that have grown beyond this are not kept.
const CONTEXT_LIMIT: usize = 64 << 20;
/// What holds at least so many bytes is encoded in jobs, however many threads there are for them: the bytes
/// made must not depend on that, and they differ from those of a frame made in one go. Where every thread
/// has such a chunk of its own, jobs take a tenth more; of smaller ones requests mostly have enough.
const LEAST_IN_JOBS: usize = 8 * JOB_SIZE;
/// What one job encodes. Each knows as much of what comes before it as the level looks back; to learn that
/// is some of what jobs take longer. Up to six are in memory, and three more for each thread.
const JOB_SIZE: usize = 4 << 20;
/// The overlap of jobs that is the whole window.
const WHOLE_WINDOW: u32 = 9;
/// Levels above look back by a job or more: most of the time would go into learning.
const HIGHEST_LEVEL_IN_JOBS: i32 = 8;
/// The most threads that work on one frame.
const MOST_THREADS: usize = 8;

/// How many frames are being made in jobs.
static IN_JOBS: AtomicUsize = AtomicUsize::new(0);

/// The `zstd` codec of the extension registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zstd {
    level: i32,
    checksum: bool,
}

thread_local! {
    static ENCODER: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

impl Zstd {
    /// The codec; level 0 means the library's default.
    ///
    /// # Errors
    /// `InvalidMetadata` if `level` is not in −131072…22.
    pub fn new(level: i32, checksum: bool) -> Result<Self> {
        if LEVELS.contains(&level) {
            return Ok(Self { level, checksum });
        }
        let message = format!("level {level} is not in −131072…22");
        Err(Error::invalid_metadata(message).with("codec", NAME))
    }

    /// The codec that `extension` configures; absent settings are 0 and no checksum, as
    /// zarr-python has them.
    ///
    /// # Errors
    /// `InvalidMetadata` for a level out of range or an unknown setting.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["level", "checksum"])?;
            let level = extension.integer("level")?.unwrap_or(0);
            let level = i32::try_from(level).unwrap_or(i32::MAX);
            Self::new(level, extension.boolean("checksum")?.unwrap_or(false))
        };
        parse().map_err(|error| error.with("codec", NAME))
    }

    fn append(
        self,
        context: &mut CCtx<'static>,
        decoded: &[u8],
        tail: &mut Tail<'_>,
    ) -> SafeResult {
        self.set_up(context)?;
        context.compress2(tail, decoded)
    }

    fn set_up(self, context: &mut CCtx<'static>) -> SafeResult {
        context.set_parameter(CParameter::CompressionLevel(self.level))?;
        context.set_parameter(CParameter::ChecksumFlag(self.checksum))
    }

    /// As [`append`](Self::append), in jobs. `None` if there are no threads to be had.
    fn append_in_jobs(self, threads: usize, decoded: &[u8], tail: &mut Tail<'_>) -> Option<()> {
        // The threads end with the call: a forked child would have a kept context, but not its threads.
        let mut context = CCtx::try_create()?;
        self.set_up(&mut context).ok()?;
        for parameter in [
            CParameter::NbWorkers(u32::try_from(threads).ok()?),
            CParameter::JobSize(u32::try_from(JOB_SIZE).ok()?),
            CParameter::OverlapSizeLog(WHOLE_WINDOW),
        ] {
            context.set_parameter(parameter).ok()?;
        }
        context.set_pledged_src_size(Some(decoded.len() as u64)).ok()?;
        // Asked to end the frame, the library waits for a thread to be free in a busy loop, on the core that
        // this thread may need. Asked to go on, it comes back after each bit of progress.
        let last = decoded.len().saturating_sub(1) / JOB_SIZE * JOB_SIZE;
        let (most, rest) = decoded.split_at_checked(last)?;
        let (room, mut output) = (tail.room, OutBuffer::around(tail));
        for (bytes, then) in [(most, ZSTD_e_continue), (rest, ZSTD_e_end)] {
            let mut input = InBuffer::around(bytes);
            loop {
                let before = input.pos();
                let left = context.compress_stream2(&mut output, &mut input, then).ok()?;
                let is_taken = input.pos() == bytes.len();
                if is_taken && (then == ZSTD_e_continue || left == 0) {
                    break;
                }
                if output.pos() == room {
                    return None;
                }
                if input.pos() == before {
                    std::thread::yield_now();
                }
            }
        }
        Some(())
    }
}

/// The share of `threads` that a frame gets, while others are being made, too, by other requests.
struct Share(usize);

impl Share {
    fn of(threads: usize) -> Self {
        let sharing = IN_JOBS.fetch_add(1, Ordering::Relaxed) + 1;
        Self((threads.min(MOST_THREADS) / sharing).max(1))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        IN_JOBS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The unused capacity of a vector, as the library's destination.
struct Tail<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    room: usize,
}

impl<'a> Tail<'a> {
    /// Room for `room` more bytes, reserved.
    fn reserve(bytes: &'a mut Vec<u8>, room: usize) -> Result<Self> {
        bound::reserve(bytes, room)?;
        let start = bytes.len();
        Ok(Self { bytes, start, room })
    }
}

// SAFETY: `room` bytes after `start` are reserved, and nothing else touches the vector while it is
// borrowed; only bytes said to be written are made part of it.
unsafe impl WriteBuf for Tail<'_> {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or(&[])
    }

    fn capacity(&self) -> usize {
        self.room
    }

    fn as_mut_ptr(&mut self) -> *mut u8 {
        // SAFETY: `start` was the length of the vector, so it is within its allocation.
        unsafe { self.bytes.as_mut_ptr().add(self.start) }
    }

    unsafe fn filled_until(&mut self, written: usize) {
        // SAFETY: the caller wrote so many bytes, at most `room`, which are reserved.
        unsafe { self.bytes.set_len(self.start + written) };
    }
}

/// The frames in `encoded` that hold data. Frames of other formats, such as those of Zstandard
/// before 0.8 that the library may have been built with, are damage.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    started: bool,
}

pub(super) fn frames(encoded: &[u8]) -> Frames<'_> {
    Frames { rest: encoded, started: false }
}

impl<'a> Frames<'a> {
    /// The next frame and whether it holds data.
    fn split(&mut self) -> Option<Result<(&'a [u8], bool)>> {
        if self.started && self.rest.is_empty() {
            return None;
        }
        self.started = true;
        let magic = self.rest.first_chunk().map(|magic| u32::from_le_bytes(*magic));
        let size = match magic {
            Some(FRAME_MAGIC) => zstd_safe::find_frame_compressed_size(self.rest)
                .map_err(|code| Error::corrupt(zstd_safe::get_error_name(code))),
            Some(magic) if magic & !0xf == SKIPPABLE_MAGIC => Ok(skippable_size(self.rest)),
            _ => Err(Error::corrupt("no zstd frame where one should start")),
        };
        let size = match size {
            Ok(size) => size,
            Err(error) => return Some(Err(error)),
        };
        let Some((frame, rest)) = self.rest.split_at_checked(size) else {
            return Some(Err(Error::corrupt("a skippable frame is truncated")));
        };
        self.rest = rest;
        Some(Ok((frame, magic == Some(FRAME_MAGIC))))
    }
}

/// Bytes that the skippable frame at the start of `encoded` says it takes.
fn skippable_size(encoded: &[u8]) -> usize {
    let size = encoded.get(4..).and_then(<[u8]>::first_chunk).map(|size| u32::from_le_bytes(*size));
    size.map_or(usize::MAX, |size| bound::in_memory(u64::from(size) + 8))
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.split()? {
                Ok((_, false)) => {}
                Ok((frame, true)) => return Some(Ok(frame)),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The error for a frame that failed to decode into `room` bytes.
#[cold]
fn failure(code: usize, limit: usize) -> Error {
    // Error codes are negated error numbers; 70 is the stable number of "destination too small".
    if code == 70_usize.wrapping_neg() {
        return bound::too_large(limit);
    }
    Error::corrupt(zstd_safe::get_error_name(code))
}

/// Bytes to reserve for what `frame` decodes to: what it says if it says so, but never more than
/// its blocks can hold.
fn expected(frame: &[u8], room: usize, limit: usize) -> Result<usize> {
    let declared = zstd_safe::get_frame_content_size(frame)
        .map_err(|_| Error::corrupt("the frame's header is damaged"))?;
    let possible = (frame.len() / BLOCK_SIZE.1).saturating_mul(BLOCK_SIZE.0);
    let size = match declared {
        Some(size) => bound::in_memory(size),
        None => bound::in_memory(
            zstd_safe::decompress_bound(frame).map_err(|code| failure(code, limit))?,
        )
        .min(room),
    };
    if size > room { Err(bound::too_large(limit)) } else { Ok(size.min(possible)) }
}

/// Decodes all frames into `decoded`, as much as `limit` allows.
fn decode_frames(
    context: &mut DCtx<'static>,
    encoded: &[u8],
    limit: usize,
    decoded: &mut Vec<u8>,
) -> Result<()> {
    for frame in frames(encoded) {
        let frame = frame?;
        let size = expected(frame, limit.saturating_sub(decoded.len()), limit)?;
        let mut tail = Tail::reserve(decoded, size)?;
        context.decompress(&mut tail, frame).map_err(|code| failure(code, limit))?;
    }
    Ok(())
}

fn with_decoder<T>(run: impl FnOnce(&mut DCtx<'static>) -> Result<T>) -> Result<T> {
    DECODER.with_borrow_mut(|kept| {
        let context = match kept {
            Some(context) => context,
            None => kept.insert(decoder()?),
        };
        run(context)
    })
}

fn decoder() -> Result<DCtx<'static>> {
    let mut context = DCtx::try_create().ok_or_else(no_context)?;
    context
        .set_parameter(DParameter::WindowLogMax(LARGEST_WINDOW))
        .map_err(|code| Error::limit(zstd_safe::get_error_name(code)))?;
    Ok(context)
}

/// A frame that is decoded piece by piece.
struct Session<'c>(&'c mut DCtx<'static>);

impl<'c> Session<'c> {
    fn begin(context: &'c mut DCtx<'static>) -> Result<Self> {
        context
            .reset(ResetDirective::SessionOnly)
            .map_err(|code| Error::limit(zstd_safe::get_error_name(code)))?;
        Ok(Self(context))
    }
}

impl Stream for Session<'_> {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step> {
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(output));
        let left = self
            .0
            .decompress_stream(&mut output, &mut input)
            .map_err(|code| Error::corrupt(zstd_safe::get_error_name(code)))?;
        Ok(Step { read: input.pos(), written: output.pos(), ended: left == 0 })
    }
}

fn with_encoder<T>(run: impl FnOnce(&mut CCtx<'static>) -> Result<T>) -> Result<T> {
    ENCODER.with_borrow_mut(|kept| {
        let context = match kept {
            Some(context) => context,
            None => kept.insert(CCtx::try_create().ok_or_else(no_context)?),
        };
        let result = run(context);
        if context.sizeof() > CONTEXT_LIMIT {
            *kept = None;
        }
        result
    })
}

#[cold]
fn no_context() -> Error {
    Error::limit("no memory for a zstd context")
}

impl BytesToBytes for Zstd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::generous(decoded)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        self.encode_on(1, decoded, encoded)
    }

    fn encode_on(&self, threads: usize, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        let mut encode = || {
            let mut tail = Tail::reserve(encoded, zstd_safe::compress_bound(decoded.len()))?;
            if decoded.len() >= LEAST_IN_JOBS && self.level <= HIGHEST_LEVEL_IN_JOBS {
                let share = Share::of(threads);
                let mut append = |threads| self.append_in_jobs(threads, decoded, &mut tail);
                if append(share.0).or_else(|| append(1)).is_some() {
                    return Ok(());
                }
            }
            with_encoder(|context| match self.append(context, decoded, &mut tail) {
                Ok(_) => Ok(()),
                Err(code) => Err(Error::limit(zstd_safe::get_error_name(code))),
            })
        };
        encode().map_err(|error| error.with("codec", NAME))
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        let wanted = decoded.len();
        let decode = |context: &mut DCtx<'static>| {
            let mut rest = decoded;
            for frame in frames(encoded) {
                let written =
                    context.decompress(rest, frame?).map_err(|code| failure(code, wanted))?;
                rest = rest.get_mut(written..).unwrap_or_default();
            }
            bound::filled(wanted - rest.len(), wanted)
        };
        with_decoder(decode).map_err(|error| error.with("codec", NAME))
    }

    fn decode_part(
        &self,
        encoded: &[u8],
        size: usize,
        wanted: Range<usize>,
        decoded: &mut Vec<u8>,
    ) -> bool {
        // Piece by piece takes somewhat longer, if it comes to the end.
        if size < LEAST_IN_PART || wanted.end > size / 4 * 3 {
            return false;
        }
        let mut frames = frames(encoded);
        let (Some(Ok(frame)), None) = (frames.next(), frames.next()) else { return false };
        let is_checked = frame.get(4).is_none_or(|descriptor| descriptor & CHECKSUM_FLAG != 0);
        let declared = zstd_safe::get_frame_content_size(frame).ok().flatten();
        if is_checked || declared != Some(size as u64) {
            return false;
        }
        let decode = |context: &mut DCtx<'static>| {
            stream::decode_part(&mut Session::begin(context)?, frame, wanted, decoded)
        };
        with_decoder(decode).is_ok()
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        decoded.clear();
        let limit = bound::in_memory(limit);
        with_decoder(|context| decode_frames(context, encoded, limit, decoded))
            .map_err(|error| error.with("codec", NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn header(content_size: u64) -> Vec<u8> {
        // RFC 8878, 3.1.1: a single segment with an 8-byte content size.
        [&FRAME_MAGIC.to_le_bytes()[..], &[0xe0], &content_size.to_le_bytes()].concat()
    }

    #[test]
    fn a_claimed_size_takes_no_memory() {
        let lie = [header(1 << 40), vec![0x01, 0x00, 0x00]].concat();
        let mut decoded = Vec::new();
        let error = Zstd::new(0, false).unwrap().decode(&lie, 1 << 41, &mut decoded).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(decoded.capacity() < 1 << 20, "{}", decoded.capacity());
    }

    #[test]
    fn frames_of_old_formats_are_damage() {
        // The magic numbers of Zstandard 0.5 to 0.7, also after a good frame.
        for version in 0x25..=0x27 {
            let old = [&[version, 0xb5, 0x2f, 0xfd][..], &[0; 16]].concat();
            let mut encoded = Vec::new();
            Zstd::new(0, false).unwrap().encode(b"good", &mut encoded).unwrap();
            encoded.extend_from_slice(&old);
            for encoded in [old, encoded] {
                let mut decoded = Vec::new();
                let error =
                    Zstd::new(0, false).unwrap().decode(&encoded, 100, &mut decoded).unwrap_err();
                assert_eq!(error.message(), "no zstd frame where one should start");
            }
        }
    }

    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn threads_change_no_bytes() {
        let mut noise = noise(LEAST_IN_JOBS + 12_345);
        let smooth = noise.iter().map(|byte| byte >> 3).collect::<Vec<_>>();
        let constant = vec![7; LEAST_IN_JOBS];
        noise.truncate(LEAST_IN_JOBS + JOB_SIZE);
        let cases = [(0, false, &smooth), (-5, true, &smooth), (8, false, &smooth)];
        for (level, checksum, bytes) in
            cases.into_iter().chain([(0, false, &noise), (3, true, &constant)])
        {
            let codec = Zstd::new(level, checksum).unwrap();
            let encode = |threads: usize| {
                let mut encoded = b"before".to_vec();
                codec.encode_on(threads, bytes, &mut encoded).unwrap();
                encoded
            };
            let one = encode(1);
            for threads in [0, 2, 3, 1000] {
                assert!(encode(threads) == one, "level {level}, {threads} threads");
            }
            let mut encoded = b"before".to_vec();
            codec.encode(bytes, &mut encoded).unwrap();
            assert!(encoded == one);
            // One frame that says its size: others decode no more than the first.
            let frame = one.strip_prefix(b"before").unwrap();
            assert_eq!(zstd_safe::find_frame_compressed_size(frame).unwrap(), frame.len());
            let size = zstd_safe::get_frame_content_size(frame).unwrap();
            assert_eq!(size, Some(bytes.len() as u64));
            let mut decoded = vec![0; bytes.len()];
            codec.decode_into(frame, &mut decoded).unwrap();
            assert!(decoded == *bytes);
            let (start, end) = (3 << 20, (3 << 20) + 1000);
            let mut part = Vec::new();
            assert_eq!(codec.decode_part(frame, bytes.len(), start..end, &mut part), !checksum);
            assert!(checksum || part.starts_with(&bytes[start..end]));
        }
    }

    #[test]
    fn jobs_look_back_as_far_as_their_level() {
        // Seen to fail, with three times the bytes, while a job began with an eighth of the window.
        let frame = noise(1 << 20);
        let mut encoded = Vec::new();
        let codec = Zstd::new(0, false).unwrap();
        codec.encode(&frame.repeat(LEAST_IN_JOBS / frame.len()), &mut encoded).unwrap();
        assert!(encoded.len() < frame.len() * 5 / 4, "{}", encoded.len());
    }

    #[test]
    fn levels_are_checked() {
        for level in [-131_072, -1, 0, 22] {
            Zstd::new(level, true).unwrap();
        }
        for level in [-131_073, 23, i32::MAX] {
            assert_eq!(Zstd::new(level, true).unwrap_err().kind(), Kind::InvalidMetadata);
        }
    }
}
