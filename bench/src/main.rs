//! The benchmark's worker for engines in Rust and for the floors: it reads one request a line and
//! answers one a line, and times what it is asked to. The harness starts one for each engine.

mod cell;
mod codec;
mod engine;
mod floor;
mod memory;
mod objects;
mod protocol;
mod selection;
mod task;

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use protocol::{Request, Worker};

/// Any failure; the worker answers with it and lives on.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match serve(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers requests until there are no more.
fn serve(mut words: impl Iterator<Item = String>) -> Result<()> {
    let mut name = None;
    let mut workers = 0;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--engine" => name = Some(value()?),
            "--workers" => workers = value()?.parse()?,
            _ => return Err(format!("unknown argument: {word}").into()),
        }
    }
    let name = name.ok_or("--engine is missing")?;
    let mut answers = std::fs::File::from(rustix::io::dup(std::io::stdout())?);
    rustix::stdio::dup2_stdout(std::io::stderr())?;
    let mut worker = Worker::new(&name, workers)?;
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str::<Request>(&line?) {
            Ok(request) => worker.answer(&request),
            Err(error) => serde_json::json!({"error": format!("no request: {error}")}),
        };
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}
