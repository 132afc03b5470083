//! Reads a server's message: the way through the aliases, the records, how long they hold, and what it says of failures.

use std::fmt::Write as _;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::answer::{Failure, MOST_RECORDS, MOST_TEXT, Record};

/// Aliases followed before it is taken for a loop.
pub(super) const MOST_ALIASES: usize = 16;
/// Nothing is kept longer, whatever its TTL.
const LONGEST_KEPT: Duration = Duration::from_secs(86_400);
/// RFC 2308 5: denials no longer than three hours.
const LONGEST_DENIED: Duration = Duration::from_secs(3 * 3_600);

/// What a message says about one name and type.
pub(super) struct Reading {
    /// Where the aliases led.
    pub canonical: Name,
    pub records: Vec<Record>,
    pub records_beyond: usize,
    pub data: Vec<RData>,
    pub failure: Option<Failure>,
    pub lifetime: Duration,
    /// An alias whose target the server said nothing about: it is to be asked for.
    pub dangling: bool,
}

pub(super) fn read(message: &Message, name: &Name, kind: RecordType) -> Reading {
    let mut reading = Reading {
        canonical: name.clone(),
        records: Vec::new(),
        records_beyond: 0,
        data: Vec::new(),
        failure: None,
        lifetime: LONGEST_KEPT,
        dangling: false,
    };
    let mut aliases = 0;
    while kind != RecordType::CNAME && aliases < MOST_ALIASES {
        let alias = message.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == reading.canonical => Some((record.ttl, target.0.clone())),
            _ => None,
        });
        let Some((ttl, target)) = alias else { break };
        reading.keep("CNAME", ttl, target.to_ascii());
        reading.canonical = target;
        aliases += 1;
    }
    for record in &message.answers {
        if record.record_type() == kind && record.name == reading.canonical {
            if let Some((record_type, text)) = presentation(&record.data) {
                reading.keep(record_type, record.ttl, text);
            }
            reading.data.push(record.data.clone());
        }
    }
    reading.failure = failure(message, reading.data.is_empty());
    let denied_for = negative_ttl(message);
    match &reading.failure {
        None => {}
        // RFC 2308 5: a denial without SOA is not kept. An alias before it may run out sooner.
        Some(failure) if failure.is_denial() => {
            reading.lifetime = reading.lifetime.min(denied_for.unwrap_or_default()).min(LONGEST_DENIED);
        }
        Some(_) => reading.lifetime = Duration::ZERO,
    }
    reading.dangling = aliases > 0 && reading.failure == Some(Failure::NoRecord) && denied_for.is_none();
    reading
}

impl Reading {
    fn keep(&mut self, record_type: &'static str, ttl: u32, text: String) {
        // RFC 2181 8: a TTL with the highest bit set is zero.
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        self.lifetime = self.lifetime.min(Duration::from_secs(ttl.into()));
        if self.records.len() < MOST_RECORDS {
            self.records.push(Record { record_type, ttl, text: bounded(text) });
        } else {
            self.records_beyond += 1;
        }
    }
}

fn failure(message: &Message, empty: bool) -> Option<Failure> {
    match message.metadata.response_code {
        ResponseCode::NXDomain => Some(Failure::NoSuchName), // RFC 6604 3: of the name at the end of the aliases
        ResponseCode::NoError => empty.then_some(Failure::NoRecord),
        code => {
            let explained = extended_error(message);
            match &explained {
                Some((code, why)) if is_bogus(*code) => Some(Failure::Bogus { why: why.clone() }),
                _ => Some(Failure::ServerFailure { rcode: rcode(code), explained: explained.map(|(_, why)| why) }),
            }
        }
    }
}

fn negative_ttl(message: &Message) -> Option<Duration> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(Duration::from_secs(record.ttl.min(soa.minimum).into())),
        _ => None,
    })
}

/// The mnemonic of the IANA registry.
fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        other => format!("response code {}", u16::from(other)),
    }
}

/// RFC 8914: code and words of the first extended error.
fn extended_error(message: &Message) -> Option<(u16, String)> {
    const EXTENDED_ERROR: u16 = 15;
    let option = message.edns.as_ref()?.option(EdnsCode::Unknown(EXTENDED_ERROR))?;
    let EdnsOption::Unknown(_, octets) = option else { return None };
    let (code, text) = octets.split_at_checked(2)?;
    let code = u16::from_be_bytes(code.try_into().ok()?);
    let mut words = format!("extended error {code}");
    if let Some(name) = extended_name(code) {
        let _ = write!(words, ", {name}");
    }
    if !text.is_empty() {
        let _ = write!(words, ": {}", text.escape_ascii());
    }
    Some((code, bounded(words)))
}

/// RFC 8914 4, where DNSSEC is concerned, and what else explains a failure.
fn extended_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "unsupported DNSKEY algorithm",
        2 => "unsupported DS digest",
        5 => "DNSSEC indeterminate",
        6 => "DNSSEC bogus",
        7 => "signature expired",
        8 => "signature not yet valid",
        9 => "DNSKEY missing",
        10 => "RRSIGs missing",
        11 => "no zone key bit",
        12 => "NSEC missing",
        15 => "blocked",
        18 => "prohibited",
        22 => "no reachable authority",
        23 => "network error",
        _ => return None,
    })
}

fn is_bogus(code: u16) -> bool {
    (6..=12).contains(&code)
}

/// RFC 1035 5.1.
fn presentation(data: &RData) -> Option<(&'static str, String)> {
    Some(match data {
        RData::A(address) => ("A", address.0.to_string()),
        RData::AAAA(address) => ("AAAA", address.0.to_string()),
        RData::CNAME(target) => ("CNAME", target.0.to_ascii()),
        RData::PTR(target) => ("PTR", target.0.to_ascii()),
        RData::NS(target) => ("NS", target.0.to_ascii()),
        RData::SOA(soa) => ("SOA", format!("{} {} {}", soa.mname.to_ascii(), soa.rname.to_ascii(), soa.serial)),
        RData::MX(mx) => ("MX", format!("{} {}", mx.preference, mx.exchange.to_ascii())),
        RData::TXT(txt) => {
            let strings = txt.txt_data.iter().map(|it| format!("\"{}\"", it.escape_ascii()));
            ("TXT", strings.collect::<Vec<_>>().join(" "))
        }
        RData::TLSA(tlsa) => {
            let numbers = (u8::from(tlsa.cert_usage), u8::from(tlsa.selector), u8::from(tlsa.matching));
            ("TLSA", format!("{} {} {} {}", numbers.0, numbers.1, numbers.2, hex(&tlsa.cert_data)))
        }
        _ => return None,
    })
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn bounded(mut text: String) -> String {
    if text.len() > MOST_TEXT {
        let cut = (0..=MOST_TEXT - '…'.len_utf8()).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}
