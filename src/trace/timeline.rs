//! The dialogue of both legs on one clock, redacted and bounded: packed into one run of octets while it goes on, because there is a line
//! for every command and reply of every message.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::kinds::{Flow, Leg};
use super::leb128;
use super::packed::Packed;

/// Every command and reply of both legs, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Stored")]
pub struct Timeline {
    /// A line: head octet, µs since the line before (LEB128), octets of text (LEB128), text in UTF-8.
    packed: Packed,
    lines: u32,
    /// Lines that did not fit.
    pub cut: u32,
    /// Time of the last line.
    last_us: u64,
    dropped: bool,
}

/// What is stored of it: the rest follows from the lines.
#[derive(Deserialize)]
struct Stored {
    packed: Packed,
    cut: u32,
}

impl Serialize for Timeline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut stored = serializer.serialize_struct("Timeline", 2)?;
        match self.dropped {
            true => stored.serialize_field("packed", &Packed(vec![DROPPED]))?,
            false => stored.serialize_field("packed", &self.packed)?,
        }
        stored.serialize_field("cut", &self.cut)?;
        stored.end()
    }
}

impl From<Stored> for Timeline {
    fn from(Stored { packed, cut }: Stored) -> Self {
        if packed.0 == [DROPPED] {
            return Self { cut, ..Self::dropped() };
        }
        let (mut lines, mut last_us) = (0u32, 0u64);
        let mut rest = packed.0.as_slice();
        while let Some((head, since, _, behind)) = next(rest) {
            lines = lines.saturating_add(if head & RELAYED == 0 { 1 } else { 2 });
            last_us = last_us.saturating_add(since);
            rest = behind;
        }
        Self { packed, lines, cut, last_us, dropped: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Since the session's start.
    pub t_us: u64,
    pub leg: Leg,
    pub flow: Flow,
    pub text: &'a str,
}

/// Octets that the dialogue of a message with one recipient takes.
const USUAL: usize = 512;
/// Bits of a line's head.
const UPSTREAM: u8 = 1;
const OUT: u8 = 2;
/// It also went out on the other leg, at the same moment, as it was: kept once, shown as two lines.
const RELAYED: u8 = 4;
/// Stands alone for a dialogue that was dropped before its record was exported and imported: no line, for builds that don't know it either.
const DROPPED: u8 = 0xFF;

impl Timeline {
    /// Stands for a dialogue that is no longer kept, though its record is.
    pub fn dropped() -> Self {
        Self { dropped: true, ..Self::default() }
    }

    pub fn is_dropped(&self) -> bool {
        self.dropped
    }

    /// Octets that postcard makes of it.
    pub(super) fn stored_octets(&self) -> usize {
        let packed = if self.dropped { 1 } else { self.packed.0.len() };
        leb128::octets(packed as u64) + packed + leb128::octets(u64::from(self.cut))
    }

    /// Adds a line.
    pub fn push(&mut self, t_us: u64, leg: Leg, flow: Flow, text: &str) {
        let head = if leg == Leg::Upstream { UPSTREAM } else { 0 } | if flow == Flow::Out { OUT } else { 0 };
        self.pack(head, t_us, text);
        self.lines += 1;
    }

    /// Adds what came in on one leg and went out on the other as it was: two lines.
    pub fn push_relayed(&mut self, t_us: u64, from: Leg, text: &str) {
        let head = if from == Leg::Upstream { UPSTREAM } else { 0 } | RELAYED;
        self.pack(head, t_us, text);
        self.lines += 2;
    }

    fn pack(&mut self, head: u8, t_us: u64, text: &str) {
        let octets = &mut self.packed.0;
        if octets.capacity() == 0 {
            octets.reserve(USUAL);
        }
        octets.push(head);
        // The clock of a session doesn't run backwards; where it seems to, the line stands at the moment of the one before.
        leb128::put(octets, t_us.saturating_sub(self.last_us));
        leb128::put(octets, text.len() as u64);
        octets.extend_from_slice(text.as_bytes());
        self.last_us = self.last_us.max(t_us);
    }

    /// Octets that it takes.
    pub fn octets(&self) -> usize {
        self.packed.0.len()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines as usize
    }

    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut rest = self.packed.0.as_slice();
        let mut t_us = 0u64;
        let mut second = None;
        std::iter::from_fn(move || {
            if let Some(line) = second.take() {
                return Some(line);
            }
            let (head, since, text, behind) = next(rest)?;
            let text = std::str::from_utf8(text).ok()?;
            rest = behind;
            t_us = t_us.saturating_add(since);
            let (leg, other) = if head & UPSTREAM == 0 { (Leg::Client, Leg::Upstream) } else { (Leg::Upstream, Leg::Client) };
            let flow = if head & OUT == 0 { Flow::In } else { Flow::Out };
            second = (head & RELAYED != 0).then_some(Line { t_us, leg: other, flow: Flow::Out, text });
            Some(Line { t_us, leg, flow, text })
        })
    }
}

/// The first of some lines: head, µs since the line before, text; and the lines behind it.
fn next(lines: &[u8]) -> Option<(u8, u64, &[u8], &[u8])> {
    let (&head, behind) = lines.split_first()?;
    let (since, behind) = leb128::read(behind)?;
    let (length, behind) = leb128::read(behind)?;
    let (text, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
    Some((head, since, text, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_relayed_is_kept_once_and_shown_twice() {
        let mut timeline = Timeline::default();
        timeline.push_relayed(300, Leg::Client, "EHLO a.example");
        timeline.push(900, Leg::Client, Flow::Out, "250 ok");
        let line = |t_us, leg, flow, text| Line { t_us, leg, flow, text };
        let lines: Vec<_> = timeline.lines().collect();
        assert_eq!(
            lines,
            [
                line(300, Leg::Client, Flow::In, "EHLO a.example"),
                line(300, Leg::Upstream, Flow::Out, "EHLO a.example"),
                line(900, Leg::Client, Flow::Out, "250 ok"),
            ]
        );
        assert_eq!(timeline.len(), 3);
    }

    #[test]
    fn a_dropped_dialogue_is_stored_as_such() {
        let dropped = Timeline { cut: 3, ..Timeline::dropped() };
        let stored = postcard::to_stdvec(&dropped).unwrap();
        assert_eq!(stored.len(), dropped.stored_octets());
        assert_eq!(postcard::from_bytes::<Timeline>(&stored).unwrap(), dropped);
        assert_eq!(dropped.lines().count(), 0);
    }

    proptest! {
        #[test]
        fn lines_come_back(pushed in prop::collection::vec((any::<u32>(), any::<bool>(), any::<bool>(), ".{0,300}"), 0..20)) {
            let mut timeline = Timeline::default();
            let mut t_us = 0u64;
            let mut expected = Vec::new();
            for (since, upstream, out, text) in &pushed {
                t_us += u64::from(*since);
                let (leg, flow) = (if *upstream { Leg::Upstream } else { Leg::Client }, if *out { Flow::Out } else { Flow::In });
                timeline.push(t_us, leg, flow, text);
                expected.push(Line { t_us, leg, flow, text: text.as_str() });
            }
            prop_assert_eq!(timeline.lines().collect::<Vec<_>>(), expected);
            timeline.cut = pushed.len() as u32 * 77;
            let stored = postcard::to_stdvec(&timeline).unwrap();
            prop_assert_eq!(stored.len(), timeline.stored_octets());
            prop_assert_eq!(postcard::from_bytes::<Timeline>(&stored).unwrap(), timeline);
        }

        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let timeline = Timeline::from(Stored { packed: Packed(octets), cut: 0 });
            prop_assert!(timeline.lines().count() <= timeline.len());
            prop_assert!(timeline.len() <= 400);
        }
    }
}
