//! `fuzarr verify`.

use super::Outcome;
use crate::arguments::Verify;
use crate::render::{Finding, Report, bytes, some, traffic};
use fuzarr::codec::Registry;
use fuzarr::hierarchy::Visit;
use fuzarr::metadata::{ArrayMetadata, Format, Node};
use fuzarr::plan::ReadOptions;
use fuzarr::store::{AddressOptions, Opened, Store, join};
use fuzarr::{Array, Error, Result, hierarchy, inspect, v2};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) fn run(arguments: &Verify, options: &AddressOptions) -> Result<Outcome> {
    let (opened, path) = super::find_opened(&arguments.location, options)?;
    let options = ReadOptions::with_overrides(&arguments.settings.set)?;
    let mut check = Check {
        store: Arc::clone(&opened.store),
        options,
        report: Report::default(),
        told: BTreeMap::new(),
        broken: Vec::new(),
        progress: Progress::new(opened.clone()),
    };
    let node = match hierarchy::read_node(&*check.store, &path) {
        Ok(Some(node)) => Ok(node),
        Ok(None) => return Err(Error::not_found("there is no node").at_node(path)),
        Err(error) => Err(error),
    };
    check.tree(&path, node)?;
    check.progress.clear();
    let report = Report { traffic: opened.traffic(), ..check.report };
    if arguments.json {
        super::print_json(&report.json())?;
    } else {
        super::print(&report.text())?;
    }
    Ok(match (report.damaged.is_empty(), report.unchecked.is_empty()) {
        (true, true) => Outcome::Fine,
        (true, false) => Outcome::Unchecked,
        (false, _) => Outcome::Damaged,
    })
}

struct Check {
    store: Arc<dyn Store>,
    options: ReadOptions,
    report: Report,
    /// What consolidated metadata tells of nodes that were not met yet, with the group that it is of.
    told: BTreeMap<String, Vec<(String, Node)>>,
    /// Nodes below which nothing is met.
    broken: Vec<String>,
    progress: Progress,
}

impl Check {
    /// Checks a node and all below it.
    fn tree(&mut self, path: &str, node: Result<Node>) -> Result<()> {
        let is_group = matches!(node, Ok(Node::Group(_)));
        self.node(path, node);
        if is_group {
            let store = Arc::clone(&self.store);
            for visit in hierarchy::traverse(&*store, path, hierarchy::DEEPEST)? {
                let Visit { path, node, .. } = visit?;
                self.node(&path, node);
            }
            self.unmet();
        }
        Ok(())
    }

    fn node(&mut self, path: &str, node: Result<Node>) {
        match node {
            Ok(node) => self.sound(path, node),
            Err(error) => {
                self.told.remove(path);
                self.broken.push(path.to_owned());
                self.failed(path, hierarchy::DOCUMENT, &error);
            }
        }
    }

    fn sound(&mut self, path: &str, node: Node) {
        for (group, told) in self.told.remove(path).unwrap_or_default() {
            if let Some(member) = inspect::difference(&node, &told) {
                let document = hierarchy::document_name(&node);
                let error = Error::invalid_metadata(format!(
                    "`{member}` is not what the consolidated metadata of `/{group}` tells: `fuzarr \
                     consolidate` writes that anew"
                ));
                self.failed(path, document, &error);
            }
        }
        match node {
            Node::Array(metadata) => self.array(path, *metadata),
            Node::Group(group) => match hierarchy::read_consolidated(&*self.store, path, &group) {
                Ok(nodes) => {
                    for (name, node) in nodes.unwrap_or_default() {
                        let told = self.told.entry(join(path, &name)).or_default();
                        told.push((path.to_owned(), node));
                    }
                }
                Err(error) => self.failed(path, v2::CONSOLIDATED, &error),
            },
        }
    }

    /// Checks the nodes that consolidated metadata tells of and that were not met.
    fn unmet(&mut self) {
        while let Some((path, told)) = self.told.pop_first() {
            let is_below = |above: &String| {
                path.strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/'))
            };
            if self.broken.iter().any(is_below) {
                continue;
            }
            match hierarchy::read_node(&*self.store, &path) {
                Ok(None) => {
                    let Some((group, node)) = told.first() else { continue };
                    let document = hierarchy::document_name(node);
                    let error = Error::invalid_metadata(format!(
                        "the consolidated metadata of `/{group}` tells of it, but it is not there"
                    ));
                    self.failed(&path, document, &error);
                }
                // In a folder that is no group: only consolidated metadata leads there.
                Ok(Some(node)) => {
                    self.told.insert(path.clone(), told);
                    self.node(&path, Ok(node));
                }
                Err(error) => self.node(&path, Err(error)),
            }
        }
    }

    fn array(&mut self, path: &str, metadata: ArrayMetadata) {
        self.report.arrays += 1;
        let document = match metadata.format() {
            Format::V3 => hierarchy::DOCUMENT,
            Format::V2 => v2::ARRAY,
        };
        let array = Array::new(Arc::clone(&self.store), path, metadata, &Registry::default());
        let (before, options, progress) = (&self.report, &self.options, &mut self.progress);
        let (mut objects, mut bytes) = (before.objects, before.bytes);
        let verified = array.and_then(|array| {
            array.verify_with(options, |object| {
                progress.show(objects, bytes);
                objects += 1;
                bytes += u128::from(object.size);
            })
        });
        match verified {
            Ok(found) => {
                self.report.objects += u128::from(found.objects);
                self.report.bytes += u128::from(found.bytes);
                for error in &found.damage {
                    self.failed(path, document, error);
                }
            }
            Err(error) => self.failed(path, document, &error),
        }
    }

    /// Notes what kept a node from being checked: damage, if the data is to blame.
    fn failed(&mut self, path: &str, document: &str, error: &Error) {
        let list = if super::is_damage(error) {
            &mut self.report.damaged
        } else {
            &mut self.report.unchecked
        };
        list.push(finding(path, document, error));
    }
}

/// What an error says, in its parts; where it names no key, it is about the metadata.
fn finding(path: &str, document: &str, error: &Error) -> Finding {
    let context = |name| error.context(name).map(str::to_owned);
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Finding {
        key: context("key").unwrap_or_else(|| join(path, document)),
        inner_chunk: context("inner chunk"),
        codec: context("codec"),
        message: format!("{}{source}", error.message()),
    }
}

/// A line on a terminal that tells how far the work is.
struct Progress {
    opened: Opened,
    visible: bool,
    begun: Instant,
    last: Instant,
}

impl Progress {
    const INTERVAL: Duration = Duration::from_millis(100);

    fn new(opened: Opened) -> Self {
        let now = Instant::now();
        Self { opened, visible: std::io::stderr().is_terminal(), begun: now, last: now }
    }

    fn show(&mut self, objects: u128, size: u128) {
        if self.visible && self.last.elapsed() >= Self::INTERVAL {
            self.last = Instant::now();
            // Progress that cannot be shown is no reason to stop.
            let (objects, read) = (some(objects, "object"), bytes(size));
            let mut line = format!("{objects}, {read} read");
            if let Some(asked) = self.opened.traffic() {
                let rate = super::rate(asked.received, self.begun.elapsed());
                line.push_str(&format!(", {rate}, {}", traffic(&asked)));
            }
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }

    fn clear(&self) {
        if self.visible {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
