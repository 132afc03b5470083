//! How much mail there is, against what is usual: spikes and silence.

mod batch;
mod habits;
pub mod holidays;
mod hot;
mod silence;
mod spike;
pub mod usual;
mod whose;

use habits::Habits;
use holidays::{Holidays, Whole};
use hot::Hot;
use whose::{Whose, WhoseRef};

use crate::anomaly::detector::Detector;
use crate::anomaly::finding::Findings;
use crate::anomaly::kept;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{HOUR, MINUTE, SECOND};
use crate::trace::{AuditEvent, Direction, Record, WallMicros};

/// Names longer than that aren't counted: no address is (RFC 5321 §4.5.3.1.3).
const MOST_NAME: usize = 256;

/// Silence is looked for so often: it is told within a minute of being sure, however slow the journal.
const LISTEN_EVERY: u64 = 20 * SECOND;

/// When much mail is too much, and none too little.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A spike is so many times what is usual at this hour of the week.
    pub spike_factor: f32,
    /// Below so many recipients an hour of one user or sender nothing is a spike.
    pub spike_recipients: u32,
    /// The same for messages an hour of one client; for a listener ten times as many.
    pub spike_messages: u32,
    /// Of a user or sender known for less than a day: from so many recipients an hour on it is a spike. Of machines nothing is said before.
    pub newcomer_recipients: u32,
    /// Silence shorter than that is none. µs.
    pub silence_us: u64,
    /// Silence is told if it is so improbable: 6 is one to a million.
    pub silence_improbable: f32,
    /// Clients that send fewer messages an hour than that, at the hours in question, may be silent.
    pub silence_messages: f32,
    /// Who usually sends so much within at most three hours, and nothing around them, sends a batch: told if one is missing.
    pub batch_messages: f32,
    /// A batch is missing when nothing has come so long after its usual hours. µs.
    pub batch_late_us: u64,
    /// Days on which no batch is missed.
    pub holidays: Holidays,
    /// Users, senders, clients and listeners whose habits are kept; 560 octets each.
    pub most: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            spike_factor: 5.0,
            spike_recipients: 200,
            spike_messages: 300,
            newcomer_recipients: 5_000,
            silence_us: 15 * MINUTE,
            silence_improbable: 6.0,
            silence_messages: 6.0,
            batch_messages: 50.0,
            batch_late_us: HOUR,
            holidays: Holidays::default(),
            most: 100_000,
        }
    }
}

/// Spikes and silence of users, senders, clients and listeners.
#[derive(Debug)]
pub struct Volume {
    options: Options,
    habits: Habits,
    /// Those with a [`Hot`].
    hot: Vec<Whose>,
    /// Listeners by number, as habits of clients name them.
    listeners: Vec<Box<str>>,
    /// When silence was looked for.
    listened: WallMicros,
    /// What comes in all. Not kept: after a restart it isn't known, and no day is quiet.
    whole: Whole,
    /// The hour in which batches were looked at.
    batched: u32,
    /// The latest record.
    now: WallMicros,
}

impl Volume {
    pub fn new(options: Options) -> Self {
        let habits = Habits::new(options.most);
        Self { options, habits, hot: Vec::new(), listeners: Vec::new(), whole: Whole::default(), listened: 0, batched: 0, now: 0 }
    }

    /// Octets that the habits of one of [`Options::most`] take at most, with a name of thirty octets.
    pub const fn octets_each() -> usize {
        Habits::octets()
    }

    fn count(&mut self, whose: WhoseRef<'_>, seen: &Seen<'_>, count: u32, by: Option<WhoseRef<'_>>) {
        let watched = self.options.watched(whose);
        let Some(habit) = self.habits.count(whose, seen.at, count) else { return };
        if let WhoseRef::Client(_) = whose
            && let Some(listener) = seen.listener()
            && self.listeners.get(usize::from(habit.listener)).is_none_or(|known| **known != *listener)
        {
            let known = self.listeners.iter().position(|known| **known == *listener);
            let number = known.unwrap_or(self.listeners.len());
            if known.is_none() && number < 255 {
                self.listeners.push(listener.into());
            }
            habit.listener = u8::try_from(number).unwrap_or(u8::MAX);
        }
        match &mut habit.hot {
            Some(hot) => hot.add(seen, count, by),
            None if habit.usual.last_hour() >= watched => {
                let mut hot = Box::<Hot>::default();
                hot.add(seen, count, by);
                habit.hot = Some(hot);
                self.hot.push(Whose::from(&whose));
            }
            None => {}
        }
    }
}

impl Options {
    /// The least that can be a spike.
    fn least(&self, whose: WhoseRef<'_>) -> u32 {
        match whose {
            WhoseRef::User(_) | WhoseRef::Sender(_) => self.spike_recipients,
            WhoseRef::Client(_) => self.spike_messages,
            WhoseRef::Listener(_) => self.spike_messages.saturating_mul(10),
        }
    }

    /// From so many in an hour on the details are looked at.
    fn watched(&self, whose: WhoseRef<'_>) -> u32 {
        self.least(whose) / 4
    }
}

impl Detector for Volume {
    fn name(&self) -> &'static str {
        "volume"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        match seen.record {
            Record::Audit(audit) if matches!(audit.event, AuditEvent::Started | AuditEvent::Crashed) => {
                self.habits.hole(audit.since.unwrap_or(self.now).min(audit.at), audit.at);
            }
            Record::Gap(gap) => self.habits.hole(gap.from, gap.until),
            _ => {}
        }
        self.now = self.now.max(seen.at);
        let Some(transaction) = seen.transaction.filter(|_| !seen.is_synthetic()) else { return };
        let recipients = seen.recipient_count().clamp(1, 100_000) as u32;
        let client = WhoseRef::Client(transaction.client.ip);
        if transaction.direction == Direction::Outbound {
            let login = transaction.client.auth.as_ref().filter(|auth| auth.outcome == "succeeded");
            let user = login.and_then(|auth| auth.user.as_deref()).filter(|user| user.len() <= MOST_NAME).map(WhoseRef::User);
            if let Some(user) = user {
                self.count(user, seen, recipients, None);
            }
            let sender = seen.reverse_path().filter(|path| !path.is_empty() && path.len() <= MOST_NAME).map(WhoseRef::Sender);
            if let Some(sender) = sender {
                self.count(sender, seen, recipients, user);
            }
            self.count(client, seen, 1, user.or(sender));
        }
        self.count(WhoseRef::Listener(&transaction.listener), seen, 1, Some(client));
        self.whole.count(seen.at);
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        if self.listened > now {
            // The clock was ahead and is right again.
            (self.listened, self.now) = (now, self.now.min(now));
            self.habits.set_back(now);
        }
        self.judge_spikes(now, findings);
        if now >= self.listened + LISTEN_EVERY {
            self.listened = now;
            self.judge_silence(now, findings);
            self.judge_batches(now, findings);
        }
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(3, &(self.habits.kept(), &self.hot, &self.listeners, (self.listened, self.batched, self.now)))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some(((by, holes, up_since), hot, listeners, times)) = kept::read(3, kept) else { return false };
        self.habits.take_back(by, holes, up_since);
        (self.hot, self.listeners) = (hot, listeners);
        (self.listened, self.batched, self.now) = times;
        true
    }

    fn forgotten(&self) -> u64 {
        self.habits.forgotten
    }
}

#[cfg(test)]
mod tests;
