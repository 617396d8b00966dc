//! Addresses: where a text leads, to a store and the path of a node in it.
//!
//! A path of a folder; `file://`, `memory://` and the addresses of remote stores; a zip archive at any
//! of the first and last, by its name (`x.zip/inner/node`) or as a pipeline of adapters
//! (`s3://bucket/x|zip:inner/node|zarr3:`), as the URL pipelines proposed for Zarr have it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    LocalOptions, LocalStore, MemoryStore, Store, Writing, ZipOptions, ZipStore, check_key, join,
    local,
};
#[cfg(feature = "remote")]
use super::{RemoteOptions, RemoteStore, Traffic};
use crate::error::{Error, Result, ResultExt};

/// What is a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Root {
    /// A folder.
    Folder(PathBuf),
    /// A store in this process's memory, by its name.
    Memory(String),
    /// A place behind a network, by its address.
    Remote(String),
    /// A zip archive that is a file.
    ZipFile(PathBuf),
    /// A zip archive behind a network, by its address.
    RemoteZip(String),
}

/// A node's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The store.
    pub root: Root,
    /// The node's path in it, with `/` between names; empty for the root.
    pub path: String,
}

/// How the store at an address is opened.
#[derive(Debug, Clone, Default)]
pub struct AddressOptions {
    /// For folders and for files that are zip archives.
    pub local: LocalOptions,
    /// For remote stores.
    #[cfg(feature = "remote")]
    pub remote: RemoteOptions,
    /// When zip archives are written.
    pub writing: Writing,
    /// The folder for what remote zip archives do not have yet, if it does not fit into memory.
    pub spool: Option<PathBuf>,
    /// A folder that is missing is made, also one that a zip archive will be in; and an archive of what
    /// has no bytes.
    pub create: bool,
}

/// The store at an address, open.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The same, if it is a zip archive, which may have to be [closed](ZipStore::close).
    pub zip: Option<ZipStore>,
    /// What is asked, if it or the archive is behind a network.
    #[cfg(feature = "remote")]
    remote: Option<Arc<RemoteStore>>,
}

impl Address {
    /// Reads an address. What is the node's path and what the store's is told for zip archives, for
    /// memory and after a `|`; a folder and a remote store are taken whole. An archive is what has a
    /// name that ends in `.zip`, the outermost such that is no folder.
    ///
    /// # Errors
    /// `InvalidArgument` for what cannot be an address, `Unsupported` for other kinds.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid_argument("the path of the store is empty"));
        }
        let (base, adapters) = adapters(text);
        let parse = || {
            let mut address = Self::base(base)?;
            if adapters.first().is_none_or(|(adapter, _)| *adapter != "zip") {
                address = address.split_zip()?;
            }
            for (adapter, path) in adapters {
                address = address.adapt(adapter, &decode(path)?)?;
            }
            if !address.path.is_empty() {
                check_key(&address.path)?;
            }
            Ok(address)
        };
        parse().context("address", || shown(text))
    }

    /// What an address without adapters leads to.
    fn base(text: &str) -> Result<Self> {
        let whole = |root| Self { root, path: String::new() };
        if is_remote(text) {
            check_no_secrets(text)?;
            return Ok(whole(Root::Remote(text.trim_end_matches('/').to_owned())));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(whole(Root::Folder(text.into())));
        };
        match scheme {
            "file" => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(Error::invalid_argument("no file:// URL with an absolute path"));
                }
                Ok(whole(Root::Folder(decode(path)?.into())))
            }
            "memory" => {
                let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
                let path = decode(path)?.trim_matches('/').to_owned();
                Ok(Self { root: Root::Memory(decode(name)?), path })
            }
            _ if local::exists(Path::new(text)) => Ok(whole(Root::Folder(text.into()))),
            _ => Err(Error::unsupported(format!(
                "not supported: stores by `{scheme}://`; there are paths and file://, memory://, \
                 s3://, gs://, az:// and https:// URLs"
            ))),
        }
    }

    /// Tells an archive from what is in it.
    fn split_zip(self) -> Result<Self> {
        match &self.root {
            Root::Folder(folder) => match split_file(folder)? {
                Some((file, path)) => Ok(Self { root: Root::ZipFile(file), path }),
                None => Ok(self),
            },
            Root::Remote(address) => Ok(match split_remote(address) {
                Some((archive, path)) => {
                    Self { root: Root::RemoteZip(archive.to_owned()), path: decode(path)? }
                }
                None => self,
            }),
            _ => Ok(self),
        }
    }

    /// What an adapter makes of an address.
    fn adapt(self, adapter: &str, path: &str) -> Result<Self> {
        let path = path.trim_matches('/');
        let root = match (adapter, self.root) {
            ("zip", Root::Folder(file)) => Root::ZipFile(file),
            ("zip", Root::Remote(address)) => Root::RemoteZip(address),
            ("zip", root) => {
                return Err(Error::unsupported(
                    "not supported: a zip archive that is not a file or \
                                               in a remote store",
                )
                .with("in", root));
            }
            // What the metadata tells anyway.
            ("zarr" | "zarr2" | "zarr3", root) => root,
            (adapter, _) => {
                return Err(Error::unsupported(format!(
                    "not supported: the adapter `{adapter}:`; there are zip:, zarr2: and zarr3:"
                )));
            }
        };
        let path = match (self.path.as_str(), path) {
            (above, "") => above.to_owned(),
            (above, path) => join(above, path),
        };
        Ok(Self { root, path })
    }

    /// Whether the other place is this one or inside it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        let ((kind, place), (other_kind, other_place)) = (self.place(), other.place());
        kind == other_kind && other_place.starts_with(place)
    }

    /// Where the node is, among what is of one kind.
    fn place(&self) -> (u8, PathBuf) {
        let (kind, root) = match &self.root {
            Root::Folder(path) | Root::ZipFile(path) => (0, path.clone()),
            Root::Remote(address) | Root::RemoteZip(address) => (1, address.into()),
            Root::Memory(name) => (2, Path::new("/").join(name)),
        };
        (kind, if self.path.is_empty() { root } else { root.join(&self.path) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::ZipFile(path) => path.display().fmt(f),
            Self::Memory(name) => write!(f, "memory://{name}"),
            Self::Remote(address) | Self::RemoteZip(address) => f.write_str(address),
        }
    }
}

impl Root {
    /// Opens the store. Of a remote one nothing is asked yet.
    ///
    /// # Errors
    /// `NotFound` if it is a folder that does not exist; `InvalidArgument` for an address or an option
    /// that makes no sense; `Io`.
    pub fn open(&self, options: &AddressOptions) -> Result<Opened> {
        let AddressOptions { local, create, .. } = *options;
        match self {
            Self::Folder(folder) if create => {
                Ok(Opened::of(Arc::new(LocalStore::create_with(folder, local)?)))
            }
            Self::Folder(folder) => Ok(Opened::of(Arc::new(LocalStore::open_with(folder, local)?))),
            Self::Memory(name) => Ok(Opened::of(memory(name))),
            Self::Remote(address) => remote(address, options),
            Self::ZipFile(file) => {
                let zip = ZipStore::local_with(file, zip_options(options, None), local, create)?;
                Ok(Opened::of(Arc::new(zip.clone())).with(zip))
            }
            Self::RemoteZip(address) => {
                let (above, name) = address.rsplit_once('/').unwrap_or((address, ""));
                let name = decode(name)?;
                check_key(&name).context("address", || shown(address))?;
                let above = remote(above, options)?;
                let zip = zip_options(options, options.spool.clone());
                let zip = ZipStore::new(Arc::clone(&above.store), name, zip);
                Ok(above.with(zip))
            }
        }
    }
}

impl Opened {
    fn of(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            zip: None,
            #[cfg(feature = "remote")]
            remote: None,
        }
    }

    /// The archive, in the store that was opened for it.
    fn with(mut self, zip: ZipStore) -> Self {
        self.store = Arc::new(zip.clone());
        self.zip = Some(zip);
        self
    }

    /// What was asked over the network so far; `None` where nothing is.
    #[cfg(feature = "remote")]
    #[must_use]
    pub fn traffic(&self) -> Option<Traffic> {
        self.remote.as_ref().map(|remote| remote.traffic())
    }

    /// Writes what a zip archive does not have yet; nothing for other stores.
    ///
    /// # Errors
    /// Those of [`ZipStore::close`].
    pub fn close(&self) -> Result<()> {
        self.zip.as_ref().map_or(Ok(()), ZipStore::close)
    }
}

fn zip_options(options: &AddressOptions, spool: Option<PathBuf>) -> ZipOptions {
    let AddressOptions { writing, create, .. } = *options;
    ZipOptions { writing, spool, create, ..ZipOptions::default() }
}

#[cfg(feature = "remote")]
fn remote(address: &str, options: &AddressOptions) -> Result<Opened> {
    let remote = Arc::new(RemoteStore::open(address, &options.remote)?);
    let store: Arc<dyn Store> = Arc::<RemoteStore>::clone(&remote);
    Ok(Opened { remote: Some(remote), ..Opened::of(store) })
}

#[cfg(not(feature = "remote"))]
fn remote(address: &str, _options: &AddressOptions) -> Result<Opened> {
    Err(Error::unsupported("this build has no remote stores").with("address", shown(address)))
}

#[cfg(feature = "remote")]
fn is_remote(text: &str) -> bool {
    RemoteStore::is_address(text)
}

#[cfg(not(feature = "remote"))]
fn is_remote(_text: &str) -> bool {
    false
}

/// What stands before the host of a URL, and the rest: the scheme with its slashes, and who asks.
fn split_user(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let start = text.find("://")? + 3;
    let (scheme, rest) = text.split_at(start);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // What is no port is a password, in which there may be slashes.
    let is_port =
        |port: &str| port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    let is_cut = host.rsplit_once(':').is_some_and(|(_, port)| !is_port(port));
    let end = host.rfind('@').or_else(|| rest.rfind('@').filter(|_| is_cut));
    Some(match end {
        Some(end) => (scheme, Some(&rest[..end]), &rest[end + 1..]),
        None => (scheme, None, rest),
    })
}

/// Whether what stands before the host is the name of a container, in Azure's words.
fn names_container(scheme: &str) -> bool {
    ["abfs://", "abfss://", "adl://"].contains(&scheme)
}

/// An address as it may be shown: without what may be a secret, a user and a password, or a signature
/// after a `?`.
pub(super) fn shown(text: &str) -> String {
    let Some((scheme, user, rest)) = split_user(text) else { return text.to_owned() };
    if ["file://", "memory://"].contains(&scheme) {
        return text.to_owned();
    }
    let container = user.filter(|user| names_container(scheme) && !user.contains(':'));
    let container = container.map_or_else(String::new, |container| format!("{container}@"));
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    format!("{scheme}{container}{}", &rest[..end])
}

/// Checks that nothing stands in the address of a remote store that would be lost, or shown where it
/// should not be.
///
/// # Errors
/// `InvalidArgument` that says how credentials are given.
pub(super) fn check_no_secrets(text: &str) -> Result<()> {
    let Some((scheme, user, rest)) = split_user(text) else { return Ok(()) };
    if user.is_some_and(|user| !names_container(scheme) || user.contains(':')) {
        return Err(Error::invalid_argument(
            "an address of a store has no user and no password; they are given as options, to a web server as \
             `header:authorization`, which is `Basic ` and `user:password` in base64",
        ));
    }
    if rest.contains(['?', '#']) {
        return Err(Error::invalid_argument(
            "an address of a store has no `?` or `#`; what signs requests is given as an option, as in \
             `sas_token`",
        ));
    }
    Ok(())
}

/// The stores in this process's memory that have names.
static NAMED: Mutex<BTreeMap<String, Arc<MemoryStore>>> = Mutex::new(BTreeMap::new());

/// The store in memory of a name, which is made if there is none.
fn memory(name: &str) -> Arc<dyn Store> {
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::<MemoryStore>::clone(named.entry(name.to_owned()).or_default())
}

/// The adapters at the end of a text, with their paths, and what precedes them.
fn adapters(text: &str) -> (&str, Vec<(&str, &str)>) {
    let (mut base, mut adapters) = (text, Vec::new());
    while let Some((before, last)) = base.rsplit_once('|') {
        let is_name = |name: &str| {
            let may = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.';
            !name.is_empty() && name.bytes().all(may)
        };
        match last.split_once(':') {
            Some((adapter, path)) if is_name(adapter) => adapters.insert(0, (adapter, path)),
            _ => break,
        }
        base = before;
    }
    (base, adapters)
}

fn is_zip(name: &str) -> bool {
    name.len() > 4 && name.get(name.len() - 4..).is_some_and(|end| end.eq_ignore_ascii_case(".zip"))
}

/// The outermost name on a path that is a zip archive, and the path in it.
fn split_file(path: &Path) -> Result<Option<(PathBuf, String)>> {
    let mut above = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        above.push(part);
        let named = matches!(part, Component::Normal(name) if name.to_str().is_some_and(is_zip));
        if !named || local::is_folder(&above) {
            continue;
        }
        let names = parts.map(|part| match part {
            Component::Normal(name) => name
                .to_str()
                .ok_or_else(|| Error::invalid_argument("the path of a node must be UTF-8")),
            _ => Err(Error::invalid_argument("a path in a zip archive has no `..`")),
        });
        let names = names.collect::<Result<Vec<_>>>()?;
        return Ok(Some((above, names.join("/"))));
    }
    Ok(None)
}

/// The address of the outermost name that is a zip archive, and the path in it.
fn split_remote(address: &str) -> Option<(&str, &str)> {
    let start = address.find("://").map_or(0, |at| at + 3);
    // What comes first is a host or a bucket.
    let mut from = address[start..].find('/').map(|at| start + at + 1)?;
    loop {
        let end = address[from..].find('/').map_or(address.len(), |at| from + at);
        if is_zip(&address[from..end]) {
            return Some((&address[..end], address[end..].trim_matches('/')));
        }
        from = end + 1;
        if from >= address.len() {
            return None;
        }
    }
}

/// A text in which `%` and two digits stand for a byte.
fn decode(text: &str) -> Result<String> {
    let wrong = || Error::invalid_argument("a `%` in an address is followed by two hex digits");
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let (high, low) = digit(digits[0]).zip(digit(digits[1])).ok_or_else(wrong)?;
        decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
        rest = after;
    }
    String::from_utf8(decoded).map_err(|_| Error::invalid_argument("the address is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn parsed(text: &str) -> (Root, String) {
        let Address { root, path } = Address::parse(text).unwrap();
        (root, path)
    }

    #[test]
    fn archives_are_told_from_what_is_in_them() {
        let file = |path: &str| Root::ZipFile(path.into());
        let remote = |address: &str| Root::RemoteZip(address.into());
        for (text, root, path) in [
            ("x.zip", file("x.zip"), ""),
            ("/data/x.ZIP/inner/node/", file("/data/x.ZIP"), "inner/node"),
            ("a/x.zip/y.zip", file("a/x.zip"), "y.zip"),
            ("file:///data/x%20y.zip/a", file("/data/x y.zip"), "a"),
            ("file:///data/x.zip|zip:", file("/data/x.zip"), ""),
            ("data.bin|zip:a/b%20c|zarr3:", file("data.bin"), "a/b c"),
            ("data.bin|zip:a|zarr2:b/", file("data.bin"), "a/b"),
            ("x.zip|zarr3:a", file("x.zip"), "a"),
            ("s3://bucket/f/x.zip", remote("s3://bucket/f/x.zip"), ""),
            ("s3://bucket/x.zip/inner/node", remote("s3://bucket/x.zip"), "inner/node"),
            ("s3://bucket/x.zip|zip:inner/node", remote("s3://bucket/x.zip"), "inner/node"),
            ("https://host/x|zip:a|zarr3:", remote("https://host/x"), "a"),
            ("https://host.zip/x", Root::Remote("https://host.zip/x".into()), ""),
            ("s3://bucket.zip", Root::Remote("s3://bucket.zip".into()), ""),
            ("gs://bucket/x.zarr/a/", Root::Remote("gs://bucket/x.zarr/a".into()), ""),
            ("gs://bucket/x|zarr3:a", Root::Remote("gs://bucket/x".into()), "a"),
            ("memory://name/a/b", Root::Memory("name".into()), "a/b"),
            ("memory://", Root::Memory(String::new()), ""),
            ("a|b", Root::Folder("a|b".into()), ""),
            (".zip", Root::Folder(".zip".into()), ""),
            ("file:///a%2Fb", Root::Folder("/a/b".into()), ""),
        ] {
            assert_eq!(parsed(text), (root, path.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, kind) in [
            ("", Kind::InvalidArgument),
            ("file://host/x", Kind::InvalidArgument),
            ("file:///x%2", Kind::InvalidArgument),
            ("file:///x%ff", Kind::InvalidArgument),
            ("x.zip/../y", Kind::InvalidArgument),
            ("x|zip:../y", Kind::InvalidArgument),
            ("ftp://host/x", Kind::Unsupported),
            ("x.zip|icechunk:", Kind::Unsupported),
            ("x|zip:y.zip|zip:z", Kind::Unsupported),
            ("memory://x|zip:z", Kind::Unsupported),
        ] {
            assert_eq!(Address::parse(text).unwrap_err().kind(), kind, "{text}");
        }
    }

    #[test]
    fn a_folder_of_the_name_of_an_archive_is_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("x.zip");
        std::fs::create_dir(&made).unwrap();
        assert_eq!(parsed(made.to_str().unwrap()).0, Root::Folder(made.clone()));
        let inner = made.join("y.zip/a");
        assert_eq!(
            parsed(inner.to_str().unwrap()),
            (Root::ZipFile(made.join("y.zip")), "a".into())
        );
    }

    #[test]
    fn places_hold_places() {
        let holds = |one: &str, other: &str| {
            Address::parse(one).unwrap().holds(&Address::parse(other).unwrap())
        };
        assert!(holds("/a", "/a/x.zip/b") && holds("/a/x.zip", "/a/x.zip|zip:b"));
        assert!(!holds("/a/x.zip/b", "/a/x.zip/c") && !holds("/a/x.zip", "/a/x.zipper"));
        assert!(holds("s3://b/a", "s3://b/a/x.zip") && !holds("s3://b/a", "s3://b/ab"));
        assert!(!holds("/a", "memory://a") && holds("memory://n", "memory://n/a"));
    }

    #[test]
    fn memory_of_one_name_is_one_store() {
        let open = |text: &str| {
            let root = Address::parse(text).unwrap().root;
            root.open(&AddressOptions::default()).unwrap().store
        };
        let put = |store: &dyn Store| {
            super::super::put_bytes(store, "k", b"1", super::super::Precondition::Absent)
        };
        put(&*open("memory://one")).unwrap();
        assert!(put(&*open("memory://one/deeper")).is_err());
        put(&*open("memory://another")).unwrap();
    }
}
