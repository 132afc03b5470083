//! All detectors and the book, driven by the records' own time.

use super::book::Book;
use super::detector::Detector;
use super::dns_watch::DnsWatch;
use super::finding::Findings;
use super::limits::{Exhausted, Limits, Use};
use super::options::Options;
use super::protocol::gap::{self, Loss};
use super::seen::Seen;
use super::window::{MINUTE, SECOND};
use crate::trace::{AuditEvent, Incident, IncidentStep, Record, WallMicros};

/// Judgements are that far apart.
const EVERY: WallMicros = 10 * SECOND;
/// After a longer pause without records, judgements in between would find nothing that the next one doesn't: at most so many are made up for.
const MOST_MADE_UP: u64 = 8_640;
/// The book's name in what is kept.
const BOOK: &str = "book";
const DNS: &str = "dns_watch";
/// The time of the last judgement.
const TIME: &str = "time";
/// After a longer pause than that, judging goes on with what comes, not with what was.
const PAUSE: WallMicros = 60 * SECOND;
/// A clock that is so much earlier than the latest record was set back: records come a few seconds late at most.
const SET_BACK: WallMicros = MINUTE;

/// Follows the records and says which incidents open, change and end.
pub struct Watch {
    detectors: Vec<Box<dyn Detector>>,
    pub book: Book,
    pub dns: DnsWatch,
    /// Records are being lost: no record can tell.
    pub loss: Option<Loss>,
    findings: Findings,
    /// The latest time seen.
    now: WallMicros,
    judged: WallMicros,
    /// State was taken back, and nothing has come since.
    resumed: bool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("detectors", &self.detectors.len()).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Watch {
    pub fn new(options: &Options, book: Book) -> Self {
        Self {
            detectors: detectors(options),
            book,
            dns: DnsWatch::new(options.dns.clone()),
            loss: None,
            findings: Findings::default(),
            now: 0,
            judged: 0,
            resumed: false,
        }
    }

    /// With these detectors only.
    pub fn with(detectors: Vec<Box<dyn Detector>>, book: Book) -> Self {
        let dns = DnsWatch::new(super::dns_watch::Options { enabled: false, ..Default::default() });
        Self { detectors, book, dns, loss: None, findings: Findings::default(), now: 0, judged: 0, resumed: false }
    }

    /// Takes notice of a record; judges first what came before it, if it is time. What comes of that is appended to `entries`.
    pub fn observe(&mut self, record: &Record, entries: &mut Vec<Incident>) {
        if let Record::Incident(entry) = record {
            // Read again after a crash it comes before anything that makes its time pass: judged first, it isn't counted twice.
            if !matches!(entry.step, IncidentStep::Muted | IncidentStep::Unmuted) {
                self.tick(entry.at, entries);
            }
            return self.book.learn(entry);
        }
        let seen = Seen::of(record);
        // While the proxy was down nothing passed, and nobody is missed: that must be known before that time is judged.
        let began = matches!(record, Record::Audit(audit) if matches!(audit.event, AuditEvent::Started | AuditEvent::Crashed));
        if began {
            self.notice(&seen);
        }
        // Another server's log has another server's time, and an amendment may be of whenever.
        if !matches!(record, Record::Log(_) | Record::Amendment(_)) {
            self.tick(seen.at, entries);
        }
        if !began {
            self.notice(&seen);
        }
    }

    fn notice(&mut self, seen: &Seen<'_>) {
        for detector in &mut self.detectors {
            detector.observe(seen);
        }
        self.dns.observe(seen);
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: WallMicros, entries: &mut Vec<Incident>) {
        if self.resumed && now > self.judged.saturating_add(PAUSE) {
            self.judged = 0;
        }
        self.resumed = false;
        if self.judged == 0 {
            // The same moments in every run: what is judged again after a crash is the same, down to its ids.
            self.judged = now - now % EVERY;
        }
        self.now = self.now.max(now);
        let earliest = self.now.saturating_sub(MOST_MADE_UP * EVERY);
        self.judged = self.judged.max(earliest - earliest % EVERY);
        while self.judged + EVERY <= self.now {
            self.judged += EVERY;
            self.judge(entries);
        }
    }

    /// Judges what the last records brought, where nothing more will come.
    pub fn end(&mut self, entries: &mut Vec<Incident>) {
        self.tick(self.now.saturating_add(EVERY), entries);
    }

    /// Lets time pass by a wall clock, which may have been set back: then it is judged by the new time, and detectors see by it.
    pub fn tick_by_wall_clock(&mut self, now: WallMicros, entries: &mut Vec<Incident>) {
        if self.now > now.saturating_add(SET_BACK) {
            (self.now, self.judged) = (now, now - now % EVERY);
        }
        self.tick(now, entries);
    }

    fn judge(&mut self, entries: &mut Vec<Incident>) {
        for detector in &mut self.detectors {
            detector.judge(self.judged, &mut self.findings);
        }
        self.dns.judge(self.judged, &mut self.findings);
        if let Some(loss) = &self.loss {
            self.findings.raise(gap::at_present(loss, self.judged));
        }
        self.book.enter(self.judged, &mut self.findings, entries);
    }

    /// Quotas of upstreams and accounts that are used up: what is sent now will be refused.
    pub fn exhausted(&self, now: WallMicros) -> Vec<Exhausted> {
        self.detectors.iter().flat_map(|detector| detector.exhausted(now)).collect()
    }

    /// Keys that had to go because a table was full, by the detectors' names; those with none are left out.
    pub fn forgotten(&self) -> Vec<(&'static str, u64)> {
        let all = self.detectors.iter().map(|detector| (detector.name(), detector.forgotten()));
        all.chain([(DNS, self.dns.forgotten)]).filter(|(_, count)| *count > 0).collect()
    }

    /// What is used of each quota that is known.
    pub fn uses(&self, now: WallMicros) -> Vec<Use> {
        self.detectors.iter().flat_map(|detector| detector.uses(now)).collect()
    }

    /// What must outlive the process, by the detectors' names, and the book.
    pub fn keep(&self) -> Vec<(String, Vec<u8>)> {
        let kept = self.detectors.iter().map(|detector| (detector.name().to_owned(), detector.keep()));
        let time = super::kept::write(1, &(self.now, self.judged));
        kept.chain([(BOOK.to_owned(), self.book.keep()), (DNS.to_owned(), self.dns.keep()), (TIME.to_owned(), time)])
            .filter(|(_, octets)| !octets.is_empty())
            .collect()
    }

    /// Takes it back. Gives the names of those who couldn't read theirs.
    pub fn restore(&mut self, kept: &[(String, Vec<u8>)]) -> Vec<&'static str> {
        let mut failed = Vec::new();
        for detector in &mut self.detectors {
            let octets = kept.iter().find(|(name, _)| name == detector.name());
            if octets.is_some_and(|(_, octets)| !detector.restore(octets)) {
                failed.push(detector.name());
            }
        }
        if let Some((_, octets)) = kept.iter().find(|(name, _)| name == TIME) {
            match super::kept::read(1, octets) {
                Some((now, judged)) => (self.now, self.judged, self.resumed) = (now, judged, true),
                None => failed.push(TIME),
            }
        }
        if kept.iter().any(|(name, octets)| name == DNS && !self.dns.restore(octets)) {
            failed.push(DNS);
        }
        if kept.iter().any(|(name, octets)| name == BOOK && !self.book.restore(octets)) {
            failed.push(BOOK);
        }
        failed
    }
}

/// Every detector there is.
fn detectors(options: &Options) -> Vec<Box<dyn Detector>> {
    let mut detectors: Vec<Box<dyn Detector>> = vec![Box::new(super::volume::Volume::new(options.volume.clone()))];
    detectors.extend(super::flow::detectors(&options.flow));
    detectors.extend(super::peers::detectors(&options.peers));
    detectors.extend(super::protocol::detectors(&options.protocol));
    detectors.push(Box::new(Limits::new(&options.limits)));
    detectors.extend(super::auth::detectors(&options.auth));
    detectors.extend(super::reputation::detectors(&options.reputation));
    detectors.extend(super::upstream::detectors(&options.upstream));
    detectors.extend(super::own::detectors());
    detectors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::book;
    use crate::anomaly::samples::{MONDAY, id, mail, origin};
    use crate::anomaly::volume::Volume;
    use crate::anomaly::window::{DAY, HOUR};
    use crate::trace::{Anomaly, Audit, Gap, Severity};

    fn watch() -> Watch {
        Watch::with(vec![Box::new(Volume::new(Default::default()))], Book::new(book::Options::default(), origin()))
    }

    /// One message a minute for so long; what was opened meanwhile.
    fn mail_until(watch: &mut Watch, from: WallMicros, until: WallMicros) -> Vec<Incident> {
        let mut entries = Vec::new();
        for no in 0..(until - from) / MINUTE {
            watch.observe(&mail(from + no * MINUTE, no + 1).record(), &mut entries);
        }
        entries
    }

    fn started(at: WallMicros, since: WallMicros) -> Record {
        let (event, since) = (AuditEvent::Started, Some(since));
        Record::Audit(Box::new(Audit { id: id(at, 0), at, origin: origin(), event, who: None, since, detail: None }))
    }

    #[test]
    fn nobody_is_missed_while_the_proxy_was_down() {
        let (down, up) = (MONDAY + 15 * DAY, MONDAY + 15 * DAY + 5 * HOUR);
        let mut watch = watch();
        assert_eq!(mail_until(&mut watch, MONDAY, down), []);
        let mut entries = Vec::new();
        watch.observe(&started(up, down), &mut entries);
        watch.tick(up + 5 * MINUTE, &mut entries);
        assert_eq!(entries, []);
        // Whoever stays away afterwards is missed.
        watch.tick(up + HOUR, &mut entries);
        assert!(entries.iter().any(|it| it.step == IncidentStep::Opened), "{entries:?}");
    }

    #[test]
    fn what_was_open_when_the_clock_was_ahead_ends_after_it_is_right_again() {
        let mut watch =
            Watch::with(crate::anomaly::protocol::detectors(&Default::default()), Book::new(book::Options::default(), origin()));
        let mut entries = Vec::new();
        let gap = |at: WallMicros| {
            let why = "the disk is full".to_owned();
            Record::Gap(Gap { id: id(at, 0), from: at, until: at, records_lost: 3, why })
        };
        watch.observe(&gap(MONDAY + 3 * DAY), &mut entries);
        watch.tick(MONDAY + 3 * DAY + MINUTE, &mut entries);
        assert_eq!(entries.iter().map(|it| it.step).collect::<Vec<_>>(), [IncidentStep::Opened]);
        // Twenty minutes back, and then the rest: both are noticed.
        watch.tick_by_wall_clock(MONDAY + 3 * DAY - 20 * MINUTE, &mut entries);
        assert_eq!(watch.judged, MONDAY + 3 * DAY - 20 * MINUTE);
        for minute in 0..180 {
            watch.tick_by_wall_clock(MONDAY + minute * MINUTE, &mut entries);
        }
        assert_eq!(entries.last().map(|it| it.step), Some(IncidentStep::Resolved), "{entries:?}");
        assert!(watch.book.open().is_empty());
    }

    #[test]
    fn a_loss_that_no_record_tells_of_is_an_incident_and_the_gap_record_goes_on_with_it() {
        let detectors = crate::anomaly::protocol::detectors(&Default::default());
        let mut watch = Watch::with(detectors, Book::new(book::Options::default(), origin()));
        let (mut entries, why) = (Vec::new(), "the disk is full".to_owned());
        watch.tick(MONDAY, &mut entries);
        watch.loss = Some(Loss { since: MONDAY, why: why.clone() });
        watch.tick(MONDAY + MINUTE, &mut entries);
        let told = entries.iter().map(|it| (it.anomaly, it.severity, it.step)).collect::<Vec<_>>();
        assert_eq!(told, [(Anomaly::TracingGap, Severity::Critical, IncidentStep::Opened)]);
        watch.loss = None;
        let until = MONDAY + 2 * MINUTE;
        watch.observe(&Record::Gap(Gap { id: id(until, 0), from: MONDAY, until, records_lost: 3, why }), &mut entries);
        watch.tick(MONDAY + 3 * HOUR, &mut entries);
        assert!(entries.iter().all(|it| it.incident == entries[0].incident), "{entries:?}");
        assert_eq!(entries.last().map(|it| it.step), Some(IncidentStep::Resolved), "{entries:?}");
    }

    #[test]
    fn an_entry_that_is_read_again_is_not_counted_twice() {
        let origin = origin();
        let new =
            || Watch::with(crate::anomaly::protocol::detectors(&Default::default()), Book::new(book::Options::default(), origin.clone()));
        let why = "the disk is full".to_owned();
        let gap = Record::Gap(Gap { id: id(MONDAY, 0), from: MONDAY, until: MONDAY, records_lost: 3, why });
        let (mut watch, mut entries) = (new(), Vec::new());
        watch.tick(MONDAY, &mut entries);
        let kept = watch.keep();
        watch.observe(&gap, &mut entries);
        watch.tick(MONDAY + MINUTE, &mut entries);
        let count = watch.book.open().iter().map(|it| it.count).collect::<Vec<_>>();
        // The process that comes after a crash reads both from the journal.
        let (mut next, mut again) = (new(), Vec::new());
        next.restore(&kept);
        next.observe(&gap, &mut again);
        for entry in &entries {
            next.observe(&Record::Incident(Box::new(entry.clone())), &mut again);
        }
        next.tick(MONDAY + MINUTE, &mut again);
        assert_eq!(again, entries);
        assert_eq!(next.book.open().iter().map(|it| it.count).collect::<Vec<_>>(), count);
    }

    #[test]
    fn judgements_keep_to_the_clock_after_days_without_a_record() {
        let mut watch = watch();
        watch.tick(MONDAY + 3 * SECOND, &mut Vec::new());
        watch.tick(MONDAY + 3 * DAY + 7 * SECOND, &mut Vec::new());
        assert_eq!(watch.judged, MONDAY + 3 * DAY);
    }
}
