//! CEF, version 0: `CEF:0|Relayscope|Relayscope|0.1.0|transaction.rejected|Message rejected|6|rt=… src=…`.
//!
//! After ArcSight's guide: in the header `\` and `|` are escaped, in values `\`, `=` and line breaks; keys and their greatest lengths are
//! the dictionary's. Version 0 has `src` and `dst` for IPv4 only; IPv6 addresses stand in `c6a2` and `c6a3` with the labels that the guide
//! gives them.

use std::fmt::Display;
use std::io::Write;

use super::bounds::{Bounds, Part, Parts};
use super::flat::{self, Cef, Field, Fields};
use super::inert;
use super::view::View;

pub fn write(out: &mut Vec<u8>, view: &View<'_>, bounds: Bounds) {
    out.extend_from_slice(b"CEF:0");
    let context = view.context;
    for part in [&context.vendor, &context.product, &context.version, view.named.msgid, view.named.name] {
        out.push(b'|');
        inert::cef_header(out, inert::cut(part, 63));
    }
    let _ = write!(out, "|{}|rt={}", view.named.severity.of_ten(), view.at() / 1_000);
    let mut pairs = Pairs { out, bounds, cut: Parts::default() };
    flat::within(bounds, view, &mut pairs, |pairs| &mut pairs.cut);
}

struct Pairs<'o> {
    out: &'o mut Vec<u8>,
    bounds: Bounds,
    cut: Parts,
}

impl Pairs<'_> {
    /// Begins a pair; says how many octets its value may have.
    fn begin(&mut self, field: Field) -> Option<usize> {
        let (key, label, most) = match field.cef {
            Cef::Key(key, most) => (key, None, most),
            Cef::Slot(key, label, most) => (key, Some(label), most),
            Cef::No => return None,
        };
        if let Some(label) = label {
            let _ = write!(self.out, " {key}Label={label}");
        }
        let _ = write!(self.out, " {key}=");
        Some(most.min(self.bounds.text))
    }
}

impl Fields for Pairs<'_> {
    fn text(&mut self, field: Field, text: &str) {
        let Some(most) = self.begin(field) else { return };
        let kept = inert::cut(text, most);
        if kept.len() < text.len() {
            self.cut.add(Part::Text);
        }
        inert::cef_value(self.out, kept);
    }

    fn shown(&mut self, field: Field, value: impl Display) {
        let before = self.out.len();
        if self.begin(field).is_none() {
            return;
        }
        let from = self.out.len();
        let _ = write!(self.out, "{value}");
        // IPv6 has keys of its own.
        let six = (field == flat::SOURCE_IP || field == flat::DESTINATION_IP) && self.out.iter().skip(from).any(|&octet| octet == b':');
        if six {
            self.out.truncate(before);
            let (key, label) = match field == flat::SOURCE_IP {
                true => ("c6a2", "Source IPv6 Address"),
                false => ("c6a3", "Destination IPv6 Address"),
            };
            let _ = write!(self.out, " {key}Label={label} {key}={value}");
        }
    }

    fn number(&mut self, field: Field, number: u64) {
        // CEF's numbers are signed: 64 bits in slots, 32 elsewhere.
        let most = if matches!(field.cef, Cef::Slot(..)) { i64::MAX as u64 } else { i32::MAX as u64 };
        self.shown(field, number.min(most));
    }

    fn list<'t>(&mut self, field: Field, items: impl IntoIterator<Item = &'t str>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        let Some(most) = self.begin(field) else { return };
        let mut taken = 0;
        for (at, item) in items.enumerate() {
            let comma = usize::from(at > 0);
            if at == self.bounds.items || (at > 0 && taken + comma + item.len() > most) {
                self.cut.add(Part::Items);
                break;
            }
            if at > 0 {
                self.out.push(b',');
            }
            let kept = inert::cut(item, most);
            if kept.len() < item.len() {
                self.cut.add(Part::Text);
            }
            inert::cef_value(self.out, kept);
            taken += comma + kept.len();
        }
    }
}
