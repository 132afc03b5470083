//! Sendmail, Courier, and what holds for all that comes by syslog.

use super::postfix::POSTFIX;
use super::{check, given};
use crate::import::{Format, LogEvent};

pub const SENDMAIL: &str = "\
Nov 26 10:02:03 mail sm-mta[11]: 5AQA2B3x000011: from=<ann@from.example>, size=1234, class=0, nrcpts=3, msgid=<1@from.example>, bodytype=8BITMIME, proto=ESMTPS, daemon=MTA-v4, relay=client.example [192.0.2.7]
Nov 26 10:02:04 mail sm-mta[12]: 5AQA2B3x000011: to=<bob@to.example>,<carol@to.example>, ctladdr=<ann@from.example> (1000/1000), delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=60000, relay=mx.to.example. [192.0.2.9], dsn=2.0.0, stat=Sent (Ok: queued as 4F1A2B3C4D)
Nov 26 10:02:04 mail sm-mta[12]: 5AQA2B3x000011: to=<dave@to.example>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=60000, relay=mx.to.example. [192.0.2.9], dsn=4.2.2, stat=Deferred: 452 4.2.2 full, later
Nov 26 10:02:05 mail sm-mta[12]: 5AQA2B3x000011: done; delay=00:00:02, ntries=1
";

#[test]
fn sendmail_lines_of_one_id_are_tied_together() {
    const SO_FAR: &str = "mid=1@from.example from=ann@from.example";
    const REST: &str = "size=1234 client=client.example/192.0.2.7";
    let sent = |to: &str| {
        format!(
            "sent id=5AQA2B3x000011 next=4F1A2B3C4D {SO_FAR} to={to} {REST} relay=mx.to.example/192.0.2.9 delay=1000ms \
             fate=accepted/end_of_data/upstream reply=250 Ok: queued as 4F1A2B3C4D"
        )
    };
    check(
        Format::Sendmail,
        SENDMAIL,
        &[
            &format!("received id=5AQA2B3x000011 {SO_FAR} {REST}"),
            &sent("bob@to.example"),
            &sent("carol@to.example"),
            &format!(
                "deferred id=5AQA2B3x000011 {SO_FAR} to=dave@to.example {REST} relay=mx.to.example/192.0.2.9 delay=1000ms \
                 fate=deferred/end_of_data/upstream reply=452 4.2.2 full, later detail=Deferred: 452 4.2.2 full, later"
            ),
            &format!("removed id=5AQA2B3x000011 {SO_FAR} {REST} delay=2000ms"),
        ],
    );
}

#[track_caller]
fn sendmail(line: &str, expected: &[&str]) {
    check(Format::Sendmail, &format!("Nov 26 10:02:03 mail sendmail[1]: {line}\n"), expected);
}

#[test]
fn sendmail_lines_in_all_their_forms() {
    sendmail(
        "5AQA2B3x000011: from=ann, size=30, class=0, nrcpts=1, msgid=<2@mail.example>, relay=ann@localhost",
        &["submitted id=5AQA2B3x000011 mid=2@mail.example from=ann size=30"],
    );
    sendmail(
        "5AQA2B3x000011: to=ann, delay=00:00:00, mailer=local, pri=1, dsn=2.0.0, stat=Sent",
        &["delivered id=5AQA2B3x000011 to=ann delay=0ms fate=accepted/after_acceptance/recipient"],
    );
    sendmail(
        "5AQA2B3x000011: to=<b@to.example>, delay=00:00:00, mailer=esmtp, relay=mx.to.example. [192.0.2.9], dsn=5.1.1, reply=550 5.1.1 <b@to.example>... No, stat=User unknown",
        &[
            "bounced id=5AQA2B3x000011 to=b@to.example relay=mx.to.example/192.0.2.9 delay=0ms fate=rejected/end_of_data/upstream reply=550 5.1.1 <b@to.example>... No detail=User unknown",
        ],
    );
    sendmail(
        "5AQA2B3x000011: to=<b@to.example>, delay=00:00:00, mailer=esmtp, relay=mx.to.example. [192.0.2.9], dsn=4.0.0, stat=Deferred: Connection refused by mx.to.example.",
        &[
            "deferred id=5AQA2B3x000011 to=b@to.example relay=mx.to.example/192.0.2.9 delay=0ms fate=deferred/connect/network detail=Deferred: Connection refused by mx.to.example.",
        ],
    );
    sendmail(
        "5AQA2B3x000011: 5AQA2B3y000011: DSN: User unknown",
        &["report_sent id=5AQA2B3x000011 next=5AQA2B3y000011 detail=DSN: User unknown"],
    );
    sendmail(
        "5AQA2B3x000011: ruleset=check_rcpt, arg1=<b@to.example>, relay=c.example [192.0.2.66], reject=550 5.7.1 <b@to.example>... Relaying denied",
        &[
            "rejected id=5AQA2B3x000011 to=b@to.example client=c.example/192.0.2.66 fate=rejected/rcpt_to/upstream reply=550 5.7.1 <b@to.example>... Relaying denied",
        ],
    );
    sendmail(
        "5AQA2B3x000011: <b@to.example>... User unknown",
        &["rejected id=5AQA2B3x000011 to=b@to.example fate=rejected/rcpt_to/upstream detail=User unknown"],
    );
    sendmail(
        "5AQA2B3x000011: Milter: data, reject=451 4.7.1 later",
        &["rejected id=5AQA2B3x000011 fate=deferred/end_of_data/upstream reply=451 4.7.1 later"],
    );
    sendmail("STARTTLS=server, relay=c.example [192.0.2.7], version=TLSv1.3, verify=NO", &[]);
}

#[test]
fn a_list_with_an_owner_has_a_message_of_its_own() {
    let came = SENDMAIL.lines().next().unwrap();
    let log = format!(
        "{came}\n\
         Nov 26 10:02:03 mail sm-mta[11]: 5AQA2B3x000011: 5AQA2B3y000011: clone: owner=owner-list@mail.example\n\
         Nov 26 10:02:04 mail sm-mta[12]: 5AQA2B3y000011: to=<bob@to.example>, delay=00:00:01, mailer=esmtp, relay=mx.to.example. [192.0.2.9], dsn=2.0.0, stat=Sent (Ok)\n"
    );
    const REST: &str = "size=1234 client=client.example/192.0.2.7";
    check(
        Format::Sendmail,
        &log,
        &[
            &format!("received id=5AQA2B3x000011 mid=1@from.example from=ann@from.example {REST}"),
            &format!(
                "expanded id=5AQA2B3x000011 next=5AQA2B3y000011 mid=1@from.example from=ann@from.example {REST} detail=owner=owner-list@mail.example"
            ),
            &format!(
                "sent id=5AQA2B3y000011 mid=1@from.example from=owner-list@mail.example to=bob@to.example {REST} \
                 relay=mx.to.example/192.0.2.9 delay=1000ms fate=accepted/end_of_data/upstream reply=250 Ok"
            ),
        ],
    );
}

/// Solaris and its kin, FreeBSD with `-vv` and with `-O rfc5424`, AIX, rsyslog's SyslogProtocol23Format.
#[test]
fn every_systems_syslog_gives_the_same() {
    const TEXT: &str = "5AQA2B3x000011: to=ann, delay=00:00:00, mailer=local, pri=1, dsn=2.0.0, stat=Sent";
    for start in [
        "Nov 26 10:02:03 mail sendmail[1]: [ID 801593 mail.info] ",
        "Nov 26 10:02:03 <mail.info> mail sendmail[1]: ",
        "Nov 26 10:02:03 mail mail:info sendmail[1]: ",
        "<22>1 2026-11-26T10:02:03.123456+00:00 mail sendmail 1 - - ",
        "1 2026-11-26T10:02:03Z mail sendmail 1 - [x@1 y=\"]\"] ",
    ] {
        let log = format!("{start}{TEXT}\n");
        check(Format::Sendmail, &log, &["delivered id=5AQA2B3x000011 to=ann delay=0ms fate=accepted/after_acceptance/recipient"]);
        assert_eq!(crate::import::format::recognise(log.as_bytes()), Some(Format::Sendmail));
    }
}

pub const COURIER: &str = "\
Nov 26 10:02:03 mail courieresmtpd: started,ip=[::ffff:192.0.2.7]
Nov 26 10:02:03 mail courierd: newmsg,id=00000000000C2B3A.0000000065A1B2C3.00001234: dns; helo.example (client.example [::ffff:192.0.2.7])
Nov 26 10:02:03 mail courierd: started,id=00000000000C2B3A.0000000065A1B2C3.00001234,from=<ann@from.example>,module=esmtp,host=to.example,addr=<bob@to.example>
Nov 26 10:02:04 mail courieresmtp: id=00000000000C2B3A.0000000065A1B2C3.00001234,from=<ann@from.example>,addr=<bob@to.example>: 250 2.0.0 Ok: queued as 4F1A2B3C4D
Nov 26 10:02:04 mail courieresmtp: id=00000000000C2B3A.0000000065A1B2C3.00001234,from=<ann@from.example>,addr=<bob@to.example>,size=1234,success: delivered: mx.to.example [::ffff:192.0.2.9]
Nov 26 10:02:04 mail courieresmtp: id=00000000000C2B3A.0000000065A1B2C3.00001234,from=<ann@from.example>,addr=<bob@to.example>,size=1234,status: success
Nov 26 10:02:04 mail courierlocal: id=00000000000C2B3A.0000000065A1B2C3.00001234,from=<ann@from.example>,addr=<carol@mail.example>,size=1234,success: Message delivered.
Nov 26 10:02:04 mail courierd: completed,id=00000000000C2B3A.0000000065A1B2C3.00001234
";

#[test]
fn courier_lines_of_one_id_are_tied_together() {
    const ID: &str = "id=00000000000C2B3A.0000000065A1B2C3.00001234";
    check(
        Format::Courier,
        COURIER,
        &[
            &format!("received {ID} client=client.example/192.0.2.7"),
            &format!(
                "sent {ID} next=4F1A2B3C4D from=ann@from.example to=bob@to.example size=1234 client=client.example/192.0.2.7 \
                 relay=mx.to.example/192.0.2.9 fate=accepted/end_of_data/upstream reply=250 2.0.0 Ok: queued as 4F1A2B3C4D"
            ),
            &format!(
                "delivered {ID} from=ann@from.example to=carol@mail.example size=1234 client=client.example/192.0.2.7 \
                 fate=accepted/after_acceptance/recipient detail=Message delivered."
            ),
            &format!("removed {ID} from=ann@from.example size=1234 client=client.example/192.0.2.7"),
        ],
    );
    check(
        Format::Courier,
        "Nov 26 10:02:03 mail courieresmtpd: error,relay=::ffff:192.0.2.66,from=<a@from.example>,to=<b@to.example>: 550 User unknown.\n",
        &["rejected from=a@from.example to=b@to.example client=192.0.2.66 fate=rejected/rcpt_to/upstream reply=550 User unknown."],
    );
}

#[test]
fn a_line_has_its_id_at_every_import() {
    let (once, again) = (given(Format::Postfix, POSTFIX.as_bytes()), given(Format::Postfix, POSTFIX.as_bytes()));
    assert_eq!(once.entries, again.entries);
    // The same line twice is two events.
    let twice = given(Format::Postfix, POSTFIX.lines().last().unwrap().repeat(2).replace("removedNov", "removed\nNov").as_bytes());
    assert_eq!((twice.entries.len(), twice.entries[0].id == twice.entries[1].id), (2, false));
    assert_eq!(twice.counts.events[LogEvent::Removed as usize], 2);
}
