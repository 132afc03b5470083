//! Under a service manager: sockets that it passes, and what it is told.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::programs::{need, path_of};
use crate::support::records;
use crate::support::relayscope::BINARY;
use crate::support::sink::{Manner, Sink};

fn config(place: &Place, sink: &Sink, address: SocketAddr) {
    let upstream = format!("[[upstream]]\nhosts = [\"{}\"]\n", sink.address);
    place.file("relayscope.toml", format!("workers = 2\n[[listener]]\nlisten = [\"{address}\"]\n{upstream}"));
}

const ARGUMENTS: [&str; 7] = ["run", "--config", "relayscope.toml", "--store", "store", "--http", "off"];

fn deliver(client: &mut Client, name: &str) {
    client.expect(220);
    client.command("EHLO client.example", 250);
    assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
}

#[test]
fn the_first_connection_starts_the_service() {
    need!("systemd-socket-activate");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let address = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
    config(&place, &sink, address);
    let mut activate = Command::new(path_of("systemd-socket-activate"));
    activate.args(["--fdname=smtp", "-l", &address.to_string(), BINARY]).args(ARGUMENTS).current_dir(&place);
    let mut service = Process::start(activate, false);
    service.output.expect("Listening on");
    let mut client = Client::connect(address);
    deliver(&mut client, "first");
    client.quit();
    assert!(service.terminate().success(), "{}", service.output.text());
    assert!(!service.output.text().contains("ERROR"), "{}", service.output.text());
    records::one(&place.path("store"), "first@msg.example");
}

/// What a service manager does: holds the sockets while the service comes and goes.
struct Manager {
    socket: TcpListener,
    address: SocketAddr,
}

impl Manager {
    fn new() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    fn start(&self, place: &Place, more: &[(&str, &str)]) -> Process {
        let script = format!("exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=smtp exec \"$@\"", self.socket.as_raw_fd());
        let mut command = Command::new("bash");
        command.args(["-c", &script, "service", BINARY]).args(ARGUMENTS).current_dir(place).env("NO_COLOR", "1").envs(more.iter().copied());
        Process::start(command, false)
    }
}

#[test]
fn connections_wait_while_the_service_is_stopped() {
    need!("bash");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let manager = Manager::new();
    config(&place, &sink, manager.address);
    for round in 0..3 {
        // Nobody serves, and nobody is refused.
        let mut clients: Vec<_> = (0..5).map(|_| Client::connect(manager.address)).collect();
        let mut service = manager.start(&place, &[]);
        for (number, client) in clients.iter_mut().enumerate() {
            deliver(client, &format!("r{round}n{number}"));
        }
        clients.into_iter().for_each(Client::quit);
        assert!(service.terminate().success(), "{}", service.output.text());
        assert!(!service.output.text().contains("WARN"), "{}", service.output.text());
    }
    assert_eq!(records::transactions(&place.path("store")).len(), 15);
}

#[test]
fn a_socket_that_no_listener_has_is_named() {
    need!("bash");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let manager = Manager::new();
    let other = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
    config(&place, &sink, other);
    let mut service = manager.start(&place, &[]);
    service.output.expect("listening listener=");
    let said = service.output.expect("that no listener has in `listen`");
    assert!(said.contains(&manager.address.to_string()), "{said}");
    let said = service.output.expect("was not passed");
    assert!(said.contains(&other.to_string()), "{said}");
    assert!(service.terminate().success());
}

#[test]
fn the_service_manager_is_told() {
    need!("bash");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let manager = Manager::new();
    config(&place, &sink, manager.address);
    let path = place.path("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = |wanted: &str| {
        let mut octets = [0; 4096];
        let read = notify.recv(&mut octets).unwrap_or_else(|error| panic!("{wanted}: {error}"));
        let said = String::from_utf8_lossy(&octets[..read]).into_owned();
        assert!(said.contains(wanted), "{said:?} instead of {wanted:?}");
    };
    let mut service = manager.start(&place, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    heard("READY=1");
    service.signal("HUP");
    heard("RELOADING=1\nMONOTONIC_USEC=");
    heard("READY=1");
    service.signal("TERM");
    heard("STOPPING=1");
    assert!(service.wait().success());

    // A successor takes the sockets over without the service manager, which hears of it.
    let mut service = manager.start(&place, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    heard("READY=1");
    let mut command = Command::new(BINARY);
    command.args(ARGUMENTS).arg("--take-over").current_dir(&place).env("NO_COLOR", "1");
    let mut next = Process::start(command, false);
    next.output.expect("took over");
    heard(&format!("MAINPID={}", next.id()));
    assert!(service.wait().success());
    let mut client = Client::connect(manager.address);
    deliver(&mut client, "next");
    client.quit();
    assert!(next.terminate().success());
    records::one(&place.path("store"), "next@msg.example");
}

#[test]
fn a_watchdog_is_fed() {
    need!("bash");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let manager = Manager::new();
    config(&place, &sink, manager.address);
    let path = place.path("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut service = manager.start(&place, &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")]);
    let mut fed = 0;
    while fed < 3 {
        let mut octets = [0; 4096];
        let read = notify.recv(&mut octets).unwrap();
        fed += usize::from(octets[..read].starts_with(b"WATCHDOG=1"));
    }
    assert!(service.terminate().success());
}
