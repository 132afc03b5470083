//! `relayscope store check|stats`: how the store itself is.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::Traces;
use super::backend::Backend;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, show_json};
use crate::path::ask::StoreNumbers;
use crate::path::clock::{grouped, octets};

#[derive(Debug, Args)]
pub struct StoreCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Records, days and octets
    Stats(#[command(flatten)] Traces),
}

impl StoreCommand {
    pub fn run(self) -> Result<Status, Failure> {
        match self.action {
            Action::Stats(traces) => {
                let numbers = Backend::open(&traces)?.store_stats()?;
                if traces.json {
                    show_json(&numbers)?;
                } else {
                    render(&numbers, &Look::of_stdout(Timestamp::now())).show()?;
                }
                Ok(if numbers.failing.is_some() { Status::NotFound } else { Status::Done })
            }
        }
    }
}

fn render(numbers: &StoreNumbers, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    if let Some(failing) = &numbers.failing {
        let text = format!("Records are being lost since {}: {}", look.clock.moment(failing.since), failing.why);
        screen.paragraph(Style::Bad, &text, look.width, 2);
    }
    let days = match (&numbers.oldest_day, &numbers.newest_day) {
        (Some(oldest), Some(newest)) if oldest != newest => format!("{} ({oldest} to {newest}, UTC)", grouped(numbers.days)),
        (Some(only), _) => format!("{} ({only}, UTC)", grouped(numbers.days)),
        _ => "none".to_owned(),
    };
    let files = format!("{} active, {} sealed", grouped(numbers.active_files), grouped(numbers.sealed_files));
    let facts = [
        ("Records", grouped(numbers.records)),
        ("Days", days),
        ("Journal", format!("{} in files: {files}", octets(numbers.journal_octets))),
        (
            "Index",
            format!(
                "{}, {} runs, {} records not yet in it",
                octets(numbers.index_octets),
                grouped(numbers.runs),
                grouped(numbers.unindexed)
            ),
        ),
        ("Lost", format!("{} records since the proxy's start", grouped(numbers.records_lost))),
    ];
    for (name, value) in facts {
        screen.styled(Style::Faint, &format!("{name:<10}")).line(&value);
    }
    screen
}
