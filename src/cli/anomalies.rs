//! `relayscope anomalies`: what goes wrong at present, an incident with its course, muting one, and a replay over old records.

use std::sync::Arc;

use clap::{ArgGroup, Args};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Traces;
use super::backend::Backend;
use super::client::{Answered, whole_lines};
use super::failure::{Failure, Status};
use super::progress::Progress;
use super::screen::{Look, Screen, Style, show_json};
use crate::anomaly::{Book, Watch};
use crate::config;
use crate::path::clock::span;
use crate::path::export::Export as Records;
use crate::path::incidents::{self, Asked, Course, Incidents, MuteError};
use crate::path::when::{self, Edge};
use crate::path::{StoreTraces, Traces as _, What, words};
use crate::store::StoreError;
use crate::trace::json::{self, Time};
use crate::trace::{AboutKind, Incident, IncidentStep, Origin, Record, RecordId, Severity};
use crate::wording::number;

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("muting").args(["mute", "unmute"]),
    after_help = "Exit status: 0 nothing is wrong, 1 there are open incidents (or no such incident), 2 usage, 3 store or network failure."
)]
pub struct Anomalies {
    #[command(flatten)]
    traces: Traces,
    /// One incident, whole: its id, or that of one of its entries
    #[arg(value_name = "ID")]
    id: Option<RecordId>,
    /// Those that ended since then as well: 24h, 7d, today, 2026-11-23, …; with --replay: from when on
    #[arg(long, value_name = "TIME", conflicts_with = "id")]
    since: Option<String>,
    /// Only this kind: upstream_down, sending_limit_near, …
    #[arg(long, value_name = "KIND", conflicts_with = "id")]
    kind: Option<String>,
    /// Nobody is notified of the incident for so long: 30m, 8h, 2d
    #[arg(long, value_name = "SPAN", requires = "id")]
    mute: Option<String>,
    /// Notify of the incident again
    #[arg(long, requires = "id")]
    unmute: bool,
    /// With --mute or --unmute: why, for whoever looks at it later
    #[arg(long, value_name = "TEXT", requires = "muting")]
    note: Option<String>,
    /// Go through old records as if they came now, and say which incidents there would have been; nothing is written
    #[arg(long, conflicts_with = "id")]
    replay: bool,
    /// Configuration whose thresholds the replay goes by [default: as for `run`]
    #[arg(long, value_name = "FILE", requires = "replay")]
    config: Option<std::path::PathBuf>,
}

/// Incidents of one answer for people.
const LIMIT: usize = 200;
/// And for programs: as many as the API gives.
const JSON_LIMIT: usize = 1_000;

impl Anomalies {
    pub fn run(self) -> Result<Status, Failure> {
        let look = Look::of_stdout(Timestamp::now()).asking(&self.traces);
        if self.replay {
            return self.replayed(&look);
        }
        let changes = self.mute.is_some() || self.unmute;
        let backend = if changes { Backend::open_to_write(&self.traces)? } else { Backend::open(&self.traces)? };
        let Some(id) = self.id else { return self.list(&backend, &look) };
        if changes {
            return self.muted(&backend, id, &look);
        }
        let course: Option<Course> = match &backend {
            Backend::Store(traces) => incidents::course(traces.store(), id).map_err(Failure::failed)?,
            Backend::Api(client) => client.get(&format!("/api/v1/anomalies/{id}"), &[])?,
        };
        let Some(course) = course else {
            eprintln!("no incident {id}");
            return Ok(Status::NotFound);
        };
        if self.traces.json {
            course.entries.iter().try_for_each(show_json)?;
        } else {
            whole(&course, &look).show()?;
        }
        Ok(Status::Done)
    }

    fn list(&self, backend: &Backend, look: &Look) -> Result<Status, Failure> {
        let kind = self.kind.as_deref().map(kind).transpose()?;
        let since = self.since(Timestamp::now())?;
        let limit = if self.traces.json { JSON_LIMIT } else { LIMIT };
        let asked = Asked { ended_since: since, anomaly: kind, limit };
        let found: Incidents = match backend {
            Backend::Store(traces) => incidents::list(traces.store(), &asked).map_err(Failure::failed)?,
            Backend::Api(client) => {
                let (limit, since) = (limit.to_string(), since.map(|at| Time(at).to_string()));
                let mut query = vec![("limit", limit.as_str())];
                query.extend(since.as_deref().map(|since| ("since", since)));
                query.extend(kind.map(|kind| ("anomaly", kind.word())));
                client
                    .get("/api/v1/anomalies", &query)?
                    .ok_or_else(|| Failure::failed(anyhow::anyhow!("the API does not know of anomalies: is it another version?")))?
            }
        };
        // A proxy of the version before doesn't count them.
        let shown = found.incidents.iter().filter(|it| it.step.0 != IncidentStep::Resolved).count();
        let found = Incidents { open: found.open.max(shown), ..found };
        let unwatched = match backend {
            Backend::Store(traces) => Some(unwatched(traces, look).map_err(Failure::failed)?),
            Backend::Api(_) => None,
        };
        if self.traces.json {
            found.incidents.iter().try_for_each(show_json)?;
            left_out(&found, kind.is_none(), true).into_iter().chain(unwatched).for_each(|said| eprintln!("{said}"));
        } else {
            let mut screen = overview(&found, kind.is_none(), since.is_some(), look);
            unwatched.iter().for_each(|said| {
                screen.styled(Style::Wait, said).newline();
            });
            screen.show()?;
        }
        Ok(if found.open == 0 { Status::Done } else { Status::NotFound })
    }

    fn muted(&self, backend: &Backend, id: RecordId, look: &Look) -> Result<Status, Failure> {
        let now = Timestamp::now();
        let until = self.mute.as_deref().map(|text| when::ahead(text, now, &TimeZone::system())).transpose();
        let until = until.map_err(|error| Failure::usage(format!("--mute {error}")))?;
        let who = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "somebody".to_owned());
        let entry: json::Incident = match backend {
            Backend::Store(traces) => {
                let muted = incidents::mute(traces.store(), id, until.unwrap_or_default(), &who, self.note.clone());
                match muted {
                    Err(error @ (MuteError::Unknown(_) | MuteError::Over(_))) => return refused(&error.to_string()),
                    muted => muted.map_err(Failure::failed)?,
                }
            }
            Backend::Api(client) => {
                let until = until.map(|at| Time(at).to_string());
                let mut query = vec![("who", who.as_str())];
                query.extend(until.as_deref().map(|until| ("until", until)));
                query.extend(self.note.as_deref().map(|note| ("note", note)));
                match client.post(&format!("/api/v1/anomalies/{id}/mute"), &query)? {
                    Answered::Done(entry) => entry,
                    Answered::Refused(why) | Answered::NotFound(why) => return refused(&why),
                    Answered::Unknown => {
                        return Err(Failure::usage("an incident is muted only through the store's api.sock: name it with --store DIR"));
                    }
                }
            }
        };
        if self.traces.json {
            show_json(&entry)?;
        } else {
            let mut screen = Screen::new(look);
            let said = match &entry.mute {
                Some(mute) => format!(
                    "Nobody is notified of {} until {} {}.",
                    entry.incident,
                    look.clock.moment(mute.until),
                    look.clock.zone_name(mute.until)
                ),
                None => format!("{} is notified of again.", entry.incident),
            };
            screen.line(&said);
            screen.show()?;
        }
        Ok(Status::Done)
    }

    fn since(&self, now: Timestamp) -> Result<Option<u64>, Failure> {
        let read = |text: &String| when::parse(text, Edge::Since, now, &TimeZone::system());
        self.since.as_ref().map(read).transpose().map_err(|error| Failure::usage(format!("--since {error}")))
    }

    /// Has a watch of its own go through the records. Nothing is known of the time before them, so the first days teach what is usual.
    fn replayed(&self, look: &Look) -> Result<Status, Failure> {
        let since = self.since(Timestamp::now())?;
        let question = since.map(|at| format!("since:{}", Time(at))).unwrap_or_default();
        let what = What::parse(&question, Timestamp::now(), &TimeZone::UTC).map_err(|error| Failure::usage(error.to_string()))?;
        let kind = self.kind.as_deref().map(kind).transpose()?;
        let options = config::watch_options(self.config.as_deref()).map_err(|errors| Failure::usage(errors.to_string()))?;
        let origin =
            Origin { node: "replay".to_owned(), proxy_version: env!("CARGO_PKG_VERSION").to_owned(), config_digest: String::new() };
        let mut watch = Watch::new(&options.anomaly, Book::new(options.anomaly.book.clone(), Arc::new(origin.into())));
        let (mut entries, mut progress, mut unread) = (Vec::new(), Progress::new("replayed"), Vec::new());
        let mut take = |octets: &[u8]| {
            unread.extend_from_slice(octets);
            for line in whole_lines(&mut unread).split(|&octet| octet == b'\n').filter(|line| !line.is_empty()) {
                let record = json::read(line).ok().and_then(|record| Record::try_from(record).ok());
                // Incidents of the past would tell the book what it is to find out.
                if let Some(record) = record.filter(|record| !matches!(record, Record::Incident(_))) {
                    watch.observe(&record, &mut entries);
                }
                progress.add(1);
            }
            Ok(())
        };
        match Backend::open(&self.traces)? {
            Backend::Api(client) => client.stream("/api/v1/store/export", &[("q", &what.canonical())], &mut take)?,
            Backend::Store(traces) => {
                let mut records = Records::begin(traces, &what, &|| true).map_err(Failure::failed)?;
                while let Some(lines) = records.next_lines().map_err(Failure::failed)? {
                    take(&lines)?;
                }
            }
        }
        watch.end(&mut entries);
        let records = progress.end();
        entries.retain(|entry: &Incident| kind.is_none_or(|kind| entry.anomaly == kind));
        if self.traces.json {
            entries.iter().map(json::Incident::from).try_for_each(|entry| show_json(&entry))?;
        } else {
            replay(&entries, records, look).show()?;
        }
        Ok(if entries.is_empty() { Status::Done } else { Status::NotFound })
    }
}

fn refused(why: &str) -> Result<Status, Failure> {
    eprintln!("{why}");
    Ok(Status::NotFound)
}

fn kind(word: &str) -> Result<crate::trace::Anomaly, Failure> {
    crate::trace::Anomaly::from_word(word).ok_or_else(|| {
        let words: Vec<&str> = crate::trace::Anomaly::ALL.iter().map(|it| it.word()).collect();
        let near = crate::path::nearest::nearest_word(word, &words).map_or(".".to_owned(), |near| format!("; did you mean {near}?"));
        Failure::usage(format!("--kind: {word:?} is none{near} One of: {}", words.join(" ")))
    })
}

fn style(entry: &json::Incident) -> Style {
    match (entry.step.0, entry.severity.0) {
        (IncidentStep::Resolved, _) => Style::Faint,
        (_, Severity::Critical) => Style::Bad,
        (_, Severity::Warning) => Style::Wait,
        (_, Severity::Notice) => Style::Plain,
    }
}

/// Nobody watches a stopped proxy's store: what it shows is as old as its last record.
fn unwatched(traces: &StoreTraces, look: &Look) -> Result<String, StoreError> {
    let last = match traces.reach()? {
        Some((_, newest)) => format!("its last record is of {} {}", look.clock.moment(Time(newest)), look.clock.zone_name(Time(newest))),
        None => "it holds no record".to_owned(),
    };
    Ok(format!("No proxy runs on this store: {last}; what went wrong since then nobody has seen."))
}

/// What isn't among those shown, and how to see it. `of_all`: no kind was asked for.
fn left_out(found: &Incidents, of_all: bool, json: bool) -> Vec<String> {
    let mut said = Vec::new();
    if found.more > 0 {
        let ways = [
            (!json).then(|| format!("--json shows up to {}", number(JSON_LIMIT as u64))),
            of_all.then(|| "--kind those of one kind".to_owned()),
        ];
        let ways: Vec<String> = ways.into_iter().flatten().collect();
        let way = if ways.is_empty() { String::new() } else { format!(": {}", ways.join(", ")) };
        said.push(format!("{} more{way}.", number(found.more as u64)));
    }
    if found.cut_short {
        said.push("There are so many entries that the oldest incidents were left out.".to_owned());
    }
    said
}

fn overview(found: &Incidents, of_all: bool, with_ended: bool, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    let open = found.open;
    let least = if found.cut_short { "At least " } else { "" };
    let verdict = match open {
        0 => "Nothing is wrong that the traces show.".to_owned(),
        1 => format!("{least}1 incident is open."),
        many => format!("{least}{} incidents are open.", number(many as u64)),
    };
    screen.styled(if open == 0 { Style::Good } else { Style::Bold }, &verdict).newline();
    for entry in &found.incidents {
        screen.newline();
        brief(&mut screen, entry, look);
    }
    for said in left_out(found, of_all, false) {
        screen.newline().line(&said);
    }
    if open > 0 {
        screen
            .newline()
            .styled(Style::Faint, &format!("`relayscope anomalies ID{}` shows one whole, `… ID --mute 8h` keeps it quiet.", look.again))
            .newline();
    } else if !with_ended {
        screen.styled(Style::Faint, "Those that are over: --since 24h.").newline();
    }
    screen
}

/// An incident in four lines: what, judged how, what to do, since when.
fn brief(screen: &mut Screen, entry: &json::Incident, look: &Look) {
    let width = look.width.map(|width| width.saturating_sub(2));
    let over = if entry.step.0 == IncidentStep::Resolved { ", over" } else { "" };
    let muted = entry.mute.as_ref().map(|mute| format!(", muted until {}", look.clock.moment(mute.until))).unwrap_or_default();
    screen.styled(style(entry), &format!("{}{over}{muted}: ", entry.severity)).styled(Style::Bold, entry.anomaly.0.word()).newline();
    screen.pad(2).paragraph(Style::Plain, &entry.summary, width, 2);
    if entry.step.0 != IncidentStep::Resolved {
        screen.pad(2).paragraph(Style::Plain, &format!("{} must act: {}", words::act(entry.act.0), entry.advice), width, 2);
    }
    let times = format!(
        "{} to {}, {}, incident {}",
        look.clock.moment(entry.since),
        look.clock.moment(entry.last),
        words::count(usize::try_from(entry.count).unwrap_or(usize::MAX), "event"),
        entry.incident
    );
    screen.pad(2).paragraph(Style::Faint, &times, width, 2);
}

fn whole(course: &Course, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    let Some(last) = course.entries.last() else { return screen };
    brief(&mut screen, last, look);
    let width = look.width.map(|width| width.saturating_sub(16));
    let mut fact = |name: &str, value: &str| {
        screen.pad(2).styled(Style::Faint, &format!("{name:<14}")).paragraph(Style::Plain, value, width, 16);
    };
    fact("Judged by", &last.arithmetic);
    last.baseline.iter().for_each(|baseline| fact("Usual", baseline));
    last.cause.iter().for_each(|cause| fact("Cause", cause.0.word()));
    last.about.iter().for_each(|about| fact(about.kind.0.word(), &about.value));
    if let Some(change) = &last.change {
        fact("Before", &change.before);
        fact("Now", &change.after);
        change.last_before.iter().for_each(|&at| fact("", &format!("last seen as before at {}", look.clock.moment(at))));
    }
    last.part_of.iter().for_each(|wider| fact("Part of", &wider.to_string()));
    last.samples.iter().for_each(|id| fact("For example", &look.proposal(&format!("relayscope show {id}"))));
    screen.newline().styled(Style::Bold, "Course").newline();
    let lasted = last.at.0.saturating_sub(last.since.0);
    for entry in &course.entries {
        let by = entry.who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
        let note = entry.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        let said = match entry.step.0 {
            IncidentStep::Resolved | IncidentStep::Muted | IncidentStep::Unmuted => format!("{}{by}{note}", entry.step),
            _ => format!("{}, {}: {}", entry.step, entry.severity, entry.summary),
        };
        screen.pad(2).styled(Style::Faint, &look.clock.moment(entry.at)).put("  ").paragraph(Style::Plain, &said, width, 16);
    }
    screen.pad(2).styled(Style::Faint, &format!("{} in all, {}", span(lasted), look.zone(last.at))).newline();
    screen
}

fn replay(entries: &[Incident], records: u64, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    let opened = entries.iter().filter(|entry| entry.step == IncidentStep::Opened).count();
    let verdict = format!("{} records, {}.", number(records), words::count(opened, "incident"));
    screen.styled(Style::Bold, &verdict).newline();
    for entry in entries {
        let at = look.clock.moment(Time(entry.at));
        let about: Vec<String> = entry.about.iter().map(|about| format!("{} {}", about.kind, about.value)).collect();
        let upstream = entry.about.iter().any(|about| about.kind == AboutKind::Upstream);
        let style = if upstream || entry.severity == Severity::Critical { Style::Wait } else { Style::Plain };
        screen
            .put(&at)
            .put("  ")
            .styled(style, &format!("{} {}", entry.step, entry.anomaly))
            .put(&format!(" ({})", about.join(", ")))
            .newline();
        let width = look.width.map(|width| width.saturating_sub(4));
        screen.pad(4).paragraph(Style::Plain, entry.note.as_deref().filter(|_| !entry.is_open()).unwrap_or(&entry.summary), width, 4);
        if entry.is_open() {
            screen.pad(4).paragraph(Style::Faint, &entry.arithmetic, width, 4);
        }
    }
    screen
}
