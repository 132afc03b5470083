//! The stations of a message, in time order, and what about them isn't in the table.

use crate::cli::screen::{Look, Screen, Style};
use crate::cli::table::{Cell, Table};
use crate::path::answer::{Confidence, Hop, JoinedBy, LogHop, MessagePath, RelayHop, ReportHop, Wider};
use crate::path::clock::span;
use crate::path::words;
use crate::trace::json::Word;
use crate::trace::{Actor, Flag, ReportKind};

/// A phase is worth a word from here on.
const SLOW_US: u64 = 1_000_000;

pub(super) fn hops(screen: &mut Screen, message: &MessagePath, look: &Look) {
    let mut changes: Vec<&Wider> = message.incidents.iter().filter(|it| it.relation.is_some()).collect();
    changes.sort_by_key(|it| it.opened_at);
    let only_relays = changes.is_empty() && message.relays().count() == message.hops.len();
    let first = if only_relays { "ATTEMPT" } else { "WHEN" };
    let mut table = Table::new(&[(first, 19), ("STATE", 9), ("WHY", 10), ("TOOK", 7), ("TRACE ID", 26)]);
    let mut untold = changes.iter().peekable();
    for hop in &message.hops {
        while let Some(change) = untold.next_if(|it| it.opened_at <= hop.at()) {
            table.row(change_row(change, look));
        }
        let (style, state, why, took) = match hop {
            Hop::Relay(it) => (Style::of(it.state.0), it.state.to_string(), reason(it), took(it)),
            Hop::Report(it) => {
                let style = it.state.map_or(Style::Wait, |state| Style::of(state.0));
                let kind = if it.report.kind.0 == ReportKind::Complaint { "complaint" } else { "report" };
                (style, kind.to_owned(), words::reported(&it.report), String::new())
            }
            Hop::Log(it) => (it.state.map_or(Style::Plain, |state| Style::of(state.0)), it.event.to_string(), logged(it), String::new()),
        };
        table.row([
            Cell::from(look.clock.precise(hop.at())),
            Cell::styled(style, state),
            Cell::from(why),
            Cell::from(took),
            Cell::from(hop.id().to_string()),
        ]);
    }
    for change in untold {
        table.row(change_row(change, look));
    }
    table.draw(screen, look, 2);
    let mut note = |text: &str| {
        screen.pad(2).paragraph(Style::Faint, text, look.width.map(|width| width - 2), 4);
    };
    for hop in &message.hops {
        let notes = match hop {
            Hop::Relay(it) => notes(it, message),
            Hop::Report(it) => report_notes(it),
            Hop::Log(it) => log_notes(it),
        };
        for text in notes {
            note(&format!("{}: {text}", look.clock.precise(hop.at())));
        }
    }
    let shared = shared(message);
    if !shared.is_empty() {
        note(&format!("flags: {}", shared.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
    }
    let probable = message.relays().filter(|hop| hop.tie.joined_by == JoinedBy::Envelope).count();
    if probable > 0 {
        let are = if probable == 1 { "is" } else { "are" };
        note(&format!(
            "{probable} of these {} attempts {are} joined by client, sender and recipients only, no header having been seen: probably of this message.",
            message.relays().count()
        ));
    }
    screen.newline();
}

/// What somebody else changed meanwhile, as a station in time.
fn change_row(change: &Wider, look: &Look) -> [Cell; 5] {
    let what = change.change.as_ref().map(|it| it.what.as_str()).unwrap_or("DNS");
    let of = change.concerns.iter().find(|it| ["domain", "client"].contains(&it.kind.as_str())).map(|it| it.value.as_str());
    let why = format!("{what} of {}: {}", of.unwrap_or("this domain"), super::wider::changed(change));
    let when = Cell::from(look.clock.precise(change.opened_at));
    [when, Cell::styled(Style::Wait, "changed"), Cell::from(why), Cell::from(""), Cell::from(change.id.to_string())]
}

/// Nothing where only the beginning is known.
fn took(hop: &RelayHop) -> String {
    if hop.was_cut_off() { String::new() } else { span(hop.duration_us) }
}

fn reason(hop: &RelayHop) -> String {
    let stage = words::stage(hop.stage.0);
    let cause = hop.cause.map(|cause| cause.0);
    match (&hop.detail, &hop.reply) {
        (Some(detail), _) if hop.by.0 != Actor::Upstream => format!("{stage}: {detail}"),
        // Of a message that went to some recipients only, the cause is not the last reply's.
        (_, Some(reply)) => {
            let cause = cause.filter(|_| reply.code >= 400);
            format!("{stage}: {}", words::caused(cause, &words::reply(reply)))
        }
        (Some(detail), None) => format!("{stage}: {}", words::caused(cause, detail)),
        (None, None) => stage.to_owned(),
    }
}

/// "mx1 (postfix), bob@example.org, to mx.example.net: 250 2.0.0 Ok"
fn logged(hop: &LogHop) -> String {
    let mut text = match &hop.host {
        Some(host) => format!("{host} ({})", hop.format),
        None => hop.format.clone(),
    };
    if let Some(recipient) = &hop.recipient {
        text.push_str(&format!(", {recipient}"));
    }
    if let Some(to) = &hop.relay_host {
        text.push_str(&format!(", to {to}"));
    }
    let said = match (&hop.reply, &hop.detail) {
        (Some(reply), _) => words::reply(reply),
        (None, Some(detail)) => detail.clone(),
        (None, None) => String::new(),
    };
    let why = words::caused(hop.cause.map(|cause| cause.0), &said);
    if !why.is_empty() {
        text.push_str(&format!(": {why}"));
    }
    text
}

/// The way of an attempt: client, this proxy, upstream.
pub(super) fn way(hop: &RelayHop) -> String {
    format!("{} → Relayscope {} ({}) → {}", words::client(hop), hop.node, hop.listener, server(hop))
}

fn server(hop: &RelayHop) -> String {
    match hop.upstream.port {
        Some(port) => format!("{}:{port}", words::upstream(hop)),
        None => words::upstream(hop),
    }
}

/// What about an attempt isn't in the table: another way, slow phases, flags, failed connections.
fn notes(hop: &RelayHop, message: &MessagePath) -> Vec<String> {
    let mut notes = Vec::new();
    if message.relays().next().is_some_and(|first| way(first) != way(hop)) {
        notes.push(way(hop));
    }
    let phases = super::phases(&hop.phases);
    let slow: Vec<String> = phases.into_iter().filter(|(_, us)| *us >= SLOW_US).map(|(name, us)| format!("{name} {}", span(us))).collect();
    if !slow.is_empty() {
        notes.push(format!("slow: {}", slow.join(", ")));
    }
    for tried in &hop.upstream.tried {
        notes.push(format!("{}:{} was tried before: {}, {}", tried.host, tried.port, words::stage(tried.stage.0), tried.error));
    }
    let own: Vec<String> = hop.flags.iter().filter(|flag| !shared(message).contains(flag)).map(ToString::to_string).collect();
    if !own.is_empty() {
        notes.push(format!("flags: {}", own.join(" ")));
    }
    notes
}

fn report_notes(hop: &ReportHop) -> Vec<String> {
    let by = hop.report.reporting_mta.as_ref().map(|mta| format!(" of {mta}")).unwrap_or_default();
    let tie = format!("{} ({}), {}", hop.tie.joined_by.words(), hop.tie.confidence.words(), hop.report.format);
    let mut notes = vec![format!("report{by}, joined {tie}")];
    notes.extend(hop.why_not.as_ref().map(|why| format!("it changes nothing: {why}")));
    notes
}

fn log_notes(hop: &LogHop) -> Vec<String> {
    let mut notes = Vec::new();
    // What hangs on another line by its queue id is as sure as that one, which has the note.
    if hop.tie.confidence < Confidence::Proof && hop.tie.joined_by != JoinedBy::QueueId {
        notes.push(format!("joined {} ({})", hop.tie.joined_by.words(), hop.tie.confidence.words()));
    }
    notes.extend(hop.clock_ahead_us.map(|ahead| {
        let way = if ahead < 0 { "behind" } else { "ahead of" };
        let host = hop.host.as_deref().unwrap_or("that server");
        format!("the clock of {host} is {} {way} ours: its lines are sorted in by our time", span(ahead.unsigned_abs()))
    }));
    notes
}

/// Flags of every attempt: said once.
fn shared(message: &MessagePath) -> Vec<Word<Flag>> {
    let mut relays = message.relays();
    let Some(first) = relays.next() else { return Vec::new() };
    let others: Vec<&RelayHop> = relays.collect();
    first.flags.iter().copied().filter(|flag| others.iter().all(|hop| hop.flags.contains(flag))).collect()
}
