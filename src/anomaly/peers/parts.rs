//! What a server shows of itself, part by part, without what differs from session to session.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::trace::Upstream;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Part {
    Banner,
    Software,
    Keywords,
    Size,
    Certificate,
}

pub(super) const PARTS: [Part; 5] = [Part::Banner, Part::Software, Part::Keywords, Part::Size, Part::Certificate];

impl Part {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Banner => "banner",
            Self::Software => "software",
            Self::Keywords => "EHLO keywords",
            Self::Size => "size limit",
            Self::Certificate => "certificate",
        }
    }

    /// Feeds what tells variants apart into a hasher. False: the server doesn't show it.
    pub(super) fn feed(self, upstream: &Upstream, hasher: &mut impl Hasher) -> bool {
        match self {
            Self::Banner => upstream.banner.as_deref().is_some_and(|banner| {
                lasting_words(banner).for_each(|word| word.hash(hasher));
                true
            }),
            Self::Software => upstream.software.as_deref().is_some_and(|software| {
                software.hash(hasher);
                true
            }),
            Self::Keywords => {
                // Their order is no matter: a sum of hashes has none.
                let mut sum = 0_u64;
                for line in &upstream.offered {
                    let keyword = keyword(line);
                    if !keyword.eq_ignore_ascii_case("STARTTLS") {
                        sum = sum.wrapping_add(fnv(keyword));
                    }
                }
                (sum, upstream.tls.is_some()).hash(hasher);
                !upstream.offered.is_empty()
            }
            Self::Size => upstream.offered.iter().find(|line| keyword(line).eq_ignore_ascii_case("SIZE")).is_some_and(|line| {
                line.hash(hasher);
                true
            }),
            Self::Certificate => upstream.tls.as_ref().is_some_and(|tls| {
                tls.subject.hash(hasher);
                tls.issuer.as_deref().map(organization).hash(hasher);
                tls.subject.is_some()
            }),
        }
    }

    /// The same for people.
    pub(super) fn text(self, upstream: &Upstream) -> String {
        let text = match self {
            Self::Banner => upstream.banner.clone().unwrap_or_default(),
            Self::Software => upstream.software.clone().unwrap_or_default(),
            Self::Keywords => {
                let mut keywords: Vec<&str> = upstream.offered.iter().map(|line| keyword(line)).collect();
                keywords.sort_unstable();
                keywords.join(" ")
            }
            Self::Size => upstream.offered.iter().find(|line| keyword(line).eq_ignore_ascii_case("SIZE")).cloned().unwrap_or_default(),
            Self::Certificate => {
                let tls = upstream.tls.as_ref();
                let (subject, issuer) = (tls.and_then(|it| it.subject.as_deref()), tls.and_then(|it| it.issuer.as_deref()));
                format!("{} by {}", subject.unwrap_or("(no subject)"), issuer.unwrap_or("(no issuer)"))
            }
        };
        text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(300).collect()
    }
}

fn keyword(line: &str) -> &str {
    line.split([' ', '=']).next().unwrap_or_default()
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, octet| (hash ^ u64::from(octet.to_ascii_uppercase())).wrapping_mul(0x100_0000_01B3))
}

/// A greeting's words without ids, dates and numbers, and without what stands behind a semicolon (Sendmail's clock).
fn lasting_words(banner: &str) -> impl Iterator<Item = &str> {
    let first = banner.split(';').next().unwrap_or_default();
    let varies = |word: &str| {
        let word = word.trim_matches(|it: char| !it.is_alphanumeric());
        let is_date = [
            "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
            "Dec",
        ]
        .contains(&word);
        // A host's own name among its pool, too.
        is_date || word.bytes().any(|octet| octet.is_ascii_digit())
    };
    first.split_ascii_whitespace().filter(move |word| !varies(word))
}

/// An issuer's organization: an authority changes its intermediate certificates as it likes.
fn organization(issuer: &str) -> &str {
    let part = issuer.split(',').map(str::trim).find_map(|part| part.strip_prefix("O="));
    part.unwrap_or(issuer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_session_to_session_is_left_out() {
        let words = |text| lasting_words(text).collect::<Vec<_>>().join(" ");
        assert_eq!(words("mx.google.example ESMTP 5b1f17b1804b1-43b - gsmtp"), "mx.google.example ESMTP - gsmtp");
        assert_eq!(words("relay.example ESMTP Sendmail 8.17/8.17; Mon, 23 Nov 2026 12:00:00 GMT"), "relay.example ESMTP Sendmail");
        assert_eq!(
            words("EX01.x.example Microsoft ESMTP MAIL Service ready at Mon, 23 Nov 2026 12:00:00 +0100"),
            "Microsoft ESMTP MAIL Service ready at"
        );
        assert_eq!(organization("C=US, O=Let's Encrypt, CN=R11"), "Let's Encrypt");
        assert_eq!(organization("CN=own authority"), "CN=own authority");
    }
}
