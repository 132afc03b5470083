//! `relayscope export`: how forwarding to other systems stands, sending again, and forgetting a place.

use std::path::Path;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Traces;
use super::backend::{Backend, on_disk, store_dir};
use super::client::Answered;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, print, show_json};
use crate::export::format::at;
use crate::export::{Place, known_places};
use crate::http::{Export, Exports, Replayed, not_to_come};
use crate::metrics::PUSHED;
use crate::path::StoreTraces;
use crate::path::clock::{octets, span};
use crate::path::when::{self, Edge};
use crate::store::{Cursor, Day};
use crate::trace::json::Time;
use crate::wording::{number, several};

#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// Say of each export whether its receiver takes what it is sent, and how much waits
    #[command(
        after_help = "Exit status: 0 none fails, or no proxy runs and only the places are known, 1 one fails or none is configured, 2 usage, 3 store or network failure."
    )]
    List(List),
    /// Send everything again that was recorded since a time; the receiver tells what comes twice by the records' ids
    Replay(Replay),
    /// Forget the place of an export that is no longer configured: if it comes back, it begins anew
    Forget(Forget),
}

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    traces: Traces,
}

#[derive(Debug, Args)]
pub struct Replay {
    #[command(flatten)]
    traces: Traces,
    /// Name of the export
    #[arg(long, value_name = "NAME")]
    sink: String,
    /// From when on: 24h, 7d, today, 2026-11-23, …
    #[arg(long, value_name = "TIME")]
    since: String,
}

#[derive(Debug, Args)]
pub struct Forget {
    #[command(flatten)]
    traces: Traces,
    /// Name of the export
    #[arg(value_name = "NAME")]
    name: String,
}

impl ExportCommand {
    pub fn run(self) -> Result<Status, Failure> {
        match self {
            Self::List(it) => it.run(),
            Self::Replay(it) => it.run(),
            Self::Forget(it) => it.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<Status, Failure> {
        let look = Look::of_stdout(Timestamp::now());
        match Backend::open(&self.traces)? {
            Backend::Api(client) => {
                let found: Option<Exports> = client.get("/api/v1/exports", &[])?;
                let found =
                    found.ok_or_else(|| Failure::failed(anyhow::anyhow!("the API does not know of exports: is it another version?")))?;
                if self.traces.json {
                    found.exports.iter().try_for_each(show_json)?;
                } else {
                    running(&found.exports, &look).show()?;
                }
                let well = !found.exports.is_empty() && found.exports.iter().all(|it| it.state != "failing");
                Ok(if well { Status::Done } else { Status::NotFound })
            }
            Backend::Store(traces) => self.stopped(&store_dir(&self.traces)?, &traces, &look),
        }
    }

    /// Of a proxy that doesn't run only the places are known.
    fn stopped(&self, dir: &Path, traces: &StoreTraces, look: &Look) -> Result<Status, Failure> {
        let names = known_places(dir);
        let mut screen = Screen::new(look);
        screen.line("No proxy runs with this store, so nothing is sent. Where each export goes on:");
        for name in &names {
            match Place::read(dir, name) {
                Ok(Some(place)) => {
                    let waiting = waiting(traces, place.at)?;
                    if self.traces.json {
                        show_json(&serde_json::json!({ "name": name, "place": place.at.to_string(), "backlog": waiting }))?;
                    }
                    let noted = look.clock.moment(Time(place.written_at));
                    screen.line(&format!(
                        "  {name}: {}, as of {noted} (place {})",
                        several(waiting, "record waits", "records wait"),
                        place.at
                    ));
                }
                Ok(None) => {}
                Err(error) => return Err(Failure::failed(error)),
            }
        }
        if names.is_empty() {
            eprintln!("nothing was ever exported from this store: see [[export]] in the configuration");
            return Ok(Status::NotFound);
        }
        if !self.traces.json {
            screen.show()?;
        }
        Ok(Status::Done)
    }
}

fn waiting(traces: &StoreTraces, at: Cursor) -> Result<u64, Failure> {
    let days = traces.store().places_from(at).map_err(Failure::failed)?;
    Ok(days.iter().map(|(_, records)| records).sum())
}

fn running(exports: &[Export], look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    if exports.is_empty() {
        screen.line("Nothing is exported: the configuration has no [[export]].");
        return screen;
    }
    for it in exports {
        let style = if it.state == "failing" { Style::Bad } else { Style::Good };
        screen.styled(style, &it.state).put("  ").styled(Style::Bold, &it.name).line(&format!("  {} to {}", it.kind, it.to));
        let waits = match it.backlog {
            0 => "nothing waits".to_owned(),
            count => format!("{}, the oldest for {}", several(count, "record waits", "records wait"), span(it.lag_us)),
        };
        let last = it.last_sent_at.map(|at| format!(", the last at {}", look.clock.moment(at))).unwrap_or_default();
        let sent = |what: &str| format!("  {} {what} sent ({}){last}", number(it.sent), octets(it.octets));
        match &*it.kind {
            PUSHED => screen.line(&sent("points of metrics")),
            _ => screen.line(&format!("{}; {waits}", sent("events"))),
        };
        if let (Some(why), Some(since)) = (&it.why, it.failing_since) {
            screen.paragraph(Style::Plain, &format!("nothing is taken since {}: {why}", look.clock.moment(since)), None, 2);
        }
        if it.refused > 0 {
            let last = it.last_refusal.as_deref().unwrap_or_default();
            screen.paragraph(
                Style::Plain,
                &format!(
                    "{} {} were refused for good and left out{}, the last: {last}",
                    number(it.refused),
                    if it.kind == PUSHED { "points of metrics" } else { "events" },
                    if it.kind == PUSHED { "" } else { " (once that is mended, `relayscope export replay` sends them again)" }
                ),
                None,
                2,
            );
        }
        if it.expired > 0 {
            screen.line(&format!("  {} records were removed by retention before they were sent", number(it.expired)));
        }
        if it.filtered > 0 {
            screen.line(&format!("  {} records were not for it", number(it.filtered)));
        }
    }
    screen
}

impl Replay {
    fn run(self) -> Result<Status, Failure> {
        let look = Look::of_stdout(Timestamp::now());
        let since = when::parse(&self.since, Edge::Since, Timestamp::now(), &TimeZone::system());
        let since = since.map_err(|error| Failure::usage(format!("--since {error}")))?;
        not_to_come(since).map_err(|why| Failure::usage(format!("--{why}")))?;
        let name = &self.sink;
        let from = match Backend::open_to_write(&self.traces)? {
            Backend::Api(client) => {
                let asked = Time(since).to_string();
                match client.post::<Replayed>(&format!("/api/v1/exports/{}/replay", path_part(name)?), &[("since", &asked)])? {
                    Answered::Done(replayed) => replayed.since.0,
                    Answered::Refused(why) | Answered::NotFound(why) => return Err(Failure::usage(why)),
                    Answered::Unknown => {
                        return Err(Failure::usage("an export is set back only through the store's api.sock: name it with --store DIR"));
                    }
                }
            }
            Backend::Store(traces) => {
                let dir = store_dir(&self.traces)?;
                if !known_places(&dir).contains(name) {
                    return Err(Failure::usage(format!("no export {name:?} ever ran with this store")));
                }
                // What was never sent is sent in any case.
                let before = Place::read(&dir, name).map_err(Failure::failed)?;
                let first = |place: &Place| traces.store().first_from(place.at).ok().flatten().map(|record| at(&record));
                let waiting = before.as_ref().and_then(|place| place.since.or_else(|| first(place)));
                let from = waiting.map_or(since, |waiting| waiting.min(since));
                let place = Place { at: Cursor::at_start_of(Day::of(from)), since: Some(from), written_at: traces.store().now() };
                place.write(&dir, name).map_err(Failure::failed)?;
                from
            }
        };
        if self.traces.json {
            show_json(&Replayed { name: name.clone(), since: Time(from) })?;
            return Ok(Status::Done);
        }
        let mut screen = Screen::new(&look);
        screen.line(&format!("{name} sends again what was recorded since {}.", look.clock.moment(Time(from))));
        if from < since {
            screen.line("That is earlier than asked: what was recorded between was never taken, or isn't known to be.");
        }
        screen.show()?;
        Ok(Status::Done)
    }
}

/// A name as it can stand in a path.
fn path_part(name: &str) -> Result<&str, Failure> {
    let fit = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'));
    if fit { Ok(name) } else { Err(Failure::usage(format!("{name:?} is no export's name"))) }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Forgotten {
    name: String,
}

impl Forget {
    fn run(self) -> Result<Status, Failure> {
        // The place lies with the traces: a proxy that is asked elsewhere has another.
        let traces = on_disk(self.traces)?;
        if let Backend::Api(client) = Backend::open_to_write(&traces)?
            && let Some(found) = client.get::<Exports>("/api/v1/exports", &[])?
            && found.exports.iter().any(|it| it.name == self.name)
        {
            return Err(Failure::usage(format!("export {:?} runs: take it out of the configuration first", self.name)));
        }
        let dir = store_dir(&traces)?;
        if !known_places(&dir).contains(&self.name) {
            eprintln!("no export {:?} has a place in this store", self.name);
            return Ok(Status::NotFound);
        }
        Place::forget(&dir, path_part(&self.name)?).map_err(Failure::failed)?;
        if traces.json {
            show_json(&Forgotten { name: self.name })?;
            return Ok(Status::Done);
        }
        print(&format!("{} is forgotten: if it comes back, it begins anew.\n", self.name))?;
        Ok(Status::Done)
    }
}
