//! The doctor's report as programs read it, and that it ends in time whatever doesn't answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use relayscope::doctor::examine::Doctor;
use relayscope::doctor::options::Options;
use relayscope::doctor::{Check, Report, Section, Verdict};
use relayscope::net::resolve::Resolver;
use relayscope::store;

#[test]
fn reports_are_as_the_schema_in_the_repository_says() {
    let schema = Report::schema();
    let current = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/doctor.schema.json");
    if std::env::var_os("RELAYSCOPE_BLESS").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    assert!(std::fs::read_to_string(&file).unwrap() == current, "config/doctor.schema.json is not what the types say: bless it");
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let mut section = Section::new("a part");
    section.push(Check::asking("mx.records", "MX of example.org", "mail needs it").ok("10 mx.example.org"));
    section.push(Check::asking("mx.null", "MX of example.org", "mail needs it").fail("none", "Publish one."));
    let report = serde_json::to_value(Report::of("dns example.org", vec![section])).unwrap();
    assert!(validator.is_valid(&report), "{report:#}");
    assert!(!validator.is_valid(&serde_json::json!({ "target": "dns example.org", "verdict": "good", "conclusion": "", "sections": [] })));
}

#[test]
fn all_together_end_in_time_and_say_what_was_not_done() {
    // It takes questions and never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut options = Options::bare("doctor.example", store::Options::new(place.path()));
    options.domains = vec!["slow.example".to_owned(), "slower.example".to_owned()];
    options.sending_addresses = vec!["198.51.100.7".parse().unwrap()];
    options.patience = Duration::from_secs(600);
    let doctor = Doctor { options: Arc::new(options), resolver: Resolver::from_server(silent.local_addr().unwrap()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(doctor.all(None, Duration::from_millis(200)));
    let unfinished: Vec<&str> = report.sections.iter().map(|section| section.title.as_str()).collect();
    assert_eq!(unfinished, ["dns slow.example: not examined", "dns slower.example: not examined", "sender 198.51.100.7: not examined"]);
    let check = &report.sections[0].checks[0];
    assert_eq!((check.name.as_str(), check.verdict), ("doctor.unfinished", Verdict::Warn));
    assert_eq!(check.answer, "not done within 0.2 s: servers that were asked don't answer");
}

#[test]
fn what_could_not_be_examined_is_not_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("relayscope.toml");
    let file = "[[listener]]\nlisten = [\"127.0.0.1:0\"]\nehlo = \"static\"\n[[upstream]]\nname = \"world\"\nkind = \"mx\"\n";
    std::fs::write(&config, file).unwrap();
    let doctor = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_relayscope"));
        command.args(["doctor", "upstream", "--directly", "--config"]).arg(&config).arg("--store").arg(dir.path().join("store"));
        let done = command.args(more).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap())
    };
    let (code, page) = doctor(&[]);
    assert_eq!(code, Some(3), "{page}");
    assert!(page.contains("Not examined: upstream world (1 skipped)\nNothing could be examined: hosts of upstream world: "), "{page}");
    let (code, json) = doctor(&["--json"]);
    assert_eq!(code, Some(3), "{json}");
    assert!(json.contains("\"verdict\":\"skipped\",\"conclusion\":\"nothing could be examined: "), "{json}");
}
