//! LEEF 2.0: `LEEF:2.0|Relayscope|Relayscope|0.1.0|transaction.rejected|x09|devTime=…⇥src=…`.
//!
//! After IBM's guide. Attributes are separated by a tab, which the header declares as `x09`; a tab within a value would be taken for the
//! next attribute and becomes visible instead. QRadar finds an event's name by EventID and `cat`: both are words of ours, never the wire's.

use std::fmt::Display;
use std::io::Write;

use super::bounds::{Bounds, Part, Parts};
use super::flat::{self, Field, Fields};
use super::inert;
use super::view::View;
use crate::trace::json::Time;

/// Octets of one text; QRadar cuts events at 4,096 to 32,000 in all, as it is configured.
const MOST_TEXT: usize = 2_048;
/// How `devTime` is written, as Java's SimpleDateFormat says it; QRadar reads it by this.
const JAVA_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSZ";

pub fn write(out: &mut Vec<u8>, view: &View<'_>, bounds: Bounds) {
    out.extend_from_slice(b"LEEF:2.0");
    let context = view.context;
    for part in [&context.vendor, &context.product, &context.version, view.named.msgid] {
        out.push(b'|');
        inert::leef_header(out, inert::cut(part, 63));
    }
    out.extend_from_slice(b"|x09|devTime=");
    // RFC 3339 down to the millisecond, and the zone as JAVA_FORMAT has it.
    out.extend_from_slice(inert::cut(&Time(view.at()).to_string(), 23).as_bytes());
    out.extend_from_slice(b"+0000");
    let _ = write!(out, "\tdevTimeFormat={JAVA_FORMAT}\tsev={}", view.named.severity.of_ten());
    let mut pairs = Pairs { out, bounds, cut: Parts::default() };
    flat::within(bounds, view, &mut pairs, |pairs| &mut pairs.cut);
}

struct Pairs<'o> {
    out: &'o mut Vec<u8>,
    bounds: Bounds,
    cut: Parts,
}

impl Pairs<'_> {
    fn begin(&mut self, field: Field) -> bool {
        if let Some(key) = field.leef {
            let _ = write!(self.out, "\t{key}=");
        }
        field.leef.is_some()
    }

    fn value(&mut self, text: &str) {
        let kept = inert::cut(text, self.bounds.text.min(MOST_TEXT));
        if kept.len() < text.len() {
            self.cut.add(Part::Text);
        }
        inert::leef_value(self.out, kept);
    }
}

impl Fields for Pairs<'_> {
    fn text(&mut self, field: Field, text: &str) {
        if self.begin(field) {
            self.value(text);
        }
    }

    fn shown(&mut self, field: Field, value: impl Display) {
        if self.begin(field) {
            let _ = write!(self.out, "{value}");
        }
    }

    fn number(&mut self, field: Field, number: u64) {
        self.shown(field, number);
    }

    fn list<'t>(&mut self, field: Field, items: impl IntoIterator<Item = &'t str>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() || !self.begin(field) {
            return;
        }
        let from = self.out.len();
        for (at, item) in items.enumerate() {
            if at == self.bounds.items || self.out.len() - from > MOST_TEXT {
                self.cut.add(Part::Items);
                break;
            }
            if at > 0 {
                self.out.push(b',');
            }
            self.value(item);
        }
    }
}
