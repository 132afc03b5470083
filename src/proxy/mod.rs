//! The one place where the engine meets sockets.
//!
//! One task a session, both legs in it; worker threads share nothing but counters, the store's queue and the smart hosts' health.

mod accept;
mod caller;
mod context;
mod desk;
mod dial;
mod door;
mod health;
mod leg;
mod lookups;
mod meters;
mod mx;
mod next_hop;
pub mod probe;
mod session;
mod turned_away;

pub use accept::serve;
pub use context::{Context, Counters, Phase, Reach, Roster};
pub use desk::Desk;
pub use health::{HostHealth, HostState};
pub use meters::{Counts, MeterBook, Meters, Phase as MailPhase, RefusedFor, Spread, UpstreamMeters};
