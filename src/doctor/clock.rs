//! Whether this machine's clock is right: by what the system says of its own synchronisation, and by dates in others' greetings.

use std::process::{Command, Stdio};

use super::Check;

const WHY: &str =
    "a wrong clock makes certificates look expired, DKIM signatures invalid, and records of two machines impossible to compare";
/// Seconds of difference that are put down to the network and a slow greeting.
const SLACK: i64 = 60;

/// Asks systemd. Runs a program: not for threads that serve sockets.
pub fn synchronised() -> Check {
    let check = Check::asking("own.clock", "timedatectl show -p NTPSynchronized -p NTP", WHY);
    let output = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--property=NTP"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => judge(check, &String::from_utf8_lossy(&output.stdout)),
        _ => check.skipped("this system doesn't tell (no systemd here); chrony: `chronyc tracking`, ntpd: `ntpq -p`"),
    }
}

fn judge(check: Check, said: &str) -> Check {
    let is = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(|value| value == "yes");
    match (is("NTPSynchronized"), is("NTP")) {
        (Some(true), _) => check.ok("synchronised"),
        (Some(false), Some(true)) => check.warn(
            "not synchronised, although a time service is on",
            "It just started, or can't reach its servers (UDP port 123): `timedatectl timesync-status`.",
        ),
        (Some(false), _) => {
            check.warn("not synchronised, and no time service is on", "Switch one on: `timedatectl set-ntp true`, or install chrony.")
        }
        (None, _) => check.skipped("this system doesn't tell"),
    }
}

/// The date in a greeting, where the server writes one (Exim, Sendmail and Exchange do): seconds since 1970.
pub fn date_in(banner: &str) -> Option<i64> {
    const DAYS: [&str; 7] = ["Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, "];
    let at = DAYS.iter().find_map(|day| banner.find(day))?;
    let text = banner.get(at..)?;
    // What stands behind the zone (a name in brackets) is no part of it.
    let words: Vec<&str> = text.split_whitespace().take(6).collect();
    jiff::fmt::rfc2822::parse(&words.join(" ")).ok().map(|date| date.timestamp().as_second())
}

/// Holds this machine's clock against a server's greeting. `None`: the greeting has no date.
pub fn against(banner: &str, place: &str, now: i64) -> Option<Check> {
    let theirs = date_in(banner)?;
    let off = theirs - now;
    let check = Check::asking("own.clock_skew", format!("this machine's clock against the date in the greeting of {place}"), WHY);
    Some(match off.abs() <= SLACK {
        true => check.ok("they agree within a minute"),
        false => check.warn(
            format!("the server's clock is {} s {}", off.abs(), if off > 0 { "ahead" } else { "behind" }),
            "One of the two is wrong: `timedatectl` here; if this one is synchronised, tell the server's operator.",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn dates_of_greetings_are_read() {
        let cases = [
            ("mail.example ESMTP Exim 4.96 Tue, 14 Nov 2023 22:13:20 +0000", Some(1_700_000_000)),
            ("mx.example ESMTP Sendmail 8.17.1/8.17.1; Tue, 14 Nov 2023 23:13:20 +0100 (CET)", Some(1_700_000_000)),
            ("EX1.example Microsoft ESMTP MAIL Service ready at Tue, 14 Nov 2023 22:13:20 +0000", Some(1_700_000_000)),
            ("mx.example ESMTP Postfix (Mon, nothing)", None),
            ("mx.example ESMTP", None),
        ];
        for (banner, expected) in cases {
            assert_eq!(date_in(banner), expected, "{banner}");
        }
        let banner = cases[0].0;
        assert_eq!(against(banner, "mx", 1_700_000_030).unwrap().verdict, Verdict::Ok);
        assert!(against(banner, "mx", 1_699_990_000).unwrap().answer.contains("10000 s ahead"));
    }

    #[test]
    fn what_systemd_says_is_understood() {
        let verdict = |said| judge(Check::asking("own.clock", "", ""), said).verdict;
        assert_eq!(verdict("NTPSynchronized=yes\nNTP=yes\n"), Verdict::Ok);
        assert_eq!(verdict("NTP=yes\nNTPSynchronized=no\n"), Verdict::Warn);
        assert_eq!(verdict(""), Verdict::Skipped);
    }
}
