//! A mail store behind that speaks LMTP: Dovecot has a word of its own on each recipient.

use relayscope::trace::{Flag, Stage, State, Told, Transaction};

use crate::support::client::Client;
use crate::support::dovecot::Dovecot;
use crate::support::message::{Message, digest};
use crate::support::place::Place;
use crate::support::programs::need;
use crate::support::records;
use crate::support::relayscope::Relayscope;

fn behind(place: &Place, dovecot: &Dovecot, more: &str) -> Relayscope {
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nkind = \"fixed\"\nprotocol = \"lmtp\"\ntls = \"off\"\nhosts = [\"{}\"]\n{more}",
        dovecot.address
    );
    Relayscope::configured(place, &config)
}

/// Each recipient's state and the code that it was answered with last.
fn fates(transaction: &Transaction) -> Vec<(&str, State, Stage, u16)> {
    let code = |it: &relayscope::trace::Recipient| it.reply.as_ref().map_or(0, |reply| reply.code);
    transaction.envelope.recipients.iter().map(|it| (it.address.as_str(), it.state, it.stage, code(it))).collect()
}

/// RCPT TO each, and the message: the replies' codes.
fn send(client: &mut Client, message: &Message, recipients: &[&str]) -> (Vec<u16>, crate::support::client::Reply) {
    client.command(&format!("MAIL FROM:<{}>", message.reverse_path), 250);
    let mut codes = Vec::new();
    for recipient in recipients {
        client.send(format!("RCPT TO:<{recipient}>\r\n"));
        codes.push(client.reply().unwrap().code);
    }
    client.command("DATA", 354);
    client.send(message.on_the_wire());
    client.send(b".\r\n");
    (codes, client.reply().unwrap())
}

#[test]
fn each_recipient_comes_alone_and_is_answered_exactly() {
    need!("dovecot", "lmtp", "root");
    let place = Place::new();
    let dovecot = Dovecot::start(&place, "");
    let relayscope = behind(&place, &dovecot, "");
    let mut client = relayscope.client();
    client.expect(220);
    let offered = client.command("EHLO client.example", 250).text;
    assert!(offered.contains("LIMITS RCPTMAX=1"), "{offered}");

    let first = Message::named("first");
    let (codes, reply) = send(&mut client, &first, &["nobody@to.example", "bob@to.example", "carol@to.example", "dave@to.example"]);
    assert_eq!(codes, [550, 250, 452, 452]);
    assert_eq!(reply.code, 250, "{}", reply.text);
    // What an honest client does with 452.
    let (codes, reply) = send(&mut client, &Message::named("second"), &["carol@to.example", "dave@to.example"]);
    assert_eq!((codes.as_slice(), reply.code), (&[250, 452][..], 552), "{}", reply.text);
    let (codes, reply) = send(&mut client, &Message::named("third"), &["dave@to.example"]);
    assert_eq!((codes.as_slice(), reply.code), (&[250][..], 250), "{}", reply.text);
    client.quit();
    assert_eq!(dovecot.mailbox("bob").len(), 1);
    assert_eq!(dovecot.mailbox("carol").len(), 0);
    assert_eq!(dovecot.mailbox("dave").len(), 1);

    let store = relayscope.stop();
    let record = records::one(&store, "first@msg.example");
    let expected = [
        ("nobody@to.example", State::Rejected, Stage::RcptTo, 550),
        ("bob@to.example", State::Accepted, Stage::EndOfData, 250),
        ("carol@to.example", State::Deferred, Stage::RcptTo, 452),
        ("dave@to.example", State::Deferred, Stage::RcptTo, 452),
    ];
    assert_eq!(fates(&record), expected);
    assert!(record.flags.contains(&Flag::Split));
    let session = record.outcome.upstream_queue_id.expect("Dovecot names its session");
    dovecot.log().expect(&session);
    let record = records::one(&store, "second@msg.example");
    assert_eq!(record.outcome.state, State::Partial);
    assert_eq!(fates(&record)[0], ("carol@to.example", State::Rejected, Stage::EndOfData, 552));
}

#[test]
fn several_replies_are_folded_and_each_is_recorded() {
    need!("dovecot", "lmtp", "root");
    let place = Place::new();
    let dovecot = Dovecot::start(&place, "");
    let relayscope = behind(&place, &dovecot, "lmtp_recipients = 50\n");
    let mut client = Client::ready(relayscope.address());
    let (codes, reply) = send(&mut client, &Message::named("good"), &["bob@to.example", "nobody@to.example", "dave@to.example"]);
    assert_eq!((codes.as_slice(), reply.code), (&[250, 550, 250][..], 250));
    let (_, reply) = send(&mut client, &Message::named("mixed"), &["bob@to.example", "carol@to.example", "dave@to.example"]);
    assert_eq!(reply.code, 554, "{}", reply.text);
    assert!(reply.text.contains("of 3 recipients 2 took the message, 0 deferred it, 1 rejected it"), "{}", reply.text);
    let (_, reply) = send(&mut client, &Message::named("refused"), &["carol@to.example"]);
    assert_eq!(reply.code, 552, "{}", reply.text);
    client.quit();
    assert_eq!(dovecot.mailbox("bob").len(), 2);

    let store = relayscope.stop();
    let record = records::one(&store, "mixed@msg.example");
    assert_eq!(record.outcome.state, State::Partial);
    let expected = [
        ("bob@to.example", State::Accepted, Stage::EndOfData, 250),
        ("carol@to.example", State::Rejected, Stage::EndOfData, 552),
        ("dave@to.example", State::Accepted, Stage::EndOfData, 250),
    ];
    assert_eq!(fates(&record), expected);
    assert_eq!(records::one(&store, "refused@msg.example").outcome.state, State::Rejected);
}

#[test]
fn a_full_mailbox_that_is_only_deferred_comes_again() {
    need!("dovecot", "lmtp", "root");
    let place = Place::new();
    let dovecot = Dovecot::start(&place, "quota_full_tempfail = yes");
    let relayscope = behind(&place, &dovecot, "lmtp_recipients = 50\n");
    let mut client = Client::ready(relayscope.address());
    let (_, reply) = send(&mut client, &Message::named("later"), &["bob@to.example", "carol@to.example"]);
    assert_eq!(reply.code, 451, "{}", reply.text);
    assert!(reply.text.contains("it comes again to all"), "{}", reply.text);
    client.quit();
    let record = records::one(&relayscope.stop(), "later@msg.example");
    assert_eq!(fates(&record)[1], ("carol@to.example", State::Deferred, Stage::EndOfData, 452));
}

#[test]
fn chunks_have_a_reply_for_each_recipient_behind_the_last() {
    need!("dovecot", "lmtp", "root");
    let place = Place::new();
    let dovecot = Dovecot::start(&place, "");
    let relayscope = behind(&place, &dovecot, "lmtp_recipients = 50\nadd_received = true\n");
    let mut client = relayscope.client();
    client.expect(220);
    let offered = client.command("EHLO client.example", 250).text;
    assert!(offered.contains("CHUNKING"), "{offered}");
    let message = Message::named("chunks");
    let (head, tail) = message.octets.split_at(40);
    client.command("MAIL FROM:<chunks@from.example>", 250);
    client.command("RCPT TO:<bob@to.example>", 250);
    client.command("RCPT TO:<dave@to.example>", 250);
    client.send([format!("BDAT {}\r\n", head.len()).as_bytes(), head].concat());
    client.expect(250);
    client.send([format!("BDAT {} LAST\r\n", tail.len()).as_bytes(), tail].concat());
    client.expect(250);
    client.quit();
    let mailbox = dovecot.mailbox("dave");
    let text = mailbox[0].replace('\n', "\r\n");
    let at = text.rfind("Received: from client.example ([127.0.0.1])\r\n\tby ").expect("our line");
    assert!(text.ends_with(&String::from_utf8(message.octets.clone()).unwrap()), "{text}");
    let record = records::one(&relayscope.stop(), "chunks@msg.example");
    assert_eq!(record.message.body_digest.map(|it| it.to_string()), Some(digest(&text.as_bytes()[at..])), "as it went up");
    assert_eq!(record.upstream.told, Some(Told::Received));
}

#[test]
fn dovecot_learns_the_client_by_xclient() {
    need!("dovecot", "lmtp", "root");
    let place = Place::new();
    let dovecot = Dovecot::start(&place, "login_trusted_networks = 127.0.0.1");
    let relayscope = behind(&place, &dovecot, "tell_client = \"xclient\"\n");
    let mut client = Client::connect_from([127, 0, 0, 9].into(), relayscope.address());
    client.expect(220);
    client.command("EHLO client.example", 250);
    assert_eq!(client.deliver(&Message::named("told")).unwrap().code, 250);
    client.quit();
    let mailbox = dovecot.mailbox("bob");
    assert!(mailbox[0].contains("127.0.0.9"), "{}", mailbox[0]);
    assert_eq!(records::one(&relayscope.stop(), "told@msg.example").upstream.told, Some(Told::Xclient));
}
