//! Objects that are written in parts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, PutMultipartOptions, PutPayload};
use tokio::sync::OnceCell;

use super::attempt::{Failure, Trouble};
use super::client::{Client, Service};
use super::object::RemoteObject;
use super::{attempt, is_ours, mark, marked, put, put_mode};
use crate::buffer::{reserve, usize_of};
use crate::error::{Error, Result};
use crate::store::{Answer, Content, Object as _, Precondition, Span, Upload, Version};

/// Bytes of a part: services want at least 5 MiB, all parts alike, and at most 10,000 of them.
const PART: u64 = 16 << 20;

/// The most parts of an object.
const MOST_PARTS: u64 = 10_000;

/// The version that an object had, if there was one.
type Before = Option<Version>;

/// An object that is being written. Pieces are put together to parts; a part that is complete is
/// sent.
#[derive(Debug)]
pub(super) struct RemoteUpload {
    client: Arc<Client>,
    path: Path,
    mark: String,
    /// The name of the upload, once a part is sent.
    id: OnceCell<MultipartId>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Parts that have begun, by number.
    open: BTreeMap<u64, Part>,
    sent: BTreeMap<u64, PartId>,
    length: u64,
    is_finished: bool,
}

#[derive(Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    /// How many of its bytes are there.
    filled: u64,
}

impl RemoteUpload {
    pub(super) fn new(client: Arc<Client>, path: Path) -> Self {
        Self { client, path, mark: mark(), id: OnceCell::new(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a piece into the parts that it belongs to, and takes out those that it completes.
    fn place(&self, offset: u64, piece: &[u8]) -> Result<Vec<(u64, Bytes)>> {
        let mut state = self.state();
        let end = offset.saturating_add(piece.len() as u64);
        if end > PART * MOST_PARTS {
            return Err(Error::limit(format!(
                "an object of more than {} bytes cannot be sent",
                PART * MOST_PARTS
            )));
        }
        state.length = state.length.max(end);
        let (mut complete, mut at) = (Vec::new(), offset);
        while at < end {
            let (number, start) = (at / PART, usize_of(at % PART));
            let length = (end - at).min(PART - at % PART);
            let from = usize_of(at - offset);
            let bytes = &piece[from..from + usize_of(length)];
            let part = state.open.entry(number).or_default();
            part.place(start, bytes)?;
            if part.filled == PART
                && let Some(part) = state.open.remove(&number)
            {
                complete.push((number, part.bytes.into()));
            }
            at += length;
        }
        Ok(complete)
    }

    /// The way to send parts.
    fn parts(&self) -> Result<&Arc<dyn MultipartStore>> {
        let parts = self.client.service()?.parts.as_ref();
        parts.ok_or_else(|| Error::unsupported("this store takes no objects in parts"))
    }

    fn options(&self) -> PutMultipartOptions {
        let none = PutMultipartOptions::default();
        if !self.client.manners.marks_parts {
            return none;
        }
        PutMultipartOptions { attributes: marked(&self.mark), ..none }
    }

    /// The name of the upload, asked for once, when the first part is sent.
    async fn id(&self) -> Result<&MultipartId> {
        let parts = self.parts()?;
        let begin = || async { Ok(parts.create_multipart_opts(&self.path, self.options()).await?) };
        let begun = async { attempt(&self.client, begin).await.map_err(Failure::into_error) };
        self.id.get_or_try_init(|| begun).await
    }

    /// Size and version of the object that is there.
    async fn look(&self) -> Result<(Option<u64>, Option<Version>)> {
        let object = RemoteObject::new(Arc::clone(&self.client), self.path.clone(), None);
        let found = object.read(Span::Prefix(0), Vec::new()).await?;
        Ok((found.map(|found| found.object_size), object.version()))
    }

    /// Whether the object that is there is the one that was sent, though completing it failed; `before`
    /// is the version that was there before, if that is known.
    ///
    /// Without a mark, only this tells: the parts are used up, and the object is another one than
    /// before, of this length.
    async fn is_complete(&self, failure: &Failure, before: Option<Before>) -> Result<bool> {
        let marks = self.client.manners.marks_parts;
        if !marks && !failure.lacks_upload() {
            return Ok(false);
        }
        let (size, version) = self.look().await?;
        if size != Some(self.state().length) {
            return Ok(false);
        }
        if marks {
            return is_ours(&self.client, &self.path, &self.mark).await;
        }
        Ok(before.is_some_and(|before| version.is_some() && version != before))
    }

    async fn send(&self, number: u64, bytes: Bytes) -> Result<()> {
        let (id, parts) = (self.id().await?, self.parts()?);
        let send = || async {
            let payload = PutPayload::from_bytes(bytes.clone());
            let sent = parts.put_part(&self.path, id, usize_of(number), payload);
            sent.await.map_err(Trouble::from)
        };
        let part = attempt(&self.client, send).await.map_err(Failure::into_error)?;
        self.client.sent(bytes.len() as u64);
        self.state().sent.insert(number, part);
        Ok(())
    }

    async fn write_content(&self, offset: u64, content: Content<'_>) -> Result<()> {
        // What the parts were put together from is let go of before they are sent.
        let complete = self.place(offset, &content.joined().await?)?;
        for (number, part) in complete {
            self.send(number, part).await?;
        }
        Ok(())
    }

    async fn finish(&self, precondition: Precondition) -> Result<Option<Version>> {
        let open = std::mem::take(&mut self.state().open);
        if !self.id.initialized() && open.len() <= 1 {
            let bytes = open.into_values().next().map(|part| part.bytes).unwrap_or_default();
            let mode = put_mode(&self.client, &precondition)?;
            return put(&self.client, &self.path, &bytes.into(), &mode).await;
        }
        if precondition != Precondition::None && self.client.manners.conditions {
            return Err(Error::unsupported("an object in parts cannot be written on condition"));
        }
        for (number, part) in open {
            self.send(number, part.bytes.into()).await?;
        }
        let (id, parts) = (self.id().await?, self.parts()?);
        let sent = std::mem::take(&mut self.state().sent);
        let sent: Vec<PartId> = sent.into_values().collect();
        // Where an object in parts bears no mark, it is known by not being the one that was there.
        let before = match self.client.manners.marks_parts {
            true => None,
            false => self.look().await.ok().map(|(_, version)| version),
        };
        let complete = || async {
            parts.complete_multipart(&self.path, id, sent.clone()).await?;
            Ok(())
        };
        if let Err(failure) = attempt(&self.client, complete).await {
            // The answer to an earlier try may have got lost: there is no such upload any more then.
            if !failure.is_uncertain || !self.is_complete(&failure, before).await? {
                return Err(failure.into_error());
            }
        }
        self.state().is_finished = true;
        // What the answer says in its document need not be spelt as elsewhere.
        Ok(None)
    }
}

impl Part {
    fn place(&mut self, start: usize, piece: &[u8]) -> Result<()> {
        let end = start.saturating_add(piece.len());
        if end > self.bytes.len() {
            let more = end - self.bytes.len();
            reserve(&mut self.bytes, more)?;
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(piece);
        self.filled += piece.len() as u64;
        Ok(())
    }
}

impl Upload for RemoteUpload {
    fn write<'a>(&'a self, offset: u64, content: Content<'a>) -> Answer<'a, ()> {
        self.client.answer(self.write_content(offset, content))
    }

    fn finish(self: Box<Self>, precondition: Precondition) -> Answer<'static, Option<Version>> {
        let client = Arc::clone(&self.client);
        client.answer(async move {
            let outcome = Self::finish(&self, precondition).await;
            outcome.map_err(|error| error.with("key", self.client.key(&self.path)))
        })
    }
}

impl Drop for RemoteUpload {
    /// Parts that were sent cost money until they are called off.
    fn drop(&mut self) {
        let Some(id) = self.id.take().filter(|_| !self.state().is_finished) else { return };
        let (client, path) = (Arc::clone(&self.client), self.path.clone());
        if let Ok(handle) = super::runtime::handle() {
            handle.spawn(async move {
                let Ok(Service { parts: Some(parts), .. }) = client.service() else { return };
                let call_off = || async { Ok(parts.abort_multipart(&path, &id).await?) };
                match attempt(&client, call_off).await {
                    // The answer to an earlier try got lost.
                    Err(failure) if failure.is_uncertain && failure.lacks_upload() => {}
                    Err(failure) => {
                        let error = failure.into_error();
                        tracing::warn!(%path, %error, "an upload in parts could not be called off");
                    }
                    Ok(()) => {}
                }
            });
        }
    }
}
