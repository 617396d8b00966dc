//! The nodes below a group, one after the other.

use super::{Member, Stored, members};
use crate::error::{Error, Result};
use crate::metadata::{Node, NodePath};
use crate::store::{Store, Version};

/// Levels below which a traversal fails: deeper than any file system's paths go.
pub const DEEPEST: usize = 1000;

/// A node that a traversal comes by.
#[derive(Debug)]
pub struct Visit {
    /// Its path in the store.
    pub path: String,
    /// How many levels it is below where the traversal began, at least 1.
    pub depth: usize,
    /// The node, or what is wrong with it.
    pub node: Result<Node>,
}

/// The nodes below `path` down to `depth` levels, each group before its members, members sorted by
/// name. Consolidated metadata plays no part.
///
/// A link that leads back to a group above itself is given as an error, and is not followed; one that
/// leads out of the store is an error, too.
///
/// # Errors
/// `InvalidArgument` for an impossible path. Items are errors if the store cannot be listed.
pub fn traverse<'a>(store: &'a dyn Store, path: &str, depth: usize) -> Result<Traverse<'a>> {
    Ok(Traverse { walk: Walk::new(store, &NodePath::parse(path)?, depth)? })
}

/// See [`traverse`].
#[derive(Debug)]
pub struct Traverse<'a> {
    walk: Walk<'a>,
}

impl Iterator for Traverse<'_> {
    type Item = Result<Visit>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = match self.walk.next()? {
            Ok(step) => step,
            Err(error) => return Some(Err(error)),
        };
        let path = step.path.as_str().to_owned();
        let node = step.node.map(|(node, _)| node);
        Some(Ok(Visit { path, depth: step.depth, node }))
    }
}

/// The same, with the documents.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    store: &'a dyn Store,
    depth: usize,
    /// The groups that the walk is inside of, the first one outermost.
    levels: Vec<Level>,
}

/// A group that the walk is inside of.
#[derive(Debug)]
struct Level {
    version: Option<Version>,
    names: Vec<String>,
    /// The members that are still to come.
    members: std::vec::IntoIter<Member>,
}

/// A node that a walk comes by.
pub(super) struct Step {
    pub(super) path: NodePath,
    pub(super) depth: usize,
    pub(super) node: Result<(Node, Stored)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(store: &'a dyn Store, path: &NodePath, depth: usize) -> Result<Self> {
        let mut walk = Self { store, depth, levels: Vec::new() };
        if depth > 0 {
            let version = match Stored::read(store, path) {
                Ok(stored) => stored.and_then(|stored| stored.version().cloned()),
                Err(_) => None,
            };
            let level = walk.level(path, version)?;
            walk.levels.push(level);
        }
        Ok(walk)
    }

    fn level(&self, path: &NodePath, version: Option<Version>) -> Result<Level> {
        let members = members(self.store, path)?;
        let names = members.iter().map(|(path, _)| path.name().to_owned()).collect();
        Ok(Level { version, names, members: members.into_iter() })
    }

    /// Steps into a group.
    fn enter(&mut self, path: &NodePath, version: Option<&Version>) -> Result<()> {
        if self.levels.len() >= DEEPEST {
            return Err(Error::limit(format!("groups are nested more than {DEEPEST} deep")));
        }
        let level = self.level(path, version.cloned())?;
        // The same document with the same members is the same group. Either alone is not: equal
        // documents may share a file.
        let same = |above: &Level| {
            // A tag may be a digest of what is in the document, and stores that have tags have no links.
            let is_identity = version.is_some_and(|version| version.tag().is_none());
            is_identity && above.version.as_ref() == version && above.names == level.names
        };
        if !level.names.is_empty() && self.levels.iter().any(same) {
            return Err(Error::invalid_metadata("the group is a link to one that it is in"));
        }
        self.levels.push(level);
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        let (path, stored) = loop {
            let level = self.levels.last_mut()?;
            match level.members.next() {
                Some(member) => break member,
                None => self.levels.pop(),
            };
        };
        let depth = self.levels.len();
        let mut node = stored.and_then(|stored| Ok((stored.node(&path)?, stored)));
        if let Ok((Node::Group(_), stored)) = &node
            && depth < self.depth
            && let Err(error) = self.enter(&path, stored.version())
        {
            node = Err(error.at_node(&path));
        }
        Some(Ok(Step { path, depth, node }))
    }
}
