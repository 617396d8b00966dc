//! One version of an object of a remote store. Opening it asks nothing: the first answer tells the
//! version, and what is read after that is read on condition that it is still there.

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta};

use super::attempt::{Failure, Trouble};
use super::client::Client;
use super::{attempt, tag};
use crate::buffer::{Buffer, addressable, reserve, usize_of};
use crate::error::{Error, Result};
use crate::store::{Answer, Object, Piece, Span, Version};

/// An object, as far as it is known.
#[derive(Debug)]
pub(super) struct RemoteObject {
    client: Arc<Client>,
    path: Path,
    known: Mutex<Known>,
    /// All of it, if the store gives no less.
    whole: OnceLock<Bytes>,
}

/// What is known of an object.
#[derive(Debug, Clone, Default)]
struct Known {
    version: Option<Version>,
    size: Option<u64>,
    /// When it was changed last, as far as the store tells.
    changed: Option<i64>,
    /// Whether the store has said so since the object was opened.
    is_confirmed: bool,
}

/// What came of a request.
struct Got {
    range: Range<u64>,
    size: u64,
    bytes: Vec<u8>,
}

/// Where bytes that come are put.
enum Sink<'a> {
    /// A buffer that grows; the object may have so many bytes, if that is known.
    Buffer(Vec<u8>, Option<u64>),
    Memory(&'a mut [u8]),
}

fn changed() -> Error {
    Error::conflict("the object changed while it was read")
}

fn no_parts() -> Error {
    Error::unsupported("the server gives no parts of objects")
}

fn too_short() -> Error {
    Error::corrupt("the object ends before what is wanted of it")
}

impl RemoteObject {
    /// The object as it will be found, or as it was in `version`.
    pub(super) fn new(client: Arc<Client>, path: Path, version: Option<Version>) -> Self {
        let known = Mutex::new(Known { version, ..Known::default() });
        Self { client, path, known, whole: OnceLock::new() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what an answer says of the object.
    fn learn(&self, meta: &ObjectMeta) -> Result<(), Trouble> {
        let version = tag::version_of(meta.e_tag.as_deref(), meta.version.as_deref());
        let size = Some(meta.size);
        let moment = Some(meta.last_modified.timestamp_micros());
        let mut known = self.known();
        let differs = known.version.is_some() && known.version != version
            || known.size.is_some() && known.size != size
            || known.version.is_none() && known.changed.is_some() && known.changed != moment;
        if differs {
            return Err(Trouble::Refused(changed()));
        }
        *known = Known { version, size, changed: moment, is_confirmed: true };
        Ok(())
    }

    /// What a failure means: `None` if there is no such object, and never was one.
    fn explain<T>(&self, failure: Failure) -> Result<Option<T>> {
        if failure.is_missing() {
            let Known { version, is_confirmed, .. } = self.known().clone();
            let was_there = version.is_some() || is_confirmed;
            return if was_there { Err(changed()) } else { Ok(None) };
        }
        Err(failure.into_error().with("key", self.client.key(&self.path)))
    }

    /// The object's size, asked for once.
    async fn find_size(&self) -> Result<Option<u64>> {
        if let Some(size) = self.known().size {
            return Ok(Some(size));
        }
        let head = || async {
            let options = GetOptions { head: true, ..self.options(None) };
            let answer = self.client.get(&self.path, options).await?;
            self.learn(&answer.meta)?;
            Ok(answer.meta.size)
        };
        match attempt(&self.client, head).await {
            Ok(size) => Ok(Some(size)),
            Err(failure) => self.explain(failure),
        }
    }

    fn options(&self, range: Option<GetRange>) -> GetOptions {
        let if_match = self.known().version.as_ref().and_then(tag::condition);
        GetOptions { range, if_match, ..GetOptions::default() }
    }

    /// One try to get a range, or everything.
    async fn get(&self, range: Option<GetRange>, sink: &mut Sink<'_>) -> Result<Got, Trouble> {
        let answer = self.client.get(&self.path, self.options(range)).await?;
        self.learn(&answer.meta)?;
        let (range, size) = (answer.range.clone(), answer.meta.size);
        self.receive(answer, sink).await?;
        let bytes = match sink {
            Sink::Buffer(bytes, _) => std::mem::take(bytes),
            Sink::Memory(_) => Vec::new(),
        };
        Ok(Got { range, size, bytes })
    }

    /// Receives the body of an answer.
    async fn receive(&self, answer: GetResult, sink: &mut Sink<'_>) -> Result<(), Trouble> {
        let wanted = answer.range.end - answer.range.start;
        match sink {
            Sink::Buffer(bytes, most) => {
                if let Some(most) = *most {
                    Span::Whole(most).of(answer.meta.size).map_err(Trouble::Refused)?;
                }
                bytes.clear();
                let room = addressable(wanted).and_then(|room| reserve(bytes, room));
                room.map_err(Trouble::Refused)?;
            }
            Sink::Memory(memory) if memory.len() as u64 != wanted => {
                return Err(Trouble::Refused(too_short()));
            }
            Sink::Memory(_) => {}
        }
        let mut body = answer.into_stream();
        let mut came = 0;
        while let Some(frame) = self.client.patiently(body.next()).await? {
            let frame = frame?;
            let end = came + frame.len() as u64;
            if end > wanted {
                break;
            }
            match sink {
                Sink::Buffer(bytes, _) => bytes.extend_from_slice(&frame),
                Sink::Memory(memory) => {
                    memory[usize_of(came)..usize_of(end)].copy_from_slice(&frame);
                }
            }
            came = end;
        }
        self.client.received(came);
        if came == wanted { Ok(()) } else { Err(Trouble::Short(came, wanted)) }
    }

    /// Gets a range, or everything, again if that is worth it; `None` if there is no such object.
    async fn fetch(&self, range: Option<GetRange>, mut sink: Sink<'_>) -> Result<Option<Got>> {
        let mut attempts = self.client.attempts();
        loop {
            let trouble = match attempts.one(self.get(range.clone(), &mut sink)).await {
                Ok(got) => return Ok(Some(got)),
                // All is well, it says, but what comes is no range.
                Err(Trouble::Client(_)) if range.is_some() && attempts.status() == 200 => {
                    if self.client.manners.may_ignore_ranges {
                        self.client.note_that_ranges_are_ignored();
                        return Err(no_parts());
                    }
                    Trouble::Garbled
                }
                Err(trouble) => trouble,
            };
            if let Err(failure) = attempts.again(trouble).await {
                return self.explain(failure);
            }
        }
    }

    /// All of an object of a store that gives no less, fetched once.
    async fn fetch_whole(&self, most: Option<u64>) -> Result<Option<Bytes>> {
        if let Some(whole) = self.whole.get() {
            return Ok(Some(whole.clone()));
        }
        let got = self.fetch(None, Sink::Buffer(Vec::new(), most)).await?;
        Ok(got.map(|got| self.whole.get_or_init(|| got.bytes.into()).clone()))
    }

    /// The piece that `span` is of the whole object.
    async fn cut(&self, span: &Span) -> Result<Option<Piece>> {
        let most = if let Span::Whole(most) = span { Some(*most) } else { None };
        let Some(whole) = self.fetch_whole(most).await? else { return Ok(None) };
        let object_size = whole.len() as u64;
        let range = span.of(object_size)?;
        let bytes = whole.slice(usize_of(range.start)..usize_of(range.end));
        Ok(Some(Piece { start: range.start, object_size, bytes: Buffer::Shared(bytes) }))
    }

    /// The range to ask for. `Err` inside: the piece itself, since there is nothing to ask for.
    async fn range_of(&self, span: &Span) -> Result<Option<Result<Option<GetRange>, Piece>>> {
        let range = match span {
            Span::Whole(_) => return Ok(Some(Ok(None))),
            Span::Suffix(length) if self.client.has_suffixes() && *length > 0 => {
                return Ok(Some(Ok(Some(GetRange::Suffix(*length)))));
            }
            Span::Prefix(length) if *length > 0 => 0..*length,
            Span::Range(range) if range.start < range.end => range.clone(),
            span => {
                let Some(size) = self.find_size().await? else { return Ok(None) };
                let range = span.of(size)?;
                if range.is_empty() {
                    let bytes = Buffer::Owned(Vec::new());
                    return Ok(Some(Err(Piece { start: range.start, object_size: size, bytes })));
                }
                range
            }
        };
        Ok(Some(Ok(Some(GetRange::Bounded(range)))))
    }

    async fn read_span(&self, span: Span, spare: Vec<u8>) -> Result<Option<Piece>> {
        if !self.client.has_ranges() {
            let is_at_hand = span != Span::Prefix(0) || self.whole.get().is_some();
            return if is_at_hand { self.cut(&span).await } else { self.head_of_whole().await };
        }
        let range = match self.range_of(&span).await? {
            None => return Ok(None),
            Some(Err(piece)) => return Ok(Some(piece)),
            Some(Ok(range)) => range,
        };
        let most = if let Span::Whole(most) = span { Some(most) } else { None };
        let got = match self.fetch(range, Sink::Buffer(spare, most)).await {
            // The object may be too small for the range.
            Err(error) if error.context("status") == Some("416") => {
                return self.nothing(&span).await;
            }
            // Somebody else has found out: whoever asked decides whether there is room for all of it.
            Err(_) if most.is_none() && !self.client.has_ranges() => return Err(no_parts()),
            outcome => outcome?,
        };
        let Some(Got { range, size, bytes }) = got else { return Ok(None) };
        // A range that was cut short is one that the object does not have.
        if span.of(size)? != range {
            return Err(Error::io("the store answered with another range than was asked for"));
        }
        Ok(Some(Piece { start: range.start, object_size: size, bytes: Buffer::Owned(bytes) }))
    }

    /// None of the bytes of an object of a store that gives no less than all: what is asked for is its
    /// version and its size.
    async fn head_of_whole(&self) -> Result<Option<Piece>> {
        match self.nothing(&Span::Prefix(0)).await {
            // There is no such question.
            Err(error) if matches!(error.context("status"), Some("405" | "501")) => {
                self.cut(&Span::Prefix(0)).await
            }
            found => found,
        }
    }

    /// The piece that `span` is of an object that has none of the bytes asked for.
    async fn nothing(&self, span: &Span) -> Result<Option<Piece>> {
        let Some(size) = self.find_size().await? else { return Ok(None) };
        let range = span.of(size)?;
        if !range.is_empty() {
            return Err(Error::io("the store refuses a range that the object has"));
        }
        let bytes = Buffer::Owned(Vec::new());
        Ok(Some(Piece { start: range.start, object_size: size, bytes }))
    }
}

impl Object for RemoteObject {
    fn read(&self, span: Span, spare: Vec<u8>) -> Answer<'_, Option<Piece>> {
        self.client.answer(self.read_span(span, spare))
    }

    fn read_into<'a>(&'a self, start: u64, memory: &'a mut [u8]) -> Answer<'a, bool> {
        if !self.client.has_ranges() || memory.is_empty() {
            return Answer::ready(Ok(self.client.has_ranges()));
        }
        self.client.answer(async move {
            let range = GetRange::Bounded(start..start + memory.len() as u64);
            match self.fetch(Some(range), Sink::Memory(memory)).await {
                Err(_) if !self.client.has_ranges() => Ok(false),
                Err(error) if error.context("status") == Some("416") => {
                    Err(too_short().with("key", self.client.key(&self.path)))
                }
                outcome => {
                    let missing = || Error::not_found("there is no such object");
                    outcome?.map(|_| true).ok_or_else(missing)
                }
            }
        })
    }

    fn size(&self) -> Option<u64> {
        self.known().size
    }

    fn version(&self) -> Option<Version> {
        self.known().version.clone()
    }

    fn is_unchanged(&self) -> Answer<'_, bool> {
        let Known { version, is_confirmed, .. } = self.known().clone();
        // Everything that was read since is of the version that was found.
        if is_confirmed || version.is_none() {
            return Answer::ready(Ok(true));
        }
        self.client.answer(async {
            match self.find_size().await {
                Ok(found) => Ok(found.is_some()),
                Err(error) if error.kind() == crate::Kind::Conflict => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
