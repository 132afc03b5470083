//! The record of what happened: its kinds, its stored form and its public JSON shape.
//!
//! Reading order: [`kinds`] (the closed vocabularies), [`record`] (what is kept), [`stored`] (octets in the journal),
//! [`json`] (what programs read). Nothing here does I/O or reads a clock.

pub mod amendment;
pub mod audit;
pub mod diagnosis;
pub mod digest;
pub mod gap;
pub mod id;
pub mod incident;
pub mod json;
pub mod kept;
pub mod kinds;
pub mod leb128;
pub mod log;
pub mod mark;
mod packed;
pub mod record;
pub mod report;
pub mod stored;
mod stored_v3;
mod stored_v4;
mod stored_v5;
pub mod timeline;

pub use digest::Digest;
pub use id::RecordId;
pub use incident::{About, Change, Incident, Mute};
pub use kept::Kept;
pub use kinds::{
    AboutKind, Act, Action, Actor, Anomaly, AuditEvent, Cause, Circuit, Direction, Dnssec, EndHow, Flag, Flow, IncidentStep, Leg, LogEvent,
    LookupOutcome, RecordKind, ReportKind, Severity, Stage, State, Told, UpstreamKind, ViaHow,
};
pub use record::{
    AmendedRecipient, Amendment, Answer, Audit, Auth, Client, Dns, Ended, Envelope, Gap, Hidden, Log, Lookup, Mark, MarkView, Message,
    Origin, Outcome, Phases, Recipient, Record, Reply, Report, Reported, Session, Spliced, Tls, TlsPolicy, Transaction, Tried, Upstream,
    Via, WallMicros,
};
pub use timeline::{Line, Timeline};
