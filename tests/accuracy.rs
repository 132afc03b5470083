//! How many replies of a labelled corpus are classified as their readers did. The corpus isn't part of the project: where it is missing the test says
//! so and is skipped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use relayscope::diagnose::{Facts, Rules};
use relayscope::smtp::Stage;

/// Rows in percent that must be right: of all, and of those whose reader was sure.
const FLOOR: (f64, f64) = (93.8, 97.8);

#[derive(Default, Clone, Copy)]
struct Score {
    right: u32,
    all: u32,
}

impl Score {
    fn add(&mut self, right: bool) {
        self.right += u32::from(right);
        self.all += 1;
    }

    fn percent(self) -> f64 {
        f64::from(self.right) * 100.0 / f64::from(self.all.max(1))
    }
}

fn corpus() -> Option<String> {
    let dir = std::env::var_os("RELAYSCOPE_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    std::fs::read_to_string(dir.join("replies.tsv")).ok()
}

fn stage(word: &str) -> Option<Stage> {
    Some(match word {
        "mail" => Stage::MailFrom,
        "rcpt" => Stage::RcptTo,
        "final" => Stage::EndOfData,
        word => return Stage::from_word(word),
    })
}

fn enhanced(word: &str) -> Option<(u8, u16, u16)> {
    let mut parts = word.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[test]
fn replies_are_classified_as_their_readers_did() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: there is no corpus (set RELAYSCOPE_CORPUS to its folder)");
        return;
    };
    let mut lines = corpus.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let place = |name: &str| head.iter().position(|column| *column == name).unwrap_or_else(|| panic!("no column {name}"));
    let columns = ["provider", "stage", "code", "enhanced", "text", "cause", "confidence"].map(place);
    let rules = Rules::builtin();
    let (mut all, mut sure, mut unhinted) = (Score::default(), Score::default(), Score::default());
    let mut by_cause = BTreeMap::<String, Score>::new();
    let mut by_provider = BTreeMap::<String, Score>::new();
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let [provider, at, code, status, text, cause, confidence] = columns.map(|place| fields[place]);
        let text = text.replace("\\n", "\n");
        let mut facts = Facts { stage: stage(at), code: code.parse().ok(), enhanced: enhanced(status), text: &text, ..Facts::default() };
        unhinted.add(rules.classify(&facts).cause.word() == cause);
        facts.host = Some(provider).filter(|provider| !provider.is_empty());
        let right = rules.classify(&facts).cause.word() == cause;
        all.add(right);
        if confidence == "sure" {
            sure.add(right);
        }
        by_cause.entry(cause.to_owned()).or_default().add(right);
        by_provider.entry(provider.to_owned()).or_default().add(right);
    }
    for (what, table) in [("cause", by_cause), ("provider", by_provider)] {
        println!("{what:<28}right / all");
        for (name, score) in table {
            println!(
                "{:<28}{:>5} / {:<5}{:>6.1} %",
                if name.is_empty() { "(none)" } else { &name },
                score.right,
                score.all,
                score.percent()
            );
        }
    }
    println!("all {:.1} %, sure {:.1} %, all without the provider's name {:.1} %", all.percent(), sure.percent(), unhinted.percent());
    assert!(all.percent() >= FLOOR.0, "of all rows {:.1} % are right, the floor is {} %", all.percent(), FLOOR.0);
    assert!(sure.percent() >= FLOOR.1, "of the sure rows {:.1} % are right, the floor is {} %", sure.percent(), FLOOR.1);
}
