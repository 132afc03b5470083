//! Records gathered for an answer, each once, and what they make together.

use std::collections::{HashMap, HashSet};

use super::super::join::{Group, attach_logs, attach_reports, join};
use crate::trace::{Log, Record, RecordId, Transaction};

#[derive(Debug, Default)]
pub struct Pool {
    transactions: Vec<Transaction>,
    logs: Vec<Log>,
    known: HashSet<RecordId>,
}

impl Pool {
    pub fn of(records: Vec<Record>) -> Self {
        let mut pool = Self::default();
        pool.add(records);
        pool
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Takes in what is new; whether anything was.
    pub fn add(&mut self, records: Vec<Record>) -> bool {
        let before = self.known.len();
        for record in records {
            match record {
                Record::Transaction(it) if self.known.insert(it.id) => self.transactions.push(*it),
                Record::Log(it) if self.known.insert(it.id) => self.logs.push(*it),
                _ => {}
            }
        }
        self.known.len() > before
    }

    /// The messages that these records make, and for each report that counts a transaction of the message that it is about.
    pub fn groups(&self) -> (Vec<Group>, HashMap<RecordId, RecordId>) {
        let mut groups = join(self.transactions.clone());
        attach_logs(&mut groups, self.logs.clone());
        let reports = self.transactions.iter().filter(|it| it.message.report.is_some()).cloned().collect();
        attach_reports(&mut groups, reports);
        let mut originals = HashMap::new();
        for group in &groups {
            let first = group.transactions().next().map(|it| it.id);
            for told in group.reports.iter().filter(|told| told.why_not.is_none()) {
                originals.extend(first.map(|first| (told.transaction.id, first)));
            }
        }
        (groups, originals)
    }
}
