//! Exim.

use super::check;
use crate::import::Format;

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

#[test]
fn what_a_client_calls_itself_is_not_its_address() {
    exim(
        "1r5abc-0003Xy-2B <= ann@from.example H=([192.168.1.104]) [203.0.113.9]:5432 P=esmtp S=300",
        &["received id=1r5abc-0003Xy-2B from=ann@from.example size=300 client=203.0.113.9"],
    );
    exim(
        "1r5abc-0003Xy-2B <= ann@from.example H=host.isp.example ([192.0.2.66]) [203.0.113.9] I=[192.0.2.1]:25 P=esmtp S=300",
        &["received id=1r5abc-0003Xy-2B from=ann@from.example size=300 client=host.isp.example/203.0.113.9"],
    );
    exim(
        "H=([192.0.2.66]) [2001:db8::9]:1234 F=<a@from.example> rejected RCPT <b@to.example>: relay not permitted",
        &["rejected from=a@from.example to=b@to.example client=2001:db8::9 fate=rejected/rcpt_to/upstream detail=relay not permitted"],
    );
    exim("H=(no address) F=<a@from.example> rejected RCPT <b@to.example>: relay not permitted", &[]);
}

#[test]
fn exim_refusals_by_every_acl_are_entries() {
    const HOST: &str = "1r5abc-0003Xy-2B H=c.example [192.0.2.7]:34934 I=[192.0.2.1]:25";
    const KNOWN: &str = "id=1r5abc-0003Xy-2B from=a@from.example client=c.example/192.0.2.7";
    for (words, state) in [("rejected", "rejected"), ("temporarily rejected", "deferred")] {
        exim(
            &format!("{HOST} F=<a@from.example> {words} during MIME ACL checks: MIME ERROR: LONG BOUNDARY"),
            &[&format!("rejected {KNOWN} fate={state}/end_of_data/upstream detail=MIME ERROR: LONG BOUNDARY")],
        );
    }
    exim(
        &format!("{HOST} rejected DKIM : no signature"),
        &["rejected id=1r5abc-0003Xy-2B client=c.example/192.0.2.7 fate=rejected/end_of_data/upstream detail=no signature"],
    );
    exim(
        "H=c.example [192.0.2.7]:34934 rejected EXPN staff",
        &["rejected client=c.example/192.0.2.7 fate=rejected/rcpt_to/upstream detail=EXPN staff"],
    );
    exim(
        r#"H=c.example [192.0.2.7] F=<"x rejected RCPT <ceo@to.example>: y"@from.example> rejected RCPT <b@to.example>: no"#,
        &[
            r#"rejected from="x rejected RCPT <ceo@to.example>: y"@from.example to=b@to.example client=c.example/192.0.2.7 fate=rejected/rcpt_to/upstream detail=no"#,
        ],
    );
    // What another server said is no refusal of this one's.
    exim(
        "1r5abc-0003Xy-2B H=mx.to.example [192.0.2.9]: SMTP error from remote mail server after RCPT TO:<b@to.example>: 451 rejected by policy",
        &[],
    );
    exim("H=c.example [192.0.2.7] Warning: would be rejected by policy", &[]);
}

#[test]
fn exim_subjects_are_decoded() {
    for subject in [
        r"Gr\303\274\303\237e aus =?utf-8?Q?K=C3=B6ln?=",
        r"=?utf-8?B?R3LDvMOfZSBhdXMg?=\n =?iso-8859-1?q?K=F6ln?=",
        r"=?utf-8?Q?Gr=C3=BC=C3?=\n\t=?utf-8?Q?=9Fe_aus_K=C3=B6ln?=",
    ] {
        exim(
            &format!("1r5abc-0003Xy-2B <= ann@from.example H=c.example [192.0.2.7] P=esmtp S=300 T=\"{subject}\""),
            &["received id=1r5abc-0003Xy-2B from=ann@from.example subject=Grüße aus Köln size=300 client=c.example/192.0.2.7"],
        );
    }
    exim(
        r#"1r5abc-0003Xy-2B <= ann@from.example H=c.example [192.0.2.7] P=esmtp S=300 T="\\1 \377 \400""#,
        &["received id=1r5abc-0003Xy-2B from=ann@from.example subject=\\1 \u{fffd} 400 size=300 client=c.example/192.0.2.7"],
    );
}

#[test]
fn a_local_part_in_quotes_forges_no_field_of_exims() {
    exim(
        r#"1r5abc-0003Xy-2B <= "x H=evil [192.0.2.66] y"@from.example H=c.example [192.0.2.7] P=esmtp S=300 T="Hello""#,
        &[r#"received id=1r5abc-0003Xy-2B from="x H=evil [192.0.2.66] y"@from.example subject=Hello size=300 client=c.example/192.0.2.7"#],
    );
    exim(
        r#"1r5abc-0003Xy-2B <= o"brien@from.example H=c.example [192.0.2.7] P=esmtp S=300"#,
        &[r#"received id=1r5abc-0003Xy-2B from=o"brien@from.example size=300 client=c.example/192.0.2.7"#],
    );
    exim(
        r#"1r5abc-0003Xy-2B => "x H=evil [192.0.2.66] F=<ceo@x> y"@to.example F=<a@from.example> R=d T=remote_smtp H=mx.to.example [192.0.2.9] C="250 OK""#,
        &[
            r#"sent id=1r5abc-0003Xy-2B from=a@from.example to="x H=evil [192.0.2.66] F=<ceo@x> y"@to.example relay=mx.to.example/192.0.2.9 fate=accepted/end_of_data/upstream reply=250 OK"#,
        ],
    );
    exim(
        r#"1r5abc-0003Xy-2B == bob@to.example <"x> F=<ceo@x> y"@to.example> F=<a@from.example> R=d T=remote_smtp defer (111): Connection refused"#,
        &[
            r#"deferred id=1r5abc-0003Xy-2B from=a@from.example to=bob@to.example orig="x> F=<ceo@x> y"@to.example fate=deferred/connect/network detail=Connection refused"#,
        ],
    );
    exim(
        r#"H=c.example [192.0.2.7] F=<a@from.example> rejected RCPT <"x>: 550 y"@to.example>: relay not permitted"#,
        &[
            r#"rejected from=a@from.example to="x>: 550 y"@to.example client=c.example/192.0.2.7 fate=rejected/rcpt_to/upstream detail=relay not permitted"#,
        ],
    );
}
