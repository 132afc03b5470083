//! Writes one JSON object straight into octets: no tree is built, no empty object or list stands in it, and texts are bounded.

use std::fmt::Display;
use std::io::Write;

use super::bounds::{Bounds, Part, Parts};
use super::inert;
use crate::trace::WallMicros;
use crate::trace::json::Time;

/// An object that is being written.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    bounds: Bounds,
    cut: &'o mut Parts,
    empty: bool,
}

/// Writes an object, and says what didn't fit.
pub fn object(out: &mut Vec<u8>, bounds: Bounds, write: impl FnOnce(&mut Object<'_>)) {
    let mut cut = Parts::default();
    out.push(b'{');
    write(&mut Object { out, bounds, cut: &mut cut, empty: true });
    out.push(b'}');
}

impl Object<'_> {
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Notes that something is left out.
    pub fn lose(&mut self, part: Part) {
        self.cut.add(part);
    }

    /// What was left out so far.
    pub fn lost(&self) -> Parts {
        *self.cut
    }

    /// Keys are ours and need no escape.
    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn string(&mut self, text: &str) {
        let kept = inert::cut(text, self.bounds.text);
        if kept.len() < text.len() {
            self.cut.add(Part::Text);
        }
        self.out.push(b'"');
        inert::json(self.out, kept);
        self.out.push(b'"');
    }

    pub fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    /// Nothing is written of what is unknown.
    pub fn maybe(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// Of words, ids, addresses: what needs neither escape nor bound.
    pub fn shown(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.out, "\"{value}\"");
    }

    pub fn maybe_shown(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.shown(key, value);
        }
    }

    pub fn number(&mut self, key: &str, number: impl Into<u64>) {
        self.key(key);
        let _ = write!(self.out, "{}", number.into());
    }

    pub fn maybe_number(&mut self, key: &str, number: Option<impl Into<u64>>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    pub fn truth(&mut self, key: &str, truth: bool) {
        self.key(key);
        self.out.extend_from_slice(if truth { b"true" } else { b"false" });
    }

    pub fn time(&mut self, key: &str, at: WallMicros) {
        self.shown(key, Time(at));
    }

    /// A number as it is to be read, such as `1795428131.123`.
    pub fn literal(&mut self, key: &str, number: impl Display) {
        self.key(key);
        let _ = write!(self.out, "{number}");
    }

    /// An object within; left out if nothing is in it.
    pub fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        let (before, empty) = (self.out.len(), self.empty);
        self.key(key);
        self.out.push(b'{');
        let mut within = Object { out: self.out, bounds: self.bounds, cut: self.cut, empty: true };
        write(&mut within);
        let nothing = within.empty;
        self.out.push(b'}');
        if nothing {
            self.out.truncate(before);
            self.empty = empty;
        }
    }

    /// A list of texts, bounded; left out if it is empty.
    pub fn texts<'t>(&mut self, key: &str, texts: impl IntoIterator<Item = &'t str>) {
        self.items(key, texts, |object, text| object.string(text));
    }

    /// A list of words of ours, whole.
    pub fn words(&mut self, key: &str, words: impl IntoIterator<Item = &'static str>) {
        let bounds = self.bounds;
        self.bounds.items = usize::MAX;
        self.texts(key, words);
        self.bounds = bounds;
    }

    /// A list of objects, bounded; left out if it is empty.
    pub fn objects<T>(&mut self, key: &str, of: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Object<'_>, T)) {
        self.items(key, of, |object, item| {
            object.out.push(b'{');
            write(&mut Object { out: object.out, bounds: object.bounds, cut: object.cut, empty: true }, item);
            object.out.push(b'}');
        });
    }

    fn items<T>(&mut self, key: &str, of: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        let (before, empty) = (self.out.len(), self.empty);
        self.key(key);
        self.out.push(b'[');
        let mut count = 0;
        for item in of {
            if count == self.bounds.items {
                self.cut.add(Part::Items);
                break;
            }
            if count > 0 {
                self.out.push(b',');
            }
            write(self, item);
            count += 1;
        }
        self.out.push(b']');
        if count == 0 {
            self.out.truncate(before);
            self.empty = empty;
        }
    }
}
