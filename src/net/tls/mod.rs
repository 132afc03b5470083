//! TLS on both legs: what is presented to clients, what is verified of the upstream, and what is recorded of each handshake.

mod certificate;
mod client;
mod dane;
#[cfg(test)]
mod dane_tests;
mod handshake;
mod pem;
mod self_signed;
mod server;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use tokio_rustls::rustls::{CommonState, crypto::CryptoProvider};

pub use certificate::of_file as certificate_of_file;
pub use client::{ClientTls, ClientTlsError};
pub use handshake::HandshakeError;
pub use pem::PemError;
pub use self_signed::{SelfSigned, SelfSignedError, self_signed};
pub use server::{ServerTls, ServerTlsError, server_facts};

/// What is recorded of one leg's TLS. Certificate fields are the peer's; text in them is hostile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// "TLSv1.3"; empty where the handshake failed before one was agreed.
    pub version: String,
    /// IANA name of the cipher suite; empty like `version`.
    pub cipher: String,
    /// The host name that the client asked for.
    pub sni: Option<String>,
    pub subject: Option<String>,
    pub issuer: Option<String>,
    pub expires_at_unix_us: Option<u64>,
    /// Absent where there is nothing to verify (a client without a certificate).
    pub verified: Option<bool>,
    /// What vouches for the certificate where it is verified: "trusted authority", "pinned in ca_file", "DANE-EE 3 1 1", …
    pub how: Option<String>,
    /// Why verification failed, in words for an administrator.
    pub why_not: Option<String>,
}

impl TlsFacts {
    /// Version and cipher of a connection whose handshake is done.
    fn agreed(connection: &CommonState) -> Self {
        let version = connection.protocol_version().map(|version| format!("{version:?}").replace("TLSv1_", "TLSv1."));
        let cipher = connection.negotiated_cipher_suite().map(|suite| iana_name(&format!("{:?}", suite.suite())));
        Self { version: version.unwrap_or_default(), cipher: cipher.unwrap_or_default(), ..Self::default() }
    }
}

/// rustls tells its TLS 1.3 suites apart by a prefix that the registry doesn't know.
fn iana_name(suite: &str) -> String {
    suite.strip_prefix("TLS13_").map_or_else(|| suite.to_owned(), |rest| format!("TLS_{rest}"))
}

/// The one cryptography provider; named at each use, so that no process-wide default needs setting.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(tokio_rustls::rustls::crypto::ring::default_provider())
}
