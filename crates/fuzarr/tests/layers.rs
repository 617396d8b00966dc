//! The house keeps its shape: which module may use which, who does I/O, who starts threads, and
//! where `unsafe` lives. ARCHITECTURE.md states these invariants; this test holds them.

#![allow(
    clippy::cast_possible_truncation,
    clippy::host_endian_bytes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and works on small numbers in native order"
)]

use std::path::{Path, PathBuf};

/// Each module with the modules it may use. A module not named here fails the test, so a new one
/// has to find its place.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("wait", &["error"]),
    ("chunking", &[]),
    ("buffer", &["error"]),
    ("copy", &["buffer", "error"]),
    ("metadata", &["error"]),
    ("dtype", &["error", "metadata"]),
    ("grid", &["error", "metadata"]),
    ("selection", &["buffer", "error"]),
    ("codec", &["buffer", "copy", "dtype", "error", "metadata", "shard"]),
    ("shard", &["buffer", "codec", "copy", "dtype", "error"]),
    // Zip archives are deflated, and have checksums.
    ("store", &["buffer", "codec", "error", "wait"]),
    ("limits", &["error", "wait"]),
    (
        "plan",
        &[
            "buffer",
            "codec",
            "copy",
            "dtype",
            "error",
            "grid",
            "limits",
            "selection",
            "shard",
            "store",
        ],
    ),
    ("environment", &["error", "limits", "plan"]),
    ("exec", &["buffer", "error", "limits", "plan", "store", "wait"]),
    ("v2", &["dtype", "error", "metadata"]),
    ("hierarchy", &["error", "metadata", "store", "v2", "wait"]),
    (
        "array",
        &[
            "buffer",
            "codec",
            "dtype",
            "error",
            "exec",
            "grid",
            "hierarchy",
            "metadata",
            "plan",
            "selection",
            "store",
        ],
    ),
    (
        "creation",
        &[
            "array",
            "codec",
            "error",
            "grid",
            "hierarchy",
            "inspect",
            "metadata",
            "removal",
            "store",
        ],
    ),
    ("group", &["array", "codec", "creation", "error", "hierarchy", "metadata", "store"]),
    (
        "resize",
        &[
            "array",
            "error",
            "grid",
            "hierarchy",
            "inspect",
            "metadata",
            "plan",
            "removal",
            "selection",
            "store",
            "v2",
        ],
    ),
    (
        "inspect",
        &[
            "array",
            "buffer",
            "dtype",
            "error",
            "exec",
            "grid",
            "metadata",
            "plan",
            "selection",
            "store",
        ],
    ),
    ("element", &["buffer", "codec", "dtype", "error"]),
    (
        "builder",
        &["array", "codec", "creation", "dtype", "element", "error", "grid", "metadata", "store"],
    ),
    ("explain", &["array", "error", "exec", "plan", "selection"]),
    ("typed", &["array", "buffer", "element", "error", "plan", "selection"]),
    ("removal", &["error", "grid", "hierarchy", "inspect", "metadata", "store", "v2", "wait"]),
    (
        "transcode",
        &[
            "array",
            "buffer",
            "codec",
            "copy",
            "creation",
            "dtype",
            "error",
            "grid",
            "hierarchy",
            "inspect",
            "limits",
            "metadata",
            "plan",
            "removal",
            "selection",
            "store",
            "v2",
            "wait",
        ],
    ),
];

/// What plans may know of stores: the words of the protocol, not the stores.
const PROTOCOL_WORDS: &[&str] =
    &["Capabilities", "Part", "Piece", "Precondition", "Span", "Version"];

/// Files in which `unsafe` may stand.
const UNSAFE: &[&str] = &[
    "buffer.rs",
    "copy.rs",
    "exec/pool.rs",
    "exec/request.rs",
    "exec/task.rs",
    "plan/transfer.rs",
    "store/local/process.rs",
    "codec/blosc/mod.rs",
    "codec/checksum.rs",
    "codec/deflate.rs",
    "codec/lz4.rs",
    "codec/zstd.rs",
];

/// Those of the bindings, where memory of Python's is used.
const UNSAFE_IN_BINDINGS: &[&str] = &["memory.rs", "pipeline/pinned.rs"];

/// The files that ask the kernel.
const CALLS: &[&str] = &["store/local/system.rs", "store/local/faults.rs"];

/// Where each kind of side effect may happen.
const EFFECTS: &[(&str, &[&str])] = &[
    ("std::fs", &["store/local/"]),
    // Memory is asked for in large pages.
    ("rustix::", &["store/local/", "buffer.rs"]),
    // What an object costs is counted where it passes.
    ("fs::open", CALLS),
    ("fs::fstat", CALLS),
    ("fs::statat", CALLS),
    ("io::pread", CALLS),
    ("io::pwrite", CALLS),
    ("std::net", &[]),
    // One codec gives way to threads of its library, which end with the call.
    (
        "std::thread",
        &["exec/", "store/latency.rs", "store/remote/runtime.rs", "wait.rs", "codec/zstd.rs"],
    ),
    ("rayon::", &["exec/"]),
    ("tokio::", &["exec/", "store/remote/", "store/zip/"]),
    ("std::env", &["environment.rs"]),
];

/// A source file: its path below `src`, and its text without tests and comments.
struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    sources_in("src")
}

/// Those in another folder, as seen from this crate's.
fn sources_in(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let is_test = name.ends_with("tests.rs") || name.ends_with("conformance.rs");
            if name == "lib.rs" || is_test {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            sources.push(Source { path: name, text: lines.collect::<Vec<_>>().join("\n") });
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

fn module(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The names after each `crate::` of a text.
fn uses(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|character: char| !character.is_alphanumeric() && character != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn dependencies_run_downward() {
    for Source { path, text } in sources() {
        let module = module(&path);
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{path}: give the module `{module}` its place in LAYERS"));
        for used in uses(&text).filter(|used| *used != module) {
            // `crate::Error` and the like are re-exports of `error`.
            if matches!(used, "Error" | "Kind" | "Result") {
                continue;
            }
            assert!(allowed.contains(&used), "{path} uses crate::{used}");
        }
    }
}

#[test]
fn plans_know_the_words_of_stores_only() {
    for Source { path, text } in
        sources().into_iter().filter(|source| module(&source.path) == "plan")
    {
        for rest in text.split("crate::store::").skip(1) {
            let list = rest.split([';', '\n']).next().unwrap();
            for word in list.split(['{', '}', ',', ' ']).filter(|word| !word.is_empty()) {
                assert!(PROTOCOL_WORDS.contains(&word), "{path} uses crate::store::{word}");
            }
        }
    }
}

#[test]
fn nothing_that_is_made_once_is_waited_for() {
    // Forked while another thread made it, a child would wait for that thread for ever.
    let bindings = sources_in("../fuzarr-python/src");
    for Source { path, text } in sources().into_iter().chain(bindings) {
        assert!(!text.contains("intern!("), "{path} keeps text that is made once");
        // That one is set while the module is made, and never waited for.
        let of_statics = |line: &&str| line.contains("static ") && !line.contains("static NUMPY:");
        for line in text.lines().filter(of_statics) {
            let waits = ["OnceLock<", "LazyLock<", ": Once ", "lazy_static"];
            assert!(!waits.iter().any(|wait| line.contains(wait)), "{path}: {line}");
        }
    }
}

#[test]
fn unsafe_has_an_address() {
    let bindings = sources_in("../fuzarr-python/src");
    for (sources, places) in [(sources(), UNSAFE), (bindings, UNSAFE_IN_BINDINGS)] {
        for Source { path, text } in sources {
            let has = text.contains("unsafe ") || text.contains("unsafe_code");
            assert!(!has || places.contains(&path.as_str()), "{path} holds unsafe code");
        }
    }
}

#[test]
fn side_effects_have_an_address() {
    for Source { path, text } in sources() {
        for (effect, places) in EFFECTS {
            let allowed = places.iter().any(|place| path.starts_with(place));
            assert!(allowed || !text.contains(effect), "{path} uses {effect}");
        }
    }
}
