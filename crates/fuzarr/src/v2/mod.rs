//! Zarr v2: its documents, put in the terms of v3 and back.
//!
//! Implements "Metadata" of the Zarr v2 specification. An array of v2 is described by the same
//! [`ArrayMetadata`] as one of v3, which also keeps the `.zarray` document as it is stored, so that
//! writing it back changes nothing that was not asked for. Types and codecs that fuzarr lacks are
//! kept by their names: the array can be shown, and opening it says what is missing.

mod codecs;
mod create;
mod describe;

pub use create::NewArray;
pub use describe::describe;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::dtype::{self, DataType, Endian};
use crate::error::{Error, Kind, Result, ResultExt as _};
use crate::metadata::json::{kind_of, spelled};
use crate::metadata::{
    ArrayMetadata, Extension, Format, GroupMetadata, Members, Node, check_member, lengths, wrong,
};

/// The name of an array's document.
pub const ARRAY: &str = ".zarray";
/// The name of a group's document.
pub const GROUP: &str = ".zgroup";
/// The name of the document of attributes, beside either.
pub const ATTRIBUTES: &str = ".zattrs";
/// The name of the document of consolidated metadata.
pub const CONSOLIDATED: &str = ".zmetadata";

/// The attribute in which xarray keeps the names of dimensions, for which v2 has no member.
pub const DIMENSIONS: &str = "_ARRAY_DIMENSIONS";

/// The array that a `.zarray` document describes. As zarr-python does, it may lack `filters` and
/// `compressor`, which then are null, and unknown members are kept. Dimensions have names if
/// [`DIMENSIONS`] gives them.
///
/// # Errors
/// `InvalidMetadata` if a member is missing or malformed, `Unsupported` for another Zarr format and
/// for filters in an order that no chain of codecs has.
pub fn array_from_json(document: &Value, attributes: Map<String, Value>) -> Result<ArrayMetadata> {
    let mut members = Members::of(Cow::Borrowed(document))?;
    check_format(&mut members)?;
    let shape = lengths("shape", &*members.required("shape")?)?;
    let chunks = lengths("chunks", &*members.required("chunks")?)?;
    let transposed = match &*members.required("order")? {
        Value::String(order) if order == "C" => false,
        Value::String(order) if order == "F" => true,
        _ => return Err(Error::invalid_metadata("`order` is neither `C` nor `F`")),
    };
    let separator = members.optional("dimension_separator");
    let separator = match separator.as_deref() {
        None | Some(Value::Null) => ".",
        Some(Value::String(text)) if text == "." || text == "/" => text,
        Some(_) => return Err(Error::invalid_metadata("`dimension_separator` is not `.` or `/`")),
    };
    let (filters, compressor) = (members.optional("filters"), members.optional("compressor"));
    let steps = codecs::steps(filters.as_deref(), compressor.as_deref())?;
    let (data_type, endian) = element_type(&*members.required("dtype")?, &steps)?;
    let known = DataType::from_extension(&data_type).ok();
    let fill = &spelled(members.optional("fill_value").as_deref().unwrap_or(&Value::Null));
    let fill_value = match known {
        Some(known) => dtype::fill_to_json(known, &dtype::fill_from_v2(known, fill)?)?,
        None => fill.clone(),
    };
    let mut chain = codecs::chain(&steps, known, endian)?;
    if transposed && shape.len() > 1 {
        let order: Vec<usize> = (0..shape.len()).rev().collect();
        chain.insert(0, Extension::new("transpose").with("order", order));
    }
    Ok(ArrayMetadata {
        dimension_names: dimension_names(&attributes, shape.len()),
        shape,
        data_type,
        chunk_grid: Extension::new("regular").with("chunk_shape", chunks),
        chunk_key_encoding: Extension::new("v2").with("separator", separator),
        fill_value,
        codecs: chain,
        attributes,
        extra: Map::new(),
        v2: document.as_object().cloned(),
    })
}

/// The `.zarray` document of an array that is stored in v2; `None` for one of v3.
#[must_use]
pub fn array_to_json(array: &ArrayMetadata) -> Option<Value> {
    let mut document = array.v2.clone()?;
    document.insert("shape".into(), array.shape.as_slice().into());
    Some(document.into())
}

/// The group that a `.zgroup` document describes. Its unknown members are kept, but for the
/// consolidated metadata that zarr-python leaves in copies of the document.
///
/// # Errors
/// `InvalidMetadata` if it is malformed, `Unsupported` for another Zarr format.
pub fn group_from_json(document: &Value, attributes: Map<String, Value>) -> Result<GroupMetadata> {
    let mut members = Members::of(Cow::Borrowed(document))?;
    check_format(&mut members)?;
    let known = ["zarr_format", "consolidated_metadata"];
    let unknown = document.as_object().into_iter().flatten();
    let extra = unknown
        .filter(|(key, _)| !known.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Ok(GroupMetadata { format: Format::V2, attributes, consolidated: None, extra })
}

/// The `.zgroup` document of a group.
#[must_use]
pub fn group_to_json(group: &GroupMetadata) -> Value {
    let mut document = Map::new();
    document.insert("zarr_format".into(), 2.into());
    for (key, value) in &group.extra {
        document.entry(key.as_str()).or_insert_with(|| value.clone());
    }
    document.into()
}

/// The attributes that a `.zattrs` document holds.
///
/// # Errors
/// `InvalidMetadata` if it is no object.
pub fn attributes_from_json(document: Value) -> Result<Map<String, Value>> {
    match document {
        Value::Object(attributes) => Ok(attributes),
        other => {
            let found = kind_of(&other);
            Err(Error::invalid_metadata(format!("attributes must be an object, not {found}")))
        }
    }
}

/// The nodes that a `.zmetadata` document names, by their path relative to it, in the order in which
/// it first names each; without the group that it belongs to.
///
/// # Errors
/// `InvalidMetadata` if it or a document in it is malformed, `Unsupported` for another Zarr format.
pub fn consolidated_from_json(document: &Value) -> Result<Vec<(String, Node)>> {
    let mut members = Members::of(Cow::Borrowed(document))?;
    match &*members.required("zarr_consolidated_format")? {
        format if format.as_u64() == Some(1) => {}
        format => {
            return Err(Error::unsupported(format!(
                "not supported: consolidated metadata of format {}",
                format.as_u64().map_or_else(|| kind_of(format).into(), |number| number.to_string())
            )));
        }
    }
    let metadata = members.required("metadata")?;
    let Value::Object(documents) = &*metadata else {
        return Err(Error::invalid_metadata("`metadata` must be an object"));
    };
    // In the order of the documents, which `Map` keeps.
    let mut paths: Map<String, Value> = Map::new();
    for key in documents.keys() {
        let (path, name) = key.rsplit_once('/').unwrap_or(("", key));
        if !path.is_empty() && [ARRAY, GROUP].contains(&name) {
            paths.entry(path).or_insert(Value::Null);
        }
    }
    let node = |path: &String| {
        let within = || format!("consolidated metadata of `{path}`");
        check_member(path).context("node", within)?;
        let document = |name: &str| documents.get(&format!("{path}/{name}"));
        let node = member(document(ARRAY), document(GROUP), document(ATTRIBUTES));
        Ok((path.clone(), node.context("node", within)?))
    };
    paths.keys().map(node).collect()
}

fn member(
    array: Option<&Value>,
    group: Option<&Value>,
    attributes: Option<&Value>,
) -> Result<Node> {
    let attributes =
        attributes.map_or_else(|| Ok(Map::new()), |value| attributes_from_json(value.clone()))?;
    match (array, group) {
        (Some(document), _) => Ok(Node::Array(Box::new(array_from_json(document, attributes)?))),
        (None, document) => {
            group_from_json(document.unwrap_or(&Value::Null), attributes).map(Node::Group)
        }
    }
}

fn check_format(members: &mut Members<'_>) -> Result<()> {
    match &*members.required("zarr_format")? {
        format if format.as_u64() == Some(2) => Ok(()),
        format if format.is_u64() => {
            Err(Error::unsupported(format!("not supported: Zarr format {format}")))
        }
        other => Err(wrong("zarr_format", "the number 2", other)),
    }
}

/// The type of the elements and their byte order. A type that fuzarr lacks is named as it is.
fn element_type(dtype: &Value, steps: &[codecs::Step]) -> Result<(Extension, Option<Endian>)> {
    let text = match dtype {
        Value::String(text) => text,
        // Structured types, which are lists of fields.
        Value::Array(_) => return Ok((Extension::new(dtype.to_string()), None)),
        other => return Err(wrong("dtype", "a string or a list", other)),
    };
    if let (true, Some(data_type)) = (text == "|O", codecs::object_type(steps)) {
        return Ok((data_type.to_extension(), None));
    }
    match dtype::from_numpy(text) {
        Ok((DataType::BFloat16, None)) => {
            Ok((DataType::BFloat16.to_extension(), Some(Endian::Little)))
        }
        Ok((data_type, None)) if data_type.number_size() > 1 => Err(Error::invalid_metadata(
            format!("`dtype` must start with its byte order, `<` or `>`: `{text}`"),
        )),
        Ok((data_type, endian)) => Ok((data_type.to_extension(), endian)),
        Err(error) if error.kind() == Kind::Unsupported && !text.is_empty() => {
            Ok((Extension::new(text.as_str()), None))
        }
        Err(error) => Err(error),
    }
}

/// The names that the attribute [`DIMENSIONS`] gives to `rank` dimensions, if it does.
fn dimension_names(attributes: &Map<String, Value>, rank: usize) -> Option<Vec<Option<String>>> {
    let names = attributes.get(DIMENSIONS)?.as_array()?;
    let names: Option<Vec<_>> =
        names.iter().map(|name| name.as_str().map(|name| Some(name.to_owned()))).collect();
    names.filter(|names| names.len() == rank)
}

#[cfg(test)]
mod tests;
