//! What the binary says, and how it ends, when it can't start as it was told to.

use std::net::TcpListener;

use crate::support::place::Place;
use crate::support::process::{Process, run};
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

const GOOD: &str = "[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"smtp.example.net:587\"]\n";

#[test]
fn configuration_errors_name_file_and_line() {
    // What is added to a good file, the line that must be named, and words of the error.
    let cases = [
        ("[limits]\nsesions = 5\n", 6, "did you mean \"sessions\"?"),
        ("[store]\nkeep_days = \"many\"\n", 6, "keep_days"),
        ("[[listener]]\nname = \"two\"\nlisten = [\"nowhere\"]\n", 7, "nowhere"),
        ("[upstream.auth]\nuser = \"a\"\npassword = \"geheim\"\n", 7, "password_file"),
        ("[upstream.auth]\nuser = \"a\"\npassword_file = \"missing.txt\"\n", 7, "does not exist"),
        ("[log]\nlevel = [\n", 6, "TOML"),
    ];
    for (added, line, words) in cases {
        let place = Place::new();
        place.file("relayscope.toml", format!("{GOOD}{added}"));
        for arguments in [&["run", "--config", "relayscope.toml"][..], &["config", "check", "--config", "relayscope.toml"]] {
            let done = command(&place, arguments).output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(2), "{added:?}: {said}");
            assert!(said.contains(&format!("relayscope.toml:{line}")), "{added:?}: {said}");
            assert!(said.contains(words), "{added:?}: {said}");
            assert!(!said.contains("geheim"), "{said}");
            assert!(!place.path("relayscope-store").exists(), "nothing was begun");
        }
    }
}

/// Its terminal was closed: it must not relay on unseen.
#[test]
fn a_demo_ends_with_its_terminal() {
    let place = Place::new();
    let mut demo = Process::start(command(&place, &["demo", "--listen", "127.0.0.1:0", "--store", "demo"]), false);
    demo.output.expect("The proxy goes on until Ctrl-C");
    demo.signal("HUP");
    assert!(demo.wait().success(), "{}", demo.output.text());
}

#[test]
fn errors_without_a_file() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["run"], 2, "smart"),
        (&["run", "--smart-host", "no port"], 2, "--smart-host"),
        (&["run", "--smart-host", "smtp.example.net:587", "--listen", "here"], 2, "--listen"),
        (&["run", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (&["run", "--frob"], 2, "--frob"),
        (&["run", "--smart-host", "smtp.example.net:587", "--listen", &taken, "--http", "off"], 3, &taken),
    ];
    for (arguments, code, words) in cases {
        let (ended, said) = run(&mut command(&place, arguments));
        assert_eq!(ended, code, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn two_proxies_do_not_share_a_store() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let mut first = Relayscope::simple(&place, sink.address);
    let arguments = ["run", "--smart-host", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--store", "store", "--http", "off"];
    let (ended, said) = run(&mut command(&place, &arguments));
    assert!(ended == 2 || ended == 3, "{ended}: {said}");
    assert!(said.contains("store"), "{said}");
    assert!(first.process().is_running());
}

/// The README's first command, in an empty directory.
#[test]
fn runs_with_no_file_at_all_and_answers() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = relayscope.client();
    client.expect(220);
    client.command("EHLO client.example", 250);
    client.deliver(&crate::support::message::Message::named("readme")).unwrap();
    client.quit();
    let ask = |arguments: &[&str]| run(&mut command(&place, arguments));
    let check = |when: &str| {
        let (code, said) = ask(&["where", "--store", "store", "readme@msg.example"]);
        assert_eq!(code, 0, "{when}: {said}");
        assert!(said.lines().next().unwrap().contains("SINK000000"), "{when}: the first line says it all: {said}");
        let (code, said) = ask(&["where", "--store", "store", "--json", "readme@msg.example"]);
        assert_eq!(code, 0, "{when}: {said}");
        let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(answer["messages"].as_array().unwrap().len(), 1, "{when}: {said}");
        let (code, said) = ask(&["where", "--store", "store", "nobody@nowhere.example"]);
        assert_eq!(code, 1, "{when}: not found is an answer: {said}");
    };
    check("beside the running proxy");
    relayscope.stop();
    check("on the store it left");
}
