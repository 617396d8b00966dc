//! The least that must be done: read the bytes, run the bare codec, put the elements in place. It
//! knows beforehand where every chunk is, and plans, checks and allocates nothing.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Engine, Place, Result};
use crate::codec::Decoder;
use crate::plane::{Extent, Tile};
use crate::workload::{Codec, Layout, Request, usize_of};

/// Shards below this size are read at once for a read of everything, others chunk by chunk.
const READ_AT_ONCE: u64 = 4 << 20;

/// The stored bytes of an array and where its chunks are.
pub(crate) struct Floor {
    layout: &'static Layout,
    source: Source,
    chunks: Vec<Chunk>,
    middle: usize,
    scratch: Mutex<Scratch>,
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

impl Floor {
    pub(crate) fn open(
        layout: &'static Layout,
        codec: Codec,
        place: Place,
        folder: &Path,
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
            Place::Local => Source::Files(files),
            Place::Memory => {
                Source::Memory(files.iter().map(std::fs::read).collect::<std::io::Result<_>>()?)
            }
        };
        let decoded = vec![0; layout.chunk_bytes()];
        let scratch = Scratch { decoder: Decoder::new(codec)?, encoded: Vec::new(), decoded };
        Ok(Self { layout, source, chunks, middle, scratch: Mutex::new(scratch) })
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
        let mut open: Option<(usize, File)> = None;
        let mut held = false;
        for chunk in chunks {
            let file = match &mut open {
                Some((object, file)) if *object == chunk.object => file,
                other => {
                    let file = File::open(&files[chunk.object])?;
                    held = self.layout.sharded && chunks.len() > 1 && read_small(&file, encoded)?;
                    &mut other.insert((chunk.object, file)).1
                }
            };
            if held {
                visit(chunk, &encoded[part(&chunk.place)])?;
                continue;
            }
            encoded.resize(part(&chunk.place).len(), 0);
            file.read_exact_at(encoded, chunk.place.start)?;
            visit(chunk, encoded)?;
        }
        Ok(())
    }
}

impl Engine for Floor {
    fn name(&self) -> &str {
        "floor"
    }

    fn read(&self, request: Request, output: &mut [u8]) -> Result<()> {
        let scratch = &mut *self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let Scratch { decoder, encoded, decoded } = scratch;
        let plane = Extent::of(self.layout.shape);
        let size = self.layout.chunk_bytes();
        let wanted = match request {
            Request::OneChunk => &self.chunks[self.middle..=self.middle],
            _ => &self.chunks[..],
        };
        let mut filled = 0;
        self.fetch(wanted, encoded, |chunk, encoded| {
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
                Request::Strided => chunk.tile.put_strided(elements, output, plane),
                _ => chunk.tile.put(elements, output, plane),
            }
            Ok(())
        })
    }
}

/// Reads a small file whole.
fn read_small(mut file: &File, bytes: &mut Vec<u8>) -> Result<bool> {
    let size = file.metadata()?.len();
    if size > READ_AT_ONCE {
        return Ok(false);
    }
    bytes.resize(usize_of(size), 0);
    file.read_exact(bytes)?;
    Ok(true)
}

fn part(place: &Range<u64>) -> Range<usize> {
    usize_of(place.start)..usize_of(place.end)
}

/// The file of the object at `position`, under the default key encoding.
fn file(folder: &Path, position: &[u64]) -> PathBuf {
    let names = position.iter().map(ToString::to_string);
    std::iter::once("c".to_owned())
        .chain(names)
        .fold(folder.to_owned(), |path, name| path.join(name))
}

/// Where a shard's inner chunks are: the pairs before the checksum at its end.
fn index(shard: &[u8], count: usize) -> Result<Vec<Range<u64>>> {
    let start = shard.len().checked_sub(count * 16 + 4).ok_or("the shard is too short")?;
    let (pairs, _) = shard[start..shard.len() - 4].as_chunks::<16>();
    let range = |pair: &[u8; 16]| {
        let [offset, length] = [0, 8].map(|at| {
            pair[at..at + 8].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        });
        offset..offset + length
    };
    Ok(pairs.iter().map(range).collect())
}
