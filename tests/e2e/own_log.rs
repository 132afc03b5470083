//! The proxy's own log, where nobody reads it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::Stdio;

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::relayscope::command;
use crate::support::sink::{Manner, Sink};

/// As with a container's log driver that hangs, or a terminal after Ctrl-S: the pipe is full, and its reader is there all the same.
#[test]
fn a_reader_of_standard_error_that_stands_still_keeps_no_mail_waiting() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let config = format!(
        "workers = 1\n[log]\nformat = \"text\"\n[[listener]]\nname = \"smtp\"\nlisten = [\"127.0.0.1:0\"]\n\
         [[listener]]\nname = \"balanced\"\nlisten = [\"127.0.0.1:0\"]\naccept_proxy = [\"127.0.0.0/8\"]\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n",
        sink.address
    );
    let file = place.file("relayscope.toml", config);
    let arguments = ["run", "--config", file.to_str().unwrap(), "--store", "store", "--http", "off"];
    let mut process = command(&place, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(process.stderr.take().unwrap());
    let mut listening = || -> SocketAddr {
        let mut line = String::new();
        while !line.contains("listening listener=") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
        }
        line.split_once("addresses=[").and_then(|(_, rest)| rest.split_once(']')).unwrap().0.parse().unwrap()
    };
    let (smtp, balanced) = (listening(), listening());
    // Each of these is a line of the log, written where mail is served. A pipe holds 64 KiB, and a line is longer than 64 octets.
    for _ in 0..1_500 {
        let mut stranger = Client::connect(balanced);
        stranger.send(b"EHLO stranger.example\r\n");
        stranger.rest();
    }
    let mut client = Client::ready(smtp);
    assert_eq!(client.deliver(&Message::named("served")).unwrap().code, 250);
    client.quit();

    // Whoever reads again gets what has waited, to the last line.
    assert!(std::process::Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(process.wait().unwrap().success());
    assert!(rest.matches("no PROXY header").count() > 1_000 && rest.trim_end().ends_with("stopped"), "{rest}");
}
