//! The engines, side by side behind one trait.

mod floor;
mod fuzarr;
mod zarrs;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use self::floor::Floor;
pub(crate) use self::fuzarr::{Fuzarr, write};
pub(crate) use self::zarrs::Zarrs;
use crate::workload::{Codec, Layout, Request};

/// Any failure; the benchmark stops at the first.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Where the stored objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Local,
    Memory,
}

impl Place {
    pub(crate) const ALL: [Self; 2] = [Self::Local, Self::Memory];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Memory => "memory",
        }
    }
}

/// Something that reads an array which it has open.
pub(crate) trait Engine {
    fn name(&self) -> &str;

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

/// The engine of the least that must be done, then those to be compared.
pub(crate) fn open(
    layout: &'static Layout,
    codec: Codec,
    place: Place,
    folder: &Path,
) -> Result<Vec<Box<dyn Engine>>> {
    let cores = std::thread::available_parallelism()?.get();
    let mut engines: Vec<Box<dyn Engine>> = vec![
        Box::new(Floor::open(layout, codec, place, folder)?),
        Box::new(Fuzarr::open(layout, place, folder)?),
        Box::new(Zarrs::open(layout, place, folder, 1)?),
    ];
    if cores > 1 {
        engines.push(Box::new(Zarrs::open(layout, place, folder, cores)?));
    }
    Ok(engines)
}

/// All objects below `folder` with their keys, read whole.
fn objects(folder: &Path, prefix: &str, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            objects(&entry.path(), &format!("{key}/"), found)?;
        } else {
            found.push((key, std::fs::read(entry.path())?));
        }
    }
    Ok(())
}
