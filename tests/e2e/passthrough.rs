//! TLS between client and smart host, through a proxy that passes it on unread: real Postfixes, swaks and openssl, and own peers
//! where octets are counted.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use relayscope::trace::{Actor, EndHow, Flag, Session, State};

use crate::support::PATIENCE;
use crate::support::certificates::{self, Certificates};
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::{Place, files_under};
use crate::support::postfix::Postfix;
use crate::support::process::run;
use crate::support::programs::{need, path_of};
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};
use crate::support::swaks::swaks;

const NAME: &str = "mx.example";

/// With `upstream` in that table.
fn passing(place: &Place, host: SocketAddr, upstream: &str) -> Relayscope {
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"passthrough\"\n\
         [[upstream]]\nhosts = [\"127.0.0.1:{}\"]\n{upstream}\n",
        host.port()
    );
    Relayscope::configured(place, &config)
}

/// A Postfix behind that offers STARTTLS, with `protocols` of TLS; it asks clients for their certificates.
fn behind(place: &Place, certificates: &Certificates, protocols: &str, extra: &str) -> Postfix {
    let tls = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_protocols = {protocols}\n\
         smtpd_tls_ask_ccert = yes\nsmtpd_tls_loglevel = 1\n{extra}",
        certificates.certificate.display(),
        certificates.key.display(),
    );
    Postfix::behind(place, &tls)
}

/// A Postfix in front that sends nothing unless the peer's certificate is for [`NAME`], by that authority.
fn verifying_front(place: &Place, relay: SocketAddr, authority: &Path, own: Option<&Certificates>) -> Postfix {
    let shown = own.map(|own| format!("smtp_tls_cert_file = {}\nsmtp_tls_key_file = {}\n", own.certificate.display(), own.key.display()));
    let extra = format!(
        "smtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = {NAME}\nsmtp_tls_CAfile = {}\nsmtp_tls_loglevel = 1\n{}",
        authority.display(),
        shown.unwrap_or_default()
    );
    Postfix::front(place, relay, &extra)
}

/// The only session that was passed through.
#[track_caller]
fn the_passed(store: &Path) -> Session {
    let mut found: Vec<_> = records::sessions(store).into_iter().filter(|it| it.flags.contains(&Flag::PassedThrough)).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[test]
fn postfix_verifies_the_certificate_of_the_postfix_behind() {
    need!("postfix", "root");
    for (protocols, version) in [("TLSv1.2", "TLSv1.2"), (">=TLSv1.3", "TLSv1.3")] {
        let place = Place::new();
        let certificates = certificates::make(&place, "tls", &[NAME]);
        let own = certificates::make(&place, "own", &["hybrid.example"]);
        let trust = format!("smtpd_tls_CAfile = {}\n", own.authority.display());
        let behind = behind(&place, &certificates, protocols, &trust);
        let relayscope = passing(&place, behind.address, "");
        let front = verifying_front(&place, relayscope.address(), &certificates.authority, Some(&own));
        let mut client = front.client();
        assert_eq!(client.deliver(&Message::sized("hybrid", 100_000)).unwrap().code, 250);
        client.quit();
        front.log().expect("Verified TLS connection established to 127.0.0.1");
        front.log().expect("status=sent");
        behind.log().expect("Trusted TLS connection established from"); // by the client's certificate, as connectors do
        behind.log().expect("status=sent (delivered to maildir)");
        assert_eq!(behind.mailbox("bob").len(), 1);
        drop(front);
        let store = relayscope.stop();
        assert!(records::transactions(&store).is_empty(), "nothing of the mail is seen");
        let session = the_passed(&store);
        let (upstream, client) = (session.upstream.tls.clone().unwrap(), session.client.tls.clone().unwrap());
        assert_eq!((upstream.version.as_str(), client.version.as_str()), (version, version));
        assert!(upstream.cipher.starts_with("TLS_") && upstream.cipher == client.cipher, "{upstream:?}");
        assert_eq!(upstream.verified, None, "nothing was verified here");
        if version == "TLSv1.2" {
            assert!(upstream.issuer.unwrap().contains("relayscope test authority"));
            assert!(upstream.expires_at.is_some() && client.subject.is_some(), "{client:?}");
        } else {
            assert_eq!((upstream.subject, client.subject), (None, None), "in TLS 1.3 certificates are encrypted");
        }
        let spliced = session.upstream.spliced.clone().unwrap();
        assert!(spliced.client_octets > 100_000 && spliced.upstream_octets > 500, "{spliced:?}");
        assert!(spliced.starttls_at_us.is_some() && session.phases.tls_us.is_some());
        // The one that closes first may have its goodbye answered by a reset.
        assert!(matches!(session.ended.how, EndHow::Close | EndHow::Reset) && session.outcome.is_none(), "{:?}", session.ended);
        assert_eq!(session.client.helo.as_deref(), Some("front.example"));
        for (file, octets) in files_under(&store) {
            assert!(memchr::memmem::find(&octets, b"about hybrid").is_none(), "{}", file.display());
        }
    }
}

#[test]
fn a_front_that_trusts_another_authority_sends_nothing() {
    need!("postfix", "root");
    for protocols in ["TLSv1.2", ">=TLSv1.3"] {
        let place = Place::new();
        let certificates = certificates::make(&place, "tls", &[NAME]);
        let other = certificates::make(&place, "other", &[NAME]);
        let behind = behind(&place, &certificates, protocols, "");
        let relayscope = passing(&place, behind.address, "");
        let front = verifying_front(&place, relayscope.address(), &other.authority, None);
        let mut client = front.client();
        client.deliver(&Message::named("untrusted")).unwrap();
        client.quit();
        front.log().expect("status=deferred (Server certificate not");
        assert_eq!(behind.mailbox("bob").len(), 0);
        drop(front);
        let sessions = records::sessions(&relayscope.stop());
        assert!(sessions.iter().any(|it| it.flags.contains(&Flag::PassedThrough)), "{sessions:#?}");
    }
}

#[test]
fn a_client_in_clear_is_traced_on_the_same_listener() {
    need!("postfix", "root", "swaks", "openssl");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &[NAME]);
    let behind = behind(&place, &certificates, ">=TLSv1.2", "");
    let relayscope = passing(&place, behind.address, "");
    let (code, said) = swaks(relayscope.address(), "clear@swaks.example", &[]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = swaks(relayscope.address(), "tls@swaks.example", &["-tls"]);
    assert_eq!(code, 0, "{said}");
    let shown = s_client(relayscope.address(), &["-starttls", "smtp", "-CAfile", certificates.authority.to_str().unwrap()]);
    assert!(shown.contains("relayscope test authority"), "the upstream's certificate, not one of the proxy: {shown}");
    assert!(shown.contains("Verify return code: 0 (ok)"), "{shown}");
    let store = relayscope.stop();
    let transaction = records::one(&store, "clear@swaks.example");
    assert_eq!((transaction.outcome.state, transaction.client.tls.is_none()), (State::Accepted, true));
    assert!(records::transactions(&store).iter().all(|it| it.message.message_id.as_deref() != Some("tls@swaks.example")));
    let passed = records::sessions(&store).into_iter().filter(|it| it.flags.contains(&Flag::PassedThrough)).count();
    assert_eq!(passed, 2);
    let (code, found) = run(&mut command(&place, &["search", "flag:passed_through", "--store", "store", "--json"]));
    assert_eq!((code, found.lines().count()), (0, 2), "{found}");
    let id = records::sessions(&store).iter().find(|it| it.upstream.spliced.is_some()).map(|it| it.id.to_string()).unwrap();
    let (code, shown) = run(&mut command(&place, &["show", &id, "--store", "store"]));
    assert!(code == 0 && shown.contains("unread from STARTTLS") && shown.contains("(TLS ClientHello: "), "{shown}");
}

#[test]
fn implicit_tls_is_passed_on_from_the_first_octet() {
    need!("postfix", "root", "swaks", "openssl");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &[NAME]);
    let behind = behind(&place, &certificates, ">=TLSv1.2", "smtpd_tls_wrappermode = yes\n");
    let relayscope = passing(&place, behind.address, "tls = \"implicit\"");
    let (code, said) = swaks(relayscope.address(), "implicit@swaks.example", &["-tlsc"]);
    assert_eq!(code, 0, "{said}");
    let shown =
        s_client(relayscope.address(), &["-servername", NAME, "-alpn", "smtp", "-CAfile", certificates.authority.to_str().unwrap()]);
    assert!(shown.contains("relayscope test authority") && shown.contains("Verify return code: 0 (ok)"), "{shown}");
    behind.log().expect("status=sent (delivered to maildir)");
    assert_eq!(behind.mailbox("bob").len(), 1);
    let sessions = records::sessions(&relayscope.stop());
    let seen = sessions.iter().find(|it| it.client.tls.as_ref().is_some_and(|tls| tls.sni.as_deref() == Some(NAME)));
    let spliced = seen.and_then(|it| it.upstream.spliced.clone()).unwrap();
    assert_eq!((spliced.alpn, spliced.starttls_at_us), (vec!["smtp".to_owned()], None));
    assert!(sessions.iter().all(|it| it.flags == [Flag::PassedThrough]), "{sessions:#?}");
}

/// What `openssl s_client` prints of a connection that it closes at once.
fn s_client(to: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new(path_of("openssl"));
    command.args(["s_client", "-connect", &to.to_string()]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"QUIT\r\n").unwrap();
    let done = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

#[test]
fn what_is_no_tls_is_not_passed_on() {
    need!("postfix", "root");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &[NAME]);
    let behind = behind(&place, &certificates, ">=TLSv1.2", "");
    let relayscope = passing(&place, behind.address, "");
    for hostile in
        [&b"MAIL FROM:<ann@from.example>\r\n"[..], &[0; 4096], b"\x16\x02\x01\x00\x05\x01\x00\x00\x01\x00", b"\x80\x2e\x01\x00\x02"]
    {
        let mut client = Client::ready(relayscope.address());
        client.command("STARTTLS", 220);
        client.send(hostile);
        assert_eq!(client.reply(), None, "closed");
    }
    // A hello that only begins well is the upstream's to refuse.
    let mut client = Client::ready(relayscope.address());
    client.command("STARTTLS", 220);
    client.send([&b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"[..], &[0xff; 16_379]].concat());
    client.rest();
    drop(client);
    Client::ready(relayscope.address()).quit();
    assert_eq!(behind.log().count("ann@from.example"), 0);
    let sessions = records::sessions(&relayscope.stop());
    let foreign: Vec<_> = sessions.iter().filter(|it| it.flags.contains(&Flag::ForeignProtocol)).collect();
    assert_eq!(foreign.len(), 4, "{sessions:#?}");
    assert!(foreign.iter().all(|it| it.ended.how == EndHow::Protocol && it.ended.by == Actor::Client));
}

/// As much of a TLS client's first octets as makes the proxy take them for TLS, then anything.
const HELLO: &[u8] = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00";
const ANSWER: &[u8] = b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00";

/// An upstream that says 220 to STARTTLS, and then does as it is told.
struct Upstream {
    address: SocketAddr,
    thread: JoinHandle<Vec<u8>>,
}

impl Upstream {
    fn start(then: impl FnOnce(&mut TcpStream) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"220 mx.example ESMTP\r\n").unwrap();
            read_line(&mut stream);
            stream.write_all(b"250-mx.example\r\n250 STARTTLS\r\n").unwrap();
            read_line(&mut stream);
            stream.write_all(b"220 2.0.0 go ahead\r\n").unwrap();
            then(&mut stream)
        });
        Self { address, thread }
    }
}

fn read_line(stream: &mut TcpStream) -> Vec<u8> {
    let mut line = Vec::new();
    let mut octet = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut octet).unwrap();
        line.push(octet[0]);
    }
    line
}

/// A connection to the proxy that has been told 220 to STARTTLS.
fn started(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    read_line(&mut stream);
    stream.write_all(b"EHLO client.example\r\n").unwrap();
    assert_eq!(read_line(&mut stream), b"250-mx.example\r\n");
    assert_eq!(read_line(&mut stream), b"250 STARTTLS\r\n");
    stream.write_all(b"STARTTLS\r\n").unwrap();
    assert_eq!(read_line(&mut stream), b"220 2.0.0 go ahead\r\n");
    stream
}

fn noise(seed: u8, octets: usize) -> Vec<u8> {
    (0..octets).map(|at| (at as u8).wrapping_mul(31).wrapping_add((at >> 8) as u8) ^ seed).collect()
}

#[test]
fn every_octet_passes_both_ways_and_is_counted() {
    const MANY: usize = 8 * 1024 * 1024;
    let place = Place::new();
    let upstream = Upstream::start(|stream| {
        let mut writing = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            writing.write_all(&[ANSWER, &noise(7, MANY)].concat()).unwrap();
            writing.shutdown(Shutdown::Write).unwrap();
        });
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        writer.join().unwrap();
        all
    });
    let relayscope = passing(&place, upstream.address, "");
    let mut stream = started(relayscope.address());
    let mut reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        reading.read_to_end(&mut all).unwrap();
        all
    });
    stream.write_all(&[HELLO, &noise(3, MANY)].concat()).unwrap();
    // The upstream may have closed its side by now: what is still sent to it arrives all the same.
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(reader.join().unwrap() == [ANSWER, &noise(7, MANY)].concat());
    assert!(upstream.thread.join().unwrap() == [HELLO, &noise(3, MANY)].concat());
    drop(stream);
    let session = the_passed(&relayscope.stop());
    let spliced = session.upstream.spliced.clone().unwrap();
    assert_eq!((spliced.client_octets, spliced.upstream_octets), (MANY as u64 + 10, MANY as u64 + 10));
    assert_eq!(session.ended.how, EndHow::Close);
}

#[test]
fn a_side_that_dies_takes_the_other_with_it() {
    let place = Place::new();
    let upstream = Upstream::start(|stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    });
    let relayscope = passing(&place, upstream.address, "");
    let mut stream = started(relayscope.address());
    stream.write_all(HELLO).unwrap();
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    assert!(HELLO.starts_with(&upstream.thread.join().unwrap()), "the upstream is let go");
    let session = the_passed(&relayscope.stop());
    assert_eq!((session.ended.by, session.ended.how), (Actor::Client, EndHow::Reset));

    let upstream = Upstream::start(|stream| {
        let mut octets = [0; HELLO.len()];
        stream.read_exact(&mut octets).unwrap();
        socket2::SockRef::from(&*stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        octets.to_vec()
    });
    let place = Place::new();
    let relayscope = passing(&place, upstream.address, "");
    let mut stream = started(relayscope.address());
    stream.write_all(HELLO).unwrap();
    upstream.thread.join().unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
    let session = the_passed(&relayscope.stop());
    assert_eq!((session.ended.by, session.ended.how), (Actor::Network, EndHow::Reset));
}

#[test]
fn a_drain_waits_for_what_is_passed_through() {
    let place = Place::new();
    let upstream = Upstream::start(|stream| {
        let mut octets = [0; HELLO.len()];
        stream.read_exact(&mut octets).unwrap();
        stream.write_all(ANSWER).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        stream.write_all(b"\x17\x03\x03\x00\x01x").unwrap();
        rest
    });
    let mut relayscope = passing(&place, upstream.address, "");
    let mut stream = started(relayscope.address());
    stream.write_all(HELLO).unwrap();
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).unwrap();
    relayscope.process().signal("TERM");
    relayscope.output().expect("draining");
    stream.write_all(b"\x17\x03\x03\x00\x01y").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut last = Vec::new();
    stream.read_to_end(&mut last).unwrap();
    assert_eq!(last, b"\x17\x03\x03\x00\x01x", "half a connection is kept, and waited for");
    assert_eq!(upstream.thread.join().unwrap(), b"\x17\x03\x03\x00\x01y");
    drop(stream);
    assert!(relayscope.wait().success());
    let session = the_passed(&place.path("store"));
    assert_eq!((session.ended.by, session.ended.how), (Actor::Client, EndHow::Close));
}

#[test]
fn a_rule_passes_one_client_through() {
    need!("postfix", "root", "openssl");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &[NAME]);
    let behind = behind(&place, &certificates, ">=TLSv1.2", "");
    let port = behind.address.port();
    let config = |client: &str| {
        format!(
            "[[listener]]\nname = \"smtp\"\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nname = \"main\"\nhosts = [\"127.0.0.1:{port}\"]\n\
             [[route]]\nname = \"hybrid\"\nclient = [\"{client}\"]\nupstream = \"main\"\npassthrough = true\n"
        )
    };
    for (client, passed) in [("127.0.0.1", true), ("127.0.0.9", false)] {
        let relayscope = Relayscope::configured(&place, &config(client));
        let shown = s_client(relayscope.address(), &["-starttls", "smtp"]);
        assert_eq!(shown.contains("relayscope test authority"), passed, "{client}: {shown}");
        let sessions = records::sessions(&relayscope.stop());
        let last = sessions.last();
        assert_eq!(last.is_some_and(|it| it.flags.contains(&Flag::PassedThrough) && it.route_rule.as_deref() == Some("hybrid")), passed);
    }
}
