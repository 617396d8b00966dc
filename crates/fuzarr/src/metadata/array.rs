//! The metadata document of an array.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::json::spelled;
use super::{Extension, Format, Members, lengths, wrong};
use crate::error::{Error, Result, ResultExt as _};

/// The metadata document of an array ("Array metadata" of the Zarr v3 core specification). Its form
/// is checked; whether its types, grids and codecs exist and fit each other is not.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayMetadata {
    /// Elements along each dimension; empty for a scalar.
    pub shape: Vec<u64>,
    /// The type of the elements.
    pub data_type: Extension,
    /// How the array is cut into chunks.
    pub chunk_grid: Extension,
    /// How chunks are named in the store.
    pub chunk_key_encoding: Extension,
    /// What elements of missing chunks are, as the data type spells it.
    pub fill_value: Value,
    /// The codecs of a chunk, first applied first when encoding; not empty.
    pub codecs: Vec<Extension>,
    /// The user's attributes.
    pub attributes: Map<String, Value>,
    /// A name or none for each dimension; `None` if the document names none.
    pub dimension_names: Option<Vec<Option<String>>>,
    /// Members of the document that this crate does not know and need not: kept when rewritten.
    pub extra: Map<String, Value>,
    /// The `.zarray` document, if the array is stored in Zarr v2: what is written back, with
    /// [`shape`](Self::shape) as it is now. All else here says the same in the terms of v3.
    pub v2: Option<Map<String, Value>>,
}

impl ArrayMetadata {
    /// The format that the array is stored in.
    #[must_use]
    pub fn format(&self) -> Format {
        if self.v2.is_some() { Format::V2 } else { Format::V3 }
    }

    /// Reads a document. `attributes` and `dimension_names` of null count as absent.
    ///
    /// # Errors
    /// `InvalidMetadata` if a member is missing or malformed, `Unsupported` for another Zarr format,
    /// for storage transformers, and for an unknown member that must be understood.
    pub fn from_json(document: &Value) -> Result<Self> {
        Self::from_members(Members::of(Cow::Borrowed(document))?)
    }

    pub(super) fn from_members(mut members: Members<'_>) -> Result<Self> {
        members.check_header("array", false)?;
        let shape = lengths("shape", &*members.required("shape")?)?;
        let data_type = mandatory("data_type", members.required("data_type")?)?;
        let chunk_grid = mandatory("chunk_grid", members.required("chunk_grid")?)?;
        let chunk_key_encoding =
            mandatory("chunk_key_encoding", members.required("chunk_key_encoding")?)?;
        let fill_value = spelled(&*members.required("fill_value")?);
        let codecs = parse_codecs(members.required("codecs")?)?;
        check_storage_transformers(members.optional("storage_transformers").as_deref())?;
        let attributes = members.attributes()?;
        let dimension_names =
            parse_dimension_names(members.optional("dimension_names").as_deref(), shape.len())?;
        let extra = members.unknown()?;
        Ok(Self {
            shape,
            data_type,
            chunk_grid,
            chunk_key_encoding,
            fill_value,
            codecs,
            attributes,
            dimension_names,
            extra,
            v2: None,
        })
    }

    /// The document of Zarr v3, in the forms that every reader takes: data types by bare name where possible,
    /// all other extensions as objects, absent members left out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut document = Map::new();
        let mut member = |key: &str, value: Value| document.insert(key.into(), value);
        member("zarr_format", 3.into());
        member("node_type", "array".into());
        member("shape", self.shape.as_slice().into());
        member("data_type", self.data_type.to_json_name_if_plain());
        member("chunk_grid", self.chunk_grid.to_json_object());
        member("chunk_key_encoding", self.chunk_key_encoding.to_json_object());
        member("fill_value", self.fill_value.clone());
        member("codecs", self.codecs.iter().map(Extension::to_json_object).collect());
        member("attributes", self.attributes.clone().into());
        if let Some(names) = &self.dimension_names {
            member("dimension_names", names.iter().map(|name| Value::from(name.clone())).collect());
        }
        member("storage_transformers", Value::Array(Vec::new()));
        for (key, value) in &self.extra {
            document.entry(key.as_str()).or_insert_with(|| value.clone());
        }
        document.into()
    }
}

/// An extension at a point where a reader cannot do without it.
fn mandatory(key: &'static str, value: Cow<'_, Value>) -> Result<Extension> {
    let extension = Extension::read(value).context("member", || key)?;
    if !extension.must_understand {
        return Err(Error::invalid_metadata(format!(
            "`{key}` must be understood, but says it need not"
        )));
    }
    Ok(extension)
}

fn parse_codecs(value: Cow<'_, Value>) -> Result<Vec<Extension>> {
    let codec = |item| Extension::read(item).context("member", || "codecs");
    let codecs: Result<Vec<_>> = match value {
        Cow::Borrowed(Value::Array(items)) => items.iter().map(Cow::Borrowed).map(codec).collect(),
        Cow::Owned(Value::Array(items)) => items.into_iter().map(Cow::Owned).map(codec).collect(),
        other => return Err(wrong("codecs", "a list", &other)),
    };
    let codecs = codecs?;
    if codecs.is_empty() {
        return Err(Error::invalid_metadata("`codecs` is empty"));
    }
    Ok(codecs)
}

fn check_storage_transformers(value: Option<&Value>) -> Result<()> {
    match value {
        None => Ok(()),
        Some(Value::Array(items)) if items.is_empty() => Ok(()),
        Some(Value::Array(_)) => Err(Error::unsupported("not supported: storage transformers")),
        Some(other) => Err(wrong("storage_transformers", "a list", other)),
    }
}

fn parse_dimension_names(
    value: Option<&Value>,
    rank: usize,
) -> Result<Option<Vec<Option<String>>>> {
    let items = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong("dimension_names", "a list", other)),
    };
    if items.len() != rank {
        return Err(Error::invalid_metadata(format!(
            "`dimension_names` has {} names for {rank} dimensions",
            items.len()
        )));
    }
    let names = items.iter().map(|item| match item {
        Value::Null => Ok(None),
        Value::String(name) => Ok(Some(name.clone())),
        other => Err(wrong("dimension_names", "a list of strings or nulls", other)),
    });
    names.collect::<Result<_>>().map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    fn document() -> Value {
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": [4, 0],
            "data_type": "int32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 1]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "gzip", "configuration": {"level": 1}}
            ],
            "attributes": {"b": 1, "a": {"x": null}},
            "dimension_names": ["y", null],
            "storage_transformers": [],
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut document = document();
        document[key] = value;
        document
    }

    fn kind(document: &Value) -> Kind {
        ArrayMetadata::from_json(document).unwrap_err().kind()
    }

    #[test]
    fn documents_are_rewritten_as_they_were() {
        let extra = json!({"must_understand": false, "of": ["someone", "else"]});
        let document = with("extension", extra);
        let array = ArrayMetadata::from_json(&document).unwrap();
        assert_eq!(array.shape, [4, 0]);
        assert_eq!(array.dimension_names, Some(vec![Some("y".into()), None]));
        let written = array.to_json();
        assert_eq!(written, document);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&written), keys(&document));
    }

    #[test]
    fn bare_names_are_written_as_objects_but_for_the_data_type() {
        let mut document = with("codecs", json!(["bytes", "crc32c"]));
        document["chunk_key_encoding"] = json!("default");
        document["data_type"] = json!({"name": "uint8", "configuration": {}});
        let written = ArrayMetadata::from_json(&document).unwrap().to_json();
        assert_eq!(written["codecs"], json!([{"name": "bytes"}, {"name": "crc32c"}]));
        assert_eq!(written["chunk_key_encoding"], json!({"name": "default"}));
        assert_eq!(written["data_type"], json!("uint8"));
    }

    #[test]
    fn optional_members_may_be_absent_or_null() {
        let mut document = document();
        for key in ["attributes", "dimension_names"] {
            let array = ArrayMetadata::from_json(&with(key, Value::Null)).unwrap();
            assert_ne!(array.to_json().get(key), Some(&Value::Null));
        }
        for key in ["attributes", "dimension_names", "storage_transformers"] {
            document.as_object_mut().unwrap().remove(key);
        }
        let array = ArrayMetadata::from_json(&document).unwrap();
        assert_eq!(array.dimension_names, None);
        assert!(array.to_json().get("dimension_names").is_none());
    }

    #[test]
    fn missing_members_are_named() {
        for key in [
            "zarr_format",
            "node_type",
            "shape",
            "data_type",
            "chunk_grid",
            "chunk_key_encoding",
            "fill_value",
            "codecs",
        ] {
            let mut document = document();
            document.as_object_mut().unwrap().remove(key);
            let error = ArrayMetadata::from_json(&document).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidMetadata);
            assert!(error.message().contains(&format!("`{key}`")), "{error}");
        }
    }

    #[test]
    fn malformed_members_are_rejected() {
        for (key, value) in [
            ("zarr_format", json!("3")),
            ("node_type", json!("group")),
            ("node_type", json!(1)),
            ("shape", json!([-1, 2])),
            ("shape", json!([1.5, 2])),
            ("shape", json!(4)),
            ("data_type", json!(7)),
            ("data_type", json!({"name": "int32", "must_understand": false})),
            ("chunk_grid", json!({"name": "regular", "must_understand": false})),
            ("chunk_key_encoding", json!({"name": "v2", "must_understand": false})),
            ("codecs", json!([])),
            ("codecs", json!("bytes")),
            ("codecs", json!([{"configuration": {}}])),
            ("attributes", json!([])),
            ("dimension_names", json!(["x"])),
            ("dimension_names", json!(["x", 1])),
            ("storage_transformers", json!({})),
        ] {
            assert_eq!(kind(&with(key, value.clone())), Kind::InvalidMetadata, "{key}: {value}");
        }
        assert_eq!(kind(&json!([])), Kind::InvalidMetadata);
    }

    #[test]
    fn what_is_not_known_must_be_understood() {
        for value in [json!(null), json!(1), json!({}), json!({"must_understand": true})] {
            assert_eq!(kind(&with("extension", value)), Kind::Unsupported);
        }
        assert_eq!(kind(&with("zarr_format", json!(4))), Kind::Unsupported);
        assert_eq!(kind(&with("storage_transformers", json!(["cache"]))), Kind::Unsupported);
    }

    #[test]
    fn a_codec_may_be_optional() {
        let codecs = json!([{"name": "bytes"}, {"name": "x.y", "must_understand": false}]);
        let document = with("codecs", codecs.clone());
        let array = ArrayMetadata::from_json(&document).unwrap();
        assert!(!array.codecs[1].must_understand);
        assert_eq!(array.to_json()["codecs"], codecs);
    }
}
