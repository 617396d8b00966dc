//! Works with an array whose type is not known beforehand: metadata, attributes, bytes.
//!
//! ```text
//! cargo run -p fuzarr --example any_type
//! ```

use std::sync::Arc;

use fuzarr::dtype::DataType;
use fuzarr::plan::ReadOptions;
use fuzarr::store::{MemoryStore, Store};
use fuzarr::{Array, Element, Kind, Result, Selection, hierarchy};

/// The sum of all elements, if they are of type `T`.
fn sum<T: Element + Into<f64>>(array: &Array) -> Result<f64> {
    Ok(array.read::<T>(&Selection::all())?.into_iter().map(Into::into).sum())
}

fn main() -> Result<()> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    for data_type in [DataType::Int16, DataType::Float32, DataType::String] {
        let array = Array::builder([3], data_type)
            .attribute("about", format!("three of {data_type}"))
            .create(Arc::clone(&store), &format!("samples/{data_type}"))?;
        match data_type {
            DataType::Int16 => array.write(&Selection::all(), &[1_i16, 2, 3])?,
            DataType::Float32 => array.write(&Selection::all(), 0.5_f32)?,
            _ => array.write(&Selection::all(), &["one", "two", "three"].map(String::from))?,
        }
    }
    for (name, _) in hierarchy::children(&*store, "samples")? {
        let array = Array::open(Arc::clone(&store), &format!("samples/{name}"))?;
        let about = array.metadata().attributes["about"].as_str().unwrap_or_default();
        match array.data_type() {
            DataType::Int16 => println!("{about}, sum {}", sum::<i16>(&array)?),
            DataType::Float32 => println!("{about}, sum {}", sum::<f32>(&array)?),
            _ => {
                // Another type is an error, never a conversion.
                let refused = sum::<f32>(&array).map_err(|error| error.kind());
                assert_eq!(refused, Err(Kind::InvalidArgument));
                let read = array.read_bytes(&Selection::all(), &ReadOptions::default())?;
                println!("{about}, {} bytes of text", read.heap.len());
            }
        }
    }
    Ok(())
}
