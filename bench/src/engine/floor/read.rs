//! Reads.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::crew::share;
use super::{PARTS, file, index, part};
use crate::codec::Decoder;
use crate::engine::{Engine, Family, Name, Place, Result};
use crate::plane::{Extent, Tile};
use crate::workload::{Codec, ELEMENT, Layout, Request, STRIDE, usize_of};

/// Chunks of a shard that span less than this are read at once, others one by one.
const READ_AT_ONCE: u64 = 4 << 20;

/// The stored bytes of an array and where its chunks are.
pub(crate) struct Reader {
    name: Name,
    layout: &'static Layout,
    source: Source,
    chunks: Vec<Chunk>,
    middle: usize,
    /// One for each thread.
    scratches: Vec<Mutex<Scratch>>,
}

enum Source {
    Files(Vec<PathBuf>),
    Memory(Vec<Vec<u8>>),
}

struct Chunk {
    object: usize,
    place: Range<u64>,
    tile: Tile,
}

struct Scratch {
    decoder: Decoder,
    encoded: Vec<u8>,
    decoded: Vec<u8>,
}

/// Chunks, and the part of the result that they fill.
struct Share<'a> {
    chunks: &'a [Chunk],
    output: &'a mut [u8],
    /// Where in the result that part starts.
    start: usize,
}

impl Reader {
    pub(crate) fn open(
        layout: &'static Layout,
        codec: Codec,
        place: Place,
        folder: &Path,
        threads: usize,
    ) -> Result<Self> {
        let positions = layout.chunks();
        let objects =
            if layout.sharded { vec![vec![0; layout.shape.len()]] } else { positions.clone() };
        let files: Vec<PathBuf> = objects.iter().map(|at| file(folder, at)).collect();
        let places = if layout.sharded {
            index(&std::fs::read(&files[0])?, positions.len())?
        } else {
            let whole = |file: &PathBuf| Ok(0..std::fs::metadata(file)?.len());
            files.iter().map(whole).collect::<Result<_>>()?
        };
        let extent = Extent::of(layout.chunk);
        let chunks = positions.iter().zip(places).enumerate().map(|(number, (at, place))| {
            let object = if layout.sharded { 0 } else { number };
            Chunk { object, place, tile: Tile::at(at, extent) }
        });
        let chunks = chunks.collect();
        let middle = positions.iter().position(|at| *at == layout.middle()).unwrap_or_default();
        let source = match place {
            Place::Memory => {
                Source::Memory(files.iter().map(std::fs::read).collect::<std::io::Result<_>>()?)
            }
            _ => Source::Files(files),
        };
        let scratch = |_| {
            let decoded = vec![0; layout.chunk_bytes()];
            Ok(Mutex::new(Scratch { decoder: Decoder::new(codec)?, encoded: Vec::new(), decoded }))
        };
        let scratches = (0..threads).map(scratch).collect::<Result<_>>()?;
        let name = Name::new(Family::Floor, threads);
        Ok(Self { name, layout, source, chunks, middle, scratches })
    }

    /// Divides what `request` asks by chunks, or rows of chunks.
    fn shares<'a>(&'a self, request: Request, mut output: &'a mut [u8]) -> Vec<Share<'a>> {
        let grid = self.layout.grid();
        let [rows, across] = [grid[0], grid[1..].iter().product()].map(usize_of);
        let parts = if self.scratches.len() == 1 { 1 } else { PARTS };
        let step = rows.div_ceil(parts);
        let mut shares = Vec::with_capacity(parts);
        let mut start = 0;
        for first in (0..rows).step_by(step) {
            let next = rows.min(first + step);
            let end = self.filled(request, next);
            let (part, rest) = std::mem::take(&mut output).split_at_mut(end - start);
            let chunks = &self.chunks[first * across..next * across];
            shares.push(Share { chunks, output: part, start });
            (output, start) = (rest, end);
        }
        shares
    }

    /// The bytes of the result that the first `rows` of chunks fill.
    fn filled(&self, request: Request, rows: usize) -> usize {
        let extent = rows as u64 * self.layout.chunk[0];
        let stride = if request == Request::Strided { STRIDE } else { 1 };
        let across: u64 = self.layout.shape[1..].iter().map(|rest| rest.div_ceil(stride)).product();
        usize_of(extent.div_ceil(stride) * across) * ELEMENT
    }

    /// Gives `visit` the encoded bytes of each of `chunks`, in order.
    fn fetch(
        &self,
        chunks: &[Chunk],
        encoded: &mut Vec<u8>,
        mut visit: impl FnMut(&Chunk, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let files = match &self.source {
            Source::Memory(objects) => {
                for chunk in chunks {
                    visit(chunk, &objects[chunk.object][part(&chunk.place)])?;
                }
                return Ok(());
            }
            Source::Files(files) => files,
        };
        if self.layout.sharded {
            return fetch_inner(&File::open(&files[0])?, chunks, encoded, visit);
        }
        for chunk in chunks {
            encoded.resize(part(&chunk.place).len(), 0);
            File::open(&files[chunk.object])?.read_exact_at(encoded, 0)?;
            visit(chunk, encoded)?;
        }
        Ok(())
    }

    /// Decodes all chunks of a share into its part of the result.
    fn fill(&self, request: Request, scratch: &mut Scratch, share: Share) -> Result<()> {
        let Scratch { decoder, encoded, decoded } = scratch;
        let Share { chunks, output, start } = share;
        let plane = Extent::of(self.layout.shape);
        let size = self.layout.chunk_bytes();
        let mut filled = 0;
        self.fetch(chunks, encoded, |chunk, encoded| {
            if request != Request::Strided && (plane.rows == 1 || request != Request::Whole) {
                decoder.decode(encoded, &mut output[filled..filled + size])?;
                filled += size;
                return Ok(());
            }
            let elements = if decoder.is_raw() {
                encoded
            } else {
                decoder.decode(encoded, decoded)?;
                &*decoded
            };
            match request {
                Request::Strided => chunk.tile.put_strided(elements, output, plane, start),
                _ => chunk.tile.put(elements, output, plane, start),
            }
            Ok(())
        })
    }
}

impl Engine for Reader {
    fn name(&self) -> &Name {
        &self.name
    }

    /// A call for one chunk has nothing to share out.
    fn offers(&self, request: Request) -> bool {
        self.scratches.len() == 1 || matches!(request, Request::Whole | Request::Strided)
    }

    fn read(&self, request: Request, output: &mut [u8]) -> Result<()> {
        let shares = match request {
            Request::OneChunk | Request::OneChunkAnew => {
                let chunks = &self.chunks[self.middle..=self.middle];
                vec![Share { chunks, output, start: 0 }]
            }
            _ => self.shares(request, output),
        };
        share(&self.scratches, shares, |scratch, share| self.fill(request, scratch, share))
    }
}

/// Gives `visit` the bytes of each of a shard's `chunks`, in order.
fn fetch_inner(
    shard: &File,
    chunks: &[Chunk],
    encoded: &mut Vec<u8>,
    mut visit: impl FnMut(&Chunk, &[u8]) -> Result<()>,
) -> Result<()> {
    let start = chunks.iter().map(|chunk| chunk.place.start).min().unwrap_or(0);
    let end = chunks.iter().map(|chunk| chunk.place.end).max().unwrap_or(0);
    if end - start <= READ_AT_ONCE {
        encoded.resize(usize_of(end - start), 0);
        shard.read_exact_at(encoded, start)?;
        for chunk in chunks {
            let place = chunk.place.start - start..chunk.place.end - start;
            visit(chunk, &encoded[part(&place)])?;
        }
        return Ok(());
    }
    for chunk in chunks {
        encoded.resize(part(&chunk.place).len(), 0);
        shard.read_exact_at(encoded, chunk.place.start)?;
        visit(chunk, encoded)?;
    }
    Ok(())
}
