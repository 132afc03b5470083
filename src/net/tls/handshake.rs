//! Why a TLS handshake failed, told apart by who can do something about it.

use std::io;

use thiserror::Error;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage, OtherError, PeerIncompatible};

use super::TlsFacts;
use super::verify::Unverified;

/// A handshake that failed, on either leg.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The peer's certificate was not believed. The connection was closed before anything was said on it.
    #[error("certificate refused: {}", .facts.why_not.as_deref().unwrap_or("not verified"))]
    Unverified { facts: Box<TlsFacts> },
    #[error("the peer ended the TLS handshake with alert {}{}", alert_name(*.alert), alert_words(*.alert))]
    Alert { alert: AlertDescription },
    #[error("the peer closed the connection during the TLS handshake")]
    PeerClosed,
    #[error("the peer does not speak TLS here (it sent something else)")]
    NotTls,
    #[error("nothing in common with the peer: {why} (relayscope speaks TLS 1.2 and 1.3)")]
    NothingInCommon { why: String },
    #[error("the peer broke the TLS protocol: {why}")]
    Protocol { why: String },
    #[error("connection lost during the TLS handshake: {source}")]
    Io { source: io::Error },
    #[error("{host:?} is not a host name that a certificate can be verified for")]
    BadName { host: String },
}

impl HandshakeError {
    /// Whether it was our verdict on the certificate, not the protocol or the network, that ended it.
    pub fn is_verification(&self) -> bool {
        matches!(self, Self::Unverified { .. })
    }

    /// What was learned of the peer all the same.
    pub fn facts(&self) -> Option<&TlsFacts> {
        match self {
            Self::Unverified { facts } => Some(facts),
            _ => None,
        }
    }

    /// tokio-rustls wraps what rustls says into an I/O error.
    pub(super) fn from_io(source: io::Error, sni: Option<String>) -> Self {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return Self::PeerClosed;
        }
        match source.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
            Some(error) => Self::from_tls(error, sni),
            None => Self::Io { source },
        }
    }

    fn from_tls(error: &TlsError, sni: Option<String>) -> Self {
        match error {
            TlsError::InvalidCertificate(CertificateError::Other(OtherError(inner))) => match inner.downcast_ref::<Unverified>() {
                Some(unverified) => Self::Unverified { facts: Box::new(unverified.facts(sni)) },
                None => Self::Protocol { why: error.to_string() },
            },
            TlsError::InvalidCertificate(why) => {
                let why_not = Some(why.to_string());
                Self::Unverified { facts: Box::new(TlsFacts { sni, verified: Some(false), why_not, ..TlsFacts::default() }) }
            }
            TlsError::AlertReceived(alert) => Self::Alert { alert: *alert },
            TlsError::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion | InvalidMessage::MessageTooLarge,
            ) => Self::NotTls,
            TlsError::PeerIncompatible(why) => Self::NothingInCommon { why: incompatible(why) },
            other => Self::Protocol { why: other.to_string() },
        }
    }
}

impl Unverified {
    pub(super) fn facts(&self, sni: Option<String>) -> TlsFacts {
        TlsFacts {
            sni,
            subject: self.particulars.subject.clone(),
            issuer: self.particulars.issuer.clone(),
            expires_at_unix_us: self.particulars.expires_at_unix_us(),
            verified: Some(false),
            why_not: Some(self.why.clone()),
            ..TlsFacts::default()
        }
    }
}

fn incompatible(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite".to_owned(),
        PeerIncompatible::NoSignatureSchemesInCommon => "no signature scheme".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange group".to_owned(),
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => "no TLS version".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The alert as RFC 8446 spells it.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "unknown_ca".to_owned(),
        AlertDescription::UnknownPSKIdentity => "unknown_psk_identity".to_owned(),
        AlertDescription::Unknown(number) => number.to_string(),
        named => {
            let mut name = String::new();
            for letter in format!("{named:?}").chars() {
                if letter.is_ascii_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(letter.to_ascii_lowercase());
            }
            name
        }
    }
}

fn alert_words(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::HandshakeFailure => ": no cipher or parameter in common, or it wants a client certificate",
        AlertDescription::ProtocolVersion => ": no TLS version in common (relayscope speaks TLS 1.2 and 1.3)",
        AlertDescription::InsufficientSecurity => ": it wants stronger ciphers",
        AlertDescription::UnknownCA => ": it does not trust the issuer of our certificate",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown | AlertDescription::UnsupportedCertificate => {
            ": it does not accept our certificate"
        }
        AlertDescription::CertificateExpired => ": it finds our certificate expired",
        AlertDescription::CertificateRequired => ": it wants a client certificate",
        AlertDescription::UnrecognisedName => ": it does not know the host name we asked for",
        AlertDescription::InternalError => ": its own fault",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_rfc() {
        let cases = [
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::ProtocolVersion, "protocol_version"),
            (AlertDescription::Unknown(200), "200"),
        ];
        for (alert, name) in cases {
            assert_eq!(alert_name(alert), name);
        }
    }
}
