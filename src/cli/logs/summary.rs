//! What an import read, what came of it, and what it could not read.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::json;

use super::sink::Taken;
use crate::cli::failure::{Failure, Status};
use crate::cli::screen::{Look, Screen, Style, show_json};
use crate::import::{Counts, Format, LogEvent, Unreadable};
use crate::path::words::count;
use crate::wording::{number, several};

/// Unreadable lines that are shown in all.
const SHOWN: usize = 10;

#[derive(Default)]
pub struct Summary {
    files: Vec<(PathBuf, Format, u64)>,
    counts: Counts,
    unreadable: Vec<(PathBuf, Unreadable)>,
}

impl Summary {
    pub fn add(&mut self, path: &Path, format: Format, counts: &Counts, unreadable: Vec<Unreadable>) {
        self.files.push((path.to_owned(), format, counts.read));
        self.counts.add(counts);
        let room = SHOWN.saturating_sub(self.unreadable.len());
        self.unreadable.extend(unreadable.into_iter().take(room).map(|line| (path.to_owned(), line)));
    }

    /// Not found, if there were lines and none was of such a log.
    pub fn show(&self, taken: Taken, is_dry: bool, as_json: bool) -> Result<Status, Failure> {
        match (as_json, is_dry) {
            // The records are what was asked for.
            (true, true) => {
                eprint!("{}", self.render(taken, is_dry, &Look { colours: false, ..Look::of_stdout(Timestamp::now()) }).as_str())
            }
            (true, false) => show_json(&self.json(taken))?,
            (false, _) => self.render(taken, is_dry, &Look::of_stdout(Timestamp::now())).show()?,
        }
        Ok(if self.counts.lines > 0 && self.counts.read == 0 { Status::NotFound } else { Status::Done })
    }

    fn json(&self, taken: Taken) -> serde_json::Value {
        let it = &self.counts;
        let events: serde_json::Map<_, _> = events(it).map(|(event, entries)| (event.word().to_owned(), entries.into())).collect();
        let files: Vec<_> =
            self.files.iter().map(|(path, format, _)| json!({"file": path.display().to_string(), "format": format.word()})).collect();
        let unreadable: Vec<_> = self
            .unreadable
            .iter()
            .map(|(path, line)| json!({"file": path.display().to_string(), "line": line.line, "why": line.why, "text": line.text}))
            .collect();
        json!({
            "files": files,
            "lines": it.lines,
            "read": it.read,
            "foreign": it.foreign,
            "unreadable": it.unreadable,
            "older": it.older,
            "forgotten": it.forgotten,
            "cut": it.cut,
            "guessed": it.guessed,
            "entries": it.entries(),
            "events": events,
            "added": taken.added,
            "known": taken.known,
            "shown": unreadable,
        })
    }

    fn render(&self, taken: Taken, is_dry: bool, look: &Look) -> Screen {
        let it = &self.counts;
        let mut screen = Screen::new(look);
        let lines = format!(
            "Read {} of {}: {} of mail, {} of something else, {} unreadable.",
            lines(it.lines),
            self.sources(),
            number(it.read),
            number(it.foreign),
            number(it.unreadable)
        );
        screen.paragraph(Style::Plain, &lines, look.width, 2);
        let events: Vec<String> = events(it).map(|(event, entries)| format!("{} {event}", number(entries))).collect();
        if !events.is_empty() {
            screen.paragraph(Style::Plain, &format!("They say: {}.", events.join(", ")), look.width, 2);
        }
        if is_dry {
            screen.line(&format!("Nothing was stored (--dry-run); {} would be looked for in the store, and added.", records(it.entries())));
        } else {
            screen.line(&format!("{} added, {} there already.", records(taken.added), number(taken.known)));
        }
        for (count, what) in [
            (it.older, "left out as older than --since."),
            (it.forgotten, "queue ids forgotten while their messages were under way: later lines of theirs may lack sender or Message-ID."),
            (it.cut, "texts cut, because they were longer than a record keeps."),
            (
                it.guessed,
                "dates read with the month first, because no line before them had shown what comes first: --dates dmy or --dates mdy says it. What is in the store keeps its date.",
            ),
        ] {
            if count > 0 {
                screen.paragraph(Style::Plain, &format!("{} {what}", number(count)), look.width, 2);
            }
        }
        for (path, format, _) in self.files.iter().filter(|(_, _, read)| *read == 0) {
            let text =
                format!("{}: no line of {} in it: is it another server's log, or one with another form?", path.display(), name(*format));
            screen.paragraph(Style::Wait, &text, look.width, 2);
        }
        self.render_unreadable(&mut screen, look);
        screen
    }

    fn render_unreadable(&self, screen: &mut Screen, look: &Look) {
        if self.unreadable.is_empty() {
            return;
        }
        let shown = self.unreadable.len() as u64;
        let which = if self.counts.unreadable > shown { format!(", the first {shown} of them") } else { String::new() };
        screen.styled(Style::Wait, &format!("Could not be read{which}:")).newline();
        for (path, line) in &self.unreadable {
            unreadable(screen, path, line, look);
        }
    }

    /// "/var/log/mail.log (Postfix)", or how many files there are.
    fn sources(&self) -> String {
        match self.files.as_slice() {
            [(path, format, _)] => format!("{} ({})", path.display(), name(*format)),
            files => {
                let mut names: Vec<&str> = files.iter().map(|(_, format, _)| name(*format)).collect();
                names.dedup();
                format!("{} ({})", count(files.len(), "file"), names.join(", "))
            }
        }
    }
}

/// A line that could not be read: where, why, and its beginning.
pub fn unreadable(screen: &mut Screen, path: &Path, line: &Unreadable, look: &Look) {
    let place = format!("{}:{}: {}", path.display(), number(line.line), line.why);
    screen.pad(2).paragraph(Style::Plain, &place, look.width.map(|width| width.saturating_sub(2)), 4);
    screen.pad(4).styled(Style::Faint, &line.text.chars().take(120).collect::<String>()).newline();
}

/// Events and how many entries tell of them.
pub fn events(counts: &Counts) -> impl Iterator<Item = (LogEvent, u64)> {
    LogEvent::ALL.iter().copied().zip(counts.events).filter(|(_, entries)| *entries > 0)
}

/// As its makers write it.
pub fn name(format: Format) -> &'static str {
    match format {
        Format::Postfix => "Postfix",
        Format::Exchange => "Exchange",
        Format::Exim => "Exim",
        Format::Sendmail => "Sendmail",
        Format::Courier => "Courier",
        Format::HMailServer => "hMailServer",
        Format::Domino => "Domino",
        Format::James => "James",
    }
}

fn lines(count: u64) -> String {
    several(count, "line", "lines")
}

fn records(count: u64) -> String {
    several(count, "record", "records")
}
