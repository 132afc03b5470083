//! Forwards traces to other systems: each sink follows the journal by a place of its own, at least once and in order.
//!
//! [`Sink`] is the life of one: it reads the journal (`feed`), leaves out what its filters don't want, makes events of the rest ([`format`]),
//! hands them to its receiver ([`transport`]), and notes how far the receiver has everything (`place`). It may lag, restart and catch up; it
//! never stands in the mail's way, and what it never sent is counted (`status`).

mod backoff;
mod batch;
mod feed;
pub mod format;
mod options;
mod place;
mod position;
mod redact;
mod sink;
mod status;
pub mod transport;

pub use backoff::Backoff;
pub use batch::{Batch, Event};
pub use feed::Feed;
pub use options::{Batching, Filter, Options, Start};
pub use place::{NotAPlace, Place, known_places};
pub use redact::{Hide, Redaction, key_of_store};
pub use sink::{Ground, Handle, Order, Sink};
pub use status::{Snapshot, State, Status};
