//! Stored objects as files below a folder.

use std::path::Path;

use crate::Result;

/// Objects with their keys.
pub(crate) type Objects = Vec<(String, Vec<u8>)>;

/// What is no chunk below an array's folder.
const DOCUMENTS: &[&str] = &["zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"];

/// Whether a key is that of a document.
pub(crate) fn is_document(key: &str) -> bool {
    DOCUMENTS.contains(&key.rsplit('/').next().unwrap_or(key))
}

/// All objects below `folder`.
pub(crate) fn below(folder: &Path) -> Result<Objects> {
    let mut found = Vec::new();
    collect(folder, "", &mut found)?;
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Objects) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{key}/"), found)?;
        } else {
            found.push((key, std::fs::read(entry.path())?));
        }
    }
    Ok(())
}

/// Writes objects as files below `folder`.
pub(crate) fn write<B: AsRef<[u8]>>(
    folder: &Path,
    objects: impl IntoIterator<Item = (String, B)>,
) -> Result<()> {
    for (key, bytes) in objects {
        let path = folder.join(key);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

/// Removes all that is directly below `folder` but documents; with those, everything.
pub(crate) fn clear(folder: &Path, documents: bool) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else if documents || !is_document(&entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
