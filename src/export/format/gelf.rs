//! GELF 1.1: one flat JSON object; additional fields begin with `_` and are texts or numbers, and none is `_id`.

use std::fmt::Display;

use super::bounds::{Bounds, Part};
use super::flat::{self, Field, Fields};
use super::inert;
use super::view::View;
use super::writer::{self, Object};

/// Octets of one additional field: Graylog's index takes no exact value above 32,766 octets, and refuses the whole message.
const MOST_TEXT: usize = 8_192;
/// Octets of the line that stands in Graylog's lists.
const MOST_SHORT: usize = 1_024;

pub fn write(out: &mut Vec<u8>, view: &View<'_>, bounds: Bounds) {
    let bounds = Bounds { text: bounds.text.min(MOST_TEXT), ..bounds };
    writer::object(out, bounds, |object| {
        object.text("version", "1.1");
        object.text("host", if bounds.rest { view.node() } else { inert::cut(view.node(), 64) });
        let sentence = if bounds.rest { view.sentence } else { view.named.name };
        // The field must not be empty, and no sentence is.
        let short = inert::cut(sentence, MOST_SHORT);
        if short.len() < sentence.len() {
            object.lose(Part::Text);
        }
        object.text("short_message", short);
        object.literal("timestamp", format_args!("{}.{:03}", view.at() / 1_000_000, view.at() / 1_000 % 1_000));
        object.number("level", view.named.severity.syslog());
        let mut pairs = Pairs { object, name: String::with_capacity(32) };
        match bounds.rest {
            true => {
                flat::facts(view, &mut pairs);
                timeline(object, view);
            }
            false => {
                pairs.object.lose(Part::Rest);
                flat::bare(view, &mut pairs);
            }
        }
        let lost = object.lost();
        if !lost.is_empty() {
            Pairs { object, name: String::new() }.shown(flat::TRUNCATED, super::joined(lost));
        }
    });
}

/// The dialogue is the long message.
fn timeline(object: &mut Object<'_>, view: &View<'_>) {
    let Some(it) = view.dialogue().filter(|it| view.context.timeline && !it.timeline.is_empty()) else { return };
    if !object.bounds().timeline {
        return object.lose(Part::Timeline);
    }
    let lines: Vec<String> = it.timeline.lines().map(|line| format!("{} {} {} {}", line.t_us, line.leg, line.flow, line.text)).collect();
    object.text("full_message", &lines.join("\n"));
}

struct Pairs<'p, 'o> {
    object: &'p mut Object<'o>,
    name: String,
}

impl Pairs<'_, '_> {
    fn named(&mut self, field: Field) -> bool {
        self.name.clear();
        if let Some(name) = field.gelf {
            self.name.push('_');
            self.name.push_str(name);
        }
        field.gelf.is_some()
    }
}

impl Fields for Pairs<'_, '_> {
    fn text(&mut self, field: Field, text: &str) {
        if self.named(field) {
            self.object.text(&self.name, text);
        }
    }

    fn shown(&mut self, field: Field, value: impl Display) {
        if self.named(field) {
            self.object.shown(&self.name, value);
        }
    }

    fn number(&mut self, field: Field, number: u64) {
        if self.named(field) {
            self.object.number(&self.name, number);
        }
    }

    fn list<'t>(&mut self, field: Field, items: impl IntoIterator<Item = &'t str>) {
        let (bounds, mut joined, mut count) = (self.object.bounds(), String::new(), 0);
        for item in items {
            if count == bounds.items || (count > 0 && joined.len() + item.len() > bounds.text) {
                self.object.lose(Part::Items);
                break;
            }
            if count > 0 {
                joined.push(',');
            }
            joined.push_str(item);
            count += 1;
        }
        if count > 0 {
            self.text(field, &joined);
        }
    }
}
