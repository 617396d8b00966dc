//! The values of the arrays, and what each request should give of them.

use crate::plane::{Extent, Tile};
use crate::workload::{ELEMENT, Layout, Request, bytes_of};

/// Values that compress to about half, as measurements do: a level that changes slowly, and noise.
pub(crate) fn values(shape: &[u64]) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut level = 20_000_u16;
    let mut values = Vec::with_capacity(bytes_of(shape));
    for position in 0..shape.iter().product::<u64>() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let random = state.to_le_bytes();
        if position % 64 == 0 {
            level = level.wrapping_add(u16::from(random[7])).wrapping_sub(128);
        }
        let value = level.wrapping_add(u16::from(random[2] & 0x7f));
        values.extend_from_slice(&value.to_le_bytes());
    }
    values
}

/// Other values that compress as well: each element differs.
pub(crate) fn other(values: &[u8]) -> Vec<u8> {
    let (elements, _) = values.as_chunks::<ELEMENT>();
    elements.iter().flat_map(|[low, high]| [low ^ 0x15, *high]).collect()
}

/// What `request` should give of `values`.
pub(crate) fn expected(layout: &Layout, values: &[u8], request: Request) -> Vec<u8> {
    let plane = Extent::of(layout.shape);
    let chunk = Extent::of(layout.chunk);
    let mut result = vec![0; layout.result_bytes(request)];
    match request {
        Request::Whole => result.copy_from_slice(values),
        Request::Strided => {
            let tile = Tile { row: 0, column: 0, extent: plane };
            tile.put_strided(values, &mut result, plane, 0);
        }
        Request::OneChunk | Request::OneChunkAnew => {
            Tile::at(&layout.middle(), chunk).take(values, plane, &mut result)
        }
        Request::EachChunk => {
            let targets = result.chunks_exact_mut(layout.chunk_bytes());
            for (at, target) in layout.chunks().iter().zip(targets) {
                Tile::at(at, chunk).take(values, plane, target);
            }
        }
    }
    result
}
