//! What is left out of an event that would be too big, in which order, and that it is said.

/// Octets of an event where nothing else is configured.
pub const DEFAULT_EVENT: usize = 64 * 1024;
/// Less than this can't be asked for: the smallest event of each format fits.
pub const LEAST_EVENT: usize = 1024;

/// What was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The dialogue.
    Timeline,
    /// What the upstream offers, what DNS said, hosts that were tried, recipients of a report, signatures.
    Detail,
    /// Items of lists: recipients, samples.
    Items,
    /// The ends of texts.
    Text,
    /// Everything that isn't needed to find the record by its id.
    Rest,
}

impl Part {
    pub const ALL: [Self; 5] = [Self::Timeline, Self::Detail, Self::Items, Self::Text, Self::Rest];

    pub fn word(self) -> &'static str {
        match self {
            Self::Timeline => "timeline",
            Self::Detail => "detail",
            Self::Items => "items",
            Self::Text => "text",
            Self::Rest => "rest",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts(u8);

impl Parts {
    pub fn add(&mut self, part: Part) {
        self.0 |= part.bit();
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Part::ALL.into_iter().filter(move |part| self.0 & part.bit() != 0).map(Part::word)
    }
}

/// How much of a record goes into its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub timeline: bool,
    pub detail: bool,
    /// Items of one list.
    pub items: usize,
    /// Octets of one text, before it is escaped.
    pub text: usize,
    /// Whether there is more than id, kind and time.
    pub rest: bool,
}

/// Tried in this order until the event fits.
pub const LEVELS: [Bounds; 7] = [
    Bounds { timeline: true, detail: true, items: 1_000, text: usize::MAX, rest: true },
    Bounds { timeline: false, detail: true, items: 1_000, text: usize::MAX, rest: true },
    Bounds { timeline: false, detail: false, items: 1_000, text: 8_192, rest: true },
    Bounds { timeline: false, detail: false, items: 50, text: 1_024, rest: true },
    Bounds { timeline: false, detail: false, items: 10, text: 256, rest: true },
    // No word, id, time, digest or address is longer than that.
    Bounds { timeline: false, detail: false, items: 1, text: 64, rest: true },
    Bounds { timeline: false, detail: false, items: 0, text: 64, rest: false },
];
