//! `[anomaly]`: what is watched for, and who is told.

use std::path::PathBuf;

use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Findings;
use super::raw::Raw;
use super::secret;
use super::units::Interval;
use crate::anomaly;
use crate::net::tls::ClientTls;
use crate::net::webhook::{WebhookOptions, WebhookUrl};
use crate::trace;

/// What the watch runs by.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    pub enabled: bool,
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
    pub notify: Notify,
}

impl Default for Anomaly {
    fn default() -> Self {
        let book = anomaly::book::Options::default();
        Self { enabled: true, quiet: Interval::of_us(book.quiet_us), reopen: Interval::of_us(book.reopen_us), notify: Notify::default() }
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
    let Anomaly { enabled, quiet, reopen, notify } = &raw.anomaly;
    let book = anomaly::book::Options { quiet_us: quiet.us(), reopen_us: reopen.us(), ..anomaly::book::Options::default() };
    if quiet.us() < 60_000_000 {
        findings.refuse("anomaly.quiet", format!("quiet = \"{quiet}\" is too short to tell an end from a pause: at least \"1m\""));
    }
    let severity = match notify.severity {
        Severity::Notice => trace::Severity::Notice,
        Severity::Warning => trace::Severity::Warning,
        Severity::Critical => trace::Severity::Critical,
    };
    if notify.command.first().is_some_and(|program| !program.starts_with('/')) {
        findings.refuse("anomaly.notify.command", "command: name the program by its full path, and each argument by itself".to_owned());
    }
    let notify = NotifyOptions { severity, webhook: webhook(notify, findings), command: notify.command.clone() };
    WatchOptions { enabled: *enabled, anomaly: anomaly::Options { book, ..anomaly::Options::default() }, notify }
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
    let url = WebhookUrl::parse(text).map_err(|why| findings.refuse("anomaly.notify.webhook", format!("webhook {why}"))).ok()?;
    let tls = ClientTls::new(notify.webhook_ca_file.as_deref())
        .map_err(|error| findings.refuse("anomaly.notify.webhook_ca_file", format!("webhook_ca_file: {error}")))
        .ok()?;
    Some(WebhookOptions { url, key, tls })
}
