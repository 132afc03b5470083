//! Notices in running text: whom they speak of, and what the server said. One reader for all of them; only shapes differ.

use super::delivery::fill;
use super::lines::{self, Line, Strength};
use super::reply::{self, codes};
use super::{Action, MOST_RECIPIENTS, Reported, address, bounded, original};

/// Lines of a notice that are looked at, and octets of each.
const MOST_LINES: usize = 3000;
const MOST_LINE: usize = 2000;
/// Lines kept for one recipient.
const MOST_KEPT: usize = 60;

/// What a notice says.
#[derive(Debug, Default)]
pub struct Notice<'x> {
    pub recipients: Vec<Reported>,
    pub recipients_cut: u32,
    /// The reply that stands for all of whom nothing else is said.
    pub loose: Option<String>,
    /// The part before the copy of the original.
    pub said: &'x str,
    /// The copy of the original, as far as one is there.
    pub original: Option<&'x str>,
    /// A bound came before the end.
    pub cut: bool,
}

#[derive(Debug)]
struct Draft<'x> {
    address: &'x str,
    lines: Vec<&'x str>,
}

/// Where the reading stands.
#[derive(Debug, Default)]
struct Reading<'x> {
    drafts: Vec<Draft<'x>>,
    strongest: Option<Strength>,
    current: Option<usize>,
    /// Whom the last RCPT was for.
    spoken: Option<&'x str>,
    /// Recipients that a dialogue shows as taken, until the message is.
    taken: Vec<&'x str>,
    /// Replies that nobody was named for.
    loose: Vec<&'x str>,
    /// All text, for those of whom nothing more is said.
    intro: Vec<&'x str>,
    dropped: u32,
}

/// Reads a notice. `others` are the addresses of the two ends of the report itself, which no sentence means.
pub fn read<'x>(text: &'x str, whole: bool, others: &[&str]) -> Notice<'x> {
    let end = if whole { text.len() } else { text.rfind('\n').map_or(0, |at| at + 1) };
    let text = text.get(..end).unwrap_or_default();
    let (said, original) = part(text);
    let mut reading = Reading::default();
    let mut cut = false;
    for (at, line) in said.lines().enumerate() {
        if at >= MOST_LINES {
            cut = true;
            break;
        }
        let bound = crate::message::char_boundary(line, MOST_LINE);
        cut |= bound < line.len();
        reading.take(line.get(..bound).unwrap_or_default(), others);
    }
    let loose = bounded(&unfold(&reading.loose.join("\n")));
    let (recipients, recipients_cut) = reading.finish(delays(said));
    Notice { recipients, recipients_cut, loose, said, original, cut }
}

/// Parts a notice from the copy of the message that follows it.
pub fn part(text: &str) -> (&str, Option<&str>) {
    let mut at = 0;
    let mut seen = false;
    for line in text.split_inclusive('\n').take(MOST_LINES) {
        let behind = text.get(at..).unwrap_or_default();
        if lines::is_end(line) {
            return (text.get(..at).unwrap_or_default(), text.get(at + line.len()..));
        }
        if seen && original::begins(behind.lines()) {
            return (text.get(..at).unwrap_or_default(), Some(behind));
        }
        seen |= !line.trim().is_empty();
        at += line.len();
    }
    (text, None)
}

impl<'x> Reading<'x> {
    fn take(&mut self, line: &'x str, others: &[&str]) {
        let own = |address: &str| others.iter().any(|it| address::same(it, address));
        match lines::classify(line) {
            Line::Blank => self.keep(""),
            Line::Section => self.current = None,
            Line::Command { address } => {
                self.spoken = address;
                self.loose.clear();
            }
            Line::Answer { text } => self.answer(text),
            Line::Reply { address } => match self.find(address) {
                Some(at) => self.add(at, line),
                None if !own(address) && self.strongest.is_none_or(|it| it == Strength::Dialogue) => {
                    let before = std::mem::take(&mut self.loose);
                    if let Some(at) = self.open(address, Strength::Dialogue) {
                        before.into_iter().for_each(|it| self.add(at, it));
                        self.add(at, line);
                        self.current = None;
                    }
                }
                None => self.keep(line),
            },
            Line::Names { address, strength } => {
                let known = self.find(address);
                let means = !own(address) || (strength == Strength::List && self.drafts.is_empty() && !is_postmaster(address));
                let weak = self.strongest.is_some_and(|it| strength < it) || (is_postmaster(address) && self.strongest.is_some());
                match known {
                    Some(at) => {
                        self.current = Some(at);
                        self.add(at, line);
                    }
                    None if weak || !means => self.keep(line),
                    None => {
                        if let Some(at) = self.open(address, strength) {
                            self.current = Some(at);
                            self.add(at, line);
                        }
                    }
                }
            }
            Line::Text => self.keep(line),
        }
    }

    fn find(&self, address: &str) -> Option<usize> {
        self.drafts.iter().position(|it| address::same(it.address, address))
    }

    fn open(&mut self, address: &'x str, strength: Strength) -> Option<usize> {
        self.strongest = self.strongest.max(Some(strength));
        if self.drafts.len() >= MOST_RECIPIENTS {
            self.dropped = self.dropped.saturating_add(1);
            self.current = None;
            return None;
        }
        self.drafts.push(Draft { address, lines: Vec::new() });
        Some(self.drafts.len() - 1)
    }

    fn add(&mut self, at: usize, line: &'x str) {
        if let Some(draft) = self.drafts.get_mut(at).filter(|it| it.lines.len() < MOST_KEPT) {
            draft.lines.push(line);
        }
    }

    /// An answer in a dialogue belongs to whom the command was for, or to whom the text speaks of.
    fn answer(&mut self, text: &'x str) {
        if !text.starts_with(['4', '5']) {
            if text.starts_with("25") {
                self.taken.extend(self.spoken.filter(|_| self.taken.len() < MOST_RECIPIENTS));
            }
            return;
        }
        if self.spoken.is_none()
            && self.current.is_none()
            && !self.taken.is_empty()
            && self.strongest.is_none_or(|it| it == Strength::Dialogue)
        {
            for address in std::mem::take(&mut self.taken) {
                if let Some(at) = self.find(address).or_else(|| self.open(address, Strength::Dialogue)) {
                    self.add(at, text);
                }
            }
            return;
        }
        let at = match self.spoken {
            Some(spoken) => self.find(spoken).or_else(|| {
                let may = self.strongest.is_none_or(|it| it == Strength::Dialogue);
                may.then(|| self.open(spoken, Strength::Dialogue)).flatten()
            }),
            None => self.current,
        };
        match at {
            Some(at) => self.add(at, text),
            None => push(&mut self.loose, text),
        }
    }

    /// Text goes to whom it follows.
    fn keep(&mut self, line: &'x str) {
        match self.current {
            Some(at) => self.add(at, line),
            None if !line.is_empty() && !codes(line).is_empty() => push(&mut self.loose, line),
            None => {}
        }
        if !line.is_empty() {
            push(&mut self.intro, line);
        }
    }

    fn finish(self, action: Action) -> (Vec<Reported>, u32) {
        let mut recipients: Vec<Reported> = Vec::new();
        for draft in &self.drafts {
            let mut lines = diagnostic(&draft.lines, draft.address);
            if codes(&lines).is_empty() && !self.loose.is_empty() {
                lines = self.loose.join("\n");
            }
            if lines.trim().is_empty() {
                lines = self.intro.join("\n");
            }
            let codes = codes(&lines);
            let reported = Reported {
                action,
                status: codes.status,
                reply_code: codes.reply,
                text: bounded(&unfold(&lines)),
                remote_mta: remote(&draft.lines),
                ..Reported::of(draft.address)
            };
            match recipients.iter_mut().find(|it| address::same(&it.address, &reported.address)) {
                Some(known) => fill(known, reported),
                None => recipients.push(reported),
            }
        }
        (recipients, self.dropped)
    }
}

fn push<'x>(lines: &mut Vec<&'x str>, line: &'x str) {
    if lines.len() < MOST_KEPT {
        lines.push(line);
    }
}

fn is_postmaster(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default().to_ascii_lowercase();
    matches!(local.as_str(), "postmaster" | "mailer-daemon" | "abuse" | "support" | "helpdesk" | "hostmaster" | "noreply" | "no-reply")
}

/// Of what is said of a recipient: the paragraph with the reply, or all of it. Its first line loses the bare address.
fn diagnostic(lines: &[&str], address: &str) -> String {
    let mut paragraphs = vec![String::new()];
    for line in lines {
        let line = line.trim();
        if line.is_empty() {
            paragraphs.push(String::new());
            continue;
        }
        let Some(paragraph) = paragraphs.last_mut() else { continue };
        let bare = line.trim_matches(['<', '>', '"', '\'', ':', ' ', '*', '-', '(', ')']);
        let line = match paragraph.is_empty() {
            _ if address::same(bare, address) => continue,
            true => line
                .strip_prefix(['<', '"'])
                .unwrap_or(line)
                .strip_prefix(address)
                .map_or(line, |it| it.trim_start_matches(['>', '"', ':', ' '])),
            false => line,
        };
        if !paragraph.is_empty() {
            paragraph.push('\n');
        }
        paragraph.push_str(line);
    }
    paragraphs.retain(|it| !it.is_empty());
    match paragraphs.iter().find(|it| !codes(it).is_empty()) {
        Some(paragraph) => paragraph.clone(),
        None => paragraphs.join("\n"),
    }
}

/// The lines of a diagnostic as one; the code that a multi-line reply repeats stands once.
fn unfold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut prefix = "";
    for line in text.lines() {
        let mut line = line.trim();
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 3 && line.get(3..4).is_some_and(|it| it == "-" || it == " ") {
            let code = line.get(..3).unwrap_or_default();
            if code == prefix {
                line = line.get(4..).unwrap_or_default();
                if let Some(status) = reply::leading(line) {
                    let status = format!("{}.{}.{}", status.0, status.1, status.2);
                    line = line.strip_prefix(status.as_str()).unwrap_or(line).trim_start();
                }
            } else {
                prefix = code;
            }
        }
        if !out.is_empty() && !line.is_empty() {
            out.push(' ');
        }
        out.push_str(line);
    }
    out
}

/// The host that is said to have said it: `host mx.y.example [192.0.2.1]`.
fn remote(lines: &[&str]) -> Option<String> {
    const BEFORE: &[&str] = &["host ", "host: ", "Server ", "server ", "talking to ", "Remote system: dns; ", "by "];
    lines.iter().take(MOST_KEPT).find_map(|line| {
        BEFORE.iter().find_map(|word| {
            let (before, behind) = line.split_once(word)?;
            let fits = before.is_empty() || before.ends_with([' ', '\t', '(', ',']);
            let name = behind.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).next()?.trim_end_matches('.');
            (fits && name.contains('.') && !name.contains("..") && name.len() <= 255).then(|| name.to_owned())
        })
    })
}

/// Whether what is told is a delay, or the end.
pub fn delays(said: &str) -> Action {
    const WAITS: &[&str] = &[
        "this is only a warning",
        "warning only",
        "not yet been delivered",
        "more than 2 hour",
        "delayed for more than",
        "keep trying",
        "will be retried",
        "continue trying",
        "still being retried",
        "will try again",
        "temporary failure report",
        "do not need to resend",
        "don't need to resend",
        "need to re-send",
        "is being delayed",
        "has been delayed",
        "delivery is delayed",
        "no action is required",
        "will continue to try",
        "noch nicht zugestellt",
        "n'a pas encore été",
    ];
    const ENDS: &[&str] = &[
        "giving up",
        "given up",
        "not going to try",
        "permanent error",
        "permanent fatal",
        "failed permanently",
        "too long",
        "not be retried",
    ];
    let lower = said.get(..crate::message::char_boundary(said, 8192)).unwrap_or_default().to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if says(WAITS) && !says(ENDS) { Action::Delayed } else { Action::Failed }
}
