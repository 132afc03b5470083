//! The record of what happened: its kinds, its stored form and its public JSON shape.
//!
//! Reading order: [`kinds`] (the closed vocabularies), [`record`] (what is kept), [`stored`] (octets in the journal),
//! [`json`] (what programs read). Nothing here does I/O or reads a clock.

pub mod digest;
pub mod id;
pub mod json;
pub mod kept;
pub mod kinds;
pub mod leb128;
mod packed;
pub mod record;
pub mod stored;
mod stored_v3;
pub mod timeline;

pub use digest::Digest;
pub use id::RecordId;
pub use kept::Kept;
pub use kinds::{
    Act, Actor, Circuit, Direction, Dnssec, EndHow, Flag, Flow, Leg, LookupOutcome, RecordKind, Stage, State, Told, UpstreamKind, ViaHow,
};
pub use record::{
    Amendment, Answer, Auth, Client, Dns, Ended, Envelope, Gap, Hidden, Lookup, Mark, MarkView, Message, Origin, Outcome, Phases,
    Recipient, Record, Reply, Session, Spliced, Tls, TlsPolicy, Transaction, Tried, Upstream, Via, WallMicros,
};
pub use timeline::{Line, Timeline};
