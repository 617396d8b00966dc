//! Hostile bytes for the bytes→bytes codecs of numcodecs that have no target of their own; the first
//! byte says for which.
#![no_main]

use std::sync::{Arc, LazyLock};

use fuzarr::codec::{BytesToBytes, Codec, Registry};
use fuzarr::metadata::Extension;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static CODECS: LazyLock<Vec<Arc<dyn BytesToBytes>>> = LazyLock::new(|| {
    let raw = json!([{"id": 33, "preset": 0}]);
    let end = json!({"location": "end"});
    let codecs: [(&str, Value); 14] = [
        ("bz2", json!({"level": 1})),
        ("lz4", json!({"acceleration": 1})),
        ("zlib", json!({"level": 1})),
        ("gzip", json!({"level": 1})),
        ("lzma", json!({"preset": 0})),
        ("lzma", json!({"format": 2, "preset": 0})),
        ("lzma", json!({"format": 3, "filters": raw})),
        ("shuffle", json!({"elementsize": 4})),
        ("shuffle", json!({"elementsize": 3})),
        ("adler32", json!({})),
        ("crc32", json!({})),
        ("crc32", end.clone()),
        ("crc32c", end),
        ("fletcher32", json!({})),
    ];
    let registry = Registry::default();
    let codec = |(name, configuration): (&str, Value)| {
        let named = json!({"name": format!("numcodecs.{name}"), "configuration": configuration});
        let extension = Extension::from_json(&named).expect("an extension");
        match registry.codec(&extension).expect("a known codec") {
            Codec::BytesToBytes(codec) => codec,
            other => unreachable!("{other:?}"),
        }
    };
    codecs.into_iter().map(codec).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((kind, encoded)) = data.split_first() else { return };
    fuzarr_fuzz::decode(&*CODECS[usize::from(*kind) % CODECS.len()], encoded);
});
