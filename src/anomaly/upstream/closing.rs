//! Sessions that the upstream ends: 421, dropped connections, and too many connections for its taste.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::attempts::{self, Why};
use super::names_connections;
use super::options::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::pair::{Pair, PairRef};
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{Evidence, MINUTE, SECOND, Sliding};
use crate::diagnose::Rules;
use crate::trace::{AboutKind, Act, Actor, Anomaly, Cause, Severity, Stage, UpstreamKind, WallMicros};
use crate::wording::{quoted, several, share};

/// Upstreams and hosts that close something, at most.
const MOST: usize = 2_000;
/// Minutes that count.
const MINUTES: usize = 15;
/// Of all that was tried, so much must be closed. Percent.
const LEAST_PERCENT: u64 = 20;
/// Where nearly all is closed, so few tell.
const FEW: u64 = 3;

/// By upstream, and by host where there are many.
#[derive(Debug)]
pub struct Closing {
    options: Options,
    by_host: HashMap<Pair, Closed>,
    forgotten: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Closed {
    closing: Evidence,
    connections: Evidence,
    tries: Sliding,
    words: String,
}

impl Closing {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), by_host: HashMap::new(), forgotten: 0 }
    }
}

/// What a record says of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Closing,
    Connections,
}

fn ends(seen: &Seen<'_>) -> Option<Ends> {
    let mut found = None;
    attempts::failures(seen, |it| {
        if names_connections(it.words) && matches!(it.why, Why::Closing | Why::Greeting | Why::Unwelcome) {
            found = Some(Ends::Connections);
        } else if it.why == Why::Closing {
            found = found.or(Some(Ends::Closing));
        }
    });
    let outcome = seen.outcome.filter(|it| it.by == Actor::Upstream || it.by == Actor::Network);
    let idle = |line: &str| super::contains(line, "idle") || super::contains(line, "timeout") || super::contains(line, "timed out");
    match (found, outcome) {
        (Some(found), _) => Some(found),
        (None, Some(outcome)) if seen.transaction.is_some() || seen.session.is_some_and(|it| it.transactions == 0) => {
            let code = outcome.reply.as_ref().map_or(0, |it| it.code);
            let refused =
                code >= 400 && matches!(outcome.cause, Some(Cause::RateLimited | Cause::RemoteSystemError | Cause::Unclassified) | None);
            let under_way = matches!(outcome.stage, Stage::MailFrom | Stage::RcptTo | Stage::Data | Stage::Body | Stage::EndOfData);
            if refused && seen.reply_lines().any(names_connections) {
                Some(Ends::Connections)
            } else if code == 421
                && outcome.by == Actor::Upstream
                // Before MAIL FROM it is the proxy's own 421, for a greeting, a handshake or a login that failed.
                && under_way
                && (refused || outcome.cause == Some(Cause::ConnectionFailed))
                && !seen.reply_lines().any(idle)
            {
                Some(Ends::Closing)
            } else {
                (under_way && code == 0 && outcome.cause == Some(Cause::ConnectionFailed)).then_some(Ends::Closing)
            }
        }
        _ => None,
    }
}

impl Detector for Closing {
    fn name(&self) -> &'static str {
        "upstream_closing"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let (Some(name), Some(upstream)) = (seen.upstream_name(), seen.upstream) else { return };
        let failed = seen.outcome.is_some_and(|it| it.state != crate::trace::State::Accepted) || !upstream.tried.is_empty();
        if !failed && self.by_host.is_empty() {
            return;
        }
        let host = if upstream.kind == UpstreamKind::Mx { upstream.host.as_deref().unwrap_or_default() } else { "" };
        let key = PairRef(name, host);
        let ends = if failed { ends(seen) } else { None };
        if ends.is_some() && !self.by_host.contains_key(&key) {
            if self.by_host.len() >= MOST {
                self.forgotten += room::make(&mut self.by_host, |it| it.closing.last.max(it.connections.last));
            }
            let window = Sliding::new(MINUTES, MINUTE);
            let (closing, connections) = (Evidence::new(window.clone()), Evidence::new(window.clone()));
            self.by_host.insert(Pair::from(&key), Closed { closing, connections, tries: window, words: String::new() });
        }
        let Some(closed) = self.by_host.get_mut(&key) else { return };
        // A session that had transactions is told of by them.
        if seen.session.is_none_or(|it| it.transactions == 0) {
            closed.tries.add(seen.at, 1);
        }
        let evidence = match ends {
            Some(Ends::Closing) => &mut closed.closing,
            Some(Ends::Connections) => &mut closed.connections,
            None => return,
        };
        evidence.add(seen.at, seen.id, 1);
        let ended = seen.session.and_then(|it| it.ended.detail.as_deref()).or(upstream.tried.last().map(|it| it.error.as_str()));
        let said = quoted(seen.reply_lines());
        closed.words = if said.is_empty() { quoted(ended.or(seen.outcome.and_then(|it| it.detail.as_deref()))) } else { said };
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let options = &self.options;
        self.by_host.retain(|key, closed| {
            let (closing, connections) = (closed.closing.count(now), closed.connections.count(now));
            let tries = closed.tries.count(now).max(closing).max(connections);
            let nearly_all = closing >= FEW && closing * 100 >= tries * 80 && closed.closing.last >= closed.closing.since + 20 * SECOND;
            if nearly_all || closing >= options.closings && closing * 100 >= tries * LEAST_PERCENT {
                findings.raise(closed.ended(key, closing, tries, options));
            }
            if connections >= options.connection_limits {
                findings.raise(closed.too_many(key, connections, tries, options));
            }
            closing + connections > 0
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &self.by_host)
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some(by_host) = kept::read(1, kept) else { return false };
        self.by_host = by_host;
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Closed {
    fn ended(&mut self, key: &Pair, count: u64, tries: u64, options: &Options) -> Finding {
        let summary =
            format!("{} ends sessions in the middle: {} within 15 min; the last words: {}", who(key), share(count, tries), self.words);
        let arithmetic = format!(
            "{} transactions and sessions ended by 421 or a dropped connection within 15 min; threshold {} and {LEAST_PERCENT} %, or {FEW} and 80 %",
            share(count, tries),
            options.closings
        );
        let severity = if count * 100 >= tries * 80 { Severity::Critical } else { Severity::Warning };
        let advice = "The server is restarting, overloaded or short of something; the mail stays in the queue and is tried again. \
             If it lasts, ask its operator with the words quoted.";
        let finding = Finding::new(Anomaly::UpstreamClosing, severity, summary, arithmetic).caused(Cause::RemoteSystemError);
        about(finding, key).advising(Act::SmartHost, advice).evidence(
            self.closing.since,
            self.closing.last,
            self.closing.take_fresh(),
            self.closing.samples(),
        )
    }

    fn too_many(&mut self, key: &Pair, count: u64, tries: u64, options: &Options) -> Finding {
        let refusals = several(count, "refusal", "refusals");
        let summary = format!("{} takes no more connections: {refusals} within 15 min; it says: {}", who(key), self.words);
        let arithmetic =
            format!("{} refused for too many connections within 15 min; threshold {}", share(count, tries), options.connection_limits);
        let rules = Rules::builtin().advice(Cause::RateLimited, None);
        let advice = format!(
            "Let fewer sessions run at once: the concurrency of the sending server (Postfix: `default_destination_concurrency_limit`), or `[limits] sessions` here. {rules}"
        );
        let finding = Finding::new(Anomaly::ConnectionLimit, Severity::Warning, summary, arithmetic).caused(Cause::RateLimited);
        about(finding, key).advising(Act::LocalAdmin, advice.trim_end()).evidence(
            self.connections.since,
            self.connections.last,
            self.connections.take_fresh(),
            self.connections.samples(),
        )
    }
}

fn who(key: &Pair) -> String {
    if key.1.is_empty() { format!("Upstream {}", key.0) } else { format!("Mail exchanger {}", key.1) }
}

fn about(finding: Finding, key: &Pair) -> Finding {
    let finding = finding.about(AboutKind::Upstream, key.0.as_str());
    if key.1.is_empty() { finding } else { finding.about(AboutKind::Host, key.1.as_str()) }
}
