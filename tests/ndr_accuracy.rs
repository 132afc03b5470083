//! How well real bounce messages are read: recipient, status, reply code, Message-ID and cause, by format.
//!
//! The corpus isn't part of the project: RELAYSCOPE_CORPUS names its folder, else `../shared/corpus` beside the checkout.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use relayscope::message::report::{self, Report};

/// One row of `ndr_expected.tsv`.
struct Row {
    file: String,
    format: String,
    recipient: String,
    message_id: String,
    status: String,
    reply_code: String,
    leaks: bool,
}

fn corpus() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = std::env::var_os("RELAYSCOPE_CORPUS").map_or_else(beside, PathBuf::from);
    folder.join("ndr_expected.tsv").exists().then_some(folder)
}

fn rows(folder: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(folder.join("ndr_expected.tsv")).expect("the expected values");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a head").split('\t').collect();
    let of = |row: &[&str], name: &str| {
        let at = names.iter().position(|it| *it == name).unwrap_or_else(|| panic!("no column {name}"));
        row.get(at).copied().unwrap_or_default().to_owned()
    };
    lines
        .map(|line| {
            let row: Vec<&str> = line.split('\t').collect();
            Row {
                file: of(&row, "file"),
                format: of(&row, "format"),
                recipient: of(&row, "recipient"),
                message_id: of(&row, "original_message_id"),
                status: of(&row, "status"),
                reply_code: of(&row, "reply_code"),
                leaks: of(&row, "text_leaks_label") == "1",
            }
        })
        .collect()
}

/// Half of the files, by a hash of the name: errors of these were looked at while the parser was written, those of the others not until the end.
fn is_looked_at(file: &str) -> bool {
    ring::digest::digest(&ring::digest::SHA256, file.as_bytes()).as_ref()[0] % 2 == 0
}

/// Right and all.
#[derive(Default, Clone, Copy)]
struct Share(u32, u32);

impl Share {
    fn add(&mut self, right: bool) {
        self.0 += u32::from(right);
        self.1 += 1;
    }

    fn percent(self) -> f64 {
        if self.1 == 0 { 100.0 } else { f64::from(self.0) * 100.0 / f64::from(self.1) }
    }

    fn cell(self) -> String {
        if self.1 == 0 { "-".to_owned() } else { format!("{}/{}", self.0, self.1) }
    }
}

const COLUMNS: [&str; 4] = ["recipient", "message-id", "status", "reply code"];

#[derive(Default, Clone, Copy)]
struct Score([Share; COLUMNS.len()]);

fn score(row: &Row, report: Option<&Report>) -> [Option<bool>; COLUMNS.len()] {
    let recipient = report.and_then(|it| it.recipients.iter().find(|it| it.address.eq_ignore_ascii_case(&row.recipient)));
    let id = report.and_then(|it| it.original_message_id.as_deref()).unwrap_or_default();
    let status =
        recipient.and_then(|it| it.status).map(|(class, subject, detail)| format!("{class}.{subject}.{detail}")).unwrap_or_default();
    let code = recipient.and_then(|it| it.reply_code).map(|it| it.to_string()).unwrap_or_default();
    // x.0.9nn are codes that the corpus's own parser makes up for messages that have none.
    let has_status = !row.status.contains(".0.9") && !row.status.is_empty();
    [
        Some(recipient.is_some()),
        (!row.message_id.is_empty()).then(|| id == row.message_id),
        has_status.then(|| status == row.status),
        (!row.reply_code.is_empty()).then(|| code == row.reply_code),
    ]
}

#[test]
fn real_bounces_are_read() {
    let Some(folder) = corpus() else {
        eprintln!("skipped: no corpus (RELAYSCOPE_CORPUS names its folder)");
        return;
    };
    let rows = rows(&folder);
    let mut reports: BTreeMap<String, Option<Report>> = BTreeMap::new();
    let (mut spent, mut octets_read) = (Duration::ZERO, 0);
    for row in &rows {
        if !reports.contains_key(&row.file) {
            let octets = std::fs::read(folder.join("ndr").join(&row.file)).expect("a message");
            octets_read += octets.len();
            let start = Instant::now();
            let report = report::read(&octets);
            spent += start.elapsed();
            reports.insert(row.file.clone(), report);
        }
    }
    let show = std::env::var("NDR_ERRORS").unwrap_or_default();
    let (mut formats, mut halves, mut all) = (BTreeMap::<String, Score>::new(), [Score::default(); 2], Score::default());
    for row in rows.iter().filter(|it| !it.leaks) {
        let report = reports.get(&row.file).and_then(Option::as_ref);
        let looked_at = is_looked_at(&row.file);
        let scores = score(row, report);
        let of_format = formats.entry(row.format.clone()).or_default();
        for (at, right) in scores.iter().enumerate().filter_map(|(at, it)| it.map(|it| (at, it))) {
            for score in [&mut *of_format, &mut halves[usize::from(looked_at)], &mut all] {
                score.0[at].add(right);
            }
        }
        if scores.contains(&Some(false)) && (show == "all" || (show == "half" && looked_at)) {
            let wrong: Vec<_> = scores.iter().zip(COLUMNS).filter(|(it, _)| **it == Some(false)).map(|(_, name)| name).collect();
            println!("{}: {wrong:?}; expected {} {} {} <{}>", row.file, row.recipient, row.status, row.reply_code, row.message_id);
            match report {
                None => println!("    no report"),
                Some(report) => {
                    println!("    {} <{}>", report.format, report.original_message_id.as_deref().unwrap_or_default());
                    for it in &report.recipients {
                        println!("    {} {:?} {:?} {:?}", it.address, it.status, it.reply_code, it.text);
                    }
                }
            }
        }
    }
    println!("{:26}{}", "format", COLUMNS.map(|it| format!("{it:>12}")).concat());
    let line = |name: &str, score: &Score| println!("{name:26}{}", score.0.map(|it| format!("{:>12}", it.cell())).concat());
    formats.iter().for_each(|(name, score)| line(name, score));
    let percents = |name: &str, score: &Score| println!("{name:26}{}", score.0.map(|it| format!("{:>11.1}%", it.percent())).concat());
    percents("the half looked at", &halves[1]);
    percents("the other half", &halves[0]);
    percents("all", &all);
    println!("{} messages, {octets_read} octets in {spent:?}", reports.len());
}
