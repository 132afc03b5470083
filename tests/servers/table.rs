//! What was found, feature by feature: printed, written below target/, and compared with the page that was made of an earlier run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::page;

/// Every feature, in the page's order, with its name there.
pub const FEATURES: &[(&str, &str)] = &[
    ("delivery", "mail is delivered"),
    ("unaltered", "Relayscope alters no octet of it"),
    ("behind_postfix", "mail from a Postfix in front"),
    ("starttls_client", "STARTTLS, client leg"),
    ("starttls_upstream", "STARTTLS, upstream leg"),
    ("auth_plain", "AUTH PLAIN"),
    ("auth_login", "AUTH LOGIN"),
    ("auth_cram-md5", "AUTH CRAM-MD5"),
    ("pipelining", "PIPELINING"),
    ("chunking", "CHUNKING"),
    ("smtputf8", "SMTPUTF8"),
    ("dsn", "DSN"),
    ("8bitmime", "8BITMIME"),
    ("size", "SIZE"),
    ("one_refused", "one of several recipients refused"),
    ("deferred", "4xx: tried again, delivered once"),
    ("queue_ids", "queue ids of both sides in the record"),
    ("bypass", "past Relayscope, with the recipe's bypass"),
    ("no_relay", "doesn't relay for whoever comes through Relayscope"),
    ("one_domain_without_setting", "one domain a transaction, as it comes"),
    ("one_domain_with_setting", "one domain a transaction, with the recipe's setting"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// "yes", "no", "unused" (the other side offers it, the server doesn't ask for it), "n/a" (the server doesn't have it).
    pub result: &'static str,
    pub note: String,
}

impl Found {
    fn of(result: &'static str, note: &str) -> Self {
        Self { result, note: note.replace(['\t', '\n', '|'], " ") }
    }

    pub fn yes() -> Self {
        Self::of("yes", "")
    }

    pub fn yes_with(note: &str) -> Self {
        Self::of("yes", note)
    }

    pub fn no(note: &str) -> Self {
        Self::of("no", note)
    }

    pub fn not_offered() -> Self {
        Self::of("n/a", "")
    }

    pub fn unused(note: &str) -> Self {
        Self::of("unused", note)
    }

    /// It is offered, and the server may or may not ask for it.
    pub fn used(used: bool) -> Self {
        if used { Self::yes() } else { Self::unused("") }
    }

    pub fn when(good: bool, why_not: impl FnOnce() -> String) -> Self {
        if good { Self::yes() } else { Self::no(&why_not()) }
    }
}

#[derive(Default)]
pub struct Findings(BTreeMap<String, Found>);

impl Findings {
    pub fn add(&mut self, feature: &str, found: Found) {
        assert!(FEATURES.iter().any(|(name, _)| *name == feature), "{feature} isn't in the table");
        self.0.insert(feature.to_owned(), found);
    }
}

/// Prints what was found, writes it down, and holds it against the page.
pub fn report(side: &str, server: &str, version: &str, findings: &Findings) {
    let mut lines = String::new();
    let mut differences = String::new();
    for (feature, name) in FEATURES {
        let Some(found) = findings.0.get(*feature) else { continue };
        eprintln!("{side:8} {server:10} {name:52} {:6} {}", found.result, found.note);
        writeln!(lines, "{side}\t{server}\t{version}\t{feature}\t{}\t{}", found.result, found.note).unwrap();
        if let Some(stated) = page::differing(side, server, version, name, found.result) {
            writeln!(differences, "{side}, {server}, {name}: {} was found ({}), the page says {stated}", found.result, found.note).unwrap();
        }
    }
    let dir = target().join("compatibility");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("{side}-{server}.tsv")), lines).unwrap();
    gather();
    assert!(differences.is_empty(), "{differences}If that is right, make the page anew: tests/README.md says how.");
}

/// All that the runs found, one line for each server and feature.
pub fn gather() -> String {
    let mut files: Vec<_> = fs::read_dir(target().join("compatibility")).unwrap().flatten().map(|it| it.path()).collect();
    files.sort();
    let lines: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let table = format!("side\tserver\tversion\tfeature\tresult\tnote\n{lines}");
    let unfinished = target().join(format!("compatibility.{}", std::process::id()));
    fs::write(&unfinished, &table).unwrap();
    fs::rename(unfinished, target().join("compatibility.tsv")).unwrap();
    table
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}
