//! Reports and complaints that passed, tied to the message that they speak of. Anybody can write one: it counts only for a
//! recipient for whom the message was seen accepted before.

use super::super::answer::{Confidence, JoinedBy, Tie};
use super::{Group, QUEUE_LIFE_US, key, same};
use crate::trace::{Report, ReportKind, State, Transaction};

/// How far our own clock may have been set back between a message and its report.
const CLOCK_JUMPS_US: u64 = 60_000_000;

/// A report about the message.
#[derive(Debug)]
pub struct Told {
    /// The transaction that brought it.
    pub transaction: Transaction,
    pub tie: Tie,
    /// Why its word doesn't count.
    pub why_not: Option<String>,
    /// It comes from the server that sent the message here: what that gave up is given up.
    pub by_sender: bool,
}

/// Ties reports to the messages; gives back those of none of them.
pub fn attach_reports(groups: &mut [Group], mut reports: Vec<Transaction>) -> Vec<Transaction> {
    reports.sort_by_key(|report| (report.at, report.id));
    reports.dedup_by_key(|report| report.id);
    reports.into_iter().filter_map(|report| attach(groups, report)).collect()
}

fn attach(groups: &mut [Group], transaction: Transaction) -> Option<Transaction> {
    let Some(report) = transaction.message.report.as_deref() else { return Some(transaction) };
    let ties = groups.iter().enumerate().filter_map(|(place, group)| group.report_tie(report, &transaction).map(|tie| (place, tie)));
    // Of several that it may be about, the latest before it.
    let best = ties.max_by_key(|(place, (tie, _))| (tie.confidence, groups.get(*place).map(Group::last_at)));
    match best.and_then(|(place, tie)| groups.get_mut(place).map(|group| (group, tie))) {
        Some((group, (tie, why_not))) => {
            let by_sender = transaction.message.report.as_deref().is_some_and(|report| group.sent_by_reporter(report, &transaction));
            group.reports.push(Told { transaction, tie, why_not, by_sender });
            None
        }
        None => Some(transaction),
    }
}

/// Whether a report is on this address, by its name now or as the sender wrote it.
pub fn is_on(reported: &crate::trace::Reported, address: &str) -> bool {
    std::iter::once(&reported.address).chain(&reported.original).any(|it| it.eq_ignore_ascii_case(address))
}

impl Group {
    fn report_tie(&self, report: &Report, brought: &Transaction) -> Option<(Tie, Option<String>)> {
        // Not a message about itself.
        if self.attempts.is_empty() || self.transactions().any(|it| it.id == brought.id) {
            return None;
        }
        match self.ids_tie(report) {
            Some(by) => Some(self.weighed(by, report, brought)),
            None if report.original_message_id.is_some() || report.envid.is_some() => None,
            None => self.by_recipient(report, brought),
        }
    }

    /// Which of the report's ids is this message's.
    fn ids_tie(&self, report: &Report) -> Option<JoinedBy> {
        let queue_id = report.queue_id.as_deref();
        let message_id = report.original_message_id.as_deref().map(|id| id.trim_start_matches('<').trim_end_matches('>'));
        let other_message = message_id.is_some() && self.message_id().is_some() && message_id != self.message_id();
        let at_server = self
            .transactions()
            .flat_map(|it| [&it.outcome.upstream_queue_id, &it.message.client_queue_id])
            .any(|it| same(queue_id, it.as_deref()))
            || self.logs.iter().any(|line| same(queue_id, line.log.queue_id.as_deref()));
        if at_server && !other_message {
            Some(JoinedBy::QueueId)
        } else if self.transactions().any(|it| same(report.envid.as_deref(), it.envelope.envid.as_deref())) && !other_message {
            Some(JoinedBy::Envid)
        } else if message_id.is_some() && message_id == self.message_id() {
            Some(JoinedBy::MessageId)
        } else {
            None
        }
    }

    /// What a report with the right ids is worth.
    fn weighed(&self, by: JoinedBy, report: &Report, brought: &Transaction) -> (Tie, Option<String>) {
        let sure = if by == JoinedBy::QueueId { Confidence::Proof } else { Confidence::Strong };
        let refuse = |why: &str| (by.with(Confidence::Unproven), Some(why.to_owned()));
        // Complaints seldom name a recipient; they change nobody's state.
        if report.kind == ReportKind::Complaint && report.recipients.is_empty() {
            return (by.with(sure), None);
        }
        let known = report.recipients.iter().any(|it| self.standing.keys().any(|address| is_on(it, address)));
        if !known {
            return refuse("it names none of the recipients that the message had here");
        }
        let refused = || self.first(report, |_| true).filter(|_| self.sent_by_reporter(report, brought));
        match self.first_taken(report).or_else(refused) {
            None => refuse("nobody had accepted the message for the recipients it names"),
            Some(at) if brought.at.saturating_add(CLOCK_JUMPS_US) < at => refuse("it came before the message"),
            Some(_) => (by.with(sure), None),
        }
    }

    /// Whether the server that had the message before writes the report: it knows its queue id there, or came from its address.
    fn sent_by_reporter(&self, report: &Report, brought: &Transaction) -> bool {
        self.transactions().any(|it| {
            let its_entry = same(report.queue_id.as_deref(), it.message.client_queue_id.as_deref());
            its_entry || (it.direction == brought.direction && it.client.ip == brought.client.ip)
        })
    }

    /// When the message was first taken for one of the report's recipients. What is in doubt may have been taken.
    fn first_taken(&self, report: &Report) -> Option<u64> {
        self.first(report, |state| matches!(state, State::Accepted | State::Unknown))
    }

    /// When it first came for one of the report's recipients, with such an end.
    fn first(&self, report: &Report, counts: impl Fn(State) -> bool) -> Option<u64> {
        let taken = |it: &&Transaction| {
            it.envelope.recipients.iter().any(|recipient| {
                counts(recipient.state)
                    && report.recipients.iter().any(|reported| is_on(reported, &recipient.address) || is_on_original(reported, recipient))
            })
        };
        self.transactions().find(taken).map(|it| it.at)
    }

    /// A report without any id: to the sender, on a recipient for whom the message was taken not long before.
    fn by_recipient(&self, report: &Report, brought: &Transaction) -> Option<(Tie, Option<String>)> {
        let taken = self.first_taken(report)?;
        let to_sender = self.transactions().any(|it| {
            !it.envelope.reverse_path.is_empty()
                && brought.envelope.recipients.iter().any(|to| key(&to.address) == key(&it.envelope.reverse_path))
        });
        let subject = self.transactions().find_map(|it| it.message.subject.as_deref());
        let same_subject = report.original_subject.as_deref().zip(subject).is_none_or(|(one, other)| one.trim() == other.trim());
        let in_time = taken <= brought.at && brought.at - taken <= QUEUE_LIFE_US;
        (to_sender && same_subject && in_time).then_some((JoinedBy::Recipient.with(Confidence::Probable), None))
    }
}

fn is_on_original(reported: &crate::trace::Reported, recipient: &crate::trace::Recipient) -> bool {
    super::original(recipient).is_some_and(|original| is_on(reported, &original))
}
