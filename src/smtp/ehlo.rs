//! The EHLO extension set: what the upstream offers, cut down to what the proxy can carry, with the reason for each keyword left out.

use std::borrow::Cow;

use super::exchange;
use super::reply::ReplyView;

/// What the proxy needs to know of an upstream's EHLO reply.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Extensions {
    pub pipelining: bool,
    pub starttls: bool,
    pub chunking: bool,
    pub smtputf8: bool,
    pub eight_bit_mime: bool,
    /// Announced maximum message size; 0: no fixed maximum (RFC 1870 §4).
    pub size: Option<u64>,
    /// AUTH mechanisms, upper case.
    pub auth: Vec<String>,
    /// Attributes that XCLIENT and XFORWARD may have, upper case; empty: not offered to this proxy.
    pub xclient: Vec<String>,
    pub xforward: Vec<String>,
}

impl Extensions {
    /// Reads a 250 reply to EHLO (RFC 5321 §4.1.1.1).
    pub fn read(reply: &ReplyView<'_>) -> Self {
        let mut found = Self::default();
        for line in reply.lines().skip(1) {
            let (keyword, parameters) = keyword(line);
            match keyword.as_ref() {
                "PIPELINING" => found.pipelining = true,
                "STARTTLS" => found.starttls = true,
                "CHUNKING" => found.chunking = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "8BITMIME" => found.eight_bit_mime = true,
                "SIZE" => found.size = Some(parameters.trim().parse().unwrap_or(0)),
                "AUTH" => add_words(&mut found.auth, &parameters),
                "XCLIENT" => add_words(&mut found.xclient, &parameters),
                "XFORWARD" => add_words(&mut found.xforward, &parameters),
                _ => {}
            }
        }
        found
    }
}

/// Each word once, in upper case.
fn add_words(known: &mut Vec<String>, parameters: &str) {
    for word in parameters.split_ascii_whitespace().map(str::to_ascii_uppercase) {
        if !known.contains(&word) {
            known.push(word);
        }
    }
}

/// The keyword in upper case and its parameters. `AUTH=LOGIN`, an old form still sent, counts as AUTH.
/// A line as most servers write it is only borrowed: this is asked of each line of each session.
fn keyword(line: &[u8]) -> (Cow<'_, str>, Cow<'_, str>) {
    let end = line.iter().position(|octet| matches!(octet, b' ' | b'=' | b'\t')).unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let mut keyword = String::from_utf8_lossy(keyword);
    if keyword.bytes().any(|octet| octet.is_ascii_lowercase()) {
        keyword.to_mut().make_ascii_uppercase();
    }
    (keyword, String::from_utf8_lossy(rest.get(1..).unwrap_or_default()))
}

/// What may be offered to this client.
#[derive(Debug, Clone, Copy)]
pub struct OfferPolicy<'a> {
    /// Offer STARTTLS of our own on the client leg.
    pub starttls: bool,
    /// TLS will be between client and upstream: how it starts is theirs to agree.
    pub passed_through: bool,
    /// `Err` with the reason if AUTH can't be carried here.
    pub auth: Result<(), &'static str>,
    /// TLS is terminated on either leg: channel bindings can't survive.
    pub tls_terminated: bool,
    /// TLS to the client and verified TLS upstream (RFC 8689).
    pub requiretls: bool,
    /// Our own maximum message size; 0: none.
    pub size: u64,
    /// Most recipients of a transaction, where that must be said (RFC 9422); the upstream's own LIMITS don't count then.
    pub recipients: Option<usize>,
    /// More keywords to hide, upper case.
    pub hide: &'a [String],
    /// Keywords to pass although unknown, upper case.
    pub pass: &'a [String],
}

/// An EHLO reply made for the client, and what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub octets: Vec<u8>,
    /// Keyword line and reason.
    pub hidden: Vec<(String, &'static str)>,
    pub chunking: bool,
    pub pipelining: bool,
    pub smtputf8: bool,
    pub auth: bool,
    pub requiretls: bool,
}

/// Keywords carried as they are: they add parameters or commands with one plain reply each.
const CARRIED: &[&str] = &[
    "PIPELINING",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "CHUNKING",
    "LIMITS",
    "MT-PRIORITY",
    "DELIVERBY",
    "FUTURERELEASE",
    "NO-SOLICITING",
    "RRVS",
    "CONPERM",
    "CONNEG",
    "SUBMITTER",
    "VRFY",
    "EXPN",
    "ETRN",
    "HELP",
];

/// Makes the client's EHLO reply from the upstream's: the first line as it came, then what both sides can do.
pub fn offer(reply: &ReplyView<'_>, policy: &OfferPolicy<'_>) -> Offer {
    let chunking = reply.lines().skip(1).any(|line| keyword(line).0 == "CHUNKING") && !policy.hide.iter().any(|it| it == "CHUNKING");
    let mut kept: Vec<Cow<'_, [u8]>> = vec![reply.lines().next().unwrap_or_default().into()];
    let mut hidden = Vec::new();
    let mut made =
        Offer { octets: Vec::new(), hidden: Vec::new(), chunking, pipelining: false, smtputf8: false, auth: false, requiretls: false };
    let mut size_seen = false;
    for line in reply.lines().skip(1) {
        let (word, parameters) = keyword(line);
        let verdict: Result<Cow<'_, [u8]>, &'static str> = match word.as_ref() {
            _ if policy.hide.iter().any(|it| *it == word) => Err("hidden by configuration"),
            // The verb itself is refused: it must not be offered, whatever `pass` says.
            _ if exchange::is_verb(word.as_bytes()) && !(policy.passed_through && word == "X-ANONYMOUSTLS") => {
                Err(exchange::why_hidden(&word).unwrap_or_default())
            }
            word if never_carried(word).is_some() => Err(never_carried(word).unwrap_or_default()),
            "STARTTLS" | "X-ANONYMOUSTLS" if policy.passed_through => Ok(line.into()),
            "STARTTLS" => continue, // each leg has its own
            "SIZE" => {
                size_seen = true;
                Ok(smaller_size(line, &parameters, policy.size))
            }
            "AUTH" => carried_auth(line, &parameters, policy),
            "BINARYMIME" if chunking => Ok(line.into()),
            "BINARYMIME" => Err("needs CHUNKING (RFC 3030 section 3)"),
            "LIMITS" if policy.recipients.is_some() => Err("the proxy has limits of its own here"),
            "REQUIRETLS" if policy.requiretls => Ok(line.into()),
            "REQUIRETLS" => Err("needs TLS to the client and verified TLS upstream (RFC 8689)"),
            word if CARRIED.contains(&word) || policy.pass.iter().any(|it| it == word) => Ok(line.into()),
            word if exchange::why_hidden(word).is_some() => Err(exchange::why_hidden(word).unwrap_or_default()),
            _ => Err("not known to this proxy; `pass` in the upstream's configuration lets it through"),
        };
        match verdict {
            Ok(line) => {
                made.pipelining |= word == "PIPELINING";
                made.smtputf8 |= word == "SMTPUTF8";
                made.auth |= word == "AUTH";
                made.requiretls |= word == "REQUIRETLS";
                kept.push(line);
            }
            Err(why) => hidden.push((String::from_utf8_lossy(line).into_owned(), why)),
        }
    }
    if !size_seen && policy.size > 0 {
        kept.push(format!("SIZE {}", policy.size).into_bytes().into());
    }
    if policy.starttls {
        kept.push(b"STARTTLS".into());
    }
    if let Some(most) = policy.recipients {
        kept.push(format!("LIMITS RCPTMAX={most}").into_bytes().into());
    }
    made.octets.reserve(reply.octets().len() + 64);
    let last = kept.len().saturating_sub(1);
    for (at, line) in kept.iter().enumerate() {
        made.octets.extend_from_slice(if at == last { b"250 " } else { b"250-" });
        made.octets.extend_from_slice(line);
        made.octets.extend_from_slice(b"\r\n");
    }
    made.hidden = hidden;
    made
}

/// Why the command behind a keyword is refused whoever wants it passed on.
pub fn never_carried(keyword: &str) -> Option<&'static str> {
    match keyword {
        "XCLIENT" | "XFORWARD" => Some("hands over the client's identity; never relayed from a client"),
        "BURL" | "TURN" | "ATRN" => Some("can't be carried by an inline proxy"),
        _ => None,
    }
}

/// RFC 1870: the smaller of both limits; 0 or nothing means none.
fn smaller_size<'a>(line: &'a [u8], parameters: &str, own: u64) -> Cow<'a, [u8]> {
    let theirs = parameters.trim().parse().unwrap_or(0);
    if own == 0 || (theirs != 0 && theirs <= own) { line.into() } else { format!("SIZE {own}").into_bytes().into() }
}

fn carried_auth<'a>(line: &'a [u8], parameters: &str, policy: &OfferPolicy<'_>) -> Result<Cow<'a, [u8]>, &'static str> {
    policy.auth?;
    let bound = |mechanism: &str| mechanism.to_ascii_uppercase().ends_with("-PLUS");
    let mechanisms = || parameters.split_ascii_whitespace();
    if !policy.tls_terminated || !mechanisms().any(bound) {
        return Ok(line.into());
    }
    // A client that sees SCRAM without its -PLUS sister suspects a downgrade (RFC 5802 section 6): the whole family goes.
    let kept: Vec<_> = mechanisms().filter(|it| !bound(it) && !it.to_ascii_uppercase().starts_with("SCRAM-")).collect();
    if kept.is_empty() {
        Err("only mechanisms bound to the TLS channel, which ends at the proxy")
    } else {
        Ok(format!("AUTH {}", kept.join(" ")).into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: OfferPolicy<'_> = OfferPolicy {
        starttls: false,
        passed_through: false,
        auth: Ok(()),
        tls_terminated: false,
        requiretls: false,
        size: 0,
        recipients: None,
        hide: &[],
        pass: &[],
    };

    #[track_caller]
    fn check(reply: &str, policy: OfferPolicy<'_>, expected: &str) -> Offer {
        let made = offer(&ReplyView::new(reply.as_bytes()), &policy);
        assert_eq!(String::from_utf8_lossy(&made.octets), expected);
        made
    }

    #[test]
    fn p01_offers_the_intersection() {
        let reply = "250-mx.example hi\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-XCLIENT NAME\r\n250-STARTTLS\r\n250-X-EXPS GSSAPI\r\n250-XNEW\r\n250 8BITMIME\r\n";
        let made = check(reply, OPEN, "250-mx.example hi\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 8BITMIME\r\n");
        let hidden: Vec<_> = made.hidden.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(hidden, ["XCLIENT NAME", "X-EXPS GSSAPI", "XNEW"]);
        assert!(made.pipelining && !made.chunking);
        check("250-mx\r\n250 STARTTLS\r\n", OfferPolicy { starttls: true, ..OPEN }, "250-mx\r\n250 STARTTLS\r\n");
        check("250-mx\r\n250 STARTTLS\r\n", OPEN, "250 mx\r\n");
        check("250 mx\r\n", OfferPolicy { starttls: true, ..OPEN }, "250-mx\r\n250 STARTTLS\r\n");
    }

    #[test]
    fn offers_limits_of_its_own() {
        let made =
            check("250-mx\r\n250 LIMITS RCPTMAX=50\r\n", OfferPolicy { recipients: Some(1), ..OPEN }, "250-mx\r\n250 LIMITS RCPTMAX=1\r\n");
        assert_eq!(made.hidden.len(), 1);
    }

    #[test]
    fn reads_what_may_be_told_of_the_client() {
        let reply = ReplyView::new(b"250-mx\r\n250-XCLIENT name ADDR ADDR\r\n250 XFORWARD IDENT\r\n");
        let found = Extensions::read(&reply);
        assert_eq!((found.xclient.join(" "), found.xforward.join(" ")), ("NAME ADDR".to_owned(), "IDENT".to_owned()));
    }

    #[test]
    fn p38_what_is_passed_through_starts_tls_as_the_upstream_says() {
        let reply = "250-mx\r\n250-STARTTLS\r\n250-X-ANONYMOUSTLS\r\n250-X-EXPS NTLM\r\n250 XNEW\r\n";
        check(reply, OfferPolicy { passed_through: true, ..OPEN }, "250-mx\r\n250-STARTTLS\r\n250 X-ANONYMOUSTLS\r\n");
        let pass = ["X-EXPS".to_owned(), "XNEW".to_owned()];
        let made = check(reply, OfferPolicy { pass: &pass, ..OPEN }, "250-mx\r\n250 XNEW\r\n");
        assert!(made.hidden.iter().all(|(_, why)| why.contains("Exchange")), "{:?}", made.hidden);
    }

    #[test]
    fn p12_offers_the_smaller_size() {
        check("250-mx\r\n250 SIZE 1000\r\n", OfferPolicy { size: 500, ..OPEN }, "250-mx\r\n250 SIZE 500\r\n");
        check("250-mx\r\n250 SIZE 1000\r\n", OfferPolicy { size: 5000, ..OPEN }, "250-mx\r\n250 SIZE 1000\r\n");
        check("250-mx\r\n250 SIZE\r\n", OfferPolicy { size: 5000, ..OPEN }, "250-mx\r\n250 SIZE 5000\r\n");
        check("250 mx\r\n", OfferPolicy { size: 5000, ..OPEN }, "250-mx\r\n250 SIZE 5000\r\n");
    }

    #[test]
    fn p18_binarymime_only_with_chunking() {
        check("250-mx\r\n250-BINARYMIME\r\n250 CHUNKING\r\n", OPEN, "250-mx\r\n250-BINARYMIME\r\n250 CHUNKING\r\n");
        let hide = ["CHUNKING".to_owned()];
        check("250-mx\r\n250-BINARYMIME\r\n250 CHUNKING\r\n", OfferPolicy { hide: &hide, ..OPEN }, "250 mx\r\n");
    }

    #[test]
    fn p40_channel_bound_mechanisms_are_hidden() {
        let reply = "250-mx\r\n250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN\r\n";
        check(reply, OfferPolicy { tls_terminated: true, ..OPEN }, "250-mx\r\n250 AUTH PLAIN\r\n");
        check(reply, OPEN, "250-mx\r\n250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN\r\n");
        check("250-mx\r\n250 AUTH PLAIN\r\n", OfferPolicy { auth: Err("no TLS"), ..OPEN }, "250 mx\r\n");
        check("250-mx\r\n250 AUTH=PLAIN\r\n", OPEN, "250-mx\r\n250 AUTH=PLAIN\r\n");
    }

    #[test]
    fn reads_extensions() {
        let read =
            Extensions::read(&ReplyView::new(b"250-mx\r\n250-size 10\r\n250-AUTH=LOGIN\r\n250-AUTH login PLAIN\r\n250 CHUNKING\r\n"));
        assert_eq!((read.size, read.chunking, read.pipelining), (Some(10), true, false));
        assert_eq!(read.auth, ["LOGIN", "PLAIN"]);
    }
}
