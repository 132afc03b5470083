//! The command line: what can be typed, and the exit status that it ends with.
//!
//! 0 done or found, 1 not found or a check found trouble, 2 usage, 3 store or network failure.

mod backend;
mod client;
mod completions;
pub mod config;
pub mod demo;
mod failure;
mod ladder;
pub mod locate;
pub mod run;
pub mod screen;
mod search;
mod show;
mod stats;
mod store;
mod table;
mod tail;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use failure::{Failure, Status};

/// Traces every mail transaction between a mail server and its smart host, and says where a message stopped.
#[derive(Debug, Parser)]
#[command(name = "relayscope", version, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    traces: Traces,
    #[command(subcommand)]
    command: Command,
}

/// Which traces are asked, and in which form the answer comes.
#[derive(Debug, Clone, Args)]
pub struct Traces {
    /// Directory of the store [default: ./relayscope-store, or /var/lib/relayscope]
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Ask a running proxy at this address: http://127.0.0.1:8025, or unix:/path/to/api.sock
    #[arg(long, global = true, value_name = "URL", conflicts_with = "store")]
    pub api: Option<String>,
    /// File with the token for --api over TCP [default: $RELAYSCOPE_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Answer in JSON; lists as one object a line
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy
    Run(run::Source),
    /// Try it with nothing else: a scripted smart host that misbehaves, sample messages, and what to ask
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
    /// Check, show or write the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Look after the store itself
    Store(store::StoreCommand),
    /// Print the completion script for a shell
    Completions(completions::Completions),
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
    match dispatch(cli) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let status = match cli.command {
        Command::Run(source) => return Ok(run::run(&source.with_store(cli.traces.store))),
        Command::Demo(demo) => return Ok(demo::run(&demo, cli.traces.store)),
        Command::Config(command) => return Ok(config::run(&command.with_store(cli.traces.store))),
        Command::Where(command) => command.run(&cli.traces),
        Command::Search(command) => command.run(&cli.traces),
        Command::Show(command) => command.run(&cli.traces),
        Command::Tail(command) => command.run(&cli.traces),
        Command::Stats(command) => command.run(&cli.traces),
        Command::Store(command) => command.run(&cli.traces),
        Command::Completions(command) => command.run(),
    };
    status.map(ExitCode::from)
}
