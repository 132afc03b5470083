//! Writes a header of version 2 for the server behind.

use std::net::{IpAddr, SocketAddr};

use super::decode::{ENTRY_HEAD, LONGEST_UNIQUE_ID, checksum, kind};
use super::framing::SIGNATURE;

const VERSION_2: u8 = 0x20;
const PROXY: u8 = 0x01;

/// Who the client is, where it connected to, and the id under which both sides know the session (cut at 128 octets).
pub fn encode(source: SocketAddr, destination: SocketAddr, unique_id: &[u8]) -> Vec<u8> {
    let unique_id = unique_id.get(..LONGEST_UNIQUE_ID).unwrap_or(unique_id);
    let mut block = Vec::with_capacity(64 + unique_id.len());
    let family = match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            block.extend_from_slice(&source.octets());
            block.extend_from_slice(&destination.octets());
            0x11
        }
        (source, destination) => {
            block.extend_from_slice(&sixteen(source));
            block.extend_from_slice(&sixteen(destination));
            0x21
        }
    };
    block.extend_from_slice(&source.port().to_be_bytes());
    block.extend_from_slice(&destination.port().to_be_bytes());
    if !unique_id.is_empty() {
        entry(&mut block, kind::UNIQUE_ID, unique_id);
    }
    entry(&mut block, kind::CRC32C, &[0; 4]);
    let mut octets = framed(VERSION_2 | PROXY, family, &block);
    let at = octets.len() - 4;
    let sum = checksum(&octets, at);
    octets.truncate(at);
    octets.extend_from_slice(&sum.to_be_bytes());
    octets
}

/// The proxy speaks for itself: a probe.
pub fn encode_local() -> Vec<u8> {
    framed(VERSION_2, 0, &[])
}

/// `block` is far below the 65,535 octets that its length field can say: addresses and two short entries.
fn framed(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap_or(u16::MAX).to_be_bytes();
    [SIGNATURE.as_slice(), &[version_and_command, family], &length, block].concat()
}

fn entry(block: &mut Vec<u8>, kind: u8, value: &[u8]) {
    block.reserve(ENTRY_HEAD + value.len());
    block.push(kind);
    block.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    block.extend_from_slice(value);
}

fn sixteen(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
