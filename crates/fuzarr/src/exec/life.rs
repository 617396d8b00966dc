//! One stored object's life: its machine is asked for the next step, and the store takes it.
//!
//! It is the same for stores that answer at once, where it is never suspended, and for those that
//! are awaited.

use futures_util::future::{ready, try_join_all};

use super::fetch::{fill_targets, length_of, read_in_parts, read_shared, to_share_out};
use super::job::{Held, Job};
use super::pool::Unleaked;
use crate::buffer::Buffer;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::plan::{Commit, Machine, Purpose, Scratch, Step};
use crate::store::{Content, Object, Piece, Precondition, Span, Store, Upload};
use crate::wait::wait;

/// How often an object that keeps changing under a request is read anew before giving up.
const ATTEMPTS: usize = 100;

/// A read of at most this many bytes is not torn by a writer that changes the file in place.
pub(super) const PAGE: u64 = 4096;

/// What a read of so many bytes adds to those before it, see [`Life::read`].
fn read_of(before: u64, length: u64) -> u64 {
    length + if before == 0 { 1 } else { PAGE + 1 }
}

/// Who runs an object's units.
pub(super) enum Workers<'m> {
    /// This thread, and those that join it.
    Here(&'m mut Scratch),
    /// The pool's threads, while this one goes on with other objects.
    Elsewhere(Unleaked),
}

/// One object's life: the machine, and the version of the object that it works on.
pub(super) struct Life<'a, 'm> {
    job: &'a Job<'a>,
    store: &'a dyn Store,
    machine: &'m mut dyn Machine,
    workers: Workers<'m>,
    /// The new object, if it is written piece by piece.
    upload: Option<Box<dyn Upload>>,
    /// Held until the end, so that the version cannot be mistaken for another.
    object: Option<Box<dyn Object>>,
    /// Bytes read of it, and one more; a page more for each read that follows another, since two
    /// reads may be of two versions however small they are.
    read: u64,
    /// This object's share of the bytes in flight.
    held: Held<'a>,
    /// Whether that is for all of its life, not for what is fetched.
    is_held: bool,
    /// Whether the machine has been told that there are no parts of objects to be had.
    is_whole: bool,
    restarts: usize,
    /// What is wrong with the object, where that does not end the request: told at the end, if all that
    /// was read is of one version.
    found: Vec<Error>,
}

impl<'a, 'm> Life<'a, 'm> {
    pub(super) fn new(
        (job, store): (&'a Job<'a>, &'a dyn Store),
        machine: &'m mut dyn Machine,
        workers: Workers<'m>,
    ) -> Self {
        let (upload, object, held) = (None, None, Held::default());
        let (is_held, is_whole, restarts) = (false, false, 0);
        let (read, found) = (0, Vec::new());
        Self {
            job,
            store,
            machine,
            workers,
            upload,
            object,
            read,
            held,
            is_held,
            is_whole,
            restarts,
            found,
        }
    }

    /// What is reused from object to object, if this thread does all of their work.
    fn scratch(&mut self) -> Option<&mut Scratch> {
        match &mut self.workers {
            Workers::Here(scratch) => Some(scratch),
            Workers::Elsewhere(_) => None,
        }
    }

    /// Drives the machine to its end; whether its object is stored. `held`: the share of the bytes in
    /// flight that is for all of its life, if there is one.
    pub(super) async fn run(mut self, held: Held<'a>) -> Result<bool> {
        self.is_held = held.is_some();
        self.held = held;
        let outcome = self.live().await;
        // After another error it is not known whether all of it was of one version.
        if outcome.as_ref().err().is_none_or(|error| error.kind() == Kind::Corrupt) {
            for error in self.found {
                self.job.failures.add(usize::MAX, error.with("key", self.machine.key()));
            }
        }
        outcome.context("key", || self.machine.key())
    }

    async fn live(&mut self) -> Result<bool> {
        loop {
            let step = self.step().await;
            let restart = match &step {
                Ok(Some(_)) => !self.is_unchanged().await?,
                Ok(None) => false,
                // What looks damaged may be two versions.
                Err(error) if error.kind() == Kind::Corrupt => !self.is_unchanged().await?,
                Err(error) => error.kind() == Kind::Conflict,
            };
            if restart {
                if self.restarts == ATTEMPTS {
                    return Err(step
                        .err()
                        .filter(|error| error.kind() == Kind::Conflict)
                        .unwrap_or_else(|| Error::conflict("the object never stops changing")));
                }
                self.restarts += 1;
                self.machine.restart();
                self.forget();
                continue;
            }
            if let Some(present) = step? {
                let memory = self.machine.reclaim();
                if let Some(scratch) = self.scratch() {
                    scratch.keep(memory);
                }
                return Ok(present);
            }
        }
    }

    /// Takes one step; at the end, whether the object is stored.
    async fn step(&mut self) -> Result<Option<bool>> {
        match self.machine.next()? {
            Step::Open => self.open().await?,
            Step::Fetch(purpose) => match self.fetch(purpose).await {
                Err(error) if error.kind() == Kind::Unsupported && self.loses_ranges() => {}
                fetched => fetched?,
            },
            Step::Work(units) => {
                let failed = match &mut self.workers {
                    Workers::Here(scratch) => self.job.units(self.machine, units, scratch)?,
                    Workers::Elsewhere(unleaked) => {
                        let alone = ready(Ok(()));
                        let work = (&*self.machine, units);
                        Box::pin(self.job.units_elsewhere(work, *unleaked, alone)).await?
                    }
                };
                self.found.extend(failed);
            }
            Step::Append(units) => {
                let failed = self.append_and_work(units).await?;
                self.found.extend(failed);
                self.machine.committed();
            }
            Step::Commit(commit) => {
                self.commit(commit).await?;
                self.machine.committed();
                // What was read is no longer what is stored.
                self.read = 0;
            }
            Step::Done { present } => return Ok(Some(present)),
        }
        Ok(None)
    }

    /// Whether all that was read is of one version. One small read always is; an object of which
    /// nothing was read may not be there any more.
    async fn is_unchanged(&mut self) -> Result<bool> {
        let awaited = self.job.is_awaited();
        let may_be_gone = self.read == 1 && awaited && !self.machine.is_believed();
        let unchanged = match &self.object {
            Some(object) if self.read > PAGE + 1 || may_be_gone => {
                self.job.ask(|| object.is_unchanged()).await?
            }
            _ => return Ok(true),
        };
        if unchanged && awaited {
            self.machine.confirmed();
        }
        Ok(unchanged)
    }

    /// Pins the object.
    async fn open(&mut self) -> Result<()> {
        let is_met_before = self.job.is_awaited() && self.restarts == 0;
        let expected = if is_met_before { self.machine.expected() } else { None };
        let (job, store, key) = (self.job, self.store, self.machine.key());
        self.object = match &expected {
            Some(version) => job.ask(|| store.open_at(key, version)).await?,
            None => job.ask(|| store.open(key)).await?,
        };
        // What is known of this version from before counts as read.
        self.read = 1;
        match &self.object {
            Some(object) => self.machine.opened(object.version(), object.size()),
            None => self.machine.supply(None, Precondition::Absent),
        }
        Ok(())
    }

    /// Whether the store has turned out to give no parts of objects, and the machine, which did not know
    /// that, has started again. A share of the bytes in flight that was for a part is none for the whole.
    fn loses_ranges(&mut self) -> bool {
        if self.is_whole || !self.job.is_awaited() || self.store.capabilities().ranges {
            return false;
        }
        self.is_whole = true;
        if !self.machine.without_ranges() {
            return false;
        }
        self.forget();
        true
    }

    /// Lets go of what came of the version that was read: the machine has started again.
    fn forget(&mut self) {
        (self.object, self.upload, self.read) = (None, None, 0);
        self.found.clear();
    }

    /// Reads what the machine asks for, all from one version of the object.
    async fn fetch(&mut self, purpose: Purpose) -> Result<()> {
        if self.loses_ranges() {
            return Ok(());
        }
        if self.object.is_none() {
            self.object = self.job.ask(|| self.store.open(self.machine.key())).await?;
        }
        if self.object.is_none() {
            self.machine.supply(None, Precondition::Absent);
            return Ok(());
        }
        if self.work_part_by_part()? {
            return Ok(());
        }
        let filled = self.fill_targets(purpose == Purpose::Whole).await;
        if !self.doubting(filled)? {
            self.machine.supply(None, Precondition::Absent);
            return Ok(());
        }
        if self.loses_ranges() {
            return Ok(());
        }
        let mut pieces = match self.scratch() {
            Some(scratch) => std::mem::take(&mut scratch.pieces),
            None => Vec::new(),
        };
        pieces.clear();
        let found = self.read_spans(&mut pieces).await;
        let found = self.doubting(found);
        let codec = self.machine.codec();
        // An object of a size that its codecs cannot make.
        let found = found.map_err(|error| match error.kind() {
            Kind::Corrupt => error.with("codec", codec),
            _ => error,
        })?;
        match self.object.as_deref().filter(|_| found) {
            Some(object) => {
                let version = object.version();
                let precondition = version.map_or(Precondition::None, Precondition::Unchanged);
                self.machine.supply(Some(&mut pieces), precondition);
            }
            None => self.machine.supply(None, Precondition::Absent),
        }
        if let Some(scratch) = self.scratch() {
            scratch.pieces = pieces;
        }
        Ok(())
    }

    /// Has each unit of the machine's work read just the part of a file that it needs, which is then still in
    /// the processor's cache, if the machine can do with that.
    fn work_part_by_part(&mut self) -> Result<bool> {
        let object = self.object.as_deref().filter(|object| object.file().is_some());
        let (Some(object), Workers::Here(scratch)) = (object, &mut self.workers) else {
            return Ok(false);
        };
        let units = object.size().map_or(0, |size| self.machine.begin_parts(size));
        if units == 0 {
            return Ok(false);
        }
        // Several reads, which may be of several versions.
        self.read += PAGE + 2;
        let machine = &*self.machine;
        let work = |unit, scratch: &mut Scratch| {
            let no_part = || Error::invalid_argument("a unit of work has no part of the object");
            let gone = || Error::conflict("the object went away while it was read");
            let span = Span::Range(machine.part_of(unit).ok_or_else(no_part)?);
            let spare = std::mem::take(&mut scratch.fetch);
            let piece = object.read(span, spare).wait()?.ok_or_else(gone)?;
            machine.run_on(unit, piece.bytes.as_slice(), scratch)?;
            if let Buffer::Owned(memory) = piece.bytes {
                scratch.fetch = memory;
            }
            Ok(())
        };
        let failed = self.job.each_unit((units, machine.estimate()), false, scratch, work)?;
        self.found.extend(failed);
        Ok(true)
    }

    /// An object that is too short may have become so since it was opened.
    fn doubting<T>(&mut self, read: Result<T>) -> Result<T> {
        if read.as_ref().is_err_and(|error| error.kind() == Kind::Corrupt) && !self.job.is_awaited()
        {
            self.read += PAGE + 2;
        }
        read
    }

    /// Has the store read what the machine wants in memory of its own, if the store can. `false` if it
    /// turns out that there is no such object. `whole`: what is wanted is all of it.
    async fn fill_targets(&mut self, whole: bool) -> Result<bool> {
        let Some(object) = self.object.as_deref() else { return Ok(true) };
        let (size, targets) = (object.size(), self.machine.targets(object.size()));
        let filled = match targets {
            0 => Ok(None),
            // What is large, or seldom taken, lives in a box: the future of every tiny chunk is
            // the smaller for it.
            targets => {
                Box::pin(fill_targets(self.job, &*self.machine, object, (targets, whole))).await
            }
        };
        let filled = match filled {
            Err(error) if size.is_none() && error.kind() == Kind::NotFound => return Ok(false),
            // It is shorter: how, decoding tells.
            Err(error) if size.is_none() && error.kind() == Kind::Corrupt => None,
            filled => filled?,
        };
        match filled {
            Some(length) => {
                self.machine.placed();
                let others = targets as u64 - u64::from(length <= self.job.limits.tuning.slab);
                self.read += read_of(self.read, length) + others * (PAGE + 1);
            }
            None => self.machine.without_targets(),
        }
        Ok(true)
    }

    /// Reads the machine's spans; whether there is such an object.
    async fn read_spans(&mut self, pieces: &mut Vec<Piece>) -> Result<bool> {
        let Some(object) = self.object.as_deref() else { return Ok(false) };
        let spans = self.machine.spans();
        if let Workers::Here(scratch) = &mut self.workers {
            for span in spans {
                let spare = std::mem::take(&mut scratch.fetch);
                let piece = match to_share_out((self.job, self.store), object, span) {
                    Some(range) => {
                        // Several reads, which may be of several versions.
                        self.read += PAGE + 1;
                        read_shared(self.job, object, range, spare)?
                    }
                    None => object.read(span.clone(), spare).await?,
                };
                let Some(piece) = piece else { return Ok(false) };
                self.read += read_of(self.read, piece.bytes.as_slice().len() as u64);
                pieces.push(piece);
            }
            return Ok(true);
        }
        if !self.is_held {
            let length = |span| length_of(span).min(self.machine.usual());
            let length = spans.iter().map(length).fold(0, u64::saturating_add);
            self.held.exchange(self.job, length).await;
        }
        let of = (self.job, self.store);
        let reads = spans.iter().map(|span| read_in_parts(of, object, span.clone()));
        for piece in Box::pin(try_join_all(reads)).await? {
            let Some(piece) = piece else { return Ok(false) };
            self.read += read_of(self.read, piece.bytes.as_slice().len() as u64);
            pieces.push(piece);
        }
        Ok(true)
    }

    async fn commit(&mut self, commit: Commit) -> Result<()> {
        let (key, precondition) = (self.machine.key(), self.machine.precondition());
        let (job, store) = (self.job, self.store);
        match commit {
            Commit::Put => {
                let parts = self.machine.parts();
                let content = Content { parts: &parts, base: self.object.as_deref() };
                job.ask(|| store.put(key, content, precondition)).await.map(drop)
            }
            Commit::Delete => {
                self.upload = None;
                job.ask(|| store.delete(key, precondition)).await
            }
            Commit::Patch => {
                let changes = self.machine.changes();
                job.ask(|| store.patch(key, &changes, precondition)).await
            }
            Commit::Finish => {
                let none =
                    || Error::invalid_argument("a new object is finished that was not begun");
                let upload = self.upload.take().ok_or_else(none)?;
                append(job, &*self.machine, (&*upload, self.object.as_deref())).await?;
                job.ask(|| upload.finish(precondition)).await.map(drop)
            }
        }
    }

    /// Writes the machine's parts to the new object, and has its units run meanwhile.
    async fn append_and_work(&mut self, units: usize) -> Result<Vec<Error>> {
        let (job, store) = (self.job, self.store);
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => job.ask(|| store.begin(self.machine.key())).await?,
        };
        let upload = self.upload.insert(upload);
        let machine = &*self.machine;
        let appending = append(job, machine, (&**upload, self.object.as_deref()));
        match &mut self.workers {
            Workers::Here(scratch) => job.units_beside(machine, units, scratch, || wait(appending)),
            Workers::Elsewhere(unleaked) => {
                Box::pin(job.units_elsewhere((machine, units), *unleaked, appending)).await
            }
        }
    }
}

/// Writes the machine's parts to a new object, which takes those that are kept from an old one.
async fn append(
    job: &Job<'_>,
    machine: &dyn Machine,
    (upload, base): (&dyn Upload, Option<&dyn Object>),
) -> Result<()> {
    let parts = machine.parts();
    let content = Content { parts: &parts, base };
    job.ask(|| upload.write(machine.offset(), content)).await
}
