//! `fuzarr copy`.

use super::{Outcome, rate};
use crate::arguments::{Copy, Lengths, Shards};
use crate::location;
use crate::render::{bytes, some, traffic};
use fuzarr::codec::short;
use fuzarr::dtype::DataType;
use fuzarr::metadata::ArrayMetadata;
use fuzarr::plan::{ReadOptions, WriteOptions};
use fuzarr::store::{Address, AddressOptions, LocalOptions, MemoryStore, Opened, Store, Traffic};
use fuzarr::transcode::{self, Node, Options, Progress, Relayout, Report, Transcode};
use fuzarr::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::ops::Add as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) fn run(arguments: &Copy, options: &AddressOptions) -> Result<Outcome> {
    let settings = &arguments.settings.set;
    if settings.iter().any(|setting| setting.name() == "memory") {
        return Err(Error::invalid_argument("the memory of a copy is set by --memory"));
    }
    let of_source = |error: Error| error.with("in", arguments.source.display());
    let from = location::existing(&arguments.source).map_err(of_source)?;
    let to = match arguments.overwrite {
        true => location::replaced(&arguments.destination)?,
        false => location::new(&arguments.destination)?,
    };
    check_apart(&from, &to)?;
    let source = from.root.open(options).map_err(of_source)?;
    let plan = |destination: Arc<dyn Store>| {
        let source = Node { store: Arc::clone(&source.store), path: from.path.clone() };
        let destination = Node { store: destination, path: to.path.clone() };
        let options = planning(arguments)?;
        Transcode::plan(source, destination, |array| relayout(arguments, array), options)
            .map_err(of_source)
    };
    if location::is_new(&to.root) {
        // What cannot be done is found out before a folder is made for it.
        plan(Arc::new(MemoryStore::default()))?;
    }
    let local = LocalOptions { fsync: !arguments.no_sync, ..options.local };
    let opened = to.root.open(&AddressOptions { create: true, local, ..options.clone() })?;
    let copy = plan(Arc::clone(&opened.store))?;
    let asked = || asked([&source, &opened]);
    let begun = Instant::now();
    let report = with_bar("copied", &asked, |progress| copy.run(progress)).map_err(|error| {
        if error.context("side") == Some("source") {
            return of_source(error);
        }
        // What overwriting leaves alone it does not get out of the way.
        let is_left = error.context("member").is_some();
        if is_left { error } else { super::ways_out(error) }
    })?;
    opened.close()?;
    super::print(&summary(&report, begun.elapsed(), asked()))?;
    if !arguments.verify {
        return Ok(Outcome::Fine);
    }
    match with_bar("compared", &asked, |progress| copy.compare(progress))? {
        None => super::print("compared: equal\n").map(|()| Outcome::Fine),
        Some(difference) => {
            super::print(&format!(
                "compared: {}\n",
                crate::render::visible(&difference.to_string())
            ))?;
            Ok(Outcome::Damaged)
        }
    }
}

/// How the copy is made.
fn planning(arguments: &Copy) -> Result<Options> {
    let settings = &arguments.settings.set;
    Ok(Options {
        memory: arguments.memory,
        workers: arguments.workers,
        overwrite: arguments.overwrite,
        read: ReadOptions::with_overrides(settings)?,
        write: WriteOptions::with_overrides(settings)?,
        format: arguments.format.map(Into::into),
        ..Options::default()
    })
}

/// Checks that neither place is inside the other, by whatever stores they are reached.
fn check_apart(source: &Address, destination: &Address) -> Result<()> {
    if destination.holds(source) || source.holds(destination) {
        return Err(Error::invalid_argument("one of source and destination is inside the other")
            .with("source", source)
            .with("destination", destination));
    }
    Ok(())
}

/// What the options change of an array.
fn relayout(arguments: &Copy, array: &ArrayMetadata) -> Result<Relayout> {
    let codecs = match &arguments.codecs {
        None => None,
        Some(text) => Some(short::parse(text, DataType::from_extension(&array.data_type)?)?),
    };
    Ok(Relayout {
        chunks: arguments.chunks.as_ref().map(|Lengths(chunks)| chunks.clone()),
        shards: match &arguments.shards {
            None => transcode::Shards::Keep,
            Some(Shards::None) => transcode::Shards::Off,
            Some(Shards::Shape(Lengths(shards))) => transcode::Shards::Shape(shards.clone()),
        },
        codecs,
    })
}

/// What was asked of those of the stores that are behind a network.
fn asked(stores: [&Opened; 2]) -> Option<Traffic> {
    stores.into_iter().filter_map(Opened::traffic).reduce(Traffic::add)
}

/// What a copy came to, in a line.
fn summary(report: &Report, time: Duration, asked: Option<Traffic>) -> String {
    let mut text = format!(
        "{}, {}, {}, {:.1} s, {}",
        some(report.arrays.into(), "array"),
        some(report.objects.into(), "object"),
        bytes(report.bytes.into()),
        time.as_secs_f64(),
        rate(report.bytes, time),
    );
    if let Some(asked) = asked {
        text.push_str(&format!(", {}", traffic(&asked)));
    }
    if report.kept_objects > 0 {
        text.push_str(&format!("; {} from before", some(report.kept_objects.into(), "object")));
    }
    text.push('\n');
    text
}

/// Does `work` and shows how far it is: a bar on a terminal, a line now and then elsewhere.
fn with_bar<T>(
    verb: &'static str,
    asked: &dyn Fn() -> Option<Traffic>,
    work: impl FnOnce(&mut dyn FnMut(&Progress<'_>) -> Result<()>) -> Result<T>,
) -> Result<T> {
    if !std::io::stderr().is_terminal() {
        return work(&mut lines(verb, asked));
    }
    let bar = ProgressBar::new(0).with_prefix(verb);
    let template = "{prefix} {binary_bytes} of {binary_total_bytes} [{wide_bar}] \
                    {binary_bytes_per_sec}, {msg}{eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    let done = work(&mut |progress| {
        // What an earlier run did says nothing of the rate.
        bar.set_length(progress.total.saturating_sub(progress.kept));
        bar.set_position(progress.done.saturating_sub(progress.kept));
        if let Some(asked) = asked() {
            bar.set_message(format!("{}, ", traffic(&asked)));
        }
        Ok(())
    });
    bar.finish_and_clear();
    done
}

/// Lines on standard error that tell how far the work is, none for short work.
fn lines(
    verb: &'static str,
    asked: &dyn Fn() -> Option<Traffic>,
) -> impl FnMut(&Progress<'_>) -> Result<()> {
    const INTERVAL: Duration = Duration::from_secs(10);
    let (begun, mut last) = (Instant::now(), Instant::now());
    move |progress| {
        if last.elapsed() >= INTERVAL {
            last = Instant::now();
            let (done, total) = (bytes(progress.done.into()), bytes(progress.total.into()));
            let rate = rate(progress.done.saturating_sub(progress.kept), begun.elapsed());
            let asked = asked().map(|asked| format!(", {}", traffic(&asked))).unwrap_or_default();
            // Progress that cannot be shown is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{verb} {done} of {total}, {rate}{asked}");
        }
        Ok(())
    }
}
