//! Groups: their attributes, and the nodes in them.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::array::Array;
use crate::codec::Registry;
use crate::creation::{self, Existing};
use crate::error::{Error, Result};
use crate::hierarchy::{self, Child, Visit};
use crate::metadata::{GroupMetadata, Node, NodePath};
use crate::store::Store;

/// What part consolidated metadata plays in opening a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consolidated {
    /// Where there is some, it is believed.
    #[default]
    Auto,
    /// Opening fails without.
    Must,
    /// The store is listed, whatever metadata says.
    Never,
}

/// A node below a group, open.
#[derive(Debug, Clone)]
pub enum Member {
    /// An array.
    Array(Array),
    /// A group.
    Group(Group),
}

/// A group in a store. Cheap to clone.
///
/// With consolidated metadata that alone says which nodes are below and what they are: the store is
/// not asked, and what others did to it since then does not show.
#[derive(Debug, Clone)]
pub struct Group {
    store: Arc<dyn Store>,
    path: NodePath,
    metadata: GroupMetadata,
    /// The nodes below by their path in the group, sorted as they are traversed.
    consolidated: Option<Arc<Vec<(String, Node)>>>,
    /// The codecs of arrays that are opened through the group.
    registry: Registry,
}

impl Group {
    /// Opens the group at `path` (empty for the root), with consolidated metadata if it has some.
    ///
    /// # Errors
    /// `NotFound` if there is no group, `InvalidMetadata` if its documents are broken, `Io`.
    pub fn open(store: Arc<dyn Store>, path: &str) -> Result<Self> {
        Self::open_with(store, path, Consolidated::Auto)
    }

    /// As [`open`](Self::open), with consolidated metadata as asked.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `NotFound` if it must have consolidated metadata and has none.
    pub fn open_with(store: Arc<dyn Store>, path: &str, policy: Consolidated) -> Result<Self> {
        let path = NodePath::parse(path)?;
        let metadata = match hierarchy::read_node(&*store, path.as_str())? {
            Some(Node::Group(group)) => group,
            Some(Node::Array(_)) => return Err(absent(&path, "there is an array, not a group")),
            None => return Err(absent(&path, "there is no group")),
        };
        let nodes = match policy {
            Consolidated::Never => None,
            Consolidated::Auto | Consolidated::Must => {
                hierarchy::read_consolidated(&*store, path.as_str(), &metadata)?
            }
        };
        if nodes.is_none() && policy == Consolidated::Must {
            return Err(absent(&path, "the group has no consolidated metadata"));
        }
        Ok(Self::new(store, path, metadata, nodes))
    }

    /// Writes the documents of a new group at `path`, and groups above it where there are none. A node
    /// that is there already is refused.
    ///
    /// # Errors
    /// As [`creation::create`].
    pub fn create(store: Arc<dyn Store>, path: &str, metadata: GroupMetadata) -> Result<Self> {
        Self::create_with(store, path, metadata, Existing::Refuse)
    }

    /// As [`create`](Self::create), over what is there if that is asked for.
    ///
    /// # Errors
    /// As [`creation::create`].
    pub fn create_with(
        store: Arc<dyn Store>,
        path: &str,
        metadata: GroupMetadata,
        existing: Existing,
    ) -> Result<Self> {
        creation::create(&*store, path, &Node::Group(metadata.clone()), existing)?;
        let nodes = metadata.consolidated.clone();
        Ok(Self::new(store, NodePath::parse(path)?, metadata, nodes))
    }

    fn new(
        store: Arc<dyn Store>,
        path: NodePath,
        metadata: GroupMetadata,
        nodes: Option<Vec<(String, Node)>>,
    ) -> Self {
        let consolidated = nodes.map(|mut nodes| {
            // By names, not by text: `a/b` comes before `a-b`, since it is below `a`.
            nodes.sort_by(|(one, _), (other, _)| one.split('/').cmp(other.split('/')));
            Arc::new(nodes)
        });
        Self { store, path, metadata, consolidated, registry: Registry::default() }
    }

    /// The group with codecs of the caller's own, for arrays that are opened through it or through
    /// groups below it.
    #[must_use]
    pub fn with_registry(self, registry: Registry) -> Self {
        Self { registry, ..self }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The path in the store, empty for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    /// The metadata.
    #[must_use]
    pub fn metadata(&self) -> &GroupMetadata {
        &self.metadata
    }

    /// The user's attributes.
    #[must_use]
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.metadata.attributes
    }

    /// Whether consolidated metadata says what is below.
    #[must_use]
    pub fn is_consolidated(&self) -> bool {
        self.consolidated.is_some()
    }

    /// The nodes directly below, sorted by name; what is broken is given as its error.
    ///
    /// # Errors
    /// `Io` if the store cannot be listed.
    pub fn children(&self) -> Result<Vec<Child>> {
        let Some(nodes) = &self.consolidated else {
            return hierarchy::children(&*self.store, self.path());
        };
        let direct = nodes.iter().filter(|(path, _)| !path.contains('/'));
        Ok(direct.map(|(name, node)| (name.clone(), Ok(node.clone()))).collect())
    }

    /// All nodes below down to `depth` levels, each group before its members, see
    /// [`hierarchy::traverse`].
    ///
    /// # Errors
    /// Items are errors if the store cannot be listed.
    pub fn traverse(&self, depth: usize) -> Result<Box<dyn Iterator<Item = Result<Visit>> + '_>> {
        let Some(nodes) = &self.consolidated else {
            return Ok(Box::new(hierarchy::traverse(&*self.store, self.path(), depth)?));
        };
        let visit = move |(path, node): &(String, Node)| {
            let below = path.split('/').count();
            let visit = Visit { path: self.path.key(path), depth: below, node: Ok(node.clone()) };
            (below <= depth).then_some(Ok(visit))
        };
        Ok(Box::new(nodes.iter().filter_map(visit)))
    }

    /// The node at `path` below the group; `None` if there is none.
    ///
    /// # Errors
    /// `InvalidMetadata` for broken documents, `InvalidArgument` for an impossible path, `Io`.
    pub fn node(&self, path: &str) -> Result<Option<Node>> {
        let below = NodePath::parse(path)?;
        match &self.consolidated {
            Some(_) if below.is_root() => Ok(Some(Node::Group(self.metadata.clone()))),
            Some(nodes) => {
                let found = nodes.iter().find(|(path, _)| path == below.as_str());
                Ok(found.map(|(_, node)| node.clone()))
            }
            None => hierarchy::read_node(&*self.store, self.path.join(path)?.as_str()),
        }
    }

    /// The array at `path` below the group.
    ///
    /// # Errors
    /// `NotFound` if there is none, and those of [`Array::open`].
    pub fn array(&self, path: &str) -> Result<Array> {
        match self.member(path)? {
            Some(Member::Array(array)) => Ok(array),
            Some(Member::Group(group)) => {
                Err(absent(&group.path, "there is a group, not an array"))
            }
            None => Err(absent(&self.path.join(path)?, "there is no array")),
        }
    }

    /// The group at `path` below the group. What this group's consolidated metadata says of the nodes
    /// below it, that one goes by as well; without, it has none either.
    ///
    /// # Errors
    /// `NotFound` if there is none, and those of [`open`](Self::open).
    pub fn group(&self, path: &str) -> Result<Self> {
        let place = self.path.join(path)?;
        match self.member(path)? {
            Some(Member::Group(group)) => Ok(group),
            Some(Member::Array(_)) => Err(absent(&place, "there is an array, not a group")),
            None => Err(absent(&place, "there is no group")),
        }
    }

    /// The array or group at `path` below the group; `None` if there is none.
    ///
    /// # Errors
    /// Those of [`array`](Self::array) and [`group`](Self::group), but for `NotFound`.
    pub fn member(&self, path: &str) -> Result<Option<Member>> {
        let node = self.node(path)?;
        node.map(|node| self.open_member(path, node)).transpose()
    }

    /// The array or group that `node`, found at `path` below the group, is. Nothing is read.
    ///
    /// # Errors
    /// Those of [`Array::new`].
    pub fn open_member(&self, path: &str, node: Node) -> Result<Member> {
        let place = self.path.join(path)?;
        let store = Arc::clone(&self.store);
        let metadata = match node {
            Node::Array(metadata) => {
                let array = Array::new(store, place.as_str(), *metadata, &self.registry)?;
                return Ok(Member::Array(array));
            }
            Node::Group(metadata) => metadata,
        };
        let prefix = NodePath::parse(path)?.prefix();
        let nodes = self.consolidated.as_ref().map(|nodes| {
            let below = nodes.iter().filter_map(|(path, node)| {
                Some((path.strip_prefix(&prefix)?.to_owned(), node.clone()))
            });
            below.collect()
        });
        let group = Self::new(store, place, metadata, nodes);
        Ok(Member::Group(group.with_registry(self.registry.clone())))
    }

    /// Changes the attributes, see [`hierarchy::update_attributes`].
    ///
    /// # Errors
    /// As [`hierarchy::update_attributes`].
    pub fn update_attributes(
        &mut self,
        change: impl FnMut(&mut Map<String, Value>) -> Result<()>,
    ) -> Result<()> {
        self.metadata.attributes =
            hierarchy::update_attributes(&*self.store, self.path.as_str(), change)?;
        Ok(())
    }
}

#[cold]
fn absent(path: &NodePath, message: &str) -> Error {
    Error::not_found(message).at_node(path)
}

#[cfg(test)]
mod tests;
