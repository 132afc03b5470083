//! TLS towards the upstream: real verification, or acceptance of anything with the verdict recorded.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig, Error as TlsError, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::{TlsConnector, client};

use super::certificate::Particulars;
use super::dane;
use super::handshake::HandshakeError;
use super::pem::{self, PemError};
use super::verify::{Judge, Verifier};
use super::{TlsFacts, provider};
use crate::net::resolve::Tlsa;

/// Why the upstream connector can't be made.
#[derive(Debug, Error)]
pub enum ClientTlsError {
    #[error("ca_file: {0}")]
    CaFile(#[from] PemError),
    #[error("certificate: {0}")]
    Certificate(PemError),
    #[error("certificate: it and its key don't belong together: {0}")]
    Mismatch(TlsError),
    #[error("ca_file: {path}: certificate {number} in it can't be used: {source}")]
    BadRoot { path: String, number: usize, source: TlsError },
    #[error("TLS can't be set up: {0}")]
    Setup(TlsError),
}

/// Makes TLS connections to one upstream's hosts. Loads the trusted roots once; shared by all sessions.
#[derive(Clone)]
pub struct ClientTls {
    judge: Arc<Judge>,
    /// Two configurations, so that each keeps its own resumable sessions: one that was never verified must not be
    /// resumed where verification is asked for.
    verifying: Arc<ClientConfig>,
    accepting: Arc<ClientConfig>,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Trusts the system's roots, and those of `ca_file` (PEM) beside them.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, ClientTlsError> {
        let mut roots = RootCertStore::empty();
        // A system root that can't be parsed is no reason not to start: it would be missed at verification, with words.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::with_roots(roots, ca_file)
    }

    /// Trusts nobody but the certificates of `ca_file`.
    pub fn only(ca_file: &Path) -> Result<Self, ClientTlsError> {
        Self::with_roots(RootCertStore::empty(), Some(ca_file))
    }

    /// As [`ClientTls::new`], and shows the server a certificate of its own where it asks for one: chain and key, PEM.
    ///
    /// # Errors
    /// A file can't be read, or chain and key don't belong together.
    pub fn with_certificate(ca_file: Option<&Path>, chain: &Path, key: &Path) -> Result<Self, ClientTlsError> {
        let mut made = Self::new(ca_file)?;
        let chain = pem::certificates(chain).map_err(ClientTlsError::Certificate)?;
        let key = pem::private_key(key).map_err(ClientTlsError::Certificate)?;
        let signing = made.judge.provider.key_provider.load_private_key(key).map_err(ClientTlsError::Setup)?;
        let certified = sign::CertifiedKey::new(chain, signing);
        certified.keys_match().map_err(ClientTlsError::Mismatch)?;
        let resolver: Arc<dyn ResolvesClientCert> = Arc::new(sign::SingleCertAndKey::from(certified));
        for configuration in [&mut made.verifying, &mut made.accepting] {
            Arc::make_mut(configuration).client_auth_cert_resolver = resolver.clone();
        }
        Ok(made)
    }

    fn with_roots(mut roots: RootCertStore, ca_file: Option<&Path>) -> Result<Self, ClientTlsError> {
        let mut pinned = Vec::new();
        if let Some(path) = ca_file {
            for (before, certificate) in pem::certificates(path)?.into_iter().enumerate() {
                let fail = |source| ClientTlsError::BadRoot { path: path.display().to_string(), number: before + 1, source };
                roots.add(certificate.clone()).map_err(fail)?;
                pinned.push(certificate);
            }
        }
        let judge = Arc::new(Judge { roots, pinned, provider: provider() });
        Self::speaking(judge, ALL_VERSIONS)
    }

    fn speaking(judge: Arc<Judge>, versions: &[&'static SupportedProtocolVersion]) -> Result<Self, ClientTlsError> {
        Ok(Self { verifying: configuration(&judge, false, versions)?, accepting: configuration(&judge, true, versions)?, judge })
    }

    /// One that offers TLS 1.2 alone, and one that offers TLS 1.3 alone: to find out which of them a server speaks.
    ///
    /// # Errors
    /// The cryptography provider lacks one of them.
    pub fn by_version(&self) -> Result<[Self; 2], ClientTlsError> {
        let one = |version| Self::speaking(Arc::clone(&self.judge), &[version]);
        Ok([one(&TLS12)?, one(&TLS13)?])
    }

    /// The same, offering these protocols (RFC 7301).
    #[must_use]
    pub fn with_alpn(mut self, protocols: &[&str]) -> Self {
        for configuration in [&mut self.verifying, &mut self.accepting] {
            Arc::make_mut(configuration).alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        }
        self
    }

    /// A connector for use without [`ClientTls::handshake`]; with `accept_unverified` nobody has looked at the certificate.
    pub fn connector(&self, accept_unverified: bool) -> TlsConnector {
        TlsConnector::from(Arc::clone(if accept_unverified { &self.accepting } else { &self.verifying }))
    }

    /// Shakes hands with `host` (a name or an address) and tells what was agreed and whether the certificate is to be
    /// believed. Without `accept_unverified` a certificate that isn't ends the handshake. Sets no time limit.
    pub async fn handshake<S>(
        &self,
        stream: S,
        host: &str,
        accept_unverified: bool,
    ) -> Result<(client::TlsStream<S>, TlsFacts), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(host)?;
        // RFC 6066 3: addresses are not sent as server name.
        let sni = matches!(name, ServerName::DnsName(_)).then(|| name.to_str().into_owned());
        let stream = self
            .connector(accept_unverified)
            .connect(name.clone(), stream)
            .await
            .map_err(|source| HandshakeError::from_io(source, sni.clone()))?;
        let facts = self.facts(&stream, sni, |chain| self.verdict(chain, &stream, &name, accept_unverified));
        if facts.verified != Some(true) && !accept_unverified {
            return Err(HandshakeError::Unverified { facts: Box::new(facts) });
        }
        Ok((stream, facts))
    }

    /// Shakes hands with a host that has usable TLSA records, and believes its certificate by these alone (RFC 7672).
    /// `base_domain` is the name whose records they are, asked for as server name; `names` are others that a certificate
    /// under DANE-TA may be for: the host, the domain that mail is for (3.2.2). A certificate that no record vouches for ends
    /// the handshake with [`HandshakeError::Unverified`]. Sets no time limit.
    pub async fn handshake_dane<S>(
        &self,
        stream: S,
        base_domain: &str,
        names: &[&str],
        records: &[Tlsa],
    ) -> Result<(client::TlsStream<S>, TlsFacts), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(base_domain)?;
        let others = names.iter().filter_map(|it| server_name(it).ok()).filter(|it| *it != name);
        let names: Vec<ServerName<'static>> = std::iter::once(name.clone()).chain(others).collect();
        let sni = matches!(name, ServerName::DnsName(_)).then(|| name.to_str().into_owned());
        let stream = self.connector(true).connect(name, stream).await.map_err(|source| HandshakeError::from_io(source, sni.clone()))?;
        let facts = self.facts(&stream, sni, |chain| dane::judge(chain, &names, records, &self.judge.provider, UnixTime::now()));
        if facts.verified != Some(true) {
            return Err(HandshakeError::Unverified { facts: Box::new(facts) });
        }
        Ok((stream, facts))
    }

    /// By the trusted authorities.
    fn verdict<S>(
        &self,
        chain: &[CertificateDer<'_>],
        stream: &client::TlsStream<S>,
        name: &ServerName<'_>,
        accept_unverified: bool,
    ) -> Result<String, String> {
        let Some((end_entity, intermediates)) = chain.split_first() else { return Err(NO_CERTIFICATE.to_owned()) };
        // A resumed session isn't verified by rustls again, and its certificate may have expired since.
        let judged_in_handshake = !accept_unverified && stream.get_ref().1.handshake_kind() != Some(HandshakeKind::Resumed);
        if !judged_in_handshake {
            self.judge.verify(end_entity, intermediates, name, UnixTime::now()).map_err(|unverified| unverified.why)?;
        }
        Ok(self.judge.how(end_entity).to_owned())
    }

    fn facts<S>(
        &self,
        stream: &client::TlsStream<S>,
        sni: Option<String>,
        verdict: impl FnOnce(&[CertificateDer<'_>]) -> Result<String, String>,
    ) -> TlsFacts {
        let (_, connection) = stream.get_ref();
        let agreed = TlsFacts { sni, ..TlsFacts::agreed(connection) };
        let chain = connection.peer_certificates().unwrap_or_default();
        let Some(end_entity) = chain.first() else {
            return TlsFacts { verified: Some(false), why_not: Some(NO_CERTIFICATE.to_owned()), ..agreed };
        };
        let particulars = Particulars::read(end_entity);
        let (how, why_not) = match verdict(chain) {
            Ok(how) => (Some(how), None),
            Err(why_not) => (None, Some(why_not)),
        };
        TlsFacts {
            expires_at_unix_us: particulars.expires_at_unix_us(),
            subject: particulars.subject,
            issuer: particulars.issuer,
            verified: Some(how.is_some()),
            how,
            why_not,
            ..agreed
        }
    }
}

const NO_CERTIFICATE: &str = "the server sent no certificate";

fn configuration(
    judge: &Arc<Judge>,
    accept_unverified: bool,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let verifier = Verifier { judge: Arc::clone(judge), accept_unverified };
    let config = ClientConfig::builder_with_provider(Arc::clone(&judge.provider))
        .with_protocol_versions(versions)
        .map_err(ClientTlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn server_name(host: &str) -> Result<ServerName<'static>, HandshakeError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let relative = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(relative.to_owned()).map_err(|_| HandshakeError::BadName { host: host.to_owned() })
}
