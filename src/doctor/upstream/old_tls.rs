//! Whether a server still speaks TLS 1.0 or 1.1. The library here can't, on purpose: a ClientHello is written by hand, the first record of
//! the answer looked at, and the connection ended. No key is ever agreed on.

use std::time::Instant;

use super::super::Check;
use super::super::dialogue::Dialogue;
use super::versions::up_to_tls;
use super::visit::Visit;
use crate::smtp::Stage;

/// A version that RFC 8996 forbids, as it stands in a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    Tls10 = 0x0301,
    Tls11 = 0x0302,
}

impl Old {
    fn name(self) -> &'static str {
        match self {
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
        }
    }
}

/// Cipher suites that servers of that time have: ECDHE, DHE and RSA with AES in CBC mode, and 3DES.
const SUITES: [u16; 9] = [0xc009, 0xc00a, 0xc013, 0xc014, 0x0033, 0x0039, 0x002f, 0x0035, 0x000a];
/// RFC 5746 3.3: says that renegotiation is understood; some servers refuse who doesn't.
const RENEGOTIATION: u16 = 0x00ff;
/// x25519, P-256, P-384.
const GROUPS: [u16; 3] = [0x001d, 0x0017, 0x0018];
/// Record header, handshake header and the version in a ServerHello.
const FIRST: usize = 5 + 4 + 2;

/// What the server made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Taken,
    Refused(String),
    /// It can't be told.
    Unclear(String),
}

/// `own`: the server is the administrator's, who can put it right.
pub(super) async fn check(visit: &Visit<'_>, own: bool) -> Check {
    let why =
        "both are broken and withdrawn (RFC 8996): who can meddle on the way can have two servers fall back to them. Relayscope never does";
    let check = visit.asking("tls_old", format!("TLS 1.0 and TLS 1.1 at {}, each by itself", visit.place), why);
    let began = Instant::now();
    let (one, two) = tokio::join!(offered(visit, Old::Tls10), offered(visit, Old::Tls11));
    let check = check.took(began.elapsed());
    let answers = [(Old::Tls10, one), (Old::Tls11, two)];
    let taken: Vec<&str> = answers.iter().filter(|(_, it)| *it == Answer::Taken).map(|(old, _)| old.name()).collect();
    let unclear = answers.iter().find_map(|(old, it)| match it {
        Answer::Unclear(why) => Some(format!("{}: {why}", old.name())),
        _ => None,
    });
    match (taken.is_empty(), unclear) {
        (true, Some(why)) => check.skipped(format!("not known. {why}")),
        (true, None) => {
            let words = answers.iter().find_map(|(_, it)| if let Answer::Refused(how) = it { Some(how.as_str()) } else { None });
            check.ok(format!("neither ({})", words.unwrap_or("refused")))
        }
        (false, _) if own => check.warn(
            format!("the server speaks {}", taken.join(" and ")),
            "Switch it off there (Postfix: `smtpd_tls_protocols = >=TLSv1.2`), unless a client that can't do better must be served.",
        ),
        (false, _) => check.ok(format!("the server still speaks {}; mail through relayscope isn't concerned", taken.join(" and "))),
    }
}

async fn offered(visit: &Visit<'_>, old: Old) -> Answer {
    let mut dialogue = match up_to_tls(visit).await {
        Ok(dialogue) => dialogue,
        Err(why) => return Answer::Unclear(why),
    };
    if let Err(trouble) = dialogue.send(Stage::StartTls, &hello(old, visit.host)).await {
        return Answer::Unclear(trouble.words);
    }
    answer(old, &first_record(&mut dialogue).await)
}

async fn first_record(dialogue: &mut Dialogue) -> Vec<u8> {
    dialogue.at_least(FIRST).await
}

/// What the first octets of an answer say.
fn answer(old: Old, octets: &[u8]) -> Answer {
    match octets {
        // Handshake, ServerHello, and in it the version.
        [22, 3, _, _, _, 2, _, _, _, major, minor, ..] => {
            let version = u16::from_be_bytes([*major, *minor]);
            if version == old as u16 { Answer::Taken } else { Answer::Refused(format!("it answered with version {major}.{minor}")) }
        }
        // RFC 5246 7.2.2: protocol_version, or handshake_failure where no cipher suite is shared.
        [21, 3, _, _, _, _, 70, ..] => Answer::Refused("its version is refused".to_owned()),
        [21, 3, _, _, _, _, alert, ..] => Answer::Refused(format!("refused with alert {alert}")),
        [] => Answer::Refused("closed without a word".to_owned()),
        _ => Answer::Unclear("it answered with what is no TLS".to_owned()),
    }
}

/// A ClientHello for that version and none above (RFC 4346 7.4.1.2), as one record.
fn hello(old: Old, host: &str) -> Vec<u8> {
    let version = (old as u16).to_be_bytes();
    let mut body = version.to_vec();
    // Its random number protects nothing: no handshake follows.
    body.extend_from_slice(blake3::hash(host.as_bytes()).as_bytes());
    body.push(0); // no session to resume
    let suites: Vec<u8> = SUITES.iter().chain([&RENEGOTIATION]).flat_map(|suite| suite.to_be_bytes()).collect();
    with_length(&mut body, &suites);
    body.extend_from_slice(&[1, 0]); // no compression
    let mut extensions = Vec::new();
    if host.parse::<std::net::IpAddr>().is_err() && !host.is_empty() && host.len() < 256 {
        let mut name = vec![0]; // host_name
        with_length(&mut name, host.as_bytes());
        let mut names = Vec::new();
        with_length(&mut names, &name);
        extension(&mut extensions, 0, &names);
    }
    let mut groups = Vec::new();
    with_length(&mut groups, &GROUPS.iter().flat_map(|group| group.to_be_bytes()).collect::<Vec<u8>>());
    extension(&mut extensions, 10, &groups);
    extension(&mut extensions, 11, &[1, 0]); // uncompressed points
    with_length(&mut body, &extensions);
    let mut handshake = vec![1, 0]; // client_hello, and a length of three octets
    with_length(&mut handshake, &body);
    let mut record = vec![22, 3, 1];
    with_length(&mut record, &handshake);
    record
}

fn extension(into: &mut Vec<u8>, kind: u16, data: &[u8]) {
    into.extend_from_slice(&kind.to_be_bytes());
    with_length(into, data);
}

/// The data with its length in two octets before it; nothing here comes near their end.
fn with_length(into: &mut Vec<u8>, data: &[u8]) {
    into.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    into.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_one_that_a_parser_reads() {
        for (old, host) in [(Old::Tls10, "mail.example.org"), (Old::Tls11, "192.0.2.1"), (Old::Tls11, "")] {
            let octets = hello(old, host);
            let (rest, record) = tls_parser::parse_tls_plaintext(&octets).unwrap();
            assert!(rest.is_empty() && record.msg.len() == 1);
            let tls_parser::TlsMessage::Handshake(tls_parser::TlsMessageHandshake::ClientHello(hello)) = &record.msg[0] else {
                panic!("{record:?}")
            };
            assert_eq!(hello.version.0, old as u16);
            assert_eq!(hello.ciphers.len(), SUITES.len() + 1);
            let (rest, extensions) = tls_parser::parse_tls_extensions(hello.ext.unwrap()).unwrap();
            assert!(rest.is_empty());
            let named = extensions.iter().any(|it| matches!(it, tls_parser::TlsExtension::SNI(names) if names[0].1 == host.as_bytes()));
            assert_eq!(named, host == "mail.example.org");
        }
    }

    #[test]
    fn first_octets_are_read_carefully() {
        let hello = |minor| [22, 3, minor, 0, 80, 2, 0, 0, 76, 3, minor, 9, 9];
        assert_eq!(answer(Old::Tls11, &hello(2)), Answer::Taken);
        assert!(matches!(answer(Old::Tls11, &hello(1)), Answer::Refused(why) if why == "it answered with version 3.1"));
        assert!(matches!(answer(Old::Tls10, &[21, 3, 1, 0, 2, 2, 70]), Answer::Refused(why) if why == "its version is refused"));
        assert!(matches!(answer(Old::Tls10, &[21, 3, 1, 0, 2, 2, 40]), Answer::Refused(why) if why == "refused with alert 40"));
        assert!(matches!(answer(Old::Tls10, b""), Answer::Refused(_)));
        assert!(matches!(answer(Old::Tls10, b"500 5.5.1 what?\r\n"), Answer::Unclear(_)));
        assert!(matches!(answer(Old::Tls10, &[22, 3]), Answer::Unclear(_)));
    }
}
