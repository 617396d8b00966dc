//! New arrays of v2.

use serde_json::{Map, Value, json};

use super::array_from_json;
use crate::dtype::{self, DataType, Endian};
use crate::error::{Error, Result};
use crate::metadata::ArrayMetadata;

/// A new array in the terms of v2: filters and the compressor as numcodecs configures them.
#[derive(Debug, Clone)]
pub struct NewArray {
    /// Elements along each dimension.
    pub shape: Vec<u64>,
    /// Elements of a chunk along each dimension.
    pub chunks: Vec<u64>,
    /// The type of the elements.
    pub data_type: DataType,
    /// The byte order in which they are stored.
    pub endian: Endian,
    /// The bytes of the fill value; `None` leaves it open.
    pub fill: Option<Vec<u8>>,
    /// Whether elements are stored in Fortran order.
    pub fortran: bool,
    /// The filters, first applied first; `None` for those that the type needs.
    pub filters: Option<Vec<Value>>,
    /// The compressor, if there is to be one.
    pub compressor: Option<Value>,
    /// What stands between the numbers in the name of a chunk: `.` or `/`.
    pub separator: String,
    /// The user's attributes.
    pub attributes: Map<String, Value>,
}

impl NewArray {
    /// The metadata.
    ///
    /// # Errors
    /// `Unsupported` for a type that v2 cannot spell, `InvalidArgument` for a fill value of another
    /// type and for what makes no sense.
    pub fn metadata(self) -> Result<ArrayMetadata> {
        let Self { data_type, endian, .. } = self;
        let element = dtype::to_numpy(data_type, endian).ok_or_else(|| {
            let name = data_type.name();
            Error::unsupported(format!("not supported by Zarr v2: data type `{name}`"))
        })?;
        let filters = self.filters.unwrap_or_else(|| match data_type {
            DataType::String => vec![json!({"id": "vlen-utf8"})],
            DataType::Bytes => vec![json!({"id": "vlen-bytes"})],
            _ => Vec::new(),
        });
        let fill = self.fill.map(|fill| dtype::fill_to_v2(data_type, &fill)).transpose()?;
        let document = json!({
            "shape": self.shape,
            "chunks": self.chunks,
            "dtype": element,
            "fill_value": fill,
            "order": if self.fortran { "F" } else { "C" },
            "filters": if filters.is_empty() { Value::Null } else { filters.into() },
            "dimension_separator": self.separator,
            "compressor": self.compressor,
            "zarr_format": 2,
        });
        array_from_json(&document, self.attributes).map_err(|error| {
            Error::invalid_argument("no array can be like that").with_source(error)
        })
    }
}
