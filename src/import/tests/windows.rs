//! hMailServer, Domino, James.

use super::{check, given};
use crate::import::Format;

pub const HMAILSERVER: &str = "\
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.100\"\t\"192.0.2.7\"\t\"SENT: 220 mail.example ESMTP\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.200\"\t\"192.0.2.7\"\t\"RECEIVED: MAIL FROM:<ann@from.example> SIZE=1234\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.201\"\t\"192.0.2.7\"\t\"SENT: 250 OK\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.300\"\t\"192.0.2.7\"\t\"RECEIVED: RCPT TO:<bob@to.example>\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.301\"\t\"192.0.2.7\"\t\"SENT: 250 OK\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.300\"\t\"192.0.2.7\"\t\"RECEIVED: RCPT TO:<nobody@to.example>\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.301\"\t\"192.0.2.7\"\t\"SENT: 550 Unknown user\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.400\"\t\"192.0.2.7\"\t\"RECEIVED: DATA\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.401\"\t\"192.0.2.7\"\t\"SENT: 354 OK, send.\"
\"SMTPD\"\t1234\t55\t\"2026-11-26 10:02:03.500\"\t\"192.0.2.7\"\t\"SENT: 250 Queued (0.032 seconds)\"
\"APPLICATION\"\t1240\t\"2026-11-26 10:02:03.600\"\t\"SMTPDeliverer - Message 12: Delivering message from ann@from.example to bob@to.example. File: C:\\Data\\{31EC}.eml\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:03.700\"\t\"192.0.2.9\"\t\"RECEIVED: 220 mx.to.example ESMTP\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:03.800\"\t\"192.0.2.9\"\t\"SENT: MAIL FROM:<ann@from.example>\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:03.900\"\t\"192.0.2.9\"\t\"RECEIVED: 250 2.1.0 Ok\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:04.000\"\t\"192.0.2.9\"\t\"SENT: RCPT TO:<bob@to.example>\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:04.100\"\t\"192.0.2.9\"\t\"RECEIVED: 250 2.1.5 Ok\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:04.200\"\t\"192.0.2.9\"\t\"SENT: DATA\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:04.300\"\t\"192.0.2.9\"\t\"RECEIVED: 354 go\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:04.400\"\t\"192.0.2.9\"\t\"SENT: [nl].\"
\"SMTPC\"\t1240\t56\t\"2026-11-26 10:02:04.500\"\t\"192.0.2.9\"\t\"RECEIVED: 250 2.0.0 Ok: queued as 4F1A2B3C4D\"
\"APPLICATION\"\t1240\t\"2026-11-26 10:02:04.600\"\t\"SMTPDeliverer - Message 12: Message delivery thread completed.\"
\"DEBUG\"\t1240\t\"2026-11-26 10:02:04.600\"\t\"Creating session 57\"
";

#[test]
fn hmailservers_conversations_are_followed() {
    check(
        Format::HMailServer,
        HMAILSERVER,
        &[
            "rejected from=ann@from.example to=nobody@to.example client=192.0.2.7 fate=rejected/rcpt_to/upstream reply=550 Unknown user",
            "received from=ann@from.example to=bob@to.example client=192.0.2.7 reply=250 Queued (0.032 seconds)",
            "queued id=12 from=ann@from.example to=bob@to.example",
            "sent id=12 next=4F1A2B3C4D from=ann@from.example to=bob@to.example relay=mx.to.example/192.0.2.9 fate=accepted/end_of_data/upstream \
             reply=250 2.0.0 Ok: queued as 4F1A2B3C4D",
            "removed id=12 from=ann@from.example to=bob@to.example",
        ],
    );
    let refused = HMAILSERVER
        .lines()
        .skip(10)
        .take(6)
        .collect::<Vec<_>>()
        .join("\r\n")
        .replace("RECEIVED: 250 2.1.5 Ok", "RECEIVED: 550-5.1.1 no[nl]550 5.1.1 body")
        + "\r\n\"APPLICATION\"\t1240\t\"2026-11-26 10:02:04.600\"\t\"SMTPDeliverer - Message 12: Message could not be delivered. Scheduling it for later delivery in 60 minutes.\"\r\n\
           \"APPLICATION\"\t1240\t\"2026-11-26 10:02:04.600\"\t\"SMTPDeliverer - Message 12: Message delivery thread completed.\"\r\n";
    check(
        Format::HMailServer,
        &refused,
        &[
            "queued id=12 from=ann@from.example to=bob@to.example",
            "bounced id=12 from=ann@from.example to=bob@to.example relay=mx.to.example/192.0.2.9 fate=rejected/rcpt_to/upstream reply=550 5.1.1 no|5.1.1 body",
            "deferred id=12 from=ann@from.example to=bob@to.example fate=deferred/after_acceptance/recipient \
             detail=Message could not be delivered. Scheduling it for later delivery in 60 minutes.",
        ],
    );
}

pub const DOMINO: &str = "\
[1234:0005-0006] 11/26/2026 10:02:02 AM  SMTP Server: client.example (192.0.2.7) connected
[1234:0005-0006] 11/26/2026 10:02:03 AM  SMTP Server: Message 0037A2F1 (MessageID: <1@from.example>) received from client.example (192.0.2.7) size 1234 bytes
[1234:0007-0008] 11/26/2026 10:02:04 AM  Router: Message 0037A2F1, 0037A2F2 delivered to Bob Jones/Acme from ann@from.example OF0A1B2C3D:4E5F6071 ON00259F62:00371B2C Size: 3K Time: 00:00:01
[1234:0007-0008] 11/26/2026 10:02:05 AM  Router: Message 0037A2F1 transferred to MX.TO.EXAMPLE for carol@to.example from ann@from.example OF0A1B2C3D:4E5F6071 ON00259F62:00371B2C Size: 3K via SMTP
[1234:0007-0008] 11/26/2026 10:02:06 AM  Router: No messages transferred to TO.EXAMPLE (host mx.to.example) via SMTP: The server is not responding. The server may be down or you may be experiencing network problems.
[1234:0009-000A] 11/26/2026 10:02:07 AM  Database compactor process started
";

#[test]
fn dominos_router_and_smtp_server_are_read() {
    check(
        Format::Domino,
        DOMINO,
        &[
            "received id=0037A2F1 mid=1@from.example size=1234 client=client.example/192.0.2.7",
            "delivered id=0037A2F1 mid=1@from.example from=ann@from.example to=Bob Jones/Acme size=3072 client=client.example/192.0.2.7 \
             fate=accepted/after_acceptance/recipient",
            "sent id=0037A2F1 mid=1@from.example from=ann@from.example to=carol@to.example size=3072 client=client.example/192.0.2.7 \
             relay=MX.TO.EXAMPLE fate=accepted/end_of_data/upstream",
            "deferred relay=TO.EXAMPLE fate=deferred/connect/network \
             detail=The server is not responding. The server may be down or you may be experiencing network problems.",
        ],
    );
    check(
        Format::Domino,
        "26.11.2026 10:02:03   SMTP Server: Attempt to relay mail to b@to.example rejected for policy reasons. Relays to recipient's domain denied in your configuration.\n",
        &["rejected to=b@to.example fate=rejected/rcpt_to/upstream \
           detail=Attempt to relay mail to b@to.example rejected for policy reasons. Relays to recipient's domain denied in your configuration."],
    );
}

#[test]
fn one_log_has_one_order_of_day_and_month() {
    let line = |date: &str| {
        format!("{date} 10:02:03   SMTP Server: Message 0037A2F1 (MessageID: <1@x>) received from c.example (192.0.2.7) size 9 bytes\n")
    };
    let log = line("13/11/2026") + &line("12/11/2026") + &line("12/12/2026");
    let read = given(Format::Domino, log.as_bytes());
    let days: Vec<u64> = read.entries.iter().map(|it| it.entry.at / 86_400_000_000 - 20_769).collect();
    assert_eq!((days, read.counts.guessed), (vec![1, 0, 30], 0));
    let read = given(Format::Domino, (line("12/11/2026") + &line("12/12/2026")).as_bytes());
    assert_eq!(read.counts.guessed, 1);
}

pub const JAMES: &str = "\
2026-11-26 10:02:03.123 [INFO ] o.a.j.s.SendMailHandler - Successfully spooled mail Mail1795687323123-5af with messageId <1@from.example> from ann@from.example on /192.0.2.7 for [bob@to.example, carol@to.example]
2026-11-26 10:02:03.456 [INFO ] o.a.j.t.m.d.SimpleMailStore - Local delivered mail Mail1795687323123-5af successfully from ann@from.example to bob@to.example in folder INBOX with composedMessageId x
2026-11-26 10:02:04.000 [INFO ] o.a.j.t.m.r.d.MailDelivrerToHost - Mail (Mail1795687323123-5af-!1-to-to.example) with messageId <1@from.example> sent successfully to mx.to.example at smtp://192.0.2.9:25 from ann@from.example for [carol@to.example]
2026-11-26 10:02:05.000 [ERROR] o.a.j.t.m.r.d.MessageComposer - Permanent exception delivering mail (Mail1795687323999-aaa). Exception: com.sun.mail.smtp.SMTPAddressFailedException: 550 5.1.1 no such user:
\tat org.apache.james.X.y(X.java:1)
Caused by: java.net.ConnectException: Connection refused
";

#[test]
fn james_lines_are_read() {
    check(
        Format::James,
        JAMES,
        &[
            "received id=Mail1795687323123-5af mid=1@from.example from=ann@from.example to=bob@to.example client=192.0.2.7",
            "received id=Mail1795687323123-5af mid=1@from.example from=ann@from.example to=carol@to.example client=192.0.2.7",
            "delivered id=Mail1795687323123-5af mid=1@from.example from=ann@from.example to=bob@to.example client=192.0.2.7 \
             fate=accepted/after_acceptance/recipient",
            "sent id=Mail1795687323123-5af-!1-to-to.example mid=1@from.example from=ann@from.example to=carol@to.example client=192.0.2.7 \
             relay=mx.to.example/192.0.2.9 fate=accepted/end_of_data/upstream",
            "bounced id=Mail1795687323999-aaa fate=rejected/end_of_data/upstream reply=550 5.1.1 no such user \
             detail=Exception: com.sun.mail.smtp.SMTPAddressFailedException: 550 5.1.1 no such user",
        ],
    );
    check(
        Format::James,
        "26/11/26 10:02:03 INFO  smtpserver: Successfully spooled mail Mail1 from ann@from.example on 192.0.2.7 for [bob@to.example]\n\
         {\"timestamp\":\"2026-11-26T10:02:03.123Z\",\"level\":\"INFO\",\"message\":\"Local delivered mail Mail1 successfully from ann@from.example to bob@to.example in folder INBOX\"}\n\
         \u{1b}[36m2026.11.26 10:02:03.5\u{1b}[0m x - Bouncing message Mail1 after 5 retries\n",
        &[
            "received id=Mail1 from=ann@from.example to=bob@to.example client=192.0.2.7",
            "delivered id=Mail1 from=ann@from.example to=bob@to.example client=192.0.2.7 fate=accepted/after_acceptance/recipient",
            "expired id=Mail1 from=ann@from.example client=192.0.2.7 fate=rejected/after_acceptance/recipient detail=after 5 retries",
        ],
    );
    let given = given(Format::James, b"10:02:03.123 [INFO ] o.a.j.s.SendMailHandler - x\nrubbish\n");
    assert_eq!(given.counts.unreadable, 2);
}
