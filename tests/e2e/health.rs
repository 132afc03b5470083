//! Hosts that fail are put last, say why, and come back: by a session, or by a probe that is recorded as such.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use relayscope::trace::{Actor, Circuit, EndHow, Flag};

use crate::support::PATIENCE;
use crate::support::api;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::ports::Refusing;
use crate::support::programs::{need, path_of};
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

#[track_caller]
fn deliver(relayscope: &Relayscope, name: &str) {
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
    client.quit();
}

#[test]
fn a_host_that_failed_is_put_last_until_a_probe_gets_through() {
    let place = Place::new();
    let (first, second) = (Refusing::new(), Sink::start(Manner::Take));
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nhosts = [\"{}\", \"{}\"]\nprobe = \"1s\"\n",
        first.address, second.address
    );
    let relayscope = Relayscope::configured(&place, &config);
    deliver(&relayscope, "before");
    deliver(&relayscope, "meanwhile");
    let first = Sink::on(first.open(), Manner::Take);
    relayscope.output().expect("a probe got through");
    deliver(&relayscope, "after");
    assert_eq!((first.taken().len(), second.taken().len()), (1, 2));
    let store = relayscope.stop();
    let upstream = |name: &str| records::one(&store, &format!("{name}@msg.example")).upstream.clone();
    assert_eq!(upstream("meanwhile").port, Some(second.address.port()));
    let choice = upstream("meanwhile").choice.clone().unwrap();
    assert!(
        choice.starts_with("number 2 of the list; put last: number 1 failed ") && choice.contains("refused the connection"),
        "{choice}"
    );
    assert_eq!(upstream("after").circuit, Some(Circuit::Closed));
    assert_eq!(upstream("after").choice.as_deref(), Some("number 1 of the list"));
    let probes: Vec<_> = records::sessions(&store).into_iter().filter(|it| it.flags.contains(&Flag::Synthetic)).collect();
    assert!(probes.iter().any(|it| it.ended.how == EndHow::Quit && it.upstream.banner.is_some()), "{probes:#?}");
}

/// The client has asked for another upstream in the same breath.
#[test]
fn a_failure_counts_for_the_upstream_whose_host_it_was() {
    let place = Place::new();
    let (away, there) = (Refusing::new(), Sink::start(Manner::Take));
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\nehlo = \"static\"\nupstream = \"there\"\n\
         [[upstream]]\nname = \"away\"\nhosts = [\"{}\"]\n[[upstream]]\nname = \"there\"\nhosts = [\"{}\"]\n\
         [[route]]\nname = \"away\"\nrecipient_domain = [\"away.example\"]\nupstream = \"away\"\n",
        away.address, there.address
    );
    let relayscope = Relayscope::configured(&place, &config);
    let mut client = Client::ready(relayscope.address());
    client.send("MAIL FROM:<ann@from.example>\r\nRCPT TO:<bob@away.example>\r\nRCPT TO:<bob@there.example>\r\nDATA\r\n");
    [250, 451, 250, 354].into_iter().for_each(|code| drop(client.expect(code)));
    let scrape = api::scrape(&place.path("store"));
    let failures = |host: SocketAddr, upstream: &str| {
        let (host, upstream) = (format!("host=\"{host}\""), format!("upstream=\"{upstream}\""));
        let is_it = |name: &str| name.starts_with("relayscope_upstream_host_failures{") && name.contains(&host) && name.contains(&upstream);
        scrape.series().into_iter().find(|(name, _)| is_it(name)).map(|(_, failures)| failures)
    };
    assert_eq!((failures(away.address, "away"), failures(there.address, "there")), (Some(1.0), Some(0.0)), "{}", scrape.text);
    client.reset();
    relayscope.stop();
}

#[test]
fn a_probe_does_not_take_a_host_for_good_that_sessions_cannot_use() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let login = "[upstream.auth]\nuser = \"ann\"\npassword_file = \"secret\"\n";
    let secret = place.file("secret", "sesame");
    std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (tls, login) in [("encrypt", ""), ("opportunistic", login)] {
        let config = format!(
            "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nhosts = [\"{}\"]\ntls = \"{tls}\"\nprobe = \"1s\"\n{login}",
            sink.address
        );
        let relayscope = Relayscope::storing(&place, &config, tls);
        let said = relayscope.output().expect("a probe failed");
        assert!(said.contains("doesn't offer STARTTLS"), "{said}");
        let mut client = relayscope.client();
        client.expect(220);
        client.command("EHLO client.example", 421);
        let store = relayscope.stop();
        let probes: Vec<_> = records::sessions(&store).into_iter().filter(|it| it.flags.contains(&Flag::Synthetic)).collect();
        assert!(!probes.is_empty() && probes.iter().all(|it| it.ended.how == EndHow::TlsFailure), "{probes:#?}");
    }
}

/// Sessions go on in clear there.
#[test]
fn a_probe_of_a_host_that_refuses_starttls_gets_through_where_clear_is_allowed() {
    let place = Place::new();
    let (quits, said_quit) = mpsc::channel();
    let host = host_that_refuses_starttls(quits);
    let config = format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"{host}\"]\nprobe = \"1s\"\n");
    let relayscope = Relayscope::configured(&place, &config);
    // The first one is recorded before the second begins.
    (0..2).for_each(|_| said_quit.recv_timeout(PATIENCE).expect("a probe that says QUIT"));
    let probes: Vec<_> = records::sessions(&relayscope.stop()).into_iter().filter(|it| it.flags.contains(&Flag::Synthetic)).collect();
    assert!(probes.iter().any(|it| it.ended.how == EndHow::Quit), "{probes:#?}");
    assert!(probes.iter().all(|it| it.ended.how != EndHow::TlsFailure && it.ended.how != EndHow::ConnectFailure), "{probes:#?}");
}

fn host_that_refuses_starttls(quits: mpsc::Sender<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let _ = stream.write_all(b"220 mx.example ESMTP\r\n");
            for line in lines.map_while(Result::ok) {
                let reply = match line.split(' ').next() {
                    Some("EHLO") => "250-mx.example\r\n250 STARTTLS\r\n",
                    Some("STARTTLS") => "454 4.7.0 TLS not available\r\n",
                    _ => "221 2.0.0 bye\r\n",
                };
                let _ = stream.write_all(reply.as_bytes());
                if line == "QUIT" {
                    let _ = quits.send(());
                }
            }
        }
    });
    address
}

/// A fault of this machine's says nothing of the hosts.
#[test]
fn without_descriptors_no_host_is_blamed() {
    need!("prlimit");
    let place = Place::new();
    let (first, second) = (Sink::start(Manner::Take), Sink::start(Manner::Take));
    let config = format!(
        "workers = 1\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nhosts = [\"{}\", \"{}\"]\n",
        first.address, second.address
    );
    let relayscope = Relayscope::configured(&place, &config);
    deliver(&relayscope, "before");
    let pid = relayscope.pid().to_string();
    let limit = |most: usize| {
        assert!(Command::new(path_of("prlimit")).args(["--pid", &pid, &format!("--nofile={most}:")]).status().unwrap().success())
    };
    let used = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    // One at a time: the first is the client's, and none is left for the upstream.
    let (answered, mut most) = (AtomicBool::new(false), used);
    let refused = std::thread::scope(|scope| {
        limit(most);
        scope.spawn(|| {
            while !answered.load(Ordering::Relaxed) {
                limit(most);
                most += 1;
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let refused = relayscope.client().expect(421);
        answered.store(true, Ordering::Relaxed);
        refused
    });
    assert!(refused.text.contains("no file descriptors left"), "{}", refused.text);
    limit(1_024);
    deliver(&relayscope, "after");
    assert_eq!((first.taken().len(), second.taken().len()), (2, 0));
    let store = relayscope.stop();
    assert_eq!(records::one(&store, "after@msg.example").upstream.circuit, Some(Circuit::Closed));
    let session = records::sessions(&store).into_iter().find(|it| it.ended.how == EndHow::ConnectFailure).unwrap();
    assert_eq!((session.ended.by, session.upstream.tried.len()), (Actor::Proxy, 1), "{session:#?}");
}
