//! Trying a situation: ordinary mail with it in its midst, for a watch that knows what is usual; once straight on, once with a restart.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use relayscope::anomaly::{Book, Watch};
use relayscope::trace::{Anomaly, Incident, IncidentStep, Record, WallMicros};

use super::situation::Situation;
use super::{Traffic, end, troubles};
use crate::samples;

/// What a watch knew at a time, and the traffic as it goes on from there.
pub struct Point {
    pub at: WallMicros,
    pub kept: Vec<(String, Vec<u8>)>,
    pub traffic: Traffic,
}

impl Point {
    pub fn of(at: WallMicros, watch: &Watch, traffic: &Traffic) -> Self {
        Self { at, kept: watch.keep(), traffic: traffic.clone() }
    }

    /// Ordinary mail of the hours that follow.
    pub fn ordinary(&self, hours: u64, change: impl FnOnce(&mut Traffic)) -> Vec<Record> {
        let mut traffic = self.traffic.clone();
        change(&mut traffic);
        (0..hours).flat_map(|hour| traffic.hour(self.at + hour * super::HOUR)).collect()
    }
}

pub fn watch() -> Watch {
    let options = troubles::options();
    let book = Book::new(options.book.clone(), samples::origin());
    Watch::new(&options, book)
}

fn restored(kept: &[(String, Vec<u8>)]) -> Watch {
    let mut watch = watch();
    assert_eq!(watch.restore(kept), [""; 0], "what is kept is read");
    watch
}

/// What a situation was called, and how soon.
pub struct Outcome {
    pub name: String,
    pub anomaly: Option<Anomaly>,
    /// µs after the last of its records that was needed, and after its last one.
    pub needed: Option<WallMicros>,
    pub after: Option<WallMicros>,
    /// What opened and isn't true, in words.
    pub wrong: Vec<(Anomaly, String)>,
    /// What a restart in its middle changed.
    pub restart: Option<String>,
}

impl Outcome {
    /// Silence has no last record: it is told where chance would hardly do it.
    pub fn is_long(&self) -> bool {
        self.anomaly == Some(Anomaly::Silence) && self.after.is_some()
    }
}

/// Everything that the watch sees, in order.
fn seen<'a>(ordinary: &'a [Record], situation: &'a Situation) -> Vec<Cow<'a, Record>> {
    let lasts = ordinary.iter().take_while(|record| end(record) <= situation.until);
    let fares = |record: &'a Record| match &situation.instead {
        Some(instead) if end(record) >= situation.from => instead(record.clone()).map(Cow::Owned),
        _ => Some(Cow::Borrowed(record)),
    };
    let mut all: Vec<Cow<'a, Record>> = lasts.filter_map(fares).chain(situation.records.iter().map(Cow::Borrowed)).collect();
    all.sort_by_key(|record| end(record));
    all
}

fn run(kept: &[(String, Vec<u8>)], records: &[Cow<'_, Record>], until: WallMicros, restart: Option<usize>) -> Vec<Incident> {
    let mut watch = restored(kept);
    let mut entries = Vec::new();
    for (no, record) in records.iter().enumerate() {
        if restart == Some(no) {
            watch = restored(&watch.keep());
        }
        watch.observe(record, &mut entries);
    }
    watch.tick(until, &mut entries);
    // Detectors look at their tables in any order.
    entries.sort_by_key(|entry| (entry.at, entry.id));
    entries
}

/// Tries one; with a restart in its middle as well, or without.
pub fn name(kept: &[(String, Vec<u8>)], ordinary: &[Record], situation: &Situation, restarts: bool) -> Outcome {
    let records = seen(ordinary, situation);
    let entries = run(kept, &records, situation.until, None);
    let middle = situation.from + (situation.last() - situation.from) / 2;
    let middle = if situation.records.is_empty() { situation.from + (situation.until - situation.from) / 2 } else { middle };
    let restart = records.iter().position(|record| end(record) >= middle);
    let again = if restarts { run(kept, &records, situation.until, restart) } else { entries.clone() };
    let opened: Vec<&Incident> =
        entries.iter().filter(|entry| matches!(entry.step, IncidentStep::Opened | IncidentStep::Reopened)).collect();
    let named = opened.iter().find(|entry| Some(entry.anomaly) == situation.anomaly);
    let after = named.map(|entry| entry.at.saturating_sub(situation.last()));
    let needed = named.map(|entry| {
        let last = situation.records.iter().map(end).filter(|it| *it <= entry.at).max();
        entry.at - last.unwrap_or(entry.at)
    });
    let is_true = |it: &Anomaly| Some(*it) == situation.anomaly || situation.beside.contains(it);
    let wrong = opened.iter().filter(|entry| !is_true(&entry.anomaly));
    let wrong = wrong.map(|entry| (entry.anomaly, format!("{} ({})", entry.summary, entry.arithmetic))).collect();
    let difference = entries.iter().zip(&again).find(|(one, other)| one != other);
    let restart = match difference {
        Some((one, other)) => Some(format!("{one:?}\n  against\n{other:?}")),
        None if entries.len() != again.len() => Some(format!("{} entries against {}", entries.len(), again.len())),
        None => None,
    };
    Outcome { name: situation.name.clone(), anomaly: situation.anomaly, needed, after, wrong, restart }
}

/// Does many things in two threads; what came of each, in their order.
pub fn in_parallel<T: Sync, R: Send>(things: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((no, thing)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|no| things.get(no).map(|it| (no, it))) {
                    let result = each(thing);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((no, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(no, _)| *no);
    done.into_iter().map(|(_, result)| result).collect()
}
