//! The doctor behind packet filters: its packets carry the proxy's mark, and a port that is blocked on the way is told from one that is closed.

use std::net::SocketAddr;
use std::process::Command;

use crate::doctor::{Report, doctor_by};
use crate::support::certificates;
use crate::support::dns::{Dns, Zones};
use crate::support::netns::{Host, Network};
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::process::run;
use crate::support::programs::{need, path_of};

/// The doctor on that host.
fn doctor_on(host: &Host, place: &Place, arguments: &[&str]) -> (i32, Report) {
    doctor_by(place, arguments, &mut |command| run(&mut host.command(&command)))
}

/// Loads rules; those of an earlier call are replaced.
fn load(place: &Place, host: &Host, chain: &str) {
    let table = "table inet test";
    let rules = format!("{table}\ndelete {table}\n{table} {{\n{chain}\n}}\n");
    let file = place.file("test.nft", rules);
    let (code, said) = run(&mut host.command(Command::new(path_of("nft")).arg("-f").arg(file)));
    assert_eq!(code, 0, "nft: {said}");
}

/// Packets that a named counter has seen.
fn counted(host: &Host, name: &str) -> u64 {
    let (code, said) = run(&mut host.command(Command::new(path_of("nft")).args(["-j", "list", "counter", "inet", "test", name])));
    assert_eq!(code, 0, "nft: {said}");
    let all: serde_json::Value = serde_json::from_str(&said).unwrap();
    all["nftables"].as_array().unwrap().iter().find_map(|it| it["counter"]["packets"].as_u64()).unwrap()
}

/// Opening packets to mail ports, with the mark and without.
const COUNTERS: &str = "counter marked {}\ncounter unmarked {}\n\
     chain out {\ntype filter hook output priority 10\n\
     tcp dport { 25, 465, 587 } tcp flags & (syn | ack) == syn meta mark 0x53 counter name marked\n\
     tcp dport { 25, 465, 587 } tcp flags & (syn | ack) == syn meta mark != 0x53 counter name unmarked\n}";

fn upstream(place: &Place, text: &str) {
    let dns = "[dns]\nservers = [\"127.0.0.1:53\"]\nhosts_file = false";
    let listener = "host_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:2526\"]";
    place.file("relayscope.toml", format!("{listener}\n[[upstream]]\nname = \"main\"\n{text}\n{dns}\n"));
}

#[test]
fn each_packet_of_the_doctor_carries_the_mark() {
    need!("ip", "nft", "nsenter", "postfix", "root", "knotd", "keymgr", "unbound", "unbound-control");
    let Some(network) = Network::new() else { return };
    let place = Place::new();
    let here = &network.proxy;
    // What leaves for port 25 unmarked is led to the proxy's own port, where nobody is.
    if !here.load_rules("deploy/interception/same-host.nft") {
        return;
    }
    let certificates = certificates::make(&place, "tls", &["mx.to.example"]);
    let tls = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_protocols = >=TLSv1.2\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        certificates.certificate.display(),
        certificates.key.display()
    );
    let _postfix = Postfix::on(&network.internet, &place, "provider", &tls);
    let zones = Zones::new().mx("to.example", 10, "mx.to.example").a("mx.to.example", "10.25.2.2").aaaa("mx.to.example", "fd25:2::2");
    let _dns = Dns::start_on(here, &place, &zones);
    let ca = certificates.authority.display();

    // A server behind: ports, TLS versions old and new, a recipient, whether it is an open relay.
    let fixed = format!("kind = \"fixed\"\nhosts = [\"mx.to.example:25\"]\nca_file = \"{ca}\"");
    load(&place, here, COUNTERS);
    upstream(&place, &format!("{fixed}\nmark = 0x53\n[doctor]\ndomains = [\"to.example\"]"));
    let (_, report) = doctor_on(here, &place, &["upstream", "main", "--directly", "--rcpt", "bob@to.example"]);
    for family in ["ipv4", "ipv6"] {
        report.expect("mx.to.example:25", &format!("upstream.port.{family}"), "ok", "25 open in");
    }
    report.expect("directly", "upstream.tls_versions", "ok", "both");
    report.expect("directly", "upstream.tls_old", "ok", "");
    report.expect("directly", "upstream.rcpt", "ok", "nothing was sent");
    report.check("relay for this machine", "behind.open_relay");
    assert_eq!(counted(here, "unmarked"), 0, "{:#}", report.0);
    assert!(counted(here, "marked") > 8, "{}", counted(here, "marked"));

    // Exchangers of a recipient, and those of a domain.
    load(&place, here, COUNTERS);
    let exchangers = format!("kind = \"mx\"\nca_file = \"{ca}\"\nprivate_networks = [\"10.25.0.0/16\", \"fd25::/16\"]");
    upstream(&place, &format!("{exchangers}\nmark = 0x53"));
    let (_, report) = doctor_on(here, &place, &["upstream", "main", "--directly", "--rcpt", "bob@to.example"]);
    report.expect("mx.to.example:25, directly", "upstream.rcpt", "ok", "nothing was sent");
    let (_, report) = doctor_on(here, &place, &["dns", "to.example"]);
    report.expect("Mail hosts", "host.connect", "ok", "it takes the connection");
    report.expect("Mail hosts", "host.greeting", "ok", "220 provider.example");
    assert_eq!(counted(here, "unmarked"), 0, "{:#}", report.0);

    // Without the option the rules catch the doctor, as they would catch the proxy.
    load(&place, here, COUNTERS);
    upstream(&place, &exchangers);
    let (code, report) = doctor_on(here, &place, &["upstream", "main", "--directly", "--rcpt", "bob@to.example"]);
    assert_eq!(code, 1);
    report.expect("mx.to.example:25", "upstream.port.ipv4", "fail", "25 refused");
    assert_eq!(counted(here, "marked"), 0);
}

#[test]
fn who_may_not_mark_packets_is_told_so() {
    need!("setpriv", "root");
    let place = Place::new();
    upstream(&place, "hosts = [\"127.0.0.1:1\"]\nmark = 0x53");
    let (code, report) = doctor_by(&place, &["upstream", "--directly"], &mut |command| {
        let mut without = Command::new(path_of("setpriv"));
        without.args(["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"]);
        without.arg(command.get_program()).args(command.get_args()).current_dir(&place);
        run(&mut without)
    });
    assert_eq!(code, 1);
    report.expect("127.0.0.1:1", "upstream.port.ipv4", "fail", "`mark` needs CAP_NET_ADMIN");
    report.expect("127.0.0.1:1", "upstream.port.ipv4", "fail", "run it as root");
}

/// What the provider's router does with port 25, and what the doctor says of it.
const BLOCKED: &str = "Port 25 is blocked between here and there, and port 465 isn't: that is a provider (or your own firewall)";
const REJECTED: &str = "a provider (or your own firewall) rejects port 25 on the way";
const WAYS: [(&str, &str, &str); 4] = [
    ("drop", "25 silent for 2 s; 465 open in", BLOCKED),
    ("reject with icmpx admin-prohibited", "25 unreachable; 465 open in", BLOCKED),
    ("reject with icmpx port-unreachable", "25 refused; 465 open in", REJECTED),
    ("reject with tcp reset", "25 refused; 465 open in", REJECTED),
];

#[test]
fn a_provider_that_blocks_port_25_is_named() {
    need!("ip", "nft", "nsenter", "postfix", "root", "knotd", "keymgr", "unbound", "unbound-control");
    let Some(network) = Network::new() else { return };
    let place = Place::new();
    // The machine is at home, its provider's router before it, the smart host in the internet.
    let (home, router) = (&network.mail, &network.proxy);
    let listen: Vec<SocketAddr> =
        ["10.25.2.2", "fd25:2::2"].iter().flat_map(|ip| [25, 465, 587].map(|port| SocketAddr::new(ip.parse().unwrap(), port))).collect();
    let _postfix = Postfix::on_ports(&network.internet, &place, "provider", &listen, "");
    let zones = Zones::new().a("smtp.provider.example", "10.25.2.2").aaaa("smtp.provider.example", "fd25:2::2").mx(
        "to.example",
        10,
        "smtp.provider.example",
    );
    let _dns = Dns::start_on(home, &place, &zones);
    let on = |port: u16| upstream(&place, &format!("hosts = [\"smtp.provider.example:{port}\"]\ntls = \"opportunistic\""));
    let forward = |rules: &str| load(&place, router, &format!("chain on {{\ntype filter hook forward priority 0\n{rules}\n}}"));
    let ask = |arguments: &[&str]| doctor_on(home, &place, arguments);

    for (verdict, answer, words) in WAYS {
        forward(&format!("tcp dport 25 {verdict}"));
        on(25);
        let (code, report) = ask(&["upstream", "main", "--directly"]);
        assert_eq!(code, 1, "{verdict}");
        for family in ["ipv4", "ipv6"] {
            report.expect("smtp.provider.example:25", &format!("upstream.port.{family}"), "fail", answer);
            report.expect("smtp.provider.example:25", &format!("upstream.port.{family}"), "fail", words);
            report.expect(
                "smtp.provider.example:25",
                &format!("upstream.port.{family}"),
                "fail",
                "`hosts = [\"smtp.provider.example:465\"]`",
            );
        }
        // Submission is not concerned.
        on(587);
        let (_, report) = ask(&["upstream", "main", "--directly"]);
        report.expect("smtp.provider.example:587", "upstream.port.ipv4", "ok", "587 open in");
        let (_, told) = report.check("smtp.provider.example:587", "upstream.port.ipv4");
        assert_eq!(told.contains("Port 25 is blocked on the way, as at many providers"), words == BLOCKED, "{verdict}: {told}");
        report.expect("directly", "upstream.banner", "ok", "220 provider.example");
    }

    // Mail exchangers of others: their submission ports are of no use.
    let exchangers = "kind = \"mx\"\nprivate_networks = [\"10.25.0.0/16\", \"fd25::/16\"]";
    upstream(&place, exchangers);
    forward("tcp dport 25 drop");
    let (_, report) = ask(&["upstream", "main", "--directly", "--rcpt", "bob@to.example"]);
    report.expect("smtp.provider.example:25", "upstream.port.ipv4", "fail", "send through a smart host that takes a login");
    for verdict in ["drop", "reject with icmpx admin-prohibited"] {
        forward(&format!("tcp dport 25 {verdict}"));
        let (_, report) = ask(&["dns", "to.example"]);
        report.expect("Mail hosts", "host.port25", "warn", "looks like a firewall on this side");
    }

    // One family alone.
    on(25);
    forward("meta nfproto ipv4 tcp dport 25 drop");
    let (code, report) = ask(&["upstream", "main", "--directly"]);
    assert_eq!(code, 1);
    report.expect("smtp.provider.example:25", "upstream.port.ipv4", "warn", "The other family works, so mail flows");
    report.expect("smtp.provider.example:25", "upstream.port.ipv6", "ok", "25 open in");
    report.expect("directly", "upstream.banner", "ok", "220 provider.example");

    // Everything: that is no matter of port 25.
    for (verdict, words) in
        [("drop", "Nothing came back from any port"), ("reject with icmpx admin-prohibited", "Nobody could get through")]
    {
        forward(&format!("tcp dport {{ 25, 465, 587, 2525 }} {verdict}"));
        let (_, report) = ask(&["upstream", "main", "--directly"]);
        report.expect("smtp.provider.example:25", "upstream.port.ipv4", "fail", words);
        report.expect("smtp.provider.example:25", "upstream.port.ipv6", "fail", words);
    }
    // Nothing is blocked, and the host takes no mail on the port that is configured.
    forward("");
    on(2525);
    let (_, report) = ask(&["upstream", "main", "--directly"]);
    report.expect("smtp.provider.example:2525", "upstream.port.ipv4", "fail", "Nothing listens on port 2525 there, but on 465");
    on(25);
    let (_, report) = ask(&["upstream", "main", "--directly"]);
    report.expect("smtp.provider.example:25", "upstream.port.ipv4", "ok", "25 open in");
}
