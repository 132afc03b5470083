//! The `Received` line of the proxy's own, where one is wanted (RFC 5321 §4.4). The only octets that the engine ever adds to a message.

use std::net::IpAddr;

use super::action::Wire;
use super::machine::{Expect, Machine};
use crate::trace::{Flag, Flow, Leg, Told};

impl Machine {
    /// 354 came: the line goes first.
    pub(super) fn add_received(&mut self, now: u64, wire: &mut dyn Wire) {
        if let Some(line) = self.received_line(now) {
            self.send_received(now, &line, wire);
        }
    }

    /// The first BDAT of a message goes up with the line in its chunk. False: there is none to add.
    pub(super) fn pass_bdat_received(&mut self, now: u64, bdat: &[u8], size: u64, last: bool, wire: &mut dyn Wire) -> bool {
        if !self.body.as_mut().is_some_and(|body| std::mem::take(&mut body.received_due)) {
            return false;
        }
        let Some(line) = self.received_line(now) else { return false };
        self.count();
        if self.pending.is_empty() && self.scanner.in_reply() {
            self.upstream_broke(now, "sent part of a reply that nobody asked for", Flag::SurplusReply, wire);
            return true;
        }
        self.recorder.line(now, Leg::Client, Flow::In, bdat.trim_ascii_end());
        let command = format!("BDAT {}{}\r\n", size.saturating_add(line.len() as u64), if last { " LAST" } else { "" });
        self.say(now, Leg::Upstream, command.as_bytes(), wire);
        self.send_received(now, &line, wire);
        self.expect(now, Expect::Bdat { last });
        true
    }

    /// The digest is of what goes up; the size and the header are of the client's message.
    fn send_received(&mut self, now: u64, line: &[u8], wire: &mut dyn Wire) {
        wire.send(Leg::Upstream, line);
        self.recorder.line(now, Leg::Upstream, Flow::Out, line.trim_ascii_end());
        self.recorder.upstream_mut().told.get_or_insert(Told::Received);
        if let Some(body) = &mut self.body {
            body.digesting.look(line, false);
        }
    }

    fn received_line(&self, now: u64) -> Option<Vec<u8>> {
        if !self.upstream.add_received {
            return None;
        }
        let client = &self.recorder.client;
        let from = client.helo.as_deref().filter(|name| is_name(name)).unwrap_or("unknown");
        let address = match client.ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("IPv6:{ip}"),
        };
        let authenticated = client.auth.as_ref().is_some_and(|auth| auth.outcome == "succeeded");
        // RFC 3848: the letters only go with ESMTP.
        let with = match (self.said_helo, self.client_tls, authenticated) {
            (true, ..) => "SMTP",
            (false, false, false) => "ESMTP",
            (false, true, false) => "ESMTPS",
            (false, false, true) => "ESMTPA",
            (false, true, true) => "ESMTPSA",
        };
        let at = i64::try_from(self.recorder.wall(now)).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok())?;
        let date = jiff::fmt::rfc2822::to_string(&at.to_zoned_datetime(jiff::tz::TimeZone::UTC)).ok()?;
        let (by, id) = (&self.options.host_name, self.recorder.trace_id());
        Some(format!("Received: from {from} ([{address}])\r\n\tby {by} with {with}\r\n\tid {id}; {date}\r\n").into_bytes())
    }
}

/// Whether an EHLO name may stand in a header as it came: a domain or an address literal, of no great length.
fn is_name(name: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
    let bare = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let fits = match bare {
        Some(inner) => inner.bytes().all(|octet| fits(octet) || octet == b':'),
        None => name.bytes().all(fits),
    };
    fits && (1..=255).contains(&name.len())
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn hostile_names_stay_out_of_the_header() {
        for good in ["mail.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "MY_PC"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "a(b", "a;b", "x\r\nBcc: y", "b\u{fc}cher.example", "a:b", &"a".repeat(256)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
