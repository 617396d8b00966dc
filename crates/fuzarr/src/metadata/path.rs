//! Where a node is in its hierarchy.

use std::fmt;

use crate::error::{Error, Result};

/// The path of a node: names joined by `/`, none for the root ("Node names and paths" of the Zarr v3
/// core specification).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodePath(String);

impl NodePath {
    /// The root of a hierarchy.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path such as `a/b` or `/a/b`; `` and `/` are the root. Reserved names are let pass,
    /// since other writers create them: see [`check_creatable`](Self::check_creatable).
    ///
    /// # Errors
    /// `InvalidArgument` if a name is empty, `.`, `..` or `zarr.json`, or has a NUL.
    pub fn parse(path: &str) -> Result<Self> {
        let relative = path.strip_prefix('/').unwrap_or(path);
        if !relative.is_empty() {
            for name in relative.split('/') {
                if let Some(fault) = fault_of(name) {
                    return Err(
                        Error::invalid_argument(format!("a node's name {fault}")).at_node(relative)
                    );
                }
            }
        }
        Ok(Self(relative.to_owned()))
    }

    /// Checks that a node may be created here, which asks more than reading one: no name starts
    /// with `__` or consists of dots.
    ///
    /// # Errors
    /// `InvalidArgument` if a name is reserved.
    pub fn check_creatable(&self) -> Result<()> {
        for name in self.0.split('/') {
            if name.starts_with("__") {
                return Err(Error::invalid_argument("a new node's name must not start with `__`")
                    .at_node(self));
            }
            if !name.is_empty() && name.bytes().all(|byte| byte == b'.') {
                return Err(
                    Error::invalid_argument("a new node's name must not be all dots").at_node(self)
                );
            }
        }
        Ok(())
    }

    /// The path without a leading `/`; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last name; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The path of the group that the node is in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(self.0.rsplit_once('/').map_or_else(Self::root, |(parent, _)| Self(parent.to_owned())))
    }

    /// The path of what `relative` names from here.
    ///
    /// # Errors
    /// As [`parse`](Self::parse) of `relative`.
    pub fn join(&self, relative: &str) -> Result<Self> {
        let relative = Self::parse(relative)?;
        Ok(match (self.is_root(), relative.is_root()) {
            (_, true) => self.clone(),
            (true, false) => relative,
            (false, false) => Self(format!("{self}/{relative}")),
        })
    }

    /// What the store keys of everything under the node start with: the path and a `/`, nothing for
    /// the root.
    #[must_use]
    pub fn prefix(&self) -> String {
        if self.is_root() { String::new() } else { format!("{self}/") }
    }

    /// The store key of something directly under the node, for example `zarr.json`.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        self.prefix() + name
    }
}

/// What is wrong with a name; `None` if nothing.
fn fault_of(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("must not be empty"),
        "." | ".." => Some("must not be `.` or `..`"),
        "zarr.json" => Some("must not be `zarr.json`"),
        _ if name.contains('\0') => Some("must not contain NUL"),
        _ => None,
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn path(text: &str) -> NodePath {
        NodePath::parse(text).unwrap()
    }

    #[test]
    fn paths_are_relative_to_the_root() {
        assert_eq!(path(""), NodePath::root());
        assert_eq!(path("/"), NodePath::root());
        assert_eq!(path("/a/b"), path("a/b"));
        assert_eq!(path("a/b").to_string(), "a/b");
    }

    #[test]
    fn escapes_and_metadata_keys_are_no_nodes() {
        for text in
            ["//", "a/", "a//b", "./a", "..", "a/../b", "a\0", "zarr.json", "a/zarr.json/b", "//a"]
        {
            let error = NodePath::parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{text:?}");
        }
    }

    #[test]
    fn reserved_names_are_read_but_not_created() {
        for text in ["__a", "a/__b", "...", "a/...."] {
            assert_eq!(path(text).check_creatable().unwrap_err().kind(), Kind::InvalidArgument);
        }
        for text in ["", "a", "_a", "a__", ".a.", "é/雪", "a b"] {
            path(text).check_creatable().unwrap();
        }
    }

    #[test]
    fn relatives() {
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(NodePath::root()));
        assert_eq!(NodePath::root().parent(), None);
        assert_eq!((path("a/b").name(), path("a").name(), path("").name()), ("b", "a", ""));
        assert_eq!(path("a").join("b/c").unwrap(), path("a/b/c"));
        assert_eq!(NodePath::root().join("b").unwrap(), path("b"));
        assert_eq!(path("a").join("").unwrap(), path("a"));
        assert!(path("a").join("..").is_err());
    }

    #[test]
    fn keys() {
        assert_eq!(NodePath::root().key("zarr.json"), "zarr.json");
        assert_eq!(path("a/b").key("zarr.json"), "a/b/zarr.json");
        assert_eq!(path("a/b").prefix(), "a/b/");
    }
}
