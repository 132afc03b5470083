//! The `relayscope` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    relayscope::cli::main()
}
