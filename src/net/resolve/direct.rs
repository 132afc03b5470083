//! One question to one server, past all caches: for those who examine the server itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::{Name, RData};

use super::reading::read;
use super::servers::{ATTEMPT, Silence, ask_directly};
use super::typed::serial;
use super::{Failure, Kind, bare};

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// Let it ask others; without this it says what it knows itself.
    pub recursion: bool,
    /// Over TCP alone.
    pub tcp: bool,
}

/// What it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectAnswer {
    pub failure: Option<Failure>,
    /// Whether it speaks for the zone (the AA bit).
    pub authoritative: bool,
    /// Whether it asks others for whoever wants it (the RA bit).
    pub recursive: bool,
    /// Whether it says that DNSSEC vouches for the answer (the AD bit).
    pub validated: bool,
    /// The records of the asked type in presentation format, in order of their text.
    pub records: Vec<String>,
    /// The names of the zone's servers, where it refers to others: lower case, no final dot.
    pub referral: Vec<String>,
    /// Of the SOA record, if that was asked for.
    pub serial: Option<u32>,
    pub took: Duration,
}

impl DirectAnswer {
    fn failed(failure: Failure, took: Duration) -> Self {
        let (records, referral) = (Vec::new(), Vec::new());
        Self { failure: Some(failure), authoritative: false, recursive: false, validated: false, records, referral, serial: None, took }
    }
}

/// Asks `server` for one name and type. Never takes longer than `timeout`, nor than two attempts of 2.5 s.
pub async fn ask(server: SocketAddr, name: &str, kind: Kind, manner: Manner, timeout: Duration) -> DirectAnswer {
    let start = Instant::now();
    let name = match Name::from_ascii(name) {
        Ok(mut name) => {
            name.set_fqdn(true);
            name
        }
        Err(error) => return DirectAnswer::failed(Failure::NotAName { why: error.to_string() }, start.elapsed()),
    };
    let asking = Box::pin(ask_directly(server, &name, kind.of_hickory(), manner.recursion, manner.tcp));
    let reply = match tokio::time::timeout(timeout, asking).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(Silence::Unreachable { why })) => return DirectAnswer::failed(Failure::Unreachable { why }, start.elapsed()),
        Ok(Err(Silence::TimedOut)) => return DirectAnswer::failed(Failure::TimedOut { after: ATTEMPT }, start.elapsed()),
        Err(_) => return DirectAnswer::failed(Failure::TimedOut { after: timeout }, start.elapsed()),
    };
    let reading = read(&reply.message, &name, kind.of_hickory());
    let mut records: Vec<String> =
        reading.records.iter().filter(|record| record.record_type == kind.as_str()).map(|record| record.text.clone()).collect();
    records.sort_unstable();
    let referral = reply.message.authorities.iter().filter_map(|record| match &record.data {
        RData::NS(target) => Some(bare(&target.0)),
        _ => None,
    });
    DirectAnswer {
        failure: reading.failure,
        authoritative: reply.message.metadata.authoritative,
        recursive: reply.message.metadata.recursion_available,
        validated: reply.message.metadata.authentic_data,
        records,
        referral: referral.collect(),
        serial: serial(&reading.data),
        took: start.elapsed(),
    }
}
