//! `relayscope classify`: what a reply means, which rule says so, and why it won.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::{Failure, Status};
use super::screen::{print, show_json, visible};
use crate::diagnose::{Cause, Explained, Facts, Rules};
use crate::smtp::Stage;

/// No file of replies or rules is as long.
const LONGEST: u64 = 256 << 20;

/// Rules that are told beside the winner.
const OTHERS_SHOWN: usize = 5;

/// The columns of a table of replies that are read; the first line names them.
const NEEDED: [&str; 5] = ["id", "stage", "code", "enhanced", "text"];

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  relayscope classify '550 5.1.1 <ann@x.example>: Recipient address rejected: User unknown'\n  relayscope classify --stage rcpt_to --host mx.x.example '550 Access denied'\n  relayscope classify --tsv replies.tsv > causes.tsv"
)]
pub struct Classify {
    /// The reply as it came, codes and all; - reads it from standard input
    #[arg(value_name = "TEXT", required_unless_present = "tsv", conflicts_with = "tsv", allow_hyphen_values = true)]
    text: Option<String>,
    /// Where in the dialogue it came: connect, banner, ehlo, starttls, auth, mail_from, rcpt_to, data, end_of_data
    #[arg(long, value_name = "STAGE", conflicts_with = "tsv")]
    stage: Option<String>,
    /// The host that spoke
    #[arg(long, value_name = "NAME", conflicts_with = "tsv")]
    host: Option<String>,
    /// Its greeting
    #[arg(long, value_name = "TEXT", conflicts_with = "tsv")]
    banner: Option<String>,
    /// Classify a table: tab-separated, the first line names the columns id, stage, code, enhanced, text and perhaps provider; - is standard input
    #[arg(long, value_name = "FILE")]
    tsv: Option<PathBuf>,
    /// Directory with rules of one's own (*.toml), asked before the built-in ones
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, conflicts_with = "tsv")]
    json: bool,
}

impl Classify {
    pub fn run(self) -> Result<Status, Failure> {
        let own;
        let rules = match &self.rules {
            Some(dir) => {
                own = Rules::with_own(&own_rules(dir)?).map_err(|error| Failure::usage(error.to_string()))?;
                &own
            }
            None => Rules::builtin(),
        };
        if let Some(path) = &self.tsv {
            return table(rules, path);
        }
        let text = match self.text.as_deref() {
            Some("-") => read(Path::new("-"))?,
            text => text.unwrap_or_default().to_owned(),
        };
        let text = text.trim().replace("\\n", "\n");
        if text.is_empty() {
            return Err(Failure::usage("there is no text to classify").advise("give the reply as the server sent it, in quotes"));
        }
        let stage = self.stage.as_deref().map(stage).transpose().map_err(Failure::usage)?.flatten();
        let facts = Facts { stage, text: &text, host: self.host.as_deref(), banner: self.banner.as_deref(), ..Facts::default() };
        let explained = rules.explain(&facts);
        if self.json {
            show_json(&explained)?;
        } else {
            print(&words(&explained))?;
        }
        Ok(Status::Done)
    }
}

/// The `*.toml` files of a directory, by name.
fn own_rules(dir: &Path) -> Result<Vec<(String, String)>, Failure> {
    let unreadable = |path: &Path, error: io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let entries = fs::read_dir(dir).map_err(|error| unreadable(dir, error))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::usage(format!("{}: there is no *.toml file in it", dir.display())));
    }
    paths.into_iter().map(|path| Ok((path.display().to_string(), read(&path)?))).collect()
}

fn read(path: &Path) -> Result<String, Failure> {
    let told = |error: io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let mut octets = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(LONGEST + 1).read_to_end(&mut octets).map_err(told)?;
    } else {
        fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut octets)).map_err(told)?;
    }
    if octets.len() as u64 > LONGEST {
        return Err(Failure::usage(format!("{}: longer than {} MiB", path.display(), LONGEST >> 20)));
    }
    Ok(String::from_utf8(octets).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// A stage by its word, or as logs write it: `rcpt`, `mail`, `helo`. `None` is one that isn't known.
fn stage(word: &str) -> Result<Option<Stage>, String> {
    if let Some(stage) = Stage::from_word(word) {
        return Ok(Some(stage));
    }
    Ok(Some(match word {
        "" | "-" | "unknown" => return Ok(None),
        "mail" => Stage::MailFrom,
        "rcpt" => Stage::RcptTo,
        "helo" => Stage::Ehlo,
        "final" | "dot" => Stage::EndOfData,
        _ => {
            let all: Vec<&str> = Stage::ALL.iter().map(|stage| stage.word()).collect();
            return Err(format!("{word:?} is no stage; stages are {}", all.join(", ")));
        }
    }))
}

/// Where the columns stand.
struct Columns {
    needed: [usize; 5],
    provider: Option<usize>,
}

impl Columns {
    fn read(head: &str) -> Result<Self, String> {
        let names: Vec<&str> = head.trim_end_matches('\r').split('\t').map(str::trim).collect();
        let place = |name: &str| names.iter().position(|known| *known == name);
        let mut needed = [0; 5];
        for (slot, name) in needed.iter_mut().zip(NEEDED) {
            *slot = place(name)
                .ok_or_else(|| format!("there is no column {name:?}; the first line names the columns: {}", NEEDED.join(", ")))?;
        }
        Ok(Self { needed, provider: place("provider") })
    }
}

fn table(rules: &Rules, path: &Path) -> Result<Status, Failure> {
    let text = read(path)?;
    let out = io::stdout();
    let is_terminal = out.is_terminal();
    classified(rules, path, &text, is_terminal, io::BufWriter::new(out.lock()))
}

fn classified(rules: &Rules, path: &Path, text: &str, is_terminal: bool, mut out: impl Write) -> Result<Status, Failure> {
    let wrong = |line: usize, why: String| Failure::usage(format!("{}:{line}: {why}", path.display()));
    let mut lines = (1..).zip(text.lines());
    let (line, head) = lines.next().ok_or_else(|| wrong(1, "the file is empty".to_owned()))?;
    let columns = Columns::read(head).map_err(|why| wrong(line, why))?;
    for (line, row) in lines.filter(|(_, row)| !row.trim().is_empty()) {
        let (id, cause) = row_cause(rules, &columns, row).map_err(|why| wrong(line, why))?;
        let id = if is_terminal { visible(id) } else { id.into() };
        if let Err(error) = writeln!(out, "{id}\t{cause}") {
            return unwritten(error);
        }
    }
    out.flush().map_or_else(unwritten, |()| Ok(Status::Done))
}

/// A reader that has gone (`| head`) is no failure.
fn unwritten(error: io::Error) -> Result<Status, Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(Status::Done),
        _ => Err(io::Error::new(error.kind(), format!("standard output: {error}")).into()),
    }
}

fn row_cause<'t>(rules: &Rules, columns: &Columns, row: &'t str) -> Result<(&'t str, crate::diagnose::Cause), String> {
    let fields: Vec<&str> = row.trim_end_matches('\r').split('\t').collect();
    let field = |place: usize| fields.get(place).copied().ok_or_else(|| format!("the line has {} columns only", fields.len()));
    let [id, at, code, enhanced, text] = columns.needed;
    let code = match field(code)? {
        "" | "-" => None,
        word => Some(word.parse().map_err(|_| format!("{word:?} is no reply code"))?),
    };
    let enhanced = match field(enhanced)? {
        "" | "-" => None,
        word => Some(enhanced_code(word).ok_or_else(|| format!("{word:?} is no enhanced status code"))?),
    };
    let text = field(text)?.replace("\\n", "\n");
    let host = columns.provider.map(field).transpose()?.filter(|host| !matches!(*host, "" | "-"));
    let facts = Facts { stage: stage(field(at)?)?, code, enhanced, text: &text, host, banner: None };
    Ok((field(id)?, rules.classify(&facts).cause))
}

fn enhanced_code(word: &str) -> Option<(u8, u16, u16)> {
    let mut parts = word.split('.');
    let code = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(code)
}

fn words(explained: &Explained) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| out.push_str(&format!("{name:<12}{}\n", visible(value)));
    if let Some(code) = explained.code.filter(|code| matches!(code, 200..=399)) {
        line("no refusal", &format!("{code} says that the command was taken"));
    }
    line("cause", explained.cause.word());
    // Of what no rule knows nobody can say whose business it is.
    let who = if explained.cause == Cause::Unclassified { "not known" } else { explained.act.word() };
    line("who acts", who);
    line("permanence", explained.permanence.word());
    line("advice", &explained.advice);
    line("rule", &explained.rule);
    line("why", &explained.why);
    match &explained.provider {
        Some(provider) => line("spoken by", &format!("{} (known by {})", provider.name, provider.known_by)),
        None => line("spoken by", "not known"),
    }
    let codes: Vec<String> = [
        explained.stage.map(|stage| format!("stage {stage}")),
        explained.code.map(|code| format!("code {code}")),
        explained.enhanced.as_ref().map(|code| format!("enhanced {code}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    line("facts", &if codes.is_empty() { "none but the text".to_owned() } else { codes.join(", ") });
    line("read as", &explained.read_as);
    for other in explained.matched.iter().skip(1).take(OTHERS_SHOWN) {
        line("also", &format!("{} (rank {}) would say {}", other.rule, other.rank, other.cause));
    }
    if let Some(more) = explained.matched.len().checked_sub(1 + OTHERS_SHOWN).filter(|more| *more > 0) {
        line("", &format!("and {more} more; --json lists them"));
    }
    line("rules", &explained.rules_version);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "id\tstage\tcode\tenhanced\ttext\na\u{1b}[2J\trcpt\t550\t5.1.1\tUser unknown\n";

    fn shown(is_terminal: bool) -> String {
        let mut out = Vec::new();
        classified(Rules::builtin(), Path::new("t.tsv"), TABLE, is_terminal, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_id_of_a_table_steers_no_terminal() {
        assert_eq!(shown(true), "a\\x1b[2J\trecipient_unknown\n");
        assert_eq!(shown(false), "a\u{1b}[2J\trecipient_unknown\n");
    }
}
