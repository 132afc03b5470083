//! What the index has no keys for: looked at record by record, after the index has done its part.

use crate::trace::{Act, Actor, Outcome, Record, Tls, Transaction};

/// One thing that a found record must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Who decided, for the whole or for one recipient.
    By(Actor),
    Act(Act),
    Cause(String),
    /// `5.1.1`, or its beginning: `5.7`, `5`.
    Enhanced(String),
    /// Text somewhere in a reply that decided.
    Reply(String),
    /// TLS of the upstream leg.
    Tls(TlsIs),
    /// Octets of the message.
    Size(Bound),
    /// µs.
    Duration(Bound),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsIs {
    None,
    Any,
    Verified,
    Unverified,
    /// `TLSv1.2`
    Version(String),
}

/// At least, or at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    From(u64),
    To(u64),
}

impl Filter {
    pub fn admits(&self, record: &Record) -> bool {
        match record {
            Record::Transaction(it) => self.admits_transaction(it),
            Record::Session(it) => match self {
                Self::By(actor) => it.ended.by == *actor || it.outcome.as_ref().is_some_and(|outcome| outcome.by == *actor),
                Self::Tls(is) => is.admits(it.upstream.tls.as_ref()),
                Self::Size(_) => false,
                Self::Duration(bound) => bound.holds(it.duration_us),
                of_outcome => it.outcome.as_ref().is_some_and(|outcome| of_outcome.admits_outcome(outcome)),
            },
            Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) => false,
        }
    }

    fn admits_transaction(&self, it: &Transaction) -> bool {
        let recipients = || it.envelope.recipients.iter();
        let replies = || recipients().filter_map(|recipient| recipient.reply.as_ref());
        match self {
            Self::By(actor) => it.outcome.by == *actor || recipients().any(|recipient| recipient.by == *actor),
            Self::Cause(_) if recipients().any(|recipient| self.is_cause(recipient.cause.as_deref())) => true,
            Self::Enhanced(_) | Self::Reply(_) if replies().any(|reply| self.admits_reply(reply)) => true,
            Self::Tls(is) => is.admits(it.upstream.tls.as_ref()),
            Self::Size(bound) => bound.holds(it.message.size),
            Self::Duration(bound) => bound.holds(it.duration_us),
            of_outcome => of_outcome.admits_outcome(&it.outcome),
        }
    }

    fn admits_outcome(&self, outcome: &Outcome) -> bool {
        match self {
            Self::Act(act) => outcome.act == Some(*act),
            Self::Cause(_) => self.is_cause(outcome.cause.as_deref()),
            _ => outcome.reply.as_ref().is_some_and(|reply| self.admits_reply(reply)),
        }
    }

    fn is_cause(&self, cause: Option<&str>) -> bool {
        matches!(self, Self::Cause(wanted) if cause.is_some_and(|cause| cause.eq_ignore_ascii_case(wanted)))
    }

    fn admits_reply(&self, reply: &crate::trace::Reply) -> bool {
        match self {
            Self::Enhanced(wanted) => reply.enhanced.is_some_and(|(class, subject, detail)| {
                let code = format!("{class}.{subject}.{detail}");
                code.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
            Self::Reply(wanted) => {
                let wanted = wanted.to_lowercase();
                reply.lines.iter().any(|line| line.to_lowercase().contains(&wanted))
            }
            _ => false,
        }
    }

    /// Reads the value of a field that is filtered by; `None` if the field is another.
    pub fn parse(field: &str, value: &str) -> Option<Result<Self, String>> {
        let wrong = |what: &str| format!("{value:?} is not {what}");
        Some(match field {
            "by" => Actor::from_word(value).map(Self::By).ok_or_else(|| format!("{}: {}", wrong("one of"), all(Actor::ALL, Actor::word))),
            "act" => Act::from_word(value).map(Self::Act).ok_or_else(|| format!("{}: {}", wrong("one of"), all(Act::ALL, Act::word))),
            "cause" => Ok(Self::Cause(value.to_owned())),
            "enhanced" => match value.split('.').all(|part| part.parse::<u16>().is_ok()) {
                true => Ok(Self::Enhanced(value.to_owned())),
                false => Err(wrong("an enhanced status code such as 5.1.1 or 5.7")),
            },
            "reply" => Ok(Self::Reply(value.to_owned())),
            "tls" => match value.to_ascii_lowercase().as_str() {
                "none" | "no" => Ok(Self::Tls(TlsIs::None)),
                "any" | "yes" => Ok(Self::Tls(TlsIs::Any)),
                "verified" => Ok(Self::Tls(TlsIs::Verified)),
                "unverified" => Ok(Self::Tls(TlsIs::Unverified)),
                version if version.starts_with("tlsv1") => Ok(Self::Tls(TlsIs::Version(value.to_owned()))),
                _ => Err(wrong("one of: none, any, verified, unverified, TLSv1.2, TLSv1.3")),
            },
            "size" => bound(value, &[("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("", 1)])
                .map(Self::Size)
                .ok_or_else(|| wrong("a bound such as >10M or <4k (octets)")),
            "duration" => bound(value, &[("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000)])
                .map(Self::Duration)
                .ok_or_else(|| wrong("a bound such as >10s or <50ms")),
            _ => return None,
        })
    }
}

impl TlsIs {
    fn admits(&self, tls: Option<&Tls>) -> bool {
        match (self, tls) {
            (Self::None, tls) => tls.is_none(),
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Verified, Some(tls)) => tls.verified == Some(true),
            (Self::Unverified, Some(tls)) => tls.verified == Some(false),
            (Self::Version(version), Some(tls)) => tls.version.eq_ignore_ascii_case(version),
        }
    }
}

impl Bound {
    fn holds(self, value: u64) -> bool {
        match self {
            Self::From(least) => value >= least,
            Self::To(most) => value <= most,
        }
    }
}

/// `>10M`, `<4k`; without a sign: at least.
fn bound(text: &str, units: &[(&str, u64)]) -> Option<Bound> {
    let (most, rest) = match text.strip_prefix('<') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('>').unwrap_or(text)),
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, unit) = rest.split_at_checked(digits)?;
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor)?;
    let value = number.parse::<u64>().ok()?.checked_mul(factor)?;
    Some(if most { Bound::To(value) } else { Bound::From(value) })
}

fn all<T: Copy>(values: &[T], word: fn(T) -> &'static str) -> String {
    values.iter().copied().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_have_units() {
        let sizes: &[(&str, u64)] = &[("k", 1 << 10), ("m", 1 << 20), ("", 1)];
        let cases = [
            (">10M", Some(Bound::From(10 << 20))),
            ("<4k", Some(Bound::To(4 << 10))),
            ("12", Some(Bound::From(12))),
            (">", None),
            ("10x", None),
            ("-1", None),
            ("99999999999999999999", None),
            ("18446744073709551615k", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bound(text, sizes), expected, "{text}");
        }
    }

    #[test]
    fn enhanced_codes_match_whole_or_by_their_beginning() {
        let reply = crate::trace::Reply { code: 550, enhanced: Some((5, 7, 1)), lines: vec!["5.7.1 Access Denied".into()] };
        for (wanted, expected) in [("5.7.1", true), ("5.7", true), ("5", true), ("5.7.10", false), ("5.71", false), ("7.1", false)] {
            assert_eq!(Filter::Enhanced(wanted.into()).admits_reply(&reply), expected, "{wanted}");
        }
        assert!(Filter::Reply("access denied".into()).admits_reply(&reply));
    }
}
