//! The proxy stands on the way, and takes connections that were meant for somebody else.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use relayscope::net::intercept::{InterceptError, Interception, Manner, OwnTraffic, connect_as, original_destination};
use relayscope::net::listen::{bind_workers, open_to_tproxy};
use relayscope::trace::{EndHow, State, UpstreamKind, ViaHow};
use tokio::net::TcpStream as Stream;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::netns::{Host, Network};
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::process::{Process, run};
use crate::support::programs::{need, path_of};
use crate::support::records;
use crate::support::relayscope::{BINARY, Relayscope};

/// Does something with tokio on that host.
fn on<T: Send>(host: &Host, what: impl AsyncFnOnce() -> T + Send) -> T {
    host.within(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what()))
}

/// A listener on port 2525 of all addresses of a family, as the proxy makes it.
fn listening(host: &Host, how: Interception, family: IpAddr) -> TcpListener {
    let any = if family.is_ipv4() { "0.0.0.0:2525" } else { "[::]:2525" }.parse().unwrap();
    let mut listeners = host.within(|| bind_workers(any, 1)).unwrap();
    if how == Interception::Tproxy {
        host.within(|| open_to_tproxy(&listeners, any)).unwrap();
    }
    let listener = listeners.remove(0);
    listener.set_nonblocking(false).unwrap();
    listener
}

fn stream(accepted: TcpStream) -> Stream {
    accepted.set_nonblocking(true).unwrap();
    Stream::from_std(accepted).unwrap()
}

/// From the mail server to each address of the internet: the proxy knows where it was to go, goes there, and shows the client's address.
#[track_caller]
fn check_passage(network: &Network, how: Interception, preserve_source: bool) {
    for ip in &network.internet.addresses {
        let destination = SocketAddr::new(*ip, 25);
        let listener = listening(&network.proxy, how, *ip);
        let own = Arc::new(OwnTraffic::new(vec![listener.local_addr().unwrap()]));
        let there = network.internet.within(|| TcpListener::bind(destination).unwrap());
        let client = network.mail.within(|| TcpStream::connect(destination).unwrap());
        on(&network.proxy, async || {
            let (accepted, peer) = listener.accept().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            let accepted = stream(accepted);
            assert_eq!(original_destination(&accepted, how, &own).unwrap(), destination);
            let manner = Manner { source: preserve_source.then_some(peer), mark: Some(0x53) };
            let (_upstream, _outgoing) = connect_as(destination, manner, &own, PATIENCE).await.unwrap();
            let (_, seen) = there.accept().unwrap();
            assert_eq!(seen.ip() == peer.ip(), preserve_source, "{seen}");
        });
        // Straight to the proxy: there is nothing to intercept.
        let own_address = network.proxy.addresses[usize::from(ip.is_ipv6())];
        let _client = network.mail.within(|| TcpStream::connect((own_address, 2525)).unwrap());
        on(&network.proxy, async || {
            let error = original_destination(&stream(listener.accept().unwrap().0), how, &own).unwrap_err();
            assert!(matches!(error, InterceptError::NotIntercepted { address } if address.ip() == own_address), "{error}");
        });
    }
}

#[test]
fn redirected_connections_know_their_destination() {
    need!("ip", "nft", "nsenter");
    let Some(network) = Network::new() else { return };
    if network.proxy.load_rules("deploy/interception/redirect.nft") {
        check_passage(&network, Interception::Redirect, false);
    }
}

#[test]
fn connections_by_tproxy_know_their_destination_and_keep_their_source() {
    need!("ip", "nft", "nsenter");
    let Some(network) = Network::new() else { return };
    if network.proxy.load_rules("deploy/interception/tproxy.nft") {
        network.proxy.run_script("deploy/interception/tproxy-routes.sh");
        check_passage(&network, Interception::Tproxy, true);
        check_passage(&network, Interception::Tproxy, false);
    }
}

#[test]
fn what_the_proxy_sends_and_gets_back_is_known_as_its_own() {
    need!("ip", "nft", "nsenter");
    let Some(network) = Network::new() else { return };
    if !network.proxy.load_rules("deploy/interception/same-host.nft") {
        return;
    }
    for ip in &network.internet.addresses {
        let destination = SocketAddr::new(*ip, 25);
        let listener = listening(&network.proxy, Interception::Redirect, *ip);
        let own = Arc::new(OwnTraffic::new(vec![listener.local_addr().unwrap()]));
        on(&network.proxy, async || {
            // Without its mark, the rules send it back here.
            let (_upstream, _outgoing) = connect_as(destination, Manner::default(), &own, PATIENCE).await.unwrap();
            let error = original_destination(&stream(listener.accept().unwrap().0), Interception::Redirect, &own).unwrap_err();
            assert!(matches!(error, InterceptError::Loop { destination: it } if it == destination), "{error}");
        });
        let there = network.internet.within(|| TcpListener::bind(destination).unwrap());
        on(&network.proxy, async || {
            let manner = Manner { mark: Some(0x53), ..Manner::default() };
            let (_upstream, _outgoing) = connect_as(destination, manner, &own, PATIENCE).await.unwrap();
            there.accept().unwrap();
        });
    }
}

/// As deploy/interception.md says.
fn config(listener: &str, upstream: &str) -> String {
    format!(
        "[[listener]]\nlisten = [\"0.0.0.0:2525\", \"[::]:2525\"]\nallow = [\"10.25.1.0/24\", \"10.25.2.1\", \"fd25:1::/64\"]\n{listener}\n\
         [[upstream]]\nname = \"original\"\nkind = \"original_destination\"\n{upstream}\n"
    )
}

/// The mail server sends to one host by IPv4 and to another by IPv6, and to a third by IPv4: what stands in its configuration is the truth.
#[track_caller]
fn check_mail(network: &Network, listener: &str, upstream: &str, how: ViaHow, preserved: bool) {
    let place = Place::new();
    let ways = [("bob", "10.25.2.2"), ("carol", "fd25:2::3"), ("dave", "10.25.2.3")];
    let transports: String = ways.iter().map(|(user, ip)| format!("{{{user}@to.example=smtp:[{ip}]:25}}, ")).collect();
    let front = format!("transport_maps = inline:{{{}}}\n", transports.trim_end_matches(", "));
    let behind = Postfix::on(&network.internet, &place, "behind", "");
    let front = Postfix::on(&network.mail, &place, "front", &front);
    let relayscope = Relayscope::on(&network.proxy, &place, &config(listener, upstream));
    let mut client = network.mail.within(|| Client::ready(front.address));
    for (user, ip) in ways {
        let mut message = Message::named(user);
        message.recipient = format!("{user}@to.example");
        assert_eq!(client.deliver(&message).unwrap().code, 250);
        let sent = front.log().expect(&format!("to=<{user}@to.example>"));
        assert!(sent.contains("status=sent (250 2.0.0 Ok: queued as") && sent.contains(&format!("relay={ip}[{ip}]:25")), "{sent}");
    }
    client.quit();
    drop(front);
    let store = relayscope.stop();
    for (user, ip) in ways {
        let transaction = records::one(&store, &format!("{user}@msg.example"));
        let ip: IpAddr = ip.parse().unwrap();
        let mail_server = network.mail.addresses[usize::from(ip.is_ipv6())];
        assert_eq!(transaction.outcome.state, State::Accepted);
        assert_eq!(transaction.client.ip, mail_server);
        let via = transaction.client.via.as_ref().unwrap();
        assert_eq!((via.how, via.destination), (how, Some(SocketAddr::new(ip, 25))));
        assert_eq!((transaction.upstream.kind, transaction.upstream.ip), (UpstreamKind::OriginalDestination, Some(ip)));
        let proxy = network.proxy.addresses[2 + usize::from(ip.is_ipv6())];
        let seen = if preserved { mail_server } else { proxy };
        assert!(behind.log().count(&format!(" connect from unknown[{seen}]")) > 0, "{}", behind.log().text());
        assert_eq!(behind.mailbox(user).len(), 1);
    }
    let unseen = if preserved { "10.25.2.1" } else { "10.25.1.2" };
    assert_eq!(behind.log().count(&format!(" connect from unknown[{unseen}]")), 0, "{}", behind.log().text());
}

#[test]
fn postfix_is_intercepted_by_redirect() {
    need!("ip", "nft", "nsenter", "postfix");
    let Some(network) = Network::new() else { return };
    if network.proxy.load_rules("deploy/interception/redirect.nft") {
        check_mail(&network, "intercept = \"redirect\"", "", ViaHow::Redirect, false);
    }
}

#[test]
fn postfix_is_intercepted_by_tproxy() {
    need!("ip", "nft", "nsenter", "postfix");
    let Some(network) = Network::new() else { return };
    if network.proxy.load_rules("deploy/interception/tproxy.nft") {
        network.proxy.run_script("deploy/interception/tproxy-routes.sh");
        check_mail(&network, "intercept = \"tproxy\"", "", ViaHow::Tproxy, false);
    }
}

#[test]
fn postfix_is_intercepted_by_tproxy_and_keeps_its_address() {
    need!("ip", "nft", "nsenter", "postfix");
    let Some(network) = Network::new() else { return };
    if network.proxy.load_rules("deploy/interception/tproxy.nft") {
        network.proxy.run_script("deploy/interception/tproxy-routes.sh");
        check_mail(&network, "intercept = \"tproxy\"", "preserve_source = true", ViaHow::Tproxy, true);
    }
}

#[test]
fn who_connects_to_the_proxy_itself_is_told() {
    need!("ip", "nft", "nsenter");
    let Some(network) = Network::new() else { return };
    if !network.proxy.load_rules("deploy/interception/redirect.nft") {
        return;
    }
    let place = Place::new();
    let relayscope = Relayscope::on(&network.proxy, &place, &config("intercept = \"redirect\"", ""));
    for ip in &network.proxy.addresses[..2] {
        let refused = network.mail.within(|| Client::connect(SocketAddr::new(*ip, 2525))).rest();
        assert!(refused.starts_with("421 ") && refused.contains("for intercepted connections only"), "{refused}");
    }
    let sessions = records::sessions(&relayscope.stop());
    assert_eq!(sessions.len(), 2);
    for session in sessions {
        assert_eq!(session.ended.how, EndHow::Refused);
        assert!(session.ended.detail.as_ref().is_some_and(|it| it.contains("nothing was intercepted")), "{session:#?}");
    }
}

/// The proxy on the mail server itself: without its mark, its own connection would be redirected to it for ever.
#[test]
fn a_circle_is_cut_at_its_first_turn() {
    need!("ip", "nft", "nsenter", "postfix");
    let Some(network) = Network::new() else { return };
    if !network.proxy.load_rules("deploy/interception/same-host.nft") {
        return;
    }
    let destination = SocketAddr::new(network.internet.addresses[0], 25);
    let behind_place = Place::new();
    let behind = Postfix::on(&network.internet, &behind_place, "behind", "");

    let place = Place::new();
    let relayscope = Relayscope::on(&network.proxy, &place, &config("intercept = \"redirect\"", ""));
    let heard = network.proxy.within(|| Client::connect(destination)).rest();
    assert!(heard.starts_with("421 "), "{heard}");
    let sessions = records::sessions(&relayscope.stop());
    assert_eq!(sessions.len(), 2, "{sessions:#?}");
    assert!(
        sessions.iter().any(|it| it.ended.detail.as_ref().is_some_and(|it| it.contains("was intercepted and came back"))),
        "{sessions:#?}"
    );

    let place = Place::new();
    let relayscope = Relayscope::on(&network.proxy, &place, &config("intercept = \"redirect\"", "mark = 0x53"));
    let mut client = network.proxy.within(|| Client::ready(destination));
    assert_eq!(client.deliver(&Message::named("marked")).unwrap().code, 250);
    client.quit();
    assert_eq!(records::one(&relayscope.stop(), "marked@msg.example").upstream.ip, Some(destination.ip()));
    assert_eq!(behind.mailbox("bob").len(), 1);
}

/// Before any mail comes, not with the first.
#[test]
fn what_needs_a_right_says_which() {
    need!("root", "setpriv");
    let place = Place::new();
    let cases = [
        (config("intercept = \"tproxy\"", ""), "no permission for a transparent socket"),
        (config("intercept = \"redirect\"", "mark = 0x53"), "`mark` needs CAP_NET_ADMIN"),
        (config("intercept = \"tproxy\"", "preserve_source = true"), "`preserve_source` needs CAP_NET_ADMIN"),
    ];
    for (config, words) in cases {
        let file = place.file("rights.toml", config.replace("\"0.0.0.0:2525\", \"[::]:2525\"", "\"127.0.0.1:0\""));
        let (code, said) = run(&mut as_nobody(&place, &file, &[]));
        assert!(code != 0 && said.contains(words) && said.contains("AmbientCapabilities"), "{code}: {said}");
        let granted = Process::start(as_nobody(&place, &file, &["--inh-caps=+net_admin", "--ambient-caps=+net_admin"]), false);
        granted.output.expect("listening listener=");
    }
}

/// The binary as a user without rights, but those that setpriv is told to leave.
fn as_nobody(place: &Place, config: &Path, rights: &[&str]) -> Command {
    let store = place.dir("rights");
    std::os::unix::fs::chown(&store, Some(65534), Some(65534)).unwrap();
    let mut command = Command::new(path_of("setpriv"));
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(rights).args(["--", BINARY, "run", "--http", "off"]);
    command.arg("--config").arg(config).arg("--store").arg(&store).current_dir(store).env("NO_COLOR", "1");
    command
}
