//! Tells of incidents: the log at once; a webhook and a command through a bounded queue of their own, so that neither keeps anybody waiting.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::config::NotifyOptions;
use crate::net::webhook::{Webhook, WebhookOptions};
use crate::trace::{AboutKind, Incident, IncidentStep, Severity, json};

/// Incidents that wait to be told of; what comes beyond is dropped, and said.
const WAITING: usize = 1_000;
/// A command that takes longer is ended.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// A webhook is tried again after so long, then after twice as long, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Then it is given up for this incident.
const TRIES: u32 = 10;

/// An incident on its way to somebody.
type Telling = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Who hears of incidents beyond the log.
pub(super) struct Notifier {
    least: Severity,
    queues: Vec<mpsc::Sender<Arc<Incident>>>,
}

/// Writes it to the log. Mail addresses don't go there.
pub(super) fn log(entry: &Incident) {
    let private = |kind| matches!(kind, AboutKind::Sender | AboutKind::Recipient | AboutKind::User | AboutKind::MessageId);
    let summary = if entry.about.iter().any(|about| private(about.kind)) { "" } else { entry.summary.as_str() };
    let (id, step, anomaly) = (entry.incident, entry.step, entry.anomaly);
    if entry.mute.is_some() || entry.part_of.is_some() || entry.severity == Severity::Notice {
        tracing::info!(incident = %id, %step, %anomaly, severity = %entry.severity, summary, "incident");
    } else if entry.severity == Severity::Critical && entry.step != IncidentStep::Resolved {
        tracing::error!(incident = %id, %step, %anomaly, severity = %entry.severity, summary, "incident: `relayscope anomalies` tells more");
    } else {
        tracing::warn!(incident = %id, %step, %anomaly, severity = %entry.severity, summary, "incident: `relayscope anomalies` tells more");
    }
}

impl Notifier {
    /// To be called within the runtime that is to send.
    pub fn start(options: &NotifyOptions) -> Self {
        let mut queues = Vec::new();
        if let Some(webhook) = &options.webhook {
            queues.push(serve("webhook", post(webhook.clone())));
        }
        if !options.command.is_empty() {
            let command = options.command.clone();
            queues.push(serve("command", move |incident: Arc<Incident>| run(command.clone(), incident)));
        }
        Self { least: options.severity, queues }
    }

    pub fn tell(&self, entry: Incident) {
        let is_worth_it = entry.severity >= self.least && entry.mute.is_none() && entry.part_of.is_none();
        if self.queues.is_empty() || !is_worth_it {
            return;
        }
        let entry = Arc::new(entry);
        for queue in &self.queues {
            if queue.try_send(entry.clone()).is_err() {
                tracing::error!(incident = %entry.incident, "too many incidents wait to be told of: this one isn't");
            }
        }
    }
}

/// A task that tells of one after the other.
fn serve<F, T>(what: &'static str, mut tell: F) -> mpsc::Sender<Arc<Incident>>
where
    F: FnMut(Arc<Incident>) -> T + Send + 'static,
    T: Future<Output = Result<(), String>> + Send,
{
    let (sender, mut waiting) = mpsc::channel::<Arc<Incident>>(WAITING);
    tokio::spawn(async move {
        while let Some(incident) = waiting.recv().await {
            let id = incident.incident;
            if let Err(error) = tell(incident).await {
                tracing::error!(incident = %id, %error, "the {what} could not be told of an incident");
            }
        }
    });
    sender
}

fn text(incident: &Incident) -> Result<String, String> {
    serde_json::to_string(&json::Incident::from(incident)).map_err(|error| error.to_string())
}

/// Posts the incident as JSON until it is taken.
fn post(options: WebhookOptions) -> impl FnMut(Arc<Incident>) -> Telling {
    let webhook = Arc::new(Webhook::new(options));
    move |incident| {
        let webhook = webhook.clone();
        Box::pin(async move {
            let body = text(&incident)?;
            let (mut pause, mut tries) = (RETRY.0, 0);
            loop {
                let error = match webhook.post(body.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                tries += 1;
                if tries == TRIES || !error.may_pass() {
                    return Err(format!("{error} ({tries} tries)"));
                }
                tracing::debug!(%error, "the webhook is tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY.1);
            }
        })
    }
}

/// Runs the command with the incident as JSON on its standard input, and little in its environment.
async fn run(command: Vec<String>, incident: Arc<Incident>) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program);
    child.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    for name in ["PATH", "HOME", "LANG", "TZ"] {
        child.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    for (name, value) in [
        ("RELAYSCOPE_INCIDENT", incident.incident.to_string()),
        ("RELAYSCOPE_STEP", incident.step.word().to_owned()),
        ("RELAYSCOPE_ANOMALY", incident.anomaly.word().to_owned()),
        ("RELAYSCOPE_SEVERITY", incident.severity.word().to_owned()),
    ] {
        child.env(name, value);
    }
    let body = text(&incident)?;
    let ran = async {
        let mut child = child.spawn().map_err(|error| format!("{program}: {error}"))?;
        if let Some(mut input) = child.stdin.take() {
            // A program that doesn't read its input is no failure.
            let _ = input.write_all(body.as_bytes()).await;
        }
        let status = child.wait().await.map_err(|error| format!("{program}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
    };
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, ran).await;
    ended.unwrap_or_else(|_| Err(format!("{program} took longer than {} s and was ended", COMMAND_TIMEOUT.as_secs())))
}
