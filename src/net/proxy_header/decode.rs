//! Reads a header that is whole.

use std::net::SocketAddr;

use ppp::{v1, v2};

use super::error::shown;
use super::framing::FIXED;
use super::{BalancerTls, Header, HeaderError, Notes, Subject, Version};

/// Types of entries; the protocol text, 2.2.
pub(super) mod kind {
    pub const ALPN: u8 = 0x01;
    pub const AUTHORITY: u8 = 0x02;
    pub const CRC32C: u8 = 0x03;
    pub const NOOP: u8 = 0x04;
    pub const UNIQUE_ID: u8 = 0x05;
    pub const SSL: u8 = 0x20;
    pub const SSL_VERSION: u8 = 0x21;
    pub const SSL_CN: u8 = 0x22;
    pub const SSL_CIPHER: u8 = 0x23;
    pub const NETNS: u8 = 0x30;
}

/// The protocol text, 2.2.5.
pub(super) const LONGEST_UNIQUE_ID: usize = 128;

/// Octets of an entry before its value.
pub(super) const ENTRY_HEAD: usize = 3;

/// A line up to its LF.
pub(super) fn decode_v1(line: &[u8]) -> Result<Header, HeaderError> {
    let body = line.strip_suffix(b"\r\n").filter(|body| !body.contains(&b'\r'));
    let Some(body) = body else { return Err(HeaderError::LineEnd { line: shown(line) }) };
    // The protocol text, 2.1: whatever follows UNKNOWN is ignored. `ppp` bears no more than four words there.
    if body == b"PROXY UNKNOWN" || body.starts_with(b"PROXY UNKNOWN ") {
        return Ok(Header { version: Version::V1, subject: Subject::Unknown, notes: Notes::default() });
    }
    let unreadable = |why: String| HeaderError::Line { line: shown(body), why };
    let header = v1::Header::try_from(line).map_err(|error| unreadable(error.to_string()))?;
    let subject = match header.addresses {
        v1::Addresses::Unknown => Subject::Unknown,
        _ if body.contains(&b'+') => return Err(unreadable("a number with a sign".to_owned())),
        v1::Addresses::Tcp4(it) => client((it.source_address, it.source_port).into(), (it.destination_address, it.destination_port).into()),
        v1::Addresses::Tcp6(it) => client((it.source_address, it.source_port).into(), (it.destination_address, it.destination_port).into()),
    };
    Ok(Header { version: Version::V1, subject, notes: Notes::default() })
}

/// Exactly one header: its length field has been followed, and its version and command are known to be good.
pub(super) fn decode_v2(octets: &[u8]) -> Result<Header, HeaderError> {
    let &[.., version_and_command, family, _, _] = octets.get(..FIXED).unwrap_or_default() else {
        return Err(HeaderError::Unreadable { why: format!("{} octets are too few", octets.len()) });
    };
    if version_and_command & 0x0f == 0 {
        // The protocol text, 2.2: what a LOCAL header carries is skipped, its family included.
        return Ok(Header { version: Version::V2, subject: Subject::Local, notes: Notes::default() });
    }
    match family {
        0x00 | 0x11 | 0x21 | 0x31 => {}
        0x12 | 0x22 | 0x32 => return Err(HeaderError::NotAStream { octet: family }),
        _ => return Err(HeaderError::Family { octet: family }),
    }
    let header = v2::Header::try_from(octets).map_err(|error| match error {
        v2::ParseError::InvalidAddresses(length, needed) => HeaderError::AddressesCut { length, needed },
        other => HeaderError::Unreadable { why: other.to_string() },
    })?;
    let subject = match header.addresses {
        v2::Addresses::Unspecified => Subject::Unknown,
        v2::Addresses::Unix(_) => Subject::Unix,
        v2::Addresses::IPv4(it) => client((it.source_address, it.source_port).into(), (it.destination_address, it.destination_port).into()),
        v2::Addresses::IPv6(it) => client((it.source_address, it.source_port).into(), (it.destination_address, it.destination_port).into()),
    };
    Ok(Header { version: Version::V2, subject, notes: notes(octets, FIXED + header.addresses.len())? })
}

/// An IPv4 address within IPv6 is that IPv4 address, or lists of networks would miss it.
fn client(source: SocketAddr, destination: SocketAddr) -> Subject {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Subject::Client { source: plain(source), destination: plain(destination) }
}

/// The entries behind the addresses.
fn notes(octets: &[u8], start: usize) -> Result<Notes, HeaderError> {
    let mut notes = Notes::default();
    let mut seen = Vec::new();
    let mut at = start;
    for entry in entries(octets.get(start..).unwrap_or_default()) {
        let (kind, value) = entry?;
        let known = matches!(kind, kind::ALPN | kind::AUTHORITY | kind::CRC32C | kind::UNIQUE_ID | kind::SSL | kind::NETNS);
        if known && seen.contains(&kind) {
            return Err(HeaderError::Repeated { kind });
        }
        if known {
            seen.push(kind);
        }
        match kind {
            kind::ALPN => notes.alpn = Some(text(&value)),
            kind::AUTHORITY => notes.authority = Some(text(&value)),
            kind::NETNS => notes.network_namespace = Some(text(&value)),
            kind::CRC32C => {
                check(octets, at + ENTRY_HEAD, &value)?;
                notes.checksummed = true;
            }
            kind::UNIQUE_ID if value.len() > LONGEST_UNIQUE_ID => {
                return Err(HeaderError::EntryLength { kind, length: value.len() });
            }
            kind::UNIQUE_ID => notes.unique_id = Some(value.to_vec()),
            kind::SSL => notes.tls = Some(balancer_tls(&value)?),
            kind::NOOP => {}
            _ => notes.unknown += 1,
        }
        at += ENTRY_HEAD + value.len();
    }
    Ok(notes)
}

/// Type and value of each entry.
fn entries(octets: &[u8]) -> impl Iterator<Item = Result<(u8, std::borrow::Cow<'_, [u8]>), HeaderError>> {
    v2::TypeLengthValues::from(octets).map(|entry| match entry {
        Ok(entry) => Ok((entry.kind, entry.value)),
        Err(v2::ParseError::InvalidTLV(kind, length)) => Err(HeaderError::EntryCut { kind, length: usize::from(length) }),
        Err(v2::ParseError::Leftovers(left)) => Err(HeaderError::Leftover { left }),
        Err(other) => Err(HeaderError::Unreadable { why: other.to_string() }),
    })
}

/// The protocol text, 2.2.3: the checksum is over the whole header with itself as zero.
fn check(octets: &[u8], at: usize, value: &[u8]) -> Result<(), HeaderError> {
    let Ok(claimed) = <[u8; 4]>::try_from(value) else {
        return Err(HeaderError::EntryLength { kind: kind::CRC32C, length: value.len() });
    };
    let (claimed, found) = (u32::from_be_bytes(claimed), checksum(octets, at));
    if claimed == found { Ok(()) } else { Err(HeaderError::Checksum { claimed, found }) }
}

/// Over all octets, with the four from `at` on taken as zero.
pub(super) fn checksum(octets: &[u8], at: usize) -> u32 {
    let before = crc32c::crc32c(octets.get(..at).unwrap_or_default());
    crc32c::crc32c_append(crc32c::crc32c_append(before, &[0; 4]), octets.get(at + 4..).unwrap_or_default())
}

/// The protocol text, 2.2.6: flags, the result of the verification (0 is good), then entries of its own.
fn balancer_tls(value: &[u8]) -> Result<BalancerTls, HeaderError> {
    let Some((&[flags, ref verification @ ..], inner)) = value.split_first_chunk::<5>() else {
        return Err(HeaderError::EntryLength { kind: kind::SSL, length: value.len() });
    };
    let client_certificate = flags & 0b110 != 0;
    let mut tls = BalancerTls {
        used: flags & 1 != 0,
        client_certificate,
        client_verified: client_certificate && *verification == [0; 4],
        ..BalancerTls::default()
    };
    for entry in entries(inner) {
        let (kind, value) = entry?;
        let slot = match kind {
            kind::SSL_VERSION => &mut tls.version,
            kind::SSL_CN => &mut tls.common_name,
            kind::SSL_CIPHER => &mut tls.cipher,
            _ => continue, // certificates and algorithms, which nobody asks for
        };
        if slot.replace(text(&value)).is_some() {
            return Err(HeaderError::Repeated { kind });
        }
    }
    Ok(tls)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
