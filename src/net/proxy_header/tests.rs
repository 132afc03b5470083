//! Headers by table, and laws: a cut changes nothing, no octet is taken too much, nothing panics, what is written is read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LONG: Duration = Duration::from_secs(60);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Version 2 from its parts; the length is theirs.
fn v2(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[version_and_command, family], &u16::try_from(block.len()).unwrap().to_be_bytes(), block].concat()
}

fn entry(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], u16::try_from(value.len()).unwrap().to_be_bytes().as_slice(), value].concat()
}

/// 192.0.2.1:56324 to 198.51.100.9:25.
const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 9, 0xdc, 0x04, 0, 25];

fn with_entries(entries: &[Vec<u8>]) -> Vec<u8> {
    v2(0x21, 0x11, &[ADDRESSES.to_vec(), entries.concat()].concat())
}

/// What is read if all octets come at once: the header and how many octets it took.
fn whole(octets: &[u8]) -> Result<(usize, Option<Header>), String> {
    Framing::default().take(octets).map_err(|error| error.to_string())
}

/// The same, with the octets coming in pieces of these sizes, in turn.
fn in_pieces(octets: &[u8], sizes: &[usize]) -> Result<(usize, Option<Header>), String> {
    let mut framing = Framing::default();
    let mut sizes = sizes.iter().cycle();
    let (mut taken, mut arrived) = (0, 0);
    while arrived < octets.len() {
        arrived = (arrived + sizes.next().copied().unwrap_or(1).max(1)).min(octets.len());
        let (count, header) = framing.take(&octets[taken..arrived]).map_err(|error| error.to_string())?;
        taken += count;
        if header.is_some() {
            return Ok((taken, header));
        }
        assert_eq!(taken, arrived, "what isn't behind the header is taken");
    }
    Ok((taken, None))
}

#[track_caller]
fn check(octets: &[u8], expected: &Header) {
    for follows in [b"".as_slice(), b"EHLO x\r\n", SIGNATURE, b"\n", b"PROXY "] {
        let all = [octets, follows].concat();
        assert_eq!(whole(&all), Ok((octets.len(), Some(expected.clone()))));
        for size in [1, 2, 7, 16] {
            assert_eq!(in_pieces(&all, &[size]), Ok((octets.len(), Some(expected.clone()))));
        }
    }
    for cut in 0..octets.len() {
        assert_eq!(whole(&octets[..cut]), Ok((cut, None)), "cut at {cut}");
    }
}

#[track_caller]
fn refused(octets: &[u8], words: &str) {
    let error = whole(octets).unwrap_err();
    assert!(error.contains(words), "{error}");
    let in_pieces = in_pieces(octets, &[1]).unwrap_err();
    // Where it begins otherwise, as much is shown as has come.
    assert!(in_pieces == error || words.contains("instead of a PROXY header"), "{in_pieces}");
}

fn header(version: Version, subject: Subject) -> Header {
    Header { version, subject, notes: Notes::default() }
}

fn of_client(source: &str, destination: &str) -> Subject {
    Subject::Client { source: at(source), destination: at(destination) }
}

#[test]
fn lines_of_version_1() {
    let subject = of_client("192.0.2.1:56324", "198.51.100.9:25");
    check(b"PROXY TCP4 192.0.2.1 198.51.100.9 56324 25\r\n", &header(Version::V1, subject));
    let subject = of_client("[2001:db8::1]:56324", "[2001:db8::2]:25");
    check(b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 25\r\n", &header(Version::V1, subject));
    let subject = of_client("192.0.2.1:0", "192.0.2.2:65535");
    check(b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 0 65535\r\n", &header(Version::V1, subject));
    let unknown = header(Version::V1, Subject::Unknown);
    check(b"PROXY UNKNOWN\r\n", &unknown);
    check(b"PROXY UNKNOWN ff:ff::1 whatever 1 2 3 4 5 6\r\n", &unknown);
    let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {long} {long} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    check(longest.as_bytes(), &unknown);
}

#[test]
fn bad_lines_of_version_1() {
    let cases: &[(&[u8], &str)] = &[
        (b"EHLO balancer.example\r\n", "begins with \"EHLO balancer.ex\" instead of a PROXY header"),
        (b"PROXZ TCP4 192.0.2.1 192.0.2.2 1 25\r\n", "instead of a PROXY header"),
        (b"\x16\x03\x01\x02\x00", "instead of a PROXY header"),
        (b"proxy UNKNOWN\r\n", "instead of a PROXY header"),
        (b"PROXY UNKNOWN\n", "doesn't end with CRLF"),
        (b"PROXY UNKNOWN\rx\r\n", "has a CR within"),
        (b"PROXY \r\n", "can't be read"),
        (b"PROXY UDP4 192.0.2.1 192.0.2.2 1 25\r\n", "invalid protocol"),
        (b"PROXY UNKNOWNS\r\n", "invalid protocol"),
        (b"PROXY TCP4\r\n", "can't be read"),
        (b"PROXY TCP4 192.0.2.1\r\n", "can't be read"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "can't be read"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25 \r\n", "can't be read"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25 9\r\n", "can't be read"),
        (b"PROXY TCP4  192.0.2.1 192.0.2.2 1 25\r\n", "invalid IP address for the source"),
        (b"PROXY TCP4 2001:db8::1 192.0.2.2 1 25\r\n", "invalid IP address for the source"),
        (b"PROXY TCP4 192.0.2.1 mail.example 1 25\r\n", "invalid IP address for the destination"),
        (b"PROXY TCP6 192.0.2.1 192.0.2.2 1 25\r\n", "invalid IP address for the source"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n", "invalid TCP port for the source"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 025\r\n", "invalid TCP port for the destination"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 25\r\n", "a number with a sign"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 \xff\r\n", "not valid UTF-8"),
    ];
    for (octets, words) in cases {
        refused(octets, words);
    }
    refused(format!("PROXY UNKNOWN {}", "x".repeat(200)).as_bytes(), "no end within 107 octets");
    refused(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes(), "no end within 107 octets");
}

#[test]
fn headers_of_version_2() {
    let subject = of_client("192.0.2.1:56324", "198.51.100.9:25");
    check(&v2(0x21, 0x11, &ADDRESSES), &header(Version::V2, subject));
    let mut six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].to_vec();
    six.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    six.extend([0xdc, 0x04, 0, 25]);
    check(&v2(0x21, 0x21, &six), &header(Version::V2, of_client("[2001:db8::1]:56324", "[2001:db8::2]:25")));
    check(&v2(0x21, 0x31, &[b'/'; 216]), &header(Version::V2, Subject::Unix));
    check(&v2(0x21, 0x00, b""), &header(Version::V2, Subject::Unknown));
}

#[test]
fn what_a_local_header_carries_is_skipped() {
    let local = header(Version::V2, Subject::Local);
    check(&v2(0x20, 0x00, b""), &local);
    check(&v2(0x20, 0x11, &ADDRESSES), &local);
    check(&v2(0x20, 0xff, b"any octets"), &local);
}

#[test]
fn entries_of_version_2() {
    let tls = [
        [0b011].to_vec(),
        [0; 4].to_vec(),
        entry(0x21, b"TLSv1.3"),
        entry(0x22, b"client.example"),
        entry(0x23, b"TLS_AES_256_GCM_SHA384"),
        entry(0x24, b"SHA256"),
    ];
    let octets = with_entries(&[
        entry(0x04, b"padding"),
        entry(0x01, b"smtp"),
        entry(0x02, b"mx.example"),
        entry(0x05, b"4F1A:0001"),
        entry(0x20, &tls.concat()),
        entry(0x30, b"blue"),
        entry(0x04, b""),
        entry(0xea, b"\x01vpce-1"),
        entry(0xea, b"\x02"),
    ]);
    let notes = Notes {
        unique_id: Some(b"4F1A:0001".to_vec()),
        authority: Some("mx.example".into()),
        alpn: Some("smtp".into()),
        tls: Some(BalancerTls {
            used: true,
            client_certificate: true,
            client_verified: true,
            version: Some("TLSv1.3".into()),
            cipher: Some("TLS_AES_256_GCM_SHA384".into()),
            common_name: Some("client.example".into()),
        }),
        network_namespace: Some("blue".into()),
        checksummed: false,
        unknown: 2,
    };
    check(&octets, &Header { notes, ..header(Version::V2, of_client("192.0.2.1:56324", "198.51.100.9:25")) });
    let octets = v2(0x21, 0x00, &entry(0x05, b"only"));
    let notes = Notes { unique_id: Some(b"only".to_vec()), ..Notes::default() };
    check(&octets, &Header { notes, ..header(Version::V2, Subject::Unknown) });
}

#[test]
fn a_certificate_that_failed_is_not_verified() {
    let read = |value: &[u8]| {
        let (_, header) = whole(&with_entries(&[entry(0x20, value)])).unwrap();
        header.unwrap().notes.tls.unwrap()
    };
    assert!(!read(&[0b011, 0, 0, 0, 1]).client_verified);
    assert!(!read(&[0b001, 0, 0, 0, 0]).client_verified, "none was shown");
    assert!(read(&[0b101, 0, 0, 0, 0]).client_verified, "in the session that was resumed");
}

#[test]
fn bad_headers_of_version_2() {
    let cases: &[(Vec<u8>, &str)] = &[
        (v2(0x11, 0x11, &ADDRESSES), "of version 1: only 1 and 2 exist"),
        (v2(0x31, 0x11, &ADDRESSES), "of version 3"),
        (v2(0x22, 0x11, &ADDRESSES), "command 2: only"),
        (v2(0x21, 0x41, &ADDRESSES), "0x41, which the protocol reserves"),
        (v2(0x21, 0x01, &ADDRESSES), "0x01, which the protocol reserves"),
        (v2(0x21, 0x10, &ADDRESSES), "0x10, which the protocol reserves"),
        (v2(0x21, 0x13, &ADDRESSES), "0x13, which the protocol reserves"),
        (v2(0x21, 0x12, &ADDRESSES), "datagram transport (0x12)"),
        (v2(0x21, 0x11, &ADDRESSES[..11]), "header of 11 octets can't hold the addresses of its family (12 octets)"),
        (v2(0x21, 0x21, &ADDRESSES), "header of 12 octets can't hold the addresses of its family (36 octets)"),
        (v2(0x21, 0x31, &ADDRESSES), "(216 octets)"),
        (v2(0x21, 0x11, &[0; 4097]), "header of 4097 octets: more than 4096"),
        (with_entries(&[vec![0x05, 0, 9, b'x']]), "ends within an entry of type 0x05 that claims 9 octets"),
        (with_entries(&[entry(0x04, b""), vec![0x05, 0]]), "octets behind its last entry that make none"),
        (with_entries(&[entry(0x05, b"a"), entry(0x05, b"b")]), "two entries of type 0x05"),
        (with_entries(&[entry(0x03, &[0; 4]), entry(0x03, &[0; 4])]), "checksum says 0x00000000"),
        (with_entries(&[entry(0x03, &[0; 3])]), "type 0x03 is 3 octets long"),
        (with_entries(&[entry(0x05, &[b'x'; 129])]), "type 0x05 is 129 octets long"),
        (with_entries(&[entry(0x20, &[1, 0, 0, 0])]), "type 0x20 is 4 octets long"),
        (with_entries(&[entry(0x20, &[1, 0, 0, 0, 0, 0x22, 0, 5, b'x'])]), "entry of type 0x22 that claims 5 octets"),
        (
            with_entries(&[entry(0x20, &[&[1, 0, 0, 0, 0][..], &entry(0x22, b"a"), &entry(0x22, b"b")].concat())]),
            "two entries of type 0x22",
        ),
    ];
    for (octets, words) in cases {
        refused(octets, words);
    }
    refused(b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c", "instead of a PROXY header");
    refused(b"\r\nEHLO x\r\n", "instead of a PROXY header");
}

#[test]
fn the_longest_header_is_read() {
    let padding = vec![0; LONGEST - ADDRESSES.len() - 3];
    check(&with_entries(&[entry(0x04, &padding)]), &header(Version::V2, of_client("192.0.2.1:56324", "198.51.100.9:25")));
}

#[test]
fn any_bit_that_turns_over_breaks_the_checksum() {
    let sound = encode(at("192.0.2.1:56324"), at("198.51.100.9:25"), b"01KC");
    assert!(whole(&sound).unwrap().1.unwrap().notes.checksummed);
    for place in 16..sound.len() {
        for bit in 0..8 {
            let mut broken = sound.clone();
            broken[place] ^= 1 << bit;
            let outcome = whole(&broken);
            let noticed = outcome.as_ref().map_or(true, |(_, header)| header.as_ref().is_none_or(|it| !it.notes.checksummed));
            assert!(noticed, "bit {bit} of octet {place}: {outcome:?}");
        }
    }
}

#[test]
fn the_local_header_of_a_probe_is_as_short_as_can_be() {
    assert_eq!(encode_local(), v2(0x20, 0, b""));
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn what_follows_the_header_stays_on_the_connection() {
    for octets in [b"PROXY TCP4 192.0.2.1 198.51.100.9 56324 25\r\n".to_vec(), v2(0x21, 0x11, &ADDRESSES)] {
        for cut in [1, 6, 16, octets.len()] {
            let (mut client, mut server) = pair().await;
            let all = [&*octets, b"EHLO x\r\n"].concat();
            let (first, second) = all.split_at(cut);
            client.set_nodelay(true).unwrap();
            client.write_all(first).await.unwrap();
            let reading = tokio::spawn(async move { (read_header(&mut server, LONG).await, server) });
            tokio::task::yield_now().await;
            client.write_all(second).await.unwrap();
            let (header, mut server) = reading.await.unwrap();
            assert_eq!(header.unwrap().client(), Some(at("192.0.2.1:56324")));
            let mut left = [0; 8];
            server.read_exact(&mut left).await.unwrap();
            assert_eq!(&left, b"EHLO x\r\n");
        }
    }
}

#[tokio::test]
async fn a_header_that_ends_early_or_never_comes_is_told() {
    let (mut client, mut server) = pair().await;
    client.write_all(b"PROXY TCP4 192.0.2.1").await.unwrap();
    let error = read_header(&mut server, Duration::from_millis(50)).await.unwrap_err().to_string();
    assert!(error.starts_with("no PROXY header within 0.05 s (20 octets came)"), "{error}");

    let (mut client, mut server) = pair().await;
    client.write_all(&v2(0x21, 0x11, &ADDRESSES)[..20]).await.unwrap();
    drop(client);
    assert_eq!(read_header(&mut server, LONG).await.unwrap_err().to_string(), "closed within the PROXY header, after 20 octets");

    let (client, mut server) = pair().await;
    drop(client);
    assert!(read_header(&mut server, LONG).await.unwrap_err().is_silent_close());
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

/// Octets that come close to headers, so that more than the first octet is reached.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let words = prop_oneof![
        Just("TCP4"),
        Just("TCP6"),
        Just("UNKNOWN"),
        Just("192.0.2.1"),
        Just("2001:db8::1"),
        Just("25"),
        Just(" "),
        Just("\r\n"),
        Just("\r")
    ];
    let entries = prop::collection::vec((0_u8..0x31, prop::collection::vec(any::<u8>(), 0..12)), 0..5);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::collection::vec(words, 0..12).prop_map(|words| format!("PROXY {}", words.join(" ")).into_bytes()),
        (prop_oneof![Just(0x21), Just(0x20), any::<u8>()], any::<u8>(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(command, family, block)| v2(command, family, &block)),
        (entries, any::<u16>()).prop_map(|(entries, extra)| {
            let entries: Vec<_> = entries.iter().map(|(kind, value)| entry(*kind, value)).collect();
            let mut octets = with_entries(&entries);
            octets.truncate(octets.len().saturating_sub(usize::from(extra % 3)));
            octets
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(source in address(), destination in address(), id in prop::collection::vec(any::<u8>(), 0..140), follows in any::<Vec<u8>>()) {
        let octets = encode(source, destination, &id);
        let (taken, header) = whole(&[&*octets, &follows].concat()).unwrap();
        let header = header.unwrap();
        prop_assert_eq!(taken, octets.len());
        let plain = |it: SocketAddr| SocketAddr::new(it.ip().to_canonical(), it.port());
        prop_assert_eq!(header.subject, Subject::Client { source: plain(source), destination: plain(destination) });
        prop_assert_eq!(header.notes.unique_id.unwrap_or_default(), &id[..id.len().min(128)]);
        prop_assert!(header.notes.checksummed);
    }

    #[test]
    fn cuts_change_nothing(octets in nearly(), sizes in prop::collection::vec(1_usize..40, 1..6)) {
        let at_once = whole(&octets);
        let pieces = in_pieces(&octets, &sizes);
        if let (Err(one), Err(other)) = (&at_once, &pieces) {
            // Where it begins otherwise, as much is shown as has come.
            let same = one == other || (one.contains("instead of a PROXY header") && other.contains("instead of a PROXY header"));
            prop_assert!(same, "{one} / {other}");
        } else {
            prop_assert_eq!(at_once, pieces);
        }
    }
}
