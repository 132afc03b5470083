//! `relayscope stats`: how many messages passed, and how they fared.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Traces;
use super::backend::Backend;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, show_json};
use super::table::{Cell, Table};
use crate::path::clock::{octets, span};
use crate::path::stats as counted;
use crate::path::when::{self, Edge};
use crate::path::{Asked, By, by_list};
use crate::trace::State;
use crate::wording::number;

#[derive(Debug, Args)]
pub struct Stats {
    #[command(flatten)]
    traces: Traces,
    /// Count only what matches: free words and field:value terms
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Over which time: 24h, 7d, today, 2026-11-23, …
    #[arg(long, default_value = "24h", value_name = "TIME")]
    over: String,
    /// What to count by: state, stage, by, act, cause, code, enhanced, domain, sender-domain, upstream, listener, client, helo, auth-user,
    /// tls, flag, rule, provider
    #[arg(long, value_name = "FIELD,…", default_value = "state,stage,upstream,domain")]
    by: String,
    /// Say what the index was asked, and what had to be read
    #[arg(long)]
    explain: bool,
}

impl Stats {
    pub fn run(self) -> Result<Status, Failure> {
        let traces = &self.traces;
        let now = Timestamp::now();
        let what = super::search::question_of_lists(&self.query, now)?;
        let by = by_list(&self.by).map_err(|error| Failure::usage(format!("--by {error}")))?;
        let since =
            when::parse(&self.over, Edge::Since, now, &TimeZone::system()).map_err(|error| Failure::usage(format!("--over {error}")))?;
        let until = u64::try_from(now.as_microsecond()).unwrap_or_default();
        let stats = Backend::open(traces)?.stats(&what, &Asked { by: &by, since, until, explain: self.explain })?;
        let look = Look::of_stdout(now);
        if traces.json {
            show_json(&stats)?;
        } else {
            render(&stats, &look).show()?;
        }
        if let Some(hole) = &stats.hole_now {
            super::search::losing(hole, &look);
        }
        stats.explained.iter().for_each(super::search::explain);
        let nothing = stats.transactions == 0 && stats.sessions == 0;
        Ok(if nothing { Status::NotFound } else { Status::Done })
    }
}

pub fn render(stats: &counted::Stats, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    screen.styled(Style::Bold, &format!("{} transactions", number(stats.transactions)));
    screen.line(&format!(" from {} ({})", look.clock.range(stats.since, stats.until), look.zone(stats.until)));
    if stats.cut_short {
        screen
            .styled(
                Style::Wait,
                &format!(
                    "Counting took too long: only those from {} on are counted. Name a shorter --over.",
                    look.clock.moment(stats.since)
                ),
            )
            .newline();
    }
    screen.line(&format!(
        "{} recipients, {}; {} sessions without mail or badly ended",
        number(stats.recipients),
        octets(stats.octets),
        number(stats.sessions)
    ));
    if stats.transactions == 0 && stats.sessions > 0 {
        screen.line(
            "What follows counts transactions, and there were none. The sessions, each with its cause: relayscope search kind:session",
        );
    }
    if let (Some(median), Some(p99)) = (stats.end_of_data_median_us, stats.end_of_data_p99_us) {
        screen.line(&format!("Reply to end of data: median {}, 99 % within {}", span(median), span(p99)));
    }
    if stats.records_lost > 0 {
        screen
            .styled(Style::Bad, &format!("{} records were lost to the store: see relayscope search kind:gap", number(stats.records_lost)))
            .newline();
    }
    for counts in &stats.by {
        screen.newline();
        let head = if counts.by == By::By { "WHO DECIDED".to_owned() } else { counts.by.word().to_uppercase() };
        if counts.counts.is_empty() {
            screen.styled(Style::Bold, &format!("By {head}")).line(": no transaction has any");
            continue;
        }
        let mut table = Table::new(&[("", 16), ("COUNT", 8), ("SHARE", 6)]);
        for count in &counts.counts {
            let style = match (counts.by, State::from_word(&count.key)) {
                (By::State, Some(state)) => Style::of(state),
                _ => Style::Plain,
            };
            let share = count.transactions as f64 * 100.0 / stats.transactions.max(1) as f64;
            let messages = number(count.transactions);
            table.row([Cell::styled(style, &count.key), Cell::from(format!("{messages:>8}")), Cell::from(format!("{share:>4.1} %"))]);
        }
        screen.styled(Style::Bold, &format!("By {head}")).newline();
        table.draw(&mut screen, look, 2);
        if counts.others > 0 {
            screen.pad(2).styled(Style::Faint, &format!("and {} others", number(counts.others))).newline();
        }
    }
    screen
}
