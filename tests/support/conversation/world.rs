//! The world around one machine: two connections, a store and a clock, all on paper. It does with actions what `proxy::session` does.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::signs::Gathered;
pub use super::signs::{ByHand, Input, Sign};
use relayscope::relay::options::{Ehlo, OnStoreFailure, SessionOptions, UpstreamOptions, UpstreamTls};
use relayscope::relay::{Action, Closed, Connected, Exhausted, Failed, Found, Machine, NextHop, NotFound, Refusal, SessionFacts};
use relayscope::trace::{Actor, Leg, Origin, Record, RecordId, Stage, Tls, UpstreamKind};

pub struct World {
    pub machine: Machine,
    pub now: u64,
    options: Arc<SessionOptions>,
    by_hand: ByHand,
    gathered: Gathered,
    client_in: VecDeque<Input>,
    upstream_in: VecDeque<Input>,
    client_open: bool,
    upstream_open: bool,
    connect_due: Option<NextHop>,
    find_due: Option<Arc<UpstreamOptions>>,
    stored_due: bool,
    mark_due: bool,
    store_down: bool,
    /// Asked for and not answered yet.
    connect_asked: bool,
    tls_asked: Option<Leg>,
    /// What came out since it was last taken.
    pub client_out: Vec<Sign>,
    pub upstream_out: Vec<Sign>,
    pub records: Vec<Record>,
    pub marks: Vec<Record>,
    /// What no machine may do, whatever comes in.
    pub violations: Vec<String>,
}

/// Facts of a session that are the same in every replay.
pub fn session_facts(client_ip: IpAddr) -> SessionFacts {
    let at = 1_795_000_000_000_000;
    SessionFacts {
        id: RecordId::from_parts(at / 1000, 7),
        random: 7,
        at,
        origin: Arc::new(Origin { node: "proxy.example".into(), proxy_version: "0".into(), config_digest: "0".into() }.into()),
        client_ip,
        client_port: 40_000,
        via: None,
        route_rule: None,
        destination: Some(std::net::SocketAddr::from(([192, 0, 2, 1], 25))),
    }
}

/// The hosts of an upstream's list, in their order.
pub fn listed(upstream: &UpstreamOptions) -> Vec<NextHop> {
    upstream.hosts.iter().enumerate().map(|(place, host)| hop(&host.host, host.tls, Some(place))).collect()
}

fn hop(host: &str, tls: UpstreamTls, place: Option<usize>) -> NextHop {
    NextHop { place, proven: !host.starts_with("untried"), serves: !host.starts_with("hung"), ..NextHop::new(host, 25, tls) }
}

impl World {
    pub fn new(options: Arc<SessionOptions>, client_ip: IpAddr, by_hand: ByHand) -> Self {
        let door = relayscope::route::Session { listener: &options.listener.name, client: client_ip };
        let (upstream, rule) = options.destination(door, None);
        let facts = SessionFacts { route_rule: rule.map(|rule| rule.name.clone()), ..session_facts(client_ip) };
        let hosts = if options.listener.ehlo == Ehlo::Static { Vec::new() } else { listed(&upstream) };
        Self {
            machine: Machine::new(options.clone(), facts, upstream, hosts),
            now: 0,
            options,
            by_hand,
            gathered: Gathered::default(),
            client_in: VecDeque::new(),
            upstream_in: VecDeque::new(),
            client_open: true,
            upstream_open: false,
            connect_due: None,
            find_due: None,
            stored_due: false,
            mark_due: false,
            store_down: false,
            connect_asked: false,
            tls_asked: None,
            client_out: Vec::new(),
            upstream_out: Vec::new(),
            records: Vec::new(),
            marks: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub fn start(&mut self) {
        self.machine.start(self.now, &mut self.gathered);
        self.settle();
    }

    pub fn begin_with_tls(&mut self) {
        self.machine.begin_with_tls(self.now, &mut self.gathered);
        self.settle();
    }

    pub fn refuse_client(&mut self, code: u16, words: &str) {
        self.machine.refuse_client(self.now, code, words, words, &mut self.gathered);
        self.settle();
    }

    /// Octets or an end on a leg, read as soon as the machine wants them.
    pub fn input(&mut self, leg: Leg, input: Input) {
        match leg {
            Leg::Client if self.client_open => self.client_in.push_back(input),
            Leg::Upstream if self.upstream_open => self.upstream_in.push_back(input),
            _ => {}
        }
        self.pump();
    }

    pub fn client_lost(&mut self) {
        self.client_open = false;
        self.machine.client_lost(self.now, &mut self.gathered);
        self.settle();
    }

    pub fn connected(&mut self, tls: Option<Tls>) {
        self.open_upstream(tls);
        self.settle();
    }

    fn open_upstream(&mut self, tls: Option<Tls>) {
        self.connect_asked = false;
        let connected = Connected {
            ip: IpAddr::from([192, 0, 2, 25]),
            port: 25,
            dns: None,
            dns_us: Some(2_000),
            connect_us: 3_000,
            tls: tls.map(|tls| (tls, 4_000)),
            tried: Vec::new(),
            lookups: Vec::new(),
            policy: None,
        };
        self.upstream_open = true;
        self.machine.connected(self.now, connected, &mut self.gathered);
    }

    pub fn connect_failed(&mut self, stage: Stage, by: Actor, error: &str) {
        let failed = Failed { stage, by, error: error.to_owned(), tried: Vec::new(), lookups: Vec::new(), refusal: None, last: false };
        self.machine.connect_failed(self.now, failed, &mut self.gathered);
        self.settle();
    }

    pub fn connect_loops(&mut self, error: &str) {
        let (stage, by, refusal) = (Stage::Connect, Actor::Proxy, Some(Refusal { code: 550, enhanced: (5, 4, 6) }));
        let failed = Failed { stage, by, error: error.to_owned(), tried: Vec::new(), lookups: Vec::new(), refusal, last: true };
        self.machine.connect_failed(self.now, failed, &mut self.gathered);
        self.settle();
    }

    /// The mail exchangers that were asked for.
    pub fn hosts_found(&mut self, hosts: &[String]) {
        let tls = self.options.upstream.tls;
        let hops = hosts.iter().map(|host| hop(host, tls, None)).collect();
        self.machine.hosts_found(self.now, Found { hops, ..Found::default() }, &mut self.gathered);
        self.settle();
    }

    pub fn hosts_not_found(&mut self, code: u16, enhanced: (u8, u16, u16), error: &str) {
        let refusal = Refusal { code, enhanced };
        let (skipped, lookups) = (Vec::new(), Vec::new());
        let not = NotFound { refusal, by: Actor::Dns, error: error.to_owned(), skipped, lookups, dns_us: Some(1_000) };
        self.machine.hosts_not_found(self.now, not, &mut self.gathered);
        self.settle();
    }

    pub fn tls_established(&mut self, leg: Leg, tls: Tls) {
        self.machine.tls_established(self.now, leg, tls, None, &mut self.gathered);
        self.settle();
    }

    pub fn tls_failed(&mut self, leg: Leg, error: &str, facts: Option<Tls>) {
        match leg {
            Leg::Client => self.client_open = false,
            Leg::Upstream => self.upstream_in.clear(),
        }
        self.machine.tls_failed(self.now, leg, error.to_owned(), facts, &mut self.gathered);
        self.settle();
    }

    pub fn stored(&mut self, ok: bool) {
        self.stored_due = false;
        self.machine.stored(self.now, ok, &mut self.gathered);
        self.settle();
    }

    pub fn mark_stored(&mut self, ok: bool) {
        self.mark_due = false;
        self.machine.mark_stored(self.now, ok, &mut self.gathered);
        self.settle();
    }

    pub fn quotas(&mut self, exhausted: Vec<Exhausted>) {
        self.machine.set_exhausted(&Arc::new(exhausted));
    }

    pub fn store_down(&mut self, down: bool) {
        self.store_down = down;
    }

    pub fn drain(&mut self) {
        self.machine.drain(self.now, &mut self.gathered);
        self.settle();
    }

    pub fn shut_down(&mut self) {
        self.machine.shut_down(self.now, &mut self.gathered);
        self.settle();
    }

    /// Lets time pass; every deadline on the way is met when it is due.
    pub fn pass(&mut self, micros: u64) {
        let until = self.now.saturating_add(micros);
        for round in 0.. {
            let Some(due) = self.machine.deadline().filter(|due| *due <= until) else { break };
            if round > 1_000 {
                self.violations.push(format!("the deadline at {due} µs doesn't move"));
                break;
            }
            self.now = self.now.max(due);
            self.machine.tick(self.now, &mut self.gathered);
            self.settle();
        }
        self.now = until;
    }

    /// Answers what the machine has asked for, if anything; the first of connect, TLS, record, mark.
    pub fn answer(&mut self, ok: bool) {
        if self.machine.finished() {
            return;
        }
        match self.tls_asked {
            _ if self.connect_asked && ok => {
                let hosts = &self.options.upstream.hosts;
                let passed = self.options.passes_through(None);
                let implicit = !passed && hosts.first().is_some_and(|host| host.tls == UpstreamTls::Implicit);
                self.connected(implicit.then(|| tls(true)));
            }
            _ if self.connect_asked => {
                self.connect_asked = false;
                self.connect_failed(Stage::Connect, Actor::Network, "connection refused");
            }
            Some(leg) => {
                self.tls_asked = None;
                if ok { self.tls_established(leg, tls(true)) } else { self.tls_failed(leg, "no shared cipher", None) }
            }
            None if self.stored_due => self.stored(ok),
            None if self.mark_due => self.mark_stored(ok),
            None => {}
        }
    }

    pub fn waits_for_store(&self) -> bool {
        !self.machine.finished() && (self.stored_due || self.mark_due)
    }

    pub fn client_is_open(&self) -> bool {
        self.client_open
    }

    pub fn upstream_is_open(&self) -> bool {
        self.upstream_open
    }

    /// Reads what waits, as long as the machine wants it.
    fn pump(&mut self) {
        loop {
            let input = if self.machine.wants_upstream() && !self.upstream_in.is_empty() {
                self.upstream_in.pop_front().map(|input| (Leg::Upstream, input))
            } else if self.machine.wants_client() && self.client_open && !self.client_in.is_empty() {
                self.client_in.pop_front().map(|input| (Leg::Client, input))
            } else {
                None
            };
            let Some((leg, input)) = input else { break };
            let now = self.now;
            match (leg, input) {
                (Leg::Client, input) => {
                    if self.options.on_store_failure == OnStoreFailure::Defer {
                        self.machine.set_store_failed(self.store_down);
                    }
                    match input {
                        Input::Octets(octets) => self.machine.client_octets(now, &octets, &mut self.gathered),
                        Input::Fin => self.machine.client_closed(now, Closed::Orderly, &mut self.gathered),
                        Input::Cut => self.machine.client_closed(now, Closed::Cut, &mut self.gathered),
                        Input::Reset => {
                            self.client_open = false;
                            self.machine.client_closed(now, Closed::Reset, &mut self.gathered);
                        }
                    }
                }
                (Leg::Upstream, Input::Octets(octets)) => self.machine.upstream_octets(now, &octets, &mut self.gathered),
                (Leg::Upstream, Input::Fin) => self.machine.upstream_closed(now, Closed::Orderly, &mut self.gathered),
                (Leg::Upstream, Input::Cut) => self.machine.upstream_closed(now, Closed::Cut, &mut self.gathered),
                (Leg::Upstream, Input::Reset) => self.machine.upstream_closed(now, Closed::Reset, &mut self.gathered),
            }
            self.settle_actions();
        }
    }

    fn settle(&mut self) {
        self.settle_actions();
        self.pump();
    }

    /// Does what the machine asks for, then answers what is answered by itself.
    fn settle_actions(&mut self) {
        loop {
            self.act();
            self.flush();
            if let Some(upstream) = self.find_due.take() {
                let found = Found { hops: listed(&upstream), ..Found::default() };
                self.machine.hosts_found(self.now, found, &mut self.gathered);
            } else if let Some(hop) = self.connect_due.take() {
                let implicit = hop.tls == UpstreamTls::Implicit;
                self.open_upstream(implicit.then(|| tls(true)));
            } else if self.stored_due && !self.by_hand.store {
                self.stored_due = false;
                self.machine.stored(self.now, true, &mut self.gathered);
            } else if self.mark_due && !self.by_hand.mark {
                self.mark_due = false;
                self.machine.mark_stored(self.now, true, &mut self.gathered);
            } else {
                break;
            }
        }
    }

    fn act(&mut self) {
        let mut after = Vec::new();
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::FindHosts { domain: Some(domain), .. } => self.upstream_out.push(Sign::Find(domain)),
                Action::FindHosts { upstream, domain: None } => {
                    debug_assert_ne!(upstream.kind, UpstreamKind::Mx);
                    self.find_due = Some(upstream);
                }
                Action::Connect { hop } => {
                    self.drop_leg(Leg::Upstream);
                    (self.connect_asked, self.tls_asked) = (true, self.tls_asked.filter(|leg| *leg == Leg::Client));
                    if self.by_hand.connect {
                        self.upstream_out.push(Sign::Connect(hop.host));
                    } else {
                        self.connect_due = Some(*hop);
                    }
                }
                Action::HostFailed { .. } => self.upstream_out.extend(self.by_hand.failures.then_some(Sign::HostFailed)),
                Action::HostServes { .. } => after.extend(self.by_hand.failures.then_some((Leg::Upstream, Sign::HostServes))),
                Action::StartTls { leg } => {
                    self.tls_asked = Some(leg);
                    after.push((leg, Sign::Tls));
                }
                Action::Append { record, then_reply } => {
                    self.records.push(*record);
                    self.stored_due |= then_reply;
                }
                mark @ (Action::AppendMark | Action::RenewMark) => {
                    self.marks.extend(self.machine.mark().map(|mark| Record::Mark(Box::new(mark.to_mark()))));
                    self.mark_due |= matches!(mark, Action::AppendMark);
                }
                Action::CloseSide { leg } => after.push((leg, Sign::SideClosed)),
                Action::Close { leg } => after.push((leg, Sign::Closed)),
                Action::Abort { leg } => {
                    if self.drop_leg(leg) {
                        self.out(leg).push(Sign::Dropped);
                    }
                }
            }
        }
        if !after.is_empty() {
            self.flush();
        }
        for (leg, sign) in after {
            if sign == Sign::Closed {
                let open = match leg {
                    Leg::Client => std::mem::take(&mut self.client_open),
                    Leg::Upstream => std::mem::take(&mut self.upstream_open),
                };
                if open {
                    self.out(leg).push(sign);
                }
            } else {
                self.out(leg).push(sign);
            }
        }
        if self.machine.finished() {
            self.stored_due = false;
        }
    }

    fn drop_leg(&mut self, leg: Leg) -> bool {
        self.tls_asked = self.tls_asked.filter(|asked| *asked != leg);
        match leg {
            Leg::Client => {
                self.gathered.client.clear();
                std::mem::take(&mut self.client_open)
            }
            Leg::Upstream => {
                self.gathered.upstream.clear();
                self.upstream_in.clear();
                std::mem::take(&mut self.upstream_open)
            }
        }
    }

    fn out(&mut self, leg: Leg) -> &mut Vec<Sign> {
        match leg {
            Leg::Client => &mut self.client_out,
            Leg::Upstream => &mut self.upstream_out,
        }
    }

    fn flush(&mut self) {
        for leg in [Leg::Client, Leg::Upstream] {
            let (octets, open) = match leg {
                Leg::Client => (std::mem::take(&mut self.gathered.client), self.client_open),
                Leg::Upstream => (std::mem::take(&mut self.gathered.upstream), self.upstream_open),
            };
            if octets.is_empty() {
                continue;
            }
            if !open {
                self.violations.push(format!("octets for the {leg}, which is closed: {}", super::show::escape(&octets)));
            }
            match self.out(leg).last_mut() {
                Some(Sign::Octets(before)) => before.extend_from_slice(&octets),
                _ => self.out(leg).push(Sign::Octets(octets)),
            }
        }
    }
}

/// What a handshake agreed on.
pub fn tls(verified: bool) -> Tls {
    Tls {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        sni: None,
        subject: Some("CN=mx.example".into()),
        issuer: Some("CN=Test CA".into()),
        expires_at: None,
        verified: Some(verified),
        why_not: (!verified).then(|| "self-signed".into()),
    }
}
