//! Random cases from a list of numbers, so that a shorter list of smaller numbers is a simpler case.

use fuzarr::{Selection, Term};
use serde_json::{Value, json};

use super::model::Dictionary;

/// A source of decisions; 0 when it runs out, which is always the simplest choice.
pub(crate) struct Choices<'a> {
    numbers: std::slice::Iter<'a, u32>,
}

impl<'a> Choices<'a> {
    pub(crate) fn new(numbers: &'a [u32]) -> Self {
        Self { numbers: numbers.iter() }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        *self.numbers.next().unwrap_or(&0) as usize % bound.max(1)
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn number(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }
}

/// An array: its metadata and what the model needs of it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) document: Value,
    pub(crate) shape: Vec<u64>,
    pub(crate) chunk_shape: Vec<u64>,
    pub(crate) values: Values,
}

/// Which values elements may have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values {
    /// Any of so many bytes.
    Any(usize),
    Bool,
    /// Small whole numbers as native `f64`.
    Whole,
    Text,
    /// Any number of bytes.
    Bytes,
}

impl Values {
    /// Bytes of an element, if all have as many.
    pub(crate) fn size(self) -> Option<usize> {
        match self {
            Self::Any(size) => Some(size),
            Self::Bool => Some(1),
            Self::Whole => Some(8),
            Self::Text | Self::Bytes => None,
        }
    }

    pub(crate) fn is_variable(self) -> bool {
        self.size().is_none()
    }

    fn choose(self, choices: &mut Choices<'_>) -> Vec<u8> {
        let byte = |choices: &mut Choices<'_>| choices.below(256) as u8;
        match self {
            Self::Any(size) => (0..size).map(|_| byte(choices)).collect(),
            Self::Bool => vec![choices.below(2) as u8],
            Self::Whole => f64::from(byte(choices)).to_ne_bytes().to_vec(),
            Self::Text => {
                let length = choices.pick(&[0, 1, 3, 20]);
                let letter =
                    |choices: &mut Choices<'_>| choices.pick(&["a", "\u{e9}", "\u{1f600}", "\0"]);
                (0..length).flat_map(|_| letter(choices).bytes()).collect()
            }
            Self::Bytes => {
                let length = choices.pick(&[0, 1, 2, 30]);
                (0..length).map(|_| byte(choices)).collect()
            }
        }
    }
}

/// Types with their values and fill values to choose from.
fn types() -> Vec<(Value, Values, Vec<Value>)> {
    let ints = vec![json!(0), json!(7)];
    let floats = vec![json!(0.0), json!("NaN"), json!(-0.0), json!(1.5), json!("-Infinity")];
    let plain = vec![
        ("uint8", 1, ints.clone()),
        ("int16", 2, vec![json!(0), json!(-2)]),
        ("float32", 4, floats.clone()),
        ("uint64", 8, vec![json!(0), json!(u64::MAX)]),
        ("bool", 1, vec![json!(false), json!(true)]),
        ("complex64", 8, vec![json!([0.0, 0.0]), json!([1.0, "NaN"])]),
        ("complex128", 16, vec![json!([0.0, -0.0])]),
        ("float16", 2, floats.clone()),
        ("float64", 8, floats),
        ("int32", 4, ints),
        ("r24", 3, vec![json!([0, 0, 0]), json!([1, 2, 3])]),
        ("bfloat16", 2, vec![json!(0.0), json!("NaN"), json!("0xffc1")]),
    ];
    let with = |name, configuration| json!({"name": name, "configuration": configuration});
    let step = json!({"unit": "ms", "scale_factor": 25});
    let configured = [
        (with("numpy.datetime64", step.clone()), 8, vec![json!("NaT"), json!(-1)]),
        (with("numpy.timedelta64", step), 8, vec![json!(0), json!("NaT")]),
        (
            with("null_terminated_bytes", json!({"length_bytes": 5})),
            5,
            vec![json!(""), json!("YWI=")],
        ),
        (
            with("fixed_length_utf32", json!({"length_bytes": 8})),
            8,
            vec![json!(""), json!("\u{e9}\u{1f600}")],
        ),
        (with("raw_bytes", json!({"length_bytes": 3})), 3, vec![json!("AAAA"), json!("AQID")]),
    ];
    let texts = vec![json!(""), json!("f\u{fc}ll")];
    let variable = [
        (json!("string"), Values::Text, texts),
        (json!("bytes"), Values::Bytes, vec![json!(""), json!("AQID")]),
    ];
    let fixed = plain
        .into_iter()
        .map(|(name, size, fills)| (json!(name), size, fills))
        .chain(configured)
        .map(|(name, size, fills)| match name == "bool" {
            true => (name, Values::Bool, fills),
            false => (name, Values::Any(size), fills),
        });
    // As often as each of them deserves.
    fixed.chain(variable.clone()).chain(variable.clone()).chain(variable).collect()
}

impl Case {
    pub(crate) fn new(choices: &mut Choices<'_>) -> Self {
        let depth = choices.pick(&[0, 1, 2, 1, 3]);
        let rank = if depth == 3 { choices.pick(&[1, 2]) } else { choices.pick(&[1, 2, 3, 0, 4]) };
        let (data_type, values, fills) = choices.pick(&types());
        let fill = choices.pick(&fills);
        let most = [9, 5, 3, 2][depth];
        let mut levels: Vec<Vec<u64>> = Vec::new();
        for level in 0..=depth {
            let below = levels.last().cloned();
            let extent = |dimension: usize, choices: &mut Choices<'_>| {
                let times = 1 + choices.below(if level == 0 { most } else { 3 }) as u64;
                below.as_ref().map_or(times, |below| below[dimension] * times)
            };
            levels.push((0..rank).map(|dimension| extent(dimension, choices)).collect());
        }
        let chunk_shape = levels.last().cloned().unwrap_or_default();
        let shape = small_shape(choices, &chunk_shape);
        let name = data_type.as_str().unwrap_or_default();
        let codecs = chain(choices, name, &levels, (0..rank).collect());
        let separator = ["/", "."][choices.below(2)];
        let keys = ["default", "v2"][choices.below(2)];
        let document = json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": data_type,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
            "chunk_key_encoding": {"name": keys, "configuration": {"separator": separator}},
            "fill_value": fill,
            "codecs": codecs,
        });
        Self { document, shape, chunk_shape, values }
    }

    /// A selection of any kind.
    pub(crate) fn selection(&self, choices: &mut Choices<'_>) -> Selection {
        match choices.below(8) {
            6 => self.points(choices),
            7 => {
                let count: u64 = self.shape.iter().product();
                Selection::Mask((0..count).map(|_| choices.below(3) == 1).collect())
            }
            5 => Selection::Blocks(self.terms(choices, |choices, extent, chunk| {
                let blocks = extent.div_ceil(chunk) as i64;
                if blocks > 0 && choices.below(2) == 1 {
                    return Term::Index(choices.number(-blocks, blocks - 1));
                }
                slice(choices, blocks, 1)
            })),
            _ => Selection::Orthogonal(self.terms(choices, |choices, extent, _| {
                let extent = extent as i64;
                match choices.below(8) {
                    0 => Term::ALL,
                    1 if extent > 0 => Term::Index(choices.number(-extent, extent - 1)),
                    2 if extent > 0 => {
                        let count = choices.below(6);
                        Term::List(
                            (0..count).map(|_| choices.number(-extent, extent - 1)).collect(),
                        )
                    }
                    3 => Term::Mask((0..extent).map(|_| choices.below(2) == 1).collect()),
                    _ => {
                        let step = [1, 2, -1, 3, -2, 7, -9][choices.below(7)];
                        slice(choices, extent, step)
                    }
                }
            })),
        }
    }

    fn terms(
        &self,
        choices: &mut Choices<'_>,
        term: impl Fn(&mut Choices<'_>, u64, u64) -> Term,
    ) -> Vec<Term> {
        let dimensions = self.shape.iter().zip(&self.chunk_shape);
        let mut terms: Vec<Term> =
            dimensions.map(|(&extent, &chunk)| term(choices, extent, chunk)).collect();
        match choices.below(4) {
            1 => terms.truncate(choices.below(terms.len() + 1)),
            2 => {
                // An ellipsis for some of the dimensions, maybe none.
                let start = choices.below(terms.len() + 1);
                let end = start + choices.below(terms.len() + 1 - start);
                terms.splice(start..end, [Term::Ellipsis]);
            }
            _ => {}
        }
        terms
    }

    fn points(&self, choices: &mut Choices<'_>) -> Selection {
        let empty = self.shape.contains(&0);
        let shape = if empty { vec![0] } else { vec![choices.below(4) as u64, 2] };
        let count: u64 = shape.iter().product();
        let coordinate = |choices: &mut Choices<'_>, extent: u64| {
            (0..count).map(|_| choices.number(-(extent as i64), extent as i64 - 1)).collect()
        };
        let coordinates = self.shape.iter().map(|&extent| coordinate(choices, extent)).collect();
        Selection::Points { coordinates, shape }
    }

    /// Values for `count` elements: one for all, all fill value, or random from a few.
    pub(crate) fn values(
        &self,
        choices: &mut Choices<'_>,
        count: usize,
        dictionary: &mut Dictionary,
    ) -> Vec<u32> {
        let mut value = |choices: &mut Choices<'_>| {
            if choices.below(3) == 0 { 0 } else { dictionary.number(&self.values.choose(choices)) }
        };
        match choices.below(3) {
            0 => vec![value(choices)],
            1 => vec![0; count],
            _ => (0..count).map(|_| value(choices)).collect(),
        }
    }
}

/// Up to three chunks along each dimension, and not too many elements.
pub(crate) fn small_shape(choices: &mut Choices<'_>, chunk_shape: &[u64]) -> Vec<u64> {
    let mut shape: Vec<u64> =
        chunk_shape.iter().map(|&chunk| choices.below(3 * chunk as usize + 1) as u64).collect();
    while shape.iter().product::<u64>() > 20_000 {
        shape.iter_mut().filter(|extent| **extent > 8).for_each(|extent| *extent = *extent * 2 / 3);
    }
    shape
}

fn slice(choices: &mut Choices<'_>, extent: i64, step: i64) -> Term {
    let bound = |choices: &mut Choices<'_>| {
        (choices.below(3) > 0).then(|| choices.number(-extent - 2, extent + 2))
    };
    Term::Slice { start: bound(choices), stop: bound(choices), step: Some(step) }
}

/// A chain for a chunk of the last of `levels`; the others are the shapes of inner chunks. `axes`:
/// which of the array's dimensions each of the chunk's is, after outer transposes.
fn chain(
    choices: &mut Choices<'_>,
    data_type: &str,
    levels: &[Vec<u64>],
    mut axes: Vec<usize>,
) -> Vec<Value> {
    let mut codecs = Vec::new();
    let mut data_type = data_type;
    for _ in 0..choices.below(3) {
        if choices.below(3) == 2 {
            if let Some(wide) = super::widen::wider(data_type) {
                codecs.push(json!({"name": "test.widen"}));
                data_type = wide;
            }
        } else if !axes.is_empty() {
            let mut order: Vec<usize> = (0..axes.len()).collect();
            order.rotate_left(choices.below(axes.len()));
            let other = choices.below(axes.len());
            order.swap(0, other);
            axes = order.iter().map(|&from| axes[from]).collect();
            codecs.push(json!({"name": "transpose", "configuration": {"order": order}}));
        }
    }
    match levels {
        [inner @ .., _] if !inner.is_empty() => {
            let shape = &inner[inner.len() - 1];
            let shape: Vec<u64> = axes.iter().map(|&axis| shape[axis]).collect();
            let codecs_inside = chain(choices, data_type, inner, axes);
            let location = ["end", "start"][choices.below(2)];
            codecs.push(json!({"name": "sharding_indexed", "configuration": {
                "chunk_shape": shape,
                "codecs": codecs_inside,
                "index_codecs": index_chain(choices, shape.len()),
                "index_location": location,
            }}));
            if choices.below(4) < 3 {
                return codecs;
            }
        }
        _ if data_type == "string" => codecs.push(json!("vlen-utf8")),
        _ if data_type == "bytes" => codecs.push(json!("vlen-bytes")),
        _ => codecs.push(bytes(choices)),
    }
    for _ in 0..choices.below(3) {
        codecs.push(compressor(choices));
    }
    codecs
}

fn bytes(choices: &mut Choices<'_>) -> Value {
    let endian = ["little", "big"][choices.below(2)];
    json!({"name": "bytes", "configuration": {"endian": endian}})
}

fn compressor(choices: &mut Choices<'_>) -> Value {
    match choices.below(4) {
        0 => json!({"name": "crc32c"}),
        1 => {
            json!({"name": "zstd", "configuration": {"level": 1, "checksum": choices.below(2) == 1}})
        }
        2 => json!({"name": "gzip", "configuration": {"level": 1}}),
        _ => {
            let name = ["lz4", "zstd", "blosclz", "zlib", "snappy", "lz4hc"][choices.below(6)];
            let shuffle = ["noshuffle", "shuffle", "bitshuffle"][choices.below(3)];
            json!({"name": "blosc", "configuration": {
                "cname": name, "clevel": 1 + choices.below(5), "shuffle": shuffle,
                "typesize": 1 + choices.below(8), "blocksize": 16 * choices.below(2),
            }})
        }
    }
}

fn index_chain(choices: &mut Choices<'_>, rank: usize) -> Vec<Value> {
    let mut codecs = Vec::new();
    if choices.below(4) == 3 {
        let order: Vec<usize> = (0..=rank).rev().collect();
        codecs.push(json!({"name": "transpose", "configuration": {"order": order}}));
    }
    codecs.push(bytes(choices));
    for _ in 0..choices.below(3) {
        codecs.push(json!({"name": "crc32c"}));
    }
    codecs
}
