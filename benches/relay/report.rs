//! Medians over the rounds, and ratios taken inside a round before their median is.

use serde::Serialize;

use super::cases::{Case, Figures};
use super::peers::{BASE, DIRECT, FULL};

/// One case with one peer in one round.
#[derive(Debug, Serialize)]
pub struct Run {
    pub case: Case,
    pub peer: String,
    pub round: usize,
    pub figures: Figures,
    pub error: Option<String>,
}

/// All runs of one case.
pub struct Report<'a> {
    pub case: Case,
    pub runs: Vec<&'a Run>,
    pub peers: &'a [String],
}

impl Report<'_> {
    pub fn print(&self) {
        println!("\n### {}", self.case.title());
        let (head, row): (&str, fn(&Self, &str) -> String) = match self.case {
            Case::Latency => (
                "| peer | alone: p50 µs | p99 µs | added p50 | added p99 | loaded: p50 µs | p99 µs | added p50 | added p99 | p50 of haproxy's added | beside messages/s |",
                Self::latency_row,
            ),
            Case::CatchingUp => (
                "| peer | p50 µs | p99 µs (min–max) | added p50 | added p99 | added p99 over full | beside messages/s | exported records/s | records that wait at the end |",
                Self::catching_row,
            ),
            Case::Memory => {
                ("| peer | KiB an idle session | KiB after a message | KiB that a 50 MB message adds | MiB at rest |", Self::memory_row)
            }
            _ => (
                "| peer | messages/s (min–max) | MiB/s | of direct | of haproxy | CPU ms/1,000 | of haproxy | user % | p50 µs | p99 µs | added p50 | added p99 | peak MiB | stored octets | goal |",
                Self::throughput_row,
            ),
        };
        println!("{head}\n|{}", "---|".repeat(head.matches('|').count() - 1));
        for peer in self.peers {
            let failed: Vec<&str> = self.runs.iter().filter(|run| run.peer == *peer).filter_map(|run| run.error.as_deref()).collect();
            if self.of(peer, |_| Some(0.0)).is_empty() {
                println!("| {peer} | {} |", failed.first().map_or("not measured", |error| error));
                continue;
            }
            println!("| {peer} | {} |", row(self, peer));
            if let Some(error) = failed.first() {
                println!("| | {} of {} runs failed: {error} |", failed.len(), failed.len() + self.of(peer, |_| Some(0.0)).len());
            }
        }
    }

    fn throughput_row(&self, peer: &str) -> String {
        let rates = self.of(peer, |run| run.figures.get("messages_per_s").copied());
        let (low, high) = rates.iter().fold((f64::MAX, 0f64), |(low, high), (_, rate)| (low.min(*rate), high.max(*rate)));
        let (rate, cpu) = (self.ratio(peer, BASE, "messages_per_s"), self.ratio(peer, BASE, "cpu_ms_per_1000"));
        let goal = match (peer, self.case.goals(), rate, cpu) {
            (DIRECT | BASE, ..) | (_, None, ..) => String::new(),
            (_, Some([written, synced]), Some(rate), Some(cpu)) => {
                let (least, most) = if peer == "synced" { synced } else { written };
                let word = if rate >= least && cpu <= most { "reached" } else { "missed" };
                format!("≥ {least}, ≤ {most}: {word}")
            }
            _ => String::new(),
        };
        [
            format!("{} ({low:.0}–{high:.0})", self.figure(peer, "messages_per_s", 0)),
            self.figure(peer, "mib_per_s", 0),
            shown(self.ratio(peer, DIRECT, "messages_per_s"), 3),
            shown(rate, 3),
            self.figure(peer, "cpu_ms_per_1000", 1),
            shown(cpu, 2),
            self.figure(peer, "user_percent", 0),
            self.figure(peer, "p50_us", 0),
            self.figure(peer, "p99_us", 0),
            shown(self.added(peer, "p50_us"), 0),
            shown(self.added(peer, "p99_us"), 0),
            self.figure(peer, "peak_mib", 1),
            self.figure(peer, "stored_octets_per_message", 0),
            goal,
        ]
        .join(" | ")
    }

    fn latency_row(&self, peer: &str) -> String {
        let mut cells = Vec::new();
        for (p50, p99) in [("unloaded_p50_us", "unloaded_p99_us"), ("loaded_p50_us", "loaded_p99_us")] {
            cells.extend([
                self.figure(peer, p50, 0),
                self.figure(peer, p99, 0),
                shown(self.added(peer, p50), 0),
                shown(self.added(peer, p99), 0),
            ]);
        }
        let added = |peer: &str| self.added(peer, "loaded_p50_us");
        cells.push(shown(added(peer).zip(added(BASE)).map(|(mine, base)| mine / base), 2));
        cells.push(self.figure(peer, "background_per_s", 0));
        cells.join(" | ")
    }

    fn catching_row(&self, peer: &str) -> String {
        let all = self.of(peer, |run| run.figures.get("loaded_p99_us").copied());
        let (low, high) = all.iter().fold((f64::MAX, 0f64), |(low, high), (_, p99)| (low.min(*p99), high.max(*p99)));
        let over_full =
            if [DIRECT, FULL].contains(&peer) { None } else { self.against(peer, FULL, "loaded_p99_us", |mine, full| mine - full) };
        [
            self.figure(peer, "loaded_p50_us", 0),
            format!("{} ({low:.0}–{high:.0})", self.figure(peer, "loaded_p99_us", 0)),
            shown(self.added(peer, "loaded_p50_us"), 0),
            shown(self.added(peer, "loaded_p99_us"), 0),
            shown(over_full, 0),
            self.figure(peer, "background_per_s", 0),
            self.figure(peer, "exported_per_s", 0),
            self.figure(peer, "waiting", 0),
        ]
        .join(" | ")
    }

    fn memory_row(&self, peer: &str) -> String {
        ["idle_kib", "idle_after_message_kib", "message_of_50_mb_adds_kib", "base_mib"].map(|name| self.figure(peer, name, 1)).join(" | ")
    }

    /// A value of each good run of the peer, with its round.
    fn of(&self, peer: &str, value: impl Fn(&Run) -> Option<f64>) -> Vec<(usize, f64)> {
        let good = self.runs.iter().filter(|run| run.peer == peer && run.error.is_none());
        good.filter_map(|run| Some((run.round, value(run)?))).collect()
    }

    fn figure(&self, peer: &str, name: &str, places: usize) -> String {
        shown(median(self.of(peer, |run| run.figures.get(name).copied()).into_iter().map(|(_, value)| value).collect()), places)
    }

    fn ratio(&self, peer: &str, base: &str, name: &str) -> Option<f64> {
        self.against(peer, base, name, |mine, base| mine / base)
    }

    fn added(&self, peer: &str, name: &str) -> Option<f64> {
        if peer == DIRECT { None } else { self.against(peer, DIRECT, name, |mine, direct| mine - direct) }
    }

    fn against(&self, peer: &str, base: &str, name: &str, compare: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let base = self.of(base, |run| run.figures.get(name).copied());
        let mine = self.of(peer, |run| run.figures.get(name).copied());
        median(
            mine.iter()
                .filter_map(|(round, value)| base.iter().find(|(other, _)| other == round).map(|(_, base)| compare(*value, *base)))
                .collect(),
        )
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some((values.get(middle.checked_sub(1)?)? + upper) / 2.0) }
}

fn shown(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.places$}"))
}
