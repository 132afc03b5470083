//! The one sentence at the end of `doctor message`.

use super::super::{Check, Report, Section, Verdict};
use super::Stopped;
use crate::trace::State;

/// Names of checks that never explain a message: they tell of the future, or of comfort.
const BESIDE: [&str; 3] = ["own.", "through.difference", "upstream.tls_versions"];

/// All reports as one, with a section that recalls the message before them and the verdict on it.
pub fn sum_up(stopped: &Stopped, reports: Vec<Report>) -> Report {
    let mut recalled = Section::new("the message");
    recalled.push(recall(stopped));
    let mut sections = vec![recalled];
    for report in reports {
        let target = report.target;
        sections.extend(report.sections.into_iter().map(|section| Section { title: format!("{target}: {}", section.title), ..section }));
    }
    let examined = sections.len() > 1;
    let explains = |check: &&Check| !BESIDE.iter().any(|beside| check.name.starts_with(beside)) && check.name != RECALL;
    let worst = |wanted: Verdict| sections.iter().flat_map(|it| &it.checks).filter(explains).find(|check| check.verdict == wanted);
    let found = worst(Verdict::Fail).or_else(|| worst(Verdict::Warn));
    let cause = stopped.cause.map_or("a cause unknown".to_owned(), |cause| cause.to_string());
    let conclusion = match (stopped.state, found) {
        (State::Accepted, _) => {
            "The upstream took it: nothing stopped it here. `relayscope where` with its id tells what became of it behind.".to_owned()
        }
        (_, Some(check)) => {
            let sure = if check.verdict == Verdict::Fail { "It would stop again" } else { "It may stop again" };
            let fix = check.fix.as_deref().unwrap_or_default();
            format!("{sure}: {}: {}. {fix}", check.asked, check.answer.trim_end_matches('.'))
        }
        (_, None) if !examined => format!(
            "Nothing that can be examined from here explains {cause}: the message itself or its recipient decides. It was told: {}",
            stopped.words
        ),
        (State::Deferred | State::Unknown | State::Partial, None) => {
            format!("What stopped it ({cause}) is not there any more: it should pass at the next attempt.")
        }
        (_, None) => format!("What stopped it ({cause}) doesn't show any more: it would probably pass if it were sent again."),
    };
    let verdict = sections.iter().map(Section::verdict).max().unwrap_or_default();
    Report { target: format!("message {}", stopped.id), verdict, conclusion: conclusion.trim_end().to_owned(), sections }
}

const RECALL: &str = "message.outcome";

fn recall(stopped: &Stopped) -> Check {
    let asked = format!("what became of {} at {}", stopped.id, stopped.at);
    let check = Check::asking(RECALL, asked, "the cause on record decides what is examined");
    let cause = stopped.cause.map(|cause| format!(", {cause}")).unwrap_or_default();
    let act = stopped.act.map(|act| format!(" (to act: {act})")).unwrap_or_default();
    let words = if stopped.words.is_empty() { String::new() } else { format!(": {}", stopped.words) };
    check.ok(format!("{} at {} by {}{cause}{act}{words}", stopped.state, stopped.stage, stopped.by))
}
