//! The relay engine: every protocol decision, as a conversation on paper. No socket, no clock, no log.
//!
//! Octets, times and what became of actions come in; octets for either leg ([`Wire`]) and [`Action`]s come out.
//! Reading order: [`machine`] (the inputs), `opening` (to the greeting), `negotiation` (EHLO, STARTTLS and AUTH upstream), `commands`
//! (what the client says), `answers` (what the upstream says), `body` (DATA and BDAT), `ending` (how it all ends), `timing` (what is
//! overdue).

mod answers;
mod body;
mod commands;
mod digesting;
mod ending;
pub mod machine;
mod negotiation;
mod opening;
pub mod options;
pub mod recorder;
mod replies;
mod timing;

pub use machine::{Action, Connected, Failed, Machine, Wire};
pub use recorder::SessionFacts;
pub use replies::OwnReply;
