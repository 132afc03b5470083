//! From the octets of a log to entries: lines cut, read and completed, what can't be read counted and shown.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};
use jiff::tz::TimeZone;

use super::dates::{DateOrder, Dates};
use super::entry::{Entry, Identified, LogEvent};
use super::facts::Verdict;
use super::format::Format;
use super::journal::{self, Cut, Entries};
use super::lines::{Encoding, Line, Lines};
use super::moment::Clock;
use super::quoted::Quoted;
use super::server::Server;
use super::syslog::Message;
use crate::trace::{RecordId, WallMicros};

/// Unreadable lines that are kept to be shown.
const SHOWN: usize = 10;
/// Octets of such a line.
const SHOWN_OCTETS: usize = 300;
/// Lines of one generation of [`Recent`].
const RECENT: usize = 16_384;
/// Octets that show whether this is a journal's export.
const EXPORT_HEAD: usize = 24;

#[derive(Debug, Clone)]
pub struct Options {
    pub format: Format,
    /// Of the times that name none.
    pub zone: TimeZone,
    /// The server, for formats that don't name it.
    pub host: Option<String>,
    /// What is older is left out.
    pub since: Option<WallMicros>,
    /// When the file was last written to: the year of times that name none.
    pub until: WallMicros,
    /// How often its months begin anew ([`super::Turns`]).
    pub turns: i64,
    /// Which of day and month comes first in dates with slashes, if that is known beforehand.
    pub dates: Option<DateOrder>,
    /// Where in the file the octets begin, and its encoding; at a line's beginning.
    pub from: Option<(u64, Encoding)>,
}

impl Options {
    pub fn new(format: Format, zone: TimeZone) -> Self {
        Self { format, zone, host: None, since: None, until: WallMicros::MAX / 2, turns: 0, dates: None, from: None }
    }
}

/// What came of the lines so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    /// Lines that speak of mail.
    pub read: u64,
    /// Lines of something else.
    pub foreign: u64,
    pub unreadable: u64,
    /// Entries by event, in the order of [`LogEvent::ALL`].
    pub events: [u64; LogEvent::ALL.len()],
    /// Entries left out because they are older than asked for.
    pub older: u64,
    /// Queue ids that had to be forgotten: later entries may lack what earlier lines said.
    pub forgotten: u64,
    /// Texts that were cut.
    pub cut: u64,
    /// Dates that were taken to have the month first, because no line had shown it.
    pub guessed: u64,
}

impl Counts {
    pub fn entries(&self) -> u64 {
        self.events.iter().sum()
    }

    pub fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.read += other.read;
        self.foreign += other.foreign;
        self.unreadable += other.unreadable;
        self.events.iter_mut().zip(other.events).for_each(|(sum, it)| *sum += it);
        self.older += other.older;
        self.forgotten += other.forgotten;
        self.cut += other.cut;
        self.guessed += other.guessed;
    }
}

/// A line that can't be read, its beginning as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// From 1, counted from where reading began.
    pub line: u64,
    pub why: &'static str,
    pub text: String,
}

/// Reads the log of one file. Owns neither file nor clock.
#[derive(Debug)]
pub struct Reader {
    framing: Framing,
    inner: Inner,
}

#[derive(Debug)]
enum Framing {
    /// Too little has come to see.
    Undecided(Vec<u8>),
    Lines(Lines),
    Journal(Entries),
}

#[derive(Debug)]
struct Inner {
    format: Format,
    server: Server,
    clock: Clock,
    host: Option<String>,
    since: Option<WallMicros>,
    quoted: Option<Quoted>,
    recent: Recent,
    counts: Counts,
    unreadable: Vec<Unreadable>,
    /// Entries of the line at hand.
    fresh: Vec<Entry>,
}

impl Reader {
    pub fn new(options: Options) -> Self {
        let framing = match options.from {
            Some((at, encoding)) => Framing::Lines(Lines::resume(encoding, at)),
            None if options.format.is_syslog() => Framing::Undecided(Vec::new()),
            None => Framing::Lines(Lines::default()),
        };
        let mut clock = Clock::new(options.zone, options.until, options.turns);
        clock.dates = Dates::new(options.dates);
        let inner = Inner {
            format: options.format,
            server: Server::new(options.format),
            clock,
            host: options.host,
            since: options.since,
            quoted: (options.format == Format::Exchange).then(Quoted::default),
            recent: Recent::default(),
            counts: Counts::default(),
            unreadable: Vec::new(),
            fresh: Vec::new(),
        };
        Self { framing, inner }
    }

    /// For a journal's export that is read on from an entry's beginning.
    pub fn of_export(options: Options, at: u64) -> Self {
        Self { framing: Framing::Journal(Entries::resume(at)), ..Self::new(options) }
    }

    /// Goes on with another file, knowing what it knows. [`Options::from`] is of no account: it is read from its beginning.
    pub fn go_on(&mut self, options: &Options) {
        self.framing = if self.inner.format.is_syslog() { Framing::Undecided(Vec::new()) } else { Framing::Lines(Lines::default()) };
        let dates = self.inner.clock.dates.go_on(options.dates);
        self.inner.clock = Clock::new(options.zone.clone(), options.until, options.turns);
        self.inner.clock.dates = dates;
        // Ids are the same whichever files were read before.
        self.inner.recent = Recent::default();
    }

    /// Learns from the first lines of a file that is read from further on: Exchange names its columns there.
    pub fn prime(&mut self, head: &str) {
        let inner = &mut self.inner;
        for line in head.lines().take_while(|line| line.trim_start_matches('\u{feff}').starts_with('#')) {
            inner.server.read(line.trim_start_matches('\u{feff}'), &mut inner.clock, &mut inner.fresh);
        }
        inner.fresh.clear();
    }

    /// What was read so far shall not count.
    pub fn forget_counts(&mut self) {
        self.inner.counts = Counts::default();
        self.inner.clock.dates.guessed = 0;
        self.inner.unreadable.clear();
    }

    /// Takes octets in, and appends what the lines that are whole say.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<Identified>) {
        let inner = &mut self.inner;
        match &mut self.framing {
            Framing::Undecided(head) => {
                head.extend_from_slice(octets);
                if head.len() >= EXPORT_HEAD {
                    self.decide(out);
                }
            }
            Framing::Lines(lines) => lines.feed(octets, &mut |line| inner.line(line, out)),
            Framing::Journal(entries) => entries.feed(octets, &mut |cut| inner.exported(&cut, out)),
        }
    }

    /// The log ends here: what is left is a line as well.
    pub fn finish(&mut self, out: &mut Vec<Identified>) {
        if matches!(self.framing, Framing::Undecided(_)) {
            self.decide(out);
        }
        let inner = &mut self.inner;
        match &mut self.framing {
            Framing::Undecided(_) => {}
            Framing::Lines(lines) => lines.finish(&mut |line| inner.line(line, out)),
            Framing::Journal(entries) => entries.finish(&mut |cut| inner.exported(&cut, out)),
        }
        let left = inner.quoted.as_mut().map(Quoted::give_up).unwrap_or_default();
        left.into_iter().for_each(|line| inner.record(&line, out));
    }

    fn decide(&mut self, out: &mut Vec<Identified>) {
        let Framing::Undecided(head) = &mut self.framing else { return };
        let head = std::mem::take(head);
        self.framing = if journal::is_export(&head) { Framing::Journal(Entries::default()) } else { Framing::Lines(Lines::default()) };
        self.feed(&head, out);
    }

    /// Up to where all is read: the beginning of the first line that isn't whole.
    pub fn whole_until(&self) -> u64 {
        match &self.framing {
            Framing::Undecided(_) => 0,
            Framing::Lines(lines) => self.inner.quoted.as_ref().and_then(Quoted::start).unwrap_or_else(|| lines.whole_until()),
            Framing::Journal(entries) => entries.whole_until(),
        }
    }

    pub fn counts(&self) -> Counts {
        Counts { forgotten: self.inner.server.forgotten(), guessed: self.inner.clock.dates.guessed, ..self.inner.counts.clone() }
    }

    /// Which of day and month comes first in dates with slashes, as far as the lines have shown it.
    pub fn date_order(&self) -> Option<DateOrder> {
        self.inner.clock.dates.order()
    }

    /// Whether a line had a date with slashes.
    pub fn has_met_dates(&self) -> bool {
        self.inner.clock.dates.met
    }

    /// The first lines that could not be read, since they were last taken.
    pub fn take_unreadable(&mut self) -> Vec<Unreadable> {
        std::mem::take(&mut self.inner.unreadable)
    }
}

impl Inner {
    fn line(&mut self, line: Line<'_>, out: &mut Vec<Identified>) {
        match &mut self.quoted {
            None => self.record(&line, out),
            Some(quoted) => {
                let whole = quoted.take(line);
                whole.iter().for_each(|line| self.record(line, out));
            }
        }
    }

    /// A line, or several that belong together.
    fn record(&mut self, line: &Line<'_>, out: &mut Vec<Identified>) {
        let text = String::from_utf8_lossy(&line.octets);
        let verdict = if line.is_cut {
            Verdict::Unreadable("the line is longer than 1 MiB")
        } else if memchr::memchr(0, &line.octets).is_some() {
            Verdict::Unreadable("there are NUL octets in it")
        } else if text.trim().is_empty() {
            Verdict::Foreign
        } else {
            self.server.read(&text, &mut self.clock, &mut self.fresh)
        };
        self.count(line.number, &line.octets, verdict, out);
    }

    fn exported(&mut self, cut: &Cut<'_>, out: &mut Vec<Identified>) {
        let verdict = match &cut.entry {
            None => Verdict::Unreadable("no whole entry of the journal's export format"),
            Some(entry) => match entry.sent.or(entry.received) {
                None => Verdict::Unreadable("an entry without its time"),
                Some(at) => {
                    let message = Message {
                        at,
                        host: entry.host.as_deref().map(Into::into),
                        program: entry.program.as_deref().unwrap_or_default().into(),
                        text: entry.text.as_deref().unwrap_or_default().into(),
                    };
                    self.server.message(&message, &mut self.clock, &mut self.fresh)
                }
            },
        };
        self.count(cut.number, cut.octets, verdict, out);
    }

    fn count(&mut self, number: u64, octets: &[u8], verdict: Verdict, out: &mut Vec<Identified>) {
        self.counts.lines += 1;
        match verdict {
            Verdict::Read => self.counts.read += 1,
            Verdict::Foreign => self.counts.foreign += 1,
            Verdict::Unreadable(why) => {
                self.counts.unreadable += 1;
                self.fresh.clear();
                if self.unreadable.len() < SHOWN {
                    let octets = octets.get(..SHOWN_OCTETS).unwrap_or(octets);
                    self.unreadable.push(Unreadable { line: number, why, text: String::from_utf8_lossy(octets).into_owned() });
                }
            }
        }
        if !self.fresh.is_empty() {
            self.identify(octets, out);
        }
    }

    /// Gives each entry an id that it will have at every import.
    fn identify(&mut self, octets: &[u8], out: &mut Vec<Identified>) {
        let before = self.recent.count(octets);
        let mut line = blake3::Hasher::new();
        for part in [self.format.word().as_bytes(), b"\0", self.host.as_deref().unwrap_or_default().as_bytes(), b"\0", octets] {
            line.update(part);
        }
        line.update(&before.to_le_bytes());
        for (index, mut entry) in self.fresh.drain(..).enumerate() {
            if self.since.is_some_and(|since| entry.at < since) {
                self.counts.older += 1;
                continue;
            }
            if entry.host.is_none() {
                entry.host.clone_from(&self.host);
            }
            entry.bound();
            self.counts.cut += entry.cut;
            self.counts.events[entry.event as usize] += 1;
            let mut hasher = line.clone();
            hasher.update(&(index as u32).to_le_bytes());
            let mut random = [0; 16];
            random.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
            let id = RecordId::from_parts(entry.at / 1_000, u128::from_le_bytes(random));
            out.push(Identified { id, entry });
        }
    }
}

/// How often a line came before, among the latest. A line holds its time, so that equal ones are of the same moment.
#[derive(Debug, Default)]
struct Recent {
    hasher: DefaultHashBuilder,
    young: HashMap<u64, u32>,
    old: HashMap<u64, u32>,
}

impl Recent {
    fn count(&mut self, octets: &[u8]) -> u32 {
        if self.young.len() >= RECENT {
            self.old = std::mem::take(&mut self.young);
        }
        let hash = self.hasher.hash_one(octets);
        let before = self.old.get(&hash).copied().unwrap_or_default();
        let times = self.young.entry(hash).or_insert(before);
        *times += 1;
        *times - 1
    }
}
