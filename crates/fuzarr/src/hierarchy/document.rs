//! The documents that make a node, as they are stored.

use std::future::ready;

use bytes::Bytes;
use futures_util::future::join3;
use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result, ResultExt as _};
use crate::metadata::json::{self, MAX_DOCUMENT_SIZE};
use crate::metadata::{Format, Node, NodePath};
use crate::store::{Object, Precondition, Span, Store, Version, find, put_bytes};
use crate::v2;
use crate::wait::wait;

/// The name of a node's document in Zarr v3.
pub const DOCUMENT: &str = "zarr.json";

/// The documents that make a node, in the order in which they count.
const NODES: [&str; 3] = [DOCUMENT, v2::ARRAY, v2::GROUP];

/// The name of the document that makes `node` one.
#[must_use]
pub fn document_name(node: &Node) -> &'static str {
    match (node.format(), node) {
        (Format::V3, _) => DOCUMENT,
        (Format::V2, Node::Array(_)) => v2::ARRAY,
        (Format::V2, Node::Group(_)) => v2::GROUP,
    }
}

/// The key of the document that makes a node of `path`, be it sound or not; `None` if there is none.
///
/// # Errors
/// `InvalidArgument` for an impossible path; `Io`.
pub fn document_at(store: &dyn Store, path: &str) -> Result<Option<String>> {
    let path = NodePath::parse(path)?;
    for name in NODES {
        let key = path.key(name);
        if find(store, &key).wait()?.is_some() {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// The documents of a new node with their names, the one that makes it a node last: until that is
/// there, so is nothing else to be seen.
pub(super) fn documents(node: &Node) -> Vec<(&'static str, Vec<u8>)> {
    let main = match node {
        _ if node.format() == Format::V3 => return vec![(DOCUMENT, node.to_bytes())],
        Node::Array(array) => v2::array_to_json(array),
        Node::Group(group) => Some(v2::group_to_json(group)),
    };
    let attributes = Value::Object(node.attributes().clone());
    let documents = [(v2::ATTRIBUTES, Some(attributes)), (document_name(node), main)];
    let text = |(name, document): (_, Option<Value>)| Some((name, json::to_vec(&document?)));
    documents.into_iter().filter_map(text).collect()
}

/// A document that was read. Its text, and no open object: a group may have more members than a process
/// may have files.
#[derive(Debug)]
pub(super) struct Document {
    text: Bytes,
    pub(super) version: Option<Version>,
}

impl Document {
    /// What it says.
    ///
    /// # Errors
    /// As [`json::parse`].
    pub(super) fn value(&self) -> Result<Value> {
        json::parse(&self.text)
    }
}

/// The document at `key`; `None` if there is none. One that changes while it is read is read anew.
pub(super) async fn read(store: &dyn Store, key: &str) -> Result<Option<Document>> {
    Ok(read_held(store, key).await?.map(|(document, _)| document))
}

/// As [`read`], with the object: while it is held, the version cannot be mistaken for another's.
async fn read_held(store: &dyn Store, key: &str) -> Result<Option<(Document, Box<dyn Object>)>> {
    let read = || async {
        let Some(object) = store.open(key).await? else { return Ok(None) };
        let piece = object.read(Span::Whole(MAX_DOCUMENT_SIZE as u64), Vec::new()).await?;
        let Some(piece) = piece else { return Ok(None) };
        let text = piece.bytes.into_bytes();
        Ok(Some((Document { text, version: object.version() }, object)))
    };
    until_unchanged(key, read).await
}

/// How often a document that keeps changing is read anew before giving up.
const ATTEMPTS: usize = 100;

/// Does something with the document at `key`, again if it is changed meanwhile.
async fn until_unchanged<T, A: Future<Output = Result<T>>>(
    key: &str,
    mut attempt: impl FnMut() -> A,
) -> Result<T> {
    let mut outcome = attempt().await;
    for _ in 1..ATTEMPTS {
        match &outcome {
            Err(error) if error.kind() == Kind::Conflict => outcome = attempt().await,
            _ => break,
        }
    }
    outcome.context("key", || key)
}

/// The bytes of the documents of the node at `path`, in a fixed order; none of them if there is none.
///
/// # Errors
/// As [`document_at`]; `Limit` for a document that is larger than any may be.
pub(crate) fn stored_documents(store: &dyn Store, path: &str) -> Result<Vec<Vec<u8>>> {
    let path = NodePath::parse(path)?;
    let mut documents = Vec::new();
    for name in [DOCUMENT, v2::ARRAY, v2::GROUP, v2::ATTRIBUTES] {
        let key = path.key(name);
        let Some(object) = store.open(&key).wait()? else { continue };
        let piece = object.read(Span::Whole(MAX_DOCUMENT_SIZE as u64), Vec::new()).wait();
        if let Some(piece) = piece.context("key", || &key)? {
            documents.push([name.as_bytes(), piece.bytes.as_slice()].concat());
        }
    }
    Ok(documents)
}

/// Changes the document at `key`. `change` is given what is stored, null if nothing is, and gives what
/// to store instead, or `None` to leave it. If somebody else changes the document meanwhile, it is
/// asked again, so that no change is lost.
///
/// # Errors
/// Those of `change`; `InvalidMetadata` if what is stored is no JSON; `Conflict` if it never stops
/// changing; `Io`.
pub(crate) fn edit(
    store: &dyn Store,
    key: &str,
    mut change: impl FnMut(Value) -> Result<Option<Value>>,
) -> Result<()> {
    let mut attempt = || -> Result<()> {
        let (value, precondition, _held) = match wait(read_held(store, key))? {
            Some((document, object)) => {
                let value = document.value()?;
                let unchanged =
                    document.version.map_or(Precondition::None, Precondition::Unchanged);
                (value, unchanged, Some(object))
            }
            None => (Value::Null, Precondition::Absent, None),
        };
        match change(value)? {
            Some(changed) => put_bytes(store, key, &json::to_vec(&changed), precondition),
            None => Ok(()),
        }
    };
    wait(until_unchanged(key, || ready(attempt())))
}

/// The documents of a node as they are stored.
#[derive(Debug)]
pub(super) enum Stored {
    V3(Document),
    V2 { name: &'static str, document: Document, attributes: Option<Document> },
}

impl Stored {
    /// What is stored of the node at `path`; `None` if nothing makes it one. Where there are
    /// documents of both formats, those of v3 count.
    pub(super) fn read(store: &dyn Store, path: &NodePath) -> Result<Option<Self>> {
        wait(Self::find(store, path))
    }

    /// As [`read`](Self::read), awaiting the store's answers.
    pub(super) async fn find(store: &dyn Store, path: &NodePath) -> Result<Option<Self>> {
        if let Some(document) = read(store, &path.key(DOCUMENT)).await? {
            return Ok(Some(Self::V3(document)));
        }
        let keys = [v2::ARRAY, v2::GROUP, v2::ATTRIBUTES].map(|name| path.key(name));
        let [array, group, attributes] = keys.each_ref().map(|key| read(store, key));
        let with = |name, document, attributes| Some(Self::V2 { name, document, attributes });
        if !store.capabilities().blocking {
            // One more wait, not three. Of a node that is none, broken attributes are nobody's concern.
            let (array, group, attributes) = join3(array, group, attributes).await;
            return Ok(match (array?, group?) {
                (Some(array), _) => with(v2::ARRAY, array, attributes?),
                (None, Some(group)) => with(v2::GROUP, group, attributes?),
                (None, None) => None,
            });
        }
        for (name, document) in [(v2::ARRAY, array), (v2::GROUP, group)] {
            if let Some(document) = document.await? {
                return Ok(with(name, document, attributes.await?));
            }
        }
        Ok(None)
    }

    /// The node at `path` that the documents describe.
    pub(super) fn node(&self, path: &NodePath) -> Result<Node> {
        let (name, document, attributes) = match self {
            Self::V3(document) => {
                let node = Node::from_bytes(&document.text);
                return node.context("key", || path.key(DOCUMENT));
            }
            Self::V2 { name, document, attributes } => (*name, document, attributes),
        };
        let attributes = match attributes {
            None => Map::new(),
            Some(document) => document
                .value()
                .and_then(v2::attributes_from_json)
                .context("key", || path.key(v2::ATTRIBUTES))?,
        };
        let node = document.value().and_then(|document| {
            if name == v2::ARRAY {
                let array = v2::array_from_json(&document, attributes)?;
                return Ok(Node::Array(Box::new(array)));
            }
            v2::group_from_json(&document, attributes).map(Node::Group)
        });
        node.context("key", || path.key(name))
    }

    /// What tells the version of the document that makes the node one.
    pub(super) fn version(&self) -> Option<&Version> {
        match self {
            Self::V3(document) | Self::V2 { document, .. } => document.version.as_ref(),
        }
    }
}

/// The error of a node that is there already.
#[cold]
pub(super) fn already_there(key: &str) -> Error {
    Error::already_exists("there is a node already").with("key", key)
}
