//! What a server's certificate is worth: believed or not, and for how long.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::Check;
use super::visit::Visit;
use crate::net::tls::TlsFacts;
use crate::relay::options::UpstreamTls;

/// Days before expiry from which it is said. Automatic renewal begins 30 days ahead and is done long before this.
pub const SOON: i64 = 14;
const DAY: i64 = 86_400;

/// How long a certificate has left, in words.
pub fn left(expires_at_us: u64, now: i64) -> (i64, String) {
    let at = i64::try_from(expires_at_us / 1_000_000).unwrap_or(i64::MAX);
    let days = (at - now).div_euclid(DAY);
    let day = jiff::Timestamp::from_second(at).map_or_else(|_| "an impossible date".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
    let words = match days {
        ..0 => format!("expired on {day}"),
        0 => format!("expires today ({day})"),
        _ => format!("valid until {day}, {days} days"),
    };
    (days, words)
}

pub fn now_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The certificate of a handshake that was let happen whatever it was.
pub(super) fn check(visit: &Visit<'_>, facts: &TlsFacts) -> Check {
    let why = "a certificate that can't be verified may be anybody's; passwords are sent only to one that can";
    let check = visit.asking("certificate", format!("certificate of {} for {}", visit.place, visit.host), why);
    let subject = facts.subject.as_deref().unwrap_or("no subject");
    let issuer = facts.issuer.as_deref().unwrap_or("nobody named");
    let (days, left) = facts.expires_at_unix_us.map_or((i64::MAX, "no date".to_owned()), |at| left(at, now_seconds()));
    let whose = format!("{subject}, issued by {issuer}, {left}");
    if facts.verified == Some(true) {
        let how = facts.how.as_deref().unwrap_or("trusted");
        if days < SOON {
            return check.warn(
                format!("{whose}; verified ({how})"),
                "Renew it now (`certbot renew`, or whatever made it) and reload the server: from its last day on, senders that verify stop.",
            );
        }
        return check.ok(format!("{whose}; verified ({how})"));
    }
    let why_not = facts.why_not.as_deref().unwrap_or("not verified");
    let answer = format!("{whose}; not verified: {why_not}");
    let fix = fix(why_not, visit.host);
    match visit.tls {
        UpstreamTls::Required | UpstreamTls::Implicit => check.fail(answer, format!("No mail passes with this upstream's `tls`. {fix}")),
        _ if visit.auth.is_some() && !visit.allow_plaintext_auth => check.fail(answer, format!("The login is not sent to it. {fix}")),
        _ => check.warn(answer, fix),
    }
}

/// By the words of `net::tls`.
fn fix(why_not: &str, host: &str) -> String {
    if why_not.contains("expired") {
        "Renew it on the server (`certbot renew`, or whatever made it) and reload the mail service: many forget the reload.".to_owned()
    } else if why_not.contains("not valid") {
        "Look at the clocks of both machines (`timedatectl`).".to_owned()
    } else if why_not.contains("name mismatch") {
        format!("Name the host in `hosts` as its certificate does, or have {host} put into the certificate.")
    } else if why_not.contains("self-signed") {
        "If the server is your own: name its certificate in `ca_file`. Otherwise its operator must get one of a public authority."
            .to_owned()
    } else if why_not.contains("unknown authority") || why_not.contains("trusts no authority") {
        "If a private authority issued it: name that authority's certificate in `ca_file`. If a public one did, the server doesn't send its \
         intermediate certificate: its operator must configure the full chain (fullchain.pem)."
            .to_owned()
    } else {
        "Its operator must replace the certificate.".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_by_the_end_of_the_certificate() {
        let now = 1_700_000_000;
        let at = |seconds: i64| u64::try_from(now + seconds).unwrap() * 1_000_000;
        assert_eq!(left(at(-1), now), (-1, "expired on 2023-11-14".to_owned()));
        assert_eq!(left(at(3_600), now).0, 0);
        assert_eq!(left(at(10 * DAY), now), (10, "valid until 2023-11-24, 10 days".to_owned()));
    }
}
