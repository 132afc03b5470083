//! The proxy's own login to the upstream: which mechanism is taken, what is said in it, and what of a reply may be shown.

use super::options::{AuthMechanism, UpstreamAuth};
use crate::smtp::auth;
use crate::trace::Reply;

impl AuthMechanism {
    /// As EHLO lists it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::XOAuth2 => "XOAUTH2",
        }
    }
}

impl UpstreamAuth {
    /// The configured mechanism if it is offered, else the strongest offered. `offered` is in upper case.
    pub fn choose(&self, offered: &[String]) -> Option<AuthMechanism> {
        let is_offered = |mechanism: &AuthMechanism| offered.iter().any(|it| it == mechanism.name());
        match self.mechanism {
            Some(mechanism) => Some(mechanism).filter(is_offered),
            None => [AuthMechanism::CramMd5, AuthMechanism::Plain, AuthMechanism::Login].into_iter().find(is_offered),
        }
    }

    /// The line that begins the login, with its CRLF. It may hold the secret.
    pub fn begin(&self, mechanism: AuthMechanism) -> String {
        match mechanism {
            AuthMechanism::Plain => format!("AUTH PLAIN {}\r\n", auth::plain(&self.user, self.secret.reveal())),
            AuthMechanism::XOAuth2 => format!("AUTH XOAUTH2 {}\r\n", auth::xoauth2(&self.user, self.secret.reveal())),
            AuthMechanism::Login => "AUTH LOGIN\r\n".to_owned(),
            AuthMechanism::CramMd5 => "AUTH CRAM-MD5\r\n".to_owned(),
        }
    }

    /// The answer to a challenge, without CRLF; `responses` answers went before it. `None`: there is none, the exchange is cancelled.
    pub fn answer(&self, mechanism: AuthMechanism, responses: u8, challenge: &[u8]) -> Option<String> {
        match (mechanism, responses) {
            (AuthMechanism::Login, 0) => Some(auth::encode(&self.user)),
            (AuthMechanism::Login, 1) => Some(auth::encode(self.secret.reveal())),
            (AuthMechanism::CramMd5, 0) => auth::cram_md5(challenge, &self.user, self.secret.reveal()),
            (AuthMechanism::Plain, 0) => Some(auth::plain(&self.user, self.secret.reveal())),
            // A 334 here carries the reason of a failure; an empty answer brings the final reply.
            (AuthMechanism::XOAuth2, 0) => Some(String::new()),
            _ => None,
        }
    }
}

/// What of a line sent in a login must not come back: of `AUTH PLAIN …` the response alone, for a reply may well say "AUTH".
pub fn secret_of(line: &str) -> Option<&[u8]> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words.as_slice() {
        ["AUTH", _, response] | [response] => Some(response.as_bytes()),
        _ => None,
    }
}

/// Takes a reply's text away where it repeats (part of) a secret.
pub fn without_secrets(mut reply: Reply, secrets: &[&[u8]]) -> Reply {
    let mut words: Vec<String> = Vec::new();
    for secret in secrets {
        for word in secret.split(|octet| matches!(octet, b' ' | b'\t' | b'=')).filter(|word| word.len() >= 3) {
            words.push(String::from_utf8_lossy(word).to_ascii_lowercase());
            let decoded = auth::decode(word).unwrap_or_default();
            for word in decoded.split(|octet| matches!(octet, 0 | 1 | b' ')).filter(|word| word.len() >= 3) {
                words.push(String::from_utf8_lossy(word).to_ascii_lowercase());
            }
        }
    }
    for line in &mut reply.lines {
        let lower = line.to_ascii_lowercase();
        if words.iter().any(|word| lower.contains(word)) {
            *line = "[redacted: repeats what the client sent]".to_owned();
        }
    }
    reply
}
