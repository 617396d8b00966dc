//! The metadata document of a node of either kind.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{ArrayMetadata, Format, GroupMetadata, Members, json};
use crate::error::{Error, Result};

/// The metadata of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// An array.
    Array(Box<ArrayMetadata>),
    /// A group.
    Group(GroupMetadata),
}

impl Node {
    /// Reads the text of a document.
    ///
    /// # Errors
    /// As [`json::parse`], [`ArrayMetadata::from_json`] and [`GroupMetadata::from_json`].
    pub fn from_bytes(document: &[u8]) -> Result<Self> {
        Self::from_members(Members::parse(document)?)
    }

    /// Reads a document. One without `node_type` is of a group, unless it has a `shape`, which no
    /// group has.
    ///
    /// # Errors
    /// As [`ArrayMetadata::from_json`] and [`GroupMetadata::from_json`].
    pub fn from_json(document: &Value) -> Result<Self> {
        Self::from_members(Members::of(Cow::Borrowed(document))?)
    }

    fn from_members(members: Members<'_>) -> Result<Self> {
        let is_array = match members.get("node_type") {
            Some(Value::String(name)) if name == "array" => true,
            Some(Value::String(name)) if name == "group" => false,
            Some(_) => {
                return Err(Error::invalid_metadata("`node_type` is neither `array` nor `group`"));
            }
            None => members.get("shape").is_some(),
        };
        if is_array {
            return Ok(Self::Array(Box::new(ArrayMetadata::from_members(members)?)));
        }
        GroupMetadata::from_members(members).map(Self::Group)
    }

    /// The format that the node is stored in.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Array(array) => array.format(),
            Self::Group(group) => group.format,
        }
    }

    /// The user's attributes.
    #[must_use]
    pub fn attributes(&self) -> &Map<String, Value> {
        match self {
            Self::Array(array) => &array.attributes,
            Self::Group(group) => &group.attributes,
        }
    }

    /// The document of Zarr v3.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Array(array) => array.to_json(),
            Self::Group(group) => group.to_json(),
        }
    }

    /// The text of the document of Zarr v3.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_vec(&self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const ARRAY: &str = r#"{"zarr_format": 3, "node_type": "array", "shape": [3],
        "data_type": "float32", "fill_value": NaN, "codecs": ["bytes"], "chunk_grid":
        {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"}, "attributes": {"bad": -Infinity}}"#;

    #[test]
    fn bytes_round_trip() {
        let node = Node::from_bytes(ARRAY.as_bytes()).unwrap();
        let Node::Array(array) = &node else { panic!("{node:?}") };
        assert_eq!(array.fill_value, "NaN");
        let written = node.to_bytes();
        assert_eq!(Node::from_bytes(&written).unwrap(), node);
        let text = String::from_utf8(written).unwrap();
        // Strict where the specification says how, as it was elsewhere.
        assert!(text.contains(r#""fill_value": "NaN""#) && text.contains(r#""bad": -Infinity"#));
    }

    #[test]
    fn the_kind_is_found() {
        assert!(matches!(Node::from_bytes(br#"{"zarr_format": 3}"#).unwrap(), Node::Group(_)));
        for document in [
            ARRAY.replace(r#""node_type": "array","#, ""),
            ARRAY.replace(r#""array""#, r#""group""#),
            ARRAY.replace(r#""array""#, r#""dataset""#),
            ARRAY.replace(r#""array""#, "null"),
            "[]".into(),
            "3".into(),
        ] {
            let kind = Node::from_bytes(document.as_bytes()).unwrap_err().kind();
            assert!(matches!(kind, Kind::InvalidMetadata | Kind::Unsupported), "{document}");
        }
    }
}
