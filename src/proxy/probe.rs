//! Probes of hosts that no session has used lately: connect, greeting, EHLO, TLS where it is wanted, QUIT. Each is recorded, marked synthetic.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::caller::Caller;
use super::context::{Context, Phase};
use super::dial::{Dialled, dial, micros};
use super::leg::Stream;
use super::next_hop;
use crate::relay::options::{Protocol, UpstreamOptions, UpstreamTls};
use crate::relay::recorder::{Recorder, reply_of};
use crate::relay::{NextHop, SessionFacts};
use crate::smtp::{Extensions, ReplyScanner, ReplyView};
use crate::trace::{Actor, EndHow, Flag, Flow, Leg, Outcome, RecordId, Reply, Stage, State};

/// How often it is looked whether a probe is due.
const TURN: Duration = Duration::from_secs(1);
/// A probe waits no longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Probes the hosts of upstreams that ask for it, until dropped. `current` gives the context, so that a reload reaches the next probe.
pub async fn serve(current: impl Fn() -> Arc<Context>) {
    loop {
        tokio::time::sleep(TURN).await;
        let context = current();
        if context.roster.phase() != Phase::Serve {
            return;
        }
        for upstream in context.options.upstreams.iter() {
            let Some(pause) = upstream.probe else { continue };
            for place in 0..upstream.hosts.len() {
                let due = context.reach(&upstream.name).is_some_and(|reach| reach.health.probe_is_due(place, pause, Instant::now()));
                if due && let Some(hop) = next_hop::at(upstream, place) {
                    probe(&context, upstream, hop, place).await;
                }
            }
        }
    }
}

/// What went wrong, and where.
struct Trouble {
    stage: Stage,
    by: Actor,
    error: String,
    reply: Option<Reply>,
}

async fn probe(context: &Arc<Context>, upstream: &Arc<UpstreamOptions>, hop: NextHop, place: usize) {
    let began = Instant::now();
    let mut recorder = recorder(context, upstream);
    let outcome = tokio::time::timeout(PATIENCE, talk(context, upstream, hop, began, &mut recorder)).await;
    let outcome = outcome.unwrap_or_else(|_| {
        let error = format!("the probe took longer than {} s", PATIENCE.as_secs());
        Err(Trouble { stage: Stage::Connect, by: Actor::Upstream, error, reply: None })
    });
    let now = Instant::now();
    let Some(reach) = context.reach(&upstream.name) else { return };
    reach.meters.probes.add(usize::from(outcome.is_ok()), 1);
    let record = match outcome {
        Ok(()) => {
            if reach.health.probed(place, recorder.phases.connect_us, now) {
                tracing::info!(upstream = upstream.name, host = recorder.upstream.host, "a probe got through: the host is used again");
            }
            recorder.session(micros(began), Actor::Proxy, Stage::Quit, EndHow::Quit, None, None)
        }
        Err(trouble) => {
            if trouble.by != Actor::Proxy && reach.health.failed(place, trouble.stage, &trouble.error, now) {
                tracing::warn!(
                    upstream = upstream.name,
                    host = recorder.upstream.host,
                    error = trouble.error,
                    "a probe failed: the host is put last"
                );
            }
            let how = if trouble.stage == Stage::StartTls { EndHow::TlsFailure } else { EndHow::ConnectFailure };
            let outcome = Outcome::of(State::Deferred, trouble.stage, trouble.by, trouble.reply, Some(trouble.error.clone()));
            recorder.session(micros(began), trouble.by, trouble.stage, how, Some(trouble.error), Some(outcome))
        }
    };
    if let Some(record) = record {
        let _ = context.desk.append(&record);
    }
}

fn recorder(context: &Context, upstream: &UpstreamOptions) -> Recorder {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let random = ulid::Ulid::generate().random();
    let facts = SessionFacts {
        id: RecordId::from_parts(at.as_millis() as u64, random),
        random,
        at: at.as_micros() as u64,
        origin: context.origin.clone(),
        client_ip: std::net::Ipv4Addr::LOCALHOST.into(),
        client_port: 0,
        via: None,
        route_rule: None,
        destination: None,
    };
    let listener = &context.options.listener;
    let mut recorder =
        Recorder::new(facts, listener.name.clone(), listener.direction, context.options.limits.clone(), context.options.diagnosing.clone());
    recorder.goes_to(upstream, None);
    recorder.flag(Flag::Synthetic);
    recorder
}

/// The conversation. Nothing is logged in, and no mail is begun.
async fn talk(
    context: &Arc<Context>,
    upstream: &Arc<UpstreamOptions>,
    hop: NextHop,
    began: Instant,
    recorder: &mut Recorder,
) -> Result<(), Trouble> {
    let facts = recorder.upstream_mut();
    (facts.host, facts.port) = (Some(hop.host.clone()), Some(hop.port));
    let tls = hop.tls;
    let caller = Caller { client: None, introduction: None, began };
    let Dialled { stream, connected, verification, outgoing: _outgoing } =
        dial(context.clone(), upstream.clone(), hop, caller).await.map_err(|failed| {
            recorder.upstream_mut().tried.extend(failed.tried);
            Trouble { stage: failed.stage, by: failed.by, error: failed.error, reply: None }
        })?;
    recorder.phases.dns_us = connected.dns_us;
    recorder.phases.connect_us = Some(connected.connect_us);
    let facts = recorder.upstream_mut();
    (facts.ip, facts.dns) = (Some(connected.ip), connected.dns);
    facts.tls = connected.tls.map(|(tls, _)| tls);
    let mut line = Line { stream, scanner: ReplyScanner::default(), unread: Vec::new(), began };
    let start = Instant::now();
    let banner = line.reply(context, recorder, Stage::Banner, 220).await?;
    recorder.phases.banner_us = Some(micros(start));
    recorder.upstream_mut().banner = banner.lines.first().cloned();
    recorder.recognise_upstream();
    let mut extensions = line.greet(context, upstream.protocol, recorder).await?;
    let must = needs_tls(upstream, tls);
    let tries = extensions.starttls && !matches!(tls, UpstreamTls::Off | UpstreamTls::Implicit);
    if tries && line.starts_tls(context, recorder, must).await? {
        let trouble = |error| Trouble { stage: Stage::StartTls, by: Actor::Upstream, error, reply: None };
        let Stream::Plain(stream) = line.stream else { return Err(trouble("TLS within TLS".to_owned())) };
        let start = Instant::now();
        let limit = context.options.limits.timeouts.tls_handshake;
        let (stream, agreed, _) = verification.handshake(stream, limit).await.map_err(|(error, facts)| {
            recorder.upstream_mut().tls = facts;
            trouble(format!("TLS failed: {error}"))
        })?;
        recorder.phases.tls_us = Some(micros(start));
        recorder.set_tls(Leg::Upstream, agreed);
        line = Line { stream, scanner: ReplyScanner::default(), unread: Vec::new(), began };
        extensions = line.greet(context, upstream.protocol, recorder).await?;
    } else if !tries && must {
        let error = "doesn't offer STARTTLS, which this upstream requires".to_owned();
        return Err(Trouble { stage: Stage::StartTls, by: Actor::Upstream, error, reply: None });
    }
    let _ = extensions;
    line.say(recorder, "QUIT").await?;
    // What it says to QUIT changes nothing.
    let _ = line.reply(context, recorder, Stage::Quit, 221).await;
    Ok(())
}

/// Whether no session goes on with the host in clear.
fn needs_tls(upstream: &UpstreamOptions, tls: UpstreamTls) -> bool {
    match tls {
        UpstreamTls::Off | UpstreamTls::Implicit => false,
        // A password is never sent without TLS.
        UpstreamTls::Opportunistic => upstream.auth.is_some() && !upstream.allow_plaintext_auth,
        _ => true,
    }
}

/// One connection, a command and a reply at a time.
struct Line {
    stream: Stream,
    scanner: ReplyScanner,
    unread: Vec<u8>,
    began: Instant,
}

impl Line {
    async fn greet(&mut self, context: &Context, protocol: Protocol, recorder: &mut Recorder) -> Result<Extensions, Trouble> {
        let verb = if protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        self.say(recorder, &format!("{verb} {}", context.options.host_name)).await?;
        let reply = self.octets(context, recorder, Stage::Ehlo, 250).await?;
        let view = ReplyView::new(&reply);
        recorder.upstream_mut().offered = reply_of(&view).lines.into_iter().skip(1).collect();
        Ok(Extensions::read(&view))
    }

    /// Says STARTTLS. False: the host refuses it, and sessions go on in clear.
    async fn starts_tls(&mut self, context: &Context, recorder: &mut Recorder, must: bool) -> Result<bool, Trouble> {
        self.say(recorder, "STARTTLS").await?;
        match self.reply(context, recorder, Stage::StartTls, 220).await {
            Ok(_) => Ok(true),
            Err(trouble) if !must && trouble.reply.as_ref().is_some_and(|reply| reply.code != 421) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    async fn say(&mut self, recorder: &mut Recorder, command: &str) -> Result<(), Trouble> {
        recorder.line(micros(self.began), Leg::Upstream, Flow::Out, command.as_bytes());
        self.stream.send(format!("{command}\r\n").as_bytes()).await.map_err(|error| broken(&error))
    }

    async fn reply(&mut self, context: &Context, recorder: &mut Recorder, stage: Stage, code: u16) -> Result<Reply, Trouble> {
        let octets = self.octets(context, recorder, stage, code).await?;
        Ok(reply_of(&ReplyView::new(&octets)))
    }

    /// The next reply's octets, if it has that code.
    async fn octets(&mut self, context: &Context, recorder: &mut Recorder, stage: Stage, code: u16) -> Result<Vec<u8>, Trouble> {
        let limits = &context.options.limits;
        loop {
            let found = self.scanner.next(&self.unread, limits.reply_line, limits.reply_lines);
            let trouble = |error: String, reply| Trouble { stage, by: Actor::Upstream, error, reply };
            match found.map_err(|error| trouble(error.to_string(), None))? {
                Some(length) => {
                    let octets: Vec<u8> = self.unread.drain(..length.min(self.unread.len())).collect();
                    let view = ReplyView::new(&octets);
                    recorder.line(micros(self.began), Leg::Upstream, Flow::In, octets.trim_ascii_end());
                    if view.code() != code {
                        let reply = reply_of(&view);
                        let words = format!("answered {} {}", reply.code, reply.lines.join(" "));
                        return Err(trouble(words, Some(reply)));
                    }
                    return Ok(octets);
                }
                None => {
                    let mut buffer = [0; 4_096];
                    let count = self.stream.receive(&mut buffer).await.map_err(|error| broken(&error))?;
                    if count == 0 {
                        return Err(trouble("closed the connection".to_owned(), None));
                    }
                    self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
            }
        }
    }
}

fn broken(error: &io::Error) -> Trouble {
    Trouble { stage: Stage::Connect, by: Actor::Network, error: format!("the connection broke: {error}"), reply: None }
}
