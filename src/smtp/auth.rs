//! AUTH exchanges (RFC 4954): who logs in, as far as the mechanism shows it, and what the proxy itself sends to log in.
//!
//! Secrets are looked at and dropped here; nothing returned holds one, apart from the responses made for the upstream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

/// Mechanisms that are named in records. Others are relayed all the same.
const KNOWN: &[&str] = &[
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "DIGEST-MD5",
    "XOAUTH2",
    "OAUTHBEARER",
    "SCRAM-SHA-1",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-512",
    "SCRAM-SHA-512-PLUS",
    "NTLM",
    "GSSAPI",
    "GS2-KRB5",
    "GS2-KRB5-PLUS",
    "GSS-SPNEGO",
    "EXTERNAL",
    "ANONYMOUS",
    "OTP",
];

const UNKNOWN: &str = "(unknown)";

/// Follows one relayed exchange, to name its user.
#[derive(Debug, Clone)]
pub struct Exchange {
    mechanism: String,
    responses: usize,
    user: Option<String>,
}

impl Exchange {
    /// `argument` is what follows AUTH: mechanism and, perhaps, an initial response.
    pub fn begin(argument: &[u8]) -> Self {
        let mut words = argument.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
        let mechanism = String::from_utf8_lossy(words.next().unwrap_or_default()).to_ascii_uppercase();
        // A password in the mechanism's place must not be shown as one.
        let mechanism = if KNOWN.contains(&mechanism.as_str()) { mechanism } else { UNKNOWN.to_owned() };
        let mut exchange = Self { mechanism, responses: 0, user: None };
        if let Some(initial) = words.next() {
            exchange.response(initial);
        }
        exchange
    }

    pub fn mechanism(&self) -> &str {
        &self.mechanism
    }

    pub fn is_known(&self) -> bool {
        self.mechanism != UNKNOWN
    }

    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Looks at a response of the client, without its CRLF.
    pub fn response(&mut self, encoded: &[u8]) {
        let number = self.responses;
        self.responses += 1;
        if self.user.is_some() {
            return;
        }
        let Ok(decoded) = STANDARD.decode(encoded) else { return };
        let found = match self.mechanism.as_str() {
            "PLAIN" => plain_user(&decoded).map(<[u8]>::to_vec),
            "LOGIN" if number == 0 => Some(decoded),
            "CRAM-MD5" => cram_user(&decoded).map(<[u8]>::to_vec),
            "NTLM" => return self.user = ntlm_user(&decoded),
            "XOAUTH2" => xoauth2_user(&decoded).map(<[u8]>::to_vec),
            "OAUTHBEARER" => bearer_user(&decoded).map(<[u8]>::to_vec),
            // RFC 5802: n,,n=NAME,r=…
            mechanism if mechanism.starts_with("SCRAM-") && number == 0 => {
                decoded.split(|octet| *octet == b',').find_map(|part| part.strip_prefix(b"n=")).map(<[u8]>::to_vec)
            }
            _ => None,
        };
        self.user = found.filter(|user| is_name(user)).map(|user| String::from_utf8_lossy(&user).into_owned());
    }
}

/// Whether octets can be a user's name. A client that answers LOGIN as if it were PLAIN sends its password there, behind a NUL.
fn is_name(octets: &[u8]) -> bool {
    (1..=320).contains(&octets.len()) && !octets.iter().any(u8::is_ascii_control)
}

/// RFC 4616: authorization identity NUL authentication identity NUL password. Without a password behind it, what stands in the user's place
/// may be one: some clients leave out the first NUL and add a last.
fn plain_user(message: &[u8]) -> Option<&[u8]> {
    let mut parts = message.split(|octet| *octet == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let says = password.iter().any(|octet| !octet.is_ascii_whitespace() && !octet.is_ascii_control());
    (says && parts.next().is_none()).then_some(user)
}

/// RFC 2195: user, blank, digest in hexadecimal. Anything else behind a blank may be part of a password.
fn cram_user(message: &[u8]) -> Option<&[u8]> {
    let at = message.iter().rposition(|octet| *octet == b' ')?;
    let (user, digest) = (message.get(..at)?, message.get(at + 1..)?);
    (digest.len() == 32 && digest.iter().all(u8::is_ascii_hexdigit)).then_some(user)
}

/// `user=NAME ^A auth=Bearer TOKEN ^A ^A`. With `^A` written as two letters, the token would be part of the name.
fn xoauth2_user(message: &[u8]) -> Option<&[u8]> {
    let mut parts = message.split(|octet| *octet == 1);
    let user = parts.next()?.strip_prefix(b"user=")?;
    parts.next()?.starts_with(b"auth=").then_some(user)
}

/// RFC 7628, RFC 5801: `n,a=NAME,` and what holds the token.
fn bearer_user(message: &[u8]) -> Option<&[u8]> {
    let mut parts = message.splitn(3, |octet| *octet == b',');
    let (_, user, rest) = (parts.next()?, parts.next()?, parts.next()?);
    // Anything else before the fields may be the token.
    user.strip_prefix(b"a=").filter(|_| rest.first() == Some(&1))
}

/// Domain and user out of NTLM's third message ([MS-NLMP] 2.2.1.3); the other two have none.
fn ntlm_user(message: &[u8]) -> Option<String> {
    const UNICODE: u32 = 1;
    const LONGEST: usize = 2 * 320;
    let number = |at: usize| Some(u32::from_le_bytes(message.get(at..at + 4)?.try_into().ok()?));
    if !message.starts_with(b"NTLMSSP\0") || number(8)? != 3 {
        return None;
    }
    let unicode = number(60)? & UNICODE != 0;
    let field = |at: usize| {
        let length = usize::from(u16::from_le_bytes(message.get(at..at + 2)?.try_into().ok()?));
        let start = usize::try_from(number(at + 4)?).ok()?;
        let octets = message.get(start..start.checked_add(length)?).filter(|_| length <= LONGEST)?;
        Some(if unicode {
            let units: Vec<u16> =
                octets.chunks_exact(2).map(|pair| pair.iter().rev().fold(0, |sum, it| sum << 8 | u16::from(*it))).collect();
            String::from_utf16_lossy(&units)
        } else {
            String::from_utf8_lossy(octets).into_owned()
        })
    };
    let (domain, user) = (field(28)?, field(36)?);
    match (domain.is_empty(), user.is_empty()) {
        (_, true) => None,
        (true, false) => Some(user),
        (false, false) => Some(format!("{domain}\\{user}")),
    }
}

/// The octets that log in with PLAIN, as the argument of `AUTH PLAIN` (RFC 4616).
pub fn plain(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}

/// The argument of `AUTH XOAUTH2` (Google's and Microsoft's form).
pub fn xoauth2(user: &str, token: &str) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

/// Base 64 with or without its padding.
pub fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    use base64::alphabet;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
    );
    LENIENT.decode(encoded).ok()
}

pub fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// The answer to a CRAM-MD5 challenge (RFC 2195), or `None` if the challenge isn't base 64.
pub fn cram_md5(challenge: &[u8], user: &str, password: &str) -> Option<String> {
    let challenge = STANDARD.decode(challenge.trim_ascii()).ok()?;
    let mut mac = Hmac::<Md5>::new_from_slice(password.as_bytes()).ok()?;
    mac.update(&challenge);
    let digest: String = mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    Some(STANDARD.encode(format!("{user} {digest}")))
}

/// Whether a line that is no known command could be a secret that lost its way: a misspelt AUTH, or the password itself.
pub fn suspicious(line: &[u8], auth_seen: bool) -> bool {
    let word = line.split(|octet| *octet == b' ').next().unwrap_or_default();
    if word.is_empty() && !line.is_empty() {
        return true; // some servers take " AUTH" for AUTH
    }
    let upper = word.to_ascii_uppercase();
    let looks_like_auth =
        upper.starts_with(b"AUTH") || upper.ends_with(b"AUTH") || [&b"AUHT"[..], b"ATUH", b"UATH", b"AUT"].contains(&upper.as_slice());
    let plain_word = word.len() <= 12 && word.iter().all(|octet| octet.is_ascii_alphabetic() || *octet == b'-');
    auth_seen || looks_like_auth || !plain_word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(argument: &str, responses: &[&str], user: Option<&str>) {
        let mut exchange = Exchange::begin(argument.as_bytes());
        for response in responses {
            exchange.response(response.as_bytes());
        }
        assert_eq!(exchange.user(), user, "{argument}");
        assert!(!format!("{exchange:?}").contains("secret"));
    }

    #[test]
    fn names_the_user_where_it_shows() {
        check(&format!("PLAIN {}", plain("ann", "secret")), &[], Some("ann"));
        check("PLAIN", &[&plain("ann", "secret")], Some("ann"));
        check("PLAIN =", &[], None);
        check("LOGIN", &[&encode("ann"), &encode("secret")], Some("ann"));
        check(&format!("login {}", encode("ann")), &[&encode("secret")], Some("ann"));
        check("CRAM-MD5", &[&encode("ann 0123456789abcdef0123456789abcdef")], Some("ann"));
        check(&format!("XOAUTH2 {}", xoauth2("ann@x.example", "secret")), &[], Some("ann@x.example"));
        check(&format!("OAUTHBEARER {}", encode("n,a=ann@x.example,\x01auth=Bearer secret\x01\x01")), &[], Some("ann@x.example"));
        check(&format!("SCRAM-SHA-256 {}", encode("n,,n=ann,r=nonce")), &[&encode("c=biws,r=nonce,p=secret")], Some("ann"));
        check("NTLM TlRMTVNTUAABAAAA", &[], None);
        let third = |domain: &str, user: &str, flags| encode_octets(&ntlm_third(domain, user, flags));
        check("NTLM TlRMTVNTUAABAAAA", &[&third("CORP", "ann", 1)], Some("CORP\\ann"));
        check("NTLM", &["TlRMTVNTUAABAAAA", &third("", "ann@x.example", 1)], Some("ann@x.example"));
        check("NTLM", &["TlRMTVNTUAABAAAA", &third("CORP", "ann", 0)], Some("CORP\\ann"));
        check("NTLM", &["TlRMTVNTUAABAAAA", &third("CORP", "", 1)], None);
        let whole = ntlm_third("CORP", "ann", 1);
        for end in 0..whole.len() {
            let cut = Exchange { mechanism: "NTLM".into(), responses: 0, user: None };
            let mut cut = cut;
            cut.response(encode_octets(whole.get(..end).unwrap()).as_bytes());
            assert!(cut.user().is_none_or(|user| user == "CORP\\ann"));
        }
        check("LOGIN", &["!!! not base 64"], None);
    }

    #[test]
    fn a_secret_that_stands_in_the_users_place_is_no_user() {
        for shifted in ["ann\0secret\0", "ann\0secret\0\r\n", "ann\0secret\0\0", "ann\0secret", "secret"] {
            check(&format!("PLAIN {}", encode(shifted)), &[], None);
            check("PLAIN", &[&encode(shifted)], None);
        }
        check("LOGIN", &["", &encode("secret")], None);
        check("LOGIN =", &[&encode("ann"), &encode("secret")], None);
        check("LOGIN", &[&encode("ann\0secret")], None);
        check("CRAM-MD5", &[&encode("my secret words")], None);
        for shifted in ["user=ann^Aauth=Bearer secret^A^A", "user=ann auth=Bearer secret", "user=ann\nauth=Bearer secret", "user=secret"] {
            check(&format!("XOAUTH2 {}", encode(shifted)), &[], None);
        }
        for shifted in
            ["n,a=ann^Aauth=Bearer secret^A^A", "n,a=ann^Aauth=Bearer secret,^A", "n,a=secret", "auth=Bearer secret\x01a=secret,\x01"]
        {
            check(&format!("OAUTHBEARER {}", encode(shifted)), &[], None);
        }
    }

    fn encode_octets(octets: &[u8]) -> String {
        STANDARD.encode(octets)
    }

    /// An AUTHENTICATE_MESSAGE with a workstation and responses of zeros.
    fn ntlm_third(domain: &str, user: &str, flags: u32) -> Vec<u8> {
        let text = |text: &str| -> Vec<u8> {
            if flags & 1 != 0 { text.encode_utf16().flat_map(u16::to_le_bytes).collect() } else { text.as_bytes().to_vec() }
        };
        let fields = [vec![0; 24], vec![0; 24], text(domain), text(user), text("PC1"), Vec::new()];
        let mut head = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let mut at = 64u32;
        for field in &fields {
            let length = (field.len() as u16).to_le_bytes();
            head.extend([length, length].concat());
            head.extend(at.to_le_bytes());
            at += field.len() as u32;
        }
        head.extend(flags.to_le_bytes());
        [head, fields.concat()].concat()
    }

    #[test]
    fn answers_cram_md5() {
        // RFC 2195 section 2's example.
        let answer = cram_md5(b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", "tim", "tanstaaftanstaaf");
        assert_eq!(answer.as_deref(), Some("dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"));
        assert_eq!(cram_md5(b"?", "a", "b"), None);
    }

    #[test]
    fn p60_suspects_secrets() {
        assert!(suspicious(b"AUHT PLAIN AGFubgBz", false));
        assert!(suspicious(b"AUTHPLAIN AGFubgBz", false));
        assert!(suspicious(b"c2VjcmV0cGFzcw==", false));
        assert!(suspicious(b"hunter2", true));
        assert!(suspicious(b" AUTH PLAIN AGFubgBz", false));
        assert!(!suspicious(b"XYZZY", false));
    }
}
