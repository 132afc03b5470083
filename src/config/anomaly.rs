//! `[anomaly]`: what is watched for, and who is told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Findings;
use super::raw::{Raw, UpstreamKind, choice};
use super::secret;
pub use super::thresholds::{Auth, Flow, Health, Peers, Protocol, Reputation, Volume};
use super::units::Interval;
use crate::anomaly::volume::holidays::Holidays;
use crate::anomaly::{self, limits};
use crate::net::http_client::HttpUrl;
use crate::net::tls::ClientTls;
use crate::net::webhook::WebhookOptions;
use crate::trace;

/// A webhook that takes longer to answer has failed.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// What the watch runs by.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    pub enabled: bool,
    /// Whether messages are put off once a quota is used up.
    pub enforce_limits: bool,
    pub anomaly: anomaly::Options,
    pub notify: NotifyOptions,
}

/// Who hears of incidents, beyond the log and the journal.
#[derive(Debug, Clone)]
pub struct NotifyOptions {
    pub severity: trace::Severity,
    pub webhook: Option<WebhookOptions>,
    /// A program and its arguments; empty: none.
    pub command: Vec<String>,
}

/// How anomalies are watched for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Anomaly {
    /// Whether anything is watched for.
    pub enabled: bool,
    /// An incident is over when it wasn't seen for so long.
    pub quiet: Interval,
    /// The same within so long after its end is the same incident again.
    pub reopen: Interval,
    /// Days, in this machine's time zone, on which nobody misses a batch: "2027-03-29", or "12-25" for each year.
    #[schemars(length(max = 1000), inner(length(max = 10)))]
    pub holidays: Vec<String>,
    /// Sending limits that you know of; others are learned when a provider refuses.
    pub quota: Vec<Quota>,
    pub limits: Limits,
    pub auth: Auth,
    pub upstream: Health,
    pub reputation: Reputation,
    pub volume: Volume,
    pub flow: Flow,
    pub peers: Peers,
    pub protocol: Protocol,
    pub dns: DnsWatch,
    pub notify: Notify,
}

/// A sending limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Quota {
    /// Name of the upstream.
    pub upstream: String,
    /// The account that has it. Default: all that goes through the upstream together.
    pub user: Option<String>,
    pub per: Per,
    /// What is counted.
    pub count: Count,
    /// So many.
    #[schemars(range(min = 1))]
    pub limit: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { upstream: String::new(), user: None, per: Per::Day, count: Count::Recipients, limit: 10_000 }
    }
}

choice!(Per => limits::Period { Hour = "hour", Day = "day" });
choice!(Count => limits::Counts { Messages = "messages", Recipients = "recipients" });
choice!(Day => limits::DayBoundary { Rolling = "rolling", Utc = "utc" });

/// Quotas of upstreams and accounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Limits {
    /// Whether the next message is put off (451 4.7.1) once a quota is used up, rather than refused by the provider.
    pub enforce: bool,
    /// When a day's quota begins anew.
    pub day: Day,
    /// A warning when so much of a quota is used. Percent.
    #[schemars(range(min = 1, max = 100))]
    pub warn_percent: u8,
    /// A forecast is made only when so much is used. Percent.
    #[schemars(range(min = 1, max = 100))]
    pub forecast_percent: u8,
    /// A warning when a quota will be used up within so long at the present rate.
    pub warn_ahead: Interval,
    /// Refusals for too high a rate within ten minutes.
    pub rate_refusals: u64,
    /// The same where mail goes straight to the exchangers of a domain.
    pub rate_refusals_mx: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let it = limits::Options::default();
        Self {
            enforce: false,
            day: it.day.into(),
            warn_percent: it.warn_percent,
            forecast_percent: it.forecast_percent,
            warn_ahead: Interval::of_us(it.warn_ahead_us),
            rate_refusals: it.rate_refusals,
            rate_refusals_mx: it.rate_refusals_mx,
        }
    }
}

/// What domains publish for mail, looked at again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct DnsWatch {
    /// Whether MX, NS, SPF, DKIM keys, DMARC and the names of `sending_addresses` are watched.
    pub enabled: bool,
    /// Between two looks at the same name.
    pub every: Interval,
    /// Domains that are watched at the same time.
    pub domains: usize,
}

impl Default for DnsWatch {
    fn default() -> Self {
        let it = anomaly::dns_watch::Options::default();
        Self { enabled: it.enabled, every: Interval::of_us(it.every_us), domains: it.domains }
    }
}

impl Default for Anomaly {
    fn default() -> Self {
        let book = anomaly::book::Options::default();
        Self {
            enabled: true,
            quiet: Interval::of_us(book.quiet_us),
            reopen: Interval::of_us(book.reopen_us),
            holidays: Vec::new(),
            quota: Vec::new(),
            limits: Limits::default(),
            auth: Auth::default(),
            upstream: Health::default(),
            reputation: Reputation::default(),
            volume: Volume::default(),
            flow: Flow::default(),
            peers: Peers::default(),
            protocol: Protocol::default(),
            dns: DnsWatch::default(),
            notify: Notify::default(),
        }
    }
}

/// Who is told of incidents, beside the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Notify {
    /// Incidents of this severity and above. The log has all of them.
    pub severity: Severity,
    /// Address that each entry of an incident is posted to, as JSON.
    #[schemars(extend("maxLength" = 2048))]
    pub webhook: Option<String>,
    /// File with the secret that signs what is posted (HMAC-SHA-256, header X-Relayscope-Signature), not readable by every user.
    pub webhook_secret_file: Option<PathBuf>,
    /// Authorities trusted for the webhook, PEM. Default: the system's.
    pub webhook_ca_file: Option<PathBuf>,
    /// Program, with its arguments, that is run for each entry, with the JSON on its standard input.
    pub command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Severity {
    Notice,
    Warning,
    Critical,
}

impl Default for Notify {
    fn default() -> Self {
        Self { severity: Severity::Warning, webhook: None, webhook_secret_file: None, webhook_ca_file: None, command: Vec::new() }
    }
}

pub(super) fn watching(raw: &Raw, findings: &mut Findings) -> WatchOptions {
    let Anomaly { enabled, quiet, reopen, notify, .. } = &raw.anomaly;
    let book = anomaly::book::Options { quiet_us: quiet.us(), reopen_us: reopen.us(), ..anomaly::book::Options::default() };
    if quiet.us() < 60_000_000 {
        findings.refuse("anomaly.quiet", format!("quiet = \"{quiet}\" is too short to tell an end from a pause: at least \"1m\""));
    }
    if raw.anomaly.limits.enforce && !enabled {
        let text =
            "enforce = true keeps to quotas that [anomaly] counts, and its enabled = false counts none: set it to true, or remove enforce";
        findings.refuse("anomaly.limits.enforce", text.to_owned());
    }
    let severity = match notify.severity {
        Severity::Notice => trace::Severity::Notice,
        Severity::Warning => trace::Severity::Warning,
        Severity::Critical => trace::Severity::Critical,
    };
    if notify.command.first().is_some_and(|program| !program.starts_with('/')) {
        findings.refuse("anomaly.notify.command", "command: name the program by its full path, and each argument by itself".to_owned());
    }
    if let Some(program) = notify.command.first().filter(|program| program.starts_with('/'))
        && let Err(why) = executable(program)
    {
        let text = format!("[anomaly.notify]: command = {program:?} {why}: nobody would be told by it");
        findings.warn("anomaly.notify.command", text);
    }
    let mut holidays = Vec::new();
    for (number, text) in raw.anomaly.holidays.iter().enumerate() {
        match text.parse() {
            Ok(day) => holidays.push(day),
            Err(why) => findings.refuse(&format!("anomaly.holidays.{number}"), format!("holidays: {why}")),
        }
    }
    let notify = NotifyOptions { severity, webhook: webhook(notify, findings), command: notify.command.clone() };
    let mut anomaly = anomaly::Options { book, dns: dns(raw), limits: quotas(raw, findings), ..anomaly::Options::default() };
    anomaly.volume.holidays = Holidays { days: holidays, zone: TimeZone::system() };
    WatchOptions { enabled: *enabled, enforce_limits: raw.anomaly.limits.enforce, anomaly: with_thresholds(raw, anomaly), notify }
}

/// Whether there is such a program.
fn executable(program: &str) -> Result<(), String> {
    match std::fs::metadata(program) {
        Err(error) => Err(format!("can't be run ({error})")),
        Ok(file) if !file.is_file() || file.permissions().mode() & 0o111 == 0 => Err("is no program that can be run".to_owned()),
        Ok(_) => Ok(()),
    }
}

fn with_thresholds(raw: &Raw, mut options: anomaly::Options) -> anomaly::Options {
    raw.anomaly.auth.put_into(&mut options.auth);
    raw.anomaly.upstream.put_into(&mut options.upstream);
    raw.anomaly.reputation.put_into(&mut options.reputation);
    raw.anomaly.volume.put_into(&mut options.volume);
    raw.anomaly.flow.put_into(&mut options.flow);
    raw.anomaly.peers.put_into(&mut options.peers);
    raw.anomaly.protocol.put_into(&mut options.protocol);
    options
}

fn dns(raw: &Raw) -> anomaly::dns_watch::Options {
    let DnsWatch { enabled, every, domains } = raw.anomaly.dns;
    let addresses = raw.doctor.sending_addresses.iter().map(|address| address.0).collect();
    anomaly::dns_watch::Options { enabled, every_us: every.us().max(60_000_000), domains, addresses }
}

fn quotas(raw: &Raw, findings: &mut Findings) -> limits::Options {
    let mut quotas = Vec::new();
    for (number, quota) in raw.anomaly.quota.iter().enumerate() {
        let path = format!("anomaly.quota.{number}.upstream");
        if quota.upstream.is_empty() {
            if !findings.is_broken(&path) {
                findings
                    .refuse(&path, "[[anomaly.quota]]: has no upstream: write upstream = with the name of the [[upstream]] that has it");
            }
            continue;
        }
        let mut refuse = |text: String| findings.refuse(&path, text);
        match raw.upstream.iter().find(|upstream| upstream.name == quota.upstream) {
            Some(upstream) if matches!(upstream.kind, UpstreamKind::Mx | UpstreamKind::Fixed) => refuse(format!(
                "upstream = {:?} is of kind = \"{}\", where no quota is counted: an account with a sending limit is at a smart host. \
                 Name one, or remove this quota",
                quota.upstream, upstream.kind
            )),
            Some(_) => quotas.push(limits::Configured {
                upstream: quota.upstream.clone(),
                user: quota.user.clone(),
                per: quota.per.into(),
                count: quota.count.into(),
                limit: quota.limit,
            }),
            None => {
                let names: Vec<&str> = raw.upstream.iter().map(|upstream| upstream.name.as_str()).collect();
                refuse(format!("upstream = {:?} is none of the upstreams: {}", quota.upstream, names.join(", ")));
            }
        }
    }
    let it = &raw.anomaly.limits;
    limits::Options {
        limits: quotas,
        day: it.day.into(),
        warn_percent: it.warn_percent,
        warn_ahead_us: it.warn_ahead.us(),
        forecast_percent: it.forecast_percent,
        rate_refusals: it.rate_refusals,
        rate_refusals_mx: it.rate_refusals_mx,
    }
}

fn webhook(notify: &Notify, findings: &mut Findings) -> Option<WebhookOptions> {
    let key = notify.webhook_secret_file.as_deref().and_then(|path| match secret::from_file(path) {
        Ok(secret) => Some(hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes())),
        Err(why) => {
            findings.refuse("anomaly.notify.webhook_secret_file", format!("webhook_secret_file: {why}"));
            None
        }
    });
    let Some(text) = &notify.webhook else {
        for (name, is_set) in
            [("webhook_secret_file", notify.webhook_secret_file.is_some()), ("webhook_ca_file", notify.webhook_ca_file.is_some())]
        {
            if is_set {
                findings.refuse(&format!("anomaly.notify.{name}"), format!("{name} is for a webhook, and there is none"));
            }
        }
        return None;
    };
    let url = HttpUrl::parse(text).map_err(|why| findings.refuse("anomaly.notify.webhook", format!("webhook {why}"))).ok()?;
    let tls = ClientTls::new(notify.webhook_ca_file.as_deref())
        .map_err(|error| findings.refuse("anomaly.notify.webhook_ca_file", format!("webhook_ca_file: {error}")))
        .ok()?;
    Some(WebhookOptions { url, key, tls, timeout: WEBHOOK_TIMEOUT })
}
