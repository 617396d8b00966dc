//! What is shown and kept of a run: lines for the terminal, a document for machines, a table and
//! plots for people.

mod json;
mod markdown;
mod plot;
mod row;

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

pub(crate) use self::row::{Action, Row};
use crate::engine::Result;

/// Prints what the lines say.
pub(crate) fn print_head() {
    println!(
        "Medians in milliseconds (least - most). Ratios of fuzarr's median; below 1 it leads."
    );
}

/// Prints one row.
pub(crate) fn print_row(row: &Row) {
    println!("\n{}", row.name());
    for times in &row.times {
        let [median, least, most] = [times.median(), times.least(), times.most()].map(figure);
        println!("    {:<38}{median:>12} ({least} - {most})", times.engine.to_string());
    }
    let ratios = row.ratios();
    let ratios = [
        ("zarrs", ratios.zarrs),
        ("zarrs, 1 thread each", ratios.zarrs_one_thread),
        ("floor", ratios.floor),
    ];
    let known = ratios.iter().filter(|(_, ratio)| ratio.is_finite());
    let known: Vec<String> = known.map(|(to, ratio)| format!("{ratio:.2} of {to}")).collect();
    println!("    {}  {}", known.join(", "), row.marks().join("; "));
}

/// Writes `latest.json`, `latest.md`, `latest-reads.svg` and `latest-writes.svg` to `results`.
pub(crate) fn write(rows: &[Row], quick: bool, folders: [&Path; 2], results: &Path) -> Result<()> {
    let about = json!({
        "date": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        "commit": commit(),
        "machine": machine(),
        "cores": std::thread::available_parallelism()?.get(),
        "files_of_unsynced_writes": file_system(folders[0]),
        "other_files": file_system(folders[1]),
        "zarrs": zarrs::version::version_str(),
        "quick": quick,
    });
    std::fs::create_dir_all(results)?;
    json::write(&about, rows, &results.join("latest.json"))?;
    for (action, name) in [(Action::Read, "latest-reads.svg"), (Action::Write, "latest-writes.svg")]
    {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.action == action).collect();
        if !rows.is_empty() {
            plot::write(action, &rows, &results.join(name))?;
        }
    }
    markdown::write(&about, rows, &results.join("latest.md"))
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

/// The names in `pick` of `rows`, each once, in order.
fn distinct(rows: &[&Row], pick: impl Fn(&Row) -> &'static str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for row in rows {
        if !found.contains(&pick(row)) {
            found.push(pick(row));
        }
    }
    found
}

/// The processor's name, where Linux tells it.
fn machine() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The file system that `folder` is on, where Linux tells it.
fn file_system(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let below = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (mounted, kind) = (words.next()?.to_owned(), words.next()?.to_owned());
        folder.starts_with(&mounted).then_some((mounted.len(), kind))
    };
    Some(mounts.lines().filter_map(below).max_by_key(|(length, _)| *length)?.1)
}

/// The commit that is checked out, where git tells it.
fn commit() -> Option<Value> {
    let output = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().into())
}
