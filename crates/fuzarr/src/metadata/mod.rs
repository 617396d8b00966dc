//! Metadata documents, as data: parsed, checked for form, and written back. In the terms of Zarr v3;
//! [`crate::v2`] puts the documents of v2 in these terms.
//!
//! Nothing here knows codecs or types: a document that names one fuzarr lacks still parses, so that
//! it can be shown.

mod array;
mod extension;
mod format;
mod group;
pub mod json;
mod members;
mod node;
mod path;

pub use array::ArrayMetadata;
pub use extension::Extension;
pub use format::Format;
pub use group::GroupMetadata;
pub(crate) use group::check_member;
pub(crate) use members::{Members, lengths, wrong};
pub use node::Node;
pub use path::NodePath;
