//! Tells of incidents: the log at once; a webhook and a command through a bounded queue of their own, so that neither keeps anybody waiting.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::NotifyOptions;
use crate::net::webhook::{Webhook, WebhookOptions};
use crate::trace::{AboutKind, Anomaly, Incident, IncidentStep, RecordId, Severity, json};

/// Incidents that wait to be told of; what comes beyond is dropped, and said.
const WAITING: usize = 1_000;
/// A command that takes longer is ended.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// A webhook is tried again after so long, then after twice as long, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Then it is given up for this incident.
const TRIES: u32 = 10;
/// How long the end of the process waits for what is still to be told.
const PATIENCE: Duration = Duration::from_secs(5);

/// An incident on its way to somebody.
type Telling = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Who hears of incidents beyond the log.
pub(super) struct Notifier {
    least: Severity,
    queues: Vec<(mpsc::Sender<Arc<Incident>>, Waiting)>,
}

/// Incidents that a task has still to tell of, the one it is at included.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<VecDeque<RecordId>>>);

impl Waiting {
    fn ids(&self) -> MutexGuard<'_, VecDeque<RecordId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks of a [`Notifier`]: they go on after it until everything is told.
pub(crate) struct Tellers(Vec<Teller>);

struct Teller {
    task: JoinHandle<()>,
    waiting: Waiting,
}

impl Tellers {
    pub fn is_done(&self) -> bool {
        self.0.iter().all(|teller| teller.task.is_finished())
    }
}

/// The process ends: waits a little for what is still to be told, and says what isn't.
pub(crate) async fn tell_the_rest(all: Vec<Tellers>) {
    for incident in wait_for(all, PATIENCE).await {
        tracing::error!(%incident, "the process ends before somebody was told of an incident: `relayscope anomalies {incident}` tells it");
    }
}

/// What isn't told by then.
async fn wait_for(all: Vec<Tellers>, patience: Duration) -> Vec<RecordId> {
    let until = Instant::now() + patience;
    let mut left = Vec::new();
    for mut teller in all.into_iter().flat_map(|tellers| tellers.0) {
        if tokio::time::timeout_at(until, &mut teller.task).await.is_err() {
            teller.task.abort();
            left.extend(teller.waiting.ids().drain(..));
        }
    }
    left
}

/// Writes it to the log. Mail addresses don't go there.
pub(super) fn log(entry: &Incident) {
    let summary = summary(entry);
    let (id, step, anomaly) = (entry.incident, entry.step, entry.anomaly);
    if entry.mute.is_some() || entry.part_of.is_some() || entry.severity == Severity::Notice {
        tracing::info!(incident = %id, %step, %anomaly, severity = %entry.severity, summary, "incident");
    } else if entry.severity == Severity::Critical && entry.step != IncidentStep::Resolved {
        tracing::error!(incident = %id, %step, %anomaly, severity = %entry.severity, summary, "incident: `relayscope anomalies` tells more");
    } else {
        tracing::warn!(incident = %id, %step, %anomaly, severity = %entry.severity, summary, "incident: `relayscope anomalies` tells more");
    }
}

/// What the log says of it: the summary where that can name only hosts, clients and numbers, or else what it is about and where to read it.
fn summary(entry: &Incident) -> String {
    let is_private = |kind| matches!(kind, AboutKind::Sender | AboutKind::Recipient | AboutKind::User | AboutKind::MessageId);
    let public: Vec<String> =
        entry.about.iter().filter(|about| !is_private(about.kind)).map(|about| format!("{} {}", about.kind.word(), about.value)).collect();
    let all_public = public.len() == entry.about.len();
    let speaks_of_hosts = match entry.anomaly {
        Anomaly::UpstreamDown
        | Anomaly::UpstreamFlapping
        | Anomaly::UpstreamSlow
        | Anomaly::PortBlocked
        | Anomaly::DnsFailing
        | Anomaly::DirectoryHarvest
        | Anomaly::Duplicates
        | Anomaly::TlsDowngrade
        | Anomaly::StarttlsStripped
        | Anomaly::PeerChanged
        | Anomaly::SmugglingAttempts
        | Anomaly::TlsInjection
        | Anomaly::OpenRelayProbes
        | Anomaly::Scanner
        | Anomaly::TracingGap
        | Anomaly::ExportFailing
        | Anomaly::ExportSkipping => all_public,
        // Of many together, the latest may be a user's or a sender's.
        Anomaly::VolumeSpike | Anomaly::Silence => all_public && !public.is_empty(),
        // These quote others, who may name anybody, or name accounts and messages themselves.
        _ => false,
    };
    if speaks_of_hosts {
        return entry.summary.split(' ').map(|word| if word.contains('@') { "(address)" } else { word }).collect::<Vec<_>>().join(" ");
    }
    let about = if public.is_empty() { String::new() } else { format!("about {}: ", public.join(", ").replace('@', "(at)")) };
    format!("{about}`relayscope anomalies {}` tells it", entry.incident)
}

impl Notifier {
    /// To be called within the runtime that is to send.
    pub fn start(options: &NotifyOptions) -> (Self, Tellers) {
        let (mut queues, mut tellers) = (Vec::new(), Vec::new());
        let mut add = |(queue, teller): (_, Teller)| {
            queues.push((queue, teller.waiting.clone()));
            tellers.push(teller);
        };
        if let Some(webhook) = &options.webhook {
            add(serve("webhook", post(webhook.clone())));
        }
        if !options.command.is_empty() {
            let command = options.command.clone();
            add(serve("command", move |incident: Arc<Incident>| run(command.clone(), incident)));
        }
        (Self { least: options.severity, queues }, Tellers(tellers))
    }

    /// `was_told`: people were told of that incident before. They hear of its end whatever it has become since.
    pub fn tell(&self, entry: Incident, was_told: bool) {
        let is_worth_it = entry.is_for_people(self.least) || (was_told && entry.step == IncidentStep::Resolved);
        if self.queues.is_empty() || !is_worth_it {
            return;
        }
        let entry = Arc::new(entry);
        for (queue, waiting) in &self.queues {
            waiting.ids().push_back(entry.incident);
            if queue.try_send(entry.clone()).is_err() {
                waiting.ids().pop_back();
                tracing::error!(incident = %entry.incident, "too many incidents wait to be told of: this one isn't");
            }
        }
    }
}

/// A task that tells of one after the other.
fn serve<F, T>(what: &'static str, mut tell: F) -> (mpsc::Sender<Arc<Incident>>, Teller)
where
    F: FnMut(Arc<Incident>) -> T + Send + 'static,
    T: Future<Output = Result<(), String>> + Send,
{
    let (sender, mut incidents) = mpsc::channel::<Arc<Incident>>(WAITING);
    let waiting = Waiting::default();
    let told = waiting.clone();
    let task = tokio::spawn(async move {
        while let Some(incident) = incidents.recv().await {
            let id = incident.incident;
            if let Err(error) = tell(incident).await {
                tracing::error!(incident = %id, %error, "the {what} could not be told of an incident");
            }
            told.ids().pop_front();
        }
    });
    (sender, Teller { task, waiting })
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::anomaly::samples::{MONDAY, id, origin};
    use crate::trace::{About, Act};

    pub fn entry(anomaly: Anomaly, about: &[(AboutKind, &str)], summary: &str) -> Incident {
        Incident {
            id: id(MONDAY, 1),
            incident: id(MONDAY, 1),
            step: IncidentStep::Opened,
            at: MONDAY,
            origin: origin(),
            anomaly,
            severity: Severity::Critical,
            about: about.iter().map(|(kind, value)| About { kind: *kind, value: (*value).to_owned() }).collect(),
            summary: summary.to_owned(),
            arithmetic: String::new(),
            baseline: None,
            cause: None,
            act: Act::LocalAdmin,
            advice: String::new(),
            since: MONDAY,
            last: MONDAY,
            count: 1,
            samples: Vec::new(),
            change: None,
            part_of: None,
            mute: None,
            who: None,
            note: None,
        }
    }

    #[test]
    fn the_log_names_hosts_and_no_people() {
        let down = entry(Anomaly::UpstreamDown, &[(AboutKind::Upstream, "main")], "main can't be used: 421 ask <bob@x.example> why");
        assert_eq!(summary(&down), "main can't be used: 421 ask (address) why");
        let own = entry(Anomaly::AuthAllFail, &[(AboutKind::Upstream, "main")], "The proxy's login as relay at upstream main fails");
        assert_eq!(summary(&own), format!("about upstream main: `relayscope anomalies {}` tells it", own.incident));
        for (anomaly, about) in [
            (Anomaly::VolumeSpike, &[(AboutKind::User, "bob")][..]),
            (Anomaly::VolumeSpike, &[]),
            (Anomaly::BounceWave, &[(AboutKind::Recipient, "bob@x.example")]),
            (Anomaly::MailLoop, &[(AboutKind::Domain, "x.example")]),
        ] {
            let entry = entry(anomaly, about, "user bob, bob@x.example, <id.7@x.example>");
            assert!(!summary(&entry).contains("bob") && !summary(&entry).contains("id.7"), "{}", summary(&entry));
        }
    }

    #[test]
    fn the_end_of_what_people_were_told_of_is_told_whatever_it_has_become() {
        let (queue, mut told) = mpsc::channel(9);
        let notifier = Notifier { least: Severity::Warning, queues: vec![(queue, Waiting::default())] };
        let of = |step, severity, part_of| {
            let entry = entry(Anomaly::UpstreamDown, &[(AboutKind::Upstream, "main")], "main is down");
            Incident { step, severity, part_of, ..entry }
        };
        let wider = Some(id(MONDAY, 7));
        notifier.tell(of(IncidentStep::Changed, Severity::Notice, None), true);
        notifier.tell(of(IncidentStep::Resolved, Severity::Notice, None), false);
        notifier.tell(of(IncidentStep::Resolved, Severity::Critical, wider), false);
        assert!(told.try_recv().is_err());
        notifier.tell(of(IncidentStep::Resolved, Severity::Notice, None), true);
        notifier.tell(of(IncidentStep::Resolved, Severity::Critical, wider), true);
        assert!(told.try_recv().is_ok() && told.try_recv().is_ok());
    }

    #[tokio::test]
    async fn what_is_left_at_the_end_is_waited_for_and_then_given_up() {
        let left = |pause: Duration, patience: Duration| async move {
            let (queue, teller) = serve("webhook", move |_| async move {
                tokio::time::sleep(pause).await;
                Ok(())
            });
            let waiting = teller.waiting.clone();
            let notifier = Notifier { least: Severity::Notice, queues: vec![(queue, waiting.clone())] };
            for _ in 0..2 {
                notifier.tell(entry(Anomaly::UpstreamDown, &[(AboutKind::Upstream, "main")], "main is down"), false);
            }
            assert_eq!(waiting.ids().len(), 2);
            drop(notifier);
            wait_for(vec![Tellers(vec![teller])], patience).await
        };
        assert_eq!(left(Duration::from_millis(10), Duration::from_secs(60)).await, []);
        assert_eq!(left(Duration::from_secs(60), Duration::from_millis(10)).await, [id(MONDAY, 1), id(MONDAY, 1)]);
    }
}
