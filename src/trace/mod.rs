//! The record of what happened: its kinds, its stored form and its public JSON shape.
//!
//! Reading order: [`kinds`] (the closed vocabularies), [`record`] (what is kept), [`stored`] (octets in the journal),
//! [`json`] (what programs read). Nothing here does I/O or reads a clock.

pub mod id;
pub mod json;
pub mod kinds;
pub mod record;
pub mod stored;

pub use id::RecordId;
pub use kinds::{Act, Actor, Direction, EndHow, Flag, Flow, Leg, RecordKind, Stage, State};
pub use record::{
    Amendment, Auth, Client, Dns, Ended, Envelope, Gap, Hidden, Line, LineText, Mark, Message, Origin, Outcome, Phases, Recipient, Record,
    Reply, Session, Timeline, Tls, Transaction, Tried, Upstream, WallMicros,
};
