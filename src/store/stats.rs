//! The store in numbers.

use std::sync::atomic::Ordering;

use super::day::Day;
use super::health::Health;
use super::index;
use super::journal::Form;
use super::live::Live;
use super::retention::{octets_in, octets_of};

/// The store in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStats {
    /// Records that can be read, marks apart.
    pub records: u64,
    pub days: u64,
    pub oldest: Option<Day>,
    pub newest: Option<Day>,
    /// The oldest day from which nothing was left out; of those before it, only failures are kept.
    pub oldest_whole: Option<Day>,
    /// The oldest day with dialogues.
    pub oldest_dialogue: Option<Day>,
    pub journal_octets: u64,
    /// Of these, octets of the dialogues of sealed files.
    pub dialogue_octets: u64,
    pub index_octets: u64,
    pub active_files: u64,
    pub sealed_files: u64,
    /// Stored runs of the days that are open, and runs in memory.
    pub runs: u64,
    /// Records that are written and not indexed yet.
    pub unindexed: u64,
    /// Since the start: records that could not be stored, and what was written.
    pub records_lost: u64,
    pub octets_written: u64,
    pub batches: u64,
    pub syncs: u64,
    pub health: Health,
}

/// The oldest day of which all records are kept, unless that is the oldest of all.
pub(super) fn whole_since(live: &Live) -> Option<Day> {
    let days = live.journal.days();
    let whole = days.iter().position(|day| !day.is_thinned()).filter(|&at| at > 0)?;
    days.get(whole).map(|day| day.day)
}

pub(super) fn stats(live: &Live, health: Health, records_lost: u64) -> StoreStats {
    let days = live.journal.days();
    let mut stats = StoreStats {
        records: 0,
        days: days.len() as u64,
        oldest: days.first().map(|day| day.day),
        newest: days.last().map(|day| day.day),
        oldest_whole: None,
        oldest_dialogue: None,
        journal_octets: 0,
        dialogue_octets: 0,
        index_octets: 0,
        active_files: 0,
        sealed_files: 0,
        runs: 0,
        unindexed: 0,
        records_lost,
        octets_written: live.written.octets.load(Ordering::Relaxed),
        batches: live.written.batches.load(Ordering::Relaxed),
        syncs: live.written.syncs.load(Ordering::Relaxed),
        health,
    };
    for day in &days {
        let mut dialogues = false;
        for file in day.files() {
            stats.records += u64::from(file.records());
            match file.form() {
                Form::Log(log) => {
                    stats.active_files += 1;
                    dialogues = true;
                    stats.journal_octets += log.end();
                }
                Form::Sealed(segment) => {
                    stats.sealed_files += 1;
                    let dialogue_octets = segment.dialogues_path().map_or(0, octets_of);
                    stats.journal_octets += octets_of(segment.path()) + dialogue_octets;
                    stats.dialogue_octets += dialogue_octets;
                    dialogues |= dialogue_octets > 0;
                }
            }
        }
        stats.oldest_whole = stats.oldest_whole.or_else(|| (!day.is_thinned()).then_some(day.day));
        stats.oldest_dialogue = stats.oldest_dialogue.or(dialogues.then_some(day.day));
        stats.index_octets += octets_in(&index::dir(&live.options.dir, day.day));
        stats.runs += live.index.runs(day.day).len() as u64;
        // Also of days that are indexed anew.
        let indexed = live.index.indexed(day.day).max(live.index.stored_until(day.day));
        stats.unindexed += u64::from(day.end().saturating_sub(indexed));
    }
    stats
}
