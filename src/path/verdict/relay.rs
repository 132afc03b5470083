//! What was decided while the message passed here.

use super::super::answer::{PathState, Reason, RelayHop, Retry};
use super::super::clock::octets;
use super::super::words;
use super::Subject;
use crate::trace::{Actor, Stage};

/// Reasons told one after the other.
const REASONS: usize = 4;

impl Subject<'_> {
    pub(super) fn told_here(&self, state: PathState, hop: &RelayHop) -> String {
        match state {
            PathState::Rejected => self.rejected(hop),
            PathState::Deferred => self.deferred(hop),
            PathState::Aborted => self.aborted(hop),
            PathState::Unknown => self.unknown(hop),
            _ => self.accepted(hop),
        }
    }

    /// "Accepted by smtp.example.net as queue id 4F1 at 10:02:11 (250 2.0.0 Ok), all 3 recipients; 2 attempts before failed: greylisted"
    fn accepted(&self, hop: &RelayHop) -> String {
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
        if let Some(fate) = self.fates.first() {
            // What ended in doubt is told by itself.
            let failed: Vec<Reason> = fate.reasons.iter().filter(|reason| !is_doubt(reason)).cloned().collect();
            match failed.iter().map(|reason| reason.attempts).sum::<u32>() {
                0 => {}
                1 => text.push_str(&format!("; one attempt failed: {}", course(&failed))),
                many => text.push_str(&format!("; {many} attempts failed: {}", course(&failed))),
            }
        }
        text
    }

    /// "Stopped at smtp.example.net, RCPT TO, 10:02:11: no such mailbox (550 5.1.1 No such user); 1 of 3 recipients (bob@example.org)"
    fn rejected(&self, hop: &RelayHop) -> String {
        let attempts = if self.fates.iter().any(|fate| fate.attempts > 1) { self.attempts() } else { String::new() };
        format!("Stopped {}{}{attempts}", self.where_and_why(hop), self.who_clause())
    }

    /// "Deferred at …: greylisted (450 4.2.0 …); bob@example.org; 2 attempts since 09:41:07, …; mail.example.org [192.0.2.1] keeps it and tries again"
    fn deferred(&self, hop: &RelayHop) -> String {
        format!(
            "Deferred {}{}{}; {} keeps it and {}",
            self.where_and_why(hop),
            self.who_clause(),
            self.attempts(),
            words::client(hop),
            self.again()
        )
    }

    /// "Not sent: client closed the connection in the message at 10:02:11, after 12,345 octets; smtp.example.net never got a whole message; …"
    fn aborted(&self, hop: &RelayHop) -> String {
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
    fn unknown(&self, hop: &RelayHop) -> String {
        let upstream = words::upstream(hop);
        let moment = self.clock.moment(hop.until);
        let detail = hop.detail.as_ref().map(|detail| format!(" ({})", detail.trim_end_matches('.'))).unwrap_or_default();
        let what = match hop.was_cut_off() {
            true => format!("the message's text went to {upstream}, and no reply is recorded"),
            false => format!("the whole message went to {upstream}, but no reply came"),
        };
        format!("In doubt since {moment}: {what}{detail}{}{}; {upstream} may have it or not", self.who_clause(), self.attempts())
    }

    /// "at smtp.example.net, RCPT TO, 10:02:11: no such mailbox (550 5.1.1 No such user)"
    fn where_and_why(&self, hop: &RelayHop) -> String {
        let fate = self.fates.first();
        let by = fate.map_or(hop.by.0, |fate| fate.by.0);
        let stage = fate.map_or(hop.stage.0, |fate| fate.stage.0);
        let reply = fate.map_or(hop.reply.as_ref(), |fate| fate.reply.as_ref());
        let detail = fate.map_or(hop.detail.as_ref(), |fate| fate.detail.as_ref());
        let cause = fate.map_or(hop.cause, |fate| fate.cause).map(|cause| cause.0);
        let said = match (reply, detail) {
            // What the client got in our own words says less than why we said it.
            (Some(reply), Some(detail)) if by != Actor::Upstream => {
                format!("{} (the client got {})", detail.trim_end_matches('.'), words::code(reply))
            }
            (Some(reply), _) => words::caused(cause, &words::reply(reply)),
            (None, Some(detail)) => detail.trim_end_matches('.').to_owned(),
            (None, None) => words::caused(cause, "no reply is recorded"),
        };
        format!("{}, {}, {}: {said}", words::place(by, hop), words::stage(stage), self.clock.moment(hop.until))
    }

    /// "; 3 attempts since 09:41:07, all for the same reason", if there was more than one.
    pub(super) fn attempts(&self) -> String {
        let reasons = self.fates.first().map(|fate| fate.reasons.as_slice()).unwrap_or_default();
        // Those of earlier passages, through other servers, have their own story.
        let (count, since) = match reasons.first() {
            _ if self.path.relays().all(|hop| hop.passage <= 1) => {
                let most = self.fates.iter().map(|fate| fate.attempts as usize).max();
                (most.unwrap_or_else(|| self.path.relays().count()), self.path.first_at)
            }
            Some(first) => (reasons.iter().map(|reason| reason.attempts as usize).sum(), first.first_at),
            None => return String::new(),
        };
        if count < 2 {
            return String::new();
        }
        let how = match reasons {
            [] => String::new(),
            [_] => ", all for the same reason".to_owned(),
            several => format!(": {}", course(several)),
        };
        format!("; {count} attempts since {}{how}", self.clock.moment(since))
    }

    /// When the client is expected again.
    fn again(&self) -> String {
        match self.fates.iter().find_map(|fate| fate.retry) {
            None => "tries again".to_owned(),
            Some(Retry { until, overdue: true, .. }) => {
                format!("should have tried again by {}: it is overdue", self.clock.moment(until))
            }
            Some(Retry { from, until, by_own_pauses, .. }) => {
                let by = if by_own_pauses { "by its pauses so far" } else { "as most servers do" };
                format!("tries again, {by} between {} and {}", self.clock.moment(from), self.clock.moment(until))
            }
        }
    }
}

/// "first greylisted, then mailbox full".
fn course(reasons: &[Reason]) -> String {
    let told: Vec<String> = reasons.iter().map(reason).collect();
    match told.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first, .., last] if told.len() > REASONS => {
            format!("first {first}, then {} others, at last {last}", told.len() - 2)
        }
        [first, others @ ..] => format!("first {first}, then {}", others.join(", then ")),
    }
}

fn reason(it: &Reason) -> String {
    let words = it.cause.and_then(|cause| words::cause(cause.0));
    match (words, it.code) {
        (Some(words), _) => words.to_owned(),
        (None, Some(code)) => format!("{code} at {}", words::stage(it.stage.0)),
        (None, None) if is_doubt(it) => "in doubt".to_owned(),
        (None, None) => format!("broken off at {}", words::stage(it.stage.0)),
    }
}

/// No reply came to end-of-data.
fn is_doubt(it: &Reason) -> bool {
    it.code.is_none() && it.stage.0 == Stage::EndOfData
}
