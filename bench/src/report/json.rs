//! The document for machines.

use std::path::Path;

use serde_json::{Value, json};

use super::Row;
use crate::engine::Result;

/// Writes all rows after what the run was `about`.
pub(super) fn write(about: &Value, rows: &[Row], path: &Path) -> Result<()> {
    let mut document = about.clone();
    document["rows"] = rows.iter().map(row_to_json).collect();
    Ok(std::fs::write(path, serde_json::to_string_pretty(&document)? + "\n")?)
}

fn row_to_json(row: &Row) -> Value {
    let engines = row.times.iter().map(|times| {
        json!({
            "engine": times.engine.to_string(),
            "median_ms": rounded(times.median()),
            "min_ms": rounded(times.least()),
            "max_ms": rounded(times.most()),
            "samples": times.samples(),
        })
    });
    json!({
        "action": row.action.name(),
        "codec": row.codec,
        "array": row.layout,
        "request": row.request,
        "store": row.store,
        "marks": row.marks(),
        "engines": engines.collect::<Vec<_>>(),
    })
}

/// To a nanosecond.
fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 1e6).round() / 1e6
}
