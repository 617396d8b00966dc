//! Versions of remote objects: what the store calls them, as text.

use object_store::UpdateVersion;

use crate::store::Version;

/// Between an ETag and the store's own number of the version. Neither can hold it.
const BETWEEN: char = '\n';

/// What a weak ETag starts with.
const WEAK: &str = "W/";

/// The version that an answer's headers tell: its ETag, with the store's own number if it has one.
/// `None` if there is neither: time and size alone do not tell one version from another. A weak ETag
/// stands for bytes that mean the same, not for the same bytes.
pub(super) fn version_of(tag: Option<&str>, number: Option<&str>) -> Option<Version> {
    let text = match (tag, number) {
        (Some(tag), None) if tag.starts_with(WEAK) => {
            return Some(Version::tagged(tag).tentative());
        }
        (Some(tag), None) => tag.to_owned(),
        (tag, Some(number)) => format!("{}{BETWEEN}{number}", tag.unwrap_or_default()),
        (None, None) => return None,
    };
    Some(Version::tagged(text))
}

/// The ETag of a version, if it identifies the bytes.
fn strong(version: &Version) -> Option<&str> {
    let tag = version.tag()?.split(BETWEEN).next()?;
    (!tag.is_empty() && !tag.starts_with(WEAK)).then_some(tag)
}

/// What a read is to be made on condition of, so that it finds this version or nothing.
pub(super) fn condition(version: &Version) -> Option<String> {
    strong(version).map(str::to_owned)
}

/// What a write is to be made on condition of; `None` if the store has no name for the version.
pub(super) fn update(version: &Version) -> Option<UpdateVersion> {
    let e_tag = condition(version);
    let number = version.tag()?.split(BETWEEN).nth(1).filter(|number| !number.is_empty());
    let number = number.map(str::to_owned);
    (e_tag.is_some() || number.is_some()).then_some(UpdateVersion { e_tag, version: number })
}
