//! The one sentence: where the message stopped and why, in words for three in the morning.

use super::answer::{Fate, Hop, MessagePath};
use super::clock::{Clock, octets};
use super::words;
use crate::trace::json::Word;
use crate::trace::{Actor, Flag, Stage, State};

/// The verdict on a path. The worst fate leads; the other recipients follow in the same sentence.
pub fn verdict(path: &MessagePath, clock: &Clock) -> String {
    let Some(last) = path.hops.last() else {
        return "No attempt is recorded.".to_owned();
    };
    let groups = groups(&path.recipients);
    let Some(lead) = groups.first() else {
        let subject = Subject { path, hop: last, fates: &[], clock };
        return subject.sentence(last.state.0, &[]);
    };
    let hop = lead.first().and_then(|fate| path.hops.iter().find(|hop| hop.id == fate.hop)).unwrap_or(last);
    let subject = Subject { path, hop, fates: lead, clock };
    let state = lead.first().map_or(last.state.0, |fate| fate.state.0);
    let others = groups.get(1..).unwrap_or_default();
    subject.sentence(state, others)
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
    groups.sort_by_key(|group| (group.first().map(|fate| urgency(fate.state.0)), std::cmp::Reverse(group.len())));
    groups
}

fn alike(one: &Fate, other: &Fate) -> bool {
    let code = |fate: &Fate| fate.reply.as_ref().map(|reply| (reply.code, reply.enhanced));
    one.state == other.state
        && one.hop == other.hop
        && (one.state.0 == State::Accepted || (one.stage == other.stage && one.by == other.by && code(one) == code(other)))
}

fn urgency(state: State) -> u8 {
    match state {
        State::Rejected => 0,
        State::Unknown => 1,
        State::Aborted => 2,
        State::Deferred => 3,
        State::Partial => 4,
        State::Accepted => 5,
    }
}

/// What the sentence is about: the leading recipients and the attempt that decided them.
struct Subject<'a> {
    path: &'a MessagePath,
    hop: &'a Hop,
    fates: &'a [&'a Fate],
    clock: &'a Clock,
}

impl Subject<'_> {
    fn sentence(&self, state: State, others: &[Vec<&Fate>]) -> String {
        let mut sentence = match state {
            State::Accepted | State::Partial => self.accepted(),
            State::Rejected => self.rejected(),
            State::Deferred => self.deferred(),
            State::Aborted => self.aborted(),
            State::Unknown => self.unknown(),
        };
        const CLAUSES: usize = 3;
        for group in others.iter().take(CLAUSES) {
            sentence.push_str("; ");
            sentence.push_str(&clause(group));
        }
        if others.len() > CLAUSES {
            let rest: usize = others.iter().skip(CLAUSES).map(Vec::len).sum();
            sentence.push_str(&format!("; {} fared otherwise again", words::count(rest, "recipient")));
        }
        if !sentence.ends_with(['.', '…', '!', '?']) {
            sentence.push('.');
        }
        sentence.push_str(&self.afterword(state));
        sentence
    }

    /// "Accepted by smtp.example.net as queue id 4F1 at 10:02:11 (250 2.0.0 Ok), all 3 recipients."
    fn accepted(&self) -> String {
        let hop = self.hop;
        let mut text = format!("Accepted by {}", words::upstream(hop));
        if let Some(id) = &hop.upstream_queue_id {
            text.push_str(&format!(" as queue id {id}"));
        }
        text.push_str(&format!(" at {}", self.clock.moment(hop.until)));
        if let Some(reply) = &hop.reply {
            text.push_str(&format!(" ({})", words::reply(reply)));
        }
        if let Some(who) = self.who() {
            text.push_str(&format!(", {who}"));
        }
        text
    }

    /// "Stopped at smtp.example.net, RCPT TO, 10:02:11: 550 5.1.1 No such user; 1 of 3 recipients (bob@example.org)"
    fn rejected(&self) -> String {
        format!("Stopped {}{}", self.where_and_why(), self.who_clause())
    }

    /// "Deferred at …: 450 4.2.0 Greylisted; bob@example.org; 2 attempts since 09:41:07; mail.example.org [192.0.2.1] keeps it and tries again"
    fn deferred(&self) -> String {
        format!(
            "Deferred {}{}{}; {} keeps it and tries again",
            self.where_and_why(),
            self.who_clause(),
            self.attempts(),
            words::client(self.hop)
        )
    }

    /// "Not sent: client closed the connection in the message at 10:02:11, after 12,345 octets; smtp.example.net never got a whole message; …"
    fn aborted(&self) -> String {
        let hop = self.hop;
        let stage = words::stage(hop.stage.0);
        let what = match (&hop.detail, hop.by.0, &hop.reply) {
            // What follows from it is said below in our own words.
            (Some(detail), ..) => detail.split(';').next().unwrap_or(detail).trim_end_matches('.').to_owned(),
            (None, _, Some(reply)) => format!("{stage}: {}", words::reply(reply)),
            (None, Actor::Client, None) => format!("the client {} gave up at {stage}", words::client(hop)),
            (None, Actor::Proxy, None) => format!("Relayscope gave up at {stage}"),
            (None, _, None) => format!("the connection to {} broke at {stage}", words::upstream(hop)),
        };
        let mut text = format!("Not sent: {what}, {}", self.clock.moment(hop.until));
        if matches!(hop.stage.0, Stage::Body | Stage::EndOfData) && hop.size > 0 {
            text.push_str(&format!(", after {}", octets(hop.size)));
        }
        text.push_str(&format!("; {} never got a whole message", words::upstream(hop)));
        text.push_str(&self.who_clause());
        text.push_str(&self.attempts());
        text
    }

    /// "In doubt since 10:02:11: the whole message went to smtp.example.net, but no reply came …"
    fn unknown(&self) -> String {
        let hop = self.hop;
        let upstream = words::upstream(hop);
        let moment = self.clock.moment(hop.until);
        let detail = hop.detail.as_ref().map(|detail| format!(" ({})", detail.trim_end_matches('.'))).unwrap_or_default();
        format!(
            "In doubt since {moment}: the whole message went to {upstream}, but no reply came{detail}{}{}; {upstream} may have it or not",
            self.who_clause(),
            self.attempts()
        )
    }

    /// "at smtp.example.net, RCPT TO, 10:02:11: 550 5.1.1 No such user"
    fn where_and_why(&self) -> String {
        let hop = self.hop;
        let fate = self.fates.first();
        let by = fate.map_or(hop.by.0, |fate| fate.by.0);
        let stage = fate.map_or(hop.stage.0, |fate| fate.stage.0);
        let reply = fate.map_or(hop.reply.as_ref(), |fate| fate.reply.as_ref());
        let detail = fate.map_or(hop.detail.as_ref(), |fate| fate.detail.as_ref());
        let place = words::place(&Hop { by: Word(by), ..hop.clone() });
        let why = match (reply, detail) {
            // What the client got in our own words says less than why we said it.
            (Some(reply), Some(detail)) if by != Actor::Upstream => {
                format!("{} (the client got {})", detail.trim_end_matches('.'), words::code(reply))
            }
            (Some(reply), _) => words::reply(reply),
            (None, Some(detail)) => detail.trim_end_matches('.').to_owned(),
            (None, None) => "no reply is recorded".to_owned(),
        };
        format!("{place}, {}, {}: {why}", words::stage(stage), self.clock.moment(hop.until))
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

    /// "; 3 attempts since 09:41:07", if there was more than one.
    fn attempts(&self) -> String {
        let count = self.fates.iter().map(|fate| fate.attempts as usize).max().unwrap_or(self.path.hops.len());
        if count < 2 { String::new() } else { format!("; {count} attempts since {}", self.clock.moment(self.path.first_at)) }
    }

    /// What the sentence would be half the truth without.
    fn afterword(&self, state: State) -> String {
        let upstream = words::upstream(self.hop);
        let earlier_doubt = self.path.hops.iter().find(|hop| hop.state.0 == State::Unknown && hop.id != self.hop.id);
        match state {
            State::Accepted => {
                let mut text = " Relayscope's part ended there: ask that server for what came after.".to_owned();
                if self.hop.flags.contains(&Word(Flag::LateReply)) {
                    let client = words::client(self.hop);
                    text.push_str(&format!(
                        " {client} had gone before that reply came and may send it again: {upstream} would have it twice."
                    ));
                }
                if let Some(doubt) = earlier_doubt {
                    let moment = self.clock.moment(doubt.at);
                    text.push_str(&format!(" An earlier attempt, {moment}, ended in doubt: {} may have it twice.", words::upstream(doubt)));
                }
                text
            }
            State::Unknown => {
                format!(" {} will probably send it again; if {upstream} has it already, that makes two.", words::client(self.hop))
            }
            _ => String::new(),
        }
    }
}

/// The recipients that the sentence isn't about: "bob@example.org and carol@example.org were accepted as queue id 4F1".
fn clause(group: &[&Fate]) -> String {
    let Some(first) = group.first() else { return String::new() };
    let names: Vec<&str> = group.iter().map(|fate| fate.address.as_str()).collect();
    let who = words::list(&names);
    let (was, is) = if names.len() == 1 { ("was", "is") } else { ("were", "are") };
    let reply = first.reply.as_ref().map(words::code);
    match (first.state.0, reply) {
        (State::Accepted | State::Partial, _) => match &first.upstream_queue_id {
            Some(id) => format!("{who} {was} accepted as queue id {id}"),
            None => format!("{who} {was} accepted"),
        },
        (State::Rejected, Some(reply)) => format!("{who} {was} refused with {reply} at {}", words::stage(first.stage.0)),
        (State::Rejected, None) => format!("{who} {was} refused at {}", words::stage(first.stage.0)),
        (State::Deferred, Some(reply)) => format!("{who} {is} deferred with {reply} at {}", words::stage(first.stage.0)),
        (State::Deferred, None) => format!("{who} {is} deferred at {}", words::stage(first.stage.0)),
        (State::Aborted, _) => format!("for {who} it was given up before the end of the message"),
        (State::Unknown, _) => format!("for {who} it is in doubt"),
    }
}
