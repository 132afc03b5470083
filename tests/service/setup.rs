//! `relayscope config init` for each mail server. That the lines it prints work is for `tests/servers`, which runs them.

use std::fs;

use relayscope::config::{self, Overrides, TEMPLATE};

use crate::support::place::Place;
use crate::support::process::run;
use crate::support::relayscope::command;

const SERVERS: [&str; 9] = ["postfix", "exchange", "exim", "opensmtpd", "sendmail", "courier", "hmailserver", "domino", "james"];

fn init(place: &Place, arguments: &[&str]) -> (i32, String) {
    run(&mut command(place, &[&["config", "init"], arguments].concat()))
}

#[test]
fn every_server_gets_a_configuration_that_loads() {
    for server in SERVERS {
        let place = Place::new();
        let more = ["--allow", "192.0.2.77", "--listen", "192.0.2.78:25", "--output", "etc/relayscope.toml"];
        let (code, said) = init(&place, &[&["--server", server, "--smart-host", "out.isp.example"], &more[..]].concat());
        assert_eq!(code, 0, "{server}: {said}");
        assert!(said.contains("-->  out.isp.example:587\n"), "{said}");
        assert!(said.contains("1. Start Relayscope: relayscope run --config etc/relayscope.toml"), "{said}");
        assert!(said.contains("Out of the way: the bypass"), "{said}");
        let text = fs::read_to_string(place.path("etc/relayscope.toml")).unwrap();
        let loaded = config::load_text(&place.path("etc/relayscope.toml"), &text, &Overrides::default()).unwrap();
        assert!(loaded.warnings.is_empty(), "{server}: {:?}", loaded.warnings);
        let (code, said) = run(&mut command(&place, &["config", "check", "--config", "etc/relayscope.toml"]));
        assert_eq!(code, 0, "{server}: {said}");
        // All that isn't filled in stands there as it was.
        let filled: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let shipped: Vec<&str> = TEMPLATE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert_eq!(filled.len(), shipped.len() + 4, "{server}: {filled:?}");
        for line in [
            "listen = [\"192.0.2.78:25\"]",
            "allow = [\"127.0.0.0/8\", \"::1\", \"192.0.2.77\"]",
            "[[upstream]]",
            "hosts = [\"out.isp.example:587\"]",
        ] {
            assert!(filled.contains(&line), "{server}: {line}");
        }
    }
}

/// Without an address for it, a server of another machine may not send yet; that is said.
#[test]
fn nobody_is_let_in_unasked() {
    let place = Place::new();
    let (code, said) = init(&place, &["--server", "exchange", "--smart-host", "out.isp.example:25"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("0. Name Exchange's address under `allow` in config/relayscope.toml"), "{said}");
    let text = fs::read_to_string(place.path("config/relayscope.toml")).unwrap();
    assert!(text.contains("\nlisten = [\"0.0.0.0:2525\"]\n") && text.contains("\n#allow = "), "{text}");
}

#[test]
fn what_somebody_wrote_is_left_alone() {
    let place = Place::new();
    let wanted = ["relayscope.toml", "--server", "postfix", "--smart-host", "out.isp.example:25"];
    // As shipped, nobody has written anything.
    place.file("relayscope.toml", TEMPLATE);
    assert_eq!(init(&place, &wanted).0, 0);
    let text = fs::read_to_string(place.path("relayscope.toml")).unwrap();
    assert_ne!(text, TEMPLATE);
    for written in [text.as_str(), "", "# mine\n", &format!("{TEMPLATE}# and mine\n")] {
        place.file("relayscope.toml", written);
        for arguments in [&wanted[..], &wanted[..1]] {
            let (code, said) = init(&place, arguments);
            assert_eq!(code, 2, "{said}");
            assert!(said.contains("relayscope.toml: exists already, and is left as it is"), "{said}");
            assert_eq!(fs::read_to_string(place.path("relayscope.toml")).unwrap(), written);
        }
    }
}

#[test]
fn this_machine_is_let_in_once() {
    let place = Place::new();
    let (code, said) =
        init(&place, &["one.toml", "--smart-host", "out.isp.example:25", "--listen", "127.0.0.1:25", "--allow", "127.0.0.0/8"]);
    assert_eq!(code, 0, "{said}");
    let text = fs::read_to_string(place.path("one.toml")).unwrap();
    assert!(text.lines().any(|line| line == "#allow = [\"127.0.0.0/8\", \"::1\"]"), "{text}");
}

#[test]
fn what_cannot_be_is_not_written() {
    let place = Place::new();
    let cases: [(&[&str], &str); 5] = [
        (&["--server", "postfix"], "--smart-host"),
        (&["--server", "qmail", "--smart-host", "a.example"], "possible values: postfix"),
        (&["--server", "exim", "--smart-host", "two words"], "is not HOST:PORT"),
        (&["--server", "exim", "--smart-host", "a.example", "--allow", "everybody"], "everybody"),
        (&["--server", "exim", "--smart-host", "a.example", "--listen", "here"], "--listen"),
    ];
    for (arguments, words) in cases {
        let (code, said) = init(&place, arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!place.path("config").exists(), "{arguments:?}");
    }
}
