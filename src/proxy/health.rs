//! Health of an upstream's hosts, by what sessions and probes saw of them: a circuit for each.
//!
//! A failure opens a host's circuit: it is tried after all others until its time is over, longer with each failure in a row. Then the
//! next session tries it in its turn, alone (half open), and what becomes of that closes the circuit or opens it again. No circuit ever
//! keeps mail from being tried: if all are open, all are tried.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::trace::{Circuit, Stage};

/// How long the first failure counts; doubled with each in a row.
const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(300);
/// How long the one trial of a half-open circuit keeps others away.
const TRIAL: Duration = Duration::from_secs(30);
/// The share of a new latency in the smoothed one: one in so many.
const SMOOTHING: u64 = 8;

/// The hosts of one upstream, shared by all workers.
/// A success says for so long that a host serves.
const LATELY: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct HostHealth {
    hosts: Mutex<Vec<Host>>,
}

#[derive(Debug, Default, Clone)]
struct Host {
    /// In a row.
    failures: u32,
    last_error: String,
    /// The proxy's login failed, and no session has got through since.
    login_failed: bool,
    open_until: Option<Instant>,
    trial_until: Option<Instant>,
    last_success: Option<Instant>,
    last_probe: Option<Instant>,
    /// Smoothed, µs; 0: not known.
    connect_us: u64,
    end_of_data_us: u64,
}

/// How a host stands at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostState {
    pub circuit: Circuit,
    /// In a row.
    pub failures: u32,
    /// Smoothed, µs; 0: not known.
    pub connect_us: u64,
    pub end_of_data_us: u64,
}

/// A host's place in the list, and why it comes when it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub place: usize,
    pub circuit: Circuit,
    /// Somebody got through to it, and nobody failed since.
    pub proven: bool,
    /// And within [`LATELY`].
    pub serves: bool,
    pub choice: Option<String>,
}

impl HostHealth {
    pub fn new(hosts: usize) -> Self {
        Self { hosts: Mutex::new(vec![Host::default(); hosts]) }
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All hosts in the order to try: as configured, those whose circuit is open last.
    pub fn order(&self, now: Instant) -> Vec<Turn> {
        let mut hosts = self.hosts();
        if let [only] = hosts.as_mut_slice() {
            return vec![Turn { place: 0, circuit: only.circuit(now), proven: only.is_proven(), serves: only.serves(now), choice: None }];
        }
        let (mut well, mut ill, mut put_last) = (Vec::new(), Vec::new(), Vec::new());
        for (place, host) in hosts.iter_mut().enumerate() {
            let circuit = host.circuit(now);
            if circuit == Circuit::Open {
                put_last.push(host.words(place, now));
                let choice = Some(format!("number {} of the list, with an open circuit: {}", place + 1, host.words(place, now)));
                ill.push(Turn { place, circuit, proven: false, serves: false, choice });
                continue;
            }
            if circuit == Circuit::HalfOpen && well.is_empty() {
                host.trial_until = Some(now + TRIAL);
            }
            let behind = if put_last.is_empty() { String::new() } else { format!("; put last: {}", put_last.join(", ")) };
            let trial = if circuit == Circuit::HalfOpen { ", tried again after its failures" } else { "" };
            let choice = Some(format!("number {} of the list{trial}{behind}", place + 1));
            well.push(Turn { place, circuit, proven: host.is_proven(), serves: host.serves(now), choice });
        }
        well.extend(ill);
        well
    }

    /// A connection, its TLS or its greeting came to nothing. True: this opened the circuit.
    pub fn failed(&self, place: usize, stage: Stage, error: &str, now: Instant) -> bool {
        let mut hosts = self.hosts();
        let Some(host) = hosts.get_mut(place) else { return false };
        let was_closed = host.open_until.is_none();
        host.failures = host.failures.saturating_add(1);
        host.last_error = error.to_owned();
        host.login_failed |= stage == Stage::Auth;
        let pause = FIRST.saturating_mul(1 << host.failures.saturating_sub(1).min(8)).min(LONGEST);
        host.open_until = Some(now + pause);
        host.trial_until = None;
        was_closed
    }

    /// A session got through. True: this closed the circuit.
    pub fn succeeded(&self, place: usize, connect_us: Option<u64>, end_of_data_us: Option<u64>, now: Instant) -> bool {
        let mut hosts = self.hosts();
        let Some(host) = hosts.get_mut(place) else { return false };
        smooth(&mut host.connect_us, connect_us);
        smooth(&mut host.end_of_data_us, end_of_data_us);
        host.last_success = Some(now);
        (host.failures, host.trial_until, host.login_failed) = (0, None, false);
        host.open_until.take().is_some()
    }

    /// A probe got through, which logs in nowhere: of a host that let the proxy's login fail it says nothing. True: this closed the circuit.
    pub fn probed(&self, place: usize, connect_us: Option<u64>, now: Instant) -> bool {
        let closes = self.hosts().get(place).is_some_and(|host| !host.login_failed);
        closes && self.succeeded(place, connect_us, None, now)
    }

    /// Whether it is time for a probe of the host: nobody got through for `pause`, and none was made. Counts as made.
    pub fn probe_is_due(&self, place: usize, pause: Duration, now: Instant) -> bool {
        let mut hosts = self.hosts();
        let Some(host) = hosts.get_mut(place) else { return false };
        let fresh = |at: Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < pause);
        if fresh(host.last_success) || fresh(host.last_probe) {
            return false;
        }
        host.last_probe = Some(now);
        true
    }

    /// How the host at each place of the list stands.
    pub fn states(&self, now: Instant) -> Vec<HostState> {
        let state = |host: &Host| HostState {
            circuit: host.circuit(now),
            failures: host.failures,
            connect_us: host.connect_us,
            end_of_data_us: host.end_of_data_us,
        };
        self.hosts().iter().map(state).collect()
    }

    /// Smoothed times of a host: connecting, and from end-of-data to its reply, µs; 0: not known.
    pub fn latencies(&self, place: usize) -> (u64, u64) {
        self.hosts().get(place).map_or((0, 0), |host| (host.connect_us, host.end_of_data_us))
    }
}

impl Host {
    fn circuit(&self, now: Instant) -> Circuit {
        match self.open_until {
            None => Circuit::Closed,
            Some(until) if until > now || self.trial_until.is_some_and(|trial| trial > now) => Circuit::Open,
            Some(_) => Circuit::HalfOpen,
        }
    }

    fn is_proven(&self) -> bool {
        self.open_until.is_none() && self.last_success.is_some()
    }

    fn serves(&self, now: Instant) -> bool {
        self.is_proven() && self.last_success.is_some_and(|at| now.saturating_duration_since(at) < LATELY)
    }

    fn words(&self, place: usize, now: Instant) -> String {
        let left = self.open_until.map_or(0, |until| until.saturating_duration_since(now).as_secs());
        let times = if self.failures == 1 { "once".to_owned() } else { format!("{} times in a row", self.failures) };
        format!("number {} failed {times} ({}), for {left} s more", place + 1, self.last_error)
    }
}

fn smooth(smoothed: &mut u64, value: Option<u64>) {
    let Some(value) = value else { return };
    *smoothed = if *smoothed == 0 { value } else { (*smoothed * (SMOOTHING - 1) + value) / SMOOTHING };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(health: &HostHealth, now: Instant) -> Vec<(usize, Circuit)> {
        health.order(now).into_iter().map(|turn| (turn.place, turn.circuit)).collect()
    }

    #[test]
    fn a_failed_host_is_tried_last_until_its_time_is_over_and_then_by_one() {
        use Circuit::{Closed, HalfOpen, Open};
        let (health, start) = (HostHealth::new(3), Instant::now());
        assert_eq!(places(&health, start), [(0, Closed), (1, Closed), (2, Closed)]);
        assert!(health.failed(0, Stage::Connect, "connection refused", start));
        assert_eq!(places(&health, start), [(1, Closed), (2, Closed), (0, Open)]);
        let later = start + FIRST;
        assert_eq!(places(&health, later), [(0, HalfOpen), (1, Closed), (2, Closed)]);
        assert_eq!(places(&health, later), [(1, Closed), (2, Closed), (0, Open)], "another session doesn't wait for the trial");
        assert!(!health.failed(0, Stage::Connect, "connection refused", later), "it was open before");
        assert_eq!(places(&health, later + FIRST)[2], (0, Open), "twice as long the second time");
        let later = later + 2 * FIRST;
        assert_eq!(places(&health, later)[0], (0, HalfOpen));
        assert!(health.succeeded(0, None, None, later));
        assert_eq!(places(&health, later), [(0, Closed), (1, Closed), (2, Closed)]);
    }

    #[test]
    fn a_host_is_proven_by_a_success_until_it_fails() {
        let (health, now) = (HostHealth::new(2), Instant::now());
        let proven = |now| health.order(now).iter().filter(|turn| turn.proven).map(|turn| turn.place).collect::<Vec<_>>();
        assert!(proven(now).is_empty(), "none was tried");
        health.succeeded(1, None, None, now);
        assert_eq!(proven(now), [1]);
        let serves = |now| health.order(now).iter().map(|turn| turn.serves).collect::<Vec<_>>();
        assert_eq!((serves(now + LATELY / 2), serves(now + LATELY)), (vec![false, true], vec![false, false]));
        health.failed(1, Stage::Connect, "refused", now);
        assert!(proven(now + FIRST).is_empty(), "half open is to be seen");
    }

    #[test]
    fn with_all_circuits_open_all_are_tried() {
        let (health, now) = (HostHealth::new(2), Instant::now());
        health.failed(0, Stage::Connect, "refused", now);
        health.failed(1, Stage::Connect, "refused", now);
        assert_eq!(places(&health, now), [(0, Circuit::Open), (1, Circuit::Open)]);
    }

    #[test]
    fn the_choice_says_who_was_put_last_and_why() {
        let (health, now) = (HostHealth::new(2), Instant::now());
        health.failed(0, Stage::Connect, "connection refused", now);
        let order = health.order(now);
        let choice = order[0].choice.as_deref();
        assert_eq!(choice, Some("number 2 of the list; put last: number 1 failed once (connection refused), for 30 s more"));
    }

    #[test]
    fn a_probe_does_not_close_what_a_login_opened() {
        let (health, now) = (HostHealth::new(1), Instant::now());
        health.failed(0, Stage::Connect, "refused", now);
        assert!(health.probed(0, None, now));
        health.failed(0, Stage::Auth, "535", now);
        health.failed(0, Stage::Connect, "refused", now);
        assert!(!health.probed(0, None, now));
        assert_eq!(places(&health, now), [(0, Circuit::Open)]);
        assert!(health.succeeded(0, None, None, now));
        health.failed(0, Stage::Banner, "421", now);
        assert!(health.probed(0, None, now), "a session has logged in since");
    }

    #[test]
    fn latencies_are_smoothed() {
        let (health, now) = (HostHealth::new(1), Instant::now());
        health.succeeded(0, Some(800), Some(8_000), now);
        health.succeeded(0, Some(1_600), None, now);
        assert_eq!(health.latencies(0), (900, 8_000));
    }

    #[test]
    fn a_probe_is_wanted_where_nobody_got_through_lately() {
        let (health, now) = (HostHealth::new(1), Instant::now());
        let pause = Duration::from_secs(60);
        assert!(health.probe_is_due(0, pause, now));
        assert!(!health.probe_is_due(0, pause, now), "one is being made");
        health.succeeded(0, None, None, now + pause);
        assert!(!health.probe_is_due(0, pause, now + pause));
        assert!(health.probe_is_due(0, pause, now + 2 * pause));
    }
}
