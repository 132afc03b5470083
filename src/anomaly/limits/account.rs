//! One account at one upstream: what went out, what is known of its quotas, and what was refused because of them.

use serde::{Deserialize, Serialize};

use super::counted::Counted;
use super::options::{Configured, Counts, DayBoundary, Period};
use super::said::Said;
use crate::anomaly::volume::usual::Usual;
use crate::anomaly::window::{DAY, Evidence, HOUR, MINUTE, Sliding};
use crate::trace::{RecordId, WallMicros};

/// Without a refusal for so long, the next one is the first again.
const EPISODE: u64 = HOUR;
/// A refusal holds for so long when nothing is known of the quota. µs.
const HOLDS: u64 = HOUR;
/// A refusal teaches nothing when less than this was used: the quota was used up elsewhere, or the count has just begun.
const LEAST_LEARNED: u64 = 20;

/// Who is remembered of those that an account without a login sends for: the first is told from others, and no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Senders {
    #[default]
    None,
    One(String),
    Several,
}

impl Senders {
    /// The one who is alone in this. With a login it is that login's, whoever it is.
    pub fn only(&self, has_login: bool) -> Option<&str> {
        match self {
            Self::One(sender) if !has_login => Some(sender),
            _ => None,
        }
    }

    /// Takes note of one; whether there are several because of it.
    fn add(&mut self, sender: &str) -> bool {
        match self {
            Self::None => *self = Self::One(sender.to_owned()),
            Self::One(known) if !known.eq_ignore_ascii_case(sender) => {
                *self = Self::Several;
                return true;
            }
            Self::One(_) | Self::Several => {}
        }
        false
    }
}

/// A quota that was read or counted, not configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    pub limit: u64,
    pub counts: Counts,
    pub at: WallMicros,
    /// The provider said the number; otherwise it is what was used when it refused.
    pub stated: bool,
}

/// A quota in force, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub per: Period,
    pub counts: Counts,
    pub limit: u64,
    pub learned: Option<Learned>,
}

/// What is used of a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    pub upstream: String,
    /// Absent: everything that goes through the upstream.
    pub user: Option<String>,
    pub limit: Limit,
    pub used: u64,
    /// When the period is over; with a rolling one, when the quota has room again, if it has none now.
    pub until: Option<WallMicros>,
}

/// A quota that is used up: mail of that account will be refused until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    pub upstream: String,
    /// Absent: whoever sends through the upstream.
    pub user: Option<String>,
    /// The only sender that was refused, where nobody logs in: the quota may be that mailbox's.
    pub sender: Option<String>,
    pub until: WallMicros,
    /// For people, with the provider's words where there are any.
    pub reason: String,
}

/// Refusals since the first of this episode.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    pub evidence: Evidence,
    pub per: Period,
    /// The provider's words, shortened.
    pub words: String,
    pub provider: Option<String>,
    /// Messages that passed after the last refusal.
    pub passed: u64,
    /// What was used when it began, by our count.
    pub used: u64,
    /// It holds for so long after the last refusal, where no count tells when there is room. µs.
    pub holds_us: u64,
    /// The limit that the provider named is for a span that isn't counted.
    pub other_span: bool,
    /// Those that were refused since something passed.
    pub senders: Senders,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    pub counted: Counted,
    /// Messages and recipients by the hour of the week.
    messages: Usual,
    recipients: Usual,
    pub hour: Option<Learned>,
    pub day: Option<Learned>,
    pub refused: Option<Refused>,
    /// Refusals for too high a rate.
    pub hasty: Option<Refused>,
    /// Messages since they were last asked for.
    pub(super) fresh: u64,
    /// Those that sent anything, accepted or refused.
    pub senders: Senders,
}

/// As version 2 of what is kept had it: nobody knew who was refused.
#[derive(Deserialize)]
pub(super) struct FormerAccount {
    counted: Counted,
    messages: Usual,
    recipients: Usual,
    hour: Option<Learned>,
    day: Option<Learned>,
    refused: Option<FormerRefused>,
    hasty: Option<FormerRefused>,
    fresh: u64,
}

#[derive(Deserialize)]
struct FormerRefused {
    evidence: Evidence,
    per: Period,
    words: String,
    provider: Option<String>,
    passed: u64,
    used: u64,
}

impl From<FormerAccount> for Account {
    fn from(FormerAccount { counted, messages, recipients, hour, day, refused, hasty, fresh }: FormerAccount) -> Self {
        let (refused, hasty) = (refused.map(Refused::from), hasty.map(Refused::from));
        Self { counted, messages, recipients, hour, day, refused, hasty, fresh, senders: Senders::Several }
    }
}

impl From<FormerRefused> for Refused {
    fn from(FormerRefused { evidence, per, words, provider, passed, used }: FormerRefused) -> Self {
        Self { evidence, per, words, provider, passed, used, holds_us: HOLDS, other_span: false, senders: Senders::Several }
    }
}

/// A refusal, as the detector has read it.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    pub at: WallMicros,
    pub id: RecordId,
    pub sender: &'a str,
    pub count: u64,
    pub said: Said,
    pub words: &'a str,
    pub provider: Option<&'a str>,
}

impl Account {
    pub fn new(now: WallMicros) -> Self {
        let usual = Usual::new(now);
        Self {
            counted: Counted::new(now),
            messages: usual.clone(),
            recipients: usual,
            hour: None,
            day: None,
            refused: None,
            hasty: None,
            fresh: 0,
            senders: Senders::None,
        }
    }

    /// What is usual at each hour of the week, of what the quota counts.
    pub fn usual(&self, counts: Counts) -> &Usual {
        match counts {
            Counts::Messages => &self.messages,
            Counts::Recipients => &self.recipients,
        }
    }

    /// The clock was ahead and is right again.
    pub fn set_back(&mut self, now: WallMicros) {
        self.counted.set_back(now);
        self.messages.set_back(now);
        self.recipients.set_back(now);
    }

    /// `has_login`: as in [`Account::refuse`].
    pub fn accepted(&mut self, at: WallMicros, sender: &str, has_login: bool, recipients: u64, day: DayBoundary) {
        self.note_sender(sender, has_login);
        self.counted.add(at, recipients);
        self.messages.add(at, 1, |_, count| Some(count));
        self.recipients.add(at, u32::try_from(recipients).unwrap_or(u32::MAX), |_, count| Some(count));
        self.fresh += 1;
        for refused in [&mut self.refused, &mut self.hasty].into_iter().flatten() {
            refused.passed += 1;
            // Others' mail says nothing of one that came to a limit of his own.
            if refused.senders.only(has_login).is_none_or(|alone| alone.eq_ignore_ascii_case(sender)) {
                refused.senders = Senders::None;
            }
        }
        // More went through than the quota is: it is another by now.
        for (per, learned) in [(Period::Hour, &mut self.hour), (Period::Day, &mut self.day)] {
            if learned.is_some_and(|it| it.is_exceeded_by(self.counted.used(at, per, day, it.counts), recipients)) {
                *learned = None;
            }
        }
    }

    /// The quota is used up, says the provider. `has_login`: it is the quota of whoever logged in, and of no mailbox among many.
    pub fn refuse(&mut self, refusal: &Refusal<'_>, has_login: bool, day: DayBoundary) {
        self.note_sender(refusal.sender, has_login);
        let is_short = refusal.said.span_us.is_some_and(|span| span < DAY);
        let per = refusal.said.per.unwrap_or(if is_short { Period::Hour } else { Period::Day });
        let begins = self.refused.as_ref().is_none_or(|it| it.per != per || refusal.at > it.evidence.last + EPISODE);
        let counts = refusal.said.counts.unwrap_or_default();
        let used = self.counted.used(refusal.at, per, day, counts);
        // Something passed between the two: they have nothing in common.
        if let Some(known) = self.refused.as_mut().filter(|it| it.passed > 0) {
            known.senders = Senders::None;
        }
        let refused = note(&mut self.refused, refusal, per, begins, used, Sliding::new(24, 10 * MINUTE));
        let are_several = refused.senders.add(refusal.sender);
        // One of many that is refused may have come to a limit of his own: it says nothing of all together.
        let is_of_all = if has_login || self.senders != Senders::Several { begins } else { are_several };
        if is_of_all && refusal.said.span_us.is_none() {
            self.learn(refusal, per, counts, used);
        }
    }

    /// What was learned while one alone sent, without a login, may have been that mailbox's quota.
    fn note_sender(&mut self, sender: &str, has_login: bool) {
        if self.senders.add(sender) && !has_login {
            (self.hour, self.day) = (None, None);
        }
    }

    /// Too fast, says the provider.
    pub fn hurry(&mut self, refusal: &Refusal<'_>) {
        let begins = self.hasty.as_ref().is_none_or(|it| refusal.at > it.evidence.last + EPISODE);
        let per = refusal.said.per.unwrap_or(Period::Hour);
        note(&mut self.hasty, refusal, per, begins, 0, Sliding::new(10, MINUTE));
    }

    fn learn(&mut self, refusal: &Refusal<'_>, per: Period, counts: Counts, used: u64) {
        let span = if per == Period::Day { DAY } else { HOUR };
        let counted_long_enough = refusal.at >= self.counted.began.saturating_add(span);
        let known = if per == Period::Day { &mut self.day } else { &mut self.hour };
        let stated = refusal.said.limit.map(|limit| Learned { limit, counts, at: refusal.at, stated: true });
        // More passed than that: it is a limit of something else.
        let stated = stated.filter(|it| !it.is_exceeded_by(used, 0));
        let learned =
            (counted_long_enough && used >= LEAST_LEARNED).then_some(Learned { limit: used, counts, at: refusal.at, stated: false });
        // A number that was said stays better than one that was counted.
        let keeps = known.is_some_and(|it| it.stated && stated.is_none());
        match known {
            // Refused where it was to be refused: it still is what it was.
            Some(known) if keeps && used >= known.limit => known.at = refusal.at,
            _ if keeps => {}
            _ => *known = stated.or(learned).or(*known),
        }
    }

    pub fn take_fresh(&mut self) -> u64 {
        std::mem::take(&mut self.fresh)
    }

    /// The quotas of this account: those configured, and else what was learned.
    pub fn limits(&self, upstream: &str, user: &str, configured: &[Configured]) -> Vec<Limit> {
        let own = configured.iter().filter(|it| it.upstream == upstream && it.user.as_deref().unwrap_or_default() == user);
        let mut limits: Vec<Limit> = own.map(|it| Limit { per: it.per, counts: it.count, limit: it.limit, learned: None }).collect();
        for (per, learned) in [(Period::Hour, self.hour), (Period::Day, self.day)] {
            if let Some(learned) = learned
                && !limits.iter().any(|it| it.per == per)
            {
                limits.push(Limit { per, counts: learned.counts, limit: learned.limit, learned: Some(learned) });
            }
        }
        limits
    }
}

impl Learned {
    /// Whether so much use says that it is another by now. `last`: recipients of the last message, which may just have fitted in.
    fn is_exceeded_by(&self, used: u64, last: u64) -> bool {
        used > self.limit + self.limit / 50 + last
    }
}

fn note<'r>(
    known: &'r mut Option<Refused>,
    refusal: &Refusal<'_>,
    per: Period,
    begins: bool,
    used: u64,
    window: Sliding,
) -> &'r mut Refused {
    if begins {
        *known = None;
    }
    let refused = known.get_or_insert_with(|| Refused {
        evidence: Evidence::new(window),
        per,
        words: refusal.words.to_owned(),
        provider: refusal.provider.map(str::to_owned),
        passed: 0,
        used,
        holds_us: HOLDS,
        other_span: false,
        senders: Senders::None,
    });
    refused.evidence.add(refusal.at, refusal.id, refusal.count);
    refused.passed = 0;
    (refused.holds_us, refused.other_span) = (HOLDS.min(refusal.said.span_us.unwrap_or(HOLDS)), refusal.said.span_us.is_some());
    refused
}
