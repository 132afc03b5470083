//! Our own JSON: the public shape of the record (`trace::json`), cut down where it is too big.
//!
//! An event that was cut has a list `truncated` of what was cut; the shape's own counts (`timeline_cut`, `recipients_cut`) hold as well.

use std::cell::Cell;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

use super::bounds::{Bounds, Part, Parts};
use super::pieces::{Pieces, Written};
use super::view::View;
use super::{inert, rest, writer};
use crate::trace::json::{self, Record, Word};
use crate::trace::record::{Client, Upstream};
use crate::trace::{self, Flag};

/// Clients and upstreams of the sessions that sent last, written.
#[derive(Debug, Default)]
pub struct Peers {
    clients: Pieces<Client>,
    upstreams: Pieces<Upstream>,
}

pub fn write(out: &mut Vec<u8>, view: &View<'_>, bounds: Bounds, peers: &mut Peers) {
    if !bounds.rest {
        return bare(out, view, bounds);
    }
    let mut cut = Parts::default();
    // Bounds that leave the peers as they are leave what was written of them.
    let peers_whole = bounds.detail && bounds.text == usize::MAX;
    match view.record {
        trace::Record::Transaction(it) if peers_whole => {
            let mut it = json::Transaction::<_, _, &str>::of(it, peers.clients.of(&it.client), peers.upstreams.of(&it.upstream));
            trim_timeline(&mut it.timeline, &mut it.timeline_cut, &mut it.flags, bounds, &mut cut);
            trim_mail(&mut it, bounds, &mut cut);
            object(out, &it, bounds, cut);
        }
        trace::Record::Session(it) if peers_whole => {
            let mut it = json::Session::<_, _, &str>::of(it, peers.clients.of(&it.client), peers.upstreams.of(&it.upstream));
            trim_timeline(&mut it.timeline, &mut it.timeline_cut, &mut it.flags, bounds, &mut cut);
            object(out, &it, bounds, cut);
        }
        record => {
            let mut record = Record::from(record);
            trim(&mut record, bounds, &mut cut);
            object(out, &record, bounds, cut);
        }
    }
}

fn object(out: &mut Vec<u8>, it: &impl Serialize, bounds: Bounds, mut cut: Parts) {
    let lost_text = Cell::new(false);
    // Neither can a Vec refuse octets, nor is there a key that isn't text.
    let _ = it.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Bounded::new(bounds.text, &lost_text)));
    if lost_text.get() {
        cut.add(Part::Text);
    }
    if !cut.is_empty() && out.last() == Some(&b'}') {
        out.pop();
        out.extend_from_slice(b",\"truncated\":[");
        for (at, word) in cut.words().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(out, "{comma}\"{word}\"");
        }
        out.extend_from_slice(b"]}");
    }
}

/// What is left when nothing else fits: enough to ask Relayscope itself.
fn bare(out: &mut Vec<u8>, view: &View<'_>, bounds: Bounds) {
    writer::object(out, bounds, |object| {
        object.number("v", crate::trace::json::VERSION);
        object.shown("id", view.id());
        object.shown("kind", view.record.kind());
        object.text("node", view.node());
        object.time("at", view.at());
        object.shown("event", view.named.msgid);
        object.words("truncated", rest().words());
    });
}

fn trim(record: &mut Record, bounds: Bounds, cut: &mut Parts) {
    let upstream = match record {
        Record::Transaction(it) => {
            trim_timeline(&mut it.timeline, &mut it.timeline_cut, &mut it.flags, bounds, cut);
            trim_mail(it, bounds, cut);
            &mut it.upstream
        }
        Record::Session(it) => {
            trim_timeline(&mut it.timeline, &mut it.timeline_cut, &mut it.flags, bounds, cut);
            &mut it.upstream
        }
        Record::Amendment(it) => return shorten(&mut it.recipients, bounds, cut),
        Record::Incident(it) => return shorten(&mut it.samples, bounds, cut),
        Record::Gap(_) | Record::Mark(_) | Record::Log(_) | Record::Audit(_) => return,
    };
    if !bounds.detail && less(upstream) {
        cut.add(Part::Detail);
    }
}

fn trim_timeline<S>(
    timeline: &mut Vec<json::Line<S>>,
    timeline_cut: &mut u32,
    flags: &mut Vec<Word<Flag>>,
    bounds: Bounds,
    cut: &mut Parts,
) {
    if !bounds.timeline && !timeline.is_empty() {
        *timeline_cut = timeline_cut.saturating_add(u32::try_from(timeline.len()).unwrap_or(u32::MAX));
        timeline.clear();
        flag(flags, Flag::TimelineCut);
        cut.add(Part::Timeline);
    }
}

fn trim_mail<C, U, S>(it: &mut json::Transaction<C, U, S>, bounds: Bounds, cut: &mut Parts) {
    if !bounds.detail {
        let mut less = shortened(&mut it.message.signatures, 0);
        if let Some(report) = &mut it.message.report {
            let gone = shortened(&mut report.recipients, bounds.items.min(10));
            report.recipients_cut = report.recipients_cut.saturating_add(gone);
            less = less.saturating_add(gone);
        }
        if less > 0 {
            cut.add(Part::Detail);
        }
    }
    let gone = shortened(&mut it.envelope.recipients, bounds.items);
    if gone > 0 {
        it.envelope.recipients_cut = it.envelope.recipients_cut.saturating_add(gone);
        flag(&mut it.flags, Flag::RecipientsCut);
        cut.add(Part::Items);
    }
    it.envelope.params.truncate(bounds.items);
    for recipient in &mut it.envelope.recipients {
        recipient.params.truncate(bounds.items);
        if let Some(reply) = &mut recipient.reply {
            shorten(&mut reply.lines, bounds, cut);
        }
    }
    for reply in [&mut it.envelope.reply, &mut it.outcome.reply].into_iter().flatten() {
        shorten(&mut reply.lines, bounds, cut);
    }
}

/// What the upstream offers and how it was found isn't what happened. Says whether there was any of it.
fn less(upstream: &mut json::Upstream) -> bool {
    let gone = shortened(&mut upstream.offered, 0)
        + shortened(&mut upstream.hidden, 0)
        + shortened(&mut upstream.tried, 0)
        + shortened(&mut upstream.lookups, 0);
    upstream.dns.take().is_some() || gone > 0
}

fn shorten<T>(list: &mut Vec<T>, bounds: Bounds, cut: &mut Parts) {
    if shortened(list, bounds.items) > 0 {
        cut.add(Part::Items);
    }
}

/// How many items went.
fn shortened<T>(list: &mut Vec<T>, most: usize) -> u32 {
    let gone = list.len().saturating_sub(most);
    list.truncate(most);
    u32::try_from(gone).unwrap_or(u32::MAX)
}

fn flag(flags: &mut Vec<Word<Flag>>, flag: Flag) {
    if !flags.contains(&Word(flag)) {
        flags.push(Word(flag));
    }
}

/// Writes hostile characters as escapes, and ends texts that are too long. Keys are ours and go as they are.
struct Bounded<'c> {
    most: usize,
    /// Octets of the text that is being written.
    taken: usize,
    in_key: bool,
    lost_text: &'c Cell<bool>,
}

impl<'c> Bounded<'c> {
    fn new(most: usize, lost_text: &'c Cell<bool>) -> Self {
        Self { most, taken: 0, in_key: false, lost_text }
    }

    /// Whether so many more octets of a text may be written. Once something didn't fit, nothing that follows does.
    fn fits(&mut self, octets: usize) -> bool {
        let fits = self.taken.saturating_add(octets) <= self.most;
        self.taken = if fits { self.taken + octets } else { usize::MAX };
        if !fits {
            self.lost_text.set(true);
        }
        fits
    }
}

impl Formatter for Bounded<'_> {
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.in_key = true;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.in_key = false;
        Ok(())
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.taken = 0;
        writer.write_all(b"\"")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if self.in_key {
            return writer.write_all(fragment.as_bytes());
        }
        let room = self.most.saturating_sub(self.taken);
        let kept = if self.fits(fragment.len()) { fragment } else { inert::cut(fragment, room) };
        if inert::is_plain(kept) {
            return writer.write_all(kept.as_bytes());
        }
        let mut escaped = Vec::with_capacity(kept.len() + 16);
        inert::json(&mut escaped, kept);
        writer.write_all(&escaped)
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        if !self.fits(1) {
            return Ok(());
        }
        match escape {
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"\\/"),
            CharEscape::Backspace => writer.write_all(b"\\b"),
            CharEscape::FormFeed => writer.write_all(b"\\f"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::AsciiControl(octet) => write!(writer, "\\u{octet:04x}"),
        }
    }
}

impl Written for Client {
    fn write(&self) -> Vec<u8> {
        piece(&json::Client::from(self))
    }
}

impl Written for Upstream {
    fn write(&self) -> Vec<u8> {
        piece(&json::Upstream::from(self))
    }
}

fn piece(it: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = it.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Bounded::new(usize::MAX, &Cell::new(false))));
    out
}
