//! `fuzarr tree`.

use super::Outcome;
use crate::arguments::Tree;
use crate::render::{Content, Node as Shown};
use fuzarr::metadata::{GroupMetadata, Node};
use fuzarr::store::{Store, join};
use fuzarr::{Error, Result, hierarchy};
use std::collections::BTreeMap;

/// Levels below which consolidated metadata is not followed; no file system has so many.
const DEEPEST: usize = 1000;

pub(super) fn run(arguments: &Tree) -> Result<Outcome> {
    let (store, path) = super::find(&arguments.location)?;
    let node = hierarchy::read_node(&*store, &path)?;
    let node = node.ok_or_else(|| Error::not_found("there is no node").with("path", &path))?;
    let mut walk = Walk { store: &*store, outcome: Outcome::Fine };
    let depth = arguments.depth.unwrap_or(DEEPEST).min(DEEPEST);
    let name = super::name_of(&arguments.location);
    let tree = Shown { name, content: walk.content(&path, Ok(node), depth)? };
    if arguments.json {
        super::print_json(&tree.json())?
    } else {
        super::print(&tree.text())?
    }
    Ok(walk.outcome)
}

struct Walk<'a> {
    store: &'a dyn Store,
    outcome: Outcome,
}

impl Walk<'_> {
    /// A node and `depth` levels below it.
    fn content(&mut self, path: &str, node: Result<Node>, depth: usize) -> Result<Content> {
        Ok(match node {
            Ok(Node::Group(_)) if depth == 0 => Content::UnlistedGroup,
            Ok(Node::Group(GroupMetadata { consolidated: Some(nodes), .. })) => {
                consolidated(nodes, depth)
            }
            Ok(Node::Group(_)) => {
                let mut members = Vec::new();
                for (name, child) in hierarchy::children(self.store, path)? {
                    let content = self.content(&join(path, &name), child, depth - 1)?;
                    members.push(Shown { name, content });
                }
                Content::Group(members)
            }
            Ok(Node::Array(array)) => {
                Content::Array { shape: array.shape, data_type: array.data_type.name }
            }
            Err(error) => {
                if super::is_damage(&error) {
                    self.outcome = Outcome::Damaged;
                }
                Content::Broken(error.to_string())
            }
        })
    }
}

/// The members that consolidated metadata names, without looking whether they are there.
fn consolidated(nodes: Vec<(String, Node)>, depth: usize) -> Content {
    let mut root = Branch::default();
    for (path, node) in nodes {
        if path.split('/').count() > depth {
            continue;
        }
        let mut branch = &mut root;
        for name in path.split('/') {
            branch = branch.below.entry(name.to_owned()).or_default();
        }
        branch.node = Some(node);
    }
    Content::ConsolidatedGroup(root.members(depth))
}

/// What consolidated metadata says of a node and of those below it.
#[derive(Default)]
struct Branch {
    node: Option<Node>,
    below: BTreeMap<String, Branch>,
}

impl Branch {
    fn members(self, depth: usize) -> Vec<Shown> {
        let member = |(name, branch): (String, Self)| {
            let content = branch.content(depth - 1);
            Shown { name, content }
        };
        self.below.into_iter().map(member).collect()
    }

    fn content(self, depth: usize) -> Content {
        match self.node {
            Some(Node::Array(array)) => {
                Content::Array { shape: array.shape, data_type: array.data_type.name }
            }
            _ if depth == 0 => Content::UnlistedGroup,
            _ => Content::Group(self.members(depth)),
        }
    }
}
