//! smtp-source and smtp-sink, Postfix's own load generator and sink, on either side of Relayscope.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use relayscope::trace::State;

use crate::support::client::Client;
use crate::support::place::Place;
use crate::support::ports;
use crate::support::process::{Process, run};
use crate::support::programs::{need, path_of};
use crate::support::records;
use crate::support::relayscope::Relayscope;

const MESSAGES: usize = 200;

#[test]
fn smtp_source_to_smtp_sink() {
    need!("smtp-source", "smtp-sink", "root");
    let place = Place::new();
    let dump = place.dir("dump");
    chown(&dump, Some(65534), Some(65534)).unwrap();
    let (_sink, address) = smtp_sink(&dump);
    let relayscope = Relayscope::simple(&place, address);
    // With a connection for each message, then with connections that are used again.
    for reuse in [false, true] {
        let mut source = Command::new(path_of("smtp-source"));
        if reuse {
            source.arg("-d");
        }
        let count = (MESSAGES / 2).to_string();
        source.args(["-s", "8", "-m", &count, "-l", "20000", "-f", "ann@from.example", "-t", "bob@to.example"]);
        let (code, said) = run(source.arg(relayscope.address().to_string()));
        assert_eq!(code, 0, "{said}");
    }
    let transactions = records::transactions(&relayscope.stop());
    assert_eq!(transactions.len(), MESSAGES);
    assert!(transactions.iter().all(|it| it.outcome.state == State::Accepted));
    let known: BTreeSet<String> = transactions.into_iter().filter_map(|it| it.message.message_id).collect();
    assert_eq!(known, dumped(&dump), "the sink has what the records say");
    assert_eq!(known.len(), MESSAGES);
}

/// Started on a port of its own, and answering.
fn smtp_sink(dump: &Path) -> (Process, SocketAddr) {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
        let mut command = Command::new(path_of("smtp-sink"));
        command.args(["-u", "nobody", "-R"]).arg(dump).args(["-d", "%M."]).arg(address.to_string()).arg("64");
        let mut process = Process::start(command, false);
        while process.is_running() {
            if let Some(mut client) = Client::try_connect(address) {
                client.expect(220);
                client.quit();
                return (process, address);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// The Message-IDs in the sink's files.
fn dumped(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
        let id = text.lines().find_map(|line| line.strip_prefix("Message-Id: <")?.strip_suffix('>'));
        found.extend(id.map(str::to_owned));
    }
    found
}
