//! The proxy stands on the way, and takes connections that were meant for somebody else.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use relayscope::net::intercept::{InterceptError, Interception, Manner, OwnTraffic, connect_as, original_destination};
use relayscope::net::listen::{bind_transparent_workers, bind_workers};
use tokio::net::TcpStream as Stream;

use crate::support::PATIENCE;
use crate::support::netns::{Host, Network};
use crate::support::programs::need;

/// Does something with tokio on that host.
fn on<T: Send>(host: &Host, what: impl AsyncFnOnce() -> T + Send) -> T {
    host.within(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what()))
}

/// A listener on port 2525 of all addresses of a family, as the proxy makes it.
fn listening(host: &Host, how: Interception, family: IpAddr) -> TcpListener {
    let any = if family.is_ipv4() { "0.0.0.0:2525" } else { "[::]:2525" }.parse().unwrap();
    let listeners = host.within(|| if how == Interception::Tproxy { bind_transparent_workers(any, 1) } else { bind_workers(any, 1) });
    let listener = listeners.unwrap().remove(0);
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
