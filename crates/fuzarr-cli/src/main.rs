//! The `fuzarr` command.

fn main() -> std::process::ExitCode {
    fuzarr_cli::run(std::env::args_os())
}
