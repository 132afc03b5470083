//! A real Postfix sends through Relayscope to a real Postfix.

use relayscope::diagnose::Cause;
use relayscope::trace::{Flag, State};

use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::programs::need;
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};

#[test]
fn from_postfix_to_postfix() {
    need!("postfix", "root");
    let place = Place::new();
    let behind = Postfix::behind(&place, "");
    let relayscope = Relayscope::simple(&place, behind.address);
    let front = Postfix::front(&place, relayscope.address(), "");

    let mut client = front.client();
    let reply = client.deliver(&Message::named("first")).unwrap();
    assert_eq!(reply.code, 250);
    client.quit();
    let front_id = queue_id(&reply.text);

    let sent = front.log().expect(&format!("{front_id}: to=<bob@to.example>"));
    assert!(sent.contains("status=sent (250 2.0.0 Ok: queued as"), "{sent}");
    let behind_id = queue_id(sent.split_once('(').unwrap().1);
    behind.log().expect(&format!("{behind_id}: to=<bob@to.example>"));
    let mailbox = behind.mailbox("bob");
    assert_eq!(mailbox.len(), 1);
    assert!(mailbox[0].ends_with("Subject: about first\n\nText of first.\n"), "{}", mailbox[0]);

    drop(front);
    let transaction = records::one(&relayscope.stop(), "first@msg.example");
    assert_eq!(transaction.outcome.state, State::Accepted);
    assert_eq!(transaction.outcome.upstream_queue_id, Some(behind_id));
    assert_eq!(transaction.message.client_queue_id, Some(front_id));
    assert_eq!(transaction.client.helo.as_deref(), Some("front.example"));
    assert_eq!(transaction.upstream.software.as_deref(), Some("Postfix"));
}

#[test]
fn postfix_behind_knows_one_of_two() {
    need!("postfix", "root");
    let place = Place::new();
    let behind = Postfix::behind(&place, "");
    let relayscope = Relayscope::simple(&place, behind.address);
    let front = Postfix::front(&place, relayscope.address(), "");

    let mut client = front.client();
    client.command("MAIL FROM:<ann@from.example>", 250);
    client.command("RCPT TO:<bob@to.example>", 250);
    client.command("RCPT TO:<nobody@to.example>", 250);
    client.command("DATA", 354);
    client.send(Message::named("pair").on_the_wire());
    let front_id = queue_id(&client.command(".", 250).text);
    client.quit();
    let bounced = front.log().expect(&format!("{front_id}: to=<nobody@to.example>"));
    assert!(bounced.contains("status=bounced (host 127.0.0.1[127.0.0.1] said: 550 5.1.1"), "{bounced}");
    front.log().expect(&format!("{front_id}: to=<bob@to.example>"));

    drop(front);
    let transaction = records::one(&relayscope.stop(), "pair@msg.example");
    assert_eq!(transaction.outcome.state, State::Partial);
    let fates: Vec<_> = transaction.envelope.recipients.iter().map(|it| (it.address.as_str(), it.state)).collect();
    assert_eq!(fates, [("bob@to.example", State::Accepted), ("nobody@to.example", State::Rejected)]);
}

#[test]
fn the_bounce_that_postfix_sends_is_read_and_tied_to_its_message() {
    need!("postfix", "root");
    let place = Place::new();
    let behind = Postfix::behind(&place, "");
    let relayscope = Relayscope::simple(&place, behind.address);
    let front = Postfix::front(&place, relayscope.address(), "");

    let mut client = front.client();
    client.command("MAIL FROM:<bob@to.example>", 250);
    client.command("RCPT TO:<bob@to.example>", 250);
    client.command("RCPT TO:<nobody@to.example>", 250);
    client.command("DATA", 354);
    client.send(Message::named("lost").on_the_wire());
    let front_id = queue_id(&client.command(".", 250).text);
    client.quit();
    front.log().expect(&format!("{front_id}: sender non-delivery notification"));
    behind.log().expect("from=<>, size=");

    drop(front);
    let store = relayscope.stop();
    let bounce = records::transactions(&store).into_iter().find(|it| it.flags.contains(&Flag::Report)).unwrap();
    assert_eq!(bounce.outcome.state, State::Accepted);
    let report = bounce.message.report.unwrap();
    assert_eq!(report.original_message_id.as_deref(), Some("lost@msg.example"));
    assert_eq!((report.queue_id.as_deref(), report.envid), (Some(front_id.as_str()), None));
    let [nobody] = report.recipients.as_slice() else { panic!("{:?}", report.recipients) };
    assert_eq!((nobody.address.as_str(), nobody.reply_code, nobody.cause), ("nobody@to.example", Some(550), Some(Cause::RecipientUnknown)));
    let found = command(&place, &["where", "lost@msg.example", "--json", "--store", store.to_str().unwrap()]).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let hops = answer["messages"][0]["hops"].as_array().unwrap();
    let report = hops.iter().find(|hop| hop["kind"] == "report").unwrap_or_else(|| panic!("{answer:#}"));
    assert_eq!(report["confidence"], "proof", "{report:#}");
}

/// "… queued as 4F1A…": the id.
fn queue_id(reply: &str) -> String {
    let (_, id) = reply.split_once("queued as ").unwrap();
    id.split([')', ' ']).next().unwrap().to_owned()
}
