//! Under systemd our own log goes to the journal field by field: a real journald, in a mount namespace of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::place::Place;
use crate::support::process::run;
use crate::support::programs::{need, skip};
use crate::support::relayscope::BINARY;

const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// Runs relayscope as a service manager does, its streams led to the journal; then prints what the journal has.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal /run/systemd/journald.conf.d
printf '[Journal]\nAudit=no\nReadKMsg=no\nStorage=volatile\n' > /run/systemd/journald.conf.d/test.conf
"$1" & journald=$!
trap 'kill $journald' EXIT
until [ -S /run/systemd/journal/stdout ]; do kill -0 $journald; sleep 0.05; done
systemd-cat sh -c 'export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); echo $$ > pid; exec "$@"' sh "$2" run --listen 127.0.0.1:0 --smart-host 127.0.0.1:9 --store store --http off &
relayscope=$!
until [ -S store/api.sock ]; do kill -0 $relayscope; sleep 0.05; done
kill "$(cat pid)"
wait $relayscope
journalctl --sync
journalctl -D /run/log/journal -t relayscope -o json --all > entries.json
"#;

#[test]
fn the_journal_has_the_line_and_its_fields() {
    need!("unshare", "systemd-cat", "journalctl", "root");
    if !Path::new(JOURNALD).exists() {
        return skip(module_path!(), "needs systemd-journald");
    }
    let place = Place::new();
    let mut script = Command::new("unshare");
    script.args(["--mount", "sh", "-c", SCRIPT, "sh", JOURNALD, BINARY]).current_dir(&place).env_remove("RELAYSCOPE_LOG");
    let (code, said) = run(&mut script);
    if said.contains("unshare failed") || said.contains("mount:") {
        return eprintln!("SKIPPED: no file system can be mounted here: {said}");
    }
    assert_eq!(code, 0, "{said}");
    let entries = std::fs::read_to_string(place.path("entries.json")).unwrap();
    let entries: Vec<BTreeMap<String, Value>> = entries.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |name: &str, entry: &BTreeMap<String, Value>| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let listening = entries.iter().find(|entry| text("MESSAGE", entry).starts_with("listening listener=\"smtp\" addresses=[127.0.0.1:"));
    let listening = listening.unwrap_or_else(|| panic!("{entries:#?}"));
    assert_eq!(text("RELAYSCOPE_LISTENER", listening), "smtp");
    assert_eq!(text("PRIORITY", listening), "6");
    assert_eq!(text("TARGET", listening), "relayscope::app");
    assert_eq!(text("_TRANSPORT", listening), "journal");
    assert!(entries.iter().any(|entry| text("MESSAGE", entry) == "stopped"), "{entries:#?}");
}
