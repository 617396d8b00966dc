//! Metadata documents of Zarr v3, as data: parsed, checked for form, and written back.
//!
//! Nothing here knows codecs or types: a document that names one fuzarr lacks still parses, so that
//! it can be shown.

mod array;
mod extension;
mod group;
pub mod json;
mod node;
mod path;

pub use array::ArrayMetadata;
pub use extension::Extension;
pub use group::GroupMetadata;
pub use node::Node;
pub use path::NodePath;
