//! The relay engine: every protocol decision, as a conversation on paper. No socket, no clock, no log.
//!
//! Octets, times and what became of actions come in; octets for either leg ([`Wire`]) and [`Action`]s come out.
//! Reading order: [`action`] (what is asked of the world), [`machine`] (the inputs), `opening` (to the greeting), `static_ehlo`
//! and `late` (where the recipient chooses the upstream), `negotiation` (EHLO, STARTTLS and AUTH upstream), `login` (the
//! proxy's own), `introduce` (XCLIENT and XFORWARD),
//! `commands` (what the client says), `envelope` (MAIL FROM and RCPT TO), `answers` (what the upstream says), `body` (the message), `chunks` (BDAT), `received`
//! (a line of our own before it), `lmtp` (where each recipient has a final reply), `settling` (what a transaction comes to), `ending` (how it all ends), `timing` (what is
//! overdue), `quota` (limits that are kept), `shutdown` (the door and the end of the process), `splice` (sessions that are passed through unread).

pub mod action;
mod answers;
mod body;
mod chunks;
mod commands;
mod digesting;
mod ending;
mod envelope;
mod expect;
mod introduce;
mod late;
mod lmtp;
pub mod login;
pub mod machine;
mod negotiation;
pub mod no_auth;
mod offering;
mod opening;
pub mod options;
mod quota;
mod reading;
mod received;
pub mod recorder;
mod replies;
mod settling;
mod shutdown;
mod splice;
mod static_ehlo;
mod timing;
mod unreachable;

pub use action::{Action, Closed, Connected, Failed, Found, NextHop, NotFound, Refusal, Wire};
pub use machine::Machine;
pub use quota::Exhausted;
pub use recorder::SessionFacts;
pub use replies::OwnReply;
