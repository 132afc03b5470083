//! Attacks from where no client may come: nothing of them reaches the smart host.

use std::net::{IpAddr, Ipv4Addr};

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[test]
fn a_crowd_of_strangers_is_bounded() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let config =
        format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\nallow = [\"127.0.0.1/32\"]\n[[upstream]]\nhosts = [\"{}\"]\n", sink.address);
    let relayscope = Relayscope::configured(&place, &config);
    let mut strangers: Vec<Client> = (0..300).map(|_| Client::connect_from(STRANGER, relayscope.address())).collect();
    let heard: Vec<String> = strangers.iter_mut().map(Client::rest).collect();
    let told = heard.iter().filter(|it| it.starts_with("554 ")).count();
    let silent = heard.iter().filter(|it| it.is_empty()).count();
    assert!(told >= 32 && silent > 0 && told + silent == heard.len(), "{told} were told, {silent} were not");
    let said = relayscope.output().expect("too many clients that aren't let in");
    assert!(said.contains("not_allowed"), "{said}");
    let mut friend = Client::ready(relayscope.address());
    assert_eq!(friend.deliver(&Message::named("friend")).unwrap().code, 250);
    friend.quit();
    let sessions = records::sessions(&relayscope.stop());
    assert_eq!(sessions.iter().filter(|it| it.client.ip == STRANGER).count(), told);
}

#[test]
fn strangers_are_refused_whatever_they_try() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let config =
        format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\nallow = [\"127.0.0.1/32\"]\n[[upstream]]\nhosts = [\"{}\"]\n", sink.address);
    let relayscope = Relayscope::configured(&place, &config);
    let attempts = [
        "",
        "EHLO stranger.example\r\nMAIL FROM:<a@from.example>\r\nRCPT TO:<bob@to.example>\r\nDATA\r\nspam\r\n.\r\n",
        "PROXY TCP4 127.0.0.1 127.0.0.1 2525 25\r\nMAIL FROM:<a@from.example>\r\nRCPT TO:<bob@to.example>\r\n",
        "XCLIENT ADDR=127.0.0.1\r\nMAIL FROM:<a@from.example>\r\nRCPT TO:<bob@to.example>\r\n",
        "STARTTLS\r\n",
        "AUTH PLAIN AGFubgBzZXNhbWU=\r\n",
    ];
    for attempt in attempts {
        let mut stranger = Client::connect_from(STRANGER, relayscope.address());
        stranger.try_send(attempt);
        let heard = stranger.rest();
        assert!(heard.starts_with("554 "), "{attempt:?}: {heard}");
        assert!(heard.contains("not allowed"), "{attempt:?}: {heard}");
        for line in heard.lines() {
            assert!(line.starts_with('5') || line.starts_with('4'), "{attempt:?}: {heard}");
        }
        assert!(!heard.contains(&sink.address.port().to_string()), "the smart host isn't shown to strangers: {heard}");
    }
    assert_eq!(sink.connections(), 0, "not even a connection is opened for a stranger");

    let mut friend = Client::ready(relayscope.address());
    assert_eq!(friend.deliver(&Message::named("friend")).unwrap().code, 250);
    friend.quit();
    let store = relayscope.stop();
    assert_eq!(records::sessions(&store).iter().filter(|it| it.client.ip == STRANGER).count(), attempts.len());
    assert_eq!(records::transactions(&store).len(), 1);
}
