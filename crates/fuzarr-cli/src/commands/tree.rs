//! `fuzarr tree`.

use super::Outcome;
use crate::arguments::Tree;
use crate::render::{Content, Node as Shown};
use fuzarr::metadata::{GroupMetadata, Node};
use fuzarr::store::{Store, join};
use fuzarr::{Error, Result, hierarchy};

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

/// The nodes of consolidated metadata, which name every depth by path, as members of members.
fn consolidated(nodes: Vec<(String, Node)>, depth: usize) -> Content {
    let mut members: Vec<Shown> = Vec::new();
    for (path, node) in nodes {
        let content = match node {
            Node::Group(_) => Content::Group(Vec::new()),
            Node::Array(array) => {
                Content::Array { shape: array.shape, data_type: array.data_type.name }
            }
        };
        place(&mut members, &path, content, depth);
    }
    Content::Group(members)
}

/// Puts a node at `path` below `members`; groups that the metadata leaves out are shown as such.
fn place(members: &mut Vec<Shown>, path: &str, content: Content, depth: usize) {
    let (name, below) =
        path.split_once('/').map_or((path, None), |(name, below)| (name, Some(below)));
    let at = members.binary_search_by(|member| member.name.as_str().cmp(name));
    let Some(below) = below else {
        let content = match content {
            Content::Group(_) if depth <= 1 => Content::UnlistedGroup,
            content => content,
        };
        match at {
            // A group that was made for its members gets its place; they stay.
            Ok(_) => {}
            Err(at) => members.insert(at, Shown { name: name.to_owned(), content }),
        }
        return;
    };
    if depth <= 1 {
        return;
    }
    let at = at.unwrap_or_else(|at| {
        let content = Content::Group(Vec::new());
        members.insert(at, Shown { name: name.to_owned(), content });
        at
    });
    if let Content::Group(members) = &mut members[at].content {
        place(members, below, content, depth - 1);
    }
}
