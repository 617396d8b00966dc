//! An extension point of a metadata document: a name and its configuration.

use serde_json::{Map, Value};

/// A named, configured thing: data type, chunk grid, chunk key encoding, codec.
#[derive(Debug, Clone, PartialEq)]
pub struct Extension {
    /// The name, for example `zstd`.
    pub name: String,
    /// The configuration; empty when the document gives none.
    pub configuration: Map<String, Value>,
    /// Whether a reader that does not know the name must fail.
    pub must_understand: bool,
}
