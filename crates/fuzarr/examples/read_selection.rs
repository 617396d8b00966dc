//! Reads parts of an array into `ndarray`, after asking what that will cost.
//!
//! ```text
//! cargo run -p fuzarr --example read_selection
//! ```

use std::sync::Arc;

use fuzarr::dtype::DataType;
use fuzarr::plan::ReadOptions;
use fuzarr::store::MemoryStore;
use fuzarr::{Array, Result, Selection, Term};
use ndarray::{Array2, Axis};

fn main() -> Result<()> {
    // A month of hourly temperatures on a grid of 60 by 90, sharded by days.
    let array = Array::builder([720, 60, 90], DataType::Float32)
        .chunks([6, 30, 30])
        .shards([24, 60, 90])
        .codecs("blosc:lz4:5:shuffle,crc32c")
        .fill(f32::NAN)
        .dimension_names(["time", "y", "x"])
        .create(Arc::new(MemoryStore::new()), "temperature")?;
    let day = Array2::from_shape_fn((60, 90), |(y, x)| 280.0 + 0.1 * y as f32 - 0.05 * x as f32);
    array.write(&Selection::parse("24:48")?, &day)?;

    // NumPy's slices, as text or as terms.
    let corner = Selection::parse("30, :10, -10:")?;
    let values = array.read::<f32>(&corner)?;
    assert_eq!(values.shape(), [10, 10]);
    println!("mean of the corner: {:.2} K", values.iter().sum::<f32>() / 100.0);
    let noons = Term::List(vec![12, 36, 60]);
    let values = array.read::<f32>(&Selection::Orthogonal(vec![noons, Term::Index(0)]))?;
    assert!(values[[0, 0]].is_nan() && !values[[1, 0]].is_nan());

    // What a read costs, before it is made.
    let cost = array.explain_exactly(&corner, &ReadOptions::default())?;
    println!("{} of {} bytes fetched are used", cost.used.at_most, cost.fetched.at_most);
    assert_eq!((cost.objects, cost.chunks), (1, 1));

    // Into memory at hand.
    let mut frames = ndarray::Array3::<f32>::zeros((2, 60, 90));
    array.read_into(&Selection::parse("24")?, frames.index_axis_mut(Axis(0), 0))?;
    assert_eq!(frames.index_axis(Axis(0), 0), day);
    Ok(())
}
