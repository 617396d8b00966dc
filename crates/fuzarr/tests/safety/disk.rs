//! A model of a disk behind a cache: what was not synced may be gone after a power cut, each change
//! of a file or a folder for itself. A rename is one change of both its folders, as file systems
//! with a journal make it; nothing else is assumed of their order.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;

use fuzarr::store::faults::{Event, Identity};

use crate::scenario::State;

type Node = usize;
type Entries = BTreeMap<OsString, Node>;

#[derive(Debug, Clone)]
enum Change {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

/// Names that are given or taken at once.
#[derive(Debug, Clone)]
struct Naming(Vec<(Node, OsString, Option<Node>)>);

#[derive(Debug, Clone, Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

/// A disk, and what of it would survive.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    nodes: HashMap<Identity, Node>,
    files: HashMap<Node, File>,
    /// The folders as a running system sees them.
    now: HashMap<Node, Entries>,
    synced: HashMap<Node, Entries>,
    pending: Vec<Naming>,
    count: usize,
}

fn apply(folders: &mut HashMap<Node, Entries>, naming: &Naming) {
    for (folder, name, node) in &naming.0 {
        let entries = folders.entry(*folder).or_default();
        match node {
            Some(node) => entries.insert(name.clone(), *node),
            None => entries.remove(name),
        };
    }
}

fn change(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length as usize, 0),
        Change::Bytes(offset, written) => {
            let (start, end) = (*offset as usize, *offset as usize + written.len());
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(written);
        }
    }
}

impl Disk {
    /// A disk with one empty folder, its root.
    pub(crate) fn new(root: Identity) -> Self {
        Self {
            nodes: [(root, 0)].into(),
            files: HashMap::new(),
            now: [(0, Entries::new())].into(),
            synced: [(0, Entries::new())].into(),
            pending: Vec::new(),
            count: 1,
        }
    }

    fn add(&mut self, identity: Identity) -> Node {
        let node = self.count;
        self.count += 1;
        self.nodes.insert(identity, node);
        node
    }

    fn name(&mut self, naming: Naming) {
        apply(&mut self.now, &naming);
        self.pending.push(naming);
    }

    /// Does what was recorded.
    pub(crate) fn play(&mut self, event: &Event) {
        match event {
            Event::Create { folder, name, file } => {
                let folder = self.nodes[folder];
                if !self.now[&folder].contains_key(name) {
                    let node = self.add(*file);
                    self.files.insert(node, File::default());
                    self.name(Naming(vec![(folder, name.clone(), Some(node))]));
                }
            }
            Event::MakeFolder { folder, name, made } => {
                let folder = self.nodes[folder];
                let node = self.add(*made);
                self.now.insert(node, Entries::new());
                self.name(Naming(vec![(folder, name.clone(), Some(node))]));
            }
            Event::Write { file, offset, bytes } => {
                let change = Change::Bytes(*offset, bytes.clone());
                self.files.get_mut(&self.nodes[file]).unwrap().pending.push(change);
            }
            Event::Truncate { file, length } => {
                let change = Change::Length(*length);
                self.files.get_mut(&self.nodes[file]).unwrap().pending.push(change);
            }
            Event::Rename { from, name, to, new } => {
                let (from, to) = (self.nodes[from], self.nodes[to]);
                let node = self.now[&from][name];
                let moved = vec![(from, name.clone(), None), (to, new.clone(), Some(node))];
                self.name(Naming(moved));
            }
            Event::Unlink { folder, name } => {
                let folder = self.nodes[folder];
                self.name(Naming(vec![(folder, name.clone(), None)]));
            }
            Event::Sync { file } => self.sync(self.nodes[file]),
        }
    }

    fn sync(&mut self, node: Node) {
        if let Some(file) = self.files.get_mut(&node) {
            for pending in std::mem::take(&mut file.pending) {
                change(&mut file.synced, &pending);
            }
            return;
        }
        let touches = |naming: &Naming| naming.0.iter().any(|(folder, ..)| *folder == node);
        let (done, left) = std::mem::take(&mut self.pending).into_iter().partition(touches);
        self.pending = left;
        let done: Vec<Naming> = done;
        for naming in &done {
            apply(&mut self.synced, naming);
        }
    }

    /// What is found after a power cut if of the pending changes those survive that `survives`
    /// chooses: of names, and of bytes.
    pub(crate) fn after_power_cut(
        &self,
        root: &str,
        mut survives: impl FnMut(Pending) -> bool,
    ) -> State {
        let mut folders = self.synced.clone();
        for naming in self.pending.iter().filter(|_| survives(Pending::Name)) {
            apply(&mut folders, naming);
        }
        let mut state = State::new();
        let mut below = vec![(0, String::new())];
        while let Some((folder, path)) = below.pop() {
            for (name, node) in folders.get(&folder).into_iter().flatten() {
                let path = format!("{path}/{}", name.to_str().unwrap());
                let Some(file) = self.files.get(node) else {
                    below.push((*node, path));
                    continue;
                };
                let mut bytes = file.synced.clone();
                for pending in file.pending.iter().filter(|_| survives(Pending::Bytes)) {
                    change(&mut bytes, pending);
                }
                let key = path.strip_prefix(root).and_then(|key| key.strip_prefix('/'));
                if let Some(key) = key.filter(|key| !key.ends_with(".__lock")) {
                    state.insert(key.to_owned(), bytes);
                }
            }
        }
        state
    }
}

/// What may not have reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    Name,
    Bytes,
}
