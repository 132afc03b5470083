//! To the internet: a server's message to three domains arrives exactly once at each of their mail exchangers.

use relayscope::trace::{Flag, State};

use crate::support::certificates;
use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink;

use super::mail::Mail;
use super::sending::Start;
use super::server::{Sending, USER, until};

const DOMAINS: [&str; 3] = ["one.example", "two.example", "three.example"];

/// What became of it, for the one who reads the test's output.
pub struct Arrived {
    /// Recipients that had to come in a transaction of their own.
    pub split: usize,
}

/// Sends one message to bob in each domain, and eve in the first. With `one_domain` by the setting of the server's recipe.
pub fn three_domains(start: &Start<'_>, one_domain: bool) -> Arrived {
    let place = Place::new();
    let authority = certificates::make(&place, "tls", &["localhost"]).authority;
    let (hosts, port) = sink::on_addresses(["127.1.9.1", "127.1.9.2", "127.1.9.3"]);
    let mut zones = Zones::new();
    for (domain, host) in DOMAINS.iter().zip(&hosts) {
        zones = zones.mx(domain, 10, &format!("mx.{domain}")).a(&format!("mx.{domain}"), &host.address.ip().to_string());
    }
    let dns = Dns::start(&place, &zones);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nkind = \"mx\"\nport = {port}\nprivate_networks = [\"127.0.0.0/8\"]\n[dns]\nservers = [\"{}\"]\nhosts_file = false\n",
        dns.resolver_address()
    );
    let relayscope = Relayscope::configured(&place, &config);
    let relay = relayscope.address();
    let front = start(&Sending { place: &place, name: "front", relay, user: USER, one_domain, authority: &authority, bypass: None });
    let mail = Mail::new("three")
        .with("", &[("bob@one.example", ""), ("bob@two.example", ""), ("bob@three.example", ""), ("eve@one.example", "")]);
    mail.submit(&mut front.client());
    // Recipients that were put off wait for the queue's next run.
    let mut looked = 0;
    until("the message at all three exchangers", front.log(), || {
        looked += 1;
        if looked % 100 == 0 {
            front.flush();
        }
        let recipients = |host: &sink::Sink| host.taken().iter().map(|it| it.recipients.len()).sum::<usize>();
        (hosts.iter().map(recipients).collect::<Vec<_>>() == [2, 1, 1]).then_some(())
    });
    drop(front);
    let all = records::transactions(&relayscope.stop());
    for (domain, host) in DOMAINS.iter().zip(&hosts) {
        let mut recipients: Vec<String> = host.taken().into_iter().flat_map(|it| it.recipients).collect();
        recipients.sort();
        let mut wanted = vec![format!("bob@{domain}")];
        if *domain == "one.example" {
            wanted.push("eve@one.example".to_owned());
        }
        assert_eq!(recipients, wanted, "once each at {domain}");
        assert!(host.taken().iter().all(|it| String::from_utf8_lossy(&it.content).contains(&mail.id())));
    }
    let accepted = all.iter().flat_map(|it| &it.envelope.recipients).filter(|it| it.state == State::Accepted).count();
    assert_eq!(accepted, 4, "each recipient is accepted once in the records");
    let split = all.iter().filter(|it| it.flags.contains(&Flag::Split));
    let put_off = |it: &relayscope::trace::Transaction| it.envelope.recipients.iter().filter(|it| it.state == State::Deferred).count();
    Arrived { split: split.map(put_off).sum() }
}
