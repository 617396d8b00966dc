//! Making a copy: parts read, written and recorded, and the documents around them.
//!
//! The document of an array is written after its chunks, that of the whole copy last: until then
//! there is nothing at the destination that could be taken for the source.

use std::collections::HashSet;

use futures_util::future::join;

use super::Progress;
use super::elements::Elements;
use super::ledger::{Rest, chunks};
use super::plan::{Job, Transcode, files, walk};
use super::record::{Earlier, Record};
use super::schedule::Part;
use crate::creation;
use crate::error::{Error, Kind, Result, ResultExt as _};
use crate::hierarchy;
use crate::inspect;
use crate::metadata::{Node, NodePath};
use crate::removal::{COPY_RECORD, Removal};
use crate::wait::wait;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Arrays that were copied.
    pub arrays: u64,
    /// Objects (chunks or shards) that this run stored.
    pub objects: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Objects that an earlier run had finished.
    pub kept_objects: u64,
    /// Bytes of the elements that this run copied.
    pub bytes: u64,
}

impl Transcode {
    /// Makes the copy. `progress` is told how far it is after every part; its error stops the copy,
    /// which can be taken up again.
    ///
    /// Parts are read and written one after the other; where a store's answers are awaited and the
    /// budget has room for two parts, the next one is read while one is written. Chunks that hold nothing but fill value are
    /// not stored, unless the options ask otherwise. What is finished is recorded in a hidden
    /// object at the destination, which is deleted at the end: after an error or a kill, the same
    /// plan run again keeps finished objects that are still as they were, and made of what is still so, as
    /// far as versions tell: of a store without versions, everything is copied again.
    ///
    /// # Errors
    /// `AlreadyExists` if there is a node, chunks, or an unfinished copy of something else at the
    /// destination and the options do not say to overwrite, or other nodes in a folder that is none;
    /// `Conflict` if another run has begun at the destination since this one has, or the array at the source
    /// has gone or become another; `InvalidArgument` if it is what was to be overwritten; those of [`Array::read_bytes_into`] and
    /// [`Array::write_bytes`], naming the array (and as `side` the source, if it cannot be read); `Io`; that of `progress`.
    ///
    /// [`Array::read_bytes_into`]: crate::Array::read_bytes_into
    /// [`Array::write_bytes`]: crate::Array::write_bytes
    pub fn run(&self, progress: impl FnMut(&Progress<'_>) -> Result<()>) -> Result<Report> {
        let record = match self.start()? {
            Start::Copying(record) => record,
            Start::Complete(record) => return self.end(record),
        };
        self.ledger.open(record);
        let mut run = Run {
            copy: self,
            next: Elements::default(),
            last: Elements::default(),
            report: Report::default(),
            done: 0,
            kept: 0,
            total: self.bytes(),
            progress,
        };
        let outcome = run.all();
        let (record, stored, outcome) = self.ledger.close(outcome);
        if let Some(mut record) = record {
            match &outcome {
                Ok(()) => record.delete(&*self.store)?,
                // What is lost of the record is only copied again.
                Err(_) => drop(record.write(&*self.store)),
            }
        }
        outcome?;
        Ok(Report { objects: stored.objects, stored_bytes: stored.bytes, ..run.report })
    }

    /// Makes sure that the destination is free, and begins or takes over the record.
    fn start(&self) -> Result<Start> {
        let (store, path) = (&*self.store, self.path.as_str());
        let (key, interval) = (self.record_key(), self.options.checkpoint);
        hierarchy::check_place(store, path, self.format)?;
        let earlier = Earlier::find(store, &key)?;
        if !self.options.overwrite
            && let Some(earlier) = earlier
        {
            let mut record = Record::resume(earlier, &key, self.fingerprint, interval)?;
            match hierarchy::document_at(store, path)? {
                // Anybody may have changed it since.
                Some(_) if record.is_complete() && self.is_root_there()? => {
                    return Ok(Start::Complete(record));
                }
                Some(document) => return Err(creation::already_there(&document)),
                None => record.write(store)?,
            }
            return Ok(Start::Copying(record));
        }
        let old = self.old(earlier.is_some())?;
        self.check_members(&old.paths)?;
        // What is wrong with what is there is found out before anything is changed.
        let removal = match self.options.overwrite {
            true => Some(self.removal()?),
            false => self.check_free().map(|()| None)?,
        };
        // A group to be in, so that the copy is found again as a part of the same store.
        if let Some(parent) = self.path.parent()
            && hierarchy::read_node(store, parent.as_str())?.is_none()
        {
            hierarchy::create_groups_above(store, &self.path, self.format)?;
        }
        let begun = (self.fingerprint, removal.is_some());
        let mut record = Record::replacing(earlier, &key, begun, interval);
        // Before anything is deleted: another run that is at work here is to stop.
        record.write(store)?;
        if let Some(removal) = removal {
            let is_seen = self.is_seen_at_source(&record, &old.alike);
            if !matches!(is_seen, Ok(false)) {
                record.delete(store)?;
                return Err(is_seen.err().unwrap_or_else(|| self.onto_itself()));
            }
            if hierarchy::document_at(store, path)?.is_some() {
                hierarchy::forget(store, path)?;
            }
            removal.run()?;
            self.check_free()?;
            record.cleared(store)?;
        }
        Ok(Start::Copying(record))
    }

    /// What was left to do of a copy whose root document was there already.
    fn end(&self, record: Record) -> Result<Report> {
        self.consolidate()?;
        let (arrays, kept_objects) = (self.jobs.len() as u64, record.finished());
        record.delete(&*self.store)?;
        Ok(Report { arrays, kept_objects, ..Report::default() })
    }

    /// What is to be deleted at the destination: a node with all nodes below, or what an unfinished copy
    /// has left of nodes that this one has, too; never nodes in a folder that is neither.
    fn old(&self, is_unfinished: bool) -> Result<Old> {
        let (store, mut found) = (&*self.store, Vec::new());
        if !self.options.overwrite {
            return Ok(Old::default());
        }
        let is_node = hierarchy::document_at(store, self.path.as_str())?.is_some();
        if !is_node && !is_unfinished {
            return Ok(Old::default());
        }
        walk(store, &self.path, &mut found)?;
        if !files(&found).is_disjoint(&self.files) {
            // Stores that differ may still be of the same folder.
            return Err(self.onto_itself());
        }
        if !is_node {
            // What is in the way of this copy; anything else may have come after an unfinished one.
            let own: HashSet<_> = self.nodes.iter().map(|(path, _)| path).collect();
            if let Some(other) = found.iter().find(|found| !own.contains(&found.path)) {
                return Err(holds_another(&self.path, &self.path.join(other.path.as_str())?));
            }
        }
        let alike = found.iter().filter(|found| found.digest == self.documents);
        let alike = alike.map(|found| found.path.clone()).collect();
        let below = found.iter().map(|found| found.path.as_str().to_owned());
        Ok(Old { paths: below.chain([String::new()]).collect(), alike })
    }

    /// Whether the record, which was written just now, is found from the source as well: the two places
    /// may be one under two names, and nothing else tells. If the source's store begins below the
    /// destination, it is at one of the nodes that look like it.
    fn is_seen_at_source(&self, record: &Record, alike: &[NodePath]) -> Result<bool> {
        let (source, path) = (&*self.source.0, &self.source.1);
        let below = self.nodes.iter().map(|(node, _)| path.join(node.as_str()));
        let above = std::iter::successors(path.parent(), NodePath::parent).map(Ok);
        for place in above.chain(below) {
            if record.is_at(source, &place?.key(COPY_RECORD))? {
                return Ok(true);
            }
        }
        for node in alike.iter().filter(|node| !node.is_root()) {
            let key = self.path.join(node.as_str())?.key(COPY_RECORD);
            if record.probe((&*self.store, &key), (source, &path.key(COPY_RECORD)))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn onto_itself(&self) -> Error {
        let reason = "the source is at the destination, which was to be deleted";
        Error::invalid_argument(reason).with("destination", format!("/{}", self.path))
    }

    /// Checks that no node becomes a member of the copy that is not of it: where the copy will have a
    /// node and there is none of the `old` ones, none is below.
    fn check_members(&self, old: &HashSet<String>) -> Result<()> {
        for (path, _) in self.nodes.iter().filter(|(path, _)| !old.contains(path.as_str())) {
            let place = self.path.join(path.as_str())?;
            if let Some((name, _)) = hierarchy::children(&*self.store, place.as_str())?.first() {
                return Err(holds_another(&place, &place.join(name)?));
            }
        }
        Ok(())
    }

    /// What is to be deleted at the destination: where there is no node, what an unfinished copy has
    /// left, since otherwise there was found to be nothing.
    fn removal(&self) -> Result<Removal<'_>> {
        let mut removal = Removal::of(&*self.store, self.path.as_str())?;
        for job in &self.jobs {
            let (path, metadata) = (job.destination.path(), job.destination.metadata());
            removal.add(creation::left_over(&*self.store, path, metadata)?)?;
        }
        Ok(removal)
    }

    /// Whether the node at the destination may be the one that was copied there, its attributes apart.
    fn is_root_there(&self) -> Result<bool> {
        let there = hierarchy::read_node(&*self.store, self.path.as_str())?;
        Ok(there.zip(self.nodes.first()).is_some_and(|(there, (_, copied))| {
            matches!(inspect::difference(&there, copied), None | Some("attributes"))
        }))
    }

    /// Writes the consolidated metadata of the groups that have some.
    fn consolidate(&self) -> Result<()> {
        // What is consolidated inside goes first: it is a part of what is outside.
        for group in self.consolidated.iter().rev() {
            let path = self.path.join(group.as_str())?;
            if hierarchy::document_at(&*self.store, path.as_str())?.is_some() {
                hierarchy::consolidate(&*self.store, path.as_str())?;
            }
        }
        Ok(())
    }

    /// Checks that nothing is where nodes and their chunks will be.
    fn check_free(&self) -> Result<()> {
        for (path, node) in &self.nodes {
            creation::check_free(&*self.store, self.path.join(path.as_str())?.as_str(), node)?;
        }
        Ok(())
    }

    /// Writes a node's document, which may be there already. With `above`, groups above it are made
    /// and their consolidated metadata, which does not name the node, is dropped.
    fn put(&self, path: &NodePath, node: &Node, above: bool) -> Result<()> {
        let written = if above {
            hierarchy::create_node(&*self.store, path.as_str(), node)
        } else {
            hierarchy::put_node(&*self.store, path, node)
        };
        match written {
            Err(error) if error.kind() == Kind::AlreadyExists => {
                if self.is_stored(path, node)? {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            other => other,
        }
    }
}

/// The error of a folder that is no node, but holds one that is not the copy's.
fn holds_another(folder: &NodePath, member: &NodePath) -> Error {
    Error::already_exists(
        "the folder is no node, but holds one, which overwriting leaves alone: delete it or move it \
         away, or copy to another place",
    )
    .with("folder", format!("/{folder}"))
    .with("member", format!("/{member}"))
}

/// What is to be deleted, by paths relative to the destination.
#[derive(Default)]
struct Old {
    paths: HashSet<String>,
    /// Nodes whose documents are those of the source.
    alike: Vec<NodePath>,
}

/// How a run begins.
enum Start {
    /// With a record of what is finished.
    Copying(Record),
    /// With all done but the end.
    Complete(Record),
}

/// A copy in progress.
struct Run<'a, P> {
    copy: &'a Transcode,
    /// Room for what is read.
    next: Elements,
    /// What was read before, to be written.
    last: Elements,
    report: Report,
    done: u64,
    kept: u64,
    total: u64,
    progress: P,
}

impl<P: FnMut(&Progress<'_>) -> Result<()>> Run<'_, P> {
    fn all(&mut self) -> Result<()> {
        let copy = self.copy;
        let mut jobs = copy.jobs.iter().enumerate();
        for (path, node) in &copy.nodes {
            if matches!(node, Node::Array(_))
                && let Some((number, job)) = jobs.next()
            {
                let copied = self.array(number, job).and_then(|()| job.check_source());
                copied.map_err(|error| error.at_node(job.source.path()))?;
                self.report.arrays += 1;
            }
            if !path.is_root() {
                copy.put(&copy.path.join(path.as_str())?, node, false)?;
            }
        }
        match copy.nodes.first() {
            Some((_, node)) => {
                copy.ledger.complete(&*copy.store)?;
                copy.put(&copy.path, node, true)?;
            }
            None => return Ok(()),
        }
        copy.consolidate()
    }

    fn array(&mut self, number: usize, job: &Job) -> Result<()> {
        self.copy.ledger.begin_array(number, job);
        // Never what one array took beside what another takes.
        (self.next, self.last) = Default::default();
        let mut last = None;
        for whole in job.schedule.parts() {
            let parts = self.unfinished(job, &whole)?;
            let rest = parts.iter().map(|part| job.size(part)).fold(0, u64::saturating_add);
            let kept = job.size(&whole).saturating_sub(rest);
            self.done = self.done.saturating_add(kept);
            self.kept = self.kept.saturating_add(kept);
            if parts.is_empty() {
                self.tell(job)?;
            }
            for part in parts {
                self.step(job, Some(&part), last.as_ref())?;
                last = Some(part);
                if !job.is_overlapped {
                    self.step(job, None, last.take().as_ref())?;
                }
            }
        }
        self.step(job, None, last.as_ref())
    }

    /// Reads the next part, and writes the last one that was read meanwhile.
    fn step(&mut self, job: &Job, next: Option<&Part>, last: Option<&Part>) -> Result<()> {
        let (copy, elements) = (self.copy, &mut self.last);
        let read = async {
            let Some(part) = next else { return Ok(()) };
            self.next
                .read(&job.source, part, (&job.read, job.heap))
                .await
                .context("side", || "source")
        };
        let write = async {
            let Some(part) = last else { return Ok(()) };
            // Where nothing was before, nothing has to be deleted.
            let skipped = !copy.ledger.is_resumed()
                && !copy.options.write.write_empty_chunks
                && elements.are_filled(&job.destination);
            if skipped { Ok(()) } else { elements.write(&job.destination, part, &job.write).await }
        };
        // If one fails, the other comes to its end: what is finished then is recorded.
        let (read, written) = wait(join(read, write));
        written?;
        if let Some(part) = last {
            self.report.bytes = self.report.bytes.saturating_add(job.size(part));
            self.done = self.done.saturating_add(job.size(part));
            self.tell(job)?;
        }
        read?;
        std::mem::swap(&mut self.next, &mut self.last);
        copy.ledger.turn();
        Ok(())
    }

    fn tell(&mut self, job: &Job) -> Result<()> {
        let (array, Self { done, kept, total, .. }) = (job.destination.path(), &*self);
        let progress = Progress { array, done: *done, kept: *kept, total: *total };
        (self.progress)(&progress)
    }

    /// What no earlier run finished of a part.
    fn unfinished(&mut self, job: &Job, part: &Part) -> Result<Vec<Part>> {
        let ledger = &self.copy.ledger;
        if !ledger.is_resumed() {
            return Ok(vec![part.clone()]);
        }
        ledger.begin_part();
        let layout = job.destination.layout();
        let mut rest = Rest::new(layout, part);
        wait(ledger.unfinished(job, part))?.iter().for_each(|chunk| rest.add(chunk));
        let all = chunks(layout, part).count() as u64;
        self.report.kept_objects += all.saturating_sub(rest.objects());
        Ok(rest.parts(layout))
    }
}
