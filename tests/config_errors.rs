//! Bad configurations and the exact words that each gets: `tests/config/errors.txt`.
//!
//! A case is a title, flags if any, the file, and what is said of it. `$DIR` is a directory with the files made below.
//! `UPDATE_GOLDEN=1 cargo test --test config_errors` writes what is said now into the file: read the difference before committing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

use std::fs;
use std::path::Path;

use relayscope::config::{self, Overrides};
use relayscope::net::tls::self_signed;

const GOLDEN: &str = "tests/config/errors.txt";

struct Case {
    title: String,
    flags: Vec<String>,
    file: String,
    said: String,
}

#[test]
fn bad_configurations_are_refused_in_these_words() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let golden = fs::read_to_string(GOLDEN).unwrap();
    let mut cases = parse(&golden);
    let mut wrong = Vec::new();
    for case in &mut cases {
        let said = outcome(case, dir.path());
        if said != case.said {
            wrong.push(format!("{}\nexpected:\n{}\nsaid:\n{said}\n", case.title, case.said));
            case.said = said;
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(GOLDEN, shown(&golden, &cases)).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is said of a case: its problems, or the warnings of one that loads.
fn outcome(case: &Case, dir: &Path) -> String {
    let at = dir.display().to_string();
    let mut overrides = Overrides::default();
    for pair in case.flags.chunks(2) {
        let value = pair[1].replace("$DIR", &at);
        match pair[0].as_str() {
            "--listen" => overrides.listen = Some(value),
            "--smart-host" => overrides.smart_host = Some(value),
            "--store" => overrides.store = Some(value.into()),
            "--http" => overrides.http = Some(value),
            other => panic!("no such flag: {other}"),
        }
    }
    let text = case.file.replace("$DIR", &at);
    let said = match config::load_text(Path::new("relayscope.toml"), &text, &overrides) {
        Ok(loaded) => {
            let warnings = loaded.warnings.iter().map(|warning| format!("warning: {warning}"));
            std::iter::once("loads".to_owned()).chain(warnings).collect::<Vec<_>>().join("\n")
        }
        Err(errors) => errors.to_string(),
    };
    said.replace(&at, "$DIR")
}

fn prepare(dir: &Path) {
    let pair = self_signed(&[dir.to_owned()], "relay.example").unwrap();
    fs::copy(&pair.certificate, dir.join("server.crt")).unwrap();
    fs::copy(&pair.key, dir.join("server.key")).unwrap();
    fs::copy(&pair.key, dir.join("open.key")).unwrap();
    set_mode(&dir.join("open.key"), 0o644);
    let other = tempfile::tempdir().unwrap();
    let other = self_signed(&[other.path().to_owned()], "other.example").unwrap();
    fs::copy(&other.key, dir.join("other.key")).unwrap();
    for (name, content, mode) in [
        ("password", "correct horse\n", 0o600),
        ("open-password", "correct horse\n", 0o644),
        ("empty-password", "\n", 0o600),
        ("two-passwords", "correct\nhorse\n", 0o600),
    ] {
        fs::write(dir.join(name), content).unwrap();
        set_mode(&dir.join(name), mode);
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// `=== TITLE`, `$ FLAGS`, the file, `---`, what is said.
fn parse(golden: &str) -> Vec<Case> {
    let blocks = golden.split("\n=== ").skip(1);
    blocks
        .map(|block| {
            let (title, rest) = block.split_once('\n').unwrap();
            let (file, said) = rest.split_once("---\n").unwrap();
            let (flags, file) = match file.strip_prefix("$ ") {
                Some(rest) => rest.split_once('\n').unwrap(),
                None => ("", file),
            };
            Case {
                title: title.to_owned(),
                flags: flags.split_whitespace().map(str::to_owned).collect(),
                file: file.to_owned(),
                said: said.trim_end().to_owned(),
            }
        })
        .collect()
}

fn shown(golden: &str, cases: &[Case]) -> String {
    let preface = golden.split("\n=== ").next().unwrap();
    let mut text = preface.trim_end().to_owned() + "\n";
    for case in cases {
        let flags = if case.flags.is_empty() { String::new() } else { format!("$ {}\n", case.flags.join(" ")) };
        text += &format!("\n=== {}\n{flags}{}---\n{}\n", case.title, case.file, case.said);
    }
    text
}
