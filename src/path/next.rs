//! What to do next: who must act and what on, by the diagnosis; then where to look, as far as it follows from state, stage and actor.

use super::answer::{Fate, MessagePath, PathState, RelayHop, Side};
use super::clock::Clock;
use super::verdict::relay_of;
use super::words;
use crate::trace::json::Id;
use crate::trace::{Act, Actor, Cause, LogEvent, Stage};

/// The states in which somebody has something to do, the most urgent first.
const URGENT: [PathState; 9] = [
    PathState::Unknown,
    PathState::Bounced,
    PathState::Rejected,
    PathState::Stuck,
    PathState::Discarded,
    PathState::Aborted,
    PathState::Deferred,
    PathState::Accepted,
    PathState::Delivered,
];

/// Steps for the admin, the most useful first.
pub fn next(path: &MessagePath, clock: &Clock) -> Vec<String> {
    let mut steps = advice(path);
    for state in URGENT {
        // The newest word that left somebody in this state speaks for it.
        let fate = path.recipients.iter().filter(|fate| fate.state.0 == state).max_by_key(|fate| fate.hop);
        let hop = match fate {
            Some(fate) => relay_of(path, fate),
            None if path.recipients.is_empty() => path.relays().next_back().filter(|hop| PathState::from(hop.state.0) == state),
            None => None,
        };
        let scene = Scene { path, fate, clock };
        steps.extend(match (fate, hop) {
            (None, None) => None,
            (Some(fate), hop) if matches!(state, PathState::Stuck | PathState::Discarded) || hop.is_none_or(|hop| hop.id != fate.hop) => {
                scene.later(fate, state, hop)
            }
            (_, Some(hop)) => Some(scene.here(hop, state)),
            _ => None,
        });
    }
    steps.extend(doubted(path, clock));
    steps.extend(decisive(path).map(|(what, id)| format!("{what}: relayscope show {id}")));
    if let Some(hop) = path.reports_on.as_ref().and_then(|on| on.hop) {
        steps.push(format!("The message that it reports on: relayscope where {hop}"));
    }
    steps
}

/// Of an attempt in doubt before one that failed: whether the message got there by it.
fn doubted(path: &MessagePath, clock: &Clock) -> Option<String> {
    let is_open = |fate: &&Fate| matches!(fate.state.0, PathState::Deferred | PathState::Rejected | PathState::Aborted);
    let hop = path
        .recipients
        .iter()
        .filter(is_open)
        .find_map(|fate| path.relays().find(|hop| Some(hop.id) == fate.doubt && Some(hop.id) != fate.accepted))?;
    Some(format!(
        "Before it is sent again, ask the admin of {} whether it has the message from the attempt in doubt, {}: otherwise there may be two.",
        words::upstream(hop),
        clock.moment(hop.until)
    ))
}

/// The transaction in which to read what happened; where nothing passed here, the line of the log that says most. With what it is.
fn decisive(path: &MessagePath) -> Option<(&'static str, Id)> {
    let went_well = path.state.0.is_well();
    let last = path.relays().next_back();
    let stopped = path.relays().rev().find(|hop| !PathState::from(hop.state.0).is_well());
    let is_told = |fate: &&Fate| matches!(fate.state.0, PathState::Bounced | PathState::Stuck | PathState::Discarded);
    let told = path.recipients.iter().find(is_told);
    let is_line = |id: Id| path.logs().any(|line| line.id == id);
    let of_told = match told {
        // A line of a log has no dialogue: that is in the attempt which it followed.
        Some(fate) if is_line(fate.hop) => relay_of(path, fate).map(|hop| hop.id),
        fate => fate.map(|fate| fate.hop),
    };
    let dialogue = of_told.or(if went_well { last } else { stopped.or(last) }.map(|hop| hop.id));
    let id = dialogue.or(told.map(|fate| fate.hop)).or_else(|| path.hops.last().map(|hop| Id(hop.id())))?;
    Some((if is_line(id) { "The line of the log" } else { "The whole dialogue" }, id))
}

/// "The recipient's side must act (mailbox full): …", once for each cause.
fn advice(path: &MessagePath) -> Vec<String> {
    let of_fates =
        path.recipients.iter().filter(|fate| !fate.state.0.is_well()).map(|fate| (fate.act, fate.cause, &fate.advice, fate.meant.as_ref()));
    // Where it ended before any recipient was named, the attempt itself has it.
    let attempt = path.relays().next_back().filter(|hop| path.recipients.is_empty() && !PathState::from(hop.state.0).is_well());
    let mut told: Vec<String> = Vec::new();
    for (act, cause, advice, meant) in of_fates.chain(attempt.map(|hop| (hop.act, hop.cause, &hop.advice, None))) {
        let Some(act) = act else { continue };
        let is_unclassified = cause.is_some_and(|cause| cause.0 == Cause::Unclassified);
        let cause = cause.and_then(|cause| words::cause(cause.0)).map(|words| format!(" ({words})")).unwrap_or_default();
        // Nothing is known, so nothing is said.
        if act.0 == Act::Nobody && cause.is_empty() && advice.is_none() {
            continue;
        }
        let must = match act.0 {
            // Of what nobody could read, nobody knows whose business it is.
            Act::Nobody if is_unclassified => "It is not known who must act".to_owned(),
            Act::Nobody => format!("{} need do anything", words::act(act.0)),
            act => format!("{} must act", words::act(act)),
        };
        let what = advice.as_deref().map(|advice| format!(": {advice}")).unwrap_or_else(|| ".".to_owned());
        let meant = meant.map(|meant| format!(" Perhaps {meant} is meant.")).unwrap_or_default();
        let step = format!("{must}{cause}{what}{meant}");
        if !told.contains(&step) && told.len() < 3 {
            told.push(step);
        }
    }
    told
}

struct Scene<'a> {
    path: &'a MessagePath,
    fate: Option<&'a Fate>,
    clock: &'a Clock,
}

impl Scene<'_> {
    /// What was decided after the message had passed here, or without it.
    fn later(&self, fate: &Fate, state: PathState, hop: Option<&RelayHop>) -> Option<String> {
        let host = fate.host.as_deref().unwrap_or("the server behind");
        let id = fate.upstream_queue_id.as_ref().map(|id| format!(" (queue id {id})")).unwrap_or_default();
        let line = self.path.logs().find(|line| line.id == fate.hop);
        Some(match (state, line.map(|line| line.event.0)) {
            (PathState::Bounced, _) => match self.path.from.as_deref() {
                Some("") => "Its sender is <>, so nobody was told.".to_owned(),
                from => format!("It will not be tried again. {} was to be told by the report.", from.unwrap_or("Its sender")),
            },
            (PathState::Delivered, _) => {
                "Nothing, as far as mail goes: if the recipient doesn't see it, look in rules and junk folders there.".to_owned()
            }
            (PathState::Stuck, Some(LogEvent::Quarantined)) => format!("See the quarantine of {host}: it is held there{id}."),
            (PathState::Discarded, _) => {
                format!(
                    "It will not be delivered, and nobody was told. If it was not meant to, see which setting of {host} throws it away{id}."
                )
            }
            (PathState::Stuck, _) => format!("See the queue of {host}: it has the message{id}, and nothing came out of it."),
            (PathState::Accepted, _) => match line.and_then(|line| line.relay_host.as_ref().zip(line.next_queue_id.as_ref())) {
                Some((next, id)) => format!("Ask the admin of {next} for queue id {id}."),
                None => format!("See the log of {host}{id} for what came after."),
            },
            (PathState::Deferred, Some(LogEvent::Rejected)) => {
                format!("Nothing is lost: {host} didn't take it now, and its sender is to try again.")
            }
            (PathState::Deferred, _) => {
                let id = line.and_then(|line| line.queue_id.as_ref()).map(|id| format!(" (queue id {id})")).unwrap_or(id);
                let kept = format!("Nothing is lost: it waits in the queue of {host}{id}.");
                match line.filter(|line| line.side == Some(Side::Before) && self.path.relays().next().is_some()) {
                    Some(line) => format!(
                        "{kept} At {} it did not get through to Relayscope: see that Relayscope runs, and listens where {host} sends to.",
                        self.clock.moment(line.at)
                    ),
                    None => kept,
                }
            }
            _ => return hop.map(|hop| self.here(hop, state)),
        })
    }

    fn here(&self, hop: &RelayHop, state: PathState) -> String {
        let upstream = words::upstream(hop);
        let client = words::client(hop);
        let moment = self.clock.moment(hop.until);
        let there = match &hop.client.queue_id {
            Some(id) => format!("{client} (its queue id: {id})"),
            None => client.clone(),
        };
        let by = self.fate.map_or(hop.by.0, |fate| fate.by.0);
        match state {
            PathState::Unknown => {
                let what = match &self.path.message_id {
                    Some(id) => format!("Message-ID <{id}>"),
                    None => format!("a message from {}", self.sender()),
                };
                format!(
                    "Ask the admin of {upstream} for {what} at {moment}. If it is there, stop the retry at {there}, or there will be two."
                )
            }
            PathState::Rejected if by == Actor::Proxy => {
                format!(
                    "Relayscope itself refused it: see the reply, and `relayscope config show` for the rule or limit it names.{}",
                    self.bounce(&client)
                )
            }
            PathState::Rejected if self.is_heard_as_passing(hop) => {
                format!(
                    "{client} was told to try again, because other recipients of this message were put off: it sends it to all of them once \
                     more. What this recipient's server said is final."
                )
            }
            PathState::Rejected => {
                let first = match self.fate.map_or(hop.cause, |fate| fate.cause).is_some_and(|cause| cause.0 == Cause::Unclassified) {
                    true => format!("ask the admin of {upstream} what its reply means"),
                    false => "settle what the reply names".to_owned(),
                };
                format!("A 5xx is final: {client} does not try again.{} To send it again, first {first}.", self.bounce("It"))
            }
            PathState::Deferred if by == Actor::Proxy && !hop.upstream.tried.is_empty() => {
                format!("Nothing is lost: it waits at {there}. {}", tried(hop))
            }
            PathState::Deferred | PathState::Aborted if self.fate.is_some_and(|fate| fate.retry.is_some_and(|retry| retry.overdue)) => {
                format!("See the queue of {there}: it should have tried again long ago. It gave up, or it went another way.")
            }
            PathState::Deferred => format!("Nothing is lost: it waits at {there}, whose queue says when it tries next."),
            PathState::Aborted if hop.by.0 == Actor::Client => {
                format!("See the log of {there} at {moment} for why it gave up; most servers keep the message and try again.")
            }
            PathState::Aborted if hop.stage.0 == Stage::Body => {
                format!("Nothing is lost: {there} was told to try again, and keeps it. See the log of {upstream} at {moment} for its side.")
            }
            PathState::Aborted => format!("Nothing is lost: it waits at {there}, which tries again."),
            _ => match &hop.upstream_queue_id {
                Some(id) => format!("Ask the admin of {upstream} for queue id {id}, {moment}: its log says where it went from there."),
                None => {
                    let sender = self.sender();
                    format!("Ask the admin of {upstream} for a message from {sender} at {moment}: no queue id came with its reply.")
                }
            },
        }
    }

    /// By LMTP each recipient has a word of its own at the end, and the client hears one for all of them.
    fn is_heard_as_passing(&self, hop: &RelayHop) -> bool {
        let heard = hop.reply.as_ref().is_some_and(|reply| (400..500).contains(&reply.code));
        heard && self.fate.is_some_and(|fate| fate.stage.0 == Stage::EndOfData)
    }

    fn sender(&self) -> String {
        match self.path.from.as_deref() {
            Some("") => "<> (the null sender)".to_owned(),
            from => from.unwrap_or("the sender").to_owned(),
        }
    }

    fn bounce(&self, client: &str) -> String {
        match self.path.from.as_deref() {
            Some("") => " Its sender is <>, so nobody gets a bounce.".to_owned(),
            from => format!(" {client} is to tell {} with a bounce.", from.unwrap_or("the sender")),
        }
    }
}

fn tried(hop: &RelayHop) -> String {
    let hosts: Vec<String> = hop.upstream.tried.iter().map(|tried| format!("{}:{} ({})", tried.host, tried.port, tried.error)).collect();
    format!("No smart host could be used: {}.", words::list(&hosts))
}
