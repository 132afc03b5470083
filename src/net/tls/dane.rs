//! Judges a server's certificate by TLSA records (RFC 6698, 7671, 7672) instead of by the authorities this machine trusts.

use std::sync::Arc;

use ring::digest::{Algorithm, SHA256, SHA512, digest};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::{Particulars, day};
use super::verify::Judge;
use crate::net::resolve::{MatchingType, Selector, Tlsa, Usage};

/// Which record vouches for the chain ("DANE-EE 3 1 1"); or why none does, in an administrator's words. `names` are those
/// that a certificate under DANE-TA may be for (RFC 7672 3.2.2); DANE-EE asks neither for names nor dates (3.1.1).
pub(super) fn judge(
    chain: &[CertificateDer<'_>],
    names: &[ServerName<'_>],
    records: &[Tlsa],
    provider: &Arc<CryptoProvider>,
    now: UnixTime,
) -> Result<String, String> {
    let Some((end_entity, above)) = chain.split_first() else { return Err("the server sent no certificate".to_owned()) };
    let considered: Vec<&Tlsa> = strongest(records);
    if let Some(record) = considered.iter().find(|it| it.usage == Usage::DaneEe && matches(it, end_entity)) {
        return Ok(format!("DANE-EE {record}"));
    }
    let mut almost = None;
    for record in considered.iter().filter(|it| it.usage == Usage::DaneTa) {
        for anchor in anchors(record, chain) {
            match issued(end_entity, above, &anchor, names, provider, now) {
                Ok(()) => return Ok(format!("DANE-TA {record}")),
                Err(why) => almost = almost.or(Some(format!("TLSA record {record} matches an authority in the chain, but: {why}"))),
            }
        }
    }
    Err(almost.unwrap_or_else(|| no_match(&considered, end_entity)))
}

/// RFC 7671 9: where a set has digests of several strengths for the same thing, the strongest alone counts.
fn strongest(records: &[Tlsa]) -> Vec<&Tlsa> {
    let usable = || records.iter().filter(|it| it.flaw().is_none());
    let outdone = |it: &Tlsa| {
        let same = |other: &&Tlsa| (other.usage, other.selector) == (it.usage, it.selector);
        it.matching == MatchingType::Sha256 && usable().filter(same).any(|other| other.matching == MatchingType::Sha512)
    };
    usable().filter(|it| !outdone(it)).collect()
}

fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = match record.selector {
        Selector::Cert => Some(certificate.as_ref()),
        Selector::Spki => public_key(certificate),
        Selector::Other(_) => None,
    };
    let Some(selected) = selected else { return false };
    match record.matching {
        MatchingType::Full => selected == record.data,
        MatchingType::Sha256 => digest(&SHA256, selected).as_ref() == record.data,
        MatchingType::Sha512 => digest(&SHA512, selected).as_ref() == record.data,
        MatchingType::Other(_) => false,
    }
}

/// SubjectPublicKeyInfo as it stands in the certificate.
fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    X509Certificate::from_der(certificate.as_ref()).ok().map(|(_, it)| it.tbs_certificate.subject_pki.raw)
}

/// The authorities that the record speaks of: those presented (RFC 7672 3.1.2), or the one that it holds itself.
fn anchors<'a>(record: &Tlsa, chain: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    let presented: Vec<_> = chain.iter().filter(|certificate| matches(record, certificate)).cloned().collect();
    let is_whole = (record.selector, record.matching) == (Selector::Cert, MatchingType::Full);
    if presented.is_empty() && is_whole { vec![CertificateDer::from(record.data.clone())] } else { presented }
}

fn issued(
    end_entity: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
    anchor: &CertificateDer<'_>,
    names: &[ServerName<'_>],
    provider: &Arc<CryptoProvider>,
    now: UnixTime,
) -> Result<(), String> {
    let expires_at = Particulars::read(anchor).expires_at;
    if i64::try_from(now.as_secs()).is_ok_and(|now| now > expires_at) {
        return Err(format!("the authority's certificate expired {}", day(expires_at)));
    }
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned()).map_err(|error| format!("the authority's certificate can't be used: {error}"))?;
    let judge = Judge { roots, pinned: Vec::new(), provider: Arc::clone(provider) };
    let mut refused = None;
    for name in names {
        match judge.verify(end_entity, above, name, now) {
            Ok(()) => return Ok(()),
            Err(unverified) => refused = refused.or(Some(unverified.why)),
        }
    }
    Err(refused.unwrap_or_else(|| "there is no name that it could be for".to_owned()))
}

fn no_match(records: &[&Tlsa], end_entity: &CertificateDer<'_>) -> String {
    let shown = |algorithm: &'static Algorithm, octets: &[u8]| {
        digest(algorithm, octets).as_ref().iter().map(|octet| format!("{octet:02x}")).collect::<String>()
    };
    let kinds: Vec<String> = records.iter().take(5).map(ToString::to_string).collect();
    let key = public_key(end_entity).map_or_else(|| "not readable".to_owned(), |key| shown(&SHA256, key));
    let (count, plural) = (records.len(), if records.len() == 1 { "" } else { "s" });
    format!("no TLSA record matches: {count} record{plural} ({}), the certificate's SPKI SHA-256 is {key}", kinds.join(", "))
}
