//! The engines, side by side behind two traits: one for reads, one for writes.

mod floor;
mod fuzarr;
mod zarrs;

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use self::fuzarr::store_array;
use self::fuzarr::{Fuzarr, FuzarrWriter};
use self::zarrs::{Zarrs, ZarrsWriter};
use crate::workload::{Change, Codec, Layout, Request};

/// Any failure; the benchmark stops at the first.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Objects with their keys.
pub(crate) type Objects = Vec<(String, Vec<u8>)>;

/// Where the stored objects are, and for writes how safe they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Files. Writes go to a temporary file that takes the object's name, and are not synced.
    Local,
    Memory,
    /// Files, each engine writing as its defaults have it: zarrs in place, and synced.
    AsTheyCome,
    /// Files. Writes go to a temporary file that is synced before it takes the object's name.
    Synced,
}

impl Place {
    pub(crate) const READS: [Self; 2] = [Self::Local, Self::Memory];
    pub(crate) const WRITES: [Self; 4] =
        [Self::Local, Self::Memory, Self::AsTheyCome, Self::Synced];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Memory => "memory",
            Self::AsTheyCome => "local, as they come",
            Self::Synced => "local, synced",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// The least that must be done.
    Floor,
    Fuzarr,
    Zarrs,
}

/// What an engine is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) family: Family,
    pub(crate) threads: usize,
    /// What differs from the engine's usual way here; empty for the usual way.
    pub(crate) variant: &'static str,
}

impl Name {
    fn new(family: Family, threads: usize) -> Self {
        Self { family, threads, variant: "" }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::Floor => "floor",
            Family::Fuzarr => "fuzarr",
            Family::Zarrs => "zarrs",
        };
        let plural = if self.threads == 1 { "" } else { "s" };
        write!(f, "{family}, {} thread{plural}", self.threads)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, ", {}", self.variant) }
    }
}

/// Something that reads an array which it has open.
pub(crate) trait Engine {
    fn name(&self) -> &Name;

    /// Whether `request` is not the same for it as for another of the engines.
    fn offers(&self, _request: Request) -> bool {
        true
    }

    /// Reads what `request` asks into `output`, which is of the right size.
    fn read(&self, request: Request, output: &mut [u8]) -> Result<()>;

    /// The time of `repeats` reads.
    fn time(&self, request: Request, repeats: u32, output: &mut [u8]) -> Result<Duration> {
        let start = Instant::now();
        for _ in 0..repeats {
            self.read(request, output)?;
        }
        Ok(start.elapsed())
    }
}

/// Something that writes an array of its own, again and again.
pub(crate) trait Writer {
    fn name(&self) -> &Name;

    /// Replaces the elements that `change` is about.
    fn write(&self, change: Change, values: &[u8]) -> Result<()>;

    /// All that is stored.
    fn objects(&self) -> Result<Objects>;

    /// The time of `repeats` writes of one of two contents, then the other.
    fn time(&self, change: Change, repeats: u32, contents: [&[u8]; 2]) -> Result<Duration> {
        let start = Instant::now();
        for repeat in 0..repeats {
            self.write(change, contents[usize::from(repeat % 2 == 1)])?;
        }
        Ok(start.elapsed())
    }
}

/// One, and as many as there are cores.
fn thread_counts() -> Result<Vec<usize>> {
    let cores = std::thread::available_parallelism()?.get();
    Ok(if cores > 1 { vec![1, cores] } else { vec![1] })
}

/// The engines of the least that must be done, then those to be compared.
pub(crate) fn open(
    layout: &'static Layout,
    codec: Codec,
    place: Place,
    folder: &Path,
) -> Result<Vec<Box<dyn Engine>>> {
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    for threads in thread_counts()? {
        engines.push(Box::new(floor::Reader::open(layout, codec, place, folder, threads)?));
    }
    for threads in thread_counts()? {
        engines.push(Box::new(Fuzarr::open(layout, place, folder, threads)?));
    }
    for threads in thread_counts()? {
        engines.push(Box::new(Zarrs::open(layout, place, folder, threads)?));
    }
    Ok(engines)
}

/// The writers for `change`, each with an empty array below `folder` or in memory.
pub(crate) fn create(
    (layout, codec): (&'static Layout, Codec),
    change: Change,
    place: Place,
    folder: &Path,
) -> Result<Vec<Box<dyn Writer>>> {
    let counts = thread_counts()?;
    let all = counts.last().copied().unwrap_or(1);
    let array = (layout, codec);
    let own = |name: &str| folder.join(name);
    let mut writers: Vec<Box<dyn Writer>> = Vec::new();
    if matches!(place, Place::Local | Place::Memory) {
        for &threads in &counts {
            let folder = own(&format!("floor {threads}"));
            writers.push(Box::new(floor::Writer::create(array, place, &folder, threads)?));
        }
    }
    for &threads in &counts {
        if threads == all || matches!(place, Place::Local | Place::Memory) {
            let folder = own(&format!("fuzarr {threads}"));
            writers.push(Box::new(FuzarrWriter::create(array, place, &folder, threads)?));
        }
    }
    for &threads in &counts {
        if threads == all || place != Place::Synced {
            let folder = own(&format!("zarrs {threads}"));
            writers.push(Box::new(ZarrsWriter::create(array, place, &folder, threads)?));
        }
    }
    if change != Change::Whole && matches!(place, Place::Memory | Place::AsTheyCome) {
        if codec == Codec::Raw {
            let writer = FuzarrWriter::create(array, place, &own("fuzarr in place"), all)?;
            writers.push(Box::new(writer.in_place()));
        }
        let writer = ZarrsWriter::create(array, place, &own("zarrs in place"), all)?;
        writers.push(Box::new(writer.partial_encoding()));
    }
    Ok(writers)
}

/// Compares what `writer` has stored with `expected`, through another engine.
///
/// # Errors
/// One that says which engine wrote something else, or that other's.
pub(crate) fn verify(layout: &'static Layout, writer: &dyn Writer, expected: &[u8]) -> Result<()> {
    let objects = writer.objects()?;
    let reader: Box<dyn Engine> = match writer.name().family {
        Family::Fuzarr => Box::new(Zarrs::of(layout, objects)?),
        Family::Floor | Family::Zarrs => Box::new(Fuzarr::of(layout, objects)?),
    };
    let mut found = vec![0; expected.len()];
    reader.time(Request::Whole, 1, &mut found)?;
    if found == expected {
        return Ok(());
    }
    Err(format!("{} reads something else than {} wrote", reader.name(), writer.name()).into())
}

/// All objects below `folder`.
fn objects_below(folder: &Path) -> Result<Objects> {
    let mut found = Vec::new();
    collect(folder, "", &mut found)?;
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Objects) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{key}/"), found)?;
        } else {
            found.push((key, std::fs::read(entry.path())?));
        }
    }
    Ok(())
}
