//! Server side: Relayscope in front of a server, with a client that uses whatever is offered, swaks that logs in, and a Postfix.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rcgen::KeyPair;
use relayscope::trace::{Actor, State, Transaction};

use crate::support::certificates;
use crate::support::client::Client;
use crate::support::message::digest;
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::process::{Output, run};
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::swaks::swaks;

use super::mail::{Mail, keywords, offered};
use super::server::{PASSWORD, Receiving, Server, until};
use super::table::{Findings, Found};

const MECHANISMS: [&str; 3] = ["PLAIN", "LOGIN", "CRAM-MD5"];

/// What `start` gives receives, and everything is found out that can be.
pub fn found(start: impl Fn(&Receiving<'_>) -> Box<dyn Server>) -> Findings {
    let mut findings = Findings::default();
    let place = Place::new();
    let certificates = certificates::make_for(&place, "tls", &["localhost", "127.0.0.1"], &rsa_key());
    let behind = start(&Receiving { place: &place, name: "behind", certificates: &certificates });
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"localhost:{}\"]\nca_file = \"{}\"\n",
        behind.address().port(),
        certificates.authority.display()
    );
    let relayscope = Relayscope::configured(&place, &config);
    let through = || Client::ready(relayscope.address());
    let offer = offered(relayscope.address());
    let has = |keyword: &str| offer.iter().any(|it| it == keyword);

    // A Postfix in front: its mail is put off, then taken; and a message that goes through at once.
    let front = Postfix::front(&place, relayscope.address(), "smtp_tls_security_level = may\n");
    behind.put_off();
    let later = Mail::new("later").with("", &[("later@to.example", "")]);
    later.submit(&mut front.client());
    let put_off = front.log().expect("status=deferred");
    behind.relent();
    until("deferred mail", front.log(), || {
        front.flush();
        std::thread::sleep(Duration::from_millis(200));
        behind.mailbox("later").contains(&later.id()).then_some(())
    });
    let relayed = Mail::new("relayed");
    relayed.submit(&mut front.client());
    behind.expect_mail("bob", &relayed.id());
    let front_log = front.log().clone();
    drop(front);

    let plain = Mail::new("plain");
    let plain_reply = plain.submit(&mut through());
    let eight = Mail::eight_bit("eight");
    let utf8 = Mail::smtputf8("utf8");
    let dsn = Mail::new("dsn").with("RET=HDRS ENVID=env-1", &[("bob@to.example", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;robert@to.example")]);
    let piped = Mail::new("piped");
    let chunked = Mail::new("chunked");
    let pair = Mail::new("pair").with("", &[("bob@to.example", ""), ("unknown@to.example", "")]);
    let eight_sent = has("8BITMIME").then(|| eight.submit(&mut through())).is_some();
    let utf8_sent = has("SMTPUTF8").then(|| utf8.submit(&mut through())).is_some();
    let dsn_sent = has("DSN").then(|| dsn.submit(&mut through())).is_some();
    let piped_sent = has("PIPELINING").then(|| pipelined(&mut through(), &piped)).is_some();
    let chunks = has("CHUNKING").then(|| in_chunks(&mut through(), &chunked));
    let refusal = refuse_one(&mut through(), &pair);
    let too_big = has("SIZE").then(|| {
        let mut client = through();
        client.send("MAIL FROM:<big@from.example> SIZE=999999999\r\n");
        let reply = client.reply().unwrap();
        client.quit();
        reply
    });
    let stranger = {
        let mut client = through();
        client.command("MAIL FROM:<ann@from.example>", 250);
        client.send("RCPT TO:<stranger@elsewhere.example>\r\n");
        let reply = client.reply().unwrap();
        client.quit();
        reply
    };
    let logins = MECHANISMS.map(|mechanism| {
        let login = ["-tls", "--auth", mechanism, "--auth-user", &behind.login(), "--auth-password", PASSWORD];
        swaks(relayscope.address(), &format!("{mechanism}@swaks.example"), &login)
    });
    let (code, said) = swaks(relayscope.address(), "tls@swaks.example", &["-tls"]);
    assert_eq!(code, 0, "{said}");

    let kept = |mail: &Mail| behind.expect_mail("bob", &mail.id());
    let plain_kept = kept(&plain);
    let eight_kept = eight_sent.then(|| kept(&eight));
    let utf8_kept = utf8_sent.then(|| kept(&utf8));
    let piped_kept = piped_sent.then(|| kept(&piped));
    let chunked_kept = chunks.as_ref().map(|_| kept(&chunked));
    let relayed_kept = kept(&relayed);
    let report = dsn_sent
        .then(|| until("a delivery report", behind.log(), || Some(behind.mailbox("ann")).filter(|it| it.contains("Reporting-MTA:"))));
    kept(&pair);
    behind.expect_mail("bob", "tls@swaks.example");
    let later_times = behind.mailbox("later").matches(&format!("<{}>", later.id())).count();

    let tls_works = begins_tls(behind.address());
    let behind_log = behind.log().clone();
    let store = relayscope.stop();
    drop(behind);
    let all = records::transactions(&store);
    let one = |id: &str| -> &Transaction {
        let found = all.iter().rfind(|it| it.message.message_id.as_deref() == Some(id));
        found.unwrap_or_else(|| panic!("no record of {id}: {all:#?}"))
    };
    let record = one(&plain.id());
    // What the server said to Relayscope itself, TLS begun, is what it offers.
    let server_offers = format!("250-\n{}", record.upstream.offered.iter().map(|it| format!("250-{it}\n")).collect::<String>());
    let server_has = |keyword: &str| keywords(&server_offers).iter().any(|it| it == keyword);
    let absent = |keyword: &str| if server_has(keyword) { Found::no("not offered to the client") } else { Found::not_offered() };

    findings.add("delivery", Found::when(record.outcome.state == State::Accepted, || format!("{:?}", record.outcome)));
    findings.add("unaltered", unaltered(record, &plain_kept, &plain));
    findings.add("starttls_client", Found::when(one("tls@swaks.example").client.tls.is_some(), String::new));
    findings.add(
        "starttls_upstream",
        match &record.upstream.tls {
            Some(tls) => Found::when(tls.verified == Some(true), || format!("{tls:?}")),
            None if !server_has("STARTTLS") => Found::not_offered(),
            None if !tls_works => Found::no("its TLS fails with openssl s_client as well; mail goes on in clear, flagged"),
            None => Found::no(&format!("{:?}", record.upstream.tried)),
        },
    );
    for (mechanism, (code, said)) in MECHANISMS.iter().zip(&logins) {
        let there = record.upstream.offered.iter().any(|it| it.starts_with("AUTH") && it.split([' ', '=']).any(|it| it == *mechanism));
        let found = if there {
            logged_in(
                *code,
                said,
                all.iter().find(|it| it.message.message_id.as_deref() == Some(&format!("{mechanism}@swaks.example"))),
                mechanism,
            )
        } else {
            Found::not_offered()
        };
        findings.add(&format!("auth_{}", mechanism.to_lowercase()), found);
    }
    findings.add("pipelining", piped_kept.map_or_else(|| absent("PIPELINING"), |kept| unaltered(one(&piped.id()), &kept, &piped)));
    findings.add("chunking", chunked_kept.map_or_else(|| absent("CHUNKING"), |kept| unaltered(one(&chunked.id()), &kept, &chunked)));
    findings.add("smtputf8", utf8_kept.map_or_else(|| absent("SMTPUTF8"), |kept| unaltered(one(&utf8.id()), &kept, &utf8)));
    findings.add("8bitmime", eight_kept.map_or_else(|| absent("8BITMIME"), |kept| unaltered(one(&eight.id()), &kept, &eight)));
    findings.add("dsn", report.map_or_else(|| absent("DSN"), |report| passed_on(one(&dsn.id()), &report.to_lowercase())));
    let big = all.iter().find(|it| it.envelope.size_declared == Some(999_999_999));
    findings.add(
        "size",
        match too_big {
            None => absent("SIZE"),
            Some(reply) if reply.code / 100 != 5 => Found::yes_with("announced; MAIL with a SIZE above it is taken all the same"),
            Some(_) => {
                let rejected = big.is_some_and(|it| it.outcome.state == State::Rejected && it.outcome.by == Actor::Upstream);
                Found::when(rejected, || format!("{big:?}"))
            }
        },
    );
    let fates: Vec<_> = one(&pair.id()).envelope.recipients.iter().map(|it| (it.address.as_str(), it.state)).collect();
    let right = fates == [("bob@to.example", State::Accepted), ("unknown@to.example", State::Rejected)];
    findings.add("one_refused", Found::when(right && behind_log_knows(&behind_log, "unknown"), || format!("{fates:?}; {refusal}")));
    let refused = stranger.code / 100 == 5;
    findings
        .add("no_relay", Found::when(refused, || "takes connections from 127.0.0.1 for its own, whatever is set; see its recipe".into()));
    findings.add("queue_ids", queue_ids(one(&relayed.id()), &front_log, &behind_log, &plain_reply.text, record));
    let states: Vec<State> = all
        .iter()
        .filter(|it| it.envelope.recipients.iter().any(|it| it.address == "later@to.example"))
        .map(|it| it.outcome.state)
        .collect();
    let honest = states.first() == Some(&State::Deferred) && states.last() == Some(&State::Accepted) && later_times == 1;
    findings.add("deferred", Found::when(honest, || format!("{states:?}, kept {later_times} times: {put_off}")));
    findings.add("behind_postfix", as_kept(&relayed_kept, &relayed));
    assert!(!format!("{all:?}").contains(PASSWORD), "a password stands in a record");
    findings
}

fn passed_on(record: &Transaction, report: &str) -> Found {
    let recipient = &record.envelope.recipients[0];
    if record.envelope.envid.as_deref() != Some("env-1") || recipient.orcpt.as_deref() != Some("rfc822;robert@to.example") {
        return Found::no(&format!("{:?}", record.envelope));
    }
    if report.contains("original-envelope-id: env-1") && report.contains("original-recipient: rfc822;robert@to.example") {
        Found::yes()
    } else {
        Found::yes_with("the server's report tells neither ENVID nor ORCPT")
    }
}

fn behind_log_knows(log: &Output, word: &str) -> bool {
    log.count(word) > 0
}

/// What was sent is what was recorded, and what stands in the mailbox.
fn unaltered(record: &Transaction, kept: &str, mail: &Mail) -> Found {
    let message = mail.message();
    let wire = if record.timeline.lines().any(|it| it.text.starts_with("BDAT")) {
        message.octets.clone()
    } else {
        message.on_the_wire().into_owned()
    };
    if record.message.body_digest.map(|it| it.to_string()) != Some(digest(&wire)) {
        return Found::no("what was recorded isn't what was sent");
    }
    as_kept(kept, mail)
}

fn as_kept(kept: &str, mail: &Mail) -> Found {
    if kept.contains(&mail.text()) {
        Found::yes()
    } else if kept.contains(&mail.body) {
        Found::yes_with("the server itself rewrites the header")
    } else {
        Found::yes_with("the server itself rewrites the message")
    }
}

/// Which every server takes.
pub fn rsa_key() -> KeyPair {
    let (code, pem) = run(Command::new("openssl").args(["genrsa", "2048"]));
    assert_eq!(code, 0, "{pem}");
    KeyPair::from_pem(pem.find("-----BEGIN").map_or("", |at| &pem[at..])).unwrap()
}

/// Whether anybody else gets TLS from the server.
fn begins_tls(server: SocketAddr) -> bool {
    run(Command::new("openssl").args(["s_client", "-starttls", "smtp", "-connect", &server.to_string()])).0 == 0
}

fn logged_in(code: i32, said: &str, record: Option<&Transaction>, mechanism: &str) -> Found {
    let auth = record.and_then(|it| it.client.auth.as_ref());
    let recorded = auth.is_some_and(|it| it.mechanism == mechanism && it.outcome == "succeeded");
    Found::when(code == 0 && recorded, || said.lines().rfind(|line| line.starts_with("<")).unwrap_or(said).to_owned())
}

/// Everything up to DATA in one write, and what follows the message in another. (Courier loses what comes with end-of-data itself.)
fn pipelined(client: &mut Client, mail: &Mail) {
    let recipients: String = mail.rcpt_to().map(|it| format!("{it}\r\n")).collect();
    client.send(format!("{}\r\n{recipients}DATA\r\n", mail.mail_from()));
    client.expect(250);
    client.expect(250);
    client.expect(354);
    client.send(mail.message().on_the_wire());
    client.command(".", 250);
    client.send("RSET\r\nNOOP\r\nQUIT\r\n");
    client.expect(250);
    client.expect(250);
    client.expect(221);
}

fn in_chunks(client: &mut Client, mail: &Mail) {
    client.command(&mail.mail_from(), 250);
    for recipient in mail.rcpt_to() {
        client.command(&recipient, 250);
    }
    let octets = mail.message().octets;
    let (first, rest) = octets.split_at(octets.len() / 3);
    client.send(format!("BDAT {}\r\n", first.len()));
    client.send(first);
    client.expect(250);
    client.send(format!("BDAT {} LAST\r\n", rest.len()));
    client.send(rest);
    client.expect(250);
}

/// The first recipient is taken, the second refused; what the server said to that.
fn refuse_one(client: &mut Client, mail: &Mail) -> String {
    client.command(&mail.mail_from(), 250);
    let commands: Vec<String> = mail.rcpt_to().collect();
    client.command(&commands[0], 250);
    let refusal = client.command(&commands[1], 550);
    client.command("DATA", 354);
    client.send(mail.message().on_the_wire());
    client.command(".", 250);
    refusal.text
}

fn queue_ids(relayed: &Transaction, front_log: &Output, behind_log: &Output, reply: &str, plain: &Transaction) -> Found {
    let client =
        relayed.message.client_queue_id.as_deref().is_some_and(|id| front_log.text().contains(&format!("{id}: to=<bob@to.example>")));
    let upstream = plain.outcome.upstream_queue_id.as_deref().is_some_and(|id| reply.contains(id) && behind_log.text().contains(id));
    Found::when(client && upstream, || {
        format!("client {:?}, upstream {:?} of {reply}", relayed.message.client_queue_id, plain.outcome.upstream_queue_id)
    })
}
