//! `relayscope config`: is the configuration right, and what does it come to.

use std::process::ExitCode;

use clap::Subcommand;

use super::failure::Failure;
use super::run::Source;
use super::running;
use super::setup::Setup;
use crate::config::{self, Loaded};

#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration: every error at once, with file and line
    Check(#[command(flatten)] Box<Source>),
    /// Show the effective configuration, with the origin of each value; secrets are never shown
    Show(#[command(flatten)] Box<Source>),
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Write a configuration file with every option explained; for a mail server and its smart host, one that works at once, and say what
    /// to set at the server
    Init(Box<Setup>),
}

pub fn run(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(source) => check(source),
        ConfigCommand::Show(source) => match source.load() {
            Ok(loaded) => {
                say_of_running(source, &loaded);
                print(&loaded.show())
            }
            Err(exit) => exit,
        },
        ConfigCommand::Schema => match serde_json::to_string_pretty(&config::schema()) {
            Ok(text) => print(&text),
            Err(_) => ExitCode::from(3),
        },
        ConfigCommand::Init(setup) => setup.run(),
    }
}

/// What is shown is the file, with the flags given here: a proxy that runs may go by others.
fn say_of_running(source: &Source, loaded: &Loaded) {
    let store = running::store_of(source.store.as_deref(), source.config.as_deref());
    let Some(found) = store.and_then(|dir| running::ask(&dir)).filter(|found| found.digest != loaded.digest) else { return };
    let flags = running::flags(&found).map(|flags| format!(", and the flags {flags}")).unwrap_or_default();
    let file = found.config.map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    eprintln!("relayscope: the proxy that runs on this store goes by another configuration: {file}{flags}");
}

fn check(source: &Source) -> ExitCode {
    let loaded = match source.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    let from = loaded.source.as_ref().map_or_else(|| "flags and defaults".to_owned(), |path| path.display().to_string());
    let routes: Vec<String> = loaded.sessions.iter().map(|it| format!("{} -> {}", it.listener.name, it.upstream.name)).collect();
    print(&format!("{from}: good. Listeners and upstreams: {}. Digest {}.", routes.join(", "), loaded.digest))
}

/// Prints to standard output; a reader that has gone away is no error.
pub(super) fn print(text: &str) -> ExitCode {
    match super::screen::print(&format!("{}\n", text.trim_end())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::failed(error).report(),
    }
}
