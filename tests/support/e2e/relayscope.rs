//! The true binary, started in the test's own directory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use super::client::Client;
use super::netns::Host;
use super::place::Place;
use super::process::{Output, Process};

pub const BINARY: &str = env!("CARGO_BIN_EXE_relayscope");

pub struct Relayscope {
    process: Process,
    /// Where it listens, by the order of its listeners.
    pub addresses: Vec<SocketAddr>,
    store: PathBuf,
}

impl Relayscope {
    /// As in the README's first command: no file, one smart host.
    pub fn simple(place: &Place, smart_host: SocketAddr) -> Self {
        let smart_host = smart_host.to_string();
        Self::start(place, &["--listen", "127.0.0.1:0", "--smart-host", &smart_host, "--store", "store", "--http", "off"], 1)
    }

    /// With a configuration file. `{listen}` stands for a free port.
    pub fn configured(place: &Place, config: &str) -> Self {
        let file = place.file("relayscope.toml", config);
        let listeners = config.matches("[[listener]]").count();
        Self::start(place, &["--config", file.to_str().unwrap(), "--store", "store", "--http", "off"], listeners)
    }

    /// As [`Relayscope::configured`], with the HTTP interface as the file has it.
    pub fn with_http(place: &Place, config: &str) -> Self {
        let file = place.file("relayscope.toml", config);
        Self::start(place, &["--config", file.to_str().unwrap(), "--store", "store"], config.matches("[[listener]]").count())
    }

    /// As [`Relayscope::configured`], with a store of that name.
    pub fn storing(place: &Place, config: &str, store: &str) -> Self {
        let file = place.file("relayscope.toml", config);
        let arguments = ["run", "--config", file.to_str().unwrap(), "--store", store, "--http", "off"];
        let started = Self::follow(command(place, &arguments), place, config.matches("[[listener]]").count());
        Self { store: place.path(store), ..started }
    }

    /// With a configuration file, in the place of the one that runs on the same store.
    pub fn taking_over(place: &Place, config: &str) -> Self {
        let file = place.file("relayscope.toml", config);
        let listeners = config.matches("[[listener]]").count();
        Self::start(place, &["--config", file.to_str().unwrap(), "--store", "store", "--http", "off", "--take-over"], listeners)
    }

    /// As [`Relayscope::configured`], on a host of a test's own network.
    pub fn on(host: &Host, place: &Place, config: &str) -> Self {
        let file = place.file("relayscope.toml", config);
        let arguments = ["run", "--config", file.to_str().unwrap(), "--store", "store", "--http", "off"];
        Self::follow(host.command(&command(place, &arguments)), place, config.matches("[[listener]]").count())
    }

    fn start(place: &Place, arguments: &[&str], listeners: usize) -> Self {
        Self::follow(command(place, &[&["run"], arguments].concat()), place, listeners)
    }

    fn follow(command: Command, place: &Place, listeners: usize) -> Self {
        let process = Process::start(command, false);
        let addresses: Vec<_> = process.output.expect_lines("listening listener=", listeners).iter().flat_map(|line| bound(line)).collect();
        Self { process, addresses, store: place.path("store") }
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    pub fn output(&self) -> &Output {
        &self.process.output
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// SIGTERM; gives the store's directory once the process has drained and ended.
    pub fn stop(mut self) -> PathBuf {
        let status = self.process.terminate();
        assert!(status.success(), "{status} after SIGTERM:\n{}", self.process.output.text());
        self.store.clone()
    }

    /// `kill -9`; gives the store's directory as it was left.
    pub fn kill(mut self) -> PathBuf {
        self.process.kill();
        self.store.clone()
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }
}

/// The binary with these arguments, in the test's own directory and with nothing of the tester's environment in its way.
pub fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(place).env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

/// `… listening listener="smtp" addresses=[127.0.0.1:41234] …`
fn bound(line: &str) -> Vec<SocketAddr> {
    let list = line.split_once("addresses=[").and_then(|(_, rest)| rest.split_once("] ups")).map_or("", |(list, _)| list);
    list.split(", ").map(|it| it.parse().unwrap()).collect()
}
