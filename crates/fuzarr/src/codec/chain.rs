//! Chains: a list of codecs, checked, and bound to the shape and type of a chunk.
//!
//! `Prepared` is where all choices are made that do not depend on the bytes: permutations become
//! strides, byte order becomes a property of the copy, array codecs outside a shard move into its
//! inner chunks, and the sizes that decoding may reach are known.

use std::ops::Range;
use std::sync::Arc;

use once_cell::race::OnceBox;

use super::bound::append;
use super::order::{Arrays, Parts, arrays, c_strides, elements, parts};
use super::{ArrayToArray, ArrayToBytes, BytesToBytes, ChunkSpec, Codec, Elements, Endian};
use super::{Sharding, Size};
use crate::buffer::{addressable, reuse};
use crate::copy;
use crate::dtype::ElementLayout;
use crate::error::{Error, Result, ResultExt};
use crate::shard::{PreparedIndex, WriteOrder};

/// What a decoded shard with codecs around it may hold beyond its inner chunks and index: gaps
/// are legal, but not without end.
const SHARD_SLACK: u64 = 64 << 20;

/// A chain bound to a chunk.
///
/// Decoded elements stand in *buffer form*: in the order in which they are stored, which
/// `strides` map to the chunk's dimensions, with numbers reversed if `swap` says so.
///
/// Where units write in the shared output is worked out from these numbers: nothing outside of this crate
/// changes them.
#[derive(Debug)]
pub struct Prepared {
    /// The chunk as the caller sees it.
    pub(crate) spec: ChunkSpec,
    /// For each dimension, the distance in elements between neighbours in buffer form.
    pub(crate) strides: Vec<u64>,
    /// Bytes of the numbers that a copy out of buffer form must reverse; 1 for none.
    pub(crate) swap: usize,
    /// Bytes of an element.
    pub(crate) element: usize,
    /// Bytes of a chunk in buffer form.
    pub(crate) length: usize,
    /// One element of fill value in buffer form.
    pub(crate) fill: Vec<u8>,
    /// Whether buffer form is the caller's form: C order, native numbers.
    pub(crate) native: bool,
    /// Array codecs that change elements, each with what it is given when encoding.
    transforms: Vec<(Arc<dyn ArrayToArray>, ChunkSpec)>,
    /// What turns elements into bytes.
    pub(crate) body: Body,
    /// Bytes codecs, each with the size of what it decodes to.
    compressors: Vec<(Arc<Compressor>, Size)>,
    /// How large an encoded chunk may be.
    pub(crate) encoded_size: Size,
}

type Compressor = dyn BytesToBytes;

/// The array→bytes codec of a chain.
#[derive(Debug)]
pub(crate) enum Body {
    /// `bytes`: the elements as they are, their numbers of `swap` bytes reversed by a pass of its
    /// own where the copy cannot do it.
    Plain { swap: usize, length: usize },
    /// A shard.
    Shard(Box<PreparedShard>),
    /// Another codec, bound to what it is given when encoding.
    Other(Arc<dyn ArrayToBytes>, ChunkSpec),
}

/// The geometry of a shard, in the dimensions that the caller sees.
#[derive(Debug)]
pub(crate) struct PreparedShard {
    /// An inner chunk.
    pub(crate) inner: Arc<Prepared>,
    /// Inner chunks along each stored dimension.
    pub(crate) grid: Vec<u64>,
    /// For each of the caller's dimensions, the distance in index slots between neighbours.
    pub(crate) slot_strides: Vec<u64>,
    pub(crate) index: PreparedIndex,
    /// Slots in the order in which they are written, once that was asked for.
    orders: [OnceBox<Arc<Vec<u64>>>; 4],
}

impl PreparedShard {
    /// The slots in the order in which inner chunks are written.
    pub(crate) fn order(&self, order: WriteOrder) -> Arc<Vec<u64>> {
        let slots = || Box::new(Arc::new(order.slots(&self.grid)));
        Arc::clone(self.orders[order as usize].get_or_init(slots))
    }
}

/// What coding one chunk may use: memory that is reused from chunk to chunk, and threads.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    /// How many threads may encode one chunk, while the calling one waits.
    pub(crate) threads: usize,
    bytes: [Vec<u8>; 2],
    elements: Elements,
}

impl Stages {
    /// Bytes of the largest buffer.
    pub(crate) fn capacity(&self) -> usize {
        let Self { bytes: [one, other], elements, .. } = self;
        let buffers = [one, other, &elements.slots, &elements.heap];
        buffers.into_iter().map(Vec::capacity).max().unwrap_or(0)
    }
}

impl Prepared {
    /// Binds `codecs` to chunks of `spec`.
    ///
    /// # Errors
    /// `InvalidMetadata` if the codecs are in the wrong order or do not fit the chunk,
    /// `Unsupported` for combinations fuzarr does not have, `Limit` for chunks that cannot be
    /// addressed.
    pub fn new(codecs: &[Codec], spec: ChunkSpec) -> Result<Self> {
        let element = spec.data_type.layout().slot();
        let parts = parts(codecs)?;
        let length = elements(&spec.shape)?
            .checked_mul(element as u64)
            .ok_or_else(|| Error::limit("a chunk has too many bytes"))?;
        let arrays = arrays(&parts.arrays, &spec)?;
        let mut strides = vec![0; spec.shape.len()];
        let permuted: Vec<u64> = arrays.order.iter().map(|&from| spec.shape[from]).collect();
        for (&dimension, stride) in arrays.order.iter().zip(c_strides(&permuted)) {
            strides[dimension] = stride;
        }
        let mut prepared = Self {
            strides,
            swap: 1,
            element,
            length: addressable(length)?,
            fill: spec.fill.clone(),
            native: false,
            transforms: Vec::new(),
            body: Body::Plain { swap: 1, length: 0 },
            compressors: Vec::new(),
            encoded_size: Size::Exact(0),
            spec,
        };
        prepared.bind_body(&parts, arrays)?;
        prepared.native = prepared.swap <= 1 && prepared.strides == c_strides(&prepared.spec.shape);
        for codec in parts.bytes {
            let decoded = prepared.encoded_size;
            prepared.encoded_size = codec.encoded_size(decoded);
            prepared.compressors.push((Arc::clone(codec), decoded));
        }
        Ok(prepared)
    }

    /// The chunk as the caller sees it.
    #[must_use]
    pub fn spec(&self) -> &ChunkSpec {
        &self.spec
    }

    /// Bytes of an element; for those of variable size, of a slot.
    #[must_use]
    pub fn element(&self) -> usize {
        self.element
    }

    fn bind_body(&mut self, parts: &Parts<'_>, arrays: Arrays) -> Result<()> {
        let stored_length = |stored: &ChunkSpec| -> Result<u64> {
            elements(&stored.shape)?
                .checked_mul(stored.data_type.layout().slot() as u64)
                .ok_or_else(|| Error::limit("a chunk has too many bytes"))
        };
        match parts.body {
            Codec::Bytes(_) if self.is_variable() => {
                return Err(Error::invalid_metadata(format!(
                    "bytes: elements of data type `{}` differ in size",
                    self.spec.data_type.name()
                )));
            }
            Codec::Bytes(endian) => {
                let length = stored_length(&arrays.stored)?;
                let mut swap = swap(*endian, &arrays.stored)?;
                if arrays.transforms.is_empty() {
                    self.swap = std::mem::replace(&mut swap, 1);
                    copy::swap_in_place(&mut self.fill, self.swap);
                }
                self.body = Body::Plain { swap, length: addressable(length)? };
                self.encoded_size = Size::Exact(length);
            }
            Codec::ArrayToBytes(codec) => {
                self.encoded_size = codec.encoded_size(&arrays.stored)?;
                self.body = Body::Other(Arc::clone(codec), arrays.stored.clone());
            }
            Codec::Sharding(sharding) => {
                let shard = self.shard(sharding, parts, &arrays)?;
                let chunks = shard.inner.encoded_size.limit().saturating_mul(shard.index.slots());
                let limit = chunks.saturating_add(shard.index.length() as u64);
                self.encoded_size = Size::AtMost(limit.saturating_add(SHARD_SLACK));
                self.body = Body::Shard(Box::new(shard));
                return Ok(());
            }
            Codec::ArrayToArray(_) | Codec::BytesToBytes(_) => {}
        }
        self.transforms = arrays.transforms;
        Ok(())
    }

    /// The shard's geometry. Array codecs around a shard act on each inner chunk by itself, so
    /// they are bound there: what is left here are permuted slots.
    fn shard(
        &self,
        sharding: &Sharding,
        parts: &Parts<'_>,
        arrays: &Arrays,
    ) -> Result<PreparedShard> {
        if arrays.opaque {
            return Err(Error::unsupported(
                "not supported: a codec that needs whole chunks before `sharding_indexed`",
            ));
        }
        let stored = &arrays.stored.shape;
        let inner = &sharding.chunk_shape;
        if inner.len() != stored.len() {
            return Err(Error::invalid_metadata(format!(
                "sharding_indexed: chunk_shape {inner:?} for a shard of shape {stored:?}"
            )));
        }
        let mut grid = Vec::with_capacity(inner.len());
        let mut shape = vec![0; inner.len()];
        for (position, (&extent, &chunk)) in stored.iter().zip(inner).enumerate() {
            if chunk == 0 || extent % chunk != 0 {
                return Err(Error::invalid_metadata(format!(
                    "sharding_indexed: chunk_shape {inner:?} does not divide the shard's {stored:?}"
                )));
            }
            grid.push(extent / chunk);
            shape[arrays.order[position]] = chunk;
        }
        let mut slot_strides = vec![0; inner.len()];
        for (&dimension, stride) in arrays.order.iter().zip(c_strides(&grid)) {
            slot_strides[dimension] = stride;
        }
        let outer = parts.arrays.iter().map(|codec| Codec::ArrayToArray(Arc::clone(codec)));
        let codecs: Vec<Codec> = outer.chain(sharding.codecs.iter().cloned()).collect();
        let spec = ChunkSpec { shape, ..self.spec.clone() };
        let inner = Arc::new(Self::new(&codecs, spec)?);
        let index = PreparedIndex::new(&sharding.index_codecs, &grid, sharding.index_location)?;
        Ok(PreparedShard { inner, grid, slot_strides, index, orders: Default::default() })
    }

    /// The shard that the encoded bytes hold, where it is known that they do.
    ///
    /// # Errors
    /// `InvalidArgument` if they do not.
    pub(crate) fn the_shard(&self) -> Result<&PreparedShard> {
        self.any_shard().ok_or_else(|| Error::invalid_argument("the chain has no shard"))
    }

    /// Whether elements are of variable size: slots that point into a heap.
    pub(crate) fn is_variable(&self) -> bool {
        self.spec.data_type.layout() == ElementLayout::Variable
    }

    /// Whether the encoded bytes are the elements in buffer form.
    pub(crate) fn is_raw(&self) -> bool {
        let plain = matches!(self.body, Body::Plain { .. });
        plain && self.transforms.is_empty() && self.compressors.is_empty()
    }

    /// About how many nanoseconds one thread takes to decode or encode `bytes` of elements, and
    /// move them.
    pub(crate) fn cost(&self, bytes: u64) -> u64 {
        match &self.body {
            Body::Shard(shard) if self.compressors.is_empty() => shard.inner.cost(bytes),
            _ if self.is_raw() => bytes / 4,
            _ => bytes,
        }
    }

    /// The codec that made the stored bytes, for errors.
    pub(crate) fn outermost(&self) -> &'static str {
        match (self.compressors.last(), &self.body) {
            (Some((codec, _)), _) => codec.name(),
            (None, Body::Shard(_)) => "sharding_indexed",
            (None, Body::Plain { .. } | Body::Other(..)) => "bytes",
        }
    }

    /// How many bytes an object that holds such a chunk may have. Shards may have gaps.
    pub(crate) fn stored_limit(&self) -> u64 {
        let limit = self.encoded_size.limit();
        match self.open_shard() {
            Some(_) => limit.saturating_mul(2).saturating_add(SHARD_SLACK),
            None => limit,
        }
    }

    /// The shard that the encoded bytes are, if nothing is around it: then parts of it can be read.
    pub(crate) fn open_shard(&self) -> Option<&PreparedShard> {
        match &self.body {
            Body::Shard(shard) if self.compressors.is_empty() => Some(shard),
            _ => None,
        }
    }

    /// The shard that the encoded bytes hold, in the open or not.
    pub(crate) fn any_shard(&self) -> Option<&PreparedShard> {
        match &self.body {
            Body::Shard(shard) => Some(shard),
            _ => None,
        }
    }

    /// Whether all shards down to the smallest piece can be read in part.
    pub(crate) fn is_open(&self) -> bool {
        match (self.any_shard(), self.open_shard()) {
            (Some(_), Some(shard)) => shard.inner.is_open(),
            (shard, _) => shard.is_none(),
        }
    }

    /// The chain of the smallest piece that is encoded by itself.
    pub(crate) fn leaf(&self) -> &Self {
        self.any_shard().map_or(self, |shard| shard.inner.leaf())
    }

    /// Undoes the bytes codecs.
    ///
    /// # Errors
    /// `Corrupt`, naming the codec.
    pub(crate) fn unseal<'s>(&self, encoded: &'s [u8], stages: &'s mut Stages) -> Result<&'s [u8]> {
        // Two stages, in turn: each codec reads one (or the encoded bytes) and fills the other.
        let [front, back] = &mut stages.bytes;
        let (mut source, mut target) = (front, back);
        let mut current: Option<Range<usize>> = None;
        let mut untouched = encoded;
        for (codec, decoded) in self.compressors.iter().rev() {
            let input = match &current {
                None => untouched,
                Some(range) => &source[range.clone()],
            };
            if let Some(view) = codec.view(input) {
                let view = view?;
                match &mut current {
                    None => untouched = part(untouched, view)?,
                    Some(range) => {
                        part(input, view.clone())?;
                        *range = range.start + view.start..range.start + view.end;
                    }
                }
                continue;
            }
            let length = match *decoded {
                Size::Exact(size) => {
                    let length = addressable(size)?;
                    codec.decode_into(input, reuse(target, length)?)?;
                    length
                }
                Size::AtMost(limit) => {
                    codec.decode(input, limit, target)?;
                    target.len()
                }
            };
            current = Some(0..length);
            std::mem::swap(&mut source, &mut target);
        }
        Ok(match current {
            None => untouched,
            Some(range) => &source[range],
        })
    }

    /// Decodes a chunk that is no shard to buffer form.
    ///
    /// # Errors
    /// `Corrupt`, naming the codec.
    pub(crate) fn decode<'s>(&self, encoded: &'s [u8], stages: &'s mut Stages) -> Result<&'s [u8]> {
        if let (Body::Plain { length, .. }, []) = (&self.body, &self.transforms[..]) {
            let bytes = self.unseal(encoded, stages)?;
            return if bytes.len() == *length {
                Ok(bytes)
            } else {
                Err(wrong_length(bytes.len(), *length))
            };
        }
        let mut elements = self.decode_body(encoded, stages)?;
        for (codec, decoded) in self.transforms.iter().rev() {
            elements = codec.decode(decoded, &elements)?;
        }
        if elements.slots.len() != self.length {
            return Err(wrong_length(elements.slots.len(), self.length));
        }
        stages.elements = elements;
        Ok(&stages.elements.slots)
    }

    /// Decodes a chunk to find out whether that can be done and gives elements of the type.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(crate) fn check(&self, encoded: &[u8], stages: &mut Stages) -> Result<()> {
        self.spec.data_type.check(self.decode(encoded, stages)?)
    }

    /// Decodes a chunk of variable elements; their slots are in buffer form.
    ///
    /// # Errors
    /// `Corrupt`, naming the codec.
    pub(crate) fn decode_variable<'s>(
        &self,
        encoded: &[u8],
        stages: &'s mut Stages,
    ) -> Result<&'s Elements> {
        self.decode(encoded, stages)?;
        Ok(&stages.elements)
    }

    /// The stored array in native order, before the array codecs.
    fn decode_body(&self, encoded: &[u8], stages: &mut Stages) -> Result<Elements> {
        let mut slots = std::mem::take(&mut stages.elements.slots);
        let bytes = self.unseal(encoded, stages)?;
        match &self.body {
            Body::Plain { length, .. } if bytes.len() != *length => {
                Err(wrong_length(bytes.len(), *length))
            }
            Body::Plain { swap, .. } => {
                slots.clear();
                slots.extend_from_slice(bytes);
                copy::swap_in_place(&mut slots, *swap);
                Ok(Elements { slots, heap: Vec::new() })
            }
            Body::Other(codec, spec) => codec.decode(spec, bytes),
            Body::Shard(_) => Err(Error::invalid_argument("a shard is decoded by a plan")),
        }
    }

    /// Decodes a chunk straight into the caller's memory, which holds one chunk in C order.
    /// `None` if this chain cannot, and nothing was written.
    pub(crate) fn decode_into(&self, encoded: &[u8], target: &mut [u8]) -> Option<Result<()>> {
        let plain = matches!(self.body, Body::Plain { .. }) && self.transforms.is_empty();
        if !plain || !self.native {
            return None;
        }
        let input = match self.innermost(encoded)? {
            Ok((Some(codec), input)) => return Some(codec.decode_into(input, target)),
            Ok((None, input)) => input,
            Err(error) => return Some(Err(error)),
        };
        if input.len() != target.len() {
            return Some(Err(wrong_length(input.len(), target.len())));
        }
        target.copy_from_slice(input);
        Some(Ok(()))
    }

    /// Decodes a chunk that is no shard to buffer form, at least bytes `wanted` of it: what was decoded, and
    /// which byte of the chunk it starts with.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), for what is looked at.
    pub(crate) fn decode_part<'s>(
        &self,
        encoded: &'s [u8],
        wanted: Range<usize>,
        stages: &'s mut Stages,
    ) -> Result<(&'s [u8], usize)> {
        let plain = matches!(self.body, Body::Plain { .. }) && self.transforms.is_empty();
        let innermost = if plain { self.innermost(encoded).transpose()? } else { None };
        let (codec, input) = match innermost {
            Some((Some(codec), input)) => (codec, input),
            // Stored as it is, but for what was just undone.
            Some((None, input)) if input.len() == self.length => return Ok((input, 0)),
            _ => return Ok((self.decode(encoded, stages)?, 0)),
        };
        let decoded = &mut stages.bytes[0];
        if codec.decode_part(input, self.length, wanted.clone(), decoded) {
            return Ok((&decoded[..wanted.len()], wanted.start));
        }
        let whole = reuse(decoded, self.length)?;
        codec.decode_into(input, whole)?;
        Ok((whole, 0))
    }

    /// The bytes codec next to the elements with what it has to decode, once those around it, which must
    /// only add to their input, are undone; none if all of them do. `None` if another is around it.
    fn innermost<'e>(&self, encoded: &'e [u8]) -> Option<Result<(Option<&Compressor>, &'e [u8])>> {
        let mut input = encoded;
        for (position, (codec, _)) in self.compressors.iter().enumerate().rev() {
            match codec.view(input) {
                Some(view) => match view.and_then(|view| part(input, view)) {
                    Ok(view) => input = view,
                    Err(error) => return Some(Err(error)),
                },
                None if position == 0 => return Some(Ok((Some(&**codec), input))),
                None => return None,
            }
        }
        Some(Ok((None, input)))
    }

    /// Appends the encoding of a chunk in buffer form that is no shard.
    ///
    /// # Errors
    /// `InvalidArgument` if an element has no encoded form, `Limit` without memory.
    pub(crate) fn encode(
        &self,
        buffer: &[u8],
        stages: &mut Stages,
        encoded: &mut Vec<u8>,
    ) -> Result<()> {
        if matches!(self.body, Body::Plain { .. }) && self.transforms.is_empty() {
            return self.seal(buffer, stages, encoded);
        }
        let elements = Elements { slots: buffer.to_vec(), heap: Vec::new() };
        self.encode_elements(elements, stages, encoded)
    }

    /// Appends the encoding of the elements of a chunk in buffer form that is no shard.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub(crate) fn encode_elements(
        &self,
        mut elements: Elements,
        stages: &mut Stages,
        encoded: &mut Vec<u8>,
    ) -> Result<()> {
        for (codec, decoded) in &self.transforms {
            elements = codec.encode(decoded, &elements)?;
        }
        match &self.body {
            Body::Plain { swap, .. } => {
                copy::swap_in_place(&mut elements.slots, *swap);
                self.seal(&elements.slots, stages, encoded)
            }
            Body::Other(codec, spec) => {
                let mut bytes = Vec::new();
                codec.encode(spec, &elements, &mut bytes)?;
                self.seal(&bytes, stages, encoded)
            }
            Body::Shard(_) => Err(Error::invalid_argument("a shard is encoded by a plan")),
        }
    }

    /// Appends what the bytes codecs make of `bytes`.
    ///
    /// # Errors
    /// `InvalidArgument` if there are more bytes than a codec can take, `Limit` without memory.
    pub(crate) fn seal(
        &self,
        bytes: &[u8],
        stages: &mut Stages,
        encoded: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(((last, _), before)) = self.compressors.split_last() else {
            return append(encoded, bytes);
        };
        // Two stages, in turn, as in `unseal`.
        let Stages { threads, bytes: [front, back], .. } = stages;
        let threads = *threads;
        let (mut source, mut target) = (front, back);
        let mut is_first = true;
        for (codec, _) in before {
            target.clear();
            let input = if is_first { bytes } else { &source[..] };
            codec.encode_on(threads, input, target).context("codec", || codec.name())?;
            std::mem::swap(&mut source, &mut target);
            is_first = false;
        }
        let input = if is_first { bytes } else { &source[..] };
        last.encode_on(threads, input, encoded).context("codec", || last.name())
    }
}

/// The part of `bytes` that a codec gave as its view.
fn part(bytes: &[u8], view: Range<usize>) -> Result<&[u8]> {
    bytes.get(view).ok_or_else(|| Error::corrupt("a codec's view leaves its input"))
}

#[cold]
pub(crate) fn wrong_length(found: usize, expected: usize) -> Error {
    Error::corrupt(format!("decoded to {found} bytes where the chunk has {expected}"))
        .with("codec", "bytes")
}

/// Bytes of the numbers that the `bytes` codec stores reversed, as seen from this machine.
fn swap(endian: Option<Endian>, spec: &ChunkSpec) -> Result<usize> {
    let number = spec.data_type.number_size();
    if number == 1 {
        return Ok(1);
    }
    let native = if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little };
    match endian {
        Some(endian) => Ok(if endian == native { 1 } else { number }),
        None => Err(Error::invalid_metadata(format!(
            "bytes: `endian` is required for data type `{}`",
            spec.data_type.name()
        ))),
    }
}
