//! A report for people: one line a check, and what to do under those that aren't well.

use crate::cli::screen::{Look, Screen, Style, visible};
use crate::doctor::{Check, Report, Verdict};

/// Columns of the verdict with its margin.
const VERDICT: usize = 10;

pub fn render(report: &Report, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    for section in report.sections.iter().filter(|section| !section.checks.is_empty()) {
        screen.styled(Style::Bold, &section.title).newline();
        section.checks.iter().for_each(|it| check(&mut screen, it, look));
        screen.newline();
    }
    let (style, word) = match report.verdict {
        _ if !report.is_examined() => (Style::Wait, "Not examined"),
        Verdict::Ok | Verdict::Skipped => (Style::Good, "Healthy"),
        Verdict::Warn => (Style::Wait, "Look at this"),
        Verdict::Fail => (Style::Bad, "Trouble"),
    };
    let counts = counts(report);
    screen.styled(style, &format!("{word}: {}", report.target)).line(&format!(" ({counts})"));
    screen.paragraph(Style::Plain, &capital(&report.conclusion), look.width, 0);
    screen
}

fn check(screen: &mut Screen, check: &Check, look: &Look) {
    let style = match check.verdict {
        Verdict::Ok => Style::Good,
        Verdict::Skipped => Style::Faint,
        Verdict::Warn => Style::Wait,
        Verdict::Fail => Style::Bad,
    };
    let word = check.verdict.word();
    screen.pad(2).styled(style, word).pad(VERDICT.saturating_sub(2 + word.len()));
    let room = look.width.map(|width| width.saturating_sub(VERDICT));
    screen.paragraph(Style::Plain, &format!("{}: {}", check.asked, check.answer), room, VERDICT);
    if !matches!(check.verdict, Verdict::Warn | Verdict::Fail) {
        return;
    }
    screen.pad(VERDICT).paragraph(Style::Faint, &format!("Why it matters: {}.", check.why.trim_end_matches('.')), room, VERDICT);
    if let Some(fix) = &check.fix {
        screen.pad(VERDICT).paragraph(Style::Bold, &format!("What to do: {fix}"), room, VERDICT);
    }
}

/// "12 ok, 1 warn".
fn counts(report: &Report) -> String {
    let verdicts = [Verdict::Ok, Verdict::Warn, Verdict::Fail, Verdict::Skipped];
    let all = || report.sections.iter().flat_map(|section| &section.checks);
    let count = |verdict| all().filter(|check| check.verdict == verdict).count();
    let shown: Vec<String> = verdicts
        .into_iter()
        .map(|it| (count(it), it.word()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if shown.is_empty() { "nothing was examined".to_owned() } else { shown.join(", ") }
}

fn capital(text: &str) -> String {
    let text = visible(text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Section;
    use crate::path::Clock;

    #[test]
    fn what_is_wrong_has_its_fix_under_it() {
        let mut section = Section::new("smtp.example.net:587");
        section.push(Check::asking("a", "TCP", "it matters").ok("open"));
        section.push(Check::asking("b", "login", "no mail without it").fail("535 no\u{1b}[2J", "Change the password."));
        let report = Report::of("upstream main", vec![section]);
        let look = Look { colours: false, width: None, clock: Clock::utc(), again: String::new() };
        let shown = render(&report, &look).as_str().to_owned();
        let expected = "smtp.example.net:587\n  ok      TCP: open\n  fail    login: 535 no\\x1b[2J\n          Why it matters: no mail without it.\n          \
                        What to do: Change the password.\n\nTrouble: upstream main (1 ok, 1 fail)\nLogin: 535 no\\x1b[2J. Change the password.\n";
        assert_eq!(shown, expected);
    }
}
