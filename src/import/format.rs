//! Whose logs can be read, and how one is recognised.

use jiff::tz::TimeZone;

use super::reader::{Options, Reader};
use crate::vocabulary::vocabulary;

vocabulary! {
    /// The server that writes a log.
    Format {
        Postfix = "postfix",
        Exchange = "exchange",
        Exim = "exim",
        Sendmail = "sendmail",
        Courier = "courier",
        HMailServer = "hmailserver",
        Domino = "domino",
        James = "james",
    }
}

impl Format {
    /// Whether it comes by syslog, and so perhaps out of the journal.
    pub fn is_syslog(self) -> bool {
        matches!(self, Self::Postfix | Self::Sendmail | Self::Courier | Self::Exim)
    }

    /// Whether its dates may be as a system writes them for people.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Exchange | Self::Domino | Self::James)
    }
}

/// The server that wrote these octets: whose reader finds the most in them. `None` where no line speaks of mail to any.
pub fn recognise(head: &[u8]) -> Option<Format> {
    let tried = Format::ALL.iter().map(|format| {
        let mut reader = Reader::new(Options::new(*format, TimeZone::UTC));
        let mut entries = Vec::new();
        reader.feed(head, &mut entries);
        reader.finish(&mut entries);
        (entries.len() as u64 * 2 + reader.counts().read, *format)
    });
    // The first of equals: max_by_key would take the last.
    let best = tried.fold((0, None), |best, (score, format)| if score > best.0 { (score, Some(format)) } else { best });
    best.1
}
