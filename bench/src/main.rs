//! Times fuzarr beside the crate `zarrs`, in one process, taking turns: reads of the same stored
//! bytes, and writes of the same values.
//!
//! `--rows reads` or `--rows writes` measures only those; `--only TEXT` measures rows whose name
//! (`read raw 1 MB in 1 kB chunks whole local`) contains it; `--engine TEXT` runs engines whose name
//! contains it, for a profiler; `--quick` measures the local store only and each row briefly;
//! `--seconds N` measures each row for so long; `--results FOLDER` is where results are written.
//! Without that, only a run of all rows and engines is written, to `bench/results`.

mod codec;
mod data;
mod engine;
mod measure;
mod plane;
mod report;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use engine::{Place, Result};
use measure::{Budget, Times};
use report::{Action, Row};
use workload::{CODECS, Codec, LAYOUTS, Layout};

/// Where files are in memory, on Linux: without the disk's time, that of the engines shows.
const FAST: &str = "/dev/shm";

/// What the command line asks for.
struct Options {
    quick: bool,
    rows: Option<Action>,
    only: String,
    engine: String,
    budget: Budget,
    results: Option<PathBuf>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            quick: false,
            rows: None,
            only: String::new(),
            engine: String::new(),
            budget: Budget { time: Duration::from_millis(1500), samples: 101 },
            results: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => {
                    options.quick = true;
                    options.budget.time = Duration::from_millis(150);
                }
                "--rows" => {
                    options.rows = Some(match value()?.as_str() {
                        "reads" => Action::Read,
                        "writes" => Action::Write,
                        other => return Err(format!("no such rows: {other}").into()),
                    });
                }
                "--only" => options.only = value()?,
                "--engine" => options.engine = value()?,
                "--results" => options.results = Some(value()?.into()),
                "--seconds" => {
                    let time = Duration::try_from_secs_f64(value()?.parse()?)?;
                    options.budget = Budget { time, samples: usize::MAX };
                }
                _ => return Err(format!("unknown argument: {word}").into()),
            }
        }
        Ok(options)
    }

    /// Where results are written, if they are.
    fn results(&self) -> Option<PathBuf> {
        let complete = self.only.is_empty() && self.engine.is_empty() && self.rows.is_none();
        let usual = complete.then(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("results"));
        self.results.clone().or(usual)
    }

    fn places(&self, action: Action) -> &'static [Place] {
        let places: &[Place] = match action {
            Action::Read => &Place::READS,
            Action::Write => &Place::WRITES,
        };
        if self.quick { &places[..1] } else { places }
    }

    fn wants(&self, row: &Row) -> bool {
        self.rows.is_none_or(|rows| rows == row.action) && row.name().contains(&self.only)
    }
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let disk = tempfile::tempdir()?;
    let fast = tempfile::tempdir_in(FAST).or_else(|_| tempfile::tempdir())?;
    let mut rows = Vec::new();
    report::print_head();
    for layout in LAYOUTS {
        let values = data::values(layout.shape);
        for &codec in CODECS {
            time_reads(options, (layout, codec), &values, disk.path(), &mut rows)?;
            let folders = [fast.path(), disk.path()];
            time_writes(options, (layout, codec), &values, folders, &mut rows)?;
        }
    }
    if let Some(results) = options.results() {
        let folders = [fast.path(), disk.path()];
        report::write(&rows, options.quick, folders, &results)?;
    }
    Ok(())
}

/// Times every request on one stored array.
fn time_reads(
    options: &Options,
    (layout, codec): (&'static Layout, Codec),
    values: &[u8],
    folder: &Path,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let folder = folder.join("array");
    for &place in options.places(Action::Read) {
        let row = |request| Row::read(layout, codec, request, place);
        let requests = layout.requests.iter().copied();
        let requests: Vec<_> = requests.filter(|request| options.wants(&row(*request))).collect();
        if requests.is_empty() {
            continue;
        }
        if !folder.exists() {
            engine::store_array(layout, codec, values, &folder)?;
        }
        let mut engines = engine::open(layout, codec, place, &folder)?;
        engines.retain(|engine| engine.name().to_string().contains(&options.engine));
        for request in requests {
            let expected = data::expected(layout, values, request);
            let times = measure::reads(&engines, request, &expected, options.budget);
            finish(row(request), times, rows)?;
        }
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// Times every change of arrays of one kind, of which each engine has its own. Those that the disk
/// has to answer for are in the second folder.
fn time_writes(
    options: &Options,
    (layout, codec): (&'static Layout, Codec),
    values: &[u8],
    [fast, disk]: [&Path; 2],
    rows: &mut Vec<Row>,
) -> Result<()> {
    let mut others = Vec::new();
    for &place in options.places(Action::Write) {
        let synced = matches!(place, Place::AsTheyCome | Place::Synced);
        let folder = if synced { disk } else { fast }.join("written");
        for &change in layout.changes {
            let row = Row::write(layout, codec, change, place);
            if !layout.measures(codec, change, synced) || !options.wants(&row) {
                continue;
            }
            if others.is_empty() {
                others = data::other(values);
            }
            let mut writers = engine::create((layout, codec), change, place, &folder)?;
            writers.retain(|writer| writer.name().to_string().contains(&options.engine));
            let contents = [values, &others];
            let times = measure::writes(layout, &writers, change, contents, options.budget);
            finish(row, times, rows)?;
            drop(writers);
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
        }
    }
    Ok(())
}

/// Shows and keeps a row, unless no engine was asked for that has it.
fn finish(mut row: Row, times: Result<Vec<Times>>, rows: &mut Vec<Row>) -> Result<()> {
    row.times = times.map_err(|error| format!("{}: {error}", row.name()))?;
    if !row.times.is_empty() {
        report::print_row(&row);
        rows.push(row);
    }
    Ok(())
}
