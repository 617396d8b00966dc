//! Writes: what is stored is never changed, but replaced by a temporary file that takes its name, or
//! by other memory.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::crew::{lock, share};
use super::{PARTS, index_bytes, key, part};
use crate::codec::{Decoder, Encoder};
use crate::engine::{Family, Name, Objects, Place, Result, objects_below};
use crate::plane::{Extent, Tile};
use crate::workload::{Change, Codec, ELEMENT, Layout, usize_of};

/// An array that bare codecs write.
pub(crate) struct Writer {
    name: Name,
    layout: &'static Layout,
    codec: Codec,
    /// The keys of the objects.
    keys: Vec<String>,
    target: Target,
    /// Where the inner chunks of the shard are.
    places: Mutex<Vec<Range<u64>>>,
    /// One for each thread.
    scratches: Vec<Mutex<Scratch>>,
}

enum Target {
    Files { folder: PathBuf, paths: Vec<PathBuf> },
    Memory { document: Vec<u8>, objects: Vec<Mutex<Arc<Vec<u8>>>> },
}

struct Scratch {
    encoder: Encoder,
    decoder: Decoder,
    gathered: Vec<u8>,
    encoded: Vec<u8>,
}

/// Inner chunks that follow each other, encoded.
#[derive(Default)]
struct Encoded {
    bytes: Vec<u8>,
    lengths: Vec<u64>,
}

impl Writer {
    pub(crate) fn create(
        (layout, codec): (&'static Layout, Codec),
        place: Place,
        folder: &Path,
        threads: usize,
    ) -> Result<Self> {
        let positions =
            if layout.sharded { vec![vec![0; layout.shape.len()]] } else { layout.chunks() };
        let keys: Vec<String> = positions.iter().map(|position| key(position)).collect();
        let document = serde_json::to_vec(&layout.document(codec))?;
        let target = if place == Place::Memory {
            Target::Memory { document, objects: keys.iter().map(|_| Mutex::default()).collect() }
        } else {
            let paths: Vec<PathBuf> = keys.iter().map(|key| folder.join(key)).collect();
            for parent in paths.iter().filter_map(|path| path.parent()) {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(folder.join("zarr.json"), document)?;
            Target::Files { folder: folder.to_owned(), paths }
        };
        let scratch = |_| {
            let encoder = Encoder::new(codec)?;
            let gathered = vec![0; layout.chunk_bytes()];
            let decoder = Decoder::new(codec)?;
            Ok(Mutex::new(Scratch { encoder, decoder, gathered, encoded: Vec::new() }))
        };
        let scratches = (0..threads).map(scratch).collect::<Result<_>>()?;
        let name = Name::new(Family::Floor, threads);
        Ok(Self { name, layout, codec, keys, target, places: Mutex::default(), scratches })
    }

    /// All chunks, an object each.
    fn write_chunks(&self, values: &[u8]) -> Result<()> {
        let plane = Extent::of(self.layout.shape);
        let extent = Extent::of(self.layout.chunk);
        let size = self.layout.chunk_bytes();
        let chunks = self.layout.chunks();
        let work = chunks.iter().enumerate().collect();
        share(&self.scratches, work, |scratch, (number, at): (usize, &Vec<u64>)| {
            let Scratch { encoder, gathered, encoded, .. } = scratch;
            let elements = if plane.rows == 1 {
                &values[number * size..(number + 1) * size]
            } else {
                Tile::at(at, extent).take(values, plane, gathered);
                &gathered[..]
            };
            if self.codec == Codec::Raw {
                return self.put(number, &[elements]);
            }
            encoded.clear();
            encoder.encode(elements, encoded)?;
            self.put(number, &[encoded])
        })
    }

    /// The shard, all of it.
    fn write_shard(&self, values: &[u8]) -> Result<()> {
        let size = self.layout.chunk_bytes();
        if self.codec == Codec::Raw {
            let places = places((0..values.len() / size).map(|_| size as u64));
            let index = index_bytes(&places);
            *lock(&self.places) = places;
            return self.put(0, &[values, &index]);
        }
        let step = (values.len() / size).div_ceil(PARTS) * size;
        let parts: Vec<Mutex<Encoded>> =
            values.chunks(step).map(|_| Mutex::new(Encoded::default())).collect();
        let work = values.chunks(step).zip(&parts).collect();
        share(&self.scratches, work, |scratch, (elements, part): (&[u8], &Mutex<Encoded>)| {
            *lock(part) = scratch.encode(elements, size)?;
            Ok(())
        })?;
        let parts: Vec<Encoded> =
            parts.iter().map(|part| std::mem::take(&mut *lock(part))).collect();
        let places = places(parts.iter().flat_map(|part| part.lengths.iter().copied()));
        let index = index_bytes(&places);
        let mut pieces: Vec<&[u8]> = parts.iter().map(|part| &part.bytes[..]).collect();
        pieces.push(&index);
        *lock(&self.places) = places;
        self.put(0, &pieces)
    }

    /// Some of the shard's inner chunks: the others are copied as they are.
    fn write_part(&self, change: Change, values: &[u8]) -> Result<()> {
        let changed = self.layout.changed(change);
        let extent = self.layout.chunk[0];
        let chunks = usize_of(changed.start / extent)..usize_of(changed.end.div_ceil(extent));
        let old = lock(&self.places).clone();
        let scratch = &mut *lock(&self.scratches[0]);
        let new = if change == Change::OneElement {
            let mut elements = self.stored(scratch, &old[chunks.start])?;
            let at = usize_of(changed.start % extent) * ELEMENT;
            elements[at..at + ELEMENT].copy_from_slice(values);
            scratch.encode(&elements, elements.len())?
        } else {
            scratch.encode(values, self.layout.chunk_bytes())?
        };
        let lengths = old.iter().map(|place| place.end - place.start);
        let mut lengths: Vec<u64> = lengths.collect();
        lengths.splice(chunks.clone(), new.lengths);
        let before = 0..old[chunks.start].start;
        let after = old[chunks.end - 1].end..old.last().map_or(0, |last| last.end);
        let places = places(lengths.into_iter());
        let index = index_bytes(&places);
        *lock(&self.places) = places;
        self.splice(before, &new.bytes, after, &index)
    }

    /// An inner chunk, decoded.
    fn stored(&self, scratch: &mut Scratch, place: &Range<u64>) -> Result<Vec<u8>> {
        let encoded = match &self.target {
            Target::Memory { objects, .. } => lock(&objects[0])[part(place)].to_vec(),
            Target::Files { paths, .. } => {
                let mut encoded = vec![0; part(place).len()];
                File::open(&paths[0])?.read_exact_at(&mut encoded, place.start)?;
                encoded
            }
        };
        let mut elements = vec![0; self.layout.chunk_bytes()];
        scratch.decoder.decode(&encoded, &mut elements)?;
        Ok(elements)
    }

    /// Replaces an object by `pieces`.
    fn put(&self, number: usize, pieces: &[&[u8]]) -> Result<()> {
        match &self.target {
            Target::Memory { objects, .. } => *lock(&objects[number]) = Arc::new(pieces.concat()),
            Target::Files { paths, .. } => {
                let temporary = paths[number].with_extension("tmp");
                let mut file = File::create(&temporary)?;
                for piece in pieces {
                    file.write_all(piece)?;
                }
                drop(file);
                std::fs::rename(temporary, &paths[number])?;
            }
        }
        Ok(())
    }

    /// Replaces the shard by two parts of it, with `new` between them and `index` after them.
    fn splice(
        &self,
        before: Range<u64>,
        new: &[u8],
        after: Range<u64>,
        index: &[u8],
    ) -> Result<()> {
        let Target::Files { paths, .. } = &self.target else {
            let Target::Memory { objects, .. } = &self.target else { return Ok(()) };
            let old = Arc::clone(&lock(&objects[0]));
            return self.put(0, &[&old[part(&before)], new, &old[part(&after)], index]);
        };
        let mut old = File::open(&paths[0])?;
        let temporary = paths[0].with_extension("tmp");
        let mut file = File::create(&temporary)?;
        // The kernel copies from file to file.
        std::io::copy(&mut (&old).take(before.end), &mut file)?;
        file.write_all(new)?;
        old.seek(SeekFrom::Start(after.start))?;
        std::io::copy(&mut old.take(after.end - after.start), &mut file)?;
        file.write_all(index)?;
        drop(file);
        Ok(std::fs::rename(temporary, &paths[0])?)
    }
}

impl crate::engine::Writer for Writer {
    fn name(&self) -> &Name {
        &self.name
    }

    fn write(&self, change: Change, values: &[u8]) -> Result<()> {
        match change {
            Change::Whole if self.layout.sharded => self.write_shard(values),
            Change::Whole => self.write_chunks(values),
            _ => self.write_part(change, values),
        }
    }

    fn objects(&self) -> Result<Objects> {
        let (document, objects) = match &self.target {
            Target::Files { folder, .. } => return objects_below(folder),
            Target::Memory { document, objects } => (document, objects),
        };
        let stored = self.keys.iter().zip(objects);
        let mut found: Objects =
            stored.map(|(key, object)| (key.clone(), lock(object).to_vec())).collect();
        found.push(("zarr.json".to_owned(), document.clone()));
        Ok(found)
    }
}

impl Scratch {
    /// Encodes chunks of `size` bytes, one after the other.
    fn encode(&mut self, elements: &[u8], size: usize) -> Result<Encoded> {
        let mut encoded = Encoded::default();
        for chunk in elements.chunks(size) {
            let start = encoded.bytes.len();
            self.encoder.encode(chunk, &mut encoded.bytes)?;
            encoded.lengths.push((encoded.bytes.len() - start) as u64);
        }
        Ok(encoded)
    }
}

/// Where inner chunks of `lengths` are that follow each other.
fn places(lengths: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let place = |end: &mut u64, length: u64| {
        let start = *end;
        *end += length;
        Some(start..*end)
    };
    lengths.scan(0, place).collect()
}
