//! Which ports of a host can be reached, by address family, and what it means if some can and others can't.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::Check;
use super::super::dialogue::{Dialogue, seconds};
use crate::net::connect::ConnectError;
use crate::trace::UpstreamKind;
use crate::wording::in_shell;

/// Where mail servers listen, beside the configured port.
pub const USUAL: [u16; 4] = [25, 465, 587, 2525];
/// Addresses of one family whose configured port is tried.
const MOST_ADDRESSES: usize = 4;
const SMTP: u16 = 25;
/// Where clients with a login submit (RFC 8314), the better port first: 465 begins with TLS.
const SUBMISSION: [u16; 2] = [465, 587];

/// A knock at one port.
#[derive(Debug)]
struct Knock {
    address: SocketAddr,
    opened: Result<(), ConnectError>,
    took: Duration,
}

/// What was found out of one family's addresses.
#[derive(Debug)]
pub struct Family {
    six: bool,
    port: u16,
    knocks: Vec<Knock>,
}

/// Knocks at the configured port of each address, and at the usual ports of the first one; all at once. What answers at `own` is the proxy, which
/// is nowhere to send its mail to.
pub async fn knock(
    addresses: &[IpAddr],
    port: u16,
    usual: &[u16],
    own: &[SocketAddr],
    mark: Option<u32>,
    patience: Duration,
) -> Vec<Family> {
    let mut families = Vec::new();
    for six in [false, true] {
        let of_family: Vec<IpAddr> = addresses.iter().copied().filter(|ip| ip.is_ipv6() == six).take(MOST_ADDRESSES).collect();
        let Some(&first) = of_family.first() else { continue };
        let mut targets: Vec<SocketAddr> = of_family.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        let others = usual.iter().filter(|it| **it != port).map(|it| SocketAddr::new(first, *it));
        targets.extend(others.filter(|it| !own.iter().any(|listener| answers_at(*listener, *it))));
        families.push((six, targets));
    }
    let mut knocking = JoinSet::new();
    for (place, address) in families.iter().flat_map(|(_, targets)| targets).copied().enumerate() {
        knocking.spawn(async move {
            let began = Instant::now();
            let opened = Dialogue::open(address, mark, patience).await.map(drop);
            (place, Knock { address, opened, took: began.elapsed() })
        });
    }
    let mut knocks = Vec::new();
    while let Some(done) = knocking.join_next().await {
        knocks.extend(done);
    }
    knocks.sort_by_key(|(place, _)| *place);
    let mut knocks = knocks.into_iter().map(|(_, knock)| knock);
    families.into_iter().map(|(six, targets)| Family { six, port, knocks: knocks.by_ref().take(targets.len()).collect() }).collect()
}

/// Whether a listener takes connections to that address. Of one that listens everywhere only loopback is known to be here.
fn answers_at(listener: SocketAddr, address: SocketAddr) -> bool {
    let everywhere = listener.ip().is_unspecified() && address.ip().to_canonical().is_loopback();
    listener.port() == address.port() && (everywhere || listener.ip().to_canonical() == address.ip().to_canonical())
}

impl Family {
    pub fn name(&self) -> &'static str {
        if self.six { "IPv6" } else { "IPv4" }
    }

    /// The first address whose configured port is open.
    pub fn open(&self) -> Option<SocketAddr> {
        self.configured().find(|knock| knock.opened.is_ok()).map(|knock| knock.address)
    }

    fn configured(&self) -> impl Iterator<Item = &Knock> {
        self.knocks.iter().filter(|knock| knock.address.port() == self.port)
    }

    /// Other ports of the first address that are open.
    fn others_open(&self) -> Vec<u16> {
        self.knocks.iter().filter(|it| it.address.port() != self.port && it.opened.is_ok()).map(|it| it.address.port()).collect()
    }

    /// `elsewhere`: the other family's configured port is open.
    pub fn check(&self, host: &str, kind: UpstreamKind, elsewhere: bool) -> Check {
        let name = if self.six { "upstream.port.ipv6" } else { "upstream.port.ipv4" };
        let first = self.knocks.first().map(|knock| knock.address.ip().to_string()).unwrap_or_default();
        let asked = format!("TCP to {host} over {} ({first}), port {}", self.name(), self.port);
        let why = "no connection, no mail: which ports answer tells a dead host from a firewall or a provider that closes one port";
        let took = self.knocks.iter().map(|knock| knock.took).max().unwrap_or_default();
        let check = Check::asking(name, asked, why).took(took);
        let answer = self.answer();
        if let Some(Err(error)) = self.configured().map(|knock| knock.opened.as_ref()).find(|it| it.is_err_and(ConnectError::is_local)) {
            return not_examined(check, error);
        }
        if self.open().is_none() {
            return self.closed(check, answer, host, kind, elsewhere);
        }
        let dead: Vec<String> = self.configured().filter(|it| it.opened.is_err()).map(|it| it.address.ip().to_string()).collect();
        if !dead.is_empty() {
            let fix = format!(
                "{} of its addresses can't be reached ({}): sessions that try one of them wait for it before the next is tried. Tell the \
                 host's operator, or name the working address in `hosts`.",
                dead.len(),
                dead.join(", ")
            );
            return check.warn(answer, fix);
        }
        let blocked = self.port != SMTP && self.knocks.iter().any(|it| it.address.port() == SMTP && is_blocked(it));
        let blocked = if blocked { ". Port 25 is blocked on the way, as at many providers: of no matter with this port" } else { "" };
        check.ok(format!("{answer}{blocked}"))
    }

    fn closed(&self, check: Check, answer: String, host: &str, kind: UpstreamKind, elsewhere: bool) -> Check {
        let (port, others) = (self.port, self.others_open());
        let word = in_shell(host);
        let mut configured = self.configured();
        if self.knocks.iter().all(|it| matches!(it.opened, Err(ConnectError::NoRoute { .. }))) {
            return if elsewhere {
                check.skipped(format!("this machine has no {}: the other family is used", self.name()))
            } else {
                check.fail(
                    format!("no route to it: this machine has no {}, or its network is down", self.name()),
                    format!("Look at `ip route get {}`; the host has no address of another family that answers.", self.first()),
                )
            };
        }
        let blocked = configured.all(is_blocked);
        let fix = match (self.preferred(&others), blocked) {
            (Some(open), true) if port == SMTP => format!(
                "Port 25 is blocked between here and there, and port {open} isn't: that is a provider (or your own firewall) that lets no mail \
                 out on port 25. Ask for it to be opened, or {}.",
                instead(host, open, kind)
            ),
            (Some(open), true) => format!(
                "A firewall blocks port {port} and lets {open} pass: allow outgoing TCP {port}, or write `hosts = [\"{host}:{open}\"]` if the \
                 host takes mail there as well."
            ),
            (Some(open), false) if port == SMTP => format!(
                "Port {open} of the same host answers: either it takes no mail on port 25, or a provider (or your own firewall) rejects port 25 \
                 on the way; `nc -vz {word} 25` from another network tells which. Have it opened, or {}.",
                instead(host, open, kind)
            ),
            (Some(open), false) => {
                format!("Nothing listens on port {port} there, but on {open}: write `hosts = [\"{host}:{open}\"]`, or tell its operator.")
            }
            (None, true) if self.knocks.iter().all(timed_out) => format!(
                "Nothing came back from any port: the host is down, its address is wrong, or a firewall drops all of it. Try \
                 `nc -vz {word} {port}` from another network: if that works, the firewall or the provider on this side is to blame."
            ),
            (None, true) => format!(
                "Nobody could get through to it: the host is down, or a router or firewall on the way forbids it. `nc -vz {word} {port}` from \
                 another network tells which; `ip route get {}` shows the way from here.",
                self.first()
            ),
            (None, false) => format!(
                "The host is up and takes no mail on any usual port: its mail service is stopped, it is the wrong host, or a firewall \
                 rejects port {port}. On the host: `ss -ltn sport = :{port}`."
            ),
        };
        if elsewhere {
            let fix =
                format!("The other family works, so mail flows; but sessions that try {} first wait until that fails. {fix}", self.name());
            return check.warn(answer, fix);
        }
        check.fail(answer, fix)
    }

    /// The open port that mail is best submitted on.
    fn preferred(&self, open: &[u16]) -> Option<u16> {
        SUBMISSION.into_iter().find(|port| open.contains(port)).or_else(|| open.first().copied())
    }

    fn first(&self) -> String {
        self.knocks.first().map(|knock| knock.address.ip().to_string()).unwrap_or_default()
    }

    /// "587 open in 12 ms; 25 times out; 465 refused".
    fn answer(&self) -> String {
        let several = self.configured().count() > 1;
        let words = self.knocks.iter().map(|knock| {
            let place =
                if several && knock.address.port() == self.port { knock.address.to_string() } else { knock.address.port().to_string() };
            match &knock.opened {
                Ok(()) => format!("{place} open in {} ms", knock.took.as_millis()),
                Err(ConnectError::Refused { .. } | ConnectError::Reset { .. }) => format!("{place} refused"),
                Err(ConnectError::TimedOut { after, .. }) => format!("{place} silent for {}", seconds(*after)),
                Err(ConnectError::NoRoute { .. }) => format!("{place} no route"),
                Err(ConnectError::Unreachable { .. }) => format!("{place} unreachable"),
                Err(other) => format!("{place}: {other}"),
            }
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

fn timed_out(knock: &Knock) -> bool {
    matches!(knock.opened, Err(ConnectError::TimedOut { .. }))
}

/// Dropped or forbidden on the way. A refusal may be the host's own.
fn is_blocked(knock: &Knock) -> bool {
    timed_out(knock) || matches!(knock.opened, Err(ConnectError::Unreachable { .. }))
}

/// How to do without port 25.
fn instead(host: &str, open: u16, kind: UpstreamKind) -> String {
    match kind {
        // What is open at somebody else's mail exchanger is for its own users.
        UpstreamKind::Mx => "send through a smart host that takes a login on port 465 or 587 (`kind = \"smart_host\"`)".to_owned(),
        _ => format!("submit on the open port, `hosts = [\"{host}:{open}\"]` with a login in [upstream.auth]"),
    }
}

/// The fault is this process's own.
fn not_examined(check: Check, error: &ConnectError) -> Check {
    let fix = match error {
        ConnectError::NotPermitted { .. } => {
            "The doctor connects as the proxy does, and this user may not: run it as root. Whether the service may is said when it starts."
        }
        _ => "Free or raise what this machine has run out of; mail stops for the same reason.",
    };
    check.fail(error.to_string(), fix)
}

/// Whether a family that failed matters: it does if none is open.
pub fn any_open(families: &[Family]) -> bool {
    families.iter().any(|family| family.open().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::super::Verdict;
    use super::*;

    fn family(port: u16, knocks: &[(u16, &str)]) -> Family {
        let knock = |&(port, how): &(u16, &str)| {
            let address = SocketAddr::from(([192, 0, 2, 1], port));
            let opened = match how {
                "open" => Ok(()),
                "refused" => Err(ConnectError::Refused { address }),
                "no route" => Err(ConnectError::NoRoute { address }),
                "forbidden" => Err(ConnectError::Unreachable { address }),
                "not permitted" => Err(ConnectError::NotPermitted { what: "mark" }),
                _ => Err(ConnectError::TimedOut { address, after: Duration::from_secs(5) }),
            };
            Knock { address, opened, took: Duration::from_millis(3) }
        };
        Family { six: false, port, knocks: knocks.iter().map(knock).collect() }
    }

    #[track_caller]
    fn check(port: u16, knocks: &[(u16, &str)], elsewhere: bool, verdict: Verdict, words: &str) {
        let check = family(port, knocks).check("smtp.example.net", UpstreamKind::SmartHost, elsewhere);
        let text = format!("{} {}", check.answer, check.fix.clone().unwrap_or_default());
        assert_eq!(check.verdict, verdict, "{text}");
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn what_is_open_and_what_is_not_tells_the_cause() {
        check(587, &[(587, "open"), (25, "open"), (465, "open")], false, Verdict::Ok, "587 open in 3 ms; 25 open in 3 ms");
        check(587, &[(587, "open"), (25, "silent")], false, Verdict::Ok, "Port 25 is blocked on the way");
        check(25, &[(25, "silent"), (465, "silent"), (587, "open")], false, Verdict::Fail, "lets no mail out on port 25");
        check(25, &[(25, "forbidden"), (587, "open"), (465, "open")], false, Verdict::Fail, "`hosts = [\"smtp.example.net:465\"]`");
        check(25, &[(25, "refused"), (587, "open")], false, Verdict::Fail, "a provider (or your own firewall) rejects port 25");
        check(587, &[(587, "open"), (25, "forbidden")], false, Verdict::Ok, "Port 25 is blocked on the way");
        check(25, &[(25, "forbidden"), (587, "forbidden")], false, Verdict::Fail, "Nobody could get through");
        check(25, &[(25, "not permitted"), (587, "not permitted")], false, Verdict::Fail, "run it as root");
        check(587, &[(587, "silent"), (25, "open")], false, Verdict::Fail, "allow outgoing TCP 587");
        check(587, &[(587, "refused"), (465, "open")], false, Verdict::Fail, "`hosts = [\"smtp.example.net:465\"]`");
        check(25, &[(25, "silent"), (587, "silent")], false, Verdict::Fail, "Nothing came back from any port");
        check(25, &[(25, "refused"), (587, "refused")], false, Verdict::Fail, "its mail service is stopped");
        check(25, &[(25, "no route"), (587, "no route")], true, Verdict::Skipped, "this machine has no IPv4");
        check(25, &[(25, "no route"), (587, "no route")], false, Verdict::Fail, "no route to it");
        check(25, &[(25, "silent"), (587, "silent")], true, Verdict::Warn, "The other family works");
    }

    #[test]
    fn an_own_listener_is_no_port_to_send_to() {
        let is_own = |listener: &str, address: &str| answers_at(listener.parse().unwrap(), address.parse().unwrap());
        assert!(is_own("127.0.0.1:2525", "127.0.0.1:2525"));
        assert!(is_own("0.0.0.0:2525", "127.0.0.1:2525"));
        assert!(is_own("[::]:2525", "127.0.0.1:2525"));
        assert!(is_own("[::ffff:10.0.0.1]:25", "10.0.0.1:25"));
        assert!(!is_own("127.0.0.1:2525", "127.0.0.1:587"));
        assert!(!is_own("0.0.0.0:25", "192.0.2.1:25"), "another machine's port");
    }
}
