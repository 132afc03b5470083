//! Exchange message tracking.

use super::{check, given};
use crate::import::Format;

pub const EXCHANGE: &str = "\
#Software: Microsoft Exchange Server
#Version: 15.02.1118.026
#Log-type: Message Tracking Log
#Date: 2026-11-26T10:00:00.000Z
#Fields: date-time,client-ip,client-hostname,server-ip,server-hostname,source-context,connector-id,source,event-id,internal-message-id,message-id,network-message-id,recipient-address,recipient-status,total-bytes,recipient-count,related-recipient-address,reference,message-subject,sender-address,return-path,message-info,directionality,tenant-id,original-client-ip,original-server-ip,custom-data,transport-traffic-type,log-id,schema-version
2026-11-26T10:02:03.123Z,192.0.2.7,client.example,192.0.2.1,EX01,08DB;2026-11-26T10:02:03.000Z;0,EX01\\Default,SMTP,RECEIVE,77,<1@from.example>,guid,bob@to.example;carol@to.example,,1234,2,,,\"Hello, \"\"you\"\"
and more\",ann@from.example,ann@from.example,0cI: ,Originating,,192.0.2.7,192.0.2.1,,Email,id,15
2026-11-26T10:02:04.500Z,192.0.2.1,EX01,192.0.2.9,mx.to.example,08DB;250 2.0.0 Ok: queued as 4F1A2B3C4D;ClientSubmitTime:,Internet,SMTP,SEND,77,<1@from.example>,guid,bob@to.example,250 2.1.5 Ok,1234,1,,,Hello,ann@from.example,ann@from.example,2026-11-26T10:02:03.000Z;LSRV=EX01,Originating,,,,,Email,id,15
2026-11-26T10:02:05.000Z,,,,EX01,,,SMTP,DEFER,77,<1@from.example>,guid,carol@to.example,[{LED=451 4.7.0 Temporary server error. Please try again later};{MSG=};{FQDN=mx.to.example};{IP=192.0.2.9};{LRT=11/26/2026 10:02:05 AM}],1234,1,,,Hello,ann@from.example,ann@from.example,,Originating,,,,,Email,id,15
";

#[test]
fn records_are_read_by_their_header() {
    const SO_FAR: &str = "id=77 mid=1@from.example from=ann@from.example";
    check(
        Format::Exchange,
        EXCHANGE,
        &[
            // The client's own words are the rest of the line.
            &format!(
                "received {}",
                "id=77 mid=1@from.example from=ann@from.example to=bob@to.example subject=Hello, \"you\"\nand more size=1234 client=client.example/192.0.2.7"
            ),
            &format!(
                "received {}",
                "id=77 mid=1@from.example from=ann@from.example to=carol@to.example subject=Hello, \"you\"\nand more size=1234 client=client.example/192.0.2.7"
            ),
            concat!(
                "sent id=77 next=4F1A2B3C4D mid=1@from.example from=ann@from.example to=bob@to.example subject=Hello size=1234 ",
                "relay=mx.to.example/192.0.2.9 delay=1500ms fate=accepted/end_of_data/upstream reply=250 2.0.0 Ok: queued as 4F1A2B3C4D"
            ),
            &format!(
                "deferred {SO_FAR} to=carol@to.example subject=Hello size=1234 fate=deferred/end_of_data/upstream \
                 reply=451 4.7.0 Temporary server error. Please try again later detail=[{{LED=451 4.7.0 Temporary server error. Please try again later}};\
                 {{MSG=}};{{FQDN=mx.to.example}};{{IP=192.0.2.9}};{{LRT=11/26/2026 10:02:05 AM}}]"
            ),
        ],
    );
    let given = given(Format::Exchange, EXCHANGE.as_bytes());
    assert_eq!(given.entries[0].entry.host.as_deref(), Some("EX01"));
    assert_eq!(given.entries[2].entry.host.as_deref(), Some("EX01"));
    assert_eq!((given.counts.lines, given.counts.foreign), (8, 4), "a record in quotes over two lines is one");
}

#[test]
fn columns_stand_where_the_header_says() {
    let log = "#Fields: event-id,source,message-id,date-time,recipient-address,recipient-status\n\
               FAIL,ROUTING,<1@x>,2026-11-26T10:02:03Z,b@to.example,550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found\n\
               AGENTINFO,AGENT,<1@x>,2026-11-26T10:02:03Z,b@to.example,\n\
               HAREDIRECT,SMTP,<1@x>,2026-11-26T10:02:03Z,b@to.example,\n";
    check(
        Format::Exchange,
        log,
        &[
            "bounced mid=1@x to=b@to.example fate=rejected/after_acceptance/recipient reply=550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found \
           detail=550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found",
        ],
    );
}

#[test]
fn an_export_of_the_shell_is_read() {
    let log = "\"Timestamp\",\"ClientIp\",\"ServerHostname\",\"Source\",\"EventId\",\"InternalMessageId\",\"MessageId\",\"Recipients\",\"TotalBytes\",\"MessageSubject\",\"Sender\"\n\
               \"11/26/2026 10:02:03 AM\",\"\",\"EX01\",\"STOREDRIVER\",\"DELIVER\",\"77\",\"<1@x>\",\"b@to.example\",\"1234\",\"Hello\",\"a@x\"\n";
    check(
        Format::Exchange,
        log,
        &["delivered id=77 mid=1@x from=a@x to=b@to.example subject=Hello size=1234 fate=accepted/after_acceptance/recipient"],
    );
}

#[test]
fn utf_16_is_read() {
    let octets: Vec<u8> =
        "\u{feff}".encode_utf16().chain(EXCHANGE.replace('\n', "\r\n").encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let given = given(Format::Exchange, &octets);
    assert_eq!((given.entries.len(), given.counts.unreadable), (4, 0));
}

#[test]
fn what_is_no_record_is_shown() {
    let given =
        given(Format::Exchange, b"#Fields: date-time,event-id\nyesterday,SEND\n2026-11-26T10:02:03Z,\n2026-11-26T10:02:03Z,S\0ND\n");
    let shown: Vec<_> = given.unreadable.iter().map(|it| (it.line, it.why)).collect();
    assert_eq!(shown, [(2, "no time in the column date-time"), (3, "no event in the column event-id"), (4, "there are NUL octets in it")]);
}

#[test]
fn lists_that_an_export_lost_are_not_read_as_recipients() {
    let header = "\"Timestamp\",\"EventId\",\"Source\",\"MessageId\",\"Recipients\",\"RecipientStatus\",\"Reference\"\n";
    for (recipients, statuses, reference) in [
        ("System.String[]", "", ""),
        ("System.Collections.ArrayList", "", ""),
        ("b@to.example", "System.String[]", ""),
        ("b@to.example", "", "System.String[]"),
    ] {
        let line = format!("\"2026-11-26T10:02:03Z\",\"FAIL\",\"SMTP\",\"<1@x>\",\"{recipients}\",\"{statuses}\",\"{reference}\"\n");
        let given = given(Format::Exchange, (header.to_owned() + &line).as_bytes());
        assert_eq!((given.entries.len(), given.counts.unreadable), (0, 1), "{line}");
        assert!(given.unreadable[0].why.contains("Export-Csv"), "{line}");
    }
}

#[test]
fn each_recipient_has_its_own_status() {
    const NOT_FOUND: &str = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found";
    let log = |statuses: &str| {
        format!(
            "#Fields: event-id,source,message-id,date-time,recipient-address,recipient-status\n\
             FAIL,SMTP,<1@x>,2026-11-26T10:02:03Z,b@to.example;c@to.example,\"{statuses}\"\n"
        )
    };
    let of = |to: &str, status: &str| format!("bounced mid=1@x to={to} fate=rejected/end_of_data/upstream reply={status} detail={status}");
    for (first, second) in [(NOT_FOUND, "550 5.2.2 mailbox full"), ("550 5.2.2 mailbox full", NOT_FOUND), (NOT_FOUND, NOT_FOUND)] {
        check(Format::Exchange, &log(&format!("{first};{second}")), &[&of("b@to.example", first), &of("c@to.example", second)]);
    }
    // Of one status for two nobody can tell whose it is.
    let unknown = |to: &str| format!("bounced mid=1@x to={to} fate=rejected/after_acceptance/recipient detail={NOT_FOUND}");
    check(Format::Exchange, &log(NOT_FOUND), &[&unknown("b@to.example"), &unknown("c@to.example")]);
    // That the server's own rules said it shows all the same; without a reply it was DNS.
    for (statuses, fate) in [(NOT_FOUND, "rejected/after_acceptance/recipient"), ("no such domain", "rejected/connect/dns")] {
        let of = |to: &str| format!("bounced mid=1@x to={to} fate={fate} detail={statuses}");
        check(Format::Exchange, &log(statuses).replace("FAIL,SMTP", "FAIL,ROUTING"), &[&of("b@to.example"), &of("c@to.example")]);
    }
    let given = given(Format::Exchange, log(";550 5.2.2 mailbox full").as_bytes());
    let replies: Vec<_> = given.entries.iter().map(|it| it.entry.reply.as_ref().map(|it| it.code)).collect();
    assert_eq!(replies, [None, Some(550)]);
}
