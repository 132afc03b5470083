//! Incidents that can be why a message was never seen: nothing comes, clients can't get as far as MAIL FROM, or mail passes without a record.

use super::super::answer::{Concern, EarlyEnd, Wider};
use super::super::find::Traces;
use super::super::what::What;
use super::super::wider::{self, SLACK_US, domain_of};
use super::recent;
use super::sessions::Host;
use crate::trace::{About, AboutKind, Anomaly, Incident, RecordId, Stage, WallMicros};

/// Incidents that are told of.
const TOLD: usize = 3;

/// The likeliest ones, and how many more there are.
pub(super) fn incidents<T: Traces>(
    traces: &T,
    what: &What,
    now: WallMicros,
    hosts: &[Host],
    sessions: &[EarlyEnd],
) -> Result<(Vec<Wider>, u32), T::Error> {
    let span = (recent(what, now).unwrap_or_default(), what.until.unwrap_or(now));
    let mut entries = wider::Entries::of(traces, span)?;
    let asked =
        Asked { span, hosts, sessions, senders: what.sender_domains(), recipients: what.recipient_domains(), sender: what.sender() };
    let matched: Vec<(RecordId, Vec<Concern>)> =
        entries.newest.values().filter_map(|it| asked.concerns(it).map(|common| (it.incident, common))).collect();
    if span.1 < now {
        entries.follow_up(traces, matched.iter().map(|it| it.0).collect())?;
    }
    let mut found: Vec<(&Incident, Vec<Concern>)> = Vec::new();
    for (id, common) in matched {
        let Some(it) = entries.newest.get(&id) else { continue };
        let is_explained = it.part_of.is_some_and(|wider| entries.newest.get(&wider).is_some_and(|wider| asked.concerns(wider).is_some()));
        if !is_explained {
            found.push((it, common));
        }
    }
    found.sort_by_key(|(it, common)| (std::cmp::Reverse((!common.is_empty(), it.severity)), it.since, it.incident));
    let more = u32::try_from(found.len().saturating_sub(TOLD)).unwrap_or(u32::MAX);
    let told = |(it, common): (&Incident, Vec<Concern>)| wider::told(it, common, how(it).map(|how| how.words.to_owned()));
    Ok((found.into_iter().take(TOLD).map(told).collect(), more))
}

/// What must be there beside the time, so that an incident can be why.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    /// One of the sessions that ended before MAIL FROM is part of it.
    Session,
    /// It names what was asked for.
    Name,
    Either,
}

struct How {
    proof: Proof,
    /// Part of a sentence.
    words: &'static str,
}

/// How an incident keeps messages from being seen; `None`: it doesn't.
fn how(it: &Incident) -> Option<How> {
    let how = |proof, words| Some(How { proof, words });
    match it.anomaly {
        Anomaly::Silence => how(Proof::Nothing, "what usually comes doesn't reach Relayscope"),
        Anomaly::TracingGap => how(Proof::Nothing, "mail passes without a record"),
        Anomaly::UpstreamDown
        | Anomaly::UpstreamFlapping
        | Anomaly::UpstreamClosing
        | Anomaly::ConnectionLimit
        | Anomaly::PortBlocked
        | Anomaly::DnsFailing => how(Proof::Session, "clients are turned away before MAIL FROM"),
        Anomaly::AuthAllFail | Anomaly::AuthMechanismRefused => how(Proof::Session, "no mail is taken without a login"),
        Anomaly::AuthAccountFails | Anomaly::AccountLocked => how(Proof::Either, "no mail is taken without a login"),
        Anomaly::TlsDowngrade | Anomaly::StarttlsStripped | Anomaly::CertificateExpiring => {
            how(Proof::Name, "a client that needs TLS gives up before MAIL FROM")
        }
        Anomaly::DnsChanged if it.change.as_ref().is_some_and(|change| matches!(change.what.as_str(), "MX" | "NS")) => {
            how(Proof::Name, "mail may go elsewhere since")
        }
        _ => None,
    }
}

/// What is known of the message that was asked for.
struct Asked<'a> {
    span: (WallMicros, WallMicros),
    hosts: &'a [Host],
    sessions: &'a [EarlyEnd],
    sender: Option<&'a str>,
    senders: Vec<&'a str>,
    recipients: Vec<&'a str>,
}

impl Asked<'_> {
    /// What it and the incident have in common, if that can be why it was not seen.
    fn concerns(&self, it: &Incident) -> Option<Vec<Concern>> {
        let how = how(it)?;
        let end = if it.is_open() { WallMicros::MAX } else { it.last.max(it.since) };
        if it.since > self.span.1 || end.saturating_add(SLACK_US) < self.span.0 {
            return None;
        }
        let is_theirs = self.sessions.iter().any(|session| session.of_sender.is_some() && it.samples.contains(&session.id.0));
        let mut common: Vec<Concern> = Vec::new();
        for about in &it.about {
            match self.is_of(about) {
                Some(true) => common.push(Concern { kind: about.kind.word().to_owned(), value: about.value.clone() }),
                // A session of the sender's own host shows that it is concerned, under whatever name.
                Some(false) if !is_theirs => return None,
                Some(false) => {}
                None => {}
            }
        }
        let is_named = !common.is_empty();
        let session = self.sessions.iter().find(|session| is_part(session, it));
        let holds = match how.proof {
            Proof::Nothing => true,
            Proof::Session => session.is_some(),
            Proof::Name => is_named,
            Proof::Either => is_named || session.is_some(),
        };
        common.extend(session.map(|it| Concern { kind: "session".to_owned(), value: it.id.to_string() }));
        holds.then_some(common)
    }

    /// Whether it is the message's own; `None` where that can't be told.
    fn is_of(&self, about: &About) -> Option<bool> {
        let value = about.value.as_str();
        let is = |it: &&str| it.eq_ignore_ascii_case(value);
        match about.kind {
            AboutKind::Client if !self.hosts.is_empty() => {
                let ip: std::net::IpAddr = value.parse().ok()?;
                Some(self.hosts.iter().any(|host| host.network.contains(&ip.to_canonical())))
            }
            // Some detectors put a sender's domain here.
            AboutKind::Sender if !self.senders.is_empty() => Some(match value.contains('@') {
                true => self.sender.map_or_else(|| self.senders.iter().any(|it| domain_of(value).eq_ignore_ascii_case(it)), |it| is(&it)),
                false => self.senders.iter().any(is),
            }),
            AboutKind::User => self.sender.map(|it| is(&it) || it.split('@').next().is_some_and(|local| local.eq_ignore_ascii_case(value))),
            AboutKind::Recipient => Some(self.recipients.iter().any(|it| domain_of(value).eq_ignore_ascii_case(it))),
            AboutKind::Domain if !(self.senders.is_empty() && self.recipients.is_empty()) => {
                Some(self.senders.iter().chain(&self.recipients).any(is))
            }
            _ => None,
        }
    }
}

/// Whether a session came to nothing because of the incident.
fn is_part(session: &EarlyEnd, it: &Incident) -> bool {
    if it.samples.contains(&session.id.0) {
        return true;
    }
    let end = if it.is_open() { WallMicros::MAX } else { it.last.max(it.since).saturating_add(SLACK_US) };
    let of_login =
        matches!(it.anomaly, Anomaly::AuthAllFail | Anomaly::AuthMechanismRefused | Anomaly::AuthAccountFails | Anomaly::AccountLocked);
    (it.since.saturating_sub(SLACK_US)..=end).contains(&session.at.0)
        && (session.stage.0 == Stage::Auth) == of_login
        && it.about(AboutKind::Upstream).any(|name| name.eq_ignore_ascii_case(&session.upstream.name))
}
