//! No match: what comes near, and whether anybody was looking.

use super::{holes, steps};
use crate::cli::screen::{Look, Screen, Style};
use crate::cli::table::{Cell, Table};
use crate::path::answer::NeverSeen;
use crate::path::{never, words};

pub(super) fn never_seen(screen: &mut Screen, seen: &NeverSeen, query: &str, look: &Look) {
    screen.paragraph(Style::Bad, &never::verdict(seen, query, &look.clock), look.width, 2).newline();
    if !seen.nearest.is_empty() {
        let mut table = Table::new(&[("ADDRESSES LIKE IT", 18), ("LAST SEEN", 8), ("TRACE ID", 26)]);
        for near in &seen.nearest {
            table.row([Cell::from(&near.address), Cell::from(look.clock.moment(near.last_at)), Cell::from(near.id.to_string())]);
        }
        table.draw(screen, look, 2);
        screen.newline();
    }
    if !seen.without_header.is_empty() {
        let mut table = Table::new(&[("BEFORE THE TEXT", 19), ("FROM", 8), ("TO", 8), ("WHY", 10), ("TRACE ID", 26)]);
        for attempt in &seen.without_header {
            let from = if attempt.from.is_empty() { "<>" } else { &attempt.from };
            let why = match &attempt.reply {
                Some(reply) => format!("{}: {}", words::stage(attempt.stage.0), words::reply(reply)),
                None => words::stage(attempt.stage.0).to_owned(),
            };
            table.row([
                Cell::from(look.clock.precise(attempt.at)),
                Cell::from(from),
                Cell::from(words::list(&attempt.recipients)),
                Cell::styled(Style::of(attempt.state.0), why),
                Cell::from(attempt.id.to_string()),
            ]);
        }
        table.draw(screen, look, 2);
        screen.newline();
    }
    if !seen.sessions.is_empty() {
        let mut table = Table::new(&[("WITHOUT MAIL", 19), ("CLIENT", 10), ("WHY", 10), ("TRACE ID", 26)]);
        for end in &seen.sessions {
            table.row([
                Cell::from(look.clock.precise(end.at)),
                Cell::from(match &end.of_sender {
                    Some(why) => format!("{} ({why})", words::client_of(&end.client)),
                    None => words::client_of(&end.client),
                }),
                Cell::from(never::early_end_words(end)),
                Cell::from(end.id.to_string()),
            ]);
        }
        table.draw(screen, look, 2);
        screen.newline();
    }
    super::wider::of_nothing(screen, seen, look);
    for line in seen.dns.iter().flat_map(never::dns_lines) {
        screen.pad(2).paragraph(Style::Plain, &line, look.width.map(|width| width - 2), 4);
    }
    holes(screen, &seen.tracing.gaps, look);
    if let (Some(oldest), Some(newest)) = (seen.tracing.oldest_at, seen.tracing.newest_at) {
        let running = if seen.tracing.running { "a proxy is adding to it now" } else { "no proxy is adding to it now" };
        let reach = format!(
            "The trace reaches from {} to {}; {running} ({}).",
            look.clock.moment(oldest),
            look.clock.moment(newest),
            look.zone(newest)
        );
        screen.pad(2).paragraph(Style::Plain, &reach, look.width.map(|width| width - 2), 4);
    }
    screen.newline();
    steps(screen, &never::next(seen, &look.clock), look);
}
