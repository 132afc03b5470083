//! What the sentence would be half the truth without: the way through servers, doubts, reports that prove nothing.

use super::super::answer::{Fate, PathState, RelayHop, ReportHop};
use super::super::clock::span;
use super::super::words;
use super::Subject;
use crate::trace::json::Word;
use crate::trace::{Action, Flag, ReportKind};

/// Ways through servers that are told.
const WAYS: usize = 3;
/// Reports that changed nothing, told one by one.
const REPORTS: usize = 2;

impl Subject<'_> {
    pub(super) fn afterwords(&self, state: PathState) -> Vec<String> {
        let mut more = Vec::new();
        more.extend(self.path.reports_on.as_ref().map(|on| match on.hop {
            Some(hop) => format!("It is itself a report: {}. The message it speaks of: relayscope where {hop}", on.says),
            None => format!("It is itself a report: {}. Unproven: no message that passed here is the one it speaks of.", on.says),
        }));
        more.extend(self.ways());
        match state {
            PathState::Accepted => more.extend(self.after_acceptance()),
            PathState::Unknown => more.extend(self.doubt()),
            PathState::Delivered | PathState::Bounced => more.extend(self.twice()),
            PathState::Deferred | PathState::Rejected | PathState::Aborted => more.extend(self.earlier_doubt()),
            _ => {}
        }
        more.extend(self.reports());
        more
    }

    /// "In at 10:02:11, out at 10:02:12: 900 ms inside exchange.example.com."
    fn ways(&self) -> Vec<String> {
        let known = self.path.inside.iter().filter_map(|way| Some((way, way.out_at?)));
        known
            .take(WAYS)
            .map(|(way, out_at)| {
                format!(
                    "In at {}, out at {}: {} inside {}.",
                    self.clock.moment(way.in_at),
                    self.clock.moment(out_at),
                    span(way.took_us),
                    way.server
                )
            })
            .collect()
    }

    fn after_acceptance(&self) -> Vec<String> {
        let Some(hop) = self.hop else { return vec!["It never passed Relayscope itself.".to_owned()] };
        let upstream = words::upstream(hop);
        let mut more = Vec::new();
        // Where a log goes on, its word is the last.
        if self.fates.iter().all(|fate| fate.hop == hop.id) {
            more.push("Relayscope's part ended there: ask that server for what came after.".to_owned());
        }
        if hop.flags.contains(&Word(Flag::LateReply)) {
            let client = words::client(hop);
            more.push(format!("{client} had gone before that reply came and may send it again: {upstream} would have it twice."));
        }
        more.extend(self.twice());
        more
    }

    /// An attempt in doubt beside one that was accepted, or one accepted more than once.
    fn twice(&self) -> Option<String> {
        let twice = || self.fates.iter().filter(|fate| fate.duplicate_likely);
        if let Some(doubt) = twice().find_map(|fate| self.doubted(fate)) {
            let moment = self.clock.moment(doubt.at);
            return Some(format!("Another attempt, {moment}, ended in doubt: {} may have it twice.", words::upstream(doubt)));
        }
        let copies = twice().map(|fate| fate.copies).max().filter(|copies| *copies > 1)?;
        Some(format!("It was accepted {copies} times: a duplicate is likely."))
    }

    /// An attempt in doubt before one that failed: the message may be there, whatever became of it since.
    fn earlier_doubt(&self) -> Option<String> {
        let doubt = self.fates.iter().find_map(|fate| self.doubted(fate))?;
        let moment = self.clock.moment(doubt.at);
        Some(format!("An earlier attempt, {moment}, ended in doubt: {} may have it already.", words::upstream(doubt)))
    }

    fn doubted(&self, fate: &Fate) -> Option<&RelayHop> {
        self.path.relays().find(|hop| Some(hop.id) == fate.doubt && Some(hop.id) != fate.accepted)
    }

    fn doubt(&self) -> Option<String> {
        let hop = self.hop?;
        Some(format!("{} will probably send it again; if {} has it already, that makes two.", words::client(hop), words::upstream(hop)))
    }

    /// Reports that decided nothing.
    fn reports(&self) -> Vec<String> {
        let silent: Vec<&ReportHop> = self.path.reports().filter(|report| report.state.is_none()).collect();
        let mut more: Vec<String> = silent.iter().take(REPORTS).map(|report| self.report(report)).collect();
        let others = silent.len().saturating_sub(REPORTS);
        if others > 0 {
            more.push(format!("{} decided nothing either.", words::count(others, "other report")));
        }
        more
    }

    fn report(&self, hop: &ReportHop) -> String {
        let moment = self.clock.moment(hop.at);
        let says = words::reported(&hop.report);
        match &hop.why_not {
            Some(why) => format!("A report that passed {moment} says: {says}. Unproven, it changes nothing: {why}."),
            None if hop.report.kind.0 == ReportKind::Complaint => format!("A complaint came {moment}: {says}."),
            None if hop.report.recipients.iter().any(|it| it.action.0 == Action::Delayed) => {
                format!("A report of {moment} says: {says}; it is still tried.")
            }
            None => format!("A report of {moment} says: {says}."),
        }
    }
}
