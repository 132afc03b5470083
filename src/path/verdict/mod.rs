//! The one sentence: where the message stopped and why, in words for three in the morning.
//!
//! The worst fate leads ([`relay`]: decided while it passed here; [`later`]: decided by what came after); the other recipients
//! follow in the same sentence, and what it would be half the truth without comes behind ([`after`]).

mod after;
mod later;
mod relay;

use super::answer::{Fate, Hop, MessagePath, PathState, RelayHop};
use super::clock::Clock;
use super::words;

/// Clauses about recipients that fared otherwise.
const CLAUSES: usize = 3;

/// The verdict on a path.
pub fn verdict(path: &MessagePath, clock: &Clock) -> String {
    if path.hops.is_empty() {
        return "No attempt is recorded.".to_owned();
    }
    let groups = groups(&path.recipients);
    let lead = groups.first().map(Vec::as_slice).unwrap_or_default();
    let hop = match lead.first() {
        Some(fate) => relay_of(path, fate),
        None => path.relays().next_back(),
    };
    let subject = Subject { path, hop, fates: lead, clock };
    let state = lead.first().map_or(path.state.0, |fate| fate.state.0);
    let mut sentence = subject.lead(state);
    for group in groups.iter().skip(1).take(CLAUSES) {
        sentence.push_str("; ");
        sentence.push_str(&clause(group));
    }
    if groups.len() > CLAUSES + 1 {
        let rest: usize = groups.iter().skip(CLAUSES + 1).map(Vec::len).sum();
        sentence.push_str(&format!("; {} fared otherwise again", words::count(rest, "recipient")));
    }
    if !sentence.ends_with(['.', '…', '!', '?']) {
        sentence.push('.');
    }
    for more in subject.afterwords(state) {
        sentence.push(' ');
        sentence.push_str(&more);
    }
    sentence
}

/// The transaction that decided a fate here, or after which it was decided.
pub fn relay_of<'a>(path: &'a MessagePath, fate: &Fate) -> Option<&'a RelayHop> {
    let of = |id| path.relays().find(move |hop| hop.id == id);
    fate.accepted.and_then(of).or_else(|| of(fate.hop)).or_else(|| path.relays().next_back())
}

/// Recipients that fared alike, worst first, then the many before the few.
fn groups(fates: &[Fate]) -> Vec<Vec<&Fate>> {
    let mut groups: Vec<Vec<&Fate>> = Vec::new();
    for fate in fates {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| alike(first, fate))) {
            Some(group) => group.push(fate),
            None => groups.push(vec![fate]),
        }
    }
    groups.sort_by_key(|group| (group.first().map(|fate| fate.state.0.urgency()), std::cmp::Reverse(group.len())));
    groups
}

fn alike(one: &Fate, other: &Fate) -> bool {
    let code = |fate: &Fate| fate.reply.as_ref().map(|reply| (reply.code, reply.enhanced));
    let same_words = one.stage == other.stage && one.by == other.by && code(one) == code(other) && one.cause == other.cause;
    one.state == other.state && one.hop == other.hop && (one.state.0 == PathState::Accepted || same_words)
}

/// What the sentence is about: the leading recipients, and the attempt that decided them or came before.
struct Subject<'a> {
    path: &'a MessagePath,
    hop: Option<&'a RelayHop>,
    fates: &'a [&'a Fate],
    clock: &'a Clock,
}

impl<'a> Subject<'a> {
    fn lead(&self, state: PathState) -> String {
        let decided_here = |hop: &&RelayHop| self.fates.first().is_none_or(|fate| fate.hop == hop.id);
        match (state, self.hop) {
            (PathState::Bounced | PathState::Delivered | PathState::Stuck | PathState::Discarded, _) => self.told_later(state),
            (_, Some(hop)) if decided_here(&hop) => self.told_here(state, hop),
            _ => self.told_later(state),
        }
    }

    fn decisive(&self) -> Option<&'a Hop> {
        let fate = self.fates.first();
        fate.and_then(|fate| self.path.hops.iter().find(|hop| hop.id() == fate.hop.0)).or(self.path.hops.last())
    }

    /// Whom the sentence is about: the name of a single recipient, "all 3 recipients", "1 of 3 recipients (bob@example.org)".
    fn who(&self) -> Option<String> {
        let all = self.path.recipients.len() + self.path.recipients_cut as usize;
        let names: Vec<&str> = self.fates.iter().map(|fate| fate.address.as_str()).collect();
        match (names.as_slice(), all) {
            ([], _) => None,
            ([only], 1) => Some(format!("recipient {only}")),
            (names, all) if names.len() == all => Some(format!("all {all} recipients")),
            (names, all) => Some(format!("{} of {all} recipients ({})", names.len(), words::list(names))),
        }
    }

    fn who_clause(&self) -> String {
        self.who().map(|who| format!("; {who}")).unwrap_or_default()
    }
}

/// The recipients that the sentence isn't about: "bob@example.org and carol@example.org were accepted as queue id 4F1".
fn clause(group: &[&Fate]) -> String {
    let Some(first) = group.first() else { return String::new() };
    let names: Vec<&str> = group.iter().map(|fate| fate.address.as_str()).collect();
    let who = words::list(&names);
    let (was, is) = if names.len() == 1 { ("was", "is") } else { ("were", "are") };
    let reply = first.reply.as_ref().map(words::code).unwrap_or_default();
    let why = words::caused(first.cause.map(|cause| cause.0), &reply);
    let with = if why.is_empty() { why } else { format!(" with {why}") };
    let stage = words::stage(first.stage.0);
    let host = first.host.as_ref().map(|host| format!(" by {host}")).unwrap_or_default();
    match first.state.0 {
        PathState::Accepted | PathState::Partial => match &first.upstream_queue_id {
            Some(id) => format!("{who} {was} accepted as queue id {id}"),
            None => format!("{who} {was} accepted"),
        },
        PathState::Delivered => format!("{who} {was} delivered{host}"),
        PathState::Bounced => format!("{who} {was} given back{host}{with}"),
        PathState::Stuck => format!("for {who} it is stuck{}", host.replace(" by ", " in ")),
        PathState::Discarded => format!("for {who} it was thrown away{host}"),
        PathState::Rejected => format!("{who} {was} refused{with} at {stage}"),
        PathState::Deferred => format!("{who} {is} deferred{with} at {stage}"),
        PathState::Aborted => format!("for {who} it was given up before the end of the message"),
        PathState::Unknown => format!("for {who} it is in doubt"),
    }
}
