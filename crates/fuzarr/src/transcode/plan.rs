//! Planning a copy: which nodes there are, what becomes of each, and whether that can be done.
//! Nothing is written.

use std::collections::HashSet;
use std::sync::Arc;

use super::ledger::Ledger;
use super::memory;
use super::record::Fingerprint;
use super::schedule::{ANY, Geometry, Part, Schedule};
use super::watch::{Side, Watched};
use super::{Node as Place, Options, Relayout};
use crate::array::Array;
use crate::error::{Error, Result, ResultExt as _};
use crate::hierarchy;
use crate::metadata::{ArrayMetadata, Format, GroupMetadata, Node, NodePath};
use crate::plan::{ReadOptions, WriteOptions};
use crate::removal::COPY_RECORD;
use crate::store::{Store, Version, find};

/// How much more often the source may be read where the next part is read while one is written.
const MORE_REPEATS: f64 = 1.1;

/// How many objects are put together in a part that is written while the next one is read, for each
/// that may be asked for at the same time: enough that ends of parts, where fewer are, are seldom.
const OBJECTS: u64 = 4;

/// A copy of an array, or of a group and everything below it, into another place and layout.
///
/// Attributes, dimension names, fill values and types are kept, and so is what stands in metadata
/// that fuzarr does not know but may skip. Files beside nodes that are not Zarr's are not copied.
/// Groups with consolidated metadata get new consolidated metadata.
#[derive(Debug)]
pub struct Transcode {
    pub(super) source: (Arc<dyn Store>, NodePath),
    /// What tells the documents of the source from others.
    pub(super) documents: Fingerprint,
    pub(super) store: Arc<dyn Store>,
    pub(super) path: NodePath,
    /// The version of the format of the destination.
    pub(super) format: Format,
    /// Groups of which consolidated metadata is written, the innermost last.
    pub(super) consolidated: Vec<NodePath>,
    /// The documents to write, each group before what is in it.
    pub(super) nodes: Vec<(NodePath, Node)>,
    pub(super) jobs: Vec<Job>,
    pub(super) options: Options,
    pub(super) fingerprint: Fingerprint,
    pub(super) ledger: Arc<Ledger>,
    /// What tells the files of the source's documents from all others, where they are files.
    pub(super) files: HashSet<Version>,
}

/// The copying of one array.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) source: Array,
    pub(super) destination: Array,
    pub(super) schedule: Schedule,
    /// Whether the next part is read while one is written.
    pub(super) is_overlapped: bool,
    /// Bytes that the elements of a part may take beside their slots, if they are of variable size.
    pub(super) heap: Option<u64>,
    /// How the source is read.
    pub(super) read: ReadOptions,
    /// How the destination is written.
    pub(super) write: WriteOptions,
}

/// A node of the source: its path relative to what is copied, its document, and what tells the
/// document from those of other nodes.
pub(super) struct Found {
    pub(super) path: NodePath,
    node: Node,
    /// What tells the bytes of the node's documents from others.
    pub(super) digest: Fingerprint,
    version: Option<Version>,
    is_file: bool,
}

impl Transcode {
    /// Plans the copy of what is at `source`. `relayout` is asked for each array what is to change;
    /// it has to fit each.
    ///
    /// # Errors
    /// `NotFound` if there is nothing at the source; those of [`Relayout::apply`] and of opening an
    /// array, naming the array; `Limit` if the budget has no room for an object of the destination
    /// and what it is made of, saying how much is needed; `InvalidArgument` if one place is inside
    /// the other.
    pub fn plan(
        source: Place,
        destination: Place,
        relayout: impl Fn(&ArrayMetadata) -> Result<Relayout>,
        options: Options,
    ) -> Result<Self> {
        let (from, path) = (NodePath::parse(&source.path)?, NodePath::parse(&destination.path)?);
        check_apart(&source, &from, &destination, &path)?;
        let mut found = Vec::new();
        walk(&*source.store, &from, &mut found)?;
        let Some(root) = found.first().filter(|found| found.path.is_root()) else {
            return Err(Error::not_found("there is no array or group").at_node(&from));
        };
        let format = options.format.unwrap_or_else(|| root.node.format());
        let mut copy = Self {
            source: (Arc::clone(&source.store), from.clone()),
            documents: root.digest,
            store: destination.store,
            path,
            format,
            consolidated: Vec::new(),
            nodes: Vec::new(),
            jobs: Vec::new(),
            options,
            fingerprint: Fingerprint::of(std::iter::empty()),
            files: HashSet::new(),
            ledger: Arc::default(),
        };
        for Found { path, node, .. } in &found {
            let copied = match node {
                Node::Array(metadata) => {
                    let from = from.join(path.as_str())?;
                    let job = copy
                        .job((&source.store, &from), path, metadata, &relayout)
                        .map_err(|error| error.at_node(&from))?;
                    let node = Node::Array(Box::new(job.destination.metadata().clone()));
                    copy.jobs.push(job);
                    node
                }
                Node::Group(group) => {
                    let from = from.join(path.as_str())?;
                    let named = hierarchy::read_consolidated(&*source.store, from.as_str(), group)?;
                    // Groups inside one that names everything below have empty ones in v3.
                    if named.is_some_and(|named| !named.is_empty() || path.is_root()) {
                        copy.consolidated.push(path.clone());
                    }
                    let format = copy.format;
                    Node::Group(GroupMetadata { format, consolidated: None, ..group.clone() })
                }
            };
            copy.nodes.push((path.clone(), copied));
        }
        copy.files = files(&found);
        copy.fingerprint = copy.describe(&from, &found);
        Ok(copy)
    }

    /// What tells this copy from others: where the source is in its store, and the documents on
    /// either side, byte for byte. Files that hold the same are the same: a touch changes nothing.
    fn describe(&self, from: &NodePath, found: &[Found]) -> Fingerprint {
        let mut described = vec![from.as_str().as_bytes().to_vec()];
        for (Found { path, digest, .. }, (_, node)) in found.iter().zip(&self.nodes) {
            described.push(path.as_str().as_bytes().to_vec());
            described.push(format!("{digest:?}").into_bytes());
            described.push(node.to_bytes());
        }
        Fingerprint::of(described.iter().map(Vec::as_slice))
    }

    /// The copying of the array at `path` relative to what is copied.
    fn job(
        &self,
        (store, from): (&Arc<dyn Store>, &NodePath),
        path: &NodePath,
        metadata: &ArrayMetadata,
        relayout: &dyn Fn(&ArrayMetadata) -> Result<Relayout>,
    ) -> Result<Job> {
        let registry = &self.options.registry;
        let copied = relayout(metadata)?.apply(metadata, self.format, registry)?;
        let watched = |store: &Arc<dyn Store>, side| -> Arc<dyn Store> {
            Arc::new(Watched { store: Arc::clone(store), ledger: Arc::clone(&self.ledger), side })
        };
        let from_store = watched(store, Side::Source);
        let source = Array::new(from_store, from.as_str(), metadata.clone(), registry)?;
        let path = self.path.join(path.as_str())?;
        let to_store = watched(&self.store, Side::Destination);
        let destination = Array::new(to_store, path.as_str(), copied, registry)?;
        Job::new(source, destination, &self.options)
    }

    /// Bytes of the elements of all arrays.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.jobs.iter().map(Job::bytes).fold(0, u64::saturating_add)
    }

    /// How many arrays there are.
    #[must_use]
    pub fn arrays(&self) -> usize {
        self.jobs.len()
    }

    /// The key of the record.
    pub(super) fn record_key(&self) -> String {
        self.path.key(COPY_RECORD)
    }
}

impl Job {
    /// Decides in which parts an array is copied, and what of the memory is for what.
    ///
    /// # Errors
    /// `Limit` if there is not enough for one part at a time.
    fn new(source: Array, destination: Array, options: &Options) -> Result<Self> {
        let geometry = Geometry {
            shape: source.shape(),
            source_chunk: memory::decoded(&source),
            source_object: source.chunk_shape(),
            object: destination.chunk_shape(),
            element: source.element_size() as u64,
        };
        let (reading, writing) = (memory::reading(&source), memory::writing(&destination));
        let most = memory::most_elements(&source, geometry);
        let need = |part: &[u64], at_once: u64| {
            if part.iter().copied().fold(1, u64::saturating_mul) > most {
                return u64::MAX;
            }
            let elements = memory::elements(geometry, part).saturating_mul(at_once);
            elements.saturating_add(reading).saturating_add(writing)
        };
        let alone = Schedule::new(geometry, (options.memory, ANY), |part| need(part, 1))?;
        // Two parts at a time are smaller ones: no reason to read much of the source more often.
        let operations = options.read.limits.operations.max(options.write.limits.operations);
        let objects = OBJECTS.saturating_mul(operations as u64);
        let paired = Schedule::new(geometry, (options.memory, objects), |part| need(part, 2)).ok();
        let paired = paired.filter(|paired| {
            memory::may_overlap(&source, &destination)
                && paired.is_cut()
                && paired.repeats(geometry) <= MORE_REPEATS * alone.repeats(geometry)
        });
        let is_overlapped = paired.is_some();
        let schedule = paired.unwrap_or(alone);
        let largest = schedule.largest();
        let elements = memory::elements(geometry, &largest);
        let (read, write) = if is_overlapped {
            // Both at the same time: each has what it needs, and half of what is left.
            let half = options.memory.saturating_sub(need(&largest, 2)) / 2;
            let for_writing = writing.saturating_add(half);
            let for_reading = elements.saturating_add(reading).saturating_add(half);
            let all_but = |bytes: u64| options.memory.saturating_sub(bytes);
            (options.reading(all_but(for_reading)), options.writing(all_but(for_writing)))
        } else {
            (options.reading(0), options.writing(elements))
        };
        let heap = memory::heap(&source, options.memory.saturating_sub(need(&largest, 1)));
        Ok(Self { source, destination, schedule, is_overlapped, heap, read, write })
    }

    /// Checks that the source is still the array that was planned: once it is gone, all of it reads as
    /// fill value. It may have grown, and its attributes have changed.
    ///
    /// # Errors
    /// `Conflict`; `Io`.
    pub(super) fn check_source(&self) -> Result<()> {
        let (store, planned) = (self.source.store(), self.source.metadata());
        let there = hierarchy::read_node(&**store, self.source.path());
        let is_same = match there.context("side", || "source")? {
            Some(Node::Array(mut there)) => {
                let held = there.shape.iter().zip(&planned.shape).all(|(now, then)| now >= then);
                let is_as_long = there.shape.len() == planned.shape.len();
                there.shape.clone_from(&planned.shape);
                there.attributes.clone_from(&planned.attributes);
                held && is_as_long && *there == *planned
            }
            _ => false,
        };
        if is_same {
            return Ok(());
        }
        let reason = "the source was removed or replaced while it was read";
        Err(Error::conflict(reason).with("side", "source"))
    }

    /// Bytes of a part's elements.
    pub(super) fn size(&self, part: &Part) -> u64 {
        let element = self.source.element_size() as u64;
        part.shape.iter().copied().fold(element, u64::saturating_mul)
    }

    /// Bytes of the array's elements.
    pub(super) fn bytes(&self) -> u64 {
        let element = self.source.element_size() as u64;
        self.source.shape().iter().copied().fold(element, u64::saturating_mul)
    }
}

/// Collects the node at `root`, if there is one, and all below it.
///
/// # Errors
/// Those of [`hierarchy::traverse`]: also of a link that leads back to a group above itself.
pub(super) fn walk(store: &dyn Store, root: &NodePath, found: &mut Vec<Found>) -> Result<()> {
    let is_array = match hierarchy::read_node(store, root.as_str())? {
        Some(node) => {
            let is_array = matches!(node, Node::Array(_));
            found.push(Found::new(store, root, NodePath::root(), node)?);
            is_array
        }
        None => false,
    };
    if is_array {
        return Ok(());
    }
    for visit in hierarchy::traverse(store, root.as_str(), usize::MAX)? {
        let visit = visit?;
        let node = visit.node.map_err(|error| error.at_node(&visit.path))?;
        let below = visit.path.strip_prefix(&root.prefix()).unwrap_or(&visit.path);
        found.push(Found::new(store, root, NodePath::parse(below)?, node)?);
    }
    Ok(())
}

impl Found {
    /// What was found at `path` below `root`.
    fn new(store: &dyn Store, root: &NodePath, path: NodePath, node: Node) -> Result<Self> {
        let from = root.join(path.as_str())?;
        let missing = || Error::not_found("there is no array or group").at_node(&from);
        let key = hierarchy::document_at(store, from.as_str())?.ok_or_else(missing)?;
        let documents = hierarchy::stored_documents(store, from.as_str())?;
        let digest = Fingerprint::of(documents.iter().map(Vec::as_slice));
        let document = find(store, &key).wait()?;
        let version = document.as_ref().and_then(|document| document.version());
        let is_file = document.is_some_and(|document| document.file().is_some());
        Ok(Self { path, node, digest, version, is_file })
    }
}

/// What tells documents that are files from all other files.
pub(super) fn files(found: &[Found]) -> HashSet<Version> {
    found.iter().filter(|found| found.is_file).filter_map(|found| found.version.clone()).collect()
}

/// Checks that neither place is inside the other. Different stores are taken to be apart.
fn check_apart(source: &Place, from: &NodePath, destination: &Place, to: &NodePath) -> Result<()> {
    let inside = |one: &NodePath, other: &NodePath| {
        one == other || one.as_str().starts_with(&other.prefix())
    };
    if Arc::ptr_eq(&source.store, &destination.store) && (inside(from, to) || inside(to, from)) {
        return Err(Error::invalid_argument("one of source and destination is inside the other")
            .with("source", format!("/{from}"))
            .with("destination", format!("/{to}")));
    }
    Ok(())
}
