//! TLS towards clients: one certificate and key, reloadable while sessions run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::server::ProducesTickets;
use tokio_rustls::rustls::{Error as TlsError, InconsistentKeys, ServerConfig};
use tokio_rustls::{TlsAcceptor, server};

use super::certificate::Particulars;
use super::handshake::HandshakeError;
use super::pem::{self, PemError};
use super::{TlsFacts, provider};

/// Why a certificate and key can't be presented to clients.
#[derive(Debug, Error)]
pub enum ServerTlsError {
    #[error(transparent)]
    File(#[from] PemError),
    #[error("{key}: this key does not belong to the certificate in {certificate}", key = .key.display(), certificate = .certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("{certificate} with {key}: {source}", key = .key.display(), certificate = .certificate.display())]
    Unusable { certificate: PathBuf, key: PathBuf, source: TlsError },
}

/// What clients are shown. Sessions take the configuration that is current when they shake hands.
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<Presented>,
}

struct Presented {
    config: Arc<ServerConfig>,
    particulars: Particulars,
}

impl ServerTls {
    /// Reads a PEM certificate chain (the server's own certificate first) and its key.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, ServerTlsError> {
        let unusable = |source| ServerTlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), source };
        let tickets = Ticketer::new().map_err(unusable)?;
        let presented = load(certificate, key, &tickets)?;
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), tickets, current: ArcSwap::from_pointee(presented) })
    }

    /// The acceptor for one connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().config))
    }

    /// Shakes hands with a client. Sets no time limit.
    pub async fn accept<S>(&self, stream: S) -> Result<(server::TlsStream<S>, TlsFacts), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor().accept(stream).await.map_err(|source| HandshakeError::from_io(source, None))?;
        let facts = server_facts(&stream);
        Ok((stream, facts))
    }

    /// Reads the files again. If they are of no use, what was there goes on being presented.
    pub fn reload(&self) -> Result<(), ServerTlsError> {
        let presented = load(&self.certificate, &self.key, &self.tickets)?;
        self.current.store(Arc::new(presented));
        Ok(())
    }

    /// When the presented certificate expires.
    pub fn expires_at_unix_us(&self) -> Option<u64> {
        self.current.load().particulars.expires_at_unix_us()
    }
}

fn load(certificate: &Path, key: &Path, tickets: &Arc<dyn ProducesTickets>) -> Result<Presented, ServerTlsError> {
    let chain = pem::certificates(certificate)?;
    let particulars = chain.first().map(Particulars::read).unwrap_or_default();
    let secret = pem::private_key(key)?;
    let fail = |source| match source {
        TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            ServerTlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        source => ServerTlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), source },
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(fail)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(fail)?;
    config.ticketer = Arc::clone(tickets); // resumption without memory for each idle client
    Ok(Presented { config: Arc::new(config), particulars })
}

/// What is recorded of a client's TLS.
pub fn server_facts<S>(stream: &server::TlsStream<S>) -> TlsFacts {
    let (_, connection) = stream.get_ref();
    TlsFacts { sni: connection.server_name().map(str::to_owned), ..TlsFacts::agreed(connection) }
}
