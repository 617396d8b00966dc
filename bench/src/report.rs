//! The table for people and the document for machines.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::engine::Result;
use crate::measure::Times;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) codec: &'static str,
    pub(crate) layout: &'static str,
    pub(crate) request: &'static str,
    pub(crate) store: &'static str,
    /// The floor, fuzarr, and the others.
    pub(crate) times: Vec<Times>,
}

impl Row {
    /// The medians of the floor and fuzarr, and the best of zarrs: of one thread, and of any.
    fn medians(&self) -> [f64; 4] {
        let median = |prefix: &str| {
            let of = self.times.iter().filter(|times| times.engine.starts_with(prefix));
            of.map(Times::median).fold(f64::NAN, f64::min)
        };
        [median("floor"), median("fuzarr"), median("zarrs, 1 "), median("zarrs")]
    }

    fn to_json(&self) -> Value {
        let engines = self.times.iter().map(|times| {
            json!({
                "engine": times.engine,
                "median_ms": rounded(times.median()),
                "min_ms": rounded(times.least()),
                "max_ms": rounded(times.most()),
                "samples": times.samples(),
            })
        });
        json!({
            "codec": self.codec,
            "array": self.layout,
            "request": self.request,
            "store": self.store,
            "engines": engines.collect::<Vec<_>>(),
        })
    }
}

/// Prints what the columns are.
pub(crate) fn print_head(engines: &[String]) {
    let mut line = format!("{:<6}{:<30}{:<16}{:<8}", "codec", "array", "read", "store");
    for engine in engines {
        line += &format!("{engine:>26}");
    }
    println!(
        "Milliseconds: median (least - most). Ratios are of fuzarr's median; below 1 it leads."
    );
    println!("{line}{:>10}{:>10}{:>10}", "/zarrs 1", "/zarrs", "/floor");
}

/// Prints one line.
pub(crate) fn print_row(row: &Row) {
    let mut line = format!("{:<6}{:<30}{:<16}{:<8}", row.codec, row.layout, row.request, row.store);
    for times in &row.times {
        let [median, least, most] = [times.median(), times.least(), times.most()].map(figure);
        line += &format!("{:>26}", format!("{median} ({least} - {most})"));
    }
    let [floor, fuzarr, single, best] = row.medians();
    for other in [single, best, floor] {
        line += &format!("{:>10.2}", fuzarr / other);
    }
    println!("{line}");
}

/// Writes all lines, with what they were measured on.
pub(crate) fn write(rows: &[Row], quick: bool, path: &Path) -> Result<()> {
    let document = json!({
        "date": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        "commit": commit(),
        "machine": machine(),
        "cores": std::thread::available_parallelism()?.get(),
        "zarrs": zarrs::version::version_str(),
        "quick": quick,
        "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
    });
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, serde_json::to_string_pretty(&document)? + "\n")?)
}

/// Three figures or so.
fn figure(milliseconds: f64) -> String {
    let decimals = match milliseconds {
        less if less < 0.001 => 6,
        less if less < 0.1 => 4,
        less if less < 1.0 => 3,
        less if less < 10.0 => 2,
        _ => 1,
    };
    format!("{milliseconds:.decimals$}")
}

/// To a nanosecond.
fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 1e6).round() / 1e6
}

/// The processor's name, where Linux tells it.
fn machine() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The commit that is checked out, where git tells it.
fn commit() -> Option<String> {
    let output = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
