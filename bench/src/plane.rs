//! Copies between planes of elements; a line is a plane of one row.

use crate::workload::{ELEMENT, STRIDE, usize_of};

/// Rows and columns, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Extent {
    /// Of a shape of one or two dimensions.
    pub(crate) fn of(shape: &[u64]) -> Self {
        match shape {
            [rows, columns] => Self { rows: usize_of(*rows), columns: usize_of(*columns) },
            _ => Self { rows: 1, columns: shape.iter().map(|&extent| usize_of(extent)).product() },
        }
    }

    /// Every fourth element of each dimension that has more than one.
    pub(crate) fn strided(self) -> Self {
        let stride = usize_of(STRIDE);
        Self { rows: self.rows.div_ceil(stride), columns: self.columns.div_ceil(stride) }
    }
}

/// A tile of a plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) extent: Extent,
}

impl Tile {
    /// The tile of size `extent` at grid position `chunk`.
    pub(crate) fn at(chunk: &[u64], extent: Extent) -> Self {
        let (row, column) = match chunk {
            [row, column] => (usize_of(*row), usize_of(*column)),
            _ => (0, chunk.iter().map(|&at| usize_of(at)).sum()),
        };
        Self { row: row * extent.rows, column: column * extent.columns, extent }
    }

    /// Where in the plane each of the tile's rows is, in bytes.
    fn rows(self, plane: Extent) -> impl Iterator<Item = std::ops::Range<usize>> {
        (self.row..self.row + self.extent.rows).map(move |row| {
            let start = (row * plane.columns + self.column) * ELEMENT;
            start..start + self.extent.columns * ELEMENT
        })
    }

    /// Copies the tile out of `source`, a whole plane.
    pub(crate) fn take(self, source: &[u8], plane: Extent, target: &mut [u8]) {
        let targets = target.chunks_exact_mut(self.extent.columns * ELEMENT);
        for (row, target) in self.rows(plane).zip(targets) {
            target.copy_from_slice(&source[row]);
        }
    }

    /// Copies the tile's elements into `target`, a plane but for its first `skipped` bytes.
    pub(crate) fn put(self, source: &[u8], target: &mut [u8], plane: Extent, skipped: usize) {
        let sources = source.chunks_exact(self.extent.columns * ELEMENT);
        for (row, source) in self.rows(plane).zip(sources) {
            target[row.start - skipped..row.end - skipped].copy_from_slice(source);
        }
    }

    /// Copies those of the tile's elements that a strided read wants into its result: `target`, but
    /// for its first `skipped` bytes.
    pub(crate) fn put_strided(
        self,
        source: &[u8],
        target: &mut [u8],
        plane: Extent,
        skipped: usize,
    ) {
        let stride = usize_of(STRIDE);
        let result = plane.strided();
        let first_row = self.row.next_multiple_of(stride);
        let first_column = self.column.next_multiple_of(stride);
        for row in (first_row..self.row + self.extent.rows).step_by(stride) {
            let start = (row - self.row) * self.extent.columns + first_column - self.column;
            let end = (row - self.row + 1) * self.extent.columns;
            let (wanted, _) = source[start * ELEMENT..end * ELEMENT].as_chunks::<ELEMENT>();
            let at = (row / stride * result.columns + first_column / stride) * ELEMENT - skipped;
            let (targets, _) = target[at..].as_chunks_mut::<ELEMENT>();
            for (target, element) in targets.iter_mut().zip(wanted.iter().step_by(stride)) {
                *target = *element;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_and_strides_agree_with_indexing() {
        let plane = Extent { rows: 8, columns: 12 };
        let element =
            |row: usize, column: usize| [u8::try_from(row).unwrap(), u8::try_from(column).unwrap()];
        let source: Vec<u8> =
            (0..8).flat_map(|row| (0..12).flat_map(move |column| element(row, column))).collect();
        let extent = Extent { rows: 2, columns: 3 };
        let mut copy = vec![9; source.len()];
        let mut strided = vec![9; 2 * 3 * ELEMENT];
        for row in 0..4 {
            for column in 0..4 {
                let tile = Tile::at(&[row, column], extent);
                let mut taken = vec![0; 2 * 3 * ELEMENT];
                tile.take(&source, plane, &mut taken);
                let skipped = if row < 2 { 0 } else { 4 * 12 * ELEMENT };
                tile.put(&taken, &mut copy[skipped..], plane, skipped);
                let skipped = if row < 2 { 0 } else { 3 * ELEMENT };
                tile.put_strided(&taken, &mut strided[skipped..], plane, skipped);
            }
        }
        assert_eq!(copy, source);
        let expected: Vec<u8> = [0, 4]
            .iter()
            .flat_map(|&r| [0, 4, 8].iter().flat_map(move |&c| element(r, c)))
            .collect();
        assert_eq!(strided, expected);
    }
}
