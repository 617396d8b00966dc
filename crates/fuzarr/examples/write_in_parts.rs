//! Writes an array that does not fit into memory, part by part.
//!
//! ```text
//! cargo run -p fuzarr --example write_in_parts
//! ```

use std::sync::Arc;

use fuzarr::dtype::DataType;
use fuzarr::plan::{FastPath, WriteOptions};
use fuzarr::store::MemoryStore;
use fuzarr::{Array, Limits, Result, Selection, Term};
use ndarray::Array2;

const ROWS: i64 = 1000;
const COLUMNS: usize = 300;

/// The columns of some rows, whole.
fn rows(start: i64, stop: i64) -> Selection {
    let rows = Term::Slice { start: Some(start), stop: Some(stop), step: None };
    Selection::Orthogonal(vec![rows, Term::Ellipsis])
}

fn main() -> Result<()> {
    let array = Array::builder([ROWS as u64, COLUMNS as u64], DataType::Int64)
        .chunks([50, 100])
        .shards([200, 300])
        .fill(-1_i64)
        .create(Arc::new(MemoryStore::new()), "table")?;
    let options = WriteOptions {
        limits: Limits { workers: 2, ..Limits::default() },
        ..WriteOptions::default()
    };

    // Parts that are whole shards are written without reading anything.
    for start in (0..800).step_by(200) {
        let part = Array2::from_shape_fn((200, COLUMNS), |(row, column)| {
            (start + row as i64) * 1000 + column as i64
        });
        array.write_with(&rows(start, start + 200), &part, &options)?;
    }

    // Of a shard that is changed in part, the other inner chunks keep their bytes.
    array.write(&rows(820, 830), 7_i64)?;
    array.write(&Selection::parse("820:830, 0")?, &[0_i64, 1, 2, 3, 4, 5, 6, 7, 8, 9])?;

    let read = array.read::<i64>(&Selection::parse("[799, 825, 999], ::299")?)?;
    assert_eq!(read, ndarray::arr2(&[[799_000_i64, 799_299], [5, 7], [-1, -1]]).into_dyn());
    println!("{read}");

    // Nothing but fill value is not stored.
    array.write(&rows(0, 200), -1_i64)?;
    assert_eq!(array.stored_objects()?.len(), 4);
    println!("{} chunks were encoded once for many", array.counters().get(FastPath::ScalarMemo));
    Ok(())
}
