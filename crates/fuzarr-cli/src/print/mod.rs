//! Arrays as text, character for character as NumPy 2 prints them with `print(array)`.
//!
//! NumPy's defaults hold: 8 digits after the point, lines of 75 characters, and arrays of more than
//! 1,000 elements shortened to three at either end of an axis. Of a shortened array only the
//! elements that appear are formatted.

mod element;
mod float;
mod layout;
mod scalar;
mod text;

use fuzarr::dtype::{DataType, ElementLayout};
use fuzarr::{Error, Result};

/// Axes beyond which an array is not printed; NumPy has no arrays of more.
const MAX_AXES: usize = 64;

/// The elements of an array in C order.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// Elements of one size, one after the other, numbers in native byte order.
    Fixed(&'a [u8]),
    /// Elements of differing size (`string`, `bytes`).
    Variable(&'a [&'a [u8]]),
}

/// Text of an array. An array without axes prints like NumPy's scalar of that type.
///
/// # Errors
/// `InvalidArgument` if there are not as many elements as `shape` asks for, `Corrupt` for a string
/// that is not UTF-8, `Unsupported` for more than 64 axes.
pub fn array(shape: &[u64], data_type: DataType, elements: Elements<'_>) -> Result<String> {
    if shape.len() > MAX_AXES {
        return Err(Error::unsupported(format!("not supported: printing {} axes", shape.len())));
    }
    let elements = element::Table::new(shape, data_type, elements)?;
    if shape.is_empty() {
        return scalar::text(&elements);
    }
    if elements.is_empty() {
        return Ok("[]".into());
    }
    let axes = layout::axes(shape)?;
    let words = element::words(&elements, &layout::offsets(&axes))?;
    Ok(layout::text(&axes, &words))
}

/// For each axis, the positions that appear in the text of an array that is too large to be shown
/// whole; `None` for one that is not.
///
/// # Errors
/// As [`array()`].
pub fn corners(shape: &[u64]) -> Result<Option<Vec<Vec<u64>>>> {
    if shape.len() > MAX_AXES || shape.contains(&0) {
        return Ok(None);
    }
    let axes = layout::axes(shape)?;
    if axes.iter().all(layout::Axis::is_whole) {
        return Ok(None);
    }
    Ok(Some(axes.iter().map(layout::Axis::positions).collect()))
}

/// Text of a large array of `shape`, given only the elements at its [`corners`], in C order.
///
/// # Errors
/// As [`array()`].
pub fn shortened(shape: &[u64], data_type: DataType, elements: Elements<'_>) -> Result<String> {
    let axes = layout::axes(shape)?;
    let shown: Vec<u64> = axes.iter().map(|axis| axis.positions().len() as u64).collect();
    let elements = element::Table::new(&shown, data_type, elements)?;
    let count = axes.iter().map(|axis| axis.positions().len()).product();
    let offsets: Vec<usize> = (0..count).collect();
    Ok(layout::text(&axes, &element::words(&elements, &offsets)?))
}

/// The size of one element, where it is fixed.
fn fixed_size(data_type: DataType) -> Option<usize> {
    match data_type.layout() {
        ElementLayout::Fixed(size) => Some(size),
        ElementLayout::Variable => None,
    }
}
