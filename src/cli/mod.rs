//! The command line: what can be typed, and the exit status that it ends with.
//!
//! 0 done or found, 1 not found or a check found trouble, 2 usage, 3 store or network failure.

/// As the standard ones, which end the program in a panic where standard error can't be written: its disk is full, or its reader gone.
macro_rules! eprint {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr().lock(), $($words)*);
    }};
}
macro_rules! eprintln {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), $($words)*);
    }};
}

mod anomalies;
mod backend;
mod backup;
mod classify;
mod client;
mod completions;
pub mod config;
pub mod demo;
mod doctor;
mod export;
mod exports;
mod failure;
mod import;
mod ladder;
pub mod locate;
mod logs;
mod manual;
mod ndr;
mod own_log;
mod progress;
mod ready;
mod recipe;
mod reclassify;
mod route;
pub mod run;
mod running;
pub mod screen;
mod search;
mod setup;
mod show;
mod stats;
mod store;
mod table;
mod tail;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use failure::Status;

/// Traces every mail transaction between a mail server and its smart host, and says where a message stopped.
#[derive(Debug, Parser)]
#[command(name = "relayscope", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Which traces are asked, and in which form the answer comes.
#[derive(Debug, Clone, Args)]
pub struct Traces {
    /// Directory of the store [default: ./relayscope-store, or /var/lib/relayscope]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Ask a running proxy at this address: http://127.0.0.1:8025, or unix:/path/to/api.sock
    #[arg(long, value_name = "URL", conflicts_with = "store")]
    pub api: Option<String>,
    /// File with the token for --api over TCP [default: $RELAYSCOPE_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Answer in JSON; lists as one object a line
    #[arg(long)]
    pub json: bool,
}

impl Traces {
    /// What another command asks them with: ` --store DIR`.
    fn again(&self) -> String {
        let flag = |name: &str, value: &str| format!(" {name} {}", in_shell(value));
        let store = self.store.as_ref().map(|dir| flag("--store", &dir.to_string_lossy()));
        let api = self.api.as_ref().map(|url| flag("--api", url));
        let token = self.token_file.as_ref().map(|file| flag("--token-file", &file.to_string_lossy()));
        [store, api, token].into_iter().flatten().collect()
    }
}

use crate::wording::in_shell;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Relay mail and trace it
    Run(Box<run::Source>),
    /// Try it all without a mail server: a smart host that misbehaves, sample traffic, and what to ask next
    Demo(demo::DemoArgs),
    /// Say where a message stopped, why, and what to do next
    #[command(after_help = crate::path::what::GRAMMAR)]
    Where(locate::Locate),
    /// List the records that match, newest first
    #[command(after_help = crate::path::what::GRAMMAR)]
    Search(search::Search),
    /// Show one record whole, with the dialogue of both legs
    Show(show::Show),
    /// Follow what passes, as it passes
    #[command(after_help = crate::path::what::GRAMMAR)]
    Tail(tail::Tail),
    /// Count messages by state, stage, upstream and domain
    #[command(after_help = crate::path::what::GRAMMAR)]
    Stats(stats::Stats),
    /// Say what goes wrong at present: limits, logins, upstreams, reputation, volume, TLS, DNS
    Anomalies(anomalies::Anomalies),
    /// Say whether a proxy takes mail now, for health checks
    Ready(ready::Ready),
    /// Say which upstream a message would go to, and which rule decides, without sending it
    Route(route::Route),
    /// Examine DNS, an upstream, a sending address, a message or the proxy itself, and say what to do
    Doctor(doctor::Doctor),
    /// Read bounces, delivery reports and complaints from files: who, why, and which message
    Ndr(ndr::Ndr),
    /// Say what a reply means: its cause, who must act, what to do, and the rule that says so
    Classify(classify::Classify),
    /// Check, show or explain the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Read other mail servers' logs: what became of messages before the proxy and behind it
    Import(logs::Logs),
    /// Say how forwarding to other systems stands, and send again what a receiver has lost
    #[command(subcommand)]
    Export(exports::ExportCommand),
    /// Look after the store itself
    Store(store::StoreCommand),
    /// Print the completion script for a shell
    Completions(completions::Completions),
    /// Write the manual pages
    #[command(hide = true)]
    Man(manual::Manual),
}

/// Runs what was typed.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Status::Usage.into() } else { Status::Done.into() };
        }
    };
    let done = match cli.command {
        Command::Run(source) => return run::run(&source),
        Command::Demo(arguments) => return demo::run(&arguments),
        Command::Config(command) => return config::run(&command),
        Command::Route(command) => return command.run(),
        Command::Ndr(command) => return command.run(),
        Command::Where(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Classify(command) => command.run(),
        Command::Search(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Tail(command) => command.run(),
        Command::Stats(command) => command.run(),
        Command::Anomalies(command) => command.run(),
        Command::Ready(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Store(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match done {
        Ok(status) => status.into(),
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_command_asks_the_same_traces() {
        let asked = |store: Option<&str>, api: Option<&str>| {
            Traces { store: store.map(Into::into), api: api.map(str::to_owned), token_file: None, json: true }.again()
        };
        assert_eq!(asked(None, None), "");
        assert_eq!(asked(Some("relayscope-demo"), None), " --store relayscope-demo");
        assert_eq!(asked(Some("/var/my traces; it's"), None), r" --store '/var/my traces; it'\''s'");
        assert_eq!(asked(None, Some("http://[::1]:8025")), " --api 'http://[::1]:8025'");
    }
}
