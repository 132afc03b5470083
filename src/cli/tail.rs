//! `relayscope tail [QUERY]`: the last few records that match, then what passes, as it passes.

use clap::Args;
use jiff::Timestamp;

use super::Traces;
use super::backend::{Backend, Live};
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, show_json};
use super::search::{ROOMY, patiently, row, stacked};
use crate::path::ListRequest;
use crate::trace::json::Record;

#[derive(Debug, Args)]
pub struct Tail {
    #[command(flatten)]
    traces: Traces,
    /// Follow only what matches: free words and field:value terms
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Records from before to begin with
    #[arg(long, short = 'n', default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(0..=1000))]
    lines: u16,
    /// End after so many new records
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
}

impl Tail {
    pub fn run(self) -> Result<Status, Failure> {
        let traces = &self.traces;
        let now = Timestamp::now();
        let what = super::search::question_of_lists(&self.query, now)?;
        let look = Look::of_stdout(now);
        // The place to follow from is taken before the past is read: what comes between is shown twice rather than never.
        let live = Live::follow(traces, &what)?;
        let backend = Backend::open(traces)?;
        let mut past = match self.lines {
            0 => Vec::new(),
            lines => patiently(&backend, &what, ListRequest { limit: usize::from(lines), before: None, explain: false })?.records,
        };
        past.reverse();
        show(&past, traces.json, &look)?;
        let Some(mut live) = live else {
            eprintln!("relayscope: no proxy is running on this store, so nothing will be added to it");
            return Ok(if past.is_empty() { Status::NotFound } else { Status::Done });
        };
        let shown: std::collections::HashSet<_> = past.iter().map(Record::id).collect();
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(record) = live.next()? else {
                return Err(Failure::failed(anyhow::anyhow!("the proxy has stopped, and no other has taken its place")));
            };
            if !shown.contains(&record.id()) {
                show(std::slice::from_ref(&record), traces.json, &Look { clock: Look::of_stdout(Timestamp::now()).clock, ..look.clone() })?;
                left -= 1;
            }
        }
        Ok(Status::Done)
    }
}

fn show(records: &[Record], json: bool, look: &Look) -> Result<(), Failure> {
    if json {
        return records.iter().try_for_each(|record| show_json(record).map_err(Failure::from));
    }
    let mut screen = Screen::new(look);
    for record in records {
        one(&mut screen, record, look);
    }
    Ok(screen.show()?)
}

/// A line that stands alone: its columns are as wide as those before it, whatever is in them.
fn one(screen: &mut Screen, record: &Record, look: &Look) {
    let width = look.width.unwrap_or(200);
    if width < ROOMY {
        return stacked(screen, record, look);
    }
    let [time, state, from, to, why, id] = row(record, look);
    let address = width.saturating_sub(19 + 8 + 26 + 10) / 4;
    time.draw_whole(screen, 12);
    // What the proxy says of itself has longer words than mail: `export_replayed`.
    state.draw_whole(screen.pad(2), 8);
    for (cell, columns) in [(from, address), (to, address), (id, 26)] {
        screen.pad(2);
        cell.draw(screen, columns);
    }
    screen.pad(2);
    why.draw_rest(screen, look.width.map(|width| width.saturating_sub(19 + 8 + 26 + 10 + 2 * address)));
    screen.newline();
}
