//! `relayscope search QUERY`: the records that match, a line each.

use std::io::IsTerminal;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Traces;
use super::backend::Backend;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, show_json, visible};
use super::table::{Cell, Table};
use crate::path::answer::Hole;
use crate::path::{Explained, ListRequest, Listing, What, field, words};
use crate::store::Cursor;
use crate::trace::json::{Record, Time};
use crate::trace::{IncidentStep, Stage, State};

#[derive(Debug, Args)]
pub struct Search {
    #[command(flatten)]
    traces: Traces,
    /// Free words and field:value terms; nothing at all lists the newest records
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Most records to list
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on where an earlier listing stopped
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Say what the index was asked, and what had to be read
    #[arg(long)]
    explain: bool,
}

impl Search {
    pub fn run(self) -> Result<Status, Failure> {
        let traces = &self.traces;
        let now = Timestamp::now();
        let what = question_of_lists(&self.query, now)?;
        let before = match &self.cursor {
            Some(cursor) => Some(cursor.parse::<Cursor>().map_err(|error| Failure::usage(format!("--cursor {error}")))?),
            None => None,
        };
        let request = ListRequest { limit: usize::from(self.limit), before, explain: self.explain };
        let listing = patiently(&Backend::open(traces)?, &what, request)?;
        let look = Look::of_stdout(now);
        if traces.json {
            for record in &listing.records {
                show_json(record)?;
            }
        } else {
            render(&listing, &look).show()?;
        }
        listing.explained.iter().for_each(explain);
        if let Some(oldest) = listing.kept_since {
            eprintln!("traces are kept from {} on: what was before can't be found here", look.clock.moment(oldest));
        }
        if let Some(whole) = listing.whole_since {
            eprintln!("of what was before {} only failures are kept: what went well can't be found here", look.clock.moment(whole));
        }
        if let Some(hole) = &listing.hole_now {
            losing(hole, &look);
        }
        if let Some(next) = &listing.next {
            eprintln!("more: --cursor {next}");
        }
        Ok(if listing.records.is_empty() { Status::NotFound } else { Status::Done })
    }
}

/// Goes on where a search was broken off, until it has what was asked for, and says how far it is.
pub fn patiently(backend: &Backend, what: &What, mut request: ListRequest) -> Result<Listing, Failure> {
    let shows_progress = std::io::stderr().is_terminal();
    let mut all = backend.list(what, request)?;
    let wanted = request.limit;
    while all.cut_short
        && all.records.len() < wanted
        && let Some(next) = &all.next
    {
        if shows_progress {
            eprint!("\rno index says this: going through the records, {} % … ", all.percent.unwrap_or(0));
        }
        request.before = Some(next.parse().map_err(Failure::failed)?);
        request.limit = wanted - all.records.len();
        let more = backend.list(what, request)?;
        all = Listing { records: all.records.into_iter().chain(more.records).collect(), ..more };
        if shows_progress && !all.cut_short {
            eprintln!();
        }
    }
    Ok(all)
}

/// Says that records are being lost; beside the answer, as what is in it is true.
pub fn losing(hole: &Hole, look: &Look) {
    let since = look.clock.moment(hole.at);
    eprintln!("records are being lost since {since}, and can't be found: {} (`relayscope anomalies`)", visible(&hole.why));
}

/// Says how a question was answered; beside the answer, so that the answer stays as it is.
pub fn explain(explained: &Explained) {
    explained.lines().iter().for_each(|line| eprintln!("{line}"));
}

/// What was typed as a question that records answer one by one.
pub fn question_of_lists(words: &[String], now: Timestamp) -> Result<What, Failure> {
    let what = question(words, now)?;
    match what.not_for_lists() {
        Some(error) => Err(Failure::question(&what.text, error)),
        None => Ok(what),
    }
}

/// What was typed as a question.
pub fn question(words: &[String], now: Timestamp) -> Result<What, Failure> {
    let text = words.iter().map(|word| requoted(word)).collect::<Vec<_>>().join(" ");
    What::parse(&text, now, &TimeZone::system()).map_err(|error| Failure::question(&text, error))
}

/// The shell takes the quotes of `subject:"two words"` away: they are put back around a value that is one argument's rest.
fn requoted(word: &str) -> String {
    match word.split_once(':') {
        Some((field, value))
            if field::may_have_spaces(field)
                && value.contains(char::is_whitespace)
                && !value.contains('"')
                && !value.split_whitespace().skip(1).any(field::is_term) =>
        {
            format!("{field}:\"{value}\"")
        }
        _ => word.to_owned(),
    }
}

pub fn render(listing: &Listing, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    let Some(newest) = listing.records.first() else {
        screen.line("Nothing matches.");
        return screen;
    };
    if look.width.is_some_and(|width| width < ROOMY) {
        listing.records.iter().for_each(|record| stacked(&mut screen, record, look));
    } else {
        let mut table = Table::new(&[("TIME", 19), ("STATE", 8), ("FROM", 12), ("TO", 12), ("WHY", 14), ("TRACE ID", 26)]);
        listing.records.iter().for_each(|record| table.row(row(record, look)));
        table.draw(&mut screen, look, 0);
    }
    screen.styled(Style::Faint, &format!("{}, {}", words::count(listing.records.len(), "record"), look.zone(newest.at()))).newline();
    screen
}

/// Columns from which on a record fits a line.
pub const ROOMY: usize = 120;

/// One record in two lines, for narrow terminals.
pub fn stacked(screen: &mut Screen, record: &Record, look: &Look) {
    let width = look.width.unwrap_or(ROOMY);
    let [time, state, from, to, why, id] = row(record, look);
    let address = width.saturating_sub(19 + 2 + 8 + 2 + 3) / 2;
    time.draw_whole(screen, 12);
    screen.pad(2);
    state.draw(screen, 8);
    screen.pad(2);
    from.draw_rest(screen, Some(address));
    screen.put(" → ");
    to.draw_rest(screen, Some(address));
    screen.newline().pad(2);
    id.draw(screen, 26);
    screen.pad(2);
    why.draw_rest(screen, Some(width.saturating_sub(30)));
    screen.newline();
}

/// One record in one line.
pub fn row(record: &Record, look: &Look) -> [Cell; 6] {
    let id = Cell::styled(Style::Faint, record.id().to_string());
    let time = |at: Time| Cell::from(look.clock.precise(at));
    match record {
        Record::Transaction(it) => {
            let recipients: Vec<&str> = it.envelope.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
            let more = it.envelope.recipients_cut as usize;
            let to = match recipients.as_slice() {
                [] => "-".to_owned(),
                [only] if more == 0 => (*only).to_owned(),
                [first, rest @ ..] => format!("{first} +{}", rest.len() + more),
            };
            // What was taken needs no reason where something else wasn't.
            let untaken = it.envelope.recipients.iter().find(|recipient| matches!(recipient.state.0, State::Rejected | State::Deferred));
            let untaken = untaken.filter(|_| it.outcome.state.0 == State::Partial).and_then(|it| Some((it, it.reply.as_ref()?)));
            let why = match (&it.outcome.reply, &it.outcome.detail) {
                _ if let Some((recipient, reply)) = untaken => format!("{}: {}", words::stage(recipient.stage.0), words::reply(reply)),
                (Some(reply), _) => format!("{}: {}", words::stage(it.outcome.stage.0), words::reply(reply)),
                (None, Some(detail)) => format!("{}: {detail}", words::stage(it.outcome.stage.0)),
                (None, None) => words::stage(it.outcome.stage.0).to_owned(),
            };
            let from = if it.envelope.reverse_path.is_empty() { "<>" } else { &it.envelope.reverse_path };
            [time(it.at), state(it.outcome.state.0), Cell::from(from), Cell::from(to), Cell::from(why), id]
        }
        Record::Session(it) => {
            let who = match &it.client.helo {
                Some(helo) => format!("{helo} [{}]", it.client.ip),
                None => format!("[{}]", it.client.ip),
            };
            let outcome = it.outcome.as_ref();
            // A refused login is more than how the session ended.
            let refused = it.client.auth.as_ref().filter(|auth| auth.outcome == "failed" && it.transactions == 0);
            let why = match (outcome.and_then(|outcome| outcome.reply.as_ref()), refused.and_then(|auth| auth.reply.as_ref())) {
                (None, Some(reply)) => format!("{}: {}", words::stage(Stage::Auth), words::reply(reply)),
                (Some(reply), _) => {
                    let stage = outcome.map_or(it.ended.stage, |outcome| outcome.stage);
                    format!("{}: {}", words::stage(stage.0), words::reply(reply))
                }
                (None, None) => {
                    let detail = outcome.and_then(|outcome| outcome.detail.as_deref()).or(it.ended.detail.as_deref());
                    let how = format!("{}: {} by {}", words::stage(it.ended.stage.0), it.ended.how, it.ended.by);
                    detail.map_or(how, |detail| format!("{}: {detail}", words::stage(it.ended.stage.0)))
                }
            };
            [time(it.at), Cell::styled(Style::Faint, "session"), Cell::from(who), Cell::from("-"), Cell::from(why), id]
        }
        Record::Amendment(it) => {
            let why = it.outcome.reply.as_ref().map(words::reply).or_else(|| it.outcome.detail.clone()).unwrap_or_default();
            [time(it.at), state(it.outcome.state.0), Cell::from("later word on"), Cell::from(it.of.to_string()), Cell::from(why), id]
        }
        Record::Gap(it) => {
            let lost = format!("{} lost", words::count(it.records_lost as usize, "record"));
            [
                time(it.at),
                Cell::styled(Style::Bad, "gap"),
                Cell::from(lost),
                Cell::from(format!("until {}", look.clock.moment(it.until))),
                Cell::from(&it.why),
                id,
            ]
        }
        Record::Log(it) => {
            let outcome = it.outcome.as_ref();
            let what = match outcome {
                Some(outcome) => Cell::styled(Style::of(outcome.state.0), it.event.to_string()),
                None => Cell::styled(Style::Faint, it.event.to_string()),
            };
            let said = it.reply.as_ref().map(words::reply).or_else(|| it.detail.clone()).unwrap_or_default();
            let why = format!("{} log{}: {said}", it.format, it.host.as_ref().map(|host| format!(" of {host}")).unwrap_or_default());
            let from = it.reverse_path.as_deref().map_or("-", |from| if from.is_empty() { "<>" } else { from });
            [time(it.at), what, Cell::from(from), Cell::from(it.recipient.as_deref().unwrap_or("-")), Cell::from(why), id]
        }
        Record::Audit(it) => {
            let why = it.detail.clone().unwrap_or_else(|| "Relayscope itself".to_owned());
            [time(it.at), Cell::styled(Style::Faint, it.event.to_string()), Cell::from(&it.node), Cell::from("-"), Cell::from(why), id]
        }
        Record::Incident(it) => {
            let what = Cell::styled(if it.step.0 == IncidentStep::Resolved { Style::Faint } else { Style::Wait }, it.step.to_string());
            let about = it.about.first().map_or("-", |about| about.value.as_str());
            [time(it.at), what, Cell::from(it.anomaly.to_string()), Cell::from(about), Cell::from(&it.summary), id]
        }
        Record::Mark(it) => {
            [time(it.at), Cell::styled(Style::Wait, "open"), Cell::from(&it.envelope.reverse_path), Cell::from("-"), Cell::from(""), id]
        }
    }
}

fn state(state: crate::trace::State) -> Cell {
    Cell::styled(Style::of(state), state.word())
}

#[cfg(test)]
mod tests {
    use super::requoted;

    #[test]
    fn quotes_that_the_shell_took_are_put_back() {
        let cases = [
            ("subject:two words", "subject:\"two words\""),
            ("since:2026-11-23 10:00", "since:\"2026-11-23 10:00\""),
            ("from:bob state:deferred", "from:bob state:deferred"),
            ("Re: your invoice", "Re: your invoice"),
            ("two words", "two words"),
        ];
        for (word, expected) in cases {
            assert_eq!(requoted(word), expected);
        }
    }
}
