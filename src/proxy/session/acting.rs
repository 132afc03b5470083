//! What the engine asks for is done, and what it has said is sent.

use std::task::{Context as TaskContext, Poll};

use super::super::caller::Caller;
use super::super::dial::{dial, facts_of, tls_of};
use super::super::leg::{AfterFlush, Leg, Stream};
use super::super::next_hop;
use super::{LINGER, Session};
use crate::relay::{Action, Closed};
use crate::store::{AppendError, Ticket};
use crate::trace;

impl Session {
    /// Does what the engine asks for.
    pub(super) fn act(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.machine.next_action() {
            moved = true;
            match action {
                Action::FindHosts { upstream, domain } => {
                    self.finding = Some(Box::pin(next_hop::find(self.context.clone(), upstream, domain, self.destination, self.began)));
                }
                Action::Connect { hop } => {
                    self.upstream_handshake = None;
                    farewell(std::mem::replace(&mut self.legs.upstream, Leg::new(None)));
                    let caller = Caller { client: Some(self.client), introduction: Some(self.machine.introduction()), began: self.began };
                    let upstream = self.machine.upstream().clone();
                    let dialling = dial(self.context.clone(), upstream.clone(), (*hop).clone(), caller);
                    self.dialled = Some((upstream, hop));
                    self.dialling = Some(Box::pin(dialling));
                }
                Action::HostFailed { stage, error } => self.note_failure(stage, &error),
                Action::HostServes { connect_us } => self.note_success(connect_us, None),
                Action::StartTls { leg } => self.leg(leg).after_flush = AfterFlush::StartTls,
                Action::Append { record, then_reply } => {
                    let since = self.now();
                    self.count(&record);
                    self.tell_of_hidden_auth(&record);
                    if let trace::Record::Transaction(transaction) = &*record {
                        let outcome = &transaction.outcome;
                        if then_reply && outcome.by == trace::Actor::Upstream && outcome.stage == trace::Stage::EndOfData {
                            self.note_success(transaction.phases.connect_us, transaction.phases.end_of_data_us);
                        }
                    }
                    let outcome = self.context.desk.append(&record);
                    if then_reply {
                        match outcome {
                            Ok(ticket) if !ticket.is_staged() => self.held = Some((ticket, since)),
                            outcome => {
                                let now = self.now();
                                self.machine.stored(now, outcome.is_ok(), &mut self.legs);
                                self.count_latency(since);
                            }
                        }
                    }
                }
                Action::AppendMark => match self.append_mark() {
                    None => {} // the transaction ended within the same octets: there is nothing to mark
                    Some(Ok(ticket)) if !ticket.is_staged() => self.mark = Some(ticket),
                    Some(outcome) => {
                        let now = self.now();
                        self.machine.mark_stored(now, outcome.is_ok(), &mut self.legs);
                    }
                },
                Action::RenewMark => drop(self.append_mark()),
                Action::CloseSide { leg } => self.leg(leg).after_flush = AfterFlush::CloseSide,
                Action::Close { leg } => self.leg(leg).after_flush = AfterFlush::Close,
                Action::Abort { leg } => {
                    self.leg(leg).abort();
                    match leg {
                        trace::Leg::Client => self.client_handshake = None,
                        trace::Leg::Upstream => self.upstream_handshake = None,
                    }
                }
            }
        }
        if self.machine.finished() {
            self.finding = None;
            self.dialling = None;
            // Whoever is in the middle of a handshake can't be told anything.
            self.client_handshake = None;
            self.upstream_handshake = None;
            self.held = None;
        }
        moved
    }

    /// With few sessions the mark is written while the client sends its message. With many it goes along with others' records.
    pub(super) fn append_mark(&self) -> Option<Result<Ticket, AppendError>> {
        let mark = self.machine.mark()?;
        Some(self.context.desk.append_mark(&mark, !self.has_company()))
    }

    /// Sends what is gathered for both legs, and does what was to follow.
    pub(super) fn flush(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut moved = false;
        for side in [trace::Leg::Upstream, trace::Leg::Client] {
            let leg = self.leg(side);
            if leg.stream.is_none() && leg.after_flush == AfterFlush::Close {
                leg.after_flush = AfterFlush::Nothing;
            }
            let had_octets = !leg.is_clear();
            let flushed = if leg.failed { Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())) } else { leg.poll_flush(cx) };
            match flushed {
                Poll::Ready(Ok(())) => {
                    // The other leg was not read, nor its waker left there, while this one had octets to send.
                    moved |= had_octets;
                    let after = leg.after_flush;
                    if had_octets && side == trace::Leg::Upstream {
                        let now = self.now();
                        self.machine.client_held_back(now);
                    }
                    match after {
                        AfterFlush::Nothing => {}
                        AfterFlush::StartTls => {
                            self.leg(side).after_flush = AfterFlush::Nothing;
                            moved |= self.start_handshake(side);
                        }
                        AfterFlush::CloseSide => moved |= self.leg(side).poll_close_side(cx),
                        AfterFlush::Close => moved |= self.close(side, cx),
                    }
                }
                Poll::Ready(Err(_)) => {
                    moved = true;
                    match side {
                        trace::Leg::Client => {
                            leg.abort();
                            let now = self.now();
                            self.machine.client_lost(now, &mut self.legs);
                        }
                        // What the upstream said before it closed may still be readable: that decides, not our failed write.
                        trace::Leg::Upstream => {
                            match leg.after_flush {
                                AfterFlush::Close => leg.abort(),
                                _ => leg.silence(),
                            }
                            let now = self.now();
                            self.machine.upstream_unwritable(now, &mut self.legs);
                        }
                    }
                }
                Poll::Pending => {}
            }
        }
        moved
    }

    pub(super) fn start_handshake(&mut self, side: trace::Leg) -> bool {
        let leg = self.leg(side);
        if leg.mute {
            leg.abort();
            let now = self.now();
            self.machine.upstream_closed(now, Closed::Reset, &mut self.legs);
            return true;
        }
        let Some(Stream::Plain(stream)) = leg.stream.take() else { return false };
        match side {
            trace::Leg::Client => {
                let Some(tls) = self.context.server_tls.clone() else {
                    let now = self.now();
                    self.machine.tls_failed(now, side, "no certificate is loaded".to_owned(), None, &mut self.legs);
                    return true;
                };
                self.client_handshake = Some(Box::pin(async move {
                    match tls.accept(stream).await {
                        Ok((stream, facts)) => Ok((Stream::Server(Box::new(stream)), tls_of(facts), None)),
                        Err(error) => Err((error.to_string(), facts_of(&error))),
                    }
                }));
            }
            trace::Leg::Upstream => {
                let Some(verification) = self.verification.clone() else { return false };
                let limit = self.context.options.limits.timeouts.tls_handshake;
                self.upstream_handshake = Some(Box::pin(verification.handshake(stream, limit)));
            }
        }
        true
    }
}

/// Lets a connection that is no longer needed send its last words, for a while, without the session.
fn farewell(mut leg: Leg) {
    if leg.stream.is_none() || leg.after_flush != AfterFlush::Close {
        return;
    }
    tokio::spawn(async move {
        let goodbye = std::future::poll_fn(|cx| match leg.poll_flush(cx) {
            Poll::Ready(Ok(())) => leg.poll_shutdown(cx),
            other => other,
        });
        let _ = tokio::time::timeout(LINGER, goodbye).await;
    });
}
