//! Postfix.

use super::{check, given};
use crate::import::Format;

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

#[test]
fn postfix_subjects_are_decoded() {
    for subject in ["=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "=?utf-8?Q?Gr=C3=BC?=? =?utf-8?Q?=C3=9Fe?=", "=?utf-8?Q?Gr=C3=BC?=??=?utf-8?Q?=C3=9Fe?="]
    {
        let envelope = "from c.example[192.0.2.7]; from=<a@from.example> to=<b@to.example> proto=ESMTP helo=<h>";
        postfix(
            &format!("postfix/cleanup[1]: 4F1A2B3C4D: reject: header Subject: {subject} {envelope}: 5.7.1 no"),
            &[
                "rejected id=4F1A2B3C4D from=a@from.example to=b@to.example subject=Grüße client=c.example/192.0.2.7 fate=rejected/end_of_data/upstream detail=5.7.1 no",
            ],
        );
        let lines = format!(
            "Nov 26 10:02:03 mail postfix/cleanup[1]: 4F1A2B3C4D: info: header Subject: {subject} {envelope}\n\
             Nov 26 10:02:03 mail postfix/qmgr[1]: 4F1A2B3C4D: removed\n"
        );
        check(Format::Postfix, &lines, &["removed id=4F1A2B3C4D subject=Grüße"]);
    }
}

#[test]
fn a_busy_postscreen_refuses_for_now() {
    for told in ["too many connections", "all screening ports busy", "all server ports busy"] {
        postfix(
            &format!("postfix/postscreen[1]: NOQUEUE: reject: CONNECT from [192.0.2.7]:34567: {told}"),
            &[&format!("rejected client=192.0.2.7 fate=deferred/connect/upstream detail={told}")],
        );
    }
}

#[test]
fn a_local_part_in_quotes_forges_no_envelope() {
    const SAID: &str = "NOQUEUE: reject: RCPT from c.example[192.0.2.7]: 554 5.7.1 no";
    for forged in [
        r#""x> to=<ceo@to.example>"@evil.example"#,
        r#""x> to=<ceo@to.example> proto=ESMTP helo=<h>"@evil.example"#,
        r#""x; from=<ceo@to.example> to=<ceo@to.example>"@evil.example"#,
        r#""x\"> to=<ceo@to.example> proto=y"@evil.example"#,
    ] {
        postfix(
            &format!("postfix/smtpd[1]: {SAID}; from=<{forged}> to=<b@to.example> proto=ESMTP helo=<h>"),
            &[&format!(
                "rejected from={forged} to=b@to.example client=c.example/192.0.2.7 fate=rejected/rcpt_to/upstream reply=554 5.7.1 no"
            )],
        );
    }
    for forged in [
        r#""x; from=<ceo@to.example> to=<ceo@to.example> proto=y"@evil.example"#,
        r#""x; from=<ceo@to.example> to=<ceo@to.example> proto=ESMTP helo=<h>: 5.7.1 y"@evil.example"#,
    ] {
        let envelope = format!("; from=<{forged}> to=<b@to.example> proto=ESMTP helo=<h>");
        let from_and_to = format!("from={forged} to=b@to.example");
        const FATE: &str = "fate=rejected/end_of_data/upstream";
        postfix(
            &format!("postfix/smtpd[1]: proxy-reject: END-OF-MESSAGE: 554 5.7.0 no{envelope}"),
            &[&format!("rejected {from_and_to} {FATE} reply=554 5.7.0 no")],
        );
        // Quotes of the subject's are no address's.
        for subject in ["s", "\"s", "s; from=<\""] {
            postfix(
                &format!(
                    "postfix/cleanup[1]: 4F1A2B3C4D: reject: header Subject: {subject} from c.example[192.0.2.7]{envelope}: 5.7.1 no: never"
                ),
                &[&format!(
                    "rejected id=4F1A2B3C4D {from_and_to} subject={subject} client=c.example/192.0.2.7 {FATE} detail=5.7.1 no: never"
                )],
            );
        }
        check(
            Format::Postfix,
            &format!(
                "Nov 26 10:02:03 mail postfix/cleanup[1]: 4F1A2B3C4D: info: header Subject: s from c.example[192.0.2.7]{envelope}\n\
                 Nov 26 10:02:03 mail postfix/qmgr[1]: 4F1A2B3C4D: removed\n"
            ),
            &["removed id=4F1A2B3C4D subject=s"],
        );
    }
    let at_mail = r#""x> to=<ceo@to.example> y"@evil.example"#;
    postfix(
        &format!("postfix/smtpd[1]: NOQUEUE: reject: MAIL from c.example[192.0.2.7]: 554 5.7.1 no; from=<{at_mail}> proto=ESMTP helo=<h>"),
        &[&format!("rejected from={at_mail} client=c.example/192.0.2.7 fate=rejected/mail_from/upstream reply=554 5.7.1 no")],
    );
    let recipient = r#""x; from=<ceo@to.example> to=<ceo@to.example> proto=y"@to.example"#;
    postfix(
        &format!(
            "postfix/smtpd[1]: NOQUEUE: reject: RCPT from c.example[192.0.2.7]: 550 5.1.1 <{recipient}>: no; from=<a@x> to=<{recipient}> proto=ESMTP"
        ),
        &[&format!(
            "rejected from=a@x to={recipient} client=c.example/192.0.2.7 fate=rejected/rcpt_to/upstream reply=550 5.1.1 <{recipient}>: no"
        )],
    );
    // The HELO is whatever the client likes, in both places.
    for helo in ["x; from=<ceo@to.example> to=<ceo@to.example> proto=ESMTP helo=<y", "y>: Helo command rejected; from=<ceo@x> helo=<y"] {
        for told in
            ["554 5.7.1 <b@to.example>: no".to_owned(), "554 5.7.1 no".to_owned(), format!("504 5.5.2 <{helo}>: Helo command rejected: no")]
        {
            postfix(
                &format!(
                    "postfix/smtpd[1]: NOQUEUE: reject: RCPT from c.example[192.0.2.7]: {told}; from=<a@x> to=<b@to.example> proto=ESMTP helo=<{helo}>"
                ),
                &[&format!("rejected from=a@x to=b@to.example client=c.example/192.0.2.7 fate=rejected/rcpt_to/upstream reply={told}")],
            );
        }
    }
    // Before Postfix 3.5 addresses were logged without their quotes.
    postfix(
        &format!("postfix/smtpd[1]: {SAID}; from=<x> to=<ceo@to.example@evil.example> to=<b@to.example> proto=ESMTP helo=<h>"),
        &[
            "rejected from=x> to=<ceo@to.example@evil.example to=b@to.example client=c.example/192.0.2.7 fate=rejected/rcpt_to/upstream reply=554 5.7.1 no",
        ],
    );
    postfix(
        r#"postfix/qmgr[1]: 4F1A2B3C4D: from=<"x>, status=expired, y"@evil.example>, size=9, nrcpt=1 (queue active)"#,
        &[r#"queued id=4F1A2B3C4D from="x>, status=expired, y"@evil.example size=9"#],
    );
    postfix(
        r#"postfix/smtp[1]: 4F1A2B3C4D: to=<"x>, relay=none, status=sent (250 ok)"@to.example>, relay=none, delay=1, dsn=4.4.1, status=deferred (connect to mx.to.example[192.0.2.9]:25: Connection timed out)"#,
        &[
            r#"deferred id=4F1A2B3C4D to="x>, relay=none, status=sent (250 ok)"@to.example delay=1000ms fate=deferred/connect/network detail=connect to mx.to.example[192.0.2.9]:25: Connection timed out"#,
        ],
    );
    postfix(
        r#"postfix/qmgr[1]: 4F1A2B3C4D: from=<o"brien@from.example>, size=9, nrcpt=1 (queue active)"#,
        &[r#"queued id=4F1A2B3C4D from=o"brien@from.example size=9"#],
    );
}
