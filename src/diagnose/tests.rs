//! The built-in rules as they stand: every pattern compiles, every cause has advice, and what each provider means by its words.

use super::rules::BUILTIN;
use super::*;
use crate::smtp::Stage;

#[track_caller]
fn check(host: Option<&str>, text: &str, cause: Cause, provider: Option<&str>) {
    let verdict = Rules::builtin().classify(&Facts { text, host, ..Facts::default() });
    assert_eq!((verdict.cause, verdict.provider), (cause, provider), "{text}: rule {}", verdict.rule);
}

#[test]
fn the_built_in_files_are_sound() {
    // As own rules their patterns are checked one by one, which the start of a process spares itself.
    let mut files: Vec<(String, String)> = Vec::new();
    for source in BUILTIN {
        let text = source.text.replace("\nid = \"", "\nid = \"again-");
        files.push((source.name.to_owned(), again(&text)));
    }
    if let Err(error) = Rules::with_own(&files) {
        panic!("{error}");
    }
    for &cause in Cause::ALL {
        assert!(!Rules::builtin().advice(cause, None).is_empty(), "{cause} has no advice");
    }
    assert!(Rules::builtin().listed().count() > 250);
}

#[test]
fn few_patterns_are_run_on_every_text() {
    let rules = Rules::builtin();
    let texts = rules.rules.iter().filter_map(|rule| rule.conditions.text);
    let unsifted: Vec<&str> = texts.filter_map(|pattern| rules.patterns.unsifted(pattern)).collect();
    assert!(unsifted.len() <= 4, "{unsifted:#?}");
}

/// References to providers follow their new ids.
fn again(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("provider = [") {
        Some(list) => format!("provider = [{}", list.replace(", \"", ", \"again-").replacen('"', "\"again-", 1)),
        None => line.replace("provider = \"", "provider = \"again-"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_greeting_that_names_nobody_is_nobodys() {
    let greeted = |banner: &str| {
        let facts = Facts { text: "550 5.1.1 No such user", host: Some("mx.to.example"), banner: Some(banner), ..Facts::default() };
        Rules::builtin().classify(&facts).provider
    };
    // What IronPort, hMailServer and qmail say by default, and many a Postfix whose admin shows no name.
    for banner in ["mx.to.example ESMTP", "220 mx.to.example ESMTP", "mx.to.example ESMTP ready", "ESMTP"] {
        assert_eq!(greeted(banner), None, "{banner}");
    }
    for (banner, provider) in [
        ("mx.to.example ESMTP IronPort", "ironport"),
        ("mx.to.example ESMTP Postfix (Debian/GNU)", "postfix"),
        ("mx.to.example hMailServer ESMTP", "hmailserver"),
    ] {
        assert_eq!(greeted(banner), Some(provider), "{banner}");
    }
}

#[test]
fn a_code_means_what_its_provider_means() {
    use Cause::*;
    let microsoft = Some("mx1.mail.protection.outlook.com");
    check(microsoft, "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", RecipientUnknown, Some("microsoft"));
    check(microsoft, "550 5.2.2 Submission quota exceeded", SendingLimitReached, Some("microsoft"));
    check(microsoft, "554 5.2.2 mailbox full", MailboxFull, Some("microsoft"));
    check(microsoft, "550 5.7.606 Access denied, banned sending IP [192.0.2.7]", Blocklisted, Some("microsoft"));
    check(microsoft, "550 5.7.64 TenantAttribution; Relay Access Denied", RelayDenied, Some("microsoft"));
    let google = Some("aspmx.l.google.com");
    check(google, "550 5.4.5 Daily sending quota is used up", SendingLimitReached, Some("google"));
    check(google, "421 4.7.29 Put off, for it didn't come over a TLS connection", EncryptionRequired, Some("google"));
    check(google, "550 5.7.30 The DKIM signature didn't pass", SpfDkimDmarcFailure, Some("google"));
    check(Some("mx01.gmx.net"), "554 No PTR record for 192.0.2.7", ReverseDnsMissing, Some("gmx"));
    check(Some("in.hmail.example"), "550 5.7.1 no", Unclassified, None);
}

/// A code, or a word beside it, that its provider uses for one thing stood for another.
#[test]
fn a_providers_words_weigh_more_than_its_codes() {
    use Cause::*;
    let microsoft = Some("mx1.mail.protection.outlook.com");
    check(microsoft, "550 5.1.8 <a@x.example>: Sender address rejected: Domain not found", SenderRejected, Some("microsoft"));
    check(microsoft, "550 5.1.8 Access denied, bad outbound sender AS(42004)", AccountLocked, Some("microsoft"));
    check(microsoft, "451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35.", RelayDenied, Some("microsoft"));
    let office = Some("smtp.office365.com");
    check(
        office,
        "535 5.7.139 Authentication unsuccessful, account is locked. Contact your administrator.",
        AccountLocked,
        Some("microsoft"),
    );
    check(office, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", AuthFailed, Some("microsoft"));
    let gmx = Some("mx00.gmx.net");
    check(gmx, "554-Transaction failed\n554-Reject due to policy restrictions.", PolicyRejected, Some("gmx"));
    check(gmx, "554-Transaction failed\n554-IP address is block listed.", Blocklisted, Some("gmx"));
    check(gmx, "450-Requested mail action not taken: mailbox unavailable\n450 Mail send limit exceeded", SendingLimitReached, Some("gmx"));
    let gmail =
        "550-5.7.1 Gmail has detected that this message exceeded its quota for sending\n550-5.7.1 messages with the same Message-ID.";
    check(Some("gmail-smtp-in.l.google.com"), gmail, RateLimited, Some("google"));
}

#[test]
fn a_question_that_is_still_open_passes_by_itself() {
    let probed = |text: &str| Rules::builtin().classify(&Facts { text, ..Facts::default() });
    for whose in ["450 4.1.7 <a@x.example>: Sender", "450 4.1.1 <b@y.example>: Recipient"] {
        let verdict = probed(&format!("{whose} address rejected: unverified address: Address verification in progress"));
        assert_eq!((verdict.act, verdict.permanence), (Act::Nobody, Permanence::Transient), "{whose}: {}", verdict.rule);
    }
}

#[test]
fn lists_give_themselves_away_and_some_are_none() {
    use Cause::*;
    check(None, "554 5.7.1 Client host [192.0.2.7] blocked using zen.spamhaus.org", Blocklisted, Some("spamhaus"));
    let refused = "550 5.7.1 blocked using zen.spamhaus.org; Error: open resolver; https://www.spamhaus.org/returnc/pub/192.0.2.7";
    check(None, refused, RemoteSystemError, Some("spamhaus"));
    let verdict = Rules::builtin().classify(&Facts { text: "554 listed in dnsbl.sorbs.net", ..Facts::default() });
    assert!(verdict.cause == Blocklisted && verdict.advice.contains("closed in June 2024"));
    check(None, "554 rejected, see b.barracudacentral.org", Blocklisted, Some("barracuda"));
}

#[test]
fn the_innermost_reply_decides() {
    use Cause::*;
    let text = "host mx.y.example[192.0.2.9] said: 452 4.2.2 The mailbox is over quota (in reply to RCPT TO command)";
    check(None, text, MailboxFull, None);
    let text = "host aspmx.l.google.com[192.0.2.9] said: 550-5.1.1 The account doesn't exist. - gsmtp (in reply to RCPT TO command)";
    check(Some("email-smtp.eu-west-1.amazonaws.com"), text, RecipientUnknown, Some("google"));
    // Microsoft's own code means nothing where Microsoft only quotes it.
    let (microsoft, text) = (Some("mx1.mail.protection.outlook.com"), "550 5.7.506 Not today");
    check(microsoft, text, HeloRejected, Some("microsoft"));
    check(microsoft, &format!("host mx.y.example[192.0.2.9] said: {text} (in reply to RCPT TO command)"), Unclassified, None);
    let text = "Remote server returned '550 5.7.1 Relaying denied'";
    check(None, text, RelayDenied, None);
    // What the sender's own server said of the sender isn't said to it.
    let said = "host mx.x.example[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command)";
    let text = format!("550 5.1.7 <a@x.example>: Sender address rejected: undeliverable address: {said}");
    check(None, &text, SenderRejected, Some("postfix"));
    check(None, &format!("host mx.y.example[192.0.2.9] said: {text} (in reply to RCPT TO command)"), SenderRejected, Some("postfix"));
}

#[test]
fn failures_without_a_reply_have_causes() {
    let own = |stage, text: &str| Rules::builtin().classify(&Facts { stage: Some(stage), text, ..Facts::default() });
    #[track_caller]
    fn is(verdict: Verdict<'_>, cause: Cause, rule: &str) {
        assert_eq!((verdict.cause, verdict.rule), (cause, rule));
    }
    use Cause::*;
    let refused = "192.0.2.9:25 refused the connection (nothing listens there, or a firewall rejects it)";
    is(own(Stage::Connect, refused), ConnectionFailed, "own/connection-refused");
    let slow = "connecting to 192.0.2.9:25 timed out after 30 s (host down, or a firewall drops the packets)";
    is(own(Stage::Connect, slow), ConnectionFailed, "own/connect-timed-out");
    let forbidden = "192.0.2.9:25 is unreachable (host down, or a router or firewall on the way forbids it)";
    is(own(Stage::Connect, forbidden), ConnectionFailed, "own/unreachable");
    is(own(Stage::Connect, &format!("{slow}\nevery host timed out on port 25")), PortBlocked, "own/every-host-timed-out");
    is(own(Stage::Connect, "no such name in DNS: mx.y.example"), DomainNotFound, "own/dns-no-such-name");
    is(own(Stage::Connect, "DNS did not answer for mx.y.example within 5 s"), DnsFailure, "own/dns-fails");
    is(own(Stage::RcptTo, "y.example takes no mail (null MX)"), DomainNotFound, "own/dns-no-such-name");
    is(own(Stage::StartTls, "certificate refused: certificate expired 2026-11-01"), TlsFailure, "own/servers-certificate-expired");
    let name = "certificate refused: name mismatch: certificate is for a.example, not b.example";
    is(own(Stage::StartTls, name), TlsFailure, "own/certificate-name");
    let issuer = "certificate refused: issued by an unknown authority (self-signed)";
    is(own(Stage::StartTls, issuer), TlsFailure, "own/certificate-issuer");
    let hidden =
        "mx.y.example doesn't offer STARTTLS, which this upstream requires\na firewall rewrites the server's EHLO reply (XXXXXXXA)";
    is(own(Stage::Ehlo, hidden), EncryptionRequired, "own/ehlo-rewritten");
    is(own(Stage::RcptTo, "mail for this domain is not accepted here"), RelayDenied, "own/domain-not-accepted");
    let after = own(Stage::EndOfData, "the upstream closed the connection");
    assert!(after.advice.contains("may have been taken"));
    is(after, ConnectionFailed, "own/closed-after-data");
    let within = own(Stage::Body, "the smart host closed the connection");
    assert!(!within.advice.contains("may have been taken"), "it never got the whole message");
    is(within, ConnectionFailed, "own/closed-within-message");
    for stage in [Stage::MailFrom, Stage::RcptTo, Stage::Data, Stage::Body, Stage::EndOfData] {
        is(own(stage, "the smart host broke the protocol: not an SMTP reply: \"blah blah\""), ProtocolError, "own/broke-the-protocol");
    }
    let injected = "the smart host broke the protocol: sent octets behind its 220 to STARTTLS (injection?)";
    is(own(Stage::StartTls, injected), TlsFailure, "own/tls-injection");
}

/// Exchange Online's codes are nobody else's, so they speak for themselves where its host isn't known.
#[test]
fn a_sending_ip_that_exchange_online_restricts_is_the_senders_business() {
    let said = |text: &str| Rules::builtin().classify(&Facts { text, ..Facts::default() });
    for (text, cause) in [
        ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", Cause::RateLimited),
        ("450 4.7.500 Access denied, please try again later", Cause::PoorReputation),
        ("451 4.7.651 Access denied, please try again later [192.0.2.1]", Cause::PoorReputation),
        ("451 4.3.2 Server busy, please try again later", Cause::RemoteSystemError),
    ] {
        let verdict = said(text);
        assert_eq!(verdict.cause, cause, "{text}");
        assert_eq!(verdict.act, cause.act(), "{text}");
    }
    assert_eq!(said("450 4.7.500 Access denied, please try again later").act, Act::LocalAdmin);
}

#[test]
fn the_proxys_own_words_are_no_others() {
    use Cause::*;
    check(None, "450 4.1.8 <a@x.example>: Sender address rejected: DNS NXDOMAIN", SenderRejected, Some("postfix"));
    check(None, "554 5.7.1 reverse DNS of [192.0.2.7] failed: NXDOMAIN", ReverseDnsMissing, None);
    check(None, "550 5.4.4 no route to domain", DomainNotFound, None);
    for (text, rule) in [
        ("no route to 192.0.2.9:25 (network down, or no IPv4 here)", "own/no-route"),
        ("no route to [2001:db8::9]:25 (network down, or no IPv6 here)", "own/no-route"),
        ("no such name in DNS (NXDOMAIN)", "own/dns-no-such-name"),
        ("550 5.4.4 no route to host", "text/connection-failed"),
        ("connect to mx.to.example[192.0.2.9]:25: Network is unreachable", "text/connection-failed"),
    ] {
        assert_eq!(Rules::builtin().classify(&Facts { text, ..Facts::default() }).rule, rule, "{text}");
    }
}

#[test]
fn an_outage_that_names_its_end_is_no_greylisting() {
    use Cause::*;
    check(None, "421 4.3.2 System maintenance, try again in 30 minutes", RemoteSystemError, None);
    check(None, "452 4.3.1 Insufficient system storage, try again in 10 minutes", RemoteSystemError, None);
    check(None, "451 4.4.3 DNS lookup failed, try again in 5 minutes", DnsFailure, None);
    check(None, "450 4.2.1 mailbox temporarily disabled, try again in 2 hours", RecipientInactive, None);
    for text in ["451 4.7.1 Please try again in 5 minutes", "450 please wait 60 seconds", "450 4.7.1 Greylisted, try again in 300 seconds"]
    {
        check(None, text, Greylisted, None);
    }
}

/// `ers` stands within "headers" and "users".
#[test]
fn a_list_is_named_by_a_whole_word() {
    use Cause::*;
    let host = Some("in.hes.trendmicro.eu");
    check(host, "550 5.7.1 The headers were refused", PolicyRejected, Some("trendmicro"));
    check(host, "550 5.7.1 Refused by ERS", Blocklisted, Some("trendmicro"));
}

#[test]
fn names_in_the_text_decide_nothing() {
    for name in ["full-quota@spam.example", "spamhaus@virus.example", "unknown.user@greylist.example"] {
        let text = format!("550 5.1.1 <{name}>: Recipient address rejected: User unknown");
        check(None, &text, Cause::RecipientUnknown, Some("postfix"));
        check(None, &format!("554 Computer says no to {name}"), Cause::Unclassified, None);
    }
}

#[test]
fn own_rules_come_first_and_say_what_is_wrong_with_them() {
    let own = |text: &str| Rules::with_own(&[("own.toml".to_owned(), text.to_owned())]);
    let rules = own("[[rule]]\nid = \"own/x\"\ncause = \"policy_rejected\"\ntext = ['User Unknown']\nadvice = \"Call.\"\n").unwrap();
    let verdict = rules.classify(&Facts { text: "550 5.1.1 user unknown", ..Facts::default() });
    assert_eq!((verdict.rule, verdict.cause, verdict.advice), ("own/x", Cause::PolicyRejected, "Call."));
    assert!(rules.version().starts_with("6+own."));
    let wrong = |text: &str| own(text).unwrap_err().to_string();
    let near = wrong("[[rule]]\nid = \"own/x\"\ncause = \"mailbox_ful\"\ntext = ['x']\n");
    assert_eq!(near, "own.toml:3: `mailbox_ful` is no cause; did you mean `mailbox_full`?");
    let pattern = wrong("[[rule]]\nid = \"own/x\"\ncause = \"mailbox_full\"\ntext = [\n  'fine',\n  '(open',\n]\n");
    assert_eq!(pattern, "own.toml:6: not a pattern: unclosed group");
    assert!(wrong("[[rule]]\nid = \"own/x\"\ncause = \"mailbox_full\"\n").contains("would match every reply"));
    assert!(wrong("[[rules]]\n").starts_with("own.toml:1: "));
}
