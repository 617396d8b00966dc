//! From `STORE[/path]` to the store, and the path of a node in it: what [`Address`] leaves open for
//! folders, by looking at what is there.

use fuzarr::store::{Address, AddressOptions, RemoteOptions, RemoteStore, Root, Writing};
use fuzarr::{Error, Kind, Result, hierarchy, v2};
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::path::{Component, Path, PathBuf};

/// Files that make a folder a node.
const METADATA: [&str; 3] = [hierarchy::DOCUMENT, v2::ARRAY, v2::GROUP];

/// How stores are opened by a command: what is changed of a zip archive is written when the command
/// is done with it.
#[must_use]
pub fn options(remote: &RemoteOptions) -> AddressOptions {
    AddressOptions {
        remote: remote.clone(),
        writing: Writing::OnClose,
        spool: Some(std::env::temp_dir()),
        ..AddressOptions::default()
    }
}

/// Whether it is certain that there is no store yet.
#[must_use]
pub fn is_new(root: &Root) -> bool {
    matches!(root, Root::Folder(path) | Root::ZipFile(path) if !path.exists())
}

/// The place that is meant by an address of a zip archive, or of something in a remote store; `None`
/// for the path of a folder, in which the store is yet to be found.
///
/// # Errors
/// `InvalidArgument` and `Unsupported`, as [`Address::parse`]; also for memory, of which a command
/// has none that lasts.
fn addressed(given: &Path) -> Result<Option<Address>> {
    let Some(text) = given.to_str() else { return Ok(None) };
    let address = Address::parse(text)?;
    Ok(match (&address.root, address.path.is_empty()) {
        (Root::Memory(_), _) => {
            return Err(Error::invalid_argument(
                "memory:// is the memory of one process, and a command ends: there is nothing to find",
            ));
        }
        (Root::Remote(place), true) => {
            let (store, path) = RemoteStore::split(place);
            let (root, path) = (Root::Remote(store.to_owned()), path.to_owned());
            Some(Address { root, path })
        }
        (Root::ZipFile(file), _) => {
            let file = file.canonicalize().or_else(|_| std::path::absolute(file));
            let root =
                Root::ZipFile(file.map_err(|error| {
                    Error::io("the file cannot be looked at").with_source(error)
                })?);
            Some(Address { root, ..address })
        }
        (Root::Folder(_), _) => None,
        _ => Some(address),
    })
}

/// The path of a folder, which may be written as an address.
fn folder(given: &Path) -> Result<PathBuf> {
    match given.to_str().map(Address::parse).transpose()? {
        Some(Address { root: Root::Folder(folder), path }) if path.is_empty() => Ok(folder),
        Some(Address { root: Root::Folder(folder), path }) => Ok(folder.join(path)),
        _ => Ok(given.to_owned()),
    }
}

/// Finds the node at `given`, which must exist.
///
/// The store is the outermost folder reached from the node through folders that all hold metadata.
///
/// # Errors
/// `NotFound` if no node is in a folder (a remote store is not asked), `Unsupported` for addresses of
/// other kinds, `InvalidArgument` for a path that cannot be one.
pub fn existing(given: &Path) -> Result<Address> {
    if let Some(address) = addressed(given)? {
        return match &address.root {
            Root::ZipFile(file) if !file.exists() => {
                let missing = "no Zarr array or group here: there is no such file";
                Err(Error::not_found(missing).with("path", given.display()))
            }
            _ => Ok(address),
        };
    }
    let place = Place::new(&folder(given)?)?;
    if !place.missing.as_os_str().is_empty() {
        return Err(not_found(given, "there is no such folder", &place.found));
    }
    if !holds_metadata(&place.found) {
        let reason = "the folder holds no zarr.json, .zarray or .zgroup";
        return Err(not_found(given, reason, &place.found));
    }
    place.location(&place.found)
}

/// As [`existing`], for a node that is to be deleted or moved.
///
/// # Errors
/// As [`existing`], and `InvalidArgument` for a link: it would be followed to what it leads to.
pub fn existing_itself(given: &Path) -> Result<Address> {
    check_no_link(given)?;
    existing(given)
}

/// As [`new`], for a node that takes the place of what is there.
///
/// # Errors
/// As [`new`], and `InvalidArgument` for a link: what it leads to would be deleted.
pub fn replaced(given: &Path) -> Result<Address> {
    check_no_link(given)?;
    new(given)
}

/// Checks that what is named is no link, however it is written.
fn check_no_link(given: &Path) -> Result<()> {
    let named = match given.to_str().map(Address::parse).transpose()? {
        Some(Address { root: Root::ZipFile(file), path }) if path.is_empty() => file,
        Some(Address { root: Root::ZipFile(_), .. }) => return Ok(()),
        _ => folder(given)?,
    };
    // Without a slash at the end, which would follow the link.
    let bare: PathBuf = named.components().collect();
    if bare.is_symlink() {
        return Err(Error::invalid_argument("this is a link; name what it leads to")
            .with("path", given.display()));
    }
    Ok(())
}

/// As [`existing_itself`], also for a node of which a deletion that did not end has left something.
///
/// # Errors
/// As [`existing_itself`].
pub fn to_delete(given: &Path) -> Result<Address> {
    match existing_itself(given) {
        Err(error) if error.kind() == Kind::NotFound => match folder(given) {
            Ok(found) if found.join(hierarchy::REMOVAL).is_file() => new(given),
            _ => Err(error),
        },
        other => other,
    }
}

/// Finds where a node is to be made at `given`: in the store that is there, or else in a new one.
/// The new store is the folder on the way whose name ends in `.zarr`, or else the node itself.
///
/// # Errors
/// `Unsupported` and `InvalidArgument` as [`existing`].
pub fn new(given: &Path) -> Result<Address> {
    if let Some(address) = addressed(given)? {
        return Ok(address);
    }
    let place = Place::new(&folder(given)?)?;
    match place.found.ancestors().find(|folder| holds_metadata(folder)) {
        Some(nearest) => place.location(nearest),
        None => place.location(&place.new_store()),
    }
}

/// A path as far as it exists, without links or `..`, and the names that do not exist yet.
struct Place {
    found: PathBuf,
    missing: PathBuf,
}

impl Place {
    fn new(given: &Path) -> Result<Self> {
        if given.as_os_str().is_empty() {
            return Err(Error::invalid_argument("the path of the store is empty"));
        }
        let failed = |error| {
            Error::io("the folder cannot be looked at")
                .with("path", given.display())
                .with_source(error)
        };
        let absolute = std::path::absolute(given).map_err(failed)?;
        for folder in absolute.ancestors() {
            let found = match folder.canonicalize() {
                Ok(found) => found,
                Err(error) if matches!(error.kind(), NotFound | NotADirectory) => continue,
                Err(error) => return Err(failed(error)),
            };
            if !found.is_dir() {
                let reason = "a store is a folder; this is a file (a zip archive of another name is \
                              written as FILE|zip:)";
                return Err(Error::invalid_argument(reason).with("path", folder.display()));
            }
            let missing = absolute.strip_prefix(folder).unwrap_or(Path::new("")).to_owned();
            if missing.components().any(|part| !matches!(part, Component::Normal(_))) {
                return Err(Error::invalid_argument("`..` below a folder that does not exist")
                    .with("path", given.display()));
            }
            return Ok(Self { found, missing });
        }
        Err(not_found(given, "there is no such folder", Path::new("/")))
    }

    fn whole(&self) -> PathBuf {
        if self.missing.as_os_str().is_empty() {
            return self.found.clone();
        }
        self.found.join(&self.missing)
    }

    /// The outermost folder named `.zarr` that is yet to be made or filled; without one, the whole.
    fn new_store(&self) -> PathBuf {
        let whole = self.whole();
        let made = self.found.parent().unwrap_or(&self.found);
        let folders = whole.ancestors().take_while(|&folder| folder != made);
        let named = |folder: &&Path| folder.extension().is_some_and(|name| name == "zarr");
        folders.filter(named).last().unwrap_or(&whole).to_owned()
    }

    /// The place in the store that the node in folder `nearest` belongs to.
    fn location(&self, nearest: &Path) -> Result<Address> {
        let store = nearest.ancestors().take_while(|folder| holds_metadata(folder)).last();
        let store = store.unwrap_or(nearest).to_owned();
        let whole = self.whole();
        let names = whole.strip_prefix(&store).unwrap_or(Path::new("")).iter().map(|name| {
            name.to_str().ok_or_else(|| {
                Error::invalid_argument("the path of a node must be UTF-8")
                    .with("path", whole.display())
            })
        });
        let path = names.collect::<Result<Vec<_>>>()?.join("/");
        Ok(Address { root: Root::Folder(store), path })
    }
}

fn holds_metadata(folder: &Path) -> bool {
    METADATA.iter().any(|file| folder.join(file).is_file())
}

fn not_found(given: &Path, reason: &str, looked: &Path) -> Error {
    let mut error = Error::not_found(format!("no Zarr array or group here: {reason}"))
        .with("path", given.display());
    let nearest = looked.ancestors().find(|folder| holds_metadata(folder));
    if let Some(nearest) = nearest.filter(|&nearest| nearest != looked || !given.exists()) {
        error = error.with("nearest", nearest.display());
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files in it, and its path without links.
    fn folder(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        let root = folder.path().canonicalize().unwrap();
        (folder, root)
    }

    fn at(store: PathBuf, path: &str) -> Address {
        Address { root: Root::Folder(store), path: path.into() }
    }

    const HIERARCHY: &[&str] = &[
        "h/a/zarr.json",
        "h/a/b/zarr.json",
        "h/a/b/c/zarr.json",
        "h/a/b/c/c/0",
        "h/a/x/y/zarr.json",
    ];

    #[test]
    fn the_store_is_the_outermost_folder_with_metadata() {
        let (_guard, root) = folder(HIERARCHY);
        let a = root.join("h/a");
        assert_eq!(existing(&a).unwrap(), at(a.clone(), ""));
        assert_eq!(existing(&a.join("b/c/")).unwrap(), at(a.clone(), "b/c"));
        assert_eq!(existing(&a.join("b/./c/../../b")).unwrap(), at(a.clone(), "b"));
        // Between this node and the group above it a folder has no metadata.
        assert_eq!(existing(&a.join("x/y")).unwrap(), at(a.join("x/y"), ""));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (_guard, root) = folder(HIERARCHY);
        for missing in ["h", "h/a/x", "h/a/b/c/c", "nowhere", "h/a/b/nowhere"] {
            let error = existing(&root.join(missing)).unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound, "{missing}");
            assert_eq!(error.context("path"), root.join(missing).to_str(), "{missing}");
        }
        let error = existing(&root.join("h/a/b/nowhere")).unwrap_err();
        assert_eq!(error.context("nearest"), root.join("h/a/b").to_str());
        assert_eq!(existing(&root.join("nowhere")).unwrap_err().context("nearest"), None);
        let file = existing(&root.join("h/a/zarr.json")).unwrap_err();
        assert_eq!(file.kind(), Kind::InvalidArgument);
        let below = existing(&root.join("h/a/zarr.json/b")).unwrap_err();
        assert_eq!(below.kind(), Kind::InvalidArgument);
        assert_eq!(existing(Path::new("")).unwrap_err().kind(), Kind::InvalidArgument);
    }

    #[test]
    fn new_nodes_go_into_the_store_that_is_there() {
        let (_guard, root) = folder(HIERARCHY);
        let a = root.join("h/a");
        assert_eq!(new(&a.join("b/d")).unwrap(), at(a.clone(), "b/d"));
        assert_eq!(new(&a.join("p/q/r")).unwrap(), at(a.clone(), "p/q/r"));
        assert_eq!(new(&a.join("b")).unwrap(), at(a.clone(), "b"));
        assert_eq!(new(&a).unwrap(), at(a.clone(), ""));
        assert_eq!(new(&root.join("n/ew.zarr")).unwrap(), at(root.join("n/ew.zarr"), ""));
        let below = new(&root.join("n/ew.zarr/x/y.zarr")).unwrap();
        assert_eq!(below, at(root.join("n/ew.zarr"), "x/y.zarr"));
        std::fs::create_dir_all(root.join("old.zarr/made.zarr")).unwrap();
        let made = root.join("old.zarr/made.zarr");
        assert_eq!(new(&made.join("x")).unwrap(), at(made, "x"));
        assert_eq!(new(&root.join("n/x/y")).unwrap(), at(root.join("n/x/y"), ""));
        assert_eq!(new(&root.join("h")).unwrap(), at(root.join("h"), ""));
        let error = new(&root.join("n/../../x")).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
    }

    #[test]
    fn zarr_v2_is_found_likewise() {
        let (_guard, root) = folder(&["a/.zarray", "g/.zgroup", "g/b/.zarray", "g/c/zarr.json"]);
        assert_eq!(existing(&root.join("a")).unwrap(), at(root.join("a"), ""));
        assert_eq!(existing(&root.join("g/b")).unwrap(), at(root.join("g"), "b"));
        assert_eq!(existing(&root.join("g/c")).unwrap(), at(root.join("g"), "c"));
        assert_eq!(new(&root.join("g/d")).unwrap(), at(root.join("g"), "d"));
    }

    #[test]
    fn what_is_to_be_deleted_is_no_link() {
        let (_guard, root) = folder(&["g/zarr.json", "g/a/zarr.json"]);
        std::os::unix::fs::symlink("a", root.join("g/link")).unwrap();
        assert_eq!(existing(&root.join("g/link")).unwrap(), at(root.join("g"), "a"));
        for given in ["g/link", "g/link/"] {
            let error = existing_itself(&root.join(given)).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{given}");
        }
        assert_eq!(existing_itself(&root.join("g/a/")).unwrap(), at(root.join("g"), "a"));
    }

    #[test]
    fn files_and_folders_may_be_written_as_addresses() {
        let (_guard, root) = folder(&["g/zarr.json", "g/a/zarr.json", "x.zip"]);
        let url = |path: &str| PathBuf::from(format!("file://{}/{path}", root.display()));
        assert_eq!(existing(&url("g/a")).unwrap(), at(root.join("g"), "a"));
        assert_eq!(existing(&url("g|zarr3:a")).unwrap(), at(root.join("g"), "a"));
        let zip =
            |path: &str| Address { root: Root::ZipFile(root.join("x.zip")), path: path.into() };
        assert_eq!(existing(&url("x.zip")).unwrap(), zip(""));
        assert_eq!(existing(&root.join("x.zip/a/b")).unwrap(), zip("a/b"));
        assert_eq!(new(&root.join("g/../x.zip|zip:a")).unwrap(), zip("a"));
        let missing = existing(&root.join("y.zip/a")).unwrap_err();
        assert_eq!(missing.kind(), Kind::NotFound);
        assert!(is_new(&new(&root.join("y.zip/a")).unwrap().root));
    }

    #[test]
    fn addresses_are_remote_stores_or_refused() {
        let place = existing(Path::new("s3://bucket/x.zarr/a/b")).unwrap();
        assert_eq!(place.root, Root::Remote("s3://bucket/x.zarr".to_owned()));
        assert_eq!(place.path, "a/b");
        let zip = existing(Path::new("s3://bucket/x.zip/a/b")).unwrap();
        assert_eq!((zip.root, &zip.path[..]), (Root::RemoteZip("s3://bucket/x.zip".into()), "a/b"));
        let error = existing(Path::new("memory://x")).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        let error = existing(Path::new("ftp://host/x.zarr")).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
    }
}
