//! The Debian package: installed, started, upgraded and purged on a machine with a systemd of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::machine::{Machine, archive};
use crate::support::PATIENCE;
use crate::support::certificates;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::programs::{need, path_of, skip};
use crate::support::relayscope::BINARY;
use crate::support::sink::{Manner, Sink};

const CONFIG: &str = "/etc/relayscope/relayscope.toml";

/// A package of the program under test.
fn build(place: &Place, version: &str) -> PathBuf {
    let deb = place.path(&format!("{version}.deb"));
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/debian/build"));
    command.arg("-b").arg(Path::new(BINARY).parent().unwrap()).arg("-o").arg(&deb).args(["-v", version]);
    let (code, said) = run(&mut command);
    assert_eq!(code, 0, "{said}");
    deb
}

fn install(machine: &Machine, deb: &Path) -> String {
    let inside = Path::new("/root").join(deb.file_name().unwrap());
    fs::copy(deb, machine.path(inside.to_str().unwrap())).unwrap();
    machine.done("dpkg", &["--install", inside.to_str().unwrap()])
}

/// An address with a port below 1024 that nobody else listens on.
fn low_port() -> SocketAddr {
    let [.., a, b] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 77, a, b.clamp(1, 254));
    SocketAddr::from((address, 25))
}

#[test]
fn installed_started_upgraded_and_purged() {
    need!("root", "cargo-deb", "dpkg", "unshare", "nsenter", "tar", "strip");
    let test = "service::package";
    let Some(archive) = archive() else { return skip(test, "there is no root to install in: tests/servers/unpack") };
    let place = Place::new();
    let machine = match Machine::boot(&place, &archive) {
        Ok(machine) => machine,
        // As with file systems and network namespaces: what a container can't have is no failure.
        Err(why) => return eprintln!("SKIPPED {test}: {why}"),
    };

    // Installed: enabled, not started, and it is said what to do.
    let said = install(&machine, &build(&place, "0.1.0-1"));
    assert!(said.contains("relayscope: enabled, but not started: /etc/relayscope/relayscope.toml doesn't say yet"), "{said}");
    assert!(said.contains("relayscope config init --server"), "{said}");
    assert_eq!(machine.done("systemctl", &["is-enabled", "relayscope"]).trim(), "enabled");
    assert_eq!(machine.property("ActiveState"), "inactive");
    assert_eq!(machine.done("stat", &["--format=%a %U:%G", CONFIG]).trim(), "640 root:relayscope");
    for file in ["man/man1/relayscope-where.1.gz", "bash-completion/completions/relayscope", "doc/relayscope/deploy/postfix.md"] {
        assert!(machine.path("/usr/share").join(file).is_file(), "{file}");
    }

    // Configured as it said, and started: on a port below 1024.
    let (sink, address) = (Sink::start(Manner::Take), low_port());
    let (smart_host, listen) = (sink.address.to_string(), address.to_string());
    let init = ["config", "init", "--server", "postfix", "--smart-host", &smart_host, "--listen", &listen, "--output", CONFIG];
    machine.done("relayscope", &init);
    assert_eq!(machine.done("stat", &["--format=%a %U:%G", CONFIG]).trim(), "640 root:relayscope");
    let config = fs::read_to_string(machine.path(CONFIG)).unwrap().replace("#listen = \"127.0.0.1:8025\"", "listen = \"off\"");
    fs::write(machine.path(CONFIG), &config).unwrap();
    machine.done("systemctl", &["start", "relayscope"]);
    deliver(address, "before");
    assert!(machine.done("relayscope", &["where", "before@msg.example"]).contains("accepted"));

    // Upgraded in the midst of a message: nobody is refused, nothing is forgotten, and the configuration is the administrator's.
    let mut under_way = Client::connect(address);
    under_way.expect(220);
    under_way.command("EHLO client.example", 250);
    let message = Message::named("under-way");
    under_way.command(&format!("MAIL FROM:<{}>", message.reverse_path), 250);
    let old = machine.property("MainPID");
    let said = install(&machine, &build(&place, "99.0-1"));
    assert!(said.contains("relayscope: version 99.0-1 has taken over"), "{said}");
    let new = machine.property("MainPID");
    assert_ne!(old, new);
    assert_eq!(fs::read_to_string(machine.path(CONFIG)).unwrap(), config);
    deliver(address, "after");
    under_way.command(&format!("RCPT TO:<{}>", message.recipient), 250);
    under_way.command("DATA", 354);
    under_way.send(message.on_the_wire());
    under_way.command(".", 250);
    for id in ["before", "under-way", "after"] {
        let said = machine.done("relayscope", &["where", &format!("{id}@msg.example")]);
        assert!(said.contains("accepted"), "{said}");
    }

    // Whoever took over is supervised, although the one before it still has a session: killed, it is started again; stopped, it may
    // finish what it has begun.
    machine.done("sh", &["-c", &format!("kill -KILL {new}")]);
    until("a new process", || {
        machine.property("ActiveState") == "active" && ![new.as_str(), "0"].contains(&machine.property("MainPID").as_str())
    });
    deliver(address, "again");
    drop(under_way);
    machine.done("systemctl", &["kill", "--kill-whom=main", "--signal=SIGUSR2", "relayscope"]);
    let restarted = machine.property("MainPID");
    until("a hand-over", || machine.property("MainPID") != restarted);
    let last = machine.property("MainPID");
    machine.done("systemctl", &["stop", "relayscope"]);
    let journal = machine.journal();
    let its_own = |line: &&str| line.contains(&format!("relayscope[{last}]"));
    assert!(journal.lines().filter(its_own).any(|line| line.ends_with("stopped")), "{journal}");

    // A certificate that only root can read.
    let made = certificates::make(&place, "certificates", &["relay.example"]);
    for (from, to) in [(&made.certificate, "server.crt"), (&made.key, "server.key")] {
        let to = machine.path("/etc/relayscope").join(to);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let drop_in = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/credentials.conf")).unwrap();
    let drop_in = drop_in
        .replace("/etc/letsencrypt/live/relay.example.org/fullchain.pem", "/etc/relayscope/server.crt")
        .replace("/etc/letsencrypt/live/relay.example.org/privkey.pem", "/etc/relayscope/server.key");
    fs::create_dir_all(machine.path("/etc/systemd/system/relayscope.service.d")).unwrap();
    fs::write(machine.path("/etc/systemd/system/relayscope.service.d/credentials.conf"), drop_in).unwrap();
    let credentials = "/run/credentials/relayscope.service/server";
    let with_certificate = config
        .replace("#certificate = \"/etc/relayscope/server.crt\"", &format!("certificate = \"{credentials}.crt\""))
        .replace("#key = \"/etc/relayscope/server.key\"", &format!("key = \"{credentials}.key\""));
    assert_ne!(with_certificate, config);
    fs::write(machine.path(CONFIG), &with_certificate).unwrap();
    machine.done("systemctl", &["daemon-reload"]);
    machine.done("systemctl", &["start", "relayscope"]);
    deliver(address, "with-certificate");
    for file in ["server.crt", "server.key"] {
        fs::remove_file(machine.path("/etc/relayscope").join(file)).unwrap();
    }
    fs::remove_dir_all(machine.path("/etc/systemd/system/relayscope.service.d")).unwrap();

    // Removed, the traces stay; purged, nothing does.
    machine.done("dpkg", &["--remove", "relayscope"]);
    assert!(Client::try_connect(address).is_none(), "it has been stopped");
    assert!(machine.path("/var/lib/relayscope/alive.json").is_file());
    assert_eq!(fs::read_to_string(machine.path(CONFIG)).unwrap(), with_certificate);
    // Installed again, nothing of the removal is left.
    install(&machine, &build(&place, "99.0-1"));
    let socket = machine.run("systemctl", &["is-enabled", "relayscope.socket"]).1;
    assert_eq!(socket.trim(), "disabled", "not masked");
    machine.done("dpkg", &["--purge", "relayscope"]);
    let left = machine.done("find", &["/", "-xdev", "-name", "*relayscope*"]);
    assert_eq!(left, "");
    assert_eq!(machine.done("ls", &["/dev/shm"]), "");
    for file in ["/etc/passwd", "/etc/group"] {
        assert!(!fs::read_to_string(machine.path(file)).unwrap().contains("relayscope"), "{file}");
    }
}

fn until(what: &str, mut found: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !found() {
        assert!(Instant::now() < end, "no {what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn deliver(address: SocketAddr, name: &str) {
    let mut client = Client::connect(address);
    client.expect(220);
    client.command("EHLO client.example", 250);
    assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
    client.quit();
}

#[test]
fn lintian_has_nothing_to_say() {
    need!("cargo-deb", "lintian", "strip");
    let place = Place::new();
    let deb = build(&place, "0.1.0-1");
    let mut command = Command::new(path_of("lintian"));
    command.args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"]).arg(&deb);
    let (code, said) = run(&mut command);
    assert_eq!(code, 0, "{said}");
}
