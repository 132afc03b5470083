//! The container file and the compose example, read, and what they run is run, without a container; `runtime` has one.

use std::fs;
use std::path::Path;

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::mount::Mount;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/container").join(name)).unwrap()
}

/// Each instruction on one line, without comments.
fn instructions() -> Vec<(String, String)> {
    let text = text("Containerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

fn values<'a>(all: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    all.iter().filter(|(it, _)| it == name).map(|(_, value)| value.as_str()).collect()
}

/// The words of a command in JSON's form, which no shell reads.
fn words(command: &str) -> Vec<String> {
    serde_json::from_str(command.trim()).unwrap_or_else(|_| panic!("not in the form [\"program\", …]: {command}"))
}

#[test]
fn the_container_file_keeps_to_the_rules() {
    let all = instructions();
    let known = ["FROM", "RUN", "COPY", "WORKDIR", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"];
    for (name, rest) in &all {
        assert!(known.contains(&name.as_str()), "{name} {rest}");
        assert!(!rest.contains("curl") && !rest.contains("sudo") && !rest.contains(":latest"), "{rest}");
    }
    let from = values(&all, "FROM");
    assert_eq!(from.len(), 2, "a stage that builds, and one that runs");
    for image in &from {
        let image = image.split(' ').next().unwrap();
        assert!(image.starts_with("docker.io/") && image.rsplit_once(':').is_some(), "{image} has a registry and a tag");
    }
    let minimum = env!("CARGO_PKG_RUST_VERSION");
    assert!(from[0].contains(&format!("rust:{minimum}-")), "{}: Cargo.toml wants {minimum}", from[0]);
    let release =
        |image: &str| image.split(' ').next().unwrap_or_default().split(['-', ':']).find(|it| *it == "bookworm").map(str::to_owned);
    assert_eq!(release(from[0]), release(from[1]), "both have the same C library");
    assert!(release(from[0]).is_some());
    // Who runs is a number that is no root's, and nothing is done after as root.
    let user = values(&all, "USER");
    assert_eq!(user.len(), 1);
    assert!(user[0].split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user:?}");
    let after = all.iter().skip_while(|(name, _)| name != "USER").any(|(name, _)| name == "RUN" || name == "COPY");
    assert!(!after, "nothing is written as the user that runs it");
    // What is copied is there.
    for copied in values(&all, "COPY").iter().filter(|it| !it.starts_with("--from")) {
        let mut parts: Vec<&str> = copied.split(' ').collect();
        parts.pop();
        for part in parts {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(part).exists(), "{part}");
        }
    }
    for install in values(&all, "RUN").iter().filter(|it| it.contains("apt-get install")) {
        assert!(install.contains("--no-install-recommends") && install.contains("rm -rf /var/lib/apt/lists"), "{install}");
    }
}

#[test]
fn its_command_and_its_health_check_work() {
    let all = instructions();
    assert_eq!(words(values(&all, "ENTRYPOINT")[0]), ["/usr/bin/relayscope"]);
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let store = place.path("store");
    let store = store.to_str().unwrap();
    let here = |word: &String| word.replace("/var/lib/relayscope", store);
    let run_with = words(values(&all, "CMD")[0]);
    assert_eq!(run_with, ["run", "--config", "/etc/relayscope/relayscope.toml", "--store", "/var/lib/relayscope", "--http", "off"]);
    let (_, check) = values(&all, "HEALTHCHECK")[0].split_once("CMD").unwrap();
    let check: Vec<String> = words(check).iter().skip(1).map(here).collect();
    let check: Vec<&str> = check.iter().map(String::as_str).collect();
    let healthy = || run(&mut command(&place, &check));
    assert_eq!(healthy().0, 3, "nobody is there yet");
    let relayscope = Relayscope::simple(&place, sink.address);
    let (code, said) = healthy();
    assert_eq!(code, 0, "a proxy without mail yet is healthy: {said}");
    relayscope.stop();
    assert_eq!(healthy().0, 3, "a store alone is not a proxy");
}

/// To end a proxy because its traces can't be written, or its smart host is away, would stop mail, or mend nothing.
#[test]
fn a_proxy_that_relays_is_healthy_whatever_else_fails() {
    let place = Place::new();
    let Some(mount) = Mount::new(&place, "store", 8 << 20) else { return };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    let (all, store) = (instructions(), place.path("store"));
    let (_, check) = values(&all, "HEALTHCHECK")[0].split_once("CMD").unwrap();
    let check: Vec<String> = words(check).iter().skip(1).map(|word| word.replace("/var/lib/relayscope", store.to_str().unwrap())).collect();
    let check: Vec<&str> = check.iter().map(String::as_str).collect();
    let asked = |arguments: &[&str]| run(&mut command(&place, arguments));
    mount.fill();
    let mut client = Client::ready(relayscope.address());
    for number in 0.. {
        // Until the journal needs room that there isn't.
        if relayscope.output().count("the trace store can't be written") > 0 {
            break;
        }
        assert!(number < 2_000, "{}", relayscope.output().text());
        client.deliver(&Message::named(&format!("message-{number}")));
    }
    let (code, said) = asked(&check);
    assert_eq!(code, 0, "{said}");
    let (code, said) = asked(&["ready", "--store", "store"]);
    assert!(code == 0 && said.contains("It takes mail.") && said.contains("store: records can't be stored"), "{said}");
    drop(client);
    mount.empty();
    relayscope.stop();

    let relayscope = Relayscope::simple(&place, nobody);
    relayscope.client().expect(421);
    let (code, said) = asked(&check);
    assert_eq!(code, 0, "{said}");
    let (code, said) = asked(&["ready", "--store", "store"]);
    assert!(code == 1 && said.contains("none of its hosts can be reached"), "{said}");
    relayscope.stop();
}

#[test]
fn the_example_takes_away_what_is_not_needed() {
    let text = text("compose.yaml");
    for line in ["read_only: true", "- ALL", "- no-new-privileges:true", "stop_grace_period: 21m", "- traces:/var/lib/relayscope"] {
        assert!(text.lines().any(|it| it.trim() == line), "{line}");
    }
    assert!(!text.contains("privileged:") && !text.contains("0.0.0.0:2525:"));
    let init = text.lines().find_map(|line| line.split_once("Made by: relayscope ")).unwrap().1;
    let place = Place::new();
    let (code, said) = run(&mut command(&place, &init.split(' ').collect::<Vec<_>>()));
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&mut command(&place, &["config", "check", "--config", "relayscope.toml"]));
    assert_eq!(code, 0, "{said}");
}
