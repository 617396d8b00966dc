//! Metadata documents of Zarr v3, as data: parsed, checked for form, and written back.
//!
//! Nothing here knows codecs or types: a document that names one fuzarr lacks still parses, so that
//! it can be shown.

mod extension;

pub use extension::Extension;
