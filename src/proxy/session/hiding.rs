//! AUTH that clients don't see although the upstream offers it: the log says why, once of each listener and reason.

use super::Session;
use crate::relay::no_auth;
use crate::trace::Record;

impl Session {
    /// A record has what the last EHLO reply left out: whoever begins TLS later sees more.
    pub(super) fn tell_of_hidden_auth(&self, record: &Record) {
        let upstream = match record {
            Record::Transaction(transaction) => &transaction.upstream,
            Record::Session(session) => &session.upstream,
            _ => return,
        };
        let is_auth = |line: &str| line.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("AUTH"));
        let Some(hidden) = upstream.hidden.iter().find(|hidden| is_auth(&hidden.keyword)) else { return };
        let Some(remedy) = no_auth::remedy(&hidden.why) else { return };
        let listener = &self.context.options.listener.name;
        if self.context.counters.is_news(listener, &hidden.why) {
            tracing::info!(listener, upstream = upstream.name, why = hidden.why, "clients are not offered the upstream's AUTH: {remedy}");
        }
    }
}
