//! `relayscope config init`: the configuration for a first start, and what to set at the mail server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::config::print;
use super::recipe::{MailServer, Ways};
use crate::config::{self, First, Overrides};

/// Where mail is submitted to (RFC 6409), which is what smart hosts listen on.
const SUBMISSION: u16 = 587;
/// Where Relayscope listens unless told otherwise.
const PORT: u16 = 2525;

#[derive(Debug, Clone, Args)]
pub struct Setup {
    /// Where to; - is standard output [default: config/relayscope.toml]
    #[arg(value_name = "FILE", conflicts_with = "output")]
    file: Option<PathBuf>,
    /// Where to, as well
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The mail server whose mail is to be traced
    #[arg(long, requires = "smart_host")]
    server: Option<MailServer>,
    /// Where its mail goes now; port 587 if none is given
    #[arg(long, value_name = "HOST[:PORT]")]
    smart_host: Option<String>,
    /// Where the mail server is to connect to [default: 127.0.0.1:2525; 0.0.0.0:2525 for those that run on another machine]
    #[arg(long, value_name = "ADDR:PORT", requires = "smart_host")]
    listen: Option<SocketAddr>,
    /// Address or network of the mail server, if it isn't on this machine
    #[arg(long, value_name = "ADDR", requires = "smart_host")]
    allow: Option<String>,
}

impl Setup {
    pub fn run(&self) -> ExitCode {
        let file = self.output.as_deref().or(self.file.as_deref()).unwrap_or(Path::new(config::DEFAULT_PATHS[0]));
        let Some(smart_host) = &self.smart_host else {
            if file == Path::new("-") {
                return print(config::TEMPLATE);
            }
            return match config::init(file, config::TEMPLATE) {
                Ok(()) => print(&format!("{} written: name your smart host under [[upstream]], then `relayscope run`", file.display())),
                Err(error) => refuse(&error.to_string()),
            };
        };
        let has_port = smart_host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let smart_host = if has_port { smart_host.clone() } else { format!("{smart_host}:{SUBMISSION}") };
        let listen = self.listen.unwrap_or_else(|| {
            let ip = if self.is_elsewhere() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
            SocketAddr::new(IpAddr::V4(ip), PORT)
        });
        self.write(file, &smart_host, listen)
    }

    /// The server runs on another machine: what is said, or what can't be otherwise.
    fn is_elsewhere(&self) -> bool {
        self.allow.is_some() || self.server.is_some_and(MailServer::is_for_windows)
    }

    fn write(&self, file: &Path, smart_host: &str, listen: SocketAddr) -> ExitCode {
        let name = self.server.map_or("your mail server", MailServer::name);
        let text = First { server: name, listen: &listen.to_string(), allow: self.allow.as_deref(), smart_host }.text();
        // Nothing is written that would not start.
        let loaded = match config::load_text(file, &text, &Overrides::default()) {
            Ok(loaded) => loaded,
            Err(errors) => {
                let texts: Vec<&str> = errors.problems.iter().map(|problem| problem.text.as_str()).collect();
                return refuse(&format!("nothing is written: {}", texts.join("; ")));
            }
        };
        if file == Path::new("-") {
            return print(&text);
        }
        if let Err(error) = config::init(file, &text) {
            return refuse(&error.to_string());
        }
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        let ways = Ways { file, listen, allow: self.allow.as_deref(), smart_host, is_elsewhere: self.is_elsewhere() };
        print(&self.server.map_or_else(|| ways.without_a_server(), |server| server.recipe(&ways)))
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("relayscope: {why}");
    ExitCode::from(2)
}
