//! Verifies an upstream's certificate and says why it fails, in an administrator's words.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::certificate::{Particulars, day};

/// A certificate that was not believed; travels through rustls' error, so that the record learns whose it was.
#[derive(Debug, Clone, Error)]
#[error("{why}")]
pub(super) struct Unverified {
    pub why: String,
    pub particulars: Particulars,
}

/// Whom we believe.
pub(super) struct Judge {
    pub roots: RootCertStore,
    /// Certificates of the `ca_file` as they are: a server that presents one of them needs no issuer beyond it.
    /// (webpki takes no certificate marked as authority for a server's own; `openssl req -x509` marks all so.)
    pub pinned: Vec<CertificateDer<'static>>,
    pub provider: Arc<CryptoProvider>,
}

impl Judge {
    /// `Ok` if the certificate is current, is for this host, and comes from someone we believe.
    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Unverified> {
        let outcome = self.webpki(end_entity, intermediates, host, now);
        outcome.map_err(|error| {
            let particulars = Particulars::read(end_entity);
            Unverified { why: self.words(&error, &particulars, host, now), particulars }
        })
    }

    /// What makes a certificate believed that has been verified.
    pub(super) fn how(&self, end_entity: &CertificateDer<'_>) -> &'static str {
        if self.is_pinned(end_entity) { "pinned in ca_file" } else { "trusted authority" }
    }

    fn is_pinned(&self, end_entity: &CertificateDer<'_>) -> bool {
        self.pinned.iter().any(|pinned| pinned == end_entity)
    }

    fn webpki(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if self.is_pinned(end_entity) {
            let expires_at = Particulars::read(end_entity).expires_at;
            if i64::try_from(now.as_secs()).is_ok_and(|now| now > expires_at) {
                return Err(CertificateError::Expired.into());
            }
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        }
        verify_server_name(&parsed, host)
    }

    fn words(&self, error: &Error, particulars: &Particulars, host: &ServerName<'_>, now: UnixTime) -> String {
        use CertificateError as E;
        let Error::InvalidCertificate(error) = error else { return format!("certificate not usable: {error}") };
        match error {
            E::Expired | E::ExpiredContext { .. } if self.is_current(particulars, now) => {
                "a certificate in the chain above the server's has expired".to_owned()
            }
            E::Expired | E::ExpiredContext { .. } => format!("certificate expired {}", day(particulars.expires_at)),
            E::NotValidYet => "certificate is not valid yet".to_owned(),
            E::NotValidYetContext { not_before, .. } => {
                let since = i64::try_from(not_before.as_secs()).unwrap_or(i64::MAX);
                format!("certificate is not valid before {} (is this machine's clock right?)", day(since))
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                format!("name mismatch: certificate is for {}, not {}", particulars.names_in_words(), host.to_str())
            }
            _ if particulars.self_signed => "issued by an unknown authority (self-signed)".to_owned(),
            E::UnknownIssuer if self.roots.is_empty() => {
                "this machine trusts no authority at all (install ca-certificates, or set ca_file)".to_owned()
            }
            E::UnknownIssuer => match &particulars.issuer {
                Some(issuer) => format!("issued by an unknown authority ({issuer}), or an intermediate certificate is missing"),
                None => "issued by an unknown authority".to_owned(),
            },
            E::BadEncoding => "not a certificate that can be read".to_owned(),
            E::BadSignature => {
                let issuer = particulars.issuer.as_deref().unwrap_or("unnamed");
                format!("its signature is not that of the trusted authority of that name ({issuer})")
            }
            E::Revoked => "certificate was revoked".to_owned(),
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => "certificate is not meant for servers".to_owned(),
            E::UnhandledCriticalExtension => "certificate has a critical extension that is not understood".to_owned(),
            other => format!("certificate not usable: {other}"),
        }
    }

    fn is_current(&self, particulars: &Particulars, now: UnixTime) -> bool {
        i64::try_from(now.as_secs()).is_ok_and(|now| now <= particulars.expires_at)
    }
}

/// Plugs the judge into a handshake.
pub(super) struct Verifier {
    pub judge: Arc<Judge>,
    /// Let the handshake go on whatever the certificate; the judgement is made afterwards, for the record.
    pub accept_unverified: bool,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("accept_unverified", &self.accept_unverified).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.accept_unverified {
            let judged = self.judge.verify(end_entity, intermediates, server_name, now);
            judged.map_err(|why| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why)))))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    // The peer must hold the certificate's key even where the certificate is not believed: it is recorded as the peer's.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.judge.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.judge.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.provider.signature_verification_algorithms.supported_schemes()
    }
}
