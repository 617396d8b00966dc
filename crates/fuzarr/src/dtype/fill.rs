//! Fill values: JSON to bytes and back.
use super::DataType;
use crate::error::{Error, Result};
use serde_json::Value;
/// x
pub fn fill_from_json(_t: DataType, _v: &Value) -> Result<Vec<u8>> {
    Err(Error::unsupported(""))
}
/// x
pub fn fill_to_json(_t: DataType, _b: &[u8]) -> Value {
    Value::Null
}
