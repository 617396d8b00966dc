//! The versions of the Zarr format.

use std::fmt;

/// A version of the Zarr format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Version 2: `.zarray` or `.zgroup`, and `.zattrs`.
    V2,
    /// Version 3: `zarr.json`.
    #[default]
    V3,
}

impl Format {
    /// The number in documents.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zarr v{}", self.number())
    }
}
