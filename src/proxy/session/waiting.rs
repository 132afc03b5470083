//! What a session waits for besides its sockets: hosts to be found and reached, handshakes, the journal.

use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use super::super::context::Reach;
use super::super::leg::Leg;
use super::Session;
use crate::trace;

impl Session {
    pub(super) fn poll_finding(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some(finding) = &mut self.finding else { return false };
        let Poll::Ready(outcome) = finding.as_mut().poll(cx) else { return false };
        self.finding = None;
        let now = self.now();
        match outcome {
            Ok(found) => self.machine.hosts_found(now, found, &mut self.legs),
            Err(not) => self.machine.hosts_not_found(now, not, &mut self.legs),
        }
        true
    }

    pub(super) fn poll_dialling(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some(dialling) = &mut self.dialling else { return false };
        let Poll::Ready(outcome) = dialling.as_mut().poll(cx) else { return false };
        self.dialling = None;
        let now = self.now();
        match outcome {
            Ok(_) if self.machine.finished() => {} // too late: dropped as it is
            Ok(dialled) => {
                self.legs.upstream = Leg::new(Some(dialled.stream));
                self.upstream_waits = false;
                self.verification = Some(dialled.verification);
                self.legs.upstream.outgoing = dialled.outgoing;
                self.machine.connected(now, dialled.connected, &mut self.legs);
            }
            Err(failed) => {
                if failed.by == trace::Actor::Proxy {
                    self.count_unreached();
                }
                tracing::warn!(host = self.host_name(), error = %failed.error, "host not reached");
                self.machine.connect_failed(now, failed, &mut self.legs);
            }
        }
        true
    }

    pub(super) fn host_name(&self) -> &str {
        self.dialled.as_ref().map_or("", |(_, hop)| &hop.host)
    }

    /// The host of the upstream's list that is connected or being connected fared badly.
    pub(super) fn note_failure(&self, stage: trace::Stage, error: &str) {
        self.count_unreached();
        if let Some((reach, place)) = self.listed_host() {
            reach.health.failed(place, stage, error, Instant::now());
        }
    }

    /// A transaction came to a final reply through it, or a session that is passed through to TLS.
    pub(super) fn note_success(&self, connect_us: Option<u64>, end_of_data_us: Option<u64>) {
        if let Some((reach, place)) = self.listed_host() {
            reach.health.succeeded(place, connect_us, end_of_data_us, Instant::now());
        }
    }

    /// The upstream of the host connected to last.
    pub(super) fn dialled_reach(&self) -> Option<&Reach> {
        self.dialled.as_ref().and_then(|(upstream, _)| self.context.reach(&upstream.name))
    }

    /// And the host's place in that upstream's list.
    fn listed_host(&self) -> Option<(&Reach, usize)> {
        let (_, hop) = self.dialled.as_ref()?;
        self.dialled_reach().zip(hop.place)
    }

    pub(super) fn reach(&self) -> Option<&Reach> {
        self.context.reach(&self.machine.upstream().name)
    }

    pub(super) fn poll_handshakes(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut moved = false;
        for leg in [trace::Leg::Client, trace::Leg::Upstream] {
            let slot = match leg {
                trace::Leg::Client => &mut self.client_handshake,
                trace::Leg::Upstream => &mut self.upstream_handshake,
            };
            let Some(handshake) = slot else { continue };
            let Poll::Ready(outcome) = handshake.as_mut().poll(cx) else { continue };
            *slot = None;
            moved = true;
            let now = self.now();
            match outcome {
                Ok((stream, tls, how)) => {
                    self.leg(leg).stream = Some(stream);
                    (self.client_waits, self.upstream_waits) = (false, false);
                    self.machine.tls_established(now, leg, tls, how, &mut self.legs);
                }
                Err((error, facts)) => {
                    if leg == trace::Leg::Upstream {
                        tracing::warn!(host = self.host_name(), error, "TLS with the host failed");
                    }
                    self.machine.tls_failed(now, leg, error, facts, &mut self.legs);
                }
            }
        }
        moved
    }

    pub(super) fn poll_store(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut moved = false;
        if let Some((ticket, since)) = self.held
            && let Poll::Ready(stored) = self.context.desk.poll_stored(ticket, cx)
        {
            self.held = None;
            moved = true;
            let now = self.now();
            self.machine.stored(now, stored, &mut self.legs);
            self.count_latency(since);
        }
        if let Some(ticket) = self.mark {
            let outcome = if self.machine.awaits_mark() {
                self.context.desk.poll_stored(ticket, cx)
            } else if self.context.desk.is_stored(ticket) {
                Poll::Ready(true)
            } else {
                Poll::Pending
            };
            if let Poll::Ready(ok) = outcome {
                self.mark = None;
                moved = true;
                let now = self.now();
                self.machine.mark_stored(now, ok, &mut self.legs);
            }
        }
        moved
    }
}
