//! Incidents: named while the trouble lasts, told to a program, muted, over when it is over, and found again in old records.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::ports::Refusing;
use crate::support::process::run;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

/// A mail server that tries again and again, until `done`.
#[track_caller]
pub fn keep_trying(relayscope: &Relayscope, done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "not in time:\n{}", relayscope.output().text());
        let mut greeting = String::new();
        let mut client = TcpStream::connect(relayscope.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        // Whatever comes: a refusal at once, or a greeting and then nothing.
        let _ = client.read_to_string(&mut greeting);
        std::thread::sleep(Duration::from_millis(200)); // not to wait for something: the pace of the tries
    }
}

#[test]
fn a_smart_host_that_stopped_is_one_incident_until_it_is_back() {
    let place = Place::new();
    let gone = Refusing::new();
    let told = place.path("told");
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n\
         [anomaly.upstream]\ndown_after = \"1s\"\n[anomaly.dns]\nenabled = false\n\
         [anomaly.notify]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n",
        gone.address,
        told.display()
    );
    let relayscope = Relayscope::configured(&place, &config);
    let anomalies = |more: &[&str]| run(&mut command(&place, &[&["anomalies", "--store", "store"], more].concat()));
    assert_eq!(anomalies(&[]).0, 0);

    keep_trying(&relayscope, || relayscope.output().text().contains("anomaly=upstream_down"));
    let (code, said) = anomalies(&[]);
    assert!(code == 1 && said.contains("critical: upstream_down") && said.contains("Upstream main can't be reached"), "{said}");
    let (_, json) = anomalies(&["--json"]);
    let open: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let id = open["incident"].as_str().unwrap().to_owned();
    assert_eq!((open["cause"].as_str(), open["about"][0]["value"].as_str()), (Some("connection_failed"), Some("main")));
    keep_trying(&relayscope, || std::fs::read_to_string(&told).is_ok_and(|text| text.contains(&id)));

    // A message that never came as far as MAIL FROM: the answer names what turned its client away.
    let lost = ["where", "lost@to.example", "--no-dns", "--store", "store"];
    let (code, said) = run(&mut command(&place, &lost));
    let words = [
        "This may be why: clients are turned away before MAIL FROM (critical: \"Upstream main can't be reached",
        &format!("(relayscope anomalies {id} --store store)"),
    ];
    assert!(code == 1 && words.iter().all(|it| said.replace("\n  ", " ").contains(it)), "{said}");
    let (_, json) = run(&mut command(&place, &[&lost[..], &["--json"]].concat()));
    let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(answer["never_seen"]["incidents"][0]["id"], id.as_str(), "{json}");

    let (code, said) = anomalies(&[&id, "--mute", "2h", "--note", "the hoster knows"]);
    assert!(code == 0 && said.starts_with(&format!("Nobody is notified of {id} until ")), "{said}");
    assert!(anomalies(&[]).1.contains(", muted until "));

    let sink = Sink::on(gone.open(), Manner::Take);
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    keep_trying(&relayscope, || relayscope.output().text().contains("step=resolved"));
    assert_eq!(sink.taken().len(), 1);
    let (code, said) = anomalies(&["--since", "1h"]);
    assert!(code == 0 && said.contains("critical, over") && said.matches("upstream_down").count() == 1, "{said}");

    relayscope.stop();
    // Of a stopped proxy's store the same is told, and a replay finds it anew.
    let (code, said) = anomalies(&[&id]);
    assert!(code == 0 && said.contains("the hoster knows") && said.contains("resolved"), "{said}");
    let (code, said) = anomalies(&["--replay", "--config", "relayscope.toml"]);
    assert!(code == 1 && said.contains("opened upstream_down (upstream main)"), "{said}");
}
