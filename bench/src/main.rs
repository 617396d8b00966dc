//! Times fuzarr beside the crate `zarrs`, in one process, taking turns, on the same stored bytes.
//!
//! `--quick` measures the local store only and each row briefly; `--only TEXT` measures rows whose
//! name (`raw 1 MB in 1 kB chunks whole local`) contains it; `--engine TEXT` runs engines whose
//! name contains it, for a profiler; `--seconds N` measures each row for so long. Only a run of all
//! rows and engines is written to `results/latest.json`.

mod codec;
mod data;
mod engine;
mod measure;
mod plane;
mod report;
mod workload;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use engine::{Place, Result};
use measure::Budget;
use report::Row;
use workload::{CODECS, Codec, LAYOUTS, Layout};

/// What the command line asks for.
struct Options {
    quick: bool,
    only: String,
    engine: String,
    budget: Budget,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let budget = Budget { time: Duration::from_millis(1500), samples: 101 };
        let mut options = Self { quick: false, only: String::new(), engine: String::new(), budget };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => {
                    options.quick = true;
                    options.budget.time = Duration::from_millis(150);
                }
                "--only" => options.only = value()?,
                "--engine" => options.engine = value()?,
                "--seconds" => {
                    let time = Duration::try_from_secs_f64(value()?.parse()?)?;
                    options.budget = Budget { time, samples: usize::MAX };
                }
                _ => return Err(format!("unknown argument: {word}").into()),
            }
        }
        Ok(options)
    }

    fn is_complete(&self) -> bool {
        self.only.is_empty() && self.engine.is_empty()
    }

    fn places(&self) -> &'static [Place] {
        if self.quick { &Place::ALL[..1] } else { &Place::ALL }
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
    let folder = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for layout in LAYOUTS {
        let values = data::values(layout.shape);
        for &codec in CODECS {
            let path = folder.path().join("array");
            let names = options.places().iter().flat_map(|place| {
                layout.requests.iter().map(move |request| row_name(codec, layout, *request, *place))
            });
            if !names.into_iter().any(|name| name.contains(&options.only)) {
                continue;
            }
            engine::write(layout, codec, &values, &path)?;
            time_array(options, (layout, codec), &values, &path, &mut rows)?;
            std::fs::remove_dir_all(&path)?;
        }
    }
    if options.is_complete() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/latest.json");
        report::write(&rows, options.quick, &path)?;
    }
    Ok(())
}

/// Times every request on one stored array.
fn time_array(
    options: &Options,
    (layout, codec): (&'static Layout, Codec),
    values: &[u8],
    folder: &Path,
    rows: &mut Vec<Row>,
) -> Result<()> {
    for &place in options.places() {
        let mut engines = engine::open(layout, codec, place, folder)?;
        engines.retain(|engine| engine.name().contains(&options.engine));
        for &request in layout.requests {
            let name = row_name(codec, layout, request, place);
            if !name.contains(&options.only) {
                continue;
            }
            let expected = data::expected(layout, values, request);
            let times = measure::measure(&engines, request, &expected, options.budget)
                .map_err(|error| format!("{name}: {error}"))?;
            let row = Row {
                codec: codec.name(),
                layout: layout.name,
                request: request.name(),
                store: place.name(),
                times,
            };
            if rows.is_empty() {
                let names: Vec<String> =
                    row.times.iter().map(|times| times.engine.clone()).collect();
                report::print_head(&names);
            }
            report::print_row(&row);
            rows.push(row);
        }
    }
    Ok(())
}

fn row_name(codec: Codec, layout: &Layout, request: workload::Request, place: Place) -> String {
    format!("{} {} {} {}", codec.name(), layout.name, request.name(), place.name())
}
