//! Incidents beside a message: one sentence each, right below the verdict.

use crate::cli::screen::{Look, Screen, Style};
use crate::path::answer::{MessagePath, Wider};
use crate::path::clock::grouped;
use crate::trace::Severity;

/// All that are told of, and how many there are besides.
pub(super) fn all(screen: &mut Screen, message: &MessagePath, look: &Look) {
    for wider in &message.incidents {
        screen.paragraph(style(wider), &sentence(wider, look), look.width, 2);
    }
    if message.incidents_more > 0 {
        let many = u64::from(message.incidents_more);
        let noun = if many == 1 { "incident" } else { "incidents" };
        screen.styled(Style::Faint, &format!("{} more {noun} of that time may have to do with it.", grouped(many))).newline();
    }
}

/// The first, below a message that is one of several.
pub(super) fn first(screen: &mut Screen, message: &MessagePath, look: &Look) {
    if let Some(wider) = message.incidents.first() {
        screen.pad(2).paragraph(style(wider), &sentence(wider, look), look.width.map(|width| width - 2), 4);
    }
}

/// "Part of a wider trouble: critical, "Upstream main can't be reached" since 02:14, 312 events (relayscope anomalies 01J…)".
fn sentence(wider: &Wider, look: &Look) -> String {
    let when = match wider.resolved_at {
        Some(until) => format!("{} to {}", look.clock.moment(wider.opened_at), look.clock.moment(until)),
        None => format!("since {}", look.clock.moment(wider.opened_at)),
    };
    let count = format!("{} {}", grouped(wider.count), if wider.count == 1 { "event" } else { "events" });
    let said = match &wider.relation {
        // The summary tells before and after, and the same relation for the first message that failed.
        Some(relation) => format!("{relation}: {}", changed(wider)),
        None => format!("{}, \"{}\"", wider.severity, wider.summary),
    };
    let opening = if wider.relation.is_some() { "A change that may explain it" } else { "Part of a wider trouble" };
    format!("{opening}: {said} {when}, {count} (relayscope anomalies {})", wider.id)
}

/// "10 mx1.example.org, now 10 mx2.example.org".
pub(super) fn changed(wider: &Wider) -> String {
    match &wider.change {
        Some(change) => format!("{}, now {}", change.before, change.after),
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
