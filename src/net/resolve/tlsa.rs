//! TLSA records (RFC 6698) and what they ask of a connection to a mail exchanger (RFC 7672).

use std::fmt;
use std::time::Duration;

use hickory_resolver::proto::rr::RData;

use super::{Dnssec, Failure, HostAddresses, Kind, Lookup, Resolver};

/// RFC 7218 2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    PkixTa,
    PkixEe,
    DaneTa,
    DaneEe,
    Other(u8),
}

/// What of the certificate is compared (RFC 7218 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The whole certificate.
    Cert,
    /// Its public key (SubjectPublicKeyInfo).
    Spki,
    Other(u8),
}

/// How it is compared (RFC 7218 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchingType {
    Full,
    Sha256,
    Sha512,
    Other(u8),
}

/// One TLSA record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tlsa {
    pub usage: Usage,
    pub selector: Selector,
    pub matching: MatchingType,
    pub data: Vec<u8>,
}

impl Tlsa {
    /// From the numbers of RFC 6698 2.1.
    pub fn new(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> Self {
        let usage = match usage {
            0 => Usage::PkixTa,
            1 => Usage::PkixEe,
            2 => Usage::DaneTa,
            3 => Usage::DaneEe,
            other => Usage::Other(other),
        };
        let selector = match selector {
            0 => Selector::Cert,
            1 => Selector::Spki,
            other => Selector::Other(other),
        };
        let matching = match matching {
            0 => MatchingType::Full,
            1 => MatchingType::Sha256,
            2 => MatchingType::Sha512,
            other => MatchingType::Other(other),
        };
        Self { usage, selector, matching, data }
    }

    /// Why a mail client can't go by it, if so (RFC 7672 3.1.3: PKIX usages mean nothing here).
    pub fn flaw(&self) -> Option<&'static str> {
        let length = match self.matching {
            MatchingType::Full => None,
            MatchingType::Sha256 => Some(32),
            MatchingType::Sha512 => Some(64),
            MatchingType::Other(_) => return Some("its matching type is not known"),
        };
        match (self.usage, self.selector) {
            (Usage::PkixTa | Usage::PkixEe, _) => Some("usages PKIX-TA (0) and PKIX-EE (1) are not for mail (RFC 7672 3.1.3)"),
            (Usage::Other(_), _) => Some("its usage is not known"),
            (_, Selector::Other(_)) => Some("its selector is not known"),
            _ if self.data.is_empty() => Some("it has no data"),
            _ if length.is_some_and(|length| length != self.data.len()) => Some("its digest has the wrong length"),
            _ => None,
        }
    }

    fn numbers(&self) -> (u8, u8, u8) {
        let usage = match self.usage {
            Usage::PkixTa => 0,
            Usage::PkixEe => 1,
            Usage::DaneTa => 2,
            Usage::DaneEe => 3,
            Usage::Other(other) => other,
        };
        let selector = match self.selector {
            Selector::Cert => 0,
            Selector::Spki => 1,
            Selector::Other(other) => other,
        };
        let matching = match self.matching {
            MatchingType::Full => 0,
            MatchingType::Sha256 => 1,
            MatchingType::Sha512 => 2,
            MatchingType::Other(other) => other,
        };
        (usage, selector, matching)
    }
}

/// "3 1 1": the parameters, without the data.
impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (usage, selector, matching) = self.numbers();
        write!(f, "{usage} {selector} {matching}")
    }
}

/// What DANE asks of connections to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dane {
    /// Nothing; `why` in words. TLS is what the other policies say.
    Absent { why: String },
    /// TLS, authenticated by one of these records (all usable). `base_domain` is the server name to ask for.
    Usable { base_domain: String, records: Vec<Tlsa> },
    /// There are records, and none is usable: TLS is required, its certificate is not looked at (RFC 7672 2.2).
    Unusable { base_domain: String, why: String },
    /// The records can't be had: the host is skipped, and mail deferred if it was the last (RFC 7672 2.1.1).
    Failed { base_domain: String, failure: Failure },
}

/// What came of it, with the look-ups for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaneLookup {
    pub policy: Dane,
    pub lookups: Vec<Lookup>,
}

impl Resolver {
    /// What DANE asks of connections to `host` on `port` (25). `exchangers` is the status of the MX answer that named the
    /// host; it and the host's addresses must be secure for DANE to apply (RFC 7672 2.2). `timeout` is for each question.
    pub async fn dane(&self, exchangers: Dnssec, host: &HostAddresses, port: u16, timeout: Duration) -> DaneLookup {
        let mut lookups = Vec::new();
        let bases = match self.base_domains(exchangers, host, timeout, &mut lookups).await {
            Ok(bases) => bases,
            Err(policy) => return DaneLookup { policy, lookups },
        };
        let mut policy = Dane::Absent { why: "no TLSA record".to_owned() };
        for base_domain in bases {
            let lookup = self.look_up(&format!("_{port}._tcp.{base_domain}"), Kind::Tlsa, timeout).await;
            lookups.push(lookup.clone());
            policy = policy_of(base_domain, &lookup);
            // RFC 7672 2.2.3: the name at the end of the aliases first, the original one if that has none.
            if !matches!(policy, Dane::Absent { .. }) {
                break;
            }
        }
        DaneLookup { policy, lookups }
    }

    /// The names whose TLSA records count, in order; or why none do.
    async fn base_domains(
        &self,
        exchangers: Dnssec,
        host: &HostAddresses,
        timeout: Duration,
        lookups: &mut Vec<Lookup>,
    ) -> Result<Vec<String>, Dane> {
        let absent = |why: String| Err(Dane::Absent { why });
        if exchangers != Dnssec::Secure {
            return absent(format!("the MX answer is {exchangers}, not secure"));
        }
        let own = host.host.clone();
        match (host.dnssec(), host.canonical_name()) {
            (Dnssec::Secure, None) => Ok(vec![own]),
            (Dnssec::Secure, Some(canonical)) => Ok(vec![canonical.to_owned(), own]),
            (status, None) => absent(format!("the host's addresses are {status}, not secure")),
            (status, Some(_)) => {
                // RFC 7672 2.2.2: a signed alias to an unsigned name still speaks for itself.
                let alias = self.look_up(&own, Kind::Cname, timeout).await;
                lookups.push(alias.clone());
                match alias.failure() {
                    Some(failure) if !failure.is_denial() => Err(Dane::Failed { base_domain: own, failure: failure.clone() }),
                    None if alias.dnssec() == Dnssec::Secure => Ok(vec![own]),
                    _ => absent(format!("the host is an alias, and its addresses are {status}, not secure")),
                }
            }
        }
    }
}

fn policy_of(base_domain: String, lookup: &Lookup) -> Dane {
    match lookup.failure() {
        Some(failure) if failure.is_denial() => return Dane::Absent { why: "no TLSA record".to_owned() },
        Some(failure) => return Dane::Failed { base_domain, failure: failure.clone() },
        None if lookup.dnssec() != Dnssec::Secure => {
            return Dane::Absent { why: format!("the TLSA answer is {}, not secure", lookup.dnssec()) };
        }
        None => {}
    }
    let all: Vec<Tlsa> = lookup.data().iter().filter_map(tlsa_of).collect();
    let flaw = all.iter().find_map(Tlsa::flaw).unwrap_or("they can't be read");
    let count = all.len();
    let records: Vec<Tlsa> = all.into_iter().filter(|it| it.flaw().is_none()).collect();
    if records.is_empty() {
        return Dane::Unusable { base_domain, why: format!("none of {count} TLSA records is usable: {flaw}") };
    }
    Dane::Usable { base_domain, records }
}

fn tlsa_of(data: &RData) -> Option<Tlsa> {
    let RData::TLSA(tlsa) = data else { return None };
    Some(Tlsa::new(tlsa.cert_usage.into(), tlsa.selector.into(), tlsa.matching.into(), tlsa.cert_data.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mail_can_go_by_is_told_from_what_it_can_not() {
        let flaw = |usage, selector, matching, octets| Tlsa::new(usage, selector, matching, vec![0; octets]).flaw();
        for (usage, selector, matching, octets) in [(3, 1, 1, 32), (3, 0, 2, 64), (2, 0, 1, 32), (2, 1, 0, 91), (3, 0, 0, 900)] {
            assert_eq!(flaw(usage, selector, matching, octets), None);
        }
        for (usage, selector, matching, octets) in
            [(0, 1, 1, 32), (1, 1, 1, 32), (4, 1, 1, 32), (3, 2, 1, 32), (3, 1, 3, 32), (3, 1, 1, 31), (3, 1, 2, 32), (3, 0, 0, 0)]
        {
            assert!(flaw(usage, selector, matching, octets).is_some(), "{usage} {selector} {matching} {octets}");
        }
        assert_eq!(Tlsa::new(3, 1, 1, vec![0; 32]).to_string(), "3 1 1");
    }
}
