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
pub mod timeline;

pub use digest::Digest;
pub use id::RecordId;
pub use kept::Kept;
pub use kinds::{Act, Actor, Direction, EndHow, Flag, Flow, Leg, RecordKind, Stage, State};
pub use record::{
    Amendment, Auth, Client, Dns, Ended, Envelope, Gap, Hidden, Mark, MarkView, Message, Origin, Outcome, Phases, Recipient, Record, Reply,
    Session, Tls, Transaction, Tried, Upstream, WallMicros,
};
pub use timeline::{Line, Timeline};
