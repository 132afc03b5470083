//! `relayscope where WHAT`: the verdict first, what supports it below.

mod hops;
mod never;
mod pasted;
mod wider;

use clap::Args;
use jiff::Timestamp;

use super::Traces;
use super::backend::Backend;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, fit, show_json};
use super::table::{Cell, Table};
use crate::path::answer::{Fate, Hole, RelayHop};
use crate::path::clock::{octets, span};
use crate::path::{Answer, MessagePath, next, under_way, verdict, words};
use crate::trace::json::{self, Phases};

#[derive(Debug, Args)]
pub struct Locate {
    #[command(flatten)]
    traces: Traces,
    /// A Message-ID, queue id, address, words of a subject, or field:value terms; - reads a pasted bounce, header or reply from standard input
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
        let ask = pasted::Ask { backend: Backend::open(traces)?, limit: usize::from(self.limit), now, dns: !self.no_dns };
        // Among words it is a dash.
        let alone = |place: &usize| *place == 0 || self.what.iter().all(|word| word == "-" || word.contains(':'));
        let answer = match self.what.iter().position(|word| word == "-").filter(alone) {
            Some(place) => {
                let others: Vec<String> =
                    self.what.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, word)| word.clone()).collect();
                ask.pasted(std::io::stdin().lock(), &others)?
            }
            None => ask.asked(&self.what)?,
        };
        let status = if pasted::is_found(&answer) { Status::Done } else { Status::NotFound };
        if traces.json {
            show_json(&answer)?;
        } else {
            render(&answer, self.full, &Look::of_stdout(now).asking(traces)).show()?;
        }
        Ok(status)
    }
}

/// What has no record yet comes first: it is what happens now.
fn under_way(screen: &mut Screen, answer: &Answer, look: &Look) {
    for it in &answer.under_way {
        screen.paragraph(Style::Wait, &under_way::verdict(it, &look.clock), look.width, 2);
        let session = format!("Its dialogue will be at: relayscope show {}{}", it.id, look.again);
        screen.pad(2).line(&session);
    }
    if !answer.under_way.is_empty() {
        screen.newline();
    }
}

/// The answer for people.
pub fn render(answer: &Answer, full: bool, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    under_way(&mut screen, answer, look);
    match answer.messages.as_slice() {
        [] => {
            if let Some(seen) = &answer.never_seen {
                never::never_seen(&mut screen, seen, &answer.query, look);
            }
            notes(&mut screen, answer, look);
        }
        [message] => {
            whole(&mut screen, message, look);
            notes(&mut screen, answer, look);
        }
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
                screen.newline().line(&format!(
                    "All about one of them: relayscope where {}{}   (all of all: --full)",
                    hop.id(),
                    look.again
                ));
            }
            notes(&mut screen, answer, look);
            if answer.more {
                screen.line("There are more: name a time (since:2h), another field, or --limit.");
            }
        }
    }
    if !answer.gaps.is_empty() {
        screen.newline();
        holes(&mut screen, &answer.gaps, look);
        if answer.gaps.iter().any(|gap| !gap.down) {
            screen.line("Mail passed in that time without a record: attempts may be missing above.");
        } else {
            screen.line("What the mail server tried in that time is not recorded: attempts may be missing above.");
        }
    }
    screen
}

fn notes(screen: &mut Screen, answer: &Answer, look: &Look) {
    if !answer.notes.is_empty() {
        screen.newline();
    }
    for note in &answer.notes {
        screen.paragraph(Style::Faint, note, look.width, 2);
    }
}

fn brief(screen: &mut Screen, message: &MessagePath, look: &Look) {
    let style = Style::of(message.state.0);
    screen.paragraph(style, &verdict::verdict(message, &look.clock), look.width, 2);
    wider::first(screen, message, look);
    let id = message.hops.last().map(|hop| hop.id().to_string()).unwrap_or_default();
    let mut about = Vec::from_iter(message.from.as_ref().map(|_| format!("from {}", sender(message))));
    about.extend(message.subject.as_ref().map(|subject| format!("\"{subject}\"")));
    about.extend(message.message_id.as_ref().map(|id| format!("<{id}>")));
    let about = format!("{id}  {}", about.join("  "));
    screen.pad(2).styled(Style::Faint, &look.width.map_or_else(|| about.clone(), |width| fit(&about, width - 2))).newline();
}

fn whole(screen: &mut Screen, message: &MessagePath, look: &Look) {
    screen.paragraph(Style::of(message.state.0), &verdict::verdict(message, &look.clock), look.width, 2);
    wider::all(screen, message, look);
    screen.newline();
    facts(screen, message, look);
    screen.newline();
    recipients(screen, message, look);
    hops::hops(screen, message, look);
    steps(screen, &next::next(message, &look.clock), look);
}

const NOT_LOGGED: &str = "not known: the logs don't say";

fn sender(message: &MessagePath) -> &str {
    match message.from.as_deref() {
        Some("") => "<>",
        from => from.unwrap_or(NOT_LOGGED),
    }
}

fn facts(screen: &mut Screen, message: &MessagePath, look: &Look) {
    let mut fact = |name: &str, value: &str| {
        screen.pad(2).styled(Style::Faint, &format!("{name:<12}")).paragraph(Style::Plain, value, look.width.map(|width| width - 14), 14);
    };
    let unseen = match message.relays().next() {
        None => NOT_LOGGED,
        Some(_) if message.relays().any(RelayHop::was_cut_off) => {
            "not recorded: of this message only what was noted before its end is kept"
        }
        Some(_) if message.relays().any(|hop| hop.size > 0) => "none in the header that was seen",
        Some(_) => "not seen: it ended before the message text",
    };
    fact("Subject", message.subject.as_deref().unwrap_or(unseen));
    if let Some(id) = &message.message_id {
        fact("Message-ID", &format!("<{id}>"));
    }
    fact("From", sender(message));
    if let Some(header) =
        message.header_from.as_ref().filter(|header| message.from.as_ref().is_none_or(|from| from.is_empty() || !header.contains(from)))
    {
        fact("From header", header);
    }
    let (attempts, reports, lines) = (message.relays().count(), message.reports().count(), message.logs().count());
    let all = [(attempts, "attempt"), (reports, "report"), (lines, "line of logs")];
    let kinds = all.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| match (count, noun) {
        (1, &"attempt") => "one attempt".to_owned(),
        (many, &"line of logs") if *many > 1 => format!("{many} lines of logs"),
        (count, noun) => words::count(*count, noun),
    });
    let kinds = words::list(&kinds.collect::<Vec<_>>());
    let over = match message.hops.len() {
        1 => String::new(),
        _ => format!(" over {}", span(message.last_at.0.saturating_sub(message.first_at.0))),
    };
    fact("Seen", &format!("{}, {kinds}{over} ({})", look.clock.precise(message.first_at), look.zone(message.first_at)));
    if let Some(first) = message.relays().next() {
        fact("Way", &hops::way(first));
    }
    if let Some(size) = message.relays().map(|hop| hop.size).max().filter(|size| *size > 0) {
        fact("Size", &octets(size));
    }
}

fn recipients(screen: &mut Screen, message: &MessagePath, look: &Look) {
    let mut table = Table::new(&[("RECIPIENT", 18), ("STATE", 9), ("DECIDED AT", 12), ("WHY", 16), ("TRIES", 5)]);
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
    let said = match (&fate.reply, &fate.detail) {
        (Some(reply), _) => words::reply(reply),
        (None, Some(detail)) => detail.clone(),
        (None, None) => String::new(),
    };
    words::caused(fate.cause.map(|cause| cause.0), &said)
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
        screen.pad(2).put("- ").paragraph(Style::Plain, &look.proposal(step), look.width.map(|width| width - 4), 4);
    }
}

fn holes(screen: &mut Screen, gaps: &[Hole], look: &Look) {
    for gap in gaps {
        let (from, until) = (look.clock.moment(gap.at), look.clock.moment(gap.until));
        if gap.down {
            let hole = format!("Relayscope was not running: {from} to {until}: {}", gap.why);
            screen.pad(2).paragraph(Style::Wait, &hole, look.width.map(|width| width - 2), 4);
            continue;
        }
        let hole = format!("Hole in the trace: {from} to {until}, {}: {}", words::count(gap.records_lost as usize, "record"), gap.why);
        screen.pad(2).paragraph(Style::Wait, &hole, look.width.map(|width| width - 2), 4);
    }
}
