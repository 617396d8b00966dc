//! The built command.

use std::path::Path;
use std::process::Command;

/// What the command says, on both outputs, when it is run in `folder` and ends with `code`.
pub(crate) fn run(folder: &Path, arguments: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzarr"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{text}\n{error}");
    text + &error
}
