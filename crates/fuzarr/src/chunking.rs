//! Shapes of chunks and shards where the caller leaves them open, as zarr-python chooses them.

/// Bytes that a chunk of an array of 1 MiB should have.
const INCREMENT: f64 = 256.0 * 1024.0;
/// The fewest and the most bytes that a chunk should have.
const LEAST: f64 = 128.0 * 1024.0;
const MOST: f64 = 64.0 * 1024.0 * 1024.0;
/// The most bytes that a chunk in a shard should have.
const MOST_IN_SHARD: f64 = 1024.0 * 1024.0;

/// The length of one chunk that spans `extent`: the least multiple of `unit`, but not 0.
#[must_use]
pub fn spanning(extent: u64, unit: u64) -> u64 {
    extent.div_ceil(unit.max(1)).max(1).saturating_mul(unit.max(1))
}

/// The shape of chunks for an array of `shape` whose elements take `element` bytes (1 if they differ
/// in size): the dimensions are halved in turn until a chunk has a size that grows with the array's.
#[must_use]
pub fn chunks(shape: &[u64], element: usize, sharded: bool) -> Vec<u64> {
    let mut chunks: Vec<u64> = shape.iter().map(|&extent| spanning(extent, 1)).collect();
    let most = if sharded { MOST_IN_SHARD } else { MOST };
    let bytes =
        |chunks: &[u64]| chunks.iter().fold(element as f64, |bytes, &extent| bytes * extent as f64);
    let target = INCREMENT * (bytes(&chunks) / (1024.0 * 1024.0)).log10().exp2();
    let target = if target > most { most } else { target.max(LEAST) };
    for dimension in (0..chunks.len()).cycle() {
        let size = bytes(&chunks);
        let fits = (size < target || (size - target).abs() / target < 0.5) && size < most;
        if fits || chunks.iter().all(|&extent| extent == 1) {
            break;
        }
        chunks[dimension] = chunks[dimension].div_ceil(2);
    }
    chunks
}

/// The shape of shards of `chunks`: two along a dimension of more than eight chunks.
#[must_use]
pub fn shards(shape: &[u64], chunks: &[u64]) -> Vec<u64> {
    let shard = |(&extent, &chunk): (&u64, &u64)| {
        if extent / chunk.max(1) > 8 { chunk.saturating_mul(2) } else { chunk }
    };
    shape.iter().zip(chunks).map(shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What zarr-python 3.4.2 gives.
    #[test]
    fn chunks_are_those_of_zarr_python() {
        for (shape, element, sharded, expected) in CASES {
            assert_eq!(chunks(shape, *element, *sharded), *expected, "{shape:?}, {element}");
        }
        assert_eq!(shards(&[1000, 80], &[100, 10]), [200, 10]);
    }

    type Case = (&'static [u64], usize, bool, &'static [u64]);
    const CASES: &[Case] = &[
        (&[], 8, false, &[]),
        (&[0], 8, false, &[1]),
        (&[3], 1, false, &[3]),
        (&[1000000], 4, false, &[125000]),
        (&[1000, 1000], 8, false, &[250, 250]),
        (&[4000, 3000, 7], 2, true, &[500, 375, 2]),
        (&[1000000, 1000000], 8, false, &[1954, 1954]),
        (&[1, 5], 67108864, false, &[1, 1]),
        (&[100000], 1, true, &[100000]),
        (&[365, 721, 1440], 4, false, &[46, 91, 180]),
        (&[1099511627776], 8, false, &[4194304]),
    ];

    #[test]
    fn a_chunk_that_spans_is_never_empty() {
        assert_eq!((spanning(0, 1), spanning(7, 1), spanning(7, 3), spanning(0, 3)), (1, 7, 9, 3));
    }
}
