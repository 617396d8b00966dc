//! The `fuzarr` command as a library.

pub mod arguments;
pub mod commands;
pub mod create;
pub mod location;
pub mod npy;
pub mod print;
pub mod render;
mod time;
pub mod value;

use arguments::Arguments;
use clap::Parser as _;
use commands::Outcome;
use owo_colors::OwoColorize as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs the command with these arguments, the program's name first. Errors are told on standard
/// error.
///
/// The exit code is 0 if all is fine, 1 if data is damaged, 2 for everything else that is wrong.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    exit_code(arguments).into()
}

/// As [`run`], for programs that end otherwise; the exit code.
#[must_use]
pub fn exit_code(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where to tell that the help or the error could not be printed?
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    match commands::run(&arguments.command, &arguments.storage) {
        Ok(Outcome::Fine) => 0,
        Ok(Outcome::Damaged) => 1,
        Ok(Outcome::Unchecked) => 2,
        Err(error) => {
            let text = render::visible(&error.to_string());
            let _ = writeln!(anstream::stderr(), "{} {text}", "error:".red().bold());
            if commands::is_damage(&error) { 1 } else { 2 }
        }
    }
}
