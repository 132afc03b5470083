//! What one name published so far, and its last change.

use serde::{Deserialize, Serialize};

use crate::anomaly::window::{DAY, HOUR, MINUTE};
use crate::trace::WallMicros;

/// Answers that alternate are no change: so many are remembered, for so long.
const VARIANTS: usize = 4;
const ALTERNATES: u64 = 7 * DAY;
/// Octets of an answer that are kept.
const LONGEST: usize = 600;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    pub before: String,
    pub after: String,
    /// When it was last seen as before, and first as after.
    pub last_before: WallMicros,
    pub seen: WallMicros,
    told: bool,
}

/// What is known of one name. An empty text: nothing is published.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Known {
    now: Option<String>,
    last: WallMicros,
    /// Earlier answers, and when each was last seen.
    variants: Vec<(String, WallMicros)>,
    due: WallMicros,
    asked: WallMicros,
    turn: Option<Turn>,
    /// Asked, and no answer yet.
    #[serde(skip)]
    waits: bool,
    /// How long it was left alone after the last time that nobody could say.
    #[serde(skip)]
    pause_us: u64,
}

/// An answer is due to have come after so long, whatever else waits to be asked.
const ANSWERED: u64 = 5 * MINUTE;

impl Known {
    pub fn is_due(&self, now: WallMicros, every_us: u64) -> bool {
        // A clock that was set back must not put it off for ever.
        now >= self.due || self.due > now.saturating_add(2 * every_us.max(HOUR))
    }

    /// When it is to be asked.
    pub fn due(&self) -> WallMicros {
        self.due
    }

    /// It was asked: not again before an answer is due to have come.
    pub fn asked(&mut self, now: WallMicros) {
        (self.asked, self.due, self.waits) = (now, now.saturating_add(ANSWERED), true);
    }

    /// Nobody can say: after a while again, then after twice as long, and so on.
    pub fn later(&mut self, now: WallMicros, first_us: u64, most_us: u64) {
        self.pause_us = self.pause_us.saturating_mul(2).max(first_us).min(most_us);
        (self.due, self.waits) = (now.saturating_add(self.pause_us), false);
    }

    /// Has it looked at again now, or as soon as the last look was that long ago.
    pub fn sooner(&mut self, now: WallMicros, since_us: u64) {
        if self.waits {
            return;
        }
        self.due = self.due.min(self.last.max(self.asked).saturating_add(since_us).max(now));
    }

    pub fn learn(&mut self, mut answer: String, now: WallMicros, every_us: u64) {
        if answer.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|&at| answer.is_char_boundary(at)).unwrap_or_default();
            // Long answers must still differ where their ends do.
            let rest = crc32c::crc32c(answer.as_bytes());
            answer.truncate(end);
            answer.push_str(&format!("… ({rest:08x})"));
        }
        (self.due, self.waits, self.pause_us) = (now.saturating_add(every_us), false, 0);
        let before = self.now.replace(answer.clone());
        let last = self.last;
        self.last = last.max(now);
        let Some(before) = before.filter(|before| *before != answer) else { return };
        self.variants.retain(|(_, seen)| seen.saturating_add(ALTERNATES) > now);
        let alternates = self.variants.iter().any(|(variant, _)| *variant == answer);
        if self.variants.len() == VARIANTS {
            self.variants.remove(0);
        }
        self.variants.push((before.clone(), last));
        if alternates {
            // Back to what it was: the change is over.
            self.turn = self.turn.take().filter(|turn| turn.before != answer);
            return;
        }
        self.turn = Some(Turn { before, after: answer, last_before: last, seen: now, told: false });
    }

    /// The last change, as long as it is fresh.
    pub fn turn(&mut self, now: WallMicros, fresh_us: u64) -> Option<&mut Turn> {
        if self.turn.as_ref().is_some_and(|turn| turn.seen.saturating_add(fresh_us) <= now) {
            self.turn = None;
        }
        self.turn.as_mut()
    }
}

impl Turn {
    /// Whether this is the first time that it is told of.
    pub fn tell(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }
}
