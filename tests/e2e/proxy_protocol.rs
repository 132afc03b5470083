//! PROXY headers, as a real HAProxy writes them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use relayscope::net::proxy_header::{HeaderError, Subject, Version, read_header};
use relayscope::trace::{EndHow, Flag, Session, ViaHow};

use crate::support::certificates;
use crate::support::client::Client;
use crate::support::haproxy::Haproxy;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::programs::need;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};
use crate::support::swaks::swaks;

const LONG: Duration = Duration::from_secs(90);

/// What is read off the next connection.
fn header_of(listener: &TcpListener) -> Result<relayscope::net::proxy_header::Header, HeaderError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    runtime.block_on(async { read_header(&mut tokio::net::TcpStream::from_std(stream).unwrap(), LONG).await })
}

#[test]
fn haproxys_headers_are_read() {
    need!("haproxy");
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let haproxy = Haproxy::start(&place, "v1", at, "", "send-proxy");
    let client = TcpStream::connect(haproxy.address).unwrap();
    let header = header_of(&listener).unwrap();
    assert_eq!(header.version, Version::V1);
    assert_eq!(header.subject, Subject::Client { source: client.local_addr().unwrap(), destination: haproxy.address });

    let haproxy = Haproxy::start(&place, "v2", at, "", "send-proxy-v2 proxy-v2-options unique-id,crc32c");
    let client = TcpStream::connect(haproxy.address).unwrap();
    let header = header_of(&listener).unwrap();
    assert_eq!(header.version, Version::V2);
    assert_eq!(header.subject, Subject::Client { source: client.local_addr().unwrap(), destination: haproxy.address });
    assert!(header.notes.checksummed);
    let id = String::from_utf8(header.notes.unique_id.unwrap()).unwrap();
    assert!(id.starts_with("mail-127.0.0.1-"), "{id}");

    let haproxy = Haproxy::start(&place, "checks", at, "", "send-proxy-v2 check inter 100ms");
    assert_eq!(header_of(&listener).unwrap().subject, Subject::Local);
    drop(haproxy);
}

#[test]
fn haproxys_word_on_tls_is_read() {
    need!("haproxy", "openssl");
    let place = Place::new();
    let made = certificates::make(&place, "certificates", &["balancer.example"]);
    let both = [std::fs::read(&made.certificate).unwrap(), std::fs::read(&made.key).unwrap()].concat();
    let pem = place.file("certificates/both.pem", both);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("ssl crt {} ca-file {} verify optional", pem.display(), made.authority.display());
    let options = "send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,authority,unique-id";
    let haproxy = Haproxy::start(&place, "tls", listener.local_addr().unwrap(), &bind, options);
    let mut command = std::process::Command::new("openssl");
    command.args(["s_client", "-quiet", "-servername", "mx.example", "-connect", &haproxy.address.to_string()]);
    command.arg("-cert").arg(&made.certificate).arg("-key").arg(&made.key);
    let _client = crate::support::process::Process::start(command, false);
    let notes = header_of(&listener).unwrap().notes;
    let tls = notes.tls.unwrap();
    assert!(tls.used && tls.client_certificate && tls.client_verified, "{tls:?}");
    assert_eq!(tls.version.as_deref(), Some("TLSv1.3"));
    assert!(tls.cipher.is_some_and(|it| it.starts_with("TLS_")));
    assert_eq!(notes.authority.as_deref(), Some("mx.example"));
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 78));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
/// From where HAProxy connects.
const BALANCER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Takes mail of three clients, one session each, and headers of one balancer.
fn behind_balancer(place: &Place, sink: &Sink, listener: &str) -> Relayscope {
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\naccept_proxy = [\"{BALANCER}\"]\nallow = [\"{CLIENT}\", \"{OTHER}\", \"127.0.0.9\"]\n{listener}\n\
         [[upstream]]\nhosts = [\"{}\"]\n\
         [limits]\nsessions_per_client = 1\n",
        sink.address
    );
    Relayscope::configured(place, &config)
}

#[test]
fn the_client_behind_haproxy_is_the_client() {
    need!("haproxy");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = behind_balancer(&place, &sink, "");
    let ways = [("v1", "send-proxy", ViaHow::ProxyV1), ("v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c", ViaHow::ProxyV2)];
    for (name, options, _) in ways {
        let haproxy = Haproxy::start(&place, name, relayscope.address(), "", options);
        // Both at once: the limit is each client's own, not the balancer's.
        let mut client = Client::connect_from(CLIENT, haproxy.address);
        client.expect(220);
        let mut other = Client::connect_from(OTHER, haproxy.address);
        other.expect(220);
        let refused = Client::connect_from(CLIENT, haproxy.address).rest();
        assert!(refused.starts_with("421 ") && refused.contains("from this client"), "{refused}");
        client.command("EHLO client.example", 250);
        assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
        client.quit();
        other.command("QUIT", 221);
        let mut stranger = Client::connect_from("127.0.0.10".parse().unwrap(), haproxy.address);
        stranger.expect(554);
    }
    let store = relayscope.stop();
    for (name, _, how) in ways {
        let transaction = records::one(&store, &format!("{name}@msg.example"));
        assert_eq!(transaction.client.ip, CLIENT);
        let via = transaction.client.via.as_ref().unwrap();
        assert_eq!((via.how, via.ip), (how, Some(BALANCER)));
        assert_eq!(via.unique_id.is_some(), how == ViaHow::ProxyV2);
        assert!(via.unique_id.iter().all(|id| id.starts_with("mail-127.0.0.77-")), "{via:?}");
        assert!(via.destination.is_some());
    }
    let refused: Vec<_> = records::sessions(&store).into_iter().filter(|it| it.ended.how == EndHow::Refused).collect();
    let allowed = |session: &Session| session.client.ip == CLIENT;
    assert_eq!(refused.iter().filter(|it| allowed(it)).count(), 2, "{refused:#?}");
    assert_eq!(refused.iter().filter(|it| !allowed(it)).count(), 2, "{refused:#?}");
}

#[test]
fn the_header_comes_before_the_tls_hello() {
    need!("haproxy", "swaks");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = behind_balancer(&place, &sink, "tls = \"implicit\"");
    let haproxy = Haproxy::start(&place, "implicit", relayscope.address(), "", "send-proxy-v2");
    let (code, said) = swaks(haproxy.address, "implicit@swaks.example", &["--tls-on-connect", "--local-interface", "127.0.0.77"]);
    assert_eq!(code, 0, "{said}");
    let transaction = records::one(&relayscope.stop(), "implicit@swaks.example");
    assert_eq!(transaction.client.ip, CLIENT);
    assert!(transaction.client.tls.is_some());
}

#[test]
fn haproxys_health_check_is_its_own_session() {
    need!("haproxy");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    // The balancer itself isn't among those that may relay.
    let relayscope = behind_balancer(&place, &sink, "");
    let bind = "\n  option smtpchk EHLO check.example\n  option log-health-checks\n";
    let haproxy = Haproxy::start(&place, "checked", relayscope.address(), bind, "send-proxy-v2 check inter 200ms fall 1");
    haproxy.output().expect("check for server smtp/relayscope succeeded");
    let mut client = Client::connect_from(CLIENT, haproxy.address);
    client.expect(220);
    client.quit();
    assert_eq!(haproxy.output().count("failed"), 0, "{}", haproxy.output().text());
    drop(haproxy);
    let sessions = records::sessions(&relayscope.stop());
    let check = sessions.iter().find(|it| it.client.helo.as_deref() == Some("check.example"));
    let client = &check.unwrap_or_else(|| panic!("{sessions:#?}")).client;
    assert_eq!(client.ip, BALANCER);
    assert_eq!(client.via.as_ref().map(|via| (via.how, via.destination)), Some((ViaHow::ProxyV2, None)));
}

#[test]
fn a_stranger_cannot_speak_for_others() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = behind_balancer(&place, &sink, "");
    let mut stranger = Client::connect_from(STRANGER, relayscope.address());
    stranger.send("PROXY TCP4 127.0.0.77 127.0.0.1 4000 25\r\n");
    stranger.expect(220);
    stranger.expect(503);
    stranger.command("EHLO stranger.example", 250);
    stranger.command("PROXY TCP4 127.0.0.77 127.0.0.1 4000 25", 502);
    assert_eq!(stranger.deliver(&Message::named("spoof")).unwrap().code, 250);
    stranger.quit();

    let mut stranger = Client::connect_from(STRANGER, relayscope.address());
    stranger
        .send([b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[127, 0, 0, 77, 127, 0, 0, 1, 0xf, 0xa0, 0, 25], b"EHLO x\r\n"].concat());
    let heard = stranger.rest();
    assert!(!heard.contains("250"), "{heard}");

    let store = relayscope.stop();
    let transaction = records::one(&store, "spoof@msg.example");
    assert_eq!((transaction.client.ip, &transaction.client.via), (STRANGER, &None));
    assert!(transaction.flags.contains(&Flag::SpoofedClient), "{:?}", transaction.flags);
    let sessions = records::sessions(&store);
    assert!(sessions.iter().any(|it| it.client.ip == STRANGER && it.flags.contains(&Flag::SpoofedClient)), "{sessions:#?}");
}

/// Connections that say nothing of their client are bounded like sessions; those beyond are counted and told of in the log.
#[test]
fn who_finds_no_room_at_the_door_is_told_of_in_the_log() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\naccept_proxy = [\"{BALANCER}\"]\nallow = [\"127.0.0.0/8\"]\n\
         [[upstream]]\nhosts = [\"{}\"]\n\
         [limits]\nsessions = 1\nsessions_per_client = 1\n[limits.timeouts]\nproxy_header = \"5m\"\n",
        sink.address
    );
    let relayscope = Relayscope::configured(&place, &config);
    let waiting: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(relayscope.address()).unwrap()).collect();
    relayscope.output().expect("dropped without a word or a record client=127.0.0.1 reason=\"too_many_sessions\" dropped=1");
    drop(waiting);
    relayscope.stop();
}

#[test]
fn a_listed_balancer_must_send_a_whole_header() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\naccept_proxy = [\"{BALANCER}\"]\nallow = [\"127.0.0.0/8\"]\n\
         [[upstream]]\nhosts = [\"{}\"]\n\
         [limits.timeouts]\nproxy_header = \"2s\"\n",
        sink.address
    );
    let relayscope = Relayscope::configured(&place, &config);
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x4d";
    let cases: [(&[u8], bool, &str); 6] = [
        (b"", false, "no PROXY header within 2 s (0 octets came)"),
        (v2, false, "no PROXY header within 2 s (20 octets came)"),
        (v2, true, "closed within the PROXY header, after 20 octets"),
        (b"EHLO balancer.example\r\n", false, "begins with"),
        (b"PROXY TCP4 127.0.0.77 nonsense 1 25\r\n", false, "invalid IP address for the destination"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", false, "more than 4096 are not accepted"),
    ];
    for (octets, closes, _) in cases {
        let mut stream = TcpStream::connect(relayscope.address()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(octets).unwrap();
        if closes {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert!(heard.starts_with("421 ") && heard.contains("must begin with a PROXY header"), "{heard}");
    }
    // Whoever only looks whether the port is open leaves no record.
    drop(TcpStream::connect(relayscope.address()).unwrap());
    assert_eq!(sink.connections(), 0);
    let sessions = records::sessions(&relayscope.stop());
    let reasons: Vec<_> = sessions.iter().map(|it| it.ended.detail.clone().unwrap_or_default()).collect();
    assert_eq!(reasons.len(), cases.len(), "{reasons:#?}");
    for (_, _, words) in cases {
        assert!(reasons.iter().any(|it| it.contains(words)), "{words}: {reasons:#?}");
    }
}
