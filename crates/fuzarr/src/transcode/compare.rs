//! Comparing a copy with what it was made of.

use std::fmt;

use super::Progress;
use super::elements::Elements;
use super::memory;
use super::plan::{Job, Transcode};
use super::schedule::{ANY, Geometry, Part, Schedule};
use crate::error::Result;
use crate::hierarchy;
use crate::metadata::{GroupMetadata, Node, NodePath};
use crate::plan::ReadOptions;
use crate::wait::wait;

/// The first difference between a copy and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The document of a node is missing or not the one that was planned.
    Node {
        /// The node's path in the destination.
        path: String,
    },
    /// An element has other bits.
    Element {
        /// The array's path in the destination.
        array: String,
        /// The position of the element.
        element: Vec<u64>,
        /// The position of the object that holds it, in the destination's grid.
        chunk: Vec<u64>,
        /// The key of that object.
        key: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { path } => write!(f, "the metadata of /{path} differs"),
            Self::Element { array, element, chunk, key } => write!(
                f,
                "/{array} differs at element {element:?}, in chunk {chunk:?} (key: {key})"
            ),
        }
    }
}

impl Transcode {
    /// Reads source and destination again, in parts that both fit the budget, and compares them bit
    /// by bit: -0.0 is not 0.0, and NaNs are equal only if their bits are. Gives the first
    /// difference, in the order of parts.
    ///
    /// # Errors
    /// Those of reading either array, naming it; `Limit` if the budget has no room for a chunk of
    /// each; `Conflict` if the source has gone or become another meanwhile; that of `progress`.
    pub fn compare(
        &self,
        mut progress: impl FnMut(&Progress<'_>) -> Result<()>,
    ) -> Result<Option<Difference>> {
        for (path, node) in &self.nodes {
            let path = self.path.join(path.as_str())?;
            if !self.is_stored(&path, node)? {
                return Ok(Some(Difference::Node { path: path.as_str().to_owned() }));
            }
        }
        let (mut ours, mut theirs) = (Elements::default(), Elements::default());
        let (mut done, total) = (0_u64, self.bytes());
        for job in &self.jobs {
            let (schedule, read) = self.comparison(job)?;
            let size = job.source.element_size();
            for part in schedule.parts() {
                wait(ours.read(&job.source, &part, (&read, job.heap)))
                    .map_err(|error| error.at_node(job.source.path()))?;
                wait(theirs.read(&job.destination, &part, (&read, job.heap)))
                    .map_err(|error| error.at_node(job.destination.path()))?;
                if let Some(number) = ours.first_difference(&theirs, size) {
                    job.check_source().map_err(|error| error.at_node(job.source.path()))?;
                    return Ok(Some(difference(job, &part, number)));
                }
                done = part
                    .shape
                    .iter()
                    .copied()
                    .fold(size as u64, u64::saturating_mul)
                    .saturating_add(done);
                let array = job.destination.path();
                progress(&Progress { array, done, kept: 0, total })?;
            }
            job.check_source().map_err(|error| error.at_node(job.source.path()))?;
        }
        Ok(None)
    }

    /// Whether a node of the copy is there.
    pub(super) fn is_stored(&self, path: &NodePath, node: &Node) -> Result<bool> {
        let stored = hierarchy::read_node(&*self.store, path.as_str())?;
        Ok(stored.is_some_and(|stored| is_same(stored, node)))
    }

    /// The parts in which two arrays are compared, and how they are read.
    fn comparison(&self, job: &Job) -> Result<(Schedule, ReadOptions)> {
        let geometry = Geometry {
            shape: job.source.shape(),
            source_chunk: memory::decoded(&job.source),
            source_object: job.source.chunk_shape(),
            object: memory::decoded(&job.destination),
            element: job.source.element_size() as u64,
        };
        let most = memory::most_elements(&job.source, geometry);
        let needs = memory::reading(&job.source).max(memory::reading(&job.destination));
        let schedule = Schedule::new(geometry, (self.options.memory, ANY), |part| {
            if part.iter().copied().fold(1, u64::saturating_mul) > most {
                return u64::MAX;
            }
            memory::elements(geometry, part).saturating_mul(2).saturating_add(needs)
        })?;
        let held = memory::elements(geometry, &schedule.largest());
        Ok((schedule, self.options.reading(held)))
    }
}

/// The difference at element `number` of a part.
fn difference(job: &Job, part: &Part, number: u64) -> Difference {
    let mut element = part.start.clone();
    let mut rest = number;
    for dimension in (0..element.len()).rev() {
        let extent = part.shape[dimension].max(1);
        element[dimension] += rest % extent;
        rest /= extent;
    }
    let extents = job.destination.chunk_shape();
    let chunk: Vec<u64> = element.iter().zip(extents).map(|(at, extent)| at / extent).collect();
    let layout = job.destination.layout();
    let mut key = String::new();
    layout.keys.write_key(&layout.prefix, &chunk, &mut key);
    Difference::Element { array: job.destination.path().to_owned(), element, chunk, key }
}

/// Whether what is stored is this node; consolidated metadata is written after all nodes.
fn is_same(stored: Node, node: &Node) -> bool {
    match stored {
        Node::Group(group) => Node::Group(GroupMetadata { consolidated: None, ..group }) == *node,
        array => array == *node,
    }
}
