//! What a TLS handshake shows before it goes dark: hellos, a certificate, alerts. As facts, and in words for the dialogue.
//!
//! Everything here is hostile text. Nothing of it is verified: the handshake is between the client and the upstream.

use tls_parser::{
    TlsAlertDescription, TlsCertificateContents, TlsCipherSuite, TlsClientHelloContents, TlsExtension, TlsExtensionType, TlsMessage,
    TlsMessageHandshake, TlsServerHelloContents, TlsVersion, parse_tls_client_hello_extension, parse_tls_message_handshake,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::relay::recorder::bounded;

/// Octets of a name that are kept.
const NAME: usize = 256;
/// Application protocols and versions of a hello that are kept.
const MOST_LISTED: usize = 8;

/// The random of a server's hello that asks for another one of the client's (RFC 8446 §4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
    0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Encrypted ClientHello: the name in clear is then one of the provider's.
const ENCRYPTED_HELLO: u16 = 0xfe0d;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    ClientHello(ClientHello),
    /// The server wants another hello (HelloRetryRequest).
    Retry,
    ServerHello(ServerHello),
    Certificate(Certificate),
    Alert {
        fatal: bool,
        name: String,
    },
    /// From here on everything is encrypted. `alert`: the record is just as long as an alert of TLS 1.3, and hardly anything else is.
    Dark {
        alert: bool,
    },
    /// It isn't TLS as it should be; nothing more is read of it.
    Unreadable,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    pub sni: Option<String>,
    pub alpn: Vec<String>,
    /// Newest first, as offered.
    pub versions: Vec<String>,
    pub suites: usize,
    /// It asks to go on with a session of before.
    pub resumes: bool,
    pub encrypted: bool,
    pub session_id: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerHello {
    pub version: String,
    pub cipher: String,
    pub tls13: bool,
    /// A key of before is used (TLS 1.3).
    pub pre_shared: bool,
    pub session_id: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    pub subject: Option<String>,
    pub issuer: Option<String>,
    pub expires_at: Option<u64>,
}

impl Sight {
    /// What a whole handshake message shows; `None` for those that nothing is kept of.
    pub(super) fn of_message(message: &[u8]) -> Option<Self> {
        const CLIENT_HELLO: u8 = 1;
        const SERVER_HELLO: u8 = 2;
        const CERTIFICATE: u8 = 11;
        if !matches!(message.first(), Some(&(CLIENT_HELLO | SERVER_HELLO | CERTIFICATE))) {
            return None;
        }
        Some(match parse_tls_message_handshake(message) {
            Ok((_, TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)))) => Self::ClientHello(ClientHello::read(&hello)),
            Ok((_, TlsMessage::Handshake(TlsMessageHandshake::ServerHello(hello)))) if hello.random == RETRY => Self::Retry,
            Ok((_, TlsMessage::Handshake(TlsMessageHandshake::ServerHello(hello)))) => Self::ServerHello(ServerHello::read(&hello)),
            Ok((_, TlsMessage::Handshake(TlsMessageHandshake::Certificate(chain)))) => Self::Certificate(Certificate::read(&chain)),
            _ => Self::Unreadable,
        })
    }

    pub(super) fn of_alert(level: u8, description: u8) -> Self {
        // "HandshakeFailure" is what RFC 8446 §6 calls handshake_failure.
        let mut name = String::new();
        for it in TlsAlertDescription(description).to_string().chars() {
            if it.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(it.to_ascii_lowercase());
        }
        Self::Alert { fatal: level != 1, name: bounded(name.as_bytes(), 64) }
    }

    /// For the dialogue. `asked`: the session that the client asks to go on with.
    pub(super) fn words(&self, asked: &[u8]) -> Option<String> {
        Some(match self {
            Self::ClientHello(hello) => hello.words(),
            Self::Retry => "(TLS HelloRetryRequest)".to_owned(),
            Self::ServerHello(hello) => hello.words(asked),
            Self::Certificate(certificate) => certificate.words(),
            Self::Alert { fatal, name } => format!("(TLS alert: {}{name})", if *fatal { "" } else { "warning, " }),
            Self::Dark { alert: true } => "(TLS: encrypted, and as short as an alert)".to_owned(),
            Self::Dark { alert: false } => return None,
            Self::Unreadable => "(TLS that can't be read)".to_owned(),
        })
    }
}

impl ClientHello {
    fn read(hello: &TlsClientHelloContents<'_>) -> Self {
        let session_id = hello.session_id.unwrap_or_default().to_vec();
        let mut read = Self { suites: hello.ciphers.len(), session_id, ..Self::default() };
        let (mut ticket, mut pre_shared) = (false, false);
        for extension in extensions(hello.ext) {
            match extension {
                TlsExtension::SNI(names) => read.sni = names.first().map(|(_, name)| bounded(name, NAME)),
                TlsExtension::ALPN(names) => read.alpn = names.iter().take(MOST_LISTED).map(|name| bounded(name, 64)).collect(),
                TlsExtension::SupportedVersions(versions) => {
                    let known = versions.iter().filter(|version| !is_grease(version.0));
                    read.versions = known.take(MOST_LISTED).map(|version| version_word(*version)).collect();
                }
                TlsExtension::SessionTicket(value) => ticket = !value.is_empty(),
                TlsExtension::PreSharedKey(_) => pre_shared = true,
                TlsExtension::Unknown(TlsExtensionType(ENCRYPTED_HELLO), _) => read.encrypted = true,
                _ => {}
            }
        }
        // In a hello of TLS 1.3 the session id is there for old middleboxes' sake (RFC 8446 §4.1.2).
        let tls13 = read.versions.iter().any(|version| version == "TLSv1.3");
        read.resumes = pre_shared || ticket || (!tls13 && !read.session_id.is_empty());
        if read.versions.is_empty() {
            read.versions.push(version_word(hello.version));
        }
        read
    }

    fn words(&self) -> String {
        let mut words = format!("(TLS ClientHello: {}, {} cipher suites", self.versions.join(" "), self.suites);
        if let Some(name) = &self.sni {
            words += &format!(", for {name}{}", if self.encrypted { " (the true name is encrypted)" } else { "" });
        }
        if !self.alpn.is_empty() {
            words += &format!(", ALPN {}", self.alpn.join(" "));
        }
        words + if self.resumes { ", resuming)" } else { ")" }
    }
}

impl ServerHello {
    fn read(hello: &TlsServerHelloContents<'_>) -> Self {
        let (mut version, mut pre_shared) = (hello.version, false);
        for extension in extensions(hello.ext) {
            match extension {
                TlsExtension::SupportedVersions(versions) => version = versions.first().copied().unwrap_or(version),
                TlsExtension::PreSharedKey(_) => pre_shared = true,
                _ => {}
            }
        }
        let cipher = TlsCipherSuite::from_id(hello.cipher.0).map_or_else(|| format!("0x{:04x}", hello.cipher.0), |it| it.name.to_owned());
        let session_id = hello.session_id.unwrap_or_default().to_vec();
        Self { version: version_word(version), cipher, tls13: version == TlsVersion::Tls13, pre_shared, session_id }
    }

    /// Whether it takes the client's word to go on with a session of before.
    pub(super) fn resumes(&self, asked: &[u8]) -> bool {
        self.pre_shared || (!self.tls13 && !asked.is_empty() && self.session_id == asked)
    }

    fn words(&self, asked: &[u8]) -> String {
        format!("(TLS ServerHello: {} {}{})", self.version, self.cipher, if self.resumes(asked) { ", resumed" } else { "" })
    }
}

impl Certificate {
    fn read(chain: &TlsCertificateContents<'_>) -> Self {
        let first = chain.cert_chain.first().and_then(|first| X509Certificate::from_der(first.data).ok());
        let Some((_, certificate)) = first else { return Self::default() };
        let expires_at = u64::try_from(certificate.validity().not_after.timestamp()).ok();
        Self {
            subject: Some(bounded(certificate.subject().to_string().as_bytes(), NAME)),
            issuer: Some(bounded(certificate.issuer().to_string().as_bytes(), NAME)),
            expires_at: expires_at.and_then(|seconds| seconds.checked_mul(1_000_000)),
        }
    }

    fn words(&self) -> String {
        match (&self.subject, &self.issuer) {
            (Some(subject), Some(issuer)) => format!("(TLS Certificate: {subject}, issued by {issuer})"),
            _ => "(TLS Certificate: none)".to_owned(),
        }
    }
}

/// One extension after the other; one that can't be read is left out.
fn extensions(octets: Option<&[u8]>) -> impl Iterator<Item = TlsExtension<'_>> {
    let mut rest = octets.unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let [_, _, high, low, ..] = rest else { return None };
            let (one, behind) = rest.split_at_checked(4 + usize::from(u16::from_be_bytes([*high, *low])))?;
            rest = behind;
            if let Ok((_, extension)) = parse_tls_client_hello_extension(one) {
                return Some(extension);
            }
        }
    })
}

/// Values that clients send so that servers don't choke on new ones (RFC 8701).
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a
}

fn version_word(version: TlsVersion) -> String {
    match version {
        TlsVersion::Ssl30 => "SSLv3".to_owned(),
        TlsVersion::Tls10 => "TLSv1.0".to_owned(),
        TlsVersion::Tls11 => "TLSv1.1".to_owned(),
        TlsVersion::Tls12 => "TLSv1.2".to_owned(),
        TlsVersion::Tls13 => "TLSv1.3".to_owned(),
        TlsVersion(other) => format!("0x{other:04x}"),
    }
}
