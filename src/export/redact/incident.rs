//! What the words of an incident tell of clients and users that aren't among what it is about.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Hide, Redaction};
use crate::trace::{AboutKind, Anomaly, Incident, Record};

/// Anything that may be an address, perhaps with a port.
static IP: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]+").ok());

/// Incidents whose words name users, be it in what the upstream said.
const OF_USERS: [Anomaly; 9] = [
    Anomaly::AuthAllFail,
    Anomaly::AuthAccountFails,
    Anomaly::AuthGuessing,
    Anomaly::AccountLocked,
    Anomaly::AuthMechanismRefused,
    Anomaly::AuthInClear,
    Anomaly::SendingLimitNear,
    Anomaly::SendingLimitReached,
    Anomaly::RateLimited,
];

impl Redaction {
    /// Addresses that may stand in an incident's words, where others are a client's and hidden: those that it says it is about.
    pub(super) fn shown_ips(&self, record: &Record) -> Option<Vec<IpAddr>> {
        let Record::Incident(incident) = record else { return None };
        let shown = || incident.about.iter().filter_map(|about| ip_of(&about.value)).collect();
        (self.clients != Hide::Keep).then(shown)
    }

    /// Hides every other address in a text.
    pub(super) fn ips(&self, text: &mut String, shown: &[IpAddr]) {
        let Some(pattern) = &*IP else { return };
        let stand_in = |found: &Captures<'_>| {
            let whole = found.get(0).map_or("", |it| it.as_str());
            let token = whole.trim_end_matches(['.', ':']);
            let hidden = ip_in(token).filter(|(_, ip)| !ip.is_unspecified() && !shown.contains(ip)).map(|(start, ip)| {
                let (label, rest) = (token.get(..start).unwrap_or_default(), whole.get(token.len()..).unwrap_or_default());
                format!("{label}{}{rest}", self.ip(ip))
            });
            hidden.unwrap_or_else(|| whole.to_owned())
        };
        *text = pattern.replace_all(text, stand_in).into_owned();
    }

    /// Where users are hidden, and an incident may name some that it isn't about, what happens is told in general words.
    pub(super) fn wording(&self, incident: &mut Incident) {
        let names_it = incident.about.iter().any(|about| about.kind == AboutKind::User && !about.value.is_empty());
        if self.users == Hide::Keep || names_it || !OF_USERS.contains(&incident.anomaly) {
            return;
        }
        let about: Vec<String> = incident.about.iter().map(|about| format!("{:?}", about.value)).collect();
        incident.summary = format!("{} at {}; more isn't shown where names of users are hidden", incident.anomaly, about.join(", "));
        incident.arithmetic = format!("{} events", incident.count);
        (incident.baseline, incident.change) = (None, None);
    }
}

/// The address at the end of what may begin with the end of a label (`source:192.0.2.7`), and where it begins.
fn ip_in(token: &str) -> Option<(usize, IpAddr)> {
    let starts = std::iter::once(0).chain(token.match_indices(':').map(|(at, _)| at + 1));
    starts.filter_map(|start| token.get(start..)).find_map(|rest| {
        let rest = rest.trim_start_matches('.');
        Some((token.len() - rest.len(), ip_of(rest)?))
    })
}

fn ip_of(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;
    use crate::trace::About;

    fn shown(anomaly: Anomaly, about: &[(AboutKind, &str)], summary: &str, redaction: &Redaction) -> String {
        let Record::Incident(mut incident) = samples::incident(9) else { unreachable!() };
        incident.anomaly = anomaly;
        incident.about = about.iter().map(|(kind, value)| About { kind: *kind, value: (*value).to_owned() }).collect();
        (incident.summary, incident.arithmetic) = (summary.to_owned(), "2 accounts (anna, bob.mueller)".to_owned());
        incident.baseline = Some("bob.mueller logs in from 198.51.100.9".to_owned());
        let record = Record::Incident(incident);
        format!("{:?}", redaction.apply(&record, None))
    }

    #[test]
    fn clients_that_an_incident_is_not_about_are_hidden_in_its_words() {
        let summary = "anna can't log in at 192.0.2.25:587 since 12:30:05, from 198.51.100.7, [2001:db8::9]:4025 and 2001:db8::7. It says: 535 5.7.8 no";
        for clients in [Hide::Off, Hide::Hashed] {
            let redaction = Redaction { clients, ..Redaction::default() };
            let about = [(AboutKind::Upstream, "192.0.2.25:587"), (AboutKind::User, "anna")];
            let shown = shown(Anomaly::AuthAccountFails, &about, summary, &redaction);
            let leaked = ["198.51.100.", "2001:db8::"].into_iter().find(|it| shown.contains(it));
            assert_eq!(leaked, None, "{shown}");
            let kept = ["at 192.0.2.25:587 since 12:30:05, from ", "535 5.7.8"].into_iter().find(|it| !shown.contains(it));
            assert_eq!(kept, None, "{shown}");
        }
    }

    #[test]
    fn an_address_right_behind_a_label_is_hidden() {
        let redaction = Redaction { clients: Hide::Off, ..Redaction::default() };
        let hidden = |text: &str, shown: &[IpAddr]| {
            let mut text = text.to_owned();
            redaction.ips(&mut text, shown);
            text
        };
        for label in ["ip:", "source:", "from.", "source: ", "ip::", "a:b:"] {
            for address in ["198.51.100.7", "198.51.100.7:4025", "2001:db8:0:0:0:0:0:7"] {
                let text = hidden(&format!("{label}{address}."), &[]);
                assert!(text.starts_with(label.trim_end_matches([':', '.', ' '])) && text.ends_with('.'), "{text}");
                assert!(!["198.51", ":db8"].iter().any(|it| text.contains(it)), "{text}");
            }
        }
        assert_eq!(hidden("source:198.51.100.7", &["198.51.100.7".parse().unwrap()]), "source:198.51.100.7");
        let none = "at 12:30:05, 5.7.8 of ce:05, aa:bb:cc:dd:ee:ff";
        assert_eq!(hidden(none, &[]), none);
    }

    #[test]
    fn users_that_an_incident_is_not_about_are_not_named() {
        let redaction = Redaction { users: Hide::Hashed, ..Redaction::default() };
        for anomaly in [Anomaly::AuthAllFail, Anomaly::AuthGuessing] {
            let about = [(AboutKind::Upstream, "smart")];
            let shown = shown(anomaly, &about, "203.0.113.7 tries passwords; it got in as bob.mueller", &redaction);
            assert!(!shown.contains("bob") && !shown.contains("anna") && shown.contains("smart"), "{shown}");
        }
        let about = [(AboutKind::User, "bob.mueller@example.org")];
        let shown = shown(Anomaly::AuthAccountFails, &about, "bob.mueller@example.org can't log in: 535 no Bob.Mueller here", &redaction);
        assert!(!shown.to_lowercase().contains("bob") && shown.contains("can't log in: 535 no "), "{shown}");
    }
}
