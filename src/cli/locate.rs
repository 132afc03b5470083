//! `relayscope where WHAT`: the verdict first, what supports it below.

use clap::Args;
use jiff::Timestamp;

use super::Traces;
use super::backend::Backend;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, fit, show_json};
use super::table::{Cell, Table};
use crate::path::answer::{Fate, Hole, Hop, JoinedBy, NeverSeen};
use crate::path::clock::{octets, span};
use crate::path::{Answer, MessagePath, never, next, verdict, words};
use crate::trace::json::{self, Phases, Word};
use crate::trace::{Actor, Flag};

/// A phase is worth a word from here on.
const SLOW_US: u64 = 1_000_000;

#[derive(Debug, Args)]
pub struct Locate {
    #[command(flatten)]
    traces: Traces,
    /// A Message-ID, queue id, address, words of a subject, or field:value terms
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    /// Most messages to answer with
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Every detail of every message, where there are several
    #[arg(long, short = 'f')]
    full: bool,
    /// Don't ask DNS where nothing is found
    #[arg(long)]
    no_dns: bool,
}

impl Locate {
    pub fn run(self) -> Result<Status, Failure> {
        let traces = &self.traces;
        let now = Timestamp::now();
        let what = super::search::question(&self.what, now)?;
        let answer = Backend::open(traces)?.locate(&what, usize::from(self.limit), now, !self.no_dns)?;
        let status = if answer.messages.is_empty() { Status::NotFound } else { Status::Done };
        if traces.json {
            show_json(&answer)?;
        } else {
            render(&answer, self.full, &Look::of_stdout(now)).show()?;
        }
        Ok(status)
    }
}

/// The answer for people.
pub fn render(answer: &Answer, full: bool, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    match answer.messages.as_slice() {
        [] => {
            if let Some(seen) = &answer.never_seen {
                never_seen(&mut screen, seen, &answer.query, look);
            }
        }
        [message] => whole(&mut screen, message, look),
        messages => {
            let many = if answer.more { format!("The newest {} messages", messages.len()) } else { format!("{} messages", messages.len()) };
            let zone = messages.first().map(|message| look.zone(message.last_at)).unwrap_or_default();
            screen.line(&format!("{many} match, newest first ({zone}).")).newline();
            for (index, message) in messages.iter().enumerate() {
                if full {
                    whole(&mut screen, message, look);
                } else {
                    brief(&mut screen, message, look);
                }
                if index + 1 < messages.len() && full {
                    screen.newline();
                }
            }
            if let Some(hop) = messages.first().and_then(|message| message.hops.last())
                && !full
            {
                screen.newline().line(&format!("All about one of them: relayscope where {}   (all of all: --full)", hop.id));
            }
            if answer.more {
                screen.line("There are more: name a time (since:2h), another field, or --limit.");
            }
        }
    }
    if !answer.gaps.is_empty() {
        screen.newline();
        holes(&mut screen, &answer.gaps, look);
        screen.line("Mail passed in that time without a record: attempts may be missing above.");
    }
    screen
}

fn brief(screen: &mut Screen, message: &MessagePath, look: &Look) {
    let style = Style::of(message.state.0);
    screen.paragraph(style, &verdict::verdict(message, &look.clock), look.width, 2);
    let id = message.hops.last().map(|hop| hop.id.to_string()).unwrap_or_default();
    let mut about = vec![format!("from {}", sender(message))];
    about.extend(message.subject.as_ref().map(|subject| format!("\"{subject}\"")));
    about.extend(message.message_id.as_ref().map(|id| format!("<{id}>")));
    let about = format!("{id}  {}", about.join("  "));
    screen.pad(2).styled(Style::Faint, &look.width.map_or_else(|| about.clone(), |width| fit(&about, width - 2))).newline();
}

fn whole(screen: &mut Screen, message: &MessagePath, look: &Look) {
    screen.paragraph(Style::of(message.state.0), &verdict::verdict(message, &look.clock), look.width, 2).newline();
    facts(screen, message, look);
    screen.newline();
    recipients(screen, message, look);
    hops(screen, message, look);
    steps(screen, &next::next(message, &look.clock), look);
}

fn sender(message: &MessagePath) -> &str {
    if message.from.is_empty() { "<>" } else { &message.from }
}

fn facts(screen: &mut Screen, message: &MessagePath, look: &Look) {
    let mut fact = |name: &str, value: &str| {
        screen.pad(2).styled(Style::Faint, &format!("{name:<12}")).paragraph(Style::Plain, value, look.width.map(|width| width - 14), 14);
    };
    fact("Subject", message.subject.as_deref().unwrap_or("not seen: it ended before the message text"));
    if let Some(id) = &message.message_id {
        fact("Message-ID", &format!("<{id}>"));
    }
    fact("From", sender(message));
    if let Some(header) = message.header_from.as_ref().filter(|header| !header.contains(&message.from) || message.from.is_empty()) {
        fact("From header", header);
    }
    let attempts = match message.hops.len() {
        1 => "one attempt".to_owned(),
        many => format!("{many} attempts over {}", span(message.last_at.0.saturating_sub(message.first_at.0))),
    };
    fact("Seen", &format!("{}, {attempts} ({})", look.clock.precise(message.first_at), look.zone(message.first_at)));
    if let Some(first) = message.hops.first() {
        fact("Way", &way(first));
    }
    if let Some(size) = message.hops.iter().map(|hop| hop.size).max().filter(|size| *size > 0) {
        fact("Size", &octets(size));
    }
}

fn recipients(screen: &mut Screen, message: &MessagePath, look: &Look) {
    let mut table = Table::new(&[("RECIPIENT", 18), ("STATE", 8), ("DECIDED AT", 12), ("WHY", 16), ("TRIES", 5)]);
    for fate in &message.recipients {
        table.row([
            Cell::from(&fate.address),
            Cell::styled(Style::of(fate.state.0), fate.state.to_string()),
            Cell::from(words::stage(fate.stage.0)),
            Cell::from(why(fate)),
            Cell::from(fate.attempts.to_string()),
        ]);
    }
    if !table.is_empty() {
        table.draw(screen, look, 2);
    }
    if message.recipients_cut > 0 {
        screen.pad(2).line(&format!("… and {} more recipients, counted but not kept", message.recipients_cut));
    }
    if !table.is_empty() {
        screen.newline();
    }
}

fn why(fate: &Fate) -> String {
    match (&fate.reply, &fate.detail) {
        (Some(reply), _) => words::reply(reply),
        (None, Some(detail)) => detail.clone(),
        (None, None) => String::new(),
    }
}

fn hops(screen: &mut Screen, message: &MessagePath, look: &Look) {
    let mut table = Table::new(&[("ATTEMPT", 19), ("STATE", 8), ("WHY", 10), ("TOOK", 7), ("TRACE ID", 26)]);
    for hop in &message.hops {
        table.row([
            Cell::from(look.clock.precise(hop.at)),
            Cell::styled(Style::of(hop.state.0), hop.state.to_string()),
            Cell::from(reason(hop)),
            Cell::from(span(hop.duration_us)),
            Cell::from(hop.id.to_string()),
        ]);
    }
    table.draw(screen, look, 2);
    let mut note = |text: &str| {
        screen.pad(2).paragraph(Style::Faint, text, look.width.map(|width| width - 2), 4);
    };
    for hop in &message.hops {
        for text in notes(hop, message) {
            note(&format!("{}: {text}", look.clock.precise(hop.at)));
        }
    }
    let shared = shared(message);
    if !shared.is_empty() {
        note(&format!("flags: {}", shared.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
    }
    let probable = message.hops.iter().filter(|hop| hop.joined_by == JoinedBy::Envelope).count();
    if probable > 0 {
        let are = if probable == 1 { "is" } else { "are" };
        note(&format!(
            "{probable} of these {} attempts {are} joined by client, sender and recipients only, no header having been seen: probably of this message.",
            message.hops.len()
        ));
    }
    screen.newline();
}

fn reason(hop: &Hop) -> String {
    let stage = words::stage(hop.stage.0);
    match (&hop.detail, &hop.reply) {
        (Some(detail), _) if hop.by.0 != Actor::Upstream => format!("{stage}: {detail}"),
        (_, Some(reply)) => format!("{stage}: {}", words::reply(reply)),
        (Some(detail), None) => format!("{stage}: {detail}"),
        (None, None) => stage.to_owned(),
    }
}

/// The way of an attempt: client, this proxy, upstream.
fn way(hop: &Hop) -> String {
    format!("{} → Relayscope {} ({}) → {}", words::client(hop), hop.node, hop.listener, server(hop))
}

fn server(hop: &Hop) -> String {
    match hop.upstream.port {
        Some(port) => format!("{}:{port}", words::upstream(hop)),
        None => words::upstream(hop),
    }
}

/// What about an attempt isn't in the table: another way, slow phases, flags, failed connections.
fn notes(hop: &Hop, message: &MessagePath) -> Vec<String> {
    let mut notes = Vec::new();
    if message.hops.first().is_some_and(|first| way(first) != way(hop)) {
        notes.push(way(hop));
    }
    let slow: Vec<String> =
        phases(&hop.phases).into_iter().filter(|(_, us)| *us >= SLOW_US).map(|(name, us)| format!("{name} {}", span(us))).collect();
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

/// Flags of every attempt: said once.
fn shared(message: &MessagePath) -> Vec<Word<Flag>> {
    let Some((first, others)) = message.hops.split_first() else { return Vec::new() };
    first.flags.iter().copied().filter(|flag| others.iter().all(|hop| hop.flags.contains(flag))).collect()
}

/// One question to DNS and what was answered.
pub fn lookup(it: &json::Lookup) -> String {
    let answer = if it.answers.is_empty() {
        it.why.clone().unwrap_or_else(|| it.outcome.0.word().to_owned())
    } else {
        let mut answers: Vec<String> = it.answers.iter().take(5).map(|it| format!("{} {} ({} s)", it.kind, it.data, it.ttl)).collect();
        let more = it.answers.len().saturating_sub(answers.len()) + it.answers_cut as usize;
        if more > 0 {
            answers.push(format!("{more} more"));
        }
        answers.join(", ")
    };
    let server = it.server.as_ref().map(|server| format!(", {server}")).unwrap_or_default();
    let dnssec = it.dnssec.map(|dnssec| format!(", DNSSEC {}", dnssec.0)).unwrap_or_default();
    format!("{} {}: {answer}{server}{dnssec}, {}", it.query, it.name, span(it.took_us))
}

/// The phases that happened, as the admin knows them.
pub fn phases(phases: &Phases) -> Vec<(&'static str, u64)> {
    let all = [
        ("DNS", phases.dns_us),
        ("connect", phases.connect_us),
        ("greeting", phases.banner_us),
        ("TLS", phases.tls_us),
        ("AUTH", phases.auth_us),
        ("MAIL FROM", phases.mail_from_us),
        ("RCPT TO", phases.rcpt_to_us),
        ("DATA", phases.data_us),
        ("message text", phases.body_us),
        ("end of data", phases.end_of_data_us),
    ];
    all.into_iter().filter_map(|(name, us)| us.map(|us| (name, us))).collect()
}

fn steps(screen: &mut Screen, steps: &[String], look: &Look) {
    screen.pad(2).styled(Style::Bold, "What to do next").newline();
    for step in steps {
        screen.pad(2).put("- ").paragraph(Style::Plain, step, look.width.map(|width| width - 4), 4);
    }
}

fn never_seen(screen: &mut Screen, seen: &NeverSeen, query: &str, look: &Look) {
    screen.paragraph(Style::Bad, &never::verdict(seen, query, &look.clock), look.width, 2).newline();
    if !seen.nearest.is_empty() {
        let mut table = Table::new(&[("ADDRESSES LIKE IT", 18), ("LAST SEEN", 8), ("TRACE ID", 26)]);
        for near in &seen.nearest {
            table.row([Cell::from(&near.address), Cell::from(look.clock.moment(near.last_at)), Cell::from(near.id.to_string())]);
        }
        table.draw(screen, look, 2);
        screen.newline();
    }
    if !seen.without_header.is_empty() {
        let mut table = Table::new(&[("BEFORE THE TEXT", 19), ("FROM", 8), ("TO", 8), ("WHY", 10), ("TRACE ID", 26)]);
        for attempt in &seen.without_header {
            let from = if attempt.from.is_empty() { "<>" } else { &attempt.from };
            let why = match &attempt.reply {
                Some(reply) => format!("{}: {}", words::stage(attempt.stage.0), words::reply(reply)),
                None => words::stage(attempt.stage.0).to_owned(),
            };
            table.row([
                Cell::from(look.clock.precise(attempt.at)),
                Cell::from(from),
                Cell::from(words::list(&attempt.recipients)),
                Cell::styled(Style::of(attempt.state.0), why),
                Cell::from(attempt.id.to_string()),
            ]);
        }
        table.draw(screen, look, 2);
        screen.newline();
    }
    if !seen.sessions.is_empty() {
        let mut table = Table::new(&[("WITHOUT MAIL", 19), ("CLIENT", 10), ("WHY", 10), ("TRACE ID", 26)]);
        for end in &seen.sessions {
            table.row([
                Cell::from(look.clock.precise(end.at)),
                Cell::from(match &end.of_sender {
                    Some(why) => format!("{} ({why})", words::client_of(&end.client)),
                    None => words::client_of(&end.client),
                }),
                Cell::from(never::early_end_words(end)),
                Cell::from(end.id.to_string()),
            ]);
        }
        table.draw(screen, look, 2);
        screen.newline();
    }
    for line in seen.dns.iter().flat_map(never::dns_lines) {
        screen.pad(2).paragraph(Style::Plain, &line, look.width.map(|width| width - 2), 4);
    }
    holes(screen, &seen.tracing.gaps, look);
    if let (Some(oldest), Some(newest)) = (seen.tracing.oldest_at, seen.tracing.newest_at) {
        let running = if seen.tracing.running { "a proxy is adding to it now" } else { "no proxy is adding to it now" };
        let reach = format!(
            "The trace reaches from {} to {}; {running} ({}).",
            look.clock.moment(oldest),
            look.clock.moment(newest),
            look.zone(newest)
        );
        screen.pad(2).paragraph(Style::Plain, &reach, look.width.map(|width| width - 2), 4);
    }
    screen.newline();
    steps(screen, &never::next(seen, &look.clock), look);
}

fn holes(screen: &mut Screen, gaps: &[Hole], look: &Look) {
    for gap in gaps {
        let (from, until) = (look.clock.moment(gap.at), look.clock.moment(gap.until));
        let hole = format!("Hole in the trace: {from} to {until}, {}: {}", words::count(gap.records_lost as usize, "record"), gap.why);
        screen.pad(2).paragraph(Style::Wait, &hole, look.width.map(|width| width - 2), 4);
    }
}
