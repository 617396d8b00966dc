//! The elements of a part, on their way from one array to the other: the one place of a copy that
//! knows what an element is.

use super::schedule::Part;
use crate::array::Array;
use crate::buffer::{addressable, zeroed};
use crate::codec;
use crate::copy;
use crate::dtype::ElementLayout;
use crate::error::{Error, Result};
use crate::plan::{ReadOptions, WriteOptions};
use crate::selection::{Selection, Term};

/// The elements of one part, in memory that is used again for the next.
#[derive(Debug, Default)]
pub(super) struct Elements {
    memory: Vec<u8>,
    /// Elements of variable size; the others are in `memory`.
    variable: Option<codec::Elements>,
}

impl Elements {
    /// Reads the part of `array`. Elements of variable size may take `heap` bytes beside their slots.
    ///
    /// # Errors
    /// Those of [`Array::read_bytes_into`]; `Limit` if they take more.
    pub(super) async fn read(
        &mut self,
        array: &Array,
        part: &Part,
        (options, heap): (&ReadOptions, Option<u64>),
    ) -> Result<()> {
        let selection = selection(part)?;
        // What an earlier array left.
        self.variable = None;
        if array.data_type().layout() == ElementLayout::Variable {
            let read = array.read_within_async(&selection, options, heap).await?;
            self.variable = Some(codec::Elements { slots: read.bytes, heap: read.heap });
            return Ok(());
        }
        let count = part.shape.iter().try_fold(1_u64, |product, &n| product.checked_mul(n));
        let size = count.and_then(|count| count.checked_mul(array.element_size() as u64));
        let size = size.ok_or_else(|| Error::limit("a part has too many bytes"))?;
        let (mut memory, length) = (std::mem::take(&mut self.memory), addressable(size)?);
        if memory.capacity() < length {
            // Given back first: never both the old and the new.
            drop(memory);
            memory = zeroed(size)?;
        }
        memory.resize(length, 0);
        self.memory = array.read_bytes_into_async(&selection, memory, options).await?;
        Ok(())
    }

    /// Writes them as the part of `array`; they are gone then.
    ///
    /// # Errors
    /// Those of [`Array::write_elements`].
    pub(super) async fn write(
        &mut self,
        array: &Array,
        part: &Part,
        options: &WriteOptions,
    ) -> Result<()> {
        let selection = selection(part)?;
        if let Some(elements) = self.variable.take() {
            return array.write_elements_async(&selection, elements, options).await;
        }
        let values = codec::Elements { slots: std::mem::take(&mut self.memory), heap: Vec::new() };
        self.memory = array.write_lent_async(&selection, values, options).await?.slots;
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        &self.memory
    }

    /// Whether all are the fill value of `array`, by bits.
    pub(super) fn are_filled(&self, array: &Array) -> bool {
        let fill = &array.layout().chain.spec.fill;
        match &self.variable {
            Some(elements) => {
                elements.variable().all(|element| element.is_ok_and(|element| element == fill))
            }
            None => copy::is_filled(self.bytes(), fill),
        }
    }

    /// The number of the first element of `size` bytes that differs, by bits.
    pub(super) fn first_difference(&self, other: &Self, size: usize) -> Option<u64> {
        if let (Some(ours), Some(theirs)) = (&self.variable, &other.variable) {
            let differs = |(ours, theirs): (Result<&[u8]>, Result<&[u8]>)| match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => ours != theirs,
                _ => true,
            };
            let place = ours.variable().zip(theirs.variable()).position(differs);
            return place.map(|place| place as u64);
        }
        let (ours, theirs) = (self.bytes(), other.bytes());
        if ours == theirs {
            return None;
        }
        let same = ours.iter().zip(theirs).take_while(|(one, other)| one == other).count();
        Some((same / size.max(1)) as u64)
    }
}

fn selection(part: &Part) -> Result<Selection> {
    let position = |at: u64| {
        i64::try_from(at).map_err(|_| Error::limit("a position beyond 2^63 cannot be asked for"))
    };
    let term = |(&start, &length): (&u64, &u64)| {
        let stop = Some(position(start.saturating_add(length))?);
        Ok(Term::Slice { start: Some(position(start)?), stop, step: None })
    };
    let terms: Result<Vec<_>> = part.start.iter().zip(&part.shape).map(term).collect();
    Ok(Selection::Orthogonal(terms?))
}
