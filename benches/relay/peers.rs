//! What is measured: nothing in between, haproxy, and builds of Relayscope.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::process::{OwnDir, Process};

/// The peer that others are compared with.
pub const BASE: &str = "haproxy";
pub const DIRECT: &str = "direct";
/// Behind a load balancer that tells of its clients.
const PROXIED: &str = "proxied";
/// The header of such a client: PROXY protocol, version 1.
pub const PROXY_HEADER: &[u8] = b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 25\r\n";

/// How to start a peer; it can be started any number of times.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub name: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Direct,
    Haproxy,
    Relayscope {
        program: PathBuf,
        config: &'static str,
    },
    /// Forwarding what it records over TLS syslog, and to so many receivers in all.
    Exporting {
        program: PathBuf,
        sinks: usize,
    },
    /// To the sink as the mail exchanger of its domain, by a resolver of the peer's own.
    Mx {
        program: PathBuf,
    },
    /// To the sink as a server of one's own, which is told of the client in this way.
    Fixed {
        program: PathBuf,
        tell_client: &'static str,
    },
}

/// A peer at work.
pub struct Peer {
    pub address: SocketAddr,
    /// `None`: there is nothing in between.
    pub process: Option<Process>,
    /// The client begins with a PROXY header.
    pub proxy_header: bool,
    /// Or its receiver of exports.
    _resolver: Option<Process>,
    dir: Option<OwnDir>,
}

impl Recipe {
    /// All that can be measured here, in the order of the report, and what can't, with the reason.
    pub fn all(also: &[String], wanted: &[String]) -> Result<(Vec<Self>, Vec<String>)> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_relayscope"));
        let relayscope = |config| Kind::Relayscope { program: program.clone(), config };
        let mut kinds = vec![
            (DIRECT.to_owned(), Kind::Direct),
            (BASE.to_owned(), Kind::Haproxy),
            ("relayscope".to_owned(), relayscope("")),
            ("synced".to_owned(), relayscope("[store]\ndurability = \"synced\"\n")),
            ("unwatched".to_owned(), relayscope("[anomaly]\nenabled = false\n")),
            ("export".to_owned(), Kind::Exporting { program: program.clone(), sinks: 1 }),
            ("export3".to_owned(), Kind::Exporting { program: program.clone(), sinks: 3 }),
            ("mx".to_owned(), Kind::Mx { program: program.clone() }),
            ("xclient".to_owned(), Kind::Fixed { program: program.clone(), tell_client: "xclient" }),
            (PROXIED.to_owned(), relayscope("[[listener]]\naccept_proxy = [\"127.0.0.0/8\"]\n")),
        ];
        for other in also {
            let (name, path) = other.split_once('=').context("--also wants NAME=PATH")?;
            kinds.push((name.to_owned(), Kind::Relayscope { program: path.into(), config: "" }));
        }
        if let Some(unknown) = wanted.iter().find(|name| !kinds.iter().any(|(known, _)| known == *name)) {
            bail!("no peer is named {unknown:?}");
        }
        let (mut recipes, mut left_out) = (Vec::new(), Vec::new());
        for (name, kind) in kinds {
            if !wanted.is_empty() && !wanted.contains(&name) {
                continue;
            }
            let program = match &kind {
                Kind::Direct => None,
                Kind::Haproxy => Some(Path::new("haproxy")),
                Kind::Relayscope { program, .. } | Kind::Fixed { program, .. } | Kind::Exporting { program, .. } => Some(program.as_path()),
                Kind::Mx { .. } => Some(Path::new("unbound")),
            };
            match program {
                Some(program) if !runs(program) => left_out.push(format!("{name}: {} is not installed", program.display())),
                _ => recipes.push(Self { name, kind }),
            }
        }
        Ok((recipes, left_out))
    }

    /// Starts the peer between `sink` and a port of its own, and waits until it greets.
    pub fn start(&self, sink: SocketAddr, parent: &Path) -> Result<Peer> {
        if let Kind::Direct = self.kind {
            return Ok(Peer { address: sink, process: None, proxy_header: false, _resolver: None, dir: None });
        }
        let dir = OwnDir::new(parent)?;
        let address = free_address()?;
        let config = dir.path().join("config");
        let mut resolver = None;
        let mut command = match &self.kind {
            Kind::Direct | Kind::Haproxy => {
                fs::write(&config, haproxy_config(address, sink))?;
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(&config);
                command
            }
            Kind::Mx { program } => {
                let dns = free_address()?;
                resolver = Some(start_resolver(dir.path(), dns, sink)?);
                fs::write(&config, mx_config(address, dns, sink.port()))?;
                let mut command = Command::new(program);
                command.arg("run").arg("--store").arg(dir.path().join("store")).arg("--config").arg(&config);
                command
            }
            Kind::Exporting { program, sinks } => {
                let certificate = dir.path().join("receiver.pem");
                let mut drain = Process::role(&["drain".to_owned(), "--certificate".to_owned(), certificate.display().to_string()])?;
                let port: u16 = drain.line()?.parse().context("the receiver gave no port")?;
                fs::write(&config, exporting_config(port, &certificate, *sinks, dir.path()))?;
                resolver = Some(drain);
                let mut command = Command::new(program);
                command.arg("run").args(["--listen", &address.to_string(), "--smart-host", &sink.to_string()]);
                command.arg("--store").arg(dir.path().join("store")).arg("--config").arg(&config);
                command
            }
            Kind::Fixed { program, tell_client } => {
                let text = format!(
                    "[[listener]]\nlisten = [\"{address}\"]\n[[upstream]]\nkind = \"fixed\"\nhosts = [\"{sink}\"]\ntell_client = \"{tell_client}\"\n"
                );
                fs::write(&config, text)?;
                let mut command = Command::new(program);
                command.arg("run").arg("--store").arg(dir.path().join("store")).arg("--config").arg(&config);
                command
            }
            Kind::Relayscope { program, config: text } => {
                let mut command = Command::new(program);
                command.arg("run").args(["--listen", &address.to_string(), "--smart-host", &sink.to_string()]);
                command.arg("--store").arg(dir.path().join("store"));
                if !text.is_empty() {
                    fs::write(&config, text)?;
                    command.arg("--config").arg(&config);
                }
                command
            }
        };
        let log = dir.path().join("log");
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
        let mut process = Process::start(command)?;
        let deadline = Instant::now() + Duration::from_secs(15);
        let proxy_header = self.name == PROXIED;
        while let Err(error) = greets(address, proxy_header) {
            if process.has_ended() || Instant::now() > deadline {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("{} did not come up ({error:#}); it said: {}", self.name, said.lines().take(5).collect::<Vec<_>>().join(" | "));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Peer { address, process: Some(process), proxy_header, _resolver: resolver, dir: Some(dir) })
    }
}

impl Peer {
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Octets that the peer has put into its directory.
    pub fn stored(&self) -> u64 {
        self.dir.as_ref().map_or(0, |dir| octets_under(dir.path()))
    }
}

fn octets_under(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.metadata().map_or(0, |found| if found.is_dir() { octets_under(&entry.path()) } else { found.len() })).sum()
}

fn runs(program: &Path) -> bool {
    let version = if program.ends_with("haproxy") {
        "-v"
    } else if program.ends_with("unbound") {
        "-V"
    } else {
        "--version"
    };
    Command::new(program).arg(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// TCP mode: copies octets and knows nothing of SMTP. The mark for anything that stands in between.
fn haproxy_config(listen: SocketAddr, sink: SocketAddr) -> String {
    format!(
        "global\n    maxconn 4000\n    nbthread 1\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 10m\n    timeout server 10m\n\
         listen smtp\n    bind {listen} backlog 4096\n    server sink {sink}\n"
    )
}

/// The sink is the only exchanger of `sink.example`; nothing is asked of anybody else.
fn start_resolver(dir: &Path, dns: SocketAddr, sink: SocketAddr) -> Result<Process> {
    let config = dir.join("unbound.conf");
    fs::write(
        &config,
        format!(
            "server:\n interface: {}@{}\n directory: \"{}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n\
             \x20logfile: \"unbound.log\"\n do-ip6: no\n local-zone: \"sink.example.\" static\n\
             \x20local-data: \"sink.example. 3600 MX 10 mx.sink.example.\"\n local-data: \"mx.sink.example. 3600 A {}\"\n",
            dns.ip(),
            dns.port(),
            dir.display(),
            sink.ip()
        ),
    )?;
    let mut command = Command::new("unbound");
    command.args(["-d", "-c"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::start(command)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect_timeout(&dns, Duration::from_secs(1)).is_err() {
        if Instant::now() > deadline {
            bail!("unbound did not come up: {}", fs::read_to_string(dir.join("unbound.log")).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(process)
}

/// The first over TLS, the second in another format, the third into a file.
fn exporting_config(port: u16, certificate: &Path, sinks: usize, dir: &Path) -> String {
    let syslog = |name: &str, format: &str| {
        format!(
            "[[export]]\nname = \"{name}\"\nurl = \"tls://localhost:{port}\"\nca_file = \"{}\"\nformat = \"{format}\"\n",
            certificate.display()
        )
    };
    let file = format!("[[export]]\nname = \"third\"\nkind = \"file\"\npath = \"{}\"\n", dir.join("traces.jsonl").display());
    [syslog("first", "json"), syslog("second", "cef"), file].into_iter().take(sinks).collect()
}

fn mx_config(listen: SocketAddr, dns: SocketAddr, port: u16) -> String {
    format!(
        "[[listener]]\nlisten = [\"{listen}\"]\n[[upstream]]\nkind = \"mx\"\nport = {port}\nprivate_networks = [\"127.0.0.0/8\"]\n\
         [dns]\nservers = [\"{dns}\"]\nhosts_file = false\n"
    )
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn greets(address: SocketAddr, proxy_header: bool) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    if proxy_header {
        stream.write_all(PROXY_HEADER)?;
    }
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut greeting = [0; 512];
    let read = stream.read(&mut greeting)?;
    if !greeting[..read].starts_with(b"220") {
        bail!("it greets with {:?}", String::from_utf8_lossy(&greeting[..read]));
    }
    stream.write_all(b"QUIT\r\n")?;
    let _ = stream.read(&mut greeting)?;
    Ok(())
}
