//! Neither bodies nor passwords come to rest anywhere: not in the store, the log, or an answer.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine};
use relayscope::trace::Record;

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::{Place, files_under};
use crate::support::process::run;
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

/// Found nowhere else; the other letters are those that encodings change.
const PASSWORD: &str = "pä&/=+ Zwerg0815Nase%\"<";
const PASSWORD_STEM: &str = "Zwerg0815Nase";
const USER: &str = "relay@from.example";
const BODY_MARK: &str = "Quastenflosser4711";

#[test]
fn bodies_and_passwords_are_nowhere() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let config = format!(
        "[log]\nlevel = \"trace\"\n\
         [[listener]]\nlisten = [\"127.0.0.1:0\"]\nname = \"open\"\nupstream = \"open\"\n\
         [[listener]]\nlisten = [\"127.0.0.1:0\"]\nname = \"guarded\"\nupstream = \"guarded\"\n\
         [[upstream]]\nname = \"open\"\nhosts = [\"{0}\"]\nallow_plaintext_auth = true\n\
         [[upstream]]\nname = \"guarded\"\nhosts = [\"{0}\"]\n\
         [store]\nsegment_size = \"1 MiB\"\n",
        sink.address
    );
    let relayscope = Relayscope::configured(&place, &config);
    for address in relayscope.addresses.clone() {
        for attempt in logins() {
            let mut client = Client::ready(address);
            for line in attempt {
                client.try_send(&line);
                client.reply();
            }
        }
        bodies(|| Client::ready(address), &sink);
    }
    // Enough of them that a journal file is closed and compressed.
    let mut client = Client::ready(relayscope.address());
    for number in 0..1500 {
        client.deliver(&message(&format!("bulk{number}"), "text/plain", BODY_MARK)).unwrap();
    }
    client.quit();

    let answers = ask_everything(&place);
    let output = relayscope.output().clone();
    let store = relayscope.stop();
    let offline = ask_everything(&place);
    let records = records::all(&store);
    assert!(records.iter().any(|it| matches!(it, Record::Transaction(_))) && records.len() > 1500);
    assert!(files_under(&store).iter().any(|(path, _)| path.extension().is_some_and(|it| it == "seg")), "a file was sealed");

    let mut places: Vec<(String, Vec<u8>)> =
        files_under(place.as_ref()).into_iter().map(|(path, octets)| (path.display().to_string(), octets)).collect();
    places.retain(|(path, _)| !path.ends_with(".toml") && !path.ends_with(".key"));
    places.push(("the log".into(), output.whole().into_bytes()));
    places.push(("answers of the running proxy".into(), answers.into_bytes()));
    places.push(("answers from the stopped store".into(), offline.into_bytes()));
    places.extend(records.iter().enumerate().map(|(number, record)| (format!("record {number}"), format!("{record:?}").into_bytes())));
    let mut leaks = Vec::new();
    for (what, needles) in [("password", encodings(&[PASSWORD, PASSWORD_STEM])), ("body", encodings(&[BODY_MARK]))] {
        for needle in needles {
            let finder = memchr::memmem::Finder::new(&needle);
            for (place, octets) in &places {
                leaks.extend(finder.find(octets).map(|at| {
                    let around = &octets[at.saturating_sub(200)..(at + 200).min(octets.len())];
                    format!("a {what} as {:?} in {place}: …{}…", String::from_utf8_lossy(&needle), String::from_utf8_lossy(around))
                }));
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks, the first of them:\n{}", leaks.len(), leaks[..leaks.len().min(20)].join("\n\n"));
}

/// Sessions that try to log in, each a list of what is sent; every line is answered.
fn logins() -> Vec<Vec<Vec<u8>>> {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let plain = encode(&format!("\0{USER}\0{PASSWORD}"));
    let oauth = encode(&format!("user={USER}\x01auth=Bearer {PASSWORD_STEM}\x01\x01"));
    let (user, password) = (encode(USER), encode(PASSWORD));
    let lines = |lines: &[&str]| lines.iter().map(|line| format!("{line}\r\n").into_bytes()).collect::<Vec<_>>();
    vec![
        lines(&[&format!("AUTH PLAIN {plain}")]),
        lines(&["AUTH PLAIN", &plain]),
        lines(&["AUTH LOGIN", &user, &password]),
        lines(&[&format!("AUTH LOGIN {user}"), &password]),
        lines(&["AUTH CRAM-MD5", &encode(&format!("{USER} {PASSWORD_STEM}"))]),
        lines(&[&format!("AUTH XOAUTH2 {oauth}"), ""]),
        lines(&[&format!("auth plain {plain}")]),
        lines(&[&format!("AUTH  PLAIN  {plain}")]),
        lines(&[&format!("AUTH\tPLAIN\t{plain}")]),
        lines(&[&format!(" AUTH PLAIN {plain}")]),
        lines(&[&format!("AUHT PLAIN {plain}")]),
        lines(&[&format!("AUTHPLAIN {plain}")]),
        lines(&[&format!("AUTH PLAIN={plain}")]),
        lines(&[&format!("AUTH {plain}")]),
        lines(&[&format!("AUTH PLAIN \t{PASSWORD_STEM}")]),
        // A password where a command belongs, as when a client missed that AUTH had failed.
        lines(&["AUTH LOGIN", &user, &password, PASSWORD_STEM]),
        lines(&["AUTH LOGIN", &user, &password, &password]),
        lines(&[&format!("AUTH PLAIN {plain}"), &plain]),
        lines(&["AUTH NOSUCH", &user, &password]),
        lines(&[&user, &password]),
        lines(&["AUTH LOGIN", "*", &password]),
        // Other protocols' ways.
        lines(&[&format!("PASS {PASSWORD_STEM}")]),
        lines(&[&format!("LOGIN {USER} {PASSWORD_STEM}")]),
        lines(&[&format!("USER {USER}"), &format!("PASS {PASSWORD}")]),
        // Lines that are refused as lines.
        vec![format!("AUTH PLAIN {}{plain}\r\n", "A".repeat(20_000)).into_bytes()],
        vec![format!("AUTH PLAIN \0{USER}\0{PASSWORD}\r\n").into_bytes()],
        vec![format!("AUTH PLAIN {plain}\n").into_bytes()],
        vec![b"AUTH PLAIN\r\n".to_vec(), format!("{plain}\n").into_bytes()],
        vec![b"AUTH PLAIN\r\n".to_vec(), format!("{}{plain}\r\n", "A".repeat(20_000)).into_bytes()],
        // Pipelined behind.
        vec![format!("AUTH PLAIN {plain}\r\nNOOP\r\nAUTH LOGIN {user}\r\n{password}\r\n").into_bytes(), b"NOOP\r\n".to_vec()],
        vec![format!("STARTTLS\r\nAUTH PLAIN {plain}\r\n").into_bytes()],
        vec![format!("POST /login HTTP/1.1\r\nAuthorization: Basic {password}\r\n\r\n{PASSWORD}\r\n").into_bytes()],
    ]
}

/// Messages with the mark in their bodies, delivered, refused, cut off, in chunks, as reports.
fn bodies(connect: impl Fn() -> Client, sink: &Sink) {
    let mut client = connect();
    for kind in ["text/plain", "multipart/mixed; boundary=b", "message/rfc822", "message/delivery-status"] {
        client.deliver(&message("body", kind, BODY_MARK)).unwrap();
    }
    // A report of what could not be delivered, with the returned message in it.
    client.command("MAIL FROM:<>", 250);
    client.command("RCPT TO:<ann@from.example>", 250);
    client.command("DATA", 354);
    client.send(message("report", "multipart/report; report-type=delivery-status; boundary=b", BODY_MARK).on_the_wire());
    client.command(".", 250);
    // In chunks.
    let content = message("chunks", "text/plain", BODY_MARK).octets;
    client.command("MAIL FROM:<chunks@from.example> BODY=BINARYMIME", 250);
    client.command("RCPT TO:<bob@to.example>", 250);
    client.send([format!("BDAT {} LAST\r\n", content.len()).as_bytes(), &content].concat());
    client.expect(250);
    client.quit();
    // A header that never ends, and one beyond what is captured.
    let mut client = connect();
    client
        .deliver(&Message::of("endless", format!("Subject: s\r\nX-Long: {}\r\n\r\n{BODY_MARK}\r\n", "x\r\n ".repeat(30_000)).into_bytes()));
    client.deliver(&Message::of("noheader", format!("{BODY_MARK}\r\n\r\nSubject: {BODY_MARK}\r\n").into_bytes()));
    // Refused for how it ends, and cut off.
    client.open_data(&message("smuggled", "text/plain", BODY_MARK));
    client.try_send(format!("Subject: s\r\n\r\n{BODY_MARK}\n.\nMAIL FROM:<{BODY_MARK}@x>\r\n.\r\n"));
    client.reply();
    drop(client);
    let mut client = connect();
    client.open_data(&message("cut", "text/plain", BODY_MARK));
    client.send(format!("Subject: s\r\n\r\n{BODY_MARK}"));
    client.reset();
    // The smart host goes away within it.
    sink.set(Manner::CloseInData);
    let mut client = connect();
    client.deliver(&message("lost", "text/plain", BODY_MARK));
    sink.set(Manner::CloseAfterDot);
    let mut client = connect();
    client.deliver(&message("doubt", "text/plain", BODY_MARK));
    sink.set(Manner::Take);
}

fn message(name: &str, kind: &str, mark: &str) -> Message {
    let text = format!(
        "Message-ID: <{name}@msg.example>\r\nSubject: about {name}\r\nContent-Type: {kind}\r\nX-Other: {mark}\r\n\r\n\
         --b\r\nSubject: {mark}\r\nMessage-ID: <{mark}@inner.example>\r\n\r\n{mark}\r\n--b--\r\n"
    );
    Message::of(name, text.into_bytes())
}

/// What every query command says, as text and as JSON.
fn ask_everything(place: &Place) -> String {
    let ask = |arguments: &[&str]| run(&mut command(place, &[arguments, &["--store", "store"]].concat())).1;
    let list = ask(&["search", "--json", "--limit", "300"]);
    let mut said = [
        ask(&["search", "--limit", "300"]),
        ask(&["where", "bulk1@msg.example"]),
        ask(&["where", "--json", "@from.example"]),
        ask(&["where", "--full", "body@msg.example"]),
        ask(&["stats"]),
        ask(&["stats", "--json"]),
    ]
    .concat();
    let ids: Vec<String> =
        list.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["id"].as_str().map(str::to_owned)).collect();
    assert!(ids.len() > 100, "records are listed: {list}");
    for id in ids.iter().step_by(25) {
        said += &ask(&["show", id]);
        said += &ask(&["show", "--json", id]);
    }
    said + &list
}

/// Each text in the forms that programs write texts in.
fn encodings(texts: &[&str]) -> Vec<Vec<u8>> {
    let mut forms: Vec<String> = Vec::new();
    for text in texts {
        let octets = text.as_bytes();
        forms.push((*text).to_owned());
        forms.push(octets.iter().map(|it| format!("{it:02x}")).collect());
        forms.push(octets.iter().map(|it| format!("{it:02X}")).collect());
        forms.push(octets.iter().map(|it| format!("{it:02x} ")).collect::<String>().trim_end().to_owned());
        forms.push(octets.iter().map(|it| format!("{it}, ")).collect::<String>().trim_end_matches(", ").to_owned());
        forms.push(
            octets.iter().map(|it| if it.is_ascii_alphanumeric() { char::from(*it).to_string() } else { format!("%{it:02X}") }).collect(),
        );
        forms.push(format!("{text:?}").trim_matches('"').to_owned());
        forms.push(text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"));
        forms.push(serde_json::to_string(text).unwrap().trim_matches('"').to_owned());
        // base64 at every place within what is encoded; the letters that depend on neighbours are left out.
        for before in 0..3 {
            for engine in [&BASE64_STANDARD, &BASE64_URL_SAFE] {
                let encoded = engine.encode([&vec![0; before], octets].concat());
                let (start, end) = ([0, 2, 3][before], (before + octets.len()) * 8 / 6);
                forms.push(encoded[start..end].to_owned());
            }
        }
    }
    forms.sort();
    forms.dedup();
    forms.into_iter().map(String::into_bytes).collect()
}

#[test]
fn the_needles_are_found_where_they_are() {
    let hay = BASE64_STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    let found = encodings(&[PASSWORD_STEM]).into_iter().any(|needle| memchr::memmem::find(hay.as_bytes(), &needle).is_some());
    assert!(found, "{hay}");
}
