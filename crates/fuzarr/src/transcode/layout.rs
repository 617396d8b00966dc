//! From the layout of an array and what is asked to change, to the layout of its copy.

use serde_json::Value;

use crate::codec::Registry;
use crate::error::{Error, Result};
use crate::grid::RegularGrid;
use crate::metadata::{ArrayMetadata, Extension, Format};
use crate::v2;

/// The codec that makes a shard.
const SHARDING: &str = "sharding_indexed";

/// What is to change of an array's layout; what is left out stays as it is. Shape, type, fill
/// value, attributes, dimension names and the spelling of chunk keys always stay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Relayout {
    /// The shape of the smallest piece that is encoded by itself.
    pub chunks: Option<Vec<u64>>,
    /// Whether those are put together in shards.
    pub shards: Shards,
    /// The codecs of such a piece, inside shards too; all codecs of the array if there are none.
    /// Without this, those of the array stay, and the order of axes with them.
    pub codecs: Option<Vec<Extension>>,
}

/// What is asked of shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shards {
    /// Those that the array has, as long as chunks divide them; none otherwise.
    #[default]
    Keep,
    /// None.
    Off,
    /// Shards of this shape, a multiple of the chunks. It may be larger than the array.
    Shape(Vec<u64>),
}

impl Relayout {
    /// The metadata of the copy of an array, in this version of the format.
    ///
    /// Where nothing changes, shards within shards and codecs around shards stay as they are.
    /// Where something does, there is one level of shards at most; array codecs that stood around a
    /// shard go into its chunks, byte codecs stay around the stored object.
    ///
    /// # Errors
    /// `InvalidArgument` for chunks or shards of another rank, with a 0, or that do not fit each
    /// other; `Unsupported` for what fuzarr cannot write; `InvalidMetadata` for an array whose
    /// layout is not understood.
    pub fn apply(
        &self,
        source: &ArrayMetadata,
        format: Format,
        registry: &Registry,
    ) -> Result<ArrayMetadata> {
        let old = Layout::of(source)?;
        let rank = source.shape.len();
        if let Some(chunks) = &self.chunks {
            check_shape("chunks", chunks, rank)?;
        }
        if let Shards::Shape(shards) = &self.shards {
            check_shape("shards", shards, rank)?;
        }
        let mut copy = source.clone();
        let same = self.chunks.is_none() && self.shards == Shards::Keep && self.codecs.is_none();
        if same && source.format() == Format::V2 && format == Format::V2 {
            return Ok(copy);
        }
        copy.v2 = None;
        if same {
            // A chunk length of 0, which some writers give an empty dimension, is not written again.
            copy.chunk_grid = old.grid.to_extension();
        } else {
            let new = self.change(old)?;
            copy.chunk_grid = new.grid.to_extension();
            copy.codecs = new.into_codecs();
        }
        check_writable(&copy, registry)?;
        match format {
            Format::V2 => v2::describe(&copy),
            Format::V3 => Ok(copy),
        }
    }

    fn change(&self, old: Layout) -> Result<Layout> {
        let Layout { grid, shard, chunk_shape, codecs, around } = old;
        let chunks = self.chunks.clone().unwrap_or(chunk_shape);
        let shards = match &self.shards {
            Shards::Shape(shards) => {
                check_multiple(shards, &chunks)?;
                Some(shards.clone())
            }
            Shards::Keep if shard.is_some() && divides(&chunks, &grid.chunk_shape) => {
                Some(grid.chunk_shape)
            }
            Shards::Keep | Shards::Off => None,
        };
        let (codecs, around) = match &self.codecs {
            Some(codecs) => (codecs.clone(), Vec::new()),
            None => (codecs, around),
        };
        let (grid, shard) = match shards {
            Some(shards) => (shards, Some(shard.unwrap_or_else(|| Extension::new(SHARDING)))),
            None => (chunks.clone(), None),
        };
        let grid = RegularGrid { chunk_shape: grid };
        Ok(Layout { grid, shard, chunk_shape: chunks, codecs, around })
    }
}

/// How an array is cut and encoded, shards within shards taken together.
struct Layout {
    /// The grid of stored objects.
    grid: RegularGrid,
    /// The outermost sharding codec, of whose configuration index and its place are kept.
    shard: Option<Extension>,
    /// The shape of the smallest piece that is encoded by itself, in the array's dimensions.
    chunk_shape: Vec<u64>,
    /// The codecs of such a piece.
    codecs: Vec<Extension>,
    /// The byte codecs around the outermost shard.
    around: Vec<Extension>,
}

impl Layout {
    fn of(metadata: &ArrayMetadata) -> Result<Self> {
        let grid = RegularGrid::from_extension(&metadata.chunk_grid, &metadata.shape)?;
        let mut chunk_shape = grid.chunk_shape.clone();
        let mut codecs = metadata.codecs.clone();
        let (mut shard, mut around) = (None, Vec::new());
        // Dimension `i` of what the codecs reached so far are given is the array's `axes[i]`.
        let mut axes: Vec<usize> = (0..chunk_shape.len()).collect();
        let (mut arrays, mut bytes) = (Vec::new(), Vec::new());
        while let Some(position) = codecs.iter().position(|codec| codec.name == SHARDING) {
            let after = codecs.split_off(position + 1);
            let Some(sharding) = codecs.pop() else { break };
            for codec in &codecs {
                permute(&mut axes, codec)?;
            }
            arrays.append(&mut codecs);
            let stored = sharding
                .shape("chunk_shape")?
                .filter(|stored| stored.len() == axes.len() && !stored.contains(&0))
                .ok_or_else(|| Error::invalid_metadata("a shard has no fitting `chunk_shape`"))?;
            for (&axis, extent) in axes.iter().zip(stored) {
                chunk_shape[axis] = extent;
            }
            codecs = sharding.extensions("codecs")?.unwrap_or_else(|| vec![little_endian()]);
            if shard.is_none() {
                around = after;
                shard = Some(sharding);
            } else {
                bytes.splice(0..0, after);
            }
        }
        arrays.append(&mut codecs);
        arrays.append(&mut bytes);
        Ok(Self { grid, shard, chunk_shape, codecs: arrays, around })
    }

    fn into_codecs(self) -> Vec<Extension> {
        let Self { shard, chunk_shape, mut codecs, around, .. } = self;
        let Some(old) = shard else {
            codecs.extend(around);
            return codecs;
        };
        let objects = |codecs: &[Extension]| -> Value {
            codecs.iter().map(Extension::to_json_object).collect()
        };
        let kept = |key: &str| old.configuration.get(key).cloned();
        let index_codecs = || objects(&[little_endian(), Extension::new("crc32c")]);
        let new = Extension::new(SHARDING)
            .with("chunk_shape", chunk_shape)
            .with("codecs", objects(&codecs))
            .with("index_codecs", kept("index_codecs").unwrap_or_else(index_codecs))
            .with("index_location", kept("index_location").unwrap_or_else(|| "end".into()));
        [new].into_iter().chain(around).collect()
    }
}

/// Follows the axes through an array codec in front of a shard.
fn permute(axes: &mut Vec<usize>, codec: &Extension) -> Result<()> {
    if codec.name != "transpose" {
        return Ok(());
    }
    let order = codec.shape("order")?.unwrap_or_default();
    let permuted: Option<Vec<usize>> =
        order.iter().map(|&from| axes.get(usize::try_from(from).ok()?).copied()).collect();
    *axes = permuted
        .filter(|permuted| permuted.len() == axes.len())
        .ok_or_else(|| Error::invalid_metadata("transpose: order of another rank"))?;
    Ok(())
}

fn little_endian() -> Extension {
    Extension::new("bytes").with("endian", "little")
}

fn check_shape(what: &str, shape: &[u64], rank: usize) -> Result<()> {
    if shape.len() != rank {
        return Err(Error::invalid_argument(format!(
            "the {what} {shape:?} have {} dimensions, the array has {rank}",
            shape.len()
        )));
    }
    if shape.contains(&0) {
        return Err(Error::invalid_argument(format!("the {what} {shape:?} must not have a 0")));
    }
    Ok(())
}

fn divides(chunks: &[u64], shards: &[u64]) -> bool {
    shards.iter().zip(chunks).all(|(shard, chunk)| shard % chunk == 0)
}

/// Checks that shards are made of whole chunks.
fn check_multiple(shards: &[u64], chunks: &[u64]) -> Result<()> {
    if divides(chunks, shards) {
        return Ok(());
    }
    let nearest = shards.iter().zip(chunks).map(|(&shard, &chunk)| {
        let below = shard / chunk * chunk;
        let above = below.saturating_add(chunk);
        if below > 0 && shard - below <= above - shard { below } else { above }
    });
    Err(Error::invalid_argument(format!(
        "shards {shards:?} are no multiple of the chunks {chunks:?}; the nearest that are: {:?}",
        nearest.collect::<Vec<_>>()
    )))
}

/// Codecs that readers may skip cannot be applied.
fn check_writable(metadata: &ArrayMetadata, registry: &Registry) -> Result<()> {
    match registry.chain(&metadata.codecs)?.skipped.first() {
        None => Ok(()),
        Some(codec) => Err(Error::unsupported(format!(
            "not supported: writing through codec `{codec}`, which may be skipped in reading"
        ))),
    }
}

#[cfg(test)]
mod tests;
