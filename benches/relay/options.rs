//! The command line: what to measure, and the parts that this program plays in processes of their own.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::cases::Case;

/// Measures SMTP relays side by side on loopback: a load generator, the relay, a sink, each a process of its own.
#[derive(Debug, Parser)]
#[command(name = "relay")]
pub struct Options {
    #[command(subcommand)]
    pub role: Option<Role>,

    /// Which cases, by letter or name; all but catching-up by default.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Case::ALL.to_vec())]
    pub cases: Vec<Case>,
    /// How often each case is run with each peer.
    #[arg(long, default_value_t = 7)]
    pub rounds: usize,
    /// How long one run lasts.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Which peers: direct, haproxy, relayscope, synced, export, export3, mx, xclient, proxied, and the names given by --also.
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<String>,
    /// Another build of relayscope to measure beside this one.
    #[arg(long, value_name = "NAME=PATH")]
    pub also: Vec<String>,
    /// Send MAIL, RCPT and DATA in one write.
    #[arg(long)]
    pub pipelining: bool,
    /// Messages a second behind which the loaded latency is taken.
    #[arg(long, default_value_t = 2_000.0)]
    pub background: f64,
    /// Records that the store holds in the catching-up case.
    #[arg(long, default_value_t = 1_000_000)]
    pub stored: u64,
    /// Idle sessions in the memory case.
    #[arg(long, default_value_t = 1_000)]
    pub idle_sessions: usize,
    /// Where stores and configs of the peers live meanwhile; a disk, not memory, or `synced` means nothing.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    pub dir: PathBuf,
    /// Write every run and the summary here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    pub bench: bool,
}

#[derive(Debug, Subcommand)]
pub enum Role {
    /// Plays the server at the end.
    #[command(hide = true)]
    Sink,
    /// Plays a receiver of exports over TLS.
    #[command(hide = true)]
    Drain {
        /// Where its certificate is written to.
        #[arg(long)]
        certificate: PathBuf,
    },
    /// Plays the clients.
    #[command(hide = true)]
    Load(LoadOptions),
}

/// What the load generator does. The orchestrator writes them as flags.
#[derive(Debug, Clone, Args)]
pub struct LoadOptions {
    #[arg(long)]
    pub address: SocketAddr,
    /// Begin each connection with a PROXY header.
    #[arg(long)]
    pub proxy_header: bool,
    /// Octets of a message as sent, the final dot not counted.
    #[arg(long, default_value_t = 4_096)]
    pub size: usize,
    #[arg(long, default_value_t = 1)]
    pub sessions: usize,
    /// Send all messages of a session over one connection.
    #[arg(long)]
    pub reuse: bool,
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Stop after this many messages of each session (0: only time counts).
    #[arg(long, default_value_t = 0)]
    pub messages: u64,
    /// Messages a second over all sessions (0: as many as possible).
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    #[arg(long)]
    pub pipelining: bool,
    /// Messages of each session before the measuring begins.
    #[arg(long, default_value_t = 1)]
    pub warm_up: u64,
}

impl LoadOptions {
    pub fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = [
            ("--address", self.address.to_string()),
            ("--size", self.size.to_string()),
            ("--sessions", self.sessions.to_string()),
            ("--seconds", self.seconds.to_string()),
            ("--messages", self.messages.to_string()),
            ("--rate", self.rate.to_string()),
            ("--warm-up", self.warm_up.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
        flags.extend(self.proxy_header.then(|| "--proxy-header".to_owned()));
        flags.extend(self.reuse.then(|| "--reuse".to_owned()));
        flags.extend(self.pipelining.then(|| "--pipelining".to_owned()));
        flags
    }
}
