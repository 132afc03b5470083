//! The one door through which text reaches a terminal: whatever comes from the wire is made harmless here.
//!
//! A [`Screen`] takes no text unseen: control characters, ANSI escapes, line breaks, bidirectional overrides and invisible
//! characters become visible escapes. Only the screen itself writes newlines and colours.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Traces;
use crate::path::Clock;
use crate::path::answer::PathState;
use crate::trace::json::Time;

/// How a piece of text looks where colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    #[default]
    Plain,
    Bold,
    Faint,
    Good,
    Wait,
    Bad,
}

impl Style {
    pub fn of(state: impl Into<PathState>) -> Self {
        match state.into() {
            PathState::Accepted | PathState::Delivered => Self::Good,
            PathState::Deferred | PathState::Partial => Self::Wait,
            PathState::Rejected
            | PathState::Aborted
            | PathState::Unknown
            | PathState::Bounced
            | PathState::Stuck
            | PathState::Discarded => Self::Bad,
        }
    }

    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Faint => Some("2"),
            Self::Good => Some("32"),
            Self::Wait => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// What the output is for: colours or not, how wide, in which zone.
#[derive(Debug, Clone)]
pub struct Look {
    pub colours: bool,
    /// Columns; `None` where it is neither a terminal nor told by COLUMNS: nothing is cut or wrapped.
    pub width: Option<usize>,
    pub clock: Clock,
    /// What a command that asks the same traces ends with: ` --store DIR`.
    pub again: String,
}

impl Look {
    /// Of standard output, as the environment has it.
    pub fn of_stdout(now: Timestamp) -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let of_terminal = || terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| usize::from(columns));
        Self {
            colours: terminal && !set("NO_COLOR") && !dumb,
            width: wide(terminal.then(of_terminal), std::env::var("COLUMNS").ok().as_deref()),
            clock: Clock::local(TimeZone::system(), now),
            again: String::new(),
        }
    }

    /// Commands that are proposed ask those traces.
    pub fn asking(self, traces: &Traces) -> Self {
        Self { again: traces.again(), ..self }
    }

    /// A proposal that ends with a command, so that it asks the same traces as the command that made it.
    pub fn proposal(&self, text: &str) -> String {
        let ends_with_command = text.rsplit_once("relayscope ").is_some_and(|(before, _)| before.is_empty() || before.ends_with(": "));
        format!("{text}{}", if ends_with_command { &self.again } else { "" })
    }

    /// "times in CET", to be said once.
    pub fn zone(&self, at: Time) -> String {
        format!("times in {}", self.clock.zone_name(at))
    }
}

/// The terminal's own width, or else what COLUMNS says (for `watch`, a pager, a pipe), or else what terminals mostly are. `of_terminal`: what a
/// terminal tells of itself, if it is one.
fn wide(of_terminal: Option<Option<usize>>, columns: Option<&str>) -> Option<usize> {
    let told = || columns.and_then(|columns| columns.trim().parse().ok()).filter(|&columns: &usize| columns > 0);
    let width = match of_terminal {
        Some(of_terminal) => Some(of_terminal.or_else(told).unwrap_or(100)),
        None => told(),
    };
    width.map(|width| width.clamp(40, 240))
}

/// Text on its way out.
#[derive(Debug)]
pub struct Screen {
    text: String,
    colours: bool,
}

impl Screen {
    pub fn new(look: &Look) -> Self {
        Self { text: String::new(), colours: look.colours }
    }

    /// Adds text to the current line.
    pub fn put(&mut self, text: &str) -> &mut Self {
        self.text.push_str(&visible(text));
        self
    }

    pub fn styled(&mut self, style: Style, text: &str) -> &mut Self {
        match style.code().filter(|_| self.colours && !text.is_empty()) {
            Some(code) => {
                let _ = write!(self.text, "\u{1b}[{code}m{}\u{1b}[0m", visible(text));
                self
            }
            None => self.put(text),
        }
    }

    pub fn newline(&mut self) -> &mut Self {
        // No line ends in blanks: tables pad their last column too.
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        self.text.push('\n');
        self
    }

    pub fn line(&mut self, text: &str) -> &mut Self {
        self.put(text).newline()
    }

    /// A paragraph, wrapped between words where there is a width, further lines indented. The width is what is left of the current line; further
    /// lines end where it ends.
    pub fn paragraph(&mut self, style: Style, text: &str, width: Option<usize>, indent: usize) -> &mut Self {
        let text = visible(text);
        let Some(limit) = width else { return self.styled(style, &text).newline() };
        let further = (self.column() + limit).saturating_sub(indent);
        let mut line = String::new();
        let mut room = limit;
        for word in text.split(' ') {
            if !line.is_empty() && columns(&line) + 1 + columns(word) > room {
                self.styled(style, &line).newline().pad(indent);
                line.clear();
                room = further;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.styled(style, &line).newline()
    }

    /// How far the current line goes already.
    fn column(&self) -> usize {
        let line = self.text.rsplit('\n').next().unwrap_or_default();
        // The escapes are our own: ESC [ … m.
        let after = |part: &str| part.split_once('m').map_or(0, |(_, text)| columns(text));
        let mut parts = line.split('\u{1b}');
        parts.next().map_or(0, columns) + parts.map(after).sum::<usize>()
    }

    pub fn pad(&mut self, columns: usize) -> &mut Self {
        self.text.extend(std::iter::repeat_n(' ', columns));
        self
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Writes it all to standard output. A reader that has gone (`| head`) is no failure.
    ///
    /// # Errors
    /// Standard output can't be written.
    pub fn show(&self) -> io::Result<()> {
        print(&self.text)
    }
}

/// Writes a JSON line: hostile characters, which JSON may carry as they are, become its own escapes.
///
/// # Errors
/// Standard output can't be written.
pub fn show_json<T: serde::Serialize>(value: &T) -> anyhow::Result<()> {
    let mut line = harmless_json(&serde_json::to_string(value)?);
    line.push('\n');
    Ok(print(&line)?)
}

/// JSON, or lines of it, with hostile characters as JSON's own escapes.
pub fn harmless_json(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match is_hostile(c) && c != '\n' {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(harmless, "\\u{unit:04x}");
            }),
            false => harmless.push(c),
        }
    }
    harmless
}

/// Writes a text as it is; a reader that has gone (`| head`) ends the program.
///
/// # Errors
/// Standard output can't be written.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(io::Error::new(error.kind(), format!("standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// The text with everything that could deceive or steer a terminal made visible.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hostile(c) && (c as u32) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_hostile(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Steers a terminal, turns the reading direction, breaks the line, or can't be seen.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}' | '\u{e000}'..='\u{f8ff}')
}

/// Columns that visible text takes on a terminal: East Asian letters take two, combining marks none.
pub fn columns(text: &str) -> usize {
    let of = |c: char| match c as u32 {
        0x300..=0x36f
        | 0x483..=0x489
        | 0x591..=0x5bd
        | 0x610..=0x61a
        | 0x64b..=0x65f
        | 0xe31..=0xe3a
        | 0x1ab0..=0x1aff
        | 0x20d0..=0x20ff
        | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(of).sum()
}

/// The text, made visible, in at most so many columns.
pub fn fit(text: &str, width: usize) -> String {
    let text = visible(text);
    if columns(&text) <= width {
        return text.into_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = columns(c.encode_utf8(&mut [0; 4]));
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Look {
        Look { colours: true, width: Some(20), clock: Clock::utc(), again: String::new() }
    }

    #[test]
    fn attacks_become_visible() {
        let cases = [
            ("plain ü 漢字 ok", "plain ü 漢字 ok"),
            ("\u{1b}[2J\u{1b}]0;owned\u{7}", "\\x1b[2J\\x1b]0;owned\\x07"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}txt.exe", "a\\u{202e}txt.exe"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("b\u{200b}ob", "b\\u{200b}ob"),
            ("line\u{2028}line", "line\\u{2028}line"),
            ("\u{7f}\0", "\\x7f\\x00"),
            ("\u{e0041}", "\\u{e0041}"),
        ];
        for (text, expected) in cases {
            assert_eq!(visible(text), expected);
            let mut screen = Screen::new(&look());
            screen.put(text).newline();
            assert_eq!(screen.as_str(), format!("{expected}\n"));
        }
    }

    #[test]
    fn colours_are_only_the_screen_s_own() {
        let mut screen = Screen::new(&look());
        screen.styled(Style::Bad, "a\u{1b}[0mb").newline();
        assert_eq!(screen.as_str(), "\u{1b}[31ma\\x1b[0mb\u{1b}[0m\n");
        let mut screen = Screen::new(&Look { colours: false, ..look() });
        screen.styled(Style::Bad, "a").newline();
        assert_eq!(screen.as_str(), "a\n");
    }

    #[test]
    fn paragraphs_wrap_between_words() {
        let mut screen = Screen::new(&Look { colours: false, ..look() });
        screen.paragraph(Style::Plain, "one two three four five six\nseven", Some(12), 2);
        assert_eq!(screen.as_str(), "one two\n  three four\n  five\n  six\\nseven\n");
    }

    #[test]
    fn further_lines_are_as_long_as_the_first() {
        let mut screen = Screen::new(&look());
        screen.styled(Style::Faint, "fact: ").paragraph(Style::Plain, "one two three four five", Some(9), 6);
        assert_eq!(screen.as_str(), "\u{1b}[2mfact: \u{1b}[0mone two\n      three\n      four five\n");
    }

    #[test]
    fn columns_count_where_no_terminal_tells() {
        assert_eq!(wide(None, None), None);
        assert_eq!(wide(None, Some("72")), Some(72));
        assert_eq!(wide(None, Some("wide")), None);
        assert_eq!(wide(None, Some("0")), None);
        assert_eq!(wide(Some(Some(132)), Some("72")), Some(132));
        assert_eq!(wide(Some(None), Some("72")), Some(72));
        assert_eq!(wide(Some(None), None), Some(100));
        assert_eq!(wide(Some(Some(7)), None), Some(40));
    }

    #[test]
    fn what_fits_is_counted_in_columns() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("漢字漢字", 6), "漢字…");
        assert_eq!(columns("e\u{301}"), 1);
    }

    proptest::proptest! {
        #[test]
        fn nothing_hostile_passes(text in proptest::collection::vec(proptest::char::any(), 0..60)) {
            let text: String = text.into_iter().collect();
            let mut screen = Screen::new(&Look { colours: false, ..look() });
            screen.paragraph(Style::Plain, &text, Some(20), 2).styled(Style::Bold, &text).put(&fit(&text, 9)).newline();
            proptest::prop_assert!(!screen.as_str().chars().any(|c| c != '\n' && is_hostile(c)));
        }
    }
}
