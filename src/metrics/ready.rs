//! Whether the proxy is ready for mail, and why not.
//!
//! A store that fails is no reason by itself: mail flows without it unless the configuration says otherwise (`on_store_failure`), and a load
//! balancer that took the proxy away would stop what tracing must never stop. Exports never are one. Both are told all the same.

use std::borrow::Cow;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::push::KIND;
use super::sources::{Setup, Sources};
use crate::export::State;
use crate::store::Health;
use crate::trace::Circuit;

/// One thing that keeps mail out, or should be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// "process", "listener", "upstream", "store", "export" or "incidents".
    pub what: Cow<'static, str>,
    /// Of the listener, upstream or export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub why: String,
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// "ready" or "not_ready".
    pub status: Cow<'static, str>,
    /// What keeps mail out.
    pub reasons: Vec<Reason>,
    /// What doesn't, and needs somebody all the same.
    pub degraded: Vec<Reason>,
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Whether the process serves what it can: it takes connections on every listener. Nothing else that is wrong would be mended by
    /// another process in its place.
    pub fn is_alive(&self) -> bool {
        self.reasons.iter().all(|reason| reason.what != LISTENER)
    }
}

const LISTENER: &str = "listener";

fn reason(what: &'static str, name: Option<&str>, why: impl Into<String>) -> Reason {
    Reason { what: what.into(), name: name.map(str::to_owned), why: why.into() }
}

impl Sources {
    /// Whether mail can be taken now. Reads no files.
    pub fn readiness(&self) -> Readiness {
        let setup = self.setup.borrow().clone();
        let (mut reasons, mut degraded) = (Vec::new(), Vec::new());
        if setup.draining {
            reasons.push(reason("process", None, "it is about to end and takes no new connections"));
        }
        for listener in setup.listeners.iter().filter(|it| it.sockets == 0) {
            reasons.push(reason(LISTENER, Some(&listener.name), "none of its addresses is listened on"));
        }
        for name in &setup.awaiting_restart {
            degraded.push(reason(LISTENER, Some(name), "it is new, and served only after a restart"));
        }
        upstreams(&setup, &mut reasons, &mut degraded);
        if let Health::Failed { records_lost, .. } = self.store.health() {
            let defers: Vec<&str> = setup.listeners.iter().filter(|it| it.defers).map(|it| it.name.as_str()).collect();
            let why = format!("records can't be stored ({records_lost} lost since the start)");
            if defers.is_empty() {
                degraded.push(reason("store", None, why + "; mail flows untraced"));
            } else {
                reasons.push(reason("store", None, why + ", and on_store_failure = \"defer\": mail is put off"));
            }
        }
        for handle in self.exports.borrow().iter() {
            let snapshot = handle.status.snapshot();
            if matches!(snapshot.state, State::Failing { .. }) {
                let why = match snapshot.kind {
                    KIND => "the receiver takes no metrics".to_owned(),
                    _ => format!("the receiver takes nothing; {} records wait", snapshot.backlog),
                };
                degraded.push(reason("export", Some(&snapshot.name), why));
            }
        }
        if !setup.reload.succeeded {
            degraded.push(reason("process", None, "the last reload was refused; the configuration before it goes on"));
        }
        Readiness { status: if reasons.is_empty() { "ready" } else { "not_ready" }.into(), reasons, degraded }
    }
}

/// An upstream without a host that can be reached is a reason if all are such: otherwise the mail of the others flows.
fn upstreams(setup: &Setup, reasons: &mut Vec<Reason>, degraded: &mut Vec<Reason>) {
    let now = Instant::now();
    let mut down = Vec::new();
    for upstream in setup.upstreams.iter() {
        let states = upstream.health.states(now);
        let failed = states.iter().filter(|it| it.circuit == Circuit::Open).count();
        // Where hosts aren't listed nothing is known of them beforehand.
        if !states.is_empty() && failed == states.len() {
            let why = format!("none of its hosts can be reached: {failed} of {failed} failed lately");
            down.push(reason("upstream", Some(&upstream.name), why));
        } else if failed > 0 {
            degraded.push(reason("upstream", Some(&upstream.name), format!("{failed} of {} hosts failed lately", states.len())));
        }
    }
    if !down.is_empty() && down.len() == setup.upstreams.len() {
        reasons.append(&mut down);
    } else {
        degraded.append(&mut down);
    }
}
