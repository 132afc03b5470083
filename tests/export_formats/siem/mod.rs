//! What `deploy/siem/` has for each system holds for what is sent there: samples, field names, patterns.

mod elastic;
mod graylog;
mod sentinel;
mod splunk;
mod wazuh;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use relayscope::export::format::flat::{self, Cef};
use relayscope::export::format::{Context, Format, named};
use serde_json::Value;

use super::parsers::leaves;
use super::{context, encoded, encoded_with, records};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/siem")
}

#[track_caller]
fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[track_caller]
fn json(file: &str) -> Value {
    serde_json::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Events of every record there is a golden file of, the hostile one among them.
fn events(format: Format) -> Vec<(&'static str, String)> {
    records::all().into_iter().map(|(name, record)| (name, String::from_utf8(encoded(format, &record).0).unwrap())).collect()
}

/// Every name that events of a format can have, found by a thousand records drawn at random, always the same ones.
fn names(format: Format) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for record in records::drawn(1_000) {
        for max_event in [65_536, 1_024] {
            let event = encoded_with(format, &record, Context { max_event, timeline: true, ..context() }).0;
            let event: Value = serde_json::from_slice(&event).unwrap();
            let mut found = Vec::new();
            leaves(&event, "", &mut found);
            names.extend(found.into_iter().map(|(name, _)| name));
        }
    }
    names
}

/// Every key of CEF that events can have.
fn cef_keys() -> BTreeSet<&'static str> {
    let keys = flat::ALL.iter().filter_map(|(_, field)| match field.cef {
        Cef::Key(key, _) | Cef::Slot(key, ..) => Some(key),
        Cef::No => None,
    });
    keys.chain(["rt", "c6a2", "c6a3"]).collect()
}

/// Every name that an event can be called by.
fn msgids() -> BTreeSet<&'static str> {
    records::drawn(3_000).filter_map(|record| named(&record)).map(|it| it.msgid).collect()
}

#[test]
fn samples_are_what_is_sent() {
    let samples = [
        ("splunk/sample.json", Format::Json),
        ("elastic/sample.ndjson", Format::Ecs),
        ("sentinel/sample.cef", Format::Cef),
        ("wazuh/sample.cef", Format::Cef),
        ("graylog/sample.ndjson", Format::Gelf),
        ("sample.leef", Format::Leef),
        ("sample.ocsf.ndjson", Format::Ocsf),
    ];
    let wanted = ["accepted", "rejected", "auth_failure", "incident_opened", "gap"];
    for (file, format) in samples {
        let lines: Vec<String> =
            events(format).into_iter().filter(|(name, _)| wanted.contains(name)).map(|(_, event)| event + "\n").collect();
        if std::env::var_os("RELAYSCOPE_BLESS").is_some() {
            std::fs::write(folder().join(file), lines.concat()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder().join(file)).unwrap_or_default(), lines.concat(), "{file}");
    }
}

#[test]
fn the_names_of_events_are_documented() {
    let readme = read("README.md");
    for msgid in msgids() {
        let (group, rest) = msgid.split_once('.').unwrap_or((msgid, ""));
        let short = format!("`.{rest}`");
        assert!(readme.contains(&format!("`{msgid}`")) || readme.contains(&short) && readme.contains(group), "{msgid} isn't in the table");
    }
}

/// `RELAYSCOPE_BLESS=1` writes the table anew.
#[test]
fn the_flat_fields_are_documented() {
    let mut table = "# The fields of CEF, LEEF and GELF\n\n\
        One fact a line, and what it is called in each format. A CEF slot has its label behind it (`cs1Label=messageId`); IPv6 addresses stand \
        in `c6a2` and `c6a3`. LEEF has `devTime`, `devTimeFormat` and `sev`, GELF `host`, `short_message`, `timestamp` and `level` beside.\n\n\
        | fact | CEF | LEEF | GELF |\n|---|---|---|---|\n"
        .to_owned();
    for (name, field) in flat::ALL {
        let cef = match field.cef {
            Cef::Key(key, _) => format!("`{key}`"),
            Cef::Slot(key, label, _) => format!("`{key}` {label}"),
            Cef::No => String::new(),
        };
        let leef = field.leef.map(|name| format!("`{name}`")).unwrap_or_default();
        let gelf = field.gelf.map(|name| format!("`_{name}`")).unwrap_or_default();
        table += &format!("| {} | {cef} | {leef} | {gelf} |\n", name.to_lowercase().replace('_', " "));
    }
    if std::env::var_os("RELAYSCOPE_BLESS").is_some() {
        std::fs::write(folder().join("flat-fields.md"), &table).unwrap();
    }
    assert_eq!(read("flat-fields.md"), table);
}

#[test]
fn the_exports_of_the_readmes_are_valid() {
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let secret_file = regex::Regex::new(r#"secret_file = "[^"]+""#).unwrap();
    for system in ["splunk", "elastic", "sentinel", "wazuh", "graylog"] {
        let readme = read(&format!("{system}/README.md"));
        let block =
            readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_else(|| panic!("{system}: no export"));
        let block = secret_file.replace(block, format!("secret_file = {secret:?}"));
        let text = format!("[[upstream]]\nname = \"provider\"\nhosts = [\"smtp.provider.example:587\"]\n\n{block}");
        if let Err(errors) = relayscope::config::load_text(&place.path().join("relayscope.toml"), &text, &Default::default()) {
            panic!("{system}: {errors}");
        }
    }
}
