//! DNS of the test's own: zones as a table, served by a real Knot (and signed by it), resolved by a real validating Unbound.
//!
//! Names outside the table don't exist; nothing is ever asked of the internet.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::netns::Host;
use super::place::Place;
use super::ports;
use super::process::{Process, run};
use super::programs::path_of;

/// Programs that [`Dns::start`] needs.
pub const PROGRAMS: [&str; 4] = ["knotd", "keymgr", "unbound", "unbound-control"];

/// Seconds; long enough that nothing runs out during a test.
const TTL: u32 = 300;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Signed, and the resolver knows the key.
    Signed,
    /// Signed, and the resolver knows another key.
    Bogus,
    /// Its server has lost it: SERVFAIL.
    Dead,
}

/// What DNS shall say. Names are absolute, without final dot. A record goes into the closest zone declared; where there is
/// none, one is made of the last two labels of its name.
#[derive(Clone, Default)]
pub struct Zones {
    /// Of all records; [`TTL`] if absent.
    ttl: Option<u32>,
    zones: BTreeMap<String, (Kind, Vec<String>)>,
    /// Zones that others hold ([`Authority`]), and where.
    elsewhere: Vec<(String, Vec<IpAddr>)>,
}

impl Zones {
    pub fn new() -> Self {
        Self::default()
    }

    /// With this TTL in seconds, for what changes during a test. To be said before any record.
    pub fn lasting(ttl: u32) -> Self {
        Self { ttl: Some(ttl), ..Self::default() }
    }

    /// No answer is kept by anybody: what DNS says next is seen at once.
    pub fn uncached(self) -> Self {
        Self { ttl: Some(0), ..self }
    }

    fn ttl(&self) -> u32 {
        self.ttl.unwrap_or(TTL)
    }

    /// A zone without signatures.
    pub fn zone(self, name: &str) -> Self {
        self.declare(name, Kind::Plain)
    }

    /// A zone signed so that the resolver says "secure".
    pub fn signed(self, name: &str) -> Self {
        self.declare(name, Kind::Signed)
    }

    /// A zone whose signatures don't fit the key that the resolver trusts.
    pub fn bogus(self, name: &str) -> Self {
        self.declare(name, Kind::Bogus)
    }

    /// A zone whose server has lost it, and answers SERVFAIL.
    pub fn dead(self, name: &str) -> Self {
        self.declare(name, Kind::Dead)
    }

    /// A zone that servers at these addresses hold, on the port of this one. Delegations to them are records of the zone above.
    pub fn elsewhere(mut self, name: &str, addresses: &[&str]) -> Self {
        self.elsewhere.push((name.to_owned(), addresses.iter().map(|address| address.parse().unwrap()).collect()));
        self
    }

    fn declare(mut self, name: &str, kind: Kind) -> Self {
        self.zones.insert(name.to_owned(), (kind, Vec::new()));
        self
    }

    pub fn mx(self, name: &str, preference: u16, host: &str) -> Self {
        self.record(name, &format!("MX {preference} {host}."))
    }

    pub fn null_mx(self, name: &str) -> Self {
        self.record(name, "MX 0 .")
    }

    pub fn a(self, name: &str, address: &str) -> Self {
        self.record(name, &format!("A {address}"))
    }

    pub fn aaaa(self, name: &str, address: &str) -> Self {
        self.record(name, &format!("AAAA {address}"))
    }

    pub fn cname(self, name: &str, target: &str) -> Self {
        self.record(name, &format!("CNAME {target}."))
    }

    pub fn txt(self, name: &str, text: &str) -> Self {
        self.record(name, &format!("TXT \"{}\"", text.replace('"', "\\\"")))
    }

    /// For port 25 of the host; `data` in hexadecimal.
    pub fn tlsa(self, host: &str, parameters: (u8, u8, u8), data: &str) -> Self {
        let (usage, selector, matching) = parameters;
        self.record(&format!("_25._tcp.{host}"), &format!("TLSA {usage} {selector} {matching} {data}"))
    }

    /// Any record, "TYPE data" as in a zone file.
    pub fn record(mut self, name: &str, data: &str) -> Self {
        let ttl = self.ttl();
        let ancestors = || std::iter::successors(Some(name), |it| it.split_once('.').map(|(_, parent)| parent));
        let declared = ancestors().find(|it| self.zones.contains_key(*it)).map(str::to_owned);
        let zone = declared.unwrap_or_else(|| {
            let labels: Vec<&str> = name.split('.').collect();
            labels[labels.len().saturating_sub(2)..].join(".")
        });
        let (_, records) = self.zones.entry(zone).or_insert((Kind::Plain, Vec::new()));
        records.push(format!("{name}. {ttl} {data}"));
        self
    }
}

/// Both servers, running until this is dropped.
pub struct Dns {
    _knot: Process,
    unbound: Process,
    resolver: SocketAddr,
    authority: SocketAddr,
    dir: PathBuf,
    serial: AtomicU32,
}

impl Dns {
    /// Starts them; they answer when this returns.
    pub fn start(place: &Place, zones: &Zones) -> Self {
        let dir = place.dir("dns");
        place.dir("dns/zones");
        place.dir("dns/knot");
        write_zones(&dir, zones, 1);
        for _ in 0..5 {
            let authority = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
            let resolver = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
            if let Some(started) = Self::launch(dir.clone(), zones, authority, resolver, None) {
                return started;
            }
        }
        panic!("no ports for the DNS servers");
    }

    /// On a host of a test's own network; the resolver is on its loopback, port 53, where programs look for one.
    pub fn start_on(host: &Host, place: &Place, zones: &Zones) -> Self {
        let dir = place.dir("dns");
        place.dir("dns/zones");
        place.dir("dns/knot");
        write_zones(&dir, zones, 1);
        let (authority, resolver) = (SocketAddr::from(([127, 0, 0, 1], 5353)), SocketAddr::from(([127, 0, 0, 1], 53)));
        Self::launch(dir, zones, authority, resolver, Some(host)).expect("ports of its own")
    }

    /// `None` if the ports are taken.
    fn launch(dir: PathBuf, zones: &Zones, authority: SocketAddr, resolver: SocketAddr, host: Option<&Host>) -> Option<Self> {
        std::fs::write(dir.join("knot.conf"), knot_config(&dir, authority, zones)).unwrap();
        let anchors = anchors(&dir, zones);
        std::fs::write(dir.join("unbound.conf"), unbound_config(&dir, resolver, authority, zones, &anchors)).unwrap();
        let knot = started("knotd", &["-c"], &dir.join("knot.conf"), "server started", host)?;
        let unbound = started("unbound", &["-d", "-c"], &dir.join("unbound.conf"), "start of service", host)?;
        Some(Self { _knot: knot, unbound, resolver, authority, dir, serial: AtomicU32::new(1) })
    }

    /// The resolver ends: its port refuses.
    pub fn stop_resolver(&mut self) {
        self.unbound.terminate();
    }

    /// The resolver stops where it stands: nobody answers.
    pub fn hang_resolver(&self) {
        self.unbound.signal("STOP");
    }

    /// The validating resolver, on loopback.
    pub fn resolver_address(&self) -> SocketAddr {
        self.resolver
    }

    /// The server of the zones itself; it validates nothing.
    pub fn authority_address(&self) -> SocketAddr {
        self.authority
    }

    /// Lets DNS say something else about the zones it has; no new ones, none less. The resolver's cache is emptied.
    pub fn replace(&self, zones: &Zones) {
        write_zones(&self.dir, zones, self.serial.fetch_add(1, Ordering::Relaxed) + 1);
        let config = self.dir.join("knot.conf");
        let (code, output) = run(Command::new(path_of("knotc")).arg("-c").arg(config).args(["-b", "zone-reload"]));
        assert_eq!(code, 0, "knotc: {output}");
        self.control(&["flush_zone", "."]);
    }

    /// The server of this zone answers SERVFAIL, until [`Dns::replace`] brings it back.
    pub fn lose(&self, zone: &str) {
        let config = self.dir.join("knot.conf");
        let (code, output) = run(Command::new(path_of("knotc")).arg("-c").arg(config).args(["-b", "-f", "zone-purge", zone]));
        assert_eq!(code, 0, "knotc: {output}");
        self.control(&["flush_zone", "."]);
    }

    /// What the resolver has counted since it was started, as `unbound-control` prints it.
    pub fn statistics(&self) -> String {
        self.control(&["stats_noreset"])
    }

    fn control(&self, arguments: &[&str]) -> String {
        let config = self.dir.join("unbound.conf");
        let (code, output) = run(Command::new(path_of("unbound-control")).arg("-c").arg(config).args(arguments));
        assert_eq!(code, 0, "unbound-control: {output}");
        output
    }
}

/// One more Knot, with zones of its own, until this is dropped.
pub struct Authority {
    _knot: Process,
}

impl Authority {
    /// `zones`: name, serial, and the records as they stand in a zone file, names absolute.
    pub fn start(place: &Place, address: SocketAddr, zones: &[(&str, u32, &str)]) -> Self {
        let name = format!("authority-{}", address.ip());
        let dir = place.dir(&name);
        place.dir(&format!("{name}/zones"));
        place.dir(&format!("{name}/knot"));
        let mut held = Zones::new();
        for (zone, serial, records) in zones {
            let soa = format!("{zone}. {TTL} SOA ns.{zone}. h.{zone}. {serial} 3600 600 86400 {TTL}");
            std::fs::write(dir.join(format!("zones/{zone}.zone")), format!("{soa}\n{records}\n")).unwrap();
            held = held.zone(zone);
        }
        let config = knot_config(&dir, address, &held).replace("  - domain: .\n    file: root.zone\n", "");
        std::fs::write(dir.join("knot.conf"), config).unwrap();
        let knot = started("knotd", &["-c"], &dir.join("knot.conf"), "server started", None).expect("a port of its own");
        Self { _knot: knot }
    }
}

/// The program, once it has said `ready`; `None` if it ended before.
fn started(program: &str, options: &[&str], config: &std::path::Path, ready: &str, host: Option<&Host>) -> Option<Process> {
    let mut command = Command::new(path_of(program));
    command.args(options).arg(config);
    if let Some(host) = host {
        command = host.command(&command);
    }
    let process = Process::start(command, false);
    let found = process.output.wait_for(ready, |line| line.contains(ready).then_some(()));
    if found.is_none() {
        eprintln!("{program}: {}", process.output.text());
    }
    found.map(|()| process)
}

fn write_zones(dir: &std::path::Path, zones: &Zones, serial: u32) {
    let ttl = zones.ttl();
    // Signing counts the serial up as well.
    let head = |zone: &str| {
        let zone = zone.trim_end_matches('.');
        let dot = if zone.is_empty() { "" } else { "." };
        format!("{zone}. {ttl} SOA ns{dot}{zone}. h{dot}{zone}. {}000 3600 600 86400 {ttl}\n{zone}. {ttl} NS ns{dot}{zone}.\n", serial)
    };
    std::fs::write(dir.join("zones/root.zone"), format!("{}ns. {TTL} A 127.0.0.1\n", head("."))).unwrap();
    for (zone, (_, records)) in zones.zones.iter().filter(|(_, (kind, _))| *kind != Kind::Dead) {
        let below = format!(".{zone}");
        let children = zones.zones.keys().filter(|child| child.ends_with(&below));
        let delegations: String = children.map(|child| format!("{child}. {TTL} NS ns.{child}.\nns.{child}. {TTL} A 127.0.0.1\n")).collect();
        let text = format!("{}ns.{zone}. {TTL} A 127.0.0.1\n{}\n{delegations}", head(zone), records.join("\n"));
        std::fs::write(dir.join(format!("zones/{zone}.zone")), text).unwrap();
    }
}

fn knot_config(dir: &std::path::Path, address: SocketAddr, zones: &Zones) -> String {
    let dir = dir.display();
    let mut text = format!(
        "server:\n    rundir: \"{dir}/knot\"\n    listen: {}@{}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
         log:\n  - target: stderr\n    any: info\n\
         database:\n    storage: \"{dir}/knot\"\n    journal-db-max-size: 20M\n    kasp-db-max-size: 10M\n    timer-db-max-size: 10M\n\
         policy:\n  - id: signed\n    manual: on\n    single-type-signing: on\n    algorithm: ecdsap256sha256\n\
         template:\n  - id: default\n    storage: \"{dir}/zones\"\n    zonefile-sync: -1\n    journal-content: none\n\
         zone:\n  - domain: .\n    file: root.zone\n",
        address.ip(),
        address.port()
    );
    for (zone, (kind, _)) in &zones.zones {
        let _ = write!(text, "  - domain: {zone}\n    file: {zone}.zone\n");
        if matches!(kind, Kind::Signed | Kind::Bogus) {
            text.push_str("    dnssec-signing: on\n    dnssec-policy: signed\n");
        }
    }
    text
}

/// What the resolver trusts: a DS record for each signed zone; for a bogus one, that of a key which isn't the zone's.
fn anchors(dir: &std::path::Path, zones: &Zones) -> Vec<String> {
    let keymgr = |zone: &str, arguments: &[&str]| {
        let (code, output) = run(Command::new(path_of("keymgr")).arg("-c").arg(dir.join("knot.conf")).arg(zone).args(arguments));
        assert_eq!(code, 0, "keymgr: {output}");
        output
    };
    let signed = zones.zones.iter().filter(|(_, (kind, _))| matches!(kind, Kind::Signed | Kind::Bogus));
    let anchor = |(zone, (kind, _)): (&String, &(Kind, _))| {
        if !keymgr(zone, &["ds"]).contains(" 13 2 ") {
            keymgr(zone, &["generate", "algorithm=ECDSAP256SHA256", "ksk=yes", "zsk=yes"]);
        }
        let output = keymgr(zone, &["ds"]);
        let sha256 = output.lines().find(|line| line.contains(" 13 2 ")).unwrap_or_else(|| panic!("keymgr: {output}")).to_owned();
        if *kind == Kind::Signed {
            return sha256;
        }
        let (rest, digest) = sha256.rsplit_once(' ').unwrap();
        format!("{rest} {}", digest.chars().rev().collect::<String>())
    };
    signed.map(anchor).collect()
}

fn unbound_config(dir: &std::path::Path, address: SocketAddr, authority: SocketAddr, zones: &Zones, anchors: &[String]) -> String {
    let dir = dir.display();
    let mut text = format!(
        "server:\n    interface: {ip}@{port}\n    directory: \"{dir}\"\n    chroot: \"\"\n    username: \"\"\n    pidfile: \"\"\n    use-syslog: no\n\
         \x20   logfile: \"\"\n    verbosity: 1\n    num-threads: 1\n    do-ip6: no\n    do-not-query-localhost: no\n    qname-minimisation: no\n\
         \x20   module-config: \"validator iterator\"\n    ede: yes\n    val-log-level: 2\n    minimal-responses: yes\n    rrset-roundrobin: no\n",
        ip = address.ip(),
        port = address.port()
    );
    for anchor in anchors {
        let _ = writeln!(text, "    trust-anchor: \"{anchor}\"");
    }
    let _ = write!(
        text,
        "remote-control:\n    control-enable: yes\n    control-interface: \"{dir}/unbound.sock\"\n    control-use-cert: no\n\
         stub-zone:\n    name: \".\"\n    stub-addr: {}@{}\n",
        authority.ip(),
        authority.port()
    );
    for zone in zones.zones.keys() {
        let _ = write!(text, "stub-zone:\n    name: \"{zone}\"\n    stub-addr: {}@{}\n", authority.ip(), authority.port());
    }
    for (zone, addresses) in &zones.elsewhere {
        let _ = write!(text, "stub-zone:\n    name: \"{zone}\"\n");
        for address in addresses {
            let _ = writeln!(text, "    stub-addr: {address}@{}", authority.port());
        }
    }
    text
}
