//! A policy as a domain publishes it (RFC 8461 3.2), and the hosts that it names (4.1).

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// RFC 8461 3.2: no policy holds for longer than a year.
pub const LONGEST_SECONDS: u64 = 31_557_600;

/// Hosts that are read of one policy; who has more of them has patterns.
const MOST_HOSTS: usize = 200;

/// What a sender does with a host that the policy doesn't name, or that can't be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is not used.
    Enforce,
    /// It is used, and reported.
    Testing,
    /// As if there were no policy.
    None,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

/// A policy that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Of the TXT record under which it was fetched.
    pub id: String,
    pub mode: Mode,
    /// Host names, or "*." and a domain for all hosts right below it; lower case. Never empty, but for mode `None`.
    pub mx: Vec<String>,
    /// Seconds that it holds for, from when it was fetched.
    pub max_age: u64,
}

/// What is wrong with a policy's text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    #[error("line {line} is not \"key: value\"")]
    Line { line: usize },
    #[error("it has no {key}")]
    Missing { key: &'static str },
    #[error("its version is {found:?}, not STSv1")]
    Version { found: String },
    #[error("its mode is {found:?}, not enforce, testing or none")]
    Mode { found: String },
    #[error("its max_age is {found:?}, not a number of seconds")]
    MaxAge { found: String },
    #[error("{found:?} is not a host name, nor \"*.\" and a domain")]
    Mx { found: String },
}

impl Policy {
    /// Reads a policy file. Of a key that comes twice the first counts, but for `mx`; unknown keys are passed over.
    pub fn parse(id: &str, text: &str) -> Result<Self, PolicyError> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for (before, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(PolicyError::Line { line: before + 1 })?;
            let value = value.trim();
            match key.trim() {
                "version" => drop(version.get_or_insert(value)),
                "mode" => drop(mode.get_or_insert(value)),
                "max_age" => drop(max_age.get_or_insert(value)),
                "mx" if mx.len() >= MOST_HOSTS => {}
                "mx" => mx.push(pattern(value).ok_or_else(|| PolicyError::Mx { found: shown(value) })?),
                _ => {}
            }
        }
        match version {
            Some("STSv1") => {}
            Some(found) => return Err(PolicyError::Version { found: shown(found) }),
            None => return Err(PolicyError::Missing { key: "version" }),
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            Some(found) => return Err(PolicyError::Mode { found: shown(found) }),
            None => return Err(PolicyError::Missing { key: "mode" }),
        };
        let found = max_age.ok_or(PolicyError::Missing { key: "max_age" })?;
        let digits = found.bytes().all(|octet| octet.is_ascii_digit());
        let seconds = found.parse::<u64>().ok().filter(|_| digits && found.len() <= 10);
        let max_age = seconds.ok_or_else(|| PolicyError::MaxAge { found: shown(found) })?.min(LONGEST_SECONDS);
        if mx.is_empty() && mode != Mode::None {
            return Err(PolicyError::Missing { key: "mx" });
        }
        Ok(Self { id: id.to_owned(), mode, mx, max_age })
    }

    /// Whether the policy names this host (RFC 8461 4.1): a wildcard stands for exactly one label.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
            None => *pattern == host,
        })
    }

    /// Whether it could have been published so; for what comes out of a file.
    pub(super) fn is_sound(&self) -> bool {
        let patterns = self.mx.iter().all(|it| pattern(it).is_some_and(|sound| sound == *it));
        patterns && self.max_age <= LONGEST_SECONDS && (self.mode == Mode::None || !self.mx.is_empty()) && is_id(&self.id)
    }
}

fn pattern(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let domain = text.strip_prefix("*.").unwrap_or(&text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    (domain.len() <= 253 && domain.split('.').all(is_label)).then_some(text)
}

/// RFC 8461 3.1: up to 32 letters and digits.
pub(super) fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_alphanumeric())
}

/// Hostile text for an error message.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n";

    #[test]
    fn a_policy_is_read() {
        let policy = Policy::parse("1", GOOD).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, 604_800));
        assert_eq!(policy.mx, ["mail.example.com", "*.example.net"]);
        let loose = "max_age:86400\n\nfuture: thing\nmode:none\nmode: enforce\nversion:STSv1";
        assert_eq!(Policy::parse("1", loose).map(|it| it.mode), Ok(Mode::None));
        let long = GOOD.replace("604800", "9999999999");
        assert_eq!(Policy::parse("1", &long).map(|it| it.max_age), Ok(LONGEST_SECONDS));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (GOOD.replace("STSv1", "STSv2"), "its version is \"STSv2\", not STSv1"),
            (GOOD.replace("version", "Version"), "it has no version"),
            (GOOD.replace("enforce", "strict"), "its mode is \"strict\", not enforce, testing or none"),
            (GOOD.replace("604800", "-1"), "its max_age is \"-1\", not a number of seconds"),
            (GOOD.replace("604800", "+1"), "its max_age is \"+1\", not a number of seconds"),
            (GOOD.replace("max_age", "age"), "it has no max_age"),
            (GOOD.replace("mx:", "mail:"), "it has no mx"),
            (GOOD.replace("*.example.net", "a.*.example.net"), "\"a.*.example.net\" is not a host name, nor \"*.\" and a domain"),
            ("<html>".to_owned(), "line 1 is not \"key: value\""),
            (String::new(), "it has no version"),
        ];
        for (text, words) in cases {
            assert_eq!(Policy::parse("1", &text).map_err(|error| error.to_string()), Err(words.to_owned()));
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let policy = Policy::parse("1", GOOD).unwrap();
        for (host, named) in [
            ("mail.example.com", true),
            ("MAIL.example.com.", true),
            ("other.example.com", false),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            (".example.net", false),
            ("notexample.net", false),
        ] {
            assert_eq!(policy.matches(host), named, "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_sound(text in "\\PC*", key in "(version|mode|mx|max_age)", value in "\\PC*") {
            let _ = Policy::parse("1", &text);
            let changed = format!("{key}: {value}\n{GOOD}");
            if let Ok(policy) = Policy::parse("1", &changed) {
                prop_assert!(policy.is_sound());
            }
        }
    }
}
