//! Elements as Rust types.

use std::borrow::Cow;

use half::{bf16, f16};
use num_complex::Complex;

use crate::buffer::addressable;
use crate::codec::Elements;
use crate::dtype::{DataType, VARIABLE_SLOT};
use crate::error::{Error, Result};

/// A Rust type that elements of arrays are read as and written from.
///
/// | Rust | Zarr |
/// |---|---|
/// | `bool` | `bool` |
/// | `i8` … `i64`, `u8` … `u64` | `int8` … `int64`, `uint8` … `uint64` |
/// | [`half::f16`], [`half::bf16`], `f32`, `f64` | `float16`, `bfloat16`, `float32`, `float64` |
/// | [`num_complex::Complex`] of `f32`, `f64` | `complex64`, `complex128` |
/// | `i64` | `numpy.datetime64`, `numpy.timedelta64`: the number of steps; `i64::MIN` is "not a time" |
/// | `[u8; N]` | `r8`, `r16`, … of N bytes; `null_terminated_bytes` of N, padded with zeros |
/// | `String` | `string` |
/// | `Vec<u8>` | `bytes` |
///
/// Values are never converted: a type that is not the array's is an error.
pub trait Element: sealed::Slots {
    /// Whether elements of an array of `data_type` are of this type.
    fn is_of(data_type: DataType) -> bool;
}

pub(crate) mod sealed {
    use std::borrow::Cow;

    use crate::error::Result;

    /// An element as plans move it.
    pub trait Slots: Sized + Clone + Send + Sync + 'static {
        /// What stands for one element in memory that a read fills: any bits are one.
        type Slot: bytemuck::Pod;

        /// The elements that slots stand for.
        ///
        /// # Errors
        /// `Corrupt` if they are none.
        fn from_slots(slots: Vec<Self::Slot>, heap: Vec<u8>) -> Result<Vec<Self>>;

        /// The slots of `elements` as bytes, and what they point into.
        fn to_slots(elements: &[Self]) -> (Cow<'_, [u8]>, Vec<u8>);

        /// The memory of elements, if a read may fill it.
        fn memory(elements: &mut [Self]) -> Option<&mut [u8]>;
    }
}

use sealed::Slots;

/// Checks that the elements of an array of `data_type` are of type `T`.
///
/// # Errors
/// `InvalidArgument`, naming both.
pub(crate) fn check_type<T: Element>(data_type: DataType) -> Result<()> {
    if T::is_of(data_type) {
        return Ok(());
    }
    Err(Error::invalid_argument(format!(
        "the array's elements are {data_type}, not `{}`",
        std::any::type_name::<T>()
    )))
}

/// Slots for `count` elements, all zeros; untouched pages cost nothing until they are written.
///
/// # Errors
/// `Limit` if the system refuses the allocation.
pub(crate) fn zeroed_slots<T: Element>(count: u64) -> Result<Vec<T::Slot>> {
    let slots = bytemuck::allocation::try_zeroed_slice_box(addressable(count)?);
    let size = size_of::<T::Slot>();
    slots
        .map(Vec::from)
        .map_err(|()| Error::limit(format!("cannot allocate {count} elements of {size} bytes")))
}

/// Types any bits of which are a value.
macro_rules! plain {
    ($type:ty, $is_of:expr) => {
        plain!(@[] $type, $is_of);
    };
    (@[$($generic:tt)*] $type:ty, $is_of:expr) => {
        impl<$($generic)*> Element for $type {
            fn is_of(data_type: DataType) -> bool {
                let is_of: fn(DataType) -> bool = $is_of;
                is_of(data_type)
            }
        }

        impl<$($generic)*> Slots for $type {
            type Slot = Self;

            fn from_slots(slots: Vec<Self>, _heap: Vec<u8>) -> Result<Vec<Self>> {
                Ok(slots)
            }

            fn to_slots(elements: &[Self]) -> (Cow<'_, [u8]>, Vec<u8>) {
                (Cow::Borrowed(bytemuck::cast_slice(elements)), Vec::new())
            }

            fn memory(elements: &mut [Self]) -> Option<&mut [u8]> {
                Some(bytemuck::cast_slice_mut(elements))
            }
        }
    };
}

plain!(i8, |data_type| data_type == DataType::Int8);
plain!(i16, |data_type| data_type == DataType::Int16);
plain!(i32, |data_type| data_type == DataType::Int32);
plain!(i64, |data_type| matches!(
    data_type,
    DataType::Int64 | DataType::DateTime64 { .. } | DataType::TimeDelta64 { .. }
));
plain!(u8, |data_type| data_type == DataType::UInt8);
plain!(u16, |data_type| data_type == DataType::UInt16);
plain!(u32, |data_type| data_type == DataType::UInt32);
plain!(u64, |data_type| data_type == DataType::UInt64);
plain!(f16, |data_type| data_type == DataType::Float16);
plain!(bf16, |data_type| data_type == DataType::BFloat16);
plain!(f32, |data_type| data_type == DataType::Float32);
plain!(f64, |data_type| data_type == DataType::Float64);
plain!(Complex<f32>, |data_type| data_type == DataType::Complex64);
plain!(Complex<f64>, |data_type| data_type == DataType::Complex128);
plain!(@[const N: usize] [u8; N], |data_type| matches!(
    data_type,
    DataType::Raw(size) | DataType::FixedBytes(size) if size as usize == N
));

impl Element for bool {
    fn is_of(data_type: DataType) -> bool {
        data_type == DataType::Bool
    }
}

impl Slots for bool {
    type Slot = u8;

    fn from_slots(slots: Vec<u8>, _heap: Vec<u8>) -> Result<Vec<Self>> {
        // In place: both are one byte.
        Ok(slots.into_iter().map(|byte| byte != 0).collect())
    }

    fn to_slots(elements: &[Self]) -> (Cow<'_, [u8]>, Vec<u8>) {
        (Cow::Borrowed(bytemuck::cast_slice(elements)), Vec::new())
    }

    /// None: what is stored may be neither 0 nor 1.
    fn memory(_elements: &mut [Self]) -> Option<&mut [u8]> {
        None
    }
}

/// The slot of an element of variable size.
type VariableSlot = [u8; VARIABLE_SLOT];

/// The elements of variable size that slots stand for.
fn from_variable<T>(
    slots: Vec<VariableSlot>,
    heap: Vec<u8>,
    element: impl Fn(&[u8]) -> Result<T>,
) -> Result<Vec<T>> {
    let elements = Elements { slots: slots.into_flattened(), heap };
    elements.variable().map(|bytes| element(bytes?)).collect()
}

/// The slots of elements of variable size, and what they point into.
fn to_variable<T: AsRef<[u8]>>(elements: &[T]) -> (Cow<'static, [u8]>, Vec<u8>) {
    let mut variable = Elements::default();
    for element in elements {
        variable.push_variable(element.as_ref());
    }
    (Cow::Owned(variable.slots), variable.heap)
}

impl Element for String {
    fn is_of(data_type: DataType) -> bool {
        data_type == DataType::String
    }
}

impl Slots for String {
    type Slot = VariableSlot;

    fn from_slots(slots: Vec<VariableSlot>, heap: Vec<u8>) -> Result<Vec<Self>> {
        from_variable(slots, heap, |bytes| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(Error::corrupt("a string is not UTF-8").with_source(error)),
        })
    }

    fn to_slots(elements: &[Self]) -> (Cow<'_, [u8]>, Vec<u8>) {
        to_variable(elements)
    }

    fn memory(_elements: &mut [Self]) -> Option<&mut [u8]> {
        None
    }
}

impl Element for Vec<u8> {
    fn is_of(data_type: DataType) -> bool {
        data_type == DataType::Bytes
    }
}

impl Slots for Vec<u8> {
    type Slot = VariableSlot;

    fn from_slots(slots: Vec<VariableSlot>, heap: Vec<u8>) -> Result<Vec<Self>> {
        from_variable(slots, heap, |bytes| Ok(bytes.to_vec()))
    }

    fn to_slots(elements: &[Self]) -> (Cow<'_, [u8]>, Vec<u8>) {
        to_variable(elements)
    }

    fn memory(_elements: &mut [Self]) -> Option<&mut [u8]> {
        None
    }
}
