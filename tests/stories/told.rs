//! What others tell of the morning's messages: reports that came back, lines of servers' logs, and mail that comes by twice.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use relayscope::trace::*;

use super::{Tale, at, client, reply, upstream};

/// A report that the smart host sends back to Alice.
pub fn report(number: u64, clock: &str, change: impl FnOnce(&mut Report)) -> Tale {
    let mut report = Report {
        kind: ReportKind::DeliveryStatus,
        format: "rfc3464".into(),
        reporting_mta: Some("smtp.example.net".into()),
        original_message_id: Some("accepted.1@mail.example.com".into()),
        original_subject: Some("Minutes of Monday".into()),
        original_from: Some("alice@example.com".into()),
        original_to: None,
        envid: None,
        queue_id: None,
        arrival: None,
        recipients: Vec::new(),
        recipients_cut: 0,
        cut: false,
    };
    change(&mut report);
    Tale::new(number, clock, "")
        .to("alice@example.com", "250 2.1.5 Ok")
        .header(&format!("report.{number}@smtp.example.net"), "Undelivered Mail Returned to Sender")
        .end_of_data("250 2.0.0 Ok: queued as AA11BB22", Some("AA11BB22"))
        .flag(Flag::Report)
        .with(|it| {
            it.listener = "inbound".into();
            it.direction = Direction::Inbound;
            it.client = Arc::new(from_smart_host().into());
            it.upstream = Arc::new(to_mail_server().into());
            it.message.client_queue_id = None;
            it.message.report = Some(Box::new(report));
        })
}

/// "bob@example.org failed: 552 5.2.2 Mailbox full", said by the recipient's server.
pub fn failed(address: &str) -> Reported {
    Reported {
        address: address.into(),
        original: None,
        action: Action::Failed,
        status: Some((5, 2, 2)),
        reply_code: Some(552),
        text: Some("5.2.2 Mailbox is over its quota".into()),
        remote_mta: Some("mx.example.org".into()),
        last_attempt: None,
        will_retry_until: None,
        cause: Some(Cause::MailboxFull),
        act: None,
        rule: Some("full.quota".into()),
        provider: None,
    }
}

pub fn from_smart_host() -> Client {
    Client { ip: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 25)), helo: Some("smtp.example.net".into()), ..client() }
}

/// Our own mail server, behind the listener for mail that comes in.
pub fn to_mail_server() -> Upstream {
    Upstream {
        name: "exchange".into(),
        host: Some("mail.example.com".into()),
        ip: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10))),
        port: Some(25),
        ..upstream()
    }
}

/// A line of the smart host's log.
pub fn line(number: u64, clock: &str, event: LogEvent, change: impl FnOnce(&mut Log)) -> Record {
    let at = at(clock);
    let mut log = Log {
        host: Some("smtp.example.net".into()),
        queue_id: Some("4F1C21A0B7".into()),
        message_id: Some("accepted.1@mail.example.com".into()),
        reverse_path: Some("alice@example.com".into()),
        ..Log::of(RecordId::from_parts(at / 1000, u128::from(number) << 32 | 0x10c), at, "postfix", event)
    };
    change(&mut log);
    Record::Log(Box::new(log))
}

/// The smart host hands Bob's copy to his server, whose own log has it in the mailbox.
pub fn sent_on(log: &mut Log) {
    log.recipient = Some("bob@example.org".into());
    log.relay_host = Some("mx.example.org".into());
    log.next_queue_id = Some("0B5D00C1".into());
    log.reply = Some(reply("250 2.0.0 Ok: queued as 0B5D00C1"));
}

/// A message that comes in for Trent, and whose way out of our mail server is told by `again`.
pub fn comes_in(number: u64, clock: &str) -> Tale {
    Tale::new(number, clock, "eve@elsewhere.example")
        .to("trent@lists.example.com", "250 2.1.5 Ok")
        .header("round.1@elsewhere.example", "Round trip")
        .end_of_data("250 2.0.0 Ok: queued as 1D2E3F", Some("1D2E3F"))
        .with(|it| {
            it.listener = "inbound".into();
            it.direction = Direction::Inbound;
            it.client = Arc::new(
                Client { ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), helo: Some("mx.elsewhere.example".into()), ..client() }.into(),
            );
            it.upstream = Arc::new(to_mail_server().into());
            it.message.client_queue_id = Some("E1E2E3".into());
        })
}

/// Our mail server sends it on to the smart host.
pub fn goes_out(number: u64, clock: &str) -> Tale {
    Tale::new(number, clock, "eve@elsewhere.example")
        .to("trent@lists.example.com", "250 2.1.5 Ok")
        .header("round.1@elsewhere.example", "Round trip")
        .end_of_data("250 2.0.0 Ok: queued as 77AA88", Some("77AA88"))
        .with(|it| {
            it.message.client_queue_id = Some("1D2E3F".into());
            it.message.received_count = 2;
            it.message.size += 210;
        })
}
