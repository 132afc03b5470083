//! Checks actively what the traces can't know: names, addresses, servers, and the way through the proxy.
//!
//! Reading order: [`check`] (what each check says of itself), [`report`] (all of them on one target, with a conclusion), [`examine`] (each target's
//! examination, put together), then the parts: [`dns`] (a domain), [`sender`] (an address), [`upstream`], [`behind`] and [`self_test`] (servers and our
//! own listeners, over [`door`] and [`dialogue`]), [`own`], [`queue`], [`clock`] and [`drift`] (the proxy itself), [`message`] (what explains one message).
//!
//! Everything here asks; nothing is changed, and no message is sent unless somebody asks for that.

pub mod behind;
pub mod check;
pub mod clock;
pub mod dialogue;
pub mod dns;
pub mod door;
pub mod drift;
pub mod examine;
pub mod kept;
mod limit;
pub mod message;
pub mod options;
pub mod own;
pub mod queue;
pub mod report;
pub mod seen;
pub mod self_test;
pub mod sender;
pub mod upstream;

pub use check::{Check, Verdict};
pub use dns::{Canaries, DomainOptions, examine_domain};
pub use report::{Report, Section};
pub use sender::{SenderOptions, examine_sender};
