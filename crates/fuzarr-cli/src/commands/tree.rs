//! `fuzarr tree`.

use super::Outcome;
use crate::arguments::Tree;
use crate::render::{Content, Node as Shown};
use fuzarr::hierarchy::{DEEPEST, Visit};
use fuzarr::metadata::Node;
use fuzarr::store::AddressOptions;
use fuzarr::{Error, Group, Result, hierarchy};
use std::collections::BTreeMap;

pub(super) fn run(arguments: &Tree, options: &AddressOptions) -> Result<Outcome> {
    let (store, path) = super::find(&arguments.location, options)?;
    let depth = arguments.depth.unwrap_or(DEEPEST).min(DEEPEST);
    let mut outcome = Outcome::Fine;
    let content = match hierarchy::read_node(&*store, &path)? {
        None => return Err(Error::not_found("there is no node").at_node(&path)),
        Some(Node::Array(array)) => {
            Content::Array { shape: array.shape, data_type: array.data_type.name }
        }
        Some(Node::Group(_)) if depth == 0 => Content::UnlistedGroup,
        Some(Node::Group(_)) => {
            let group = Group::open(store, &path)?;
            let members = below(&group, depth, &mut outcome)?.members(depth);
            if group.is_consolidated() {
                Content::ConsolidatedGroup(members)
            } else {
                Content::Group(members)
            }
        }
    };
    let tree = Shown { name: super::name_of(&arguments.location), content };
    if arguments.json {
        super::print_json(&tree.json())?
    } else {
        super::print(&tree.text())?
    }
    Ok(outcome)
}

/// What is below a group, by its consolidated metadata if it has some.
fn below(group: &Group, depth: usize, outcome: &mut Outcome) -> Result<Branch> {
    let mut root = Branch::default();
    for visit in group.traverse(depth)? {
        let Visit { path, depth, node } = visit?;
        match &node {
            Err(error) if super::is_damage(error) => *outcome = Outcome::Damaged,
            Err(_) if *outcome == Outcome::Fine => *outcome = Outcome::Unchecked,
            _ => {}
        }
        let above = path.split('/').count() - depth;
        let mut branch = &mut root;
        for name in path.split('/').skip(above) {
            branch = branch.below.entry(name.to_owned()).or_default();
        }
        branch.node = Some(node);
    }
    Ok(root)
}

/// A node and those below it. Consolidated metadata may name none where there are some below.
#[derive(Default)]
struct Branch {
    node: Option<Result<Node>>,
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
            Some(Ok(Node::Array(array))) => {
                Content::Array { shape: array.shape, data_type: array.data_type.name }
            }
            Some(Err(error)) => Content::Broken(error.to_string()),
            _ if depth == 0 => Content::UnlistedGroup,
            _ => Content::Group(self.members(depth)),
        }
    }
}
