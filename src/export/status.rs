//! How a sink stands, for the health page, metrics and the command line.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::store::Cursor;
use crate::trace::WallMicros;

/// Whether its receiver takes what it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent yet.
    Idle,
    Sending,
    /// Since when, and what went wrong last.
    Failing {
        since: WallMicros,
        why: String,
    },
}

impl State {
    /// Whether it is one to worry about.
    pub fn is_failing(&self) -> bool {
        matches!(self, Self::Failing { .. })
    }
}

/// Counters and state of one sink, written by its thread and read by everybody.
#[derive(Debug)]
pub struct Status {
    pub name: String,
    /// "syslog", "splunk", …
    pub kind: &'static str,
    /// Where it sends to, without secrets.
    pub to: String,
    pub sent: AtomicU64,
    pub octets: AtomicU64,
    /// Records that the filters left out, or whose kind isn't forwarded.
    pub filtered: AtomicU64,
    /// Records that the receiver refused for good, one by one.
    pub refused: AtomicU64,
    /// Records that retention removed before they were sent.
    pub expired: AtomicU64,
    pub failures: AtomicU64,
    /// Records that wait, and the age of the first of them in µs.
    pub backlog: AtomicU64,
    pub lag_us: AtomicU64,
    /// That it fails is recorded.
    pub(super) reported: AtomicBool,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    state: State,
    at: Option<Cursor>,
    last_sent_at: Option<WallMicros>,
    last_refusal: Option<String>,
}

/// The same at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub name: String,
    pub kind: &'static str,
    pub to: String,
    pub sent: u64,
    pub octets: u64,
    pub filtered: u64,
    pub refused: u64,
    pub expired: u64,
    pub failures: u64,
    pub backlog: u64,
    pub lag_us: u64,
    pub state: State,
    pub at: Option<Cursor>,
    pub last_sent_at: Option<WallMicros>,
    /// Why an event was refused for good, the last time.
    pub last_refusal: Option<String>,
}

impl Status {
    pub fn new(name: String, kind: &'static str, to: String) -> Self {
        let changing = Changing { state: State::Idle, at: None, last_sent_at: None, last_refusal: None };
        Self {
            name,
            kind,
            to,
            sent: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            reported: AtomicBool::new(false),
            backlog: AtomicU64::new(0),
            lag_us: AtomicU64::new(0),
            changing: Mutex::new(changing),
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let changing = self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Snapshot {
            name: self.name.clone(),
            kind: self.kind,
            to: self.to.clone(),
            sent: self.sent.load(Relaxed),
            octets: self.octets.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
            refused: self.refused.load(Relaxed),
            expired: self.expired.load(Relaxed),
            failures: self.failures.load(Relaxed),
            backlog: self.backlog.load(Relaxed),
            lag_us: self.lag_us.load(Relaxed),
            state: changing.state.clone(),
            at: changing.at,
            last_sent_at: changing.last_sent_at,
            last_refusal: changing.last_refusal.clone(),
        }
    }

    /// Takes over what one before it had counted.
    pub fn count_on_from(&self, before: &Self) {
        let pairs = [
            (&self.sent, &before.sent),
            (&self.octets, &before.octets),
            (&self.filtered, &before.filtered),
            (&self.refused, &before.refused),
            (&self.expired, &before.expired),
            (&self.failures, &before.failures),
        ];
        for (count, before) in pairs {
            count.fetch_add(before.load(Relaxed), Relaxed);
        }
        self.reported.store(before.reported.load(Relaxed), Relaxed);
    }

    /// An outage that lasts is to be recorded once more: whoever reads the records counts it as ended.
    pub fn report_anew(&self) {
        self.reported.store(false, Relaxed);
    }

    pub(super) fn stands_at(&self, at: Cursor) {
        self.change(|it| it.at = Some(at));
    }

    /// Counts what was taken. That ends no failure: it may have been taken before, and be lost again.
    pub fn took(&self, events: u64, octets: u64, now: WallMicros) {
        self.sent.fetch_add(events, Relaxed);
        self.octets.fetch_add(octets, Relaxed);
        self.change(|it| {
            if it.state == State::Idle {
                it.state = State::Sending;
            }
            it.last_sent_at = Some(now);
        });
    }

    /// It doesn't fail any more.
    pub fn recovered(&self) {
        self.change(|it| {
            if it.state.is_failing() {
                it.state = State::Sending;
            }
        });
    }

    pub fn were_refused(&self, events: u64, why: String) {
        self.refused.fetch_add(events, Relaxed);
        self.change(|it| it.last_refusal = Some(why));
    }

    /// Notes a failure; since when they last.
    pub fn failed(&self, why: String, now: WallMicros) -> WallMicros {
        self.failures.fetch_add(1, Relaxed);
        self.change(|it| {
            let since = if let State::Failing { since, .. } = it.state { since } else { now };
            it.state = State::Failing { since, why };
            since
        })
    }

    /// Since when it fails, and why, if it does.
    pub(super) fn failing(&self) -> Option<(WallMicros, String)> {
        self.change(|it| match &it.state {
            State::Failing { since, why } => Some((*since, why.clone())),
            State::Idle | State::Sending => None,
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Changing) -> T) -> T {
        change(&mut self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
