//! Three hosts on two networks of the test's own: a mail server, the proxy as the router behind it, and the internet.
//!
//! Each is a network namespace, joined by pairs of virtual interfaces. Nothing outside of them is touched.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::run;
use super::programs::{is_root, path_of};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Removed when dropped; to be dropped after everything that runs in it.
pub struct Network {
    pub mail: Host,
    pub proxy: Host,
    pub internet: Host,
}

pub struct Host {
    name: String,
    /// IPv4 and IPv6 of each network it is on, in the order of [`HOSTS`].
    pub addresses: Vec<IpAddr>,
}

struct Plan {
    name: &'static str,
    interfaces: &'static [(&'static str, &'static [&'static str])],
    gateways: &'static [&'static str],
}

const HOSTS: [Plan; 3] = [
    Plan { name: "mail", interfaces: &[("lan0", &["10.25.1.2/24", "fd25:1::2/64"])], gateways: &["10.25.1.1", "fd25:1::1"] },
    Plan {
        name: "proxy",
        interfaces: &[("lan0", &["10.25.1.1/24", "fd25:1::1/64"]), ("wan0", &["10.25.2.1/24", "fd25:2::1/64"])],
        gateways: &[],
    },
    Plan {
        name: "internet",
        interfaces: &[("wan0", &["10.25.2.2/24", "fd25:2::2/64", "10.25.2.3/24", "fd25:2::3/64"])],
        gateways: &["10.25.2.1", "fd25:2::1"],
    },
];

impl Network {
    /// `None`, and a word why, where the machine doesn't grant it. `ip` and `nsenter` must be there.
    pub fn new() -> Option<Self> {
        if !is_root() {
            eprintln!("SKIPPED: networks of its own need root");
            return None;
        }
        sweep();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hosts = HOSTS.map(|plan| {
            let addresses = plan.interfaces.iter().flat_map(|(_, addresses)| addresses.iter());
            Host {
                name: format!("relayscope-{}-{number}-{}", std::process::id(), plan.name),
                addresses: addresses.map(|it| it.split('/').next().unwrap().parse().unwrap()).collect(),
            }
        });
        let [mail, proxy, internet] = hosts;
        let network = Self { mail, proxy, internet };
        for host in [&network.mail, &network.proxy, &network.internet] {
            let (code, said) = run(ip().args(["netns", "add", &host.name]));
            if code != 0 {
                eprintln!("SKIPPED: no network namespace can be had here: {said}");
                return None;
            }
        }
        network.join("lan0", &network.mail);
        network.join("wan0", &network.internet);
        for (host, plan) in [&network.mail, &network.proxy, &network.internet].into_iter().zip(&HOSTS) {
            host.furnish(plan);
        }
        network.proxy.within(|| {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        });
        Some(network)
    }

    /// A pair of interfaces, both called `name`, between the proxy and `host`.
    fn join(&self, name: &str, host: &Host) {
        let there = ["link", "add", name, "netns", &self.proxy.name, "type", "veth"];
        must(ip().args(there).args(["peer", "name", name, "netns", &host.name]));
    }
}

impl Host {
    fn furnish(&self, plan: &Plan) {
        let command = |words: &[&str]| must(ip().args(["-n", &self.name]).args(words));
        command(&["link", "set", "lo", "up"]);
        for (interface, addresses) in plan.interfaces {
            command(&["link", "set", interface, "up"]);
            for address in *addresses {
                let no_waiting: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
                command(&[&["address", "add", address, "dev", interface], no_waiting].concat());
            }
        }
        for gateway in plan.gateways {
            let family = if gateway.contains(':') { "-6" } else { "-4" };
            command(&[family, "route", "add", "default", "via", gateway]);
        }
    }

    /// The program, to be run on this host.
    pub fn command(&self, command: &Command) -> Command {
        let mut entered = Command::new(path_of("nsenter"));
        entered.arg(format!("--net={}", self.file().display())).arg(command.get_program()).args(command.get_args());
        command.get_current_dir().map(|dir| entered.current_dir(dir));
        command.get_envs().for_each(|(name, value)| match value {
            Some(value) => drop(entered.env(name, value)),
            None => drop(entered.env_remove(name)),
        });
        entered
    }

    /// Does something on this host. Sockets that are made there stay there, wherever they are used.
    pub fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                let namespace = File::open(self.file()).unwrap();
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Loads the packet filter's rules from a file; `false`, and a word why, where this kernel doesn't know what they ask for.
    pub fn load_rules(&self, file: &str) -> bool {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        let (code, said) = run(&mut self.command(Command::new(path_of("nft")).arg("-f").arg(path)));
        assert!(!said.contains("syntax error"), "{file}: {said}");
        if code != 0 {
            eprintln!("SKIPPED: the rules of {file} can't be loaded here: {said}");
        }
        code == 0
    }

    /// Runs a script of the project on this host.
    pub fn run_script(&self, file: &str) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        must(&mut self.command(Command::new("sh").arg(path)));
    }

    fn file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = run(ip().args(["netns", "delete", &self.name]));
    }
}

/// Removes what tests left behind that were killed.
fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let process = name.strip_prefix("relayscope-").and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| !PathBuf::from("/proc").join(id).exists()) {
            let _ = run(ip().args(["netns", "delete", &name]));
        }
    }
}

fn ip() -> Command {
    Command::new(path_of("ip"))
}

#[track_caller]
fn must(command: &mut Command) {
    let (code, said) = run(command);
    assert_eq!(code, 0, "{command:?}: {said}");
}
