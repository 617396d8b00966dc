//! The metadata document of a group.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Format, Members, Node, NodePath, wrong};
use crate::error::{Error, Result, ResultExt as _};

/// The metadata document of a group ("Group metadata" of the Zarr v3 core specification).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupMetadata {
    /// The format that the group is stored in.
    pub format: Format,
    /// The user's attributes.
    pub attributes: Map<String, Value>,
    /// The nodes below the group by their path relative to it, of all depths, in the order of the
    /// document; `None` if it has no consolidated metadata. That of Zarr v2 is a document of its own,
    /// which is not read with the group.
    pub consolidated: Option<Vec<(String, Node)>>,
    /// Members of the document that this crate does not know and need not: kept when rewritten.
    pub extra: Map<String, Value>,
}

impl GroupMetadata {
    /// Reads a document. As zarr-python does, it may lack `node_type`, and `attributes` and
    /// `consolidated_metadata` of null count as absent.
    ///
    /// # Errors
    /// `InvalidMetadata` if a member is missing or malformed, also within consolidated metadata;
    /// `Unsupported` for another Zarr format, for consolidated metadata that is not inline, and for
    /// an unknown member that must be understood.
    pub fn from_json(document: &Value) -> Result<Self> {
        Self::from_members(Members::of(Cow::Borrowed(document))?)
    }

    pub(super) fn from_members(mut members: Members<'_>) -> Result<Self> {
        members.check_header("group", true)?;
        let attributes = members.attributes()?;
        let consolidated = match members.optional("consolidated_metadata").as_deref() {
            None | Some(Value::Null) => None,
            Some(value) => Some(parse_consolidated(value)?),
        };
        Ok(Self { format: Format::V3, attributes, consolidated, extra: members.unknown()? })
    }

    /// The document of Zarr v3.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut document = Map::new();
        document.insert("zarr_format".into(), 3.into());
        document.insert("node_type".into(), "group".into());
        document.insert("attributes".into(), self.attributes.clone().into());
        if let Some(nodes) = &self.consolidated {
            let nodes = nodes.iter().map(|(path, node)| (path.clone(), node.to_json()));
            let mut consolidated = Map::new();
            consolidated.insert("kind".into(), "inline".into());
            consolidated.insert("must_understand".into(), false.into());
            consolidated.insert("metadata".into(), nodes.collect::<Map<_, _>>().into());
            document.insert("consolidated_metadata".into(), consolidated.into());
        }
        for (key, value) in &self.extra {
            document.entry(key.as_str()).or_insert_with(|| value.clone());
        }
        document.into()
    }
}

fn parse_consolidated(value: &Value) -> Result<Vec<(String, Node)>> {
    let Value::Object(consolidated) = value else {
        return Err(wrong("consolidated_metadata", "an object", value));
    };
    match consolidated.get("kind") {
        Some(Value::String(kind)) if kind == "inline" => {}
        Some(Value::String(kind)) => {
            return Err(Error::unsupported(format!(
                "not supported: consolidated metadata of kind `{kind}`"
            )));
        }
        _ => return Err(Error::invalid_metadata("`consolidated_metadata` has no `kind`")),
    }
    let Some(Value::Object(nodes)) = consolidated.get("metadata") else {
        return Err(Error::invalid_metadata("`consolidated_metadata` has no object `metadata`"));
    };
    nodes.iter().map(|(path, document)| parse_node(path, document)).collect()
}

fn parse_node(path: &str, document: &Value) -> Result<(String, Node)> {
    let within = || format!("consolidated metadata of `{path}`");
    check_member(path).context("node", within)?;
    Ok((path.to_owned(), Node::from_json(document).context("node", within)?))
}

/// Checks the path of a node in consolidated metadata.
///
/// # Errors
/// `InvalidMetadata` if it is not one relative to the group, in the one form that listings show.
pub(crate) fn check_member(path: &str) -> Result<()> {
    let parsed = NodePath::parse(path).map_err(|error| Error::invalid_metadata(error.message()))?;
    if parsed.is_root() || parsed.as_str() != path {
        return Err(Error::invalid_metadata("not a path relative to the group"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    fn array() -> Value {
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": [],
            "data_type": "bool",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": []}},
            "chunk_key_encoding": {"name": "default"},
            "fill_value": false,
            "codecs": [{"name": "bytes"}],
            "attributes": {},
            "storage_transformers": [],
        })
    }

    fn consolidated(nodes: &Value) -> Value {
        json!({
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"title": "é"},
            "consolidated_metadata": {
                "kind": "inline", "must_understand": false, "metadata": nodes
            },
        })
    }

    fn kind(document: &Value) -> Kind {
        GroupMetadata::from_json(document).unwrap_err().kind()
    }

    #[test]
    fn consolidated_metadata_is_rewritten_in_order() {
        let document = consolidated(&json!({
            "z": consolidated(&json!({})),
            "a": {"zarr_format": 3, "node_type": "group", "attributes": {}},
            "z/b": array(),
        }));
        let group = GroupMetadata::from_json(&document).unwrap();
        let nodes = group.consolidated.as_ref().unwrap();
        let paths: Vec<_> = nodes.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["z", "a", "z/b"]);
        assert!(matches!(nodes[2].1, Node::Array(_)));
        assert_eq!(group.to_json(), document);
    }

    #[test]
    fn members_may_be_absent_or_null() {
        for document in [
            json!({"zarr_format": 3}),
            json!({"zarr_format": 3, "node_type": "group", "consolidated_metadata": null}),
            json!({"zarr_format": 3, "node_type": "group", "attributes": null}),
        ] {
            assert_eq!(GroupMetadata::from_json(&document).unwrap(), GroupMetadata::default());
        }
        let written = GroupMetadata::default().to_json();
        assert_eq!(written, json!({"zarr_format": 3, "node_type": "group", "attributes": {}}));
    }

    #[test]
    fn unknown_members_are_kept_or_rejected() {
        let mut document = GroupMetadata::default().to_json();
        document["mine"] = json!({"must_understand": false, "x": 1});
        assert_eq!(GroupMetadata::from_json(&document).unwrap().to_json(), document);
        document["mine"] = json!({"x": 1});
        assert_eq!(kind(&document), Kind::Unsupported);
    }

    #[test]
    fn malformed_groups_are_rejected() {
        for document in [
            json!(null),
            json!({"node_type": "group"}),
            json!({"zarr_format": 3, "node_type": "array"}),
            json!({"zarr_format": 3, "attributes": 1}),
            json!({"zarr_format": 3, "consolidated_metadata": []}),
            json!({"zarr_format": 3, "consolidated_metadata": {"metadata": {}}}),
            json!({"zarr_format": 3, "consolidated_metadata": {"kind": "inline"}}),
            consolidated(&json!({"a": 1})),
            consolidated(&json!({"/a": array()})),
            consolidated(&json!({"": array()})),
            consolidated(&json!({"../a": array()})),
            consolidated(&json!({"a//b": array()})),
        ] {
            assert_eq!(kind(&document), Kind::InvalidMetadata, "{document}");
        }
        let other = json!({"zarr_format": 3, "consolidated_metadata": {"kind": "remote"}});
        assert_eq!(kind(&other), Kind::Unsupported);
    }

    #[test]
    fn errors_within_name_the_node() {
        let mut broken = array();
        broken["codecs"] = json!([]);
        let error = GroupMetadata::from_json(&consolidated(&json!({"a/b": broken}))).unwrap_err();
        assert_eq!(error.context("node"), Some("consolidated metadata of `a/b`"));
    }
}
