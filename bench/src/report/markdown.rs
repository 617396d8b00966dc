//! The table for people.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::row::Goal;
use super::{Action, Row, distinct, figure};
use crate::engine::{Family, Result};

const ABOUT: &str = "\
Written by `make bench`. Medians in milliseconds, engines interleaved in one process, every result
checked. Ratios are of fuzarr's median on all cores, as it comes, unless a column says otherwise;
below 1 fuzarr leads.

- *zarrs* is the faster of zarrs on one thread and on all cores.
- The *floor* knows where every chunk is, moves the bytes and runs the bare codec, on one thread or
  on all cores, whichever is faster; writes go to a temporary file that is renamed, or to new memory.
- Writes to *local*: both engines write temporary files and rename them, neither syncs (zarrs by a
  store of this benchmark); the files are in memory where the machine has such a folder, so that
  the disk's time does not hide the engines'. The others are on the disk. *local, as they come*:
  fuzarr does the same; zarrs writes in place, and syncs each file. *local, synced*: both write
  temporary files, sync and rename them (zarrs by its `AtomicWriteStorageAdapter`); fuzarr syncs
  the folder too.
- *In place* are options that neither readers nor crashes are safe from, of fuzarr (`in_place`) and
  zarrs (`experimental_partial_encoding`, which also leaves the old bytes in the shard).
- Goals: never behind; a fifth of zarrs' time on chunks of 1 kB and less; within 1.15 of the floor
  where the codec takes the time.
";

/// Writes all rows, grouped by array, after what the run was `about`.
pub(super) fn write(about: &Value, rows: &[Row], path: &Path) -> Result<()> {
    let mut text = format!("# fuzarr beside zarrs {}\n\n", plain(&about["zarrs"]));
    let words = ["date", "machine", "cores", "files_of_unsynced_writes", "other_files", "commit"];
    let words = words.map(|word| format!("{}: {}", word.replace('_', " "), plain(&about[word])));
    writeln!(text, "{}\n\n{ABOUT}", words.join(" · "))?;
    for (action, title) in [(Action::Read, "Reads"), (Action::Write, "Writes")] {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.action == action).collect();
        if rows.is_empty() {
            continue;
        }
        let name = title.to_lowercase();
        writeln!(text, "## {title}\n\n![{title}](latest-{name}.svg)\n")?;
        summarize(&mut text, &rows)?;
        for layout in distinct(&rows, |row| row.layout) {
            writeln!(text, "\n### {title}: {layout}\n")?;
            let of_layout = rows.iter().filter(|row| row.layout == layout);
            table(&mut text, action, &of_layout.copied().collect::<Vec<_>>())?;
        }
        text.push('\n');
    }
    Ok(std::fs::write(path, text.trim_end().to_owned() + "\n")?)
}

/// How many rows reach their goals, and those that do not.
fn summarize(text: &mut String, rows: &[&Row]) -> Result<()> {
    let ahead = rows.iter().filter(|row| row.ratios().zarrs < 1.0).count();
    write!(text, "fuzarr is ahead in {ahead} of {} rows", rows.len())?;
    for (goal, words) in [
        (Goal::FiveTimes, "at least five times as fast"),
        (Goal::Codec, "within 1.15 of the bare codec"),
    ] {
        let of_goal = rows.iter().filter(|row| row.goal == goal);
        if of_goal.clone().next().is_none() {
            continue;
        }
        let reached = of_goal.clone().filter(|row| row.reaches_goal()).count();
        write!(text, "; {words} in {reached} of {}", of_goal.count())?;
    }
    let marked = rows.iter().filter(|row| !row.marks().is_empty()).count();
    writeln!(text, "; {marked} rows are marked.")?;
    Ok(())
}

fn table(text: &mut String, action: Action, rows: &[&Row]) -> Result<()> {
    let has_in_place = rows.iter().any(|row| row.in_place().iter().any(|time| time.is_finite()));
    let mut head = vec![
        action.name(),
        "codec",
        "store",
        "fuzarr, ms",
        "on 1 thread",
        "zarrs, ms",
        "floor, ms",
        "/zarrs",
        "1 thread each",
        "/floor",
    ];
    if has_in_place {
        head.extend(["fuzarr in place, ms", "zarrs in place, ms"]);
    }
    head.push("mark");
    line(text, &head)?;
    let rule =
        |word: &&str| if word.contains("ms") || word.contains(['/', '1']) { "--:" } else { "---" };
    line(text, &head.iter().map(rule).collect::<Vec<_>>())?;
    for row in rows {
        let ratios = row.ratios();
        let one = row.median(|name| name.family == Family::Fuzarr && name.threads == 1);
        let mut cells = vec![row.request.to_owned(), row.codec.to_owned(), row.store.to_owned()];
        cells.extend([row.fuzarr(), one, row.zarrs(), row.floor()].map(time));
        cells.push(format!("**{}**", ratio(ratios.zarrs)));
        cells.extend([ratios.zarrs_one_thread, ratios.floor].map(ratio));
        if has_in_place {
            cells.extend(row.in_place().map(time));
        }
        cells.push(row.marks().join("; "));
        line(text, &cells)?;
    }
    Ok(())
}

fn line(text: &mut String, cells: &[impl AsRef<str>]) -> Result<()> {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    Ok(writeln!(text, "| {} |", cells.join(" | "))?)
}

fn time(milliseconds: f64) -> String {
    if milliseconds.is_finite() { figure(milliseconds) } else { "–".to_owned() }
}

fn ratio(ratio: f64) -> String {
    if ratio.is_finite() { format!("{ratio:.2}") } else { "–".to_owned() }
}

/// A string without its quotes, anything else as it is.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
