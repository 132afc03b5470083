//! Hosts that fail are put last, say why, and come back: by a session, or by a probe that is recorded as such.

use std::os::unix::fs::PermissionsExt;

use relayscope::trace::{Circuit, EndHow, Flag};

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::ports::Refusing;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

#[test]
fn a_host_that_failed_is_put_last_until_a_probe_gets_through() {
    let place = Place::new();
    let (first, second) = (Refusing::new(), Sink::start(Manner::Take));
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nhosts = [\"{}\", \"{}\"]\nprobe = \"1s\"\n",
        first.address, second.address
    );
    let relayscope = Relayscope::configured(&place, &config);
    let deliver = |name: &str| {
        let mut client = Client::ready(relayscope.address());
        assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
        client.quit();
    };
    deliver("before");
    deliver("meanwhile");
    let first = Sink::on(first.open(), Manner::Take);
    relayscope.output().expect("a probe got through");
    deliver("after");
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
