//! The dialogue of both legs on one clock: who said what to whom, and how long the proxy held it.

use super::screen::{Look, Screen, Style};
use crate::trace::json::Line;
use crate::trace::{Flow, Leg};
use crate::wording::number;

/// Below so many columns the arrows give way to the text.
const NARROW: usize = 100;

/// Lines further on in which the other side of a relayed line is looked for.
const NEAR: usize = 256;

/// One rung: a line that was relayed, or that one leg alone saw.
#[derive(Debug, PartialEq, Eq)]
struct Rung<'a> {
    t_us: u64,
    from: Leg,
    flow: Flow,
    /// How long after it came it was passed on; `None` if it stayed on its leg.
    held_us: Option<u64>,
    text: &'a str,
}

fn rungs(timeline: &[Line]) -> Vec<Rung<'_>> {
    let mut passed = vec![false; timeline.len()];
    let mut rungs = Vec::new();
    for (index, line) in timeline.iter().enumerate() {
        if passed.get(index).copied().unwrap_or(false) {
            continue;
        }
        let other_side = |(_, later): &(usize, &Line)| later.leg != line.leg && later.dir.0 == Flow::Out && later.text == line.text;
        let open = |(index, _): &(usize, &Line)| !passed.get(*index).copied().unwrap_or(true);
        let relayed = match line.dir.0 {
            Flow::In => timeline.iter().enumerate().skip(index + 1).take(NEAR).filter(open).find(other_side),
            Flow::Out => None,
        };
        let held_us = relayed.map(|(_, later)| later.t_us.saturating_sub(line.t_us));
        if let Some(flag) = relayed.map(|(later, _)| later).and_then(|later| passed.get_mut(later)) {
            *flag = true;
        }
        rungs.push(Rung { t_us: line.t_us, from: line.leg.0, flow: line.dir.0, held_us, text: &line.text });
    }
    rungs
}

/// Draws the timeline, one rung a line.
pub fn draw(screen: &mut Screen, timeline: &[Line], cut: u32, look: &Look) {
    let is_narrow = look.width.is_some_and(|width| width < NARROW);
    let head = if is_narrow { "        µs  way    held µs" } else { "          µs  client  relay  upstream   held µs" };
    screen.styled(Style::Faint, head).newline();
    for rung in rungs(timeline) {
        let held = rung.held_us.map(|us| format!("+{}", number(us))).unwrap_or_default();
        let arrows = match (rung.from, rung.flow, rung.held_us.is_some()) {
            (Leg::Client, Flow::In, true) => "  C ──────▶ R ──────▶ U",
            (Leg::Client, Flow::In, false) => "  C ──────▶ R          ",
            (Leg::Client, Flow::Out, _) => "  C ◀────── R          ",
            (Leg::Upstream, Flow::In, true) => "  C ◀────── R ◀────── U",
            (Leg::Upstream, Flow::In, false) => "            R ◀────── U",
            (Leg::Upstream, Flow::Out, _) => "            R ──────▶ U",
        };
        let style = match (rung.from, rung.flow) {
            (Leg::Upstream, Flow::In) | (Leg::Client, Flow::Out) => reply_style(rung.text),
            _ => Style::Plain,
        };
        let (before, indent) = match is_narrow {
            true => (format!("{:>10}  {} {held:>9}  ", number(rung.t_us), short(&rung)), 28),
            false => (format!("{:>12}{arrows} {held:>9}  ", number(rung.t_us)), 48),
        };
        screen.put(&before);
        let Some(room) = look.width.map(|width| width.saturating_sub(indent)) else {
            screen.paragraph(style, rung.text, None, indent);
            continue;
        };
        // A reply of several lines is read as it came.
        for (number, part) in rung.text.split("\r\n").enumerate() {
            screen.pad(if number == 0 { 0 } else { indent }).paragraph(style, part, Some(room), indent);
        }
    }
    if cut > 0 {
        screen.styled(Style::Faint, &format!("              … {cut} lines more did not fit the record")).newline();
    }
}

/// The same in five columns: from whom to whom, a relayed line past the relay.
fn short(rung: &Rung<'_>) -> &'static str {
    match (rung.from, rung.flow, rung.held_us.is_some()) {
        (Leg::Client, Flow::In, true) => "C─▶U",
        (Leg::Client, Flow::In, false) => "C─▶R",
        (Leg::Client, Flow::Out, _) => "C◀─R",
        (Leg::Upstream, Flow::In, true) => "C◀─U",
        (Leg::Upstream, Flow::In, false) => "R◀─U",
        (Leg::Upstream, Flow::Out, _) => "R─▶U",
    }
}

fn reply_style(text: &str) -> Style {
    match text.as_bytes().first() {
        Some(b'4') => Style::Wait,
        Some(b'5') => Style::Bad,
        _ => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::json::Word;

    fn line(t_us: u64, leg: Leg, dir: Flow, text: &str) -> Line {
        Line { t_us, leg: Word(leg), dir: Word(dir), text: text.to_owned() }
    }

    #[test]
    fn a_narrow_screen_is_filled_and_not_left() {
        let text = "550 5.1.1 <bob@example.org>: Recipient address rejected: User unknown in virtual mailbox table";
        let timeline = [line(0, Leg::Upstream, Flow::In, text), line(9, Leg::Client, Flow::Out, text)];
        for (width, most) in [(60, 4), (79, 3), (100, 3)] {
            let look = Look { colours: false, width: Some(width), clock: crate::path::Clock::utc(), again: String::new() };
            let mut screen = Screen::new(&look);
            draw(&mut screen, &timeline, 0, &look);
            let lines: Vec<&str> = screen.as_str().lines().skip(1).collect();
            assert!(lines.len() <= most, "{width}: {lines:#?}");
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:#?}");
        }
    }

    #[test]
    fn a_reply_of_several_lines_is_read_as_it_came() {
        let look = |width| Look { colours: false, width, clock: crate::path::Clock::utc(), again: String::new() };
        let timeline = [line(0, Leg::Upstream, Flow::In, "250-mx.example\r\n250-SIZE 1000\r\n250 \u{1b}[2J")];
        let drawn = |width| {
            let look = look(width);
            let mut screen = Screen::new(&look);
            draw(&mut screen, &timeline, 0, &look);
            screen.as_str().lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let lines = drawn(Some(80));
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with("  250-mx.example"), "{lines:#?}");
        assert_eq!(lines[1], format!("{}250-SIZE 1000", " ".repeat(28)));
        assert!(!lines[2].contains('\u{1b}'));
        // For a program that reads it, a rung stays one line.
        assert_eq!(drawn(None).len(), 1);
    }

    #[test]
    fn relayed_lines_become_one_rung_even_in_groups() {
        let timeline = [
            line(0, Leg::Client, Flow::In, "MAIL"),
            line(0, Leg::Client, Flow::In, "RCPT"),
            line(5, Leg::Upstream, Flow::Out, "MAIL"),
            line(5, Leg::Upstream, Flow::Out, "RCPT"),
            line(9, Leg::Upstream, Flow::In, "250 ok"),
            line(9, Leg::Upstream, Flow::In, "250 ok"),
            line(11, Leg::Client, Flow::Out, "250 ok"),
            line(12, Leg::Client, Flow::Out, "250 ok"),
            line(20, Leg::Client, Flow::Out, "421 own"),
        ];
        let held: Vec<_> = rungs(&timeline).iter().map(|rung| (rung.text, rung.held_us)).collect();
        assert_eq!(held, [("MAIL", Some(5)), ("RCPT", Some(5)), ("250 ok", Some(2)), ("250 ok", Some(3)), ("421 own", None)]);
    }
}
