//! The objects, and what may be done with them. Each change is made under one lock, conditions
//! included.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use bytes::Bytes;

/// Objects by bucket and key.
#[derive(Debug, Default)]
pub(super) struct Objects {
    by_key: BTreeMap<String, Object>,
    uploads: BTreeMap<u64, (Meta, BTreeMap<u32, Bytes>)>,
    /// By key and name, those of Azure's blocks that are of no object yet.
    blocks: BTreeMap<(String, String), Bytes>,
    /// Folders that were made, for clients that make them.
    folders: BTreeSet<String>,
    changes: u64,
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// No other version of any object has it.
    pub(super) generation: u64,
    /// What the client keeps beside the bytes.
    pub(super) meta: Meta,
    pub(super) changed: SystemTime,
}

impl Object {
    pub(super) fn tag(&self) -> String {
        tag(self.generation)
    }
}

/// The ETag of a generation.
pub(super) fn tag(generation: u64) -> String {
    format!("\"{generation:x}\"")
}

/// Names and values that a client keeps with an object.
pub(super) type Meta = Vec<(String, String)>;

/// On which condition an object is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    Absent,
    Tag(String),
    Generation(u64),
}

/// Names below a prefix.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    pub(super) prefixes: Vec<String>,
    /// Where the next page starts.
    pub(super) next: Option<String>,
}

impl Objects {
    pub(super) fn all(&self) -> Vec<(String, Bytes)> {
        let all = self.by_key.iter();
        all.map(|(key, object)| (key.clone(), object.bytes.clone())).collect()
    }

    pub(super) fn open_uploads(&self) -> usize {
        self.uploads.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Object> {
        self.by_key.get(key)
    }

    /// Puts an object; its generation, or `None` if the condition does not hold.
    pub(super) fn put(
        &mut self,
        key: &str,
        (bytes, meta): (Bytes, Meta),
        condition: &Condition,
    ) -> Option<u64> {
        let present = self.by_key.get(key).map(|object| object.generation);
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => present.is_none(),
            Condition::Tag(wanted) => present.is_some_and(|present| tag(present) == *wanted),
            Condition::Generation(wanted) => present == Some(*wanted),
        };
        if !holds {
            return None;
        }
        self.changes += 1;
        let generation = self.changes;
        let object = Object { bytes, generation, meta, changed: SystemTime::now() };
        self.by_key.insert(key.to_owned(), object);
        self.blocks.retain(|(of, _), _| of != key);
        Some(generation)
    }

    /// Whether what is in the path's folder may be made; a bucket is there.
    pub(super) fn has_folder_of(&self, path: &str) -> bool {
        path.rsplit_once('/')
            .is_none_or(|(folder, _)| !folder.contains('/') || self.folders.contains(folder))
    }

    /// Makes a folder; whether there was none.
    pub(super) fn make_folder(&mut self, path: &str) -> bool {
        path.contains('/') && self.folders.insert(path.to_owned())
    }

    /// Deletes an object; whether it was there.
    pub(super) fn delete(&mut self, key: &str) -> bool {
        self.by_key.remove(key).is_some()
    }

    /// What is below a prefix of keys, from `after` on, at most so much. With a delimiter, what
    /// follows it is summed up.
    pub(super) fn list(&self, prefix: &str, delimiter: &str, after: &str, most: usize) -> Page {
        let mut page = Page::default();
        let start = if after > prefix { after } else { prefix };
        for (key, object) in self.by_key.range(start.to_owned()..) {
            let Some(rest) = key.strip_prefix(prefix) else { break };
            if key.as_str() <= after {
                continue;
            }
            let end = if delimiter.is_empty() { None } else { rest.find(delimiter) };
            let folder = end.map(|end| &key[..prefix.len() + end + delimiter.len()]);
            if folder.is_some_and(|folder| page.prefixes.last().is_some_and(|last| last == folder))
            {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == most {
                page.next = Some(match (page.objects.last(), page.prefixes.last()) {
                    (Some((object, ..)), Some(folder)) if object > folder => object.clone(),
                    (Some((object, ..)), None) => object.clone(),
                    // After all that begins with it.
                    (_, Some(folder)) => format!("{folder}\u{10ffff}"),
                    (None, None) => String::new(),
                });
                return page;
            }
            match folder {
                Some(folder) => page.prefixes.push(folder.to_owned()),
                None => {
                    page.objects.push((key.clone(), object.clone()));
                }
            }
        }
        page
    }

    pub(super) fn begin(&mut self, meta: Meta) -> u64 {
        self.changes += 1;
        self.uploads.insert(self.changes, (meta, BTreeMap::new()));
        self.changes
    }

    /// Adds a part; whether there is such an upload.
    pub(super) fn add(&mut self, upload: u64, number: u32, bytes: Bytes) -> bool {
        let parts = self.uploads.get_mut(&upload);
        parts.is_some_and(|(_, parts)| {
            parts.insert(number, bytes);
            true
        })
    }

    /// Makes an object of the parts; its generation, or `None` if there is no such upload.
    pub(super) fn complete(&mut self, upload: u64, key: &str) -> Option<u64> {
        let (meta, parts) = self.uploads.remove(&upload)?;
        let bytes = parts.into_values().collect::<Vec<_>>().concat();
        self.put(key, (bytes.into(), meta), &Condition::None)
    }

    pub(super) fn add_block(&mut self, key: &str, name: String, bytes: Bytes) {
        self.blocks.insert((key.to_owned(), name), bytes);
    }

    /// Makes an object of blocks; its generation, or `None` if one of them is not there.
    pub(super) fn join_blocks(&mut self, key: &str, names: &[String], meta: Meta) -> Option<u64> {
        let block = |name: &String| self.blocks.get(&(key.to_owned(), name.clone())).cloned();
        let blocks = names.iter().map(block).collect::<Option<Vec<_>>>()?;
        self.put(key, (blocks.concat().into(), meta), &Condition::None)
    }

    pub(super) fn call_off(&mut self, upload: u64) -> bool {
        self.uploads.remove(&upload).is_some()
    }
}
