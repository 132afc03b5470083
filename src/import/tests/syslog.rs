//! Postfix, Exim, Sendmail, Courier.

use super::{check, given};
use crate::import::{Format, LogEvent};

pub const POSTFIX: &str = "\
Nov 26 10:02:03 mail postfix/smtpd[11]: connect from client.example[192.0.2.7]
Nov 26 10:02:03 mail postfix/smtpd[11]: 4F1A2B3C4D: client=client.example[192.0.2.7], sasl_method=PLAIN, sasl_username=ann
Nov 26 10:02:03 mail postfix/cleanup[12]: 4F1A2B3C4D: message-id=<1@from.example>
Nov 26 10:02:03 mail postfix/qmgr[13]: 4F1A2B3C4D: from=<ann@from.example>, size=1234, nrcpt=3 (queue active)
Nov 26 10:02:04 mail postfix/smtp[14]: 4F1A2B3C4D: to=<bob@to.example>, relay=mx.to.example[192.0.2.9]:25, delay=1.2, delays=0.1/0/0.5/0.6, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4bYtQ12Xz9z3gVd)
Nov 26 10:02:04 mail postfix/smtp[14]: 4F1A2B3C4D: to=<carol@to.example>, orig_to=<c@from.example>, relay=mx.to.example[192.0.2.9]:25, conn_use=2, delay=1.3, delays=0/0/0/1.3, dsn=4.2.2, status=deferred (host mx.to.example[192.0.2.9] said: 452-4.2.2 The mailbox 452 4.2.2 is full (in reply to RCPT TO command))
Nov 26 10:02:04 mail postfix/local[15]: 4F1A2B3C4D: to=<dave@mail.example>, relay=local, delay=1.3, delays=0/0/0/1.3, dsn=2.0.0, status=sent (delivered to maildir)
Nov 26 10:02:05 mail postfix/qmgr[13]: 4F1A2B3C4D: removed
";

#[test]
fn postfix_lines_of_one_id_are_tied_together() {
    const SO_FAR: &str = "mid=1@from.example from=ann@from.example";
    check(
        Format::Postfix,
        POSTFIX,
        &[
            &format!("received id=4F1A2B3C4D {SO_FAR} size=1234 client=client.example/192.0.2.7"),
            &format!(
                "sent id=4F1A2B3C4D next=4bYtQ12Xz9z3gVd {SO_FAR} to=bob@to.example size=1234 client=client.example/192.0.2.7 \
                 relay=mx.to.example/192.0.2.9/25 delay=1200ms fate=accepted/end_of_data/upstream reply=250 2.0.0 Ok: queued as 4bYtQ12Xz9z3gVd"
            ),
            &format!(
                "deferred id=4F1A2B3C4D {SO_FAR} to=carol@to.example orig=c@from.example size=1234 client=client.example/192.0.2.7 \
                 relay=mx.to.example/192.0.2.9/25 delay=1300ms fate=deferred/rcpt_to/upstream reply=452 4.2.2 The mailbox|4.2.2 is full \
                 detail=host mx.to.example[192.0.2.9] said: 452-4.2.2 The mailbox 452 4.2.2 is full (in reply to RCPT TO command)"
            ),
            &format!(
                "delivered id=4F1A2B3C4D {SO_FAR} to=dave@mail.example size=1234 client=client.example/192.0.2.7 relay=local \
                 delay=1300ms fate=accepted/after_acceptance/recipient detail=delivered to maildir"
            ),
            &format!("removed id=4F1A2B3C4D {SO_FAR} size=1234 client=client.example/192.0.2.7"),
        ],
    );
    let given = given(Format::Postfix, POSTFIX.as_bytes());
    assert_eq!((given.counts.lines, given.counts.read, given.counts.foreign), (8, 7, 1));
    assert_eq!(given.entries[0].entry.host.as_deref(), Some("mail"));
}

#[track_caller]
fn postfix(line: &str, expected: &[&str]) {
    check(Format::Postfix, &format!("2026-11-26T10:02:03.123456+01:00 mail {line}\n"), expected);
}

#[test]
fn postfix_failures_have_place_and_reason() {
    postfix(
        "postfix-out/smtp[1]: 4bYtQ12Xz9z3gVd: to=<b@to.example>, relay=none, delay=30, delays=0/0/30/0, dsn=4.4.1, status=deferred (connect to mx.to.example[192.0.2.9]:25: Connection timed out)",
        &[
            "deferred id=4bYtQ12Xz9z3gVd to=b@to.example delay=30000ms fate=deferred/connect/network detail=connect to mx.to.example[192.0.2.9]:25: Connection timed out",
        ],
    );
    postfix(
        "postfix/smtp[1]: 4F1A2B3C4D: to=<b@to.example>, relay=none, delay=1, delays=0/0/1/0, dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for name=to.example type=AAAA: Host not found)",
        &[
            "bounced id=4F1A2B3C4D to=b@to.example delay=1000ms fate=rejected/connect/dns detail=Host or domain name not found. Name service error for name=to.example type=AAAA: Host not found",
        ],
    );
    postfix(
        "postfix/qmgr[1]: 4F1A2B3C4D: from=<a@from.example>, status=expired, returned to sender",
        &["expired id=4F1A2B3C4D from=a@from.example fate=rejected/after_acceptance/recipient detail=expired, returned to sender"],
    );
    postfix(
        "postfix/lmtp[1]: 4F1A2B3C4D: to=<b@to.example>, relay=mail[private/dovecot-lmtp], delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 <b@to.example> zZKoFaiuCGvqbgAAg+zDdQ Saved)",
        &[
            "delivered id=4F1A2B3C4D next=zZKoFaiuCGvqbgAAg+zDdQ to=b@to.example relay=mail delay=100ms fate=accepted/after_acceptance/recipient reply=250 2.0.0 <b@to.example> zZKoFaiuCGvqbgAAg+zDdQ Saved",
        ],
    );
    postfix(
        "postfix/bounce[1]: 4F1A2B3C4D: sender non-delivery notification: 5F1A2B3C4D",
        &["report_sent id=4F1A2B3C4D next=5F1A2B3C4D detail=sender non-delivery notification"],
    );
    postfix(
        "postfix/local[1]: 4F1A2B3C4D: to=<root@mail.example>, relay=local, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (forwarded as 5F1A2B3C4D)",
        &["redirected id=4F1A2B3C4D next=5F1A2B3C4D to=root@mail.example relay=local delay=100ms detail=forwarded as 5F1A2B3C4D"],
    );
    postfix("postfix/smtp[1]: 4F1A2B3C4D: host mx.to.example[192.0.2.9] said: 451 4.7.1 later (in reply to RCPT TO command)", &[]);
    postfix("postfix/smtp[1]: 4F1A2B3C4D: lost connection with mx.to.example[192.0.2.9] while sending RCPT TO", &[]);
    postfix("postfix/anvil[1]: statistics: max connection rate 1/60s for (smtp:192.0.2.7) at Nov 26 10:00:00", &[]);
    postfix("dovecot: imap(ann): Disconnected", &[]);
}

#[test]
fn postfix_mail_that_stays_or_is_thrown_away_is_told() {
    postfix(
        "postfix/smtp[1]: 4F1A2B3C4D: to=<b@to.example>, relay=mx.to.example[192.0.2.9]:25, delay=1, delays=0/0/1/0, dsn=5.1.1, status=SOFTBOUNCE (host mx.to.example[192.0.2.9] said: 550 5.1.1 no such user (in reply to RCPT TO command))",
        &[
            "deferred id=4F1A2B3C4D to=b@to.example relay=mx.to.example/192.0.2.9/25 delay=1000ms fate=deferred/rcpt_to/upstream reply=550 5.1.1 no such user detail=host mx.to.example[192.0.2.9] said: 550 5.1.1 no such user (in reply to RCPT TO command)",
        ],
    );
    postfix("postfix/postsuper[1]: 4F1A2B3C4D: removed", &["discarded id=4F1A2B3C4D detail=deleted from the queue by postsuper"]);
    postfix("postfix/postsuper[1]: 4F1A2B3C4D: placed on hold", &["quarantined id=4F1A2B3C4D detail=placed on hold"]);
    postfix("postfix/postsuper[1]: 4F1A2B3C4D: released from hold", &["queued id=4F1A2B3C4D detail=released from hold"]);
    for daemon in ["lmtp", "smtp"] {
        postfix(
            &format!(
                "postfix/{daemon}[1]: 4F1A2B3C4D: to=<b@to.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, delays=0/0/0/1, dsn=2.7.0, status=sent (250 2.7.0 Ok, discarded, id=12345-02 - SPAM)"
            ),
            &[
                "discarded id=4F1A2B3C4D to=b@to.example relay=127.0.0.1/127.0.0.1/10024 delay=1000ms reply=250 2.7.0 Ok, discarded, id=12345-02 - SPAM",
            ],
        );
    }
}

#[test]
fn postfix_refusals_by_a_filter_before_the_queue_are_entries() {
    let expected =
        "from=a@from.example to=b@to.example fate=rejected/end_of_data/upstream reply=554 5.7.0 Reject, from x, id=31619-02 - spam";
    const SAID: &str = "554 5.7.0 Reject, from x, id=31619-02 - spam; from=<a@from.example> to=<b@to.example> proto=ESMTP helo=<h>";
    postfix(&format!("postfix/smtpd[1]: proxy-reject: END-OF-MESSAGE: {SAID}"), &[&format!("rejected {expected}")]);
    postfix(&format!("postfix/smtpd[1]: NOQUEUE: proxy-reject: END-OF-MESSAGE: {SAID}"), &[&format!("rejected {expected}")]);
    postfix(
        &format!("postfix/smtpd[1]: NOQUEUE: proxy-reject: END-OF-MESSAGE from c.example[192.0.2.7]: {SAID}"),
        &[&format!("rejected {}", expected.replacen(" fate", " client=c.example/192.0.2.7 fate", 1))],
    );
    postfix("postfix/smtpd[1]: proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok; from=<a@from.example> to=<b@to.example> proto=ESMTP", &[]);
}

#[test]
fn postfix_services_with_a_name_of_their_own_take_mail_in_for_it() {
    let of = |qmgr: &str, id: &str| {
        format!(
            "Nov 26 10:02:03 mail postfix-submission/smtpd[11]: {id}: client=client.example[192.0.2.7], sasl_method=PLAIN\n\
             Nov 26 10:02:03 mail {qmgr}/cleanup[12]: {id}: message-id=<1@from.example>\n\
             Nov 26 10:02:03 mail {qmgr}/qmgr[13]: {id}: from=<ann@from.example>, size=1234, nrcpt=1 (queue active)\n"
        )
    };
    const COMMON: &str = "mid=1@from.example from=ann@from.example size=1234";
    let other = "Nov 26 10:01:03 mail postfix/smtpd[11]: 3F1A2B3C4D: client=other.example[192.0.2.8]\n";
    for before in ["", other] {
        check(
            Format::Postfix,
            &format!("{before}{}", of("postfix", "4F1A2B3C4D")),
            &[&format!("received id=4F1A2B3C4D {COMMON} client=client.example/192.0.2.7")],
        );
    }
    // An instance of its own has its own queue.
    let own = of("postfix-submission", "4F1A2B3C4D");
    let again = "Nov 26 10:02:04 mail postfix/qmgr[13]: 4F1A2B3C4D: from=<eve@from.example>, size=9, nrcpt=1 (queue active)\n";
    check(
        Format::Postfix,
        &format!("{other}{own}{again}"),
        &[&format!("received id=4F1A2B3C4D {COMMON} client=client.example/192.0.2.7"), "queued id=4F1A2B3C4D from=eve@from.example size=9"],
    );
}

#[test]
fn postfix_refusals_are_entries() {
    postfix(
        "postfix/submission/smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.66]: 554 5.7.1 <b@to.example>: Relay access denied; from=<a@from.example> to=<b@to.example> proto=ESMTP helo=<x>",
        &[
            "rejected from=a@from.example to=b@to.example client=192.0.2.66 fate=rejected/rcpt_to/upstream reply=554 5.7.1 <b@to.example>: Relay access denied",
        ],
    );
    postfix(
        "postfix/smtpd[1]: NOQUEUE: reject: RCPT from c.example[2001:db8::7]: 450 4.2.0 <b@to.example>: Recipient address rejected: Greylisted; see http://x/y; from=<> to=<b@to.example> proto=ESMTP helo=<x>",
        &[
            "rejected from= to=b@to.example client=c.example/2001:db8::7 fate=deferred/rcpt_to/upstream reply=450 4.2.0 <b@to.example>: Recipient address rejected: Greylisted; see http://x/y",
        ],
    );
    postfix(
        "postfix/postscreen[1]: NOQUEUE: reject: RCPT from [192.0.2.66]:34567: 550 5.7.1 Service unavailable; client [192.0.2.66] blocked using zen.example; from=<a@from.example>, to=<b@to.example>, proto=ESMTP, helo=<x>",
        &[
            "rejected from=a@from.example to=b@to.example client=192.0.2.66 fate=rejected/rcpt_to/upstream reply=550 5.7.1 Service unavailable; client [192.0.2.66] blocked using zen.example",
        ],
    );
    postfix(
        "postfix/cleanup[1]: 4F1A2B3C4D: milter-reject: END-OF-MESSAGE from c.example[192.0.2.7]: 4.7.1 Try again later; from=<a@from.example> to=<b@to.example> proto=ESMTP helo=<x>",
        &[
            "rejected id=4F1A2B3C4D from=a@from.example to=b@to.example client=c.example/192.0.2.7 fate=deferred/end_of_data/upstream detail=4.7.1 Try again later",
        ],
    );
    postfix(
        "postfix/smtpd[1]: 4F1A2B3C4D: hold: RCPT from c.example[192.0.2.7]: <c.example[192.0.2.7]>: Client host triggers HOLD action; from=<a@from.example> to=<b@to.example> proto=ESMTP helo=<x>",
        &[
            "quarantined id=4F1A2B3C4D from=a@from.example to=b@to.example client=c.example/192.0.2.7 detail=<c.example[192.0.2.7]>: Client host triggers HOLD action",
        ],
    );
    postfix("postfix/smtpd[1]: NOQUEUE: reject_warning: RCPT from c.example[192.0.2.7]: 554 5.7.1 x; from=<> to=<b> proto=SMTP", &[]);
}

#[test]
fn postfix_header_and_body_checks_tell_their_reason_last() {
    postfix(
        "postfix/cleanup[1]: 4F1A2B3C4D: reject: header Subject: news from the front from c.example[192.0.2.1]; from=<a@from.example> to=<b@to.example> proto=ESMTP helo=<h>: 5.7.1 message content rejected",
        &[
            "rejected id=4F1A2B3C4D from=a@from.example to=b@to.example subject=news from the front client=c.example/192.0.2.1 fate=rejected/end_of_data/upstream detail=5.7.1 message content rejected",
        ],
    );
    postfix(
        "postfix/cleanup[1]: 4F1A2B3C4D: reject: header Subject: x from y[192.0.2.99]: 550 z; from=<> from unknown[2001:db8::7]; from=<a@from.example> to=<b@to.example> proto=ESMTP helo=<h>: 4.7.1 later: try again",
        &[
            "rejected id=4F1A2B3C4D from=a@from.example to=b@to.example subject=x from y[192.0.2.99]: 550 z; from=<> client=2001:db8::7 fate=deferred/end_of_data/upstream detail=4.7.1 later: try again",
        ],
    );
    postfix(
        "postfix/cleanup[1]: 4F1A2B3C4D: discard: body win a prize from c.example[192.0.2.1]; from=<a@from.example> to=<b@to.example> proto=ESMTP helo=<h>",
        &["discarded id=4F1A2B3C4D from=a@from.example to=b@to.example client=c.example/192.0.2.1"],
    );
    postfix(
        "postfix/cleanup[1]: 4F1A2B3C4D: hold: header X-Test: from x from local; from=<root@mail.example>",
        &["quarantined id=4F1A2B3C4D from=root@mail.example"],
    );
    postfix(
        "postfix/cleanup[1]: 4F1A2B3C4D: redirect: header To: x from local; from=<a@from.example> to=<b@to.example>: boss@to.example",
        &["redirected id=4F1A2B3C4D from=a@from.example to=b@to.example detail=boss@to.example"],
    );
    postfix("postfix/cleanup[1]: 4F1A2B3C4D: reject: header Subject: cut off from c.example[192.0", &[]);
    postfix("postfix/cleanup[1]: 4F1A2B3C4D: filter: header To: x from local; from=<a@from.example>: smtp:[127.0.0.1]", &[]);
}

#[test]
fn postfix_hands_to_a_content_filter_what_is_in_no_mailbox_yet() {
    postfix(
        "postfix/lmtp[1]: 4F1A2B3C4D: to=<b@to.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 5F1A2B3C4D)",
        &[
            "sent id=4F1A2B3C4D next=5F1A2B3C4D to=b@to.example relay=127.0.0.1/127.0.0.1/10024 delay=1000ms fate=accepted/end_of_data/upstream reply=250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 5F1A2B3C4D",
        ],
    );
}

#[test]
fn postfix_ids_of_two_hosts_are_two() {
    let log = "Nov 26 10:02:03 one postfix/cleanup[1]: 4F1A2B3C4D: message-id=<1@x>\n\
               Nov 26 10:02:03 two postfix/cleanup[1]: 4F1A2B3C4D: message-id=<2@x>\n\
               Nov 26 10:02:03 one postfix/qmgr[1]: 4F1A2B3C4D: removed\n";
    check(Format::Postfix, log, &["removed id=4F1A2B3C4D mid=1@x"]);
}

#[test]
fn postfix_from_the_journal_is_the_same() {
    let text = "4F1A2B3C4D: message-id=<1@x>";
    let json = |text: &str| {
        format!(r#"{{"__REALTIME_TIMESTAMP":"1795687323000001","_HOSTNAME":"mail","SYSLOG_IDENTIFIER":"postfix/qmgr","MESSAGE":"{text}"}}"#)
            + "\n"
    };
    check(Format::Postfix, &(json(text) + &json("4F1A2B3C4D: removed")), &["removed id=4F1A2B3C4D mid=1@x"]);
    let export = |text: &str| {
        format!("__CURSOR=s\n__REALTIME_TIMESTAMP=1795687323000001\n_HOSTNAME=mail\nSYSLOG_IDENTIFIER=postfix/qmgr\nMESSAGE={text}\n\n")
    };
    check(Format::Postfix, &(export(text) + &export("4F1A2B3C4D: removed")), &["removed id=4F1A2B3C4D mid=1@x"]);
}

pub const EXIM: &str = "\
2026-11-26 10:02:03 1r5abc-0003Xy-2B <= ann@from.example H=client.example (helo.example) [192.0.2.7]:4567 P=esmtpsa X=TLS1.3:ECDHE:256 A=plain:ann S=1234 id=1@from.example T=\"for \\\"you\\\" S=1\" for bob@to.example carol@to.example
2026-11-26 10:02:04 1r5abc-0003Xy-2B => bob@to.example R=dnslookup T=remote_smtp H=mx.to.example [192.0.2.9]:25 X=TLS1.3:ECDHE:256 CV=yes C=\"250 2.0.0 Ok: queued as 4F1A2B3C4D\" QT=1.5s DT=0.5s
2026-11-26 10:02:04 1r5abc-0003Xy-2B == carol@to.example R=dnslookup T=remote_smtp defer (-44) H=mx.to.example [192.0.2.9]: SMTP error from remote mail server after RCPT TO:<carol@to.example>: 452 4.2.2 full
2026-11-26 10:02:05 1r5abc-0003Xy-2B Completed
";

#[test]
fn exim_flags_are_read() {
    const SO_FAR: &str = "mid=1@from.example from=ann@from.example";
    const REST: &str = "subject=for \"you\" S=1 size=1234 client=client.example/192.0.2.7";
    check(
        Format::Exim,
        EXIM,
        &[
            &format!("received id=1r5abc-0003Xy-2B {SO_FAR} to=bob@to.example {REST}"),
            &format!("received id=1r5abc-0003Xy-2B {SO_FAR} to=carol@to.example {REST}"),
            &format!(
                "sent id=1r5abc-0003Xy-2B next=4F1A2B3C4D {SO_FAR} to=bob@to.example {REST} relay=mx.to.example/192.0.2.9/25 delay=1500ms \
                 fate=accepted/end_of_data/upstream reply=250 2.0.0 Ok: queued as 4F1A2B3C4D"
            ),
            &format!(
                "deferred id=1r5abc-0003Xy-2B {SO_FAR} to=carol@to.example {REST} relay=mx.to.example/192.0.2.9 fate=deferred/rcpt_to/upstream \
                 reply=452 4.2.2 full detail=SMTP error from remote mail server after RCPT TO:<carol@to.example>: 452 4.2.2 full"
            ),
            &format!("removed id=1r5abc-0003Xy-2B {SO_FAR} {REST}"),
        ],
    );
}

#[track_caller]
fn exim(line: &str, expected: &[&str]) {
    check(Format::Exim, &format!("2026-11-26 10:02:03.123 +0100 [123] {line}\n"), expected);
}

#[test]
fn exim_lines_in_all_their_forms() {
    exim(
        "1tABCD-000000005vi-0000 <= ann@from.example U=ann P=local S=300",
        &["submitted id=1tABCD-000000005vi-0000 from=ann@from.example size=300"],
    );
    exim(
        "1tABCD-000000005vi-0000 <= <> R=1r5abc-0003Xy-2B U=Debian-exim P=local S=900",
        &["submitted id=1tABCD-000000005vi-0000 from= size=900", "report_sent id=1r5abc-0003Xy-2B next=1tABCD-000000005vi-0000"],
    );
    exim(
        "1r5abc-0003Xy-2B => bob <bob@to.example> R=local_user T=maildir_home",
        &["delivered id=1r5abc-0003Xy-2B to=bob@to.example fate=accepted/after_acceptance/recipient detail=transport maildir_home"],
    );
    exim(
        "1r5abc-0003Xy-2B => |/usr/bin/vacation ann <ann@to.example> R=pipe T=address_pipe",
        &["delivered id=1r5abc-0003Xy-2B to=ann@to.example fate=accepted/after_acceptance/recipient detail=|/usr/bin/vacation ann"],
    );
    exim("1r5abc-0003Xy-2B => :blackhole: <ann@to.example> R=system_aliases", &["discarded id=1r5abc-0003Xy-2B to=ann@to.example"]);
    exim(
        "1r5abc-0003Xy-2B -> b@to.example F=<a@from.example> R=d T=remote_smtp H=mx.to.example [2001:db8::9] C=\"250 OK id=1r5abd-0003Xz-2C\"",
        &[
            "sent id=1r5abc-0003Xy-2B next=1r5abd-0003Xz-2C from=a@from.example to=b@to.example relay=mx.to.example/2001:db8::9 fate=accepted/end_of_data/upstream reply=250 OK id=1r5abd-0003Xz-2C",
        ],
    );
    exim(
        "1r5abc-0003Xy-2B ** b@to.example: Unrouteable address",
        &["bounced id=1r5abc-0003Xy-2B to=b@to.example fate=rejected/connect/dns detail=Unrouteable address"],
    );
    exim(
        r"1r5abc-0003Xy-2B ** b@to.example F=<a@x> R=d T=remote_smtp H=mx.to.example [192.0.2.9] X=TLS1.3: SMTP error from remote mail server after pipelined MAIL FROM:<a@x> SIZE=1: 550-5.7.1 go\n550 5.7.1 away",
        &[
            r"bounced id=1r5abc-0003Xy-2B from=a@x to=b@to.example relay=mx.to.example/192.0.2.9 fate=rejected/mail_from/upstream reply=550 5.7.1 go|5.7.1 away detail=SMTP error from remote mail server after pipelined MAIL FROM:<a@x> SIZE=1: 550-5.7.1 go\n550 5.7.1 away",
        ],
    );
    exim(
        "1r5abc-0003Xy-2B ** b@to.example: retry timeout exceeded",
        &["expired id=1r5abc-0003Xy-2B to=b@to.example fate=rejected/after_acceptance/recipient detail=retry timeout exceeded"],
    );
    exim(
        "1r5abc-0003Xy-2B == b@to.example R=d T=remote_smtp defer (111): Connection refused",
        &["deferred id=1r5abc-0003Xy-2B to=b@to.example fate=deferred/connect/network detail=Connection refused"],
    );
    exim("1r5abc-0003Xy-2B Frozen (delivery error message)", &["quarantined id=1r5abc-0003Xy-2B detail=frozen (delivery error message)"]);
    exim("1r5abc-0003Xy-2B Unfrozen by errmsg timer", &["queued id=1r5abc-0003Xy-2B detail=unfrozen by errmsg timer"]);
    exim("1r5abc-0003Xy-2B removed by root", &["discarded id=1r5abc-0003Xy-2B detail=deleted from the queue by root"]);
    exim(
        "1r5abc-0003Xy-2B == bob@to.example routing defer (-51): retry time not reached",
        &["deferred id=1r5abc-0003Xy-2B to=bob@to.example fate=deferred/connect/network detail=retry time not reached"],
    );
    exim(
        "1r5abc-0003Xy-2B == bob@to.example <b@to.example> transporting defer (-44): x: y",
        &["deferred id=1r5abc-0003Xy-2B to=bob@to.example orig=b@to.example fate=deferred/after_acceptance/recipient detail=x: y"],
    );
    exim("1r5abc-0003Xy-2B H=mx.to.example [192.0.2.9] Connection refused", &[]);
    exim(
        "H=(x) [192.0.2.66]:1234 F=<a@from.example> rejected RCPT <b@to.example>: relay not permitted",
        &["rejected from=a@from.example to=b@to.example client=192.0.2.66 fate=rejected/rcpt_to/upstream detail=relay not permitted"],
    );
    exim(
        "H=c.example [192.0.2.7] F=<a@from.example> temporarily rejected RCPT <b@to.example>: greylisted",
        &["rejected from=a@from.example to=b@to.example client=c.example/192.0.2.7 fate=deferred/rcpt_to/upstream detail=greylisted"],
    );
    exim(
        "1r5abc-0003Xy-2B H=c.example [192.0.2.7] F=<a@from.example> rejected after DATA: spam",
        &["rejected id=1r5abc-0003Xy-2B from=a@from.example client=c.example/192.0.2.7 fate=rejected/end_of_data/upstream detail=spam"],
    );
    exim(
        r#"1r5abc-0003Xy-2B <= ann@from.example H=c.example [192.0.2.7] P=esmtp S=300 T="Invoice for June \"2026\" for \\" from <ann@from.example> for b@to.example"#,
        &[
            r#"received id=1r5abc-0003Xy-2B from=ann@from.example to=b@to.example subject=Invoice for June "2026" for \ size=300 client=c.example/192.0.2.7"#,
        ],
    );
    exim(
        "1r5abc-0003Xy-2B <= ann@from.example H=c.example [192.0.2.7] P=esmtp S=300 T=\"Invoice for June 2026\"",
        &["received id=1r5abc-0003Xy-2B from=ann@from.example subject=Invoice for June 2026 size=300 client=c.example/192.0.2.7"],
    );
    exim("Start queue run: pid=12", &[]);
    check(
        Format::Exim,
        "Nov 26 10:02:03 mail exim[12]: 2026-11-26 10:02:03 1r5abc-0003Xy-2B Completed\n",
        &["removed id=1r5abc-0003Xy-2B"],
    );
}

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
