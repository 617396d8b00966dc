//! Codecs by name: what turns the `codecs` of metadata into [`Codec`]s.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use once_cell::race::OnceBox;

use super::{
    BitRound, Blosc, Codec, Crc32c, Endian, Gzip, IndexLocation, Sharding, Transpose, Vlen, Zstd,
    numcodecs,
};
use crate::error::{Error, Result};
use crate::metadata::Extension;

/// How deep chains may stand in the configuration of codecs.
const DEEPEST: usize = 16;

type Factory = dyn Fn(&Extension, &Nested<'_>) -> Result<Codec> + Send + Sync;

/// The codecs that are known, by name. A clone costs one reference count.
#[derive(Clone)]
pub struct Registry {
    factories: Arc<BTreeMap<String, Arc<Factory>>>,
}

/// The codecs of a chain.
#[derive(Debug, Clone)]
pub struct ParsedChain {
    /// The codecs that are known, in order.
    pub codecs: Vec<Codec>,
    /// Names of unknown codecs that readers may leave out (`must_understand` is false), here and
    /// in nested chains. If there are any, nothing may be written through the chain.
    pub skipped: Vec<String>,
}

/// What a factory is given to parse the chains within its configuration.
pub struct Nested<'a> {
    registry: &'a Registry,
    depth: usize,
    skipped: &'a RefCell<Vec<String>>,
}

impl Registry {
    /// A registry without codecs.
    #[must_use]
    pub fn empty() -> Self {
        Self { factories: Arc::default() }
    }

    /// Makes `name` known, instead of what it meant before. Other clones are unchanged.
    pub fn register<F>(&mut self, name: impl Into<String>, factory: F)
    where
        F: Fn(&Extension, &Nested<'_>) -> Result<Codec> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.factories).insert(name.into(), Arc::new(factory));
    }

    /// The codec that `extension` names, with all that is nested in it.
    ///
    /// # Errors
    /// `Unsupported` for a name that is not known, `InvalidMetadata` for a configuration that the
    /// codec does not allow, `Limit` if chains are nested too deep.
    pub fn codec(&self, extension: &Extension) -> Result<Codec> {
        let skipped = RefCell::new(Vec::new());
        let codec = Nested { registry: self, depth: 0, skipped: &skipped }.codec(extension)?;
        match skipped.into_inner().first() {
            Some(name) => Err(unknown(name)),
            None => Ok(codec),
        }
    }

    /// The codecs of a chain, without those that are unknown and need not be understood.
    ///
    /// # Errors
    /// As [`codec`](Self::codec).
    pub fn chain(&self, extensions: &[Extension]) -> Result<ParsedChain> {
        let skipped = RefCell::new(Vec::new());
        let codecs = Nested { registry: self, depth: 0, skipped: &skipped }.known(extensions)?;
        Ok(ParsedChain { codecs, skipped: skipped.into_inner() })
    }
}

impl Nested<'_> {
    /// The codecs of a chain within a codec's configuration.
    ///
    /// # Errors
    /// As [`Registry::chain`].
    pub fn chain(&self, extensions: &[Extension]) -> Result<Vec<Codec>> {
        if self.depth == DEEPEST {
            return Err(Error::limit(format!("codecs are nested more than {DEEPEST} deep")));
        }
        Nested { depth: self.depth + 1, ..*self }.known(extensions)
    }

    fn known(&self, extensions: &[Extension]) -> Result<Vec<Codec>> {
        let mut codecs = Vec::new();
        for extension in extensions {
            let known = self.registry.factories.contains_key(&extension.name);
            if known || extension.must_understand {
                codecs.push(self.codec(extension)?);
            } else {
                self.skipped.borrow_mut().push(extension.name.clone());
            }
        }
        Ok(codecs)
    }

    fn codec(&self, extension: &Extension) -> Result<Codec> {
        let name = &extension.name;
        let factory = self.registry.factories.get(name).ok_or_else(|| unknown(name))?;
        factory(extension, self).map_err(|error| error.with("codec", name))
    }
}

#[cold]
fn unknown(name: &str) -> Error {
    Error::unsupported(format!("not supported: codec `{name}`")).with("codec", name)
}

impl Default for Registry {
    /// All codecs that fuzarr has.
    fn default() -> Self {
        static ALL: OnceBox<Registry> = OnceBox::new();
        ALL.get_or_init(|| Box::new(Self::all())).clone()
    }
}

impl Registry {
    fn all() -> Self {
        let mut registry = Self::empty();
        for name in ["bytes", "endian"] {
            registry.register(name, |extension, _| Ok(Codec::Bytes(endian(extension)?)));
        }
        registry.register("sharding_indexed", |extension, nested| {
            Ok(Codec::Sharding(Box::new(sharding(extension, nested)?)))
        });
        registry.register("transpose", |extension, _| {
            Ok(Codec::ArrayToArray(Arc::new(Transpose::from_extension(extension)?)))
        });
        registry.register("blosc", |extension, _| {
            Ok(Codec::BytesToBytes(Arc::new(Blosc::from_extension(extension)?)))
        });
        registry.register("crc32c", |extension, _| {
            Ok(Codec::BytesToBytes(Arc::new(Crc32c::from_extension(extension)?)))
        });
        registry.register("gzip", |extension, _| {
            Ok(Codec::BytesToBytes(Arc::new(Gzip::from_extension(extension)?)))
        });
        registry.register("zstd", |extension, _| {
            Ok(Codec::BytesToBytes(Arc::new(Zstd::from_extension(extension)?)))
        });
        for (name, codec) in [("vlen-utf8", Vlen::Utf8), ("vlen-bytes", Vlen::Bytes)] {
            registry.register(name, move |extension, _| {
                Ok(Codec::ArrayToBytes(Arc::new(codec.from_extension(extension)?)))
            });
        }
        registry.register("bitround", |extension, _| {
            Ok(Codec::ArrayToArray(Arc::new(BitRound::from_extension(extension)?)))
        });
        numcodecs::register(&mut registry);
        registry
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.factories.keys()).finish()
    }
}

impl fmt::Debug for Nested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nested").field("depth", &self.depth).finish_non_exhaustive()
    }
}

/// The byte order of a `bytes` codec.
fn endian(extension: &Extension) -> Result<Option<Endian>> {
    extension.allow_only(&["endian"])?;
    match extension.string("endian")? {
        None => Ok(None),
        Some("little") => Ok(Some(Endian::Little)),
        Some("big") => Ok(Some(Endian::Big)),
        Some(other) => Err(Error::invalid_metadata(format!("no byte order `{other}`"))),
    }
}

/// The configuration of `sharding_indexed`. Absent chains are what zarr-python takes them for.
fn sharding(extension: &Extension, nested: &Nested<'_>) -> Result<Sharding> {
    extension.allow_only(&["chunk_shape", "codecs", "index_codecs", "index_location"])?;
    let little = || Codec::Bytes(Some(Endian::Little));
    let chunk_shape = extension
        .shape("chunk_shape")?
        .ok_or_else(|| Error::invalid_metadata("`chunk_shape` is missing"))?;
    if chunk_shape.contains(&0) {
        return Err(Error::invalid_metadata("`chunk_shape` has a 0"));
    }
    let codecs = match extension.extensions("codecs")? {
        Some(codecs) => nested.chain(&codecs)?,
        None => vec![little()],
    };
    let index_codecs = match extension.extensions("index_codecs")? {
        Some(codecs) => nested.chain(&codecs)?,
        None => vec![little(), Codec::BytesToBytes(Arc::new(Crc32c::new()))],
    };
    let index_location = match extension.string("index_location")? {
        None => IndexLocation::End,
        Some(name) => {
            name.parse().map_err(|error: Error| Error::invalid_metadata(error.message()))?
        }
    };
    Ok(Sharding { chunk_shape, codecs, index_codecs, index_location })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use serde_json::{Value, json};

    fn extension(value: &Value) -> Extension {
        Extension::from_json(value).unwrap()
    }

    fn codec(value: &Value) -> Result<Codec> {
        Registry::default().codec(&extension(value))
    }

    fn kind(value: &Value) -> Kind {
        codec(value).unwrap_err().kind()
    }

    fn nested(depth: usize) -> Value {
        let mut codecs = json!([{"name": "bytes"}]);
        for _ in 0..depth {
            codecs = json!([{"name": "sharding_indexed", "configuration": {
                "chunk_shape": [1], "codecs": codecs, "index_codecs": [{"name": "bytes"}],
            }}]);
        }
        codecs[0].clone()
    }

    #[test]
    fn bytes_and_its_alias() {
        for name in ["bytes", "endian"] {
            let big = json!({"name": name, "configuration": {"endian": "big"}});
            assert!(matches!(codec(&big), Ok(Codec::Bytes(Some(Endian::Big)))));
        }
        assert!(matches!(codec(&json!("bytes")), Ok(Codec::Bytes(None))));
        let middle = json!({"name": "bytes", "configuration": {"endian": "middle"}});
        assert_eq!(kind(&middle), Kind::InvalidMetadata);
    }

    #[test]
    fn unknown_settings_are_rejected_everywhere() {
        for (name, configuration) in [
            ("bytes", json!({"endian": "big"})),
            ("transpose", json!({"order": [0]})),
            ("blosc", json!({"cname": "lz4", "clevel": 1, "shuffle": "shuffle", "typesize": 2})),
            ("crc32c", json!({})),
            ("gzip", json!({"level": 1})),
            ("zstd", json!({"level": 1, "checksum": true})),
            ("sharding_indexed", json!({"chunk_shape": [2]})),
        ] {
            let mut value = json!({"name": name, "configuration": configuration});
            codec(&value).unwrap();
            value["configuration"]["surplus"] = json!(1);
            assert_eq!(kind(&value), Kind::InvalidMetadata, "{name}");
            assert_eq!(codec(&value).unwrap_err().context("codec"), Some(name));
        }
    }

    #[test]
    fn wrong_settings_are_rejected() {
        for (name, configuration) in [
            ("transpose", json!({"order": [0, 0]})),
            ("transpose", json!({"order": [1]})),
            ("transpose", json!({"order": "K"})),
            ("transpose", json!({})),
            ("gzip", json!({})),
            ("gzip", json!({"level": 10})),
            ("gzip", json!({"level": -1})),
            ("zstd", json!({"level": 23})),
            ("zstd", json!({"level": -131_073})),
            ("zstd", json!({"level": 4_294_967_297_i64})),
            ("blosc", json!({"cname": "lz5", "clevel": 1, "shuffle": "noshuffle"})),
            ("blosc", json!({"cname": "lz4", "clevel": 10, "shuffle": "noshuffle"})),
            ("blosc", json!({"cname": "lz4", "clevel": 1, "shuffle": 1, "typesize": 2})),
            ("blosc", json!({"cname": "lz4", "clevel": 1, "shuffle": "shuffle"})),
            ("blosc", json!({"cname": "lz4", "clevel": 1, "shuffle": "shuffle", "typesize": 0})),
            ("sharding_indexed", json!({})),
            ("sharding_indexed", json!({"chunk_shape": [0]})),
            ("sharding_indexed", json!({"chunk_shape": [2], "index_location": "middle"})),
        ] {
            let value = json!({"name": name, "configuration": configuration});
            assert_eq!(kind(&value), Kind::InvalidMetadata, "{value}");
        }
    }

    #[test]
    fn sharding_defaults_are_those_of_zarr_python() {
        let value = json!({"name": "sharding_indexed", "configuration": {"chunk_shape": [2, 3]}});
        let Ok(Codec::Sharding(sharding)) = codec(&value) else { panic!() };
        assert_eq!(sharding.chunk_shape, [2, 3]);
        assert_eq!(sharding.index_location, IndexLocation::End);
        assert!(matches!(sharding.codecs[..], [Codec::Bytes(Some(Endian::Little))]));
        let [Codec::Bytes(Some(Endian::Little)), Codec::BytesToBytes(second)] =
            &sharding.index_codecs[..]
        else {
            panic!()
        };
        assert_eq!(second.name(), "crc32c");
    }

    #[test]
    fn nesting_is_bounded() {
        codec(&nested(DEEPEST)).unwrap();
        assert_eq!(kind(&nested(DEEPEST + 1)), Kind::Limit);
    }

    #[test]
    fn unknown_codecs_are_skipped_only_where_allowed() {
        let registry = Registry::default();
        let optional = json!({"name": "rot13", "must_understand": false});
        let shard = json!({"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1], "codecs": ["bytes", optional],
        }});
        let chain = registry.chain(&[extension(&shard), extension(&optional)]).unwrap();
        assert_eq!(chain.skipped, ["rot13", "rot13"]);
        assert!(matches!(&chain.codecs[..], [Codec::Sharding(inner)] if inner.codecs.len() == 1));
        let error = registry.chain(&[extension(&json!("rot13"))]).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert_eq!(error.message(), "not supported: codec `rot13`");
        assert_eq!(kind(&shard), Kind::Unsupported);
        assert_eq!(kind(&optional), Kind::Unsupported);
    }

    #[test]
    fn registering_leaves_other_registries_alone() {
        let before = Registry::default();
        let mut after = before.clone();
        after.register("rot13", |_, _| Ok(Codec::Bytes(None)));
        after.codec(&Extension::new("rot13")).unwrap();
        assert_eq!(before.codec(&Extension::new("rot13")).unwrap_err().kind(), Kind::Unsupported);
    }
}
