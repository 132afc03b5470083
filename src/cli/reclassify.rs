//! `relayscope store reclassify [QUERY]`: old records get the causes that the rules of today give them.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::Traces;
use super::backend::Backend;
use super::client::Answered;
use super::failure::{Failure, Status};
use super::progress::Progress;
use super::screen::{Look, Screen, Style, show_json};
use super::table::{Cell, Table};
use crate::config;
use crate::diagnose::Rules;
use crate::path::reclassify::{self, Reclassified};
use crate::wording::number;

#[derive(Debug, Args)]
#[command(
    after_help = "A running proxy asks the rules that it has: change them, send it SIGHUP, then reclassify. A stopped proxy's store is asked with the \
                  built-in rules and those of --rules."
)]
pub struct Reclassify {
    #[command(flatten)]
    traces: Traces,
    /// Only what matches: free words and field:value terms, as for `search`
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Folder with rules of your own, for the store of a stopped proxy
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Reclassify {
    pub fn run(self) -> Result<Status, Failure> {
        let what = super::search::question_of_lists(&self.query, Timestamp::now())?;
        let own = self.rules.as_deref().map(config::rules_in).transpose().map_err(Failure::usage)?;
        let backend = Backend::open_to_write(&self.traces)?;
        if own.is_some() && matches!(backend, Backend::Api(_)) {
            let text = "--rules is for the store of a stopped proxy: a running one has the rules of its configuration";
            return Err(Failure::usage(text).advise("put your rules in its folder ([diagnose] rules_dir), send it SIGHUP, and ask again"));
        }
        let rules = own.as_ref().unwrap_or_else(|| Rules::builtin());
        let (mut all, mut progress) = (Reclassified::default(), Progress::new("looked at"));
        loop {
            let before = all.next.take();
            let step = match &backend {
                Backend::Api(client) => {
                    let (question, dry_run) = (what.canonical(), self.dry_run.to_string());
                    let mut query = vec![("q", question.as_str()), ("dry_run", dry_run.as_str())];
                    query.extend(before.as_deref().map(|cursor| ("cursor", cursor)));
                    match client.post("/api/v1/store/reclassify", &query)? {
                        Answered::Done(step) => step,
                        Answered::Refused(why) | Answered::NotFound(why) => return Err(Failure::usage(why)),
                        Answered::Unknown => {
                            return Err(Failure::usage("records are amended only through the store's api.sock: name it with --store DIR"));
                        }
                    }
                }
                Backend::Store(traces) => {
                    let before = before.map(|cursor| cursor.parse()).transpose().map_err(Failure::failed)?;
                    reclassify::step(traces, &what, rules, before, self.dry_run).map_err(Failure::failed)?
                }
            };
            progress.add(step.records);
            all.add(step);
            if all.next.is_none() {
                break;
            }
        }
        progress.end();
        all.changes.sort_by_key(|change| std::cmp::Reverse(change.records));
        if self.traces.json {
            show_json(&all)?;
        } else {
            render(&all, self.dry_run, &Look::of_stdout(Timestamp::now())).show()?;
        }
        Ok(Status::Done)
    }
}

fn render(all: &Reclassified, dry_run: bool, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    let (records, changed) = (number(all.records), number(all.changed));
    let version = &all.rules_version;
    let verdict = match (all.changed, dry_run) {
        (0, _) => format!("Rule set {version} says of {records} records what they say already."),
        (_, true) => format!("Rule set {version} would amend {changed} of {records} records. Nothing was changed."),
        (_, false) => format!("Rule set {version} amended {changed} of {records} records."),
    };
    screen.styled(Style::Good, &verdict).newline();
    let word = |cause: &Option<String>| cause.clone().unwrap_or_else(|| "none".to_owned());
    let mut table = Table::new(&[("RECORDS", 7), ("CAUSE BEFORE", 12), ("CAUSE NOW", 12)]);
    for change in &all.changes {
        let to = if change.from == change.to { "the same, by another rule or advice".to_owned() } else { word(&change.to) };
        table.row([Cell::from(number(change.records)), Cell::from(word(&change.from)), Cell::from(to)]);
    }
    if !all.changes.is_empty() {
        table.draw(&mut screen, look, 2);
    }
    screen
}
