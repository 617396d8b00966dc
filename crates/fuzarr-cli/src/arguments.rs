//! The command line: what may be written on it, and the help that explains it.

use clap::{Args, Parser, Subcommand, ValueEnum};
use fuzarr::dtype::DataType;
use fuzarr::environment::Override;
use fuzarr::limits::parse_size;
use fuzarr::metadata::json;
use fuzarr::store::RemoteOptions;
use serde_json::Value;
use std::num::NonZeroUsize;
use std::path::PathBuf;

mod network;
pub use network::NetworkArguments;

/// Look at, read, write, create and verify Zarr arrays.
///
/// Zarr keeps large arrays of numbers as many small files, called chunks, in a folder. STORE is
/// such a folder; the path of an array or group inside it follows after a slash, as in
/// `ocean.zarr/surface/temperature`. STORE may also be a zip archive, as in `ocean.zip/surface`, or
/// an address, as in `s3://bucket/ocean.zarr` and `s3://bucket/ocean.zip`.
#[derive(Debug, Parser)]
#[command(name = "fuzarr", version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of remote stores.
    #[command(flatten)]
    pub storage: Storage,
}

/// Options of remote stores, of which some are secrets: no message shows their values.
#[derive(Default, Args)]
pub struct Storage {
    /// Set an option of the remote stores that the command meets, such as region, endpoint,
    /// access_key_id or anonymous=true, whatever the environment says; may be given more than once.
    #[arg(long = "storage-option", value_name = "NAME=VALUE", global = true)]
    settings: Vec<String>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").finish_non_exhaustive()
    }
}

impl Storage {
    /// The options.
    ///
    /// # Errors
    /// `InvalidArgument` for one without a name.
    pub fn options(&self) -> fuzarr::Result<RemoteOptions> {
        let settings = self.settings.iter().map(|setting| {
            let named = setting.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, value) = named.ok_or_else(|| {
                fuzarr::Error::invalid_argument("write a storage option as NAME=VALUE")
            })?;
            Ok((name.to_owned(), value.to_owned()))
        });
        let settings = settings.collect::<fuzarr::Result<_>>()?;
        Ok(RemoteOptions { settings, ..RemoteOptions::default() })
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  the data is damaged or differs
  2  wrong usage, nothing there, not supported, or the store failed

Example:
  fuzarr create t.zarr --shape 100,200 --dtype float32 --chunks 50,50
  fuzarr put t.zarr '0, :' 1.5
  fuzarr get t.zarr '0:2, ::50'";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show shape, type, chunks, codecs and stored size of an array, or the members of a group.
    Info(Info),
    /// List the groups and arrays in a store.
    Tree(Tree),
    /// Print a part of an array, or save it as a NumPy file.
    Get(Get),
    /// Tell what reading a part of an array takes: files, requests, bytes.
    Explain(Explain),
    /// Write a number or a NumPy file into a part of an array.
    Put(Put),
    /// Create an array, empty but for its fill value, or a group.
    Create(Box<Create>),
    /// Read everything that is stored and list what is damaged.
    Verify(Verify),
    /// Copy an array or group, with all below it, into another layout.
    Copy(Box<Copy>),
    /// Show the attributes of an array or group as JSON, or change them.
    Attrs(Attrs),
    /// Delete an array or group and everything in its folder.
    Rm(Rm),
    /// Move an array or group to another place in the same store.
    Mv(Mv),
    /// Gather the metadata of everything in a group in one place, where readers find it at once.
    Consolidate(Consolidate),
}

/// Settings of a run. They have the same names and values as the variables of the environment.
#[derive(Debug, Default, Args)]
pub struct Settings {
    /// Set an option of this run, whatever its variable (FUZARR_…) in the environment says; may be
    /// given more than once.
    ///
    /// Numbers: workers, max_decode_buffers, operations. Sizes as in 512MiB: memory, in_flight,
    /// coalesce_gap, coalesce_span, chunk_cache. Seconds: index_staleness. Switches, on or off: partial_reads, one_round_trip, bulk_decode,
    /// direct_decode, partial_decode, direct_reads, index_cache, scalar_memo, partial_writes, streaming,
    /// remote_stores (in Python only).
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub set: Vec<Override>,
}

/// `fuzarr info`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fuzarr info ocean.zarr
  fuzarr info ocean.zarr/surface/temperature --deep")]
pub struct Info {
    /// Folder of the store, and the path in it.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// Also count the inner chunks of shards, which reads the index of every shard.
    #[arg(long)]
    pub deep: bool,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fuzarr tree`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fuzarr tree ocean.zarr
  fuzarr tree ocean.zarr/surface --depth 1")]
pub struct Tree {
    /// Folder of the store, and the path in it.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// List this many levels at most.
    #[arg(long, value_name = "N")]
    pub depth: Option<usize>,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fuzarr get`.
#[derive(Debug, Args)]
#[command(after_help = "\
The selection is written as in NumPy, an entry for each axis: `3` is one position, `5:10` those from
5 up to but not including 10, `::2` every other one, `::-1` all in reverse, `...` all axes between.
Positions count from 0; negative ones count from the end. Axes left out are taken whole. A list in
brackets, `[0,4,2]`, picks positions of its axis, whatever the other axes pick (zarr-python's oindex).
Of more than 1,000 elements, only the ends of each axis are read and printed; -o saves all.
In a .npy file, text of any length becomes NumPy's U and bytes become S, each as long as the longest
(up to 1 GiB in all; a NUL at an end is refused, as NumPy drops it).

Examples:
  fuzarr get ocean.zarr/temperature '3:31:2, 5:'
  fuzarr get ocean.zarr/temperature '0, ...' -o first.npy
  fuzarr get ocean.zarr/temperature -- '-2:'      (after --, a minus starts no option)")]
pub struct Get {
    /// Folder of the store, and the path in it.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// The part to read, as in NumPy; everything if left out.
    #[arg(value_name = "SELECTION", default_value = "...", allow_negative_numbers = true)]
    pub selection: String,
    /// Save the part in this NumPy file, in the byte order of this machine; `-` is standard output.
    #[arg(short, long, value_name = "FILE.npy")]
    pub output: Option<PathBuf>,
    /// Options of the engine.
    #[command(flatten)]
    pub settings: Settings,
}

/// `fuzarr explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --exact no file is looked at: every chunk is taken to exist, and what only the indexes of
shards or the sizes of files tell is given between bounds. The switches of the environment, such as
FUZARR_PARTIAL_READS=0, and --set count here as they do for `fuzarr get`.

Examples:
  fuzarr explain ocean.zarr/temperature '3:31:2, 5:'
  fuzarr explain ocean.zarr/temperature '0' --exact --set partial_reads=off
  fuzarr explain s3://bucket/ocean.zarr/temperature '0' --latency 50 --bandwidth 100MB --price 0.0004")]
pub struct Explain {
    /// Folder of the store, and the path in it.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// The part, as for `fuzarr get`; everything if left out.
    #[arg(value_name = "SELECTION", default_value = "...", allow_negative_numbers = true)]
    pub selection: String,
    /// Open the files and read the indexes of shards, so that numbers are exact.
    #[arg(long)]
    pub exact: bool,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
    /// What the store is taken to be like.
    #[command(flatten)]
    pub network: NetworkArguments,
    /// Options of the engine.
    #[command(flatten)]
    pub settings: Settings,
}

/// `fuzarr put`.
#[derive(Debug, Args)]
#[command(after_help = "\
The file must hold the array's type; for `string` NumPy's U, of any length, and for `bytes` S.

Examples:
  fuzarr put ocean.zarr/temperature '0:10, 5' values.npy
  fuzarr put ocean.zarr/temperature '..., 0' nan
  fuzarr put ocean.zarr/temperature -- '-1' -inf   (after --, a minus starts no option)")]
pub struct Put {
    /// Folder of the store, and the path in it.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// The part to write, as in NumPy; `...` is everything.
    #[arg(value_name = "SELECTION", allow_negative_numbers = true)]
    pub selection: String,
    /// A NumPy file (its name ends in `.npy`; `-` is standard input), or one value for every
    /// element: `3`, `-1.5`, `nan`, `true`, `1+2j`.
    #[arg(value_name = "SOURCE", allow_negative_numbers = true)]
    pub source: String,
    /// How the inner chunks of shards are placed in the files written.
    #[arg(long, value_enum, default_value_t)]
    pub order: Order,
    /// Also store chunks that hold nothing but the fill value.
    #[arg(long)]
    pub write_empty_chunks: bool,
    /// Options of the engine.
    #[command(flatten)]
    pub settings: Settings,
}

/// In which order the inner chunks of a shard are placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Along a Z-shaped curve, which keeps neighbours close.
    #[default]
    Morton,
    /// Row by row: the last axis changes fastest.
    Lexicographic,
    /// Column by column: the first axis changes fastest.
    Colexicographic,
    /// As they are ready.
    Unordered,
}

/// `fuzarr create`.
#[derive(Debug, Args)]
#[command(after_help = "\
Codecs are steps from array to stored bytes, with settings after colons:
  transpose:1:0                 order of the axes
  bytes:little, bytes:big       byte order (little unless given)
  zstd:LEVEL[:checksum]         levels -131072 to 22; zstd:0 unless given
  gzip:LEVEL                    levels 0 to 9
  blosc:CNAME:LEVEL[:SHUFFLE]   lz4, lz4hc, blosclz, zstd, snappy, zlib; levels 0 to 9;
                                noshuffle, shuffle, bitshuffle
  crc32c                        checksum
  none                          no compression, alone
or a list of codecs in the JSON of the Zarr specification. With --shards they apply to the inner
chunks, and --chunks is the shape of those.

Examples:
  fuzarr create t.zarr/speed --shape 1000,2000 --dtype float32 --chunks 100,100
  fuzarr create t.zarr/count --shape 1000,2000 --dtype uint16 --chunks 50,50 --shards 500,500 \\
      --codecs blosc:lz4:5:shuffle,crc32c --fill 65535 --dimension-names y,x")]
pub struct Create {
    /// Folder of the store, and the path in it. Where there is no store yet, a name that ends in
    /// `.zarr` makes that folder one, with groups down to the array; without, the array is a store.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// Length of each axis, as in `100,200`; '' for no axes. Required for an array.
    #[arg(long, value_parser = lengths, required_unless_present_any = ["metadata", "group"])]
    pub shape: Option<Lengths>,
    /// Type of the elements: bool, int8 … int64, uint8 … uint64, float16 … float64, complex64,
    /// complex128, bfloat16, r8, r16 … (opaque bytes), string, bytes; or NumPy's `i2`, `f4`, `S5`,
    /// `U7`, `M8[ns]`, `m8[10s]`. Required for an array.
    #[arg(long, value_name = "TYPE", value_parser = data_type, required_unless_present_any = ["metadata", "group"])]
    pub dtype: Option<DataType>,
    /// Shape of a chunk, as in `10,20`. Required for an array.
    #[arg(long, value_name = "SHAPE", value_parser = lengths, required_unless_present_any = ["metadata", "group"])]
    pub chunks: Option<Lengths>,
    /// Shape of a shard, a file that holds many chunks; a multiple of the shape of a chunk.
    #[arg(long, value_name = "SHAPE", value_parser = lengths)]
    pub shards: Option<Lengths>,
    /// Where in a shard its index lies.
    #[arg(long, value_enum, default_value_t, requires = "shards")]
    pub index_location: IndexLocation,
    /// How chunks are encoded, as listed below.
    #[arg(long, value_name = "LIST", default_value = "zstd:0")]
    pub codecs: String,
    /// Value of elements that were never written: `0`, `nan`, `-inf`, `true`, `1+2j`, `0x7fc00000`
    /// (the bits of a float, or the bytes of an opaque type). Zero unless given.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub fill: Option<String>,
    /// Names of the axes, as in `y,x`.
    #[arg(long, value_name = "NAMES")]
    pub dimension_names: Option<String>,
    /// Attributes, a JSON object.
    #[arg(long, value_name = "JSON")]
    pub attributes: Option<String>,
    /// How chunks are named: `default` (c/0/1) or `v2` (0.1), with the separator after a colon, as
    /// in `default:.` or `v2:/`. `default` unless the format is v2, which has only `v2`.
    #[arg(long, value_name = "ENCODING")]
    pub chunk_keys: Option<String>,
    /// Version of the Zarr format: that of the group it is in unless given, or else v3.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// A whole metadata document (zarr.json, or .zarray or .zgroup) instead of the options above; `-`
    /// is standard input.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "shape", "dtype", "chunks", "shards", "index_location", "codecs", "fill",
            "dimension_names", "attributes", "chunk_keys",
        ]
    )]
    pub metadata: Option<PathBuf>,
    /// Create a group instead of an array; groups on the way to a node are made by themselves.
    #[arg(
        long,
        conflicts_with_all = [
            "shape", "dtype", "chunks", "shards", "index_location", "codecs", "fill",
            "dimension_names", "chunk_keys", "metadata",
        ]
    )]
    pub group: bool,
    /// Delete the array or group that is there already. Files that are not Zarr's stay.
    #[arg(long)]
    pub overwrite: bool,
}

/// A version of the Zarr format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Version 2, which older programs read.
    V2,
    /// Version 3.
    V3,
}

impl From<Format> for fuzarr::metadata::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::V2 => Self::V2,
            Format::V3 => Self::V3,
        }
    }
}

/// Where in a shard its index lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum IndexLocation {
    /// Before the chunks.
    Start,
    /// After the chunks.
    #[default]
    End,
}

/// `fuzarr verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every shard index and chunk is read, its checksums, sizes and ranges are checked, and it is decoded.
What consolidated metadata tells of a node has to be so. The exit code is 1 if anything is damaged.

Example:
  fuzarr verify ocean.zarr/surface")]
pub struct Verify {
    /// Folder of the store, and the path in it; of a group, every array below it.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
    /// Options of the engine.
    #[command(flatten)]
    pub settings: Settings,
}

/// `fuzarr copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is not asked to change stays as it is: attributes, names of axes, fill values and types always,
the order of axes in storage unless --codecs is given. With --chunks alone, shards stay where chunks
of that shape divide them. Codecs are written as for `fuzarr create`; with shards they apply to the
chunks inside. Of a group, every array must have as many axes as --chunks and --shards.

Nothing is at DST until the copy is whole. If it is interrupted, the same command goes on with it
(into a zip archive, it begins anew). One that is still at work there stops then, with an error.

Examples:
  fuzarr copy ocean.zarr archive.zarr --chunks 64,64 --shards 1024,1024 --codecs zstd:9,crc32c
  fuzarr copy ocean.zarr/speed fast.zarr --shards none --codecs blosc:lz4 --memory 4GiB --verify")]
pub struct Copy {
    /// Folder of the store, and the path in it, of what is copied.
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// Where the copy goes, as for `fuzarr create`.
    #[arg(value_name = "DST")]
    pub destination: PathBuf,
    /// Shape of a chunk, as in `10,20`.
    #[arg(long, value_name = "SHAPE", value_parser = lengths)]
    pub chunks: Option<Lengths>,
    /// Shape of a shard, a multiple of the shape of a chunk; it may be larger than the array. `none`
    /// for no shards.
    #[arg(long, value_name = "SHAPE", value_parser = shards)]
    pub shards: Option<Shards>,
    /// How chunks are encoded.
    #[arg(long, value_name = "LIST")]
    pub codecs: Option<String>,
    /// Version of the Zarr format.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// How many threads may work.
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// How much memory the copy may take, as in `512MiB` or `4GB`; `FUZARR_MEMORY` does not count
    /// here, and `--set memory` is refused. Text and bytes of any length are copied a chunk at a time,
    /// and are an error where one takes more than a third of this (never below 1 MiB).
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    pub memory: u64,
    /// Compare afterwards, bit by bit; the exit code is 1 if anything differs.
    #[arg(long)]
    pub verify: bool,
    /// Delete what is at DST already, an unfinished copy too. Files that are not Zarr's stay, and so do
    /// nodes in a folder that is none: these are an error.
    #[arg(long)]
    pub overwrite: bool,
    /// Do not wait until the disk has what is written. Without this, a copy into a folder that has ended
    /// well outlasts a loss of power; many small chunks may take three times as long, large ones
    /// half as long again.
    #[arg(long)]
    pub no_sync: bool,
    /// Options of the engine.
    #[command(flatten)]
    pub settings: Settings,
}

/// What `--shards` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shards {
    /// No shards.
    None,
    /// Shards of this shape.
    Shape(Lengths),
}

/// `fuzarr attrs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Values are JSON, so a text needs quotes of its own. What is not named stays as it is.

Examples:
  fuzarr attrs ocean.zarr
  fuzarr attrs ocean.zarr/temperature --set 'units=\"K\"' --set valid=[0,400] --unset note")]
pub struct Attrs {
    /// Folder of the store, and the path in it.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// Set an attribute; may be given more than once.
    #[arg(long, value_name = "NAME=JSON", value_parser = attribute)]
    pub set: Vec<(String, Value)>,
    /// Remove an attribute; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub unset: Vec<String>,
    /// Replace all attributes by those in this file, a JSON object; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "unset"])]
    pub replace: Option<PathBuf>,
}

/// `fuzarr rm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything in the folder goes, files that are not Zarr's too. Links go, but not what they lead to.
Without -r, a group has to be empty: nothing in its folder but its own metadata. If rm is interrupted,
the same command goes on with it.

Examples:
  fuzarr rm ocean.zarr/old
  fuzarr rm -r ocean.zarr/surface")]
pub struct Rm {
    /// Folder of the store, and the path in it.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
    /// Also delete a group that is not empty.
    #[arg(short, long)]
    pub recursive: bool,
}

/// `fuzarr mv`.
#[derive(Debug, Args)]
#[command(after_help = "\
Groups on the way to the new place are made by themselves.

Example:
  fuzarr mv ocean.zarr/temperature ocean.zarr/surface/temperature")]
pub struct Mv {
    /// Folder of the store, and the path in it.
    #[arg(value_name = "SOURCE")]
    pub location: PathBuf,
    /// The new place, where there must be nothing: the whole path, in the same store.
    #[arg(value_name = "DESTINATION")]
    pub destination: PathBuf,
}

/// `fuzarr consolidate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Programs that find consolidated metadata believe it instead of looking at each folder. When fuzarr
changes what it describes, it removes it; other programs may not, so consolidate again after them.

Example:
  fuzarr consolidate ocean.zarr")]
pub struct Consolidate {
    /// Folder of the store, and the path in it, of a group.
    #[arg(value_name = "STORE[/path]")]
    pub location: PathBuf,
}

/// Lengths of axes, or a shape of chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengths(pub Vec<u64>);

/// Parses `100,200`, also with spaces or in brackets; nothing between them is no axes.
fn lengths(text: &str) -> Result<Lengths, String> {
    let inner = text.trim().trim_start_matches(['(', '[']).trim_end_matches([')', ']']);
    let parse = |word: &str| {
        word.parse().map_err(|_| format!("`{word}` is not a length; write them as in 100,200"))
    };
    // A comma at the end is a tuple's; any other gap is a length that was forgotten.
    let inner = inner.trim().trim_end_matches(',').trim_end();
    if inner.is_empty() {
        return Ok(Lengths(Vec::new()));
    }
    let separator = [",", "x"].into_iter().find(|separator| inner.contains(separator));
    let words: Vec<&str> = match separator {
        Some(separator) => inner.split(separator).map(str::trim).collect(),
        None => inner.split_whitespace().collect(),
    };
    words.into_iter().map(parse).collect::<Result<_, _>>().map(Lengths)
}

/// Parses a shape of shards, or `none`.
fn shards(text: &str) -> Result<Shards, String> {
    if text.trim() == "none" { Ok(Shards::None) } else { lengths(text).map(Shards::Shape) }
}

/// Parses a number of bytes with a unit.
fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| format!("`{text}` is not a size; write it as in 512MiB"))
}

/// Parses a setting.
fn setting(text: &str) -> Result<Override, String> {
    text.parse().map_err(|error: fuzarr::Error| error.message().to_owned())
}

/// Parses `NAME=JSON`.
fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=JSON")?;
    match json::parse(value.as_bytes()) {
        Ok(value) => Ok((name.to_owned(), value)),
        Err(_) => Err(format!("`{value}` is not JSON; a text needs quotes: '\"…\"'")),
    }
}

/// Parses a type in Zarr's or NumPy's spelling.
fn data_type(text: &str) -> Result<DataType, String> {
    crate::create::data_type(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
