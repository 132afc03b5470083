//! Incidents beside a message: one sentence each, right below the verdict.

use crate::cli::screen::{Look, Screen, Style};
use crate::path::answer::{MessagePath, NeverSeen, Wider};
use crate::path::never;
use crate::trace::Severity;
use crate::wording::several;

/// All that are told of, and how many there are besides.
pub(super) fn all(screen: &mut Screen, message: &MessagePath, look: &Look) {
    for wider in &message.incidents {
        screen.paragraph(style(wider), &sentence(message, wider, look), look.width, 2);
    }
    if message.incidents_more > 0 {
        let many = several(u64::from(message.incidents_more), "more incident", "more incidents");
        screen.styled(Style::Faint, &format!("{many} of that time may have to do with it.")).newline();
    }
}

/// The first, below a message that is one of several.
pub(super) fn first(screen: &mut Screen, message: &MessagePath, look: &Look) {
    if let Some(wider) = message.incidents.first() {
        screen.pad(2).paragraph(style(wider), &sentence(message, wider, look), look.width.map(|width| width - 2), 4);
    }
}

/// Those that may be why nothing was seen.
pub(super) fn of_nothing(screen: &mut Screen, seen: &NeverSeen, look: &Look) {
    for wider in &seen.incidents {
        let events = several(wider.count, "event", "events");
        let text = format!("May be why: {}, {events} ({})", never::incident(wider, &look.clock), more(wider, look));
        screen.pad(2).paragraph(style(wider), &text, look.width.map(|width| width - 2), 4);
    }
    if seen.incidents_more > 0 {
        let many = several(u64::from(seen.incidents_more), "more incident", "more incidents");
        screen.pad(2).styled(Style::Faint, &format!("{many} of that time may be why: relayscope anomalies")).newline();
    }
}

/// "Part of a wider trouble: critical, "Upstream main can't be reached" since 02:14, 312 events (relayscope anomalies 01J…)"; "At the same
/// time: …" where it has another cause than the message's failure.
fn sentence(message: &MessagePath, wider: &Wider, look: &Look) -> String {
    let began = look.clock.moment(wider.opened_at);
    if let Some(relation) = &wider.relation {
        return format!("A change that may explain it: {relation}, {began}: {} ({})", changed(wider), more(wider, look));
    }
    let when = match wider.resolved_at {
        Some(until) => format!("{began} to {}", look.clock.moment(until)),
        None => format!("since {began}"),
    };
    let events = several(wider.count, "event", "events");
    let how = if wider.explains(message) { "Part of a wider trouble" } else { "At the same time" };
    format!("{how}: {}, \"{}\" {when}, {events} ({})", wider.severity, wider.summary, more(wider, look))
}

/// The command that shows all of it.
fn more(wider: &Wider, look: &Look) -> String {
    look.proposal(&format!("relayscope anomalies {}", wider.id))
}

/// "10 mx1.example.org is now 10 mx2.example.org".
pub(super) fn changed(wider: &Wider) -> String {
    match &wider.change {
        Some(change) => format!("{} is now {}", change.before, change.after),
        None => wider.summary.clone(),
    }
}

fn style(wider: &Wider) -> Style {
    match (wider.resolved_at.is_some(), wider.severity.0) {
        (true, _) | (_, Severity::Notice) => Style::Plain,
        (false, Severity::Warning) => Style::Wait,
        (false, Severity::Critical) => Style::Bad,
    }
}
