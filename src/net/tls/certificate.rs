//! Reads out of a certificate what is recorded of it.

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Subjects and issuers are written by whoever made the certificate: no more than this much of them is kept.
const NAME_OCTETS: usize = 256;
/// A certificate for half the world should not fill the log.
const NAMES_SHOWN: usize = 5;

/// What a certificate says about itself. Nothing of it is verified here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Particulars {
    pub subject: Option<String>,
    pub issuer: Option<String>,
    /// Seconds since 1970; certificates may be dated before.
    pub expires_at: i64,
    pub self_signed: bool,
    /// The names it is valid for (subjectAltName), for words.
    pub names: Vec<String>,
}

impl Particulars {
    /// What can be read; nothing at all of what isn't a certificate.
    pub(super) fn read(der: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der.as_ref()) else { return Self::default() };
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(shown).collect(),
            _ => Vec::new(),
        };
        Self {
            subject: Some(bounded(certificate.subject().to_string())),
            issuer: Some(bounded(certificate.issuer().to_string())),
            expires_at: certificate.validity().not_after.timestamp(),
            self_signed: certificate.subject() == certificate.issuer(),
            names,
        }
    }

    pub(super) fn expires_at_unix_us(&self) -> Option<u64> {
        self.subject.as_ref()?;
        u64::try_from(self.expires_at).ok()?.checked_mul(1_000_000)
    }

    /// "a.example, b.example and 3 more".
    pub(super) fn names_in_words(&self) -> String {
        let shown = self.names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        match self.names.len() {
            0 => "no host name at all".to_owned(),
            many if many > NAMES_SHOWN => format!("{shown} and {} more", many - NAMES_SHOWN),
            _ => shown,
        }
    }
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(bounded((*name).to_owned())),
        GeneralName::IPAddress(octets) => match *octets {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            octets => <[u8; 16]>::try_from(octets).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
        },
        _ => None,
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > NAME_OCTETS {
        let cut = (0..=NAME_OCTETS).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// "2026-01-03", the day of a Unix time.
pub(super) fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "an impossible date".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// Whose certificate is first in a PEM file, and when it expires (Unix µs). Its key isn't looked at.
///
/// # Errors
/// There is none that can be read.
pub fn of_file(path: &std::path::Path) -> Result<(Option<String>, Option<u64>), super::PemError> {
    let chain = super::pem::certificates(path)?;
    let particulars = chain.first().map(Particulars::read).unwrap_or_default();
    Ok((particulars.subject.clone(), particulars.expires_at_unix_us()))
}
