//! What an earlier release kept beside its records is read by this one: where exports stand and their key, what is usual, and the
//! configurations of its starts. `tests/store_upgrade.rs` does the same for journal and index.
//!
//! `cargo test --test service -- --ignored write_the_small_files` makes the folder of this build's form, if it isn't there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use relayscope::doctor::kept;
use relayscope::export::Place as ExportPlace;
use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

/// One folder for each form that was ever released, oldest first: a store as a proxy has left it. Beside it what the export had written.
const FORMS: &[&str] = &["state-1", "state-2", "state-3"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn start(place: &Place, sink: &Sink) -> Relayscope {
    Relayscope::configured(
        place,
        &format!(
            "[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"{}\"]\n[store]\nkeep_days = 0\nstaging = \"off\"\n\
             [[export]]\nname = \"siem\"\nkind = \"file\"\npath = \"{}\"\nstart = \"oldest\"\n[export.redact]\naddresses = \"hashed\"\n",
            sink.address,
            place.path("siem.jsonl").display()
        ),
    )
}

fn deliver(relayscope: &Relayscope, name: &str) {
    let mut client = relayscope.client();
    client.expect(220);
    client.command("EHLO client.example", 250);
    assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
    client.quit();
}

/// The transactions that were exported, once there are so many.
fn exported(place: &Place, wanted: usize) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(place.path("siem.jsonl")).unwrap_or_default();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<Value> = whole.filter(|event| event["kind"] == "transaction").collect();
        if found.len() >= wanted {
            return found;
        }
        assert!(Instant::now() < end, "{wanted} transactions are not exported within {PATIENCE:?}: {text}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)
        } else {
            let _ = fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn what_is_kept_beside_the_records_is_read() {
    for form in FORMS {
        let place = Place::new();
        let store = place.path("store");
        copy(&fixtures().join(form), &store);
        // As the release that kept it had made it.
        fs::set_permissions(&store, fs::Permissions::from_mode(0o750)).unwrap();
        let before: Vec<Value> = fs::read_to_string(fixtures().join(form).with_extension("jsonl"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|event: &Value| event["kind"] == "transaction")
            .collect();
        let at = ExportPlace::read(&store, "siem").unwrap().unwrap();
        let started = fs::read_dir(store.join("configs")).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
        let text = kept::read(&store, started.file_stem().unwrap().to_str().unwrap()).unwrap();
        toml::from_str::<toml::Table>(&text).unwrap();

        let sink = Sink::start(Manner::Take);
        let relayscope = start(&place, &sink);
        deliver(&relayscope, "newer");
        // Nothing is sent again, nothing is left out, and hashes are made with the same key.
        let newer = exported(&place, 1);
        assert_eq!(newer[0]["message"]["message_id"], "newer@msg.example", "{newer:?}");
        let to = |event: &Value| event["envelope"]["recipients"][0]["address"].clone();
        assert_eq!(to(&newer[0]), to(&before[0]), "{form}");
        assert_ne!(to(&before[0]), "bob@to.example", "{form}");
        let (code, said) = run(&mut command(&place, &["where", "--store", "store", "older-1@msg.example"]));
        assert_eq!(code, 0, "{said}");
        // What is usual was taken in: whatever can't be read is warned of.
        let output = relayscope.output().clone();
        relayscope.stop();
        assert!(!output.text().contains(" WARN ") && !output.text().contains("ERROR"), "{form}: {}", output.text());
        assert!(store.join("anomaly.state").is_file());
        assert_ne!(ExportPlace::read(&store, "siem").unwrap().unwrap().at, at.at, "{form}: the export went on");
    }
}

#[test]
#[ignore = "makes the files that the other test reads"]
fn write_the_small_files_of_this_build() {
    let newest = fixtures().join(FORMS.last().unwrap());
    assert!(!newest.exists(), "{} is there: what was written once stays", newest.display());
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let relayscope = start(&place, &sink);
    (1..=3).for_each(|no| deliver(&relayscope, &format!("older-{no}")));
    exported(&place, 3);
    let store = relayscope.stop();
    // What is a process's own, and what is made of the rest.
    for dir in ["state", "draining"] {
        let _ = fs::remove_dir_all(store.join(dir));
    }
    for file in ["lock", "api.sock", "handover.sock"] {
        let _ = fs::remove_file(store.join(file));
    }
    copy(&store, &newest);
    fs::copy(place.path("siem.jsonl"), newest.with_extension("jsonl")).unwrap();
}
