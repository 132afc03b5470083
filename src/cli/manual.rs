//! `relayscope man DIR`: a manual page for each command, made of what `--help` says. For those who make packages.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Cli;
use super::failure::{Failure, Status};

/// Files that the main page names, and what they are.
const FILES: [(&str, &str); 4] = [
    ("/etc/relayscope/relayscope.toml", "The configuration, unless --config names another; config/relayscope.toml counts before it."),
    ("/etc/relayscope/rules/*.toml", "Rules of your own that say what replies mean."),
    ("/var/lib/relayscope", "The traces of the packaged service."),
    ("/var/lib/relayscope/api.sock", "By which commands ask a running proxy; for the group relayscope."),
];

/// What the exit status means.
const EXITS: [(&str, &str); 4] = [
    ("0", "Done, or found."),
    ("1", "Not found, or a check found trouble."),
    ("2", "Usage, or the configuration."),
    ("3", "The store or the network failed."),
];

#[derive(Debug, Args)]
pub struct Manual {
    /// Directory that the pages are written to; made if it isn't there
    dir: PathBuf,
}

impl Manual {
    pub fn run(self) -> Result<Status, Failure> {
        fs::create_dir_all(&self.dir)?;
        // Subcommands learn their full names.
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        write(&self.dir, &command, true)?;
        Ok(Status::Done)
    }
}

fn write(dir: &Path, command: &Command, is_main: bool) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("Relayscope").source(concat!("relayscope ", env!("CARGO_PKG_VERSION")));
    man.render(&mut page)?;
    if is_main {
        section("FILES", &FILES).to_writer(&mut page)?;
        section("EXIT STATUS", &EXITS).to_writer(&mut page)?;
    }
    fs::write(dir.join(format!("{name}.1")), page)?;
    command.get_subcommands().filter(|it| !it.is_hide_set()).try_for_each(|it| write(dir, it, false))
}

fn section(title: &str, lines: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, text) in lines {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
    roff
}
