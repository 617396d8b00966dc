//! The `fuzarr` command.
fn main() {}
