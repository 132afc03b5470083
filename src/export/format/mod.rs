//! One record as one event of a format that other systems read.
//!
//! Reading order: [`named`] (what an event is called), [`view`] (what records have in common), [`bounds`] (what is left out of one that is
//! too big), [`inert`] (hostile text); then the formats: [`shape`] (our own JSON), [`flat`] with [`cef`], [`leef`] and [`gelf`], [`smtp`]
//! with [`ecs`] and [`ocsf`]; and [`otlp`], which wraps any of them.

pub mod bounds;
mod cef;
mod ecs;
pub mod flat;
mod gelf;
pub mod inert;
mod leef;
pub mod named;
mod ocsf;
pub mod otlp;
mod pieces;
mod sentence;
mod shape;
mod smtp;
mod view;
mod writer;

use serde::{Deserialize, Serialize};

pub use bounds::{DEFAULT_EVENT, LEAST_EVENT};
pub use named::{Severity, named};

use crate::trace::{Record, RecordId, RecordKind, WallMicros};
use bounds::{Bounds, LEVELS, Part, Parts};
use view::View;
pub use view::at;

/// What an event looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Our public shape, as `show --json` writes it.
    #[default]
    Json,
    /// ArcSight Common Event Format, version 0 (dictionary of revision 25).
    Cef,
    /// IBM Log Event Extended Format 2.0.
    Leef,
    /// Elastic Common Schema 8.17, with an `smtp.*` extension.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.6.0.
    Ocsf,
    /// Graylog Extended Log Format 1.1.
    Gelf,
}

impl Format {
    pub const ALL: [Self; 6] = [Self::Json, Self::Cef, Self::Leef, Self::Ecs, Self::Ocsf, Self::Gelf];

    /// As in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
            Self::Gelf => "gelf",
        }
    }

    /// Whether an event is a JSON object.
    pub fn is_json(self) -> bool {
        !matches!(self, Self::Cef | Self::Leef)
    }
}

/// Who sends, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Name of this proxy, for records that don't say whose they are.
    pub node: String,
    pub vendor: String,
    pub product: String,
    /// Of this program.
    pub version: String,
    /// Most octets of one event, at least [`LEAST_EVENT`].
    pub max_event: usize,
    /// Whether ECS, OCSF and GELF have the dialogue. Our own JSON always has it, CEF and LEEF never.
    pub timeline: bool,
}

impl Context {
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            vendor: "Relayscope".to_owned(),
            product: "Relayscope".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_event: DEFAULT_EVENT,
            timeline: false,
        }
    }
}

/// What a transport has to know of an event: a syslog header, a time beside it, a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub at: WallMicros,
    pub id: RecordId,
    pub kind: RecordKind,
    pub severity: Severity,
    /// Stable name of the event, fit for syslog's MSGID: "transaction.rejected".
    pub msgid: &'static str,
    /// The same for people: "Message rejected".
    pub name: &'static str,
}

/// Makes events of one format. One for each sink: it keeps what it needs again.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    context: Context,
    sentence: String,
    /// Whether events are wrapped for OpenTelemetry.
    otlp: Option<otlp::Signals>,
    peers: shape::Peers,
}

impl Encoder {
    pub fn new(format: Format, context: Context) -> Self {
        let context = Context { max_event: context.max_event.max(LEAST_EVENT), ..context };
        Self { format, context, sentence: String::new(), otlp: None, peers: shape::Peers::default() }
    }

    /// Events are as [`otlp`] has them: octets, of which the log's body is an event as without it.
    #[must_use]
    pub fn wrapped(self, signals: otlp::Signals) -> Self {
        Self { otlp: Some(signals), ..self }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Appends exactly one event, of at most `max_event` octets and without a newline anywhere. `None`: records of this kind are not
    /// forwarded, and nothing was appended.
    pub fn encode(&mut self, record: &Record, out: &mut Vec<u8>) -> Option<Meta> {
        let named = named(record)?;
        // Our own JSON has the facts only.
        if self.format != Format::Json || self.otlp.is_some() {
            sentence::write(&mut self.sentence, record, named);
        }
        let view = View { record, context: &self.context, named, sentence: &self.sentence };
        if let Some(signals) = self.otlp {
            let mut body = Vec::new();
            if signals.logs {
                bounded(self.format, &view, &mut self.peers, &mut body);
            }
            let body = signals.logs.then(|| String::from_utf8_lossy(&body).into_owned());
            if !otlp::write(out, &view, body, signals.traces) {
                return None;
            }
        } else {
            bounded(self.format, &view, &mut self.peers, out);
        }
        let meta =
            Meta { at: view.at(), id: view.id(), kind: record.kind(), severity: named.severity, msgid: named.msgid, name: named.name };
        // One enormous record doesn't hold its memory for ever.
        self.sentence.shrink_to(DEFAULT_EVENT);
        Some(meta)
    }
}

/// Appends the event, cut down until it fits.
fn bounded(format: Format, view: &View<'_>, peers: &mut shape::Peers, out: &mut Vec<u8>) {
    let start = out.len();
    for bounds in LEVELS {
        out.truncate(start);
        format.write(out, view, bounds, peers);
        if out.len() - start <= view.context.max_event {
            break;
        }
    }
}

impl Format {
    fn write(self, out: &mut Vec<u8>, view: &View<'_>, bounds: Bounds, peers: &mut shape::Peers) {
        match self {
            Self::Json => shape::write(out, view, bounds, peers),
            Self::Cef => cef::write(out, view, bounds),
            Self::Leef => leef::write(out, view, bounds),
            Self::Ecs => ecs::write(out, view, bounds),
            Self::Ocsf => ocsf::write(out, view, bounds),
            Self::Gelf => gelf::write(out, view, bounds),
        }
    }
}

/// The parts that were left out, as one text: "timeline,text".
fn joined(parts: Parts) -> String {
    parts.words().collect::<Vec<_>>().join(",")
}

/// What every event that is cut down to the last level has lost.
fn rest() -> Parts {
    let mut parts = Parts::default();
    parts.add(Part::Rest);
    parts
}
