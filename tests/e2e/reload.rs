//! SIGHUP: what can be taken over is, what can't is said, and a bad file changes nothing.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use relayscope::trace::{AuditEvent, Record};

use crate::support::api;
use crate::support::client::Client;
use crate::support::dns::{Dns, Zones};
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::programs::need;
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

/// Ready is a proxy whose listeners take mail, whatever the file says of others.
#[test]
fn readiness_goes_by_the_listeners_that_are_served() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let named = |listener: &str| config(&sink, "").replace("[[listener]]\nlisten", &format!("[[listener]]\nname = \"{listener}\"\nlisten"));
    let relayscope = Relayscope::configured(&place, &named("old"));
    place.file("relayscope.toml", named("new"));
    hang_up(relayscope.pid());
    relayscope.output().expect("reloaded config=");
    let (status, ready) = api::json(&place.path("store"), "/readyz");
    let waiting = serde_json::json!([{"what": "listener", "name": "new", "why": "it is new, and served only after a restart"}]);
    assert_eq!((status, &ready["reasons"], &ready["degraded"]), (200, &serde_json::json!([]), &waiting), "{ready}");
    let scrape = api::scrape(&place.path("store"));
    assert_eq!(scrape.series().get("relayscope_listener_addresses{listener=\"old\"}"), Some(&1.0), "{}", scrape.text);
    relayscope.stop();
}

/// Of what was never seen, answers tell what DNS says: by the servers that the configuration names now.
#[test]
fn answers_ask_the_dns_servers_of_the_new_configuration() {
    need!("unbound");
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let dns = Dns::start(&place, &Zones::new().mx("a.example", 10, "mx-of-a.example").a("mx-of-a.example", "127.1.2.1"));
    let by =
        |servers: &str| config(&sink, &format!("[dns]\nservers = [\"{servers}\"]\nhosts_file = false\n[limits.timeouts]\ndns = \"3s\"\n"));
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let relayscope = Relayscope::configured(&place, &by(&deaf.local_addr().unwrap().to_string()));
    let answer = || run(&mut command(&place, &["where", "bob@a.example", "--store", "store"])).1;
    assert!(!answer().contains("mx-of-a.example"));
    place.file(
        "relayscope.toml",
        by(&dns.resolver_address().to_string()).replace("[[listener]]\nlisten", "[[listener]]\nname = \"smtp\"\nlisten"),
    );
    hang_up(relayscope.pid());
    relayscope.output().expect("reloaded config=");
    let said = answer();
    assert!(said.contains("mx-of-a.example"), "{said}");
    relayscope.stop();
}

/// What is down stays known, unless what it failed by is changed.
#[test]
fn hosts_that_are_down_stay_so() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config(&sink, "").replace("hosts = [", &format!("hosts = [\"{nobody}\", "));
    let relayscope = Relayscope::configured(&place, &config);
    let send = |name| {
        let mut client = relayscope.client();
        client.expect(220);
        client.command("EHLO client.example", 250);
        assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
        client.quit();
    };
    send("before");
    hang_up(relayscope.pid());
    relayscope.output().expect_lines("reloaded config=", 1);
    send("after");
    let choices: Vec<_> = records::transactions(&relayscope.stop()).into_iter().map(|it| it.upstream.choice.clone().unwrap()).collect();
    assert!(choices[0] == "number 2 of the list" && choices[1].contains("put last: number 1 failed once"), "{choices:#?}");
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

/// A command's status, and what it said on both outputs.
fn ask(place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(place, arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_doctor_goes_where_the_proxy_listens_whatever_the_file_says_now() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let relayscope = Relayscope::configured(&place, &config(&sink, ""));
    let second = "[[listener]]\nname = \"two\"\nlisten = [\"127.0.0.1:3\"]\n[[upstream]]";
    let changed = config(&sink, "").replace("127.0.0.1:0", "127.0.0.1:2").replace("[[upstream]]", second);
    place.file("relayscope.toml", changed.replace("[[listener]]\nlisten", "[[listener]]\nname = \"smtp\"\nlisten"));
    let here = format!("listener smtp at {}\"", relayscope.address());
    for reloaded in [false, true] {
        if reloaded {
            hang_up(relayscope.pid());
            relayscope.output().expect("addresses change only with a restart");
            relayscope.output().expect("reloaded config=");
        }
        let (_, told, besides) = ask(&place, &["doctor", "upstream", "--store", "store", "--json", "--timeout", "1"]);
        assert!(told.contains(&here) && !told.contains("127.0.0.1:2\"") && !told.contains("127.0.0.1:3\""), "{here}: {told}");
        let is_older = "the running proxy goes by another configuration than this";
        assert_eq!(besides.contains(is_older), !reloaded, "{besides}");
    }
    relayscope.stop();
}

#[test]
fn commands_know_the_flags_of_the_running_proxy() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let relayscope = Relayscope::simple(&place, sink.address);
    let (code, told, besides) = ask(&place, &["route", "to=bob@example.org", "--store", "store"]);
    assert_eq!(code, Some(0), "{besides}");
    assert!(told.contains(&sink.address.to_string()), "{told}");
    let flags = format!("as the running proxy was started: --listen 127.0.0.1:0 --smart-host {}\n", sink.address);
    assert!(besides.contains(&flags), "{besides}");
    // Whoever names a host means that one.
    let (_, told, besides) = ask(&place, &["route", "to=bob@example.org", "--store", "store", "--smart-host", "other.example:25"]);
    assert!(told.contains("other.example:25") && besides.is_empty(), "{told}{besides}");
    let (_, _, besides) = ask(&place, &["config", "show", "--store", "store", "--smart-host", "other.example:25"]);
    assert!(besides.contains("goes by another configuration") && besides.contains(&sink.address.to_string()), "{besides}");
    relayscope.stop();
    let (code, _, _) = ask(&place, &["route", "to=bob@example.org", "--store", "store"]);
    assert_eq!(code, Some(2), "no file, and nobody to ask");
}
