//! What the commands do.

mod attrs;
mod consolidate;
mod copy;
mod create;
mod explain;
mod get;
mod info;
mod mv;
mod put;
mod rm;
mod tree;
mod verify;

use crate::arguments::{Command, Storage};
use crate::location;
use crate::render::bytes;
use fuzarr::metadata::json;
use fuzarr::store::{AddressOptions, Opened, Store};
use fuzarr::{Array, Error, Kind, Result};
use serde_json::Value;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How a command that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Fine,
    /// Some of what is stored is damaged.
    Damaged,
    /// No damage was found, but not all could be looked at.
    Unchecked,
}

/// Does what `command` asks for.
///
/// # Errors
/// What kept it from being done; the kind says whether the data is to blame, see [`is_damage`].
pub fn run(command: &Command, storage: &Storage) -> Result<Outcome> {
    let options = location::options(&storage.options()?);
    let (outcome, location) = match command {
        Command::Info(info) => (info::run(info, &options), &info.location),
        Command::Tree(tree) => (tree::run(tree, &options), &tree.location),
        Command::Get(get) => (get::run(get, &options), &get.location),
        Command::Explain(explain) => (explain::run(explain, &options), &explain.location),
        Command::Put(put) => (put::run(put, &options), &put.location),
        Command::Create(create) => (create::run(create, &options), &create.location),
        Command::Verify(verify) => (verify::run(verify, &options), &verify.location),
        Command::Copy(copy) => (copy::run(copy, &options), &copy.destination),
        Command::Attrs(attrs) => (attrs::run(attrs, &options), &attrs.location),
        Command::Rm(rm) => (rm::run(rm, &options), &rm.location),
        Command::Mv(mv) => (mv::run(mv, &options), &mv.location),
        Command::Consolidate(consolidate) => {
            (consolidate::run(consolidate, &options), &consolidate.location)
        }
    };
    outcome.map_err(|error| error.with("in", location.display()))
}

/// Whether an error says that what is stored is damaged.
#[must_use]
pub fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), Kind::Corrupt | Kind::InvalidMetadata)
}

/// What is in the way, with the option that removes it.
#[cold]
fn ways_out(error: Error) -> Error {
    match error.kind() {
        Kind::AlreadyExists => error.with("option", "--overwrite"),
        _ => error,
    }
}

/// The store and the path in it of the node at `given`.
fn find(given: &Path, options: &AddressOptions) -> Result<(Arc<dyn Store>, String)> {
    let (opened, path) = find_opened(given, options)?;
    Ok((opened.store, path))
}

/// Bytes a second.
fn rate(size: u64, time: Duration) -> String {
    let nanoseconds = time.as_nanos().max(1);
    format!("{}/s", bytes(u128::from(size) * 1_000_000_000 / nanoseconds))
}

/// As [`find`], with the store as it was opened: to close it after a change, or to tell what was asked.
fn find_opened(given: &Path, options: &AddressOptions) -> Result<(Opened, String)> {
    let address = location::existing(given)?;
    Ok((address.root.open(options)?, address.path))
}

fn open(given: &Path, options: &AddressOptions) -> Result<Array> {
    let (store, path) = find(given, options)?;
    Array::open(store, &path)
}

/// Bytes of a JSON document beyond which a file is not one.
const LARGEST_DOCUMENT: u64 = 1 << 28;

/// The bytes of a document in a file, or in standard input for `-`.
fn read_document(file: &Path) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| {
        let missing = error.kind() == ErrorKind::NotFound;
        let error = if missing {
            Error::not_found("no such file")
        } else {
            Error::io("the file cannot be read").with_source(error)
        };
        error.with("file", file.display())
    };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(LARGEST_DOCUMENT).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(LARGEST_DOCUMENT).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// What a node is called in what is shown: as it was written.
fn name_of(given: &Path) -> String {
    given.display().to_string()
}

/// Writes to standard output, in colours if it is a terminal. That a reader such as `head` has seen
/// enough is no error: the command goes on, and its exit code says how it ended.
fn print(text: &str) -> Result<()> {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output cannot be written to").with_source(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn print_json(value: &Value) -> Result<()> {
    let mut text = json::to_vec(value);
    text.push(b'\n');
    print(&String::from_utf8_lossy(&text))
}
