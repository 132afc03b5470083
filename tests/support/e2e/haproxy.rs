//! A real HAProxy in front of the proxy.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::place::Place;
use super::ports;
use super::process::{Output, Process};
use super::programs::path_of;

pub struct Haproxy {
    process: Process,
    pub address: SocketAddr,
}

impl Haproxy {
    /// Balances to one server. `bind` and `server` are added to those lines, as HAProxy spells them.
    pub fn start(place: &Place, name: &str, server: SocketAddr, bind: &str, server_options: &str) -> Self {
        let unique = "unique-id-format mail-%ci-%fp-%rt";
        Self::launch(place, name, "smtp", bind, &format!("  {unique}\n  server relayscope {server} {server_options}\n"))
    }

    /// An HTTP server that answers by these rules (`http-request …`), which see the body as well.
    pub fn answering(place: &Place, name: &str, rules: &[&str]) -> Self {
        let rules: String = rules.iter().map(|rule| format!("  http-request {rule}\n")).collect();
        Self::launch(place, name, "http", "", &format!("  option http-buffer-request\n{rules}"))
    }

    fn launch(place: &Place, name: &str, protocol: &str, bind: &str, does: &str) -> Self {
        let mode = if protocol == "http" { "http" } else { "tcp" };
        loop {
            let address = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
            let socket = place.path(&format!("{name}.sock"));
            let config = format!(
                "global\n  log stdout format raw local0\n  stats socket {socket} mode 600 level admin\n\
                 defaults\n  mode {mode}\n  log global\n  timeout connect 60s\n  timeout client 60s\n  timeout server 60s\n\
                 listen {protocol}\n  bind {address} {bind}\n{does}",
                socket = socket.display(),
            );
            let file = place.file(&format!("{name}.cfg"), config);
            let mut command = Command::new(path_of("haproxy"));
            command.arg("-db").arg("-f").arg(file);
            let mut process = Process::start(command, false);
            let until = Instant::now() + PATIENCE;
            // It answers there only once everything is bound.
            while process.is_running() {
                if ask(&socket, "show info").is_some_and(|said| said.contains("Uptime")) {
                    return Self { process, address };
                }
                assert!(Instant::now() < until, "HAProxy doesn't answer:\n{}", process.output.text());
                std::thread::sleep(Duration::from_millis(5));
            }
            let said = process.output.whole();
            assert!(said.contains("annot bind"), "HAProxy did not start:\n{said}");
        }
    }

    pub fn output(&self) -> &Output {
        &self.process.output
    }
}

fn ask(socket: &std::path::Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(format!("{command}\n").as_bytes()).ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}
