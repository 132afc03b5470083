//! One situation under way: a directory of its own, the trouble's beginning, and what Relayscope says of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::report::Row;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::relayscope::command;

/// The issue's own: a cause is named within a minute.
pub const WITHIN: Duration = Duration::from_secs(60);
/// A machine that does much else may need longer: the report says how long it took, and that it was late.
const PATIENCE: Duration = Duration::from_secs(240);
/// After that the trouble goes on for one more judgement: whatever is said in addition must be true as well.
const ONE_JUDGEMENT: Duration = Duration::from_secs(11);
const PAUSE: Duration = Duration::from_millis(500);

pub struct Scene {
    pub place: Place,
    pub row: Row,
    began: Instant,
}

/// An incident that must be named.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub anomaly: &'a str,
    /// Empty: it has none.
    pub cause: &'a str,
    pub act: &'a str,
    /// All of these stand in its summary, its arithmetic or its advice.
    pub words: &'a [&'a str],
    /// Others that are true as well.
    pub also: &'a [&'a str],
}

impl Scene {
    pub fn new() -> Self {
        Self { place: Place::new(), row: Row::default(), began: Instant::now() }
    }

    /// Now something breaks.
    pub fn trouble(&mut self) {
        self.began = Instant::now();
    }

    /// Incidents, also those that are over, as `relayscope anomalies` gives them.
    pub fn incidents(&self) -> Vec<Value> {
        let arguments = ["anomalies", "--store", "store", "--since", "1h", "--json"];
        let (_, text) = run(&mut command(&self.place, &arguments));
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until it is named, then for one more judgement; what else was named until then is false.
    pub fn named(&mut self, wanted: &Wanted<'_>) {
        let found = self.wait(wanted);
        self.row.named.push((wanted.anomaly.to_owned(), found.as_ref().map(|(_, after)| *after)));
        if found.is_some() {
            std::thread::sleep(ONE_JUDGEMENT); // not to wait for something: for nothing to come
        }
        let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        let incident = found.as_ref().map(|(first, _)| text(first, "incident"));
        for other in self.incidents() {
            let anomaly = text(&other, "anomaly");
            let is_part = incident.is_some() && other["part_of"].as_str() == incident.as_deref();
            if anomaly != wanted.anomaly && !is_part && !wanted.also.contains(&anomaly.as_str()) {
                self.row.false_ones.push((anomaly, text(&other, "summary")));
            }
        }
        let Some((first, _)) = found else {
            // The newest record, for whoever has to find out why.
            let (_, records) = run(&mut command(&self.place, &["search", "since:1h", "--store", "store", "--json"]));
            self.row.failed = Some(records.lines().next().unwrap_or_default().to_owned());
            return;
        };
        if std::env::var_os("RELAYSCOPE_SCENARIO_SHOW").is_some() {
            let id = text(&first, "incident");
            println!("{}", run(&mut command(&self.place, &["anomalies", &id, "--store", "store"])).1);
        }
        let said = ["summary", "arithmetic", "advice", "baseline"].map(|key| text(&first, key)).join("\n");
        let wrong: Vec<_> = wanted.words.iter().filter(|words| !said.contains(**words)).collect();
        let (cause, act) = (text(&first, "cause"), text(&first, "act"));
        if !wrong.is_empty() || cause != wanted.cause || act != wanted.act {
            self.row.failed = Some(format!("cause {cause:?}, to act: {act}, without {wrong:?}: {first:#}"));
        }
    }

    fn wait(&self, wanted: &Wanted<'_>) -> Option<(Value, Duration)> {
        while self.began.elapsed() < PATIENCE {
            let found = self.incidents().into_iter().find(|it| it["anomaly"] == wanted.anomaly);
            if let Some(found) = found {
                return Some((found, self.began.elapsed()));
            }
            std::thread::sleep(PAUSE);
        }
        None
    }

    /// Asks `where` for a message until it tells this cause of a recipient of it; gives the recipient as it is told.
    pub fn told(&mut self, what: &str, cause: &str, act: &str, words: &[&str]) {
        let mut last = String::new();
        let mut after = None;
        while self.began.elapsed() < PATIENCE {
            last = run(&mut command(&self.place, &["where", what, "--store", "store", "--json"])).1;
            let recipients = |it: &Value| it["messages"][0]["recipients"].as_array().cloned().unwrap_or_default();
            let found = serde_json::from_str::<Value>(&last).ok().map(|it| recipients(&it)).unwrap_or_default();
            if found.iter().any(|it| it["cause"] == cause && it["act"] == act) && words.iter().all(|words| last.contains(words)) {
                after = Some(self.began.elapsed());
                break;
            }
            std::thread::sleep(PAUSE);
        }
        if std::env::var_os("RELAYSCOPE_SCENARIO_SHOW").is_some() {
            println!("{}", run(&mut command(&self.place, &["where", what, "--store", "store"])).1);
        }
        if after.is_none() {
            self.row.failed = Some(format!("where {what}: wanted {cause}, {act}, {words:?}: {last}"));
        }
        self.row.named.push((format!("where: {cause}"), after));
    }

    /// Nothing is wrong that would be an incident.
    pub fn no_incident(&mut self, also: &[&str]) {
        std::thread::sleep(ONE_JUDGEMENT); // not to wait for something: for nothing to come
        for other in self.incidents() {
            let anomaly = other["anomaly"].as_str().unwrap_or_default().to_owned();
            if !also.contains(&anomaly.as_str()) {
                self.row.false_ones.push((anomaly, other["summary"].as_str().unwrap_or_default().to_owned()));
            }
        }
    }
}
