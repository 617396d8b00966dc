//! An extension point of a metadata document: a name and its configuration.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Members;
use super::json::kind_of;
use crate::error::{Error, Result, ResultExt as _};

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

impl Extension {
    /// An extension without configuration that must be understood.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), configuration: Map::new(), must_understand: true }
    }

    /// Sets a member of the configuration.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.configuration.insert(key.into(), value.into());
        self
    }

    /// Reads either form of the specification ("Extension definition"): a bare name, or an object
    /// of `name`, `configuration` and `must_understand`.
    ///
    /// # Errors
    /// `InvalidMetadata` if `value` is of neither form, lacks a name, or has a member beyond these.
    pub fn from_json(value: &Value) -> Result<Self> {
        Self::read(Cow::Borrowed(value))
    }

    /// As [`from_json`](Self::from_json); of a value that is given away, parts are taken.
    pub(super) fn read(value: Cow<'_, Value>) -> Result<Self> {
        match &*value {
            Value::String(name) => return Self::new(name.as_str()).named(),
            Value::Object(_) => {}
            other => {
                return Err(Error::invalid_metadata(format!(
                    "an extension must be a name or an object, not {}",
                    kind_of(other)
                )));
            }
        }
        let mut members = Members::of(value)?;
        let mut extension = match members.optional("name").map(Cow::into_owned) {
            Some(Value::String(name)) => Self::new(name).named()?,
            Some(other) => {
                let kind = kind_of(&other);
                return Err(Error::invalid_metadata(format!(
                    "the name of an extension must be a string, not {kind}"
                )));
            }
            None => return Err(Error::invalid_metadata("an extension has no `name`")),
        };
        match members.optional("configuration").map(Cow::into_owned) {
            Some(Value::Object(configuration)) => extension.configuration = configuration,
            Some(other) => return Err(extension.wrong("configuration", "an object", &other)),
            None => {}
        }
        match members.optional("must_understand").as_deref() {
            Some(Value::Bool(flag)) => extension.must_understand = *flag,
            Some(other) => return Err(extension.wrong("must_understand", "true or false", other)),
            None => {}
        }
        match members.rest().next() {
            Some((key, _)) => {
                let name = &extension.name;
                Err(Error::invalid_metadata(format!("`{name}`: unknown member `{key}`")))
            }
            None => Ok(extension),
        }
    }

    fn named(self) -> Result<Self> {
        if self.name.is_empty() {
            return Err(Error::invalid_metadata("the name of an extension is empty"));
        }
        Ok(self)
    }

    /// The object form, which every reader takes for codecs, grids and chunk key encodings. An
    /// empty configuration is left out, but for the codecs of numcodecs, which zarr-python does not
    /// take without one.
    #[must_use]
    pub fn to_json_object(&self) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), self.name.as_str().into());
        if !self.configuration.is_empty() || self.name.starts_with("numcodecs.") {
            object.insert("configuration".into(), self.configuration.clone().into());
        }
        if !self.must_understand {
            object.insert("must_understand".into(), false.into());
        }
        object.into()
    }

    /// The bare name if that says it all, which every reader takes for data types; else the object
    /// form.
    #[must_use]
    pub fn to_json_name_if_plain(&self) -> Value {
        if self.configuration.is_empty() && self.must_understand {
            return self.name.as_str().into();
        }
        self.to_json_object()
    }

    /// An integer of the configuration; `None` if absent.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is no integer of 64 bits with a sign.
    pub fn integer(&self, key: &str) -> Result<Option<i64>> {
        self.member(key, "an integer of at most 64 bits", Value::as_i64)
    }

    /// A truth value of the configuration; `None` if absent.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is neither true nor false.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        self.member(key, "true or false", Value::as_bool)
    }

    /// A string of the configuration; `None` if absent.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is no string.
    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        self.member(key, "a string", Value::as_str)
    }

    /// A list of non-negative integers of the configuration; `None` if absent.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is anything else.
    pub fn shape(&self, key: &str) -> Result<Option<Vec<u64>>> {
        self.member(key, "a list of non-negative integers", |value| {
            value.as_array()?.iter().map(Value::as_u64).collect()
        })
    }

    /// A list of extensions of the configuration, such as a nested list of codecs; `None` if
    /// absent.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is no list, or an item is no extension.
    pub fn extensions(&self, key: &str) -> Result<Option<Vec<Self>>> {
        let Some(items) = self.member(key, "a list", Value::as_array)? else { return Ok(None) };
        items
            .iter()
            .map(|item| Self::from_json(item).context("within", || &self.name))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// Checks that the configuration has no members but `keys`.
    ///
    /// # Errors
    /// `InvalidMetadata` that names the first other member.
    pub fn allow_only(&self, keys: &[&str]) -> Result<()> {
        match self.configuration.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(Error::invalid_metadata(format!(
                "`{}`: unknown configuration member `{key}`",
                self.name
            ))),
            None => Ok(()),
        }
    }

    fn member<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.configuration.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(key, expected, value))
    }

    #[cold]
    fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
        Error::invalid_metadata(format!(
            "`{}`: `{key}` must be {expected}, not {}",
            self.name,
            kind_of(found)
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    fn message(value: &Value) -> String {
        let error = Extension::from_json(value).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidMetadata);
        error.message().to_owned()
    }

    #[test]
    fn both_forms_read_alike() {
        let plain = Extension::new("crc32c");
        for form in [
            json!("crc32c"),
            json!({"name": "crc32c"}),
            json!({"name": "crc32c", "configuration": {}, "must_understand": true}),
        ] {
            assert_eq!(Extension::from_json(&form).unwrap(), plain);
        }
        let zstd = json!({"name": "zstd", "configuration": {"level": 3, "checksum": false}});
        let expected = Extension::new("zstd").with("level", 3).with("checksum", false);
        assert_eq!(Extension::from_json(&zstd).unwrap(), expected);
    }

    #[test]
    fn malformed_extensions_are_named() {
        assert_eq!(message(&json!(3)), "an extension must be a name or an object, not a number");
        assert_eq!(message(&json!("")), "the name of an extension is empty");
        assert_eq!(message(&json!({"configuration": {}})), "an extension has no `name`");
        assert_eq!(
            message(&json!({"name": null})),
            "the name of an extension must be a string, not null"
        );
        assert_eq!(
            message(&json!({"name": "gzip", "configuration": []})),
            "`gzip`: `configuration` must be an object, not a list"
        );
        assert_eq!(
            message(&json!({"name": "gzip", "must_understand": "no"})),
            "`gzip`: `must_understand` must be true or false, not a string"
        );
        assert_eq!(message(&json!({"name": "gzip", "level": 3})), "`gzip`: unknown member `level`");
    }

    #[test]
    fn written_forms() {
        let plain = Extension::new("int32");
        assert_eq!(plain.to_json_name_if_plain(), json!("int32"));
        assert_eq!(plain.to_json_object(), json!({"name": "int32"}));
        let written = json!({"name": "numcodecs.zlib", "configuration": {}});
        assert_eq!(Extension::new("numcodecs.zlib").to_json_object(), written);
        let mut gzip = Extension::new("gzip").with("level", 5);
        let written = json!({"name": "gzip", "configuration": {"level": 5}});
        assert_eq!(gzip.to_json_object(), written);
        assert_eq!(gzip.to_json_name_if_plain(), written);
        gzip.must_understand = false;
        assert_eq!(Extension::from_json(&gzip.to_json_object()).unwrap(), gzip);
    }

    #[test]
    fn members_are_typed() {
        let extension = Extension::new("x")
            .with("level", -7)
            .with("big", u64::MAX)
            .with("flag", true)
            .with("name", "lz4")
            .with("chunk_shape", vec![4, 0, 2])
            .with("codecs", json!(["bytes", {"name": "gzip", "configuration": {"level": 1}}]))
            .with("fraction", 1.5)
            .with("negative", vec![-1]);
        assert_eq!(extension.integer("level").unwrap(), Some(-7));
        assert_eq!(extension.boolean("flag").unwrap(), Some(true));
        assert_eq!(extension.string("name").unwrap(), Some("lz4"));
        assert_eq!(extension.shape("chunk_shape").unwrap(), Some(vec![4, 0, 2]));
        assert_eq!(
            extension.extensions("codecs").unwrap(),
            Some(vec![Extension::new("bytes"), Extension::new("gzip").with("level", 1)])
        );
        assert_eq!(extension.integer("absent").unwrap(), None);
        assert_eq!(extension.extensions("absent").unwrap(), None);
        for wrong in ["big", "fraction", "flag"] {
            assert_eq!(extension.integer(wrong).unwrap_err().kind(), Kind::InvalidMetadata);
        }
        assert!(extension.shape("negative").is_err());
        assert!(extension.boolean("level").is_err());
        assert!(extension.string("level").is_err());
        assert!(extension.extensions("chunk_shape").is_err());
    }

    #[test]
    fn unknown_members_are_rejected() {
        let gzip = Extension::new("gzip").with("level", 1).with("window", 2);
        assert!(gzip.allow_only(&["level", "window"]).is_ok());
        assert_eq!(
            gzip.allow_only(&["level"]).unwrap_err().message(),
            "`gzip`: unknown configuration member `window`"
        );
    }
}
