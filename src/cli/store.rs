//! `relayscope store …`: how the store itself is, and what moves it.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::Traces;
use super::backend::{self, Backend};
use super::backup::Backup;
use super::export::Export;
use super::failure::{Failure, Status};
use super::import::Import;
use super::reclassify::Reclassify;
use super::screen::{Look, Screen, Style, show_json};
use crate::path::ask::StoreNumbers;
use crate::path::clock::octets;
use crate::path::words;
use crate::store::{self, CheckReport, OpenError, RecoveryReport};
use crate::wording::number;

#[derive(Debug, Args)]
pub struct StoreCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read all of it and say what is wrong, by file and octet; changes nothing, and may run beside the proxy
    Check(#[command(flatten)] Traces),
    /// Records, days and octets
    Stats(#[command(flatten)] Traces),
    /// Make a backup that is a store itself; the proxy may go on
    Backup(Backup),
    /// Write records as NDJSON, oldest first, whole
    Export(Export),
    /// Take in NDJSON that an export wrote, each record once; the proxy must be stopped
    Import(Import),
    /// Ask the rules of today about records of yesterday: what they say otherwise is appended, the records stay as they are
    Reclassify(Reclassify),
    /// Throw the index of a stopped proxy's store away and make it anew from the journal
    RebuildIndex(#[command(flatten)] Traces),
}

impl StoreCommand {
    pub fn run(self) -> Result<Status, Failure> {
        let look = Look::of_stdout(Timestamp::now());
        match self.action {
            Action::Check(traces) => {
                let dir = backend::store_dir(&backend::on_disk(traces.clone())?)?;
                backend::must_be_store(&dir)?;
                let report = store::check(&dir).map_err(backend::not_opened)?;
                if traces.json {
                    show_json(&check_json(&report))?;
                } else {
                    render_check(&report, &look).show()?;
                }
                Ok(if report.problems.is_empty() { Status::Done } else { Status::NotFound })
            }
            Action::Stats(traces) => {
                let numbers = Backend::open(&traces)?.store_stats()?;
                if traces.json {
                    show_json(&numbers)?;
                } else {
                    render_stats(&numbers, &look).show()?;
                }
                Ok(if numbers.failing.is_some() { Status::NotFound } else { Status::Done })
            }
            Action::Backup(backup) => backup.run(),
            Action::Export(export) => export.run(),
            Action::Import(import) => import.run(),
            Action::Reclassify(reclassify) => reclassify.run(),
            Action::RebuildIndex(traces) => {
                let dir = backend::store_dir(&backend::on_disk(traces.clone())?)?;
                backend::must_be_store(&dir)?;
                let report = store::rebuild_index(backend::options(&dir)).map_err(|error| match error {
                    OpenError::InUse { .. } | OpenError::InUseBySomebody { .. } => {
                        Failure::failed(error).advise("stop the proxy first; a running one mends its index by itself")
                    }
                    other => backend::not_opened(other),
                })?;
                if traces.json {
                    let unreadable: Vec<_> =
                        report.unreadable.iter().map(|(file, why)| json!({"file": file.display().to_string(), "why": why})).collect();
                    show_json(&json!({
                        "records": report.records,
                        "indexed": report.replayed,
                        "unfinished": report.unfinished,
                        "unreadable": unreadable,
                        "damaged_places": report.damage.len(),
                    }))?;
                } else {
                    render_rebuild(&report, &look).show()?;
                }
                // Half a store must not pass for whole.
                let is_whole = report.unreadable.is_empty() && report.damage.is_empty();
                Ok(if is_whole { Status::Done } else { Status::NotFound })
            }
        }
    }
}

fn check_json(report: &CheckReport) -> serde_json::Value {
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|it| json!({"file": it.file.display().to_string(), "offset": it.offset, "what": it.what, "loses_records": it.loses_records}))
        .collect();
    let kinds: serde_json::Map<_, _> = report.kinds.iter().map(|(kind, count)| (kind.to_string(), (*count).into())).collect();
    json!({
        "sound": report.is_sound(),
        "in_use": report.in_use_by.is_some(),
        "days": report.days,
        "files": report.files,
        "octets": report.octets,
        "records": kinds,
        "staged_octets": report.staged_octets,
        "problems": problems,
    })
}

fn render_check(report: &CheckReport, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    let (style, verdict) = match (report.problems.len(), report.is_sound()) {
        (0, _) => (Style::Good, "The store is sound.".to_owned()),
        (count, true) => (Style::Wait, format!("{}, mended at the next start; no record is lost.", words::count(count, "problem"))),
        (count, false) => (Style::Bad, format!("{}: records are lost or unreadable.", words::count(count, "problem"))),
    };
    screen.styled(style, &verdict).newline();
    for problem in &report.problems {
        let lost = if problem.loses_records { "LOST" } else { "mends" };
        let text = format!("{lost}  {} at octet {}: {}", problem.file.display(), number(problem.offset), problem.what);
        screen.pad(2).paragraph(if problem.loses_records { Style::Bad } else { Style::Wait }, &text, look.width.map(|width| width - 2), 4);
    }
    let kinds: Vec<String> = report.kinds.iter().map(|(kind, count)| format!("{} {kind}", number(*count))).collect();
    let read = format!(
        "{} in {} over {}",
        octets(report.octets),
        words::count(size(report.files), "file"),
        words::count(size(report.days), "day")
    );
    screen.paragraph(Style::Plain, &format!("Read: {read}; records: {}", or_none(&kinds.join(", "))), look.width, 2);
    if report.staged_octets > 0 {
        let left = octets(report.staged_octets);
        screen.line(&format!("{left} of records lie in memory, left by a proxy that was killed: the next start takes them in."));
    }
    if report.in_use_by.is_some() {
        screen.line("A proxy is writing to it meanwhile: the end of its newest file was left out.");
    }
    screen
}

fn render_rebuild(report: &RecoveryReport, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    screen.line(&format!("Indexed {} of {} records anew.", number(report.replayed), number(report.records)));
    for (file, why) in &report.unreadable {
        screen.styled(Style::Bad, &format!("{}: {why}", file.display())).newline();
    }
    if !report.damage.is_empty() {
        let places = words::count(report.damage.len(), "place");
        screen.styled(Style::Bad, &format!("Damaged: {places} in the journal; `relayscope store check` names them.")).newline();
    }
    if report.unfinished {
        screen.line("It is not finished: the next start of the proxy goes on with it.");
    }
    screen
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// How far back what is kept reaches.
fn reach(numbers: &StoreNumbers) -> String {
    let since = |day: &Option<String>| day.as_ref().map_or("none".to_owned(), |day| format!("since {day}"));
    let failures =
        if numbers.oldest_day == numbers.oldest_whole_day { String::new() } else { format!("; failures {}", since(&numbers.oldest_day)) };
    format!("all records {}{failures}; dialogues {}", since(&numbers.oldest_whole_day), since(&numbers.oldest_dialogue_day))
}

fn render_stats(numbers: &StoreNumbers, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    if let Some(failing) = &numbers.failing {
        let text = format!("Records are being lost since {}: {}", look.clock.moment(failing.since), failing.why);
        screen.paragraph(Style::Bad, &text, look.width, 2);
    }
    let days = match (&numbers.oldest_day, &numbers.newest_day) {
        (Some(oldest), Some(newest)) if oldest != newest => format!("{} ({oldest} to {newest}, UTC)", number(numbers.days)),
        (Some(only), _) => format!("{} ({only}, UTC)", number(numbers.days)),
        _ => "none".to_owned(),
    };
    let files = format!("{} active, {} sealed", number(numbers.active_files), number(numbers.sealed_files));
    let facts = [
        ("Records", number(numbers.records)),
        ("Days", days),
        ("Reach", reach(numbers)),
        ("Journal", format!("{} in files: {files}; {} of it dialogues", octets(numbers.journal_octets), octets(numbers.dialogue_octets))),
        (
            "Index",
            format!("{}, {} runs, {} records not yet in it", octets(numbers.index_octets), number(numbers.runs), number(numbers.unindexed)),
        ),
        ("Lost", format!("{} records since the proxy's start", number(numbers.records_lost))),
    ];
    for (name, value) in facts {
        screen.styled(Style::Faint, &format!("{name:<10}")).line(&value);
    }
    screen
}
