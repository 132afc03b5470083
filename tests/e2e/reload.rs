//! SIGHUP: what can be taken over is, what can't is said, and a bad file changes nothing.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use relayscope::trace::{AuditEvent, Record};

use crate::support::api;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

fn config(sink: &Sink, more: &str) -> String {
    format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n{more}", sink.address)
}

fn hang_up(pid: u32) {
    assert!(Command::new("kill").args(["-HUP", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn what_takes_a_restart_stays_as_it_is_and_is_said() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let relayscope = Relayscope::configured(&place, &config(&sink, ""));
    let file = "[[export]]\nname = \"lines\"\nkind = \"file\"\npath = \"lines.jsonl\"\n";
    let (second, elsewhere) = ("[[listener]]\nname = \"two\"\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]", "[store]\nkeep_days = 7\n");
    let changed = config(&sink, &format!("allow_plaintext_auth = true\n{file}{elsewhere}")).replace("[[upstream]]", second);
    place.file("relayscope.toml", changed.replace("[[listener]]\nlisten", "[[listener]]\nname = \"smtp\"\nlisten"));
    hang_up(relayscope.pid());
    relayscope.output().expect("a new listener is served only after a restart: nothing listens on its addresses listener=\"two\"");
    relayscope.output().expect("[store] and `workers` change only with a restart");
    relayscope.output().expect("reloaded config=");
    relayscope.output().expect("allow_plaintext_auth = true lets passwords travel where others can read them");
    // It was not taken over, and so it is said again.
    hang_up(relayscope.pid());
    relayscope.output().expect_lines("[store] and `workers` change only with a restart", 2);
    relayscope.output().expect_lines("reloaded config=", 2);
    let mut client = relayscope.client();
    client.expect(220);
    client.quit();
    relayscope.stop();
}

#[test]
fn a_bad_file_changes_nothing_even_where_nobody_reads_standard_error() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let file = place.file("relayscope.toml", config(&sink, ""));
    let arguments = ["run", "--config", file.to_str().unwrap(), "--store", "store", "--http", "off"];
    let mut process = command(&place, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening listener=") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let address = line.split_once("addresses=[").and_then(|(_, rest)| rest.split_once(']')).unwrap().0.parse().unwrap();
    // As when the program that kept the log is gone.
    drop(said);
    place.file("relayscope.toml", "junk");
    hang_up(process.id());
    let until = std::time::Instant::now() + crate::support::PATIENCE;
    let refused = || api::scrape(&place.path("store")).text.contains("\nrelayscope_config_last_reload_successful 0.0\n");
    while !refused() {
        assert!(std::time::Instant::now() < until && process.try_wait().unwrap().is_none(), "the proxy has ended");
    }
    let mut client = Client::ready(address);
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn a_refused_file_is_recorded_without_what_stands_in_it() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let relayscope = Relayscope::configured(&place, &config(&sink, ""));
    place.file("relayscope.toml", config(&sink, "[upstream.auth]\nuser = \"ann\"\npassword = \"sesame-Zwerg0815\"\n"));
    hang_up(relayscope.pid());
    relayscope.output().expect("reload refused, the old configuration goes on");
    let audits: Vec<_> = records::all(&relayscope.stop()).into_iter().filter(|it| matches!(it, Record::Audit(_))).collect();
    let refused = audits.iter().find_map(|it| match it {
        Record::Audit(it) if it.event == AuditEvent::ReloadRefused => it.detail.clone(),
        _ => None,
    });
    let why = refused.unwrap_or_else(|| panic!("{audits:#?}"));
    assert!(why.contains("relayscope.toml:8:1: ") && why.contains("unknown key \"password\""), "{why}");
    assert!(!format!("{audits:?}").contains("Zwerg0815"), "{audits:#?}");
}
