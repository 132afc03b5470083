//! Counts what each account sends, and says when a quota is nearly or wholly used up.

use hashbrown::HashMap;

use super::account::{Account, Exhausted, FormerAccount, Limit, Refusal, Refused, Use};
use super::forecast::{Forecast, forecast, room_again};
use super::options::{DayBoundary, Options, Period};
use super::refusals::Refusals;
use super::said;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::pair::{Pair, PairRef};
use crate::anomaly::room;
use crate::anomaly::seen::{Seen, last_word};
use crate::anomaly::window::{DAY, HOUR, MINUTE};
use crate::diagnose::Rules;
use crate::trace::{About, AboutKind, Anomaly, Cause, Direction, Severity, State, UpstreamKind, WallMicros};
use crate::wording::{clock, date, number, quoted, several, share};

/// Accounts that are counted: those that were quiet longest make room.
const MOST_ACCOUNTS: usize = 10_000;
/// Mail passes again, and nothing was refused for so long: the limit isn't reached any more. µs.
const OVER: u64 = 15 * MINUTE;
/// A quota that a provider named is kept for so long after it was named, or reached, last: while it is kept, nothing can prove it wrong. µs.
const KEPT_FOR: u64 = 3 * DAY;
/// Use is looked at once a minute: it doesn't change faster than that matters.
const LOOK: u64 = MINUTE;

/// Quotas of accounts at upstreams.
#[derive(Debug)]
pub struct Limits {
    options: Options,
    /// By upstream and user; without a user: all that goes through the upstream.
    accounts: HashMap<Pair, Account>,
    refusals: Refusals,
    looked: WallMicros,
    near: Vec<Finding>,
    forgotten: u64,
}

impl Limits {
    pub fn new(options: &Options) -> Self {
        let (accounts, refusals) = (HashMap::new(), Refusals::default());
        Self { options: options.clone(), accounts, refusals, looked: 0, near: Vec::new(), forgotten: 0 }
    }

    fn accepted(&mut self, key: PairRef<'_>, at: WallMicros, sender: &str, recipients: u64) {
        let (day, has_login) = (self.options.day, !key.1.is_empty());
        self.with_account(key, at, |account| account.accepted(at, sender, has_login, recipients, day));
    }

    fn with_account(&mut self, key: PairRef<'_>, at: WallMicros, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.accounts.get_mut(&key) {
            return change(account);
        }
        if self.accounts.len() >= MOST_ACCOUNTS {
            self.forgotten += room::make(&mut self.accounts, |it| it.counted.last);
        }
        let mut account = Account::new(at);
        change(&mut account);
        self.accounts.insert(Pair::from(&key), account);
    }

    /// Quotas that are used up, by what the provider says or by what is counted.
    pub fn exhausted(&self, now: WallMicros) -> Vec<Exhausted> {
        let mut all = Vec::new();
        for (key, account) in &self.accounts {
            let limits = account.limits(&key.0, &key.1, &self.options.limits);
            all.extend(account.exhausted(key, &limits, self.options.day, now));
        }
        all
    }

    /// What is used of each quota that is known.
    pub fn uses(&self, now: WallMicros) -> Vec<Use> {
        let day = self.options.day;
        let uses = self.accounts.iter().flat_map(|(key, account)| {
            account.limits(&key.0, &key.1, &self.options.limits).into_iter().map(move |limit| {
                let used = account.counted.used(now, limit.per, day, limit.counts);
                let until = (used >= limit.limit).then(|| room_again(&account.counted, &limit, day, now));
                Use { upstream: key.0.clone(), user: user_of(key), limit, used, until }
            })
        });
        uses.collect()
    }

    fn look(&mut self, now: WallMicros) {
        let mut near = Vec::new();
        for (key, account) in &mut self.accounts {
            if account.counted.last + DAY < now {
                continue;
            }
            let limits = account.limits(&key.0, &key.1, &self.options.limits);
            // What passed while no quota was known is no news of one that is learned later.
            let fresh = account.take_fresh();
            for limit in limits {
                let forecast = forecast(&account.counted, account.usual(limit.counts), &limit, self.options.day, now);
                near.extend(judge_use(&self.options, key, account.counted.last, fresh, &limit, forecast, now));
            }
        }
        near.sort_by(|one, other| one.about.cmp(&other.about));
        self.near = near;
    }

    fn reached(&mut self, now: WallMicros, findings: &mut Findings) {
        let (configured, day, hasty_from) = (&self.options.limits, self.options.day, self.options.rate_refusals);
        for (key, account) in &mut self.accounts {
            let limits = account.limits(&key.0, &key.1, configured);
            if let Some(refused) = account.refused.as_mut().filter(|it| it.evidence.last + 4 * HOUR > now) {
                let about = about(key, refused.per);
                if refused.passed > 0 && now >= refused.evidence.last + OVER {
                    let why = format!("{} accepted since the last refusal", several(refused.passed, "message", "messages"));
                    findings.clear(Anomaly::SendingLimitReached, about, why);
                    account.refused = None;
                } else {
                    let is_counted = !refused.other_span && refused.only_sender(key).is_none();
                    let limit = limits.iter().find(|it| is_counted && it.per == refused.per).copied();
                    let used = limit.map(|limit| account.counted.used(now, limit.per, day, limit.counts)).unwrap_or_default();
                    // A count that never reached the limit says nothing of when there is room.
                    let again = limit.filter(|limit| used >= limit.limit).map(|limit| room_again(&account.counted, &limit, day, now));
                    findings.raise(Finding { about, ..refused.finding(key, limit, again, day, now) });
                }
            }
            if let Some(hasty) = &mut account.hasty {
                let count = hasty.evidence.count(now);
                if count >= hasty_from {
                    findings.raise(hasty.too_fast(key, count, hasty_from));
                } else if count == 0 {
                    account.hasty = None;
                }
            }
        }
    }
}

impl Detector for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(transaction) = seen.transaction else { return };
        let (Some(upstream), false) = (seen.upstream_name(), seen.is_synthetic()) else { return };
        if transaction.direction != Direction::Outbound {
            return;
        }
        let near = matches!(transaction.upstream.kind, UpstreamKind::SmartHost | UpstreamKind::OriginalDestination);
        let sender = transaction.envelope.reverse_path.as_str();
        let user = seen.upstream_user().or(seen.user()).unwrap_or_default();
        let destination = if near { "" } else { seen.upstream.and_then(|it| it.provider.as_deref()).unwrap_or(seen.destination()) };
        if !near {
            self.refusals.tried(upstream, destination, seen.at);
        }
        if near && matches!(transaction.outcome.state, State::Accepted | State::Partial | State::Unknown) {
            let taken = transaction.envelope.recipients.iter().filter(|it| matches!(it.state, State::Accepted | State::Unknown)).count();
            let recipients = taken as u64 + u64::from(transaction.envelope.recipients_cut);
            if recipients > 0 {
                self.accepted(PairRef(upstream, ""), seen.at, sender, recipients);
                if !user.is_empty() {
                    self.accepted(PairRef(upstream, user), seen.at, sender, recipients);
                }
            }
        }
        let Some(cause) = seen.cause().filter(|cause| matches!(cause, Cause::SendingLimitReached | Cause::RateLimited)) else { return };
        if transaction.outcome.by == crate::trace::Actor::Proxy || is_about_connections(seen) {
            return;
        }
        let refused = transaction.envelope.recipients.iter().filter(|it| it.cause == Some(cause));
        let lines = || {
            let of_recipient = transaction.envelope.recipients.iter().find(|it| it.cause == Some(cause));
            of_recipient
                .map_or(transaction.outcome.reply.as_ref(), |it| last_word(transaction, it))
                .map(|it| it.lines.as_slice())
                .unwrap_or_default()
                .iter()
                .map(String::as_str)
        };
        let words = quoted(lines());
        let refusal = Refusal {
            at: seen.at,
            id: seen.id,
            sender,
            count: (refused.count() as u64).max(1),
            said: said::read(lines()),
            words: &words,
            provider: seen.provider(),
        };
        if !near {
            self.refusals.refused(upstream, destination, cause, &refusal);
            return;
        }
        let day = self.options.day;
        self.with_account(PairRef(upstream, user), seen.at, |account| match cause {
            Cause::SendingLimitReached => account.refuse(&refusal, !user.is_empty(), day),
            _ => account.hurry(&refusal),
        });
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        if self.looked > now {
            self.looked = now;
            self.accounts.values_mut().for_each(|account| account.set_back(now));
        }
        self.reached(now, findings);
        self.refusals.judge(now, &self.options, findings);
        if now >= self.looked.saturating_add(LOOK) {
            self.looked = now;
            self.look(now);
            for finding in &self.near {
                findings.raise(finding.clone());
            }
        }
    }

    fn exhausted(&self, now: WallMicros) -> Vec<Exhausted> {
        Limits::exhausted(self, now)
    }

    fn uses(&self, now: WallMicros) -> Vec<Use> {
        Limits::uses(self, now)
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(3, &(&self.accounts, &self.refusals, self.looked))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let former = || {
            let (accounts, refusals, looked) = kept::read::<(HashMap<Pair, FormerAccount>, _, _)>(2, kept)?;
            Some((kept::renewed(accounts), refusals, looked))
        };
        let read = kept::read::<(HashMap<Pair, Account>, _, _)>(3, kept).or_else(former);
        let Some((accounts, refusals, looked)) = read else { return false };
        self.accounts = accounts.into_iter().filter(|(_, account)| account.counted.is_sound()).collect();
        (self.refusals, self.looked) = (refusals, looked);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten + self.refusals.forgotten
    }
}

impl Account {
    /// Whose mail is put off, until when, and why: everybody's by the count, or else as far as the provider refused it.
    fn exhausted(&self, key: &Pair, limits: &[Limit], day: DayBoundary, now: WallMicros) -> Option<Exhausted> {
        let of = |sender, until, reason| Exhausted { upstream: key.0.clone(), user: user_of(key), sender, until, reason };
        let refused = self.refused.as_ref().filter(|it| it.passed == 0 || it.only_sender(key).is_some()).and_then(|it| {
            let sender = it.only_sender(key);
            let limit = limits.iter().find(|limit| limit.per == it.per && !it.other_span && sender.is_none());
            let until = limit.filter(|limit| self.counted.used(now, limit.per, day, limit.counts) >= limit.limit);
            let until = until.map_or(it.evidence.last + it.holds_us, |limit| room_again(&self.counted, limit, day, it.evidence.last));
            let reason = || format!("{} is used up; the provider said: {}", it.quota(), it.words);
            (until > now).then(|| of(sender.map(str::to_owned), until, reason()))
        });
        let by_count = || {
            let full = limits.iter().filter(|limit| limit.learned.is_none_or(|it| it.stated && now < it.at + KEPT_FOR));
            let mut full = full.filter(|limit| self.counted.used(now, limit.per, day, limit.counts) >= limit.limit);
            let reason = |limit: &Limit| format!("{} is used up by the proxy's count", quota(limit));
            // What the provider said to the only one who sends may be his alone.
            let alone = self.senders.only(!key.1.is_empty()).map(str::to_owned);
            full.next().map(|limit| of(limit.learned.and(alone), room_again(&self.counted, limit, day, now), reason(limit)))
        };
        match refused {
            Some(refused) if refused.sender.is_none() => Some(refused),
            refused => by_count().or(refused),
        }
    }
}

impl Refused {
    /// Without a login, one that was refused alone may have used up a quota of his own.
    fn only_sender(&self, key: &Pair) -> Option<&str> {
        self.senders.only(!key.1.is_empty())
    }

    fn quota(&self) -> String {
        if self.other_span { "a quota".to_owned() } else { format!("the {}'s quota", self.per) }
    }

    fn finding(&mut self, key: &Pair, limit: Option<Limit>, again: Option<WallMicros>, day: DayBoundary, now: WallMicros) -> Finding {
        let whose = match self.only_sender(key) {
            Some("") => format!("The null sender at upstream {}", key.0),
            Some(sender) => format!("{sender} at upstream {}", key.0),
            None => whose(key),
        };
        let what = limit.map_or_else(|| self.quota(), |limit| quota(&limit));
        let evidence = &mut self.evidence;
        let summary = format!(
            "{whose} can't send: {what} is used up ({} since {}); the provider says: {}",
            several(evidence.count(now), "refusal", "refusals"),
            clock(evidence.since, now),
            self.words
        );
        let used = format!("the proxy had counted {} in the {} before, {}", number(self.used), self.per, boundary(self.per, day));
        let arithmetic = format!(
            "{} of that kind, {} passed since; one is enough; {used}",
            several(evidence.count(now), "refusal", "refusals"),
            if self.passed == 0 { "none".to_owned() } else { several(self.passed, "message", "messages") }
        );
        let advice = Rules::builtin().advice(Cause::SendingLimitReached, self.provider.as_deref()).to_owned();
        let advice = match (again.filter(|&at| at > now), limit) {
            (Some(at), _) => format!("{advice} By the proxy's count there is room again from {} on.", clock(at, now)),
            (None, Some(limit)) if self.used < limit.limit => {
                format!(
                    "{advice} Not all that counts passed the proxy: something else sends with that account too, or the provider counts otherwise. When there is room again, the provider alone knows."
                )
            }
            (None, _) => advice,
        };
        let (since, last, fresh) = (evidence.since, evidence.last, evidence.take_fresh());
        let mut finding = Finding::new(Anomaly::SendingLimitReached, Severity::Critical, summary, arithmetic)
            .caused(Cause::SendingLimitReached)
            .advising(Cause::SendingLimitReached.act(), advice)
            .evidence(since, last, fresh, evidence.samples());
        finding.baseline = limit.as_ref().map(source);
        finding
    }

    fn too_fast(&mut self, key: &Pair, count: u64, threshold: u64) -> Finding {
        let summary = format!(
            "{} sends too fast for the provider: {} within 10 min; it says: {}",
            whose(key),
            several(count, "refusal", "refusals"),
            self.words
        );
        let arithmetic = format!(
            "{} for the rate within 10 min, threshold {threshold}; {} passed since the last one",
            several(count, "refusal", "refusals"),
            several(self.passed, "message", "messages")
        );
        let advice = Rules::builtin().advice(Cause::RateLimited, self.provider.as_deref());
        let mut finding = Finding::new(Anomaly::RateLimited, Severity::Warning, summary, arithmetic)
            .caused(Cause::RateLimited)
            .advising(Cause::RateLimited.act(), advice)
            .evidence(self.evidence.since, self.evidence.last, self.evidence.take_fresh(), self.evidence.samples());
        finding.about = about_account(key);
        finding
    }
}

/// Whether a quota's use is worth a word. `last`: when something was last sent; `fresh`: messages since the look before.
fn judge_use(
    options: &Options,
    key: &Pair,
    last: WallMicros,
    fresh: u64,
    limit: &Limit,
    forecast: Forecast,
    now: WallMicros,
) -> Option<Finding> {
    let percent = forecast.used.saturating_mul(100) / limit.limit.max(1);
    let soon = forecast.used_up.is_some_and(|at| at <= now + options.warn_ahead_us.min(if limit.per == Period::Hour { HOUR } else { DAY }));
    let much = percent >= u64::from(options.warn_percent);
    if !(much || soon && percent >= u64::from(options.forecast_percent)) {
        return None;
    }
    let (whole, per) = (quota(limit), limit.per);
    let whose = whose(key);
    let when = match forecast.used_up {
        Some(at) if at <= now => "it is used up".to_owned(),
        Some(at) => format!("at this rate the {} a {per} are used up at {}", number(limit.limit), clock(at, now)),
        None => format!("at this rate it lasts for the {per}"),
    };
    let summary = format!("{whose} has used {} of {whole}; {when}", number(forecast.used));
    let pace = forecast.pace;
    let arithmetic = format!(
        "{} {} used, {}; {:.0} an hour now, {pace}; threshold {} %, or used up within {} h",
        share(forecast.used, limit.limit),
        limit.counts,
        boundary(per, options.day),
        forecast.rate,
        options.warn_percent,
        options.warn_ahead_us / HOUR
    );
    let severity = if forecast.used_up.is_some() { Severity::Warning } else { Severity::Notice };
    let mut finding = Finding::new(Anomaly::SendingLimitNear, severity, summary, arithmetic).caused(Cause::SendingLimitReached).evidence(
        last,
        last,
        fresh,
        Vec::new(),
    );
    finding.about = about(key, per);
    finding.baseline = Some(source(limit));
    finding.advice = "See who sends so much (`relayscope stats`), put off what can wait (newsletters), or raise the plan; \
         if nobody should be sending this, an account is being abused."
        .to_owned();
    Some(finding)
}

/// Too many connections are another matter than too much mail.
fn is_about_connections(seen: &Seen<'_>) -> bool {
    seen.reply_lines().any(crate::anomaly::upstream::names_connections)
}

fn user_of(key: &Pair) -> Option<String> {
    (!key.1.is_empty()).then(|| key.1.clone())
}

fn about_account(key: &Pair) -> Vec<About> {
    let mut about = vec![About { kind: AboutKind::Upstream, value: key.0.clone() }];
    about.extend(user_of(key).map(|value| About { kind: AboutKind::User, value }));
    about
}

fn about(key: &Pair, per: Period) -> Vec<About> {
    let mut about = about_account(key);
    about.push(About { kind: AboutKind::Period, value: per.word().to_owned() });
    about
}

fn whose(key: &Pair) -> String {
    if key.1.is_empty() { format!("Upstream {}", key.0) } else { format!("{} at upstream {}", key.1, key.0) }
}

fn quota(limit: &Limit) -> String {
    format!("the quota of {} {} a {}", number(limit.limit), limit.counts, limit.per)
}

/// How the quota is known.
fn source(limit: &Limit) -> String {
    match limit.learned {
        None => format!("{}, as configured", quota(limit)),
        Some(it) if it.stated => format!("{}, as the provider's reply of {} says", quota(limit), date(it.at)),
        Some(it) => format!("{}, learned: so much was used when the provider refused on {}", quota(limit), date(it.at)),
    }
}

fn boundary(per: Period, day: DayBoundary) -> &'static str {
    match (per, day) {
        (Period::Hour, _) => "over the last 60 min",
        (Period::Day, DayBoundary::Rolling) => "over the last 24 h",
        (Period::Day, DayBoundary::Utc) => "since midnight UTC",
    }
}
