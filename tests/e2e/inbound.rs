//! In front of a mail server that trusts the proxy: it learns who the client is, and nobody can make an open relay of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use relayscope::trace::{EndHow, Stage, State, Told};

use crate::support::certificates;
use crate::support::client::Client;
use crate::support::haproxy::Haproxy;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::programs::need;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

/// Where the client comes from: no address that Postfix trusts, unlike the proxy's own, 127.0.0.1.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// What makes Postfix trust the proxy, and the proxy alone.
const TRUSTING: &str = "mynetworks = 127.0.0.1/32\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n";

/// A proxy that everybody may reach.
fn in_front(place: &Place, behind: SocketAddr, listener: &str, upstream: &str) -> Relayscope {
    let config = format!(
        "[[listener]]\nlisten = [\"0.0.0.0:0\"]\nallow = [\"0.0.0.0/0\"]\ndirection = \"inbound\"\n{listener}\n\
         [[upstream]]\nkind = \"fixed\"\nhosts = [\"{behind}\"]\n{upstream}\n"
    );
    Relayscope::configured(place, &config)
}

fn stranger(relayscope: &Relayscope) -> Client {
    let mut client = Client::connect_from(CLIENT, SocketAddr::from(([127, 0, 0, 1], relayscope.address().port())));
    client.expect(220);
    client
}

/// A message goes in; a foreign domain is refused by the Postfix itself, which knows that the client is none of its own.
#[track_caller]
fn delivers_and_refuses(relayscope: &Relayscope, behind: &Postfix, name: &str) {
    let mut client = stranger(relayscope);
    client.command("EHLO client.example", 250);
    assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
    client.command("MAIL FROM:<ann@from.example>", 250);
    let refused = client.command("RCPT TO:<victim@elsewhere.example>", 554);
    assert!(refused.text.contains("Relay access denied") || refused.text.contains("Access denied"), "{}", refused.text);
    client.quit();
    behind.log().expect("to=<bob@to.example>, relay=virtual");
}

#[test]
fn postfix_learns_the_client_by_xclient() {
    need!("postfix", "root");
    let place = Place::new();
    let behind = Postfix::behind(&place, &format!("{TRUSTING}smtpd_authorized_xclient_hosts = 127.0.0.1\n"));
    let relayscope = in_front(&place, behind.address, "", "tell_client = \"xclient\"");
    delivers_and_refuses(&relayscope, &behind, "told");
    behind.log().expect("client=unknown[127.0.0.9]");
    let mailbox = behind.mailbox("bob");
    assert!(mailbox[0].contains("Received: from client.example (unknown [127.0.0.9])"), "{}", mailbox[0]);

    // HELO, and again within the same session.
    let mut client = stranger(&relayscope);
    client.command("HELO helo.example", 250);
    client.command("HELO again.example", 250);
    assert_eq!(client.deliver(&Message::named("helo")).unwrap().code, 250);
    client.quit();
    behind.log().expect_lines("status=sent", 2);
    assert!(behind.mailbox("bob").iter().any(|mail| mail.contains("Received: from again.example (unknown [127.0.0.9])")));
    let store = relayscope.stop();
    assert_eq!(records::one(&store, "told@msg.example").upstream.told, Some(Told::Xclient));
    assert_eq!(records::one(&store, "helo@msg.example").client.ip, CLIENT);
}

#[test]
fn xclient_goes_within_tls_and_with_a_static_ehlo() {
    need!("postfix", "root");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["127.0.0.1"]);
    let extra = format!(
        "{TRUSTING}smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        certificates.certificate.display(),
        certificates.key.display()
    );
    let behind = Postfix::behind(&place, &extra);
    let upstream = format!("tell_client = \"xclient\"\ntls = \"required\"\nca_file = \"{}\"", certificates.authority.display());
    let relayscope = in_front(&place, behind.address, "", &upstream);
    delivers_and_refuses(&relayscope, &behind, "tls");
    let store = relayscope.stop();
    let record = records::one(&store, "tls@msg.example");
    assert_eq!((record.upstream.told, record.upstream.tls.as_ref().and_then(|tls| tls.verified)), (Some(Told::Xclient), Some(true)));

    let place = Place::new();
    let relayscope = in_front(&place, behind.address, "ehlo = \"static\"", &upstream);
    delivers_and_refuses(&relayscope, &behind, "static");
    assert_eq!(records::one(&relayscope.stop(), "static@msg.example").upstream.told, Some(Told::Xclient));
    behind.log().expect_lines("status=sent", 2);
    assert_eq!(behind.mailbox("bob").iter().filter(|mail| mail.contains("(unknown [127.0.0.9])")).count(), 2);
}

#[test]
fn a_postfix_that_does_not_list_the_proxy_gets_no_mail() {
    need!("postfix", "root");
    let place = Place::new();
    let behind = Postfix::behind(&place, TRUSTING);
    let relayscope = in_front(&place, behind.address, "", "tell_client = \"xclient\"");
    let mut client = stranger(&relayscope);
    let refused = client.command("EHLO client.example", 421);
    assert!(refused.text.contains("relayscope: the mail server behind can't take mail now (trace "), "{}", refused.text);
    assert_eq!(client.rest(), "");
    let sessions = records::sessions(&relayscope.stop());
    let ended = &sessions[0].ended;
    assert_eq!((ended.stage, ended.how), (Stage::Ehlo, EndHow::ConnectFailure));
    assert!(ended.detail.as_deref().is_some_and(|it| it.contains("smtpd_authorized_xclient_hosts")), "{ended:?}");
    assert_eq!(behind.log().count("client="), 0);
}

#[test]
fn postfix_turns_a_client_away_that_it_was_told_of() {
    need!("postfix", "root");
    let place = Place::new();
    let extra = format!(
        "{TRUSTING}smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_delay_reject = no\n\
         smtpd_client_restrictions = check_client_access inline:{{ {{ 127.0.0.9 = 554 5.7.1 you are not welcome }} }}\n"
    );
    let behind = Postfix::behind(&place, &extra);
    let relayscope = in_front(&place, behind.address, "", "tell_client = \"xclient\"");
    let mut client = stranger(&relayscope);
    let refused = client.command("EHLO client.example", 554);
    assert!(refused.text.contains("you are not welcome"), "{}", refused.text);
    assert_eq!(client.rest(), "");
    let mut other = Client::ready(SocketAddr::from(([127, 0, 0, 1], relayscope.address().port())));
    assert_eq!(other.deliver(&Message::named("welcome")).unwrap().code, 250);
    other.quit();
    assert_eq!(records::sessions(&relayscope.stop())[0].ended.how, EndHow::Refused);
}

#[test]
fn postfix_logs_the_client_by_xforward() {
    need!("postfix", "root");
    let place = Place::new();
    let behind = Postfix::behind(&place, "smtpd_authorized_xforward_hosts = 127.0.0.1\n");
    let relayscope = in_front(&place, behind.address, "accept_domains = [\"to.example\"]", "tell_client = \"xforward\"");
    let mut client = stranger(&relayscope);
    client.command("EHLO client.example", 250);
    assert_eq!(client.deliver(&Message::named("first")).unwrap().code, 250);
    assert_eq!(client.deliver(&Message::named("second")).unwrap().code, 250);
    client.quit();
    let store = relayscope.stop();
    let first = records::one(&store, "first@msg.example");
    assert_eq!(first.upstream.told, Some(Told::Xforward));
    let line = format!("orig_queue_id={}, orig_client=unknown[127.0.0.9]", first.session_id);
    behind.log().expect_lines(&line, 2);
}

#[test]
fn postfix_learns_the_client_by_proxy_v2() {
    need!("postfix", "root");
    let place = Place::new();
    let behind = Postfix::behind(&place, &format!("{TRUSTING}smtpd_upstream_proxy_protocol = haproxy\n"));
    let relayscope = in_front(&place, behind.address, "", "tell_client = \"proxy_v2\"");
    delivers_and_refuses(&relayscope, &behind, "told");
    behind.log().expect("client=unknown[127.0.0.9]");
    assert_eq!(records::one(&relayscope.stop(), "told@msg.example").upstream.told, Some(Told::ProxyV2));

    let place = Place::new();
    let relayscope = in_front(&place, behind.address, "ehlo = \"static\"", "tell_client = \"proxy_v2\"");
    delivers_and_refuses(&relayscope, &behind, "static");
    assert_eq!(records::one(&relayscope.stop(), "static@msg.example").upstream.told, Some(Told::ProxyV2));
}

#[test]
fn the_proxy_header_goes_before_the_tls_hello() {
    need!("postfix", "root");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["127.0.0.1"]);
    let extra = format!(
        "{TRUSTING}smtpd_upstream_proxy_protocol = haproxy\nsmtpd_tls_wrappermode = yes\nsmtpd_tls_security_level = encrypt\n\
         smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        certificates.certificate.display(),
        certificates.key.display()
    );
    let behind = Postfix::behind(&place, &extra);
    let upstream = format!("tell_client = \"proxy_v2\"\ntls = \"implicit\"\nca_file = \"{}\"", certificates.authority.display());
    let relayscope = in_front(&place, behind.address, "", &upstream);
    delivers_and_refuses(&relayscope, &behind, "hello");
    behind.log().expect("client=unknown[127.0.0.9]");
    let record = records::one(&relayscope.stop(), "hello@msg.example");
    assert_eq!((record.upstream.told, record.upstream.tls.as_ref().and_then(|tls| tls.verified)), (Some(Told::ProxyV2), Some(true)));
}

#[test]
fn haproxy_takes_the_header_and_the_session_id() {
    need!("haproxy");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let log = "accept-proxy\n  log-format \"client=%ci:%cp unique=%[fc_pp_unique_id] to=%[dst]:%[dst_port]\"";
    let haproxy = Haproxy::start(&place, "behind", sink.address, log, "");
    let relayscope = in_front(&place, haproxy.address, "", "tell_client = \"proxy_v2\"");
    let mut client = stranger(&relayscope);
    client.command("EHLO client.example", 250);
    assert_eq!(client.deliver(&Message::named("balanced")).unwrap().code, 250);
    client.quit();
    let port = relayscope.address().port();
    let record = records::one(&relayscope.stop(), "balanced@msg.example");
    let expected = format!("client=127.0.0.9:{} unique={} to=127.0.0.1:{port}", record.client.port, record.session_id);
    haproxy.output().expect(&expected);
    assert_eq!(sink.taken().len(), 1);
}

#[test]
fn a_received_line_is_all_that_is_added() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = in_front(&place, sink.address, "accept_domains = [\"to.example\"]", "add_received = true");
    let mut client = stranger(&relayscope);
    client.command("EHLO client.example", 250);
    let message = Message::sized("dots", 100_000);
    assert_eq!(client.deliver(&message).unwrap().code, 250);
    client.quit();
    let record = records::one(&relayscope.stop(), "dots@msg.example");
    let taken = &sink.taken()[0];
    let text = String::from_utf8_lossy(&taken.content).into_owned();
    assert!(text.starts_with("Received: from client.example ([127.0.0.9])\r\n\tby "), "{}", &text[..200]);
    assert!(text.contains(&format!(" with ESMTP\r\n\tid {}; ", record.id)), "{}", &text[..300]);
    assert!(taken.content.ends_with(&message.octets));
    assert_eq!(record.message.body_digest.map(|it| it.to_string()), Some(taken.wire_digest.clone()), "of the octets as sent on");
    assert_eq!(record.message.size, message.octets.len() as u64, "of the client's message");
    assert_eq!(record.message.received_count, 0);
    assert_eq!(record.upstream.told, Some(Told::Received));
}

/// The forms in which a mail server can be made to send elsewhere. Postfix behind takes all that comes from the proxy.
const ELSEWHERE: &[&str] = &[
    "<victim@elsewhere.example>",
    "<victim@ELSEWHERE.example>",
    "<victim@elsewhere.example.>",
    "<@to.example:victim@elsewhere.example>",
    "<@to.example,@to.example:victim@elsewhere.example>",
    "<victim%elsewhere.example@to.example>",
    "<elsewhere.example!victim@to.example>",
    "<victim@elsewhere.example@to.example>",
    "<\"victim@elsewhere.example\"@to.example>",
    "<\"victim%elsewhere.example\"@to.example>",
    "<\"victim@elsewhere.example\">",
    "<victim%elsewhere.example>",
    "<elsewhere.example!victim>",
    "<victim@to.example.elsewhere.example>",
    "<victim@elsewhere.example#to.example>",
    "<victim@[127.0.0.1]>",
    "<victim@[192.0.2.1]>",
    "<victim%elsewhere.example@[127.0.0.1]>",
    "<victim@127.0.0.1>",
    "<victim@t\u{43e}.example>",
    "<victim@to\u{ff0e}example>",
    "<victim@to.example\u{200b}>",
    "<victim@elsewhere.example> <bob@to.example>",
    "<bob@to.example>, <victim@elsewhere.example>",
    "victim@elsewhere.example",
    "<victim@elsewhere.example> NOTIFY=NEVER",
    " <victim@elsewhere.example>",
    "<victim@elsewhere.example\u{0}@to.example>",
];

#[test]
fn no_open_relay_by_accepted_domains() {
    need!("postfix", "root");
    is_no_open_relay("accept_domains = [\"to.example\"]", "", "");
}

#[test]
fn no_open_relay_by_accepted_domains_that_are_the_servers_own() {
    need!("postfix", "root");
    // There it reads `user%host` and `host!user` in local parts, and takes any user.
    is_no_open_relay("accept_domains = [\"to.example\"]", "", &format!("{LOCAL_DOMAIN}local_recipient_maps =\n"));
}

#[test]
fn no_open_relay_by_accepted_domains_with_a_static_ehlo() {
    need!("postfix", "root");
    is_no_open_relay("accept_domains = [\"to.example\"]\nehlo = \"static\"", "", "");
}

#[test]
fn no_open_relay_with_xclient() {
    need!("postfix", "root");
    let domain = format!("{LOCAL_DOMAIN}local_recipient_maps = $virtual_mailbox_maps\nsmtpd_authorized_xclient_hosts = 127.0.0.1\n");
    is_no_open_relay("", "tell_client = \"xclient\"", &domain);
}

#[test]
fn no_open_relay_with_proxy_v2() {
    need!("postfix", "root");
    is_no_open_relay("", "tell_client = \"proxy_v2\"", "smtpd_upstream_proxy_protocol = haproxy\n");
}

const LOCAL_DOMAIN: &str = "virtual_mailbox_domains =\nmydestination = to.example\nlocal_transport = virtual\n";

fn is_no_open_relay(listener: &str, upstream: &str, postfix: &str) {
    let place = Place::new();
    // Whatever Postfix takes for elsewhere would stay in its queue.
    let extra = format!("{TRUSTING}defer_transports = smtp relay\nallow_percent_hack = yes\nswap_bangpath = yes\n{postfix}");
    let behind = Postfix::behind(&place, &extra);
    let relayscope = in_front(&place, behind.address, listener, upstream);
    attack(&relayscope, &behind);
    let mut friend = stranger(&relayscope);
    friend.command("EHLO client.example", 250);
    assert_eq!(friend.deliver(&Message::named("friend")).unwrap().code, 250);
    friend.quit();
    behind.log().expect("status=sent");
    assert_eq!(behind.mailbox("bob").len(), 1);
    let transactions = records::transactions(&relayscope.stop());
    let accepted = transactions.iter().flat_map(|it| &it.envelope.recipients).filter(|it| it.state == State::Accepted);
    assert_eq!(accepted.map(|it| it.address.as_str()).collect::<Vec<_>>(), ["bob@to.example"]);
}

/// RCPT as one server reads it and another doesn't.
const DISGUISED: &[&str] = &[
    " RCPT TO:<victim@elsewhere.example>",
    "\tRCPT TO:<victim@elsewhere.example>",
    "\u{b}RCPT TO:<victim@elsewhere.example>",
    "RCPT\u{b}TO:<victim@elsewhere.example>",
    "RCPT\u{c}TO:<victim@elsewhere.example>",
    "RCPT\tTO:<victim@elsewhere.example>",
    "rcpt to:<victim@elsewhere.example>",
    "RCPT  TO : <victim@elsewhere.example>",
    "RCPT TO:<bob@to.example\u{b}victim@elsewhere.example>",
    "RCPT TO <victim@elsewhere.example>",
];

fn attack(relayscope: &Relayscope, behind: &Postfix) {
    for line in DISGUISED {
        let mut client = stranger(relayscope);
        client.try_send(format!("EHLO client.example\r\nMAIL FROM:<ann@to.example>\r\n{line}\r\nDATA\r\nQUIT\r\n"));
        assert!(!until_data(&mut client).contains("354 "), "{line:?}");
    }
    for form in ELSEWHERE {
        for (open, ehlo) in [("EHLO client.example\r\n", true), ("HELO client.example\r\n", false), ("", false)] {
            let mut client = stranger(relayscope);
            let command = format!("{open}MAIL FROM:<ann@to.example>\r\nRCPT TO:{form}\r\nDATA\r\n");
            let heard = if ehlo {
                client.try_send(command + "Subject: spam\r\n\r\nspam\r\n.\r\nQUIT\r\n");
                client.rest()
            } else {
                client.try_send(command + "QUIT\r\n");
                until_data(&mut client)
            };
            assert!(!heard.contains("354 "), "{open:?} {form:?}: {heard}");
            assert!(!heard.contains("queued as"), "{open:?} {form:?}: {heard}");
        }
    }
    // What a client may say of itself counts for nothing.
    let claims = [
        "XCLIENT ADDR=127.0.0.1 NAME=localhost\r\n",
        "XFORWARD ADDR=127.0.0.1\r\n",
        "PROXY TCP4 127.0.0.1 127.0.0.1 25 25\r\n",
        "EHLO x\r\nXCLIENT ADDR=127.0.0.1\r\nEHLO x\r\n",
        "EHLO 127.0.0.1\r\n",
        "EHLO x\r\nAUTH PLAIN AGFubgBzZXNhbWU=\r\n",
    ];
    for claim in claims {
        let mut client = stranger(relayscope);
        client
            .try_send(format!("{claim}MAIL FROM:<ann@to.example>\r\nRCPT TO:<victim@elsewhere.example>\r\nDATA\r\nspam\r\n.\r\nQUIT\r\n"));
        let heard = client.rest();
        assert!(!heard.contains("354 ") && !heard.contains("queued as"), "{claim:?}: {heard}");
    }
    assert_eq!(behind.queue(), Vec::<serde_json::Value>::new());
}

/// Everything up to a 354, the reply to QUIT, or the end.
fn until_data(client: &mut Client) -> String {
    let mut heard = String::new();
    while let Some(reply) = client.reply().filter(|reply| reply.code != 221) {
        heard.push_str(&reply.text);
        heard.push('\n');
        if reply.code == 354 {
            break;
        }
    }
    heard
}
